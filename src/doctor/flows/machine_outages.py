"""The outages of machines, from the faults that are open and those that are kept [HA 6.1.2]."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime

from doctor.flows.situation import Situation
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.fault import ResourceState
from doctor.model.resource import VIRTUAL_MACHINE
from doctor.profiler.availability import Outage

STORE_PAGE = 500


def is_outage(alarm: Alarm) -> bool:
    """Tell whether a machine is out by an alarm. One whose state changed counts by its last state."""
    return (
        alarm.project is not None
        and alarm.resource_type == VIRTUAL_MACHINE
        and alarm.resource_state is not ResourceState.NORMAL
    )


def outage_of(alarm: Alarm) -> Outage:
    """Return the time in which a machine is, or was, out."""
    return Outage(alarm.resource_id, alarm.raised_time, alarm.cleared_time)


def outages_in(records: Iterable[AlarmedFault]) -> Iterator[Alarm]:
    """Return the alarms by which machines are, or were, out."""
    return (alarm for record in records for alarm in record.alarms.values() if is_outage(alarm))


async def past_outages(situation: Situation, since: datetime) -> list[Alarm]:
    """Return the alarms of faults that ended at that time or later, by which machines were out.

    Raises:
        StoreError: the store cannot be read.
    """
    found: list[Alarm] = []
    before = None
    while True:
        records = await situation.store.closed_faults(before=before, limit=STORE_PAGE)
        found += outages_in(records)
        if len(records) < STORE_PAGE or _ended(records[-1]) < since:
            return found
        before = (_ended(records[-1]), records[-1].fault.fault_key)


def open_outages(situation: Situation, machines: Collection[str], owner: str) -> list[Outage]:
    """Return the outages of an owner's machines that go on."""
    book = situation.book
    return [
        outage_of(alarm)
        for machine in machines
        for record in book.on(machine)
        if is_outage(alarm := record.alarms[machine]) and alarm.project == owner
    ]


def _ended(record: AlarmedFault) -> datetime:
    assert record.fault.cleared_time is not None
    return record.fault.cleared_time
