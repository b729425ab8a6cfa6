"""Predefined recovery over HTTP and by command: who may say what, what is wrong and where, and that it is done."""

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
MACHINES = {
    **RESOURCES,
    "virtual_resources": [
        *RESOURCES["virtual_resources"],
        {"id": "vm-4", "host": "compute-2", "owner": "red", "group": "core", "sal": 1},
        {"id": "vm-5", "host": "compute-2", "owner": "red", "recovery": "please"},
    ],
}
REBOOT = {"steps": [{"action": "reboot"}], "handled_by": "doctor"}


@pytest.fixture(scope="module")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    settings = {"recovery": {"per_host": 1, "reserved": {"compute-3": [1, "1A"]}, "most": 50}}
    with RunningDoctor(tmp_path_factory.mktemp("doctor"), **settings) as doctor:
        assert Door(doctor).ask("PUT", "/v1/resource-map", MACHINES)[0] == 200
        yield doctor


@pytest.fixture
def door(doctor: RunningDoctor) -> Door:
    return Door(doctor)


@pytest.fixture
def red(door: Door) -> str:
    return door.token(Role.CONSUMER, "red")


def recovered(door: Door, machine: str, *states: str) -> dict[str, Any]:
    """Wait until the recovery of a machine is in one of these states."""
    end = time.monotonic() + PATIENCE
    while True:
        _, page = door.ask("GET", f"/v1/recoveries?virtual_resource_id={machine}")
        found: list[dict[str, Any]] = page["items"]
        if found and found[0]["state"] in states:
            return found[0]
        assert time.monotonic() < end, page
        time.sleep(0.02)


def fail(door: Door, machine: str, second: int, status: str = "down") -> None:
    assert (
        door.ask("POST", "/v1/events", [event("compute.instance.error", machine, second, status)])[0] == 202
    )


@pytest.mark.requirement("B26", "E31", "G55")
def test_what_is_said_is_done_and_outlives_a_kill(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red = door.token(Role.CONSUMER, "red")
    path = "/v1/virtual-resources/vm-3/recovery-policy"
    status, made = door.ask("PUT", path, REBOOT, token=red)
    assert (status, made["scope"], made["machines"]) == (200, "machine:vm-3", 1)
    doctor.kill()
    doctor.start()
    door = Door(doctor)
    assert door.ask("GET", path, token=red)[1]["policy"] == made
    fail(door, "vm-3", 1)
    began = recovered(door, "vm-3", "running")
    (step,) = began["steps"]
    _, done = door.ask("GET", f"/v1/instructions/{step['instruction_id']}", token=red)
    assert (done["action"], done["alarm_id"], done["user"]) == (
        "reboot",
        began["alarm_id"],
        "recovery policy",
    )
    doctor.kill()
    doctor.start()
    door = Door(doctor)
    fail(door, "vm-3", 2, "up")
    over = recovered(door, "vm-3", "succeeded")
    assert len(over["steps"]) == 1
    assert [one["step"] for one in over["steps"]] == [1]
    assert door.ask("DELETE", path, token=red)[0] == 204
    assert door.ask("GET", path, token=red)[1]["policy"] is None


def test_a_policy_of_a_group_counts_for_its_machines(door: Door, red: str) -> None:
    group = "/v1/recovery-policies/group:core"
    status, made = door.ask("PUT", group, {**REBOOT, "after": "PT30S", "priority": 3}, token=red)
    assert (status, made["after"], made["machines"]) == (200, 30.0, 1)
    assert made["steps"][0]["parameters"] == {"type": "hard"}
    _, holding = door.ask("GET", "/v1/virtual-resources/vm-4/recovery-policy", token=red)
    assert holding["policy"]["scope"] == "group:core"
    _, page = door.ask("GET", "/v1/recovery-policies", token=red)
    assert made in page["items"]
    assert made not in door.ask("GET", "/v1/recovery-policies?project=blue")[1]["items"]
    assert door.ask("GET", group + "?project=red")[1] == made
    assert door.ask("DELETE", group, token=red)[0] == 204
    assert door.ask("DELETE", group, token=red)[0] == 404


def test_a_wish_that_cannot_be_read_is_shown(door: Door, red: str) -> None:
    _, holding = door.ask("GET", "/v1/virtual-resources/vm-5/recovery-policy", token=red)
    assert (holding["policy"], holding["unread_wish"]) == (None, "please")


def test_who_may_speak_for_whom(door: Door, red: str) -> None:
    group, machine = "/v1/recovery-policies/group:core", "/v1/virtual-resources/vm-blue/recovery-policy"
    status, problem = door.ask("PUT", group, REBOOT)
    assert (status, problem["errors"][0]["pointer"]) == (422, "/project")
    assert door.ask("PUT", group + "?project=blue", REBOOT, token=red)[0] == 422
    assert door.ask("PUT", machine, REBOOT, token=red)[0] == 404
    assert door.ask("PUT", machine, REBOOT)[0] == 200
    assert door.ask("GET", "/v1/recovery-policies/machine:vm-blue")[1]["project"] == "blue"
    _, page = door.ask("GET", "/v1/recovery-policies", token=red)
    assert "blue" not in [one["project"] for one in page["items"]]
    assert door.ask("PUT", "/v1/recovery-policies/machine:vm-blue", REBOOT, token=red)[0] == 404
    assert door.ask("DELETE", machine)[0] == 204
    assert door.ask("PUT", group, REBOOT, token=door.token(Role.MONITOR))[0] == 403
    assert door.ask("PUT", group, REBOOT, token=door.token(Role.AUDITOR))[0] == 403


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"steps": [{"action": "stop"}]}, "/steps/0/action", id="no-step"),
        pytest.param({"steps": [{"action": "reboot", "timeout": 0}]}, "/steps/0/timeout", id="no-time"),
        pytest.param({"steps": [{"action": "reboot", "timeout": "soon"}]}, "/steps/0/timeout", id="soon"),
        pytest.param(
            {"steps": [{"action": "reboot", "parameters": {"type": "warm"}}]},
            "/steps/0/parameters/type",
            id="parameter",
        ),
        pytest.param({**REBOOT, "after": "P2D"}, "/after", id="too-long"),
        pytest.param({"after": 30}, "/after", id="after-his-own-word"),
        pytest.param({"after_groups": ["core"]}, "/after_groups", id="after-itself"),
        pytest.param({"handled_by": "nobody"}, "/handled_by", id="nobody"),
        pytest.param({"step": []}, "/step", id="unknown"),
    ],
)
def test_what_is_wrong_is_named(door: Door, red: str, body: dict[str, Any], pointer: str) -> None:
    status, problem = door.ask("PUT", "/v1/recovery-policies/group:core", body, token=red)
    assert status in (400, 422)
    assert [one["pointer"] for one in problem["errors"]] == [pointer]


@pytest.mark.parametrize("scope", ["core", "zone:a", "group:"])
def test_a_scope_that_is_none_says_what_one_is(door: Door, red: str, scope: str) -> None:
    status, problem = door.ask("PUT", f"/v1/recovery-policies/{scope}", REBOOT, token=red)
    assert status == 404
    assert "write machine:ID, group:NAME or sal:LEVEL" in problem["detail"]


def test_recoveries_are_seen_by_their_owner_and_the_administrator_only(door: Door, red: str) -> None:
    assert door.ask("PUT", "/v1/recovery-policies/machine:vm-blue", REBOOT)[0] == 200
    fail(door, "vm-blue", 10)
    recovered(door, "vm-blue", "running")
    assert door.ask("GET", "/v1/recoveries?state=open", token=red)[1]["items"] == []
    blue = door.token(Role.CONSUMER, "blue")
    _, page = door.ask("GET", "/v1/recoveries?state=open&outcome=running", token=blue)
    assert [one["virtual_resource_id"] for one in page["items"]] == ["vm-blue"]
    fail(door, "vm-blue", 11, "up")
    recovered(door, "vm-blue", "succeeded")
    assert door.ask("GET", "/v1/recoveries?state=open", token=blue)[1]["items"] == []
    assert door.ask("DELETE", "/v1/recovery-policies/machine:vm-blue")[0] == 204


def test_the_example_of_the_manual(doctor: RunningDoctor, tmp_path: Path) -> None:
    """docs/how-to/recover.md"""
    manual = Path("docs/how-to/recover.md").read_text()
    shell = Shell(doctor, tmp_path)
    shell.write("core.yaml", manual.partition("```yaml\n")[2].partition("```")[0])
    lines = manual.partition("```console\n")[2].partition("```")[0].splitlines()
    commands = [line.partition("#")[0].split()[2:] for line in lines if line.startswith("$ doctor")]
    assert len(commands) > 4
    for words in commands:
        done = shell.run(*words)
        assert done.returncode == 0, (words, done.stderr)
    assert "evacuate" in shell.run("recovery", "policies").stdout
