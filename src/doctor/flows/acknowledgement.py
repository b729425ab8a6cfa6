"""Notifications that stay open until the Consumer says that it has them (``acknowledge: explicit``).

A 2xx says that some process took the bytes; an acknowledgement says that whoever decides knows. What was delivered and
not acknowledged within a time is sent again, the same bytes under the same id, until it is. The next notification
does not wait for that.
"""

import asyncio
from collections.abc import Sequence
from heapq import heappop, heappush
from itertools import count

import structlog

from doctor.flows.delivery import DeliveryFlow
from doctor.flows.situation import OPEN_MEMO, Situation
from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.model.errors import TransientError
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.subscription import Acknowledge
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

ACKNOWLEDGE_WITHIN = 30.0
CLOSE_ENOUGH = 0.001  # seconds: timers may come a hair too early


class AcknowledgementFlow:
    """What is open, and when it is sent again. `run` owns the clock; what is open is in the `Situation`."""

    def __init__(
        self,
        situation: Situation,
        delivery: DeliveryFlow,
        clock: Clock,
        *,
        within: float = ACKNOWLEDGE_WITHIN,
    ) -> None:
        self._situation = situation
        self._delivery = delivery
        self._clock = clock
        self._within = within
        self._due: list[tuple[float, int, str, float]] = []
        self._known: set[str] = set()
        self._count = count()
        self._sooner = asyncio.Event()

    async def run(self) -> None:
        """Send again what is not acknowledged in time, until cancelled."""
        for notification_id in self._situation.open:
            self._expect(notification_id)
        while True:
            self._sooner.clear()
            now = self._clock.monotonic()
            while self._due and self._due[0][0] <= now + CLOSE_ENOUGH:
                _, _, notification_id, since = heappop(self._due)
                await self._repeat(notification_id, since)
            try:
                async with asyncio.timeout(self._due[0][0] - now if self._due else None):
                    await self._sooner.wait()
            except TimeoutError:
                pass

    def delivered(self, notification: StoredNotification, delivery: Delivery) -> None:
        """Begin to wait for the acknowledgement of what was delivered."""
        if notification.notification_id in self._situation.open and delivery.state is DeliveryState.DELIVERED:
            self._expect(notification.notification_id)

    async def acknowledge(self, notification: StoredNotification) -> None:
        """Close a notification: it is not sent again. Twice is not an error.

        Raises:
            StoreError: it could not be kept; the notification stays open.
        """
        situation = self._situation
        await situation.ready()
        if notification.notification_id in situation.open:
            memo = Memo(kind=OPEN_MEMO, key=notification.notification_id, record=None)
            await situation.keep(Change(memos=[memo]))
            situation.open.pop(notification.notification_id, None)

    def forget(self, subscription_id: str) -> None:
        """Wait no longer for what a subscription was told."""
        self._drop([key for key, (owner, _) in self._situation.open.items() if owner == subscription_id])

    def _drop(self, notification_ids: Sequence[str]) -> None:
        """Close what nobody can or need acknowledge; should a crash forget that, it is found out again."""
        for key in notification_ids:
            self._situation.open.pop(key, None)
            self._known.discard(key)
        if notification_ids:
            memos = [Memo(kind=OPEN_MEMO, key=key, record=None) for key in notification_ids]
            self._situation.store.later(Change(memos=memos))

    def _expect(self, notification_id: str) -> None:
        if notification_id not in self._known:
            self._known.add(notification_id)
            now = self._clock.monotonic()
            self._wait(notification_id, now, self._within)

    def _wait(self, notification_id: str, since: float, seconds: float) -> None:
        due = self._clock.monotonic() + seconds
        heappush(self._due, (due, next(self._count), notification_id, since))
        self._sooner.set()

    async def _repeat(self, notification_id: str, since: float) -> None:
        found = self._situation.open.get(notification_id)
        waited = self._clock.monotonic() - since
        if found is None or waited > retry.GIVE_UP_AFTER.total_seconds():
            self._known.discard(notification_id)
            return
        subscription_id, sequence = found
        subscription = self._situation.subscriptions.get(subscription_id)
        attempts = 0
        try:
            notification = await self._situation.store.notification(notification_id)
            rows = await self._situation.store.deliveries(subscription_id, after=sequence - 1, limit=1)
        except TransientError as error:
            log.warning("outbox.unreadable", subscription_id=subscription_id, error=str(error))
        else:
            if notification is None or subscription is None or subscription.acknowledge is Acknowledge.HTTP:
                self._drop([notification_id])
                return
            # One that was removed meanwhile, and perhaps added again, is owed only what came since.
            owed = {one.endpoint_id for one in subscription.endpoints if one.since < sequence}
            for row in rows:
                is_received = row.sequence == sequence and row.state is DeliveryState.DELIVERED
                if is_received and row.endpoint_id in owed:
                    attempts = max(attempts, row.attempts)
                    self._delivery.repeat(notification, row.endpoint_id, attempt=row.attempts + 1)
        self._wait(notification_id, since, max(self._within, retry.delay_before(attempts + 2)))
