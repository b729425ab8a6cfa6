"""Measures the availability of VNFs from the faults that are open and those that are kept."""

import asyncio
from collections.abc import Sequence
from datetime import datetime

from doctor.flows.situation import Situation
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.fault import ResourceState
from doctor.model.resource import VIRTUAL_MACHINE
from doctor.model.resource_map import ResourceMap
from doctor.profiler.availability import Levels, Outage, VnfAvailability, Window, measure, vnfs

STORE_PAGE = 500


class AvailabilityFlow:
    """Answers how available VNFs were."""

    def __init__(self, situation: Situation, levels: Levels) -> None:
        self._situation = situation
        self._levels = levels

    async def report(self, owner: str | None, window: Window) -> list[VnfAvailability]:
        """Return the VNFs of an owner (None: of all), by owner and group."""
        alarms = [
            alarm
            for record in self._situation.book
            for alarm in record.alarms.values()
            if _counts(alarm, owner)
        ]
        alarms += await self._past(owner, window.begin)
        resources = self._situation.resources
        return await asyncio.to_thread(_measured, resources, alarms, owner, window, self._levels)

    async def _past(self, owner: str | None, since: datetime) -> list[Alarm]:
        found: list[Alarm] = []
        before = None
        while True:
            records = await self._situation.store.closed_faults(before=before, limit=STORE_PAGE)
            for record in records:
                found += [alarm for alarm in record.alarms.values() if _counts(alarm, owner)]
            if len(records) < STORE_PAGE or _ended(records[-1]) < since:
                return found
            before = (_ended(records[-1]), records[-1].fault.fault_key)


def _ended(record: AlarmedFault) -> datetime:
    assert record.fault.cleared_time is not None
    return record.fault.cleared_time


def _counts(alarm: Alarm, owner: str | None) -> bool:
    return (
        alarm.project is not None
        and (owner is None or alarm.project == owner)
        and alarm.resource_type == VIRTUAL_MACHINE
        and alarm.resource_state is not ResourceState.NORMAL
    )


def _measured(
    resources: ResourceMap, alarms: Sequence[Alarm], owner: str | None, window: Window, levels: Levels
) -> list[VnfAvailability]:
    outages: dict[tuple[str, str], list[Outage]] = {}
    for alarm in alarms:
        place = (alarm.project or "", alarm.resource_id)
        outages.setdefault(place, []).append(Outage(alarm.resource_id, alarm.raised_time, alarm.cleared_time))
    ids = resources.virtual_ids if owner is None else resources.owned_by(owner)
    machines = (resources.virtual.get(one) for one in ids)  # of which some may go meanwhile
    found = vnfs(one for one in machines if one is not None and one.type == VIRTUAL_MACHINE)
    return [
        measure(
            members,
            [outage for one in members for outage in outages.get((one.owner, one.id), ())],
            window,
            levels,
        )
        for _, members in sorted(found.items())
    ]
