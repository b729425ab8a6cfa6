"""Calls a person when a host cannot be isolated: a critical alarm at once, and its end when that is settled [4.4]."""

import msgspec

from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.judgement import OWN
from doctor.flows.situation import Situation
from doctor.inspector.zones import next_zones
from doctor.kit.clock import Clock
from doctor.model.event import RawEvent
from doctor.model.fault import Severity
from doctor.model.fence_job import FenceJob, FenceState

NEEDS_HUMAN = "fencing.needs_human"  # the type of the event
FAULT_TYPE = "isolation needs a person"
RESOURCE_TYPE = "fence"

CALLS = frozenset((FenceState.NEEDS_HUMAN, FenceState.CONTRADICTED, FenceState.EXHAUSTED))


class HumanCall:
    """Raises the alarm and ends it. Told twice it is the same event, and counts once."""

    def __init__(self, situation: Situation, faults: FaultFlow, clock: Clock) -> None:
        self._situation = situation
        self._faults = faults
        self._clock = clock

    def is_settled(self, job: FenceJob) -> bool:
        """Tell whether the alarm is as it stands."""
        return (job.state in CALLS) is self._is_open(job)

    def _is_open(self, job: FenceJob) -> bool:
        return self._situation.book.open_fault(_resource(job), FAULT_TYPE) is not None

    async def settle(self, job: FenceJob) -> None:
        """Bring the alarm to how it stands.

        Raises:
            StoreError: it was not kept.
        """
        if self.is_settled(job):
            return
        resource, is_open = _resource(job), self._is_open(job)
        status = "up" if is_open else "down"
        severity = Severity.CLEARED if is_open else Severity.CRITICAL
        details = {
            "host": job.host,
            "status": status,
            "severity": severity.perceived,
            "source": OWN,
            "cause": job.reason,
            "zone": job.zone,
            "next_zones": [] if is_open else list(self._next_zones(job.host)),
            "generation": job.generation,
        }
        event = RawEvent(
            time=job.changed,
            type=NEEDS_HUMAN,
            resource=resource,
            resource_type=RESOURCE_TYPE,
            source=OWN,
            status=status,
            severity=severity.perceived,
            monitor_event_id=f"{job.host} {job.generation} {job.revision}",
            raw_details=msgspec.json.encode(details),
        )
        await self._faults.accept([Reported([event], OWN, msgspec.json.encode(event), self._clock.now())])

    def _next_zones(self, host: str) -> list[str]:
        """Return what could be isolated in place of a host: it kills healthy hosts too, so it is only proposed."""
        situation = self._situation
        resource = situation.resources.physical.get(host)
        levels = situation.selector.zones
        return [] if resource is None else list(next_zones(host, resource.type, levels, situation.resources))


def _resource(job: FenceJob) -> str:
    return f"isolation of {job.host}"
