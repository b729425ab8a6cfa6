"""Planted bugs: the simulation has to find each of them, or it proves nothing.

A mutant is planted for one run: it replaces a method of a flow, a decider or the store's window by one that is wrong, in
a way that somebody could have written it.
"""

import asyncio
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal, NamedTuple

from msgspec.structs import replace

from doctor.flows import delivery as delivery_module
from doctor.flows import settlement as settlement_module
from doctor.flows.delivery import DeliveryFlow, Lane
from doctor.flows.fault import FaultFlow
from doctor.flows.notices import Notices
from doctor.flows.policy import PolicyFlow
from doctor.flows.situation import Situation
from doctor.flows.step import Draft, Step
from doctor.flows.subscription import SubscriptionFlow
from doctor.inspector.intake import Intake
from doctor.model.alarm import Transition
from doctor.model.errors import StoreError
from doctor.model.notification import (
    Delivered,
    Delivery,
    DeliveryOutcome,
    DeliveryState,
    Failed,
    StoredNotification,
)
from doctor.model.subscription import Subscription
from doctor.notifier.matching import Subscriptions
from doctor.ports.store import Change, Snapshot
from doctor.testing.simulation.environment import Patch

Plant = Callable[[Patch], None]
Where = Literal["anywhere", "power", "maintenance"]


class Mutant(NamedTuple):
    """A planted bug: what it is, how it is planted, and in which worlds it can show itself."""

    says: str
    plant: Plant
    where: Where = "anywhere"


MUTANTS: dict[str, Mutant] = {}


def mutant(plant: Plant, *, where: Where = "anywhere") -> Plant:
    """Register a planted bug by the name of its function."""
    assert plant.__doc__ is not None
    MUTANTS[plant.__name__.replace("_", "-")] = Mutant(plant.__doc__, plant, where)
    return plant


# --- keeping ---


@mutant
def send_before_save(patch: Patch) -> None:
    """Hand notifications to the lanes before they are kept."""
    keep, begin = Situation.keep, FaultFlow.__init__

    def know(self: FaultFlow, situation: Any, delivery: DeliveryFlow, *parts: Any) -> None:
        begin(self, situation, delivery, *parts)
        situation.early = delivery

    async def tell_first(self: Any, change: Change) -> None:
        self.early.dispatch(change.notifications)
        await keep(self, change)

    patch.set(FaultFlow, "__init__", know)
    patch.set(Situation, "keep", tell_first)


@mutant
def split_transaction(patch: Patch) -> None:
    """Keep alarms and outbox in two transactions."""
    keep = Situation.keep

    async def keep_twice(self: Situation, change: Change) -> None:
        later = Change(notifications=change.notifications)
        await keep(self, replace(change, notifications=[]))
        if later.notifications:
            await keep(self, later)

    patch.set(Situation, "keep", keep_twice)


@mutant
def accept_before_durable(patch: Patch) -> None:
    """Answer 202 while the change is still being written."""
    keep = Situation.keep

    async def keep_aside(self: Any, change: Change) -> None:
        if not change.batches:
            await keep(self, change)
            return
        task = asyncio.get_running_loop().create_task(keep(self, change))
        task.add_done_callback(lambda done: done.exception())

    patch.set(Situation, "keep", keep_aside)


@mutant
def swallow_store_error(patch: Patch) -> None:
    """Go on after a failed commit as if it had been kept."""
    keep = Situation.keep

    async def keep_or_not(self: Situation, change: Change) -> None:
        try:
            await keep(self, change)
        except StoreError:
            return

    patch.set(Situation, "keep", keep_or_not)


@mutant
def trust_memory_after_failure(patch: Patch) -> None:
    """Do not read the store anew after a failed commit."""
    patch.set(Situation, "doubt", lambda _self: None)


@mutant
def forget_unknown_outcome(patch: Patch) -> None:
    """Leave in the outbox what a commit kept although it was answered with an error."""
    patch.set(FaultFlow, "_catch_up", lambda _self: None)


@mutant
def forget_setting_of_unknown_outcome(patch: Patch) -> None:
    """Read the store anew without the map and the policy."""
    restore = Situation._restore

    async def without(self: Situation) -> Snapshot:
        self._unsure = []
        return await restore(self)

    patch.set(Situation, "_restore", without)


# --- judging ---


@mutant
def no_dedup(patch: Patch) -> None:
    """Take every event for news."""
    patch.set(Intake, "is_news", lambda _self, _event_id: True)


@mutant
def no_dedup_after_restart(patch: Patch) -> None:
    """Forget after a restart which events were seen."""
    restore = Situation._restore

    async def without(self: Situation) -> Snapshot:
        snapshot = await restore(self)
        self.intake = Intake()
        return snapshot

    patch.set(Situation, "_restore", without)


@mutant
def lose_last_event_of_request(patch: Patch) -> None:
    """Judge all events of a request but the last."""
    take = FaultFlow._take

    def without(self: FaultFlow, report: Any, step: Step) -> Any:
        answer = take(self, report._replace(events=report.events[: max(1, len(report.events) - 1)]), step)
        return answer._replace(news=[*answer.news, True])

    patch.set(FaultFlow, "_take", without)


@mutant
def owner_check_skipped(patch: Patch) -> None:
    """Tell every subscription of every project."""
    of = Subscriptions.of

    def everybody(self: Subscriptions, project: str | None) -> Iterable[Subscription]:
        return of(self, project) if project is None else [one for one in self if one.project is not None]

    patch.set(Subscriptions, "of", everybody)


@mutant
def damping_swallows_end(patch: Patch) -> None:
    """Tell no end of a fault that was there for less than a second."""
    notices_of = Notices.of

    def damped(self: Notices, transition: Transition, outlooks: Any, draft: Draft) -> None:
        fault = transition.record.fault
        if fault.is_open or draft.now - fault.raised_time > timedelta(seconds=1):
            notices_of(self, transition, outlooks, draft)

    patch.set(Notices, "of", damped)


@mutant
def host_names_for_owners(patch: Patch) -> None:
    """Describe resources to owners as to the Administrator."""
    describer = Situation.describer
    patch.set(Situation, "describer", lambda self, _viewer, outlooks=None: describer(self, None, outlooks))


# --- numbers and ids ---


@mutant
def sequence_gap(patch: Patch) -> None:
    """Skip a number after a restart."""
    restore = Situation._restore

    async def skip(self: Situation) -> Snapshot:
        snapshot = await restore(self)
        self._sequences = {key: last + 1 for key, last in self._sequences.items()}
        return snapshot

    patch.set(Situation, "_restore", skip)


@mutant
def sequence_reused(patch: Patch) -> None:
    """Count from one again after a restart."""
    restore = Situation._restore

    async def anew(self: Situation) -> Snapshot:
        snapshot = await restore(self)
        self._sequences = {}
        return snapshot

    patch.set(Situation, "_restore", anew)


@mutant
def new_id_for_redelivery(patch: Patch) -> None:
    """Give every repeat an id of its own."""
    attempt_once = DeliveryFlow._attempt

    async def renamed(
        self: DeliveryFlow, lane: Lane, notification: StoredNotification, attempt: int, **how: Any
    ) -> DeliveryOutcome:
        if attempt > 1:
            notification = replace(notification, notification_id=f"{notification.notification_id}-{attempt}")
        return await attempt_once(self, lane, notification, attempt, **how)

    patch.set(DeliveryFlow, "_attempt", renamed)


@mutant
def write_redelivery_anew(patch: Patch) -> None:
    """Write a message anew when it is sent late, with the time of the day in it."""
    attempt_once = DeliveryFlow._attempt

    async def rewritten(
        self: DeliveryFlow, lane: Lane, notification: StoredNotification, attempt: int, **how: Any
    ) -> DeliveryOutcome:
        late = self._clock.now() - notification.created > timedelta(seconds=2)
        body = notification.body.replace(b'"sent_time":"2026', b'"sent_time":"2027') if late else None
        return await attempt_once(
            self, lane, replace(notification, body=body) if body else notification, attempt, **how
        )

    patch.set(DeliveryFlow, "_attempt", rewritten)


# --- lanes ---


@mutant
def parallel_claims(patch: Patch) -> None:
    """Serve a lane as often as it is woken."""

    def wake(self: DeliveryFlow, lane: Lane) -> None:
        if self._tasks is not None and not lane.closed.is_set():
            self._tasks.create_task(self._serve(lane))

    patch.set(DeliveryFlow, "_wake", wake)


@mutant
def newest_first(patch: Patch) -> None:
    """Let what is newest overtake: a clear its raise."""
    patch.set(Lane, "next", lambda self: self._waiting.pop() if self._waiting else None)


@mutant
def forget_outbox_at_start(patch: Patch) -> None:
    """Begin a lane without looking for what the last Doctor left in the outbox."""
    begin = Lane.__init__

    def caught_up(self: Lane, *parts: Any) -> None:
        begin(self, *parts)
        self.behind = False

    patch.set(Lane, "__init__", caught_up)


@mutant
def forget_lanes_at_start(patch: Patch) -> None:
    """Serve after a restart only who subscribes anew."""
    start = PolicyFlow.start

    async def empty(self: PolicyFlow, situation: Any, first: Any) -> None:
        await start(self, situation, first)
        situation.subscriptions = Subscriptions()

    patch.set(PolicyFlow, "start", empty)


@mutant
def retry_skips(patch: Patch) -> None:
    """Take a second failure for a success and go on with the next message."""
    attempt_once = DeliveryFlow._attempt

    async def skip(
        self: DeliveryFlow, lane: Lane, notification: StoredNotification, attempt: int, **how: Any
    ) -> DeliveryOutcome:
        outcome = await attempt_once(self, lane, notification, attempt, **how)
        now = self._clock.now()
        return Delivered(200, now, now) if isinstance(outcome, Failed) and attempt > 1 else outcome

    patch.set(DeliveryFlow, "_attempt", skip)


@mutant
def mark_before_send(patch: Patch) -> None:
    """Note a message as delivered before it is sent."""
    tell = DeliveryFlow._tell

    async def mark(self: DeliveryFlow, lane: Lane, notification: StoredNotification) -> None:
        delivery = Delivery(
            subscription_id=lane.subscription_id,
            sequence=notification.sequence,
            endpoint_id=lane.endpoint.endpoint_id,
            state=DeliveryState.DELIVERED,
            attempts=1,
        )
        self._store.later(Change(deliveries=[delivery]))
        await tell(self, lane, notification)

    patch.set(DeliveryFlow, "_tell", mark)


@mutant
def parking_put_off(patch: Patch) -> None:
    """Note that a message is left out some time after the next one was sent."""

    async def park(self: DeliveryFlow, _lane: Lane, delivery: Delivery) -> None:
        self._store.later(Change(deliveries=[delivery]))

    patch.set(DeliveryFlow, "_park", park)


@mutant
def parked_without_a_trace(patch: Patch) -> None:
    """Leave out what an endpoint refuses, and tell nobody."""

    async def park(_self: DeliveryFlow, _lane: Lane, _delivery: Delivery) -> None:
        return

    patch.set(DeliveryFlow, "_park", park)


@mutant
def unbounded_lane(patch: Patch) -> None:
    """Keep in memory all that waits for a deaf endpoint."""
    patch.set(delivery_module, "IN_MEMORY", 10**6)


@mutant
def refill_overlooks(patch: Patch) -> None:
    """Believe that a lane has caught up although more was saved while the outbox was asked."""

    def refill(self: Lane, rows: Any, missed: int) -> None:
        self._waiting.extend(rows)
        self.queued = rows[-1].sequence if rows else max(self.queued, self.missed)
        self.behind = len(rows) >= delivery_module.IN_MEMORY

    patch.set(Lane, "refill", refill)


@mutant
def give_up_on_defect(patch: Patch) -> None:
    """Let a defect of a channel end the lane."""

    async def fragile(
        self: DeliveryFlow, lane: Lane, notification: StoredNotification, attempt: int, **how: Any
    ) -> DeliveryOutcome:
        try:
            return await self._channel.deliver(lane.endpoint, notification, attempt=attempt, **how)
        except ZeroDivisionError:
            lane.close()
            return Failed("internal error")

    patch.set(DeliveryFlow, "_attempt", fragile)


# --- subscriptions and settings ---


@mutant
def subscription_only_in_memory(patch: Patch) -> None:
    """Confirm a subscription before it is kept."""

    async def put(self: SubscriptionFlow, subscription: Subscription, _former: Subscription | None) -> None:
        self._situation.store.later(Change(subscriptions=[subscription]))
        self._situation.subscriptions.put(subscription)
        self._delivery.follow(subscription)

    patch.set(SubscriptionFlow, "_put", put)


@mutant
def new_lane_for_known_endpoint(patch: Patch) -> None:
    """Begin every lane anew when a subscription is changed."""
    follow = DeliveryFlow.follow

    def anew(self: DeliveryFlow, subscription: Subscription) -> None:
        self._lanes.pop(subscription.subscription_id, None)
        follow(self, subscription)

    patch.set(DeliveryFlow, "follow", anew)


@mutant
def told_after_the_end(patch: Patch) -> None:
    """Go on telling who has left what was decided before."""
    patch.set(Lane, "close", lambda _self: None)


@mutant
def map_only_in_memory(patch: Patch) -> None:
    """Lose the resource map at a restart."""
    _without(patch, "resource_map", None)


@mutant
def map_only_in_store(patch: Patch) -> None:
    """Keep a new resource map and go on with the one before."""
    put_in_force = Situation.put_in_force

    async def put(
        self: Situation, change: Change, is_in_force: Any, take_effect: Any, take_back: Any = None
    ) -> None:
        if take_back is not None and self.policy is not None:
            take_back()
            take_effect = take_back
        await put_in_force(self, change, is_in_force, take_effect, take_back)

    patch.set(Situation, "put_in_force", put)


@mutant
def map_corrects_nothing(patch: Patch) -> None:
    """Leave open faults as they were judged by the map before."""
    patch.set(settlement_module, "corrections", lambda *_parts, **_more: ())


@mutant
def map_not_taken_back(patch: Patch) -> None:
    """Go on with a new resource map that could not be kept."""
    put_in_force = Situation.put_in_force

    async def put(self: Situation, change: Change, is_in_force: Any, take_effect: Any, _: Any = None) -> None:
        await put_in_force(self, change, is_in_force, take_effect)

    patch.set(Situation, "put_in_force", put)


@mutant
def correction_forgotten_by_owner(patch: Patch) -> None:
    """Correct alarms, and tell nobody."""
    notices_of = Notices.of

    def silent(self: Notices, transition: Transition, outlooks: Any, draft: Draft) -> None:
        notices_of(self, replace(transition, corrected=()), outlooks, draft)

    patch.set(Notices, "of", silent)


class _Open(asyncio.Lock):
    """A lock that keeps nobody out."""

    async def acquire(self) -> Literal[True]:
        return True

    def release(self) -> None:
        """Do nothing."""


@mutant
def settings_side_by_side(patch: Patch) -> None:
    """Let two who change a setting do so at once."""
    begin = Situation.__init__

    def unguarded(self: Any, *parts: Any, **rest: Any) -> None:
        begin(self, *parts, **rest)
        self.setting = _Open()

    patch.set(Situation, "__init__", unguarded)


@mutant
def policy_only_in_memory(patch: Patch) -> None:
    """Lose the failure policy at a restart."""
    _without(patch, "policies", [])


def _without(patch: Patch, name: str, nothing: Any) -> None:
    put_in_force = Situation.put_in_force

    async def put(self: Situation, change: Change, *effect: Any) -> None:
        await put_in_force(self, replace(change, **{name: nothing}), *effect)

    patch.set(Situation, "put_in_force", put)
