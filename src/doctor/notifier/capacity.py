"""What a notification says of the capacity of the pool, and who is told [D 3.3.4].

The Administrator is told unless he asked for other things only. An owner is told if he asked for it by name, and then
without what is none of his: how many hosts there are, and which fault it was.
"""

from collections.abc import Sequence
from datetime import datetime

import msgspec

from doctor.kit.ids import stable_id
from doctor.model.capacity import ZoneCapacity
from doctor.model.notification import Notification, NotificationType
from doctor.model.subscription import EventKind, Subscription

encode = msgspec.json.Encoder().encode


def is_told_of_capacity(subscription: Subscription) -> bool:
    """Tell whether a subscription asks for the capacity."""
    return subscription.filter.asks_for(EventKind.CAPACITY, subscription.project)


def write_capacity(
    subscription: Subscription, zones: Sequence[ZoneCapacity], *, sequence: int, now: datetime
) -> tuple[str, bytes]:
    """Return id and body of a notification that these zones have another capacity."""
    notification_id = stable_id("notification", subscription.subscription_id, "capacity", str(sequence))
    shown: list[dict[str, object]] = []
    for zone in zones:
        said = msgspec.structs.asdict(zone)
        if subscription.project is not None:
            del said["hosts"], said["changed_by"]
        shown.append(said)
    message = Notification(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=NotificationType.CAPACITY,
        event_time=now,
        sent_time=now,
        capacity=tuple(shown),
    )
    return notification_id, encode(message)
