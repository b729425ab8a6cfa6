"""What a fault takes down [D 3.3.3].

In comes a fault on one resource, the resource map and the propagation rules of the policy; out goes the effect on
every resource that depends on it. The cause runs downwards, from the supplier to what depends on it; a resource
with several suppliers of one kind is cut off when all are lost and degraded before. Hence what one fault does
depends on the others that are open, and a fault that comes or goes makes others weigh more or less.
"""

from collections import Counter, deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import NamedTuple

from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault, ResourceState, Severity
from doctor.model.policy import Propagation, Ways
from doctor.model.resource_map import HOSTS, ResourceMap


class Effect(NamedTuple):
    """What a fault does to one resource."""

    state: ResourceState
    severity: Severity


IsLost = Callable[[str], bool]
Reach = dict[str, Effect]

Rules = Mapping[str, Sequence[Propagation]]  # by the type of the supplier

MOST_LOOKS = 10  # at one fault in one step; only a map whose relations run in a circle can come to that many


def known_reach(record: AlarmedFault) -> Reach:
    """Return what a fault does to which resource, as its alarms have it."""
    return {name: Effect(alarm.resource_state, alarm.severity) for name, alarm in record.alarms.items()}


def by_supplier(propagate: Iterable[Propagation]) -> Rules:
    """Return the propagation rules of a policy as they are looked up."""
    rules: dict[str, list[Propagation]] = {}
    for rule in propagate:
        rules.setdefault(rule.supplier_type, []).append(rule)
    return rules


def reaches(
    fault_key: str,
    fault: Fault | None,
    resources: ResourceMap,
    rules: Rules,
    book: AlarmBook,
) -> dict[str, Reach]:
    """Return, by fault key, what a fault reaches now, and what each of the others reaches that weighs differently by it.

    ``fault`` is as it is now, None when it is over; ``book`` is from before. The fault itself comes first, also when
    it reaches what it did before; what is over reaches nothing.
    """
    decided: dict[str, Reach] = {}
    looks: Counter[str] = Counter()
    waiting = {fault_key: None}
    while waiting:
        key = next(iter(waiting))
        del waiting[key]
        known = book.fault(key)
        subject = fault if key == fault_key else None if known is None else known.fault
        before = decided.get(key)
        if before is None and known is not None:
            before = known_reach(known)
        now = {} if subject is None else reach(subject, resources, rules, book, decided)
        looks[key] += 1
        if (now == before and (key in decided or key != fault_key)) or looks[key] > MOST_LOOKS:
            continue
        decided[key] = now
        changed = now if before is None else _differences(before, now)
        waiting.update(
            (other, None) for other in _concerned(changed, resources, book, decided) if other != key
        )
    return decided


def all_reaches(resources: ResourceMap, rules: Rules, book: AlarmBook) -> dict[str, Reach]:
    """Return, by fault key, what every open fault reaches on a map other than the one that it was judged by."""
    decided: dict[str, Reach] = {}
    for _ in range(MOST_LOOKS):
        before = dict(decided)
        for record in book:
            key = record.fault.fault_key
            decided[key] = reach(record.fault, resources, rules, book, decided)
        if decided == before:
            break
    return decided


def reach(
    fault: Fault,
    resources: ResourceMap,
    rules: Rules,
    book: AlarmBook,
    decided: Mapping[str, Reach],
) -> Reach:
    """Return the effect of a fault on every resource that it reaches, with the others as the book has them.

    ``decided`` is what some of the others will reach, whatever the book says.
    """

    def is_lost(resource_id: str) -> bool:
        for record in book.on(resource_id):
            key = record.fault.fault_key
            if (
                key != fault.fault_key
                and key not in decided
                and record.alarms[resource_id].resource_state.is_out
            ):
                return True
        return any(
            key != fault.fault_key and resource_id in other and other[resource_id].state.is_out
            for key, other in decided.items()
        )

    seen = fault.prediction
    effect = Effect(fault.state, fault.severity) if seen is None else Effect(seen.state, seen.severity)
    if fault.is_confined:
        return {fault.resource_id: effect}
    found = effects(fault.resource_id, fault.resource_type, effect, resources, rules, is_lost)
    return found if seen is None else _foreseen(fault, found)


def _foreseen(fault: Fault, would_be: Reach) -> Reach:
    """Return what a fault that has not happened yet does: nothing, but what it would put out of service is warned."""
    warned = Effect(ResourceState.NORMAL, fault.severity)
    return {
        name: warned for name, effect in would_be.items() if effect.state.is_out or name == fault.resource_id
    }


def _differences(before: Reach, now: Reach) -> list[str]:
    return [name for name in {**before, **now} if before.get(name) != now.get(name)]


def _concerned(
    changed: Iterable[str], resources: ResourceMap, book: AlarmBook, decided: Mapping[str, Reach]
) -> Iterator[str]:
    """Return the faults that reach another supplier of what a changed resource supplies."""
    for resource_id in resources.suppliers_among(changed):
        for other in neighbours(resource_id, resources):
            yield from (record.fault.fault_key for record in book.on(other))
            yield from (key for key, reached in decided.items() if other in reached)


def effects(
    resource_id: str,
    resource_type: str,
    effect: Effect,
    resources: ResourceMap,
    rules: Rules,
    is_lost: IsLost,
) -> Reach:
    """Return the effect on every resource that a fault reaches, the faulty one first.

    ``is_lost`` tells of other open faults: whether a resource is out of service by one of them. Where the fault
    arrives by several ways, the worst counts.
    """
    found: Reach = {resource_id: effect}
    queue = deque([(resource_id, resource_type)])

    def lost(supplier: str) -> bool:
        here = found.get(supplier)
        return (here is not None and here.state.is_out) or is_lost(supplier)

    while queue:
        supplier, supplier_type = queue.popleft()
        cause = found[supplier]
        for rule in rules.get(supplier_type, ()):
            if not _applies(rule, cause):
                continue
            onward = Effect(rule.to_state, cause.severity if rule.severity is None else rule.severity)
            related = _take(_related(resources, supplier, rule, lost), onward, found)
            queue.extend(_with_types(related, resources))
            if onward.state.is_out:
                queue.extend(_with_types(_beside(related, resources, found), resources))
            if rule.kind == HOSTS and rule.ways is not Ways.SOME:  # a machine has no other host
                machines = _take(resources.machines_on(supplier), onward, found)
                queue.extend(_with_types(resources.suppliers_among(machines), resources))
    return found


def _take(names: Sequence[str], effect: Effect, found: Reach) -> Sequence[str]:
    """Note what arrives at these resources; return those to which it is worse than what they have."""
    if not found.keys().isdisjoint(names):
        names = [name for name in names if _is_worse(effect, found.get(name))]
    found.update(dict.fromkeys(names, effect))
    return names


def _beside(gone: Iterable[str], resources: ResourceMap, found: Reach) -> Iterator[str]:
    """Return those reached already that supply the same as what has gone: they may have been the last but one."""
    for supplier in resources.suppliers_among(gone):
        yield from (other for other in neighbours(supplier, resources) if other in found)


def _with_types(names: Iterable[str], resources: ResourceMap) -> Iterator[tuple[str, str]]:
    for name in names:
        resource = resources.get(name)
        if resource is not None:
            yield name, resource.type


def _applies(rule: Propagation, cause: Effect) -> bool:
    return (rule.state is None or rule.state is cause.state) and cause.severity >= rule.min_severity


def _related(resources: ResourceMap, supplier: str, rule: Propagation, lost: IsLost) -> list[str]:
    """Return what depends on the supplier by relations in the way that the rule speaks of."""
    related = [
        relation.dependent for relation in resources.dependents(supplier) if relation.kind == rule.kind
    ]
    if rule.ways is not Ways.THIS:
        wanted = rule.ways is Ways.ALL
        related = [
            dependent
            for dependent in related
            if wanted
            is all(
                lost(other.supplier) for other in resources.suppliers(dependent) if other.kind == rule.kind
            )
        ]
    return related


def _is_worse(effect: Effect, known: Effect | None) -> bool:
    return known is None or (effect.state.badness, effect.severity) > (known.state.badness, known.severity)


def neighbours(resource_id: str, resources: ResourceMap) -> Iterable[str]:
    """Return the other suppliers of what this resource supplies: their faults weigh differently without it."""
    return {
        other.supplier: None
        for relation in resources.dependents(resource_id)
        for other in resources.suppliers(relation.dependent)
        if other.kind == relation.kind and other.supplier != resource_id
    }
