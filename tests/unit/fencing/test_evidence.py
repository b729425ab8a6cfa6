"""What counts as evidence that a host is dead [I-12, I-13]."""

from datetime import timedelta

import pytest

from doctor.fencing.evidence import Judgement, Statements, Witness, judge, signs_of_life, silent_since
from doctor.fencing.limits import Limits
from doctor.model.fence_job import Says, Statement
from doctor.model.fencing import Vantage
from doctor.testing.clock import START

SECOND = timedelta(seconds=1)
HOSTS = ("c1", "c2", "c3", "c4")
WITNESSES = {
    "ping": Witness(Vantage.IN_BAND, fresh_for=None),
    "agent": Witness(Vantage.IN_BAND),
    "peers": Witness(Vantage.PEER),
    "rack-a": Witness(Vantage.SWITCH_PORT, only=("c1", "c9")),
    "device:bmc-1": Witness(Vantage.OUT_OF_BAND, fresh_for=10 * SECOND, device=True),
}


def said(host: str, reporter: str, says: Says = Says.DEAD, ago: float = 0.0) -> Statement:
    time = START - timedelta(seconds=ago)
    return Statement(host=host, reporter=reporter, says=says, time=time, since=time)


def statements(*all_said: Statement) -> Statements:
    found: dict[str, dict[str, Statement]] = {}
    for one in all_said:
        found.setdefault(one.host, {})[one.reporter] = one
    return found


def judged(*all_said: Statement, host: str = "c1", hosts: tuple[str, ...] = HOSTS) -> Judgement:
    return judge(host, statements(*all_said), WITNESSES, hosts, Limits(), START)


def test_two_classes_are_evidence() -> None:
    found = judged(said("c1", "ping"), said("c1", "peers"))
    assert found.dead == {Vantage.IN_BAND, Vantage.PEER}
    assert found.objection(Limits()) is None
    assert found.summary == "dead to in_band, peer"


@pytest.mark.requirement("B22")
@pytest.mark.parametrize("reporter", [*WITNESSES, "stranger"])
def test_no_single_witness_is(reporter: str) -> None:
    """[I-12]"""
    assert judged(said("c1", reporter)).objection(Limits()) is not None


def test_two_witnesses_of_one_class_are_one_opinion() -> None:
    objection = judged(said("c1", "ping"), said("c1", "agent")).objection(Limits())
    assert objection == "2 independent classes have to say that it is dead; there is in_band"


@pytest.mark.parametrize(
    ("one", "why"),
    [
        pytest.param(said("c1", "stranger"), "a hint: fencing.witnesses does not name it", id="stranger"),
        pytest.param(said("c1", "peers", ago=61), "too old: it was said 61 s ago", id="old"),
        pytest.param(said("c1", "device:bmc-1", ago=11), "too old: it was said 11 s ago", id="old reading"),
        pytest.param(said("c2", "rack-a"), "a hint: this is none of its hosts", id="out of scope"),
        pytest.param(
            said("c1", "rack-a"),
            "it watches no other host, so nothing tells that it is not blind",
            id="alone",
        ),
    ],
)
def test_what_does_not_count(one: Statement, why: str) -> None:
    found = judged(one, host=one.host)
    assert (found.dead, [each.objection for each in found.weighed]) == (frozenset(), [why])


def test_what_was_said_before_a_host_was_given_back_is_about_another_life_of_it() -> None:
    """[I-12] That it was alive counts: whoever says so keeps hands off it."""
    all_said = statements(said("c1", "ping", ago=2), said("c1", "peers", ago=4))
    found = judge("c1", all_said, WITNESSES, HOSTS, Limits(), START, returned=START - 3 * SECOND)
    assert found.dead == {Vantage.IN_BAND}
    assert [one.objection for one in found.weighed] == ["", "it was said before the host was given back"]
    alive = statements(said("c1", "ping", Says.ALIVE, ago=4))
    assert judge("c1", alive, WITNESSES, HOSTS, Limits(), START, returned=START - 3 * SECOND).life


def test_who_is_blind_sees_life_but_no_death() -> None:
    """[I-13]"""
    blind = {"ping": "ping is cut off"}
    dead = statements(said("c1", "ping"), said("c1", "peers"))
    found = judge("c1", dead, WITNESSES, HOSTS, Limits(), START, blind=blind)
    assert (found.dead, found.weighed[0].objection) == (frozenset({Vantage.PEER}), "ping is cut off")
    alive = statements(said("c1", "ping", Says.ALIVE))
    assert judge("c1", alive, WITNESSES, HOSTS, Limits(), START, blind=blind).life


def test_what_stands_never_grows_old() -> None:
    assert judged(said("c1", "ping", ago=9999)).dead == {Vantage.IN_BAND}


def test_a_witness_that_misses_most_of_its_hosts_may_be_blind() -> None:
    """[I-13] Half of the others have to be seen."""
    one_more = judged(said("c1", "ping"), said("c2", "ping"))
    assert one_more.dead == {Vantage.IN_BAND}
    two_more = judged(said("c1", "ping"), said("c2", "ping"), said("c3", "ping"))
    assert two_more.weighed[0].objection == "it misses 2 of its 3 other hosts: it may be blind itself"


def test_a_sign_of_life_outweighs_everything() -> None:
    found = judged(said("c1", "ping"), said("c1", "peers"), said("c1", "agent", Says.ALIVE))
    assert found.objection(Limits()) == "agent says that it is alive"
    assert found.summary == "dead to in_band, peer; alive to agent"


def test_nobody_has_said_anything() -> None:
    assert judged().summary == "dead to nobody"


def test_since_when_hosts_are_silent() -> None:
    found = silent_since(
        statements(
            said("c1", "ping", ago=5),
            said("c1", "peers", ago=9),
            said("c2", "stranger"),
            said("c3", "ping", Says.ALIVE),
        ),
        WITNESSES,
        START,
    )
    assert found == {"c1": START - 9 * SECOND}


def test_what_a_device_read_long_ago_says_nothing_of_now() -> None:
    """It is asked now and then, and nobody asks it again once the host has its power back."""
    device = {"bmc": Witness(Vantage.OUT_OF_BAND, 10 * SECOND, device=True)}
    fresh, old = said("c1", "bmc", ago=9), said("c2", "bmc", ago=11)
    assert list(silent_since(statements(fresh, old), device, START)) == ["c1"]


def test_signs_of_life_since_a_moment() -> None:
    """A witness that is blind for the dead is still believed when it sees something."""
    known = statements(
        said("c1", "agent", Says.ALIVE, ago=5),
        said("c1", "peers", Says.ALIVE, ago=1),
        said("c1", "stranger", Says.ALIVE),
        said("c1", "ping"),
    )
    found = signs_of_life("c1", known, WITNESSES, START - 3 * SECOND)
    assert [one.reporter for one in found] == ["peers"]
