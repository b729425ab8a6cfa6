"""Vitrage's door for events (service type ``rca``): those who report to Vitrage report to Doctor unchanged.

Its events are Doctor's own [D 5.6]. Its client writes the time of the machine that it runs on and no zone, so a time without
one is taken for that of ``/events``.
"""

from datetime import UTC, tzinfo

from doctor.api.operation import Answer, Call, operation
from doctor.api.roles import REPORTERS
from doctor.api.southbound import AcceptedEvent, EventsAnswer
from doctor.api.wire.event import AnyEvents, parse_events
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.sources import Sources
from doctor.kit.clock import Clock
from doctor.model.errors import RejectedError

TAG = "Vitrage"
BASE = "/rca/v1"
_EVENT = {
    "time": "2026-11-22T05:06:07.000000",
    "type": "compute.host.down",
    "details": {"hostname": "compute-1", "source": "sample_monitor", "status": "down"},
}


class VitrageDoor:
    """The operation of Vitrage that takes events. ``zone`` is that of times without one; None: this machine's."""

    def __init__(self, faults: FaultFlow, sources: Sources, clock: Clock, zone: tzinfo | None) -> None:
        self._faults = faults
        self._sources = sources
        self._clock = clock
        self._zone = zone

    @operation(
        "POST",
        f"{BASE}/event/",
        tag=TAG,
        roles=REPORTERS,
        lenient=True,
        example=_EVENT,
        answers={200: "The accepted events are durable."},
    )
    async def post_vitrage_event(self, call: Call[AnyEvents, None]) -> Answer[EventsAnswer]:
        """Report an event as clients of Vitrage do: a bare one."""
        name, received = call.identity.name, self._clock.now()
        zone = self._zone or received.astimezone().tzinfo or UTC
        try:
            parsed = parse_events(call.raw, source=name, zone=zone)
        except RejectedError:
            self._sources.refuses(name, 1)
            raise
        self._sources.refuses(name, len(parsed.rejected))
        (happened,) = await self._faults.accept([Reported(parsed.events, name, call.raw, received)])
        accepted = [
            AcceptedEvent(index, event_id, not new)
            for index, event_id, new in zip(parsed.indexes, *happened, strict=True)
        ]
        return Answer(EventsAnswer(accepted, parsed.rejected))
