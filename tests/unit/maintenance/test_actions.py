"""Which action is next: one after the other, and none after one that has failed."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.maintenance.actions import (
    Begin,
    Course,
    Failed,
    Over,
    Wait,
    begun,
    course,
    ended,
    in_words,
    running,
)
from doctor.maintenance.book import MaintenanceBook
from doctor.maintenance.stages import (
    Trigger,
    comes_back,
    given_back,
    has_stayed_away,
    may_begin,
    moved,
    outcome,
    watched,
)
from doctor.model.fault import ResourceState
from doctor.model.maintenance import HostStage, SessionState, Versions
from doctor.model.maintenance_action import ActionWish, Done, Moment, NotDone, Run, RunState
from tests.unit.maintenance.test_stages import MINUTE, session, work
from tests.unit.recovery.machines import NOON

M, S = Moment, HostStage
NORMAL, DOWN = ResourceState.NORMAL, ResourceState.DOWN


def run(name: str, state: RunState, moment: Moment = M.HOST, number: int = 1, **more: Any) -> Run:
    """Return a run."""
    usual: dict[str, Any] = {"began": NOON, "deadline": NOON + MINUTE}
    return Run(
        run_id=f"{name}-{number}", moment=moment, name=name, number=number, state=state, **{**usual, **more}
    )


A_RUNS, A_FAILED, A_DONE = (
    run("a", state) for state in (RunState.RUNNING, RunState.FAILED, RunState.SUCCEEDED)
)
A_AGAIN = run("a", RunState.SUCCEEDED, number=2)
B_DONE = run("b", RunState.SUCCEEDED)


@pytest.mark.parametrize(
    ("names", "runs", "expected"),
    [
        pytest.param((), (), Over(), id="nothing-asked-for"),
        pytest.param(("a", "b"), (), Begin("a"), id="the-first"),
        pytest.param(("a", "b"), (A_RUNS,), Wait(A_RUNS), id="under-way"),
        pytest.param(("a", "b"), (A_FAILED,), Failed(A_FAILED), id="none-after-a-failure"),
        pytest.param(("a", "b"), (A_DONE,), Begin("b"), id="the-next"),
        pytest.param(("a", "b"), (A_FAILED, A_AGAIN), Begin("b"), id="the-last-run-counts"),
        pytest.param(("a", "b"), (A_DONE, B_DONE), Over(), id="all"),
        pytest.param(("a",), (run("a", RunState.SUCCEEDED, M.PRE),), Begin("a"), id="another-moment"),
    ],
)
def test_one_after_the_other(names: tuple[str, ...], runs: tuple[Run, ...], expected: Course) -> None:
    assert course(names, M.HOST, runs) == expected


def test_a_run_has_the_same_id_for_whoever_makes_it() -> None:
    first = begun("s", "compute-1", M.HOST, "a", (), NOON, MINUTE)
    assert first == replace(begun("s", "compute-1", M.HOST, "a", (), NOON, MINUTE))
    assert (first.number, first.deadline) == (1, NOON + MINUTE)
    others = [
        begun("s", "compute-2", M.HOST, "a", (), NOON, MINUTE),
        begun("s", None, M.PRE, "a", (), NOON, MINUTE),
        begun("s", None, M.POST, "a", (), NOON, MINUTE),
        begun("s", "compute-1", M.HOST, "a", (first,), NOON, MINUTE),
    ]
    assert len({first.run_id, *(one.run_id for one in others)}) == 5
    assert others[-1].number == 2


def test_a_run_ends_once() -> None:
    runs = (A_DONE, run("b", RunState.RUNNING))
    failed = ended(runs, "b-1", NotDone("no"), NOON)
    assert (failed[1].state, failed[1].detail, failed[1].ended) == (RunState.FAILED, "no", NOON)
    assert ended(failed, "b-1", Done("late"), NOON) == failed
    assert ended(runs, "b-1", Done("yes"), NOON)[1].state is RunState.SUCCEEDED
    assert running(runs) == runs[1]
    assert running(failed) is None
    assert in_words(failed[1]) == "action b failed: no"
    assert in_words(replace(failed[1], moment=M.POST)) == "post action b failed: no"


# --- what it means for a session ---

WISHES = (ActionWish(M.PRE, "a"), ActionWish(M.HOST, "a"), ActionWish(M.POST, "a"))
PRE_DONE, POST_DONE = run("a", RunState.SUCCEEDED, M.PRE), run("a", RunState.SUCCEEDED, M.POST)
POST_FAILED = run("a", RunState.FAILED, M.POST, detail="no")


def test_the_answer_waits_for_what_is_done_afterwards() -> None:
    back = work(S.RETURNED, runs=(A_DONE,))
    asked = session(actions=WISHES, runs=(PRE_DONE,))
    assert outcome(asked, [work(S.EMPTY)]) is None
    assert outcome(asked, [back]) is None
    assert outcome(replace(asked, runs=(PRE_DONE, run("a", RunState.RUNNING, M.POST))), [back]) is None
    assert outcome(replace(asked, runs=(PRE_DONE, POST_DONE)), [back]) == (SessionState.DONE, "")
    failed = outcome(replace(asked, runs=(PRE_DONE, POST_FAILED)), [back])
    assert failed == (SessionState.FAILED, "post action a failed: no")
    half_done = work(S.RETURNED, runs=(replace(A_FAILED, detail="no"),))
    said = outcome(replace(asked, runs=(PRE_DONE, POST_DONE)), [half_done])
    assert said == (SessionState.FAILED, "compute-1: action a failed: no")


def test_what_fails_beforehand_is_the_answer() -> None:
    asked = session(actions=WISHES, runs=(run("a", RunState.FAILED, M.PRE, detail="no"),))
    assert outcome(asked, [work(S.FAILED)]) == (SessionState.FAILED, "pre action a failed: no")
    assert outcome(replace(asked, runs=()), [work(S.ABORTED, reason="why")]) == (SessionState.ABORTED, "why")


def test_a_host_whose_action_has_failed_keeps_no_other_one_waiting() -> None:
    asked = session("h-0", "h-1", at_once=1)
    waiting = work(S.WAITING, host="h-1")
    assert may_begin(asked, [work(S.EMPTY, host="h-0", runs=(A_RUNS,)), waiting], NOON) == []
    assert may_begin(asked, [work(S.EMPTY, host="h-0", runs=(A_FAILED,)), waiting], NOON) == [waiting]
    assert work(S.EMPTY, runs=(A_FAILED,)).is_unfinished
    assert not work(S.EMPTY, runs=(A_DONE,)).is_unfinished
    assert not work(S.EMPTY).is_unfinished


# --- hosts that come back, and hosts that do not ---

OLD, NEW = Versions(firmware="1"), Versions(firmware="2")


def test_a_host_that_was_worked_on_is_watched_for_a_while() -> None:
    back = given_back(work(S.EMPTY), Trigger.GIVE_BACK, NOON, OLD, MINUTE)
    assert (back.stage, back.watched_until, back.after, back.back) == (S.RETURNED, NOON + MINUTE, OLD, None)
    assert given_back(work(S.WAITING), Trigger.ABORT, NOON, None, MINUTE, "why").watched_until is None
    assert watched(back, DOWN, NEW, NOON) == back
    seen = watched(back, NORMAL, NEW, NOON + MINUTE / 2)
    assert (seen.back, seen.after, seen.watched_until) == (NOON + MINUTE / 2, NEW, NOON + MINUTE)
    assert watched(seen, NORMAL, None, NOON + MINUTE / 2) == seen
    assert watched(seen, DOWN, OLD, NOON + MINUTE).watched_until is None
    assert not has_stayed_away(watched(seen, DOWN, OLD, NOON + MINUTE), DOWN)
    late = watched(back, DOWN, None, NOON + MINUTE)
    assert has_stayed_away(late, DOWN)
    assert not has_stayed_away(late, NORMAL)
    assert not has_stayed_away(back, DOWN)


def test_a_host_is_waited_for_when_its_actions_are_done() -> None:
    done = work(S.EMPTY, runs=(replace(A_DONE, ended=NOON),))
    assert comes_back(done, NORMAL, MINUTE, NOON) is True
    assert comes_back(done, DOWN, MINUTE, NOON) == NOON + MINUTE
    assert comes_back(done, DOWN, MINUTE, NOON + MINUTE) is False
    assert moved(done, Trigger.GIVE_UP, NOON).stage is S.FAILED


def test_silence_is_expected_while_a_host_is_worked_on_and_no_longer() -> None:
    book = MaintenanceBook([session()], [work(S.EMPTYING)])
    second = timedelta(seconds=1)
    assert not book.expects("compute-1", NOON)
    assert not book.expects("compute-9", NOON)
    empty = moved(work(S.EMPTYING), Trigger.EMPTIED, NOON)
    book.put_host(empty)
    assert book.expects("compute-1", NOON)
    assert not book.expects("compute-1", NOON - second)  # that was before: a fault
    back = given_back(empty, Trigger.GIVE_BACK, NOON + MINUTE, OLD, MINUTE)
    book.put_host(back)
    assert book.watched == [back]
    assert book.has_work
    assert book.expects("compute-1", NOON + MINUTE)
    assert not book.expects("compute-1", NOON + MINUTE + second)  # it was back, and failed
    book.put_host(watched(back, NORMAL, OLD, NOON + MINUTE))
    assert not book.expects("compute-1", NOON)
    book.put_host(watched(back, DOWN, OLD, NOON + 2 * MINUTE))
    assert book.watched == []
    assert not book.expects("compute-1", NOON)
    again = MaintenanceBook([session()], [back])
    again.put(session(state=SessionState.DONE))
    assert again.has_work
    again.forget("s")
    assert not again.has_work
