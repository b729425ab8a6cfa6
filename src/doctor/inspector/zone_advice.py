"""What to look at once more among the failure impact zones of a policy."""

from collections import deque
from collections.abc import Iterator, Mapping, Sequence

from doctor.inspector.document import shown
from doctor.model.policy import (
    Audience,
    Escalate,
    FailurePolicy,
    IsolationPolicy,
    Propagation,
    RecommendedAction,
    ZoneLevel,
)
from doctor.model.resource import VIRTUAL_RESOURCE_TYPES


def zone_advice(policy: FailurePolicy) -> Iterator[tuple[str, str]]:
    """Return what is doubtful, each with the pointer to its place."""
    levels = {level.type: level for level in policy.zones}
    for index, level in enumerate(policy.zones):
        yield from _level_advice(f"/zones/{index}", level, policy)
    yield from _circles(policy.zones, levels)


def _level_advice(place: str, level: ZoneLevel, policy: FailurePolicy) -> Iterator[tuple[str, str]]:
    if level.frequency == 1:
        yield (
            f"{place}/frequency",
            "fires at every failure of a part: with 1 a zone has failed as soon as anything within it has",
        )
    if level.escalate is Escalate.AUTOMATIC and level.isolation is IsolationPolicy.FENCE:
        yield (
            f"{place}/isolation",
            "asks nobody before what still works in the zone is isolated with it; escalate: ask does",
        )
    if level.next and not any(other.type in level.next for other in policy.zones if other is not level):
        yield f"{place}/next", "counts only in zones of its own type, one within the other"
    if level.type not in VIRTUAL_RESOURCE_TYPES:
        yield from _told(place, level, policy.propagate)
    if level.components == (level.type,) and level.distinct > 1:
        yield f"{place}/components", "counts only zones of its own type, one within the other"


def _told(place: str, level: ZoneLevel, rules: Sequence[Propagation]) -> Iterator[tuple[str, str]]:
    if level.tell is Audience.OWNERS and not any(_carries(rule, level) for rule in rules):
        yield (
            f"{place}/raise/tell",
            f"tells no owner: no rule of propagate takes a fault of a {level.type} in the state {level.state} onward",
        )
    if level.tell is Audience.ADMINISTRATOR and level.state.is_out:
        yield (
            f"{place}/raise/state",
            f"{level.state} for the {level.type} alone: what depends on it stays as it is, since owners are not told",
        )
    if level.tell is Audience.ADMINISTRATOR and level.recommended_action is not RecommendedAction.INFORM_OAM:
        yield (
            f"{place}/raise/recommended_action",
            f"{shown(str(level.recommended_action))} is for owners, and they are not told; tell: owners does",
        )


def _carries(rule: Propagation, level: ZoneLevel) -> bool:
    return (
        rule.supplier_type == level.type
        and rule.state in (None, level.state)
        and rule.min_severity <= level.severity
    )


def _circles(levels: Sequence[ZoneLevel], by_type: Mapping[str, ZoneLevel]) -> Iterator[tuple[str, str]]:
    """Find zones that count in each other: a failure would go round and never up."""
    told: set[str] = set()
    for index, level in enumerate(levels):
        way = _way_back(level, by_type)
        if way and told.isdisjoint(way):
            told.update(way)
            yield (
                f"/zones/{index}/next",
                f"runs in a circle ({' -> '.join(map(shown, (*way, level.type)))}): leave out the step that does not "
                "lead to the larger zone",
            )


def _way_back(start: ZoneLevel, by_type: Mapping[str, ZoneLevel]) -> tuple[str, ...]:
    """Return the types on a way from a level back to it, by what is said of `next`; empty if there is none."""
    ways: deque[tuple[str, ...]] = deque([(start.type,)])
    seen: set[str] = set()
    while ways:
        way = ways.popleft()
        for onward in by_type[way[-1]].next or ():
            if onward == start.type and len(way) > 1:
                return way
            if onward not in seen and onward != start.type:
                seen.add(onward)
                ways.append((*way, onward))
    return ()
