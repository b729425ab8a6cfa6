"""Begins and reads the timelines of faults: what took how long, whose share it was, and whether the second was kept.

In come `Timeline` values as they were stamped; out go plain values to draw. Nothing is assumed of the stamps but that
they are aware times: some may be missing, and those of a Monitor's clock (T0, T1) may lie after ours. Implements
Doctor 3.3 (the second) and the profiler blueprint (cost by component).
"""

from collections.abc import Iterable
from datetime import datetime, timedelta
from enum import StrEnum
from itertools import pairwise

import msgspec

from doctor.kit.times import in_utc
from doctor.model.checkpoint import Checkpoint, ConsumerTimeline, Timeline
from doctor.model.fault import Fault

BUDGET = timedelta(seconds=1)
SUSPICIOUS_TRANSPORT = timedelta(minutes=10)
ZERO = timedelta(0)


class Component(StrEnum):
    """Whose time it is."""

    MONITOR = "monitor"
    SOUTHBOUND = "southbound"
    INSPECTOR = "inspector"
    STORE = "store"
    NOTIFIER = "notifier"
    NORTHBOUND = "northbound"
    CONSUMER = "consumer"
    CONTROLLER = "controller"
    REPAIR = "repair"


# The time before a checkpoint belongs to the component that brought the fault there. The first eight come in this
# order always; what follows comes in the order in which it happened, for a fault may end before it is handled.
WAY = {
    Checkpoint.OCCURRED: Component.MONITOR,
    Checkpoint.DETECTED: Component.MONITOR,
    Checkpoint.ACCEPTED: Component.SOUTHBOUND,
    Checkpoint.JUDGED: Component.INSPECTOR,
    Checkpoint.AFFECTED_FOUND: Component.INSPECTOR,
    Checkpoint.SAVED: Component.STORE,
    Checkpoint.TOLD: Component.NOTIFIER,
    Checkpoint.RECEIVED: Component.NORTHBOUND,
}
AFTERWARDS = {
    Checkpoint.HANDLED: Component.CONSUMER,
    Checkpoint.INSTRUCTED: Component.CONSUMER,
    Checkpoint.EXECUTED: Component.CONTROLLER,
    Checkpoint.RESOLVED: Component.REPAIR,
}
POSITION = {checkpoint: position for position, checkpoint in enumerate((*WAY, *AFTERWARDS))}
MARKS = (Checkpoint.ISOLATED, Checkpoint.HOST_MARKED, Checkpoint.RESOURCES_MARKED)


class Segment(msgspec.Struct, frozen=True, kw_only=True):
    """The way from one checkpoint to the next that was stamped; ``took`` is negative where clocks differ.

    ``component`` names several, joined by " + ", when a checkpoint between was not stamped.
    """

    start: Checkpoint
    end: Checkpoint
    began: datetime
    took: timedelta
    component: str


class Cost(msgspec.Struct, frozen=True, kw_only=True):
    """What a component took; ``share`` is of all that was asked about, from 0 to 1."""

    component: str
    took: timedelta
    share: float


def timeline_of(fault: Fault, *, accepted: datetime, judged: datetime, affected_found: datetime) -> Timeline:
    """Begin the timeline of a fault: what is known of it when it is decided (T0 to T4)."""
    checkpoints = {Checkpoint.DETECTED: fault.event_time, Checkpoint.ACCEPTED: accepted}
    occurred = _occurred(fault)
    if occurred is not None:
        checkpoints[Checkpoint.OCCURRED] = occurred
    checkpoints[Checkpoint.JUDGED] = judged
    checkpoints[Checkpoint.AFFECTED_FOUND] = affected_found
    return Timeline(
        fault_id=fault.fault_key,
        fault_type=fault.fault_type,
        resource_id=fault.resource_id,
        checkpoints=checkpoints,
    )


def _occurred(fault: Fault) -> datetime | None:
    """Return when it happened (T0), if the Monitor knows: the last sign of life is as near as one can say."""
    for key in ("occurred_time", "last_seen"):
        try:
            return in_utc(msgspec.convert(fault.details.get(key), datetime))
        except (msgspec.ValidationError, OverflowError):
            continue
    return None


def segments(timeline: Timeline) -> list[Segment]:
    """Return the way of a fault, cut at the checkpoints that were stamped."""
    stamps = timeline.checkpoints
    afterwards = sorted((c for c in AFTERWARDS if c in stamps), key=lambda c: stamps[c])
    passed = [*(c for c in WAY if c in stamps), *afterwards]
    return [
        Segment(
            start=start,
            end=end,
            began=stamps[start],
            took=stamps[end] - stamps[start],
            component=_between(start, end),
        )
        for start, end in pairwise(passed)
    ]


def _between(start: Checkpoint, end: Checkpoint) -> str:
    """Name the components between two checkpoints of which none between is known."""
    if end in WAY:
        passed = [*WAY.values()][POSITION[start] + 1 : POSITION[end] + 1]
    else:
        passed = [*([*WAY.values()][POSITION[start] + 1 :]), AFTERWARDS[end]]
    return " + ".join(dict.fromkeys(passed))


def span(timeline: Timeline, start: Checkpoint, end: Checkpoint) -> timedelta | None:
    """Return the time between two checkpoints, or None unless both were stamped."""
    stamps = timeline.checkpoints
    return stamps[end] - stamps[start] if start in stamps and end in stamps else None


def costs(parts: Iterable[Segment]) -> list[Cost]:
    """Return what each component took, the largest share first.

    Waiting for the repair is nobody's cost and left out. A negative time counts as none.
    """
    took: dict[str, timedelta] = {}
    for part in parts:
        if part.component != Component.REPAIR:
            took[part.component] = took.get(part.component, ZERO) + max(part.took, ZERO)
    total = sum(took.values(), ZERO)
    shares = [
        Cost(component=component, took=cost, share=cost / total if total else 0.0)
        for component, cost in took.items()
    ]
    return sorted(shares, key=lambda cost: cost.took, reverse=True)


def telling(parts: Iterable[Segment]) -> list[Segment]:
    """Return the segments of the second: from detection until the first Consumer has it."""
    return [part for part in parts if POSITION[part.start] >= 1 and part.end in WAY]


def first_told(timeline: Timeline) -> list[ConsumerTimeline]:
    """Return for each subscription its first notification, the one received first at the head.

    What the same subscription hears later (a change, the end of the fault) is not what the second is about.
    """
    first: dict[str, ConsumerTimeline] = {}
    for entry in timeline.consumers:
        known = first.get(entry.subscription_id)
        if known is None or _moment(entry) < _moment(known):
            first[entry.subscription_id] = entry
    return sorted(first.values(), key=_moment)


def _moment(entry: ConsumerTimeline) -> tuple[int, float]:
    """Return what orders Consumers: those that received it, those that were told, the rest."""
    if entry.received is not None:
        return 0, entry.received.timestamp()
    return (1, entry.told.timestamp()) if entry.told is not None else (2, 0.0)


def last_received(timeline: Timeline) -> datetime | None:
    """Return when the last of the Consumers that were told had received it, or None while none has."""
    times = [entry.received for entry in first_told(timeline) if entry.received is not None]
    if Checkpoint.RECEIVED in timeline.checkpoints:
        times.append(timeline.checkpoints[Checkpoint.RECEIVED])
    return max(times, default=None)


def detected_to_received(timeline: Timeline) -> timedelta | None:
    """Return the time from detection (T1) until the last Consumer had received it, or None if one is not known."""
    detected = timeline.checkpoints.get(Checkpoint.DETECTED)
    received = last_received(timeline)
    return received - detected if detected is not None and received is not None else None


def within_budget(timeline: Timeline, budget: timedelta = BUDGET) -> bool | None:
    """Tell whether the second was kept for every Consumer that has received it; None: nobody has yet.

    Implements Doctor 3.3: T1 to T7 in less than a second.
    """
    took = detected_to_received(timeline)
    return None if took is None else took < budget


def remarks(timeline: Timeline) -> list[str]:
    """Return sentences on what in a timeline should not be taken at its face value."""
    found = []
    for part in segments(timeline):
        if part.took >= ZERO:
            continue
        if part.start in (Checkpoint.OCCURRED, Checkpoint.DETECTED):
            why = "two clocks differ, and times across them are off by as much"
        else:
            why = "they did not happen in the usual order"
        found.append(f"{part.end} is stamped {_text(-part.took)} before {part.start}: {why}")
    transport = span(timeline, Checkpoint.DETECTED, Checkpoint.ACCEPTED)
    if transport is not None and transport >= SUSPICIOUS_TRANSPORT:
        found.append(f"{_text(transport)} from T1 to T2: look at the clock and the time zone of the monitor")
    return found


def _text(duration: timedelta) -> str:
    return f"{milliseconds(duration):g} ms" if duration < BUDGET else f"{duration.total_seconds():g} s"


def milliseconds(duration: timedelta) -> float:
    """Return a duration in milliseconds, to the microsecond."""
    return round(duration / timedelta(milliseconds=1), 3)
