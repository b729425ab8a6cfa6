"""How a change of the capacity is told: with the change that made it, in one transaction."""

from collections.abc import Sequence
from datetime import datetime

from doctor.flows.situation import Situation
from doctor.model.capacity import ZoneCapacity
from doctor.model.notification import StoredNotification
from doctor.notifier.capacity import write_capacity

NO_FAULT = ""  # a notification that belongs to the timeline of no fault


def capacity_notifications(
    situation: Situation, zones: Sequence[ZoneCapacity], *, now: datetime
) -> list[StoredNotification]:
    """Write what these zones have now, for all that want to know, each with the next number of its subscription."""
    if not zones:
        return []
    written = []
    for subscription in situation.subscriptions.told_of_capacity():
        sequence = situation.next_sequence(subscription.subscription_id)
        notification_id, body = write_capacity(subscription, zones, sequence=sequence, now=now)
        written.append(
            StoredNotification(
                notification_id=notification_id,
                subscription_id=subscription.subscription_id,
                sequence=sequence,
                fault_key=NO_FAULT,
                created=now,
                body=body,
            )
        )
    return written
