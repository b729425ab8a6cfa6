"""Carries out what Consumers ask for in answer to a notification [D 3.3.6, 5.2.1 steps 7 and 8].

    asked -> (owner, state, constraints) queued -> (isolated, room in the group) running -> succeeded | failed -> told

An instruction is kept before it is answered, and each machine's part of it before the controller is told: whoever takes up
after a crash asks the controller what has become of the command before he repeats it. Each part is an errand of its own,
that waits, visibly and until the deadline, for what it needs. Nothing leaves a dead host before its isolation is
proven, and the office of this Doctor stands behind the record by which it begins [I-14, I-15].
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple, Protocol
from uuid import uuid4

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.isolation import LostOfficeError
from doctor.flows.situation import INSTRUCTION_MEMO, Situation
from doctor.flows.step import Draft
from doctor.flows.telling import tell
from doctor.flows.timelines import Timelines
from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_id
from doctor.model.checkpoint import Checkpoint
from doctor.model.errors import (
    DoctorError,
    Flaw,
    PermanentError,
    Reason,
    RejectedError,
    StoreError,
    TransientError,
)
from doctor.model.event import RawEvent
from doctor.model.fault import ResourceState
from doctor.model.identity import Identity
from doctor.model.instruction import Action, Command, Instruction, Progress, Stage, Task, TaskState
from doctor.model.notification import StoredNotification
from doctor.model.resource import HOST, VIRTUAL_MACHINE, Isolation, PhysicalResource, VirtualResource
from doctor.notifier.instruction import told_of_result, write_result
from doctor.ports.controller import Controller
from doctor.ports.store import Change, FenceChange, Memo
from doctor.recovery.acceptance import flaws, objection, objection_to_target
from doctor.recovery.course import Done, Failed, Tell, Watch, course
from doctor.recovery.gate import Go, Over, Wait, gate
from doctor.recovery.rules import RULES, TARGET, Facts, in_effect, needs_isolation

log = structlog.get_logger(__name__)

MOST_RUNNING = 16  # machines that one controller works on side by side
AT_ONCE = 0.0
SOONEST = 0.05  # seconds between two looks at what a controller is doing
LOOK_AGAIN = 0.5
GATHERS = 0.1  # seconds in which those that end are looked at together
SWEEP_EVERY = 5.0  # seconds after which who waits looks whether he missed a word
CONFLICT_PATIENCE = timedelta(
    seconds=30
)  # for what a controller does not take as things are, from its beginning
LONGEST_DELAY = 10.0
OWNERS_WORD = "compute.instance.error"  # the event by which an owner's `repair` is judged
COULD_NOT = "the controller could not do it"
NOT_YET = "the controller does not take it yet"


class Predefined(NamedTuple):
    """Whose step an instruction is: of the recovery that begins by an alarm. ``target`` is where the machine is to go."""

    alarm_id: str
    fault_key: str
    step: int
    target: str | None = None

    @property
    def instruction_id(self) -> str:
        """Return the id of the instruction: each step is one, however often it is asked for."""
        return stable_id("predefined instruction", self.alarm_id, str(self.step))


class Agreed(NamedTuple):
    """Which try of which machine an instruction is: its owner has agreed that it leaves a host that is to be empty."""

    session_id: str
    host: str
    resource_id: str
    number: int
    target: str | None = None

    @property
    def instruction_id(self) -> str:
        """Return the id of the instruction: each try is one, however often it is asked for.

        A machine that was sent to a host that is emptied later leaves that one by an instruction of its own.
        """
        return stable_id(
            "maintenance instruction", self.session_id, self.host, self.resource_id, str(self.number)
        )


class Order(NamedTuple):
    """What somebody asks for, or has said beforehand. Two with the same ``idempotency_key`` of one project are one."""

    action: Action
    resource_ids: tuple[str, ...]
    parameters: dict[str, Any]
    notification_id: str | None = None
    deadline: timedelta | None = None
    idempotency_key: str | None = None
    predefined: Predefined | None = None
    agreed: Agreed | None = None

    @property
    def origin(self) -> Predefined | Agreed | None:
        """Return what it comes from, None if somebody asks for it now."""
        return self.predefined or self.agreed


class InstructionRules(NamedTuple):
    """What the operator allows: actions that nobody may ask for, how long one may take to begin, and how many wait."""

    forbidden: frozenset[Action] = frozenset()
    usual: timedelta = timedelta(minutes=10)
    longest: timedelta = timedelta(days=1)
    per_project: int = 1000


class Proof(Protocol):
    """Who knows how the isolation of hosts stands."""

    @property
    def office(self) -> int:
        """Return the office in which this Doctor acts; raises `LostOfficeError` without one."""
        ...

    def proven(self, host: str) -> Isolation:
        """Return how the isolation of a host stands by Doctor's own proof."""
        ...

    def can_isolate(self, host: PhysicalResource) -> bool:
        """Tell whether somebody has said how a host is cut off."""
        ...


Key = tuple[str, str]  # the instruction and the resource of an errand
OnKept = Callable[[Instruction], None]


class InstructionFlow:
    """All instructions. ``controllers`` are by the ``cloud`` of machines, None for a map that is loaded by hand."""

    def __init__(
        self,
        situation: Situation,
        controllers: Mapping[str | None, Controller],
        proof: Proof,
        faults: FaultFlow,
        delivery: DeliveryFlow,
        timelines: Timelines,
        clock: Clock,
        rules: InstructionRules = InstructionRules(),  # noqa: B008 - frozen
        *,
        public_url: str = "",
    ) -> None:
        self._situation = situation
        self._controllers = controllers
        self._proof = proof
        self._faults = faults
        self._delivery = delivery
        self._timelines = timelines
        self._clock = clock
        self._rules = rules
        self._public_url = public_url
        self._creating = asyncio.Lock()  # the same instruction twice at once is one
        self._errands: dict[Key, asyncio.Task[None]] = {}
        self._tasks: asyncio.TaskGroup | None = None
        self._news = asyncio.Event()
        self._soon: asyncio.TimerHandle | None = None
        self._attempts: dict[Key, int] = {}
        self._seen: dict[Key, str] = {}  # of tasks that wait for isolation: then there is haste
        self._on_kept: list[OnKept] = []
        situation.on_restored(self._resume)

    # --- what is asked for ---

    async def create(self, identity: Identity, order: Order) -> Instruction:
        """Take an instruction; what can be done of it is under way, the rest is refused with its reason.

        The same again (by its key, or in answer to the same notification) is the one that was taken.

        Raises:
            RejectedError: resources that are unknown or somebody else's, wrong parameters, too many.
            StoreError: it was not kept, and nothing is done.
        """
        scope = identity.scope
        answered = await self._answered(scope, order)
        self._check(scope, order)
        instruction_id = _id_of(scope, order)
        async with self._creating:
            await self._situation.ready()
            known = self._situation.instructions.get(instruction_id)
            if known is not None:
                if (known.action, known.parameters, _ids(known)) == (
                    order.action,
                    order.parameters,
                    order.resource_ids,
                ):
                    return known
                detail = "another instruction has this idempotency_key: give each its own"
                raise RejectedError(detail, reason=Reason.CONFLICT)
            self._check_room(scope, order)
            now = self._clock.now()
            made = Instruction(
                instruction_id=instruction_id,
                project=scope,
                user=identity.name,
                action=order.action,
                parameters=order.parameters,
                notification_id=order.notification_id,
                subscription_id=None if answered is None else answered.subscription_id,
                fault_key=_fault_key(order, answered),
                alarm_id=None if order.predefined is None else order.predefined.alarm_id,
                session_id=None if order.agreed is None else order.agreed.session_id,
                created=now,
                deadline=now + (order.deadline or self._rules.usual),
                tasks=tuple(self._task(one, order, now) for one in order.resource_ids),
            )
            if made.action is Action.REPAIR:
                await self._report(made, identity)
            await self._put(made)
        await self._stamp(made, answered, now)
        log.info(
            "instruction.taken",
            instruction_id=instruction_id,
            action=made.action.value,
            resources=len(made.tasks),
            refused=sum(task.state is TaskState.REFUSED for task in made.tasks),
        )
        self._begin_errands(made)
        return made

    def get(self, identity: Identity, instruction_id: str) -> Instruction:
        """Return an instruction of the identity's scope.

        Raises:
            RejectedError: there is none, or it is somebody else's: the same answer for both.
        """
        found = self._situation.instructions.get(instruction_id)
        if found is None or identity.scope not in (None, found.project):
            raise RejectedError("there is no such instruction", reason=Reason.NOT_FOUND)
        return found

    def all(self, identity: Identity) -> list[Instruction]:
        """Return the instructions that the identity may see."""
        return [one for one in self._situation.instructions if identity.scope in (None, one.project)]

    async def cancel(self, identity: Identity, instruction_id: str) -> Instruction:
        """Give up what has not begun; what has goes on to its end.

        Raises:
            RejectedError: there is no such instruction, or nothing of it can be given up.
            StoreError: it was not kept, and may still be done.
        """
        await self._situation.ready()
        found = self.get(identity, instruction_id)
        now, reason = self._clock.now(), f"cancelled by {identity.name} before it began"
        tasks = tuple(
            replace(one, state=TaskState.FAILED, reason=reason, ended=now)
            if one.state in (TaskState.QUEUED, TaskState.WAITING_FOR_ISOLATION)
            else one
            for one in found.tasks
        )
        if tasks == found.tasks:
            detail = "it is over" if found.is_over else "all of it has begun already"
            raise RejectedError(detail, reason=Reason.CONFLICT)
        after = replace(found, tasks=tasks)
        await self._put(after)
        self.ring()
        log.info("instruction.cancelled", instruction_id=instruction_id, user=identity.name)
        return after

    async def forget(self, before: datetime) -> int:
        """Forget instructions that were over at a time; returns how many.

        Raises:
            StoreError: it was not kept.
        """
        book = self._situation.instructions
        gone = [one.instruction_id for one in book if one.ended is not None and one.ended <= before]
        if gone:
            memos = [Memo(kind=INSTRUCTION_MEMO, key=one, record=None) for one in gone]
            await self._situation.keep(Change(memos=memos))
            for one in gone:
                book.forget(one)
        return len(gone)

    def unfinished(self, host: str) -> Sequence[str]:
        """Return, in words, what is still on its way from a host: as long as there is any, it does not come back [I-15]."""
        return self._situation.instructions.leaving(host)

    async def leaving(self, host: str) -> Sequence[str]:
        """Return what the controller of a host knows to be on its way from there beside instructions.

        A controller that does not say holds up nobody: it may itself run on the host that is to come back.
        """
        resource = self._situation.resources.physical.get(host)
        controller = None if resource is None else self._controllers.get(resource.cloud)
        if controller is None:
            return ()
        try:
            return await controller.leaving(host)
        except DoctorError as error:
            log.warning("instruction.leaving_unknown", host=host, error=str(error))
            return ()

    @property
    def longest_wait(self) -> timedelta:
        """Return how long an instruction may take to begin at most."""
        return self._rules.longest

    def on_kept(self, kept: OnKept) -> None:
        """Have this called with each instruction that is otherwise than it was."""
        self._on_kept.append(kept)

    def ring(self) -> None:
        """Let all that wait look again: something is otherwise than it was."""
        news, self._news = self._news, asyncio.Event()
        news.set()

    def _ring_soon(self) -> None:
        """Ring once for all that end in a moment: hundreds may wait, and each looks."""
        if self._soon is None:
            self._soon = asyncio.get_running_loop().call_later(GATHERS, self._ring_now)

    def _ring_now(self) -> None:
        self._soon = None
        self.ring()

    # --- taking ---

    def _check(self, scope: str | None, order: Order) -> None:
        wrong = list(flaws(order.action, order.parameters, names_hosts=scope is None))
        target = order.parameters.get(TARGET)
        if target is not None and not wrong and self._host_called(target) is None:
            wrong.append(Flaw(f"/parameters/{TARGET}", "there is no such host"))
        for index, one in enumerate(order.resource_ids):
            machine = self._situation.resources.virtual.get(one)
            if machine is None or scope not in (None, machine.owner):
                wrong.append(
                    Flaw(f"/virtual_resource_id/{index}", "no virtual resource of yours has this id")
                )
        if order.deadline is not None and not timedelta(0) < order.deadline <= self._rules.longest:
            most = f"{self._rules.longest.total_seconds():g} s"
            wrong.append(Flaw("/deadline", f"is more than zero and at most {most} from now"))
        if wrong:
            raise RejectedError("the instruction is wrong", flaws=wrong)

    async def _answered(self, scope: str | None, order: Order) -> StoredNotification | None:
        """Return the notification that an instruction answers.

        Raises:
            RejectedError: there is none, or it was somebody else's.
        """
        if order.notification_id is None:
            return None
        found = await self._situation.store.notification(order.notification_id)
        whose = None if found is None else self._situation.subscriptions.get(found.subscription_id)
        if found is None or whose is None or scope not in (None, whose.project):
            flaw = Flaw("/notification_id", "you were told nothing of this id")
            raise RejectedError("the instruction is wrong", flaws=[flaw])
        return found

    def _check_room(self, scope: str | None, order: Order) -> None:
        waiting = sum(one.project == scope for one, _ in self._situation.instructions.open)
        if waiting + len(order.resource_ids) > self._rules.per_project:
            raise RejectedError(
                f"a project has {self._rules.per_project} machines under instructions at most: wait for some",
                reason=Reason.TOO_MANY,
            )

    def _task(self, resource_id: str, order: Order, now: datetime) -> Task:
        machine = self._situation.resources.virtual[resource_id]
        task = Task(
            resource_id=resource_id,
            kind=machine.type,
            state=TaskState.QUEUED,
            host=machine.host,
            cloud=machine.cloud,
            target=self._target(order),
        )
        facts = self.facts(task.resource_id)
        assert facts is not None  # the machine is there
        refused = objection(order.action, facts, order.parameters, self._rules.forbidden)
        if not refused and task.target is not None and TARGET in order.parameters:
            refused = objection_to_target(task.target, task.host, self._situation.book.state_of(task.target))
        if refused:
            return replace(task, state=TaskState.REFUSED, reason=refused, ended=now)
        if RULES[order.action].is_word:
            return replace(task, state=TaskState.SUCCEEDED, ended=now)
        if needs_isolation(order.action, facts) and facts.isolation is not Isolation.ISOLATED:
            return replace(task, state=TaskState.WAITING_FOR_ISOLATION)
        return task

    def _target(self, order: Order) -> str | None:
        """Return the host on which machines are to be started: as it was said, or as Doctor has chosen."""
        if TARGET in order.parameters:
            return self._host_called(order.parameters[TARGET])
        return None if order.origin is None else order.origin.target

    def _host_called(self, name: str) -> str | None:
        found = self._situation.resources.find(name)
        return found.id if isinstance(found, PhysicalResource) and found.type == HOST else None

    async def _report(self, made: Instruction, identity: Identity) -> None:
        """Have an owner's word that a fault persists judged as any event: evidence, and never a reason to cut off by itself."""
        events = [
            RawEvent(
                time=made.created,
                type=OWNERS_WORD,
                resource=task.resource_id,
                source=f"owner {identity.name}",
                status="down",
                monitor_event_id=made.instruction_id,
                raw_details=msgspec.json.encode({"status": "down", **made.parameters}),
            )
            for task in made.tasks
            if task.state is not TaskState.REFUSED
        ]
        if events:
            report = Reported(events, f"owner {identity.name}", msgspec.json.encode(events), made.created)
            await self._faults.accept([report])

    async def _stamp(self, made: Instruction, answered: StoredNotification | None, now: datetime) -> None:
        if answered is None:
            return
        await self._timelines.recall(answered.fault_key)
        self._timelines.stamp(answered.fault_key, Checkpoint.INSTRUCTED, now)
        if made.action is Action.SWITCHED_OVER:
            subscription_id = answered.subscription_id
            self._timelines.handled(answered.fault_key, subscription_id, answered.notification_id, now)

    # --- what is known of a machine ---

    def facts(self, resource_id: str) -> Facts | None:
        """Return what is known of a machine, None if there is none."""
        situation = self._situation
        machine = situation.resources.virtual.get(resource_id)
        if machine is None:
            return None
        host = situation.resources.physical.get(machine.host or "")
        state_of = situation.book.state_of
        return Facts(
            machine=machine,
            state=state_of(machine.id),
            host_state=state_of(machine.host or ""),
            isolation=Isolation.NOT_REQUIRED if host is None else self._proof.proven(host.id),
            can_isolate=host is not None and self._proof.can_isolate(host),
            has_controller=machine.cloud in self._controllers,
            others_away=self._others_away(machine),
            occupied_by=situation.instructions.occupying(machine.id),
        )

    def _others_away(self, machine: VirtualResource) -> int:
        """Count who of the group of a machine, apart from itself, is out, under way, or off for work on its host."""
        situation = self._situation
        if machine.constraints is None or machine.group is None:
            return 0
        running = situation.instructions.running
        return sum(
            situation.book.state_of(one).is_out or one in running or self._is_shut_down(one)
            for one in situation.resources.group(machine.owner, machine.group)
            if one != machine.id and situation.resources.virtual[one].type == VIRTUAL_MACHINE
        )

    def _is_shut_down(self, resource_id: str) -> bool:
        situation = self._situation
        work = situation.maintenance.of_host(situation.resources.virtual[resource_id].host or "")
        return work is not None and work.has_shut_down(resource_id)

    # --- errands ---

    async def run(self) -> None:
        """Carry out until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            try:
                self._resume()
                await asyncio.Event().wait()
            finally:
                self._tasks = None
                if self._soon is not None:
                    self._soon.cancel()

    def _resume(self) -> None:
        """Take up all that is open: after a start, or when the store was read again."""
        for instruction in {one.instruction_id: one for one, _ in self._situation.instructions.open}.values():
            self._begin_errands(instruction)
        self.ring()

    def _begin_errands(self, instruction: Instruction) -> None:
        for task in instruction.tasks:
            key = (instruction.instruction_id, task.resource_id)
            if self._tasks is not None and not task.state.is_over and key not in self._errands:
                self._errands[key] = self._tasks.create_task(
                    self._errand(key), name=f"{instruction.action} {task.resource_id}"
                )

    async def _errand(self, key: Key) -> None:
        """Go on with one machine until there is nothing more to do."""
        try:
            while True:
                news = self._news
                pause = await self._step(key)
                found = self._look_up(key)
                if found is None or found[1].state.is_over:
                    return
                if found[1].state is TaskState.RUNNING:
                    await asyncio.sleep(pause)
                else:
                    with suppress(TimeoutError):
                        async with asyncio.timeout(pause):
                            await news.wait()
        finally:
            self._errands.pop(key, None)
            self._attempts.pop(key, None)
            self._seen.pop(key, None)
            self._ring_soon()  # somebody may have waited for this one

    async def _step(self, key: Key) -> float:
        """Do the next thing; return after how many seconds to look again."""
        try:
            await self._situation.ready()
            found = self._look_up(key)
            if found is None or found[1].state.is_over:
                return AT_ONCE
            if found[1].state is TaskState.RUNNING:
                return await self._follow(*found)
            return await self._await_turn(*found)
        except (StoreError, LostOfficeError) as error:  # what is not kept is not done
            log.warning("instruction.held_up", instruction_id=key[0], resource_id=key[1], error=str(error))
            return LOOK_AGAIN
        except DoctorError as error:
            return await self._failed(key, error)
        except Exception:  # a defect of ours must not stop the others
            log.exception("instruction.broken", instruction_id=key[0], resource_id=key[1])
            return SWEEP_EVERY

    async def _await_turn(self, instruction: Instruction, task: Task) -> float:
        """See whether a task may begin, and begin it."""
        match self._gate(instruction, task):
            case Over(reason):
                await self._finish(instruction, task, TaskState.FAILED, reason)
                return AT_ONCE
            case Wait(state, reason):
                await self._note(instruction, task, state=state, reason=reason)
                if state is TaskState.WAITING_FOR_ISOLATION:
                    await self._look_ahead(instruction, task)
                left = (instruction.deadline - self._clock.now()).total_seconds()
                return max(min(left, SWEEP_EVERY), 0.0)
            case Go():
                return await self._begin(instruction, task)

    def _gate(self, instruction: Instruction, task: Task) -> Go | Wait | Over:
        """Ask whether a task may begin; a controller works on so many machines at once and no more."""
        decided = gate(instruction, task, self.facts(task.resource_id), self._clock.now())
        is_busy = self._situation.instructions.busy(task.cloud) >= MOST_RUNNING
        if is_busy and decided == Go():
            return Wait(TaskState.QUEUED, "others are under way: it comes after them")
        return decided

    async def _begin(self, instruction: Instruction, task: Task) -> float:
        """Put on record that the controller is told from now on, with what it has seen before, and tell it."""
        facts = self.facts(task.resource_id)
        assert facts is not None  # the gate has seen the machine
        command = in_effect(instruction.action, facts)
        controller = self._controllers[task.cloud]
        seen = task.seen
        if seen is None:
            seen = self._seen.get((instruction.instruction_id, task.resource_id))
        if seen is None:
            seen = (await controller.look(_first(instruction, task, command))).seen
        found = self._look_up((instruction.instruction_id, task.resource_id))
        if found is None or found[1] != task or self._gate(*found) != Go():
            return AT_ONCE  # something has changed while the controller was asked
        instruction = found[0]
        begun = replace(
            task,
            state=TaskState.RUNNING,
            reason="",
            detail="",
            command=command,
            seen=seen,
            begun=self._clock.now(),
        )
        fencing = (
            FenceChange(epoch=self._proof.office) if needs_isolation(instruction.action, facts) else None
        )
        await self._put(instruction.with_task(begun), fencing=fencing)
        log.info(
            "instruction.begun",
            instruction_id=instruction.instruction_id,
            resource_id=task.resource_id,
            command=command.value,
        )
        if task.seen is not None:
            return AT_ONCE  # it had begun before: what was told then may have arrived since
        return await self._go_on(instruction, begun, controller, Progress(Stage.UNTOUCHED))

    async def _look_ahead(self, instruction: Instruction, task: Task) -> None:
        """Ask what there was before the command while there is time, so that it can go out once the host is isolated.

        What somebody else does to the machine from then on counts as of this instruction, if it is the same.
        """
        key = (instruction.instruction_id, task.resource_id)
        facts = self.facts(task.resource_id)
        if facts is None or task.seen is not None or key in self._seen:
            return
        first = _first(instruction, task, in_effect(instruction.action, facts))
        with suppress(DoctorError):  # it is asked again when it is its turn
            self._seen[key] = (await self._controllers[task.cloud].look(first)).seen

    async def _follow(self, instruction: Instruction, task: Task) -> float:
        """Ask what has become of a command, and do what is to be done about that."""
        controller = self._controllers.get(task.cloud)
        if controller is None:
            await self._note(instruction, task, reason="no controller that is set up can reach it")
            return SWEEP_EVERY
        try:
            progress = await controller.look(self._command_of(instruction, task))
        except RejectedError as error:
            if error.reason is Reason.NOT_FOUND:
                raise
            raise TransientError(str(error)) from error
        except PermanentError as error:  # what may be under way is not over because nobody may look [I-15]
            raise TransientError(str(error)) from error
        return await self._go_on(instruction, task, controller, progress)

    async def _go_on(
        self, instruction: Instruction, task: Task, controller: Controller, progress: Progress
    ) -> float:
        match course(progress):
            case Done():
                await self._finish(instruction, task, TaskState.SUCCEEDED)
                return AT_ONCE
            case Failed(detail) if self._was_proposed(instruction, task):
                await self._leave_to_controller(instruction, task, progress.seen, detail)
                return AT_ONCE
            case Failed(detail):
                await self._finish(instruction, task, TaskState.FAILED, COULD_NOT, detail)
                return AT_ONCE
            case Watch(detail):
                await self._note(instruction, task, detail=detail)
                return self._until_next_look(task)
            case Tell():
                if progress.stage is Stage.UNTOUCHED:
                    held = await self._hold_back(instruction, task)
                    if held is not None:
                        return held
                await controller.tell(self._command_of(instruction, task))
                self._attempts.pop((instruction.instruction_id, task.resource_id), None)
                return SOONEST

    def _was_proposed(self, instruction: Instruction, task: Task) -> bool:
        """Tell whether a recovery wants a machine to go where it thinks that there is room: a controller may know better.

        What leaves a host that is to be emptied has time: it is tried once more, elsewhere, by who wants that.
        """
        return task.target is not None and instruction.alarm_id is not None

    async def _leave_to_controller(self, instruction: Instruction, task: Task, seen: str, why: str) -> None:
        """Have the command given once more, to wherever the controller will."""
        detail = f"not on {task.target}: {why}"
        log.warning("instruction.elsewhere", instruction_id=instruction.instruction_id, detail=detail)
        await self._change(instruction, replace(task, target=None, seen=seen, reason="", detail=detail))

    async def _hold_back(self, instruction: Instruction, task: Task) -> float | None:
        """Look once more, between record and command, whether what the record was made on is still so [I-15].

        Returns when to look again if it is not, None if the command may be given.
        """
        assert task.begun is not None  # it has, in time
        match gate(instruction, task, self.facts(task.resource_id), task.begun):
            case Over(reason):
                await self._finish(instruction, task, TaskState.FAILED, reason)
                return AT_ONCE
            case Wait(state, reason):
                await self._note(instruction, task, state=state, reason=reason)
                return AT_ONCE
            case Go():
                return None

    def _command_of(self, instruction: Instruction, task: Task) -> Command:
        """Return the command of a task that has begun.

        Where Doctor wants it to go may have failed since: then the controller chooses. What a person has said holds.
        """
        assert task.command is not None
        is_well = self._situation.book.state_of(task.target or "") is ResourceState.NORMAL
        target = task.target if is_well or TARGET in instruction.parameters else None
        return Command(
            task.command, task.resource_id, task.host, instruction.parameters, task.seen, target, task.kind
        )

    def _until_next_look(self, task: Task) -> float:
        """Look often in the beginning: what takes long may be noticed late."""
        assert task.begun is not None
        lasts = (self._clock.now() - task.begun).total_seconds()
        return min(max(lasts / 5, SOONEST), SWEEP_EVERY)

    async def _failed(self, key: Key, error: DoctorError) -> float:
        """Say what is in the way, and try again where that may be over."""
        found = self._look_up(key)
        if found is None or found[1].state.is_over:  # it was cancelled while the controller was asked
            return AT_ONCE
        instruction, task = found
        match error:
            case RejectedError(reason=Reason.NOT_FOUND) if task.command is not Action.TERMINATE:
                return await self._end(instruction, task, "it is gone", str(error))
            case RejectedError(reason=Reason.CONFLICT | Reason.NOT_FOUND):
                if self._clock.now() >= _patience_ends(instruction, task):
                    return await self._end(instruction, task, _said(error) or COULD_NOT, str(error))
            case RejectedError() if self._was_proposed(instruction, task) and task.seen is not None:
                with suppress(StoreError):
                    await self._leave_to_controller(instruction, task, task.seen, str(error))
                return AT_ONCE
            case RejectedError() | PermanentError():
                return await self._end(instruction, task, _said(error) or COULD_NOT, str(error))
            case _:
                pass
        attempts = self._attempts[key] = self._attempts.get(key, 0) + 1
        if attempts in (1, 10) or attempts % 100 == 0:
            log.warning(
                "instruction.pending",
                instruction_id=key[0],
                resource_id=key[1],
                attempts=attempts,
                error=str(error),
            )
        try:
            await self._note(instruction, task, reason=_said(error) or NOT_YET, detail=str(error))
        except StoreError as failure:
            log.warning("instruction.held_up", instruction_id=key[0], resource_id=key[1], error=str(failure))
        return min(retry.delay_before(attempts + 1), LONGEST_DELAY)

    async def _end(self, instruction: Instruction, task: Task, reason: str, detail: str) -> float:
        try:
            await self._finish(instruction, task, TaskState.FAILED, reason, detail)
        except StoreError as failure:
            log.warning(
                "instruction.held_up",
                instruction_id=instruction.instruction_id,
                resource_id=task.resource_id,
                error=str(failure),
            )
            return LOOK_AGAIN
        return AT_ONCE

    # --- keeping and telling ---

    def _look_up(self, key: Key) -> tuple[Instruction, Task] | None:
        instruction = self._situation.instructions.get(key[0])
        task = None if instruction is None else instruction.task(key[1])
        return None if instruction is None or task is None else (instruction, task)

    async def _note(self, instruction: Instruction, task: Task, **changes: Any) -> None:
        """Keep what is otherwise with a task that goes on, if anything is."""
        after = replace(task, **{"reason": "", "detail": "", **changes})
        if after != task:
            await self._change(instruction, after)

    async def _finish(
        self, instruction: Instruction, task: Task, state: TaskState, reason: str = "", detail: str = ""
    ) -> None:
        """Keep how a task has ended; with the last one its owner is told."""
        now = self._clock.now()
        await self._change(instruction, replace(task, state=state, reason=reason, detail=detail, ended=now))
        log.info(
            "instruction.done" if state is TaskState.SUCCEEDED else "instruction.failed",
            instruction_id=instruction.instruction_id,
            resource_id=task.resource_id,
            took_ms=round((now - instruction.created).total_seconds() * 1000),
            reason=reason,
            detail=detail,
        )
        if instruction.fault_key and self._is_over(instruction):
            await self._timelines.recall(instruction.fault_key)
            self._timelines.stamp(instruction.fault_key, Checkpoint.EXECUTED, now)

    def _is_over(self, instruction: Instruction) -> bool:
        now = self._situation.instructions.get(instruction.instruction_id)
        return now is not None and now.is_over

    async def _change(self, instruction: Instruction, task: Task) -> None:
        """Keep another state of a task, beside what has become of the others meanwhile."""
        known = self._situation.instructions.get(instruction.instruction_id) or instruction
        await self._put(known.with_task(task))

    async def _put(self, instruction: Instruction, *, fencing: FenceChange | None = None) -> None:
        """Keep an instruction as it is now, with the word of its end if that is it.

        It is so in memory first: whoever asks meanwhile what is on its way must not miss it [I-15].
        """
        situation = self._situation
        situation.instructions.put(instruction)
        draft = Draft(self._clock.now())
        record = msgspec.msgpack.encode(instruction)
        draft.change.memos.append(Memo(kind=INSTRUCTION_MEMO, key=instruction.instruction_id, record=record))
        draft.change.fencing = fencing
        if instruction.is_over:
            for one in told_of_result(instruction, situation.subscriptions.of(instruction.project)):
                result = partial(write_result, one, instruction, self._public_url, now=draft.now)
                tell(situation, one, result, draft)
        await situation.keep(draft.change)
        self._delivery.dispatch(draft.change.notifications)
        for kept in self._on_kept:
            kept(instruction)


def _fault_key(order: Order, answered: StoredNotification | None) -> str:
    if order.predefined is not None:
        return order.predefined.fault_key
    return "" if answered is None else answered.fault_key


def _said(error: DoctorError) -> str:
    """Return what an error has to say to the one who asked; the rest of it may name hosts."""
    return "; ".join(flaw.detail for flaw in error.flaws) if isinstance(error, RejectedError) else ""


def _patience_ends(instruction: Instruction, task: Task) -> datetime:
    """Return until when a controller may refuse a command as things are: before a host is down to it, until the deadline."""
    since = (task.begun or instruction.created) + CONFLICT_PATIENCE
    return max(since, instruction.deadline) if task.command is Action.EVACUATE else since


def _first(instruction: Instruction, task: Task, command: Action) -> Command:
    """Return the command by which a controller is asked what it has seen before."""
    return Command(command, task.resource_id, task.host, instruction.parameters, kind=task.kind)


def _ids(instruction: Instruction) -> tuple[str, ...]:
    return tuple(task.resource_id for task in instruction.tasks)


def _id_of(scope: str | None, order: Order) -> str:
    """Return the id of an instruction: the same for what is sent twice, by its key or by what it answers."""
    whose = scope or ""
    if order.origin is not None:
        return order.origin.instruction_id
    if order.idempotency_key is not None:
        return stable_id("instruction", whose, order.idempotency_key)
    if order.notification_id is not None:
        said = msgspec.json.encode((order.action, order.resource_ids, order.parameters), order="sorted")
        return stable_id("instruction in answer", whose, order.notification_id, said.decode())
    return str(uuid4())
