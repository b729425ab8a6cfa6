"""What the services of a cloud announce on the message bus.

In comes a message of oslo.messaging, out comes what it says of one thing. The bus is everybody's: what is of another
service, another version or no shape at all is nothing to us, and the reconciliation finds what we have missed.
"""

from typing import Any, NamedTuple

import msgspec

from doctor.drivers.controllers.openstack.neutron import NetworkIn, PortIn
from doctor.drivers.controllers.openstack.resources import Port, Server

COMPUTE_BINARY = "nova-compute"


class Envelope(msgspec.Struct, frozen=True):
    """A notification as it was sent: what happened, when by the clock of who says so, and the whole of it."""

    event_type: str
    payload: msgspec.Raw
    timestamp: str = ""
    unique_id: str = msgspec.field(default="", name="_unique_id")


class _Outer(msgspec.Struct):
    message: str = msgspec.field(name="oslo.message")


class ServerSeen(NamedTuple):
    """A server is like this."""

    server: Server


class ServerGone(NamedTuple):
    """There is no such server any more."""

    server_id: str


class PortSeen(NamedTuple):
    """A port is like this; None: it is not, or no more, that of a server."""

    port_id: str
    port: Port | None


class NetworkSeen(NamedTuple):
    """A network is like this."""

    network: NetworkIn


class ThingGone(NamedTuple):
    """A port or a network is no more."""

    thing_id: str


class ServiceSeen(NamedTuple):
    """A compute service is like this."""

    host: str
    disabled: bool
    disabled_reason: str | None
    forced_down: bool


class ServiceHeard(NamedTuple):
    """A compute service reports that it is alive, or has not for too long; nobody announces that."""

    host: str
    is_alive: bool


class HostsChanged(NamedTuple):
    """There are other compute hosts, or they are in other aggregates: ask which."""


class GroupsChanged(NamedTuple):
    """Server groups have other members: ask which."""


Announcement = (
    ServerSeen
    | ServerGone
    | PortSeen
    | NetworkSeen
    | ThingGone
    | ServiceSeen
    | ServiceHeard
    | HostsChanged
    | GroupsChanged
)


def opened(body: bytes) -> Envelope | None:
    """Read a message of the bus: an envelope of version 2, or what was sent without one."""
    try:
        try:
            text: bytes | str = msgspec.json.decode(body, type=_Outer).message
        except msgspec.ValidationError:
            text = body
        return msgspec.json.decode(text, type=Envelope)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


def read(envelope: Envelope) -> Announcement | None:
    """Return what a notification says, if it is of interest and can be read."""
    subject, _, action = envelope.event_type.partition(".")
    reader = _READERS.get(subject)
    if reader is None or action.endswith(".start"):
        return None
    try:
        said: Announcement | None = reader(action, envelope.payload)
        return said
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None


class _Versioned(msgspec.Struct):
    """The payload of a versioned notification: what it is called, and the fields of it."""

    data: msgspec.Raw = msgspec.field(name="nova_object.data")


class _Flavor(msgspec.Struct):
    vcpus: int | None = None
    memory_mb: int | None = None
    extra_specs: dict[str, str] | None = None


class _FlavorPayload(msgspec.Struct):
    data: _Flavor = msgspec.field(name="nova_object.data", default_factory=_Flavor)


class _Disk(msgspec.Struct):
    volume_id: str = ""


class _DiskPayload(msgspec.Struct):
    data: _Disk = msgspec.field(name="nova_object.data", default_factory=_Disk)


class _Instance(msgspec.Struct):
    uuid: str
    tenant_id: str
    state: str
    display_name: str | None = None
    user_id: str | None = None
    host: str | None = None
    task_state: str | None = None
    flavor: _FlavorPayload | None = None
    metadata: dict[str, str] | None = None
    tags: list[str] | None = None
    block_devices: list[_DiskPayload] | None = None
    updated_at: str | None = None
    deleted_at: str | None = None


def _of_instance(action: str, payload: msgspec.Raw) -> Announcement:
    given = _inner(payload, _Instance)
    if action == "delete.end" or given.state == "deleted":
        return ServerGone(given.uuid)
    flavor = given.flavor.data if given.flavor else _Flavor()
    return ServerSeen(
        Server(
            id=given.uuid,
            name=given.display_name or "",
            project=given.tenant_id,
            user=given.user_id,
            host=given.host,
            vm_state=given.state,
            task_state=given.task_state,
            vcpus=flavor.vcpus,
            memory_mb=flavor.memory_mb,
            extra_specs=flavor.extra_specs or {},
            metadata=given.metadata or {},
            tags=tuple(given.tags or ()),
            volumes=None
            if given.block_devices is None
            else tuple(one.data.volume_id for one in given.block_devices if one.data.volume_id),
            updated=given.updated_at or "",
        )
    )


class _OldInstance(msgspec.Struct):
    """An unversioned payload of Nova, which is what a cloud sends unless it is told otherwise."""

    instance_id: str
    tenant_id: str
    state: str
    display_name: str | None = None
    user_id: str | None = None
    host: str | None = None
    new_task_state: str | None = None
    vcpus: int | None = None
    memory_mb: int | None = None
    metadata: dict[str, str] | list[Any] | None = None


def _of_old_instance(action: str, payload: msgspec.Raw) -> Announcement | None:
    if not action.startswith("instance."):
        return None
    given = msgspec.json.decode(payload, type=_OldInstance)
    if action == "instance.delete.end" or given.state == "deleted":
        return ServerGone(given.instance_id)
    return ServerSeen(
        Server(
            id=given.instance_id,
            name=given.display_name or "",
            project=given.tenant_id,
            user=given.user_id,
            host=given.host,
            vm_state=given.state,
            task_state=given.new_task_state,
            vcpus=given.vcpus,
            memory_mb=given.memory_mb,
            metadata=given.metadata if isinstance(given.metadata, dict) else {},
        )
    )


class _Service(msgspec.Struct):
    host: str
    binary: str
    disabled: bool = False
    disabled_reason: str | None = None
    forced_down: bool = False


def _of_service(action: str, payload: msgspec.Raw) -> Announcement | None:
    given = _inner(payload, _Service)
    if given.binary != COMPUTE_BINARY:
        return None
    if action != "update":
        return HostsChanged()
    return ServiceSeen(given.host, given.disabled, given.disabled_reason, given.forced_down)


class _PortPayload(msgspec.Struct):
    port: PortIn | None = None
    port_id: str | None = None


def _of_port(action: str, payload: msgspec.Raw) -> Announcement | None:
    given = msgspec.json.decode(payload, type=_PortPayload)
    if action == "delete.end":
        gone = given.port_id or (given.port.id if given.port else None)
        return None if gone is None else ThingGone(gone)
    return None if given.port is None else PortSeen(given.port.id, given.port.of_server)


class _NetworkPayload(msgspec.Struct):
    network: NetworkIn | None = None
    network_id: str | None = None


def _of_network(action: str, payload: msgspec.Raw) -> Announcement | None:
    given = msgspec.json.decode(payload, type=_NetworkPayload)
    if action == "delete.end":
        gone = given.network_id or (given.network.id if given.network else None)
        return None if gone is None else ThingGone(gone)
    return None if given.network is None else NetworkSeen(given.network)


def _inner(payload: msgspec.Raw, kind: type[Any]) -> Any:
    return msgspec.json.decode(msgspec.json.decode(payload, type=_Versioned).data, type=kind)


_READERS: dict[str, Any] = {
    "instance": _of_instance,
    "compute": _of_old_instance,
    "service": _of_service,
    "server_group": lambda action, payload: GroupsChanged(),
    "aggregate": lambda action, payload: HostsChanged(),
    "port": _of_port,
    "network": _of_network,
}
