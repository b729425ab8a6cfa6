"""What is next for a machine: tables, and that there is an end whatever happens."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.model.alarm import Alarm
from doctor.model.fault import ResourceState, Severity
from doctor.model.instruction import Action, Instruction, TaskState
from doctor.model.recovery import (
    Handler,
    Recovery,
    RecoveryLimits,
    RecoveryPolicy,
    RecoveryState,
    RecoveryStep,
    Try,
)
from doctor.model.resource import Isolation, VirtualResource
from doctor.model.scope import Scope, ScopeKind
from doctor.recovery.predefined import (
    RETURN,
    Due,
    End,
    Hold,
    Known,
    Word,
    begins_anew,
    decide,
    lately,
    said,
)
from doctor.recovery.rules import Facts
from tests.unit.recovery.machines import NOON, dead, facts, instruction, task

A, I, S, T = Action, Isolation, RecoveryState, TaskState  # noqa: E741 - as the tables read best
MINUTE = timedelta(minutes=1)
LIMITS = RecoveryLimits(most=3, within=timedelta(hours=1))


def policy(*actions: Action | RecoveryStep, **more: Any) -> RecoveryPolicy:
    steps = tuple(
        one if isinstance(one, RecoveryStep) else RecoveryStep(action=one, timeout=MINUTE) for one in actions
    )
    usual = {"handled_by": Handler.DOCTOR, "steps": steps}
    return RecoveryPolicy(project="red", scope=Scope(ScopeKind.MACHINE, "vm-1"), **{**usual, **more})


def begun(step: int, action: Action, began: datetime = NOON) -> Try:
    return Try(step=step, action=action, instruction_id=f"i-{step}", began=began, until=began + MINUTE)


def recovery(**more: Any) -> Recovery:
    return Recovery(
        **{
            "resource_id": "vm-1",
            "project": "red",
            "alarm_id": "alarm-1",
            "fault_key": "fault-1",
            "fault_type": "host failure",
            "since": NOON,
            "host": "compute-1",
            **more,
        }
    )


def sick(**more: Any) -> Facts:
    """Return what is known of a machine that is out on a host that works."""
    return facts(state=ResourceState.ERROR, **more)


def next_of(known: Known, one: Recovery | None = None, now: datetime = NOON) -> Hold | Due | End:
    return decide(one or recovery(), known, LIMITS, now)


BOTH = policy(A.REBOOT, A.EVACUATE)


@pytest.mark.parametrize(
    ("known", "outcome"),
    [
        pytest.param(Known(dead(I.ISOLATED), policy(A.EVACUATE)), (0, A.EVACUATE), id="evacuate"),
        pytest.param(Known(dead(I.ISOLATED), BOTH), (1, A.EVACUATE), id="no-reboot-on-a-dead-host"),
        pytest.param(Known(sick(), BOTH), (0, A.REBOOT), id="reboot-on-a-host-that-works"),
        pytest.param(Known(sick(), policy(A.EVACUATE)), S.EXHAUSTED, id="no-evacuation-from-one"),
        pytest.param(Known(dead(I.PENDING), policy(A.EVACUATE)), S.WAITING, id="not-isolated-yet"),
        pytest.param(
            Known(dead(I.NOT_REQUIRED, can_isolate=False), policy(A.EVACUATE)),
            (0, A.EVACUATE),
            id="to-be-refused-where-nobody-can-isolate",
        ),
        pytest.param(Known(dead(I.ISOLATED), None), S.LEFT, id="nobody-has-said-anything"),
        pytest.param(Known(dead(I.ISOLATED), policy()), S.LEFT, id="nothing-is-to-be-done"),
        pytest.param(Known(sick(), policy(A.LEAVE)), S.LEFT, id="it-is-to-stay-as-it-is"),
        pytest.param(Known(sick(), BOTH, Word.INSTRUCTS), S.LEFT, id="its-owner-instructs"),
        pytest.param(Known(sick(), BOTH, Word.LEAVES), S.LEFT, id="its-owner-leaves-it"),
        pytest.param(Known(sick(), BOTH, first="db"), S.WAITING, id="another-group-comes-first"),
        pytest.param(Known(sick(), policy(A.REBOOT, handled_by=Handler.OWNER)), S.WAITING, id="owner-first"),
        pytest.param(
            Known(sick(), policy(A.REBOOT, handled_by=Handler.OWNER), Word.SWITCHED_OVER),
            (0, A.REBOOT),
            id="he-has-switched-over",
        ),
        pytest.param(Known(sick(), policy(A.REBOOT, after=MINUTE)), S.WAITING, id="he-may-still-instruct"),
        pytest.param(
            Known(sick(), policy(A.REBOOT, after=MINUTE), Word.SWITCHED_OVER), (0, A.REBOOT), id="he-need-not"
        ),
        pytest.param(
            Known(sick(), policy(RecoveryStep(action=A.REBOOT, fault_type=("power",)), A.REBUILD)),
            (1, A.REBUILD),
            id="a-step-for-another-fault",
        ),
        pytest.param(
            Known(sick(), policy(RecoveryStep(action=A.REBOOT, zone_id=("az-1",))), zone_id="az-1"),
            (0, A.REBOOT),
            id="a-step-for-this-zone",
        ),
        pytest.param(
            Known(sick(), policy(RecoveryStep(action=A.REBOOT, zone_id=("az-1",))), zone_id="az-2"),
            S.EXHAUSTED,
            id="a-step-for-another-zone",
        ),
        pytest.param(Known(facts(), BOTH), End, id="it-is-well-again"),
        pytest.param(Known(None, None), End, id="it-is-gone"),
        pytest.param(
            Known(facts()._replace(machine=VirtualResource(id="vm-1", owner="blue")), BOTH), End, id="sold"
        ),
    ],
)
@pytest.mark.requirement("B26", "E31", "G55", "G57", "A14")
def test_what_is_done_first(known: Known, outcome: object) -> None:
    match next_of(known):
        case Due(step, what):
            assert (step, what.action) == outcome
        case Hold(state):
            assert state is outcome
        case End():
            assert outcome is End


@pytest.mark.parametrize(
    ("last", "seconds", "outcome"),
    [
        pytest.param(T.RUNNING, 600, S.RUNNING, id="what-is-under-way-goes-on-to-its-end"),
        pytest.param(T.SUCCEEDED, 59, S.RUNNING, id="done-and-it-may-help-yet"),
        pytest.param(T.SUCCEEDED, 60, (1, A.REBUILD), id="done-and-it-did-not-help"),
        pytest.param(T.FAILED, 0, (1, A.REBUILD), id="failed"),
        pytest.param(T.REFUSED, 0, (1, A.REBUILD), id="refused"),
        pytest.param(None, 0, (1, A.REBUILD), id="nobody-knows-any-more"),
    ],
)
def test_one_step_after_the_other(last: TaskState | None, seconds: int, outcome: object) -> None:
    """[HA 6.2] Each has its time, and what did not help is followed by the next."""
    one = recovery(tries=(begun(0, A.REBOOT),), spent=(NOON,))
    known = Known(sick(), policy(A.REBOOT, A.REBUILD), last=None if last is None else task(last))
    match next_of(known, one, NOON + timedelta(seconds=seconds)):
        case Due(step, what):
            assert (step, what.action) == outcome
        case Hold(state):
            assert state is outcome
        case other:
            raise AssertionError(other)


def test_a_machine_that_fails_again_and_again_is_for_a_person() -> None:
    spent = tuple(NOON - timedelta(minutes=10 * n) for n in range(3))
    known = Known(sick(), policy(A.REBOOT))
    decided = next_of(known, recovery(spent=spent))
    assert isinstance(decided, Hold)
    assert decided.state is S.EXHAUSTED
    later = NOON + timedelta(minutes=41)  # the first is an hour ago by now
    assert isinstance(next_of(known, recovery(spent=spent, since=later), later), Due)
    assert len(lately(recovery(spent=spent), LIMITS, later)) == 2


STAYED: dict[str, Any] = {"host_failed": True, "state": S.LEFT}
BACK = policy(start_on_return=True)


@pytest.mark.parametrize(
    ("one", "known", "outcome"),
    [
        pytest.param(recovery(**STAYED), Known(facts(), BACK), Due, id="it-is-started"),
        pytest.param(recovery(**STAYED), Known(facts(), BACK, Word.LEAVES), Due, id="its-owner-left-it"),
        pytest.param(recovery(**STAYED), Known(facts(), policy()), S.SUCCEEDED, id="not-by-its-policy"),
        pytest.param(recovery(**STAYED), Known(facts(), None), S.SUCCEEDED, id="without-a-policy"),
        pytest.param(recovery(**STAYED, ran=False), Known(facts(), BACK), S.SUCCEEDED, id="it-did-not-run"),
        pytest.param(recovery(), Known(facts(), BACK), S.SUCCEEDED, id="its-host-had-not-failed"),
        pytest.param(
            recovery(**STAYED), Known(facts(host="compute-2"), BACK), S.SUCCEEDED, id="it-was-evacuated"
        ),
        pytest.param(recovery(**STAYED), Known(facts(), BACK, Word.INSTRUCTS), S.LEFT, id="its-owner-acts"),
        pytest.param(
            recovery(**STAYED), Known(facts(isolation=I.PENDING), BACK), Hold, id="its-host-is-not-given-back"
        ),
        pytest.param(
            recovery(**STAYED, spent=(NOON,) * 3), Known(facts(), BACK), S.EXHAUSTED, id="again-and-again"
        ),
        pytest.param(
            recovery(**STAYED, tries=(begun(RETURN, A.START),)),
            Known(facts(), BACK, last=task(T.SUCCEEDED)),
            S.SUCCEEDED,
            id="it-was-started",
        ),
        pytest.param(
            recovery(**STAYED, tries=(begun(RETURN, A.START),)),
            Known(facts(), BACK, last=task(T.FAILED)),
            S.EXHAUSTED,
            id="it-could-not-be-started",
        ),
    ],
)
@pytest.mark.requirement("D12", "D32", "F17")
def test_what_stayed_on_its_host_is_started_there(one: Recovery, known: Known, outcome: object) -> None:
    """[D 5.3.2, 5.5.1] Once, when the host is back, and only what is still on it."""
    match next_of(known, one):
        case Due(step, what):
            assert (outcome, step, what.action) == (Due, RETURN, A.START)
        case Hold():
            assert outcome is Hold
        case End(state):
            assert state is outcome


ACTIONS = (A.REBOOT, A.REBUILD, A.EVACUATE, A.MIGRATE, A.LIVE_MIGRATE, A.LEAVE)
WORLD = st.tuples(
    st.booleans(),  # whether the machine is out
    st.booleans(),  # whether its host is
    st.sampled_from(I),
    st.sampled_from([T.RUNNING, T.SUCCEEDED, T.FAILED, T.REFUSED]),
    st.integers(0, 90),
)


@pytest.mark.requirement("G18")
@given(st.lists(st.sampled_from(ACTIONS), max_size=5), st.booleans(), st.lists(WORLD, max_size=30))
def test_each_step_is_done_once_at_most_and_only_forward(
    actions: list[Action], returns: bool, worlds: list[tuple[bool, bool, Isolation, TaskState, int]]
) -> None:
    """No loops, whatever happens meanwhile; and what is due fits the host as it is [I-15]."""
    said_ = policy(*actions, start_on_return=returns)
    one, now = recovery(), NOON
    steps: list[int] = []
    for is_out, host_is_out, isolation, last, seconds in worlds:
        now += timedelta(seconds=seconds)
        host_state = ResourceState.DOWN if host_is_out else ResourceState.NORMAL
        state = ResourceState.ERROR if is_out or host_is_out else ResourceState.NORMAL
        seen = facts(state=state, host_state=host_state, isolation=isolation)
        one = replace(one, host_failed=one.host_failed or host_is_out)
        match decide(one, Known(seen, said_, last=task(last)), RecoveryLimits(), now):
            case Hold(state=known_state, reason=reason):
                one = replace(one, state=known_state, reason=reason)
            case End():
                break
            case Due(step, what):
                steps.append(step)
                if what.action in (A.EVACUATE, A.REBUILD) and host_is_out:
                    assert isolation is I.ISOLATED
                if what.action in (A.REBOOT, A.MIGRATE, A.LIVE_MIGRATE, A.START):
                    assert not host_is_out
                one = replace(
                    one,
                    state=S.RUNNING,
                    tries=(*one.tries, begun(step, what.action, now)),
                    spent=(*one.spent, now),
                )
    forward = [step for step in steps if step != RETURN]
    assert forward == sorted(set(forward))
    assert len(forward) <= len(actions)
    assert steps.count(RETURN) <= 1


def alarm(name: str, minutes: int) -> Alarm:
    return Alarm(
        name,
        "fault",
        "vm-1",
        "virtual machine",
        "red",
        Severity.CRITICAL,
        ResourceState.ERROR,
        True,
        NOON + timedelta(minutes=minutes),
    )


@pytest.mark.parametrize(
    ("before", "with_", "outcome"),
    [
        pytest.param(recovery(ended=NOON), alarm("alarm-1", 0), False, id="the-same-alarm"),
        pytest.param(recovery(ended=NOON), alarm("alarm-2", 1), True, id="it-was-well-between"),
        pytest.param(recovery(state=S.RUNNING), alarm("alarm-2", 1), False, id="it-is-being-recovered"),
        pytest.param(recovery(state=S.EXHAUSTED), alarm("alarm-2", 1), True, id="another-fault-since"),
        pytest.param(recovery(state=S.LEFT), alarm("alarm-2", -1), False, id="a-fault-of-before"),
    ],
)
def test_each_alarm_has_its_recovery_once(before: Recovery, with_: Alarm, outcome: bool) -> None:
    assert begins_anew(before, with_) is outcome


def asked(action: Action, seconds: int, state: TaskState = T.SUCCEEDED, **more: Any) -> Instruction:
    made = instruction(action, task(state))
    return replace(made, created=NOON + timedelta(seconds=seconds), **more)


@pytest.mark.parametrize(
    ("instructions", "word"),
    [
        pytest.param([], Word.NOTHING, id="nothing"),
        pytest.param([asked(A.SWITCHED_OVER, 1)], Word.SWITCHED_OVER, id="switched-over"),
        pytest.param([asked(A.LEAVE, 2), asked(A.SWITCHED_OVER, 1)], Word.LEAVES, id="the-last-word"),
        pytest.param([asked(A.LEAVE, 1), asked(A.REBUILD, 2)], Word.INSTRUCTS, id="instructs"),
        pytest.param([asked(A.REBUILD, -1)], Word.NOTHING, id="before-it-failed"),
        pytest.param([asked(A.REBUILD, 1, T.REFUSED)], Word.NOTHING, id="refused"),
        pytest.param([asked(A.REPAIR, 1), asked(A.UPDATE, 1)], Word.NOTHING, id="no-word-on-that"),
        pytest.param([asked(A.REBUILD, 1, alarm_id="alarm-1")], Word.NOTHING, id="said-beforehand"),
    ],
)
def test_what_its_owner_has_said(instructions: list[Instruction], word: Word) -> None:
    assert said(instructions, "vm-1", NOON) is word
    assert said(instructions, "vm-2", NOON) is Word.NOTHING
