"""The machines of a hypervisor: of real libvirt with its test driver, and of real processes that end."""

import asyncio
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor.agent.guests import Guests, Seen, meaning
from doctor.agent.settings import GuestSettings
from tests.fences.hypervisor import UUID, Hypervisor
from tests.unit.agent.reports import Said, until

DOWN, ERROR = "compute.instance.down", "compute.instance.error"


@pytest.mark.parametrize(
    ("line", "tell_stopped", "expected"),
    [
        pytest.param("event 'lifecycle' for domain 'vm': Started Booted", False, [("", None)], id="started"),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Resumed Unpaused", False, [("", None)], id="resumed"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Crashed Panicked", False, [(DOWN, "crashed")], id="panic"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Stopped Failed", False, [(DOWN, "by itself")], id="killed"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Stopped Crashed", False, [(DOWN, "by itself")], id="crashed"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Stopped Destroyed", False, [("", None)], id="destroyed"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Shutdown Finished", True, [("", None)], id="shuts down"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Stopped Shutdown", True, [(DOWN, "stopped")], id="told"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Suspended I/O Error", False, [(ERROR, "suspended")], id="io"
        ),
        pytest.param(
            "event 'lifecycle' for domain 'vm': Suspended Paused", False, [], id="paused by somebody"
        ),
        pytest.param("event 'watchdog' for domain 'vm': pause", False, [(ERROR, "watchdog")], id="watchdog"),
        pytest.param(
            "event 'io-error' for domain 'vm': /d (virtio0) report", False, [(ERROR, "disk")], id="disk"
        ),
        pytest.param(
            "2026-03-04 05:06:07.000+0000: event 'watchdog' for domain 'my vm': reset",
            False,
            [(ERROR, "watchdog")],
            id="with a time and a space",
        ),
        pytest.param("event 'rtc-change' for domain 'vm': 5", False, [], id="of no interest"),
        pytest.param("events received: 3", False, [], id="no event"),
    ],
)
def test_what_libvirt_says(line: str, tell_stopped: bool, expected: list[tuple[str, str | None]]) -> None:
    found = list(meaning(line, tell_stopped=tell_stopped))
    if expected == [("", None)]:
        assert all(seen.trouble is None for seen in found)
        assert found
        return
    assert [seen.kind for seen in found] == [kind for kind, _ in expected]
    for seen, (_, trouble) in zip(found, expected, strict=True):
        assert trouble is not None and trouble in (seen.trouble or "")


def test_a_start_ends_both_faults() -> None:
    found = list(meaning("event 'lifecycle' for domain 'vm': Started Booted"))
    assert found == [Seen("vm", DOWN, None), Seen("vm", ERROR, None)]


@pytest.fixture(scope="module")
def hypervisor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hypervisor]:
    with Hypervisor(tmp_path_factory.mktemp("lv")) as made:
        yield made


@pytest.mark.needs("libvirtd", "virsh")
@pytest.mark.requirement("G13")
async def test_a_real_hypervisor_is_followed(
    hypervisor: Hypervisor, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said()
    guests = Guests(GuestSettings(uri=hypervisor.uri, pid_folder=None, tell_stopped=True), said.states)
    task = asyncio.create_task(guests.run())
    await until(lambda: "guests.followed" in capsys.readouterr().err)
    await asyncio.sleep(0.5)
    await asyncio.to_thread(hypervisor.ask, "destroy")
    assert await said.until(1) == [(DOWN, UUID, "down")]
    await asyncio.to_thread(hypervisor.ask, "start")
    assert await said.until(2) == [(DOWN, UUID, "up"), (ERROR, UUID, "up")]
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


def sleeper() -> "subprocess.Popen[bytes]":
    return subprocess.Popen(["sleep", "60"])


async def ended(guests: Guests, folder: Path, *, is_wanted: bool) -> None:
    process = sleeper()
    (folder / "vm-1.pid").write_text(str(process.pid))
    watcher = asyncio.create_task(guests._follow_processes())
    await until(lambda: "vm-1" in guests._watched)
    if is_wanted:
        await guests._heard("event 'lifecycle' for domain 'vm-1': Shutdown Finished")
    process.kill()
    await asyncio.sleep(0.5)
    process.wait()
    watcher.cancel()


async def test_a_machine_whose_process_is_killed(tmp_path: Path) -> None:
    said = Said()
    guests = Guests(GuestSettings(uri="test:///default", pid_folder=tmp_path), said.states)
    guests._uuids["vm-1"] = UUID
    await ended(guests, tmp_path, is_wanted=False)
    assert said.reports[0].details["cause"].endswith("has ended")
    assert said.take() == [(DOWN, UUID, "down")]


async def test_a_machine_that_was_told_to_end(tmp_path: Path) -> None:
    said = Said()
    guests = Guests(GuestSettings(uri="test:///default", pid_folder=tmp_path), said.states)
    guests._uuids["vm-1"] = UUID
    await ended(guests, tmp_path, is_wanted=True)
    assert said.take() == []
