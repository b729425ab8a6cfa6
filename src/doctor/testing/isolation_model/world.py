"""What there is in the small world, and what happens in it without Doctor."""

from collections.abc import Iterator
from enum import Enum
from typing import NamedTuple

from doctor.model.fence_job import FenceState


class Life(Enum):
    """How a host is, in truth."""

    RUNNING = "running"
    FROZEN = "frozen"
    OFF = "off"


class Bmc(Enum):
    """How the BMC of the host behaves."""

    HONEST = "honest"
    SLOW = "slow"  # the power goes later than it says
    STUCK = "stuck"  # acknowledges and does nothing
    LYING = "lying"  # reads off and has done nothing
    DEAF = "deaf"
    WRONG = "wrong"  # behind the neighbour, and says so
    SWAPPED = "swapped"  # behind the neighbour, with the name of the host


class Said(Enum):
    """What a witness said of the host last; ``SEEN``: alive, since the present state of the job began."""

    NOTHING = "nothing"
    DEAD = "dead"
    SEEN = "seen"
    SEEN_BEFORE = "seen before"


class Evacuation(Enum):
    """Where the machine is: it was on the host at first, and its copy is to run on the neighbour."""

    NONE = "none"
    OPEN = "open"
    DONE = "done"  # the copy runs
    CLOSED = "closed"  # and the host knows that the machine has gone


class Rack(Enum):
    """Whether the rack around the host has a device that cuts it off whole, and what the operator has said of that."""

    NONE = "none"
    GOES = "goes"  # in place of the host, when nothing of its own isolates it
    STAYS = "stays"  # a host in it must never be cut off


class Known(Enum):
    """What Doctor knows of the mate, the other host of the rack: by a job of its own."""

    NOTHING = "nothing"
    SUSPECTED = "suspected"
    ISOLATED = "isolated"
    GIVEN_BACK = "given back"


class Mate(NamedTuple):
    """The mate: a host that is well until the rack goes, with a machine that may be evacuated from it as any other's."""

    life: Life = Life.RUNNING
    known: Known = Known.NOTHING
    evacuation: Evacuation = Evacuation.NONE


class Site(NamedTuple):
    """What stays as it is: the devices, which witness says that the host is dead whatever is true, and how much happens.

    ``dark``: Doctor is cut off, and every host is silent to it. ``late``: a host may thaw when it was silent for long
    enough to be confirmed. Against a device that lies at the same time nobody can do anything: see `sites`.
    """

    bmc: Bmc = Bmc.HONEST
    pdu: bool = True
    rack: Rack = Rack.NONE
    liar: int | None = None
    dark: bool = False
    late: bool = False
    offices: int = 3
    generations: int = 2
    wishes: int = 2

    @property
    def own_levels(self) -> int:
        """Return how many levels the host has of its own; behind them is that of the rack."""
        return 2 if self.pdu else 1

    @property
    def levels(self) -> int:
        """Return how many levels there are in all."""
        return self.own_levels + (self.rack is not Rack.NONE)


class Job(NamedTuple):
    """A job, without the times: ``aged`` is long enough in its state, ``cut`` 0 never, 1 lately, 2 long ago.

    ``fences`` counts how often it was authorised.
    """

    state: FenceState
    generation: int = 1
    revision: int = 1
    level: int = 0
    cut: int = 0
    fenced: bool = False
    aged: bool = False
    fences: int = 0
    neighbour_silent: bool = False


class Command(NamedTuple):
    """A command that is on record by a revision and is not given yet. ``fresh``: its time is not over."""

    on: bool
    level: int
    revision: int
    fresh: bool = True


class Doctor(NamedTuple):
    """One Doctor: the office that it believes to have, the job as it knows it, what it is about to do, what came of it."""

    epoch: int = 0
    view: Job | None = None
    command: Command | None = None
    outcome: bool | None = None


class World(NamedTuple):
    """All that changes.

    ``ever_frozen``: the host was not well at some time; ``slow`` is power that is yet to go; ``given_back`` the revision
    by which power was given again.
    """

    host: Life = Life.RUNNING
    neighbour: Life = Life.RUNNING
    mate: Mate = Mate()
    ever_frozen: bool = False
    claims_off: bool = False
    slow: bool = False
    said: tuple[Said, Said] = (Said.NOTHING, Said.NOTHING)
    neighbour_silent: bool = False
    fault: bool = False
    evacuation: Evacuation = Evacuation.NONE
    job: Job | None = None
    epoch: int = 0
    given_back: int = 0
    wishes: int = 0
    doctors: tuple[Doctor | None, Doctor | None] = (None, None)


Step = tuple[str, World]


def runs_twice(world: World) -> bool:
    """Tell whether a machine runs on two hosts [I-15]: a host starts what it had, unless it knows better."""
    on_mate = world.mate.life is Life.RUNNING and world.mate.evacuation is Evacuation.DONE
    on_host = world.host is Life.RUNNING and world.evacuation is not Evacuation.CLOSED
    on_neighbour = world.neighbour is Life.RUNNING and world.evacuation in (
        Evacuation.DONE,
        Evacuation.CLOSED,
    )
    return world.neighbour is Life.RUNNING and (on_mate or (on_host and on_neighbour))


def happenings(site: Site, world: World) -> Iterator[Step]:
    """Return what may happen next by itself: the host, the witnesses, time, a slow BMC."""
    if world.host is Life.RUNNING and not world.ever_frozen:
        yield "the host freezes", world._replace(host=Life.FROZEN, ever_frozen=True)
    job = world.job
    is_late = job is not None and (job.fenced or (job.state is FenceState.CONFIRMING and job.aged))
    if world.host is Life.FROZEN and (site.late or not is_late):
        yield "the host thaws", world._replace(host=Life.RUNNING)
    for witness in (0, 1):
        after = heard(site, world, witness)
        if after != world:
            yield f"witness {witness} says {after.said[witness].value}", after
    if world.slow:
        yield "the power goes at last", world._replace(slow=False, host=Life.OFF)
    after = passed(site, world)
    if after != world:
        yield "time passes", after


def heard(site: Site, world: World, witness: int) -> World:
    """Let a witness say what it sees; the liar, and who sees nothing, says that the host is dead."""
    blind = site.dark or site.liar == witness
    sees = world.host is Life.RUNNING and not blind
    said = list(world.said)
    if sees:
        said[witness] = Said.SEEN
    else:
        said[witness] = Said.DEAD
    fault = world.fault
    if said[witness] is not world.said[witness]:
        fault = not sees
    elif not sees and world.said[witness] is Said.DEAD:
        return world
    return world._replace(said=(said[0], said[1]), fault=fault)


def passed(site: Site, world: World) -> World:
    """Let so much time pass that a living host was seen, a silent one missed, and no old command can go out any more."""
    if world.slow:
        world = world._replace(slow=False, host=Life.OFF)
    for witness in (0, 1):
        if world.said[witness] is not Said.NOTHING or world.host is not Life.RUNNING:
            world = heard(site, world, witness)
    job = world.job
    if job is not None:
        job = aged(job)
    doctors = []
    for doctor in world.doctors:
        if doctor is not None and doctor.command is not None:
            doctor = doctor._replace(command=doctor.command._replace(fresh=False))
        if doctor is not None and doctor.view is not None:
            doctor = doctor._replace(view=aged(doctor.view))
        doctors.append(doctor)
    return world._replace(
        job=job,
        doctors=(doctors[0], doctors[1]),
        neighbour_silent=world.neighbour is not Life.RUNNING or site.dark,
    )


def aged(job: Job) -> Job:
    """Return a job that has been so for a while."""
    return job._replace(aged=True, cut=2 if job.cut else 0)


def given(site: Site, world: World, command: Command) -> tuple[World, bool]:
    """Carry out a command; say whether the device reads as it should then. It may be too late for it."""
    if not command.fresh:
        return world, False
    if command.level >= site.own_levels:  # what cuts the rack off is honest
        mate = world.mate._replace(life=Life.RUNNING if command.on else Life.OFF)
        return _switched(world, command.on)._replace(mate=mate), True
    if command.level == 1:  # and so is the PDU
        return _switched(world, command.on), True
    match site.bmc:
        case Bmc.HONEST:
            return _switched(world, command.on), True
        case Bmc.SLOW:
            return (_switched(world, True), True) if command.on else (world._replace(slow=True), True)
        case Bmc.LYING:
            after = _switched(world, True) if command.on else world
            return after._replace(claims_off=not command.on), True
        case Bmc.SWAPPED:
            neighbour = Life.RUNNING if command.on else Life.OFF
            return world._replace(neighbour=neighbour, claims_off=not command.on), True
        case Bmc.STUCK | Bmc.DEAF | Bmc.WRONG:  # the wrong one says who it is, and is not switched
            return world, False


def _switched(world: World, on: bool) -> World:
    if not on:
        return world._replace(host=Life.OFF, slow=False)
    return world._replace(host=Life.RUNNING if world.host is Life.OFF else world.host, claims_off=False)


def reads_off(site: Site, world: World, level: int) -> bool | None:
    """Return whether the device of a level reads that the host is off, None if it does not say."""
    if level >= 1:
        return world.host is Life.OFF
    match site.bmc:
        case Bmc.DEAF | Bmc.WRONG:
            return None
        case Bmc.LYING | Bmc.SWAPPED:
            return world.claims_off
        case Bmc.HONEST | Bmc.SLOW | Bmc.STUCK:
            return world.host is Life.OFF
