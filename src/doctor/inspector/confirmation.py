"""Whether a fault is believed yet: for how long, how many times in a row, and by how many Monitors it was said.

In comes what a rule demands and what was said so far; out goes what is said now, and whether that is enough. Time is
when Doctor heard of it: what a Monitor's clock says is data and judges nothing [I-25].
"""

from datetime import datetime

import msgspec

from doctor.model.policy import Patience


class Waiting(msgspec.Struct, frozen=True, kw_only=True):
    """A fault that is not believed yet: since when, how often in a row, and when each source said so last.

    ``readings`` are the numbers that the first event had, by detail.
    """

    since: datetime
    samples: int = 0
    votes: dict[str, datetime] = {}
    readings: dict[str, float | int] = {}


def heard(
    before: Waiting | None,
    patience: Patience,
    source: str,
    now: datetime,
    readings: dict[str, float | int] | None = None,
) -> Waiting:
    """Count one more event that says so."""
    since = now if before is None else before.since
    votes = {} if before is None else before.votes
    fresh = {who: when for who, when in votes.items() if now - when <= patience.within}
    samples = 0 if before is None else before.samples
    first = (readings or {}) if before is None else before.readings
    return Waiting(since=min(since, now), samples=samples + 1, votes=fresh | {source: now}, readings=first)


def is_believed(waiting: Waiting, patience: Patience, now: datetime) -> bool:
    """Tell whether that is enough."""
    return (
        now - waiting.since >= patience.dwell
        and waiting.samples >= patience.samples
        and len(waiting.votes) >= patience.monitors
    )


def contradicted(waiting: Waiting, patience: Patience, source: str) -> Waiting | None:
    """Return what is left when a source says the opposite: its vote is gone, and a row of samples is broken."""
    votes = {who: when for who, when in waiting.votes.items() if who != source}
    if patience.monitors == 1 or not votes:
        return None
    return Waiting(since=min(votes.values()), samples=len(votes), votes=votes, readings=waiting.readings)
