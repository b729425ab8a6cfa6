"""What a Doctor does next in the small world, by the production deciders.

A decision is kept by a guarded write, and a command is given in a step of its own after that: between the two anything may
happen, to the Doctor and to the world.
"""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache

from msgspec.structs import replace

from doctor.fencing.brakes import AGAIN, Ruling, Scene, Spent, rule
from doctor.fencing.confirmation import Confirmed, Contradicted, Unconfirmed, Wait, confirmation
from doctor.fencing.evidence import Judgement, Statements, Witness, judge, signs_of_life
from doctor.fencing.limits import Limits
from doctor.fencing.machine import (
    TRANSITIONS,
    Trigger,
    begins_anew,
    may_return_at,
    moved,
    silent_before,
    suspected,
)
from doctor.fencing.widening import Widening, objection
from doctor.model.fence_job import FenceJob, FenceState, Says, Statement
from doctor.model.fencing import Doubt, Fenced, FenceOutcome, NotFenced, Seen, Supply, Unknown, Vantage
from doctor.testing.isolation_model.bugs import SOUND, Bugs
from doctor.testing.isolation_model.world import (
    Command,
    Doctor,
    Evacuation,
    Job,
    Known,
    Life,
    Mate,
    Rack,
    Said,
    Site,
    Step,
    World,
    given,
    reads_off,
)

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
JUST, LONG_AGO = NOW - timedelta(seconds=0.5), NOW - timedelta(minutes=5)
HOST, NEIGHBOUR, MATE = "host", "neighbour", "mate"
HOSTS = frozenset((HOST, NEIGHBOUR, MATE, "fourth", "fifth"))
REPORTERS = ("ping", "peers")
WITNESSES = {"ping": Witness(Vantage.IN_BAND, None), "peers": Witness(Vantage.PEER, None)}
SEEN_OFF = Seen(Supply.OFF, NOW)
OFF = Fenced((SEEN_OFF, SEEN_OFF), frozenset({Vantage.OUT_OF_BAND}))
FAULT = "fault"
S = FenceState


# --- from the small world to the words of the deciders, and back ---


def full(job: Job) -> FenceJob:
    """Return a job with the times that its marks stand for."""
    return FenceJob(
        host=HOST,
        zone="zone",
        generation=job.generation,
        revision=job.revision,
        state=job.state,
        fault_key=FAULT,
        since=LONG_AGO if job.aged else JUST,
        changed=LONG_AGO if job.aged else JUST,
        level=job.level,
        cut=(None, JUST, LONG_AGO)[job.cut],
        fenced=LONG_AGO if job.fenced else None,
        fences=(LONG_AGO,) * job.fences,
        silent=(NEIGHBOUR,) if job.neighbour_silent else (),
    )


def small(job: FenceJob) -> Job:
    """Return a job that has just been written, without its times."""
    cut = 0 if job.cut is None else 1 if job.cut >= JUST else 2
    return Job(
        state=job.state,
        generation=job.generation,
        revision=job.revision,
        level=job.level,
        cut=cut,
        fenced=job.fenced is not None,
        fences=len(job.fences),
        neighbour_silent=NEIGHBOUR in job.silent,
    )


@cache
def statements(said: tuple[Said, Said], neighbour_silent: bool, dark: bool) -> Statements:
    """Return what the witnesses have said, as the evidence has it."""
    found: dict[str, dict[str, Statement]] = {host: {} for host in HOSTS}
    for reporter, one in zip(REPORTERS, said, strict=True):
        if one is not Said.NOTHING:
            says = Says.DEAD if one is Said.DEAD else Says.ALIVE
            time = NOW if one in (Said.SEEN, Said.DEAD) else LONG_AGO - timedelta(minutes=1)
            found[HOST][reporter] = Statement(host=HOST, reporter=reporter, says=says, time=time, since=time)
        for host in HOSTS - {HOST}:
            if dark or (host == NEIGHBOUR and neighbour_silent and reporter == "ping"):
                found[host][reporter] = Statement(
                    host=host, reporter=reporter, says=Says.DEAD, time=NOW, since=LONG_AGO
                )
    return found


@cache
def judgement(said: tuple[Said, Said], neighbour_silent: bool, dark: bool, limits: Limits) -> Judgement:
    """Weigh what the witnesses have said."""
    return judge(HOST, statements(said, neighbour_silent, dark), WITNESSES, HOSTS, limits, NOW)


@cache
def ruling(
    said: tuple[Said, Said],
    neighbour_silent: bool,
    dark: bool,
    fences: int,
    limits: Limits,
    only: tuple[str, ...] | None = None,
) -> Ruling:
    """Ask the production brakes."""
    silent = dict.fromkeys(HOSTS, LONG_AGO) if dark else {HOST: LONG_AGO}
    if neighbour_silent:
        silent[NEIGHBOUR] = LONG_AGO
    scene = Scene(
        host=HOST,
        zone="zone",
        now=NOW,
        judgement=judgement(said, neighbour_silent, dark, limits),
        hosts=HOSTS,
        zone_hosts=HOSTS,
        out=frozenset((HOST,)),
        silent=silent,
        domains={"rack": frozenset((HOST, MATE))},
        spent=[Spent(HOST, "zone", LONG_AGO)] * fences,
        levels=1,
    )
    return rule(scene, limits) if only is None else rule(scene, limits, only=only)


# --- a Doctor ---


class Actor:
    """Says what Doctors may do next; ``bugs`` are planted in it."""

    def __init__(self, site: Site, bugs: Bugs = SOUND) -> None:
        self._site = site
        self._bugs = bugs
        self._limits = Limits(vantages=1 if bugs.one_sensor else 2, floor=0.5)

    def steps(self, world: World) -> Iterator[Step]:
        """Return what the Doctors, people and the evacuation may do next."""
        for index in (0, 1):
            doctor = world.doctors[index]
            if doctor is None:
                if world.epoch < self._site.offices:
                    yield f"doctor {index} starts", self._started(world, index)
                continue
            yield f"doctor {index} crashes", _with(world, index, None)
            if doctor.command is not None:
                yield f"doctor {index} gives its command", self._commanded(world, index, doctor)
            elif doctor.epoch == world.epoch or self._bugs.unguarded:
                yield from self._decided(world, index, doctor)
        yield from self._wishes(world)
        yield from self._evacuates(world)
        if self._site.rack is not Rack.NONE:
            yield from self._mate(world)

    def essence(self, world: World) -> World:
        """Return a world that differs in nothing that matters: which Doctor is which, and one that can do nothing any more.

        A Doctor of before keeps nothing, and without a command whose time is not over it does nothing either.
        """
        left = []
        for doctor in world.doctors:
            if doctor is not None and doctor.epoch != world.epoch and not self._bugs.unguarded:
                command = doctor.command
                if command is None or not (command.fresh or self._bugs.no_deadline):
                    continue
                doctor = Doctor(epoch=-1, command=command)
            if doctor is not None:
                left.append(doctor)
        left.sort(key=lambda doctor: doctor.epoch)
        first, second = (*left, None, None)[:2]
        return world._replace(doctors=(first, second))

    def _started(self, world: World, index: int) -> World:
        epoch = world.epoch + 1
        return _with(world._replace(epoch=epoch), index, Doctor(epoch=epoch, view=world.job))

    def _commanded(self, world: World, index: int, doctor: Doctor) -> World:
        command = doctor.command
        assert command is not None
        if self._bugs.no_deadline:
            command = command._replace(fresh=True)
        after, outcome = given(self._site, world, command)
        if command.on:
            after = after._replace(given_back=command.revision)
        return _with(after, index, doctor._replace(command=None, outcome=outcome))

    def _decided(self, world: World, index: int, doctor: Doctor) -> Iterator[Step]:
        job = doctor.view
        failed = world.fault
        if job is None or (failed and begins_anew(full(job), FAULT) and job.state is not S.OBSERVED):
            if failed and (0 if job is None else job.generation) < self._site.generations:
                before = None if job is None else full(job)
                fresh = suspected(HOST, "zone", FAULT, before, epoch=1, now=NOW)
                yield from self._written(world, index, doctor, small(fresh), "suspects")
            return
        match job.state:
            case S.SUSPECT:
                yield from self._weighs(world, index, doctor, job)
            case S.AUTHORISED:
                found = self._asked(world, job, AGAIN)
                if not failed or found.objections:
                    yield from self._moves(world, index, doctor, Trigger.WITHDRAW)
                else:
                    yield from self._attempts(world, index, doctor, Trigger.BEGIN)
            case S.ATTEMPT:
                yield from self._goes_on(world, index, doctor, job)
            case S.CONFIRMING:
                yield from self._confirms(world, index, doctor, job)
            case S.CONTRADICTED | S.EXHAUSTED:
                yield from self._escalates(world, index, doctor, job)
            case S.FENCED:
                if self._life(world, job):
                    yield from self._moves(world, index, doctor, Trigger.CONTRADICT)
            case S.NEEDS_HUMAN:
                if not failed and job.cut == 0:
                    yield from self._moves(world, index, doctor, Trigger.ALIVE)
            case S.UNFENCING:
                yield from self._gives_back(world, index, doctor, job)
            case S.OBSERVED:
                if job.aged and not failed:
                    yield from self._moves(world, index, doctor, Trigger.SETTLE)
            case S.CANCELLED | S.NORMAL:
                pass

    def _weighs(self, world: World, index: int, doctor: Doctor, job: Job) -> Iterator[Step]:
        if not world.fault:
            trigger = Trigger.ALIVE if job.cut == 0 else Trigger.GIVE_UP
            yield from self._moves(world, index, doctor, trigger)
            return
        found = self._asked(world, job)
        if not found.objections:
            silent: tuple[str, ...] = (NEIGHBOUR,) if world.neighbour_silent else ()
            if not self._bugs.forgets_the_fallen:
                silent = silent_before(full(job), silent)
            yield from self._moves(world, index, doctor, Trigger.AUTHORISE, silent=silent)
        elif job.aged or found.is_final:
            yield from self._moves(world, index, doctor, Trigger.GIVE_UP)

    def _goes_on(self, world: World, index: int, doctor: Doctor, job: Job) -> Iterator[Step]:
        if doctor.outcome is not None:
            unheard = self._bugs.silence_is_off and reads_off(self._site, world, job.level) is None
            if doctor.outcome or unheard:
                trigger = Trigger.CONFIRM if self._bugs.trusts_the_answer else Trigger.READS_OFF
                yield from self._moves(world, index, doctor, trigger)
            else:
                yield from self._next_level(world, index, doctor, job)
            return
        # Taken over from a Doctor that died over it.
        if not self._bugs.repeats_blindly:
            if not world.fault or self._life(world, job):
                yield from self._moves(world, index, doctor, Trigger.CONTRADICT)
                return
            if self._asked(world, job, AGAIN).objections:
                return
        again = job._replace(revision=job.revision + 1, cut=1)
        command = Command(on=False, level=job.level, revision=again.revision)
        yield from self._written(world, index, doctor, again, "repeats", command)

    def _next_level(self, world: World, index: int, doctor: Doctor, job: Job) -> Iterator[Step]:
        is_dead = world.fault and not self._asked(world, job, AGAIN).objections
        if self._has_next(job) and (is_dead or self._bugs.cuts_on):
            yield from self._attempts(world, index, doctor, Trigger.NEXT_LEVEL)
        else:
            yield from self._moves(world, index, doctor, Trigger.NO_LEVEL_LEFT)

    def _has_next(self, job: Job) -> bool:
        """Tell whether there is a level behind this one that may be tried; that of the rack is weighed as a whole."""
        if job.level + 1 < self._site.own_levels:
            return True
        if job.level + 1 >= self._site.levels:
            return False
        excluded = {MATE: "it is never to be cut off"} if self._site.rack is Rack.STAYS else {}
        weighed = Widening(zone="rack", excluded=excluded, left={"zone": (3, 5)})
        return self._bugs.widens_unasked or objection(weighed, self._limits) is None

    def _confirms(self, world: World, index: int, doctor: Doctor, job: Job) -> Iterator[Step]:
        reading = reads_off(self._site, world, job.level)
        outcome: FenceOutcome = OFF
        if reading is None:
            outcome = OFF if self._bugs.silence_is_off else Unknown(Doubt.UNREACHABLE, "it does not answer")
        elif not reading:
            outcome = NotFenced(Doubt.REFUSED, "it reads on")
        fallen = [NEIGHBOUR] if world.neighbour_silent and not job.neighbour_silent else []
        verdict = confirmation(
            full(job),
            outcome,
            judgement(world.said, world.neighbour_silent, self._site.dark, self._limits),
            [] if self._bugs.ignores_life else self._life(world, job),
            [] if self._bugs.ignores_fallen else fallen,
            self._limits,
            NOW,
        )
        match verdict:
            case Confirmed():
                yield from self._moves(world, index, doctor, Trigger.CONFIRM)
            case Contradicted():
                yield from self._moves(world, index, doctor, Trigger.CONTRADICT)
            case Unconfirmed():
                yield from self._next_level(world, index, doctor, job)
            case Wait():
                if self._bugs.impatient:
                    yield from self._moves(world, index, doctor, Trigger.CONFIRM)

    def _escalates(self, world: World, index: int, doctor: Doctor, job: Job) -> Iterator[Step]:
        fallen = world.neighbour_silent and not job.neighbour_silent
        may_go_on = job.state is S.CONTRADICTED and not job.fenced and not fallen and self._has_next(job)
        if may_go_on and world.fault and not self._asked(world, job, AGAIN).objections:
            yield from self._attempts(world, index, doctor, Trigger.NEXT_LEVEL)
        elif not may_go_on or job.aged:
            yield from self._moves(world, index, doctor, Trigger.GIVE_UP)

    def _gives_back(self, world: World, index: int, doctor: Doctor, job: Job) -> Iterator[Step]:
        if doctor.outcome is not None:
            trigger = Trigger.READS_ON if doctor.outcome else Trigger.GIVE_UP
            yield from self._moves(world, index, doctor, trigger)
            return
        if not self._bugs.returns_at_once and may_return_at(full(job), self._limits.longest_command) > NOW:
            return
        if job.level >= self._site.own_levels and self._is_mate_off(world):
            return
        if self._unfinished(world):
            yield from self._moves(world, index, doctor, Trigger.GIVE_UP)
        elif job.cut == 0:
            yield from self._moves(world, index, doctor, Trigger.READS_ON)
        else:
            again = job._replace(revision=job.revision + 1, cut=1)
            command = Command(on=True, level=job.level, revision=again.revision)
            yield from self._written(world, index, doctor, again, "gives back", command)

    # --- people, and what is evacuated ---

    def _wishes(self, world: World) -> Iterator[Step]:
        """A person may have a host given back or tried again, and says that it is off only when it is."""
        for index, doctor in enumerate(world.doctors):
            if doctor is None or doctor.epoch != world.epoch or doctor.command is not None:
                continue
            if world.job is None or doctor.view != world.job or world.wishes >= self._site.wishes:
                continue
            wished = world._replace(wishes=world.wishes + 1)
            for trigger in (Trigger.RETURN, Trigger.RETRY, Trigger.VOUCH):
                if (world.job.state, trigger) not in TRANSITIONS:
                    continue
                if trigger is Trigger.RETURN and self._unfinished(world):
                    continue
                if trigger is Trigger.VOUCH and (world.host.value != "off" or world.slow):
                    continue
                is_early = may_return_at(full(world.job), self._limits.longest_command) > NOW
                if trigger is not Trigger.RETURN and is_early:
                    continue
                yield from self._moves(wished, index, doctor, trigger)

    def _unfinished(self, world: World) -> bool:
        if self._bugs.on_before_reconciliation:
            return False
        moving = (Evacuation.OPEN, Evacuation.DONE)
        return world.evacuation in moving or world.mate.evacuation in moving

    def _is_mate_off(self, world: World) -> bool:
        """Tell whether the mate has to be given back before the rack may be."""
        if self._bugs.rack_on_before_its_hosts:
            return False
        return world.mate.known in (Known.SUSPECTED, Known.ISOLATED)

    def _mate(self, world: World) -> Iterator[Step]:
        """Do with the mate what is done with any host that fell silent: here only what the rack has to do with it."""
        mate, job = world.mate, world.job

        def after(name: str, mate: Mate) -> Step:
            return name, world._replace(mate=mate)

        is_coming_back = job is not None and job.state is S.UNFENCING and job.level >= self._site.own_levels
        is_proven = not is_coming_back or self._bugs.isolated_while_coming_back
        if mate.life is Life.OFF and mate.known is Known.NOTHING:
            yield after("the mate is suspected", mate._replace(known=Known.SUSPECTED))
        if mate.life is Life.OFF and mate.known is Known.SUSPECTED and is_proven:
            yield after("the mate counts as isolated", mate._replace(known=Known.ISOLATED))
        if mate.life is Life.RUNNING and mate.known is Known.SUSPECTED:
            yield after("the mate is seen", mate._replace(known=Known.NOTHING))
        if mate.known is Known.ISOLATED and mate.evacuation is Evacuation.NONE:
            yield after("an evacuation from the mate is asked for", mate._replace(evacuation=Evacuation.OPEN))
        if mate.known is Known.ISOLATED and mate.evacuation is Evacuation.OPEN:
            yield after("the copy of the mate's machine starts", mate._replace(evacuation=Evacuation.DONE))
        if mate.evacuation is Evacuation.DONE and mate.life is Life.OFF:
            yield after("the evacuation from the mate is closed", mate._replace(evacuation=Evacuation.CLOSED))
        if mate.known is Known.ISOLATED and mate.evacuation not in (Evacuation.OPEN, Evacuation.DONE):
            yield after("the mate is given back", mate._replace(known=Known.GIVEN_BACK))

    def _evacuates(self, world: World) -> Iterator[Step]:
        gate = world.job is not None and (
            world.job.state is S.FENCED
            or (self._bugs.evacuates_early and world.job.state in (S.ATTEMPT, S.CONFIRMING))
        )
        if gate and world.evacuation is Evacuation.NONE:
            yield "an evacuation is asked for", world._replace(evacuation=Evacuation.OPEN)
        if gate and world.evacuation is Evacuation.OPEN:
            yield "the copy starts", world._replace(evacuation=Evacuation.DONE)
        if world.evacuation is Evacuation.DONE and world.host.value == "off":
            yield "the evacuation is closed", world._replace(evacuation=Evacuation.CLOSED)

    # --- keeping ---

    def _asked(self, world: World, job: Job, only: tuple[str, ...] | None = None) -> Ruling:
        silent = world.neighbour_silent
        return ruling(world.said, silent, self._site.dark, job.fences, self._limits, only)

    def _life(self, world: World, job: Job) -> list[Statement]:
        found = statements(world.said, world.neighbour_silent, self._site.dark)
        return list(signs_of_life(HOST, found, WITNESSES, full(job).changed))

    def _moves(
        self, world: World, index: int, doctor: Doctor, trigger: Trigger, **changes: tuple[str, ...]
    ) -> Iterator[Step]:
        assert doctor.view is not None
        job = full(doctor.view)
        if self._bugs.trusts_the_answer and trigger is Trigger.CONFIRM:
            job = replace(job, state=S.CONFIRMING)
        after = moved(job, trigger, epoch=1, now=NOW, **changes)
        yield from self._written(world, index, doctor, small(after), trigger.value)

    def _attempts(self, world: World, index: int, doctor: Doctor, trigger: Trigger) -> Iterator[Step]:
        assert doctor.view is not None
        after = small(moved(full(doctor.view), trigger, epoch=1, now=NOW))
        command = Command(on=False, level=after.level, revision=after.revision)
        if self._bugs.commands_first:
            acted = doctor._replace(command=command, outcome=None)
            yield f"doctor {index} acts before it writes", _with(world, index, acted)
        yield from self._written(world, index, doctor, after, trigger.value, command)

    def _written(
        self,
        world: World,
        index: int,
        doctor: Doctor,
        job: Job,
        what: str,
        command: Command | None = None,
    ) -> Iterator[Step]:
        """Keep a step, if office and revision are as they were; else the Doctor reads anew."""
        fits = doctor.epoch == world.epoch and doctor.view == world.job
        if not fits and not self._bugs.unguarded:
            after = doctor._replace(view=world.job, outcome=None)
            if after != doctor:
                yield f"doctor {index} is refused: {what}", _with(world, index, after)
            return
        said = (_before(world.said[0]), _before(world.said[1]))
        kept = world._replace(job=job, said=said)
        yield (
            f"doctor {index}: {what}",
            _with(kept, index, doctor._replace(view=job, command=command, outcome=None)),
        )


def _before(said: Said) -> Said:
    return Said.SEEN_BEFORE if said is Said.SEEN else said


def _with(world: World, index: int, doctor: Doctor | None) -> World:
    doctors = (doctor, world.doctors[1]) if index == 0 else (world.doctors[0], doctor)
    return world._replace(doctors=doctors)
