"""How often an agent is wished to speak, and when it is told."""

from datetime import timedelta
from typing import Any

import pytest

from doctor.drivers.monitors.heartbeat.pacing import SELDOM, TIMES, Pacing, wished
from doctor.drivers.monitors.heartbeat.settings import HeartbeatSettings
from doctor.model.resource import PhysicalResource
from doctor.ports.monitor import Stake

LEAST = {"listen": "127.0.0.1:0", "master_key_file": "m.key"}
PACES = {
    "hosts": {"edge-*": 1, "edge-1": 5},
    "zones": {"az1": 0.05, "az2": "PT0.5S"},
    "levels": {1: 0.03, "1A": 0.02},
    "troubled": 0.04,
    "owners": 0.025,
}
SETTINGS = HeartbeatSettings.parse({**LEAST, "paces": PACES}).paces


def seconds(value: float) -> timedelta:
    return timedelta(seconds=value)


@pytest.mark.requirement("G7", "F21")
@pytest.mark.parametrize(
    ("host", "zone", "stake", "expected_ms"),
    [
        pytest.param("compute-1", None, Stake(), 0, id="nothing said"),
        pytest.param("compute-1", "az1", Stake(), 50, id="by zone"),
        pytest.param("edge-1", "az1", Stake(), 1000, id="by host before zone, and the first pattern"),
        pytest.param("compute-1", "az2", Stake(levels=frozenset({"1", "3"})), 30, id="by level"),
        pytest.param("compute-1", None, Stake(levels=frozenset({"1", "1A"})), 20, id="the highest level"),
        pytest.param("compute-1", "az2", Stake(is_troubled=True), 40, id="in trouble"),
        pytest.param("compute-1", "az1", Stake(wish=seconds(0.03)), 30, id="an owner's wish"),
        pytest.param("compute-1", "az1", Stake(wish=seconds(0.001)), 25, id="within limits"),
        pytest.param("compute-1", "az1", Stake(wish=seconds(9)), 50, id="a wish for less"),
    ],
)
def test_the_shortest_wish_counts(host: str, zone: str | None, stake: Stake, expected_ms: int) -> None:
    assert wished(SETTINGS, PhysicalResource(id=host, zone_id=zone), stake) == expected_ms * 1000


def test_owners_are_not_heeded_unless_the_operator_lets_them() -> None:
    paces = HeartbeatSettings.parse({**LEAST, "paces": {"troubled": 1}}).paces
    assert wished(paces, PhysicalResource(id="c1"), Stake(wish=seconds(0.02))) == 0
    assert paces.is_there
    assert not HeartbeatSettings.parse(LEAST).paces.is_there


@pytest.mark.parametrize(
    ("paces", "message"),
    [
        ({"hosts": {"c1": 0}}, "^paces.hosts.c1: must be at least 0.01 s"),
        ({"zones": 5}, "^paces.zones: expected a mapping"),
        ({"levels": {1: "soon"}}, "^paces.levels.1: 'soon' is no duration"),
        ({"owners": 0.001}, "^paces.owners: must be at least"),
        ({"owner": 1}, "^paces: .*unknown field `owner`"),
        (5, "^paces: expected a mapping"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(paces: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        HeartbeatSettings.parse({**LEAST, "paces": paces})


def test_an_agent_is_told_until_it_does_so() -> None:
    pacing = Pacing()
    assert pacing.due("c1", 20_000, 100_000, 0.0)
    assert not pacing.due("c1", 20_000, 100_000, 0.5)
    assert pacing.due("c1", 20_000, 100_000, 1.0)
    assert not pacing.due("c1", 20_000, 20_000, 5.0)
    assert pacing.due("c1", 50_000, 20_000, 5.1), "another wish is told at once"


def test_an_agent_that_must_not_is_told_seldom() -> None:
    pacing = Pacing()
    told = [now for now in range(60) if pacing.due("c1", 20_000, 100_000, float(now))]
    assert told[:TIMES] == list(range(TIMES))
    assert all(
        later - earlier >= SELDOM for earlier, later in zip(told[TIMES:], told[TIMES + 1 :], strict=False)
    )


def test_a_wish_is_taken_back() -> None:
    pacing = Pacing()
    assert not pacing.due("c1", 0, 100_000, 0.0), "there was none"
    pacing.due("c1", 20_000, 100_000, 1.0)
    assert [pacing.due("c1", 0, 20_000, 2.0 + now) for now in range(5)] == [True, True, True, False, False]
    pacing.due("c1", 20_000, 100_000, 10.0)
    pacing.forget("c1")
    assert not pacing.due("c1", 0, 100_000, 11.0)
