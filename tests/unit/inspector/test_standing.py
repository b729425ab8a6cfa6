"""What of the things that a source says again and again is news."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.inspector import standing
from doctor.inspector.standing import Ledger, mark_of
from doctor.model.event import RawEvent

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)


def told(
    ledger: Ledger, event: RawEvent, until: datetime | None = None, *, second: float | None = None
) -> RawEvent | None:
    """Tell a ledger something, at the time that it says or at another."""
    return ledger.heard(event, event.time if second is None else NOON + second * SECOND, until)


def said(
    mark: str, status: str = "down", *, second: float = 0, severity: str = "major", host: str = "h"
) -> RawEvent:
    """Return what is said of one thing."""
    return RawEvent(
        time=NOON + second * SECOND,
        type="link.down",
        resource=host,
        source="s",
        status=status,
        severity="cleared" if status == "up" else severity,
        monitor_event_id=mark,
        raw_details=b'{"cause":"cable"}',
    )


def test_what_is_said_again_is_no_news() -> None:
    ledger = Ledger()
    assert told(ledger, said("a")) == said("a")
    assert told(ledger, said("a")) is None
    assert told(ledger, said("a", second=5)) == said("a", second=5)  # it has begun anew
    assert len(ledger) == 1
    assert told(ledger, said("a", "up", second=9)) == said("a", "up", second=9)
    assert told(ledger, said("a", "up", second=9)) is None
    assert (len(ledger), list(ledger)) == (0, [])


def test_a_fault_is_over_with_the_last_of_its_things() -> None:
    ledger = Ledger()
    told(ledger, said("a"))
    told(ledger, said("b"))
    assert told(ledger, said("a", "up", second=1)) is None
    assert told(ledger, said("b", "up", second=2)) == said("b", "up", second=2)


def test_a_fault_is_as_bad_as_the_worst_of_its_things() -> None:
    ledger = Ledger()
    told(ledger, said("a", severity="critical"))
    lesser = told(ledger, said("b", severity="minor"))
    assert lesser is not None
    assert lesser.severity == "critical"
    better = told(ledger, said("a", "up", second=7))
    assert better is not None
    assert (better.monitor_event_id, better.severity, better.status, better.time) == (
        *("b", "minor", "down"),
        NOON + 7 * SECOND,
    )


def test_what_goes_on_and_is_worse_than_before_is_said_as_of_now() -> None:
    ledger = Ledger()
    told(ledger, said("a", severity="minor"))
    worse = told(ledger, said("a", severity="critical"), second=4)
    assert worse is not None
    assert (worse.severity, worse.time) == ("critical", NOON + 4 * SECOND)
    assert told(ledger, said("a", severity="critical"), second=5) is None


def test_the_end_of_what_nobody_knew_is_passed_on_once() -> None:
    ledger = Ledger()
    assert told(ledger, said("a", "up")) == said("a", "up")
    assert told(ledger, said("a", "up")) is None
    ledger.forget(said("a", "up"))
    assert told(ledger, said("a", "up")) == said("a", "up")


def test_what_was_not_kept_counts_as_not_said() -> None:
    ledger = Ledger()
    told(ledger, said("a"))
    ledger.forget(said("a"))
    assert told(ledger, said("a")) == said("a")


def test_what_was_open_before_a_start_stands() -> None:
    ledger = Ledger()
    ledger.restore(said("a"), NOON, None)
    assert told(ledger, said("a")) is None


def test_what_is_not_said_again_in_time_is_over_if_its_source_speaks() -> None:
    ledger = Ledger()
    told(ledger, said("a"), NOON + 60 * SECOND)
    told(ledger, said("b"), None)
    late = NOON + 3600 * SECOND
    assert ledger.expired(NOON + 60 * SECOND, late) == []  # the source is silent since then
    assert ledger.expired(late, NOON + 60 * SECOND) == []
    (over,) = ledger.expired(late, late)
    assert (over.monitor_event_id, over.status, over.time) == ("a", "up", NOON + 60 * SECOND)
    assert over.details["status"] == "up"


def test_of_a_whole_list_what_is_missing_is_over() -> None:
    ledger = Ledger()
    told(ledger, said("a"))
    told(ledger, said("b", host="g"))
    (over,) = ledger.missing({mark_of(said("a"))}, NOON + SECOND)
    assert (over.resource, over.status, over.time) == ("g", "up", NOON + SECOND)


def test_of_a_list_counts_what_nobody_said_otherwise_since_it_was_asked_for() -> None:
    """Something can begin or end while the list is on its way."""
    ledger = Ledger()
    told(ledger, said("old"), second=1)
    told(ledger, said("new"), second=6)
    told(ledger, said("gone", "up", second=2), second=7)
    asked = NOON + 5 * SECOND
    assert told(ledger, said("gone"), second=5) is None
    assert told(ledger, said("new"), second=5) is None
    assert [one.monitor_event_id for one in ledger.missing(set(), asked)] == ["old"]
    assert told(ledger, said("gone", second=3), second=8) is not None


def test_there_is_an_end_to_what_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(standing, "MOST", 2)
    monkeypatch.setattr(standing, "MOST_ENDED", 2)
    ledger = Ledger()
    for mark in "abc":
        assert told(ledger, said(mark, host=mark)) is not None
    assert told(ledger, said("c", host="c")) is not None  # judged each time
    assert len(ledger) == 2
    for mark in "xyz":
        told(ledger, said(mark, "up", host=mark))
    assert told(ledger, said("x", "up", host="x")) is not None


words = st.tuples(
    st.sampled_from("abc"), st.sampled_from(["down", "up"]), st.sampled_from(["minor", "critical"])
)


@given(st.lists(words, max_size=30))
def test_the_last_word_on_a_resource_is_whether_anything_stands_there(
    course: list[tuple[str, str, str]],
) -> None:
    """Compared with a set: a resource is faulty exactly as long as one of its things stands, by what is passed on."""
    ledger, stand, is_faulty = Ledger(), set[str](), False
    for second, (mark, status, severity) in enumerate(course):
        passed = told(ledger, said(mark, status, second=second, severity=severity))
        stand = stand | {mark} if status == "down" else stand - {mark}
        if passed is not None:
            is_faulty = passed.status == "down"
        assert is_faulty == bool(stand)
        assert {one.event.monitor_event_id for one in ledger} == stand
        assert len(ledger) == len(stand)
