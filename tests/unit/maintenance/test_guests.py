"""What becomes of a machine whose host is to be emptied: tables."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.maintenance.guests import Sight, again_at, allowed, decided, looked_at, opened, waits
from doctor.maintenance.policies import flaws
from doctor.model.instruction import TaskState
from doctor.model.maintenance import (
    Decider,
    Deed,
    Guest,
    GuestState,
    HostWork,
    MaintenanceLimits,
    MaintenancePolicy,
)
from doctor.model.resource import Constraints
from doctor.model.scope import Scope, ScopeKind
from tests.unit.recovery.machines import NOON, facts, task

D, G = Deed, GuestState
MINUTE = timedelta(minutes=1)
HOST = "compute-1"
LIMITS = MaintenanceLimits()


def policy(action: Deed = D.ASK, **more: Any) -> MaintenancePolicy:
    return MaintenancePolicy(project="red", scope=Scope(ScopeKind.MACHINE, "vm-1"), action=action, **more)


def guest(state: GuestState = G.ASKED, **more: Any) -> Guest:
    usual: dict[str, Any] = {"told": NOON, "reply_by": NOON + 10 * MINUTE}
    return Guest(resource_id="vm-1", owner="red", state=state, **{**usual, **more})


def look(one: Guest, sight: Sight, minutes: float = 1) -> Guest:
    return looked_at(one, HOST, sight, NOON + minutes * MINUTE, LIMITS)


HERE = Sight(facts())
OFF = Sight(facts(vim_state="stopped"))
ELSEWHERE = Sight(facts(host="compute-2"))
AGREED = guest(G.AGREED, deed=D.MIGRATE, decided_by=Decider.OWNER)
MOVING = guest(G.MOVING, deed=D.MIGRATE, tries=("i-1",), attempts=1)


def ended(state: TaskState, **more: Any) -> Sight:
    return Sight(facts(), task=task(state=state, ended=NOON + MINUTE, **more))


@pytest.mark.parametrize(
    ("before", "sight", "minutes", "state", "reason"),
    [
        pytest.param(guest(), Sight(None), 1, G.AWAY, "", id="gone"),
        pytest.param(guest(), ELSEWHERE, 1, G.AWAY, "", id="somewhere-else"),
        pytest.param(guest(), HERE, 1, G.ASKED, "", id="no-answer-yet"),
        pytest.param(guest(), HERE, 10, G.STAYS, "its owner has not answered", id="no-answer"),
        pytest.param(
            guest(), Sight(facts(), policy(if_silent=D.MIGRATE)), 10, G.AGREED, "", id="silence-counts"
        ),
        pytest.param(guest(), Sight(facts(), policy(D.STOP)), 1, G.AGREED, "", id="said-since"),
        pytest.param(guest(), OFF, 1, G.STOPPED, "", id="somebody-has-stopped-it"),
        pytest.param(guest(G.STAYS, deed=D.LEAVE), OFF, 1, G.STOPPED, "", id="stays-and-is-off"),
        pytest.param(guest(G.STAYS, deed=D.LEAVE), HERE, 99, G.STAYS, "", id="stays"),
        pytest.param(guest(G.STOPPED), OFF, 1, G.STOPPED, "", id="off"),
        pytest.param(guest(G.STOPPED), HERE, 1, G.ASKED, "", id="somebody-has-started-it"),
        pytest.param(guest(G.STOPPED, deed=D.STOP), HERE, 1, G.AGREED, "", id="somebody-has-undone-it"),
        pytest.param(guest(G.AWAY), HERE, 1, G.ASKED, "", id="it-came-back-unasked"),
        pytest.param(guest(G.AWAY, deed=D.MIGRATE), HERE, 1, G.AGREED, "", id="it-came-back"),
        pytest.param(guest(G.AWAY, deed=D.LEAVE), HERE, 1, G.STAYS, "", id="it-came-back-to-stay"),
        pytest.param(guest(G.STOPPED, deed=D.LEAVE), HERE, 1, G.STAYS, "", id="it-runs-again-and-stays"),
        pytest.param(AGREED, HERE, 1, G.AGREED, "", id="its-turn"),
        pytest.param(AGREED, ended(TaskState.RUNNING), 1, G.MOVING, "", id="under-way"),
        pytest.param(MOVING, ended(TaskState.SUCCEEDED), 1, G.MOVING, "", id="the-map-is-behind"),
        pytest.param(MOVING, ended(TaskState.SUCCEEDED), 5, G.AGREED, "it is still here", id="it-is-not-so"),
        pytest.param(
            MOVING,
            ended(TaskState.SUCCEEDED)._replace(as_of=NOON),
            5,
            G.MOVING,
            "",
            id="the-map-was-not-read-since",
        ),
        pytest.param(
            MOVING,
            ended(TaskState.SUCCEEDED)._replace(as_of=NOON + 2 * MINUTE),
            5,
            G.AGREED,
            "it is still here",
            id="the-map-was-read-since",
        ),
        pytest.param(
            MOVING, ended(TaskState.FAILED, reason="no room"), 1, G.AGREED, "no room", id="once-more"
        ),
        pytest.param(
            replace(MOVING, attempts=3),
            ended(TaskState.FAILED, reason="no room"),
            1,
            G.STUCK,
            "tried 3 times: no room",
            id="often-enough",
        ),
        pytest.param(MOVING, HERE, 1, G.AGREED, "it is still here", id="forgotten"),
        pytest.param(
            guest(G.MOVING, deed=D.STOP, tries=("i-1",), attempts=1),
            Sight(facts(vim_state="stopped"), task=task(state=TaskState.SUCCEEDED, ended=NOON)),
            1,
            G.STOPPED,
            "",
            id="shut-down",
        ),
    ],
)
def test_a_look(before: Guest, sight: Sight, minutes: float, state: GuestState, reason: str) -> None:
    after = look(before, sight, minutes)
    assert (after.state, after.reason) == (state, reason)
    assert after.resource_id == "vm-1"


def test_a_host_to_which_it_failed_is_avoided_and_it_is_tried_again_after_a_while() -> None:
    after = look(MOVING, ended(TaskState.FAILED, target="compute-7"))
    assert (after.avoid, after.retry_at) == (("compute-7",), NOON + MINUTE + LIMITS.retry_after)
    assert waits(after, HERE, NOON + MINUTE) == "it is still here"
    assert waits(after, HERE, NOON + 2 * MINUTE) == ""


@pytest.mark.parametrize(
    ("one", "sight", "says"),
    [
        pytest.param(AGREED, HERE, "", id="nothing-is-in-the-way"),
        pytest.param(replace(AGREED, deed=D.OWN_ACTION), HERE, "himself", id="own-action"),
        pytest.param(AGREED, Sight(facts(), policy(lead_time=5 * MINUTE)), "more notice", id="lead-time"),
        pytest.param(AGREED, Sight(facts(role="ACT")), "", id="active-without-a-standby"),
        pytest.param(
            replace(AGREED, ready=True), Sight(facts(), policy(lead_time=5 * MINUTE)), "", id="ready-at-once"
        ),
        pytest.param(
            replace(AGREED, ready=True),
            Sight(facts(role="ACT"), standby=True),
            "",
            id="ready-is-switched-over",
        ),
        pytest.param(AGREED, Sight(facts(role="ACT"), standby=True), "taken over", id="not-switched-over"),
        pytest.param(
            replace(AGREED, switched_over=True),
            Sight(facts(role="ACT"), standby=True),
            "",
            id="switched-over",
        ),
        pytest.param(
            AGREED,
            Sight(facts(role="ACT"), policy(await_switch_over=False), standby=True),
            "",
            id="its-owner-does-not-mind",
        ),
        pytest.param(
            AGREED,
            Sight(facts(role="ACT"), policy(await_switch_over=False), standby=True, standby_here=True),
            "leaves first",
            id="the-standby-first",
        ),
        pytest.param(AGREED, Sight(facts(), recovering_until=NOON + 2 * MINUTE), "recovers", id="recovery"),
        pytest.param(AGREED, Sight(facts(occupied_by="i-9")), "i-9 is under way", id="occupied"),
        pytest.param(AGREED, Sight(None), "", id="gone"),
    ],
)
def test_why_it_is_not_its_turn(one: Guest, sight: Sight, says: str) -> None:
    found = waits(one, sight, NOON + MINUTE)
    assert says in found
    assert bool(says) is bool(found)


def test_the_word_of_the_switch_over_is_remembered() -> None:
    after = look(AGREED, Sight(facts(role="ACT"), standby=True, switched_over=True))
    assert after.switched_over


def test_what_the_constraints_forbid_is_neither_offered_nor_done() -> None:
    sight = Sight(facts(constraints=Constraints(live_migration=False)))
    assert D.LIVE_MIGRATE not in allowed(sight)
    assert allowed(sight)[0] is D.MIGRATE
    after = decided(guest(), D.LIVE_MIGRATE, Decider.POLICY, sight, NOON)
    assert (after.state, after.reason) == (G.STAYS, "its constraints forbid live migration")


def test_what_its_owner_does_not_tolerate_is_neither_offered_nor_done() -> None:
    sight = Sight(facts(), policy(tolerated_interruption=2.0))
    assert D.MIGRATE not in allowed(sight)
    assert D.LIVE_MIGRATE in allowed(sight)


def test_of_what_is_gone_anything_may_be_said() -> None:
    assert D.MIGRATE in allowed(Sight(None))


def test_what_is_off_already_is_out_of_the_way_and_is_not_started_afterwards() -> None:
    one = facts(vim_state="stopped")
    made = opened(one.machine, Sight(one), NOON, NOON + MINUTE)
    assert made.state is G.STOPPED
    assert not HostWork(session_id="s", host="compute-1", guests=(made,)).has_shut_down(made.resource_id)


def test_what_somebody_starts_during_the_work_and_is_shut_down_for_it_is_started_afterwards() -> None:
    """It was off already because of the session before, and was being started again."""
    made = opened(facts(vim_state="stopped").machine, Sight(facts(vim_state="stopped")), NOON, NOON + MINUTE)
    started = look(made, Sight(facts()))
    assert started.state is G.ASKED
    agreed = decided(started, D.STOP, Decider.OWNER, Sight(facts()), NOON)
    off = look(replace(agreed, state=G.MOVING, tries=("a",)), Sight(facts(vim_state="stopped")))
    assert HostWork(session_id="s", host="compute-1", guests=(off,)).has_shut_down(off.resource_id)


@pytest.mark.parametrize("deed", [D.STOP, D.LIVE_MIGRATE, D.LEAVE])
def test_what_is_said_of_a_machine_that_is_off_counts_should_it_be_started(deed: Deed) -> None:
    """What was shut down for the work stays known for that, whatever its owner says then."""
    off = guest(G.STOPPED, deed=D.STOP, tries=("a",), attempts=1)
    after = decided(off, deed, Decider.OWNER, Sight(facts()), NOON)
    assert (after.state, after.deed, after.tries) == (G.STOPPED, deed, ("a",))
    assert look(after, Sight(facts())).state is (G.STAYS if deed is D.LEAVE else G.AGREED)


def test_another_answer_begins_anew() -> None:
    stuck = guest(G.STUCK, deed=D.MIGRATE, attempts=3, tries=("a", "b", "c"), avoid=("compute-7",))
    after = decided(stuck, D.STOP, Decider.OWNER, HERE, NOON)
    assert (after.state, after.attempts, after.avoid, after.tries) == (G.AGREED, 0, (), ("a", "b", "c"))


def test_when_time_alone_changes_something() -> None:
    known = Sight(facts(), policy(lead_time=MINUTE), recovering_until=NOON + 3 * MINUTE)
    assert list(again_at(guest(), HERE)) == [NOON + 10 * MINUTE]
    assert list(again_at(replace(AGREED, retry_at=NOON + 2 * MINUTE), known)) == [
        NOON + MINUTE,
        NOON + 2 * MINUTE,
        NOON + 3 * MINUTE,
    ]
    assert list(again_at(guest(G.AWAY), HERE)) == list(again_at(AGREED, HERE)) == []


@pytest.mark.parametrize(
    ("said", "pointers"),
    [
        pytest.param(policy(), [], id="ask"),
        pytest.param(policy(D.LIVE_MIGRATE, tolerated_interruption=1.0), [], id="tolerated"),
        pytest.param(policy(D.OWN_ACTION), ["/action"], id="beforehand-nobody-acts"),
        pytest.param(policy(if_silent=D.ASK), ["/if_silent"], id="silence-asks-nobody"),
        pytest.param(policy(D.STOP, if_silent=D.MIGRATE), ["/if_silent"], id="nobody-is-asked"),
        pytest.param(policy(D.MIGRATE, tolerated_interruption=1.0), ["/action"], id="takes-too-long"),
        pytest.param(
            policy(if_silent=D.MIGRATE, tolerated_interruption=1.0), ["/if_silent"], id="takes-too-long-too"
        ),
    ],
)
def test_a_policy_that_is_wrong_says_where(said: MaintenancePolicy, pointers: list[str]) -> None:
    assert [one.pointer for one in flaws(said)] == pointers
