"""Goes through every world that can come about, the shortest ways first, and says how a promise was broken."""

from collections.abc import Iterator
from itertools import product
from typing import NamedTuple

from doctor.model.fence_job import FenceState
from doctor.testing.isolation_model.acting import Actor
from doctor.testing.isolation_model.bugs import SOUND, Bugs
from doctor.testing.isolation_model.world import (
    Bmc,
    Evacuation,
    Life,
    Rack,
    Site,
    World,
    happenings,
    runs_twice,
)

S = FenceState
NOT_TO_BE_CUT = frozenset((S.CANCELLED, S.OBSERVED, S.NORMAL))


class Found(NamedTuple):
    """What a search came to. ``broken`` is the promise that did not hold, ``way`` how it came to that."""

    states: int
    steps: int
    broken: str | None = None
    way: tuple[str, ...] = ()


DECEIVING = (Bmc.LYING,)


def sites(*, small: bool = False) -> Iterator[Site]:
    """Return every site: seven BMCs, with a PDU or without, with no liar, or either; and one that is cut off.

    A host that thaws late is dead by then, unless its device deceives. That is the one thing that nobody could find out:
    it is silent, reads off, and comes to life a moment later. So where a device deceives the host does not thaw late.
    """
    offices, wishes = (2, 1) if small else (3, 2)
    for liar in (None, 0, 1):
        for pdu, bmc in product((True, False), Bmc):
            yield Site(bmc, pdu, liar=liar, late=bmc not in DECEIVING, offices=offices, wishes=wishes)
    yield Site(dark=True, offices=offices, wishes=wishes)
    for rack, bmc in product((Rack.GOES, Rack.STAYS), (Bmc.STUCK, Bmc.DEAF, Bmc.LYING)):
        yield Site(bmc, False, rack, late=bmc not in DECEIVING, offices=offices, wishes=wishes)


def search(site: Site, bugs: Bugs = SOUND) -> Found:
    """Look at all worlds of a site."""
    actor = Actor(site, bugs)
    start = World()
    came_from: dict[World, tuple[World, str] | None] = {start: None}
    here, steps = [start], 0
    while here:
        there: list[World] = []
        for world in here:
            for name, after in (*happenings(site, world), *actor.steps(world)):
                steps += 1
                broken = breach(site, world, after)
                if broken is not None:
                    way = (*_way(came_from, world), name)
                    return Found(len(came_from), steps, broken, way)
                after = actor.essence(after)
                if after not in came_from:
                    came_from[after] = (world, name)
                    there.append(after)
        here = there
    return Found(len(came_from), steps)


def _way(came_from: dict[World, tuple[World, str] | None], world: World) -> tuple[str, ...]:
    names = []
    while (before := came_from[world]) is not None:
        world, name = before
        names.append(name)
    return tuple(reversed(names))


def breach(site: Site, before: World, after: World) -> str | None:
    """Say which promise a step breaks, or None."""
    if runs_twice(after):
        return "I-15: the machine runs twice"
    job, known = after.job, before.job
    if job is not None and job.state is S.FENCED and after.host is Life.RUNNING:
        return "I-16: a host that runs counts as isolated"
    is_new = job is not None and (known is None or job.revision != known.revision)
    is_isolated = is_new and job is not None and job.state is S.FENCED
    if is_isolated and after.host is not Life.OFF and site.bmc is not Bmc.LYING:
        return "I-16: a host that is not off counts as isolated"  # a lie is told from the truth by a sign of life only
    if (
        is_new
        and job is not None
        and job.state is S.AUTHORISED
        and (known is None or known.state is S.SUSPECT)
    ):
        dead = sum(one.value == "dead" for one in after.said)
        if dead < 2:
            return "I-12: one kind of evidence was enough"
        if site.dark:
            return "I-13: it acted although it was cut off itself"
    if is_new and job is not None and job.state is S.ATTEMPT and not before.fault:
        return "I-12: a command was decided for a host that is known to live"
    for old, new in zip(before.doctors, after.doctors, strict=True):
        given = None if old is None or (new is not None and new.command == old.command) else old.command
        if given is None or new is None:  # a crash gives no command
            continue
        if given.on and given.fresh and before.evacuation in (Evacuation.OPEN, Evacuation.DONE):
            return "I-15: power came back before the evacuation was closed"
        if before.mate.life is Life.RUNNING and after.mate.life is Life.OFF and site.rack is not Rack.GOES:
            return "I-12: a rack was cut off in place of a host, and must not be"
        did = (
            before.host is not after.host
            or before.slow is not after.slow
            or before.neighbour is not after.neighbour
        )
        if given.on or not did:
            continue
        if known is None or known.cut == 0:
            return "I-17: a command went out that is on no record"
        if known.state in NOT_TO_BE_CUT or given.revision < before.given_back:
            return f"I-14: a command of before cut off a host that is {known.state}"
        if before.host is Life.RUNNING and not before.ever_frozen:
            return "I-12: a host that was always well was cut off"
    return None
