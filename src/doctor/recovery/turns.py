"""Whose turn it is, and where a machine goes: by level, priority and time, as many at once as hosts and zones can bear.

Who goes first gets what there is; what it has to wait for nobody behind it gets either. If no host has room for it, smaller
ones behind it may go.
"""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

from doctor.model.recovery import RecoveryLimits
from doctor.model.resource import VirtualResource


class Candidate(NamedTuple):
    """A machine whose next step is due. One that ``moves`` needs another host, and none of those in ``apart`` [HA 4.1]."""

    machine: VirtualResource
    priority: int
    since: datetime
    moves: bool
    apart: frozenset[str] = frozenset()

    @property
    def rank(self) -> tuple[int, int, datetime, str]:
        """Return its place in the order [HA 5.3]."""
        return (self.machine.sal_rank, -self.priority, self.since, self.machine.id)


class Room(NamedTuple):
    """A host that serves, and what is left of it; infinite if nobody has said what it has."""

    host: str
    zone_id: str | None
    vcpus: float
    memory_mb: float


class Turn(NamedTuple):
    """It may begin now, on this other host if it moves."""

    target: str | None = None


class Later(NamedTuple):
    """It may not begin yet."""

    reason: str


AFTER_OTHERS = Later("others go first")
NO_ROOM = Later("no other host that may take it has room for it")


def turns(
    candidates: Iterable[Candidate],
    rooms: Sequence[Room],
    zones: Mapping[str, str | None],
    burden: Counter[str],
    limits: RecoveryLimits,
) -> dict[str, Turn | Later]:
    """Return for each machine whether it is its turn, in the order of their ranks.

    ``zones`` are those of all hosts, ``burden`` is how many machines are being recovered already on which.
    """
    round_ = _Round(rooms, zones, burden, limits)
    return {one.machine.id: round_.take(one) for one in sorted(candidates, key=lambda one: one.rank)}


class _Round:
    def __init__(
        self,
        rooms: Sequence[Room],
        zones: Mapping[str, str | None],
        burden: Counter[str],
        limits: RecoveryLimits,
    ) -> None:
        self._rooms = {one.host: one for one in rooms}
        self._zones = zones
        self._limits = limits
        self._left = limits.at_once - burden.total()
        self._on = Counter(burden)
        self._in: Counter[str | None] = Counter()
        for host, count in burden.items():
            self._in[zones.get(host)] += count
        self._open = [host for host in self._rooms if self._may_have(host)]
        self._in_vain: dict[
            tuple[object, ...], Later
        ] = {}  # what is alike finds no more than what went before it
        self._together: dict[tuple[str, str | None], set[str]] = {}

    def take(self, one: Candidate) -> Turn | Later:
        if self._left <= 0:
            return AFTER_OTHERS
        return self._move(one) if one.moves else self._stay(one)

    def _stay(self, one: Candidate) -> Turn | Later:
        host = one.machine.host or ""
        if not self._may_have(host):
            return AFTER_OTHERS
        self._count(host)
        return Turn()

    def _move(self, one: Candidate) -> Turn | Later:
        if not self._open:
            return AFTER_OTHERS if self._rooms else NO_ROOM
        machine = one.machine
        alike = (
            machine.vcpus,
            machine.memory_mb,
            machine.sal,
            machine.host,
            one.apart,
            self._keeps_from(one),
        )
        if alike in self._in_vain:
            return self._in_vain[alike]
        free = [room for host in self._open if self._fits(one, room := self._rooms[host])]
        if not free:
            has_room = any(self._fits(one, room) for room in self._rooms.values())
            return self._in_vain.setdefault(alike, AFTER_OTHERS if has_room else NO_ROOM)
        best = min(free, key=lambda room: self._preference(one, room))
        self._rooms[best.host] = best._replace(
            vcpus=best.vcpus - (machine.vcpus or 0), memory_mb=best.memory_mb - (machine.memory_mb or 0)
        )
        self._together.setdefault((machine.owner, machine.group), set()).add(best.host)
        self._count(best.host)
        return Turn(best.host)

    def _fits(self, one: Candidate, room: Room) -> bool:
        machine = one.machine
        group = self._keeps_from(one)
        beside = () if group is None else self._together.get(group, ())
        reserved = self._limits.reserved.get(room.host)
        return (
            room.host != machine.host
            and room.host not in one.apart
            and room.host not in beside
            and (not reserved or str(machine.sal) in reserved)
            and room.vcpus >= (machine.vcpus or 0)
            and room.memory_mb >= (machine.memory_mb or 0)
        )

    def _keeps_from(self, one: Candidate) -> tuple[str, str | None] | None:
        """Return the group of which no second one goes to a host in this round; how many are there decides ``apart``."""
        machine, constraints = one.machine, one.machine.constraints
        is_apart = constraints is not None and constraints.together is not None and machine.group is not None
        return (machine.owner, machine.group) if is_apart else None

    def _may_have(self, host: str) -> bool:
        limits = self._limits
        return self._on[host] < limits.per_host and self._in[self._zones.get(host)] < limits.per_zone

    def _preference(self, one: Candidate, room: Room) -> tuple[bool, bool, float, float, str]:
        """Prefer the zone that it was in, what is not kept for such days, and the most room."""
        zone_id = self._zones.get(one.machine.host or "")
        is_reserved = room.host in self._limits.reserved
        return (room.zone_id != zone_id, is_reserved, -room.vcpus, -room.memory_mb, room.host)

    def _count(self, host: str) -> None:
        self._on[host] += 1
        self._in[self._zones.get(host)] += 1
        self._left -= 1
        self._open = [one for one in self._open if self._may_have(one)]
