"""A change of a host as the raw event that tells of it."""

from datetime import datetime, timedelta

import msgspec

from doctor.drivers.monitors.ping.judging import Change, Status
from doctor.drivers.monitors.ping.settings import Method
from doctor.kit.times import rfc3339
from doctor.model.event import RawEvent
from doctor.model.fault import Severity
from doctor.model.resource import HOST

NAME = "ping"
HOST_DOWN = "compute.host.down"


def report(change: Change, method: Method, *, now: datetime, monotonic: float) -> RawEvent:
    """Return the event; ``now`` and ``monotonic`` are the same moment on both clocks.

    ``last_seen`` is the time of the last answer: the best estimate of when the host went down.
    """
    is_down = change.status is Status.DOWN
    severity = Severity.CRITICAL if is_down else Severity.CLEARED
    heard = None if change.heard is None else now - timedelta(seconds=monotonic - change.heard)
    details: dict[str, object] = {
        "hostname": change.host,
        "status": change.status.value,
        "severity": severity.perceived,
        "source": NAME,
        "monitor_id": NAME,
        "monitor_event_id": change.host,
        "cause": f"no answer to {change.rule.misses} probes" if is_down else "answers to probes",
        "method": method.value,
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
        source=NAME,
        status=change.status.value,
        severity=severity.perceived,
        monitor_event_id=change.host,
        raw_details=msgspec.json.encode(details),
    )


def milliseconds(seconds: float) -> int:
    """Return whole milliseconds."""
    return round(seconds * 1000)
