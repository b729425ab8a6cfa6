"""What was not taken of what came, by reason: counted always, written to the log at a bounded rate."""

from collections import Counter
from collections.abc import Collection
from enum import StrEnum
from typing import Generic, TypeVar

import structlog

LOG_EVERY = 10.0  # seconds

R = TypeVar("R", bound=StrEnum)

log = structlog.get_logger()


class Refusals(Generic[R]):
    """Counts, and says once in a while what has come together: as the ``event`` of the log, without what is ``harmless``."""

    def __init__(self, event: str, harmless: Collection[R] = ()) -> None:
        self.counts: Counter[R] = Counter()
        self._event = event
        self._harmless = harmless
        self._said: Counter[R] = Counter()
        self._last: dict[R, str] = {}
        self._next = 0.0

    @property
    def refused(self) -> int:
        """Return how many there were, but for those that are harmless."""
        return self.counts.total() - sum(self.counts[reason] for reason in self._harmless)

    def add(self, reason: R, source: str) -> None:
        """Count one."""
        self.counts[reason] += 1
        self._last[reason] = source

    def tell(self, now: float) -> None:
        """Write to the log what is new, if it is time again."""
        if now < self._next:
            return
        new = self.counts - self._said
        for reason in self._harmless:
            del new[reason]
        if new:
            self._next = now + LOG_EVERY
            self._said = self.counts.copy()
            for reason, count in new.items():
                log.warning(self._event, reason=reason, count=count, last_from=self._last[reason])
