"""A moment by which something has to be done: made by who asks, handed down to who does it."""

from dataclasses import dataclass, field
from typing import Self

from doctor.kit.clock import Clock


@dataclass(frozen=True)
class Deadline:
    """``at`` is a time of the monotonic clock, so that setting the wall clock changes nothing."""

    at: float
    clock: Clock = field(compare=False, repr=False)

    @classmethod
    def after(cls, seconds: float, clock: Clock) -> Self:
        """Return the deadline so many seconds from now."""
        return cls(clock.monotonic() + seconds, clock)

    @property
    def left(self) -> float:
        """Return the seconds that are left, 0 when it has passed."""
        return max(self.at - self.clock.monotonic(), 0.0)

    @property
    def has_passed(self) -> bool:
        """Tell whether it is too late."""
        return self.left <= 0.0

    def within(self, seconds: float) -> "Deadline":
        """Return the deadline of a part: so many seconds from now, and never later than the whole."""
        return Deadline(min(self.at, self.clock.monotonic() + seconds), self.clock)
