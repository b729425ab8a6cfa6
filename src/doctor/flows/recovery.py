"""Recovers machines by what their owners have said beforehand, and nothing else [D 3.3.6; HA 5.3, 6.2].

    failed -> (policy, word, isolation, order, room) due -> instruction -> well | next step | no step left

What is next is decided in `doctor.recovery.predefined`, whose turn it is in `doctor.recovery.turns`. Each step is an
ordinary instruction in the name of the owner: `doctor.flows.instruction` accepts it, waits for the proof of isolation,
carries it out and tells how it ended. Its id comes from the alarm and the step, so that it is one, whoever repeats it
after a crash; a recovery is on record as soon as it is due, and goes on from there.
"""

import asyncio
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.instruction import InstructionFlow, Order, Predefined
from doctor.flows.isolation import LostOfficeError, Office
from doctor.flows.placement import MOVES, apart, rooms_of
from doctor.flows.situation import RECOVERY_MEMO, Situation
from doctor.kit.clock import Clock
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.errors import RejectedError, StoreError
from doctor.model.identity import Identity, Role
from doctor.model.instruction import Instruction
from doctor.model.map_news import Phase
from doctor.model.recovery import Recovery, RecoveryLimits, RecoveryState, Try
from doctor.model.resource import VIRTUAL_MACHINE, VirtualResource
from doctor.ports.store import Change, Memo
from doctor.recovery.predefined import Due, End, Hold, Known, begins_anew, decide, lately, said
from doctor.recovery.rules import in_effect
from doctor.recovery.turns import Candidate, Later, Turn, turns

log = structlog.get_logger(__name__)

GATHERS = 0.05  # seconds in which what happens is looked at together
SWEEP_EVERY = 5.0
LOOK_AGAIN = 0.5
CHUNK = 100  # machines that are looked at in one go: others have to be told meanwhile


class _Step(NamedTuple):
    """What is next for a machine, as soon as it is its turn."""

    one: Recovery
    due: Due
    known: Known

    @property
    def machine(self) -> VirtualResource:
        assert self.known.facts is not None  # nothing is due for what is gone
        return self.known.facts.machine

    @property
    def moves(self) -> bool:
        assert self.known.facts is not None
        return in_effect(self.due.what.action, self.known.facts) in MOVES


class RecoveryFlow:
    """All recoveries by policy."""

    def __init__(
        self,
        situation: Situation,
        instructions: InstructionFlow,
        office: Office,
        clock: Clock,
        limits: RecoveryLimits = RecoveryLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._situation = situation
        self._instructions = instructions
        self._office = office
        self._clock = clock
        self._limits = limits
        self._touched: dict[str, None] = {}
        self._bell = asyncio.Event()
        instructions.on_kept(lambda _: self.ring())
        situation.on_restored(self._look_at_all)

    # --- what is to be looked at ---

    def settled(self, transitions: Iterable[Transition]) -> None:
        """Look at what is otherwise than before by faults."""
        self.look_at(one for transition in transitions for one in transition.resource_ids)

    def look_at(self, resource_ids: Iterable[str]) -> None:
        """Look at resources, soon."""
        self._touched.update(dict.fromkeys(resource_ids))
        self._bell.set()

    def ring(self) -> None:
        """Look at what is open: something is otherwise than it was."""
        if self._situation.recoveries:
            self._bell.set()

    def _look_at_all(self) -> None:
        self.look_at(self._situation.book.troubled())

    async def run(self) -> None:
        """Recover until cancelled."""
        self._look_at_all()
        until: datetime | None = None
        while True:
            left = SWEEP_EVERY if until is None else (until - self._clock.now()).total_seconds()
            try:
                async with asyncio.timeout(min(max(left, 0.0), SWEEP_EVERY)):
                    await self._bell.wait()
            except TimeoutError:
                pass
            self._bell.clear()
            touched, self._touched = list(self._touched), {}
            began = self._clock.monotonic()
            try:
                until = await self._go_on(touched)
                await asyncio.sleep(max(GATHERS, 2 * (self._clock.monotonic() - began)))  # others work, too
            except (StoreError, LostOfficeError) as error:  # what is not kept is not done
                log.warning("recovery.held_up", error=str(error))
                self.look_at(touched)
                await asyncio.sleep(LOOK_AGAIN)
            except Exception:  # a defect with one machine must not stop the others for good
                log.exception("recovery.broken")
                await asyncio.sleep(SWEEP_EVERY)

    # --- one look at all that is open ---

    async def _go_on(self, touched: Iterable[str]) -> datetime | None:
        """Do what is next for all machines; return when to look again at the latest."""
        situation = self._situation
        await situation.ready()
        await self._open(touched)
        open_ = [one for one in situation.recoveries.values() if not one.is_over]
        if not open_:
            return None
        _ = self._office.office  # without one nothing is begun
        now = self._clock.now()
        unrecovered = {group for one in open_ if (group := self._unrecovered(one)) is not None}
        due: list[_Step] = []
        changed: list[Recovery] = []
        moments: list[datetime] = []
        for index, one in enumerate(open_):
            if index % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)
            known = self._known(one, unrecovered)
            if known.facts is None and self._is_loading:
                continue  # it may only not be known yet
            match decide(one, known, self._limits, now):
                case Hold(state, reason, until):
                    changed.append(replace(one, state=state, reason=reason))
                    moments += [] if until is None else [until]
                case End(state, reason):
                    changed.append(replace(one, state=state, reason=reason, ended=now))
                    log.info("recovery.over", resource_id=one.resource_id, state=state, reason=reason)
                case Due() as what:
                    due.append(_Step(one, what, known))
        decided = self._turns(due)
        changed += [
            replace(step.one, state=RecoveryState.WAITING, reason=turn.reason)
            for step in due
            if isinstance(turn := decided[step.one.resource_id], Later)
        ]
        await self._keep(self._marked(one) for one in changed)
        for step in due:
            if isinstance(turn := decided[step.one.resource_id], Turn):
                await self._begin(step, turn.target)
        return min(moments, default=None)

    async def _open(self, touched: Iterable[str]) -> None:
        """Put on record what is to be recovered from now on."""
        situation = self._situation
        opened = []
        for index, resource_id in enumerate(touched):
            if index % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)
            machine = situation.resources.virtual.get(resource_id)
            if machine is None or situation.recovery_policies.of(machine) is None:
                continue
            found = _alarm_of(resource_id, situation.book.on(resource_id))
            if found is None or machine.type != VIRTUAL_MACHINE:
                continue
            known = situation.recoveries.get(resource_id)
            if known is None or begins_anew(known, found[1]):
                opened.append(self._opened(machine, *found, known))
        await self._keep(opened)

    def _opened(
        self, machine: VirtualResource, record: AlarmedFault, alarm: Alarm, before: Recovery | None
    ) -> Recovery:
        now = self._clock.now()
        log.info("recovery.opened", resource_id=machine.id, alarm_id=alarm.alarm_id)
        return self._marked(
            Recovery(
                resource_id=machine.id,
                project=machine.owner,
                alarm_id=alarm.alarm_id,
                fault_key=record.fault.fault_key,
                fault_type=record.fault.fault_type,
                since=alarm.raised_time,
                host=machine.host,
                ran=(machine.vim_state or "active").split()[0] == "active",
                spent=() if before is None else lately(before, self._limits, now),
            )
        )

    def _marked(self, one: Recovery) -> Recovery:
        """Note that the host of a machine has failed, if it has since."""
        is_out = one.host is not None and self._situation.book.state_of(one.host).is_out
        return replace(one, host_failed=True) if is_out and not one.host_failed else one

    @property
    def _is_loading(self) -> bool:
        return any(cloud.phase is Phase.LOADING for cloud in self._situation.clouds.values())

    def _known(self, one: Recovery, unrecovered: set[tuple[str, str]]) -> Known:
        situation = self._situation
        facts = self._instructions.facts(one.resource_id)
        if facts is None:
            return Known(None, None)
        machine = facts.machine
        host = situation.resources.physical.get(machine.host or "")
        last = situation.instructions.get(one.tries[-1].instruction_id) if one.tries else None
        first = (
            group
            for group in situation.recovery_policies.after_groups(machine)
            if (machine.owner, group) in unrecovered
        )
        return Known(
            facts=facts,
            policy=situation.recovery_policies.of(machine),
            word=said(situation.instructions.about(machine.id), machine.id, one.since),
            last=None if last is None else last.task(machine.id),
            zone_id=None if host is None else host.zone_id,
            first=next(first, ""),
        )

    def _unrecovered(self, one: Recovery) -> tuple[str, str] | None:
        """Return the group of a machine that is being recovered: others may have to wait for that."""
        machine = self._situation.resources.virtual.get(one.resource_id)
        is_hopeful = one.state in (RecoveryState.WAITING, RecoveryState.RUNNING)
        return (
            (machine.owner, machine.group) if is_hopeful and machine is not None and machine.group else None
        )

    # --- whose turn it is ---

    def _turns(self, due: Sequence["_Step"]) -> Mapping[str, Turn | Later]:
        if not due:
            return {}
        under_way = list(self._under_way())
        candidates = [
            Candidate(
                machine=step.machine,
                priority=0 if step.known.policy is None else step.known.policy.priority,
                since=step.one.since,
                moves=step.moves,
                apart=apart(self._situation, step.machine, under_way),
            )
            for step in due
        ]
        rooms = rooms_of(self._situation, under_way) if any(one.moves for one in candidates) else ()
        zones = {host.id: host.zone_id for host in self._situation.resources.hosts()}
        burden = Counter(host for _, host in under_way)
        return turns(candidates, rooms, zones, burden, self._limits_by_id())

    def _under_way(self) -> Iterator[tuple[VirtualResource, str]]:
        """Return the machines that are being recovered, with the hosts on which that is work."""
        for instruction, task in self._situation.instructions.open:
            machine = self._situation.resources.virtual.get(task.resource_id)
            if instruction.alarm_id is not None and machine is not None:
                yield machine, task.target or task.host or ""

    def _limits_by_id(self) -> RecoveryLimits:
        """Return the limits with the reserved hosts by their ids."""
        reserved = {self._situation.id_of(name): levels for name, levels in self._limits.reserved.items()}
        return replace(self._limits, reserved=reserved)

    # --- a step ---

    async def _begin(self, step: "_Step", target: str | None) -> None:
        """Give the instruction of a step, and put the step on record; a successor finds the same instruction."""
        one, what = step.one, step.due.what
        predefined = Predefined(one.alarm_id, one.fault_key, step.due.step, target)
        made = self._situation.instructions.get(predefined.instruction_id)
        if made is None:
            order = Order(
                what.action,
                (one.resource_id,),
                what.parameters,
                deadline=min(what.timeout, self._instructions.longest_wait),
                predefined=predefined,
            )
            try:
                made = await self._instructions.create(_in_the_name_of(one), order)
            except RejectedError as error:  # too many at once: others have to end first
                self._situation.recoveries[one.resource_id] = replace(one, reason=error.detail)
                log.warning("recovery.refused", resource_id=one.resource_id, reason=str(error))
                return
        await self._keep([self._tried(one, step.due, made)])
        log.info(
            "recovery.step",
            resource_id=one.resource_id,
            step=step.due.step,
            action=what.action.value,
            instruction_id=made.instruction_id,
        )

    def _tried(self, one: Recovery, due: Due, made: Instruction) -> Recovery:
        began = Try(
            step=due.step,
            action=made.action,
            instruction_id=made.instruction_id,
            began=made.created,
            until=made.created + due.what.timeout,
        )
        return replace(
            one,
            state=RecoveryState.RUNNING,
            reason="",
            tries=(*one.tries, began),
            spent=(*lately(one, self._limits, self._clock.now()), made.created),
        )

    # --- keeping ---

    async def _keep(self, recoveries: Iterable[Recovery]) -> None:
        """Take recoveries over as they are now, and make durable what a successor has to know."""
        known = self._situation.recoveries
        memos = []
        for one in recoveries:
            before = known.get(one.resource_id)
            if before is None or replace(before, reason=one.reason) != one:
                memos.append(_memo(one.resource_id, one))
            known[one.resource_id] = one
        if memos:
            await self._situation.keep(Change(memos=memos))

    async def forget(self, before: datetime) -> int:
        """Forget recoveries that were over at a time; returns how many.

        Raises:
            StoreError: it was not kept.
        """
        known = self._situation.recoveries
        gone = [key for key, one in known.items() if one.ended is not None and one.ended <= before]
        if gone:
            await self._situation.keep(Change(memos=[_memo(key, None) for key in gone]))
            for key in gone:
                known.pop(key, None)
        return len(gone)

    def all(self, identity: Identity) -> list[Recovery]:
        """Return the recoveries that somebody may see."""
        scope = identity.scope
        return [one for one in self._situation.recoveries.values() if scope in (None, one.project)]


def _alarm_of(resource_id: str, records: Iterable[AlarmedFault]) -> tuple[AlarmedFault, Alarm] | None:
    """Return the last alarm by which a machine is out, None if it is not."""
    found = [(record, record.alarms[resource_id]) for record in records]
    out = [pair for pair in found if pair[1].resource_state.is_out]
    return max(out, key=lambda pair: (pair[1].raised_time, pair[1].alarm_id), default=None)


def _in_the_name_of(one: Recovery) -> Identity:
    return Identity(name="recovery policy", role=Role.CONSUMER, project=one.project)


def _memo(resource_id: str, one: Recovery | None) -> Memo:
    record = None if one is None else msgspec.msgpack.encode(one)
    return Memo(kind=RECOVERY_MEMO, key=resource_id, record=record)
