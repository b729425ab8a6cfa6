"""The word that there was nothing to tell: silence becomes visible to those who ask for it."""

from doctor.flows.situation import Situation
from doctor.kit.clock import Clock
from doctor.model.notification import StoredNotification
from doctor.notifier.message import write_heartbeat


class Heartbeats:
    """Writes heartbeats. They use no sequence and are not kept: the next one is the repeat of the last."""

    def __init__(self, situation: Situation, clock: Clock) -> None:
        self._situation = situation
        self._clock = clock

    def of(self, subscription_id: str) -> StoredNotification:
        """Return a heartbeat of a subscription, with the sequence of its last notification."""
        now = self._clock.now()
        sequence = self._situation.last_sequence(subscription_id)
        notification_id, body = write_heartbeat(subscription_id, sequence=sequence, now=now)
        return StoredNotification(
            notification_id=notification_id,
            subscription_id=subscription_id,
            sequence=sequence,
            fault_key="",
            created=now,
            body=body,
        )
