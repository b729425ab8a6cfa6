"""From what somebody is to be told to what the outbox keeps: written, with the next number of its subscription."""

from datetime import datetime

from doctor.flows.situation import Situation
from doctor.model.alarm import AlarmedFault
from doctor.model.notification import StoredNotification
from doctor.notifier.matching import Telling
from doctor.notifier.message import Describer, write


def written(
    situation: Situation,
    telling: Telling,
    record: AlarmedFault,
    describer: Describer,
    *,
    now: datetime,
    occasion: str = "",
) -> StoredNotification:
    """Write one notification. ``occasion`` tells it from others of the same step of a fault."""
    subscription = telling.subscription
    sequence = situation.next_sequence(subscription.subscription_id)
    notification_id, body = write(
        subscription,
        telling.kind,
        telling.alarms,
        record,
        describer,
        sequence=sequence,
        now=now,
        occasion=occasion,
    )
    return StoredNotification(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        fault_key=record.fault.fault_key,
        created=now,
        body=body,
    )
