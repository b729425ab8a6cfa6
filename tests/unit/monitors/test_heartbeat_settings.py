"""Settings of the heartbeat monitor: what is wrong is said with its place."""

from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.drivers.monitors.heartbeat import make
from doctor.drivers.monitors.heartbeat.monitor import asking, names_of
from doctor.drivers.monitors.heartbeat.settings import HeartbeatSettings, Rules
from doctor.kit.key_file import new_key, write_key
from doctor.model.resource import PhysicalResource

LEAST = {"listen": "127.0.0.1:0", "master_key_file": "m.key"}


def test_what_ships() -> None:
    read = HeartbeatSettings.parse(LEAST)
    assert read.addresses == [("127.0.0.1", 0)]
    assert (read.vantage, read.misses, read.confirm) == ("heartbeat", 3, True)


def test_all_that_can_be_set() -> None:
    read = HeartbeatSettings.parse(
        {
            "listen": ["192.0.2.1:12346", "[2001:db8::1]:12346"],
            "keys_file": "keys",
            "misses": 5,
            "fastest": 0.05,
            "slowest": "PT1S",
            "slack": 0.03,
            "tolerance": 0.5,
            "only": ["compute-*"],
            "expect": ["compute-1"],
            "vantage": "beats",
            "canaries": ["192.0.2.9"],
            "ping": {"method": "tcp", "tcp_port": 22},
        }
    )
    assert read.addresses[1] == ("2001:db8::1", 12346)
    assert read.ping.canaries[0].address == ("192.0.2.9",)
    assert (read.vantage, read.ping.method) == ("beats", "tcp")
    assert read.slowest == timedelta(seconds=1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        pytest.param({"listen": None}, r"^listen: required", id="no address"),
        pytest.param(
            {"listen": "localhost:1"}, r"^listen\[0\]: 'localhost:1' is no address and port", id="a name"
        ),
        pytest.param({"listen": ["127.0.0.1"]}, r"^listen\[0\]: ", id="no port"),
        pytest.param({"listen": "127.0.0.1:99999"}, r"^listen\[0\]: ", id="no such port"),
        pytest.param({"master_key_file": None}, r"^master_key_file: required, or keys_file", id="no keys"),
        pytest.param({"fastest": 20}, r"^fastest: is slower than slowest", id="upside down"),
        pytest.param({"fastest": 0.001}, r"^fastest: must be at least 0.01 s", id="too fast"),
        pytest.param({"misses": 0}, r"^misses: ", id="no misses"),
        pytest.param({"canaries": [{}]}, r"^canaries\[0\].address: required", id="a canary that is none"),
        pytest.param(
            {"ping": {"canaries": []}}, r"^ping.canaries: write it beside ping", id="in the wrong place"
        ),
        pytest.param({"ping": {"method": "smoke"}}, r"^ping.method: ", id="no such method"),
        pytest.param({"ping": 3}, r"^ping: expected a mapping", id="no mapping"),
        pytest.param({"interval": 0.1}, r"unknown field `interval`", id="the agent's to say"),
    ],
)
def test_what_is_wrong_is_said_with_its_place(change: dict[str, Any], message: str) -> None:
    given = {name: value for name, value in {**LEAST, **change}.items() if value is not None}
    with pytest.raises(ValueError, match=message):
        HeartbeatSettings.parse(given)


def test_the_key_is_read_at_the_start(tmp_path: Path) -> None:
    file = tmp_path / "m.key"
    with pytest.raises(ValueError, match=r"^master_key_file: .*No such file"):
        make({"listen": "127.0.0.1:0", "master_key_file": str(file)})
    write_key(file, new_key())
    assert make({"listen": "127.0.0.1:0", "master_key_file": str(file)}).name == "heartbeat"


def test_the_rule_follows_what_the_agent_announces() -> None:
    rules = Rules(HeartbeatSettings.parse({**LEAST, "tolerance": 0.2}))
    usual = rules.of(100_000, 0)
    assert usual.interval == 0.1
    assert usual.timeout == pytest.approx(0.125)
    assert rules.of(100_000, 0) is usual
    assert rules.of(100_000, 45_000).timeout == pytest.approx(0.15), "a busy host gets more time"
    assert rules.of(100_000, 5_000_000).timeout == pytest.approx(0.3), "within limits"
    assert rules.of(1, 0).interval == 0.02, "faster than is allowed"
    assert rules.of(4_000_000_000, 0).interval == 10.0, "slower than is allowed"
    assert rules.of(20_000, 0).timeout == pytest.approx(0.025)


@pytest.mark.parametrize("crowd", [1.0, 4.0, 20.0])
@pytest.mark.parametrize("interval_us", [20_000, 100_000, 1_000_000])
def test_who_misses_a_heartbeat_is_asked_in_time(interval_us: int, crowd: float) -> None:
    rule = Rules(HeartbeatSettings.parse(LEAST)).of(interval_us, 0)
    asked = asking(rule, crowd)
    takes = asked.misses * asked.interval + asked.timeout
    if crowd == 1.0:
        assert takes <= (rule.misses - 1) * rule.interval + 0.001
    assert takes < 5 * rule.interval * rule.misses + 0.5
    assert asked.misses >= 2


def test_agents_are_known_by_id_alias_and_short_name() -> None:
    hosts = [
        PhysicalResource(id="compute-1.example", aliases=("c1", "compute-2")),
        PhysicalResource(id="compute-2"),
    ]
    assert names_of(hosts) == {
        "compute-1.example": "compute-1.example",
        "compute-1": "compute-1.example",
        "c1": "compute-1.example",
        "compute-2": "compute-2",
    }
