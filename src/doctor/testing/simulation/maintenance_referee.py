"""Judges one run with maintenance, step by step, by what was kept and what was so at that moment [I-26 to I-28].

Which stage may follow which, what a pause and a limit mean, and to what an owner has agreed is said once more here, as
simply as can be.
"""

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from typing import NamedTuple, TypeVar

import msgspec

from doctor.flows.situation import HOST_MEMO, INSTRUCTION_MEMO, SESSION_MEMO
from doctor.model.fence_job import FenceState
from doctor.model.instruction import Action, Instruction, TaskState
from doctor.model.maintenance import Deed, GuestState, HostStage, HostWork, Session, SessionState
from doctor.ports.store import Change
from doctor.testing.clock import START
from doctor.testing.simulation.deeds import Ended, Kept
from doctor.testing.simulation.maintained_world import MaintainedWorld

S = HostStage
AFTER: Mapping[HostStage | None, frozenset[HostStage]] = {
    None: frozenset((S.WAITING,)),
    S.WAITING: frozenset((S.EMPTYING, S.EMPTY, S.FAILED, S.ABORTED)),  # where nobody is, it is empty at once
    S.EMPTYING: frozenset((S.EMPTY, S.FAILED, S.ABORTED)),
    S.EMPTY: frozenset((S.RETURNED, S.ABORTED)),
    S.RETURNED: frozenset(),
    S.FAILED: frozenset(),
    S.ABORTED: frozenset(),
}
AWAY = (S.EMPTYING, S.EMPTY)
OVER = frozenset((SessionState.DONE, SessionState.FAILED, SessionState.ABORTED))
FOLLOWS: Mapping[SessionState, frozenset[SessionState]] = {
    SessionState.PROPOSED: frozenset((SessionState.PLANNED, *OVER)),
    SessionState.PLANNED: frozenset((SessionState.RUNNING, SessionState.PAUSED, *OVER)),
    SessionState.RUNNING: frozenset((SessionState.PAUSED, *OVER)),
    SessionState.PAUSED: frozenset((SessionState.PLANNED, *OVER)),
}
DEEDS = {
    Action.MIGRATE: Deed.MIGRATE,
    Action.LIVE_MIGRATE: Deed.LIVE_MIGRATE,
    Action.STOP: Deed.STOP,
    Action.TERMINATE: Deed.TERMINATE,
}
MOVES = (Action.MIGRATE, Action.LIVE_MIGRATE)
IN_TIME = (
    30.0  # seconds of a living Doctor within which a deadline is noticed, and that is kept on a bad disk
)
AT_THE_SAME_TIME = 1.0

R = TypeVar("R")


class Figures(NamedTuple):
    """What has happened in a run; ``twice`` counts machines that were moved more than once in a session."""

    sessions: int = 0
    emptied: int = 0
    failed: int = 0
    called_off: int = 0
    moves: int = 0
    twice: int = 0
    crashes_in_work: int = 0


class MaintenanceReferee:
    """Goes through one run; `broken` are the sentences on what should not have happened."""

    def __init__(self, world: MaintainedWorld) -> None:
        self.broken: list[str] = []
        self.sessions: dict[str, Session] = {}
        self.works: dict[tuple[str, str], HostWork] = {}
        self.responses: defaultdict[str, list[str]] = defaultdict(list)
        self.instructions: dict[str, Instruction] = {}
        self.moves: Counter[tuple[str, str]] = Counter()
        self._world = world
        self._since: dict[str, float] = {}  # hosts that are being emptied, or are empty, with since when
        self._running: dict[str, Instruction] = {}  # by machine: what maintenance is having done to it
        self._able = [*_able(world)]

    def judge(self) -> "MaintenanceReferee":
        """Go through all of it."""
        for row in self._world.deeds.rows:
            match row:
                case Kept():
                    self._kept(row.change, row.second)
                case Ended():
                    self._ended(row)
                case _:
                    pass
        for work in self.works.values():
            self._in_time(work, self._world.loop.time())
        return self

    @property
    def figures(self) -> Figures:
        """Return what has happened."""
        stages = Counter(one.stage for one in self.works.values())
        return Figures(
            sessions=len(self.sessions),
            emptied=sum(one.emptied is not None for one in self.works.values()),
            failed=stages[S.FAILED],
            called_off=stages[S.ABORTED],
            moves=sum(self.moves.values()),
            twice=sum(count > 1 for count in self.moves.values()),
            crashes_in_work=self._world.crashes_in_work,
        )

    def _says(self, second: float, sentence: str) -> None:
        self.broken.append(f"{sentence} ({second:.3f} s)")

    # --- what was kept ---

    def _kept(self, change: Change, second: float) -> None:
        for session in _records(change, SESSION_MEMO, Session):
            self._session(session, second)
        for work in _records(change, HOST_MEMO, HostWork):
            self._work(work, second)
        for instruction in _records(change, INSTRUCTION_MEMO, Instruction):
            if instruction.session_id is not None:
                self._instruction(instruction, second)
        for notification in change.notifications:
            if notification.subscription_id in self.sessions:
                self._response(notification.subscription_id, notification.notification_id, second)
        if change.fencing is not None:
            for job in change.fencing.jobs:
                began = self._since.get(job.host, second)
                if job.state is FenceState.AUTHORISED and second - began > AT_THE_SAME_TIME:
                    self._says(second, f"I-27: {job.host} is being cut off, and is in maintenance")

    def _session(self, session: Session, second: float) -> None:
        before = self.sessions.get(session.session_id)
        self.sessions[session.session_id] = session
        is_new = before is not None and session.state is not before.state
        if before is not None and is_new and session.state not in FOLLOWS.get(before.state, ()):
            self._says(second, f"I-26: a session was {before.state}, and is {session.state}")
        if before is not None and before.answered not in (None, session.answered):
            self._says(second, "I-26: a session is answered a second time")
        if session.state.is_over and session.answered is None:
            self._says(second, f"I-26: a session is {session.state}, and nobody is told")

    def _response(self, session_id: str, notification_id: str, second: float) -> None:
        self.responses[session_id].append(notification_id)
        if len(self.responses[session_id]) > 1:
            self._says(second, "I-26: the Administrator gets a second response")

    def _work(self, work: HostWork, second: float) -> None:
        key = work.session_id, work.host
        before, session = self.works.get(key), self.sessions[work.session_id]
        stage = None if before is None else before.stage
        self.works[key] = work
        if work.stage is not stage and work.stage not in AFTER[stage]:
            self._says(second, f"I-26: {work.host} was {stage}, and is {work.stage}")
        if stage is S.EMPTYING and before is not None:
            if work.deadline != before.deadline:
                self._says(
                    second, f"I-26: {work.host} was to be empty at {before.deadline}, and is now later"
                )
            if work.stage is not stage:
                self._in_time(before, second)
        if work.stage not in AWAY:
            self._since.pop(work.host, None)
        elif stage not in AWAY:
            self._begun(work, session, second)

    def _begun(self, work: HostWork, session: Session, second: float) -> None:
        if work.host in self._since:
            self._says(second, f"I-28: {work.host} is in two sessions")
        self._since[work.host] = second
        away = [one for one in self.works.values() if one.session_id == work.session_id and one.stage in AWAY]
        if session.at_once is not None and len(away) > session.at_once:
            self._says(second, f"I-28: {len(away)} hosts are away at once, and {session.at_once} may be")
        if session.state in (SessionState.PAUSED, SessionState.PROPOSED):
            self._says(second, f"I-26: {work.host} is begun while its session is {session.state}")

    def _in_time(self, work: HostWork, second: float) -> None:
        """See that a host is not emptied for longer than was said, but for the time that nobody could see to it."""
        if work.stage is not S.EMPTYING or work.deadline is None:
            return
        deadline = (work.deadline - START).total_seconds()
        late = sum(max(0.0, min(end, second) - max(begin, deadline)) for begin, end in self._able)
        if late > IN_TIME:
            self._says(second, f"I-26: {work.host} is still being emptied {late:.0f} s after its deadline")

    # --- what is done to machines ---

    def _instruction(self, instruction: Instruction, second: float) -> None:
        before = self.instructions.get(instruction.instruction_id)
        self.instructions[instruction.instruction_id] = instruction
        session = self.sessions[instruction.session_id or ""]
        task = instruction.tasks[0]
        machine, action = task.resource_id, instruction.action
        if action is Action.START:
            return
        if before is None and session.state is SessionState.PAUSED:
            self._says(second, f"I-26: {action} of {machine} is asked for while its session is paused")
        if before is None and task.target in self._since:
            self._says(second, f"I-28: {machine} is to go to {task.target}, which is to be emptied itself")
        was_running = before is not None and before.tasks[0].state is TaskState.RUNNING
        if task.state is TaskState.RUNNING and not was_running:
            self._begins(instruction, second)
        if task.state is TaskState.RUNNING:
            self._running[machine] = instruction
        elif self._running.get(machine) is not None and task.state.is_over:
            del self._running[machine]

    def _begins(self, instruction: Instruction, second: float) -> None:
        task, action = instruction.tasks[0], instruction.action
        machine = task.resource_id
        work = self.works.get((instruction.session_id or "", task.host or ""))
        if work is None or work.stage is not S.EMPTYING:
            stage = None if work is None else work.stage
            self._says(second, f"I-26: {action} of {machine} begins, and its host is {stage}")
        if DEEDS[action] not in self._world.agreed[machine]:
            self._says(second, f"[D 5.2.2]: {action} of {machine} begins, and its owner never agreed to that")
        out = [one for one in self._group(machine) if one in self._running or self._is_stopped(one)]
        most = self._world.limit_of(machine)
        if most is not None and len(out) >= most:
            self._says(
                second, f"I-28: {action} of {machine} begins while {sorted(out)} are away, and {most} may be"
            )

    def _group(self, machine: str) -> list[str]:
        groups = self._world.groups
        return [one for one, group in groups.items() if group == groups.get(machine) and one != machine]

    def _is_stopped(self, machine: str) -> bool:
        """Tell whether maintenance has shut a machine down, as far as is kept, and its host is not back yet."""
        return any(
            guest.resource_id == machine and guest.state is GuestState.STOPPED and guest.tries
            for work in self.works.values()
            if work.stage in AWAY
            for guest in work.guests
        )

    def start_failed(self, session_id: str, machine: str) -> bool:
        """Tell whether it was tried in vain to start a machine again after a session."""
        return any(
            one.session_id == session_id
            and one.action is Action.START
            and one.tasks[0].resource_id == machine
            and one.is_over
            and not one.is_acknowledged
            for one in self.instructions.values()
        )

    def _ended(self, ended: Ended) -> None:
        running = self._running.get(ended.command.resource_id)
        if ended.is_done and running is not None and ended.command.action in MOVES:
            self.moves[running.session_id or "", ended.command.resource_id] += 1


def judge_maintenance(world: MaintainedWorld, moment: str) -> tuple[list[str], Figures]:
    """Say all that is wrong at a moment when everybody has got everything, and what has happened so far."""
    referee = MaintenanceReferee(world).judge()
    broken = [*referee.broken, *_unanswered(referee)]
    if moment == "when all is well again":
        broken += _left_over(world, referee)
    return broken, referee.figures


def _unanswered(referee: MaintenanceReferee) -> Iterator[str]:
    """Exactly one response for each session that is over."""
    for session in referee.sessions.values():
        if session.state.is_over and session.reply_to and not referee.responses[session.session_id]:
            yield f"I-26: a session is {session.state}, and the Administrator has no response"


def _left_over(world: MaintainedWorld, referee: MaintenanceReferee) -> Iterator[str]:
    """When all is well every session is over, and what was shut down for one runs again."""
    for session in referee.sessions.values():
        if not session.state.is_over:
            yield f"I-26: a session is still {session.state}"
    machines = {one.id: one for one in world.cloud.content.virtual}
    last = {
        one.command.resource_id: one for one in world.deeds.rows if isinstance(one, Ended) and one.is_done
    }
    may_stay = {  # in this session, or in one after that
        guest.resource_id
        for work in referee.works.values()
        for guest in work.guests
        if work.emptied is not None and guest.tries and guest.resource_id in world.keeps_off
    }
    for work in referee.works.values():
        if not work.stage.is_over:
            yield f"I-26: {work.host} is still {work.stage}"
        for guest in work.guests:
            machine = machines.get(guest.resource_id)
            is_off = machine is not None and machine.vim_state == "stopped" and machine.host == work.host
            is_ours = guest.tries and guest.deed is Deed.STOP
            tried = referee.start_failed(work.session_id, guest.resource_id)
            was_it = last.get(guest.resource_id)
            if was_it is None or was_it.command.action is not Action.STOP:
                continue
            if is_off and is_ours and guest.resource_id not in may_stay and not tried:
                yield f"I-26: {guest.resource_id} was shut down for {work.host}, which is {work.stage}, and stays so"


def _records(change: Change, kind: str, type_: type[R]) -> Iterator[R]:
    for memo in change.memos:
        if memo.kind == kind and memo.record is not None:
            yield msgspec.msgpack.decode(memo.record, type=type_)


def _able(world: MaintainedWorld) -> Iterator[tuple[float, float]]:
    """Return when there was a Doctor who could do something."""
    since: float | None = None
    for line in world.trace.lines:
        if not line.who.startswith("doctor-"):
            continue
        if line.what in ("is ready", "goes on") and since is None:
            since = line.second
        elif line.what in ("dies", "pauses") and since is not None:
            yield since, line.second
            since = None
    if since is not None:
        yield since, world.loop.time()
