"""The IPMI fence against a BMC simulator of others' making, on good days and bad ones."""

import asyncio
import random
import socket
import threading
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.demo.bmc import GUID, PASSWORD, USER, free_udp_port
from doctor.devices.ipmi import IpmiAccess
from doctor.drivers.fences.ipmi import IpmiFence, make
from doctor.kit.secret import Secret
from doctor.model.fencing import Doubt, Identified, Seen, Switched, Unknown
from doctor.testing.contracts.fence import FenceContract, soon
from doctor.testing.fence import Mode
from tests.fences.bmc import Bmc, BmcRig

pytestmark = pytest.mark.needs("ipmi_sim")


class IpmiRig(BmcRig):
    wrong_plug = "1"
    names = (str(GUID),)

    def __init__(self, bmc: Bmc) -> None:
        super().__init__(bmc)
        self.fence = fence_of(bmc.port)


def fence_of(port: int, user: str = USER, password: str = PASSWORD) -> IpmiFence:
    settings = IpmiAccess(address="127.0.0.1", port=port, user=user, password_file=Path("-"))
    return IpmiFence(settings, Secret(password))


@pytest.fixture
async def rig(tmp_path: Path) -> AsyncIterator[IpmiRig]:
    with Bmc(tmp_path / "bmc") as bmc:
        made = IpmiRig(bmc)
        yield made
        await made.fence.close()


class TestIpmiFence(FenceContract):
    @pytest.fixture
    def rig(self, rig: IpmiRig) -> IpmiRig:
        return rig


@pytest.mark.requirement("B23")
async def test_off_is_confirmed_quickly(rig: IpmiRig) -> None:
    """An honest BMC costs tens of milliseconds, so that a fence takes the two seconds of its rule and little more."""
    assert isinstance(await rig.fence.status("", soon(5)), Seen)
    began = time.monotonic()
    assert isinstance(await rig.fence.off("", soon(5)), Switched)
    assert time.monotonic() - began < 1.0


async def test_a_kept_session_is_used_again_and_a_fresh_one_is_new(rig: IpmiRig) -> None:
    """A login less when it matters, but never when it confirms."""
    for _ in range(3):
        assert isinstance(await rig.fence.status("", soon(5)), Seen)
    rig.device.set_password("changed")
    rig.device.restart()
    fresh = await rig.fence.status("", soon(5), fresh=True)
    assert isinstance(fresh, Unknown)
    assert fresh.doubt is Doubt.LOGIN


async def test_a_lying_bmc_is_believed_by_the_driver_alone(rig: IpmiRig) -> None:
    """It reads off in every session while the host runs on: that is why one vantage class never fences [I-16]."""
    rig.behave(Mode.LYING)
    outcome = await rig.fence.off("", soon(5))
    assert isinstance(outcome, Switched)
    assert rig.is_on()


async def test_a_bmc_that_loses_packets_is_asked_again(rig: IpmiRig) -> None:
    """Each packet is lost with a probability of 15 %, on either way."""
    with lossy(rig.device.port) as port:
        fence = fence_of(port)
        outcome = await fence.off("", soon(15))
        await fence.close()
    assert isinstance(outcome, Switched), outcome
    assert not rig.is_on()


async def test_a_user_that_is_unknown_is_not_let_in(rig: IpmiRig) -> None:
    fence = fence_of(rig.device.port, user="stranger")
    reading = await fence.status("", soon(5))
    await fence.close()
    assert isinstance(reading, Unknown)
    assert reading.doubt is Doubt.LOGIN


async def test_nobody_there_is_known_at_once() -> None:
    """The network says so: no need to wait for the deadline."""
    fence = fence_of(free_udp_port())
    began = time.monotonic()
    reading = await fence.status("", soon(5))
    await fence.close()
    assert isinstance(reading, Unknown)
    assert reading.doubt is Doubt.UNREACHABLE
    assert time.monotonic() - began < 2


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"\x06", id="one-byte"),
        pytest.param(b"\x06\x00\xff\x07", id="a-header-alone"),
        pytest.param(b"\x06\x00\xff\x07\x06\x11" + b"\xff" * 3000, id="far-too-much"),
        pytest.param(b"\xff" * 40, id="noise"),
    ],
)
async def test_nonsense_is_no_answer(answer: bytes) -> None:
    """Whatever comes, it is unknown, and in time."""
    with talking(answer) as port:
        fence = fence_of(port)
        began = time.monotonic()
        reading = await fence.status("", soon(1.5))
        assert time.monotonic() - began < 2.5
        await fence.close()
    assert isinstance(reading, Unknown)


async def test_a_bmc_that_hangs_holds_up_no_other(rig: IpmiRig, tmp_path: Path) -> None:
    with Bmc(tmp_path / "other") as other:
        second = fence_of(other.port)
        rig.behave(Mode.DEAF)
        hanging = asyncio.create_task(rig.fence.off("", soon(4)))
        began = time.monotonic()
        outcome = await second.off("", soon(4))
        assert isinstance(outcome, Switched)
        assert time.monotonic() - began < 2
        assert not hanging.done()
        await second.close()
        assert isinstance(await hanging, Unknown)


async def test_the_guid_is_known_whichever_way_round_a_vendor_writes_it(rig: IpmiRig) -> None:
    identity = await rig.fence.identify("", soon(5))
    assert isinstance(identity, Identified)
    assert identity.is_machine(str(GUID).upper())
    assert identity.is_machine("674523a1-ab89-efcd-a123-456789abcdef")


@pytest.mark.parametrize(
    ("change", "where"),
    [
        pytest.param({"address": ""}, "address", id="no-address"),
        pytest.param({"port": 0}, "port", id="no-port"),
        pytest.param({"user": "a-name-that-is-far-too-long"}, "user", id="a-long-user"),
        pytest.param({"password": "x"}, "password", id="a-password-in-the-settings"),
        pytest.param({"password_file": "/nowhere"}, "password_file", id="no-file"),
    ],
)
def test_wrong_settings_are_named(tmp_path: Path, change: dict[str, Any], where: str) -> None:
    file = tmp_path / "password"
    file.write_text("x\n")
    file.chmod(0o600)
    good = {"address": "192.0.2.1", "user": "doctor", "password_file": str(file)}
    assert isinstance(make(good), IpmiFence)
    with pytest.raises(ValueError, match=where):
        make({**good, **change})


@contextmanager
def talking(answer: bytes) -> Iterator[int]:
    """Answer whatever comes with this."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as there:
        there.bind(("127.0.0.1", 0))

        def talk() -> None:
            while True:
                try:
                    _, sender = there.recvfrom(3000)
                    there.sendto(answer, sender)
                except OSError:
                    return

        thread = threading.Thread(target=talk, daemon=True)
        thread.start()
        yield there.getsockname()[1]


@contextmanager
def lossy(port: int) -> Iterator[int]:
    """Stand between, and lose some of the packets."""
    with (
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as near,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as far,
    ):
        near.bind(("127.0.0.1", 0))
        far.connect(("127.0.0.1", port))
        client: list[Any] = []

        chance = random.Random(7)

        def there() -> None:
            while True:
                try:
                    packet, sender = near.recvfrom(3000)
                except OSError:
                    return
                client[:] = [sender]
                if chance.random() > 0.15:
                    far.send(packet)

        def back() -> None:
            while True:
                try:
                    packet = far.recv(3000)
                except OSError:
                    return
                if chance.random() > 0.15:
                    near.sendto(packet, client[0])

        for way in (there, back):
            threading.Thread(target=way, daemon=True).start()
        yield near.getsockname()[1]
