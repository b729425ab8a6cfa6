"""SNMP as it is: what the programs of net-snmp send to a running Doctor."""

import os
import socket
import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.demo.bmc import free_udp_port
from doctor.cli.demo.simulator import Program
from doctor.cli.monitor_setup.texts import text_for
from doctor.testing.running import RunningDoctor
from tests.figures import Figures
from tests.integration.test_doors import Door
from tests.monitors.snmp_devices import (
    COMMUNITY,
    LINK_DOWN,
    LINK_UP,
    PASSWORD,
    PRIVACY,
    SIGNED,
    USER,
    port_is,
    secrets,
    tell,
)
from tests.unit.monitors.snmp_traps import link, sample
from tests.waiting import until

LEAF, PDU, COMPUTE, STRANGER = "127.8.2.1", "127.8.2.2", "127.8.2.3", "127.8.2.4"
MAP = {
    "physical_resources": [
        {"id": "leaf-1", "type": "switch", "address": [LEAF]},
        {"id": "pdu-1", "type": "power", "address": [PDU]},
        {"id": "compute-1", "address": [COMPUTE]},
        {"id": "box-1", "type": "storage", "address": ["127.0.0.1"]},
        {"id": "card-1", "type": "nic", "aliases": ["leaf-1:Ethernet1/9"]},
    ],
    "virtual_resources": [{"id": "vm-red", "host": "compute-1", "owner": "red"}],
    "relations": [{"from": "card-1", "kind": "attaches", "to": "compute-1"}],
}
MINE = """
traps:
  - {name: noPower, oid: 1.3.6.1.4.1.4711.0.1, type: compute.power.failure, status: down}
  - {name: powerBack, oid: 1.3.6.1.4.1.4711.0.2, type: compute.power.failure, status: up}
"""


class Site:
    """A running Doctor that takes traps, and what it makes of them."""

    def __init__(self, doctor: RunningDoctor, port: int) -> None:
        self.doctor = doctor
        self.port = port
        self.door = Door(doctor)
        assert self.door.ask("PUT", "/v1/resource-map", MAP)[0] == 200

    def alarms(self) -> dict[tuple[str, str], dict[str, Any]]:
        found = self.door.ask("GET", "/v1/alarms?limit=1000")[1]["items"]
        return {(one["resource_id"], one["fault_type"]): one for one in found}

    def source(self, name: str) -> dict[str, Any]:
        status, found = self.door.ask("GET", f"/v1/monitors/{name}")
        return dict(found) if status == 200 else {}


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("snmp")
    port = free_udp_port()
    (folder / "mine.yaml").write_text(MINE)
    monitor = {
        "driver": "snmp",
        "listen": f"127.0.0.1:{port}",
        "communities": ["public"],
        "users": [
            {"name": USER, "auth": "sha", **secrets(folder)},
            {"name": "printed", "auth": "sha256", **secrets(folder)},
        ],
        "mapping_file": "mine.yaml",
    }
    with RunningDoctor(folder, monitors=[monitor]) as doctor:
        yield Site(doctor, port)


needs_snmptrap = pytest.mark.needs("snmptrap")


@needs_snmptrap
@pytest.mark.shows("monitor snmp", "real")
@pytest.mark.requirement("G11", "G12")
@pytest.mark.parametrize(
    ("program", "version"),
    [
        pytest.param("snmptrap", ("-v1", "-c", "public"), id="v1"),
        pytest.param("snmptrap", COMMUNITY, id="v2c"),
        pytest.param("snmpinform", COMMUNITY, id="v2c-inform"),
        pytest.param("snmptrap", (*SIGNED, "-e", "0x8000000001020304"), id="v3"),
        pytest.param("snmpinform", SIGNED, id="v3-inform"),
    ],
)
def test_the_port_of_a_switch_goes_down_and_comes_back(
    site: Site, program: str, version: tuple[str, ...]
) -> None:
    """Told by net-snmp in each version; an inform is answered."""
    if version[0] == "-v1":
        assert tell(site.port, "", "1.3.6.1.2.1.2.2.1.1.7", "i", "7", source=LEAF, version=version) == 0
    else:
        assert tell(site.port, LINK_DOWN, *port_is(7, 2), source=LEAF, program=program, version=version) == 0
    until(lambda: site.alarms().keys() == {("leaf-1:if7", "port down")})
    alarm = site.alarms()["leaf-1:if7", "port down"]
    assert alarm["resource_type"] == "nic"
    assert alarm["perceived_severity"] == "major"
    assert tell(site.port, LINK_UP, *port_is(7, 1), source=LEAF, program=program) == 0
    until(lambda: not site.alarms())


@needs_snmptrap
def test_the_map_may_know_what_hangs_on_a_port(site: Site) -> None:
    """Then the host is cut off, and the owner of the machine on it is told."""
    assert tell(site.port, LINK_DOWN, *port_is(9, 2, "Ethernet1/9"), source=LEAF) == 0
    until(lambda: {key[0] for key in site.alarms()} == {"card-1", "compute-1", "vm-red"})
    assert tell(site.port, LINK_UP, *port_is(9, 1), source=LEAF) == 0
    until(lambda: not site.alarms())


@needs_snmptrap
def test_what_two_ports_of_a_switch_do_are_two_faults(site: Site) -> None:
    for number in (1, 2):
        tell(site.port, LINK_DOWN, *port_is(number, 2), source=LEAF)
    until(lambda: len(site.alarms()) == 2)
    tell(site.port, LINK_UP, *port_is(1, 1), source=LEAF)
    until(lambda: site.alarms().keys() == {("leaf-1:if2", "port down")})
    tell(site.port, LINK_UP, *port_is(2, 1), source=LEAF)
    until(lambda: not site.alarms())


class Printed(Program):
    """snmpd, with what ``doctor monitor setup snmp`` prints."""

    def __init__(self, folder: Path, to: int) -> None:
        super().__init__(folder)
        text = text_for("snmp", "http://127.0.0.1:1", "").partition("snmpd.conf")[2].partition("# ---")[0]
        for word, other in (
            (" doctor", " printed"),
            (":162", f":{to}"),
            ("AUTH", PASSWORD),
            ("PRIVACY", PRIVACY),
        ):
            text = text.replace(word, other)
        lines = [f"agentaddress udp:127.0.0.1:{free_udp_port()}", *text.splitlines()[1:]]
        (folder / "snmpd.conf").write_text("\n".join(lines))

    def start(self) -> None:
        self._launch(
            *("/usr/sbin/snmpd", "-f", "-Le", "-m", "", "-C", "-c", "snmpd.conf"),
            cwd=self.folder,
            env={**os.environ, "SNMP_PERSISTENT_DIR": str(self.folder / "state")},
        )


@pytest.mark.needs("snmpd")
@pytest.mark.shows("monitor snmp", "real")
def test_an_agent_that_is_set_up_as_printed_reports(site: Site, tmp_path: Path) -> None:
    """It says that it starts, which is no fault; then the ports that were down for it all the time."""
    with Printed(tmp_path, site.port) as agent:
        until(lambda: site.source("snmp.hints").get("events", 0) > 0)
        until(lambda: "snmp.coldStart" in str(site.door.ask("GET", "/v1/failure-policies/unnamed-types")[1]))
        assert "Unknown" not in (agent.folder / "log").read_text()
    for key in site.alarms():
        site.door.ask("POST", "/v1/events", ended(key[0]))
    until(lambda: not site.alarms())


def ended(resource: str) -> dict[str, Any]:
    details = {"resource_id": resource, "resource_type": "nic", "status": "up"}
    return {"event": {"time": datetime.now(UTC).isoformat(), "type": "network.port.down", "details": details}}


@needs_snmptrap
@pytest.mark.shows("monitor snmp", "bad input")
def test_what_cannot_be_believed_is_counted(site: Site) -> None:
    before = site.source("snmp")["rejected"]
    tell(site.port, LINK_DOWN, *port_is(7, 2), source=STRANGER)
    tell(site.port, LINK_DOWN, *port_is(7, 2), source=LEAF, version=("-v2c", "-c", "guessed"))
    wrong = ["somebody-elses" if word == PRIVACY else word for word in SIGNED]
    tell(site.port, LINK_DOWN, *port_is(7, 2), source=LEAF, version=(*wrong, "-e", "0x8000000001020304"))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LEAF, 0))
        for data in (b"", b"hello", sample("v2c_linkDown")[:-3], b"\x30" * 30_000):
            sock.sendto(data, ("127.0.0.1", site.port))
    until(lambda: site.source("snmp")["rejected"] == before + 7)
    assert not site.alarms()


@needs_snmptrap
@pytest.mark.requirement("C4")
def test_what_anybody_can_have_sent_is_told_and_cuts_nothing_off(site: Site) -> None:
    """It is a hint, whoever is named as a witness."""
    assert tell(site.port, "1.3.6.1.4.1.4711.0.1", source=COMPUTE) == 0
    until(lambda: ("compute-1", "power failure") in site.alarms())
    evidence = site.door.ask("GET", "/v1/isolations/compute-1")[1]["evidence"]
    assert "snmp.hints" in str(evidence)
    assert "a hint" in str(evidence)
    assert tell(site.port, "1.3.6.1.4.1.4711.0.2", source=COMPUTE) == 0
    until(lambda: not site.alarms())


@pytest.mark.shows("monitor snmp", "flood")
@pytest.mark.requirement("C4")
def test_a_burst_of_five_thousand_is_told_to_the_last(site: Site, figures: Figures) -> None:
    """By one switch, as fast as the machine sends."""
    before = site.source("snmp.hints").get("events", 0)
    began = time.monotonic()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LEAF, 0))
        for number in range(5000):
            sock.sendto(link(number + 100, is_up=True), ("127.0.0.1", site.port))
    sent = time.monotonic() - began
    until(lambda: site.source("snmp.hints").get("events", 0) == before + 5000, 60)
    took = time.monotonic() - began
    assert site.source("snmp")["lost"] == 0
    figures(f"5,000 traps sent within {sent:.2f} s, judged and kept within {took:.2f} s, none lost")


def test_how_long_it_takes_until_it_is_decided(site: Site, figures: Figures) -> None:
    """From the sending of a trap to the fault, by the clock of this machine."""
    took = []
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
        sock.bind((LEAF, 0))
        for number in range(20):
            sent = time.time()
            sock.sendto(link(number + 20), ("127.0.0.1", site.port))
            key = (f"leaf-1:if{number + 20}", "port down")
            until(lambda key=key: key in site.alarms())  # type: ignore[misc]
            raised = datetime.fromisoformat(site.alarms()[key]["raised_time"])
            took.append((raised.timestamp() - sent) * 1000)
            sock.sendto(link(number + 20, is_up=True), ("127.0.0.1", site.port))
    until(lambda: not site.alarms())
    figures(
        f"trap sent to fault decided: median {statistics.median(took):.2f} ms, worst {max(took):.2f} ms, of 20"
    )
    assert statistics.median(took) < 500


def test_a_witness_that_is_no_witness_is_told_at_the_start(tmp_path: Path) -> None:
    from doctor.app.settings import load_settings
    from doctor.app.wiring import wire
    from doctor.model.errors import RejectedError

    file = tmp_path / "doctor.yaml"
    file.write_text(
        f"data: {tmp_path}\n"
        "monitors: [{driver: snmp, communities: [public]}]\n"
        "fencing: {witnesses: {snmp.hints: switch_port}}\n"
    )
    with pytest.raises(RejectedError) as raised:
        wire(load_settings(file))
    assert [flaw.pointer for flaw in raised.value.flaws] == ["fencing.witnesses.snmp.hints"]
