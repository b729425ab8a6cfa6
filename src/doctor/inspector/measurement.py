"""What was measured, where a number has left its range: the threshold, the value and its trend [D 5.4, HA 1.4].

In come the ranges that a rule or its grade looks at, the details of the event, and what was read before, when the fault
was first in doubt or last told; out goes what `fault_details.measured` says of them.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from doctor.inspector.condition import Details, look_up, steps
from doctor.inspector.words import number_of
from doctor.model.policy import Condition, Range

MEASURED = "measured"

Readings = Mapping[str, float | int]


class Threshold(NamedTuple):
    """A range of a policy, and the detail that is held against it."""

    detail: str
    range: Range


def thresholds(conditions: Iterable[Condition]) -> tuple[Threshold, ...]:
    """Return the ranges of conditions, of each detail the last: a grade is more exact than its rule."""
    found = {
        detail: matcher
        for condition in conditions
        for detail, matcher in condition.details.items()
        if isinstance(matcher, Range)
    }
    return tuple(Threshold(detail, wanted) for detail, wanted in found.items())


def readings(asked: Iterable[Threshold], details: Details) -> dict[str, float | int]:
    """Return the numbers that are held against thresholds, as far as they are there."""
    read = {one.detail: number_of(look_up(details, steps(one.detail))) for one in asked}
    return {detail: number for detail, number in read.items() if number is not None}


def measured(asked: Sequence[Threshold], details: Details, before: Readings) -> dict[str, Any]:
    """Return what is added to the details of a fault; nothing where nothing was measured.

    A trend needs an earlier reading: of the first event of a fault that was in doubt, or of the fault before it got
    worse or better.
    """
    if not asked:
        return {}
    now = readings(asked, details)
    found = [_shown(one, now[one.detail], before.get(one.detail)) for one in asked if one.detail in now]
    return {MEASURED: found} if found else {}


def last_read(details: Details) -> dict[str, float | int]:
    """Return the readings that the details of a fault tell of."""
    told = details.get(MEASURED)
    return {one["detail"]: one["value"] for one in (told if isinstance(told, list) else ()) if _is_shown(one)}


def _shown(one: Threshold, value: float | int, before: float | int | None) -> dict[str, Any]:
    shown: dict[str, Any] = {"detail": one.detail, "value": value}
    for name in ("above", "below", "clear_below", "clear_above"):
        limit = getattr(one.range, name)
        if limit is not None:
            shown[name] = limit
    seconds = one.range.dwell.total_seconds()
    if seconds:
        shown["for"] = seconds
    if before is not None:
        shown["before"] = before
        shown["trend"] = "rising" if value > before else "falling" if value < before else "steady"
    return shown


def _is_shown(one: object) -> bool:
    """Tell whether this is ours: a Monitor may have details of this name."""
    return (
        isinstance(one, dict)
        and isinstance(one.get("detail"), str)
        and number_of(one.get("value")) is not None
    )
