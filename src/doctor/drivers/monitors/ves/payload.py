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


class Header(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What every event has."""

    domain: str
    event_id: str | int
    source_name: str
    event_name: str = ""
    reporting_entity_name: str = ""
    start_epoch_microsec: float = 0
    last_epoch_microsec: float = 0


class FaultFields(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a fault has beside."""

    alarm_condition: str
    event_severity: str
    specific_problem: str = ""
    event_source_type: str = ""
    alarm_interface_a: str = ""
    vf_status: str = ""
    alarm_additional_information: dict[str, str] = {}


class StateChangeFields(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a change of state has beside."""

    new_state: str
    state_interface: str = ""


class HeartbeatFields(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """What a heartbeat may have beside."""

    heartbeat_interval: int = 0  # seconds


class Event(msgspec.Struct, frozen=True, kw_only=True, rename="camel"):
    """One event."""

    common_event_header: Header
    fault_fields: FaultFields | None = None
    state_change_fields: StateChangeFields | None = None
    heartbeat_fields: HeartbeatFields | None = None


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
    header = event.common_event_header
    if header.domain == "heartbeat":
        every = event.heartbeat_fields.heartbeat_interval if event.heartbeat_fields else 0
        return Alive(told.received + timedelta(seconds=MISSED * every) if 0 < every <= 86_400 else None)
    if header.domain == "fault" and event.fault_fields is not None:
        return _fault(header, event.fault_fields, told)
    if header.domain == "stateChange" and event.state_change_fields is not None:
        return _change(header, event.state_change_fields, told)
    domains = "fault with faultFields, stateChange with stateChangeFields, and heartbeat"
    raise RejectedError(
        "no fault", flaws=[Flaw("/commonEventHeader/domain", f"{header.domain[:60]!r} is none of {domains}")]
    )


def _fault(header: Header, fields: FaultFields, told: Told) -> Stated:
    is_over = fields.event_severity == NORMAL
    severity = CLEARED if is_over else severity_word(fields.event_severity)
    more = {
        "type": fields.alarm_condition,
        "cause": fields.specific_problem,
        "source_type": fields.event_source_type,
        "interface": fields.alarm_interface_a,
        "vf_status": fields.vf_status,
    }
    # Ids and texts differ between a fault and its end: what it is about does not.
    mark = f"{fields.alarm_condition}/{fields.alarm_interface_a}"
    return _stated(header, told, mark, severity, more, fields.alarm_additional_information, is_over=is_over)


def _change(header: Header, fields: StateChangeFields, told: Told) -> Stated:
    more = {"type": NIC if fields.state_interface else "ves.stateChange", "interface": fields.state_interface}
    more["cause"] = header.event_name
    is_over = fields.new_state == IN_SERVICE
    severity = CLEARED if is_over else ""
    return _stated(header, told, f"state/{fields.state_interface}", severity, more, {}, is_over=is_over)


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
        "hostname": header.source_name,
        "status": status,
        "severity": severity,
        "source": told.source,
        "monitor_id": NAME,
        "monitor_event_id": mark[:255],
        "event_id": str(header.event_id),
        "reporter": header.reporting_entity_name,
        **more,
    }
    event = RawEvent(
        time=said_or_received(_time(header), told.received),
        type=more["type"],
        resource=header.source_name,
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
        return _EPOCH + timedelta(microseconds=header.last_epoch_microsec or header.start_epoch_microsec)
    except (OverflowError, ValueError):
        return None


payload = Payload(Event, items, read)
