"""Escalations over HTTP: who sees and who decides, what is refused and how, and what is kept of it [HA 6.1.2.3]."""

import json
import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door

POLICY = """
version: 1
faults: [{name: host-down, when: {type: compute.host.down}}]
propagate: [{from: host, kind: hosts, state: down, to_state: error}]
zones:
  - {type: rack, probation: PT1H, frequency: 2}
  - {type: power, probation: PT1H, frequency: 1, escalate: automatic, isolation: none}
"""
RACKS = 5
RESOURCES = {
    "physical_resources": [
        {"id": "feed", "type": "power"},
        *({"id": f"rack-{n}", "type": "rack"} for n in range(RACKS)),
        *({"id": f"host-{n}-{m}"} for n in range(RACKS) for m in range(2)),
    ],
    "virtual_resources": [{"id": "vm-1", "host": "host-0-0", "owner": "red"}],
    "relations": [
        {"from": "feed", "kind": "powers", "to": "rack-0"},
        *({"from": f"rack-{n}", "kind": "contains", "to": f"host-{n}-{m}"} for n in range(RACKS) for m in range(2)),
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    with RunningDoctor(tmp_path_factory.mktemp("escalations")) as doctor:
        yield doctor


@pytest.fixture(scope="module")
def door(doctor: RunningDoctor) -> Door:
    """A Doctor that asks about some racks, one for each test that decides."""
    door = Door(doctor)
    policy = POLICY.encode()
    assert door.ask("PUT", "/v1/failure-policies", policy, content_type="application/yaml")[0] == 200
    assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
    events = [
        {
            "time": f"2026-03-04T05:06:{n}{m}Z",
            "type": "compute.host.down",
            "details": {"hostname": f"host-{n}-{m}", "status": "down"},
        }
        for n in range(RACKS)
        for m in range(2)
    ]
    assert door.ask("POST", "/v1/events", events)[0] == 202
    return door


def listed(door: Door, query: str = "") -> list[dict[str, Any]]:
    status, page = door.ask("GET", f"/v1/escalations{query}")
    assert status == 200, page
    found: list[dict[str, Any]] = page["items"]
    return found


def asked_about(door: Door, rack: str) -> dict[str, Any]:
    (found,) = listed(door, f"?resource_id={rack}")
    return found


def faults(door: Door) -> set[tuple[str, str]]:
    _, page = door.ask("GET", "/v1/alarms?limit=1000")
    return {(one["resource_id"], one["fault_type"]) for one in page["items"]}


@pytest.mark.requirement("G51", "G53")
def test_an_escalation_is_found_decided_and_takes_effect(door: Door) -> None:
    """[HA 6.1.2.3] The alarm leads to it; approved, the zone has failed, and counts in the next one."""
    escalation = asked_about(door, "rack-0")
    assert (escalation["state"], escalation["isolation"], escalation["is_over"]) == (
        "pending",
        "advise",
        False,
    )
    assert [one["resource_id"] for one in escalation["failures"]] == ["host-0-0", "host-0-1"]
    assert (escalation["frequency"], escalation["probation"], escalation["user"]) == (2, 3600, None)
    assert ("rack-0", "escalation to a zone") in faults(door)
    path = f"/v1/escalations/{escalation['escalation_id']}"
    assert door.ask("GET", path) == (200, escalation)
    body = {"user": "alice", "comment": "cooling"}
    operator = door.token(Role.OPERATOR)
    status, approved = door.ask("POST", f"{path}/approve", body, token=operator)
    assert (status, approved["state"]) == (200, "approved")
    assert (approved["user"], approved["comment"]) == ("alice", "cooling")
    assert approved["decided_time"] >= approved["raised_time"]
    assert {("rack-0", "failure of a zone"), ("feed", "failure of a zone")} <= faults(door)
    assert ("rack-0", "escalation to a zone") not in faults(door)
    assert door.ask("POST", f"{path}/approve", body) == (200, approved)
    status, problem = door.ask("POST", f"{path}/reject")
    assert (status, problem["detail"]) == (409, "the escalation is approved already by alice")
    (next_one,) = listed(door, "?state=automatic")
    assert (next_one["resource_id"], next_one["deadline"], next_one["isolation"]) == ("feed", None, "none")


def test_who_decided_stands_in_the_history_of_the_alarm(door: Door) -> None:
    escalation = asked_about(door, "rack-1")
    _, page = door.ask("GET", f"/v1/alarms?fault_id={escalation['fault_id']}")
    (alarm,) = page["items"]
    path = f"/v1/escalations/{escalation['escalation_id']}"
    assert door.ask("POST", f"{path}/reject", {"user": "bob"})[1]["state"] == "rejected"
    _, past = door.ask("GET", f"/v1/alarms/{alarm['alarm_id']}/history")
    (end,) = [one for one in past["items"] if one["what"] == "cleared"]
    assert end["user"] == "bob"
    assert asked_about(door, "rack-1")["is_over"] is True


def test_without_a_name_it_is_that_of_the_token(door: Door) -> None:
    path = f"/v1/escalations/{asked_about(door, 'rack-2')['escalation_id']}"
    status, decided = door.ask("POST", f"{path}/reject")
    assert (status, decided["state"], decided["user"]) == (200, "rejected", "first admin")


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        pytest.param("?state=pendng", "/state/0", id="state"),
        pytest.param("?zone=rack-1", "/zone", id="parameter"),
        pytest.param("?sort=age", "/sort", id="sort"),
        pytest.param("?limit=0", "/limit", id="limit"),
        pytest.param("?cursor=x", "/cursor", id="cursor"),
    ],
)
def test_a_wrong_question_is_refused(door: Door, query: str, pointer: str) -> None:
    found, problem = door.ask("GET", f"/v1/escalations{query}")
    assert found in (400, 422)
    assert [one["pointer"] for one in problem["errors"]] == [pointer]


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"who": "alice"}, "/who", id="unknown-field"),
        pytest.param({"user": 7}, "/user", id="no-text"),
        pytest.param({"user": "a\nb"}, "/user", id="not-printable"),
        pytest.param({"comment": "x" * 1001}, "/comment", id="long"),
    ],
)
def test_a_wrong_decision_is_refused_and_decides_nothing(door: Door, body: Any, pointer: str) -> None:
    before = asked_about(door, "rack-4")
    path = f"/v1/escalations/{before['escalation_id']}/reject"
    status, problem = door.ask("POST", path, body)
    assert status in (400, 422)
    assert [one["pointer"] for one in problem["errors"]] == [pointer]
    assert asked_about(door, "rack-4") == before


def test_what_there_is_none_of_is_not_found(door: Door) -> None:
    for method, path in (("GET", ""), ("POST", "/approve"), ("POST", "/reject")):
        status, problem = door.ask(method, f"/v1/escalations/none{path}")
        assert (status, problem["detail"]) == (404, "there is no such escalation")


def test_owners_neither_see_nor_decide_and_auditors_see(door: Door) -> None:
    some = listed(door)[0]["escalation_id"]
    for role, project, seen in (
        (Role.CONSUMER, "red", 403),
        (Role.MONITOR, None, 403),
        (Role.AUDITOR, None, 200),
    ):
        token = door.token(role, project)
        assert door.ask("GET", "/v1/escalations", token=token)[0] == seen
        assert door.ask("GET", f"/v1/escalations/{some}", token=token)[0] == seen
        assert door.ask("POST", f"/v1/escalations/{some}/approve", token=token)[0] == 403
    assert door.ask("GET", "/v1/escalations", token=None)[0] == 401


def test_pages_and_orders(door: Door) -> None:
    ids = [one["escalation_id"] for one in listed(door, "?sort=raised_time")]
    assert [one["escalation_id"] for one in listed(door)] == ids[::-1]
    _, page = door.ask("GET", "/v1/escalations?sort=raised_time&limit=3")
    _, rest = door.ask("GET", f"/v1/escalations?sort=raised_time&cursor={page['next']}")
    assert [one["escalation_id"] for one in (*page["items"], *rest["items"])] == ids
    assert {one["resource_type"] for one in listed(door, "?resource_type=rack&sort=resource_id")} == {"rack"}


def test_the_commands_do_the_same(door: Door, doctor: RunningDoctor) -> None:
    """List, look at one, decide."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        environment = {"DOCTOR_URL": doctor.url, "DOCTOR_TOKEN": doctor.token, "PATH": "/usr/bin:/bin"}
        environment |= {"PYTHONPATH": ":".join(sys.path)}
        command = [sys.executable, "-m", "doctor", "escalation", *words]
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, check=False
        )

    (pending,) = json.loads(run("list", "--state", "pending", "--zone", "rack-3", "--json").stdout)["items"]
    assert "rack-3  rack" in run("list", "--zone", "rack-3").stdout
    assert "host-3-1" in run("show", pending["escalation_id"]).stdout
    done = run("approve", pending["escalation_id"], "--user", "alice", "--comment", "no power")
    assert (done.returncode, done.stderr) == (0, "has failed: rack rack-3\n")
    late = run("reject", pending["escalation_id"])
    assert (late.returncode, "approved already by alice" in late.stderr) == (1, True)
    assert run("list", "--state", "pending", "--zone", "rack-3").stderr == "no escalations\n"
