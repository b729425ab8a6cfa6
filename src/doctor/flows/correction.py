"""What another resource map makes of the faults that are open [I-24]."""

from collections.abc import Collection, Iterator
from datetime import datetime

from doctor.alarms import lifecycle
from doctor.flows.situation import Situation
from doctor.inspector import impact
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.map_news import MapDelta
from doctor.model.resource import VNF, vnf_of
from doctor.model.resource_map import HOSTS, Owners, ResourceMap


def corrections(
    situation: Situation, before: Owners, *, now: datetime, only: Collection[str] | None = None
) -> Iterator[tuple[AlarmedFault, Transition]]:
    """Return the open faults that the map in force judges otherwise than the one before, each with what becomes of it.

    ``only`` are the keys of those that it may judge otherwise, if that is known.
    """
    resources, book = situation.resources, situation.book
    if only is None:
        records = list(book)
        reached = impact.all_reaches(resources, situation.selector.propagation, book)
    else:
        records = [record for key in only if (record := book.fault(key)) is not None]
        rules = situation.selector.propagation
        reached = {
            one.fault.fault_key: impact.reach(one.fault, resources, rules, book, {}) for one in records
        }
    for record in records:
        fault = record.fault
        if _is_gone(record, before, resources):
            yield record, lifecycle.withdrawn(record, now=now)
            continue
        transition = lifecycle.corrected(record, reached[fault.fault_key], resources, now=now)
        if transition is not None:
            yield record, transition


def _is_gone(record: AlarmedFault, before: Owners, resources: ResourceMap) -> bool:
    """Tell whether an owner had what is faulty, by the map before, and nobody has it any more."""
    name = record.fault.resource_id
    if record.fault.resource_type == VNF:
        alarm = record.alarms.get(name)
        return alarm is not None and alarm.project is not None and resources.vnf_owner(name) is None
    return name in before.virtual and name not in resources.virtual


def concerned(situation: Situation, delta: MapDelta) -> Collection[str] | None:
    """Return the keys of the open faults that may mean something else once a map is changed; None: any of them may.

    To be asked before the change. Most of what a cloud announces changes nothing of that.
    """
    resources, book, rules = situation.resources, situation.book, situation.selector.propagation
    if not len(book):
        return ()
    for physical in delta.physical:
        if physical.id not in resources.physical:
            return None  # an event may have named it before
    if any(name in resources.physical for name in delta.gone):
        return None
    kinds = {rule.kind for ruled in rules.values() for rule in ruled} - {HOSTS}
    for tie in (*delta.related, *delta.unrelated):
        supplier = resources.get(tie.supplier)
        kind = None if supplier is None else supplier.type
        if tie.kind in kinds and (kind is None or any(one.kind == tie.kind for one in rules.get(kind, ()))):
            return None
    names = list(delta.gone)
    names += (vnf_of(gone).id for name in delta.gone if (gone := resources.virtual.get(name)) is not None)
    for virtual in delta.virtual:
        known = resources.virtual.get(virtual.id)
        if known is not None and (known.host, known.owner, known.type, known.group, known.role) == (
            virtual.host,
            virtual.owner,
            virtual.type,
            virtual.group,
            virtual.role,
        ):
            continue
        names += (virtual.id,) if virtual.host is None else (virtual.id, virtual.host)
        names += (vnf_of(one).id for one in (known, virtual) if one is not None)
    return dict.fromkeys(record.fault.fault_key for name in names for record in book.on(name))
