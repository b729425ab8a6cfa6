"""Each brake holds when it should, and lets go when it may."""

from datetime import timedelta
from typing import Any

import pytest

from doctor.fencing.brakes import BRAKES, Scene, Spent, rule
from doctor.fencing.evidence import Judgement
from doctor.fencing.limits import Limits
from doctor.model.fence_job import Says, Statement, ZoneMode
from doctor.model.fencing import Vantage
from doctor.testing.clock import START

HOSTS = frozenset(f"c{n}" for n in range(1, 21))
ENOUGH = Judgement((), frozenset({Vantage.IN_BAND, Vantage.PEER}), ())
LIFE = Statement(host="c1", reporter="ping", says=Says.ALIVE, time=START, since=START)


def ago(seconds: float) -> Any:
    return START - timedelta(seconds=seconds)


def scene(**more: Any) -> Scene:
    quiet = {
        "host": "c1",
        "zone": "az-1",
        "now": START,
        "judgement": ENOUGH,
        "hosts": HOSTS,
        "zone_hosts": HOSTS,
        "out": frozenset({"c1"}),
        "silent": {"c1": ago(1)},
        "domains": {"rack-1": frozenset({"c1", "c2", "c3"})},
    }
    return Scene(**{**quiet, **more})


def spent(*times: float, host: str = "", zone: str = "az-1") -> tuple[Spent, ...]:
    return tuple(Spent(host or f"c{n}", zone, ago(time)) for n, time in enumerate(times, 2))


def test_one_dead_host_on_a_quiet_day_is_cut_off() -> None:
    found = rule(scene(), Limits())
    assert found.objections == ()
    assert [one.brake for one in found.checks] == list(BRAKES)


HOLDS = [
    pytest.param("evidence", {"judgement": Judgement((), frozenset({Vantage.PEER}), ())}, id="one class"),
    pytest.param("evidence", {"judgement": ENOUGH._replace(life=(LIFE,))}, id="life"),
    pytest.param("mode", {"mode": ZoneMode.ADVISE}, id="advise"),
    pytest.param("mode", {"mode": ZoneMode.HOLD}, id="zone on hold"),
    pytest.param("hold", {"hold": "alice: upgrade"}, id="hold"),
    pytest.param("levels", {"levels": 0}, id="no level"),
    pytest.param("identity", {"unnamed": ["bmc-1"]}, id="unnamed"),
    pytest.param("excluded", {"excluded": "it runs Doctor"}, id="excluded"),
    pytest.param("often", {"spent": spent(800, 500, host="c1")}, id="twice in the probation period"),
    pytest.param("often", {"spent": spent(80000, 50000, 2000, host="c1")}, id="three times in a day"),
    pytest.param("storm", {"silent": {"c1": ago(1), "c2": ago(9)}}, id="two of a rack"),
    pytest.param("storm", {"silent": {"c1": ago(59), "c2": ago(50)}}, id="a storm not long ago"),
    pytest.param("cause", {"cause": "network switch down on tor-1"}, id="explained"),
    pytest.param("zone budget", {"spent": spent(500, 300)}, id="a tenth of the zone"),
    pytest.param("site budget", {"spent": spent(9, 5, zone="az-2")}, id="a burst of two"),
    pytest.param("at once", {"running": 3}, id="three at once"),
    pytest.param("floor", {"out": frozenset(f"c{n}" for n in range(1, 12))}, id="half of the zone"),
    pytest.param("floor", {"zone_hosts": frozenset({"c1", "c2"})}, id="two hosts"),
    pytest.param("floor", {"zone_hosts": frozenset()}, id="no hosts"),
    pytest.param("capacity", {"shortage": "8 vcpus are needed and 4 left"}, id="no room"),
    pytest.param("self check", {"troubles": ["no canary is visible"]}, id="canaries"),
    pytest.param("self check", {"silent": dict.fromkeys(HOSTS, ago(999))}, id="all dark"),
    pytest.param("self check", {"map_age": timedelta(seconds=61)}, id="an old map"),
    pytest.param("start-up", {"up_for": timedelta(seconds=59)}, id="start-up"),
]


@pytest.mark.requirement("B22")
@pytest.mark.parametrize(("brake", "what"), HOLDS)
def test_it_holds(brake: str, what: dict[str, Any]) -> None:
    found = rule(scene(**what), Limits())
    assert brake in [one.brake for one in found.objections], found.reason
    assert found.reason


@pytest.mark.parametrize("brake", BRAKES)
def test_each_brake_is_tried(brake: str) -> None:
    assert brake in {case.values[0] for case in HOLDS}


@pytest.mark.parametrize(
    "what",
    [
        pytest.param({"silent": {"c1": ago(1), "c2": ago(12)}}, id="not together"),
        pytest.param({"silent": {"c1": ago(70), "c2": ago(61)}}, id="a storm that is over"),
        pytest.param({"silent": {"c1": ago(1), "c9": ago(1)}}, id="in different racks"),
        pytest.param({"spent": spent(500)}, id="one of two of the zone"),
        pytest.param({"spent": spent(500, 300, zone="az-2")}, id="in another zone"),
        pytest.param({"spent": spent(9, zone="az-2")}, id="one shortly before"),
        pytest.param({"spent": spent(25, 19, zone="az-2")}, id="a burst that is over"),
        pytest.param({"spent": spent(500, host="c1")}, id="once in the probation period"),
        pytest.param({"running": 2}, id="two at once"),
        pytest.param({"map_age": timedelta(seconds=60)}, id="a map put right lately"),
        pytest.param({"up_for": timedelta(seconds=60)}, id="a minute after the start"),
        pytest.param(
            {
                "silent": dict.fromkeys(HOSTS - {"c2"}, ago(999)),
                "zone_hosts": frozenset({"c1", "c21", "c22"}),
            },
            id="one is seen",
        ),
    ],
)
def test_it_lets_go(what: dict[str, Any]) -> None:
    assert rule(scene(**what), Limits()).objections == ()


def test_a_small_site_sets_its_own_limits() -> None:
    """Of two hosts one may be cut off where the operator says so."""
    small = Limits(floor=0.5, identity=False, capacity=False, start_up=timedelta(0))
    two = frozenset({"c1", "c2"})
    there = scene(
        zone_hosts=two, hosts=two, unnamed=["pdu"], shortage="all of it", up_for=timedelta(seconds=1)
    )
    assert rule(there, small).objections == ()


def test_a_share_of_a_large_domain_is_a_storm() -> None:
    limits = Limits(storm_hosts=9, storm_share=0.1)
    silent = {"c1": ago(1), "c2": ago(1)}
    assert rule(scene(silent=silent, domains={"row": HOSTS}), limits).objections
    assert not rule(
        scene(silent=silent, domains={"row": HOSTS | {f"d{n}" for n in range(9)}}), limits
    ).objections


def test_some_brakes_do_not_let_go_by_waiting() -> None:
    assert rule(scene(excluded="it runs Doctor"), Limits()).is_final
    assert not rule(scene(running=3), Limits()).is_final


def test_advice_is_what_would_be_done_if_the_zone_were_armed() -> None:
    assert rule(scene(mode=ZoneMode.ADVISE), Limits()).is_advice
    assert not rule(scene(mode=ZoneMode.ADVISE, running=3), Limits()).is_advice
    assert not rule(scene(), Limits()).is_advice


def test_some_are_asked_again() -> None:
    assert [one.brake for one in rule(scene(), Limits(), only=("hold", "mode")).checks] == ["hold", "mode"]
