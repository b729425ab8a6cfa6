"""What is known of a source by what comes from it: how much, how late, and whether it still speaks.

A source is whoever reports: the bearer of a token, or a monitor of Doctor's own. Of those that have promised to speak the
silence is a fault itself. Durations are measured by a clock that nobody sets.
"""

from datetime import datetime, timedelta

SILENT = "monitor.silent"  # the type of the event
HALF_LIFE = 30.0  # seconds: of the weight of what was heard, for the rate


class Source:
    """One source. ``kind`` is by which door it comes, or by which driver."""

    def __init__(self, name: str, silent_after: timedelta | None = None) -> None:
        self.name = name
        self.kind = ""
        self.silent_after = silent_after
        self.is_promised = silent_after is not None  # by the settings: then no heartbeat decides
        self.last_heard: datetime | None = None
        self.last_event: datetime | None = None
        self.lag: timedelta | None = None
        self.events = self.duplicates = self.rejected = 0
        self.is_silent = False
        self._weight = 0.0
        self._weighed = 0.0
        self._heard_at: float | None = None

    def hears(self, received: datetime, monotonic: float) -> None:
        """Note that it spoke, whatever it said."""
        self.last_heard = received
        self._heard_at = monotonic

    def counts(self, events: int, news: int, monotonic: float) -> None:
        """Note how much came, and how much of it was new."""
        self.events += events
        self.duplicates += events - news
        self._weight = self._faded(monotonic) + events
        self._weighed = monotonic

    def tells(self, said: datetime, received: datetime) -> None:
        """Note by how much the newest event came later than it says."""
        self.last_event = said
        self.lag = received - said

    def promises(self, until: datetime, received: datetime) -> None:
        """Take a heartbeat's word for when the next one comes, unless the settings know better."""
        if not self.is_promised and until > received:
            self.silent_after = until - received

    def per_minute(self, monotonic: float) -> float:
        """Return how many events come in a minute, by the last half minutes."""
        return self._faded(monotonic) * 60 * 0.693 / HALF_LIFE

    def is_missed(self, monotonic: float, began: float) -> bool:
        """Tell whether it has not spoken for longer than it promised; nobody is missed before he has had that time."""
        if self.silent_after is None:
            return False
        last = began if self._heard_at is None else max(self._heard_at, began)
        return monotonic - last > self.silent_after.total_seconds()

    def _faded(self, monotonic: float) -> float:
        if not self._weight:
            return 0.0
        return float(self._weight * 0.5 ** ((monotonic - self._weighed) / HALF_LIFE))
