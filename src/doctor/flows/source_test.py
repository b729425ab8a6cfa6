"""A trial event of a source: it takes the way of any other, means nothing, and tells nobody."""

from datetime import datetime
from typing import NamedTuple

import msgspec

from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.situation import Situation
from doctor.flows.sources import Sources
from doctor.inspector.selection import Unnamed
from doctor.inspector.source import TEST
from doctor.kit.clock import Clock
from doctor.model.errors import Reason, RejectedError
from doctor.model.event import RawEvent

RESOURCE = "doctor-test"


class Tested(NamedTuple):
    """What became of it: its id, when it came, and when it was judged and durable."""

    event_id: str
    received: datetime
    durable: datetime


class SourceTest:
    """Sends trial events."""

    def __init__(self, situation: Situation, faults: FaultFlow, sources: Sources, clock: Clock) -> None:
        self._situation = situation
        self._faults = faults
        self._sources = sources
        self._clock = clock

    async def run(self, name: str) -> Tested:
        """Report a trial event as this source.

        Raises:
            RejectedError: nobody of this name is known, or the failure policy would make something of it.
            StoreError: it was not kept.
        """
        if self._sources.get(name) is None:
            raise RejectedError("nobody has reported by this name", reason=Reason.NOT_FOUND)
        now = self._clock.now()
        event = RawEvent(time=now, type=TEST, resource=RESOURCE, source=name, monitor_event_id=TEST)
        if not isinstance(self._situation.selector.select(event, None), Unnamed):
            detail = f"a rule of the failure policy takes events of the type {TEST}: somebody might be told"
            raise RejectedError(detail, reason=Reason.CONFLICT)
        report = Reported([event], name, msgspec.json.encode(event), now)
        (accepted,) = await self._faults.accept([report])
        return Tested(accepted.event_ids[0], now, self._clock.now())
