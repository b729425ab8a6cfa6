"""Whether a task may begin now, waits, or never will: nothing starts elsewhere before its host is isolated [I-15].

It is asked again at each change of what it depends on, and once more between record and command.
"""

from datetime import datetime
from typing import NamedTuple

from doctor.model.instruction import Action, Instruction, Task, TaskState
from doctor.model.resource import STORAGE, VIRTUAL_MACHINE, Isolation
from doctor.recovery.rules import RULES, Facts, HostMust, needs_isolation

_WAITS = {
    Isolation.NOT_REQUIRED: "its host is not isolated yet",
    Isolation.PENDING: "its host is being isolated",
    Isolation.FAILED: "its host could not be isolated so far; a person has been called",
}


class Go(NamedTuple):
    """It may begin."""


class Wait(NamedTuple):
    """Not yet; ``state`` is what is shown meanwhile."""

    state: TaskState
    reason: str


class Over(NamedTuple):
    """It will not be done any more."""

    reason: str


def gate(instruction: Instruction, task: Task, facts: Facts | None, now: datetime) -> Go | Wait | Over:
    """Decide on a task that has not begun; ``facts`` None: there is no such machine any more."""
    action = instruction.action
    if facts is None:
        return Over("it is gone")
    if facts.machine.type != VIRTUAL_MACHINE:
        return _of_others(instruction, facts, now)
    if facts.machine.host != task.host:
        return Over("it was moved meanwhile")
    must = RULES[action].host
    if must is HostMust.BE_OUT and not facts.host_state.is_out:
        return Over("its host is back: nothing was done")
    if must is HostMust.WORK and facts.host_state.is_out:
        return Over("its host has failed meanwhile: evacuate it")
    waiting = _waits(instruction, action, facts)
    if now >= instruction.deadline:
        return Over(f"not begun by its deadline{f': {waiting.reason}' if waiting else ''}")
    return waiting or Go()


def _of_others(instruction: Instruction, facts: Facts, now: datetime) -> Go | Over:
    """Decide on a port or a volume: it waits for nothing, wherever its machine is."""
    if facts.machine.type == STORAGE and facts.state.is_out:
        return Over("what it is stored on has failed meanwhile")
    return Over("not begun by its deadline") if now >= instruction.deadline else Go()


def _waits(instruction: Instruction, action: Action, facts: Facts) -> Wait | None:
    if needs_isolation(action, facts) and facts.isolation is not Isolation.ISOLATED:
        return Wait(TaskState.WAITING_FOR_ISOLATION, _WAITS[facts.isolation])
    if RULES[action].host is HostMust.WORK and facts.isolation is Isolation.ISOLATED:
        return Wait(TaskState.QUEUED, "its host is isolated, and has to be given back first")
    if action is Action.START and facts.isolation is not Isolation.NOT_REQUIRED:
        return Wait(TaskState.QUEUED, "its host has not been given back yet")
    constraints = facts.machine.constraints
    most = None if constraints is None else constraints.max_out
    # What an owner shuts down himself is his affair; with what is shut down for work on hosts his group keeps its limit.
    is_for_work = instruction.session_id is not None and action in (Action.STOP, Action.TERMINATE)
    takes_away = is_for_work or RULES[action].interrupts is not None
    if most is not None and facts.serves and takes_away and facts.others_away >= most:
        return Wait(
            TaskState.QUEUED, f"{facts.others_away} others of its group are away, and {most} may be at once"
        )
    return None
