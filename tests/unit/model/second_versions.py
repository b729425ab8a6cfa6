"""Second versions of tricky rules: deliberately simple and slow, to hold the real ones against."""

from collections.abc import Callable, Iterable, Mapping, Sequence

from doctor.inspector.impact import Effect
from doctor.model.fault import Fault, ResourceState
from doctor.model.policy import Propagation, Ways
from doctor.model.resource_map import ResourceMap

Reach = dict[str, Effect]


def effects(
    fault: Fault, resources: ResourceMap, rules: Sequence[Propagation], is_lost: Callable[[str], bool]
) -> Reach:
    """Apply every rule to every pair of resources, again and again, until nothing becomes worse."""
    found = {fault.resource_id: Effect(fault.state, fault.severity)}
    types = {fault.resource_id: fault.resource_type}
    types |= {name: resource.type for name, resource in resources.physical.items()}
    types |= {name: resource.type for name, resource in resources.virtual.items()}
    while True:
        before = dict(found)
        for supplier in before:
            for rule in rules:
                for dependent in types:
                    onward = _onward(rule, types[supplier], found[supplier])
                    if onward is None or not _reaches(rule, supplier, dependent, resources, found, is_lost):
                        continue
                    found[dependent] = max(onward, found.get(dependent, onward), key=_weight)
        if found == before:
            return found


def open_faults(
    faults: Iterable[Fault], resources: ResourceMap, rules: Sequence[Propagation]
) -> Mapping[str, Reach]:
    """Decide all open faults anew, by fault key, until none of them changes what another does."""
    faults = list(faults)
    reaches: dict[str, Reach] = {fault.fault_key: {} for fault in faults}
    while True:
        again = {}
        for fault in faults:
            out = {
                name
                for key, reach in reaches.items()
                for name, effect in reach.items()
                if key != fault.fault_key and _is_out(effect)
            }
            again[fault.fault_key] = effects(fault, resources, rules, out.__contains__)
        if again == reaches:
            return reaches
        reaches = again


def _onward(rule: Propagation, supplier_type: str, cause: Effect) -> Effect | None:
    applies = (
        rule.supplier_type == supplier_type
        and rule.state in (None, cause.state)
        and cause.severity >= rule.min_severity
    )
    severity = cause.severity if rule.severity is None else rule.severity
    return Effect(rule.to_state, severity) if applies else None


def _reaches(
    rule: Propagation,
    supplier: str,
    dependent: str,
    resources: ResourceMap,
    found: Reach,
    is_lost: Callable[[str], bool],
) -> bool:
    ties = [
        tie.supplier for tie in resources.relations if (tie.kind, tie.dependent) == (rule.kind, dependent)
    ]
    machine = resources.virtual.get(dependent)
    if rule.kind == "hosts" and machine is not None and machine.host is not None:
        ties.append(machine.host)
    if supplier not in ties:
        return False
    all_lost = all((tie in found and _is_out(found[tie])) or is_lost(tie) for tie in ties)
    return {Ways.THIS: True, Ways.ALL: all_lost, Ways.SOME: not all_lost}[rule.ways]


def _is_out(effect: Effect) -> bool:
    return effect.state in (ResourceState.DOWN, ResourceState.ERROR)


def _weight(effect: Effect) -> tuple[int, int]:
    return effect.state.badness, effect.severity
