"""Judges one run: what the world knows, held against what Doctor kept and told."""

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import timedelta
from typing import NamedTuple

import msgspec

from doctor.model.alarm import AlarmedFault
from doctor.model.subscription import Subscription
from doctor.testing.clock import START
from doctor.testing.simulation import oracles
from doctor.testing.simulation.nfvi import Nfvi, owner_of
from doctor.testing.simulation.oracles import Kept, Told
from doctor.testing.simulation.second import FAULT_TYPES, Effect, OpenFaults, Said, Subject, reach
from doctor.testing.simulation.world import NEVER, World, in_force_between

REPORTED = frozenset(FAULT_TYPES.values())  # the faults that monitors report; others are Doctor's own word


class Raised(NamedTuple):
    """A fault that must have been raised: by which event, in which ticks, and what else was open then."""

    said: Said
    event_id: str
    start: int
    end: int
    open_subjects: tuple[Subject, ...]


def kept_by(world: World) -> Kept:
    """Return what the store of a world has."""
    store = world.store
    return Kept(
        notifications={
            key: [rows[sequence] for sequence in sorted(rows)] for key, rows in store._notifications.items()
        },
        deliveries=store._deliveries,
        subscriptions=store._subscriptions,
        faults=list(store._faults.values()),
    )


def judge(world: World, moment: str) -> Iterator[str]:
    """Say all that is wrong at a moment when everybody has got everything."""
    kept = kept_by(world)
    ledger = world.channel.ledger
    books = world.books
    projects = {key: one.project for key, one in kept.subscriptions.items()}
    projects |= {key: held.subscription.project for key, held in books.subscriptions.items()}
    yield from (f"I-29: {sentence}" for sentence in books.unfinished)
    yield from oracles.outbox(kept)
    yield from oracles.messages(kept, ledger)
    yield from oracles.deliveries(kept, ledger)
    yield from oracles.privacy(ledger, projects)
    yield from oracles.lanes(books.most_in_lane)
    seconds = {key: START + timedelta(seconds=held.second) for key, held in books.subscriptions.items()}
    yield from oracles.debts(kept, seconds)
    yield from _subscriptions(world, kept)
    yield from _settings(world)
    raised, still_open = replay(world)
    yield from _accepted(world)
    yield from _open(still_open, kept)
    yield from _reached(world, kept, still_open)
    yield from _tellings(world, kept, raised)
    if moment != "after the bad week":
        yield from _final_state(world, kept, still_open)


def replay(world: World) -> tuple[list[Raised], OpenFaults]:
    """Take all events and maps that were kept, in their order, to the second model."""
    begun = {push.body: push.begun for push in reversed(world.books.pushes)}
    second = OpenFaults()
    raised: list[Raised] = []
    maps = iter([*world.maps_kept, (NEVER, [])])
    loaded, machines = next(maps)
    for tick, batch in [*world.store.journal, (NEVER, None)]:
        while loaded < tick:
            second.load(machines)
            loaded, machines = next(maps)
        if batch is None:
            break
        if batch.body not in begun:
            continue  # Doctor's own word
        ids = batch.event_ids.hex()
        for index, said in enumerate(msgspec.json.decode(batch.body, type=list[Said])):
            if second.take(said) == "raised":
                open_subjects = tuple(second.open)
                event_id = ids[index * 32 : index * 32 + 32]
                raised.append(Raised(said, event_id, begun[batch.body], tick, open_subjects))
    return raised, second


def _reached(world: World, kept: Kept, second: OpenFaults) -> Iterator[str]:
    """[I-24] Every open fault has its alarms on what it reaches by the map in force, whichever map it was raised by."""
    nfvi = replace(world.nfvi, machines=world.machines)
    kinds = {fault_type: kind for kind, fault_type in FAULT_TYPES.items()}
    for record in kept.faults:
        fault = record.fault
        if fault.is_open and fault.fault_type in kinds:
            subject = fault.resource_id, kinds[fault.fault_type]
            wanted = reach(subject, second.open, nfvi, fault.severity.perceived)
            found = {
                key: Effect(alarm.resource_state.value, alarm.severity.perceived)
                for key, alarm in record.alarms.items()
            }
            if found != wanted:
                yield f"I-24: {subject} reaches {wanted} by the map in force, and has alarms on {found}"


def _accepted(world: World) -> Iterator[str]:
    """[I-1] What was answered 202 is in the journal."""
    first_kept: dict[bytes, int] = {}
    for tick, batch in world.store.journal:
        first_kept.setdefault(batch.body, tick)
    for push in world.books.pushes:
        if push.accepted != NEVER and first_kept.get(push.body, NEVER) > push.accepted:
            yield f"I-1: {_words(push.events)} was answered 202 before it was durable"


def _open(second: OpenFaults, kept: Kept) -> Iterator[str]:
    """[I-3] What is open is what the accepted events say, once."""
    opened = Counter(
        (record.fault.resource_id, record.fault.fault_type)
        for record in kept.faults
        if record.fault.is_open and record.fault.fault_type in REPORTED
    )
    wanted = Counter((resource, FAULT_TYPES[kind]) for resource, kind in second.open)
    for subject in wanted - opened:
        yield f"I-1: {subject} was reported down last, and is not open"
    for subject in opened - wanted:
        yield f"I-3: {subject} is open, and should not be"


def _tellings(world: World, kept: Kept, raised: list[Raised]) -> Iterator[str]:
    """[I-1, I-3] Every fault was raised once, and each subscription that held was told whom it hit."""
    by_event: dict[str, AlarmedFault] = {}
    for record in kept.faults:
        if record.fault.fault_type not in REPORTED:
            continue
        event_id = record.fault.raised_by.replace("-", "")
        if event_id in by_event:
            yield f"I-3: one event raised two faults: {record.fault.resource_id} {record.fault.fault_type}"
        by_event[event_id] = record
    for event_id in by_event.keys() - {one.event_id for one in raised}:
        fault = by_event[event_id].fault
        yield f"I-3: nobody said what raised {fault.fault_type} on {fault.resource_id}"
    told = _told_by_fault(kept)
    for one in raised:
        found = by_event.get(one.event_id)
        if found is None:
            yield f"I-1: {_words([one.said])} was accepted, and raised nothing"
            continue
        for held in world.books.subscriptions.values():
            if held.answered < one.start and one.end < held.end_asked:
                heard = told.get((held.subscription.subscription_id, found.fault.fault_key), set())
                yield from _missed(world, held.subscription, one, heard)


def _told_by_fault(kept: Kept) -> dict[tuple[str, str], set[str]]:
    told: dict[tuple[str, str], set[str]] = {}
    for rows in kept.notifications.values():
        for row in rows:
            resources = told.setdefault((row.subscription_id, row.fault_key), set())
            resources.update(resource for resource, _ in oracles.infos(row))
    return told


def _missed(world: World, subscription: Subscription, one: Raised, heard: set[str]) -> Iterator[str]:
    """Say what a subscription was not told of a fault: what it hit whichever map and policy was in force."""
    subject = (one.said.resource, one.said.type)
    if not oracles.fits(subscription, FAULT_TYPES[one.said.type]):
        return
    wanted: set[str] | None = None
    for nfvi in world.maps_between(one.start, one.end):
        for disks in in_force_between(world.books.disks, one.start, one.end):
            effects = reach(subject, one.open_subjects, nfvi, disks)
            mine = set(_share(subscription, effects, nfvi))
            wanted = mine if wanted is None else wanted & mine
    for resource in sorted((wanted or set()) - heard):
        yield f"I-1: {_name(subscription)} was not told that {one.said.type} on {subject[0]} hit {resource}"


def _share(subscription: Subscription, effects: dict[str, Effect], nfvi: Nfvi) -> Iterator[str]:
    """Return what of this a subscription is to be told."""
    for resource, effect in effects.items():
        is_bad_enough = oracles.severity_of(effect.severity) >= subscription.filter.min_severity
        is_mine = subscription.project is None or (
            resource in nfvi.machines and owner_of(resource) == subscription.project
        )
        if is_bad_enough and is_mine:
            yield resource


def _final_state(world: World, kept: Kept, second: OpenFaults) -> Iterator[str]:
    """[I-8, I-9] After a quiet while each consumer believes what the second model says, on the map that is in force."""
    nfvi, disks = world.books.maps[-1].value, world.books.disks[-1].value
    for subscription_id, held in world.books.subscriptions.items():
        subscription = kept.subscriptions.get(subscription_id)
        if subscription is None or held.end_asked != NEVER:
            continue
        owed = {
            (resource, FAULT_TYPES[subject[1]], subject[0]): Told(
                resource, FAULT_TYPES[subject[1]], effect.severity
            )
            for subject in second.open
            if oracles.fits(subscription, FAULT_TYPES[subject[1]])
            for resource, effect in reach(subject, second.open, nfvi, disks).items()
            if resource in set(_share(subscription, {resource: effect}, nfvi))
        }
        by_alarm = oracles.known_after(kept.notifications.get(subscription_id, ()))
        known = Counter(told for told in by_alarm.values() if told.fault_type in REPORTED)
        if known != Counter(owed.values()) and subscription.clear and subscription.change:
            yield from _differences(subscription, known, Counter(owed.values()))


def _differences(subscription: Subscription, known: "Counter[Told]", owed: "Counter[Told]") -> Iterator[str]:
    for told in owed - known:
        yield f"I-8: {_name(subscription)} does not know that {told} is so"
    for told in known - owed:
        yield f"I-9: {_name(subscription)} believes {told}, which is not so"


def _subscriptions(world: World, kept: Kept) -> Iterator[str]:
    """A subscription that was confirmed is there, with its endpoints; one that was ended is told nothing more."""
    for subscription_id, held in world.books.subscriptions.items():
        found = kept.subscriptions.get(subscription_id)
        if found is None and held.end_asked == NEVER:
            yield f"I-1: {_name(held.subscription)} was confirmed, and is gone"
        if found is not None and held.end_answered != NEVER:
            yield f"I-1: {_name(held.subscription)} was ended, and is there again"
        if found is not None and held.end_asked == NEVER and found.endpoints != held.subscription.endpoints:
            yield f"I-1: {_name(held.subscription)} has other endpoints than were confirmed"
    ended = {
        key: held.end_answered
        for key, held in world.books.subscriptions.items()
        if held.end_answered != NEVER
    }
    for sent in world.channel.ledger.sent:
        subscription_id = sent.notification.subscription_id
        if sent.tick > ended.get(subscription_id, NEVER):
            yield f"I-1: {subscription_id} is told #{sent.notification.sequence} after its end"


def _settings(world: World) -> Iterator[str]:
    """[I-7, I-22] Doctor runs, and the map and the policy in force are those that are kept."""
    yield from world.books.wrong
    yield from (f"I-22: two decisions contradict each other: {refusal}" for refusal in world.store.refused)
    if world.doctor is None:
        yield "I-7: Doctor is not running, although nothing is in the way"
        return
    yield from world.wrong_settings(world.doctor.situation)


def _name(subscription: Subscription) -> str:
    return subscription.endpoints[0].url if subscription.endpoints else subscription.subscription_id


def _words(events: Iterable[Said]) -> str:
    return ", ".join(f"{said.resource} {said.type} {said.status} ({said.number})" for said in events)
