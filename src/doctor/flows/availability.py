"""Measures the availability of VNFs from the faults that are open and those that are kept."""

import asyncio
from collections.abc import Sequence

from doctor.flows.machine_outages import outage_of, outages_in, past_outages
from doctor.flows.situation import Situation
from doctor.model.alarm import Alarm
from doctor.model.resource import VIRTUAL_MACHINE
from doctor.model.resource_map import ResourceMap
from doctor.profiler.availability import Levels, Outage, VnfAvailability, Window, measure, vnfs


class AvailabilityFlow:
    """Answers how available VNFs were."""

    def __init__(self, situation: Situation, levels: Levels) -> None:
        self._situation = situation
        self._levels = levels

    async def report(self, owner: str | None, window: Window) -> list[VnfAvailability]:
        """Return the VNFs of an owner (None: of all), by owner and group."""
        alarms = [
            *outages_in(self._situation.book),
            *await past_outages(self._situation, window.begin),
        ]
        alarms = [alarm for alarm in alarms if owner is None or alarm.project == owner]
        resources = self._situation.resources
        return await asyncio.to_thread(_measured, resources, alarms, owner, window, self._levels)


def _measured(
    resources: ResourceMap, alarms: Sequence[Alarm], owner: str | None, window: Window, levels: Levels
) -> list[VnfAvailability]:
    outages: dict[tuple[str, str], list[Outage]] = {}
    for alarm in alarms:
        place = (alarm.project or "", alarm.resource_id)
        outages.setdefault(place, []).append(outage_of(alarm))
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
        for _, members in sorted(found.items(), key=lambda item: item[0].id)
    ]
