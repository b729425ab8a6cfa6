"""What is to be done at which time: for flows that need more than messages to go on.

Times are the wall clock's, since they are promised to people and outlive the process. Nothing here is durable: a flow
knows from its own records what it has to put here at a start.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta

import structlog

from doctor.kit.clock import Clock
from doctor.model.errors import TransientError

log = structlog.get_logger(__name__)

Action = Callable[[datetime], Awaitable[None]]

LOOK_EVERY = 60.0  # seconds: the wall clock may be set while one waits
RETRY_AFTER = timedelta(seconds=1)


class Agenda:
    """Actions by their moment. `run` performs them; who has no loop calls `due`."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._plans: dict[str, tuple[datetime, Action]] = {}
        self._changed = asyncio.Event()

    def at(self, moment: datetime, key: str, action: Action) -> None:
        """Perform an action at a moment, or at once when it is over; another one of the same key is given up."""
        self._plans[key] = (moment, action)
        self._changed.set()

    def has(self, key: str) -> bool:
        """Tell whether an action of this key is planned."""
        return key in self._plans

    def cancel(self, key: str) -> None:
        """Give up an action; one that is not planned is no error."""
        self._plans.pop(key, None)

    @property
    def next(self) -> datetime | None:
        """Return the moment of the first action, None without any."""
        return min((moment for moment, _ in self._plans.values()), default=None)

    async def due(self, now: datetime) -> None:
        """Perform all that is due, the earliest first. What fails for now is tried again a second later."""
        ready = sorted((moment, key) for key, (moment, _) in self._plans.items() if moment <= now)
        for moment, key in ready:
            plan = self._plans.get(key)
            if plan is None or plan[0] != moment:
                continue  # what was done before has changed it
            del self._plans[key]
            try:
                await plan[1](now)
            except TransientError as error:
                log.warning("agenda.postponed", what=key, error=str(error))
                if key not in self._plans:
                    self.at(now + RETRY_AFTER, key, plan[1])
            except Exception:  # a defect of one flow must not stop the others
                log.exception("agenda.broken", what=key)

    async def run(self) -> None:
        """Perform until cancelled."""
        while True:
            self._changed.clear()
            now = self._clock.now()
            first = self.next
            if first is None or first > now:
                wait = None if first is None else min((first - now).total_seconds(), LOOK_EVERY)
                try:
                    async with asyncio.timeout(wait):
                        await self._changed.wait()
                except TimeoutError:
                    pass
                continue
            await self.due(now)
