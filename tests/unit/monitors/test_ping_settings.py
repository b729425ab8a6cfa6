"""The settings of the ping monitor say what is wrong and where."""

from datetime import timedelta
from typing import Any

import pytest

from doctor.drivers.monitors.ping.settings import Method, PingSettings, Refused


def test_everything_has_a_default() -> None:
    settings = PingSettings.parse({})

    assert settings == PingSettings()
    assert (settings.interval, settings.misses, settings.method) == (
        timedelta(milliseconds=100),
        3,
        Method.AUTO,
    )


@pytest.mark.requirement("F21", "G47")
def test_all_that_can_be_set_is_read() -> None:
    settings = PingSettings.parse(
        {
            "interval": 0.05,
            "misses": 4,
            "recover": 5,
            "timeout": "0.02",
            "start_grace": "PT2S",
            "method": "tcp",
            "tcp_port": 16509,
            "tcp_refused": "down",
            "only": ["compute-*"],
            "hosts": {
                "compute-1": {"address": "198.18.0.1", "interval": "PT1S", "misses": 2, "timeout": 0.5},
                "compute-2": {"address": ["198.18.0.2", "2001:db8::2"], "enabled": False},
            },
        }
    )

    assert settings.interval == timedelta(milliseconds=50)
    assert settings.timeout == timedelta(milliseconds=20)
    assert settings.start_grace == timedelta(seconds=2)
    assert (settings.misses, settings.recover, settings.tcp_port) == (4, 5, 16509)
    assert (settings.method, settings.tcp_refused) == (Method.TCP, Refused.DOWN)
    assert settings.hosts["compute-1"].address == ("198.18.0.1",)
    assert settings.hosts["compute-1"].interval == timedelta(seconds=1)
    assert settings.hosts["compute-2"].address == ("198.18.0.2", "2001:db8::2")
    assert not settings.hosts["compute-2"].enabled


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        pytest.param({"intervall": 1}, "unknown field `intervall`", id="unknown"),
        pytest.param({"interval": "soon"}, "interval: 'soon' is no duration", id="no-duration"),
        pytest.param(
            {"interval": True}, "interval: expected a duration, got bool", id="a-flag-is-no-duration"
        ),
        pytest.param({"interval": 0.001}, "interval: must be at least 0.01 s", id="too-often"),
        pytest.param({"timeout": 0}, "timeout: must be at least 0.001 s", id="no-time-to-answer"),
        pytest.param({"start_grace": -1}, "start_grace: -1 is negative", id="negative"),
        pytest.param({"misses": 0}, "misses: Expected `int` >= 1", id="never-missed"),
        pytest.param({"misses": "3"}, "misses: Expected `int`, got `str`", id="text-for-number"),
        pytest.param({"recover": 0}, "recover: Expected `int` >= 1", id="no-answer-needed"),
        pytest.param(
            {"method": "carrier pigeon"}, "method: Invalid enum value 'carrier pigeon'", id="method"
        ),
        pytest.param({"tcp_port": 65536}, "tcp_port: Expected `int` <= 65535", id="port"),
        pytest.param({"only": "compute-*"}, "only: Expected `array`, got `str`", id="one-pattern"),
        pytest.param({"hosts": ["compute-1"]}, "hosts: expected a mapping, got list", id="hosts"),
        pytest.param({"hosts": {"c1": 3}}, "hosts.c1: expected a mapping, got int", id="host"),
        pytest.param(
            {"hosts": {"c1": {"misses": 0}}}, "hosts.c1.misses: Expected `int` >= 1", id="in-a-host"
        ),
        pytest.param(
            {"hosts": {"c1": {"interval": 0}}}, "hosts.c1.interval: must be at least", id="host-often"
        ),
        pytest.param({"hosts": {"c1": {"address": [""]}}}, "hosts.c1.address[0]: Expected", id="no-address"),
        pytest.param(
            {"hosts": {"c1": {"recover": 1}}},
            "hosts.c1: Object contains unknown field `recover`",
            id="not-per-host",
        ),
        pytest.param({"canaries": "192.0.2.1"}, "canaries: expected a list, got str", id="one-canary"),
        pytest.param({"canaries": [3]}, "canaries[0]: expected a mapping, got int", id="canary"),
        pytest.param({"canaries": [{}]}, "canaries[0].address: required", id="canary-nowhere"),
        pytest.param(
            {"canaries": ["192.0.2.1", {"address": "192.0.2.1"}]},
            "canaries[1]: 192.0.2.1 is there",
            id="twice",
        ),
        pytest.param(
            {"canaries": ["tcp://192.0.2.1"]}, "canaries[0]: write tcp://192.0.2.1:443", id="no-port"
        ),
        pytest.param(
            {"canaries": ["tcp://192.0.2.1:0"]}, "canaries[0].port: Expected `int` >= 1", id="canary-port"
        ),
        pytest.param(
            {"canaries": [{"address": "192.0.2.1", "interval": 0}]},
            "canaries[0].interval: must be at least",
            id="canary-often",
        ),
        pytest.param({"vantage": ""}, "vantage: Expected `str` of length >= 1", id="vantage"),
        pytest.param({"vantage": "a\nb"}, "vantage: Expected `str` matching regex", id="two-lines"),
    ],
)
def test_a_mistake_is_named_with_its_place(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError) as error:
        PingSettings.parse(settings)

    assert message in str(error.value)


def test_canaries_are_written_in_several_ways() -> None:
    canaries = [
        "192.0.2.1",
        "gateway.example",
        "tcp://192.0.2.1:443",
        "tcp://[2001:db8::1]:53",
        {"address": ["192.0.2.9", "192.0.2.10"], "port": 22, "interval": "PT5S", "misses": 2, "timeout": 1},
    ]
    settings = PingSettings.parse({"canaries": canaries, "vantage": "oob"})

    assert settings.vantage == "oob"
    assert [(one.name, one.address, one.port) for one in settings.canaries] == [
        ("192.0.2.1", ("192.0.2.1",), None),
        ("gateway.example", ("gateway.example",), None),
        ("tcp://192.0.2.1:443", ("192.0.2.1",), 443),
        ("tcp://2001:db8::1:53", ("2001:db8::1",), 53),
        ("tcp://192.0.2.9, 192.0.2.10:22", ("192.0.2.9", "192.0.2.10"), 22),
    ]
    assert settings.canaries[4].interval == timedelta(seconds=5)
