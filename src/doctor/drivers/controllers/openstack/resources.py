"""From what OpenStack's services say of their things to the resources of the map.

The same thing comes in two shapes, in an answer of the API and in a notification; both are read into the same record.
What an owner wishes of Doctor stands in the metadata of his server (``doctor:role`` ...), or in its tags.
"""

import re
from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any

import msgspec

from doctor.model.map_news import Entry
from doctor.model.resource import (
    HOST,
    NETWORK,
    NIC,
    STORAGE,
    VIRTUAL_MACHINE,
    Constraints,
    PhysicalResource,
    Relation,
    VirtualResource,
)

WISH = "doctor:"
FORBIDDEN = ("forbidden", "no", "false", "never")
NUMBER = re.compile(r"[0-9]{1,6}(\.[0-9]{1,6})?")

# What a flavor asks for that not every host has, and in which of its extra specs it says so.
NEEDS = (
    ("pinned CPUs", "hw:cpu_policy", ("dedicated", "mixed")),
    ("real time", "hw:cpu_realtime", ("yes", "true", "1")),
    ("huge pages", "hw:mem_page_size", None),
    ("NUMA", "hw:numa_nodes", None),
    ("PCI device", "pci_passthrough:alias", None),
    ("GPU", "resources:VGPU", None),
)


class Host(msgspec.Struct, frozen=True, kw_only=True):
    """A compute service, with what its hypervisor says of the machine.

    ``is_missed``: Nova has not heard of it for too long. ``is_silent``: that was so the time before as well.
    """

    service_id: str
    name: str
    zone: str | None
    disabled: bool
    disabled_reason: str | None
    forced_down: bool
    is_missed: bool = False
    is_silent: bool = False
    address: str | None = None
    vcpus: int | None = None
    memory_mb: int | None = None
    hypervisor: str | None = None
    aliases: tuple[str, ...] = ()
    aggregates: tuple[str, ...] = ()


class Server(msgspec.Struct, frozen=True, kw_only=True):
    """A server. ``updated`` is Nova's own time of its last change, by which an older word of it is known."""

    id: str
    name: str
    project: str
    user: str | None
    host: str | None
    vm_state: str
    task_state: str | None
    vcpus: int | None
    memory_mb: int | None
    extra_specs: Mapping[str, str] = {}
    metadata: Mapping[str, str] = {}
    tags: tuple[str, ...] = ()
    volumes: tuple[str, ...] | None = None
    updated: str = ""


class Port(msgspec.Struct, frozen=True, kw_only=True):
    """A port of a server. ``revision`` counts its changes."""

    id: str
    project: str
    network: str
    server: str
    host: str | None
    data_plane_status: str | None
    revision: int


class Naming:
    """How the things of one cloud are called in the map: repeated words are kept once."""

    def __init__(self, cloud: str, host_prefix: str) -> None:
        self.cloud = intern(cloud)
        self._prefix = host_prefix

    def host(self, name: str) -> str:
        """Return the id of a host."""
        return intern(self._prefix + name)

    def host_entry(self, host: Host) -> Entry:
        """Return a host as it stands in the map."""
        metadata: dict[str, Any] = {}
        if host.vcpus:
            metadata["vcpus"] = host.vcpus
        if host.memory_mb:
            metadata["memory_mb"] = host.memory_mb
        if host.aggregates:
            metadata["aggregates"] = list(host.aggregates)
        if host.disabled_reason:
            metadata["disabled_reason"] = host.disabled_reason
        names = (host.name, *host.aliases) if self._prefix else host.aliases
        return Entry(
            PhysicalResource(
                id=self.host(host.name),
                type=HOST,
                zone_id=host.zone and intern(host.zone),
                address=(host.address,) if host.address else (),
                aliases=tuple(name for name in dict.fromkeys(names) if name != self.host(host.name)),
                hypervisor_version=host.hypervisor,
                metadata=metadata,
                cloud=self.cloud,
                vim_state=intern(
                    f"{'disabled' if host.disabled else 'enabled'} {'down' if host.forced_down else 'up'}"
                    f"{' silent' if host.is_silent else ''}"
                ),
            )
        )

    def server_entry(self, server: Server, group: str | None) -> Entry:
        """Return a server as it stands in the map; ``group`` is its server group."""
        wishes = wishes_of(server)
        sal = wishes.get("sal")
        return Entry(
            VirtualResource(
                id=server.id,
                type=VIRTUAL_MACHINE,
                name=server.name,
                host=self.host(server.host) if server.host else None,
                owner=intern(server.project),
                user=server.user and intern(server.user),
                group=_interned(wishes.get("group") or group),
                role=_interned((wishes.get("role") or "").upper()),
                sal=int(sal) if sal and sal.isdigit() else _interned(sal),
                recovery=_interned(wishes.get("recovery")),
                constraints=constraints_of(wishes),
                vcpus=server.vcpus,
                memory_mb=server.memory_mb,
                needs=needs_of(server.extra_specs),
                cloud=self.cloud,
                vim_state=intern(
                    f"{server.vm_state} ({server.task_state})" if server.task_state else server.vm_state
                ),
            ),
            tuple(Relation(volume, "attaches", server.id) for volume in server.volumes or ()),
        )

    def port_entry(self, port: Port) -> Entry:
        """Return a port: its server depends on it, and it on its network."""
        return Entry(
            VirtualResource(
                id=port.id,
                type=NIC,
                host=self.host(port.host) if port.host else None,
                owner=intern(port.project),
                cloud=self.cloud,
                vim_state=intern((port.data_plane_status or "active").lower()),
            ),
            (Relation(intern(port.network), "connects", port.id), Relation(port.id, "attaches", port.server)),
        )

    def network_entry(self, network_id: str, name: str, project: str) -> Entry:
        """Return a network."""
        return Entry(
            VirtualResource(
                id=intern(network_id), type=NETWORK, name=name, owner=intern(project), cloud=self.cloud
            )
        )

    def volume_entry(self, volume_id: str, name: str | None, project: str, status: str | None) -> Entry:
        """Return a volume; what it is attached to says so itself."""
        return Entry(
            VirtualResource(
                id=volume_id,
                type=STORAGE,
                name=name or None,
                owner=intern(project),
                cloud=self.cloud,
                vim_state=_interned(status),
            )
        )


def wishes_of(server: Server) -> dict[str, str]:
    """Return what the owner wishes: metadata ``doctor:role: ACT``, or a tag ``doctor:role=ACT``; metadata count more."""
    found = {}
    for tag in server.tags:
        name, equals, value = tag.removeprefix(WISH).partition("=")
        if equals and tag.startswith(WISH):
            found[name.strip()] = value.strip()
    for key, value in server.metadata.items():
        if key.startswith(WISH):
            found[key.removeprefix(WISH).strip()] = value.strip()
    return {name: value[:255] for name, value in found.items() if value}


def constraints_of(wishes: Mapping[str, str]) -> Constraints | None:
    """Return what the owner does not want: ``doctor:live_migration: forbidden``, ``doctor:tolerated_interruption: 5``
    (seconds), ``doctor:max_out: 1``, ``doctor:recovery_time: 60`` (seconds); what is no number counts as not said.
    """
    interruption, most = wishes.get("tolerated_interruption", ""), wishes.get("max_out", "")
    recovery = wishes.get("recovery_time", "")
    found = Constraints(
        live_migration=wishes.get("live_migration", "").lower() not in FORBIDDEN,
        tolerated_interruption=float(interruption) if NUMBER.fullmatch(interruption) else None,
        max_out=int(most) if NUMBER.fullmatch(most) and most.isdigit() else None,
        recovery_time=float(recovery) if NUMBER.fullmatch(recovery) else None,
    )
    return None if found == Constraints() else found


def needs_of(extra_specs: Mapping[str, str]) -> tuple[str, ...]:
    """Return what a flavor asks for that not every host has."""
    if not extra_specs:
        return ()
    return tuple(
        need
        for need, key, values in NEEDS
        if (value := extra_specs.get(key)) is not None and (values is None or value.lower() in values)
    )


def groups_by_member(groups: Iterable[tuple[str, Iterable[str]]]) -> dict[str, str]:
    """Return the server group of each server that is in one."""
    return {member: intern(name) for name, members in groups for member in members}


def _interned(text: str | None) -> str | None:
    return intern(text) if text else None
