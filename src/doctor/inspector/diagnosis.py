"""From what the policy makes of an event to the fault itself.

In come the verdict of the selection and the event; out goes the `Fault` as it begins, or as it goes on when it is
worse or better than before. What it takes down is not asked here.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

from doctor.inspector.measurement import Readings, last_read, measured
from doctor.inspector.selection import Raise
from doctor.kit.numbers import storable
from doctor.model.event import RawEvent
from doctor.model.fault import Fault
from doctor.model.resource import PhysicalResource, VirtualResource

UNKNOWN_RESOURCE = "unknown resource"

Details = dict[str, Any]


def fault_of(
    verdict: Raise,
    event: RawEvent,
    resource_id: str,
    found: PhysicalResource | VirtualResource | None,
    *,
    fault_key: str,
    raised_by: str,
    now: datetime,
    before: Readings | None = None,
    more: Details | None = None,
) -> Fault:
    """Return the fault that an event raises; ``found`` is what the map knows of the resource.

    ``before`` is what was read when the fault was first in doubt. ``more`` is added to the details of the event, beside
    what was measured.
    """
    rule = verdict.rule
    details = event.details if verdict.details is None else verdict.details
    return Fault(
        fault_key=fault_key,
        resource_id=resource_id,
        resource_type=found.type if found else event.resource_type or rule.resource.type or UNKNOWN_RESOURCE,
        fault_type=rule.fault_type,
        rule=rule.name,
        severity=verdict.severity,
        state=rule.state,
        event_type=rule.event_type,
        probable_cause=rule.probable_cause,
        recommended_action=rule.recommended_action,
        raised_by=raised_by,
        event_time=event.time,
        raised_time=now,
        details=storable(details | _added(verdict, before, more)),
    )


def has_moved(fault: Fault, verdict: Raise) -> bool:
    """Tell whether an open fault is worse or better than before."""
    return verdict.severity != fault.severity or verdict.rule.state != fault.state


def moved(fault: Fault, verdict: Raise, *, now: datetime, more: Details | None = None) -> Fault:
    """Return an open fault as it is now; ``more`` is added to its details, beside what was measured."""
    return replace(
        fault,
        details=fault.details | _added(verdict, last_read(fault.details), more),
        severity=verdict.severity,
        state=verdict.rule.state,
        rule=verdict.rule.name,
        changed_time=now,
        transition=fault.transition + 1,
    )


def _added(verdict: Raise, before: Readings | None, more: Details | None) -> Details:
    return measured(verdict.thresholds, verdict.details or {}, before or {}) | (more or {})
