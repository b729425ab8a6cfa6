"""Looks at many BMCs again and again, each by itself: one that hangs or lies holds up no other."""

import asyncio
from collections.abc import AsyncGenerator, Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from typing import Protocol

import structlog

from doctor.drivers.monitors.bmc.findings import (
    Finding,
    Look,
    event_of,
    event_of_record,
    ledger_of,
    report_bmc,
)
from doctor.kit.clock import Clock, SystemClock
from doctor.kit.deadline import Deadline
from doctor.model.event import RawEvent
from doctor.model.fencing import Doubt, Unknown
from doctor.ports.monitor import Said, Targets
from doctor.ports.payload import Listing, Stated, Told

TURNS = 3  # without an answer, before a BMC is silent
LOGIN_AGAIN = 300.0  # seconds: wrong logins can lock an account
LEAST = 0.1  # seconds between two looks at a BMC, however often its bell rings
APART = 0.02  # seconds between the first looks, so that hundreds do not come at once
MOST_WAITING = 256  # what nobody has taken yet; beyond that no BMC is looked at
WARN_EVERY = 60.0

log = structlog.get_logger(__name__)


class Bmc(Protocol):
    """One BMC, of one host. ``bell`` is rung by whoever knows that there is news: it is looked at before its time."""

    host: str
    bell: asyncio.Event

    async def look(self, deadline: Deadline) -> Look | Unknown:
        """Read all that it shows, or say why not."""
        ...

    async def close(self) -> None:
        """Let go of it."""
        ...


class BmcMonitor:
    """Reports what the BMCs show. ``make`` makes them; a run has its own.

    A monitor that hears of them in another way too is a subclass, with what `_begin` and `_end` do beside.
    """

    def __init__(
        self,
        driver: str,
        name: str,
        make: Callable[[], Sequence[Bmc]],
        *,
        every: timedelta,
        timeout: timedelta,
        clock: Clock | None = None,
    ) -> None:
        self.name = name
        self.silent_after = TURNS * (every + timeout)
        self._driver = driver
        self._make = make
        self._every = every.total_seconds()
        self._timeout = timeout.total_seconds()
        self._clock = clock or SystemClock()
        self._rejected = 0
        self._lost = 0
        self._warned_at: float | None = None

    def counts(self) -> Mapping[str, int]:
        """Return how much made no sense, and how many records of logs were lost."""
        return {"rejected": self._rejected, "lost": self._lost}

    async def watch(self, targets: Targets) -> AsyncGenerator[Said, None]:
        """Yield what stands on each host, at once and then again and again, and what BMCs write into their logs."""
        bmcs = await self._begin()
        says = asyncio.Queue[Said | Exception](MOST_WAITING)
        tasks = [
            asyncio.create_task(self._follow(bmc, says, index * APART), name=f"{self.name} {bmc.host}")
            for index, bmc in enumerate(bmcs)
        ]
        try:
            while True:
                said = await says.get()
                if isinstance(said, Exception):
                    raise said
                yield said
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await asyncio.gather(*(bmc.close() for bmc in bmcs), return_exceptions=True)
            await self._end()

    async def _begin(self) -> Sequence[Bmc]:
        return self._make()

    async def _end(self) -> None:
        """Give back what `_begin` has taken."""

    async def _follow(self, bmc: Bmc, says: "asyncio.Queue[Said | Exception]", delay: float) -> None:
        try:
            await asyncio.sleep(delay)
            await self._look_again_and_again(bmc, says)
        except Exception as error:
            await says.put(error)

    async def _look_again_and_again(self, bmc: Bmc, says: "asyncio.Queue[Said | Exception]") -> None:
        known = Known(self._driver, self.name, bmc.host)
        while True:
            began = self._clock.monotonic()
            bmc.bell.clear()
            told = Told(self.name, self._clock.now())
            look = await bmc.look(Deadline.after(self._timeout, self._clock))
            if isinstance(look, Unknown):
                self._warn(bmc.host, look.detail)
            else:
                self._count(bmc.host, look)
            for said in known.take(look, told):
                await says.put(said)
            hopeless = isinstance(look, Unknown) and look.doubt is Doubt.LOGIN
            pause = max(self._every, LOGIN_AGAIN) if hopeless else self._every
            await asyncio.sleep(min(LEAST, pause))
            with suppress(TimeoutError):
                async with asyncio.timeout(max(began + pause - self._clock.monotonic(), 0.0)):
                    await bmc.bell.wait()

    def _count(self, host: str, look: Look) -> None:
        self._rejected += look.flaws
        self._lost += look.lost
        if look.flaws or look.lost:
            self._warn(host, f"{look.flaws} things make no sense, {look.lost} records are lost")

    def _warn(self, host: str, what: str) -> None:
        now = self._clock.monotonic()
        if self._warned_at is None or now - self._warned_at > WARN_EVERY:
            self._warned_at = now
            log.warning("bmc.unread", monitor=self.name, host=host, error=what)


class Known:
    """What is known of one BMC: since when what stands, and whether it answers."""

    def __init__(self, driver: str, source: str, host: str) -> None:
        self._driver = driver
        self._source = source
        self._host = host
        self._since: dict[tuple[str, str], datetime] = {}
        self._unanswered = 0
        self._is_silent: bool | None = None  # None: not known yet

    def take(self, look: Look | Unknown, told: Told) -> Iterator[Said]:
        """Return what has to be said of a look. That nobody answers is the end of nothing."""
        if isinstance(look, Unknown):
            self._unanswered += 1
            if not self._is_silent and (self._unanswered >= TURNS or look.doubt is Doubt.LOGIN):
                self._is_silent = True
                yield self._report(look.detail, told)
            return
        self._unanswered = 0
        if self._is_silent is not False:  # said once at the start too: an alarm of before may be open
            self._is_silent = False
            yield self._report(None, told)
        for record in look.records:
            yield event_of_record(record, self._host, source=self._source, time=told.received)
        yield Listing(
            ledger_of(self._driver, self._host),
            told,
            [Stated(self._stand(one, told)) for one in look.findings],
        )
        self._forget(look.findings)

    def _report(self, trouble: str | None, told: Told) -> Said:
        return report_bmc(self._host, trouble, source=self._source, time=told.received)

    def _stand(self, finding: Finding, told: Told) -> RawEvent:
        since = self._since.setdefault((finding.type, finding.part), told.received)
        return event_of(finding, self._host, driver=self._driver, source=self._source, time=since)

    def _forget(self, findings: Sequence[Finding]) -> None:
        there = {(one.type, one.part) for one in findings}
        self._since = {key: since for key, since in self._since.items() if key in there}
