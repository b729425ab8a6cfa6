"""Hosts that are virtual machines, with a real libvirtd whose machines are only played."""

import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doctor.drivers.fences.libvirt import LibvirtFence, LibvirtSettings, make
from doctor.model.fencing import Doubt, Identified, Seen, Supply, Switched, Unknown
from doctor.testing.contracts.fence import soon
from tests.fences.hypervisor import DOMAIN, UUID, Hypervisor

needs_libvirt = pytest.mark.needs("libvirtd", "virsh")


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Hypervisor]:
    with Hypervisor(tmp_path_factory.mktemp("libvirt")) as hypervisor:
        yield hypervisor


@pytest.fixture
def hypervisor(running: Hypervisor) -> Iterator[Hypervisor]:
    running.ask("start")
    yield running
    os.kill(running.daemon, signal.SIGCONT)


def fence_of(hypervisor: Hypervisor) -> LibvirtFence:
    return LibvirtFence(LibvirtSettings(uri=hypervisor.uri))


@needs_libvirt
@pytest.mark.requirement("B23")
async def test_off_is_off_and_on_is_on(hypervisor: Hypervisor) -> None:
    fence = fence_of(hypervisor)
    for _ in range(2):
        assert isinstance(await fence.off(DOMAIN, soon(8)), Switched)
        assert hypervisor.ask("domstate") == "shut off"
    assert isinstance(await fence.on(DOMAIN, soon(8)), Switched)
    assert hypervisor.ask("domstate") == "running"


@needs_libvirt
async def test_a_machine_that_pauses_is_on(hypervisor: Hypervisor) -> None:
    """It holds its memory and its disks, and may go on at any moment."""
    hypervisor.ask("suspend")
    reading = await fence_of(hypervisor).status(DOMAIN, soon(8))
    hypervisor.ask("resume")
    assert isinstance(reading, Seen)
    assert reading.supply is Supply.ON


@needs_libvirt
async def test_the_uuid_is_what_the_firmware_has(hypervisor: Hypervisor) -> None:
    identity = await fence_of(hypervisor).identify(DOMAIN, soon(8))
    assert isinstance(identity, Identified)
    assert identity.is_machine(UUID)


@needs_libvirt
async def test_a_machine_that_is_not_there_is_not_off(hypervisor: Hypervisor) -> None:
    """It may run elsewhere."""
    fence = fence_of(hypervisor)
    for outcome in (await fence.status("another", soon(8)), await fence.off("another", soon(2))):
        assert isinstance(outcome, Unknown)
        assert outcome.doubt is Doubt.REFUSED


@needs_libvirt
async def test_a_libvirtd_that_hangs_is_unknown(hypervisor: Hypervisor) -> None:
    os.kill(hypervisor.daemon, signal.SIGSTOP)
    outcome = await fence_of(hypervisor).off(DOMAIN, soon(2))
    assert isinstance(outcome, Unknown)
    assert outcome.doubt is Doubt.LATE


@pytest.mark.needs("virsh")
async def test_a_libvirtd_that_is_not_there(tmp_path: Path) -> None:
    fence = make({"uri": f"test+unix:///default?socket={tmp_path}/none"})
    outcome = await fence.status(DOMAIN, soon(8))
    assert isinstance(outcome, Unknown)
    assert outcome.doubt is Doubt.UNREACHABLE
    await fence.close()
    closed = await fence.off(DOMAIN, soon(8))
    assert isinstance(closed, Unknown)
    assert closed.doubt is Doubt.CLOSED


@pytest.mark.parametrize("plug", ["", "-c", "a b", "a;b", "a\n"])
def test_the_name_of_a_machine_is_no_option(plug: str) -> None:
    assert LibvirtFence(LibvirtSettings(uri="test:///default")).check(plug)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({}, "uri", id="no-uri"),
        pytest.param({"uri": "kvm-1"}, "no URI", id="a-host"),
        pytest.param({"uri": "qemu+ssh://root:secret@kvm-1/system"}, "password", id="a-password-in-it"),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(settings)
