"""Whether the zone around a host may be cut off where the host itself could not be: it kills hosts that are well [HA 6.1.2.2].

The brakes of the host hold beside this. Here it is asked what the rest of the zone means: nobody who must not be cut off is
in it, enough is left without it, and its machines would fit there.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from doctor.fencing.limits import Limits


class Widening(NamedTuple):
    """What cutting off a zone means.

    ``excluded`` are hosts in it that are never cut off, each with the reason; ``unarmed`` are the zones of its hosts in
    which Doctor may not act, ``left`` is for each of them how many hosts are well without it, and of how many. ``other`` is
    another zone that is off in place of a host already; ``unnamed`` are its devices that do not know for which they are.
    """

    zone: str
    excluded: Mapping[str, str] = {}
    unarmed: Sequence[str] = ()
    left: Mapping[str, tuple[int, int]] = {}
    shortage: str | None = None
    other: str | None = None
    unnamed: Sequence[str] = ()
    is_off: bool = False


def objection(widening: Widening, limits: Limits) -> str | None:
    """Say why a zone is not cut off in place of a host, None if it may be. One that is off already costs nothing more."""
    zone = widening.zone
    if widening.is_off:
        return None
    if widening.other is not None:
        return f"{widening.other} is off in place of a host already, and one zone is enough"
    for host, reason in widening.excluded.items():
        return f"{host} is in {zone}: {reason}"
    if widening.unarmed:
        return f"hosts of {zone} are in {widening.unarmed[0]}, which is not armed"
    if limits.identity and widening.unnamed:
        return f"{widening.unnamed[0]} of {zone} has no identity: it may be another one's"
    for name, (well, all_) in widening.left.items():
        if well < limits.floor * all_:
            return (
                f"without {zone} {well} of {all_} hosts of {name} are well, and {limits.floor:.0%} have to be"
            )
    if limits.capacity and widening.shortage is not None:
        return f"the machines of {zone} would not fit elsewhere: {widening.shortage}"
    return None


# What has been weighed for the zone as a whole is not asked of each host that went off with it.
NOT_ASKED_WITHIN = frozenset(("storm", "cause", "zone budget", "site budget", "at once", "floor", "capacity"))
