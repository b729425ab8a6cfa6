"""What traps mean: by the rules that ship, and by those of an operator."""

import json
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest

from doctor.drivers.monitors.snmp.ber import Missing, Value
from doctor.drivers.monitors.snmp.facts import Device, Origin, PortNames, fact_of, text_of
from doctor.drivers.monitors.snmp.mapping import Traps, load
from doctor.drivers.monitors.snmp.message import Notice
from doctor.drivers.monitors.snmp.understanding import Heard
from doctor.model.event import RawEvent
from doctor.ports.payload import Happened, Stated
from tests.unit.monitors.snmp_traps import IF_INDEX, LINK_DOWN, LINK_UP, SAMPLES, sample, understanding

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
LEAF = Origin(Device("leaf-1", "switch"), "snmp.hints", "v2c", NOON)
SHIPPED = load().traps
IF_NAME, IF_ADMIN = "1.3.6.1.2.1.31.1.1.1.1", "1.3.6.1.2.1.2.2.1.7"
SUPPLY = "1.3.6.1.4.1.9.9.13.3.0.5"
SUPPLY_NAME, SUPPLY_STATE = "1.3.6.1.4.1.9.9.13.1.5.1.2.1", "1.3.6.1.4.1.9.9.13.1.5.1.3.1"


def fact(
    trap: str, *bindings: tuple[str, Value], traps: Traps = SHIPPED, names: PortNames | None = None
) -> Stated | Happened | None:
    notice = Notice(1, trap, 4200, bindings, None)
    return fact_of(notice, LEAF, traps.find(trap), names or PortNames())


def event(said: Stated | Happened | None) -> RawEvent:
    assert said is not None
    return said.event


def short(said: Stated | Happened | None) -> tuple[str, str, str, str]:
    one = event(said)
    return one.type, one.resource, one.status, one.monitor_event_id


def of_sample(name: str) -> Stated | Happened | None:
    found = understanding().read(sample(name), 1.0)
    assert isinstance(found, Heard)
    return fact_of(found.notice, LEAF, SHIPPED.find(found.notice.trap), PortNames())


@pytest.mark.parametrize(
    ("name", "kind", "resource", "mark"),
    [
        ("v1_linkDown", "network.port.down", "leaf-1:if7", "leaf-1 port: if7"),
        ("v2c_linkDown", "network.port.down", "leaf-1:Ethernet1/7", "leaf-1 port: Ethernet1/7"),
        ("v2c_cisco_envmon_psu", "compute.power.degraded", "leaf-1", "leaf-1 supply: PSU-1 Power Supply"),
        ("v2c_cisco_fru_power_status", "compute.power.degraded", "leaf-1", "leaf-1 fru power: 470"),
        (
            "v2c_dell_idrac_psu_failed",
            "compute.power.degraded",
            "leaf-1",
            "leaf-1 compute.power.degraded: Power supply 1",
        ),
        ("v2c_entStateOperDisabled", "compute.chassis.degraded", "leaf-1", "leaf-1 entity: 5"),
    ],
)
@pytest.mark.requirement("G11", "G12")
def test_traps_of_real_senders_are_faults(name: str, kind: str, resource: str, mark: str) -> None:
    said = of_sample(name)
    assert isinstance(said, Stated)
    assert short(said) == (kind, resource, "down", mark)
    details = said.event.details
    assert details["hostname"] == resource
    assert (details["monitor_id"], details["device"]) == ("snmp", "leaf-1")
    assert details["values"]


def test_what_a_real_agent_has_sent_when_a_cable_was_cut() -> None:
    """snmpd, of a pair of real interfaces: down, up; then somebody has asked with a wrong community."""
    lines = (SAMPLES / "snmpd_disman_linkdown_up_authfail.jsonl").read_text().splitlines()
    found = []
    for line in lines:
        said = [(one["oid"], read(one["type"], one["value"])) for one in json.loads(line)["varbinds"]]
        trap = dict(said)["1.3.6.1.6.3.1.1.4.1.0"]
        found.append(short(fact(str(trap), *said[2:]))[:3])
    assert found == [
        ("network.port.down", "leaf-1:if8", "down"),
        ("network.port.down", "leaf-1:if8", "up"),
        ("snmp.authenticationFailure", "leaf-1", ""),
    ]


def read(kind: str, value: str) -> Value:
    return value if kind == "ObjectIdentifier" else int(value)


def test_a_port_has_an_id_of_its_own_and_is_a_card() -> None:
    names = PortNames()
    began = fact(LINK_DOWN, (f"{IF_INDEX}.7", 7), (f"{IF_NAME}.7", b"Ethernet1/7"), names=names)
    ended = fact(LINK_UP, (f"{IF_INDEX}.7", 7), names=names)
    assert short(began) == ("network.port.down", "leaf-1:Ethernet1/7", "down", "leaf-1 port: Ethernet1/7")
    assert short(ended) == ("network.port.down", "leaf-1:Ethernet1/7", "up", "leaf-1 port: Ethernet1/7")
    assert event(ended).severity == "cleared"
    assert event(began).resource_type == "nic"
    assert event(began).details["resource_type"] == "nic"


def test_the_number_of_a_port_may_stand_in_the_name_only() -> None:
    """Some devices send no ifIndex, but other objects of the port."""
    assert short(fact(LINK_DOWN, (f"{IF_ADMIN}.12", 1)))[1] == "leaf-1:if12"


def test_a_port_that_was_set_down_is_told_to_be() -> None:
    said = fact(LINK_DOWN, (f"{IF_INDEX}.7", 7), (f"{IF_ADMIN}.7", 2))
    assert event(said).details["cause"] == "the port was set down"


def test_a_trap_of_a_port_that_says_of_none_is_no_fact() -> None:
    assert fact(LINK_DOWN) is None


@pytest.mark.parametrize(("state", "status"), [(1, "up"), (2, "down"), (3, "down"), (5, "up"), (6, "down")])
def test_the_value_of_an_object_says_whether_it_stands(state: int, status: str) -> None:
    said = fact(SUPPLY, (SUPPLY_NAME, b"PSU-1"), (SUPPLY_STATE, state))
    assert short(said) == ("compute.power.degraded", "leaf-1", status, "leaf-1 supply: PSU-1")


@pytest.mark.parametrize("bindings", [[], [(SUPPLY_STATE, 99)], [(SUPPLY_STATE, Missing.OBJECT)]])
def test_a_state_that_nobody_knows_is_no_fact(bindings: list[tuple[str, Value]]) -> None:
    assert fact(SUPPLY, (SUPPLY_NAME, b"PSU-1"), *bindings) is None


def test_an_agent_that_starts_is_no_fault() -> None:
    """Not every coldStart is a start of the device: net-snmp sends one whenever snmpd starts."""
    said = fact("1.3.6.1.6.3.1.1.5.1")
    assert isinstance(said, Happened)
    assert short(said) == ("snmp.coldStart", "leaf-1", "", "leaf-1 coldStart")


def test_a_trap_that_nobody_knows_is_kept_by_its_number() -> None:
    said = fact("1.3.6.1.4.1.4711.0.1", ("1.3.6.1.4.1.4711.1.0", b"\x00\xff"))
    assert isinstance(said, Happened)
    assert short(said)[0] == "snmp.trap"
    assert event(said).details["values"] == {"1.3.6.1.4.1.4711.1.0": "00 ff"}


def test_what_nobody_says_to_have_ended_ends_by_itself() -> None:
    said = fact("1.3.6.1.2.1.33.2.1")
    assert isinstance(said, Stated)
    assert said.until == NOON + timedelta(minutes=3)


@pytest.mark.parametrize(
    ("message", "text", "state", "wanted"),
    [
        ("FAN0001", "Fan 2A RPM is low.", 4, ("compute.chassis.degraded", "down", "Fan 2A", "warning")),
        (
            "PSU0017",
            "Power supply 1 is operating normally.",
            3,
            ("compute.power.degraded", "up", "Power supply 1", "cleared"),
        ),
        ("MEM0702", "Correctable errors at DIMM.", 6, ("compute.memory.failure", "down", "", "critical")),
        ("LOG0001", "The log was cleared.", 4, ("snmp.iDRAC", "down", "", "warning")),
    ],
)
def test_what_a_trap_is_about_may_stand_in_its_text(
    message: str, text: str, state: int, wanted: tuple[str, str, str, str]
) -> None:
    base = "1.3.6.1.4.1.674.10892.5.3.1"
    said = fact(
        "1.3.6.1.4.1.674.10892.5.3.2.1.0.9999",
        (f"{base}.1.0", message.encode()),
        (f"{base}.2.0", text.encode()),
        (f"{base}.3.0", state),
    )
    one = event(said)
    assert (one.type, one.status, one.details.get("part", ""), one.severity) == wanted
    assert one.details["cause"] == text


def test_names_that_cannot_be_printed_are_made_to_be() -> None:
    for raw in (b"eth\x000\x1b[2J", b"\xff\xfe" * 300, "é".encode() * 300, b""):
        one = event(fact(LINK_DOWN, (f"{IF_INDEX}.7", 7), (f"{IF_NAME}.7", raw)))
        assert one.resource.isprintable()
        assert len(one.resource) < 255
        assert len(one.raw_details) < 16 * 1024


def test_a_trap_with_much_in_it_is_told_with_as_much_as_fits() -> None:
    one = event(
        fact(LINK_DOWN, (f"{IF_INDEX}.7", 7), *((f"1.3.6.1.4.1.9.{n}", b"x" * 9000) for n in range(500)))
    )
    assert len(one.raw_details) < 16 * 1024
    assert msgspec.json.decode(one.raw_details)["trap"] == "linkDown"


def test_values_in_words() -> None:
    found = [text_of(one) for one in (b"text\0", b"\x01\x02", 7, "1.3.6", None, Missing.INSTANCE)]
    assert found == ["text", "01 02", "7", "1.3.6", "", ""]


def test_names_of_devices_that_are_gone_are_forgotten() -> None:
    names = PortNames()
    names.learn("leaf-1", {1: "one"})
    names.learn("leaf-2", {1: "two"})
    names.keep(["leaf-2"])
    assert (names.name("leaf-1", 1), names.name("leaf-2", 1)) == ("if1", "two")


# --- the file of an operator ---


def written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    return path


def test_a_rule_of_the_operator_comes_before_those_that_ship(tmp_path: Path) -> None:
    text = """
traps:
  - {name: linkDown, oid: 1.3.6.1.6.3.1.1.5.3, type: site.link, status: down, about: port, severity: minor}
  - {name: tank, oid: "1.3.6.1.4.1.4711.*", type: site.tank, text: 1.3.6.1.4.1.4711.9}
"""
    traps = load(written(tmp_path, text)).traps
    one = event(fact(LINK_DOWN, (f"{IF_INDEX}.7", 7), traps=traps))
    assert (one.type, one.severity) == ("site.link", "minor")
    tank = event(fact("1.3.6.1.4.1.4711.0.5", ("1.3.6.1.4.1.4711.9.0", b"it is empty"), traps=traps))
    assert (tank.type, tank.status, tank.details["cause"]) == ("site.tank", "down", "it is empty")
    assert traps.find(SUPPLY) == SHIPPED.find(SUPPLY)


def test_the_longest_name_that_fits_counts(tmp_path: Path) -> None:
    text = """
traps:
  - {name: all, oid: "1.3.6.1.4.1.4711.*"}
  - {name: some, oid: "1.3.6.1.4.1.4711.2.*"}
  - {name: one, oid: 1.3.6.1.4.1.4711.2.1}
"""
    traps = load(written(tmp_path, text)).traps
    found = [traps.find(f"1.3.6.1.4.1.4711.{tail}") for tail in ("1", "2.2.2", "2.1")]
    assert [one and one.name for one in found] == ["all", "some", "one"]
    assert traps.find("1.3.6.1.4.1.47110") is None


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        pytest.param("traps: [{name: a, oid: x}]", r"traps\[0\].oid", id="oid"),
        pytest.param("traps: [{name: a}]", r"traps\[0\]", id="no-oid"),
        pytest.param("traps: [{name: a, oid: 1.3.6, colour: red}]", "colour", id="unknown"),
        pytest.param(
            "traps: [{name: a, oid: 1.3.6, part_from: '('}]", r"traps\[0\].part_from", id="expression"
        ),
        pytest.param("traps: [{name: a, oid: 1.3.6, part_from: 'x'}]", "one group", id="no-group"),
        pytest.param("traps: [{name: a, oid: 1.3.6, status: up, by: 1.3.6}]", r"traps\[0\].by", id="twice"),
        pytest.param("traps: [{name: a, oid: 1.3.6, down: [1]}]", r"traps\[0\].by", id="values-of-nothing"),
        pytest.param(
            "traps: [{name: a, oid: 1.3.6, over_after: 0}]", r"traps\[0\].over_after", id="duration"
        ),
        pytest.param("traps: {}", "traps: should be a list", id="no-list"),
        pytest.param("traps: [7]", r"traps\[0\]", id="no-mapping"),
        pytest.param("other: []", "other: unknown", id="other"),
        pytest.param("traps: [", "not valid YAML", id="no-yaml"),
        pytest.param("- 1", "expected a mapping", id="list"),
        pytest.param("#" * 5_000_000, "larger", id="huge"),
    ],
)
@pytest.mark.shows("monitor snmp", "bad input")
def test_what_is_wrong_with_a_file_is_told_with_the_place(tmp_path: Path, text: str, wrong: str) -> None:
    with pytest.raises(ValueError, match=wrong):
        load(written(tmp_path, text))


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"mapping_file: .*none.yaml: No such file"):
        load(tmp_path / "none.yaml")
