"""The way to the consumers: endpoints that are slow, deaf, broken, or gone, and answers that get lost.

What was received is written down here, outside of Doctor, whatever Doctor heard of it.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

from doctor.kit.clock import Clock
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, Gone, Refused, StoredNotification
from doctor.model.subscription import Endpoint
from doctor.testing.simulation.loop import PROCESS, SimLoop
from doctor.testing.simulation.trace import Trace

TIMEOUT = 5.0
MOODS = (
    "down",
    "hangs",
    "loses answers",
    "5xx",
    "5xx and took it",
    "4xx",
    "busy",
    "slow",
    "gone",
    "broken channel",
)


class Term(NamedTuple):
    """One time of an endpoint in a subscription: what is removed and added anew is told from then on, by a way of its own.

    A request of the former time may still be on its way, so that what is promised holds within each alone.
    """

    endpoint_id: str
    since: int

    @classmethod
    def of(cls, endpoint: Endpoint) -> "Term":
        """Return which time of an endpoint this is."""
        return cls(endpoint.endpoint_id, endpoint.since)


@dataclass(frozen=True)
class Sent:
    """One attempt of Doctor, at the tick when it began."""

    tick: int
    process: str
    endpoint: Endpoint
    notification: StoredNotification
    attempt: int


@dataclass(frozen=True)
class Receipt:
    """One message as an endpoint received it."""

    tick: int
    endpoint: Endpoint
    notification: StoredNotification


@dataclass
class Ledger:
    """All that was sent and received, and what was seen to be wrong on the way."""

    sent: list[Sent] = field(default_factory=list)
    received: defaultdict[str, list[Receipt]] = field(default_factory=lambda: defaultdict(list))
    most_under_way: defaultdict[tuple[str, Term], int] = field(default_factory=lambda: defaultdict(int))
    not_kept: list[Sent] = field(default_factory=list)


class SimChannel:
    """One Doctor's channel, or the next one's: the endpoints outlive both."""

    def __init__(
        self,
        rng: random.Random,
        loop: SimLoop,
        clock: Clock,
        trace: Trace,
        is_kept: Callable[[StoredNotification], bool],
    ) -> None:
        self._rng = rng
        self._loop = loop
        self._clock = clock
        self._trace = trace
        self._moods: dict[str, tuple[str, float]] = {}
        self._under_way: defaultdict[tuple[str, Term], int] = defaultdict(int)
        self._is_kept = is_kept
        self._poison: dict[tuple[str, int], bool] = {}
        self.ledger = Ledger()
        self.on_refused: Callable[[], None] | None = None
        self.badness = 0.0

    async def deliver(
        self, endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        """Send once; the outcome is what Doctor sees of what happened."""
        name = f"{endpoint.url}#{notification.sequence}"
        process = PROCESS.get()
        key = (process.name if process else "", Term.of(endpoint))
        mood = "4xx" if self._is_poison(endpoint, notification) else self._mood(endpoint.endpoint_id)
        tick = self._trace.note("doctor", "sends", name, f"attempt {attempt}", "" if mood == "well" else mood)
        sent = Sent(tick, key[0], endpoint, notification, attempt)
        self.ledger.sent.append(sent)
        if not self._is_kept(notification):
            self.ledger.not_kept.append(sent)
        self._under_way[key] += 1
        self.ledger.most_under_way[key] = max(self.ledger.most_under_way[key], self._under_way[key])
        told = self._clock.now()
        try:
            return await self._happen(mood, endpoint, notification, told)
        finally:
            self._under_way[key] -= 1

    async def _happen(
        self, mood: str, endpoint: Endpoint, notification: StoredNotification, told: datetime
    ) -> DeliveryOutcome:
        rng = self._rng
        way = rng.choice([0.0001, 0.001, 0.03])
        match mood:
            case "down":
                await asyncio.sleep(way)
                return Failed("connection refused")
            case "hangs":
                if rng.random() < 0.5:
                    self._receive_in(rng.choice([way, TIMEOUT + 1.0]), endpoint, notification)
                await asyncio.sleep(TIMEOUT)
                return Failed("timeout")
            case "loses answers":
                self._receive_in(way, endpoint, notification)
                await asyncio.sleep(way * 2)
                return Failed("connection reset")
            case "5xx and took it":
                self._receive_in(way, endpoint, notification)
                await asyncio.sleep(way * 2)
                return Failed("502", 502)
            case "5xx":
                await asyncio.sleep(way)
                return Failed("500", 500)
            case "busy":
                await asyncio.sleep(way)
                return Failed("503", 503, retry_after=rng.choice([0.0, 1.0, 20.0]))
            case "4xx":
                await asyncio.sleep(way)
                if self.on_refused is not None:
                    self.on_refused()
                return Refused("422", 422)
            case "gone":
                await asyncio.sleep(way)
                return Gone("410")
            case "broken channel":
                await asyncio.sleep(way)
                raise ZeroDivisionError("a defect of a channel")
            case "slow":
                way = rng.uniform(0.2, TIMEOUT)
            case _:
                pass
        self._receive_in(way, endpoint, notification)
        await asyncio.sleep(way + rng.choice([0.0001, 0.001, 0.02]))  # the answer is behind what it answers
        return Delivered(200, told, self._clock.now())

    def _receive_in(self, seconds: float, endpoint: Endpoint, notification: StoredNotification) -> None:
        self._loop.outside(seconds, self._receive, endpoint, notification)

    def _receive(self, endpoint: Endpoint, notification: StoredNotification) -> None:
        tick = self._trace.note(endpoint.url, "received", f"#{notification.sequence}")
        self.ledger.received[endpoint.endpoint_id].append(Receipt(tick, endpoint, notification))

    def _is_poison(self, endpoint: Endpoint, notification: StoredNotification) -> bool:
        """Tell whether an endpoint never takes this message, although it takes others [I-20]."""
        place = (endpoint.endpoint_id, notification.sequence)
        if place not in self._poison:
            self._poison[place] = self._rng.random() < 0.06 * self.badness
        return self.badness > 0.0 and self._poison[place]

    def _mood(self, endpoint_id: str) -> str:
        mood, until = self._moods.get(endpoint_id, ("well", 0.0))
        if self.badness == 0.0:
            return "well"
        if self._loop.time() >= until:
            is_bad = self._rng.random() < self.badness
            mood = self._rng.choice(MOODS) if is_bad else "well"
            until = self._loop.time() + self._rng.choice([0.0, 0.2, 2.0, 8.0])
            self._moods[endpoint_id] = mood, until
        return mood

    async def probe(self, endpoint: Endpoint) -> str | None:
        """Say that the endpoint is there."""
        await asyncio.sleep(0.001)
        return None

    def check(self, endpoint: Endpoint) -> str | None:
        """Have no objection."""
        return None

    async def close(self) -> None:
        """Keep nothing."""
