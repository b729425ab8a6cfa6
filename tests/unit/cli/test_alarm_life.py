"""What the commands on alarms ask, and what they print."""

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor, problem

ALARM = {"alarm_id": "a/1", "alarm_name": "host down on compute-1"}
PATH = "/v1/alarms/a%2F1"


def sent(doctor: FakeDoctor) -> Any:
    return doctor.asked[-1].json


@pytest.mark.parametrize(
    ("command", "action", "done"),
    [
        ("ack", "acknowledge", "acknowledged"),
        ("unack", "unacknowledge", "nobody's any more"),
        ("clear", "clear", "cleared"),
        ("unshelve", "unshelve", "back"),
    ],
)
def test_an_act_is_one_request(run: Run, doctor: FakeDoctor, command: str, action: str, done: str) -> None:
    doctor.answers("PATCH", PATH, Answer(body=ALARM))
    result = run("alarm", command, "a/1", "--user", "ann")
    assert (result.exit_code, result.stdout) == (0, "")
    assert result.stderr == f"{done}: host down on compute-1\n"
    assert sent(doctor) == {"action": action, "user": "ann"}
    assert json.loads(run("alarm", command, "a/1", "--json").stdout) == ALARM
    assert sent(doctor) == {"action": action}
    assert "Example" in run("alarm", command, "--help").stdout


@pytest.mark.parametrize(
    ("duration", "seconds"),
    [("45s", 45), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("PT30M", 1800), ("9", 9)],
)
def test_an_alarm_is_shelved_for_a_while(run: Run, doctor: FakeDoctor, duration: str, seconds: int) -> None:
    doctor.answers("PATCH", PATH, Answer(body=ALARM))
    before = datetime.now(UTC)
    assert run("alarm", "shelve", "a/1", "--for", duration).exit_code == 0
    until = datetime.fromisoformat(sent(doctor)["until"]) - timedelta(seconds=seconds)
    assert before <= until <= datetime.now(UTC)


def test_an_alarm_is_shelved_until_a_time(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("PATCH", PATH, Answer(body=ALARM))
    result = run("alarm", "shelve", "a/1", "--until", "2026-03-04T12:00:00Z", "--user", "ann")
    assert sent(doctor) == {"action": "shelve", "until": "2026-03-04T12:00:00Z", "user": "ann"}
    assert "shelved until 2026-03-04 12:00:00Z" in result.stderr


@pytest.mark.parametrize(
    "words", [[], ["--for", "2h", "--until", "x"], ["--for", "soon"], ["--for", "-1h"], ["--for", "h"]]
)
def test_a_shelving_needs_one_end(run: Run, words: list[str]) -> None:
    assert run("alarm", "shelve", "a/1", *words).exit_code == 2


def test_a_refusal_is_said(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("PATCH", PATH, problem(422, "clear alarm a2 on compute-1"))
    result = run("alarm", "clear", "a/1")
    assert (result.exit_code, result.stderr) == (1, "Error: clear alarm a2 on compute-1\n")


def test_a_comment_is_sent(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", f"{PATH}/comments", Answer(201, body=ALARM))
    assert "noted" in run("alarm", "comment", "a/1", "part ordered", "--user", "ann").stderr
    assert sent(doctor) == {"text": "part ordered", "user": "ann"}


def test_history_is_a_line_for_each_thing(run: Run, doctor: FakeDoctor) -> None:
    items = [
        {"time": "2026-03-04T05:06:07.123456Z", "what": "raised", "perceived_severity": "critical"},
        {
            "time": "2026-03-04T05:06:08.123456Z",
            "what": "changed",
            "perceived_severity": "minor",
            "severity_before": "critical",
        },
        {"time": "2026-03-04T05:06:09Z", "what": "not_told", "reason": "nobody was subscribed"},
    ]
    doctor.lists(f"{PATH}/history", items)
    _, raised, changed, untold = run("alarm", "history", "a/1").stdout.splitlines()
    assert raised.split()[2:] == ["raised", "critical"]
    assert changed.endswith("critical -> minor")
    assert untold.endswith("reason=nobody was subscribed")
    assert json.loads(run("alarm", "history", "a/1", "--json").stdout)["items"] == items


def test_a_summary_counts(run: Run, doctor: FakeDoctor) -> None:
    counts = {
        "total": 3,
        "shelved": 1,
        "silenced": 2,
        "perceived_severity": {"critical": 2, "minor": 1},
        "alarm_state": {"raised": 3},
        "ack_state": {"acknowledged": 0},
    }
    doctor.answers("GET", "/v1/alarms/summary", Answer(body=counts))
    rows = dict(line.split() for line in run("alarm", "summary").stdout.splitlines()[1:])
    assert rows == {
        "critical": "2", "minor": "1", "raised": "3", "acknowledged": "0", "shelved": "1", "silenced": "2", "total": "3",
    }  # fmt: skip
    assert json.loads(run("alarm", "summary", "--json").stdout) == counts


def test_the_list_is_told_anew(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/alarms/rebuild", Answer(202, body={"subscriptions": 4}))
    assert run("alarm", "rebuild").stderr == "4 subscriptions are told\n"
    assert json.loads(run("alarm", "rebuild", "--json").stdout) == {"subscriptions": 4}


def test_ageing_is_shown_and_set(run: Run, doctor: FakeDoctor) -> None:
    kept = {"critical": {"days": 90.0, "count": 10_000}, "warning": {"days": None, "count": None}}
    doctor.answers("GET", "/v1/settings/ageing", Answer(body=kept))
    doctor.answers("PUT", "/v1/settings/ageing", Answer(body=kept))
    shown = run("alarm", "ageing", "show").stdout.splitlines()
    assert [line.split() for line in shown[1:]] == [["critical", "90.0", "10000"], ["warning", "-", "-"]]
    words = ["--keep", "critical=90,10000", "--keep", "warning=-", "--keep", "minor=7"]
    assert json.loads(run("alarm", "ageing", "set", *words, "--json").stdout) == kept
    assert sent(doctor) == {
        "critical": {"days": 90.0, "count": 10_000},
        "warning": {"days": None, "count": None},
        "minor": {"days": 7.0, "count": None},
    }
    for wrong in ("critical", "cleared=1", "minor=x", "minor=1,y"):
        assert run("alarm", "ageing", "set", "--keep", wrong).exit_code == 2


@pytest.mark.parametrize(
    ("words", "asked"),
    [
        (["--state", "cleared"], {"state": ["cleared"]}),
        (["--no-ack", "--sort=-severity"], {"ack_state": ["unacknowledged"], "sort": ["-severity"]}),
        (["--ack", "--shelved"], {"ack_state": ["acknowledged"], "shelved": ["true"]}),
        (["--silenced"], {"silenced": ["true"]}),
        (["--fault-type", "x", "--cause", "y"], {"fault_type": ["x"], "probable_cause": ["y"]}),
        (["--since", "s", "--until", "u"], {"event_start_time": ["s"], "event_end_time": ["u"]}),
    ],
)
def test_filters_of_the_list_are_asked_for(
    run: Run, doctor: FakeDoctor, words: list[str], asked: dict[str, list[str]]
) -> None:
    doctor.lists("/v1/alarms", [])
    assert run("alarm", "list", *words).exit_code == 0
    assert asked.items() <= doctor.asked[-1].query.items()
    assert run("alarm", "list", "--all", "--state", "raised").exit_code == 2
