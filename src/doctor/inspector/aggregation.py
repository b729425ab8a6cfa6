"""When several lesser faults of one resource are together another one [D 3.3.2].

In come the open faults of a resource; out goes what follows from them for each aggregation of the policy. Nothing is
remembered: what is open is all there is to know.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import NamedTuple

from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault
from doctor.model.policy import Aggregation
from doctor.model.resource import VNF


class Together(NamedTuple):
    """Several faults that are another one; ``faults`` are those that count, the oldest first."""

    rule: Aggregation
    faults: tuple[Fault, ...]


class Apart(NamedTuple):
    """So few are left that the other one is over."""

    rule: Aggregation


def judged(
    resource_id: str, book: AlarmBook, rules: Sequence[Aggregation], now: datetime
) -> Iterator[Together | Apart]:
    """Return which faults of a resource begin to be another one, and which ones end to."""
    for rule in rules:
        lesser = [fault for fault in _own_faults(resource_id, book) if _counts(fault, rule)]
        is_open = book.open_fault(resource_id, rule.fault_type) is not None
        if is_open and len(lesser) <= rule.more_than:
            yield Apart(rule)
        elif not is_open:
            recent = [fault for fault in lesser if now - fault.raised_time <= rule.within]
            if len(recent) > rule.more_than:
                yield Together(rule, tuple(sorted(recent, key=lambda fault: fault.raised_time)))


def fault_of(found: Together, *, fault_key: str, raised_by: str, now: datetime) -> Fault:
    """Return the fault that several lesser ones are together."""
    rule, lesser = found
    return Fault(
        fault_key=fault_key,
        resource_id=lesser[0].resource_id,
        resource_type=lesser[0].resource_type,
        fault_type=rule.fault_type,
        rule=rule.name,
        severity=rule.severity,
        state=rule.state,
        event_type=lesser[0].event_type,
        probable_cause=rule.probable_cause,
        recommended_action=rule.recommended_action,
        raised_by=raised_by,
        event_time=lesser[-1].event_time,
        raised_time=now,
        details={"faults": [fault.fault_type for fault in lesser]},
        is_derived=True,
    )


def _own_faults(resource_id: str, book: AlarmBook) -> Iterator[Fault]:
    return (record.fault for record in book.rooted_in(resource_id))


def _counts(fault: Fault, rule: Aggregation) -> bool:
    return (
        fault.severity < rule.severity_below
        and fault.fault_type != rule.fault_type
        and not fault.is_derived
        and fault.prediction is None
        and fault.resource_type != VNF  # of one outage several promises may be broken
    )
