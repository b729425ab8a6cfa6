"""What becomes of an alarm by what people do to it: acknowledged, commented, shelved [D 5.5.3, IFA 005].

In comes the note of an alarm, out goes the next one; the same again when nothing is new, so that everything can be
said twice. None of it changes the fault, and nothing but an end to the fault ends the alarm.
"""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta

from msgspec.structs import replace

from doctor.model.alarm import Alarm
from doctor.model.alarm_note import MOST_ACTS, MOST_COMMENTS, Act, ActKind, AlarmNote, Comment, Shelving
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.history import Standing, standing_of

LONGEST_SHELVING = timedelta(days=366)


class AlarmNotes:
    """The notes of all alarms that have one, of those that are over too as long as they are kept."""

    def __init__(self, notes: Iterable[AlarmNote] = ()) -> None:
        self._notes: dict[str, AlarmNote] = {}
        self._shelved: dict[str, datetime] = {}
        for note in notes:
            self.put(note)

    def __len__(self) -> int:
        return len(self._notes)

    def __iter__(self) -> Iterator[AlarmNote]:
        return iter(self._notes.values())

    def of(self, alarm_id: str) -> AlarmNote | None:
        """Return the note of an alarm, or None when nobody did anything to it."""
        return self._notes.get(alarm_id)

    def put(self, note: AlarmNote) -> None:
        """Take over a note in the place of the one before."""
        self._notes[note.alarm_id] = note
        if note.shelving is None:
            self._shelved.pop(note.alarm_id, None)
        else:
            self._shelved[note.alarm_id] = note.shelving.until

    def forget(self, alarm_id: str) -> None:
        """Drop a note; one that is not there is no error."""
        self._notes.pop(alarm_id, None)
        self._shelved.pop(alarm_id, None)

    @property
    def shelved(self) -> Collection[str]:
        """Return the ids of the alarms that are shelved."""
        return self._shelved.keys()

    @property
    def next_end(self) -> datetime | None:
        """Return when the first shelving ends, None without any."""
        return min(self._shelved.values(), default=None)

    def ended(self, now: datetime) -> list[AlarmNote]:
        """Return the notes of the alarms whose shelving is over by now."""
        return [self._notes[key] for key, until in self._shelved.items() if until <= now]


def acknowledged(note: AlarmNote, *, user: str, now: datetime) -> AlarmNote:
    """Note that somebody takes care of the alarm; the first to say so counts."""
    if note.acknowledged_time is not None:
        return note
    return _done(replace(note, acknowledged_time=now, user=user), Act(now, ActKind.ACKNOWLEDGED, user))


def unacknowledged(note: AlarmNote, *, user: str, now: datetime) -> AlarmNote:
    """Note that nobody takes care of the alarm any more."""
    if note.acknowledged_time is None:
        return note
    return _done(replace(note, acknowledged_time=None, user=None), Act(now, ActKind.UNACKNOWLEDGED, user))


def commented(note: AlarmNote, text: str, *, user: str, now: datetime) -> AlarmNote:
    """Add a comment behind the others.

    Raises:
        RejectedError: there are as many as an alarm takes.
    """
    if len(note.comments) >= MOST_COMMENTS:
        raise RejectedError(f"an alarm takes {MOST_COMMENTS} comments, and this one has them")
    return replace(note, comments=(*note.comments, Comment(now, user, text)))


def shelved(note: AlarmNote, alarm: Alarm, *, until: datetime, user: str, now: datetime) -> AlarmNote:
    """Put an open alarm aside until a time; another time takes the place of the one before.

    What the owner knows is kept with it, so that he hears of a change when it comes back.

    Raises:
        RejectedError: the time is over, or further than anybody remembers; or the alarm is.
    """
    if alarm.cleared_time is not None:
        raise RejectedError("the alarm is cleared: there is nothing to shelve", reason=Reason.IMPOSSIBLE)
    if until <= now:
        raise RejectedError("the end of the shelving is over", flaws=[Flaw("/until", "is not in the future")])
    if until - now > LONGEST_SHELVING:
        detail = f"is more than {LONGEST_SHELVING.days} days away"
        raise RejectedError("nobody remembers an alarm for so long", flaws=[Flaw("/until", detail)])
    known = note.shelving
    if known is None:
        shelving = Shelving(until, user, alarm.severity, alarm.resource_state, alarm.is_root_cause)
        note = replace(note, shelvings=note.shelvings + 1)
    elif known.until == until:
        return note
    else:
        shelving = replace(known, until=until, user=user)
    act = Act(now, ActKind.SHELVED, user, until, note.shelvings)
    return _done(replace(note, shelving=shelving), act)


def unshelved(note: AlarmNote, *, user: str, now: datetime) -> AlarmNote:
    """Take an alarm back; ``user`` is empty when it is its time."""
    if note.shelving is None:
        return note
    act = Act(now, ActKind.UNSHELVED, user, None, note.shelvings)
    return _done(replace(note, shelving=None), act)


def known_of(shelving: Shelving) -> Standing:
    """Return how an alarm was when it was shelved, as its owner knows it."""
    return Standing(shelving.severity, shelving.resource_state, shelving.is_root_cause)


def has_moved(shelving: Shelving, alarm: Alarm) -> bool:
    """Tell whether an alarm is another one than its owner knew when it was shelved."""
    return standing_of(alarm) != known_of(shelving)


def _done(note: AlarmNote, act: Act) -> AlarmNote:
    return replace(note, acts=(*note.acts, act)[-MOST_ACTS:])
