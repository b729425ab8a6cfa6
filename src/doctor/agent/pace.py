"""How often the agent says that it is there: the settings, and what Doctor wishes within them."""

from collections.abc import Iterable

LAG_KEPT = 2.0  # seconds for which the agent says how late it was


class Pace:
    """The interval between heartbeats, in seconds: the shortest that anybody wishes, within the limits of the settings."""

    def __init__(self, usual: float, fastest: float) -> None:
        self.usual = usual
        self.fastest = min(fastest, usual)

    def interval(self, wishes: Iterable[float]) -> float:
        """Return the interval; a wish of 0 is none."""
        return max(min((wish for wish in wishes if wish > 0), default=self.usual), self.fastest)


class Lag:
    """How late the agent was at most, lately."""

    def __init__(self) -> None:
        self._worst = 0.0
        self._until = 0.0

    def add(self, late: float, now: float) -> float:
        """Take note of how late a turn came, and return the worst of the last seconds."""
        if late >= self._worst or now >= self._until:
            self._worst, self._until = max(late, 0.0), now + LAG_KEPT
        return self._worst
