"""How much the pool can still take, zone by zone [D 3.3.4, 5.1.3].

A host says what it has in its metadata, ``vcpus`` and ``memory_mb``; a machine says what it takes. What is left on a host
counts as available as long as the host is; a host that is down or in maintenance has nothing to give.
"""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import msgspec

from doctor.model.fault import ResourceState
from doctor.model.resource import HOST, PhysicalResource
from doctor.model.resource_map import ResourceMap

LARGEST = 10**12  # of one host; more is a slip of somebody's pen

StateOf = Callable[[str], ResourceState]


class HostCounts(msgspec.Struct, frozen=True, kw_only=True):
    """How many hosts there are, and how they are. ``down`` is also one that is in error."""

    total: int
    available: int
    down: int
    maintenance: int


class Amount(msgspec.Struct, frozen=True, kw_only=True):
    """What all hosts have, and what those that are available have left."""

    total: int
    available: int


class ZoneCapacity(msgspec.Struct, frozen=True, kw_only=True):
    """The capacity of one zone; ``changed_by`` is the fault that made it what it is, if one did."""

    zone_id: str | None
    hosts: HostCounts
    vcpus: Amount
    memory_mb: Amount
    changed_by: str | None = None


class _Room(NamedTuple):
    """What one host has, and what its machines leave of it."""

    zone_id: str | None
    vcpus: int
    free_vcpus: int
    memory_mb: int
    free_memory_mb: int


class _Zone:
    """The counters of one zone."""

    def __init__(self) -> None:
        self.hosts = {"available": 0, "down": 0, "maintenance": 0}
        self.vcpus = self.free_vcpus = 0
        self.memory_mb = self.free_memory_mb = 0


class Pool:
    """The capacity of all zones, counted along: a host that goes or comes back costs the same in a pool of any size."""

    def __init__(self, resources: ResourceMap, state_of: StateOf) -> None:
        """Count all hosts as they are now."""
        self._rooms: dict[str, _Room] = {}
        self._standing: dict[str, str] = {}
        self._zones: dict[str | None, _Zone] = {}
        self._changed_by: dict[str | None, str] = {}
        for host in resources.hosts():
            self._count_in(host, resources, state_of)

    def _count_in(self, host: PhysicalResource, resources: ResourceMap, state_of: StateOf) -> None:
        vcpus, memory_mb = _count(host.metadata.get("vcpus")), _count(host.metadata.get("memory_mb"))
        taken_vcpus, taken_memory_mb = resources.taken_on(host.id)
        room = _Room(
            host.zone_id,
            vcpus,
            max(0, vcpus - taken_vcpus),
            memory_mb,
            max(0, memory_mb - taken_memory_mb),
        )
        zone = self._zones.setdefault(host.zone_id, _Zone())
        zone.vcpus += vcpus
        zone.memory_mb += memory_mb
        self._rooms[host.id] = room
        self._standing[host.id] = standing = _STANDING[state_of(host.id)]
        _add(zone, room, standing, 1)

    def _count_out(self, host_id: str) -> tuple[_Room, str] | None:
        room = self._rooms.pop(host_id, None)
        if room is None:
            return None
        standing = self._standing.pop(host_id)
        zone = self._zones[room.zone_id]
        zone.vcpus -= room.vcpus
        zone.memory_mb -= room.memory_mb
        _add(zone, room, standing, -1)
        return room, standing

    def recount(
        self, host_ids: Iterable[str], resources: ResourceMap, state_of: StateOf
    ) -> tuple[ZoneCapacity, ...]:
        """Count these hosts as the map has them now; returns the zones whose capacity is another one by it."""
        changed: dict[str | None, None] = {}
        for host_id in host_ids:
            before = self._count_out(host_id)
            host = resources.physical.get(host_id)
            if host is not None and host.type == HOST:
                self._count_in(host, resources, state_of)
            now = (self._rooms[host_id], self._standing[host_id]) if host_id in self._rooms else None
            if before != now:
                changed.update((one[0].zone_id, None) for one in (before, now) if one is not None)
        return tuple(self.zone(zone_id) for zone_id in changed)

    def settle(
        self, resource_ids: Iterable[str], state_of: StateOf, *, changed_by: str
    ) -> tuple[ZoneCapacity, ...]:
        """Count these resources as they are now; returns the zones whose capacity is another one by it."""
        changed: dict[str | None, None] = {}
        for host_id in resource_ids:
            room = self._rooms.get(host_id)
            if room is None:
                continue
            before, now = self._standing[host_id], _STANDING[state_of(host_id)]
            if before != now:
                zone = self._zones[room.zone_id]
                _add(zone, room, before, -1)
                _add(zone, room, now, 1)
                self._standing[host_id] = now
                changed[room.zone_id] = None
        for zone_id in changed:
            self._changed_by[zone_id] = changed_by
        return tuple(self.zone(zone_id) for zone_id in changed)

    def left_on(self, host_id: str) -> tuple[int, int]:
        """Return the vcpus and the memory (MB) that a host has to give; none if it is not available."""
        room = self._rooms.get(host_id)
        is_available = self._standing.get(host_id) == _STANDING[ResourceState.NORMAL]
        return (room.free_vcpus, room.free_memory_mb) if room is not None and is_available else (0, 0)

    def zone(self, zone_id: str | None) -> ZoneCapacity:
        """Return the capacity of one zone; of one without hosts, none."""
        zone = self._zones.get(zone_id) or _Zone()
        return ZoneCapacity(
            zone_id=zone_id,
            hosts=HostCounts(total=sum(zone.hosts.values()), **zone.hosts),
            vcpus=Amount(total=zone.vcpus, available=zone.free_vcpus),
            memory_mb=Amount(total=zone.memory_mb, available=zone.free_memory_mb),
            changed_by=self._changed_by.get(zone_id),
        )

    def zones(self) -> list[ZoneCapacity]:
        """Return the capacity of all zones, by their ids; hosts without a zone come first."""
        return [self.zone(zone_id) for zone_id in sorted(self._zones, key=lambda one: one or "")]


def differences(before: Pool, after: Pool) -> tuple[ZoneCapacity, ...]:
    """Return the zones that have another capacity in a pool that takes the place of another, also those that are gone."""
    names = dict.fromkeys(one.zone_id for pool in (after, before) for one in pool.zones())
    bare = msgspec.structs.replace
    return tuple(
        now
        for zone_id in names
        if (now := bare(after.zone(zone_id), changed_by=None)) != bare(before.zone(zone_id), changed_by=None)
    )


_STANDING = {
    ResourceState.NORMAL: "available",
    ResourceState.MAINTENANCE: "maintenance",
    ResourceState.ERROR: "down",
    ResourceState.DOWN: "down",
}


def _add(zone: _Zone, room: _Room, standing: str, sign: int) -> None:
    zone.hosts[standing] += sign
    if standing == "available":
        zone.free_vcpus += sign * room.free_vcpus
        zone.free_memory_mb += sign * room.free_memory_mb


def _count(value: Any) -> int:
    """Read a number of metadata; what is none counts as nothing."""
    try:
        number = int(value) if isinstance(value, int | float | str) else 0
    except (ValueError, OverflowError):
        return 0
    return number if 0 <= number <= LARGEST and not isinstance(value, bool) else 0
