"""What the commands on escalations ask, and what they print."""

import json

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor, problem

ONE = {
    "escalation_id": "e/1",
    "resource_id": "rack-7",
    "resource_type": "rack",
    "state": "pending",
    "is_over": False,
    "raised_time": "2026-03-04T05:06:07Z",
    "deadline": "2026-03-04T05:36:07Z",
    "user": None,
    "isolation": "advise",
    "failures": [{"resource_id": "compute-1", "fault_type": "host down"}],
}
LIST, PATH = "/v1/escalations", "/v1/escalations/e%2F1"


def test_escalations_are_listed(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", LIST, Answer(body={"items": [ONE], "next": None}))
    result = run("escalation", "list", "--state", "pending", "--state", "expired", "--zone", "rack-7")
    header, line = result.stdout.splitlines()
    assert header.split()[:4] == ["ZONE", "TYPE", "STATE", "SINCE"]
    assert line.split()[:3] == ["rack-7", "rack", "pending"]
    assert line.split()[-1] == "e/1"
    asked = {name: said for name, said in doctor.last.query.items() if name != "limit"}
    assert asked == {"state": ["pending", "expired"], "resource_id": ["rack-7"]}
    assert json.loads(run("escalation", "list", "--json").stdout) == {"items": [ONE], "next": None}


def test_without_any_it_is_said(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", LIST, Answer(body={"items": [], "next": None}))
    result = run("escalation", "list", "--type", "rack", "--limit", "5")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "no escalations\n")


def test_one_is_shown_with_its_failures(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", PATH, Answer(body=ONE))
    shown = run("escalation", "show", "e/1").stdout
    assert "failures 1" in shown
    assert "compute-1" in shown
    assert json.loads(run("escalation", "show", "e/1", "--json").stdout) == ONE


@pytest.mark.parametrize(
    ("command", "done"), [("approve", "has failed: rack rack-7"), ("reject", "has not failed: rack rack-7")]
)
def test_a_decision_is_one_request(run: Run, doctor: FakeDoctor, command: str, done: str) -> None:
    doctor.answers("POST", f"{PATH}/{command}", Answer(body=ONE))
    result = run("escalation", command, "e/1", "--user", "ann", "--comment", "heat")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", f"{done}\n")
    assert doctor.last.json == {"user": "ann", "comment": "heat"}
    assert json.loads(run("escalation", command, "e/1", "--json").stdout) == ONE
    assert doctor.last.json == {}
    assert "Example" in run("escalation", command, "--help").stdout


def test_what_is_refused_is_said(run: Run, doctor: FakeDoctor) -> None:
    answer = problem(409, "the escalation is rejected already by bob")
    doctor.answers("POST", f"{PATH}/approve", answer)
    result = run("escalation", "approve", "e/1")
    assert (result.exit_code, "rejected already by bob" in result.stderr) == (1, True)


def test_a_state_that_is_none_is_no_question(run: Run, doctor: FakeDoctor) -> None:
    result = run("escalation", "list", "--state", "open")
    assert (result.exit_code, "'pending'" in result.stderr) == (2, True)
