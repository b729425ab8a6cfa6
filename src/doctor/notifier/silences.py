"""The silences that there are, and which alarm which of them covers (design part 4).

A silence is about telling: what it covers is judged, kept, shown, and acted upon as if there were none. Two things more
follow from one of the Administrator: what begins within it is planned work, no reason to suspect a zone, nor to cut a
host off.

Whoever asked for it decides whom it can keep from hearing. A project's own silence covers alarms of that project, for
that project. The Administrator's covers what he names and what follows from a fault of it, for himself; for the owners
too if he says so.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from typing import NamedTuple

from doctor.kit.pattern import AnyOf
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.history import Side
from doctor.model.resource import PhysicalResource
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import Audience, Silence, SilenceMatcher, SilenceState, Tally

FIRST = datetime.min.replace(tzinfo=UTC)
LAST = datetime.max.replace(tzinfo=UTC)


class Cover(NamedTuple):
    """Which silence keeps an alarm from its owner, and which from the Administrator; None: he is told.

    What is of the VIM has no owner, and everybody who asks for it is told.
    """

    owner: Silence | None
    administrator: Silence | None

    def by(self, side: Side) -> Silence | None:
        """Return what keeps the alarm from one of the two."""
        return self.owner if side is Side.OWNER else self.administrator


UNCOVERED = Cover(None, None)


class Subject(NamedTuple):
    """What a matcher looks at of a resource; a machine is in the zone of its host."""

    resource_id: str
    resource_type: str
    zone_id: str | None


def subject_of(resource_id: str, resource_type: str, resources: ResourceMap) -> Subject:
    """Return what a matcher looks at; ``resource_type`` is of what no map knows."""
    found = resources.get(resource_id)
    if found is None:
        return Subject(resource_id, resource_type, None)
    place = found if isinstance(found, PhysicalResource) else resources.physical.get(found.host or "")
    return Subject(resource_id, found.type, None if place is None else place.zone_id)


class Matcher:
    """A matcher, ready to be asked many times."""

    __slots__ = ("_fault_type", "_project", "_resource_id", "_resource_type", "_zone_id")

    def __init__(self, matcher: SilenceMatcher) -> None:
        self._resource_id = AnyOf(matcher.resource_id)
        self._resource_type = AnyOf(matcher.resource_type)
        self._zone_id = AnyOf(matcher.zone_id)
        self._fault_type = AnyOf(matcher.fault_type)
        self._project = AnyOf(matcher.project)

    def takes_subject(self, subject: Subject) -> bool:
        """Tell whether a resource is meant."""
        return (
            self._resource_id.takes(subject.resource_id)
            and self._resource_type.takes(subject.resource_type)
            and self._zone_id.takes(subject.zone_id)
        )

    def takes_fault(self, fault_type: str) -> bool:
        """Tell whether faults of a type are meant."""
        return self._fault_type.takes(fault_type)

    def takes_project(self, project: str | None) -> bool:
        """Tell whether the alarms of an owner are meant; None is the physical side."""
        return self._project.takes(project)


class Live(NamedTuple):
    """A silence that lasts now, with its matcher."""

    silence: Silence
    matcher: Matcher


class Silences:
    """All silences that are kept, those that are over too."""

    def __init__(self, silences: Iterable[Silence] = (), tallies: dict[str, Tally] | None = None) -> None:
        self.tallies: dict[str, Tally] = tallies or {}
        self._silences: dict[str, Silence] = {}
        self._matchers: dict[str, Matcher] = {}
        self._window = (LAST, FIRST)  # the time between two turns, for which what was found is true
        self._live: dict[str | None, list[Live]] = {}
        for silence in silences:
            self.put(silence)

    def __len__(self) -> int:
        return len(self._silences)

    def __iter__(self) -> Iterator[Silence]:
        return iter(self._silences.values())

    def get(self, silence_id: str) -> Silence | None:
        """Return the silence of this id, or None."""
        return self._silences.get(silence_id)

    def put(self, silence: Silence) -> None:
        """Add a silence, or replace the one of the same id."""
        known = self._silences.get(silence.silence_id)
        if known is None or known.matcher != silence.matcher:
            self._matchers[silence.silence_id] = Matcher(silence.matcher)
        self._silences[silence.silence_id] = silence
        self._window = (LAST, FIRST)

    def forget(self, silence_id: str) -> None:
        """Drop a silence with its tally; one that is not there is no error."""
        self._silences.pop(silence_id, None)
        self._matchers.pop(silence_id, None)
        self.tallies.pop(silence_id, None)
        self._window = (LAST, FIRST)

    def tally(self, silence_id: str) -> Tally:
        """Return what a silence has withheld so far."""
        return self.tallies.get(silence_id) or Tally()

    def of(self, project: str | None) -> list[Silence]:
        """Return the silences that a project has asked for; None is the Administrator."""
        return [silence for silence in self if silence.project == project]

    def live(self, now: datetime) -> dict[str | None, list[Live]]:
        """Return those that last now, by who asked for them; of several the one that lasts longest comes first."""
        since, until = self._window
        if not since <= now < until:
            self._look_around(now)
        return self._live

    def next_turn(self, now: datetime) -> datetime | None:
        """Return when the next silence begins or ends, None when none will."""
        self.live(now)
        turn = self._window[1]
        return None if turn == LAST else turn

    def _look_around(self, now: datetime) -> None:
        found: dict[str | None, list[Live]] = {}
        since, until = FIRST, LAST
        for silence in self:
            for turn in (silence.start, silence.until):
                if turn <= now:
                    since = max(since, turn)
                else:
                    until = min(until, turn)
            if silence.state(now) is SilenceState.ACTIVE:
                live = Live(silence, self._matchers[silence.silence_id])
                found.setdefault(silence.project, []).append(live)
        for live_ones in found.values():
            live_ones.sort(key=lambda one: (one.silence.until, one.silence.silence_id), reverse=True)
        self._live = found
        self._window = (since, until)


class Coverage:
    """What silences make of the alarms of one fault at one moment."""

    def __init__(
        self,
        silences: Silences,
        record: AlarmedFault,
        book: AlarmBook,
        resources: ResourceMap,
        now: datetime,
    ) -> None:
        live = silences.live(now)
        fault_type = record.fault.fault_type
        self._fault = record.fault
        self._resources = resources
        self._by_project = {
            project: [one for one in ones if one.matcher.takes_fault(fault_type)]
            for project, ones in live.items()
        }
        general = self._by_project.pop(None, [])
        above = list(_above(record, book, resources)) if general else []
        self._general = [(one, any(map(one.matcher.takes_subject, above))) for one in general]
        self._known: dict[tuple[str, str | None], Cover] = {}

    def __bool__(self) -> bool:
        """Tell whether any silence may cover anything of the fault."""
        return bool(self._general or any(self._by_project.values()))

    @property
    def is_of_planned_work(self) -> bool:
        """Tell whether the Administrator has silenced what the fault is of, or what explains it."""
        machine = self._resources.virtual.get(self._fault.resource_id)
        owner = None if machine is None else machine.owner
        return any(is_above and one.matcher.takes_project(owner) for one, is_above in self._general)

    def of(self, alarm: Alarm) -> Cover:
        """Return which silences cover an alarm."""
        own = self._by_project.get(alarm.project, ()) if alarm.project is not None else ()
        if not own and not self._general:
            return UNCOVERED
        key = (alarm.resource_id, alarm.project)
        cover = self._known.get(key)
        if cover is None:
            cover = self._known[key] = self._cover(alarm, own)
        return cover

    def _cover(self, alarm: Alarm, own: Sequence[Live]) -> Cover:
        subject = subject_of(alarm.resource_id, alarm.resource_type, self._resources)
        owner = next((one.silence for one in own if one.matcher.takes_subject(subject)), None)
        administrator = None
        for (silence, matcher), is_above in self._general:
            if not matcher.takes_project(alarm.project):
                continue
            if is_above or matcher.takes_subject(subject):
                administrator = administrator or silence
                if silence.audience is Audience.EVERYBODY:
                    owner = owner or silence
                if owner is not None:
                    break
        return Cover(owner, administrator)


def _above(record: AlarmedFault, book: AlarmBook, resources: ResourceMap) -> Iterator[Subject]:
    """Return what a fault is a fault of, and what the faults are of that explain it."""
    for key in book.chain(record.fault):
        one = record if key == record.fault.fault_key else book.fault(key)
        if one is not None:
            yield subject_of(one.fault.resource_id, one.fault.resource_type, resources)
