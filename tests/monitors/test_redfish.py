"""The Redfish monitor, before the emulator of sushy-tools and before a service with what that does not have."""

import asyncio
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from doctor.drivers.monitors.redfish import make
from doctor.model.event import DOWN, UP
from doctor.ports.monitor import Counts, Monitor
from doctor.testing.contracts.monitor import AskedRig, AskingContract, Watching
from doctor.testing.fence import Mode
from doctor.testing.running import RunningDoctor
from tests.fences.redfish_emulator import PASSWORD, USER, RedfishEmulator
from tests.monitors.redfish_service import CHASSIS, POWER, SYSTEM, THERMAL, RedfishService, link
from tests.monitors.site import Site
from tests.waiting import until

HOST = "compute-1"


def password(folder: Path, text: str = PASSWORD) -> str:
    file = folder / "bmc.password"
    file.write_text(text)
    file.chmod(0o600)
    return str(file)


def settings_of(folder: Path, url: str, certificate: Path, **more: Any) -> dict[str, Any]:
    return {
        "hosts": {HOST: url},
        "user": USER,
        "password_file": password(folder),
        "ca_file": str(certificate),
        "every": 0.2,
        "timeout": 2,
        **more,
    }


class RedfishRig(AskedRig):
    """A BMC with as many hot sensors as are wished for."""

    patience = 20.0
    flood = 200

    def __init__(self, folder: Path) -> None:
        self.service = RedfishService(folder / "service")
        self.settings = settings_of(folder, self.service.url, self.service.certificate)
        self.monitor = self.make(self.settings)

    def make(self, settings: Mapping[str, Any]) -> Monitor:
        return make(settings)

    def put_wrong(self, number: int) -> None:
        self.service.heat(number)

    def vanish(self) -> None:
        self.service.vanish()

    def appear(self) -> None:
        self.service.appear()


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[RedfishRig]:
    made = RedfishRig(tmp_path)
    yield made
    made.service.vanish()


@pytest.mark.shows("monitor redfish", "contract", "lost", "flood")
class TestRedfish(AskingContract):
    @pytest.fixture
    def rig(self, rig: RedfishRig) -> RedfishRig:
        """It is asked so rarely that it is not told to be silent, which would be one thing more that is wrong."""
        rig.settings = {**rig.settings, "every": 1}
        rig.monitor = rig.make(rig.settings)
        return rig


def silences(watching: Watching) -> list[tuple[str, str]]:
    """Return what was said of the BMC itself."""
    return [(one.resource, one.status) for one in watching.events if one.type == "monitor.silent"]


async def seen(what: Any, seconds: float = 15) -> None:
    """Wait until something holds."""
    async with asyncio.timeout(seconds):
        while not what():  # noqa: ASYNC110 - it is the world that changes
            await asyncio.sleep(0.01)


@pytest.mark.requirement("C7")
async def test_power_health_fans_and_supplies_are_told_of_the_host(rig: RedfishRig) -> None:
    """Each by itself, with what it reads, and at our own time."""
    documents = rig.service.documents
    documents[SYSTEM]["PowerState"] = "Off"
    documents[POWER]["PowerSupplies"][1]["Status"]["Health"] = "Critical"
    documents[THERMAL]["Fans"][0]["Reading"] = 0
    async with Watching(rig) as watching:
        await watching.until(2)  # a fan stands still without power
        events = {one.type: one for one in watching.wrong.values()}
        assert {one.resource for one in events.values()} == {HOST}
        assert events["compute.host.down"].severity == "critical"
        assert events["compute.power.degraded"].monitor_event_id == "power supply PSU 1 1"
        documents[SYSTEM]["PowerState"] = "On"
        await seen(lambda: "compute.chassis.degraded" in {one[0] for one in watching.wrong})
        (fan,) = (one for one in watching.wrong.values() if one.type == "compute.chassis.degraded")
        assert fan.details["threshold"] == 600
        documents[POWER]["PowerSupplies"][1]["Status"]["Health"] = "OK"
        await watching.until(1)


@pytest.mark.shows("monitor redfish", "bad input")
@pytest.mark.parametrize(
    ("status", "raw"),
    [
        pytest.param(200, b"\xff<html>", id="no-json"),
        pytest.param(200, b"[" * 100_000, id="deep"),
        pytest.param(200, b"[]", id="no-document"),
        pytest.param(200, b'{"Members": 7}', id="no-system"),
        pytest.param(200, b"x" * 3_000_000, id="without-end"),
        pytest.param(500, b"{}", id="error"),
        pytest.param(302, b"", id="redirect"),
    ],
)
async def test_what_is_no_answer_is_the_end_of_nothing_and_the_bmc_is_silent(
    rig: RedfishRig, status: int, raw: bytes
) -> None:
    rig.put_wrong(2)
    async with Watching(rig) as watching:
        with structlog.testing.capture_logs() as logs:
            await watching.until(2)
            rig.service.raw, rig.service.status = raw, status
            await watching.until(3)
            await asyncio.sleep(1)
        assert silences(watching) == [("bmc@" + HOST, UP), ("bmc@" + HOST, DOWN)]
        assert len([one for one in logs if one["log_level"] == "warning"]) <= 2, logs
        rig.service.raw = None
        await watching.until(2)


@pytest.mark.shows("monitor redfish", "bad input")
async def test_the_password_goes_nowhere_else(rig: RedfishRig) -> None:
    """A service whose documents point to somebody else is not followed, and is silent."""
    with RedfishService(Path(rig.settings["password_file"]).parent / "other") as other:
        rig.service.documents[CHASSIS]["Thermal"] = link(f"{other.url}{THERMAL}")
        async with Watching(rig) as watching:
            await watching.until(1)
            assert silences(watching)[-1] == ("bmc@" + HOST, DOWN)
        assert other.asked == []


@pytest.mark.shows("monitor redfish", "bad input")
async def test_sensors_that_nobody_knows_are_counted_and_hurt_no_others(rig: RedfishRig) -> None:
    rig.put_wrong(1)
    rig.service.documents[THERMAL]["Temperatures"] += [7, {"Name": "\x00\n" * 500, "ReadingCelsius": "hot"}]
    async with Watching(rig) as watching:
        await watching.until(1)
        assert isinstance(rig.monitor, Counts)
        assert rig.monitor.counts()["rejected"] >= 2


async def test_a_wrong_password_is_not_tried_again_and_again(rig: RedfishRig, tmp_path: Path) -> None:
    """It could lock the account."""
    rig.monitor = rig.make({**rig.settings, "password_file": password(tmp_path, "wrong")})
    async with Watching(rig) as watching:
        await watching.until(1)
        (event,) = watching.wrong.values()
        assert (event.type, event.details["cause"]) == ("monitor.silent", "it lets nobody in (401)")
        asked = len(rig.service.asked)
        await asyncio.sleep(1)
        assert len(rig.service.asked) == asked


async def test_one_bmc_that_hangs_holds_up_no_other(rig: RedfishRig, tmp_path: Path) -> None:
    """Its port takes connections and says nothing."""
    hanging = socket.create_server(("127.0.0.1", 0))
    more = {f"stuck-{number}": f"https://127.0.0.1:{hanging.getsockname()[1]}" for number in range(5)}
    rig.monitor = rig.make({**rig.settings, "hosts": {**more, HOST: rig.service.url}, "timeout": 1})
    async with Watching(rig) as watching:
        for number in (1, 0, 1):
            rig.put_wrong(number)
            began = time.monotonic()
            await seen(lambda: len([one for one in watching.wrong if one[1] == HOST]) == number)  # noqa: B023
            assert time.monotonic() - began < 4
        await seen(lambda: len(silences(watching)) == 6)
    hanging.close()


@pytest.mark.parametrize(
    ("change", "place"),
    [
        pytest.param({"hosts": {}}, "hosts", id="nobody"),
        pytest.param({"hosts": []}, "hosts", id="no-mapping"),
        pytest.param({"hosts": {HOST: 7}}, "hosts.compute-1", id="no-host"),
        pytest.param({"hosts": {HOST: "http://x"}}, "hosts.compute-1.url", id="without-tls"),
        pytest.param(
            {"hosts": {HOST: {"url": "https://x", "system": "../1"}}}, "hosts.compute-1.system", id="system"
        ),
        pytest.param({"password_file": "/none"}, "hosts.compute-1.password_file", id="password"),
        pytest.param({"user": None}, "hosts.compute-1.user", id="user"),
        pytest.param({"every": 0}, "every", id="every"),
        pytest.param({"name": ""}, "name", id="name"),
    ],
)
def test_settings_that_cannot_be_are_told(rig: RedfishRig, change: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=f"^{place}: "):
        rig.make({**rig.settings, **change})


# --- the emulator of sushy-tools, and Doctor as it runs ---


@pytest.fixture(scope="module")
def emulator(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedfishEmulator]:
    with RedfishEmulator(tmp_path_factory.mktemp("redfish")) as running:
        yield running


@pytest.mark.shows("monitor redfish", "real", "restart")
@pytest.mark.requirement("C7")
def test_doctor_reads_an_emulator_and_restarts_of_both_change_nothing(
    emulator: RedfishEmulator, tmp_path: Path
) -> None:
    emulator.reset()
    monitor = {"driver": "redfish", **settings_of(tmp_path, emulator.url, emulator.certificate)}
    with RunningDoctor(tmp_path / "doctor", monitors=[monitor]) as doctor:
        site = Site(doctor)
        until(lambda: site.source("redfish").get("kind") == "redfish")
        assert not site.alarms()
        emulator.measure("CPU Temp", 47)
        until(lambda: site.alarms() == {(HOST, "chassis problem")})
        alarm = site.alarm(HOST)
        assert (alarm["perceived_severity"], alarm["fault_details"]["reading"]) == ("warning", 47)
        emulator.put(on=False)
        until(lambda: site.alarms() == {(HOST, "chassis problem"), (HOST, "host down")})
        emulator.restart()
        doctor.kill()
        emulator.put(on=True)
        doctor.start()
        until(lambda: site.alarms() == {(HOST, "chassis problem")})
        assert site.alarm(HOST)["alarm_id"] == alarm["alarm_id"]
        emulator.measure("CPU Temp", 41)
        until(lambda: not site.alarms())
        emulator.behave(Mode.DEAF)
        until(lambda: site.alarms() == {("bmc@" + HOST, "monitor silent")}, 30)
        emulator.reset()
        until(lambda: not site.alarms(), 30)


@pytest.mark.requirement("B23")
def test_that_a_bmc_says_off_is_a_hint_and_cuts_nobody_off(emulator: RedfishEmulator, tmp_path: Path) -> None:
    """What counts is what Doctor reads from the device itself when it decides."""
    emulator.reset()
    monitor = {"driver": "redfish", **settings_of(tmp_path, emulator.url, emulator.certificate)}
    with RunningDoctor(tmp_path / "doctor", monitors=[monitor]) as doctor:
        site = Site(doctor)
        emulator.put(on=False)
        until(lambda: site.alarms() == {(HOST, "host down")})
        status, explained = site.door.ask("GET", f"/v1/isolations/{HOST}")
        assert status == 200, explained
        assert "a hint" in str(explained["evidence"]), explained
    emulator.reset()
