"""Sums up samples: percentiles by nearest rank, so that each is a value that was measured."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec


class Spread(msgspec.Struct, frozen=True):
    """How samples are spread."""

    count: int
    min: float
    p50: float
    p90: float
    p99: float
    max: float

    def as_json(self) -> dict[str, Any]:
        """Return all of it for a program."""
        return msgspec.structs.asdict(self)


def nearest_rank(ordered: Sequence[float], percent: int) -> float:
    """Return the smallest of the ordered values that at least so many percent do not exceed."""
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def spread(samples: Iterable[float], *, unit: float = 1.0) -> Spread:
    """Sum up samples, divided by ``unit``: 1,000,000 makes milliseconds of nanoseconds.

    Raises:
        ValueError: there are none.
    """
    ordered = sorted(samples)
    if not ordered:
        raise ValueError("no samples")
    p50, p90, p99 = (nearest_rank(ordered, percent) for percent in (50, 90, 99))
    values = [round(value / unit, 4) for value in (ordered[0], p50, p90, p99, ordered[-1])]
    return Spread(len(ordered), *values)
