"""What a failure policy makes of recorded events: the fault flow itself, in a time of its own.

The events are judged by the very flow that judges those that come in: how long, how often and by how many something was
said, what several faults are together, what a fault takes down, and what time alone brings about. Only what it works
with is another one: the situation keeps nothing, nobody is told, and the time is that of the events.
"""

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from typing import Any, TypeVar

from doctor.flows.agenda import Agenda
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.judgement import OWN
from doctor.flows.situation import Situation
from doctor.inspector.firing import Firing, Recorded, Shown, Tallies, firing_of, shown_of
from doctor.inspector.selection import Ignored, Selected, Selector
from doctor.model.alarm import AlarmedFault
from doctor.model.capacity import Pool
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.model.event import RawEvent
from doctor.model.notification import StoredNotification
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Subscription
from doctor.ports.store import Change

MOST_DUE = 100_000  # things that time alone brings about between two events; a policy cannot ask for more

T = TypeVar("T")


def is_own(recorded: Sequence[Recorded]) -> bool:
    """Tell whether events of the journal are what Doctor itself has noticed by its policy: it does so anew."""
    return all(event.source == OWN and event.raw_details == b"{}" for _, event in recorded)


class Rehearsal:
    """One policy at work on events of the past, the oldest first, with nothing open at first."""

    def __init__(self, life: Situation, selector: Selector, resources: ResourceMap, start: datetime) -> None:
        """``resources`` is the map to judge by; nobody else may change it meanwhile."""
        self.tallies = Tallies(selector.policy)
        self._selector = _Watched(selector, self.tallies)
        self._clock = _Then(start)
        self._situation = _Kept(life, self._selector, resources)
        self._agenda = Agenda(self._clock)
        self._flow = FaultFlow(self._situation, _Nobody(), _NoWatch(), self._agenda, self._clock)
        self._shown: dict[str, Shown] = {}

    @property
    def still_open(self) -> int:
        """Return how many faults are open."""
        return len(self._situation.book)

    def takes(self, recorded: Recorded, received: datetime) -> tuple[bool, list[Firing]]:
        """Judge an event that was received then, and what was due until then; returns whether it was news."""
        self._clock.reach(received)
        report = Reported([recorded.event], recorded.event.source, b"", received)
        self._selector.watches = True
        [answer] = _at_once(self._flow.accept([report]))
        self._selector.watches = False
        return answer.news[0], self._firings(recorded)

    def passes(self, until: datetime) -> list[Firing]:
        """Do what time alone brings about until a moment."""
        firings: list[Firing] = []
        for _ in range(MOST_DUE):
            due = self._agenda.next
            if due is None or due > until:
                break
            self._clock.reach(due)
            _at_once(self._agenda.due(self._clock.now()))
            if not self._situation.is_ready:
                raise RuntimeError("a defect has stopped the rehearsal")
            firings += self._firings(None)
        return firings

    def _firings(self, recorded: Recorded | None) -> list[Firing]:
        """Return what has become of faults since the last time: of each what holds in the end."""
        latest: dict[str, AlarmedFault] = {
            record.fault.fault_key: record for record in self._situation.taken()
        }
        firings = []
        for key, record in latest.items():
            firing = firing_of(record, self._shown.get(key), self._clock.now(), recorded)
            if record.fault.is_open:
                self._shown[key] = shown_of(record) if firing is None else firing.shown
            else:
                self._shown.pop(key, None)
            if firing is not None:
                self.tallies.count(firing)
                firings.append(firing)
        return firings


class _Watched(Selector):
    """A policy that counts what its rules are asked by events."""

    def __init__(self, selector: Selector, tallies: Tallies) -> None:
        super().__init__(selector.policy)
        self._tallies = tallies
        self.watches = False  # what was put off is asked again, and is no other event

    def select(self, event: RawEvent, zone_id: str | None = None) -> Selected:
        """Say what an event means, and count it."""
        selected = super().select(event, zone_id)
        if self.watches:
            if isinstance(selected, Ignored):
                self._tallies.ignored += 1
            else:
                self._tallies.asked(event.type, selected)
        return selected


class _Then:
    """The time of what is recorded; it does not go back, though a clock may have been set back then."""

    def __init__(self, start: datetime) -> None:
        self._start = self._now = start

    def now(self) -> datetime:
        """Return the time that it is in the rehearsal."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds since the rehearsal began, in its own time."""
        return (self._now - self._start).total_seconds()

    def reach(self, moment: datetime) -> None:
        """Let it be this time."""
        self._now = max(self._now, moment)


class _Kept(Situation):
    """A situation in which nothing is open at first. What is to be kept is looked at and forgotten."""

    def __init__(self, life: Situation, selector: Selector, resources: ResourceMap) -> None:
        super().__init__(life.store, selector, resources=resources)
        self.secret = life.secret
        self._nothing = Pool(ResourceMap(), self.book.state_of)
        self._changes: list[Change] = []

    @property
    def pool(self) -> Pool:
        """Return the capacity of nothing: it is not rehearsed."""
        return self._nothing

    async def keep(self, change: Change) -> None:
        """Keep a change until it is looked at."""
        self._changes.append(change)

    def taken(self) -> Iterable[AlarmedFault]:
        """Return the faults that were to be kept since the last time, in their order."""
        changes, self._changes = self._changes, []
        return (record for change in changes for record in change.faults)


class _Nobody:
    """Tells nobody."""

    keep: Callable[[Change], Any]

    def dispatch(self, notifications: Sequence[StoredNotification]) -> None:
        """Send nothing."""

    def catch_up(self, subscriptions: Iterable[Subscription], last_sequence: Callable[[str], int]) -> None:
        """Send nothing."""


class _NoWatch:
    """Takes no times."""

    def start(self, timeline: Timeline) -> None:
        """Forget it."""

    def stamp(self, fault_id: str, checkpoint: Checkpoint, time: datetime) -> None:
        """Forget it."""


def _at_once(work: Coroutine[Any, Any, T]) -> T:
    """Do what could wait and here does not, without an event loop."""
    try:
        work.send(None)
    except StopIteration as done:
        result: T = done.value
        return result
    work.close()
    raise RuntimeError("a rehearsal cannot wait")
