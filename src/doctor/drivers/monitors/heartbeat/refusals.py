"""What was not taken, by reason: counted always, written to the log at a bounded rate."""

from collections import Counter
from enum import StrEnum

import structlog

LOG_EVERY = 10.0  # seconds

log = structlog.get_logger()


class Reason(StrEnum):
    """Why a datagram counts for nothing."""

    MALFORMED = "malformed"
    NOT_FOR_US = "not for us"  # what only a listener sends
    UNKNOWN_HOST = "unknown host"
    WRONG_SIGNATURE = "wrong signature"
    REPLAYED = "replayed"
    UNPROVEN = "unproven"  # may be a recording; its sender was asked
    TOO_MANY_NETWORKS = "too many networks"


class Refusals:
    """Counts, and says once in a while what has come together."""

    def __init__(self) -> None:
        self.counts: Counter[Reason] = Counter()
        self._said: Counter[Reason] = Counter()
        self._last: dict[Reason, str] = {}
        self._next = 0.0

    @property
    def refused(self) -> int:
        """Return how many there were, but for those that only had to prove themselves."""
        return self.counts.total() - self.counts[Reason.UNPROVEN]

    def add(self, reason: Reason, source: str) -> None:
        """Count one."""
        self.counts[reason] += 1
        self._last[reason] = source

    def tell(self, now: float) -> None:
        """Write to the log what is new, if it is time again. A few that had to prove themselves are no news."""
        if now < self._next:
            return
        new = self.counts - self._said
        del new[Reason.UNPROVEN]
        if new:
            self._next = now + LOG_EVERY
            self._said = self.counts.copy()
            for reason, count in new.items():
                log.warning("heartbeat.refused", reason=reason, count=count, last_from=self._last[reason])
