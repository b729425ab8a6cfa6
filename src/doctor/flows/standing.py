"""What sources push that say again and again all that is wrong, and what of it becomes events.

    readings of a payload -> what of them is news -> events, judged and kept as any -> what stands now

What is known to stand is answered at once, and neither judged nor kept again. If what followed from a message could not be
kept, all that it said counts as not said: the source sends it again. After a start the first word on anything is judged,
also if it was known before.
"""

import asyncio
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.situation import Situation
from doctor.flows.sources import Sources
from doctor.inspector.standing import Ledger, Stand, mark_of
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_ids
from doctor.model.errors import StoreError
from doctor.model.event import DOWN, UP, RawEvent
from doctor.ports.payload import Alive, Happened, Listing, Reading, Saying, Stated, Told

log = structlog.get_logger(__name__)

LONG_AGO = timedelta(hours=1)
IS_SAID_AGAIN = timedelta(minutes=5)  # after a start, of what its source says again and again
LOOK_EVERY = 1.0  # seconds


class Taken(NamedTuple):
    """What became of one reading: the id of its event ("" of a sign of life), and whether it was known before."""

    event_id: str
    is_duplicate: bool


class Said(msgspec.Struct, frozen=True, kw_only=True):
    """What the details of a fault tell of the thing at the source that stands."""

    source: str
    monitor_id: str
    monitor_event_id: str
    type: str
    hostname: str
    expires: str | None = None


class Standing:
    """Knows what stands at which source. A ``kind`` is the payload by which a source speaks."""

    def __init__(self, situation: Situation, faults: FaultFlow, sources: Sources, clock: Clock) -> None:
        self._situation = situation
        self._faults = faults
        self._sources = sources
        self._clock = clock
        self._ledgers: dict[tuple[str, str], Ledger] = {}

    def start(self) -> None:
        """Take over what was open when Doctor ended, by the details of the events that said so."""
        for record in self._situation.book:
            fault = record.fault
            try:
                said = msgspec.convert(fault.details, Said)
            except msgspec.ValidationError:
                continue  # nobody has said it in a form of his own
            event = RawEvent(
                time=fault.event_time,
                type=said.type,
                resource=said.hostname,
                source=said.source,
                status=DOWN,
                severity=fault.severity.perceived,
                monitor_event_id=said.monitor_event_id,
                raw_details=msgspec.json.encode(fault.details),
            )
            now = self._clock.now()
            until = now + IS_SAID_AGAIN if said.expires else None
            self._ledger(said.source, said.monitor_id).restore(event, now, until)

    def at(self, kind: str) -> Iterator[Stand]:
        """Return all that stands by what was pushed as one kind of payload."""
        for (_, known), ledger in self._ledgers.items():
            if known == kind:
                yield from ledger

    def count(self, source: str) -> int:
        """Return how many things stand at a source."""
        return sum(len(ledger) for (name, _), ledger in self._ledgers.items() if name == source)

    async def take(self, kind: str, told: Told, readings: Sequence[Reading]) -> list[Taken]:
        """Take what a source pushes.

        Raises:
            StoreError: nothing was kept; the source should send again.
        """
        ledger = self._ledger(told.source, kind)
        self._hear(kind, told, readings)
        stated = list(_stated(readings))
        passed = [ledger.heard(reading.event, told.received, reading.until) for reading in stated]
        news = await self._judge(ledger, told, [event for event in passed if event is not None], ())
        self._sources.repeats(told.source, passed.count(None))
        ids = iter(stable_ids("event", [reading.event.identity for reading in stated]))
        new = iter([event is not None and mark_of(event) in news for event in passed])
        return [
            Taken(next(ids), not next(new)) if isinstance(reading, Stated) else Taken("", False)
            for reading in readings
        ]

    async def hear(self, saying: Saying) -> None:
        """Take what a monitor has heard a source say.

        Raises:
            StoreError: nothing was kept; say it again.
        """
        told = saying.told
        ledger = self._ledger(told.source, saying.kind)
        self._sources.hears(told.source, saying.kind, told.received)
        passed = [
            one.event if isinstance(one, Happened) else ledger.heard(one.event, told.received, one.until)
            for one in saying.readings
        ]
        await self._judge(ledger, told, [event for event in passed if event is not None], ())
        self._sources.repeats(told.source, passed.count(None))

    async def compare(self, listing: Listing) -> None:
        """Take all that stands at a source, as it was asked for: what is new, and what is missing.

        Raises:
            StoreError: nothing was kept; compare again.
        """
        told = listing.told
        ledger = self._ledger(told.source, listing.kind)
        passed = [ledger.heard(one.event, told.received, one.until) for one in _stated(listing.readings)]
        listed = {mark_of(one.event) for one in _stated((*listing.readings, *listing.kept))}
        gone = ledger.missing(listed, told.received, listing.within)
        news = [event for event in passed if event is not None]
        if news:
            log.info("standing.found", source=told.source, number=len(news))
        await self._judge(ledger, told, news, gone)

    def _hear(self, kind: str, told: Told, readings: Sequence[Reading]) -> None:
        untils = [reading.until for reading in readings if isinstance(reading, Alive) and reading.until]
        self._sources.hears(told.source, kind, told.received, max(untils, default=None))

    async def _judge(
        self, ledger: Ledger, told: Told, said: Sequence[RawEvent], gone: Sequence[RawEvent]
    ) -> set[bytes]:
        """Have judged what was said, and the ends that nobody has said; return of what it was news."""
        if gone:
            log.info("standing.gone", source=told.source, number=len(gone))
        ends = [event for one in gone if (event := ledger.heard(one, told.received)) is not None]
        events = [*said, *ends]
        if not events:
            return set()
        try:
            news = await self._accept(told, events)
            # Known from before a start, and maybe ended since by hand: it is said anew, so it is there.
            again = [
                replace(event, time=told.received)
                for event, new in zip(events, news, strict=True)
                if not new and event.status != UP
            ]
            if again:
                await self._accept(told, again)
        except BaseException:
            for event in events:
                ledger.forget(event)
            for event in gone:  # nobody would say it again
                ledger.restore(replace(event, status=DOWN), event.time - LONG_AGO, event.time)
            raise
        return {mark_of(event) for event, new in zip(events, news, strict=True) if new}

    async def _accept(self, told: Told, events: list[RawEvent]) -> list[bool]:
        report = Reported(events, told.source, msgspec.json.encode(events), told.received)
        (accepted,) = await self._faults.accept([report])
        return accepted.news

    def _ledger(self, source: str, kind: str) -> Ledger:
        return self._ledgers.setdefault((source, kind), Ledger())

    async def run(self) -> None:
        """End what was not said again in time, until cancelled."""
        while True:
            await asyncio.sleep(LOOK_EVERY)
            for (name, _), ledger in list(self._ledgers.items()):
                await self._expire(name, ledger, self._clock.now())

    async def _expire(self, name: str, ledger: Ledger, now: datetime) -> None:
        source = self._sources.get(name)
        if source is None or source.last_heard is None:
            return
        gone = ledger.expired(source.last_heard, now)
        with suppress(StoreError):  # found again at the next look
            await self._judge(ledger, Told(name, now), (), gone)


def _stated(readings: Iterable[Reading]) -> Iterator[Stated]:
    return (reading for reading in readings if isinstance(reading, Stated))
