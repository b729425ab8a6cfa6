"""What to look at once more among the rules that say what a fault takes down."""

from collections import deque
from collections.abc import Iterator, Sequence
from itertools import pairwise

from doctor.inspector.document import shown
from doctor.model.fault import ResourceState, Severity
from doctor.model.policy import Propagation, Ways
from doctor.model.resource import VIRTUAL_RESOURCE_TYPES

SUPPLIER_TYPES = (
    *("host", "control_node", "switch", "nic", "disk", "storage", "power", "cooling", "chassis", "rack"),
    *("controller", "vim_service", *VIRTUAL_RESOURCE_TYPES),
)
# What usually depends on a supplier by a relation of this kind.
DEPENDENTS = {
    "hosts": VIRTUAL_RESOURCE_TYPES,
    "connects": ("host", "control_node", "switch", "storage", *VIRTUAL_RESOURCE_TYPES),
    "attaches": ("host", "control_node", *VIRTUAL_RESOURCE_TYPES),
    "powers": ("host", "control_node", "switch", "storage", "chassis", "rack", "cooling"),
    "contains": ("chassis", "host", "control_node", "switch", "storage", "nic", "disk"),
    "backs": ("storage", "virtual storage", "virtual machine"),
}

OUT = frozenset({ResourceState.DOWN, ResourceState.ERROR})

Place = tuple[str, ResourceState]  # a type of resource, in a state


def propagation_advice(rules: Sequence[Propagation]) -> Iterator[tuple[str, str]]:
    """Return what is doubtful, each with the pointer to its place."""
    yield from _contradictions(rules)
    yield from _circles(rules)


def _contradictions(rules: Sequence[Propagation]) -> Iterator[tuple[str, str]]:
    first: dict[tuple[str, str, ResourceState | None, Ways, Severity], int] = {}
    for index, rule in enumerate(rules):
        key = (rule.supplier_type, rule.kind, rule.state, rule.ways, rule.min_severity)
        before = rules[first.setdefault(key, index)]
        if before is rule:
            continue
        other = f"/propagate/{first[key]}"
        if (before.to_state, before.severity) == (rule.to_state, rule.severity):
            yield f"/propagate/{index}", f"says the same as {other}"
        else:
            yield (
                f"/propagate/{index}",
                f"is about the same as {other} and says otherwise: the worse of both counts",
            )


def _circles(rules: Sequence[Propagation]) -> Iterator[tuple[str, str]]:
    """Find rules whose effect can come back to where it began.

    Doctor bears it, since an effect only goes on where it makes things worse; but one fault may take down all.
    """
    first: dict[Place, dict[Place, int]] = {}
    for index, rule in enumerate(rules):
        for state in OUT if rule.state is None else (rule.state,):
            onward = first.setdefault((rule.supplier_type, state), {})
            for dependent in DEPENDENTS.get(rule.kind, ()):
                # What is nested in its like (a rack in a rack) is no circle.
                if dependent != rule.supplier_type and {state, rule.to_state} <= OUT:
                    onward.setdefault((dependent, rule.to_state), index)
    told: set[int] = set()
    for start in first:
        way = _way_back(start, first)
        indexes = [first[here][there] for here, there in pairwise(way)]
        if indexes and told.isdisjoint(indexes):
            told.update(indexes)
            steps = " -> ".join(f"{shown(name)} {state}" for name, state in way)
            others = ", ".join(
                f"/propagate/{index}" for index in dict.fromkeys(indexes[1:]) if index != indexes[0]
            )
            yield (
                f"/propagate/{indexes[0]}",
                f"can run in a circle{f' with {others}' if others else ''} ({steps}): where relations do so too, "
                "one fault takes all of it down",
            )


def _way_back(start: Place, onward: dict[Place, dict[Place, int]]) -> list[Place]:
    """Return the shortest way from a place back to it, empty if there is none."""
    came_from: dict[Place, Place] = {}
    waiting = deque([start])
    while waiting:
        here = waiting.popleft()
        for there in onward.get(here, ()):
            if there == start:
                way = [start, here]
                while way[-1] != start:
                    way.append(came_from[way[-1]])
                return way[::-1]
            if there not in came_from:
                came_from[there] = here
                waiting.append(there)
    return []
