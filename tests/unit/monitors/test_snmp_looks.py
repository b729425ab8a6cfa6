"""What devices answer, as what is wrong with them."""

from itertools import pairwise
from pathlib import Path

import pytest

from doctor.drivers.monitors.snmp.facts import IF_NAME, PORT, READING, SILENCE, mark_of
from doctor.drivers.monitors.snmp.looks import (
    ENTITY_NAME,
    IF_ADMIN,
    IF_DESCR,
    IF_OPER,
    S_PRECISION,
    S_SCALE,
    S_STATUS,
    S_TYPE,
    S_VALUE,
    Port,
    Ports,
    Walked,
    beyond,
    columns_of,
    ports_of,
    readings_of,
    wrong_in,
)
from doctor.drivers.monitors.snmp.mapping import LimitRule, TableRule, load

RAID = next(table for table in load().tables if table.name == "synologyRaid")
UPS = next(table for table in load().tables if table.name == "upsOutputSource")


def port(name: str, *, carries: bool | None, is_wanted: bool = True) -> Port:
    return Port(1, name, is_wanted, carries)


def test_ports_are_read_from_the_tables_of_interfaces() -> None:
    walked: Walked = {
        IF_ADMIN: {"1": 1, "2": 1, "3": 2, "4": 1},
        IF_OPER: {"1": 1, "2": 2, "3": 7, "4": 5, "x.y": 2},
        IF_NAME: {"1": b"Eth1/1", "2": b"", "3": b"Eth1/3"},
    }
    assert ports_of(walked) == [
        Port(1, "Eth1/1", True, True),
        Port(2, "if2", True, False),
        Port(3, "Eth1/3", False, False),
        Port(4, "if4", True, None),
    ]
    assert ports_of({IF_OPER: {"1": 1}, IF_NAME: {}, IF_DESCR: {"1": b"eth0"}})[0].name == "eth0"
    assert ports_of({}) == []


@pytest.mark.parametrize(
    ("before", "now", "mapped", "told", "kept"),
    [
        pytest.param(None, port("a", carries=False), (), {}, ["a"], id="never-up"),
        pytest.param(True, port("a", carries=False), (), {"a": "it carries nothing"}, [], id="was-up"),
        pytest.param(
            None, port("a", carries=False), ("s:a",), {"a": "it carries nothing"}, [], id="in-the-map"
        ),
        pytest.param(True, port("a", carries=False, is_wanted=False), (), {}, ["a"], id="set-down"),
        pytest.param(
            True,
            port("a", carries=False, is_wanted=False),
            ("s:a",),
            {"a": "the port was set down"},
            [],
            id="set-down-in-the-map",
        ),
        pytest.param(True, port("a", carries=True), ("s:a",), {}, [], id="up"),
        pytest.param(True, port("a", carries=None), ("s:a",), {}, [], id="unknown"),
    ],
)
def test_which_ports_that_are_down_are_news(
    before: bool | None, now: Port, mapped: tuple[str, ...], told: dict[str, str], kept: list[str]
) -> None:
    ports = Ports()
    if before is not None:
        ports.look("s", [port("a", carries=before)], mapped)
    assert ports.look("s", [now], mapped) == (told, kept)


def test_ports_of_devices_that_are_gone_are_forgotten() -> None:
    ports = Ports()
    ports.look("s", [port("a", carries=True)], ())
    ports.keep([])
    assert ports.look("s", [port("a", carries=False)], ()) == ({}, ["a"])


def test_a_table_says_what_is_wrong_with_which_part() -> None:
    assert RAID.part is not None
    walked: Walked = {
        RAID.column: {"0": 1, "1": 11, "2": 7, "3": 99, "4": 12},
        RAID.part: {"1": b"Volume 1", "2": b"\x00\xff"},
    }
    found = [(one.part, one.status, one.severity) for one in wrong_in(RAID, walked)]
    assert found == [
        ("Volume 1", "degraded", "major"),
        ("00 ff", "rebuilding", ""),
        ("4", "failed", "critical"),
    ]
    assert columns_of(RAID) == [RAID.column, RAID.part]


def test_a_single_value_has_no_part() -> None:
    (found,) = wrong_in(UPS, {UPS.column: {"0": 5}})
    assert (found.key, found.part, found.status, found.cause) == (
        "on battery",
        "",
        "down",
        "upsOutputSource is 5",
    )
    assert columns_of(UPS) == [UPS.column]


def sensors(**rows: tuple[object, ...]) -> Walked:
    """Return sensors by name: type, scale, precision, value, status."""
    columns = (S_TYPE, S_SCALE, S_PRECISION, S_VALUE, S_STATUS)
    found: dict[str, dict[str, object]] = {column: {} for column in (*columns, ENTITY_NAME)}
    for number, (name, values) in enumerate(rows.items()):
        found[ENTITY_NAME][str(number)] = name.encode()
        for column, value in zip(columns, values, strict=True):
            if value is not None:
                found[column][str(number)] = value
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("row", "wanted"),
    [
        pytest.param((8, 9, 0, 25, 1), ("celsius", 25.0), id="plain"),
        pytest.param((8, 9, 1, 251, 1), ("celsius", 25.1), id="precision"),
        pytest.param((4, 8, 0, 12_000, 1), ("volts", 12.0), id="millivolts"),
        pytest.param((6, 10, 0, 2, 1), ("watts", 2000.0), id="kilowatts"),
        pytest.param((8, None, None, 25, 1), ("celsius", 25.0), id="no-scale"),
        pytest.param((8, 99, 99, 25, 1), ("celsius", 25.0), id="odd-scale"),
        pytest.param((8, 9, 0, 25, 3), None, id="broken"),
        pytest.param((12, 9, 0, 1, 1), None, id="truth"),
        pytest.param((None, 9, 0, 25, 1), None, id="no-type"),
        pytest.param((8, 9, 0, b"hot", 1), None, id="no-number"),
    ],
)
def test_what_sensors_read(row: tuple[object, ...], wanted: tuple[str, float] | None) -> None:
    found = [(unit, round(value, 6)) for _, unit, value in readings_of(sensors(inlet=row))]
    assert found == ([] if wanted is None else [wanted])


def test_limits_are_of_sensors_by_name_and_unit() -> None:
    limits = [
        LimitRule(sensor="*CPU*", unit="celsius", above=90, severity="critical"),
        LimitRule(sensor="*", unit="celsius", above=40),
        LimitRule(sensor="fan*", unit="rpm", below=1000, type="site.fan"),
    ]
    walked = sensors(
        cpu1=(8, 9, 0, 95, 1),
        cpu2=(8, 9, 0, 60, 1),
        inlet=(8, 9, 0, 39, 1),
        Fan1=(10, 9, 0, 900, 1),
        Fan2=(10, 9, 0, 5000, 1),
    )
    found = [(one.part, one.type, one.severity) for one in beyond(limits, walked)]
    assert found == [
        ("cpu1", "compute.chassis.degraded", "critical"),
        ("cpu2", "compute.chassis.degraded", ""),
        ("Fan1", "site.fan", ""),
    ]


def test_a_table_of_the_operator_takes_the_place_of_one_that_ships(tmp_path: Path) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(
        "tables: [{name: synologyRaid, column: 1.3.6.1.9, type: site.raid, key: raid, down: [2]}]\n"
        "limits: [{sensor: '*', unit: celsius, above: 50}]\n"
    )
    meanings = load(path)
    assert [one.type for one in meanings.tables if one.name == "synologyRaid"] == ["site.raid"]
    assert [one.above for one in meanings.limits] == [50]


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("tables: [{name: a, column: x, type: t, key: k, down: [1]}]", r"tables\[0\].column"),
        ("tables: [{name: a, column: 1.3.6, type: t, key: k, down: []}]", r"tables\[0\].down"),
        ("limits: [{sensor: a, unit: celsius}]", r"limits\[0\].above"),
        ("limits: [{sensor: a, unit: furlongs, above: 1}]", r"limits\[0\].unit"),
    ],
)
@pytest.mark.shows("monitor snmp", "bad input")
def test_what_is_wrong_with_a_table_is_told_with_the_place(tmp_path: Path, text: str, wrong: str) -> None:
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ValueError, match=wrong):
        load(path)


def test_keys_of_what_ships_are_no_beginnings_of_others() -> None:
    """What is asked for by one key says nothing of another."""
    keys = sorted({table.key for table in load().tables} | {PORT, READING, SILENCE})
    assert ("fan", "fan tray") in pairwise(keys)
    assert not [
        one for one in keys for other in keys if one != other and mark_of(other).startswith(mark_of(one))
    ]


def test_what_traps_and_tables_say_of_one_thing_has_one_type() -> None:
    meanings = load()
    by_key = {(table.key, table.type) for table in meanings.tables}
    rules = [*meanings.traps._exact.values(), *meanings.traps._below.values()]
    assert {rule.key for rule in rules if rule.key} & {key for key, _ in by_key}
    assert all((rule.key, rule.type) in by_key for rule in rules if rule.key in {key for key, _ in by_key})


def test_a_rule_for_a_table_needs_no_part() -> None:
    table = TableRule(name="a", column="1.3.6", type="t", key="k", down=(1,))
    (found,) = wrong_in(table, {"1.3.6": {"4": 1}})
    assert (found.part, found.severity) == ("4", "")
