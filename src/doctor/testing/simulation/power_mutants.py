"""Planted bugs of fencing and recovery: each would cut off who lives, let a machine run twice, or leave somebody waiting."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from functools import partial
from typing import Any

from msgspec.structs import replace

from doctor.fencing import brakes, evidence, machine
from doctor.fencing.confirmation import Confirmed, Wait, confirmation
from doctor.fencing.evidence import Judgement
from doctor.fencing.levels import is_taken, trouble_of
from doctor.fencing.machine import Trigger
from doctor.flows import fault as fault_module
from doctor.flows import isolation as isolation_module
from doctor.flows import marking as marking_module
from doctor.flows.fault import FaultFlow
from doctor.flows.fences import Fences
from doctor.flows.hearsay import hear
from doctor.flows.human_call import HumanCall
from doctor.flows.instruction import InstructionFlow
from doctor.flows.isolation import IsolationFlow
from doctor.flows.scene import Lookup
from doctor.flows.situation import Situation
from doctor.flows.step import Step as FaultStep
from doctor.inspector.marking import wanted
from doctor.kit.deadline import Deadline
from doctor.model.event import RawEvent
from doctor.model.fence_job import FenceJob, FenceState, ZoneMode
from doctor.model.fence_plan import Step
from doctor.model.fencing import Doubt, Fenced, FenceOutcome, NotFenced, Seen, Supply, Unknown
from doctor.model.marking import MarkKind
from doctor.model.resource import Isolation
from doctor.ports.store import Snapshot
from doctor.testing.simulation.environment import Patch
from doctor.testing.simulation.mutants import mutant

powered = partial(mutant, where="power")


# --- may it be cut off? ---


@powered
def one_sensor_is_enough(patch: Patch) -> None:
    """Cut a host off on the word of a single vantage, whatever others say."""
    patch.set(Judgement, "objection", lambda self, _limits: None if self.dead else "nobody says so")


@powered
def life_is_outvoted(patch: Patch) -> None:
    """Cut a host off that two vantages miss and a third one sees."""
    objection = Judgement.objection
    patch.set(Judgement, "objection", lambda self, limits: objection(self._replace(life=()), limits))


@powered
def blind_witness_is_believed(patch: Patch) -> None:
    """Believe a witness that misses all hosts at once."""
    patch.set(evidence, "_blindness", lambda *_parts: None)


@powered
def named_source_is_believed(patch: Patch) -> None:
    """Take for the witness whom a report names as its source, and not who has really spoken."""

    def named(situation: Situation, event: RawEvent, verdict: Any, step: FaultStep) -> None:
        step.reporter = event.source
        hear(situation, event, verdict, step)

    patch.set(fault_module, "hear", named)


def _without_brake(patch: Patch, *names: str) -> None:
    kept: Mapping[str, Any] = {
        name: (lambda *_parts: None) if name in names else brake for name, brake in brakes.BRAKES.items()
    }
    patch.set(brakes, "BRAKES", kept)


@powered
def storm_is_ignored(patch: Patch) -> None:
    """Cut hosts off although all of a rack fell silent at once."""
    _without_brake(patch, "storm")


@powered
def advice_is_acted_upon(patch: Patch) -> None:
    """Act in zones that nobody has armed, or that are on hold."""
    _without_brake(patch, "mode")


@powered
def hold_is_ignored(patch: Patch) -> None:
    """Overlook the hold switch."""
    _without_brake(patch, "hold")


@powered
def budgets_are_ignored(patch: Patch) -> None:
    """Cut off as many hosts of a zone as fail."""
    _without_brake(patch, "zone budget", "site budget", "at once", "floor")


@powered
def start_up_is_ignored(patch: Patch) -> None:
    """Cut hosts off right after a start, on what was said before."""
    _without_brake(patch, "start-up")


@powered
def hold_forgotten_by_restart(patch: Patch) -> None:
    """Have every zone armed after a restart."""
    restore = Situation._restore

    async def armed(self: Situation) -> Snapshot:
        snapshot = await restore(self)
        modes = self.fence_book.zones
        modes.update((zone, replace(one, mode=ZoneMode.ARMED)) for zone, one in list(modes.items()))
        return snapshot

    patch.set(Situation, "_restore", armed)


# --- commands ---


@powered
def command_before_the_record(patch: Patch) -> None:
    """Give the first command while its record is being written."""
    attempt = IsolationFlow._attempt

    async def at_once(self: IsolationFlow, job: FenceJob, *parts: Any) -> Any:
        level = self.lookup.levels(job)[0]
        deadline = Deadline.after(self.limits.attempt.total_seconds(), self._clock)
        task = asyncio.get_running_loop().create_task(self._fences.cut(level, deadline))
        try:
            return await attempt(self, job, *parts)
        finally:
            await task

    patch.set(IsolationFlow, "_attempt", at_once)


@powered
def decisions_side_by_side(patch: Patch) -> None:
    """Keep a step some time after it was decided, behind those of other hosts."""

    @asynccontextmanager
    async def open_to_all(_self: IsolationFlow) -> AsyncIterator[None]:
        yield

    patch.set(IsolationFlow, "_decision", open_to_all)
    keep = IsolationFlow._keep

    async def keep_in_turn(self: IsolationFlow, *parts: Any, **more: Any) -> None:
        async with self.writing:
            await keep(self, *parts, **more)

    patch.set(IsolationFlow, "_keep", keep_in_turn)


@powered
def time_begins_with_the_command(patch: Patch) -> None:
    """Count the time of a command from when it is given, however long its record took."""
    cut = Fences.cut

    async def anew(self: Fences, level: Any, _deadline: Deadline) -> Any:
        return await cut(self, level, Deadline.after(5.0, self._clock))

    patch.set(Fences, "cut", anew)


@powered
def resumed_attempt_is_forgotten(patch: Patch) -> None:
    """Leave an attempt as it is that a Doctor has died over."""

    async def leave(_self: IsolationFlow, _job: FenceJob) -> None:
        return

    patch.set(IsolationFlow, "_take_up", leave)


@powered
def attempt_is_repeated_blindly(patch: Patch) -> None:
    """Repeat a command after a crash without asking whether the host has come back meanwhile."""

    async def again(self: IsolationFlow, job: FenceJob) -> float:
        deadline = Deadline.after(self.limits.attempt.total_seconds(), self._clock)
        repeated = await self.note(job, "repeat", job.reason, cut=self._clock.now())
        level = self.lookup.levels(repeated)[repeated.level]
        outcomes = await self._fences.cut(level, deadline)
        if not is_taken(level, outcomes):
            return await self._next_level(repeated, trouble_of(outcomes))
        await self.move(repeated, Trigger.READS_OFF, "it reads off")
        return 0.0

    patch.set(IsolationFlow, "_take_up", again)


@powered
def wrong_machine_is_cut_off(patch: Patch) -> None:
    """Do not ask a device which machine it is behind."""

    async def trust(_self: Fences, _step: Step, _deadline: Deadline) -> None:
        return

    patch.set(Fences, "_mistaken", trust)


@powered
def opposite_follows_at_once(patch: Patch) -> None:
    """Give a host back while a command of before may be on its way to it."""
    patch.set(isolation_module, "may_return_at", lambda job, _longest: job.changed)


# --- is it off? ---


@powered
def acknowledgement_is_trusted(patch: Patch) -> None:
    """Take a host for isolated when its device says so."""

    async def trust(self: IsolationFlow, job: FenceJob) -> float:
        await self.move(job, Trigger.CONFIRM, "it said so")
        return 0.0

    patch.set(IsolationFlow, "_confirm", trust)


@powered
def one_reading_is_enough(patch: Patch) -> None:
    """Read once whether a host is off."""

    async def once(self: Fences, step: Step, deadline: Deadline) -> FenceOutcome:
        match await self.devices[step.device].status(step.plug, deadline, fresh=True):
            case Unknown() as unknown:
                return unknown
            case Seen(supply=Supply.OFF) as reading:
                return Fenced((reading, reading), frozenset({self.devices[step.device].vantage}))
            case Seen():
                return NotFenced(Doubt.REFUSED, "it reads on")

    patch.set(Fences, "_read_off", once)


@powered
def unreachable_is_off(patch: Patch) -> None:
    """Take a device that does not answer any more for one without power."""
    confirm = Fences.confirm

    async def optimistic(self: Fences, level: Any, deadline: Deadline) -> FenceOutcome:
        found = await confirm(self, level, deadline)
        return Fenced((), frozenset()) if isinstance(found, Unknown) else found

    patch.set(Fences, "confirm", optimistic)


@powered
def nobody_waits_for_silence(patch: Patch) -> None:
    """Confirm as soon as the device has read off twice."""

    def impatient(*parts: Any) -> Any:
        verdict = confirmation(*parts)
        return Confirmed("it reads off") if isinstance(verdict, Wait) else verdict

    patch.set(isolation_module, "confirmation", impatient)


@powered
def life_after_off_is_ignored(patch: Patch) -> None:
    """Believe a device that reads off, whoever sees the host alive."""
    patch.set(Lookup, "life", lambda _self, _host, _since: [])


@powered
def fallen_neighbour_is_ignored(patch: Patch) -> None:
    """Overlook that another host fell silent by the command."""
    patch.set(Lookup, "fallen", lambda _self, _job, _now: [])


@powered
def reads_off_counts_as_isolated(patch: Patch) -> None:
    """Tell and act as if a host was isolated while that is being found out."""
    early: Mapping[FenceState, Isolation] = {**machine._ISOLATION, FenceState.CONFIRMING: Isolation.ISOLATED}
    patch.set(machine, "_ISOLATION", early)


@powered
def isolation_is_not_looked_after(patch: Patch) -> None:
    """Do not look again at a host once it is isolated."""

    async def look_away(_self: IsolationFlow, _job: FenceJob) -> None:
        return

    patch.set(IsolationFlow, "_watch", look_away)


# --- what follows from it ---


@powered
def evacuated_before_confirmation(patch: Patch) -> None:
    """Evacuate as soon as a host is being cut off."""
    proven = IsolationFlow.proven

    def hopeful(self: IsolationFlow, host: str) -> Isolation:
        job = self._jobs.get(host)
        is_likely = job is not None and job.state in (FenceState.ATTEMPT, FenceState.CONFIRMING)
        return Isolation.ISOLATED if is_likely else proven(self, host)

    patch.set(IsolationFlow, "proven", hopeful)


@powered
def on_before_reconciliation(patch: Patch) -> None:
    """Give a host back, and take it for up, while machines are still leaving it."""

    async def nobody(_self: InstructionFlow, _host: str) -> tuple[str, ...]:
        return ()

    patch.set(InstructionFlow, "unfinished", lambda _self, _host: ())
    patch.set(InstructionFlow, "leaving", nobody)


@powered
def cloud_takes_it_for_up_too_early(patch: Patch) -> None:
    """Have the cloud take a host for up as soon as it is seen, whatever its isolation."""
    patch.set(IsolationFlow, "keeps_down", lambda _self, _host: "")


@powered
def cloud_takes_it_for_off_too_early(patch: Patch) -> None:
    """Have the cloud take a host for off before it is isolated."""

    def early(
        resource: Any, state: Any, isolation: Isolation, *more: Any, **flags: Any
    ) -> tuple[MarkKind, ...]:
        known = Isolation.ISOLATED if isolation is Isolation.PENDING else isolation
        return wanted(resource, state, known, *more, **flags)

    patch.set(marking_module, "wanted", early)


@powered
def errands_end_with_the_process(patch: Patch) -> None:
    """Forget at a restart what was instructed."""
    patch.set(InstructionFlow, "_resume", lambda _self: None)


@powered
def deadline_of_instructions_is_forgotten(patch: Patch) -> None:
    """Let an instruction wait for as long as is usual, whatever its deadline."""
    create = InstructionFlow.create

    async def patient(self: InstructionFlow, identity: Any, order: Any) -> Any:
        return await create(self, identity, order._replace(deadline=None))

    patch.set(InstructionFlow, "create", patient)


@powered
def nobody_is_called(patch: Patch) -> None:
    """Call no person when a host cannot be isolated."""
    patch.set(HumanCall, "is_settled", lambda _self, _job: True)


@powered
def isolation_is_told_to_nobody(patch: Patch) -> None:
    """Keep to oneself how far an isolation got."""
    retell = FaultFlow._isolate

    def silent(self: FaultFlow, host: str, isolation: Isolation, fencing: Any, step: Any) -> None:
        before = self._situation.isolations.get(host, Isolation.PENDING)
        retell(self, host, before if isolation is Isolation.FAILED else isolation, fencing, step)

    patch.set(FaultFlow, "_isolate", silent)
