"""The descriptions of sensors (SDR) and what they show."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.bmc.findings import Finding
from doctor.drivers.monitors.ipmi.sensors import Formula, Sensor, finding_of, sensors_of, state_of
from doctor.model.fault import Severity

SHOWN = 0xC0  # the sensor is scanned, and its reading is good


def full(
    name: bytes = b"Inlet", kind: int = 0xC0, *, m: int = 1, exponents: int = 0, digits: int = 0
) -> bytes:
    """A description of a temperature, as the specification lays it out."""
    body = bytearray(43)
    body[0], body[2], body[7], body[8], body[15], body[16] = 0x20, 7, 0x01, 0x01, digits << 6, 1
    body[19], body[20], body[24] = m & 0xFF, m >> 2 & 0xC0, exponents
    body[42] = kind | len(name)
    return bytes((1, 0, 0x51, 1, len(body) + len(name))) + bytes(body) + name


def compact(sensor_type: int = 0x08, *, sharing: int = 1) -> bytes:
    body = bytearray(27)
    body[0], body[2], body[7], body[8], body[18] = 0x20, 20, sensor_type, 0x6F, sharing
    body[26] = 0xC4
    return bytes((2, 0, 0x51, 2, 31)) + bytes(body) + b"PSU1"


def one(record: bytes) -> Sensor:
    (sensor,) = sensors_of(record)
    return sensor


def shown(sensor: Sensor, raw: int, bits: int, *, is_on: bool = True) -> Finding | None:
    return finding_of(sensor, bytes((raw, SHOWN)) + bits.to_bytes(2, "little"), is_on=is_on)


@pytest.mark.parametrize(
    ("kind", "name", "said"),
    [
        pytest.param(0xC0, b"Inlet \xb0", "Inlet °", id="latin-1"),
        pytest.param(0x00, b"Inlet", "Inlet", id="unicode"),
        pytest.param(0x40, bytes((0x12, 0xAB)), "12 -", id="digits"),
        pytest.param(0x80, bytes((0x29, 0xDC, 0xA6)), "IPMI", id="six-bits"),
        pytest.param(0xC0, b"\x00\x01\x1b[2J", "[2J", id="what-cannot-be-printed"),
        pytest.param(0xC0, b"", "sensor 0x07", id="nothing"),
    ],
)
def test_names_come_in_four_ways(kind: int, name: bytes, said: str) -> None:
    """Names of four characters in the packed way are those on which pyghmi's own reader runs for ever."""
    assert one(full(name, kind)).name == said


def test_a_name_that_is_cut_off_is_as_long_as_it_is() -> None:
    assert one(full(b"Inlet Temp")[:-4]).name == "Inlet"


@pytest.mark.parametrize(
    ("formula", "raw", "value"),
    [
        pytest.param(Formula(1, 0, 0, 0), 92, 92.0, id="as-it-is"),
        pytest.param(Formula(5, 10, -1, 0), 100, 51.0, id="linear"),
        pytest.param(Formula(1, 0, 0, 2), 0xFF, -1.0, id="two's-complement"),
        pytest.param(Formula(1, 0, 0, 1), 0xFE, -1.0, id="ones'-complement"),
    ],
)
def test_a_reading_becomes_a_figure(formula: Formula, raw: int, value: float) -> None:
    assert formula.value(raw) == pytest.approx(value)


def test_factors_are_signed() -> None:
    assert one(full(m=0x3FF, exponents=0xF0)).formula == Formula(-1, 0, -1, 0)


def test_sensors_may_share_a_description() -> None:
    assert [(sensor.number, sensor.name) for sensor in sensors_of(compact(sharing=3))] == [
        (20, "PSU1 1"),
        (21, "PSU1 2"),
        (22, "PSU1 3"),
    ]


@pytest.mark.parametrize("at", [0, 1])
def test_what_is_behind_a_bridge_is_not_read(at: int) -> None:
    record = bytearray(full())
    record[5 + at] = 0x01 if at else 0x2C
    assert list(sensors_of(bytes(record))) == []


@pytest.mark.parametrize("record", [b"", b"\x01\x00\x51", full()[:20], compact()[:30]])
def test_a_description_that_is_cut_off_makes_no_sense(record: bytes) -> None:
    with pytest.raises(ValueError, match="too short"):
        list(sensors_of(record))


@pytest.mark.parametrize(
    ("bits", "severity"),
    [
        pytest.param(0, None, id="well"),
        pytest.param(0b001000, Severity.WARNING, id="non-critical"),
        pytest.param(0b011000, Severity.MAJOR, id="critical"),
        pytest.param(0b111000, Severity.CRITICAL, id="non-recoverable"),
        pytest.param(0b000010, Severity.MAJOR, id="cold"),
        pytest.param(0xC0C0, None, id="reserved-bits"),
    ],
)
def test_a_temperature_is_as_bad_as_its_worst_threshold(bits: int, severity: Severity | None) -> None:
    finding = shown(one(full()), 92, bits)
    assert (finding and finding.severity) == severity
    if finding:
        assert (finding.type, finding.part) == ("compute.chassis.degraded", "sensor 7 Inlet")
        assert finding.details["reading"] == 92


@pytest.mark.parametrize(
    ("sensor_type", "offset", "kind"),
    [
        pytest.param(0x08, 1, "compute.power.degraded", id="supply"),
        pytest.param(0x08, 0, None, id="supply-is-there"),
        pytest.param(0x0C, 1, "compute.memory.failure", id="memory"),
        pytest.param(0x0C, 0, "compute.memory.corrected", id="memory-corrected"),
        pytest.param(0x07, 1, "compute.cpu.failure", id="processor"),
        pytest.param(0x07, 10, "compute.cpu.corrected", id="processor-is-slow"),
        pytest.param(0x0D, 1, "compute.disk.crash", id="disk"),
        pytest.param(0x0D, 2, "compute.disk.aging", id="disk-soon"),
        pytest.param(0x08, 14, None, id="unknown-state"),
    ],
)
def test_a_state_is_of_a_type(sensor_type: int, offset: int, kind: str | None) -> None:
    finding = shown(one(compact(sensor_type)), 0, 1 << offset)
    assert (finding and finding.type) == kind


@pytest.mark.parametrize("sensor_type", [0x20, 0x13, 0x23, 0x05, 0xC7])
def test_what_remembers_what_once_was_and_what_nobody_knows_is_not_watched(sensor_type: int) -> None:
    assert not one(compact(sensor_type)).is_watched


@pytest.mark.parametrize("flags", [0x80, 0xE0, 0x00])
def test_what_cannot_be_read_now_is_not_wrong(flags: int) -> None:
    assert finding_of(one(full()), bytes((0, flags, 0x3F, 0)), is_on=True) is None


def test_a_fan_stands_still_without_power() -> None:
    fan = one(full())._replace(type=0x04)
    assert shown(fan, 0, 0b111, is_on=False) is None
    assert shown(fan, 0, 0b111) is not None


def test_a_reading_that_is_cut_off_makes_no_sense() -> None:
    with pytest.raises(ValueError, match="too short"):
        finding_of(one(full()), b"\x10", is_on=True)


@given(st.binary(max_size=80), st.binary(min_size=2, max_size=5))
def test_any_bytes_are_sensors_or_make_no_sense(record: bytes, reading: bytes) -> None:
    try:
        sensors = list(sensors_of(record))
    except ValueError:
        return
    for sensor in sensors:
        assert sensor.name.isprintable()
        if sensor.is_watched:
            finding_of(sensor, reading, is_on=True)


@given(st.integers(0, 255), st.integers(0, 127), st.integers(0, 15))
def test_any_state_says_something(sensor_type: int, reading_type: int, offset: int) -> None:
    assert isinstance(state_of(sensor_type, reading_type, offset).words, str)
