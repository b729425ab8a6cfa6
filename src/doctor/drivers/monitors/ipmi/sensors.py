"""The sensors of a BMC: their descriptions (SDR), and what they show.

What a state means is taken from the tables of pyghmi; its own reader of descriptions runs for ever on some names.
"""

import math
from collections.abc import Iterator
from enum import IntEnum
from typing import NamedTuple

from pyghmi.ipmi.private import constants

from doctor.drivers.monitors.bmc.findings import (
    CHASSIS_DEGRADED,
    CPU_CORRECTED,
    CPU_FAILURE,
    DISK_AGING,
    DISK_CRASH,
    MEMORY_CORRECTED,
    MEMORY_FAILURE,
    POWER_DEGRADED,
    Finding,
    printable,
)
from doctor.model.fault import Severity


class SensorType(IntEnum):
    """What a sensor is about."""

    TEMPERATURE = 0x01
    VOLTAGE = 0x02
    CURRENT = 0x03
    FAN = 0x04
    PROCESSOR = 0x07
    SUPPLY = 0x08
    UNIT = 0x09
    COOLING = 0x0A
    MEMORY = 0x0C
    DRIVE = 0x0D
    INTERRUPT = 0x13
    SYSTEM = 0x20


FULL, COMPACT, EVENT_ONLY = 1, 2, 3
NAME_AT = {FULL: 42, COMPACT: 26, EVENT_ONLY: 11}  # behind the header
HEADER = 5
BMC = 0x20  # what is owned by others is behind a bridge
THRESHOLDS, SPECIFIC = 0x01, 0x6F
RUN_WITH_THE_HOST = (
    SensorType.VOLTAGE,
    SensorType.CURRENT,
    SensorType.FAN,
)  # without power they are low, and nothing is wrong with them
FAILED = 4
SEVERITIES = {1: Severity.WARNING, 2: Severity.MAJOR, FAILED: Severity.CRITICAL}  # by the words of pyghmi
STATES = (  # of a sensor with thresholds, by the bit that says it
    ("below the lower non-critical threshold", Severity.WARNING),
    ("below the lower critical threshold", Severity.MAJOR),
    ("below the lower non-recoverable threshold", Severity.CRITICAL),
    ("above the upper non-critical threshold", Severity.WARNING),
    ("above the upper critical threshold", Severity.MAJOR),
    ("above the upper non-recoverable threshold", Severity.CRITICAL),
)
UNITS = {1: "degrees Celsius", 2: "degrees Fahrenheit", 3: "K", 4: "V", 5: "A", 6: "W", 18: "RPM", 19: "Hz"}

# Types of which the state that a sensor shows counts: those that remember what once was are told by the log alone.
KINDS: dict[int, tuple[str, str]] = {
    SensorType.TEMPERATURE: (CHASSIS_DEGRADED, CHASSIS_DEGRADED),
    SensorType.FAN: (CHASSIS_DEGRADED, CHASSIS_DEGRADED),
    SensorType.COOLING: (CHASSIS_DEGRADED, CHASSIS_DEGRADED),
    SensorType.VOLTAGE: (POWER_DEGRADED, POWER_DEGRADED),
    SensorType.CURRENT: (POWER_DEGRADED, POWER_DEGRADED),
    SensorType.SUPPLY: (POWER_DEGRADED, POWER_DEGRADED),
    SensorType.UNIT: (POWER_DEGRADED, POWER_DEGRADED),
    SensorType.PROCESSOR: (CPU_CORRECTED, CPU_FAILURE),
    SensorType.MEMORY: (MEMORY_CORRECTED, MEMORY_FAILURE),
    SensorType.DRIVE: (DISK_AGING, DISK_CRASH),
}


class State(NamedTuple):
    """What a bit of a sensor says, and how bad that is; None: not at all."""

    words: str
    severity: Severity | None


class Formula(NamedTuple):
    """How a reading becomes a figure: (m * x + b) * 10 ** exponent."""

    m: int
    b: float
    exponent: int
    digits: int  # 0: unsigned, 1: ones' complement, 2: two's complement

    def value(self, raw: int) -> float | None:
        """Return the figure, None where it is none."""
        signed = raw
        if self.digits and raw & 0x80:
            signed = raw - (0x100 if self.digits == 2 else 0xFF)
        value = (self.m * signed + self.b) * 10.0**self.exponent
        return value if math.isfinite(value) else None


class Sensor(NamedTuple):
    """The description of a sensor. ``formula`` is None where it has no figure, or one that is not linear."""

    number: int
    type: int
    reading_type: int
    name: str
    units: str = ""
    formula: Formula | None = None
    is_readable: bool = True

    @property
    def is_watched(self) -> bool:
        """Tell whether what it shows counts."""
        return self.is_readable and self.type in KINDS


def sensors_of(record: bytes) -> Iterator[Sensor]:
    """Return the sensors that a record describes: none, one, or several that share it.

    Raises:
        ValueError: it makes no sense.
    """
    if len(record) < HEADER:
        raise ValueError("too short")
    kind, body = record[3], record[HEADER:]
    if kind not in NAME_AT:
        return
    if len(body) < NAME_AT[kind]:
        raise ValueError("too short")
    if body[0] != BMC or body[1] & 0x03:
        return  # of another controller, or behind another LUN
    name = _name(body[NAME_AT[kind]], body[NAME_AT[kind] + 1 :]) if len(body) > NAME_AT[kind] else ""
    if kind == EVENT_ONLY:
        yield Sensor(body[2], body[5], body[6], name or f"sensor {body[2]:#04x}", is_readable=False)
        return
    units = UNITS.get(body[16], "")
    formula = _formula(body) if kind == FULL else None
    sharing = max(body[18] & 0x0F, 1) if kind == COMPACT else 1
    for more in range(sharing):
        number = (body[2] + more) & 0xFF
        suffix = f" {more + 1}" if sharing > 1 else ""
        yield Sensor(number, body[7], body[8], (name or f"sensor {number:#04x}") + suffix, units, formula)


def finding_of(sensor: Sensor, reading: bytes, *, is_on: bool) -> Finding | None:
    """Return what is wrong by a reading; nothing is wrong with what cannot be read now.

    Raises:
        ValueError: it makes no sense.
    """
    if len(reading) < 2:
        raise ValueError("too short")
    if reading[1] & 0x20 or not reading[1] & 0x40:
        return None
    if not is_on and sensor.type in RUN_WITH_THE_HOST:
        return None
    bits = int.from_bytes(reading[2:4].ljust(2, b"\0"), "little") & 0x7FFF
    worst = State("", None)
    for bit in range(15):
        if bits >> bit & 1:
            state = state_of(sensor.type, sensor.reading_type, bit)
            if (state.severity or 0) > (worst.severity or 0):
                worst = state
    if worst.severity is None:
        return None
    value = sensor.formula.value(reading[0]) if sensor.formula and sensor.reading_type == THRESHOLDS else None
    details = {"part": sensor.name, "sensor_number": sensor.number, "state": worst.words}
    said = f"{sensor.name}: {worst.words}"
    if value is not None:
        details |= {"reading": round(value, 3), "units": sensor.units}
        said += f", {value:g} {sensor.units}".rstrip()
    lesser, failure = KINDS[sensor.type]
    is_failure = worst.severity >= (Severity.MAJOR if sensor.type == SensorType.DRIVE else Severity.CRITICAL)
    part = f"sensor {sensor.number} {sensor.name}"
    return Finding(failure if is_failure else lesser, part, worst.severity, said, details)


def state_of(sensor_type: int, reading_type: int, offset: int) -> State:
    """Return what a state of a sensor means; one that no table knows is not bad."""
    if reading_type == THRESHOLDS:
        return State(*STATES[offset]) if offset < len(STATES) else State("", None)
    table = (
        constants.sensor_type_offsets.get(sensor_type, {})
        if reading_type == SPECIFIC
        else constants.generic_type_offsets.get(reading_type, {})
    )
    known = table.get(offset)
    if known is None:
        return State(f"unknown state {offset}", None)
    return State(printable(known["desc"]), SEVERITIES.get(int(known["severity"])))


def _formula(body: bytes) -> Formula | None:
    if body[18] & 0x7F:
        return None  # not linear
    digits = body[15] >> 6
    if digits == 3:
        return None
    m = _signed(body[19] | (body[20] & 0xC0) << 2, 10)
    b = _signed(body[21] | (body[22] & 0xC0) << 2, 10)
    exponents = body[24]
    return Formula(m, b * 10.0 ** _signed(exponents & 0x0F, 4), _signed(exponents >> 4, 4), digits)


def _signed(value: int, bits: int) -> int:
    return value - (1 << bits) if value >> (bits - 1) & 1 else value


def _name(kind: int, data: bytes) -> str:
    """Read a name in one of the four ways of IPMI."""
    length = kind & 0x1F
    match kind >> 6:
        case 1:
            digits = "0123456789 -.:,_"
            text = "".join(digits[byte >> 4] + digits[byte & 0x0F] for byte in data[:length])
        case 2:
            packed = int.from_bytes(data[:length], "little")
            count = len(data[:length]) * 8 // 6
            text = "".join(chr((packed >> 6 * one & 0x3F) + 0x20) for one in range(count))
        case _:
            text = data[:length].decode("latin-1")
    return printable(text)
