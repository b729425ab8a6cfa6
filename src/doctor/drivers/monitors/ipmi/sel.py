"""The log of a BMC (SEL): what is new in it, and what it means.

It wraps, it is cleared, its numbers begin anew, and its times are those of a clock that nobody has to have set. So a place
in it is a record, known by all its bytes; and what was in it when it is read first is history.
"""

from collections.abc import Mapping
from typing import NamedTuple, Protocol

from doctor.drivers.monitors.bmc.findings import (
    CPU_FAILURE,
    DISK_AGING,
    DISK_CRASH,
    LOGGED,
    MAINBOARD_FAILURE,
    MEMORY_FAILURE,
    OS_CRASH,
    Finding,
    Record,
)
from doctor.drivers.monitors.ipmi.sensors import (
    SPECIFIC,
    STATES,
    THRESHOLDS,
    Sensor,
    SensorType,
    State,
    state_of,
)
from doctor.model.fault import Severity

FIRST, LAST, NONE_LEFT = 0x0000, 0xFFFF, 0xFFFF
LENGTH = 16
SYSTEM_EVENT = 0x02
OEM = 0xC0
MOST_AT_ONCE = 512  # records of a look; the rest comes at the next
DISK_FAULT, DISK_PREDICTED, UNCORRECTABLE, CRASHED = 1, 2, 1, 1  # offsets


class Log(Protocol):
    """A log that can be read."""

    def count(self) -> int:
        """Return how many records there are."""
        ...

    def entry(self, number: int) -> tuple[int, bytes] | None:
        """Return the number of the next record and this one; None if there is none."""
        ...


class News(NamedTuple):
    """The new records, and how many were overwritten before anybody had read them."""

    records: list[bytes]
    lost: int = 0


class SelReader:
    """A place in the log of one BMC."""

    def __init__(self) -> None:
        self._is_begun = False
        self._last: bytes | None = None  # the record that was read last; None: the log was empty
        self._count = 0

    def read(self, log: Log) -> News:
        """Return what is new since the last time."""
        count = log.count()
        newest = log.entry(LAST) if count else None
        record = newest[1] if newest else None
        if not self._is_begun or record is None:
            self._is_begun, self._last, self._count = True, record, count
            return News([])
        if record == self._last and count == self._count:
            return News([])
        self._count = count
        return self._read_on(log)

    def _read_on(self, log: Log) -> News:
        known = self._last
        found = log.entry(_number(known)) if known is not None else None
        goes_on = found is not None and found[1] == known
        number = found[0] if goes_on and found is not None else FIRST
        records = list[bytes]()
        seen = set[int]()
        while number != NONE_LEFT:
            entry = log.entry(number)
            if entry is None or number in seen or len(records) >= MOST_AT_ONCE:
                break
            seen.add(number)
            number = entry[0]
            records.append(entry[1])
        if not records:
            return News([])
        self._last = records[-1]
        skipped = _number(records[0]) - _number(known) - 1 if known is not None and not goes_on else 0
        return News(records, max(skipped, 0))


def record_of(record: bytes, sensors: Mapping[int, Sensor]) -> Record | None:
    """Return what a record means; None if it is nothing bad.

    Raises:
        ValueError: it makes no sense.
    """
    if len(record) != LENGTH:
        raise ValueError(f"a record of {len(record)} bytes")
    kind = record[2]
    if kind >= OEM:
        said = f"a record of the vendor: {record[3:].hex()}"
        return Record(
            Finding(LOGGED, f"log oem {kind:#04x}", Severity.WARNING, said, {"record": record.hex()})
        )
    if kind != SYSTEM_EVENT:
        raise ValueError(f"a record of the type {kind:#04x}")
    sensor_type, number, event, offset = record[10], record[11], record[12] & 0x7F, record[13] & 0x0F
    state = _state(sensor_type, event, offset)
    if state.severity is None:
        return None
    sensor = sensors.get(number)
    name = sensor.name if sensor else f"sensor {number:#04x}"
    over = bool(record[12] & 0x80)
    type_ = _failure(sensor_type, offset, state) if event == SPECIFIC else LOGGED
    details = {"part": name, "state": state.words, "record": record.hex()}
    finding = Finding(
        type_, f"log {number} {name} {offset}", state.severity, f"{name}: {state.words}", details
    )
    return Record(finding, over)


def _state(sensor_type: int, event: int, offset: int) -> State:
    """Return what an event says. Those of thresholds are numbered otherwise than the states of sensors: each has two ways."""
    if event == THRESHOLDS:
        return State(*STATES[offset // 2]) if offset // 2 < len(STATES) else State("", None)
    return state_of(sensor_type, event, offset)


def _failure(sensor_type: int, offset: int, state: State) -> str:
    """Return of what type an event is that no sensor goes on to show."""
    is_failed = state.severity is Severity.CRITICAL
    match sensor_type:
        case SensorType.MEMORY if offset == UNCORRECTABLE:
            return MEMORY_FAILURE
        case SensorType.PROCESSOR if is_failed:
            return CPU_FAILURE
        case SensorType.DRIVE if offset in (DISK_FAULT, DISK_PREDICTED):
            return DISK_CRASH if offset == DISK_FAULT else DISK_AGING
        case SensorType.INTERRUPT if is_failed:
            return MAINBOARD_FAILURE
        case SensorType.SYSTEM if offset == CRASHED:
            return OS_CRASH
        case _:
            return LOGGED


def _number(record: bytes) -> int:
    return int.from_bytes(record[:2], "little")
