"""Writes timelines and their statistics down for other programs: JSON values, and rows for CSV."""

from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta
from itertools import pairwise
from typing import Any

from doctor.kit.times import rfc3339
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.profiler.spread import Spread, Statistics
from doctor.profiler.timeline import (
    AFTERWARDS,
    MARKS,
    WAY,
    costs,
    detected_to_received,
    milliseconds,
    remarks,
    segments,
    span,
    within_budget,
)


def timeline_as_json(timeline: Timeline) -> dict[str, Any]:
    """Return a timeline as JSON: as the door gives it, and what was made of it beside; it can be read in again."""
    parts = segments(timeline)
    took = detected_to_received(timeline)
    return {
        "fault_id": timeline.fault_id,
        "fault_type": timeline.fault_type,
        "resource_id": timeline.resource_id,
        "checkpoints": {str(c): rfc3339(time) for c, time in timeline.checkpoints.items()},
        "consumers": [
            {
                "subscription_id": entry.subscription_id,
                "notification_id": entry.notification_id,
                "told": _written(entry.told),
                "received": _written(entry.received),
                "handled": _written(entry.handled),
            }
            for entry in timeline.consumers
        ],
        "segments": [
            {
                "from": str(part.start),
                "to": str(part.end),
                "component": part.component,
                "ms": milliseconds(part.took),
            }
            for part in parts
        ],
        "components": [
            {
                "component": cost.component,
                "ms": milliseconds(cost.took),
                "percent": round(100 * cost.share, 2),
            }
            for cost in costs(parts)
        ],
        "detected_to_received_ms": None if took is None else milliseconds(took),
        "within_budget": within_budget(timeline),
        "remarks": remarks(timeline),
    }


def statistics_as_json(statistics: Statistics) -> dict[str, Any]:
    """Return statistics as JSON, times in milliseconds."""
    return {
        "faults": statistics.faults,
        "within_budget": statistics.kept,
        "over_budget": statistics.missed,
        "segments": [_exported(spread) for spread in statistics.segments],
        "overall": [_exported(spread) for spread in statistics.overall],
    }


def _exported(spread: Spread) -> dict[str, Any]:
    return {
        "segment": spread.name,
        "component": spread.component,
        "count": spread.count,
        "p50_ms": milliseconds(spread.p50),
        "p90_ms": milliseconds(spread.p90),
        "p99_ms": milliseconds(spread.p99),
        "max_ms": milliseconds(spread.max),
    }


def timeline_rows(timelines: Iterable[Timeline]) -> Iterator[list[str]]:
    """Return a table for CSV, one fault to a row under a row of names: the stamps, then the times between."""
    stations = [*WAY, *AFTERWARDS, *MARKS]
    steps = [
        *pairwise(WAY),
        (Checkpoint.RECEIVED, Checkpoint.HANDLED),
        (Checkpoint.INSTRUCTED, Checkpoint.EXECUTED),
    ]
    yield [
        *("fault_id", "fault_type", "resource_id"),
        *stations,
        *(f"{start}_{end}_ms" for start, end in steps),
        "detected_to_received_ms",
        "within_budget",
    ]
    for timeline in timelines:
        kept = within_budget(timeline)
        yield [
            *(timeline.fault_id, timeline.fault_type, timeline.resource_id),
            *(_written(timeline.checkpoints.get(station)) or "" for station in stations),
            *(_number(span(timeline, start, end)) for start, end in steps),
            _number(detected_to_received(timeline)),
            "" if kept is None else str(kept).lower(),
        ]


def statistics_rows(statistics: Statistics) -> Iterator[list[str]]:
    """Return statistics as a table for CSV under a row of names."""
    table = [_exported(spread) for spread in (*statistics.segments, *statistics.overall)]
    yield ["segment", "component", "count", "p50_ms", "p90_ms", "p99_ms", "max_ms"]
    for row in table:
        yield [str(value) for value in row.values()]


def _written(time: datetime | None) -> str | None:
    return None if time is None else rfc3339(time)


def _number(duration: timedelta | None) -> str:
    return "" if duration is None else str(milliseconds(duration))
