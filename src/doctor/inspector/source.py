"""What is known of a source by what comes from it: how much, how late, and whether it still speaks.

A source is whoever reports: the bearer of a token, or a monitor of Doctor's own. Of those that have promised to speak the
silence is a fault itself. Durations are measured by a clock that nobody sets. `takes` is on the way of every report and
does no more than note; what takes calculating is calculated when somebody asks, or by `samples` now and then.
"""

from datetime import datetime, timedelta

SILENT = "monitor.silent"  # the type of the event
TEST = "monitor.test"  # the type of events that are sent to see whether they arrive
SMOOTH = 30.0  # seconds over which the rate is evened out


class Source:
    """One source. ``kind`` is by which door it comes, or by which driver."""

    __slots__ = (
        *(
            "duplicates",
            "events",
            "is_promised",
            "is_silent",
            "kind",
            "last_event",
            "last_heard",
            "last_test",
        ),
        *("name", "rejected", "silent_after", "_arrived", "_heard_at", "_rate", "_sampled", "_sampled_at"),
    )

    def __init__(self, name: str, silent_after: timedelta | None = None) -> None:
        self.name = name
        self.kind = ""
        self.silent_after = silent_after
        self.is_promised = silent_after is not None  # by the settings: then no heartbeat decides
        self.last_heard: datetime | None = None
        self.last_event: datetime | None = None
        self.last_test: datetime | None = None
        self.events = self.duplicates = self.rejected = 0
        self.is_silent = False
        self._arrived: datetime | None = None  # the last event that was news
        self._heard_at: float | None = None
        self._rate = 0.0  # events per second
        self._sampled = 0
        self._sampled_at = 0.0

    def hears(self, received: datetime, monotonic: float) -> None:
        """Note that it spoke, whatever it said."""
        self.last_heard = received
        self._heard_at = monotonic

    def takes(
        self, events: int, news: int, said: datetime | None, received: datetime, monotonic: float
    ) -> None:
        """Note what came, how much of it was new, and the time that the newest of it says."""
        self.last_heard = received
        self._heard_at = monotonic
        self.events += events
        self.duplicates += events - news
        if news:
            self.last_event, self._arrived = said, received

    def promises(self, until: datetime, received: datetime) -> None:
        """Take a heartbeat's word for when the next one comes, unless the settings know better."""
        if not self.is_promised and until > received:
            self.silent_after = until - received

    def samples(self, monotonic: float) -> None:
        """Look at how much has come since the last look, for the rate."""
        passed = monotonic - self._sampled_at
        if passed > 0:
            share = 0.5 ** (passed / SMOOTH)
            self._rate = self._rate * share + (self.events - self._sampled) / passed * (1 - share)
            self._sampled, self._sampled_at = self.events, monotonic

    @property
    def lag(self) -> timedelta | None:
        """Return by how much the newest event came later than it says."""
        return None if self.last_event is None or self._arrived is None else self._arrived - self.last_event

    @property
    def per_minute(self) -> float:
        """Return how many events come in a minute."""
        return self._rate * 60

    def is_missed(self, monotonic: float, began: float) -> bool:
        """Tell whether it has not spoken for longer than it promised; nobody is missed before he has had that time."""
        if self.silent_after is None:
            return False
        last = began if self._heard_at is None else max(self._heard_at, began)
        return monotonic - last > self.silent_after.total_seconds()
