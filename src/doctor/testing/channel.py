"""A channel without a network, for tests of the flows: what it answers is written beforehand."""

import asyncio
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from datetime import datetime

from doctor.kit.clock import Clock, SystemClock
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, Gone, Refused, StoredNotification
from doctor.model.subscription import FORMATS, Endpoint

Answer = Failed | Refused | Gone | None  # None takes the notification


@dataclass(frozen=True)
class Attempt:
    """One call of ``deliver``; ``outcome`` is None as long as it is under way, and when it was cancelled."""

    endpoint_id: str
    notification: StoredNotification
    attempt: int
    told: datetime
    outcome: DeliveryOutcome | None = None
    replay: bool = False


class FakeChannel:
    """Takes every notification at once, unless it was told otherwise.

    ``attempts`` has every call in the order of starting. ``most_under_way`` counts per endpoint how many were under
    way at once: a flow that keeps its promise never makes it more than 1.
    """

    def __init__(self, clock: Clock | None = None) -> None:
        self.attempts: list[Attempt] = []
        self.probed: list[str] = []
        self.most_under_way: dict[str, int] = {}
        self.closed = False
        self._clock = clock or SystemClock()
        self._next: defaultdict[str, deque[Answer]] = defaultdict(deque)
        self._always: dict[str, Answer] = {}
        self._slow: dict[str, float] = {}
        self._held: dict[str, asyncio.Event] = {}
        self._absent: dict[str, str] = {}
        self._forbidden: dict[str, str] = {}
        self._under_way: defaultdict[str, int] = defaultdict(int)

    # --- what a test says beforehand ---

    def answer(self, endpoint_id: str, *answers: Answer) -> None:
        """Answer the next attempts like this, one after the other; None takes the notification."""
        self._next[endpoint_id].extend(answers)

    def always_answer(self, endpoint_id: str, answer: Answer) -> None:
        """Answer like this whenever `answer` has nothing left; None is the start again."""
        self._always[endpoint_id] = answer

    def slow(self, endpoint_id: str, seconds: float) -> None:
        """Take that long for each attempt."""
        self._slow[endpoint_id] = seconds

    def hold(self, endpoint_id: str) -> None:
        """Let attempts hang until `release`."""
        self._held.setdefault(endpoint_id, asyncio.Event())

    def release(self, endpoint_id: str) -> None:
        """Let what hangs go on."""
        self._held.pop(endpoint_id).set()

    def absent(self, endpoint_id: str, sentence: str = "connection refused") -> None:
        """Answer a probe of this endpoint with the sentence."""
        self._absent[endpoint_id] = sentence

    def forbid(self, url: str, sentence: str = "address 169.254.169.254 is not allowed: link-local") -> None:
        """Object to this URL."""
        self._forbidden[url] = sentence

    # --- what a test looks at afterwards ---

    def delivered(self, endpoint_id: str) -> list[StoredNotification]:
        """Return what an endpoint has received, in order, each repeat as often as it was received."""
        return [
            attempt.notification
            for attempt in self.attempts
            if attempt.endpoint_id == endpoint_id and isinstance(attempt.outcome, Delivered)
        ]

    def sequences(self, endpoint_id: str) -> list[int]:
        """Return the sequences that an endpoint has received, in order."""
        return [notification.sequence for notification in self.delivered(endpoint_id)]

    # --- the port ---

    async def deliver(
        self, endpoint: Endpoint, notification: StoredNotification, *, attempt: int, replay: bool = False
    ) -> DeliveryOutcome:
        """Take the notification, or answer as was written."""
        name = endpoint.endpoint_id
        if self.closed:
            return Failed("the channel is closed")
        if objection := self.check(endpoint):
            return Failed(objection)
        index = len(self.attempts)
        entry = Attempt(name, notification, attempt, self._clock.now(), replay=replay)
        self.attempts.append(entry)
        self._under_way[name] += 1
        self.most_under_way[name] = max(self.most_under_way.get(name, 0), self._under_way[name])
        try:
            if name in self._held:
                await self._held[name].wait()
            await asyncio.sleep(self._slow.get(name, 0.0))
        finally:
            self._under_way[name] -= 1
        answer = self._next[name].popleft() if self._next[name] else self._always.get(name)
        outcome = Delivered(200, entry.told, self._clock.now()) if answer is None else answer
        self.attempts[index] = replace(entry, outcome=outcome)
        return outcome

    async def probe(self, endpoint: Endpoint) -> str | None:
        """Say that the endpoint is there, unless it was declared absent."""
        self.probed.append(endpoint.endpoint_id)
        await asyncio.sleep(0)
        return self.check(endpoint) or self._absent.get(endpoint.endpoint_id)

    def check(self, endpoint: Endpoint) -> str | None:
        """Object to unknown formats and forbidden URLs."""
        if endpoint.format not in FORMATS:
            return f"format {endpoint.format!r} is not known: use {', '.join(FORMATS[:-1])} or {FORMATS[-1]}"
        return self._forbidden.get(endpoint.url)

    async def close(self) -> None:
        """Take nothing more."""
        self.closed = True
