"""A silent agent on a host that answers is the agent's silence; a host is dead when nobody answers."""

import pytest

from doctor.drivers.monitors.heartbeat.verdicts import UNDECIDED, AgentSilent, Unreachable, Verdicts
from doctor.drivers.monitors.ping.judging import Change, Rule, Status

RULE = Rule(interval=0.1, timeout=0.125, misses=3, recover=2, start_grace=1.0)
PATIENCE = 10.0
SILENT = Change("c1", Status.DOWN, RULE, ("mgmt",), 5.0, missed=(5.1, 5.3))
BACK = Change("c1", Status.UP, RULE, ("mgmt",), 9.0, 4.0)


@pytest.fixture
def verdicts() -> Verdicts:
    known = Verdicts(PATIENCE)
    assert list(known.beats(BACK, 0.0, can_ask=True)) == [BACK]
    return known


def say(verdicts: Verdicts, now: float, *, can_ask: bool = True) -> list[object]:
    return list(verdicts.beats(SILENT, now, can_ask=can_ask))


def test_without_a_way_to_ask_silence_is_death(verdicts: Verdicts) -> None:
    assert say(verdicts, 5.0, can_ask=False) == [SILENT]


def test_it_is_dead_at_once_if_it_is_known_not_to_answer(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.DOWN)
    assert say(verdicts, 5.0) == [SILENT]
    assert list(verdicts.look(6.0)) == []
    assert list(verdicts.beats(BACK, 9.0, can_ask=True)) == [BACK]
    assert not verdicts.silent


def test_it_is_dead_when_the_pings_have_shown_it(verdicts: Verdicts) -> None:
    assert say(verdicts, 5.0) == []
    assert list(verdicts.look(5.05)) == []
    verdicts.answers("c1", Status.DOWN)
    assert list(verdicts.look(5.1)) == [SILENT]


def test_it_is_dead_when_nobody_can_find_out(verdicts: Verdicts) -> None:
    assert say(verdicts, 5.0) == []
    assert list(verdicts.look(5.0 + UNDECIDED)) == [SILENT]


def test_a_host_that_answers_is_not_dead(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.UP)
    assert say(verdicts, 5.0) == []
    assert list(verdicts.look(14.9)) == []
    assert list(verdicts.look(15.0)) == [AgentSilent("c1", True, 5.0)]
    assert list(verdicts.look(16.0)) == []
    assert list(verdicts.beats(BACK, 17.0, can_ask=True)) == [AgentSilent("c1", False, 9.0), BACK]


def test_an_agent_that_is_soon_back_is_no_news(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.UP)
    say(verdicts, 5.0)
    assert list(verdicts.beats(BACK, 9.0, can_ask=True)) == []


def test_a_host_that_dies_without_its_agent_is_dead(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.UP)
    say(verdicts, 5.0)
    list(verdicts.look(15.0))
    verdicts.answers("c1", Status.DOWN)
    assert list(verdicts.look(20.0)) == [AgentSilent("c1", False, 5.0), SILENT]


def test_a_dead_host_that_answers_again_is_back_before_its_agent(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.DOWN)
    say(verdicts, 5.0)
    verdicts.answers("c1", Status.UP)
    (up,) = verdicts.look(6.0)
    assert isinstance(up, Change)
    assert (up.host, up.status, up.missed) == ("c1", Status.UP, None)
    assert list(verdicts.look(15.0)) == [AgentSilent("c1", True, 5.0)]


def test_what_is_forgotten_is_not_said(verdicts: Verdicts) -> None:
    say(verdicts, 5.0)
    verdicts.forget("c1")
    assert list(verdicts.look(100.0)) == []


def test_a_host_that_its_peers_hear_is_not_dead(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.DOWN)
    verdicts.peers({"c1": Status.UP}, ())
    assert say(verdicts, 5.0) == [Unreachable("c1", True)]
    assert list(verdicts.look(6.0)) == []
    assert list(verdicts.beats(BACK, 9.0, can_ask=True)) == [Unreachable("c1", False), BACK]


def test_peers_are_waited_for_as_long_as_they_may_answer(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.DOWN)
    verdicts.peers({"c1": Status.UNKNOWN}, ["c1"])
    assert say(verdicts, 5.0) == []
    verdicts.peers({"c1": Status.UNKNOWN}, [])
    assert list(verdicts.look(5.1)) == [SILENT]


def test_from_unreachable_to_an_agent_that_is_silent(verdicts: Verdicts) -> None:
    verdicts.answers("c1", Status.DOWN)
    verdicts.peers({"c1": Status.UP}, ())
    say(verdicts, 5.0)
    verdicts.answers("c1", Status.UP)
    assert list(verdicts.look(20.0)) == [Unreachable("c1", False), AgentSilent("c1", True, 5.0)]
