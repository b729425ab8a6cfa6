"""Failure impact zones: parts that fail too often make their zone fail, and that counts in the next [HA 6.1.2.2, 6.1.2.3].

In comes a fault that is open now; out goes what it means for the zones that its resource is in. A part fails when it
goes out of service by itself, or, being a zone, by what was concluded of its own parts: an escalation, a storm. What
is the symptom of something else does not count, or one dead switch would count as often as there are hosts behind it.
Neither does what is planned: that work on a rack takes its hosts down says nothing of the rack.
Each zone has a probation period: failures within it belong together, and one without a failure makes it well again.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from msgspec.structs import replace

from doctor.inspector.relations import above
from doctor.inspector.suspicion import DOMAIN_FAULT
from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.escalation import Failure, Probation
from doctor.model.fault import Fault
from doctor.model.policy import ZoneLevel
from doctor.model.resource import MOST_LEVELS
from doctor.model.resource_map import ResourceMap

ZONE_FAULT = "failure of a zone"
QUESTION = "escalation to a zone"  # that a zone has failed is still to be decided
CONCLUDED = (DOMAIN_FAULT, ZONE_FAULT)  # by which a zone has failed, whatever state that puts it in

Levels = Mapping[str, ZoneLevel]  # by the type of the zones
IsPlanned = Callable[[Fault], bool]  # whether an open fault began in planned work


def unplanned(_fault: Fault) -> bool:
    """Take every fault for a surprise."""
    return False


class Counted(NamedTuple):
    """A failure counts in a zone."""

    zone: str
    probation: Probation


class Reached(NamedTuple):
    """A failure counts in a zone, and is one too many: ``failures`` are those that make it so, the oldest first."""

    zone: str
    probation: Probation
    level: ZoneLevel
    failures: tuple[Failure, ...]


class Joined(NamedTuple):
    """A failure in a zone that has failed itself: a symptom of that."""

    zone: str
    probation: Probation
    record: AlarmedFault


def judged(
    fault: Fault,
    levels: Levels,
    probations: Mapping[str, Probation],
    pending: Collection[str],
    book: AlarmBook,
    resources: ResourceMap,
    now: datetime,
    is_planned: IsPlanned = unplanned,
) -> Iterator[Counted | Reached | Joined]:
    """Return what an open fault means for the zones that its resource is in; nothing if it has counted before.

    ``pending`` are the zones of which it is being decided whether they have failed.
    """
    if not is_failure(fault, book, is_planned):
        return
    for zone in next_zones(fault.resource_id, fault.resource_type, levels, resources):
        level = levels[type_of(zone, resources)]
        before = probations.get(zone, Probation(last=fault.raised_time))
        failed = book.open_fault(zone, ZONE_FAULT)
        if failed is not None:
            if fault.fault_key not in failed.fault.explains:
                yield Joined(zone, _again(before, fault, ()), failed)
        elif not _is_excused(zone, book) and not _has_counted(fault, before, level, now):
            failures = recent(before, level, book, now)
            failure = Failure(fault.fault_key, fault.resource_id, fault.fault_type, fault.raised_time)
            after = _again(before, fault, _bounded((*failures, failure), level.frequency))
            if zone not in pending and is_too_much(after.failures, level):
                yield Reached(zone, after, level, after.failures)
            else:
                yield Counted(zone, after)


def is_failure(fault: Fault, book: AlarmBook, is_planned: IsPlanned = unplanned) -> bool:
    """Tell whether a fault is the one by which its resource has failed: not planned, and the symptom of nothing else.

    What is planned hides no failure that comes on top of it.
    """
    if not takes_out(fault) or is_symptom(fault, book) or is_planned(fault):
        return False
    rooted = (record.fault for record in book.rooted_in(fault.resource_id))
    first = min((one for one in rooted if takes_out(one) and not is_planned(one)), key=_age, default=fault)
    return _age(fault) <= _age(first)


def is_symptom(fault: Fault, book: AlarmBook) -> bool:
    """Tell whether something else is known to have brought a fault about; what is only suspected is not known."""
    cause = None if fault.cause is None else book.fault(fault.cause)
    return cause is not None and takes_out(cause.fault)


def takes_out(fault: Fault) -> bool:
    """Tell whether a resource has failed by a fault: it is out of service, or it is a zone that has."""
    return fault.state.is_out or fault.fault_type in CONCLUDED


def _age(fault: Fault) -> tuple[datetime, str]:
    return fault.raised_time, fault.fault_key


def _is_excused(zone: str, book: AlarmBook) -> bool:
    """Tell whether it is known why things fail in a zone: it is out of service, or there is a storm over it."""
    is_out = any(record.fault.state.is_out for record in book.on(zone))
    return is_out or book.open_fault(zone, DOMAIN_FAULT) is not None


def _has_counted(fault: Fault, probation: Probation, level: ZoneLevel, now: datetime) -> bool:
    return (
        (probation.since is not None and fault.raised_time <= probation.since)
        or any(failure.fault_key == fault.fault_key for failure in probation.failures)
        or now - fault.raised_time >= level.probation
    )


def _again(before: Probation, fault: Fault, failures: tuple[Failure, ...]) -> Probation:
    return replace(before, failures=failures, last=max(before.last, fault.raised_time))


def recent(probation: Probation, level: ZoneLevel, book: AlarmBook, now: datetime) -> tuple[Failure, ...]:
    """Return the failures that still count: those within the period, without what has turned out to be a symptom."""
    return tuple(
        failure
        for failure in probation.failures
        if now - failure.time < level.probation and not has_turned_out(failure, book)
    )


def has_turned_out(failure: Failure, book: AlarmBook) -> bool:
    """Tell whether a failure is known to be a symptom by now."""
    record = book.fault(failure.fault_key)
    return record is not None and is_symptom(record.fault, book)


def _bounded(failures: Sequence[Failure], most: int) -> tuple[Failure, ...]:
    """Return the failures in their order, of each resource no more of the newest than could matter."""
    ordered = sorted(failures, key=lambda failure: failure.time)
    left: dict[str, int] = {}
    kept = []
    for failure in reversed(ordered):
        left[failure.resource_id] = left.get(failure.resource_id, most) - 1
        if left[failure.resource_id] >= 0:
            kept.append(failure)
    return tuple(reversed(kept))


def is_too_much(failures: Sequence[Failure], level: ZoneLevel) -> bool:
    """Tell whether a zone with these failures in one probation period has failed itself."""
    return (
        len(failures) >= level.frequency
        and len({failure.resource_id for failure in failures}) >= level.distinct
    )


def has_had_consequence(probation: Probation, now: datetime) -> Probation:
    """Return a probation in which what has failed so far counts no more."""
    return replace(probation, failures=(), since=now)


def without(probation: Probation, fault_key: str) -> Probation:
    """Return a probation without a failure that has turned out to be a symptom."""
    failures = tuple(failure for failure in probation.failures if failure.fault_key != fault_key)
    return probation if len(failures) == len(probation.failures) else replace(probation, failures=failures)


def calm_at(probation: Probation, period: timedelta) -> datetime:
    """Return when a zone has been without a failure for its whole probation period, if none comes."""
    return probation.last + period


def is_well(
    probation: Probation, level: ZoneLevel, fault_keys: Iterable[str], book: AlarmBook, now: datetime
) -> bool:
    """Tell whether a zone is well again: no failure for the whole period, and few of those that led to it are left."""
    left = sum(book.fault(key) is not None for key in fault_keys)
    return now >= calm_at(probation, level.probation) and left < level.frequency


# --- which zones there are ---


def next_zones(resource_id: str, resource_type: str, levels: Levels, resources: ResourceMap) -> Sequence[str]:
    """Return the zones in which a failure of a resource counts: the smallest ones that it is in, the nearest first.

    They are also where to go on when the resource itself cannot be isolated.
    """
    own = levels.get(resource_type)
    wanted = None if own is None else own.next
    found = [
        zone
        for zone, level in _zones_around(resource_id, levels, resources)
        if (wanted is None or level.type in wanted)
        and (not level.components or resource_type in level.components)
    ]
    if len(found) < 2:
        return found
    around = {zone: {outer for outer, _ in _zones_around(zone, levels, resources)} for zone in found}
    # In a map that runs in a circle each of two zones is within the other; then both are kept.
    return [
        zone
        for zone in found
        if not any(zone in around[inner] and inner not in around[zone] for inner in found)
    ]


def _zones_around(
    resource_id: str, levels: Levels, resources: ResourceMap
) -> Iterator[tuple[str, ZoneLevel]]:
    """Return all zones that a resource is in. What is virtual is in those around its host no more: they do not serve it."""
    for kinds in dict.fromkeys(level.relations for level in levels.values()):
        seen = {resource_id}
        here = [resource_id]
        for _ in range(MOST_LEVELS):
            there = []
            for name in here:
                for outer in above(name, kinds, resources):
                    if outer in seen:
                        continue
                    seen.add(outer)
                    level = levels.get(type_of(outer, resources))
                    if level is not None and level.relations == kinds:
                        yield outer, level
                    if name in resources.physical or outer in resources.virtual:
                        there.append(outer)
            here = there


def type_of(name: str, resources: ResourceMap) -> str:
    """Return the type of a resource, nothing if no map knows it."""
    found = resources.get(name)
    return "" if found is None else found.type
