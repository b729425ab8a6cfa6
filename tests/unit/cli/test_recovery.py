"""What `doctor recovery` asks, and what it prints."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor

STEP: dict[str, Any] = {"parameters": {}, "timeout": 120.0, "fault_type": [], "zone_id": []}
POLICY: dict[str, Any] = {
    "project": "red",
    "scope": "machine:vm-1",
    "steps": [{**STEP, "action": "reboot"}, {**STEP, "action": "evacuate", "timeout": 300.0}],
    "handled_by": "doctor",
    "after": 30.0,
    "priority": 0,
    "after_groups": [],
    "start_on_return": True,
    "machines": 1,
    "user": "vnfm",
    "changed": "2026-03-04T10:00:00Z",
}
RECOVERY: dict[str, Any] = {
    "virtual_resource_id": "vm-1",
    "project": "red",
    "alarm_id": "a-1",
    "fault_type": "host down",
    "state": "waiting",
    "reason": "its host is not isolated yet",
    "since": "2026-03-04T10:00:00Z",
    "ended": None,
    "steps": [{"step": 1, "action": "reboot", "instruction_id": "i-1", "began": "2026-03-04T10:00:00Z"}],
}
PATH = "/v1/recovery-policies/machine%3Avm-1"
HOLDING = "/v1/virtual-resources/vm-1/recovery-policy"


def test_what_is_said_by_words(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("PUT", PATH, Answer(200, body=POLICY))
    words = ["--step", "reboot=2m", "--step", "evacuate", "--by", "doctor", "--after", "30s"]
    more = ["--priority", "5", "--after-group", "db", "--start-on-return", "--project", "red"]
    result = run("recovery", "set", "machine:vm-1", *words, *more)
    assert result.exit_code == 0, result.stderr
    assert result.stderr == "machine:vm-1: reboot (120 s), then evacuate (300 s), for 1 machines now\n"
    assert doctor.asked[-1].json == {
        "steps": [{"action": "reboot", "timeout": 120.0}, {"action": "evacuate"}],
        "handled_by": "doctor",
        "after": 30.0,
        "priority": 5,
        "after_groups": ["db"],
        "start_on_return": True,
    }
    assert doctor.asked[-1].query == {"project": ["red"]}


def test_what_is_said_in_a_file(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    doctor.answers("PUT", PATH, Answer(200, body=POLICY))
    file = tmp_path / "policy.yaml"
    file.write_text("{handled_by: doctor, steps: [{action: leave}]}")
    result = run("recovery", "set", "machine:vm-1", "--file", str(file), "--by", "owner", "--json")
    assert json.loads(result.stdout) == POLICY
    assert doctor.asked[-1].json == {"handled_by": "owner", "steps": [{"action": "leave"}]}


@pytest.mark.parametrize(
    ("text", "says"), [("[", "not valid YAML"), ("- a", "should be a policy"), ("", "should be a policy")]
)
def test_a_file_that_is_none_is_refused(run: Run, tmp_path: Path, text: str, says: str) -> None:
    file = tmp_path / "policy.yaml"
    file.write_text(text)
    result = run("recovery", "set", "group:core", "--file", str(file))
    assert (result.exit_code, says in result.stderr) == (1, True)


@pytest.mark.parametrize("step", ["explode", "reboot=", "reboot=soon"])
def test_a_step_that_is_none_is_refused(run: Run, step: str) -> None:
    assert run("recovery", "set", "group:core", "--step", step).exit_code == 2


def test_what_is_taken_back(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("DELETE", PATH, Answer(204))
    assert run("recovery", "remove", "machine:vm-1").stderr == "machine:vm-1: nothing is said any more\n"
    doctor.answers("DELETE", PATH, Answer(204))
    assert json.loads(run("recovery", "remove", "machine:vm-1", "--json").stdout) == {"scope": "machine:vm-1"}


def test_what_was_said_is_listed(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/v1/recovery-policies", Answer(200, body={"items": [POLICY], "next": None}))
    assert "reboot (120 s), then evacuate (300 s)" in run("recovery", "policies").stdout
    doctor.answers("GET", "/v1/recovery-policies", Answer(200, body={"items": [], "next": None}))
    assert "nothing is done without an instruction" in run("recovery", "policies").stderr
    doctor.answers("GET", "/v1/recovery-policies", Answer(200, body={"items": [POLICY], "next": None}))
    assert json.loads(run("recovery", "policies", "--json").stdout)["items"] == [POLICY]


@pytest.mark.parametrize(
    ("policy", "wish", "says"),
    [
        (POLICY, None, "after 30 s without an instruction"),
        ({**POLICY, "after": 0.0, "start_on_return": False}, None, "at once"),
        ({**POLICY, "handled_by": "owner", "steps": []}, None, "when its owner says switched_over"),
        (None, "whatever", "nothing is done without an instruction"),
    ],
)
def test_what_holds_for_a_machine(
    run: Run, doctor: FakeDoctor, policy: dict[str, Any] | None, wish: str | None, says: str
) -> None:
    holding = {"virtual_resource_id": "vm-1", "policy": policy, "unread_wish": wish}
    doctor.answers("GET", HOLDING, Answer(200, body=holding))
    doctor.answers("GET", "/v1/recoveries", Answer(200, body={"items": [RECOVERY], "next": None}))
    shown = run("recovery", "show", "vm-1").stdout
    assert says in shown
    assert "its host is not isolated yet" in shown
    assert (wish or "vm-1") in shown


def test_all_of_a_machine_for_programs(run: Run, doctor: FakeDoctor) -> None:
    holding = {"virtual_resource_id": "vm-1", "policy": POLICY, "unread_wish": None}
    doctor.answers("GET", HOLDING, Answer(200, body=holding))
    doctor.answers("GET", "/v1/recoveries", Answer(200, body={"items": [], "next": None}))
    assert json.loads(run("recovery", "show", "vm-1", "--json").stdout) == {**holding, "recovery": None}


def test_how_far_it_got_is_listed(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/v1/recoveries", Answer(200, body={"items": [RECOVERY], "next": None}))
    assert "waiting" in run("recovery", "list", "--state", "open").stdout
    doctor.answers("GET", "/v1/recoveries", Answer(200, body={"items": [], "next": None}))
    assert run("recovery", "list").stderr == "no recoveries\n"
    doctor.answers("GET", "/v1/recoveries", Answer(200, body={"items": [RECOVERY], "next": None}))
    assert json.loads(run("recovery", "list", "--json").stdout)["items"] == [RECOVERY]
