"""A change of a host as the raw event that tells of it."""

from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from doctor.drivers.monitors.ping.judging import CANARY_PREFIX, Change, Status
from doctor.kit.times import rfc3339
from doctor.model.event import RawEvent
from doctor.model.fault import Severity
from doctor.model.resource import HOST
from doctor.model.vantage import CANARY, CANARY_EVENT, SIGHT_EVENT, VANTAGE, Sight

HOST_DOWN = "compute.host.down"


class Words(NamedTuple):
    """What a monitor says of how it found out: a sentence, and the method."""

    cause: str
    method: str


def report(change: Change, words: Words, sight: Sight, *, now: datetime, monotonic: float) -> RawEvent:
    """Return the event; ``now`` and ``monotonic`` are the same moment on both clocks.

    ``last_seen`` is the time of the last answer: the best estimate of when the host went down.
    """
    if change.is_canary:
        return report_canary(change, sight, now=now)
    is_down = change.status is Status.DOWN
    severity = Severity.CRITICAL if is_down else Severity.CLEARED
    heard = None if change.heard is None else now - timedelta(seconds=monotonic - change.heard)
    details: dict[str, object] = {
        "hostname": change.host,
        "status": change.status.value,
        "severity": severity.perceived,
        "source": sight.vantage,
        "monitor_id": sight.vantage,
        "monitor_event_id": change.host,
        "cause": words.cause,
        "method": words.method,
        "misses": change.rule.misses,
        "interval_ms": milliseconds(change.rule.interval),
        "addresses": change.addresses,
        "last_seen": None if heard is None else rfc3339(heard),
    }
    if not is_down:
        details["down_for_ms"] = None if change.silent_for is None else milliseconds(change.silent_for)
    return RawEvent(
        time=now,
        type=HOST_DOWN,
        resource=change.host,
        resource_type=HOST,
        source=sight.vantage,
        status=change.status.value,
        severity=severity.perceived,
        monitor_event_id=change.host,
        raw_details=msgspec.json.encode(details),
        sight=sight,
    )


def report_canary(change: Change, sight: Sight, *, now: datetime) -> RawEvent:
    """Return the event that a canary has fallen silent, or is heard of."""
    name = change.host.removeprefix(CANARY_PREFIX)
    return RawEvent(
        time=now,
        type=CANARY_EVENT,
        resource=name,
        resource_type=CANARY,
        source=sight.vantage,
        status=change.status.value,
        monitor_event_id=name,
        raw_details=msgspec.json.encode({"status": change.status.value, "addresses": change.addresses}),
        sight=sight,
    )


def report_sight(sight: Sight, *, now: datetime) -> RawEvent:
    """Return the event that a vantage sees, after it was not sure."""
    return RawEvent(
        time=now,
        type=SIGHT_EVENT,
        resource=sight.vantage,
        resource_type=VANTAGE,
        source=sight.vantage,
        status=Status.UP.value,
        sight=sight,
    )


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds."""
    return round(seconds * 1000)
