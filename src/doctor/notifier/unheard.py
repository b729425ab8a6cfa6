"""Why a subscription was not told of something that happened to an alarm: the other side of `matching`."""

from enum import StrEnum

from doctor.model.alarm import Alarm
from doctor.model.fault import Fault
from doctor.model.notification import NotificationType
from doctor.model.subscription import EventKind, Subscription


class Unheard(StrEnum):
    """The reasons, as they are shown."""

    NO_SUBSCRIPTION = "nobody was subscribed"
    FAULTS = "the subscription does not ask for faults"
    CLEARS = "the subscription does not ask for ends"
    CHANGES = "the subscription does not ask for changes"
    FAULT_TYPE = "the subscription asks for other fault types"
    PROBABLE_CAUSE = "the subscription asks for other causes"
    RESOURCE = "the subscription asks for other resources"
    RESOURCE_TYPE = "the subscription asks for other types of resource"
    SEVERITY = "the subscription asks for worse alarms only"
    SHELVED = "the alarm was shelved"
    SILENCED = "silenced by the Administrator"
    HELD_BACK = "held back until more of its group are out, or its host is isolated"
    PENDING = "not received yet"
    PARKED = "given up"
    UNKNOWN = "the subscription was another one then, or what was sent is no longer kept"


def why_unheard(
    subscription: Subscription, kind: NotificationType, fault: Fault, alarm: Alarm, *, is_shelved: bool
) -> Unheard | None:
    """Return why a subscription of somebody whom it concerns is not told, None if it is.

    Given is the subscription as it is now, and the alarm as it was then.
    """
    asked = subscription.filter
    is_change = kind is NotificationType.FAULT_CHANGED
    reasons = (
        (not asked.asks_for(EventKind.FAULT, subscription.project), Unheard.FAULTS),
        (kind is NotificationType.FAULT_CLEARED and not subscription.clear, Unheard.CLEARS),
        (is_change and not subscription.change, Unheard.CHANGES),
        (bool(asked.fault_type) and fault.fault_type not in asked.fault_type, Unheard.FAULT_TYPE),
        (
            bool(asked.probable_cause) and fault.probable_cause not in asked.probable_cause,
            Unheard.PROBABLE_CAUSE,
        ),
        (
            bool(asked.virtual_resource_id) and alarm.resource_id not in asked.virtual_resource_id,
            Unheard.RESOURCE,
        ),
        (
            bool(asked.virtual_resource_type) and alarm.resource_type not in asked.virtual_resource_type,
            Unheard.RESOURCE_TYPE,
        ),
        (alarm.worst_severity < asked.min_severity, Unheard.SEVERITY),
        (is_change and is_shelved and subscription.project == alarm.project, Unheard.SHELVED),
    )
    return next((reason for holds, reason in reasons if holds), None)
