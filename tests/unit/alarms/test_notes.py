"""What people do to alarms [D 5.5.3, IFA 005]."""

from collections.abc import Callable
from datetime import timedelta

import pytest
from msgspec.structs import replace

from doctor.alarms.notes import (
    LONGEST_SHELVING,
    AlarmNotes,
    acknowledged,
    commented,
    has_moved,
    shelved,
    unacknowledged,
    unshelved,
)
from doctor.model.alarm import Alarm
from doctor.model.alarm_note import MOST_ACTS, MOST_COMMENTS, AckState, ActKind, AlarmNote
from doctor.model.errors import RejectedError
from doctor.model.fault import ResourceState, Severity
from tests.unit.model.nfvis import at

NEW = AlarmNote(alarm_id="a", fault_key="f")
ALARM = Alarm("a", "f", "vm-1", "virtual machine", "red", Severity.MAJOR, ResourceState.ERROR, False, at(0))
SHELVED = shelved(NEW, ALARM, until=at(60), user="ann", now=at(1))


def test_an_acknowledgement_says_who_and_when() -> None:
    note = acknowledged(NEW, user="ann", now=at(1))
    assert (note.ack_state, note.user, note.acknowledged_time) == (AckState.ACKNOWLEDGED, "ann", at(1))
    back = unacknowledged(note, user="bob", now=at(2))
    assert (back.ack_state, back.user, back.acknowledged_time) == (AckState.UNACKNOWLEDGED, None, None)
    assert [(act.kind, act.user, act.time) for act in back.acts] == [
        (ActKind.ACKNOWLEDGED, "ann", at(1)),
        (ActKind.UNACKNOWLEDGED, "bob", at(2)),
    ]


@pytest.mark.parametrize(
    ("note", "again"),
    [
        pytest.param(
            acknowledged(NEW, user="ann", now=at(1)),
            lambda note: acknowledged(note, user="bob", now=at(2)),
            id="acknowledged",
        ),
        pytest.param(NEW, lambda note: unacknowledged(note, user="bob", now=at(2)), id="unacknowledged"),
        pytest.param(
            SHELVED, lambda note: shelved(note, ALARM, until=at(60), user="bob", now=at(2)), id="shelved"
        ),
        pytest.param(NEW, lambda note: unshelved(note, user="bob", now=at(2)), id="unshelved"),
    ],
)
def test_what_is_said_twice_is_nothing_new(note: AlarmNote, again: Callable[[AlarmNote], AlarmNote]) -> None:
    """The first to say it counts."""
    assert again(note) is note


def test_comments_stay_in_order_and_are_not_without_end() -> None:
    note = NEW
    for number in range(MOST_COMMENTS):
        note = commented(note, f"text {number}", user="ann", now=at(number))
    assert [one.text for one in note.comments] == [f"text {number}" for number in range(MOST_COMMENTS)]
    with pytest.raises(RejectedError, match="50 comments"):
        commented(note, "one more", user="ann", now=at(99))


def test_of_what_was_done_the_newest_stays() -> None:
    note = NEW
    for number in range(MOST_ACTS):
        note = acknowledged(note, user="ann", now=at(number))
        note = unacknowledged(note, user="ann", now=at(number))
    assert len(note.acts) == MOST_ACTS
    assert note.acts[-1].time == at(MOST_ACTS - 1)


def test_a_shelved_alarm_comes_back_with_what_was_known_of_it() -> None:
    assert SHELVED.shelving is not None
    assert (SHELVED.shelving.until, SHELVED.shelving.user) == (at(60), "ann")
    assert not has_moved(SHELVED.shelving, ALARM)
    assert has_moved(SHELVED.shelving, replace(ALARM, severity=Severity.MINOR))
    assert has_moved(SHELVED.shelving, replace(ALARM, resource_state=ResourceState.NORMAL))
    assert has_moved(SHELVED.shelving, replace(ALARM, is_root_cause=True))
    assert unshelved(SHELVED, user="", now=at(60)).shelving is None


def test_another_end_takes_the_place_of_the_first() -> None:
    """What the owner knew is what he knew at the first shelving."""
    worse = replace(ALARM, severity=Severity.CRITICAL)
    later = shelved(SHELVED, worse, until=at(90), user="bob", now=at(2))
    assert later.shelving is not None
    assert (later.shelving.until, later.shelving.user, later.shelvings) == (at(90), "bob", 1)
    assert later.shelving.severity is Severity.MAJOR
    again = shelved(unshelved(later, user="", now=at(90)), worse, until=at(99), user="ann", now=at(91))
    assert again.shelvings == 2


@pytest.mark.parametrize(
    ("alarm", "until", "wrong"),
    [
        pytest.param(ALARM, at(1), "is over", id="now"),
        pytest.param(ALARM, at(0), "is over", id="past"),
        pytest.param(ALARM, at(1) + LONGEST_SHELVING + timedelta(seconds=1), "remembers", id="too-far"),
        pytest.param(replace(ALARM, cleared_time=at(1)), at(60), "cleared", id="cleared"),
    ],
)
def test_what_cannot_be_shelved_is_refused(alarm: Alarm, until: object, wrong: str) -> None:
    with pytest.raises(RejectedError, match=wrong):
        shelved(NEW, alarm, until=until, user="ann", now=at(1))  # type: ignore[arg-type]


def test_the_notes_know_what_is_shelved_until_when() -> None:
    other = shelved(replace(NEW, alarm_id="b"), ALARM, until=at(30), user="ann", now=at(1))
    notes = AlarmNotes([SHELVED, other, replace(NEW, alarm_id="c")])
    assert (len(notes), set(notes.shelved), notes.next_end) == (3, {"a", "b"}, at(30))
    assert notes.ended(at(29)) == []
    assert notes.ended(at(30)) == [other]
    assert {note.alarm_id for note in notes.ended(at(60))} == {"a", "b"}
    notes.put(unshelved(other, user="", now=at(30)))
    assert (set(notes.shelved), notes.next_end) == ({"a"}, at(60))
    notes.forget("a")
    notes.forget("a")
    assert (notes.of("a"), notes.next_end, len(notes)) == (None, None, 2)
    assert [note.alarm_id for note in notes] == ["b", "c"]
