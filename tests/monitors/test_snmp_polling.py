"""Devices that are asked by a running Doctor: what traps have lost is found, and what they prove is known."""

import socket
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.demo.bmc import free_udp_port
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.monitors.snmp_devices import LINK_DOWN, SIGNED, USER, SnmpDevice, port_is, secrets, tell
from tests.unit.monitors.snmp_traps import link
from tests.waiting import until

LEAF, ARRAY, UPS = "127.8.4.1", "127.8.4.2", "127.8.4.3"
UP, DOWN = 1, 2
MAP = {
    "physical_resources": [
        {"id": "leaf-1", "type": "switch", "address": [LEAF]},
        {"id": "array-1", "type": "storage", "address": [ARRAY]},
        {"id": "ups-1", "type": "power", "address": [UPS]},
        {"id": "compute-1"},
        {"id": "card-1", "type": "nic", "aliases": ["leaf-1:Eth1/9"]},
    ],
    "virtual_resources": [{"id": "vm-red", "host": "compute-1", "owner": "red"}],
    "relations": [{"from": "card-1", "kind": "attaches", "to": "compute-1"}],
}
MINE = """
limits:
  - {sensor: "*inlet*", unit: celsius, above: 40, severity: major}
"""
RAID_NAME, RAID_STATE = "1.3.6.1.4.1.6574.3.1.1.2.0", "1.3.6.1.4.1.6574.3.1.1.3.0"
SENSOR, SENSOR_NAME = "1.3.6.1.2.1.99.1.1.1", "1.3.6.1.2.1.47.1.1.1.1.7.3"
OUTPUT_SOURCE = "1.3.6.1.2.1.33.1.4.1.0"
SUPPLY, SUPPLY_NAME, SUPPLY_STATE = (
    "1.3.6.1.4.1.9.9.13.3.0.5",
    "1.3.6.1.4.1.9.9.13.1.5.1.2.1",
    "1.3.6.1.4.1.9.9.13.1.5.1.3.1",
)

FAN, FAN_NAME, FAN_STATE = (
    "1.3.6.1.4.1.9.9.13.3.0.4",
    "1.3.6.1.4.1.9.9.13.1.4.1.2.1",
    "1.3.6.1.4.1.9.9.13.1.4.1.3.1",
)


class Site:
    """A running Doctor, and the devices that it asks."""

    def __init__(self, folder: Path) -> None:
        self.port = free_udp_port()
        asked = free_udp_port()
        self.devices = {
            name: SnmpDevice(folder / name, asked, address)
            for name, address in (("leaf-1", LEAF), ("array-1", ARRAY), ("ups-1", UPS))
        }
        monitor = {
            "driver": "snmp",
            "listen": f"127.0.0.1:{self.port}",
            "communities": ["public"],
            "users": [{"name": USER, "auth": "sha", **secrets(folder)}],
            "mapping_file": "mine.yaml",
            "poll": [{"user": USER, "port": asked, "every": 1, "timeout": 0.5, "misses": 2}],
        }
        self.doctor = RunningDoctor(folder / "doctor", monitors=[monitor], policy="policy.yaml")
        shipped = files("doctor.inspector").joinpath("default-policy.yaml").read_text()
        # here the same things go wrong more often than things do
        (folder / "doctor" / "policy.yaml").write_text(
            shipped.replace("damping: {changes: 5,", "damping: {changes: 500,")
        )
        (folder / "doctor" / "mine.yaml").write_text(MINE)

    @property
    def door(self) -> Door:
        return Door(self.doctor)

    def alarms(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = self.door.ask("GET", "/v1/alarms?limit=1000")[1]["items"]
        return {(one["resource_id"], one["fault_type"]): one for one in found}

    def is_wrong(self, *names: tuple[str, str]) -> None:
        try:
            until(lambda: self.alarms().keys() == set(names), 30)
        except AssertionError:
            assert self.alarms().keys() == set(names)

    def set(self, device: str, **rows: Any) -> None:
        self.devices[device].rows |= rows
        self.devices[device].write()

    def lie(self, data: bytes) -> None:
        """Send a datagram from the address of the switch, as anybody on its network can."""
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.bind((LEAF, 0))
            sock.sendto(data, ("127.0.0.1", self.port))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    site = Site(tmp_path_factory.mktemp("polling"))
    for device in site.devices.values():
        device.start()
    with site.doctor:
        assert site.door.ask("PUT", "/v1/resource-map", MAP)[0] == 200
        yield site
    for device in site.devices.values():
        device.stop()


@pytest.fixture
def site(built: Site) -> Iterator[Site]:
    """The site with everything well, and looked at."""
    built.devices["leaf-1"].ports(*[UP] * 10)
    built.set(
        "leaf-1",
        **{
            SUPPLY_NAME: ("string", "PSU-1"),
            SUPPLY_STATE: ("integer", 1),
            SENSOR_NAME: ("string", "Inlet Temperature"),
            f"{SENSOR}.1.3": ("integer", 8),
            f"{SENSOR}.2.3": ("integer", 9),
            f"{SENSOR}.3.3": ("integer", 1),
            f"{SENSOR}.4.3": ("integer", 251),
            f"{SENSOR}.5.3": ("integer", 1),
        },
    )
    built.set("array-1", **{RAID_NAME: ("string", "Volume 1"), RAID_STATE: ("integer", 1)})
    built.set("ups-1", **{OUTPUT_SOURCE: ("integer", 3)})
    built.is_wrong()
    before = built.door.ask("GET", "/v1/monitors/snmp")[1]["last_heard_time"]
    until(lambda: built.door.ask("GET", "/v1/monitors/snmp")[1]["last_heard_time"] != before)
    yield built


pytestmark = pytest.mark.needs("snmpd", "snmptrap")


@pytest.mark.shows("monitor snmp", "real", "lost")
@pytest.mark.requirement("G11", "G12")
def test_what_no_trap_has_told_is_found(site: Site) -> None:
    """A port of the map that goes down, and comes back."""
    site.devices["leaf-1"].ports(*[UP] * 8, DOWN)
    until(lambda: {key[0] for key in site.alarms()} == {"card-1", "compute-1", "vm-red"})
    site.devices["leaf-1"].ports(*[UP] * 9)
    site.is_wrong()


@pytest.mark.shows("monitor snmp", "lost")
def test_the_end_that_a_trap_has_lost_is_found(site: Site) -> None:
    site.devices["leaf-1"].ports(*[UP] * 4, DOWN)
    tell(site.port, LINK_DOWN, *port_is(5, 2), source=LEAF)
    site.is_wrong(("leaf-1:Eth1/5", "port down"))
    site.devices["leaf-1"].ports(*[UP] * 5)
    site.is_wrong()


@pytest.mark.shows("monitor snmp", "bad input")
def test_what_somebody_else_has_said_in_its_name_is_put_right(site: Site) -> None:
    """That a port is down that is not; and that one is back that is not."""
    site.lie(link(5))
    until(lambda: ("leaf-1:Eth1/5", "port down") in site.alarms())
    site.is_wrong()
    site.devices["leaf-1"].ports(*[UP] * 4, DOWN)
    site.is_wrong(("leaf-1:Eth1/5", "port down"))
    began = site.alarms()["leaf-1:Eth1/5", "port down"]["raised_time"]
    site.lie(link(5, is_up=True))
    key = ("leaf-1:Eth1/5", "port down")
    until(lambda: site.alarms().get(key, {}).get("raised_time", began) > began)


def test_a_port_that_was_never_up_is_no_fault(site: Site) -> None:
    """Nor is one that somebody has set down, of which the map knows nothing."""
    site.devices["leaf-1"].ports(*[UP] * 10, DOWN, DOWN)
    site.set(
        "leaf-1", **{"1.3.6.1.2.1.2.2.1.7.3": ("integer", DOWN), "1.3.6.1.2.1.2.2.1.8.3": ("integer", DOWN)}
    )
    site.devices["array-1"].rows[RAID_STATE] = ("integer", 11)
    site.devices["array-1"].write()
    site.is_wrong(("array-1", "storage backend degraded"))


@pytest.mark.requirement("C4")
def test_what_its_device_has_signed_is_no_hint_once_the_device_has_answered(site: Site) -> None:
    """A fan, which the device is not asked for: nobody else says it."""
    kept = (site.devices["leaf-1"].folder / "state" / "snmpd.conf").read_text()
    engine, boots = (
        next(line.split()[1] for line in kept.splitlines() if line.startswith(word))
        for word in ("oldEngineID", "engineBoots")
    )
    signed = (*SIGNED, "-e", engine, "-Z", f"{boots},60")
    fan = (FAN_NAME, "s", "Fan 1", FAN_STATE, "i")
    assert tell(site.port, FAN, *fan, "6", source=LEAF, version=signed) == 0
    site.is_wrong(("leaf-1", "chassis problem"))
    assert site.alarms()["leaf-1", "chassis problem"]["fault_details"]["source"] == "snmp"
    assert tell(site.port, FAN, *fan, "1", source=LEAF, version=(*signed[:-1], f"{boots},61")) == 0
    site.is_wrong()


@pytest.mark.shows("monitor snmp", "real")
@pytest.mark.parametrize(
    ("state", "status", "severity"),
    [(7, "rebuilding", "warning"), (11, "degraded", "warning"), (12, "failed", "critical")],
)
def test_how_a_storage_backend_is(site: Site, state: int, status: str, severity: str) -> None:
    site.set("array-1", **{RAID_STATE: ("integer", state)})
    site.is_wrong(("array-1", "storage backend degraded"))
    alarm = site.alarms()["array-1", "storage backend degraded"]
    assert (alarm["fault_details"]["status"], alarm["perceived_severity"]) == (status, severity)
    assert alarm["fault_details"]["part"] == "Volume 1"


def test_a_storage_backend_that_is_rebuilt_gets_better_step_by_step(site: Site) -> None:
    for state, severity in ((12, "critical"), (11, "warning"), (12, "critical"), (7, "warning")):
        site.set("array-1", **{RAID_STATE: ("integer", state)})
        until(
            lambda severity=severity: (  # type: ignore[misc]
                site.alarms().get(("array-1", "storage backend degraded"), {}).get("perceived_severity")
                == severity
            )
        )
    site.set("array-1", **{RAID_STATE: ("integer", 1)})
    site.is_wrong()


def test_what_a_trap_has_begun_asking_ends(site: Site) -> None:
    """By the same key, of the same part."""
    site.set("leaf-1", **{SUPPLY_STATE: ("integer", 6)})
    tell(site.port, SUPPLY, SUPPLY_NAME, "s", "PSU-1", SUPPLY_STATE, "i", "6", source=LEAF)
    site.is_wrong(("leaf-1", "power degraded"))
    site.set("leaf-1", **{SUPPLY_STATE: ("integer", 1)})
    site.is_wrong()


def test_power_and_sensors(site: Site) -> None:
    site.set("ups-1", **{OUTPUT_SOURCE: ("integer", 5)})
    site.set("leaf-1", **{f"{SENSOR}.4.3": ("integer", 451)})
    site.is_wrong(("ups-1", "power degraded"), ("leaf-1", "chassis problem"))
    alarm = site.alarms()["leaf-1", "chassis problem"]
    assert alarm["fault_details"]["cause"] == "Inlet Temperature reads 45.1 celsius, above 40"
    assert alarm["fault_details"]["severity"] == "major"  # what is made of that is for the policy to say


@pytest.mark.shows("monitor snmp", "restart")
def test_a_device_that_does_not_answer_is_a_fault_of_its_own(site: Site) -> None:
    """What was wrong with it stands; when it is back it is as it is."""
    site.devices["leaf-1"].ports(*[UP] * 4, DOWN)
    site.is_wrong(("leaf-1:Eth1/5", "port down"))
    site.devices["leaf-1"].stop()
    silent = ("snmp@leaf-1", "monitor silent")
    site.is_wrong(("leaf-1:Eth1/5", "port down"), silent)
    assert site.alarms()[silent]["perceived_severity"] == "warning"
    site.devices["leaf-1"].ports(*[UP] * 5)
    site.devices["leaf-1"].start()
    site.is_wrong()


@pytest.mark.shows("monitor snmp", "bad input")
def test_a_device_with_another_key_is_told_to_have_one(site: Site) -> None:
    leaf = site.devices["leaf-1"]
    leaf.stop()
    leaf.password = "somebody-elses"
    (leaf.folder / "state" / "snmpd.conf").unlink()
    leaf.start()
    silent = ("snmp@leaf-1", "monitor silent")
    try:
        site.is_wrong(silent)
        cause = site.alarms()[silent]["fault_details"]["cause"]
        assert cause == "it has another key for the user"
    finally:
        leaf.stop()
        leaf.password = "authpass12"
        (leaf.folder / "state" / "snmpd.conf").unlink()
        leaf.start()
    site.is_wrong()


@pytest.mark.shows("monitor snmp", "restart")
def test_a_restart_of_doctor_changes_nothing_and_finds_what_was_missed(site: Site) -> None:
    """One port is back when it returns, another one is as it was, and is not told anew."""
    site.devices["leaf-1"].ports(*[UP] * 2, DOWN, DOWN)
    site.is_wrong(("leaf-1:Eth1/3", "port down"), ("leaf-1:Eth1/4", "port down"))
    before = site.alarms()["leaf-1:Eth1/4", "port down"]
    site.doctor.kill()
    site.devices["leaf-1"].ports(*[UP] * 3, DOWN)
    site.doctor.start()
    site.is_wrong(("leaf-1:Eth1/4", "port down"))
    assert site.alarms()["leaf-1:Eth1/4", "port down"]["alarm_id"] == before["alarm_id"]
