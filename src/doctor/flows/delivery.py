"""How notifications reach their endpoints.

Every endpoint of every subscription is a lane of its own: strictly in sequence, one request in flight, so that a dead
or slow Consumer harms nobody else [I-18, I-19]. A lane keeps a few messages in memory and fetches the rest from
the outbox when it gets there. What an endpoint cannot take is parked after some tries and leaves a visible gap
[I-20]; what it does not take for now is repeated by the schedule of `doctor.kit.retry`, always the same bytes
under the same id [I-4].
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence

import structlog

from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.model.errors import TransientError
from doctor.model.notification import (
    Delivered,
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    Failed,
    Gone,
    Refused,
    StoredNotification,
)
from doctor.model.subscription import Endpoint, Subscription
from doctor.ports.channel import Channel
from doctor.ports.store import Change, Store

log = structlog.get_logger(__name__)

IN_MEMORY = 64
REFUSALS_BEFORE_PARKING = 3

OnDelivered = Callable[[StoredNotification, Delivery], None]
Keep = Callable[[Change], Awaitable[None]]


class DeliveryFlow:
    """All lanes. `run` owns their tasks; outside of it messages only gather.

    ``keep`` makes durable that a message is left out; who owns the memory that a failure puts in doubt sets it.
    """

    def __init__(self, store: Store, channel: Channel, clock: Clock, on_delivered: OnDelivered) -> None:
        self._store = store
        self._channel = channel
        self._clock = clock
        self._on_delivered = on_delivered
        self.keep: Keep = store.commit
        self._lanes: dict[str, dict[str, Lane]] = {}
        self._watchers: dict[str, asyncio.Event] = {}
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for lanes in self._lanes.values():
                    for lane in lanes.values():
                        self._wake(lane)
                await asyncio.Event().wait()
            finally:
                self._tasks = None

    def follow(self, subscription: Subscription) -> None:
        """Serve the endpoints of a subscription: what the outbox still has for them, and all that comes.

        An endpoint that stays keeps its lane.
        """
        known = self._lanes.get(subscription.subscription_id, {})
        lanes: dict[str, Lane] = {}
        for endpoint in subscription.endpoints:
            lane = known.pop(endpoint.endpoint_id, None)
            if lane is None:
                lane = Lane(subscription.subscription_id, endpoint)
            lane.endpoint, lane.gone = endpoint, False
            lanes[endpoint.endpoint_id] = lane
            self._wake(lane)
        for lane in known.values():
            lane.close()
        self._lanes[subscription.subscription_id] = lanes

    def catch_up(self, subscriptions: Iterable[Subscription], last_sequence: Callable[[str], int]) -> None:
        """Serve what the store has, which was read anew: it may have kept what it said it had not [I-22]."""
        present = {one.subscription_id: one for one in subscriptions}
        for subscription_id in [known for known in self._lanes if known not in present]:
            self.forget(subscription_id)
        for subscription in present.values():
            last = last_sequence(subscription.subscription_id)
            self.follow(subscription)
            for lane in self._lanes[subscription.subscription_id].values():
                lane.expect(last)
                self._wake(lane)
            self._rouse(subscription.subscription_id)

    def forget(self, subscription_id: str) -> None:
        """Tell the endpoints of a subscription nothing more."""
        for lane in self._lanes.pop(subscription_id, {}).values():
            lane.close()
        self._rouse(subscription_id)
        self._watchers.pop(subscription_id, None)

    def dispatch(self, notifications: Iterable[StoredNotification]) -> None:
        """Send notifications that are saved. Never call it before."""
        for notification in notifications:
            for lane in self._lanes.get(notification.subscription_id, {}).values():
                lane.put(notification)
                self._wake(lane)
            self._rouse(notification.subscription_id)

    def watcher(self, subscription_id: str) -> asyncio.Event:
        """Return what is set at the next notification of a subscription, and once; ask before looking what is there."""
        return self._watchers.setdefault(subscription_id, asyncio.Event())

    def _rouse(self, subscription_id: str) -> None:
        watcher = self._watchers.pop(subscription_id, None)
        if watcher is not None:
            watcher.set()

    def _wake(self, lane: "Lane") -> None:
        if self._tasks is not None and not lane.busy and not lane.closed.is_set():
            lane.busy = True
            self._tasks.create_task(self._serve(lane), name=f"lane {lane.endpoint.endpoint_id}")

    async def _serve(self, lane: "Lane") -> None:
        """Send what waits in a lane, in order, until nothing waits."""
        try:
            while not lane.closed.is_set():
                notification = lane.next() or await self._fetch(lane)
                if notification is None:
                    return
                await self._tell(lane, notification)
        finally:
            lane.busy = False

    async def _fetch(self, lane: "Lane") -> StoredNotification | None:
        """Fill a lane that has fallen behind from the outbox."""
        attempt = 1
        while lane.behind and not lane.closed.is_set():
            missed = lane.missed
            try:
                rows = await self._store.pending(
                    lane.subscription_id, lane.endpoint.endpoint_id, after=lane.queued, limit=IN_MEMORY
                )
            except TransientError as error:
                attempt += 1
                log.warning("outbox.unreadable", subscription_id=lane.subscription_id, error=str(error))
                await lane.pause(retry.delay_before(attempt))
                continue
            lane.refill(rows, missed)
            found = lane.next()
            if found is not None:
                return found
        return lane.next()

    async def _tell(self, lane: "Lane", notification: StoredNotification) -> None:
        """Send one message until it is received or parked, or the lane is closed."""
        attempt = refusals = 0
        first = self._clock.monotonic()
        while not lane.closed.is_set():
            attempt += 1
            outcome = await self._attempt(lane, notification, attempt)
            match outcome:
                case Delivered():
                    delivery = self._close_case(lane, notification, DeliveryState.DELIVERED, attempt, outcome)
                    self._store.later(Change(deliveries=[delivery]))
                    self._on_delivered(notification, delivery)
                    return
                case Gone():
                    lane.gone = True
                case Refused():
                    refusals += 1
                case Failed():
                    pass
            waited = self._clock.monotonic() - first
            if (
                lane.gone
                or refusals >= REFUSALS_BEFORE_PARKING
                or waited > retry.GIVE_UP_AFTER.total_seconds()
            ):
                delivery = self._close_case(lane, notification, DeliveryState.PARKED, attempt, outcome)
                await self._park(lane, delivery)
                self._on_delivered(notification, delivery)
                return
            lane.note(attempt, outcome)
            await lane.pause(_wait(outcome, attempt + 1))

    async def _attempt(self, lane: "Lane", notification: StoredNotification, attempt: int) -> DeliveryOutcome:
        if lane.gone:
            return Gone("the endpoint answered 410 Gone before; change the subscription to use it again")
        try:
            return await self._channel.deliver(lane.endpoint, notification, attempt=attempt)
        except Exception as error:  # a defect of a channel must not stop the other lanes
            log.exception("channel.broken", subscription_id=lane.subscription_id)
            return Failed(f"internal error: {type(error).__name__}")

    async def _park(self, lane: "Lane", delivery: Delivery) -> None:
        """Make it durable that a message is left out, before the next one is sent.

        Otherwise a crash would forget it, and the message would be told behind those that came after it [I-5].
        """
        attempt = 1
        while not lane.closed.is_set():
            try:
                await self.keep(Change(deliveries=[delivery]))
                return
            except TransientError as error:
                attempt += 1
                log.warning("parking.failed", subscription_id=lane.subscription_id, error=str(error))
                await lane.pause(retry.delay_before(attempt))

    def _close_case(
        self,
        lane: "Lane",
        notification: StoredNotification,
        state: DeliveryState,
        attempts: int,
        outcome: DeliveryOutcome,
    ) -> Delivery:
        received = outcome if isinstance(outcome, Delivered) else None
        delivery = Delivery(
            subscription_id=lane.subscription_id,
            sequence=notification.sequence,
            endpoint_id=lane.endpoint.endpoint_id,
            state=state,
            attempts=attempts,
            told=received.told if received else None,
            received=received.received if received else None,
            error="" if isinstance(outcome, Delivered) else outcome.error,
        )
        lane.note(attempts, outcome)
        if state is DeliveryState.PARKED:
            log.warning(
                "notification.parked",
                subscription_id=lane.subscription_id,
                sequence=notification.sequence,
                notification_id=notification.notification_id,
                attempts=attempts,
                error=delivery.error,
            )
        return delivery


def _wait(outcome: DeliveryOutcome, attempt: int) -> float:
    wished = outcome.retry_after if isinstance(outcome, Failed) else None
    return max(wished or 0.0, retry.delay_before(attempt))


class Lane:
    """What waits for one endpoint.

    ``queued`` is the last sequence that was taken into memory. A lane that is ``behind`` takes nothing more into
    memory until it has caught up from the outbox, so that the order holds whatever comes in between.
    """

    def __init__(self, subscription_id: str, endpoint: Endpoint) -> None:
        self.subscription_id = subscription_id
        self.endpoint = endpoint
        self.queued = endpoint.since
        self.busy = False
        self.behind = True
        self.gone = False
        self.closed = asyncio.Event()
        self.missed = 0
        self._waiting: deque[StoredNotification] = deque()

    def put(self, notification: StoredNotification) -> None:
        """Add a message that was saved; when too many wait, the outbox keeps it until the lane gets there."""
        sequence = notification.sequence
        if sequence <= self.queued:
            return
        if self.behind or sequence != self.queued + 1 or len(self._waiting) >= IN_MEMORY:
            self.behind = True
            self.missed = max(self.missed, sequence)
        else:
            self._waiting.append(notification)
            self.queued = sequence

    def expect(self, sequence: int) -> None:
        """Know that the outbox has messages up to this one."""
        if sequence > self.queued:
            self.behind = True
            self.missed = max(self.missed, sequence)

    def refill(self, rows: Sequence[StoredNotification], missed: int) -> None:
        """Take over the next messages of the outbox; a full page means that there may be more.

        ``missed`` is what the lane had missed when the outbox was asked: only so much do the rows speak of. What was
        saved while they were on their way is asked for next.
        """
        self._waiting.extend(rows)
        self.queued = rows[-1].sequence if rows else max(self.queued, missed)
        self.behind = len(rows) >= IN_MEMORY or self.missed > self.queued

    def next(self) -> StoredNotification | None:
        """Take the message that is due, or None when memory has none."""
        return self._waiting.popleft() if self._waiting else None

    def note(self, attempt: int, outcome: DeliveryOutcome) -> None:
        """Log the first failure of an endpoint and its return, not each attempt."""
        if isinstance(outcome, Delivered):
            if attempt > 1:
                log.info("endpoint.back", subscription_id=self.subscription_id, url=self.endpoint.url)
        elif attempt == 1:
            log.warning(
                "endpoint.failing",
                subscription_id=self.subscription_id,
                url=self.endpoint.url,
                error=outcome.error,
            )

    async def pause(self, seconds: float) -> None:
        """Wait before the next attempt, unless the lane is closed."""
        try:
            async with asyncio.timeout(seconds):
                await self.closed.wait()
        except TimeoutError:
            pass

    def close(self) -> None:
        """Stop for good."""
        self.closed.set()
