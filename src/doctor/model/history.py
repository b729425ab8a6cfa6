"""What is kept of the past of a fault beside its record: only what the record itself does not say.

The record of a fault has every alarm as it is now, with when it was raised, last changed and cleared. What gets lost
on the way is what the alarms were before each change, and the alarms that ended while the fault went on.
"""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.alarm import Alarm
from doctor.model.fault import Outcome, Prediction, ResourceState, Severity


class Standing(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """What can change of an alarm."""

    severity: Severity
    resource_state: ResourceState
    is_root_cause: bool


def standing_of(alarm: Alarm) -> Standing:
    """Return what can change of an alarm."""
    return Standing(alarm.severity, alarm.resource_state, alarm.is_root_cause)


class Shift(msgspec.Struct, frozen=True, array_like=True):
    """A change that some alarms of a fault had in common.

    ``alarm_ids`` None is all that were there before and that no other shift of the entry names: a storm of thousands
    of alarms that change together takes no more room than one.
    """

    before: Standing
    after: Standing
    alarm_ids: tuple[str, ...] | None


class Side(StrEnum):
    """Who is told of an alarm: the owner of the resource, and the Administrator."""

    OWNER = "owner"
    ADMINISTRATOR = "administrator"


class Silenced(msgspec.Struct, frozen=True, array_like=True):
    """A silence that kept a step from somebody.

    ``alarm_ids`` None is all that the step was about. Who answers for the silence and why is said here once more: the
    silence itself may be forgotten before the fault is. ``project`` is that of who asked for it, None for the
    Administrator.
    """

    side: Side
    silence_id: str
    project: str | None
    owner: str
    reason: str
    alarm_ids: tuple[str, ...] | None


class Late(msgspec.Struct, frozen=True, array_like=True):
    """What somebody was told of some alarms when a silence was over: that they are there, or how they are by now."""

    side: Side
    raised: tuple[str, ...]
    changed: tuple[str, ...]


class HistoryEntry(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of a fault, kept in the same commit as the step itself.

    ``raised`` are the ids of alarms that came later than the fault, ``ended`` the alarms that were cleared while it
    went on, as they were in the end. ``user`` is who did it, if it was not a Monitor. ``foreseen`` is what was foreseen
    before, if something else is since. ``silenced`` says who was not told of the step; ``late``, which makes an entry of
    its own, what was told when silences were over.
    """

    fault_key: str
    transition: int
    time: datetime
    raised: tuple[str, ...] = ()
    shifts: tuple[Shift, ...] = ()
    ended: tuple[Alarm, ...] = ()
    user: str = ""
    silenced: tuple[Silenced, ...] = ()
    late: tuple[Late, ...] = ()
    foreseen: Prediction | None = None


class FaultHistory(msgspec.Struct, frozen=True, kw_only=True):
    """The past of one fault: its entries in their order, and how often it was reported again."""

    entries: tuple[HistoryEntry, ...] = ()
    repeats: int = 0


class Happening(StrEnum):
    """What can stand in the history of an alarm."""

    RAISED = "raised"
    REPEATED = "repeated"
    CHANGED = "changed"
    CLEARED = "cleared"
    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    COMMENTED = "commented"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"
    TOLD = "told"
    NOT_TOLD = "not_told"


class HistoryItem(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One thing that happened to an alarm; what does not belong to it is left out.

    ``severity_before`` and ``state_before`` are of a change, ``count`` of repeats, ``user`` of who did it (nobody: a
    Monitor, or the time), ``reason`` of who was not told, ``silence_id`` when that was a silence. ``predicted_time``, ``confidence``, ``outcome`` and
    ``recommended_action`` are of a prediction, as it was then.
    """

    time: datetime
    what: Happening
    perceived_severity: str | None = None
    severity_before: str | None = None
    resource_state: ResourceState | None = None
    state_before: ResourceState | None = None
    is_root_cause: bool | None = None
    predicted_time: datetime | None = None
    confidence: float | None = None
    outcome: Outcome | None = None
    recommended_action: str | None = None
    count: int | None = None
    user: str | None = None
    text: str | None = None
    until: datetime | None = None
    notification_type: str | None = None
    subscription_id: str | None = None
    endpoint_id: str | None = None
    notification_id: str | None = None
    sequence: int | None = None
    told_time: datetime | None = None
    received_time: datetime | None = None
    attempts: int | None = None
    reason: str | None = None
    silence_id: str | None = None
    error: str | None = None
