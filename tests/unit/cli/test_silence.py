"""What `doctor silence` asks, and what it prints."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor, problem

SILENCE = {
    "silence_id": "s/1",
    "state": "active",
    "matcher": {"resource_id": ["compute-7", "compute-8"], "zone_id": [], "fault_type": ["host down"]},
    "owner": "alice",
    "reason": "new memory " * 9,
    "start": "2026-03-04T10:00:00Z",
    "end": "2026-03-04T12:00:00Z",
    "ended_time": None,
    "alarms": 3,
    "withheld_notifications": 5,
}
PATH = "/v1/silences/s%2F1"


def sent(doctor: FakeDoctor) -> Any:
    return doctor.asked[-1].json


def test_a_silence_is_asked_for_and_its_id_alone_is_on_stdout(run: Run, doctor: FakeDoctor) -> None:
    warnings = [{"pointer": "/matcher", "detail": "covers nothing that is there now"}]
    doctor.answers("POST", "/v1/silences", Answer(201, body={**SILENCE, "warnings": warnings}))
    words = ["--resource", "compute-7", "--resource", "compute-8", "--fault-type", "host down"]
    result = run("silence", "add", *words, "--for", "2h", "--reason", "new memory", "--owner", "alice")
    assert (result.exit_code, result.stdout) == (0, "s/1\n")
    assert result.stderr.splitlines() == [
        "warning: /matcher: covers nothing that is there now",
        "active until 2026-03-04 12:00:00Z; 3 open alarms covered",
    ]
    assert sent(doctor) == {
        "matcher": {"resource_id": ["compute-7", "compute-8"], "fault_type": ["host down"]},
        "reason": "new memory",
        "owner": "alice",
        "duration": 7200.0,
        "everything": False,
    }


def test_everything_can_be_said(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/silences", Answer(201, body=SILENCE))
    words = ["--type", "t", "--zone", "z", "--project", "p", "--audience", "everybody", "--everything"]
    times = ["--from", "2026-03-04T10:00:00Z", "--until", "2026-03-04T12:00:00Z"]
    result = run("silence", "add", *words, *times, "--reason", "x", "--json")
    assert json.loads(result.stdout) == SILENCE
    assert sent(doctor) == {
        "matcher": {"resource_type": ["t"], "zone_id": ["z"], "project": ["p"]},
        "reason": "x",
        "start": "2026-03-04T10:00:00Z",
        "end": "2026-03-04T12:00:00Z",
        "audience": "everybody",
        "everything": True,
    }


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(["add", "--resource", "x", "--for", "2h"], id="no-reason"),
        pytest.param(["add", "--resource", "x", "--reason", "y"], id="no-end"),
        pytest.param(["add", "--reason", "y", "--for", "2h", "--until", "z"], id="two-ends"),
        pytest.param(["add", "--reason", "y", "--for", "soon"], id="no-duration"),
        pytest.param(["add", "--reason", "y", "--for", "2h", "--audience", "me"], id="audience"),
        pytest.param(["list", "--state", "loud"], id="state"),
        pytest.param(["change", "s/1"], id="no-change"),
    ],
)
def test_what_is_called_wrongly_asks_nobody(run: Run, doctor: FakeDoctor, words: list[str]) -> None:
    assert run("silence", *words).exit_code == 2
    assert doctor.asked == []


def test_a_list_is_a_line_for_each(run: Run, doctor: FakeDoctor) -> None:
    over = {
        **SILENCE,
        "silence_id": "s/2",
        "state": "ended",
        "matcher": {},
        "ended_time": "2026-03-04T11:00:00Z",
    }
    doctor.lists("/v1/silences", [SILENCE, over])
    _, first, second = run("silence", "list", "--state", "all").stdout.splitlines()
    assert first.startswith("s/1")
    assert "resource=compute-7, compute-8; fault_type=host down" in first
    assert first.endswith("…")
    assert "2026-03-04 11:00:00Z" in second
    assert "all" in second.split()
    assert doctor.asked[-1].query["state"] == ["all"]
    assert json.loads(run("silence", "list", "--json").stdout)["items"] == [SILENCE, over]


def test_no_silences_is_said(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/silences", [])
    assert run("silence", "list").stderr == "no silences\n"


def test_one_is_shown_changed_and_ended(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", PATH, Answer(body=SILENCE))
    doctor.answers("PATCH", PATH, Answer(body=SILENCE))
    doctor.answers("DELETE", PATH, Answer(body={**SILENCE, "ended_time": "2026-03-04T11:00:00Z"}))
    assert "alice" in run("silence", "show", "s/1").stdout
    assert json.loads(run("silence", "show", "s/1", "--json").stdout) == SILENCE
    changed = run("silence", "change", "s/1", "--for", "1d", "--reason", "longer")
    assert changed.stderr == "active until 2026-03-04 12:00:00Z\n"
    assert sent(doctor) == {"duration": 86400.0, "reason": "longer"}
    assert json.loads(run("silence", "change", "s/1", "--owner", "bob", "--json").stdout) == SILENCE
    assert run("silence", "end", "s/1").stderr == "over since 2026-03-04 11:00:00Z\n"
    assert json.loads(run("silence", "end", "s/1", "--json").stdout)["silence_id"] == "s/1"


def test_a_refusal_is_said(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("DELETE", PATH, problem(404, "there is no such silence"))
    result = run("silence", "end", "s/1")
    assert (result.exit_code, result.stderr) == (1, "Error: there is no such silence\n")
