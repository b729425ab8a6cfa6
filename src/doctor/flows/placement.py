"""Where there is room for machines that have to go elsewhere, when those that are on their way have come."""

from collections import defaultdict
from collections.abc import Iterable

from doctor.flows.situation import Situation
from doctor.model.fault import ResourceState
from doctor.model.instruction import Action
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.recovery.turns import Room

MOVES = (Action.EVACUATE, Action.MIGRATE, Action.LIVE_MIGRATE)

UnderWay = Iterable[tuple[VirtualResource, str]]  # machines, with the hosts on which they will be


def rooms_of(situation: Situation, under_way: UnderWay) -> list[Room]:
    """Return what hosts that serve have left."""
    coming: dict[str, tuple[int, int]] = {}
    for machine, host in under_way:
        if machine.host != host:
            vcpus, memory_mb = coming.get(host, (0, 0))
            coming[host] = vcpus + (machine.vcpus or 0), memory_mb + (machine.memory_mb or 0)
    return [
        _room(host, situation.resources.taken_on(host.id), coming.get(host.id, (0, 0)))
        for host in situation.resources.hosts()
        if situation.book.state_of(host.id) is ResourceState.NORMAL
    ]


def apart(situation: Situation, machine: VirtualResource, under_way: UnderWay) -> frozenset[str]:
    """Return the hosts on which as many others of the group of a machine are, or will be, as it bears beside it."""
    constraints, resources = machine.constraints, situation.resources
    most = None if constraints is None else constraints.together
    if most is None or machine.group is None:
        return frozenset()
    vnf = (machine.owner, machine.group)
    on: dict[str, set[str]] = defaultdict(set)
    for name in resources.group(*vnf):
        on[resources.virtual[name].host or ""].add(name)
    for one, host in under_way:
        if (one.owner, one.group) == vnf:
            on[host].add(one.id)
    return frozenset(host for host, members in on.items() if host and len(members - {machine.id}) >= most)


def _room(host: PhysicalResource, taken: tuple[int, int], coming: tuple[int, int]) -> Room:
    has = (host.metadata.get("vcpus"), host.metadata.get("memory_mb"))
    left = [
        all_ - gone - more if isinstance(all_, int | float) else float("inf")
        for all_, gone, more in zip(has, taken, coming, strict=True)
    ]
    return Room(host.id, host.zone_id, *left)
