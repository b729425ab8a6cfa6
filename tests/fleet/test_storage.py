"""The disk of a machine tells whether it ran twice, and says so of nothing else."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from doctor.cli.demo import machine
from doctor.cli.demo.host import PYTHON
from doctor.cli.demo.storage import SharedStorage, writers

Start = Callable[[str], subprocess.Popen[bytes]]


@pytest.fixture
def storage(tmp_path: Path) -> SharedStorage:
    return SharedStorage(tmp_path / "storage")


@pytest.fixture
def start(storage: SharedStorage) -> Iterator[Start]:
    """Start the machine on a host, and wait until it has written."""
    started: list[subprocess.Popen[bytes]] = []

    def run(host: str) -> subprocess.Popen[bytes]:
        disk = storage.folder / "machines" / "vm"
        process = subprocess.Popen([*PYTHON, machine.__file__, str(disk), host])
        started.append(process)
        end = time.monotonic() + 20
        while host not in [one.host for one in storage.writers("vm")]:
            assert time.monotonic() < end
            time.sleep(0.01)
        return process

    yield run
    for process in started:
        process.kill()
        process.wait()


def test_one_after_the_other_is_no_double_run(storage: SharedStorage, start: Start) -> None:
    first = start("compute-1")
    first.kill()
    first.wait()
    start("compute-2")
    assert [one.host for one in storage.writers("vm")] == ["compute-1", "compute-2"]
    assert storage.double() == []


def test_two_that_write_are_found(storage: SharedStorage, start: Start) -> None:
    start("compute-1")
    start("compute-2")
    assert storage.double() == ["vm"]


def test_one_beside_a_frozen_one_is_found_although_that_writes_no_more(
    storage: SharedStorage, start: Start
) -> None:
    frozen = start("compute-1")
    os.kill(frozen.pid, signal.SIGSTOP)
    start("compute-2")
    frozen.kill()
    assert storage.double() == ["vm"]


def test_who_goes_on_after_another_has_begun_is_found_by_the_lines_alone() -> None:
    disk = "1.0 compute-1 7 alone\n2.0 compute-2 8 alone\n3.0 compute-1 7 alone\n4.0 compute-2"
    first, second = writers(disk)
    assert (first.host, first.last.timestamp(), first.is_second) == ("compute-1", 3.0, False)
    assert (second.host, second.is_second) == ("compute-2", True)
