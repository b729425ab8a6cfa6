"""How far a session of Doctor's is in Fenix' words."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from doctor.api.wire.fenix import detail_of, step_of
from doctor.model.fenix import Step
from doctor.model.maintenance import (
    Deed,
    Guest,
    GuestState,
    HostStage,
    HostWork,
    ScaleIn,
    Session,
    SessionState,
)
from doctor.model.resource import VirtualResource

NOW = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)
S, H = SessionState, HostStage


def session(state: SessionState) -> Session:
    return Session(
        session_id="s-1",
        user="alice",
        reason="",
        hosts=("h-0", "h-1"),
        created=NOW,
        starts=NOW,
        timeout=timedelta(minutes=30),
        state=state,
    )


def works(*stages: HostStage) -> list[HostWork]:
    return [HostWork(session_id="s-1", host=f"h-{index}", stage=one) for index, one in enumerate(stages)]


@pytest.mark.parametrize(
    ("state", "stages", "moves_again", "step"),
    [
        pytest.param(S.PROPOSED, (H.WAITING,), True, Step.MAINTENANCE, id="proposed"),
        pytest.param(S.PLANNED, (H.WAITING,), False, Step.MAINTENANCE, id="planned"),
        pytest.param(S.RUNNING, (H.WAITING, H.WAITING), False, Step.MAINTENANCE, id="about-to-begin"),
        pytest.param(
            S.RUNNING, (H.EMPTYING, H.WAITING), True, Step.PREPARE_MAINTENANCE, id="nowhere-to-stay"
        ),
        pytest.param(S.RUNNING, (H.RETURNED, H.EMPTYING), False, Step.PLANNED_MAINTENANCE, id="emptying"),
        pytest.param(S.PAUSED, (H.EMPTYING,), False, Step.PLANNED_MAINTENANCE, id="paused"),
        pytest.param(S.RUNNING, (H.EMPTY, H.WAITING), True, Step.START_MAINTENANCE, id="worked-on"),
        pytest.param(S.RUNNING, (H.RETURNED, H.WAITING), False, Step.START_MAINTENANCE, id="between"),
        pytest.param(S.RUNNING, (H.RETURNED, H.FAILED), False, Step.MAINTENANCE_COMPLETE, id="all-over"),
        pytest.param(S.DONE, (H.RETURNED,), False, Step.MAINTENANCE_DONE, id="done"),
        pytest.param(S.FAILED, (H.FAILED,), False, Step.MAINTENANCE_FAILED, id="failed"),
        pytest.param(S.ABORTED, (H.ABORTED,), False, Step.MAINTENANCE_FAILED, id="aborted"),
    ],
)
def test_the_step_of_a_session(
    state: SessionState, stages: tuple[HostStage, ...], moves_again: bool, step: Step
) -> None:
    assert step_of(session(state), works(*stages), moves_again=moves_again) is step


def test_a_session_that_waits_for_room_asks_to_scale_in() -> None:
    waits = replace(session(S.RUNNING), scale_in=ScaleIn(vcpus=2, memory_mb=0, until=NOW))
    assert step_of(waits, works(H.WAITING), moves_again=False) is Step.SCALE_IN
    assert (
        step_of(replace(waits, state=S.FAILED), works(H.FAILED), moves_again=False) is Step.MAINTENANCE_FAILED
    )


def test_the_detail_of_a_session_that_is_half_way() -> None:
    done, now = works(H.RETURNED, H.EMPTYING)
    guest = Guest(resource_id="vm-1", owner="red", state=GuestState.MOVING, deed=Deed.MIGRATE, told=NOW)
    found = detail_of(
        session(S.RUNNING),
        [done, now.with_guest(guest), HostWork(session_id="s-1", host="h-2", guests=(guest,))],
        {"vm-1": VirtualResource(id="vm-1", owner="red", name="web")},
        Step.PLANNED_MAINTENANCE,
    )
    assert found.percent_done == 33
    assert [(one.disabled, one.maintained) for one in found.hosts] == [
        (False, True),
        (True, False),
        (False, False),
    ]
    (one,) = found.instances
    assert (one.instance_name, one.action, one.action_done, one.project_state) == (
        "web",
        "MIGRATE",
        False,
        None,
    )
