"""A circuit breaker: whoever fails again and again is left alone for a while, then tried once.

It keeps a dead service from costing everybody who asks it a timeout, and a struggling one from being asked to death.
"""

from enum import StrEnum


class Circuit(StrEnum):
    """How a breaker stands."""

    CLOSED = "closed"  # all may pass
    OPEN = "open"  # nobody may
    TRYING = "trying"  # one has passed, and how that goes decides


class Breaker:
    """Counts failures in a row. Times are monotonic seconds and come from outside."""

    def __init__(self, *, failures: int = 5, rest: float = 5.0, longest_rest: float = 60.0) -> None:
        """Open after so many ``failures`` in a row, for ``rest`` seconds; twice as long each time it fails again."""
        self.circuit = Circuit.CLOSED
        self._limit = failures
        self._first_rest = self._rest = rest
        self._longest_rest = longest_rest
        self._failures = 0
        self._until = 0.0

    def may_pass(self, now: float) -> bool:
        """Tell whether one may ask now. Who was let pass says how it went, by `succeeded` or `failed`."""
        if self.circuit is Circuit.CLOSED:
            return True
        if now < self._until:
            return False
        # One tries. Should it never report, another one may after as long again.
        self.circuit = Circuit.TRYING
        self._until = now + self._rest
        return True

    def succeeded(self) -> None:
        """It has answered, whatever it said."""
        self.circuit = Circuit.CLOSED
        self._failures = 0
        self._rest = self._first_rest

    def failed(self, now: float) -> None:
        """It has not answered, or said that it cannot."""
        self._failures += 1
        if self.circuit is Circuit.TRYING:
            self._rest = min(self._rest * 2, self._longest_rest)
        elif self._failures < self._limit:
            return
        self.circuit = Circuit.OPEN
        self._until = now + self._rest

    def spare(self, now: float, seconds: float) -> None:
        """It has asked to be left alone for so long; then one tries."""
        self.circuit = Circuit.OPEN
        self._until = max(self._until, now + seconds)

    def remaining(self, now: float) -> float:
        """Return how many seconds nobody may ask yet."""
        return 0.0 if self.circuit is Circuit.CLOSED else max(0.0, self._until - now)
