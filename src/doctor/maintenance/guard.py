"""What a request to empty hosts would break: it is refused with the list, unless two persons want it all the same [I-28]."""

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from math import ceil
from typing import NamedTuple

from doctor.model.maintenance import Deed, MaintenanceLimits
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.recovery.turns import Room


class Load(NamedTuple):
    """A host that is to be emptied, with its machines and what their owners have said beforehand."""

    host: PhysicalResource
    machines: Sequence[tuple[VirtualResource, Deed]]


def objections(
    loads: Sequence[Load],
    rooms: Iterable[Room],
    serving: Mapping[str | None, int],
    total: Mapping[str | None, int],
    at_once: int | None,
    limits: MaintenanceLimits,
) -> list[str]:
    """Return what speaks against emptying these hosts, ``at_once`` of them together (None: all).

    ``rooms`` are the other hosts that serve; ``serving`` and ``total`` count the hosts of each zone, those that are to be
    emptied too.
    """
    together = len(loads) if at_once is None else min(at_once, len(loads))
    return [
        *_of_zones(loads, serving, total, together, limits),
        *_of_capacity(loads, rooms, together, is_rolling=at_once is not None),
        *_of_groups(loads, together),
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


def _of_capacity(
    loads: Sequence[Load], rooms: Iterable[Room], together: int, *, is_rolling: bool
) -> Iterable[str]:
    """Hold what has to go elsewhere against what is left; where hosts go in turns, the largest go together."""
    left = list(rooms)
    moving = [
        [machine for machine, deed in load.machines if deed not in (Deed.STOP, Deed.TERMINATE)]
        for load in loads
    ]
    for word in ("vcpus", "memory_mb"):
        needed = sorted(
            (sum(getattr(one, word) or 0 for one in machines) for machines in moving), reverse=True
        )
        free = sum(getattr(room, word) for room in left)
        most = sum(needed[:together] if is_rolling else needed)
        if most > free:
            yield f"{word}: {most} would have to go elsewhere, and {free:g} are left there"


def _of_groups(loads: Sequence[Load], together: int) -> Iterable[str]:
    """Hold the machines that are off during the work against how many of their group may be away."""
    off: dict[tuple[str, str], Counter[str]] = {}
    most: dict[tuple[str, str], int] = {}
    for load in loads:
        for machine, deed in load.machines:
            limit = None if machine.constraints is None else machine.constraints.max_out
            if machine.group is None or limit is None or deed not in (Deed.STOP, Deed.TERMINATE):
                continue
            group = (machine.owner, machine.group)
            off.setdefault(group, Counter())[load.host.id] += 1
            most[group] = min(limit, most.get(group, limit))
    for group, hosts in off.items():
        away = sum(count for _, count in hosts.most_common(together))
        if away > most[group]:
            yield f"group {group[1]} of {group[0]}: {away} would be off at once, and {most[group]} may be"
