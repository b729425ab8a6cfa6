"""From what somebody is to be told to what the outbox keeps: written, with the next number of its subscription.

Nothing waits here. A notification gets its number when it is decided, and is kept in the same change as what it tells.
"""

from typing import Protocol

import msgspec

from doctor.flows.situation import OPEN_MEMO, Situation
from doctor.flows.step import Draft
from doctor.model.notification import StoredNotification
from doctor.model.subscription import Acknowledge, Subscription
from doctor.ports.store import Memo

NO_FAULT = ""  # the key of a notification that belongs to the timeline of no fault


class Write(Protocol):
    """Writes one notification."""

    def __call__(self, *, sequence: int) -> tuple[str, bytes]:
        """Return its id and its body."""
        ...


def tell(
    situation: Situation, subscription: Subscription, write: Write, draft: Draft, *, fault_key: str = NO_FAULT
) -> None:
    """Add a notification to a draft; one that has to be acknowledged is open from now on."""
    subscription_id = subscription.subscription_id
    sequence = situation.next_sequence(subscription_id)
    notification_id, body = write(sequence=sequence)
    draft.change.notifications.append(
        StoredNotification(
            notification_id=notification_id,
            subscription_id=subscription_id,
            sequence=sequence,
            fault_key=fault_key,
            created=draft.now,
            body=body,
        )
    )
    if subscription.acknowledge is Acknowledge.EXPLICIT:
        waits = (subscription_id, sequence)
        situation.open[notification_id] = waits
        memo = Memo(kind=OPEN_MEMO, key=notification_id, record=msgspec.msgpack.encode(waits))
        draft.change.memos.append(memo)
