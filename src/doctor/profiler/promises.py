"""Whether a VNF gets what its service availability level promises, at this moment [HA 6.1.1, 6.1.2].

In come the outages of its machines and the level; out goes which promises are broken, or soon will be at this pace, and
when time alone may change that. The report of a window that is over is `doctor.profiler.availability`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from math import floor
from typing import NamedTuple

from doctor.model.resource import VirtualResource
from doctor.profiler.availability import (
    DAY,
    Levels,
    Outage,
    ServiceAvailabilityLevel,
    joined,
    strictest,
)

FOREVER = datetime.max.replace(tzinfo=UTC)  # the end of an outage that goes on
TICK = timedelta(milliseconds=1)  # behind the moment at which something changes, it has changed

Stretch = tuple[datetime, datetime]


class Promise(StrEnum):
    """What a level promises."""

    AVAILABILITY = "availability"
    RECOVERY = "recovery"
    IMPACT = "impact"
    FAILURES = "failures"


class Kept(StrEnum):
    """Whether a promise is kept: yes, at this pace no longer for long, or no."""

    YES = "kept"
    AT_RISK = "at_risk"
    NO = "broken"


class Standing(NamedTuple):
    """How it stands with one promise; ``details`` are its figures."""

    promise: Promise
    kept: Kept
    details: Mapping[str, object]


class Look(NamedTuple):
    """How it stands with all promises of a level, and when to look again although nothing happens; None: never."""

    standings: tuple[Standing, ...]
    again: datetime | None


class Budget(NamedTuple):
    """How long machines may be out within a window, in machine-seconds, and how much of that is used.

    ``burn_rate`` is how many times faster than evenly it was used of late.
    """

    allowed: float
    used: float
    burn_rate: float

    @property
    def kept(self) -> bool:
        """Tell whether it is not used up. What is allowed may be used to the last."""
        return self.used <= self.allowed


def looked_at(
    machines: Sequence[VirtualResource], outages: Iterable[Outage], levels: Levels, now: datetime
) -> Look:
    """Say how it stands with the promises to a VNF."""
    spans = joined(outages, FOREVER)
    name = strictest([str(one.sal) for one in machines if one.sal is not None], levels)
    level = levels.get(name or "")
    standings: list[Standing] = []
    moments: list[datetime] = []
    if level is None:
        return Look((), None)
    checks = (
        _availability(level, len(machines), [(begin, end) for _, begin, end in spans], now),
        _recovery(machines, spans, levels, now),
        _impact(level, len(machines), spans, now),
        _failures(level, [(begin, end) for _, begin, end in spans], now),
    )
    for standing, moment in checks:
        if standing is not None:
            standings.append(standing._replace(details={"sal": name, **standing.details}))
        if moment is not None:
            moments.append(max(moment, now) + TICK)
    return Look(tuple(standings), min(moments, default=None))


_Check = tuple[Standing | None, datetime | None]


def budget_of(
    level: ServiceAvailabilityLevel, machines: int, spans: Sequence[Stretch], now: datetime
) -> Budget | None:
    """Return how it stands with the time that machines may be out; None if the level does not say how much it is."""
    if level.availability is None:
        return None
    spare = 1 - level.availability
    evenly = spare * machines * level.burn_over.total_seconds()
    late = used(spans, now, level.burn_over)
    return Budget(
        allowed=round(spare * machines * level.window.total_seconds(), 6),
        used=used(spans, now, level.window),
        burn_rate=late / evenly if evenly else 0.0,
    )


def used(spans: Iterable[Stretch], now: datetime, length: timedelta) -> float:
    """Return for how many seconds machines were out within the last of the time."""
    first = _before(now, length)
    overlaps = (min(end, now) - max(begin, first) for begin, end in spans)
    return sum(overlap.total_seconds() for overlap in overlaps if overlap > timedelta(0))


def crossing(spans: Sequence[Stretch], now: datetime, length: timedelta, limit: float) -> datetime | None:
    """Return when what is used crosses a limit if all goes on as it is: up or down, None if it never does.

    What is used is a line with bends where an outage leaves the window, at its beginning or at its end.
    """
    bends = sorted(
        {
            end + length
            for span in spans
            for end in span
            if end < _before(FOREVER, length) and end + length > now
        }
    )
    here, amount = now, used(spans, now, length)
    is_over = amount > limit
    for bend in bends:
        slope, reach = _slope(spans, here, length), (bend - here).total_seconds()
        after = amount + slope * reach
        if (after > limit) is not is_over:
            return _after(here, (limit - amount) / slope)
        here, amount = bend, after
    slope = _slope(spans, here, length)
    return None if not slope or (slope > 0) is is_over else _after(here, (limit - amount) / slope)


def _slope(spans: Sequence[Stretch], at: datetime, length: timedelta) -> int:
    """Return how many seconds are used more each second from a moment on, nothing else happening."""
    left = _before(at, length)
    growing = sum(end == FOREVER for _, end in spans)
    leaving = sum(begin <= left < end for begin, end in spans)
    return growing - leaving


def _availability(
    level: ServiceAvailabilityLevel, machines: int, spans: Sequence[Stretch], now: datetime
) -> _Check:
    budget = budget_of(level, machines, spans, now)
    if budget is None or level.availability is None:
        return None, None
    moments = [crossing(spans, now, level.window, budget.allowed)]
    pace = used(spans, now, level.burn_over)
    is_fast = False
    if level.burn_rate is not None and level.availability < 1:
        fast = level.burn_rate * (1 - level.availability) * machines * level.burn_over.total_seconds()
        is_fast = pace > fast
        moments.append(crossing(spans, now, level.burn_over, fast))
    whole = level.window.total_seconds() * machines
    details: dict[str, object] = {
        "target": level.availability,
        "availability": round(1 - budget.used / whole, 9),
        "window_seconds": level.window.total_seconds(),
        "budget_seconds": budget.allowed,
        "used_seconds": round(budget.used, 3),
        "burn_rate": round(budget.burn_rate, 2),
    }
    if budget.kept and pace > 0:
        left = (budget.allowed - budget.used) / (pace / level.burn_over.total_seconds())
        details["used_up_in_seconds"] = round(left, 1)
    kept = Kept.NO if not budget.kept else Kept.AT_RISK if is_fast else Kept.YES
    return Standing(Promise.AVAILABILITY, kept, details), _first(moments)


def _recovery(
    machines: Sequence[VirtualResource],
    spans: Iterable[tuple[str, datetime, datetime]],
    levels: Levels,
    now: datetime,
) -> _Check:
    promised = {one.id: levels[str(one.sal)].recovery for one in machines if str(one.sal) in levels}
    overdue: list[str] = []
    moments: list[datetime | None] = []
    longest = 0.0
    for resource_id, begin, end in spans:
        if end == FOREVER and resource_id in promised:
            due = _after(begin, promised[resource_id])
            if due is not None and due < now:
                overdue.append(resource_id)
                longest = max(longest, (now - begin).total_seconds())
            else:
                moments.append(due)
    kept = Kept.NO if overdue else Kept.YES
    details: dict[str, object] = {"recovery_seconds": min(promised.values(), default=None)}
    if overdue:
        details |= {"out_for_seconds": round(longest, 3), "machines": len(overdue)}
    return Standing(Promise.RECOVERY, kept, details), _first(moments)


def _impact(
    level: ServiceAvailabilityLevel,
    machines: int,
    spans: Iterable[tuple[str, datetime, datetime]],
    now: datetime,
) -> _Check:
    if level.impact is None:
        return None, None
    out = sum(begin <= now < end for _, begin, end in spans)
    share = out / machines
    kept = Kept.NO if share > level.impact else Kept.YES
    return Standing(Promise.IMPACT, kept, {"limit": level.impact, "impact": round(share, 6)}), None


def _failures(level: ServiceAvailabilityLevel, spans: Sequence[Stretch], now: datetime) -> _Check:
    if level.failures_per_day is None:
        return None, None
    limit = level.failures_per_day * (level.window / DAY)
    begins = [begin for begin in _begins(spans) if begin > _before(now, level.window)]
    excess = len(begins) - floor(limit + 1e-9)
    kept = Kept.NO if excess > 0 else Kept.YES
    again = _after(begins[excess - 1], level.window.total_seconds()) if excess > 0 else None
    details = {
        "limit_per_day": level.failures_per_day,
        "window_seconds": level.window.total_seconds(),
        "failures": len(begins),
    }
    return Standing(Promise.FAILURES, kept, details), again


def _begins(spans: Iterable[Stretch]) -> Iterator[datetime]:
    """Return when a first machine went out while all others worked."""
    last: datetime | None = None
    for begin, end in sorted(spans):
        if last is None or begin > last:
            yield begin
        last = end if last is None else max(last, end)


def _first(moments: Iterable[datetime | None]) -> datetime | None:
    return min((moment for moment in moments if moment is not None), default=None)


def _before(time: datetime, length: timedelta) -> datetime:
    try:
        return time - length
    except OverflowError:
        return datetime.min.replace(tzinfo=UTC)


def _after(time: datetime, seconds: float) -> datetime | None:
    try:
        return time + timedelta(seconds=seconds)
    except OverflowError:
        return None
