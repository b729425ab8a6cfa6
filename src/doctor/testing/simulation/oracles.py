"""What must hold, whatever happened: one small library of judges.

Each judge looks at what was kept (`Kept`), at what was sent and received (`Ledger`) or at what the world knows, and
yields sentences on what is broken, each beginning with the promise. None of them calls production code to find out what
would have been right.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple, TypeVar

import msgspec

from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.situation import Situation
from doctor.model.alarm import AlarmedFault
from doctor.model.fault import Severity
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.subscription import Endpoint, Subscription
from doctor.testing.simulation.network import Ledger, Term
from doctor.testing.simulation.nfvi import OWNERS, PHYSICAL, map_of

ORDER = {"raised": 0, "changed": 1, "cleared": 2}
LANE_LIMIT = 64

T = TypeVar("T")


class Told(NamedTuple):
    """What a consumer was told of one alarm last."""

    resource: str
    fault_type: str
    severity: str


@dataclass(frozen=True)
class Kept:
    """What a store has: notifications by subscription in order, ends of deliveries, subscriptions and faults."""

    notifications: Mapping[str, Sequence[StoredNotification]]
    deliveries: Mapping[tuple[str, int], Mapping[str, Delivery]]
    subscriptions: Mapping[str, Subscription]
    faults: Collection[AlarmedFault]


class Info(NamedTuple):
    """One alarm in a message."""

    resource: str
    alarm: Any


def infos(notification: StoredNotification) -> tuple[Info, ...]:
    """Return the alarms of a message."""
    return _infos(notification.body)


@lru_cache(4096)
def _infos(body: bytes) -> tuple[Info, ...]:
    message = msgspec.json.decode(body)
    return tuple(
        Info(info.get("physical_resource_id") or info["virtual_resource_id"], alarm)
        for info in (*message.get("physical_resource_info", ()), *message.get("virtual_resource_info", ()))
        for alarm in info["faults"]
    )


def known_after(notifications: Iterable[StoredNotification]) -> dict[str, Told]:
    """Return what somebody who read these, in order, believes to be open, by alarm."""
    known: dict[str, Told] = {}
    for notification in notifications:
        for resource, alarm in infos(notification):
            if alarm["alarm_state"] == "cleared":
                known.pop(alarm["alarm_id"], None)
            else:
                known[alarm["alarm_id"]] = Told(resource, alarm["fault_type"], alarm["perceived_severity"])
    return known


# --- the outbox by itself ---


def outbox(kept: Kept) -> Iterator[str]:
    """[I-3, I-5] Sequences without gaps, ids used once, and each alarm lives once: raised, changed, cleared."""
    ids: set[str] = set()
    for subscription_id, rows in kept.notifications.items():
        sequences = [row.sequence for row in rows]
        if sequences != list(range(1, len(rows) + 1)):
            yield f"I-5: gaps in the sequence of {subscription_id}: {sequences}"
        for row in rows:
            if row.notification_id in ids:
                yield f"I-3: notification id {row.notification_id} is used twice"
            ids.add(row.notification_id)
            message = msgspec.json.decode(row.body)
            if "notification_id" not in message:
                continue  # the response of a session of maintenance, which is no notification
            if (message["notification_id"], message["sequence"]) != (row.notification_id, row.sequence):
                yield f"I-4: the body of {row.notification_id} has another id or sequence than its row"
        yield from _lives(subscription_id, rows)


def _lives(subscription_id: str, rows: Iterable[StoredNotification]) -> Iterator[str]:
    states: dict[str, str] = {}
    for row in rows:
        for resource, alarm in infos(row):
            before, now = states.get(alarm["alarm_id"]), alarm["alarm_state"]
            if before is not None and (now == "raised" or before == "cleared" or ORDER[now] < ORDER[before]):
                yield f"I-5: {subscription_id} #{row.sequence}: the alarm on {resource} was {before} and is now {now}"
            states[alarm["alarm_id"]] = now
            times = [alarm[f"{step}_time"] for step in ORDER if alarm[f"{step}_time"] is not None]
            if [*map(datetime.fromisoformat, times)] != sorted(map(datetime.fromisoformat, times)):
                yield f"I-5: {subscription_id} #{row.sequence}: the times of an alarm are out of order: {times}"


# --- the outbox and the endpoints ---


def deliveries(kept: Kept, ledger: Ledger) -> Iterator[str]:
    """[I-1, I-5, I-8] Every endpoint has all that it is owed, or a visible parked entry; first deliveries in order."""
    for subscription_id, subscription in kept.subscriptions.items():
        rows = kept.notifications.get(subscription_id, ())
        for endpoint in subscription.endpoints:
            received = {one.notification.sequence for one in ledger.received[endpoint.endpoint_id]}
            owed = [row.sequence for row in rows if row.sequence > endpoint.since]
            missing = [
                sequence
                for sequence in owed
                if sequence not in received and not _is_parked(kept, subscription_id, sequence, endpoint)
            ]
            if missing:
                yield f"I-8: {endpoint.url} was never told {missing}, and that is not parked either"
            unsettled = [
                sequence
                for sequence in owed
                if endpoint.endpoint_id not in kept.deliveries.get((subscription_id, sequence), {})
            ]
            if unsettled and not missing:
                yield f"I-8: {endpoint.url} has {unsettled} pending, although nothing is in the way"


def _is_parked(kept: Kept, subscription_id: str, sequence: int, endpoint: Endpoint) -> bool:
    delivery = kept.deliveries.get((subscription_id, sequence), {}).get(endpoint.endpoint_id)
    return delivery is not None and delivery.state is DeliveryState.PARKED


def messages(kept: Kept, ledger: Ledger) -> Iterator[str]:
    """[I-1, I-4, I-5, I-18] Nothing is sent before it is kept, or with another body; one request at a time, in order."""
    by_place = {
        (row.subscription_id, row.sequence): row for rows in kept.notifications.values() for row in rows
    }
    for sent in ledger.not_kept:
        yield f"I-1: #{sent.notification.sequence} was sent at tick {sent.tick} before it was kept like this"
    first: defaultdict[Term, dict[int, None]] = defaultdict(dict)
    for sent in ledger.sent:
        row = by_place.get((sent.notification.subscription_id, sent.notification.sequence))
        if row != sent.notification:
            yield f"I-4: #{sent.notification.sequence} was sent in other words or under another id than kept"
        first[Term.of(sent.endpoint)][sent.notification.sequence] = None
    for term, sequences in first.items():
        if [*sequences] != sorted(sequences):
            yield f"I-5: {term.endpoint_id} was sent {[*sequences]}, out of order"
    for (process, term), most in ledger.most_under_way.items():
        if most > 1:
            yield f"I-18: {process} had {most} requests at once under way to {term.endpoint_id}"
    parked = {
        (endpoint_id, sequence)
        for (_, sequence), ends in kept.deliveries.items()
        for endpoint_id, delivery in ends.items()
        if delivery.state is DeliveryState.PARKED
    }
    received: defaultdict[Term, dict[int, None]] = defaultdict(dict)
    for receipts in ledger.received.values():
        for one in receipts:
            # What was given up may still be on its way when the next is sent.
            if (one.endpoint.endpoint_id, one.notification.sequence) not in parked:
                received[Term.of(one.endpoint)][one.notification.sequence] = None
    for term, sequences in received.items():
        if [*sequences] != sorted(sequences):
            yield f"I-5: {term.endpoint_id} received {[*sequences]}, out of order"


def privacy(ledger: Ledger, projects: Mapping[str, str | None]) -> Iterator[str]:
    """[D 3.3.4] No owner gets the name of anything physical, or of another's machine."""
    for sent in ledger.sent:
        project = projects.get(sent.notification.subscription_id)
        if project is None:
            continue
        body = sent.notification.body
        foreign = [PHYSICAL, *(f"vm-{owner}-" for owner in OWNERS if owner != project)]
        yield from (f"privacy: {project} was sent {name}..." for name in foreign if name.encode() in body)


def lanes(most: int) -> Iterator[str]:
    """[I-10] A lane keeps no more than this in memory, however long its endpoint is deaf."""
    if most > LANE_LIMIT:
        yield f"I-10: a lane had {most} messages in memory, more than {LANE_LIMIT}"


# --- what is open, and what was told of it ---


def debts(kept: Kept, in_force: Mapping[str, datetime]) -> Iterator[str]:
    """[I-8] What was told last of each alarm is how it is now: of all that was raised while the subscription held."""
    for subscription_id, since in in_force.items():
        subscription = kept.subscriptions.get(subscription_id)
        if subscription is None:
            continue
        known = known_after(kept.notifications.get(subscription_id, ()))
        owed = {
            alarm.alarm_id: Told(alarm.resource_id, record.fault.fault_type, alarm.severity.perceived)
            for record in kept.faults
            if record.fault.is_open and fits(subscription, record.fault.fault_type)
            for alarm in record.alarms.values()
            if subscription.project in (None, alarm.project)
            and alarm.worst_severity >= subscription.filter.min_severity
            and (alarm.raised_time > since or alarm.alarm_id in known)
        }
        yield from compare(subscription, known, owed)


def compare(subscription: Subscription, known: Mapping[Any, Told], owed: Mapping[Any, Told]) -> Iterator[str]:
    """Say in which way what a consumer believes differs from what is so."""
    name = subscription.endpoints[0].url if subscription.endpoints else subscription.subscription_id
    for key, told in owed.items():
        if key not in known:
            yield f"I-1: {name} was never told that {told.fault_type} is open on {told.resource}"
        elif subscription.change and known[key] != told:
            yield f"I-8: {name} believes {known[key]}, and it is {told}"
    for key, told in known.items():
        if key not in owed and subscription.clear:
            yield f"I-9: {name} still believes that {told.fault_type} is open on {told.resource}"


def settings(situation: Situation, store: MemoryStore) -> Iterator[str]:
    """[I-22] The map and the policy in force are those that are kept, also after a commit of unknown outcome."""
    document = store._resource_map
    if document is not None and situation.resources.virtual != map_of(document).virtual:
        yield "I-22: another resource map is in force than is kept"
    yield from policy_in_force(situation, store)


def policy_in_force(situation: Situation, store: MemoryStore) -> Iterator[str]:
    """[I-22] The policy in force is the one that is kept."""
    policies = store._policies
    if policies and situation.selector.policy.description not in policies[max(policies)].text:
        yield "I-22: another failure policy is in force than is kept"


def fits(subscription: Subscription, fault_type: str) -> bool:
    """Tell whether a subscription asks for faults of this type."""
    return not subscription.filter.fault_type or fault_type in subscription.filter.fault_type


def severity_of(name: str) -> Severity:
    """Return the severity of this name."""
    return Severity[name.upper()]


def in_force_at(history: Sequence[tuple[int, int, T]], start: int, end: int) -> list[T]:
    """Return what may have been in force between two ticks; ``history`` has (begun, accepted, what) in order."""
    settled = [what for _, done, what in history if done < start]
    found = settled[-1:]
    return found + [what for begun, done, what in history if begun <= end and done >= start]
