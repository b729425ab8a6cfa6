"""What `doctor fencing log --verify` asks, and what it says."""

import json

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor

WHOLE = {
    "whole": True,
    "records": 1,
    "first_time": "2026-03-04T10:00:00Z",
    "last_time": "2026-03-04T12:00:00Z",
    "digest": "d9",
    "broken": None,
}
CONFIRM = {"what": "it was changed", "time": "2026-03-04T11:00:00Z", "host": "c-1", "decision": "confirm"}
NOWHERE = {"what": "the end is gone", "time": None, "host": None, "decision": None}


@pytest.mark.parametrize(
    ("found", "code", "says"),
    [
        pytest.param(
            {},
            0,
            "the log is whole: 1 decision from 2026-03-04T10:00:00Z to 2026-03-04T12:00:00Z\n"
            "keep its end elsewhere, for --noted: d9\n",
            id="whole",
        ),
        pytest.param({"records": 0}, 0, "the log is whole: nothing was ever decided\n", id="empty"),
        pytest.param(
            {"broken": CONFIRM},
            1,
            "the log is broken at 2026-03-04T11:00:00Z confirm c-1: it was changed\n1 decision read\n",
            id="broken-somewhere",
        ),
        pytest.param(
            {"broken": NOWHERE}, 1, "the log is broken: the end is gone\n1 decision read\n", id="broken"
        ),
    ],
)
def test_how_the_log_stands_is_a_sentence(
    run: Run, doctor: FakeDoctor, found: dict[str, object], code: int, says: str
) -> None:
    doctor.answers("GET", "/v1/fence-decisions/audit", Answer(body={**WHOLE, **found}))
    result = run("fencing", "log", "--verify", "--noted", "d7")
    assert (result.exit_code, result.stdout, result.stderr) == (code, "", says)
    assert doctor.asked[-1].query == {"noted": ["d7"]}
    result = run("fencing", "log", "--verify", "--json")
    assert (result.exit_code, json.loads(result.stdout)) == (code, {**WHOLE, **found})


@pytest.mark.parametrize(
    "words", [pytest.param(("c-1", "--verify"), id="of-one-host"), pytest.param(("--noted", "d7"), id="not")]
)
def test_the_log_is_verified_as_a_whole(run: Run, doctor: FakeDoctor, words: tuple[str, ...]) -> None:
    assert run("fencing", "log", *words).exit_code == 2
    assert doctor.asked == []
