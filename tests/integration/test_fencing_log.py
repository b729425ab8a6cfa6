"""`doctor fencing log --verify` on a real file, as it was written and after somebody was at it."""

import json
import sqlite3
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

VERIFY = ("fencing", "log", "--verify")


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    """Run a Doctor whose hold switch was pulled and released: four decisions."""
    with RunningDoctor(tmp_path / "doctor") as doctor:
        for is_on, reason in ((True, "first"), (False, "first"), (True, "other"), (False, "other")):
            hold(doctor, is_on=is_on, reason=reason)
        yield Shell(doctor, tmp_path)


def hold(doctor: RunningDoctor, *, is_on: bool, reason: str) -> None:
    """Pull the hold switch or release it; a Doctor that has just started is asked again."""
    end = time.monotonic() + 10
    while Door(doctor).ask("PUT", "/v1/fencing", {"hold": is_on, "reason": reason})[0] != 200:
        assert time.monotonic() < end
        time.sleep(0.05)


def digest(shell: Shell) -> str:
    status, found = Door(shell.doctor).ask("GET", "/v1/fence-decisions/audit")
    assert (status, found["whole"]) == (200, True)
    return str(found["digest"])


def test_a_log_that_nobody_was_at_is_whole(shell: Shell) -> None:
    noted = digest(shell)
    said = shell.run(*VERIFY)
    assert (said.returncode, said.stdout) == (0, "")
    assert "the log is whole: 4 decisions from 2" in said.stderr
    assert noted in said.stderr

    shell.doctor.stop()
    shell.doctor.start()
    hold(shell.doctor, is_on=True, reason="more")
    said = shell.run(*VERIFY, "--noted", noted, "--json")
    found = json.loads(said.stdout)
    assert (said.returncode, found["whole"], found["records"], found["broken"]) == (0, True, 5, None)
    assert found["first_time"] < found["last_time"]


@pytest.mark.parametrize(
    ("statement", "sentence"),
    [
        pytest.param(
            "UPDATE fence_decisions SET record = CAST(replace(record, 'other', 'ohter') AS BLOB) WHERE id = 3",
            "hold: it is not as it was written",
            id="changed",
        ),
        pytest.param(
            "DELETE FROM fence_decisions WHERE id = 2", "hold: what was decided before", id="taken-out"
        ),
        pytest.param("DELETE FROM fence_decisions WHERE id = 4", "was noted of it", id="cut-off"),
        pytest.param(
            "UPDATE fence_decisions SET record = x'c1' WHERE id = 2", "decision 2 of", id="unreadable"
        ),
    ],
)
def test_what_was_done_to_it_is_found(shell: Shell, statement: str, sentence: str) -> None:
    noted = digest(shell)
    shell.doctor.stop()
    with closing(sqlite3.connect(shell.doctor.folder / "state" / "doctor.db")) as file, file:
        assert file.execute(statement).rowcount == 1
    shell.doctor.start()
    said = shell.run(*VERIFY, "--noted", noted)
    assert said.returncode == 1
    assert said.stderr.startswith("the log is broken")
    assert sentence in said.stderr
