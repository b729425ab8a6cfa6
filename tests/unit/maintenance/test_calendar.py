"""When hosts will be away, and which sessions meet."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.maintenance.calendar import Span, away_meanwhile, entries, span_of
from doctor.model.maintenance import HostStage, Session, SessionState
from doctor.model.maintenance_action import ActionWish, Moment
from tests.unit.maintenance.test_stages import session, work
from tests.unit.recovery.machines import NOON

HOUR = timedelta(hours=1)
S, M = HostStage, Moment
ACTIONS = (ActionWish(M.PRE, "tell"), ActionWish(M.HOST, "flash"), ActionWish(M.POST, "tell"))
TIMEOUTS = {"tell": timedelta(minutes=1), "flash": HOUR}


def planned(name: str, *hosts: str, at: float = 0, **more: Any) -> Session:
    """Return a session that begins so many hours after noon, and takes an hour."""
    usual: dict[str, Any] = {"state": SessionState.PLANNED, "starts": NOON + at * HOUR}
    made = replace(session(*(hosts or ("a-1",)), **{**usual, **more}), session_id=name)
    return replace(made, timeout=HOUR)


def span(one: Session, at: float = 0) -> tuple[float, float]:
    """Return the hours between which a session is."""
    found = span_of(one, TIMEOUTS.__getitem__, NOON + at * HOUR)
    return ((found.starts - NOON) / HOUR, (found.ends - NOON) / HOUR)


@pytest.mark.parametrize(
    ("one", "at", "expected"),
    [
        pytest.param(planned("s", "a-1", "a-2", at=2), 0, (2, 3), id="together"),
        pytest.param(planned("s", "a-1", "a-2", "a-3", at=2, at_once=2), 0, (2, 4), id="in-turns"),
        pytest.param(planned("s", "a-1", "a-2", at_once=1, actions=ACTIONS), 0, (0, 4 + 2 / 60), id="work"),
        pytest.param(planned("s"), 5, (0, 5), id="late-and-not-over"),
        pytest.param(planned("s", state=SessionState.DONE, ended=NOON + HOUR / 2), 5, (0, 0.5), id="over"),
        pytest.param(
            planned("s", at=3, state=SessionState.ABORTED, ended=NOON + HOUR), 5, (1, 1), id="never-begun"
        ),
    ],
)
def test_a_session_lasts_as_long_as_doctor_needs(
    one: Session, at: float, expected: tuple[float, float]
) -> None:
    assert span(one, at) == pytest.approx(expected)


def test_sessions_meet_at_the_same_time_in_the_same_zone() -> None:
    sessions = [
        planned("late", "a-2", at=0.5),
        planned("first", "a-1"),
        planned("elsewhere", "b-1"),
        planned("after", "a-3", at=1.5),
        planned("over", "a-4", state=SessionState.DONE, ended=NOON + HOUR),
    ]
    found = entries(sessions, lambda host: host[0], TIMEOUTS.__getitem__, NOON)
    assert [(one.session.session_id, one.overlaps) for one in found] == [
        ("elsewhere", ()),
        ("first", ("late",)),
        ("over", ()),
        ("late", ("first",)),
        ("after", ()),
    ]
    assert found[0].zones == {"b"}
    assert not Span(NOON, NOON + HOUR).meets(Span(NOON + HOUR, NOON + 2 * HOUR))


def test_of_a_session_those_whose_turn_it_may_be_are_away() -> None:
    works = [work(S.EMPTYING, host="a-1"), *(work(S.WAITING, host=f"a-{n}") for n in (2, 3, 4))]
    names = ("a-1", "a-2", "a-3", "a-4")
    assert away_meanwhile(session(*names), works) == ["a-2", "a-3", "a-4"]
    assert away_meanwhile(session(*names, at_once=2), works) == ["a-2"]
    assert away_meanwhile(session(*names, at_once=1), works) == []
    assert away_meanwhile(session(*names, state=SessionState.PROPOSED), works) == []
