"""What the kernel says is read by rules: of a real log, and of lines as its sources write them."""

import asyncio
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.agent.kernel_log import Bookmark, KernelLog, Record, load_rules, parse_record
from tests.unit.agent.reports import Said

SAMPLE = Path(__file__).parents[2] / "samples" / "host" / "kernel_log_mce_md_hwpoison.txt"
RULES = load_rules()


def found(text: str) -> tuple[str, str, str] | None:
    match = RULES.find(text)
    return None if match is None else (match.rule.name, match.rule.type, match.part)


def test_a_real_log_of_a_failing_host() -> None:
    said = [found(line.partition("] ")[2]) for line in SAMPLE.read_text().splitlines()]
    assert [one for one in said if one is not None] == [
        ("raid-disk-failed", "compute.disk.crash", "loop2"),
        ("machine-check-corrected", "compute.cpu.corrected", ""),
        ("memory-recovered", "compute.memory.corrected", ""),
    ]


@pytest.mark.requirement("C7")
@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("mce: [Hardware Error]: CPU 3: Machine Check: 0 Bank 4: bea0000000000108", "machine-check"),
        (
            "EDAC MC0: 1 UE memory read error on CPU_SrcID#0_MC#0_Chan#1_DIMM#0 (channel:1)",
            "edac-uncorrected",
        ),
        ("EDAC MC1: 12 CE memory scrubbing error on CPU_SrcID#1", "edac-corrected"),
        ("Memory failure: 0x7f31c: recovery action for unknown page: Ignored", "memory-not-recovered"),
        ("CPU5: Package temperature above threshold, cpu clock throttled (total events = 4)", "cpu-too-hot"),
        ("blk_update_request: critical medium error, dev sdb, sector 1953", "disk-medium-error"),
        ("blk_update_request: I/O error, dev sda, sector 500 op 0x0:(READ)", "disk-io-error"),
        ("nvme nvme0: controller is down; will reset: CSTS=0xffffffff, PCI_STATUS=0xffff", "nvme-lost"),
        ("nvme nvme1: Removing after probe failure status: -19", "nvme-lost"),
        ("megaraid_sas 0000:03:00.0: Found FW in FAULT state, will reset adapter.", "storage-controller"),
        ("mpt3sas_cm0: fault_state(0x2622)!", "storage-controller"),
        ("EXT4-fs (sda1): Remounting filesystem read-only", "file-system-read-only"),
        ("EXT4-fs error (device sda1): ext4_find_entry:1455: inode #2: comm ls: error", "file-system-error"),
        (
            "XFS (dm-3): Corruption of in-memory data detected. Shutting down filesystem: shutdown",
            "file-system-error",
        ),
        ("Kernel panic - not syncing: Fatal exception in interrupt", "panic"),
        ("BUG: unable to handle page fault for address: ffffb0", "kernel-bug"),
        ("kernel BUG at mm/slub.c:305!", "kernel-bug"),
        ("watchdog: BUG: soft lockup - CPU#1 stuck for 22s! [qemu:42]", "lockup"),
        ("NMI watchdog: Watchdog detected hard LOCKUP on cpu 3", "lockup"),
        ("rcu: INFO: rcu_sched detected stalls on CPUs/tasks:", "lockup"),
        ("INFO: task qemu-system-x86:4242 blocked for more than 120 seconds.", "hung-task"),
        ("Out of memory: Killed process 4242 (qemu-system-x86) total-vm:8388608kB", "out-of-memory"),
        ("Memory cgroup out of memory: Killed process 77 (nova-compute) total-vm:1", "out-of-memory"),
        ("e1000e 0000:00:19.0 eno1: Detected Hardware Unit Hang", None),
        ("ixgbe 0000:01:00.0 eth0: transmit queue 3 timed out", "card-hung"),
        ("usb 1-1: new high-speed USB device number 2", None),
        ("md: md0: recovery done.", None),
    ],
)
def test_what_the_kernel_writes(text: str, rule: str | None) -> None:
    match = RULES.find(text)
    assert (match.rule.name if match else None) == rule


def test_every_rule_that_ships_is_met_by_a_test() -> None:
    mark = next(mark for mark in test_what_the_kernel_writes.pytestmark if mark.name == "parametrize")  # type: ignore[attr-defined]
    met = {rule for _, rule in mark.args[1]} | {
        "raid-disk-failed",
        "machine-check-corrected",
        "memory-recovered",
    }
    assert {rule.name for rule in RULES} <= met


@pytest.mark.parametrize(
    ("data", "record"),
    [
        (
            b"6,339,5140900,-;md: md0: recovery done.\n SUBSYSTEM=block\n",
            Record(339, "md: md0: recovery done."),
        ),
        (b"2,1,0,c;caf\xc3\xa9 \xff\n", Record(1, "caf\u00e9 \ufffd")),
        (b"12,340,5140901,-;a program writes what it likes: Kernel panic - not syncing\n", None),
        (b"nonsense", None),
        (b";", None),
        (b"", None),
    ],
)
def test_records(data: bytes, record: Record | None) -> None:
    assert parse_record(data) == record


@given(st.binary(max_size=300))
def test_no_bytes_break_the_reader(data: bytes) -> None:
    record = parse_record(data)
    if record is not None:
        RULES.find(record.text)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules: 5", "rules: required: a list"),
        ("5", "expected a mapping"),
        ("a: [", "not valid YAML"),
        ("rules: [{name: a, pattern: b}]", r"rules\[0\].type: required"),
        ("rules: [{name: a, pattern: '(', type: t}]", r"rules\[0\].pattern: "),
        ("rules: [{name: a, pattern: b, type: t, part: '{x}'}]", r"rules\[0\].part: names a group"),
        ("rules: [{name: a, pattern: b, type: t, over_after: soon}]", r"rules\[0\].over_after: "),
        ("rules: [{name: a, pattern: b, typ: t}]", r"rules\[0\].typ: unknown"),
    ],
)
def test_rules_that_are_wrong_are_refused_with_their_place(tmp_path: Path, text: str, message: str) -> None:
    file = tmp_path / "rules.yaml"
    file.write_text(text)
    with pytest.raises(ValueError, match=message):
        load_rules(file)
    with pytest.raises(ValueError, match="No such file"):
        load_rules(tmp_path / "none")


class Device:
    """A pipe in the place of /dev/kmsg: what is written at once is read at once, if it is read in time."""

    def __init__(self, folder: Path) -> None:
        self.path = folder / "kmsg"
        os.mkfifo(self.path)
        self._reader = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)
        self._writer = os.open(self.path, os.O_WRONLY)

    def write(self, sequence: int, text: str) -> None:
        os.write(self._writer, f"6,{sequence},0,-;{text}\n".encode())

    def close(self) -> None:
        os.close(self._reader)
        os.close(self._writer)


async def read(
    folder: Path, device: Device, said: Said, *messages: tuple[int, str], boot: bytes = b"A" * 16
) -> None:
    log = KernelLog(said.reporter, said.reports.append, RULES, Bookmark(folder / "mark", boot), device.path)
    log.start()
    for sequence, text in messages:
        device.write(sequence, text)
        await asyncio.sleep(0.02)
    log.close()


async def test_nothing_is_missed_or_said_twice_by_a_new_agent(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text('{"boot": "' + (b"A" * 16).hex() + '", "sequence": 10}')
    device, said = Device(tmp_path), Said()
    panic = "Kernel panic - not syncing: x"
    await read(tmp_path, device, said, (10, panic), (11, panic), (12, "nothing of interest"))
    assert said.take() == [("compute.os.crash", "c1", "down")]

    await read(tmp_path, device, said, (11, panic), (12, panic), (13, panic))
    assert said.take() == [("compute.os.crash", "c1", "down")]

    await read(tmp_path, device, said, (0, panic), boot=b"B" * 16)
    assert said.take() == [("compute.os.crash", "c1", "down")]
    device.close()


@pytest.mark.looptime
async def test_what_does_not_come_again_is_over(tmp_path: Path) -> None:
    (tmp_path / "mark").write_text("nonsense")
    (tmp_path / "kmsg").touch()
    said = Said()
    log = KernelLog(
        said.reporter, said.reports.append, RULES, Bookmark(tmp_path / "mark", b"A" * 16), tmp_path / "kmsg"
    )
    log.heard("INFO: task qemu:1 blocked for more than 120 seconds.")
    await asyncio.sleep(600)
    log.heard("INFO: task qemu:1 blocked for more than 120 seconds.")
    await asyncio.sleep(800)
    assert said.take() == [("hypervisor.failure", "c1", "degraded")] * 2
    await asyncio.sleep(200)
    assert said.take() == [("hypervisor.failure", "c1", "up")]
    os.close(log._file)


def test_a_machine_check_that_was_corrected_is_a_warning(tmp_path: Path) -> None:
    match = RULES.find("mce: [Hardware Error]: CPU 0: Machine Check: 0 Bank 9: 8c00004000010091")
    assert match is not None
    assert (match.rule.severity, match.rule.over_after) == ("warning", 3600.0)
