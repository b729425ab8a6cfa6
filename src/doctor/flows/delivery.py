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
from typing import NamedTuple, Protocol

import structlog

from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.kit.watchers import Watchers
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
UNREACHABLE_AFTER = 3.0  # seconds from the first failed attempt: a restart of the other side is no outage
REPLAY_TRIES = 3
CLOSE_ENOUGH = 0.001  # seconds: timers may come a hair too early

OnDelivered = Callable[[StoredNotification, Delivery], None]
Keep = Callable[[Change], Awaitable[None]]
HeartbeatOf = Callable[[str], StoredNotification]  # of a subscription, by its id


class OnOutage(Protocol):
    """Hears of endpoints that answer no more, or again (or are no longer ours to ask)."""

    def unreachable(self, subscription_id: str, endpoint: Endpoint, error: str) -> None:
        """Note that an endpoint has not answered for `UNREACHABLE_AFTER`."""
        ...

    def back(self, subscription_id: str, endpoint: Endpoint) -> None:
        """Note that it is no longer so."""
        ...


class DeliveryFlow:
    """All lanes. `run` owns their tasks; outside of it messages only gather.

    ``heartbeat_of`` writes what a silent subscription is told; ``on_outage`` may be set later. ``keep`` makes durable
    that a message is left out; who owns the memory that a failure puts in doubt sets it.
    """

    def __init__(
        self,
        store: Store,
        channel: Channel,
        clock: Clock,
        on_delivered: OnDelivered,
        *,
        heartbeat_of: HeartbeatOf | None = None,
    ) -> None:
        self.on_outage: OnOutage | None = None
        self._store = store
        self._channel = channel
        self._clock = clock
        self._on_delivered = on_delivered
        self.keep: Keep = store.commit
        self._heartbeat_of = heartbeat_of
        self._lanes: dict[str, dict[str, Lane]] = {}
        self._watchers = Watchers()
        self._tasks: asyncio.TaskGroup | None = None

    async def run(self) -> None:
        """Deliver until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                for lanes in self._lanes.values():
                    for lane in lanes.values():
                        self._wake(lane)
                        self._beat_from_now(lane)
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
            lane.heartbeat = subscription.heartbeat.total_seconds() if subscription.heartbeat else None
            lanes[endpoint.endpoint_id] = lane
            self._wake(lane)
            self._beat_from_now(lane)
        for lane in known.values():
            self._close(lane)
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
            self._watchers.rouse(subscription.subscription_id)

    def forget(self, subscription_id: str) -> None:
        """Tell the endpoints of a subscription nothing more."""
        for lane in self._lanes.pop(subscription_id, {}).values():
            self._close(lane)
        self._watchers.rouse(subscription_id)

    def dispatch(self, notifications: Iterable[StoredNotification]) -> None:
        """Send notifications that are saved. Never call it before."""
        for notification in notifications:
            for lane in self._lanes.get(notification.subscription_id, {}).values():
                lane.put(notification)
                self._wake(lane)
            self._watchers.rouse(notification.subscription_id)

    def repeat(
        self, notification: StoredNotification, endpoint_id: str, *, attempt: int, replay: bool = False
    ) -> bool:
        """Send once more what an endpoint was sent before, when nothing new waits for it; tell whether there is one.

        ``attempt`` counts on from what was tried before. A ``replay`` was asked for by a person: it says so.
        """
        lane = self._lanes.get(notification.subscription_id, {}).get(endpoint_id)
        if lane is None:
            return False
        lane.repeats.append(Repeat(notification, attempt, replay))
        self._wake(lane)
        return True

    def remember_outage(self, subscription_id: str, endpoint_id: str) -> bool:
        """Take over from before a restart that an endpoint was unreachable; tell whether there is one."""
        lane = self._lanes.get(subscription_id, {}).get(endpoint_id)
        if lane is not None:
            lane.reported = True
        return lane is not None

    def _close(self, lane: "Lane") -> None:
        lane.close()
        self._is_back(lane)

    def watcher(self, subscription_id: str) -> asyncio.Event:
        """Return what is set at the next notification of a subscription, and once; ask before looking what is there."""
        return self._watchers.watcher(subscription_id)

    def _wake(self, lane: "Lane") -> None:
        if self._tasks is not None and not lane.busy and not lane.closed.is_set():
            lane.busy = True
            self._tasks.create_task(self._serve(lane), name=f"lane {lane.endpoint.endpoint_id}")

    async def _serve(self, lane: "Lane") -> None:
        """Send what waits in a lane, in order, until nothing waits."""
        try:
            while not lane.closed.is_set():
                notification = lane.next() or await self._fetch(lane)
                if notification is not None:
                    await self._tell(lane, notification)
                elif lane.repeats:
                    await self._tell_again(lane, lane.repeats.popleft())
                elif lane.beat:
                    await self._beat(lane)
                else:
                    return
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
                    self._is_received(lane, notification, attempt, outcome)
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

    async def _tell_again(self, lane: "Lane", repeat: "Repeat") -> None:
        """Send a message that the endpoint had before; what it does not take now is left as it was."""
        tries = REPLAY_TRIES if repeat.replay else 1
        error = ""
        for number in range(tries):
            attempt = repeat.attempt + number
            outcome = await self._attempt(lane, repeat.notification, attempt, replay=repeat.replay)
            if isinstance(outcome, Delivered):
                self._is_received(lane, repeat.notification, attempt, outcome)
                return
            if lane.closed.is_set() or lane.gone:
                return
            error = outcome.error
            if number + 1 < tries:
                await lane.pause(_wait(outcome, number + 2))
        log.warning(
            "notification.not_repeated",
            subscription_id=lane.subscription_id,
            sequence=repeat.notification.sequence,
            error=error,
        )

    async def _attempt(
        self, lane: "Lane", notification: StoredNotification, attempt: int, *, replay: bool = False
    ) -> DeliveryOutcome:
        if lane.gone and not replay:
            return Gone("the endpoint answered 410 Gone before; change the subscription to use it again")
        began = lane.sent = self._clock.monotonic()
        lane.beat = False
        outcome: DeliveryOutcome
        try:
            if replay:
                outcome = await self._channel.deliver(
                    lane.endpoint, notification, attempt=attempt, replay=True
                )
            else:
                outcome = await self._channel.deliver(lane.endpoint, notification, attempt=attempt)
        except Exception as error:  # a defect of a channel must not stop the other lanes
            log.exception("channel.broken", subscription_id=lane.subscription_id)
            outcome = Failed(f"internal error: {type(error).__name__}")
        if isinstance(outcome, Failed):
            self._fails(lane, began, outcome)
        elif lane.failing_since is not None or lane.reported:
            self._is_back(lane)
        return outcome

    # --- heartbeats ---

    def _beat_from_now(self, lane: "Lane") -> None:
        """Tell a lane that is silent for long that it is; from now on, or no more."""
        if self._tasks is None or lane.beats_every == lane.heartbeat:
            return
        lane.beats_every = lane.heartbeat
        if lane.beater is not None:
            lane.beater.cancel()
            lane.beater = None
        if lane.heartbeat is not None:
            lane.sent = self._clock.monotonic()
            name = f"heartbeat {lane.endpoint.endpoint_id}"
            lane.beater = self._tasks.create_task(self._beats(lane, lane.heartbeat), name=name)

    async def _beats(self, lane: "Lane", every: float) -> None:
        while not lane.closed.is_set():
            silence = self._clock.monotonic() - lane.sent
            if silence < every - CLOSE_ENOUGH:
                await lane.pause(every - silence)
                continue
            lane.sent += every
            lane.beat = True
            self._wake(lane)

    async def _beat(self, lane: "Lane") -> None:
        """Send one heartbeat: it uses no sequence, and the next one is its repeat."""
        lane.beat = False
        if self._heartbeat_of is not None and not lane.gone:
            notification = self._heartbeat_of(lane.subscription_id)
            lane.beating = True
            try:
                await self._attempt(lane, notification, 1)
            finally:
                lane.beating = False

    # --- endpoints that do not answer ---

    def _fails(self, lane: "Lane", began: float, outcome: Failed) -> None:
        if lane.reported:
            return
        waited = self._clock.monotonic() - began
        if lane.failing_since is None:
            lane.failing_since = began
            if not lane.beating and self._tasks is not None:
                self._tasks.create_task(
                    self._report(lane, began, UNREACHABLE_AFTER - waited, outcome), name="outage"
                )
        elif lane.beating and self._clock.monotonic() - lane.failing_since >= UNREACHABLE_AFTER:
            self._is_out(lane, outcome)

    async def _report(self, lane: "Lane", since: float, seconds: float, outcome: Failed) -> None:
        await lane.pause(max(seconds, 0.0))
        if lane.failing_since == since and not lane.reported and not lane.closed.is_set():
            self._is_out(lane, outcome)

    def _is_out(self, lane: "Lane", outcome: Failed) -> None:
        lane.reported = True
        log.warning("endpoint.unreachable", subscription_id=lane.subscription_id, url=lane.endpoint.url)
        if self.on_outage is not None:
            self.on_outage.unreachable(lane.subscription_id, lane.endpoint, outcome.error)

    def _is_back(self, lane: "Lane") -> None:
        lane.failing_since = None
        if lane.reported:
            lane.reported = False
            if self.on_outage is not None:
                self.on_outage.back(lane.subscription_id, lane.endpoint)

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

    def _is_received(
        self, lane: "Lane", notification: StoredNotification, attempt: int, outcome: Delivered
    ) -> None:
        delivery = self._close_case(lane, notification, DeliveryState.DELIVERED, attempt, outcome)
        self._store.later(Change(deliveries=[delivery]))
        self._on_delivered(notification, delivery)

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


class Repeat(NamedTuple):
    """What an endpoint had before, to be sent again."""

    notification: StoredNotification
    attempt: int
    replay: bool


class Lane:
    """What waits for one endpoint.

    ``queued`` is the last sequence that was taken into memory. A lane that is ``behind`` takes nothing more into
    memory until it has caught up from the outbox, so that the order holds whatever comes in between.
    ``repeats`` wait until nothing new does. ``beat`` is a heartbeat that is due; ``reported`` is whether it was said
    that the endpoint cannot be reached.
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
        self.repeats: deque[Repeat] = deque()
        self.sent = 0.0
        self.heartbeat: float | None = None
        self.beats_every: float | None = None
        self.beater: asyncio.Task[None] | None = None
        self.beat = self.beating = False
        self.failing_since: float | None = None
        self.reported = False
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
