"""What another failure policy would have made of the events that were recorded: tried before it is applied.

The journal is read again and judged twice, by the policy in force and by the candidate, each with nothing open at
first and in the time in which the events came; what they do differently is the answer. Nothing is kept and nobody is
told. What it is not: a prophecy. The resource map is that of today, and what people did then nobody does again.
"""

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from datetime import datetime

import msgspec
import structlog

from doctor.flows.policy import PolicyFlow
from doctor.flows.rehearsal import Rehearsal, is_own
from doctor.flows.situation import Situation
from doctor.inspector.comparison import Difference, DifferenceKind, differences
from doctor.inspector.firing import Firing, Recorded, Tally
from doctor.inspector.selection import Selector
from doctor.kit.clock import Clock
from doctor.kit.unsaid import unsaid
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import EventBatch
from doctor.model.resource_map import ResourceMap

log = structlog.get_logger(__name__)

BATCHES_AT_ONCE = 50  # of a MiB each at most
EVENTS_AT_ONCE = 4  # about a millisecond if they raise faults; then others get the interpreter
PAUSE = 0.0005  # seconds
MOST_SECONDS = 40.0
MOST_DIFFERENCES = 1_000

# Reads the events of a batch again; raises `RejectedError` for one that cannot be read.
Reader = Callable[[EventBatch], Sequence[Recorded]]


class RuleTally(msgspec.Struct, frozen=True, kw_only=True):
    """How often a rule was asked, and what came of it."""

    rule: str
    seen: int
    fired: int
    raised: int
    cleared: int


class ZoneTrial(msgspec.Struct, frozen=True, kw_only=True):
    """What the failures would have meant for the zones of one type: ``asked`` is how often somebody had to decide."""

    type: str
    asked: int
    took_effect: int
    over: int


class Trial(msgspec.Struct, frozen=True, kw_only=True):
    """What one policy made of the events."""

    rules: list[RuleTally]
    zones: list[ZoneTrial]
    ignored: int
    still_open: int


class DryRun(msgspec.Struct, frozen=True, kw_only=True):
    """What a candidate would have done differently.

    ``until`` is when the last batch that was read had been received. ``counts`` has all differences by kind,
    ``differences`` the first of them.
    """

    since: datetime
    until: datetime | None
    events: int
    duplicates: int
    unreadable: int
    truncated: bool
    current: Trial
    candidate: Trial
    counts: dict[DifferenceKind, int]
    differences: list[Difference]
    warnings: tuple[Flaw, ...]


class DryRunFlow:
    """Tries a policy out, one at a time."""

    def __init__(self, situation: Situation, policies: PolicyFlow, clock: Clock, reader: Reader) -> None:
        self._situation = situation
        self._policies = policies
        self._clock = clock
        self._reader = reader
        self._is_busy = False

    async def run(self, text: str, *, since: datetime, limit: int) -> DryRun:
        """Replay at most so many events that were received at ``since`` or later.

        Raises:
            RejectedError: the candidate is wrong, every flaw is named by its place; or a dry-run is under way (TOO_MANY).
            StoreError: the journal cannot be read.
        """
        if self._is_busy:
            raise RejectedError("another dry-run is under way: try again in a moment", reason=Reason.TOO_MANY)
        self._is_busy = True
        try:
            candidate = await self._policies.read(text)
            comparison = await asyncio.to_thread(
                Comparison,
                self._situation,
                candidate.selector,
                _as_it_is(self._situation),
                self._reader,
                since=since,
                limit=limit,
            )
            deadline = self._clock.monotonic() + MOST_SECONDS
            await self._read_through(comparison, since, deadline)
            return comparison.result(candidate.warnings)
        finally:
            self._is_busy = False

    async def _read_through(self, comparison: "Comparison", since: datetime, deadline: float) -> None:
        place = 0
        while not comparison.truncated:
            page = await self._situation.store.batches(since=since, after=place, limit=BATCHES_AT_ONCE)
            if not page:
                await asyncio.to_thread(comparison.end, self._clock.now())
                return
            place = page[-1][0]
            batches = [batch for _, batch in page]
            await asyncio.to_thread(comparison.take, batches, lambda: self._clock.monotonic() > deadline)


class Comparison:
    """Two policies, and what they have made of the events so far."""

    def __init__(
        self,
        life: Situation,
        candidate: Selector,
        resources: ResourceMap,
        reader: Reader,
        *,
        since: datetime,
        limit: int,
    ) -> None:
        self.truncated = False
        self._since = since
        self._current = Rehearsal(life, life.selector, resources, since)
        self._candidate = Rehearsal(life, candidate, resources, since)
        self._reader = reader
        self._left = limit
        self._events = self._duplicates = self._unreadable = 0
        self._until: datetime | None = None
        self._counts: Counter[DifferenceKind] = Counter()
        self._differences: list[Difference] = []

    def take(self, batches: Iterable[EventBatch], is_late: Callable[[], bool]) -> None:
        """Judge the events of some batches. Runs in a thread, and pauses so that whoever tells of faults goes first."""
        with unsaid():
            for batch in batches:
                if self._left <= 0 or is_late():
                    self.truncated = True
                    return
                try:
                    events = self._reader(batch)
                except RejectedError:
                    self._unreadable += 1
                    continue
                if is_own(events):
                    continue
                if len(events) > self._left:
                    events, self.truncated = events[: self._left], True
                self._until = batch.received_time
                self._pass(batch.received_time)
                for recorded in events:
                    self._take(recorded, batch.received_time)

    def end(self, now: datetime) -> None:
        """Let the time pass that has gone by since the last event."""
        with unsaid():
            self._pass(now)

    def _take(self, recorded: Recorded, received: datetime) -> None:
        self._left -= 1
        self._events += 1
        if self._events % EVENTS_AT_ONCE == 0:
            time.sleep(PAUSE)
        is_news, current = self._current.takes(recorded, received)
        _, candidate = self._candidate.takes(recorded, received)
        self._duplicates += not is_news
        self._compare(current, candidate)

    def _pass(self, until: datetime) -> None:
        self._compare(self._current.passes(until), self._candidate.passes(until))

    def _compare(self, current: Iterable[Firing], candidate: Iterable[Firing]) -> None:
        for difference in differences(current, candidate):
            self._counts[difference.kind] += 1
            if len(self._differences) < MOST_DIFFERENCES:
                self._differences.append(difference)

    def result(self, warnings: tuple[Flaw, ...]) -> DryRun:
        """Return what has come of it."""
        return DryRun(
            since=self._since,
            until=self._until,
            events=self._events,
            duplicates=self._duplicates,
            unreadable=self._unreadable,
            truncated=self.truncated,
            current=_trial(self._current),
            candidate=_trial(self._candidate),
            counts={kind: self._counts[kind] for kind in DifferenceKind},
            differences=self._differences,
            warnings=warnings,
        )


def _as_it_is(situation: Situation) -> ResourceMap:
    """Return the map as it is now: one that a cloud keeps goes on changing where it stands."""
    return situation.resources.copy() if situation.clouds else situation.resources


def _trial(rehearsal: Rehearsal) -> Trial:
    tallies = rehearsal.tallies
    return Trial(
        rules=[_rule_tally(name, tally) for name, tally in tallies.by_rule.items()],
        zones=[
            ZoneTrial(type=name, asked=tally.asked, took_effect=tally.took_effect, over=tally.over)
            for name, tally in tallies.by_zone.items()
        ],
        ignored=tallies.ignored,
        still_open=rehearsal.still_open,
    )


def _rule_tally(name: str, tally: Tally) -> RuleTally:
    return RuleTally(
        rule=name, seen=tally.seen, fired=tally.fired, raised=tally.raised, cleared=tally.cleared
    )
