"""What a request to empty hosts would break: it is refused with the list, unless two persons want it all the same [I-28]."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from doctor.maintenance.room import Load, needs
from doctor.model.maintenance import Deed, MaintenanceLimits
from doctor.model.resource import Vnf, vnf_of
from doctor.recovery.turns import Room


class Standing(NamedTuple):
    """How a VNF stands beside what is asked for: its machines, those that are out or may go already, and what share its
    level lets be out at once.
    """

    machines: int
    out: int
    share: float | None = None


def objections(
    loads: Sequence[Load],
    rooms: Iterable[Room],
    serving: Mapping[str | None, int],
    total: Mapping[str | None, int],
    vnfs: Mapping[Vnf, Standing],
    at_once: int | None,
    limits: MaintenanceLimits,
    *,
    asks_for_room: bool = False,
) -> list[str]:
    """Return what speaks against emptying these hosts, ``at_once`` of them together (None: all).

    ``rooms`` are the other hosts that serve; ``serving`` and ``total`` count the hosts of each zone, those that are to be
    emptied too. ``vnfs`` has those of the machines on these hosts. With ``asks_for_room`` owners are asked to make room.
    """
    together = len(loads) if at_once is None else min(at_once, len(loads))
    return [
        *_of_zones(loads, serving, total, together, limits),
        *([] if asks_for_room else _of_capacity(loads, rooms, at_once)),
        *_of_vnfs(loads, together, vnfs),
    ]


def _of_zones(
    loads: Sequence[Load],
    serving: Mapping[str | None, int],
    total: Mapping[str | None, int],
    together: int,
    limits: MaintenanceLimits,
) -> Iterable[str]:
    for zone, count in Counter(load.host.zone_id for load in loads).items():
        away, all_ = min(count, together), total.get(zone, 0)
        left = serving.get(zone, 0) - away
        needed = ceil(all_ * limits.floor - 1e-9) if all_ > 1 else 0
        if left < needed:
            name = "hosts without a zone" if zone is None else f"zone {zone}"
            yield f"{name}: {left} of {all_} hosts would serve, and {needed} have to"


def _of_capacity(loads: Sequence[Load], rooms: Iterable[Room], at_once: int | None) -> Iterable[str]:
    for need in needs(loads, rooms, at_once):
        if need.missing:
            yield f"{need.what}: {need.needed} would have to go elsewhere, and {need.free:g} are left there"


def _of_vnfs(loads: Sequence[Load], together: int, vnfs: Mapping[Vnf, Standing]) -> Iterable[str]:
    """Hold the machines that are off during the work against how many of their VNF may be, by its owner and by its level."""
    off: dict[Vnf, Counter[str]] = {}
    by_owner: dict[Vnf, int] = {}
    for load in loads:
        for machine, deed in load.machines:
            if deed not in (Deed.STOP, Deed.TERMINATE):
                continue
            vnf = vnf_of(machine)
            off.setdefault(vnf, Counter())[load.host.id] += 1
            limit = None if machine.constraints is None else machine.constraints.max_out
            if limit is not None and machine.group is not None:
                by_owner[vnf] = min(limit, by_owner.get(vnf, limit))
    for vnf, hosts in off.items():
        standing = vnfs[vnf]
        away = standing.out + sum(count for _, count in hosts.most_common(together))
        if away > by_owner.get(vnf, away):
            yield f"{_name(vnf)}: {away} would be off at once, and {by_owner[vnf]} may be"
        if standing.share is not None and away > standing.share * standing.machines:
            promise = f"its level promises {standing.share:.0%} at most"
            yield f"{_name(vnf)}: {away} of {standing.machines} would be off at once, and {promise}"


def _name(vnf: Vnf) -> str:
    return (
        f"machine {vnf.machine} of {vnf.owner}" if vnf.group is None else f"group {vnf.group} of {vnf.owner}"
    )
