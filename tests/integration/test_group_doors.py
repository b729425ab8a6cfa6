"""Redundancy groups over HTTP and by command: the owner's word goes over the map's, and holds after a restart."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

MAP: dict[str, Any] = {
    "physical_resources": [{"id": f"compute-{n}"} for n in range(1, 5)],
    "virtual_resources": [
        {"id": "vm-1", "host": "compute-1", "owner": "red"},
        {"id": "vm-2", "host": "compute-2", "owner": "red", "group": "web", "role": "STBY"},
        {"id": "vm-3", "host": "compute-3", "owner": "red", "group": "web", "constraints": {"max_out": 2}},
        {"id": "vm-blue", "host": "compute-1", "owner": "blue"},
    ],
}
CORE = {
    "members": ["vm-1", "vm-2"],
    "roles": {"vm-1": "ACT"},
    "max_out": 0,
    "recovery_time": "PT1M",
    "anti_affinity": True,
}


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[RunningDoctor]:
    with RunningDoctor(tmp_path / "doctor") as doctor:
        assert Door(doctor).ask("PUT", "/v1/resource-map", MAP)[0] == 200
        yield doctor


def members(found: dict[str, Any]) -> list[tuple[str, str | None, bool]]:
    return [(one["virtual_resource_id"], one["role"], one["by_owner"]) for one in found["members"]]


def test_the_owners_word_holds_at_once_over_the_map_and_after_a_kill(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red = door.token(Role.CONSUMER, "red")
    status, made = door.ask("PUT", "/v1/groups/core", CORE, token=red)
    assert (status, members(made)) == (200, [("vm-1", "ACT", True), ("vm-2", "STBY", True)])
    assert (made["max_out"], made["recovery_time"], made["max_per_host"], made["anti_affinity"]) == (
        0,
        60.0,
        1,
        True,
    )
    move = {"action": "migrate", "virtual_resource_id": ["vm-1"]}
    status, refused = door.ask("POST", "/v1/instructions", move, token=red)
    assert "let none of its group be away" in refused["resources"][0]["reason"]
    doctor.kill()
    doctor.start()
    door = Door(doctor)
    _, machine = door.ask("GET", "/v1/virtual-resources/vm-2", token=red)
    assert (machine["group"], machine["role"]) == ("core", "STBY")
    _, document = door.ask("GET", "/v1/resource-map")
    assert {one["id"]: one["group"] for one in document["virtual_resources"]}["vm-2"] == "web"
    assert door.ask("PUT", "/v1/resource-map", document)[0] == 200
    assert members(door.ask("GET", "/v1/groups/core", token=red)[1]) == members(made)
    assert door.ask("DELETE", "/v1/groups/core", token=red)[0] == 204
    _, page = door.ask("GET", "/v1/groups", token=red)
    (web,) = page["items"]
    assert (web["name"], members(web), web["user"]) == (
        "web",
        [("vm-2", "STBY", False), ("vm-3", None, False)],
        None,
    )
    assert door.ask("DELETE", "/v1/groups/web", token=red)[0] == 404


def test_a_machine_that_was_moved_keeps_its_owners_word_and_no_more_than_that(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red = door.token(Role.CONSUMER, "red")
    limits = {"members": ["vm-1"], "max_out": 5, "max_per_host": 1}
    assert door.ask("PUT", "/v1/groups/web", limits, token=red)[0] == 200
    order = {"action": "migrate", "virtual_resource_id": ["vm-1"]}
    _, taken = door.ask("POST", "/v1/instructions", order, token=red)
    host = wait_for_move(door, taken["instruction_id"], "vm-1")
    assert host == "compute-4"  # the others have one of the group
    doctor.kill()
    doctor.start()
    door = Door(doctor)
    assert members(door.ask("GET", "/v1/groups/web", token=red)[1])[0] == ("vm-1", None, True)
    assert door.ask("DELETE", "/v1/groups/web", token=red)[0] == 204
    _, machine = door.ask("GET", "/v1/virtual-resources/vm-1", token=red)
    assert machine["group"] is None


def wait_for_move(door: Door, instruction_id: str, machine: str) -> str:
    end = time.monotonic() + 15
    while True:
        _, found = door.ask("GET", f"/v1/instructions/{instruction_id}")
        if found["resources"][0]["state"] == "succeeded":
            break
        assert time.monotonic() < end, found
        time.sleep(0.05)
    _, document = door.ask("GET", "/v1/resource-map")
    hosts: dict[str, str] = {one["id"]: one["host"] for one in document["virtual_resources"]}
    return hosts[machine]


def test_nobody_speaks_of_the_groups_of_others(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red, blue = door.token(Role.CONSUMER, "red"), door.token(Role.CONSUMER, "blue")
    door.ask("PUT", "/v1/groups/core", CORE, token=red)
    assert door.ask("GET", "/v1/groups/core", token=blue)[0] == 404
    assert door.ask("GET", "/v1/groups", token=blue)[1]["items"] == []
    assert door.ask("GET", "/v1/groups/core?project=red", token=blue)[0] == 422
    assert door.ask("DELETE", "/v1/groups/core", token=blue)[0] == 404
    status, problem = door.ask("PUT", "/v1/groups/core", {"members": ["vm-1"]}, token=blue)
    assert (status, problem["errors"]) == (
        422,
        [{"pointer": "/members/0", "detail": "no machine of yours has this id"}],
    )
    assert door.ask("GET", "/v1/groups/core")[0] == 422
    assert door.ask("GET", "/v1/groups/core?project=red")[0] == 200
    assert [one["name"] for one in door.ask("GET", "/v1/groups?project=red")[1]["items"]] == ["core", "web"]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"members": ["nobody"]}, "/members/0", id="unknown"),
        pytest.param({"members": ["vm-blue"]}, "/members/0", id="foreign"),
        pytest.param({"members": ["vm-1", "vm-1"]}, "/members/1", id="twice"),
        pytest.param({"members": ["vm-2"]}, "/members/0", id="in-another-group"),
        pytest.param({"roles": {"vm-1": "ACT"}}, "/roles/vm-1", id="role-of-a-stranger"),
        pytest.param({"recovery_time": "soon"}, "/recovery_time", id="no-duration"),
        pytest.param({"anti_affinity": True, "max_per_host": 2}, "/max_per_host", id="contradiction"),
        pytest.param({"max_per_host": 0}, "/max_per_host", id="none-at-all"),
        pytest.param({"max_away": 1}, "/max_away", id="unknown-field"),
    ],
)
def test_what_is_wrong_is_said_and_nothing_is_done(
    doctor: RunningDoctor, body: dict[str, Any], pointer: str
) -> None:
    door = Door(doctor)
    red = door.token(Role.CONSUMER, "red")
    assert door.ask("PUT", "/v1/groups/first", {"members": ["vm-2"]}, token=red)[0] == 200
    status, problem = door.ask("PUT", "/v1/groups/second", body, token=red)
    assert (status, problem["errors"][0]["pointer"]) == (422, pointer)
    assert door.ask("GET", "/v1/groups/second", token=red)[0] == 404


def test_the_commands(doctor: RunningDoctor, tmp_path: Path) -> None:
    shell = Shell(doctor, tmp_path)
    done = shell.run(
        "group", "set", "core", "vm-1=ACT", "vm-2", "--max-out", "1", "--anti-affinity",
        "--recovery-time", "30s", "--label", "the core", "--project", "red",
    )  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "core: 2 machines\n")
    shown = shell.run("group", "show", "core", "--project", "red").stdout
    assert all(word in shown for word in ("the core", "vm-1", "ACT", "its owner", "30 s"))
    listed = json.loads(shell.run("group", "list", "--json").stdout)["items"]
    assert [one["name"] for one in listed] == ["core", "web"]
    assert "the map" in shell.run("group", "list").stdout
    wrong = shell.run("group", "set", "core", "vm-blue", "--project", "red")
    assert wrong.returncode != 0
    assert "no machine of yours" in wrong.stderr
    assert shell.run("group", "remove", "core", "--project", "red").returncode == 0
    assert shell.run("group", "show", "core", "--project", "red").returncode != 0
