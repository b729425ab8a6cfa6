"""Maintenance over HTTP and by command: who may ask and answer, what is wrong and where, and that it is done."""

import json
import queue
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doctor.client import Client
from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

PATIENCE = 15.0
STATE, SESSIONS = "/v1/physical-resources/state", "/v1/maintenance"
MAP = {
    "physical_resources": [{"id": f"compute-{n}", "zone_id": "az1"} for n in range(1, 9)],
    "virtual_resources": [
        *({"id": f"vm-{n}", "host": f"compute-{n}", "owner": "red"} for n in range(1, 9)),
        {"id": "vm-blue", "host": "compute-1", "owner": "blue"},
    ],
}


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[RunningDoctor]:
    with RunningDoctor(tmp_path / "doctor") as doctor:
        assert Door(doctor).ask("PUT", "/v1/resource-map", MAP)[0] == 200
        yield doctor


@pytest.fixture
def door(doctor: RunningDoctor) -> Door:
    return Door(doctor)


def empty(*hosts: str, **more: Any) -> dict[str, Any]:
    """Return a request to empty hosts."""
    states = [{"physical_resource_id": one, "physical_resource_state": "maintenance"} for one in hosts]
    return {"physical_resource_state": states, "timeout": "PT60S", "reason": "firmware", **more}


def session_when(door: Door, session_id: str, **wanted: str) -> dict[str, Any]:
    """Wait until machines and hosts of a session are so: ``compute_1="empty"``."""
    end = time.monotonic() + PATIENCE
    while True:
        found: dict[str, Any] = door.ask("GET", f"{SESSIONS}/{session_id}")[1]
        now = {one["physical_resource_id"]: one["stage"] for one in found["hosts"]}
        now |= {one["virtual_resource_id"]: one["state"] for one in found["machines"]}
        if all(now.get(name.replace("_", "-")) == state for name, state in wanted.items()):
            return found
        assert time.monotonic() < end, found
        time.sleep(0.02)


@pytest.mark.requirement("A3", "A19", "B29", "B30", "B31", "B33", "C2", "D9", "D10", "D11", "G39")
def test_a_host_is_emptied_and_given_back_across_kills(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red, blue = door.token(Role.CONSUMER, "red"), door.token(Role.CONSUMER, "blue")
    policy = "/v1/maintenance-policies/machine:vm-blue"
    status, made = door.ask("PUT", policy, {"action": "stop"}, token=blue)
    assert (status, made["machines"], made["action"]) == (200, 1, "stop")
    status, taken = door.ask("POST", STATE, empty("compute-1"))
    assert (status, taken["state"], taken["hosts"]) == (202, "planned", ["compute-1"])
    session_id = taken["session_id"]
    session_when(door, session_id, vm_1="asked", vm_blue="stopped")
    _, machine = door.ask("GET", "/v1/virtual-resources/vm-1", token=red)
    assert (machine["virtual_resource_state"], machine["host_status"]) == ("maintenance", "MAINTENANCE")
    _, host = door.ask("GET", "/v1/physical-resources/compute-1")
    assert (host["maintenance_state"], host["maintenance"]["progress"]) == ("going-to-maintenance", 50)
    doctor.kill()
    doctor.start()
    door = Door(doctor)
    _, mine = door.ask("GET", f"{SESSIONS}/{session_id}", token=red)
    assert ([one["virtual_resource_id"] for one in mine["machines"]], mine["hosts"]) == (["vm-1"], [])
    status, answered = door.ask(
        "POST",
        f"{SESSIONS}/{session_id}/replies",
        {"reply": "ack", "actions": {"vm-1": "migrate"}},
        token=red,
    )
    assert (status, [one["state"] for one in answered]) == (200, ["agreed"])
    found = session_when(door, session_id, compute_1="empty")
    assert found["state"] == "done"
    doctor.kill()
    doctor.start()
    door = Door(doctor)
    assert door.ask("GET", "/v1/physical-resources/compute-1")[1]["maintenance_state"] == "in-maintenance"
    back = {
        "physical_resource_state": [
            {"physical_resource_id": "compute-1", "physical_resource_state": "normal"}
        ]
    }
    assert door.ask("POST", STATE, back)[0] == 202
    assert door.ask("GET", "/v1/physical-resources/compute-1")[1]["maintenance_state"] == "enabled"
    _, page = door.ask("GET", f"{SESSIONS}?state=open")
    assert page["items"] == []
    assert door.ask("DELETE", policy, token=blue)[0] == 204


def test_nobody_hears_of_the_machines_of_others(door: Door) -> None:
    red, green = door.token(Role.CONSUMER, "red"), door.token(Role.CONSUMER, "green")
    _, taken = door.ask("POST", STATE, empty("compute-1"))
    session_id = taken["session_id"]
    session_when(door, session_id, vm_1="asked", vm_blue="asked")
    assert door.ask("GET", f"{SESSIONS}/{session_id}", token=green)[0] == 404
    assert door.ask("GET", SESSIONS, token=green)[1]["items"] == []
    (mine,) = door.ask("GET", SESSIONS, token=red)[1]["items"]
    assert (mine["machines"], mine["hosts"]) == (1, None)
    replies = f"{SESSIONS}/{session_id}/replies"
    status, problem = door.ask(
        "POST", replies, {"reply": "ack", "actions": {"vm-blue": "migrate"}}, token=red
    )
    assert (status, problem["errors"][0]["pointer"]) == (422, "/actions/vm-blue")
    assert door.ask("POST", replies, {"reply": "ack"}, token=green)[0] == 404
    assert door.ask("GET", f"{SESSIONS}?host=compute-1", token=red)[0] == 422
    for method, path, body in (
        ("POST", STATE, empty("compute-2")),
        ("DELETE", f"{SESSIONS}/{session_id}", None),
        ("POST", f"{SESSIONS}/{session_id}/pause", None),
        ("POST", f"{SESSIONS}/{session_id}/approve", None),
    ):
        assert door.ask(method, path, body, token=red)[0] == 403
    status, ended = door.ask("DELETE", f"{SESSIONS}/{session_id}?reason=enough")
    assert (status, ended["state"], ended["outcome"]) == (200, "aborted", "called off by first admin: enough")


class Follower:
    """Somebody who follows a session; what comes is in a queue, None when nothing more will."""

    def __init__(self, door: Door, session_id: str, token: str | None = None) -> None:
        self.heard: queue.Queue[dict[str, Any] | None] = queue.Queue()
        self._client = Client(door.url, token or door.admin)
        self._path = f"{SESSIONS}/{session_id}/stream"
        threading.Thread(target=self._follow, daemon=True).start()

    def _follow(self) -> None:
        for event in self._client.events(self._path):
            self.heard.put(json.loads(event.data))
        self.heard.put(None)

    def next(self) -> dict[str, Any] | None:
        return self.heard.get(timeout=PATIENCE)


def test_who_follows_a_session_hears_what_changes_and_nothing_of_others(door: Door) -> None:
    red, green = door.token(Role.CONSUMER, "red"), door.token(Role.CONSUMER, "green")
    _, taken = door.ask("POST", STATE, empty("compute-1", "compute-2"))
    session_id = taken["session_id"]
    session_when(door, session_id, vm_1="asked", vm_2="asked", vm_blue="asked")
    assert door.ask("GET", f"{SESSIONS}/{session_id}/stream", token=green)[0] == 404
    all_of_it, mine = Follower(door, session_id), Follower(door, session_id, red)
    found, own = all_of_it.next(), mine.next()
    assert found is not None
    assert own is not None
    assert [one["physical_resource_id"] for one in found["hosts"]] == ["compute-1", "compute-2"]
    assert [one["virtual_resource_id"] for one in found["machines"]] == ["vm-1", "vm-blue", "vm-2"]
    assert (own["hosts"], [one["virtual_resource_id"] for one in own["machines"]]) == ([], ["vm-1", "vm-2"])
    time.sleep(6)  # longer than all that Doctor does by the clock
    assert all_of_it.heard.empty()
    blue = door.token(Role.CONSUMER, "blue")
    refusal = {"reply": "nack", "reason": "no", "actions": {"vm-blue": "leave"}}
    assert door.ask("POST", f"{SESSIONS}/{session_id}/replies", refusal, token=blue)[0] == 200
    found = all_of_it.next()
    assert found is not None
    assert [one["physical_resource_id"] for one in found["hosts"]] == [
        "compute-1"
    ]  # the other one is as it was
    assert door.ask("DELETE", f"{SESSIONS}/{session_id}")[0] == 200
    last: dict[str, Any] | None = None
    while (one := all_of_it.next()) is not None:
        last = one
    assert last is not None
    assert last["state"] == "aborted"
    own = mine.next()  # of the machine of another owner nothing has come
    assert own is not None
    assert own["state"] == "aborted"
    assert mine.next() is None


def test_a_session_is_watched_over_a_restart(doctor: RunningDoctor, tmp_path: Path) -> None:
    door = Door(doctor)
    _, taken = door.ask("POST", STATE, empty("compute-2"))
    session_id = taken["session_id"]
    shell = Shell(doctor, tmp_path)
    watching = shell.begin("maintenance", "watch", session_id)
    try:
        assert watching.stderr is not None
        said = [watching.stderr.readline().rstrip()]
        session_when(door, session_id, vm_2="asked")
        doctor.kill()
        time.sleep(2)
        doctor.start()
        door = Door(doctor)
        reply = {"reply": "ack", "actions": {"vm-2": "migrate"}}
        status, _ = door.ask(
            "POST", f"{SESSIONS}/{session_id}/replies", reply, token=door.token(Role.CONSUMER, "red")
        )
        assert status == 200
        result, rest = watching.communicate(timeout=60)
    finally:
        watching.kill()
    said += rest.splitlines()
    assert (watching.returncode, result) == (0, ""), said
    assert "compute-2: empty" in said
    assert len(said) == len(set(said)), "it has said something twice"
    missing = shell.run("maintenance", "watch", "5e55")
    assert missing.returncode != 0
    assert "no such session" in missing.stderr


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        pytest.param(empty(), 422, "/physical_resource_state", id="no-host"),
        pytest.param(empty("nowhere"), 422, "/physical_resource_state/0/physical_resource_id", id="unknown"),
        pytest.param(empty("compute-1", timeout="soon"), 422, "/timeout", id="timeout"),
        pytest.param(empty("compute-1", timeout="P30D"), 422, "/timeout", id="too-long"),
        pytest.param(empty("compute-1", starts_at="2020-01-01T00:00:00Z"), 422, "/starts_at", id="over"),
        pytest.param(empty("compute-1", reply_to="http://169.254.169.254/"), 422, "/reply_to", id="metadata"),
        pytest.param(
            empty(*(f"compute-{n}" for n in range(1, 7))), 409, "/physical_resource_state", id="guard"
        ),
        pytest.param(empty("compute-1", unknown=1), 422, "/unknown", id="unknown-field"),
    ],
)
def test_what_is_wrong_with_a_request_is_said(
    door: Door, body: dict[str, Any], status: int, pointer: str
) -> None:
    answered, problem = door.ask("POST", STATE, body)
    assert answered in (status, 400)
    assert problem["errors"][0]["pointer"] == pointer
    assert door.ask("GET", SESSIONS)[1]["items"] == []


def test_a_plan_does_nothing(door: Door) -> None:
    door.ask("PUT", "/v1/maintenance-policies/machine:vm-1", {"action": "migrate"})
    status, found = door.ask("POST", f"{SESSIONS}/plan", empty("compute-1", "compute-2", at_once=1))
    assert status == 200
    assert [(one["physical_resource_id"], one["turn"]) for one in found["hosts"]] == [
        ("compute-1", 1),
        ("compute-2", 2),
    ]
    told = {one["virtual_resource_id"]: one for host in found["hosts"] for one in host["machines"]}
    assert (told["vm-1"]["action"], told["vm-1"]["risk"]) == ("migrate", None)
    assert told["vm-1"]["target"] not in (None, "compute-1", "compute-2")
    assert (told["vm-blue"]["action"], told["vm-blue"]["risk"]) == ("ask", "its owner has to answer")
    assert (found["owners"], found["moves"], found["twice"], found["against"]) == (["blue", "red"], 3, 0, [])
    assert door.ask("GET", SESSIONS)[1]["items"] == []
    _, found = door.ask("POST", f"{SESSIONS}/plan", empty(*(f"compute-{n}" for n in range(1, 7))))
    assert found["against"] == ["zone az1: 2 of 8 hosts would serve, and 5 have to"]


def test_one_request_has_one_state_for_all(door: Door) -> None:
    mixed = empty("compute-1", "compute-2")
    mixed["physical_resource_state"][1]["physical_resource_state"] = "normal"
    status, problem = door.ask("POST", STATE, mixed)
    assert (status, problem["errors"][0]["detail"]) == (422, "one state for all: send one request for each")


@pytest.mark.parametrize("scope", ["machine:vm-1", "group:core", "sal:1"])
def test_what_owners_say_beforehand_is_kept_and_taken_back(door: Door, scope: str) -> None:
    red = door.token(Role.CONSUMER, "red")
    path = f"/v1/maintenance-policies/{scope}"
    said = {"action": "ask", "if_silent": "live_migrate", "lead_time": "PT5M"}
    status, made = door.ask("PUT", path, said, token=red)
    assert (status, made["lead_time"], made["if_silent"]) == (200, 300.0, "live_migrate")
    assert door.ask("GET", path, token=red)[1] == made
    assert door.ask("GET", "/v1/maintenance-policies", token=red)[1]["items"] == [made]
    status, problem = door.ask("PUT", path, {"action": "own_action"}, token=red)
    assert (status, problem["errors"][0]["pointer"]) == (422, "/action")
    assert door.ask("DELETE", path, token=red)[0] == 204
    assert door.ask("GET", path, token=red)[0] == 404


def test_the_example_of_the_manual(doctor: RunningDoctor, tmp_path: Path) -> None:
    """docs/how-to/maintain-hosts.md"""
    door = Door(doctor)
    door.ask("PUT", "/v1/maintenance-policies/machine:vm-1", {"action": "leave"})
    manual = Path("docs/how-to/maintain-hosts.md").read_text()
    shell = Shell(doctor, tmp_path)
    lines = manual.partition("```console\n")[2].partition("```")[0].splitlines()
    commands = [line.partition("#")[0].split()[2:] for line in lines if line.startswith("$ doctor")]
    assert len(commands) == 9
    session_id = ""
    for words in commands:
        named = [word.replace("SESSION", session_id).replace("vm-3", "vm-1") for word in words]
        if named[1] == "reply":
            session_when(door, session_id, vm_1="stays", vm_blue="away")
        done = shell.run(*named)
        assert done.returncode == 0, (named, done.stdout, done.stderr)
        if named[1] == "request":
            session_id = done.stdout.strip()
    assert "returned" in shell.run("maintenance", "status", session_id).stdout


def test_owners_are_asked_to_make_room_by_command(door: Door, doctor: RunningDoctor, tmp_path: Path) -> None:
    sized = {
        **MAP,
        "physical_resources": [{**one, "metadata": {"vcpus": 4}} for one in MAP["physical_resources"]],
    }
    sized["virtual_resources"] = [{**one, "vcpus": 4} for one in MAP["virtual_resources"][:-1]]
    assert door.ask("PUT", "/v1/resource-map", sized)[0] == 200
    status, problem = door.ask("POST", STATE, empty("compute-1"))
    assert (status, problem["errors"][0]["detail"]) == (
        409,
        "vcpus: 4 would have to go elsewhere, and 0 are left there",
    )
    shell = Shell(doctor, tmp_path)
    planned = shell.run("maintenance", "plan", "compute-1")
    assert (planned.returncode, "missing room: 4 vcpus" in planned.stderr) == (1, True)
    made = shell.run("maintenance", "request", "compute-1", "--scale-in", "--timeout", "5m")
    assert made.returncode == 0, made.stderr
    session_id = made.stdout.strip()
    assert "4 vcpus, 0 MB of memory, until" in shell.run("maintenance", "status", session_id).stdout
    red = door.token(Role.CONSUMER, "red")
    terminate = {"action": "terminate", "virtual_resource_id": ["vm-8"]}
    assert door.ask("POST", "/v1/instructions", terminate, token=red)[0] == 202
    session_when(door, session_id, vm_1="asked")
    found = session_when(door, session_id, compute_1="emptying")
    assert found["scale_in"]["met"] is not None


def test_who_goes_first_is_shown(door: Door, doctor: RunningDoctor, tmp_path: Path) -> None:
    hosts = [{"id": f"compute-{n}", "zone_id": "az1", "metadata": {"vcpus": 4}} for n in (1, 2, 3)]
    sizes = {1: 2, 2: 3, 3: 1}
    machines = [
        {"id": f"vm-{n}", "host": f"compute-{n}", "owner": "red", "vcpus": m} for n, m in sizes.items()
    ]
    small = {"physical_resources": hosts, "virtual_resources": machines}
    assert door.ask("PUT", "/v1/resource-map", small)[0] == 200
    shell = Shell(doctor, tmp_path)
    shown = shell.run("maintenance", "plan", "compute-1", "compute-2", "compute-3", "--at-once", "1")
    assert "first, so that machines move once: compute-3" in shown.stderr
    _, found = door.ask("POST", f"{SESSIONS}/plan", empty("compute-1", "compute-2", "compute-3", at_once=1))
    assert [one["physical_resource_id"] for one in found["hosts"]] == ["compute-3", "compute-1", "compute-2"]
    assert (found["first"], found["missing"], found["twice"]) == (["compute-3"], None, 1)
