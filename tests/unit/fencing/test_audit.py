"""The chain of decisions: what was changed, taken out or written anew is seen."""

from collections.abc import Callable

import pytest
from msgspec.structs import replace

from doctor.fencing.audit import CHANGED, CUT_OFF, MISSING, Audit, Break, chained
from doctor.model.fence_job import Check, FenceDecision, FenceState, Says, Statement, Weighed
from doctor.testing.clock import START

Log = list[FenceDecision]


def written(count: int, reason: str = "") -> Log:
    log: Log = []
    for number in range(count):
        one = FenceDecision(
            host="c1",
            generation=1,
            revision=number,
            time=START,
            decision="note",
            state=FenceState.SUSPECT,
            reason=reason,
            evidence=(
                Weighed(
                    statement=Statement(host="c1", reporter="ping", says=Says.DEAD, time=START, since=START)
                ),
            ),
            checks=(Check(brake="mode", passes=True),),
        )
        log.append(chained(one, log[-1].digest if log else ""))
    return log


def audited(log: Log, end: str, noted: str = "") -> Audit:
    audit = Audit()
    for decision in reversed(log):
        audit.take(decision)
    audit.finish(end, noted)
    return audit


@pytest.mark.parametrize("count", [0, 1, 4])
def test_what_is_as_it_was_written_is_whole(count: int) -> None:
    log = written(count)
    end = log[-1].digest if log else ""
    audit = audited(log, end, noted=log[0].digest if log else "")
    assert (audit.broken, audit.records, audit.digest) == (None, count, end)
    assert audit.first == audit.last == (START if log else None)


FORGED = replace(written(4)[1], reason="all was well")
PASTED = chained(FORGED, FORGED.previous)


@pytest.mark.parametrize(
    ("harm", "place", "what"),
    [
        pytest.param(lambda log: [log[0], FORGED, *log[2:]], 1, CHANGED, id="changed"),
        pytest.param(lambda log: [log[0], PASTED, *log[2:]], 2, MISSING, id="changed-with-its-digest"),
        pytest.param(lambda log: [log[0], *log[2:]], 1, MISSING, id="taken-out"),
        pytest.param(lambda log: log[1:], 0, MISSING, id="without-its-beginning"),
        pytest.param(lambda log: [log[1], log[0], *log[2:]], 0, MISSING, id="out-of-order"),
        pytest.param(lambda log: [log[0], FORGED, log[3]], 1, CHANGED, id="the-first-of-two-breaks"),
        pytest.param(lambda log: log[:3], None, CUT_OFF, id="without-its-end"),
        pytest.param(lambda log: [], None, CUT_OFF, id="emptied"),
        pytest.param(lambda log: written(4, "all was well"), None, CUT_OFF, id="written-anew"),
    ],
)
def test_what_is_not_is_broken_there(harm: Callable[[Log], Log], place: int | None, what: str) -> None:
    log = written(4)
    harmed = harm(log)
    expected = None if place is None else harmed[place]
    assert audited(harmed, log[-1].digest).broken == Break(expected, what)


def test_what_was_written_anew_before_a_restart_lacks_what_was_noted() -> None:
    """Doctor takes the end of the log from the log itself when it starts: only somebody else can know better."""
    log, anew = written(4), written(4, "all was well")
    assert audited(anew, anew[-1].digest).broken is None
    broken = audited(anew, anew[-1].digest, noted=log[1].digest).broken
    assert broken is not None
    assert log[1].digest in broken.what


def test_what_was_written_by_an_older_doctor_still_holds() -> None:
    """If this fails, logs of before count as broken: a new field of the record needs a default, and is left out with it."""
    assert written(2)[-1].digest == "933901d6a2d8fde92dccb69eb8f4806f584294ccc8bf25f02220e37b31fda31b"
