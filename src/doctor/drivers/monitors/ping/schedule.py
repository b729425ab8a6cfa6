"""When which address is asked next: evenly over the interval, however many there are.

The n-th address begins at the n-th step of the golden ratio through its interval. Such steps stay almost even for
any number of them, so addresses may come and go and nobody else has to move.
"""

import heapq
from collections.abc import Iterator

from doctor.drivers.monitors.ping.judging import Path

GOLDEN = 0.6180339887498949


class Schedule:
    """The turns of all addresses."""

    def __init__(self) -> None:
        self._turns: list[tuple[float, int, Path]] = []  # a heap of when, serial of the address, address
        self._serials: dict[Path, int] = {}
        self._steps = 0

    @property
    def next_turn(self) -> float | None:
        """Return when somebody is asked next."""
        return self._turns[0][0] if self._turns else None

    def add(self, path: Path, now: float) -> None:
        """Give an address its turns, the first within one interval. Added anew, it gets new ones."""
        self._steps += 1
        self._serials[path] = self._steps
        first = now + path.host.rule.interval * (self._steps * GOLDEN % 1.0)
        heapq.heappush(self._turns, (first, self._steps, path))

    def remove(self, path: Path) -> None:
        """Take the turns away."""
        del self._serials[path]

    def due(self, now: float) -> Iterator[Path]:
        """Give those whose turn has come. Each comes once, however late we are, and keeps its step."""
        turns, serials = self._turns, self._serials
        while turns and turns[0][0] <= now:
            when, serial, path = turns[0]
            if serials.get(path) == serial:
                heapq.heapreplace(turns, (following(when, path.host.rule.interval, now), serial, path))
                yield path
            else:
                heapq.heappop(turns)


def following(when: float, interval: float, now: float) -> float:
    """Return the turn after this one, in step, and no sooner than half an interval from now."""
    if now - when < interval / 2:
        return when + interval
    return when + interval * ((now - when + interval / 2) // interval + 1.0)
