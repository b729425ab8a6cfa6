"""What is to be done at which time: the flows note it here, and one task wakes them.

Nothing is durable here. Whoever notes something does it anew after a restart, from what is kept.
"""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog

from doctor.kit.clock import Clock
from doctor.model.errors import StoreError

log = structlog.get_logger(__name__)

Action = Callable[[], Awaitable[None]]
AGAIN = timedelta(seconds=1)  # when the store could not be written


class Entry(NamedTuple):
    """Something to do, and when."""

    moment: datetime
    action: Action


class Agenda:
    """All that is to be done. `run` does it; a key is noted once, and the last time counts."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._entries: dict[tuple[str, ...], Entry] = {}
        self._changed = asyncio.Event()

    def at(self, moment: datetime, key: tuple[str, ...], action: Action) -> None:
        """Have something done at a moment, instead of what the key stood for before."""
        self._entries[key] = Entry(moment, action)
        self._changed.set()

    def drop(self, key: tuple[str, ...]) -> None:
        """Have it not done."""
        self._entries.pop(key, None)

    async def run(self) -> None:
        """Do what is due, until cancelled."""
        while True:
            self._changed.clear()
            now = self._clock.now()
            due = sorted((entry.moment, key) for key, entry in self._entries.items() if entry.moment <= now)
            for _, key in due:
                await self._do(key)
            if not due:
                await self._wait(now)

    async def _do(self, key: tuple[str, ...]) -> None:
        entry = self._entries.pop(key, None)
        if entry is None:  # dropped by what was done just before
            return
        try:
            await entry.action()
        except StoreError as error:
            log.warning("agenda.postponed", what=key[0], error=str(error))
            self._entries.setdefault(key, Entry(self._clock.now() + AGAIN, entry.action))

    async def _wait(self, now: datetime) -> None:
        first = min((entry.moment for entry in self._entries.values()), default=None)
        try:
            async with asyncio.timeout(None if first is None else (first - now).total_seconds()):
                await self._changed.wait()
        except TimeoutError:
            pass
