"""What a fault takes down [D 3.3.3].

In comes a fault on one resource, the resource map and the propagation rules of the policy; out goes the effect on
every resource that depends on it. The cause runs downwards, from the supplier to what depends on it; a resource
with several suppliers of one kind is cut off when all are lost and degraded before.
"""

from collections import deque
from collections.abc import Callable, Sequence
from typing import NamedTuple

from doctor.model.fault import ResourceState, Severity
from doctor.model.policy import Propagation, Ways
from doctor.model.resource_map import HOSTS, ResourceMap


class Effect(NamedTuple):
    """What a fault does to one resource."""

    state: ResourceState
    severity: Severity


IsLost = Callable[[str], bool]


def effects(
    resource_id: str,
    resource_type: str,
    effect: Effect,
    resources: ResourceMap,
    rules: Sequence[Propagation],
    is_lost: IsLost,
) -> dict[str, Effect]:
    """Return the effect on every resource that a fault reaches, the faulty one first.

    ``is_lost`` tells of other open faults: whether a resource is out of service by one of them. Where the fault
    arrives by several ways, the worst counts.
    """
    found: dict[str, Effect] = {resource_id: effect}
    by_supplier = _index(rules)
    queue = deque([(resource_id, resource_type)])

    def lost(supplier: str) -> bool:
        here = found.get(supplier)
        return (here is not None and _is_out(here.state)) or is_lost(supplier)

    while queue:
        supplier, supplier_type = queue.popleft()
        cause = found[supplier]
        for rule in by_supplier.get(supplier_type, ()):
            if not _applies(rule, cause):
                continue
            onward = Effect(rule.to_state, cause.severity if rule.severity is None else rule.severity)
            for dependent in _dependents(resources, supplier, rule, lost):
                if _is_worse(onward, found.get(dependent)):
                    found[dependent] = onward
                    resource = resources.get(dependent)
                    if resource is not None and (
                        resource.type in by_supplier
                        and (dependent in resources.physical or resources.dependents(dependent))
                    ):
                        queue.append((dependent, resource.type))
    return found


def _index(rules: Sequence[Propagation]) -> dict[str, list[Propagation]]:
    by_supplier: dict[str, list[Propagation]] = {}
    for rule in rules:
        by_supplier.setdefault(rule.supplier_type, []).append(rule)
    return by_supplier


def _applies(rule: Propagation, cause: Effect) -> bool:
    return (rule.state is None or rule.state is cause.state) and cause.severity >= rule.min_severity


def _dependents(resources: ResourceMap, supplier: str, rule: Propagation, lost: IsLost) -> list[str]:
    """Return what depends on the supplier in the way that the rule speaks of."""
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
    if rule.kind == HOSTS:
        related += resources.machines_on(supplier)
    return related


def _is_out(state: ResourceState) -> bool:
    return state is ResourceState.DOWN or state is ResourceState.ERROR


def _is_worse(effect: Effect, known: Effect | None) -> bool:
    return known is None or (effect.state.badness, effect.severity) > (known.state.badness, known.severity)


def neighbours(resource_id: str, resources: ResourceMap) -> set[str]:
    """Return the other suppliers of what this resource supplies: their faults weigh differently without it."""
    return {
        other.supplier
        for relation in resources.dependents(resource_id)
        for other in resources.suppliers(relation.dependent)
        if other.kind == relation.kind and other.supplier != resource_id
    }
