"""What an owner is told of a fault: one alarm is one fault on one resource."""

from collections.abc import Iterator
from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.fault import Fault, ResourceState, Severity


class AlarmState(StrEnum):
    """Where an alarm is in its life [D 5.5.3]."""

    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"


class Alarm(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One fault on one resource.

    A dead host with three machines makes four alarms: its own, which is the root cause, and three derived ones. The
    own alarm of a fault that is the symptom of another is no root cause either.
    ``fault_id`` is shared by all alarms of the fault within one project and differs between projects, so that owners
    can correlate and co-location does not leak. ``project`` is the owner's, None on the physical side.
    What all alarms of a fault share (probable cause ...) stands in the `Fault`. ``worst_before`` is the worst severity
    that it ever had before the present one. Stored as an array: new fields come last and have a default.
    """

    alarm_id: str
    fault_id: str
    resource_id: str
    resource_type: str
    project: str | None
    severity: Severity
    resource_state: ResourceState
    is_root_cause: bool
    raised_time: datetime
    changed_time: datetime | None = None
    cleared_time: datetime | None = None
    worst_before: Severity = Severity.CLEARED

    @property
    def worst_severity(self) -> Severity:
        """Return the worst severity that it ever had."""
        return max(self.severity, self.worst_before)

    @property
    def alarm_state(self) -> AlarmState:
        """Return raised, changed or cleared."""
        if self.cleared_time is not None:
            return AlarmState.CLEARED
        return AlarmState.RAISED if self.changed_time is None else AlarmState.CHANGED


class AlarmedFault(msgspec.Struct, frozen=True, kw_only=True):
    """A fault with all its alarms by resource: what the store keeps as one record."""

    fault: Fault
    alarms: dict[str, Alarm]

    @property
    def worst_severity(self) -> Severity:
        """Return the worst severity that the fault ever had."""
        own = self.alarms.get(self.fault.resource_id)
        return self.fault.severity if own is None else max(self.fault.severity, own.worst_severity)


class Transition(msgspec.Struct, frozen=True, kw_only=True):
    """What one step did to a fault: its record afterwards, and which alarms are news of which kind.

    ``raised``, ``changed`` and ``cleared`` are the alarms as they are now. ``corrected`` are cleared too: a new resource
    map says that they never should have been, or not for this owner.
    """

    record: AlarmedFault
    raised: tuple[Alarm, ...] = ()
    changed: tuple[Alarm, ...] = ()
    cleared: tuple[Alarm, ...] = ()
    corrected: tuple[Alarm, ...] = ()

    @property
    def resource_ids(self) -> Iterator[str]:
        """Return the resources that are otherwise than before."""
        for alarms in (self.raised, self.changed, self.cleared, self.corrected):
            yield from (alarm.resource_id for alarm in alarms)
