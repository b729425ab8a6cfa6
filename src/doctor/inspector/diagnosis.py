"""From what the policy makes of an event to the fault itself.

In come the verdict of the selection and the event; out goes the `Fault` as it begins, or as it goes on when it is
worse or better than before. What it takes down is not asked here.
"""

from datetime import datetime
from typing import Any

from msgspec.structs import replace

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
    more: Details | None = None,
) -> Fault:
    """Return the fault that an event raises; ``found`` is what the map knows of the resource.

    ``more`` is added to the details of the event.
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
        details=storable(details | more if more else details),
    )


def has_moved(fault: Fault, verdict: Raise) -> bool:
    """Tell whether an open fault is worse or better than before."""
    return verdict.severity != fault.severity or verdict.rule.state != fault.state


def moved(fault: Fault, verdict: Raise, *, now: datetime, more: Details | None = None) -> Fault:
    """Return an open fault as it is now; ``more`` is added to its details."""
    return replace(
        fault,
        details=fault.details | more if more else fault.details,
        severity=verdict.severity,
        state=verdict.rule.state,
        rule=verdict.rule.name,
        changed_time=now,
        transition=fault.transition + 1,
    )
