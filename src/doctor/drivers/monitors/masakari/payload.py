"""Notifications of masakari-monitors, as they post them to Masakari.

A host that the cluster has lost is down if Masakari's monitor has seen its power off (or was told not to look), else nobody
knows, and it is unreachable. A process is a service of the cloud on its host: machines run on without it. Of machines only
what Masakari itself would act upon is a fault; the rest keeps a type of its own, which no rule names.

The monitors say no end of what they say of processes and machines.
"""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import msgspec

from doctor.drivers.monitors.details import CLEARED, encoded, said_or_received
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import DOWN, UP, RawEvent
from doctor.model.resource import HOST, VIRTUAL_MACHINE
from doctor.ports.payload import Payload, Stated, Told

NAME = "masakari"
COMPUTE_HOST, PROCESS, VM = "COMPUTE_HOST", "PROCESS", "VM"
STOPPED, STARTED = "STOPPED", "STARTED"
UNKNOWN = "UNKNOWN"

HOST_DOWN, UNREACHABLE = "compute.host.down", "hypervisor.unreachable"
SERVICE_FAILURE, SERVICE = "vim.service.failure", "vim_service"
INSTANCE_DOWN, INSTANCE_ERROR = "compute.instance.down", "compute.instance.error"
OTHER = "masakari.vm"

# What is said of a machine: the event of libvirt and its detail.
MACHINES = {
    ("LIFECYCLE", "STOPPED_FAILED"): INSTANCE_DOWN,
    ("LIFECYCLE", "SUSPENDED_IOERROR"): INSTANCE_ERROR,
    ("LIFECYCLE", "SUSPENDED_WATCHDOG"): INSTANCE_ERROR,
    ("IO_ERROR", "IO_ERROR_PAUSE"): INSTANCE_ERROR,
    ("IO_ERROR", "IO_ERROR_REPORT"): INSTANCE_ERROR,
    ("WATCHDOG", "WATCHDOG_PAUSE"): INSTANCE_ERROR,
    ("WATCHDOG", "WATCHDOG_RESET"): INSTANCE_ERROR,
    ("WATCHDOG", "WATCHDOG_POWEROFF"): INSTANCE_ERROR,
    ("WATCHDOG", "WATCHDOG_SHUTDOWN"): INSTANCE_ERROR,
    ("QEMU_GUEST_AGENT_ERROR", "STOPPED_FAILED"): INSTANCE_ERROR,
}


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """What is said of a host, a process or a machine."""

    event: str
    host_status: str = ""
    cluster_status: str = ""
    process_name: str = ""
    instance_uuid: str = ""
    vir_domain_event: str = ""


class Notification(msgspec.Struct, frozen=True, kw_only=True):
    """One notification. ``about`` is ours: which of its two faults a host has not any more."""

    type: str
    hostname: str
    generated_time: datetime
    payload: Content
    about: str = ""


def items(document: Any) -> Iterator[tuple[str, Any]]:
    """Return what a notification says: of a host that is back, that it is neither down nor unreachable."""
    said = document.get("notification") if isinstance(document, dict) else None
    if not isinstance(said, dict):
        flaw = Flaw("/notification", "required: an object")
        raise RejectedError("this is no notification of Masakari", reason=Reason.MALFORMED, flaws=[flaw])
    yield "/notification", {**said, "about": HOST_DOWN}
    content = said.get("payload")
    is_back = isinstance(content, dict) and str(content.get("event")).upper() == STARTED
    if is_back and str(said.get("type")).upper() == COMPUTE_HOST:
        yield "/notification", {**said, "about": UNREACHABLE}


def read(said: Notification, told: Told) -> Stated:
    """Return what a notification says."""
    _required(said.hostname, "/hostname")
    match said.type.upper():
        case "COMPUTE_HOST":
            return _host(said, told)
        case "PROCESS":
            return _process(said, told)
        case "VM":
            return _machine(said, told)
        case _:
            raise _wrong("/type", f"{said.type[:60]!r} is none of {COMPUTE_HOST}, {PROCESS}, {VM}")


def _host(said: Notification, told: Told) -> Stated:
    content = said.payload
    is_over = _is_over(content)
    kind = said.about if is_over or content.host_status.upper() != UNKNOWN else UNREACHABLE
    cause = f"{content.event} in its cluster, which calls it {content.cluster_status or 'nothing'}"
    return _stated(said, told, kind, said.hostname, HOST, COMPUTE_HOST, cause, is_over=is_over)


def _process(said: Notification, told: Told) -> Stated:
    name = said.payload.process_name
    _required(name, "/payload/process_name")
    is_over = _is_over(said.payload)
    cause = f"{name} on {said.hostname} {'runs again' if is_over else 'has ended, and could not be started'}"
    service = f"{said.hostname}:{name}"
    return _stated(said, told, SERVICE_FAILURE, service, SERVICE, name, cause, is_over=is_over)


def _machine(said: Notification, told: Told) -> Stated:
    content = said.payload
    _required(content.instance_uuid, "/payload/instance_uuid")
    event, detail = content.event.upper(), content.vir_domain_event.upper()
    kind = MACHINES.get((event, detail), f"{OTHER}.{event.lower()}")
    cause = f"{event} {detail}".strip()
    return _stated(said, told, kind, content.instance_uuid, VIRTUAL_MACHINE, cause, cause, is_over=False)


def _stated(
    said: Notification,
    told: Told,
    kind: str,
    resource: str,
    resource_type: str,
    mark: str,
    cause: str,
    *,
    is_over: bool,
) -> Stated:
    status, severity = (UP, CLEARED) if is_over else (DOWN, "")
    time = said.generated_time
    details = {
        "hostname": resource,
        "resource_type": resource_type,
        "status": status,
        "severity": severity,
        "source": told.source,
        "monitor_id": NAME,
        "monitor_event_id": mark,
        "type": kind,
        "cause": cause,
        "reporter": said.hostname,
        **msgspec.structs.asdict(said.payload),
    }
    event = RawEvent(
        time=said_or_received(time.replace(tzinfo=UTC) if time.tzinfo is None else time, told.received),
        type=kind,
        resource=resource,
        resource_type=resource_type,
        source=told.source,
        status=status,
        severity=severity,
        monitor_event_id=mark,
        raw_details=encoded(details, {}),
    )
    return Stated(event)


def _is_over(content: Content) -> bool:
    if content.event.upper() not in (STARTED, STOPPED):
        raise _wrong("/payload/event", f"{content.event[:60]!r} is neither {STARTED} nor {STOPPED}")
    return content.event.upper() == STARTED


def _required(text: str, pointer: str) -> None:
    if not text:
        raise _wrong(pointer, "required")


def _wrong(pointer: str, detail: str) -> RejectedError:
    return RejectedError("not a notification", flaws=[Flaw(pointer, detail)])


payload = Payload(Notification, items, read)
