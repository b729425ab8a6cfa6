"""Alarms of the past, page by page: the last cleared fault first, and of one fault the resources by their ids."""

from collections.abc import Callable
from datetime import datetime

import msgspec

from doctor.model.alarm import Alarm, AlarmedFault
from doctor.ports.store import Store

STORE_PAGE = 100
BEHIND = "~"  # sorts behind every id, so that the fault itself is looked at once more

Wanted = Callable[[AlarmedFault, Alarm], bool]


class PastPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list of the past goes on: behind this resource of this fault."""

    time: datetime | None = None
    fault_key: str = ""
    resource_id: str = ""


class PastAlarm(msgspec.Struct, frozen=True, gc=False):
    """An alarm that is over, with its fault and its place in the list."""

    position: PastPosition
    record: AlarmedFault
    alarm: Alarm


async def past_alarms(store: Store, start: PastPosition, wanted: Wanted, limit: int) -> list[PastAlarm]:
    """Return so many alarms of cleared faults that are wanted, from a place on."""
    found: list[PastAlarm] = []
    before = None if start.time is None else (start.time, start.fault_key + BEHIND)
    while True:
        records = await store.closed_faults(before=before, limit=STORE_PAGE)
        for record in records:
            fault = record.fault
            inside = start.resource_id if fault.fault_key == start.fault_key else ""
            for resource_id, alarm in sorted(record.alarms.items()):
                if resource_id > inside and wanted(record, alarm):
                    where = PastPosition(fault.cleared_time, fault.fault_key, resource_id)
                    found.append(PastAlarm(where, record, alarm))
                    if len(found) >= limit:
                        return found
        if len(records) < STORE_PAGE:
            return found
        last = records[-1].fault
        assert last.cleared_time is not None
        before = (last.cleared_time, last.fault_key)
