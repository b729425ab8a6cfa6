"""The whole list of open alarms in one notification: for Consumers whose own list may be wrong [IFA 005].

In comes what is open; out goes the AlarmListRebuiltNotification, each resource once with all its faults.
"""

from collections.abc import Callable, Iterable
from datetime import datetime

from doctor.kit.ids import stable_id
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.notification import FaultInfo, Notification, NotificationType
from doctor.model.subscription import Subscription
from doctor.notifier.matching import hears_of
from doctor.notifier.message import Describer, encode


def write_list(
    subscription: Subscription,
    records: Iterable[AlarmedFault],
    describer: Describer,
    *,
    sequence: int,
    now: datetime,
    is_kept_back: Callable[[AlarmedFault, Alarm], bool],
) -> tuple[str, bytes]:
    """Return id and body of the notification that says all that is open of what a subscription hears of.

    What ``is_kept_back`` from it for now is left out: it is told when its time has come.
    """
    virtual: dict[str, list[tuple[AlarmedFault, Alarm]]] = {}
    physical: dict[str, list[tuple[AlarmedFault, Alarm]]] = {}
    project = subscription.project
    for record in records:
        for alarm in record.alarms.values():
            is_mine = project is None or alarm.project == project
            is_heard = is_mine and hears_of(subscription.filter, record.fault, alarm)
            if is_heard and not is_kept_back(record, alarm):
                side = physical if alarm.project is None else virtual
                side.setdefault(alarm.resource_id, []).append((record, alarm))
    kind = NotificationType.ALARM_LIST_REBUILT
    notification_id = stable_id("notification", subscription.subscription_id, kind, str(sequence))
    message = Notification(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=kind,
        event_time=now,
        sent_time=now,
        physical_resource_info=tuple(
            describer.physical(resource_id, told[0][1].resource_type, _faults(describer, told))
            for resource_id, told in physical.items()
        ),
        virtual_resource_info=tuple(
            describer.virtual(resource_id, told[0][1].resource_type, _faults(describer, told))
            for resource_id, told in virtual.items()
        ),
        links={"alarms": f"{describer.public_url}/v1/alarms"},
    )
    return notification_id, encode(message)


def _faults(describer: Describer, told: list[tuple[AlarmedFault, Alarm]]) -> tuple[FaultInfo, ...]:
    return tuple(describer.fault(record, alarm) for record, alarm in told)
