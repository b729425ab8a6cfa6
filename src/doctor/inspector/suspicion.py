"""What several failures have in common: latent faults and storms [D 3.3.3, HA 5.3, 6.1.2].

The cause runs downwards, evidence runs upwards: three silent machines on one host point at the host, ten silent hosts
behind one switch point at the switch. In comes a resource on which a fault has come or gone; out goes what is to be
suspected of the resources above it. A suspicion takes nothing further down and nobody's fault away: it is a fault of
its own, and those that led to it hang under it.
"""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from doctor.inspector.diagnosis import UNKNOWN_RESOURCE
from doctor.inspector.relations import above, below
from doctor.model.alarm import AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import EventType, Fault, ResourceState, Severity
from doctor.model.policy import RecommendedAction, Storm, Suspicion
from doctor.model.resource import HOST
from doctor.model.resource_map import ResourceMap

STORM = "storm"
DOMAIN_FAULT = "failure of a domain"


class Suspected(NamedTuple):
    """Enough has failed below a resource: ``symptoms`` are the keys of the faults that say so."""

    resource_id: str
    fault_type: str
    severity: Severity
    rule: str
    symptoms: tuple[str, ...]


class Relieved(NamedTuple):
    """So little is left that nothing is suspected any more."""

    record: AlarmedFault


def suspected_type(supplier_type: str) -> str:
    """Return the type of the fault that is suspected of a resource of this type."""
    return f"suspected {supplier_type} fault"


class _Test(NamedTuple):
    fault_type: str
    rule: str
    severity: Severity
    least: int
    within: timedelta


def judged(
    resource_id: str,
    book: AlarmBook,
    resources: ResourceMap,
    suspicions: Sequence[Suspicion],
    storm: Storm | None,
    now: datetime,
) -> Iterator[Suspected | Relieved]:
    """Return what is to be suspected, and of what no longer, after a fault came or went on a resource."""
    for rule in suspicions:
        for supplier in above(resource_id, (rule.kind,), resources):
            found = resources.get(supplier)
            if found is not None and found.type == rule.supplier_type:
                dependents = below(supplier, rule.kind, resources)
                least = _least(rule.at_least, rule.share, dependents)
                test = _Test(suspected_type(found.type), rule.name, rule.severity, least, rule.within)
                known = book.open_fault(supplier, test.fault_type)
                failing = _failing(dependents, book, known)
                yield from _verdict(supplier, failing, known, test, book, now)
    if storm is not None and getattr(resources.get(resource_id), "type", None) == HOST:
        yield from _storms(resource_id, book, resources, storm, now)


def _storms(
    host: str, book: AlarmBook, resources: ResourceMap, storm: Storm, now: datetime
) -> Iterator[Suspected | Relieved]:
    """Judge the domains that a host is in, from the smallest up; the first in which there is a storm is the one."""
    recent: list[Fault] | None = None
    for domain in resources.domains_of(host):
        hosts = resources.hosts_by_domain[domain]
        least = _least(storm.hosts, storm.share, hosts)
        test = _Test(DOMAIN_FAULT, STORM, Severity.CRITICAL, least, storm.within)
        known = book.open_fault(domain, DOMAIN_FAULT)
        if known is not None:
            failing = _failing(_troubled(hosts, book), book, known)
        else:
            recent = _recent(book, now - storm.within) if recent is None else recent
            if len(recent) < least:
                continue
            failing = [fault for fault in recent if fault.resource_id in hosts]
        found = list(_verdict(domain, failing, known, test, book, now))
        yield from found
        if any(isinstance(one, Suspected) for one in found):
            return


def is_borne_out(
    record: AlarmedFault, book: AlarmBook, resources: ResourceMap, suspicions: Sequence[Suspicion]
) -> bool:
    """Tell whether a suspicion still has enough failures that share what is suspected, by the map as it is now."""
    fault = record.fault
    for rule in suspicions:
        if suspected_type(rule.supplier_type) == fault.fault_type:
            dependents = below(fault.resource_id, rule.kind, resources)
            failing = _failing(dependents, book, record)
            if _count(failing) >= _least(rule.at_least, rule.share, dependents):
                return True
    return False


def is_suspicion(fault: Fault) -> bool:
    """Tell whether a fault is one that was suspected, or a storm."""
    return fault.is_derived and (
        fault.rule == STORM or fault.fault_type == suspected_type(fault.resource_type)
    )


def is_calm(domain: str, book: AlarmBook, resources: ResourceMap, storm: Storm) -> bool:
    """Tell whether fewer hosts of a domain have failed than make a storm."""
    hosts = resources.hosts_by_domain.get(domain, frozenset())
    least = _least(storm.hosts, storm.share, hosts)
    known = book.open_fault(domain, DOMAIN_FAULT)
    failing = _failing(_troubled(hosts, book), book, known)
    return _count(failing) < least


def fault_of(
    found: Suspected,
    book: AlarmBook,
    resources: ResourceMap,
    *,
    fault_key: str,
    raised_by: str,
    now: datetime,
) -> Fault:
    """Return the fault that is suspected: it takes nothing down."""
    resource = resources.get(found.resource_id)
    first = book.fault(found.symptoms[0])
    assert first is not None  # the book has named it
    return Fault(
        fault_key=fault_key,
        resource_id=found.resource_id,
        resource_type=resource.type if resource else UNKNOWN_RESOURCE,
        fault_type=found.fault_type,
        rule=found.rule,
        severity=found.severity,
        state=ResourceState.NORMAL,
        event_type=EventType.EQUIPMENT,
        probable_cause="several dependent resources have failed",
        recommended_action=RecommendedAction.INFORM_OAM,
        raised_by=raised_by,
        event_time=first.fault.event_time,
        raised_time=now,
        details={"symptoms": len(found.symptoms)},
        is_derived=True,
        is_confined=True,
        explains=found.symptoms,
    )


def _least(number: int, share: float, dependents: Collection[str]) -> int:
    return max(number, ceil(share * len(dependents)))


def _count(faults: Iterable[Fault]) -> int:
    return len({fault.resource_id for fault in faults})


def _failing(names: Iterable[str], book: AlarmBook, known: AlarmedFault | None) -> list[Fault]:
    """Return the faults that put these resources out of service and that nothing else explains."""
    explained = None if known is None else known.fault.fault_key
    return [
        record.fault
        for name in names
        for record in book.rooted_in(name)
        if _is_evidence(record.fault, explained)
    ]


def _recent(book: AlarmBook, since: datetime) -> list[Fault]:
    """Return the same of all resources, as far as they have begun since then, the oldest first."""
    found = [record.fault for record in book.opened_since(since) if _is_evidence(record.fault, None)]
    return found[::-1]


def _is_evidence(fault: Fault, known: str | None) -> bool:
    return fault.state.is_out and not fault.is_derived and fault.cause in (None, known)


def _troubled(names: frozenset[str], book: AlarmBook) -> Sequence[str]:
    """Return those of many resources that have faults of their own; most have none, or few have any."""
    few, many = (names, book.roots) if len(names) < len(book.roots) else (book.roots, names)
    return sorted(name for name in few if name in many)


def _verdict(
    supplier: str,
    failing: Sequence[Fault],
    known: AlarmedFault | None,
    test: _Test,
    book: AlarmBook,
    now: datetime,
) -> Iterator[Suspected | Relieved]:
    if known is not None:
        symptoms = frozenset(known.fault.explains)
        if _count(failing) < test.least:
            yield Relieved(known)
        elif new := tuple(fault.fault_key for fault in failing if fault.fault_key not in symptoms):
            yield Suspected(
                supplier, test.fault_type, test.severity, test.rule, (*known.fault.explains, *new)
            )
        return
    if any(record.fault.state.is_out for record in book.on(supplier)):
        return  # it is known why
    recent = [fault for fault in failing if now - fault.raised_time <= test.within]
    if _count(recent) >= test.least:
        keys = tuple(fault.fault_key for fault in recent)
        yield Suspected(supplier, test.fault_type, test.severity, test.rule, keys)
