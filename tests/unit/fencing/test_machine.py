"""The table of states: what leads where, and that nothing else does."""

from datetime import timedelta

import pytest

from doctor.fencing.machine import (
    RESTING,
    TRANSITIONS,
    Trigger,
    begins_anew,
    isolation_of,
    may_return_at,
    moved,
    noted,
    silent_before,
    suspected,
)
from doctor.model.fence_job import FenceJob, FenceState
from doctor.model.resource import Isolation
from doctor.testing.clock import START

SECOND = timedelta(seconds=1)
WAY = (
    Trigger.AUTHORISE,
    Trigger.BEGIN,
    Trigger.READS_OFF,
    Trigger.CONFIRM,
    Trigger.RETURN,
    Trigger.READS_ON,
    Trigger.SETTLE,
)


def job() -> FenceJob:
    return suspected("compute-1", "az-1", "fault-1", None, epoch=1, now=START)


def after(*triggers: Trigger) -> FenceJob:
    one = job()
    for number, trigger in enumerate(triggers, 1):
        one = moved(one, trigger, epoch=1, now=START + number * SECOND)
    return one


def in_state(state: FenceState) -> FenceJob:
    return FenceJob(
        host="compute-1",
        zone="az-1",
        generation=1,
        revision=1,
        state=state,
        fault_key="fault-1",
        since=START,
        changed=START,
    )


def test_the_way_there_and_back() -> None:
    states = [after(*WAY[:number]).state.value for number in range(len(WAY) + 1)]
    assert states == [
        "suspect",
        "authorised",
        "attempt",
        "confirming",
        "fenced",
        "unfencing",
        "observed",
        "normal",
    ]


@pytest.mark.parametrize("state", FenceState)
@pytest.mark.parametrize("trigger", Trigger)
def test_what_is_not_in_the_table_is_a_mistake(state: FenceState, trigger: Trigger) -> None:
    one = in_state(state)
    wanted = TRANSITIONS.get((state, trigger))
    if wanted is None:
        with pytest.raises(LookupError, match=f"compute-1 is {state}: {trigger} leads nowhere"):
            moved(one, trigger, epoch=2, now=START)
    else:
        found = moved(one, trigger, epoch=2, now=START + SECOND)
        assert (found.state, found.revision, found.epoch) == (wanted, 2, 2)


def test_isolated_is_reached_by_a_confirmation_or_the_word_of_people_only() -> None:
    """[I-16]"""
    ways = {trigger for (_, trigger), state in TRANSITIONS.items() if state is FenceState.FENCED}
    assert ways == {Trigger.CONFIRM, Trigger.VOUCH}
    assert {state for state in FenceState if isolation_of(in_state(state)) is Isolation.ISOLATED} == {
        FenceState.FENCED
    }


def test_power_comes_back_by_a_person_only() -> None:
    ways = {trigger for (_, trigger), state in TRANSITIONS.items() if state is FenceState.UNFENCING}
    assert ways == {Trigger.RETURN}


def test_every_state_can_be_reached_and_leads_to_an_end() -> None:
    reached, waiting = {FenceState.SUSPECT}, [FenceState.SUSPECT]
    while waiting:
        here = waiting.pop()
        found = {state for (before, _), state in TRANSITIONS.items() if before is here} - reached
        reached |= found
        waiting += found
    assert reached == set(FenceState)
    assert {state for state in FenceState if not any(before is state for before, _ in TRANSITIONS)} == RESTING


def test_levels_are_counted_and_each_attempt_is_a_command_that_may_have_gone_out() -> None:
    first = after(Trigger.AUTHORISE, Trigger.BEGIN)
    second = moved(first, Trigger.NEXT_LEVEL, epoch=1, now=START + 9 * SECOND)
    assert (first.level, first.cut) == (0, START + 2 * SECOND)
    assert (second.level, second.cut) == (1, START + 9 * SECOND)
    assert may_return_at(second, 5 * SECOND) == START + 14 * SECOND
    assert may_return_at(job(), 5 * SECOND) == START


def test_a_new_generation_remembers_how_often_the_host_was_cut_off() -> None:
    first = after(Trigger.AUTHORISE, Trigger.ALIVE)
    second = suspected("compute-1", "az-1", "fault-2", first, epoch=1, now=START + timedelta(hours=1))
    assert (second.generation, second.revision, len(second.fences)) == (2, 4, 1)
    late = suspected("compute-1", "az-1", "fault-3", second, epoch=1, now=START + timedelta(hours=25))
    assert late.fences == ()


def test_when_a_host_was_given_back_is_remembered_into_its_next_life() -> None:
    back = after(*WAY[:-1])
    again = suspected("compute-1", "az-1", "fault-2", back, epoch=1, now=START + timedelta(hours=1))
    assert back.state is FenceState.OBSERVED
    assert again.returned == back.returned == back.changed
    assert job().returned is None


def test_a_clock_that_was_set_back_does_not_turn_states_round() -> None:
    one = after(Trigger.AUTHORISE)
    assert moved(one, Trigger.BEGIN, epoch=1, now=START - SECOND).changed == one.changed


def test_what_is_noted_is_a_step_too() -> None:
    one = noted(job(), epoch=3, reason="the zone is not armed")
    assert (one.state, one.revision, one.epoch, one.reason) == (
        FenceState.SUSPECT,
        2,
        3,
        "the zone is not armed",
    )


@pytest.mark.parametrize(
    ("state", "fault_key", "anew"),
    [
        (FenceState.CANCELLED, "fault-1", True),
        (FenceState.NORMAL, "fault-2", True),
        (FenceState.OBSERVED, "fault-2", True),
        (FenceState.OBSERVED, "fault-1", False),
        (FenceState.FENCED, "fault-2", False),
        (FenceState.NEEDS_HUMAN, "fault-2", False),
    ],
)
def test_when_a_host_is_suspected_anew(state: FenceState, fault_key: str, anew: bool) -> None:
    assert begins_anew(in_state(state), fault_key) is anew


def test_an_unknown_host_is_suspected() -> None:
    assert begins_anew(None, "fault-1")
    assert isolation_of(None) is None


def test_a_retry_begins_from_the_start() -> None:
    given_up = moved(after(Trigger.GIVE_UP), Trigger.RETRY, epoch=1, now=START + 5 * SECOND)
    assert (given_up.state, given_up.level, given_up.since) == (FenceState.SUSPECT, 0, START + 5 * SECOND)


def test_who_fell_silent_by_an_attempt_stays_suspicious() -> None:
    """[I-16]"""
    first = moved(job(), Trigger.AUTHORISE, epoch=1, now=START, silent=silent_before(job(), ["c2", "c1"]))
    assert first.silent == ("c1", "c2")
    begun = moved(first, Trigger.BEGIN, epoch=1, now=START)
    assert silent_before(begun, ["c1", "c2", "c9"]) == ("c1", "c2")
