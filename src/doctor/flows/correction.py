"""What another resource map makes of the faults that are open [I-24]."""

from collections.abc import Iterator
from datetime import datetime

from doctor.alarms import lifecycle
from doctor.flows.situation import Situation
from doctor.inspector import impact
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.resource_map import ResourceMap


def corrections(
    situation: Situation, before: ResourceMap, *, now: datetime
) -> Iterator[tuple[AlarmedFault, Transition]]:
    """Return the open faults that the map in force judges otherwise than the one before, each with what becomes of it."""
    resources, book = situation.resources, situation.book
    reached = impact.all_reaches(resources, situation.selector.propagation, book)
    for record in list(book):
        fault = record.fault
        if fault.resource_id in before.virtual and fault.resource_id not in resources.virtual:
            yield record, lifecycle.withdrawn(record, now=now)
            continue
        transition = lifecycle.corrected(record, reached[fault.fault_key], resources, now=now)
        if transition is not None:
            yield record, transition
