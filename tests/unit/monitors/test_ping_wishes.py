"""The map and the settings together say which hosts are watched, and how."""

from typing import Any

import pytest

from doctor.drivers.monitors.ping.settings import PingSettings
from doctor.drivers.monitors.ping.wishes import canaries, wishes
from doctor.model.resource import PhysicalResource

HOSTS = (
    PhysicalResource(id="compute-1", address=("198.18.0.1", "198.18.1.1", "198.18.0.1")),
    PhysicalResource(id="compute-2", address=("198.18.0.2",)),
    PhysicalResource(id="storage-1", address=("198.18.0.3",)),
    PhysicalResource(id="unplugged"),
)


@pytest.mark.parametrize(
    ("settings", "watched"),
    [
        pytest.param({}, {"compute-1", "compute-2", "storage-1"}, id="all-that-have-an-address"),
        pytest.param({"only": ["compute-*"]}, {"compute-1", "compute-2"}, id="a-pattern"),
        pytest.param({"only": ["*-1", "x"]}, {"compute-1", "storage-1"}, id="any-of-several-patterns"),
        pytest.param(
            {"hosts": {"compute-1": {"enabled": False}}}, {"compute-2", "storage-1"}, id="not-this-one"
        ),
        pytest.param(
            {"hosts": {"unplugged": {"address": "198.18.0.4"}}},
            {"compute-1", "compute-2", "storage-1", "unplugged"},
            id="address-from-the-settings",
        ),
        pytest.param({"only": ["nobody"]}, set(), id="none"),
    ],
)
def test_which_hosts_are_watched(settings: dict[str, Any], watched: set[str]) -> None:
    assert wishes(HOSTS, PingSettings.parse(settings)).keys() == watched


def test_each_address_counts_once() -> None:
    assert wishes(HOSTS, PingSettings())["compute-1"].addresses == ("198.18.0.1", "198.18.1.1")


def test_an_address_in_the_settings_takes_the_place_of_the_map() -> None:
    settings = PingSettings.parse({"hosts": {"compute-1": {"address": ["192.0.2.7"]}}})

    assert wishes(HOSTS, settings)["compute-1"].addresses == ("192.0.2.7",)


def test_what_is_special_about_a_host_is_for_it_alone() -> None:
    settings = PingSettings.parse(
        {"interval": 0.2, "hosts": {"compute-1": {"interval": 1, "misses": 5, "timeout": 0.3}}}
    )

    found = wishes(HOSTS, settings)

    assert (found["compute-1"].rule.interval, found["compute-1"].rule.misses) == (1.0, 5)
    assert found["compute-1"].rule.timeout == 0.3
    assert (found["compute-2"].rule.interval, found["compute-2"].rule.misses) == (0.2, 3)


@pytest.mark.parametrize(
    ("interval", "timeout"),
    [
        pytest.param(0.1, 0.025, id="a-quarter-of-the-interval"),
        pytest.param(0.01, 0.01, id="but-time-for-a-round-trip"),
        pytest.param(60, 1.0, id="and-not-for-ever"),
    ],
)
def test_how_long_a_probe_is_waited_for_if_nobody_says(interval: float, timeout: float) -> None:
    found = wishes(HOSTS, PingSettings.parse({"interval": interval}))

    assert found["compute-2"].rule.timeout == timeout


def test_canaries_are_asked_as_the_hosts_are_and_by_tcp_once_a_second() -> None:
    given = ["192.0.2.1", "tcp://192.0.2.2:443", {"address": "192.0.2.3", "port": 22, "interval": 0.5}]
    found = canaries(PingSettings.parse({"interval": 0.2, "misses": 4, "canaries": given}))
    assert {name: (port, wish.rule.interval, wish.rule.misses) for name, (port, wish) in found.items()} == {
        "192.0.2.1": (None, 0.2, 4),
        "tcp://192.0.2.2:443": (443, 1.0, 4),
        "tcp://192.0.2.3:22": (22, 0.5, 4),
    }
    slow = canaries(PingSettings.parse({"interval": 5, "canaries": ["tcp://192.0.2.2:443"]}))
    assert slow["tcp://192.0.2.2:443"][1].rule.interval == 5.0
