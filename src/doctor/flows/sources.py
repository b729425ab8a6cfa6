"""Who reports, how much, how late; and that somebody has fallen silent who should speak.

Every report passes here after it was judged, which costs it a few additions. What is counted is in memory alone and
begins with the process. The silence of a source is told as an event like any other, and so is its end.
"""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog

from doctor.flows.fault import Accepted, FaultFlow, Reported
from doctor.flows.judgement import OWN
from doctor.flows.service_levels import MEASURER
from doctor.flows.situation import Situation
from doctor.inspector.source import SILENT, TEST, Source
from doctor.kit.clock import Clock
from doctor.model.alarm import AlarmedFault
from doctor.model.errors import StoreError
from doctor.model.event import DOWN, UP, RawEvent
from doctor.ports.monitor import Counts, Speaks

log = structlog.get_logger(__name__)

RESOURCE_TYPE = "monitor"
FAULT_TYPE = "monitor silent"
EVENTS = "events"  # the kind of who reports events as they are
INNER = (OWN, MEASURER)  # Doctor itself is nobody's source
LOOK_EVERY = 0.5  # seconds
HELD_UP = 3.0  # seconds: Doctor itself did not run, and there may be reports that wait to be read
PROMISED, SETTINGS, HEARTBEAT = "promised_by", "settings", "heartbeat"
MOST = 10_000  # sources; one token is one


class Sources:
    """Knows everybody who reports. ``promised`` are those that the settings expect to speak."""

    def __init__(
        self, situation: Situation, faults: FaultFlow, clock: Clock, promised: Mapping[str, timedelta]
    ) -> None:
        self._situation = situation
        self._faults = faults
        self._clock = clock
        self._sources = {name: Source(name, after) for name, after in promised.items()}
        self._counted: dict[str, Counts] = {}
        self._began = clock.monotonic()
        self.since = clock.now()
        faults.on_reported(self._reported)

    @property
    def all(self) -> list[Source]:
        """Return them by name."""
        return [self._sources[name] for name in sorted(self._sources)]

    def get(self, name: str) -> Source | None:
        """Return one, None if nobody of this name is known."""
        return self._sources.get(name)

    def has(self, name: str, kind: str, monitor: object = None) -> None:
        """Make a monitor of Doctor's own known before it says anything."""
        source = self._of(name)
        source.kind = kind
        if isinstance(monitor, Speaks) and not source.is_promised:
            source.silent_after, source.is_promised = monitor.silent_after, True
        if isinstance(monitor, Counts):
            self._counted[name] = monitor

    def counts_of(self, name: str) -> Mapping[str, int]:
        """Return what a monitor counts itself, such as what it has lost."""
        counted = self._counted.get(name)
        return {} if counted is None else counted.counts()

    def silence_of(self, name: str) -> AlarmedFault | None:
        """Return the open fault that a source is silent, or None; not one that the failure policy has found."""
        found = self._situation.book.open_fault(name, FAULT_TYPE)
        return found if found is not None and PROMISED in found.fault.details else None

    def hears(self, name: str, kind: str, received: datetime, until: datetime | None = None) -> None:
        """Note that a source spoke, and until when at the latest it says to speak again."""
        source = self._of(name)
        source.kind = kind or source.kind
        source.hears(received, self._clock.monotonic())
        if until is not None:
            source.promises(until, received)

    def repeats(self, name: str, times: int) -> None:
        """Note that a source said what is known to stand."""
        source = self._of(name)
        source.events += times
        source.duplicates += times

    def refuses(self, name: str, items: int) -> None:
        """Note that something of a source could not be accepted."""
        self._of(name).rejected += items

    def _of(self, name: str) -> Source:
        source = self._sources.get(name)
        if source is None:
            source = Source(name)
            if len(self._sources) < MOST:
                self._sources[name] = source
        return source

    def _reported(self, reports: Sequence[Reported], accepted: Sequence[Accepted]) -> None:
        monotonic = self._clock.monotonic()
        for (events, name, _, received), (_, news) in zip(reports, accepted, strict=True):
            if name in INNER:
                continue
            source = self._sources.get(name) or self._of(name)
            if not source.kind:
                source.kind = EVENTS
            last = events[-1] if events else None
            said = last.time if last else None
            source.takes(len(news), news.count(True), said, received, monotonic)
            if last and last.type == TEST:
                source.last_test = received

    # --- silence ---

    def start(self) -> None:
        """Take over who was silent when Doctor ended; whom the settings expect no more is so no longer."""
        for record in self._situation.book:
            name, details = record.fault.resource_id, record.fault.details
            if record.fault.fault_type == FAULT_TYPE and PROMISED in details:
                source = self._of(name)
                source.is_silent = True
                if details[PROMISED] == HEARTBEAT and source.silent_after is None:
                    source.silent_after = timedelta(seconds=float(details["silent_after"]))

    async def run(self) -> None:
        """Look after those that should speak, until cancelled."""
        before = self._began = self._clock.monotonic()
        while True:
            await asyncio.sleep(LOOK_EVERY)
            now, wall = self._clock.monotonic(), self._clock.now()
            if now - before > HELD_UP or self._faults.lookout.cut_off_until(wall) == wall:
                self._began = now  # everybody has his time anew
            before = now
            for source in self.all:
                source.samples(now)
                await self._look_at(source, now)

    async def _look_at(self, source: Source, now: float) -> None:
        is_missed = source.is_missed(now, self._began)
        if is_missed == source.is_silent:
            return
        if not is_missed and source.last_heard is None and source.silent_after is not None:
            return  # from before a start: it is as silent as then until it speaks
        try:
            await self._tell(source, is_missed)
        except StoreError:
            return  # said at the next look
        source.is_silent = is_missed

    async def _tell(self, source: Source, is_silent: bool) -> None:
        now = self._clock.now()
        heard = source.last_heard
        cause = (
            "has spoken again"
            if not is_silent
            else "has never spoken since Doctor began"
            if heard is None
            else f"has said nothing since {heard.isoformat(timespec='seconds')}"
        )
        details = {
            "status": DOWN if is_silent else UP,
            "source": OWN,
            "monitor_id": source.name,
            "cause": cause,
            "silent_after": source.silent_after.total_seconds() if source.silent_after else 0.0,
            PROMISED: SETTINGS if source.is_promised else HEARTBEAT,
        }
        event = RawEvent(
            time=now,
            type=SILENT,
            resource=source.name,
            resource_type=RESOURCE_TYPE,
            source=OWN,
            status=str(details["status"]),
            raw_details=msgspec.json.encode(details),
        )
        await self._faults.accept([Reported([event], OWN, msgspec.json.encode(event), now)])
        (log.warning if is_silent else log.info)(
            "source.silent" if is_silent else "source.speaks", source=source.name
        )
