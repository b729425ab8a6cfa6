"""Events of VES 7 (ONAP, OPNFV): faults, changes of state, and heartbeats; singly or in a batch.

``alarmCondition`` is the type of the event, ``sourceName`` what it is about. A fault has ended when its severity is NORMAL.
Measurements and all else are no faults, and are refused.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec

from doctor.drivers.monitors.details import CLEARED, encoded, said_or_received, severity_word
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import DOWN, UP, RawEvent
from doctor.ports.payload import Alive, Payload, Reading, Stated, Told

NAME = "ves"
NORMAL = "NORMAL"
IN_SERVICE = "inService"
NIC = "compute.host.nic.error"
MISSED = 3  # heartbeats

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


class Header(msgspec.Struct, frozen=True, kw_only=True):
    """What every event has."""

    domain: str
    eventId: str | int  # noqa: N815 - as it is written
    sourceName: str  # noqa: N815
    eventName: str = ""  # noqa: N815
    reportingEntityName: str = ""  # noqa: N815
    startEpochMicrosec: float = 0  # noqa: N815
    lastEpochMicrosec: float = 0  # noqa: N815


class FaultFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a fault has beside."""

    alarmCondition: str  # noqa: N815
    eventSeverity: str  # noqa: N815
    specificProblem: str = ""  # noqa: N815
    eventSourceType: str = ""  # noqa: N815
    alarmInterfaceA: str = ""  # noqa: N815
    vfStatus: str = ""  # noqa: N815
    alarmAdditionalInformation: dict[str, str] = {}  # noqa: N815


class StateChangeFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a change of state has beside."""

    newState: str  # noqa: N815
    stateInterface: str = ""  # noqa: N815


class HeartbeatFields(msgspec.Struct, frozen=True, kw_only=True):
    """What a heartbeat may have beside."""

    heartbeatInterval: int = 0  # noqa: N815 - seconds


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event."""

    commonEventHeader: Header  # noqa: N815
    faultFields: FaultFields | None = None  # noqa: N815
    stateChangeFields: StateChangeFields | None = None  # noqa: N815
    heartbeatFields: HeartbeatFields | None = None  # noqa: N815


def items(document: Any) -> Iterator[tuple[str, Any]]:
    """Return the event of a message, or those of a batch."""
    if isinstance(document, dict) and isinstance(document.get("eventList"), list):
        return ((f"/eventList/{index}", one) for index, one in enumerate(document["eventList"]))
    if isinstance(document, dict) and "event" in document:
        return iter((("/event", document["event"]),))
    flaw = Flaw("", "must have event, or a list eventList")
    raise RejectedError("this is no event of VES", reason=Reason.MALFORMED, flaws=[flaw])


def read(event: Event, told: Told) -> Reading:
    """Return what an event says."""
    header = event.commonEventHeader
    if header.domain == "heartbeat":
        every = event.heartbeatFields.heartbeatInterval if event.heartbeatFields else 0
        return Alive(told.received + timedelta(seconds=MISSED * every) if 0 < every <= 86_400 else None)
    if header.domain == "fault" and event.faultFields is not None:
        return _fault(header, event.faultFields, told)
    if header.domain == "stateChange" and event.stateChangeFields is not None:
        return _change(header, event.stateChangeFields, told)
    domains = "fault with faultFields, stateChange with stateChangeFields, and heartbeat"
    raise RejectedError(
        "no fault", flaws=[Flaw("/commonEventHeader/domain", f"{header.domain[:60]!r} is none of {domains}")]
    )


def _fault(header: Header, fields: FaultFields, told: Told) -> Stated:
    is_over = fields.eventSeverity == NORMAL
    severity = CLEARED if is_over else severity_word(fields.eventSeverity)
    more = {
        "type": fields.alarmCondition,
        "cause": fields.specificProblem,
        "source_type": fields.eventSourceType,
        "interface": fields.alarmInterfaceA,
        "vf_status": fields.vfStatus,
    }
    # Ids and texts differ between a fault and its end: what it is about does not.
    mark = f"{fields.alarmCondition}/{fields.alarmInterfaceA}"
    return _stated(header, told, mark, severity, more, fields.alarmAdditionalInformation, is_over=is_over)


def _change(header: Header, fields: StateChangeFields, told: Told) -> Stated:
    more = {"type": NIC if fields.stateInterface else "ves.stateChange", "interface": fields.stateInterface}
    more["cause"] = header.eventName
    is_over = fields.newState == IN_SERVICE
    severity = CLEARED if is_over else ""
    return _stated(header, told, f"state/{fields.stateInterface}", severity, more, {}, is_over=is_over)


def _stated(
    header: Header,
    told: Told,
    mark: str,
    severity: str,
    more: dict[str, str],
    spare: dict[str, str],
    *,
    is_over: bool,
) -> Stated:
    status = UP if is_over else DOWN
    details = {
        "hostname": header.sourceName,
        "status": status,
        "severity": severity,
        "source": told.source,
        "monitor_id": NAME,
        "monitor_event_id": mark[:255],
        "event_id": str(header.eventId),
        "reporter": header.reportingEntityName,
        **more,
    }
    event = RawEvent(
        time=said_or_received(_time(header), told.received),
        type=more["type"],
        resource=header.sourceName,
        source=told.source,
        status=status,
        severity=severity,
        monitor_event_id=mark[:255],
        raw_details=encoded(details, {"more": spare}),
    )
    return Stated(event)


def _time(header: Header) -> datetime | None:
    """Return when it was last; microseconds beyond all bounds are no time."""
    try:
        return _EPOCH + timedelta(microseconds=header.lastEpochMicrosec or header.startEpochMicrosec)
    except (OverflowError, ValueError):
        return None


payload = Payload(Event, items, read)
