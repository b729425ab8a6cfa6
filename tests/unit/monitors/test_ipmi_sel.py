"""The log of a BMC (SEL): what is new in it, and what it means."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.ipmi.sel import MOST_AT_ONCE, News, SelReader, record_of
from doctor.drivers.monitors.ipmi.sensors import Sensor
from doctor.model.fault import Severity

SAMPLE = Path(__file__).parents[2] / "samples" / "ipmi" / "sel_raw.hex"
RECORDS = [bytes.fromhex(line) for line in SAMPLE.read_text().split()]


class FakeLog:
    """A log in memory, with room for so many records; full, it overwrites the oldest."""

    def __init__(self, room: int = 1000) -> None:
        self.records: list[bytes] = []
        self.asked = 0
        self._room = room
        self._number = 0

    def write(self, text: str = "", *, number: int | None = None) -> bytes:
        self._number = number if number is not None else self._number + 1
        record = self._number.to_bytes(2, "little") + b"\x02" + text.encode().ljust(13, b"\0")
        self.records = [*self.records, record][-self._room :]
        return record

    def clear(self) -> None:
        self.records, self._number = [], 0

    def count(self) -> int:
        return len(self.records)

    def entry(self, number: int) -> tuple[int, bytes] | None:
        self.asked += 1
        if not self.records:
            return None
        numbers = [int.from_bytes(record[:2], "little") for record in self.records]
        index = {0: 0, 0xFFFF: len(numbers) - 1}.get(number)
        if index is None:
            if number not in numbers:
                return None
            index = numbers.index(number)
        following = numbers[index + 1] if index + 1 < len(numbers) else 0xFFFF
        return following, self.records[index]


@pytest.fixture
def log() -> FakeLog:
    return FakeLog()


@pytest.fixture
def sel() -> SelReader:
    return SelReader()


def test_what_was_there_before_is_history(log: FakeLog, sel: SelReader) -> None:
    log.write()
    assert sel.read(log) == News([])
    assert sel.read(log) == News([])


def test_what_is_new_is_news_once(log: FakeLog, sel: SelReader) -> None:
    sel.read(log)
    first = log.write()
    assert sel.read(log) == News([first])
    more = [log.write(), log.write()]
    assert sel.read(log) == News(more)
    assert sel.read(log) == News([])


def test_a_log_with_nothing_new_costs_one_question(log: FakeLog, sel: SelReader) -> None:
    for _ in range(500):
        log.write()
    sel.read(log)
    log.asked = 0
    sel.read(log)
    assert log.asked == 1


def test_a_log_that_wraps_loses_what_nobody_has_read() -> None:
    log, sel = FakeLog(room=3), SelReader()
    log.write()
    sel.read(log)
    written = [log.write() for _ in range(2)]
    assert sel.read(log) == News(written)
    written = [log.write() for _ in range(10)]
    assert sel.read(log) == News(written[-3:], 7)


def test_a_log_that_was_cleared_begins_anew(log: FakeLog, sel: SelReader) -> None:
    log.write("old")
    log.write("old")
    sel.read(log)
    log.clear()
    assert sel.read(log) == News([])
    new = log.write("new")
    assert sel.read(log) == News([new])


def test_a_log_that_was_cleared_and_filled_between_two_looks_begins_anew(
    log: FakeLog, sel: SelReader
) -> None:
    for _ in range(3):
        log.write("old")
    sel.read(log)
    log.clear()
    new = [log.write("new") for _ in range(3)]
    assert sel.read(log) == News(new)


def test_numbers_that_go_round_are_no_loss(sel: SelReader) -> None:
    log = FakeLog(room=2)
    log.write(number=0xFFFD)
    sel.read(log)
    new = [log.write(number=0xFFFE), log.write(number=1)]
    assert sel.read(log).records == new


def test_a_flood_is_read_over_several_looks(sel: SelReader) -> None:
    log = FakeLog(room=5000)
    sel.read(log)
    written = [log.write() for _ in range(2 * MOST_AT_ONCE + 5)]
    read = [record for _ in range(3) for record in sel.read(log).records]
    assert read == written


def test_a_log_whose_records_point_at_each_other_is_read_once(sel: SelReader) -> None:
    class Circle(FakeLog):
        def entry(self, number: int) -> tuple[int, bytes] | None:
            found = super().entry(number)
            return found and (1, found[1])

    log = Circle()
    sel.read(log)
    for _ in range(4):
        log.write()
    assert 1 <= len(sel.read(log).records) <= 4


# --- what records mean ---


def test_the_sample_is_a_temperature_and_a_power_supply() -> None:
    sensors = {1: Sensor(1, 1, 1, "Inlet Temp"), 2: Sensor(2, 8, 0x6F, "PSU1 Status")}
    found = [record_of(record, sensors) for record in RECORDS]
    assert [(one.finding.part, one.finding.severity, one.is_over) for one in found if one] == [
        ("log 1 Inlet Temp 7", Severity.WARNING, False),
        ("log 1 Inlet Temp 9", Severity.MAJOR, False),
        ("log 2 PSU1 Status 1", Severity.MAJOR, False),
    ]
    assert {one.finding.type for one in found if one} == {"bmc.log"}, "sensors show both besides"


def event(sensor_type: int, offset: int, *, is_over: bool = False) -> bytes:
    data = (sensor_type, 9, 0x6F | 0x80 * is_over, 0x60 | offset, 0xFF, 0xFF)
    return bytes((1, 0, 2, 0xB0, 3, 0, 0, 0x20, 0, 4)) + bytes(data)


@pytest.mark.parametrize(
    ("sensor_type", "offset", "kind"),
    [
        pytest.param(0x0C, 1, "compute.memory.failure", id="memory"),
        pytest.param(0x0C, 0, "bmc.log", id="memory-corrected"),
        pytest.param(0x07, 0, "compute.cpu.failure", id="processor"),
        pytest.param(0x0D, 1, "compute.disk.crash", id="disk"),
        pytest.param(0x0D, 2, "compute.disk.aging", id="disk-soon"),
        pytest.param(0x13, 5, "compute.mainboard.failure", id="bus"),
        pytest.param(0x13, 7, "bmc.log", id="bus-corrected"),
        pytest.param(0x20, 1, "compute.os.crash", id="crash"),
        pytest.param(0x23, 0, "bmc.log", id="watchdog"),
    ],
)
def test_what_no_sensor_goes_on_to_show_is_of_a_type(sensor_type: int, offset: int, kind: str) -> None:
    began, over = (record_of(event(sensor_type, offset, is_over=one), {}) for one in (False, True))
    assert began is not None
    assert over is not None
    assert (began.finding.type, began.is_over, over.is_over) == (kind, False, True)
    assert began.finding.part == over.finding.part


@pytest.mark.parametrize(("sensor_type", "offset"), [(0x08, 0), (0x20, 3), (0x07, 7), (0xC8, 1), (0x0C, 15)])
def test_what_is_not_bad_or_unknown_is_left_out(sensor_type: int, offset: int) -> None:
    assert record_of(event(sensor_type, offset), {}) is None


def test_a_record_of_a_vendor_is_kept_as_it_is() -> None:
    record = record_of(b"\x01\x00\xdf" + b"\x07" * 13, {})
    assert record is not None
    assert record.finding.details["record"] == "0100df" + "07" * 13


@pytest.mark.parametrize("raw", [b"", RECORDS[0][:9], RECORDS[0] + b"x", b"\x01\x00\x55" + bytes(13)])
def test_a_record_that_makes_no_sense_is_refused(raw: bytes) -> None:
    with pytest.raises(ValueError, match="a record of"):
        record_of(raw, {})


@given(st.binary(min_size=16, max_size=16))
def test_any_record_means_something_or_nothing(raw: bytes) -> None:
    try:
        record = record_of(raw, {})
    except ValueError:
        return
    assert record is None or record.finding.severity > 0
