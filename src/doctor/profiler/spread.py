"""Sums up how long many faults took, stretch by stretch."""

from collections.abc import Iterable, Sequence
from datetime import timedelta

import msgspec

from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.profiler.timeline import POSITION, detected_to_received, segments, span, within_budget


class Spread(msgspec.Struct, frozen=True, kw_only=True):
    """How long one stretch took over many faults: percentiles by nearest rank, so each is a time that happened."""

    name: str
    component: str
    count: int
    p50: timedelta
    p90: timedelta
    p99: timedelta
    max: timedelta


class Statistics(msgspec.Struct, frozen=True, kw_only=True):
    """Many faults summed up. ``kept`` and ``missed`` count those that were received within the second or later."""

    faults: int
    kept: int
    missed: int
    segments: list[Spread]
    overall: list[Spread]


def nearest_rank(ordered: Sequence[timedelta], percent: int) -> timedelta:
    """Return the smallest of the ordered times that at least so many percent do not exceed."""
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


def statistics(timelines: Sequence[Timeline]) -> Statistics:
    """Sum up many faults: each segment by itself, and the stretches that matter as a whole."""
    parts: dict[tuple[Checkpoint, Checkpoint], list[timedelta]] = {}
    names: dict[tuple[Checkpoint, Checkpoint], str] = {}
    for timeline in timelines:
        for part in segments(timeline):
            parts.setdefault((part.start, part.end), []).append(part.took)
            names[part.start, part.end] = part.component
    kept = [within_budget(timeline) for timeline in timelines]
    return Statistics(
        faults=len(timelines),
        kept=kept.count(True),
        missed=kept.count(False),
        segments=[
            _spread(f"{start}-{end}", names[start, end], parts[start, end])
            for start, end in sorted(parts, key=lambda ends: (POSITION[ends[0]], POSITION[ends[1]]))
        ],
        overall=[
            _spread(name, "", times)
            for name, times in (
                ("T0-T7", _spans(timelines, Checkpoint.OCCURRED, Checkpoint.RECEIVED)),
                ("T1-T7", _spans(timelines, Checkpoint.DETECTED, Checkpoint.RECEIVED)),
                ("T1-T7 last", [time for time in map(detected_to_received, timelines) if time is not None]),
                ("T1-T8", _spans(timelines, Checkpoint.DETECTED, Checkpoint.HANDLED)),
            )
            if times
        ],
    )


def _spans(timelines: Iterable[Timeline], start: Checkpoint, end: Checkpoint) -> list[timedelta]:
    return [took for timeline in timelines if (took := span(timeline, start, end)) is not None]


def _spread(name: str, component: str, times: list[timedelta]) -> Spread:
    ordered = sorted(times)
    p50, p90, p99 = (nearest_rank(ordered, percent) for percent in (50, 90, 99))
    return Spread(
        name=name, component=component, count=len(ordered), p50=p50, p90=p90, p99=p99, max=ordered[-1]
    )
