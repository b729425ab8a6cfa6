"""When a task may begin: tables, and the one rule that no combination of facts may break."""

import itertools
from datetime import timedelta

import pytest
from msgspec.structs import replace

from doctor.model.fault import ResourceState
from doctor.model.instruction import Action, Progress, Stage, TaskState
from doctor.model.resource import NIC, STORAGE, Constraints, Isolation
from doctor.recovery.course import Done, Failed, Tell, Watch, course
from doctor.recovery.gate import Go, Over, Wait, gate
from doctor.recovery.rules import Facts
from tests.unit.recovery.machines import NOON, dead, facts, instruction, other, task

A, I = Action, Isolation  # noqa: E741 - as the table reads best
MINUTE = timedelta(minutes=1)
ONE_OUT = Constraints(max_out=1)
ISOLATION, QUEUED = TaskState.WAITING_FOR_ISOLATION, TaskState.QUEUED


@pytest.mark.parametrize(
    ("action", "known", "outcome"),
    [
        pytest.param(A.EVACUATE, dead(I.ISOLATED), Go(), id="isolated"),
        pytest.param(A.EVACUATE, dead(I.PENDING), (ISOLATION, "being isolated"), id="pending"),
        pytest.param(A.EVACUATE, dead(I.FAILED), (ISOLATION, "a person"), id="isolation-failed"),
        pytest.param(A.EVACUATE, facts(), "is back", id="the-host-is-back"),
        pytest.param(A.REBUILD, dead(I.PENDING), (ISOLATION, "being isolated"), id="rebuild-elsewhere"),
        pytest.param(A.REBUILD, facts(), Go(), id="rebuild-in-place"),
        pytest.param(A.TERMINATE, dead(I.PENDING), (ISOLATION, "being isolated"), id="its-volumes-are-freed"),
        pytest.param(A.TERMINATE, facts(), Go(), id="terminate"),
        pytest.param(A.UPDATE, dead(I.PENDING), Go(), id="update"),
        pytest.param(A.MIGRATE, dead(I.ISOLATED), "failed meanwhile", id="the-host-has-failed"),
        pytest.param(A.MIGRATE, facts(host="compute-2"), "moved", id="it-was-moved"),
        pytest.param(A.MIGRATE, facts(constraints=ONE_OUT), Go(), id="none-away"),
        pytest.param(
            A.MIGRATE, facts(constraints=ONE_OUT, others_away=1), (QUEUED, "1 may be at once"), id="one-away"
        ),
        pytest.param(
            A.EVACUATE, dead(I.ISOLATED, constraints=ONE_OUT, others_away=1), Go(), id="it-is-away-itself"
        ),
        pytest.param(
            A.REBOOT, facts(isolation=I.ISOLATED), (QUEUED, "to be given back"), id="a-host-that-is-off"
        ),
        pytest.param(A.MIGRATE, facts(isolation=I.FAILED), Go(), id="away-from-a-host-of-doubt"),
        pytest.param(
            A.START, facts(isolation=I.PENDING), (QUEUED, "not been given back"), id="not-given-back-yet"
        ),
        pytest.param(A.STOP, None, "gone", id="gone"),
        pytest.param(A.STOP, other(NIC), Go(), id="a-port-wherever-it-is"),
        pytest.param(A.START, other(NIC, isolation=I.PENDING), Go(), id="a-port-on-a-host-in-doubt"),
        pytest.param(A.START, other(STORAGE), Go(), id="a-volume"),
        pytest.param(
            A.START, other(STORAGE, state=ResourceState.ERROR), "stored on has failed", id="no-storage"
        ),
    ],
)
def test_when_a_task_may_begin(action: Action, known: Facts | None, outcome: object) -> None:
    match gate(instruction(action), task(), known, NOON):
        case Wait(state, reason):
            assert isinstance(outcome, tuple)
            assert state is outcome[0]
            assert outcome[1] in reason
        case Over(reason):
            assert isinstance(outcome, str)
            assert outcome in reason
        case went:
            assert went == outcome


@pytest.mark.parametrize("action", [A.STOP, A.TERMINATE])
def test_what_is_shut_down_for_work_on_its_host_keeps_to_the_limit_of_its_group(action: Action) -> None:
    """[I-28] What its owner shuts down himself is his affair."""
    known = facts(constraints=ONE_OUT, others_away=1)
    assert gate(instruction(action), task(), known, NOON) == Go()
    held = gate(replace(instruction(action), session_id="s-1"), task(), known, NOON)
    assert isinstance(held, Wait)
    assert "1 may be at once" in held.reason


@pytest.mark.parametrize("isolation", [I.PENDING, I.ISOLATED])
def test_nothing_begins_after_the_deadline(isolation: Isolation) -> None:
    """Whoever asked was told by then that it was not done, and has done something else."""
    decided = gate(instruction(A.EVACUATE), task(), dead(isolation), NOON + MINUTE)
    assert isinstance(decided, Over)
    assert "deadline" in decided.reason


def test_no_machine_is_freed_from_a_dead_host_that_is_not_isolated() -> None:
    """[I-15] Whatever else is so."""
    for action, state, host_state, isolation, away in itertools.product(
        A, ResourceState, ResourceState, I, (0, 1)
    ):
        known = facts(state=state, host_state=host_state, isolation=isolation, others_away=away)
        if action in (A.EVACUATE, A.REBUILD, A.TERMINATE) and host_state.is_out:
            went = gate(instruction(action), task(), known, NOON) == Go()
            assert went is (isolation is I.ISOLATED)


@pytest.mark.parametrize(
    ("progress", "step"),
    [
        pytest.param(Progress(Stage.UNTOUCHED), Tell(), id="nobody-was-told"),
        pytest.param(Progress(Stage.RUNNING, detail="rebuilding"), Watch("rebuilding"), id="under-way"),
        pytest.param(Progress(Stage.HALTED), Tell(), id="it-waits-for-a-second-word"),
        pytest.param(Progress(Stage.SUCCEEDED), Done(), id="done"),
        pytest.param(Progress(Stage.FAILED, detail="no room"), Failed("no room"), id="failed"),
        pytest.param(Progress(Stage.FAILED), Failed("the controller could not do it"), id="without-a-word"),
    ],
)
def test_a_command_goes_on_by_what_has_become_of_it(progress: Progress, step: object) -> None:
    assert course(progress) == step


def test_an_instruction_is_acknowledged_if_all_of_it_was_done() -> None:
    one = instruction(A.STOP, task(), task(resource_id="vm-2"))
    assert (one.is_over, one.ended) == (False, None)
    one = one.with_task(task(TaskState.SUCCEEDED, ended=NOON))
    assert not one.is_over
    over = one.with_task(task(TaskState.SUCCEEDED, resource_id="vm-2", ended=NOON + MINUTE))
    assert (over.is_over, over.is_acknowledged, over.ended) == (True, True, NOON + MINUTE)
    assert not one.with_task(task(TaskState.REFUSED, resource_id="vm-2")).is_acknowledged
    known = one.task("vm-2")
    assert known is not None
    assert known.state is TaskState.QUEUED
    assert one.task("vm-3") is None
