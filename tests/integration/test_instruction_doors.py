"""Instructions over HTTP and by command: who may ask for what, what is refused and how, and that it lasts."""

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_alarm_doors import RESOURCES, event
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

PATIENCE = 10.0


@pytest.fixture(scope="module")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    """A Doctor with a dead host, which nobody can isolate."""
    settings = {"instructions": {"forbidden": ["terminate"], "longest_wait": 3600}}
    with RunningDoctor(tmp_path_factory.mktemp("doctor"), **settings) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        assert door.ask("POST", "/v1/events", [event("compute.host.down", "compute-1", 1)])[0] == 202
        yield doctor


@pytest.fixture
def door(doctor: RunningDoctor) -> Door:
    return Door(doctor)


@pytest.fixture
def red(door: Door) -> str:
    return door.token(Role.CONSUMER, "red")


def instruct(door: Door, token: str, action: str, *machines: str, **more: Any) -> dict[str, Any]:
    body = {"action": action, "virtual_resource_id": list(machines), **more}
    status, made = door.ask("POST", "/v1/instructions", body, token=token)
    assert status == 202, made
    end = time.monotonic() + PATIENCE
    while made["acknowledged"] is None:
        assert time.monotonic() < end, made
        time.sleep(0.02)
        status, made = door.ask("GET", f"/v1/instructions/{made['instruction_id']}", token=token)
        assert status == 200
    found: dict[str, Any] = made
    return found


@pytest.mark.requirement("B1", "B28")
def test_a_machine_is_moved_and_stays_there_after_a_restart(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red = door.token(Role.CONSUMER, "red")
    assert instruct(door, red, "live_migrate", "vm-3")["acknowledged"]
    _, page = door.ask("GET", "/v1/virtual-resources?host=compute-2")
    assert [one["virtual_resource_id"] for one in page["items"]] == ["vm-3"]
    doctor.kill()
    doctor.start()
    door = Door(doctor)
    _, page = door.ask("GET", "/v1/virtual-resources?host=compute-2")
    assert [one["virtual_resource_id"] for one in page["items"]] == ["vm-3"]
    _, page = door.ask("GET", "/v1/instructions?action=live_migrate")
    assert [one["resources"][0]["state"] for one in page["items"]] == ["succeeded"]
    assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
    _, page = door.ask("GET", "/v1/virtual-resources?host=compute-3")
    assert [one["virtual_resource_id"] for one in page["items"]] == ["vm-3"]


def test_what_cannot_be_done_is_refused_with_its_reason(door: Door, red: str) -> None:
    for action, says in (
        ("evacuate", "has not set up a fence"),
        ("terminate", "does not allow terminate"),
        ("reboot", "evacuate it"),
    ):
        (one,) = instruct(door, red, action, "vm-red")["resources"]
        assert one["state"] == "refused"
        assert says in one["reason"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"virtual_resource_id": ["vm-blue"]}, "/virtual_resource_id/0", id="foreign"),
        pytest.param({"virtual_resource_id": ["vm-red", "x"]}, "/virtual_resource_id/1", id="unknown"),
        pytest.param({"parameters": {"type": "warm"}}, "/parameters/type", id="parameter"),
        pytest.param({"deadline": "PT2H"}, "/deadline", id="too-long"),
        pytest.param({"deadline": "soon"}, "/deadline", id="no-duration"),
        pytest.param({"notification_id": "x"}, "/notification_id", id="never-told"),
    ],
)
def test_what_is_wrong_is_named(door: Door, red: str, body: dict[str, Any], pointer: str) -> None:
    whole = {"action": "reboot", "virtual_resource_id": ["vm-3"], **body}
    status, problem = door.ask("POST", "/v1/instructions", whole, token=red)
    assert (status, [one["pointer"] for one in problem["errors"]]) == (422, [pointer])


def test_instructions_are_seen_by_their_owner_and_the_administrator_only(door: Door, red: str) -> None:
    made = instruct(door, red, "leave", "vm-red")
    path = f"/v1/instructions/{made['instruction_id']}"
    blue = door.token(Role.CONSUMER, "blue")
    assert [door.ask(verb, path, token=blue)[0] for verb in ("GET", "DELETE")] == [404, 404]
    assert door.ask("GET", "/v1/instructions", token=blue)[1]["items"] == []
    assert door.ask("GET", path)[0] == 200
    assert door.ask("DELETE", path, token=red)[0] == 409
    assert door.ask("POST", "/v1/instructions", {}, token=door.token(Role.MONITOR))[0] == 403


def test_the_end_is_told(door: Door, red: str) -> None:
    """Also by pulling."""
    endpoint = {"url": "http://127.0.0.1:9/"}
    status, made = door.ask("POST", "/v1/subscriptions", {"endpoints": [endpoint]}, token=red)
    assert status == 201
    done = instruct(door, red, "stop", "vm-3")
    _, page = door.ask("GET", f"/v1/notifications?subscription_id={made['subscription_id']}", token=red)
    (result,) = [one for one in page["items"] if one["notification_type"] == "instruction_result"]
    assert result["instruction"]["instruction_id"] == done["instruction_id"]
    assert result["instruction"]["acknowledged"]
    assert door.ask("DELETE", f"/v1/subscriptions/{made['subscription_id']}", token=red)[0] == 204


def test_the_command_does_it_all(doctor: RunningDoctor, tmp_path: Path) -> None:
    shell = Shell(doctor, tmp_path)
    sent = shell.run("instruction", "send", "start", "vm-3", "--within", "30s")
    assert sent.returncode == 0, sent.stderr
    shown = shell.run("instruction", "show", sent.stdout.strip())
    assert "start" in shown.stdout
    assert shell.run("instruction", "send", "evacuate", "vm-red").returncode == 1
    assert "refused" in shell.run("instruction", "list").stdout
