"""Makes sure that a host that is believed dead is dead, and says how far that got: beside telling, never before it.

    down -> suspected -> (evidence, brakes) authorised -> level by level: command, read back, silence -> fenced -> told

What may follow what is in `doctor.fencing.machine`; this flow asks, decides by plain functions, keeps the step, and only
then does what it allows [I-17]. One decision at a time: the brakes are asked for the very transaction that authorises.
Each host has an episode of its own, which begins where the record says, after a crash as well. Who starts takes office:
from then on a Doctor of before can keep nothing any more [I-14].
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from typing import Any, Protocol

import structlog
from msgspec.structs import replace

from doctor.fencing.audit import chained
from doctor.fencing.brakes import AGAIN, BRAKES, Ruling, rule
from doctor.fencing.confirmation import (
    Confirmation,
    Confirmed,
    Contradicted,
    Unconfirmed,
    Wait,
    confirmation,
)
from doctor.fencing.evidence import Judgement
from doctor.fencing.levels import is_taken, trouble_of
from doctor.fencing.machine import (
    Trigger,
    begins_anew,
    isolation_of,
    may_return_at,
    moved,
    noted,
    serves,
    silent_before,
    suspected,
)
from doctor.fencing.widening import NOT_ASKED_WITHIN, objection
from doctor.flows.fault import FaultFlow
from doctor.flows.fences import Fences
from doctor.flows.human_call import HumanCall
from doctor.flows.scene import DEVICE, READING_FRESH_FOR, FencingRules, Lookup
from doctor.flows.situation import Situation
from doctor.flows.timelines import Timelines
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.model.alarm import Transition
from doctor.model.checkpoint import Checkpoint
from doctor.model.errors import StoreError, TransientError
from doctor.model.fence_job import FenceDecision, FenceJob, FenceState, Says, Statement
from doctor.model.fencing import FenceOutcome, Seen, Supply, Switched
from doctor.model.resource import Isolation, PhysicalResource
from doctor.ports.store import Change, FenceChange

log = structlog.get_logger(__name__)

LOOK_AGAIN = 1.0  # seconds between two looks at a suspicion that is held back
AT_ONCE = 0.0
LOOK_PATIENCE = 3.0  # seconds for what devices say of the power of a suspected host
LOOK_EVERY = 5.0
SWEEP_EVERY = 5.0
RARELY = 60.0

# As long as one of these holds nobody is called: somebody has said so, or the cause has an alarm of its own.
PATIENT = frozenset(("mode", "hold", "storm", "cause", "self check", "start-up"))

Unfinished = Callable[[str], Sequence[str]]
OnMoved = Callable[[str], None]


class LostOfficeError(TransientError):
    """Another Doctor has taken office, or somebody else has moved the job on: what was decided is void."""


class Office(Protocol):
    """Who knows whether this Doctor acts."""

    @property
    def office(self) -> int:
        """Return its office; raises `LostOfficeError` without one."""
        ...


class IsolationFlow:
    """All isolations. People's wishes come in by `doctor.flows.fencing_desk`.

    ``unfinished`` says what of a host's machines is still on its way elsewhere: as long as there is any, the host does
    not come back [I-15].
    """

    def __init__(
        self,
        situation: Situation,
        faults: FaultFlow,
        fences: Fences,
        timelines: Timelines,
        clock: Clock,
        rules: FencingRules,
        *,
        unfinished: Unfinished = lambda host: (),
    ) -> None:
        self._situation = situation
        self._faults = faults
        self._fences = fences
        self._timelines = timelines
        self._clock = clock
        self.limits = rules.limits
        self.unfinished = unfinished
        self.lookup = Lookup(situation, fences, rules, faults.lookout)
        self._call = HumanCall(situation, faults, clock)
        self._began = 0.0
        self._epoch: int | None = None
        self._touched: dict[str, None] = {}
        self._bell = asyncio.Event()
        self._bells: dict[str, asyncio.Event] = {}
        self.writing = asyncio.Lock()  # a step is being decided and kept, one after the other
        self._noted: dict[str, tuple[datetime, tuple[str, ...]]] = {}
        self._looked: dict[str, float] = {}
        self._on_moved: list[OnMoved] = []

    # --- what is to be looked at ---

    def settled(self, transitions: Iterable[Transition]) -> None:
        """Look at what is otherwise than before by faults."""
        if self._fences.plans or self._jobs:
            self.heard(one for transition in transitions for one in transition.resource_ids)

    def heard(self, hosts: Iterable[str]) -> None:
        """Look at hosts of which somebody has said something."""
        concerned = [one for one in hosts if one in self._jobs or self.lookup.plan_of(one) is not None]
        if concerned:
            self.touch(concerned)

    def touch(self, hosts: Iterable[str]) -> None:
        """Look at these hosts now."""
        self._touched.update(dict.fromkeys(hosts))
        self._bell.set()

    def _look_at_all(self) -> None:
        active = [job.host for job in self._situation.fence_book.active]
        unsettled = [job.host for job in self._jobs.values() if not self._call.is_settled(job)]
        self.touch((*active, *unsettled, *self.lookup.failed()))

    @property
    def _jobs(self) -> dict[str, FenceJob]:
        return self._situation.fence_book.jobs

    async def run(self) -> None:
        """Isolate until cancelled."""
        self._began = self._clock.monotonic()
        await self._take_office()
        self._look_at_all()
        async with asyncio.TaskGroup() as tasks:
            while True:
                try:
                    async with asyncio.timeout(SWEEP_EVERY):
                        await self._bell.wait()
                except TimeoutError:  # what was kept by a change of unknown outcome was told to nobody
                    self._look_at_all()
                self._bell.clear()
                touched, self._touched = list(self._touched), {}
                for host in touched:
                    known = self._bells.get(host)
                    if known is not None:
                        known.set()
                    else:
                        self._bells[host] = asyncio.Event()
                        tasks.create_task(self._episode(host), name=f"isolation of {host}")

    async def _take_office(self) -> None:
        """Be the one who acts: whoever did before can keep nothing from now on."""
        while self._epoch is None:
            try:
                await self._situation.ready()
                epoch = self._situation.fence_book.epoch + 1
                await self._situation.keep(Change(fencing=FenceChange(epoch=epoch, takes_office=True)))
            except StoreError as error:
                log.warning("fencing.office_not_taken", error=str(error))
                await asyncio.sleep(LOOK_AGAIN)
            else:
                self._epoch = self._situation.fence_book.epoch = epoch
                log.info("fencing.office_taken", epoch=epoch)

    @property
    def office(self) -> int:
        """Return the office in which this Doctor acts.

        Raises:
            LostOfficeError: it has none, or another one took it since.
        """
        if self._epoch is None or self._situation.fence_book.epoch != self._epoch:
            raise LostOfficeError(
                "this Doctor does not act: it has not started yet, or another one has since"
            )
        return self._epoch

    def proven(self, host: str) -> Isolation:
        """Return how the isolation of a host stands by Doctor's own proof, whatever was told of it or said by others."""
        return isolation_of(self._jobs.get(host)) or Isolation.NOT_REQUIRED

    def on_moved(self, moved: OnMoved) -> None:
        """Have this called with each host whose isolation is in another state."""
        self._on_moved.append(moved)

    def keeps_down(self, host: str) -> str:
        """Return why a cloud may not take a host for up again yet, nothing if it may [4.2, I-15].

        It has been given back, and nothing of what ran on it is on its way elsewhere.
        """
        job = self._jobs.get(host)
        if job is not None and not serves(job):
            return f"its isolation is {job.state}"
        return next(iter(self.unfinished(host)), "")

    def can_isolate(self, host: PhysicalResource) -> bool:
        """Tell whether somebody has said how a host is cut off."""
        return self.lookup.can_isolate(host)

    # --- an episode: the way of one host ---

    async def _episode(self, host: str) -> None:
        """Go on with a host until there is nothing to do but to wait for something to happen to it."""
        bell = self._bells[host]
        pause: float | None = AT_ONCE
        while pause is not None:
            bell.clear()
            try:
                await self._situation.ready()
                pause = await self._go_on(host)
            except (StoreError, LostOfficeError) as error:  # what is not kept is not done
                log.warning("fencing.held_up", host=host, error=str(error))
                await asyncio.sleep(LOOK_AGAIN)
            except Exception:  # a defect of ours must not stop the isolation of other hosts
                log.exception("fencing.broken", host=host)
                await asyncio.sleep(LOOK_AGAIN)
            else:
                if pause:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await bell.wait()
                elif pause is None and bell.is_set():
                    pause = AT_ONCE
        del self._bells[host]

    async def _go_on(self, host: str) -> float | None:
        """Do the next thing; return after how many seconds to look again, None for when something happens."""
        job = self._jobs.get(host)
        failure = self.lookup.failure_of(host)
        if failure is not None and begins_anew(job, failure.fault.fault_key):
            if self.lookup.plan_of(host) is not None and not self.lookup.is_expected(host):
                await self.suspect(host, failure.fault.fault_key)
                return AT_ONCE
            return None
        if job is None:
            return None
        if not (self._is_announced(job) and self._call.is_settled(job)):
            job = await self._say(host)
        match job.state:
            case FenceState.SUSPECT:
                return await self._weigh(job)
            case FenceState.AUTHORISED:
                return await self._begin(job)
            case FenceState.ATTEMPT:
                return await self._take_up(job)
            case FenceState.CONFIRMING:
                return await self._confirm(job)
            case FenceState.CONTRADICTED | FenceState.EXHAUSTED:
                return await self._escalate(job)
            case FenceState.FENCED:
                return await self._watch(job)
            case FenceState.NEEDS_HUMAN:
                return await self._stand_by(job)
            case FenceState.UNFENCING:
                return await self._restore(job)
            case FenceState.OBSERVED:
                return await self._observe(job)
            case FenceState.CANCELLED | FenceState.NORMAL:
                return None

    async def suspect(self, host: str, fault_key: str) -> FenceJob:
        """Begin a new generation of a host."""
        async with self._decision():
            job = suspected(
                host,
                self.lookup.zone_of(host),
                fault_key,
                self._jobs.get(host),
                epoch=self.office,
                now=self._clock.now(),
            )
            await self._keep(job, "suspect", judgement=self.lookup.judgement(host, job.since))
        log.info("fencing.suspected", host=host, generation=job.generation)
        return job

    # --- may it be cut off? ---

    async def _weigh(self, job: FenceJob) -> float | None:
        if self.lookup.failure_of(job.host) is None:
            return await self._let_go(job)
        async with self._decision():
            ruling = self.ruling(job)
            if not ruling.objections:
                await self._authorise(job, ruling)
                return AT_ONCE
        if any(one.brake == "evidence" for one in ruling.objections) and await self._ask_devices(job.host):
            return AT_ONCE
        is_late = self._clock.now() - job.since >= self.limits.patience
        if not self._is_patient(ruling) and (ruling.is_final or is_late):
            await self.move(job, Trigger.GIVE_UP, ruling.reason, ruling=ruling)
            return AT_ONCE
        await self._note(job, ruling)
        return LOOK_AGAIN

    def _is_patient(self, ruling: Ruling) -> bool:
        """Tell whether what holds a host back is nothing to call a person for."""
        return any(one.brake in PATIENT for one in ruling.objections)

    async def _let_go(self, job: FenceJob) -> float:
        """End a suspicion of a host that is well; one that was cut off before, in part perhaps, is for a person."""
        trigger = Trigger.ALIVE if job.cut is None else Trigger.GIVE_UP
        await self.move(job, trigger, "it is not down any more")
        return AT_ONCE

    def ruling(self, job: FenceJob, only: Iterable[str] = BRAKES) -> Ruling:
        """Ask the brakes of a host. What went off with a zone was weighed with it, and is only proven off now."""
        up_for = timedelta(seconds=self._clock.monotonic() - self._began)
        scene = self.lookup.scene(job, self._clock.now(), up_for)
        if self.lookup.went_with_a_zone(job.host):
            only = [brake for brake in only if brake not in NOT_ASKED_WITHIN]
        return rule(scene, self.limits, only=only)

    async def _authorise(self, job: FenceJob, ruling: Ruling) -> None:
        now = self._clock.now()
        judgement = self.lookup.judgement(job.host, now)
        await self._move(
            job,
            Trigger.AUTHORISE,
            judgement.summary,
            ruling=ruling,
            authorises=True,
            evidence=judgement.weighed,
            silent=silent_before(job, self.lookup.silent(now)),
        )
        log.info("fencing.authorised", host=job.host, evidence=judgement.summary)

    async def _note(self, job: FenceJob, ruling: Ruling) -> None:
        """Keep why a host is not cut off, once for each combination of reasons."""
        holding = (job.changed, tuple(one.brake for one in ruling.objections))
        if self._noted.get(job.host) == holding:
            return
        async with self._decision():
            after = noted(job, epoch=self.office, reason=ruling.reason)
            word = "advise" if ruling.is_advice else "hold back"
            await self._keep(after, word, ruling=ruling)
        self._noted[job.host] = holding
        log.info("fencing.held_back", host=job.host, advice=ruling.is_advice, reason=ruling.reason)

    async def _ask_devices(self, host: str) -> bool:
        """Read whether a suspected host has power: without any it is dead, with it that says nothing [4.5.6].

        Returns whether there is news.
        """
        plan = self.lookup.plan_of(host)
        now = self._clock.monotonic()
        if plan is None or now - self._looked.get(host, -LOOK_EVERY) < LOOK_EVERY:
            return False
        self._looked[host] = now
        sightings = await self._fences.look(plan, Deadline.after(LOOK_PATIENCE, self._clock))
        news = False
        for step, reading in sightings:
            # A device that nobody told which machine it is for may be behind another one.
            if isinstance(reading, Seen) and step.identity is not None:
                news = self._note_reading(host, f"{DEVICE}{step.device}", reading) or news
        return news

    def _note_reading(self, host: str, reporter: str, reading: Seen) -> bool:
        """Take a reading for the word of its device, if it says anything; what it read long ago it does not say since then."""
        book, time = self._situation.fence_book, self._clock.now()
        said = book.statements.get(host, {}).get(reporter)
        is_off = reading.supply is Supply.OFF
        if said is not None and (not is_off or time - said.time > READING_FRESH_FOR):
            book.forget(said)
        if is_off:
            book.hear(
                Statement(
                    host=host, reporter=reporter, says=Says.DEAD, time=time, since=time, detail="reads off"
                )
            )
        return is_off

    # --- command, read back, silence ---

    async def _begin(self, job: FenceJob) -> float:
        """Give the first command, if nothing has changed since it was authorised."""
        async with self._decision():
            ruling = self.ruling(job, AGAIN)
            if self.lookup.failure_of(job.host) is None:
                await self._move(job, Trigger.WITHDRAW, "it is not down any more")
                return AT_ONCE
            if ruling.objections:
                await self._move(job, Trigger.WITHDRAW, ruling.reason, ruling=ruling)
                return LOOK_AGAIN
            begun = await self._attempt(job, Trigger.BEGIN, "level 1")
        return await self._cut(*begun)

    async def _attempt(
        self, job: FenceJob, trigger: Trigger, reason: str, widened: str = ""
    ) -> tuple[FenceJob, Deadline]:
        """Keep that a command may go out; its time begins before that is kept [I-14]."""
        deadline = Deadline.after(self.limits.attempt.total_seconds(), self._clock)
        return await self._move(job, trigger, reason, widened=widened or job.widened), deadline

    async def _cut(self, job: FenceJob, deadline: Deadline) -> float:
        """Give the command that is on record, if what it was decided on is still so: keeping it may have taken a while."""
        held = await self._hold_back(job, AGAIN)
        if held is not None:
            return held
        levels = self.lookup.levels(job)
        if job.level >= len(levels):
            return await self._next_level(job, "the settings have no such level any more")
        level = levels[job.level]
        outcomes = await self._fences.cut(level, deadline)
        if not is_taken(level, outcomes):
            return await self._next_level(job, trouble_of(outcomes))
        await self.move(job, Trigger.READS_OFF, f"level {job.level + 1} reads off")
        return AT_ONCE

    async def _take_up(self, job: FenceJob) -> float:
        """Go on with an attempt of which nobody knows whether its command went out: a Doctor has died over it.

        The command may be repeated, but only on what is evidence now: meanwhile the host may have come back.
        """
        held = await self._hold_back(job, AGAIN)
        if held is not None:
            return held
        async with self._decision():
            ruling = self.ruling(job, AGAIN)
            if ruling.objections:
                return AT_ONCE
            deadline = Deadline.after(self.limits.attempt.total_seconds(), self._clock)
            again = noted(job, epoch=self.office, cut=self._clock.now())
            await self._keep(again, "repeat", ruling=ruling)
        return await self._cut(again, deadline)

    async def _hold_back(self, job: FenceJob, brakes: Iterable[str]) -> float | None:
        """See whether a command that is on record may go out; return when to look again if not, None if it may."""
        if self.lookup.failure_of(job.host) is None or self.lookup.life(job.host, job.changed):
            await self.move(job, Trigger.CONTRADICT, "it is alive, and a command may have been given")
            return AT_ONCE
        ruling = self.ruling(job, brakes)
        if not ruling.objections:
            return None
        await self._ask_devices(job.host)
        is_late = self._clock.now() - job.changed >= self.limits.patience
        if is_late and not self._is_patient(ruling):
            await self.move(job, Trigger.NO_LEVEL_LEFT, ruling.reason, ruling=ruling)
            return AT_ONCE
        await self._note(job, ruling)
        return LOOK_AGAIN

    async def _next_level(self, job: FenceJob, why: str) -> float:
        """Try the next way, inside the brakes [4.4]; behind those of the host comes the zone around it, if that may be."""
        log.warning("fencing.level_failed", host=job.host, level=job.level + 1, reason=why)
        reason = f"level {job.level + 1}: {why}"
        async with self._decision():
            ruling = self.ruling(job, AGAIN)
            if job.level + 1 >= len(self.lookup.levels(job)):
                await self._move(job, Trigger.NO_LEVEL_LEFT, reason)
                return AT_ONCE
            if any(one.brake == "start-up" for one in ruling.objections):
                return LOOK_AGAIN  # who takes over hears first how it is, and confirms once more meanwhile
            trouble = ruling.reason or self._zone_stays(job)
            if trouble:
                await self._move(job, Trigger.NO_LEVEL_LEFT, f"{reason}; then {trouble}", ruling=ruling)
                return AT_ONCE
            zone = self.lookup.zone_of_level(job, job.level + 1)
            begun = await self._attempt(job, Trigger.NEXT_LEVEL, reason, zone)
        return await self._cut(*begun)

    def _zone_stays(self, job: FenceJob) -> str:
        """Say why the zone that the next level cuts off has to stay; nothing if it may go, or if it is the host alone."""
        zone = self.lookup.zone_of_level(job, job.level + 1)
        return (
            (objection(self.lookup.widening(job, zone, self._clock.now()), self.limits) or "") if zone else ""
        )

    async def _confirm(self, job: FenceJob) -> float:
        """Find out whether a host that reads off is off [4.3]. No command is given, so a successor just does it again."""
        levels = self.lookup.levels(job)
        if job.level >= len(levels):
            return await self._next_level(job, "the settings have no such level any more")
        deadline = Deadline.after(self.limits.confirm.total_seconds(), self._clock)
        outcome = await self._fences.confirm(levels[job.level], deadline)
        while True:
            verdict = self._verdict(job, outcome)
            if isinstance(verdict, Wait):
                await asyncio.sleep(max((verdict.until - self._clock.now()).total_seconds(), 0.0))
                continue
            if isinstance(verdict, Unconfirmed):
                return await self._next_level(job, verdict.reason)
            async with self._decision():
                match self._verdict(job, outcome):  # somebody may have seen it since
                    case Confirmed(reason):
                        await self._conclude(job, reason)
                        return AT_ONCE
                    case Contradicted(reason):
                        await self._move(job, Trigger.CONTRADICT, reason)
                        return AT_ONCE
                    case Wait() | Unconfirmed():
                        pass

    def _verdict(self, job: FenceJob, outcome: FenceOutcome) -> Confirmation:
        now = self._clock.now()
        return confirmation(
            job,
            outcome,
            self.lookup.judgement(job.host, now),
            self.lookup.life(job.host, job.changed),
            self.lookup.fallen(job, now),
            self.limits,
            now,
            returning=self.lookup.returning(job.host),
        )

    async def _conclude(self, job: FenceJob, reason: str) -> None:
        job = await self._move(job, Trigger.CONFIRM, reason)
        self._timelines.stamp(job.fault_key, Checkpoint.ISOLATED, job.changed)
        took_ms = round((job.changed - job.since).total_seconds() * 1000)
        log.info("host.fenced", host=job.host, took_ms=took_ms, reason=reason)

    # --- when it did not work ---

    async def _escalate(self, job: FenceJob) -> float:
        """Put it before a person; what was contradicted may go on to the next level if it is evidence all the same."""
        may_go_on = (
            job.state is FenceState.CONTRADICTED
            and job.fenced is None
            and not self.lookup.fallen(job, self._clock.now())
            and job.level + 1 < len(self.lookup.levels(job))
            and self.lookup.failure_of(job.host) is not None
        )
        if may_go_on:
            begun = None
            async with self._decision():
                ruling = self.ruling(job, AGAIN)
                if not ruling.objections and not self._zone_stays(job):
                    zone = self.lookup.zone_of_level(job, job.level + 1)
                    begun = await self._attempt(job, Trigger.NEXT_LEVEL, job.reason, zone)
            if begun is not None:
                return await self._cut(*begun)
            if self._clock.now() - job.changed < self.limits.confirm:
                return LOOK_AGAIN
        await self.move(job, Trigger.GIVE_UP, job.reason)
        log.error("fencing.needs_human", host=job.host, reason=job.reason)
        return AT_ONCE

    async def _watch(self, job: FenceJob) -> float | None:
        """See that a host that was found to be off stays so."""
        life = self.lookup.life(job.host, job.changed)
        if not life:
            return None
        await self.move(
            job, Trigger.CONTRADICT, f"{life[0].reporter} sees it alive, and nobody has given it back"
        )
        return AT_ONCE

    async def _stand_by(self, job: FenceJob) -> float | None:
        """Wait for a person; where no command was ever given, the host may as well come back by itself."""
        if job.cut is None and self.lookup.failure_of(job.host) is None:
            return await self._let_go(job)
        return None

    # --- the way back ---

    async def _restore(self, job: FenceJob) -> float:
        """Give back what was cut, when no command of before can be on its way any more [I-14, I-15]."""
        early = may_return_at(job, self.limits.longest_command) - self._clock.now()
        if early > timedelta(0):
            return early.total_seconds()
        if others := self._still_off(job):
            reason = f"{others[0]} went off with {job.widened}, and has to be given back with it"
            if job.reason != reason:
                await self.note(job, "wait", reason)
            return LOOK_AGAIN
        within = self.lookup.hosts_within(self.lookup.zone_of_level(job, job.reach))
        if left := [one for host in (job.host, *sorted(within)) for one in self.unfinished(host)]:
            await self.move(job, Trigger.GIVE_UP, f"it may not come back yet: {left[0]}")
            return AT_ONCE
        trouble = []
        if job.cut is not None:
            deadline = Deadline.after(self.limits.longest_command.total_seconds(), self._clock)
            job = await self.note(job, "give back", job.reason, cut=self._clock.now())
            for level in self.lookup.levels(job)[: job.reach + 1]:
                outcomes = await self._fences.restore(level, deadline)
                if not all(isinstance(one, Switched) for one in outcomes):
                    trouble.append(trouble_of(outcomes))
        log.info("fencing.given_back", host=job.host, trouble=trouble)
        if trouble:
            await self.move(job, Trigger.GIVE_UP, f"it could not be given back: {'; '.join(trouble)}")
        else:
            # It takes its time to start: that it is down until then is no news.
            failure = self.lookup.failure_of(job.host)
            known = job.fault_key if failure is None else failure.fault.fault_key
            await self.move(job, Trigger.READS_ON, "it has back what was cut", fault_key=known)
        return AT_ONCE

    def _still_off(self, job: FenceJob) -> list[str]:
        """Return the hosts that would run again with the zone in which a host went off, and were not given back [I-15]."""
        zone = self.lookup.zone_of_level(job, job.reach) if job.widened else ""
        jobs = (self._jobs.get(host) for host in sorted(self.lookup.hosts_within(zone) - {job.host}))
        return [
            one.host
            for one in jobs
            if one is not None and not serves(one) and one.state is not FenceState.UNFENCING
        ]

    async def _observe(self, job: FenceJob) -> float | None:
        left = job.changed + self.limits.probation - self._clock.now()
        if left > timedelta(0):
            return left.total_seconds()
        if self.lookup.failure_of(job.host) is not None:
            return RARELY
        if self.lookup.judgement(job.host, self._clock.now(), ever=True).dead:
            return RARELY  # not all who missed it have seen it since
        await self.move(job, Trigger.SETTLE, "it has served for the probation period")
        return None

    # --- keeping and telling ---

    async def move(
        self,
        job: FenceJob,
        trigger: Trigger,
        reason: str,
        *,
        user: str = "",
        ruling: Ruling | None = None,
        authorises: bool = False,
        **changes: Any,
    ) -> FenceJob:
        """Bring a host to its next state, and return the job as it is kept then.

        Raises:
            LostOfficeError: somebody else has moved it since, or another Doctor acts.
            StoreError: it was not kept, and must not be acted upon.
        """
        async with self._decision():
            return await self._move(
                job, trigger, reason, user=user, ruling=ruling, authorises=authorises, **changes
            )

    async def _move(
        self,
        job: FenceJob,
        trigger: Trigger,
        reason: str,
        *,
        user: str = "",
        ruling: Ruling | None = None,
        authorises: bool = False,
        **changes: Any,
    ) -> FenceJob:
        after = moved(job, trigger, epoch=self.office, now=self._clock.now(), **{"reason": reason, **changes})
        await self._keep(after, trigger.value, user=user, ruling=ruling, authorises=authorises)
        for moved_on in self._on_moved:
            moved_on(job.host)
        return after

    async def note(
        self, job: FenceJob, decision: str, reason: str, *, user: str = "", **changes: Any
    ) -> FenceJob:
        """Keep what is known beside the state of a host, and return the job as it is kept then.

        Raises:
            LostOfficeError: somebody else has moved it since, or another Doctor acts.
            StoreError: it was not kept.
        """
        async with self._decision():
            after = noted(job, epoch=self.office, reason=reason, **changes)
            await self._keep(after, decision, user=user)
        return after

    @asynccontextmanager
    async def _decision(self) -> AsyncIterator[None]:
        """Let nobody else decide or keep a step while one is decided and kept, by what is known then.

        A step of unknown outcome may be kept: what comes next follows on that.
        """
        async with self.writing:
            await self._situation.ready()
            yield

    async def _keep(
        self,
        job: FenceJob,
        decision: str,
        *,
        user: str = "",
        ruling: Ruling | None = None,
        judgement: Judgement | None = None,
        authorises: bool = False,
    ) -> None:
        """Keep a step with the decision behind it, and tell what it changes, in one transaction, within a `_decision`."""
        book = self._situation.fence_book
        known = book.jobs.get(job.host)
        if job.revision != (1 if known is None else known.revision + 1):
            raise LostOfficeError(f"{job.host} was moved on meanwhile")
        weighed = judgement or self.lookup.judgement(job.host, self._clock.now())
        decided = chained(
            FenceDecision(
                host=job.host,
                generation=job.generation,
                revision=job.revision,
                time=self._clock.now(),
                decision=decision,
                state=job.state,
                reason=job.reason,
                user=user,
                evidence=weighed.weighed,
                checks=() if ruling is None else ruling.checks,
                epoch=job.epoch,
            ),
            book.digest,
        )
        change = FenceChange(
            epoch=self.office,
            authorised=book.authorised if authorises else None,
            jobs=(job,),
            decisions=(decided,),
        )
        isolation = isolation_of(job)
        if isolation is not None and isolation is not self._told(job.host):
            await self._faults.isolation_changed(job.host, isolation, fencing=change)
        else:
            await self._situation.keep(Change(fencing=change))
        self._situation.fence_book.take(change.jobs, change.decisions, authorised=authorises)

    async def note_setting(self, change: Change, decision: FenceDecision) -> None:
        """Keep what a person has set, with the decision behind it."""
        async with self._decision():
            decided = chained(
                replace(decision, epoch=self.office, time=self._clock.now()),
                self._situation.fence_book.digest,
            )
            change.fencing = FenceChange(epoch=self.office, decisions=(decided,))
            await self._situation.keep(change)
            self._situation.fence_book.take(decisions=(decided,))

    def _told(self, host: str) -> Isolation | None:
        """Return what was told of the isolation of a host last; of one that serves there is nothing to tell."""
        if not self._situation.book.state_of(host).is_out:
            return None
        return self._situation.isolations.get(host)

    def _is_announced(self, job: FenceJob) -> bool:
        """Tell whether what was told is how it stands: the host may have failed anew since it was isolated."""
        isolation = isolation_of(job)
        is_out = self._situation.book.state_of(job.host).is_out
        return isolation is None or not is_out or self._situation.isolations.get(job.host) is isolation

    async def _say(self, host: str) -> FenceJob:
        """Tell how it stands, call a person or end the call; return the job by which that was done."""
        async with self._decision():
            job = self._jobs[host]
            isolation = isolation_of(job)
            if isolation is not None and not self._is_announced(job):
                await self._faults.isolation_changed(host, isolation)
            await self._call.settle(job)
            return job
