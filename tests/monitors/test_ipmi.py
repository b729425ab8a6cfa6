"""The IPMI monitor, before OpenIPMI's ipmi_sim."""

import asyncio
import socket
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from doctor.cli.demo.bmc import PASSWORD, USER
from doctor.devices.ipmi_session import IpmiSession
from doctor.drivers.monitors.ipmi import make
from doctor.drivers.monitors.ipmi.bmc import SDR_ENTRY, SEL_ENTRY, SENSOR_READING
from doctor.model.event import DOWN, UP
from doctor.ports.monitor import Counts, Monitor
from doctor.testing.contracts.monitor import AskedRig, AskingContract, Watching
from doctor.testing.running import RunningDoctor
from tests.monitors.ipmi_bmc import COOL, HOT, MEMORY, SUPPLY, SensorBmc
from tests.monitors.site import Site
from tests.monitors.test_redfish import HOST, password, seen, silences
from tests.waiting import until

pytestmark = pytest.mark.needs("ipmi_sim")


class IpmiRig(AskedRig):
    """A BMC with as many hot sensors as are wished for."""

    patience = 20.0
    flood = 20

    def __init__(self, folder: Path) -> None:
        self.bmc = SensorBmc(folder / "bmc", temperatures=self.flood, is_logged=False)
        self.bmc.start()
        self.settings = {
            "hosts": {HOST: {"address": "127.0.0.1", "port": self.bmc.port}},
            "user": USER,
            "password_file": password(folder, PASSWORD),
            "every": 1,
            "timeout": 3,
        }
        self.monitor = self.make(self.settings)

    def make(self, settings: Mapping[str, Any]) -> Monitor:
        return make(settings)

    def often(self) -> None:
        """Ask often."""
        self.settings = {**self.settings, "every": 0.2}
        self.monitor = self.make(self.settings)

    def put_wrong(self, number: int) -> None:
        self.bmc.heat(number)

    def vanish(self) -> None:
        self.bmc.stop()

    def appear(self) -> None:
        self.bmc.start()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[IpmiRig]:
    made = IpmiRig(tmp_path)
    yield made
    made.bmc.stop()


@pytest.mark.shows("monitor ipmi", "contract", "flood")
class TestIpmi(AskingContract):
    @pytest.fixture
    def rig(self, rig: IpmiRig) -> IpmiRig:
        return rig


def logged(watching: Watching) -> list[tuple[str, str, str]]:
    return [
        (one.type, one.status, one.monitor_event_id) for one in watching.events if "is_of_log" in one.details
    ]


@pytest.mark.shows("monitor ipmi", "lost")
@pytest.mark.requirement("C7")
async def test_sensors_power_and_the_log_are_told_at_our_own_time(rig: IpmiRig) -> None:
    """The clock of the BMC was never set: its records are of 1970. The log is cleared, and nothing ends by that."""
    rig.often()
    async with Watching(rig) as watching:
        await seen(lambda: watching.events)
        await asyncio.sleep(0.5)
        rig.bmc.measure(1, HOT)
        rig.bmc.say(SUPPLY, 1)
        rig.bmc.say(MEMORY, 1)
        await seen(
            lambda: (
                {one[0] for one in watching.wrong} >= {"compute.chassis.degraded", "compute.power.degraded"}
            )
        )
        await seen(lambda: ("compute.memory.failure", "down", "log 101 DIMM A1 Status 1") in logged(watching))
        await asyncio.to_thread(rig.bmc.ipmitool, "sel", "clear")
        rig.bmc.say(MEMORY, 1, is_so=False)
        await seen(lambda: ("compute.memory.failure", "up", "log 101 DIMM A1 Status 1") in logged(watching))
        assert {one[0] for one in watching.wrong} >= {"compute.chassis.degraded", "compute.power.degraded"}
        rig.bmc.measure(1, COOL)
        rig.bmc.say(SUPPLY, 1, is_so=False)
        rig.bmc.put(on=False)
        await seen(lambda: {one[0] for one in watching.wrong if one[0] != "bmc.log"} == {"compute.host.down"})
        rig.bmc.put(on=True)
        await seen(lambda: not {one[0] for one in watching.wrong if one[0] != "bmc.log"})
    assert all(one.time.year > 2000 for one in watching.events)


async def test_what_was_in_the_log_before_is_history(rig: IpmiRig) -> None:
    rig.bmc.say(MEMORY, 1)
    rig.bmc.say(MEMORY, 1, is_so=False)
    await asyncio.sleep(0.5)
    rig.often()
    async with Watching(rig) as watching:
        await asyncio.sleep(1.5)
        assert logged(watching) == []
        assert watching.wrong == {}


async def test_a_bmc_that_hangs_is_silent_and_what_it_said_stands(rig: IpmiRig) -> None:
    rig.often()
    rig.put_wrong(1)
    async with Watching(rig) as watching:
        await watching.until(1)
        rig.bmc.freeze()
        await watching.until(2)
        assert silences(watching) == [("bmc@" + HOST, UP), ("bmc@" + HOST, DOWN)]
        rig.bmc.thaw()
        await watching.until(1)


async def test_a_wrong_password_is_not_tried_again_and_again(rig: IpmiRig, tmp_path: Path) -> None:
    """It could lock the account."""
    rig.monitor = rig.make({**rig.settings, "every": 0.2, "password_file": password(tmp_path, "wrong")})
    async with Watching(rig) as watching:
        await watching.until(1)
        (event,) = watching.wrong.values()
        assert event.type == "monitor.silent"
        assert "lets nobody in" in event.details["cause"]
        before = (rig.bmc.folder / "log").stat().st_size
        await asyncio.sleep(1)
        assert (rig.bmc.folder / "log").stat().st_size == before


@pytest.mark.shows("monitor ipmi", "bad input")
@pytest.mark.parametrize("command", [SENSOR_READING, SDR_ENTRY, SEL_ENTRY], ids=["reading", "sdr", "sel"])
@pytest.mark.parametrize("raw", [b"", b"\x01", b"\xff" * 40], ids=["empty", "cut-off", "nonsense"])
async def test_answers_that_make_no_sense_end_nothing_and_hurt_nobody(
    rig: IpmiRig, monkeypatch: pytest.MonkeyPatch, command: int, raw: bytes
) -> None:
    """A firmware that lost its mind."""
    ask = IpmiSession.ask

    def lie(self: IpmiSession, netfn: int, said: int, *more: Any) -> bytes:
        return raw if said == command else ask(self, netfn, said, *more)

    rig.often()
    rig.bmc.put(on=False)
    rig.bmc.say(SUPPLY, 1)
    monkeypatch.setattr(IpmiSession, "ask", lie)
    async with Watching(rig) as watching:
        with structlog.testing.capture_logs() as logs:
            await seen(lambda: "compute.host.down" in {one[0] for one in watching.wrong})
            rig.bmc.say(SUPPLY, 1, is_so=False)
            await asyncio.sleep(1.5)
        assert isinstance(rig.monitor, Counts)
        assert len([one for one in logs if one["log_level"] == "warning"]) <= 2, logs


@pytest.mark.shows("monitor ipmi", "bad input")
async def test_a_port_that_answers_nonsense_is_silent(rig: IpmiRig) -> None:
    """Datagrams that are no IPMI, or only its beginning."""
    answers = [b"", b"\x06\x00\xff\x07", b"\xff" * 1400, bytes(20)]
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as babbling:
        babbling.bind(("127.0.0.1", 0))
        babbling.settimeout(0.2)
        is_over = threading.Event()

        def babble() -> None:
            number = 0
            while not is_over.is_set():
                try:
                    _, sender = babbling.recvfrom(2000)
                except TimeoutError:
                    continue
                babbling.sendto(answers[number % len(answers)], sender)
                number += 1

        thread = threading.Thread(target=babble)
        thread.start()
        port = babbling.getsockname()[1]
        settings = {**rig.settings, "every": 0.2, "timeout": 1}
        rig.monitor = rig.make({**settings, "hosts": {HOST: {"address": "127.0.0.1", "port": port}}})
        try:
            async with Watching(rig) as watching:
                await watching.until(1)
                assert silences(watching) == [("bmc@" + HOST, DOWN)]
        finally:
            is_over.set()
            thread.join()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        pytest.param({"hosts": {}}, "hosts", id="nobody"),
        pytest.param({"hosts": {HOST: {"address": "x", "port": 0}}}, "hosts.compute-1.port", id="port"),
        pytest.param({"hosts": {HOST: {"address": ""}}}, "hosts.compute-1.address", id="address"),
        pytest.param({"hosts": {"a\nb": "x"}}, "hosts.a\nb", id="no-id"),
        pytest.param({"user": "x" * 17}, "hosts.compute-1.user", id="user"),
        pytest.param({"password_file": "/none"}, "hosts.compute-1.password_file", id="password"),
    ],
)
def test_settings_that_cannot_be_are_told(rig: IpmiRig, change: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=f"^{place}: "):
        rig.make({**rig.settings, **change})


@pytest.mark.shows("monitor ipmi", "real", "restart")
@pytest.mark.requirement("C7")
def test_restarts_of_doctor_and_of_the_bmc_change_nothing(rig: IpmiRig, tmp_path: Path) -> None:
    monitor = {"driver": "ipmi", **rig.settings, "every": 0.3}
    with RunningDoctor(tmp_path / "doctor", monitors=[monitor]) as doctor:
        site = Site(doctor)
        until(lambda: site.source("ipmi").get("kind") == "ipmi")
        rig.put_wrong(1)
        until(lambda: site.alarms() == {(HOST, "chassis problem")})
        alarm = site.alarm(HOST)
        assert alarm["fault_details"]["reading"] == HOT
        rig.bmc.restart()
        doctor.kill()
        rig.bmc.say(SUPPLY, 1)
        doctor.start()
        until(lambda: site.alarms() == {(HOST, "chassis problem"), (HOST, "power degraded")})
        assert alarm["alarm_id"] in str(site.door.ask("GET", "/v1/alarms"))
        doctor.kill()
        rig.put_wrong(0)
        rig.bmc.say(SUPPLY, 1, is_so=False)
        doctor.start()
        until(lambda: not site.alarms())
