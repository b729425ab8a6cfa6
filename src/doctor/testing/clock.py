"""Clocks for tests: one that stands still until it is told to go on, and one that goes with the event loop."""

import asyncio
from datetime import UTC, datetime, timedelta

START = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class ManualClock:
    """A clock that stands still. `advance` moves both its times, `set_wall` only the one that people see."""

    def __init__(self, start: datetime = START) -> None:
        self._now = start
        self._monotonic = 0.0

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return self._now

    def monotonic(self) -> float:
        """Return the seconds that went by since the clock was made."""
        return self._monotonic

    def advance(self, seconds: float) -> None:
        """Let time go by.

        Raises:
            ValueError: time would go backwards.
        """
        if seconds < 0:
            raise ValueError(f"time does not go back: {seconds} seconds")
        self._now += timedelta(seconds=seconds)
        self._monotonic += seconds

    def set_wall(self, now: datetime) -> None:
        """Correct the wall clock, also backwards, as NTP or a person may do at any moment."""
        self._now = now


class LoopClock:
    """A clock that goes with the running event loop: under virtual time, with that.

    The loop's second 0 is ``start``.
    """

    def __init__(self, start: datetime = START) -> None:
        self._start = start

    def now(self) -> datetime:
        """Return the wall-clock time."""
        return self._start + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        """Return the seconds of the event loop."""
        return asyncio.get_running_loop().time()
