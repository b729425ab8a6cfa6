"""The SNMP monitor at real sockets of loopback: who sends is known by his address, and nothing is lost or believed too soon."""

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import aclosing, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from doctor.cli.demo.bmc import free_udp_port
from doctor.drivers.monitors.snmp import make
from doctor.drivers.monitors.snmp.devices import Devices
from doctor.drivers.monitors.snmp.flood import Brake
from doctor.drivers.monitors.snmp.message import Kind
from doctor.model.errors import PermanentError
from doctor.model.resource import PhysicalResource
from doctor.ports.monitor import Counts
from doctor.ports.payload import Saying
from doctor.testing.contracts.monitor import FixedTargets
from tests.unit.monitors.snmp_traps import ENGINE, LINK_DOWN, OWN_ENGINE, binding, link, signed, trap

LEAF, OTHER, STRANGER, RELAY = "127.8.1.1", "127.8.1.2", "127.8.1.3", "127.8.1.4"
TARGETS = FixedTargets(
    [
        PhysicalResource(id="leaf-1", type="switch", address=("leaf-1.lab", LEAF)),
        PhysicalResource(id="pdu-1", type="power", address=(OTHER,)),
    ]
)


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    found = {}
    for name, text in (("auth_file", "authpass12"), ("privacy_file", "privpass12")):
        path = tmp_path / name
        path.write_text(text)
        path.chmod(0o600)
        found[name] = str(path)
    return found


class Site:
    """A monitor that is read, and devices that send."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.sayings: list[Saying] = []
        self.news = asyncio.Event()
        self.pause = asyncio.Event()
        self.pause.set()

    def send(self, data: bytes, source: str = LEAF, times: int = 1) -> socket.socket:
        sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sock.bind((source, 0))
        sock.settimeout(2)
        for _ in range(times):
            sock.sendto(data, ("127.0.0.1", self.port))
        return sock

    @property
    def said(self) -> list[tuple[str, str, str]]:
        return [
            (saying.told.source, one.event.resource, one.event.status)
            for saying in self.sayings
            for one in saying.readings
        ]

    def take(self, saying: Saying) -> None:
        self.sayings.append(saying)
        self.news.set()

    async def until(self, number: int, seconds: float = 10) -> None:
        async with asyncio.timeout(seconds):
            while len(self.said) < number:
                self.news.clear()
                await self.news.wait()


@asynccontextmanager
async def running(files: dict[str, str], **settings: Any) -> AsyncIterator[tuple[Site, Any]]:
    site = Site(free_udp_port())
    given = {
        "listen": f"127.0.0.1:{site.port}",
        "communities": ["public"],
        "users": [{"name": "doctor", "auth": "sha", **files}],
        **settings,
    }
    monitor = make(given)

    async def read() -> None:
        async with aclosing(monitor.watch(TARGETS)) as says:
            async for said in says:
                assert isinstance(said, Saying)
                await site.pause.wait()
                site.take(said)

    reading = asyncio.create_task(read())
    while monitor._listening is None:
        await asyncio.sleep(0.005)
        assert not reading.done(), reading.exception()
    await asyncio.sleep(0)
    yield site, monitor
    reading.cancel()
    await asyncio.wait([reading])


async def test_a_trap_is_the_port_of_the_switch_that_has_sent_it(files: dict[str, str]) -> None:
    async with running(files) as (site, _):
        site.send(link(7)).close()
        site.send(link(7, is_up=True)).close()
        await site.until(2)
        assert site.said == [("snmp.hints", "leaf-1:if7", "down"), ("snmp.hints", "leaf-1:if7", "up")]
        assert {saying.kind for saying in site.sayings} == {"snmp"}


async def test_what_anybody_can_have_sent_is_said_as_a_hint(files: dict[str, str]) -> None:
    """Also what a user has signed, as long as it may be a recording, and until its device has answered us."""
    async with running(files) as (site, monitor):
        site.send(signed()).close()
        await site.until(1)
        engine = monitor._listening._understanding.engine(ENGINE)
        engine.answered("leaf-1", 3, 101, monitor._clock.monotonic())
        site.send(signed(time=102)).close()
        inform = site.send(signed(engine=OWN_ENGINE, kind=Kind.INFORM, boots=0))
        assert await asyncio.to_thread(inform.recv, 2000)
        inform.close()
        await site.until(2)
        assert [one[0] for one in site.said] == ["snmp.hints", "snmp"]


async def test_what_one_device_has_signed_another_cannot_have_sent(files: dict[str, str]) -> None:
    """The address of a datagram is not signed."""
    async with running(files) as (site, monitor):
        monitor._listening._understanding.engine(ENGINE).answered(
            "leaf-1", 3, 101, monitor._clock.monotonic()
        )
        site.send(signed(time=102), OTHER).close()
        site.send(signed(time=103)).close()
        await site.until(1)
        assert site.said == [("snmp", "leaf-1:if7", "down")]
        assert monitor._listening.receiver.refusals.counts == {"another device's": 1}


async def test_an_inform_is_answered_when_it_is_kept(files: dict[str, str]) -> None:
    async with running(files) as (site, _):
        site.pause.clear()
        sock = site.send(link(7, kind=Kind.INFORM))
        sock.settimeout(0.3)
        with pytest.raises(TimeoutError):
            await asyncio.to_thread(sock.recv, 2000)
        site.pause.set()
        sock.settimeout(2)
        assert await asyncio.to_thread(sock.recv, 2000)
        sock.close()


@pytest.mark.shows("monitor snmp", "bad input")
async def test_what_is_refused_is_counted_and_told_now_and_then(files: dict[str, str]) -> None:
    with capture_logs() as logs:
        async with running(files) as (site, monitor):
            site.send(link(7), STRANGER, times=300).close()
            site.send(trap(LINK_DOWN, community=b"private"), times=300).close()
            site.send(b"\xff" * 40, times=300).close()
            site.send(b"x" * 20_000, times=3).close()
            site.send(signed()[:-1]).close()
            site.send(link(8)).close()
            await site.until(1)
            assert site.said == [("snmp.hints", "leaf-1:if8", "down")]
            assert isinstance(monitor, Counts)
            assert monitor.counts() == {"rejected": 904, "lost": 0}
        assert monitor.counts() == {"rejected": 904, "lost": 0}
    told = [one for one in logs if one["event"] == "snmp.refused"]
    assert 1 <= len(told) <= 5
    assert not any("private" in str(one) or "public" in str(one) for one in logs)


async def test_a_flood_of_what_could_be_anybodys_is_braked(files: dict[str, str]) -> None:
    async with running(files, burst=20, rate=0.001) as (site, monitor):
        site.send(link(7), times=500).close()
        site.send(link(1), OTHER).close()
        await site.until(21)
        assert len(site.said) == 21
        assert monitor.counts() == {"rejected": 480, "lost": 0}


@pytest.mark.shows("monitor snmp", "flood")
async def test_a_burst_is_told_to_the_last(files: dict[str, str]) -> None:
    """A switch that dies by its ports: 5,000 traps at once, while nobody takes anything."""
    async with running(files) as (site, monitor):
        site.pause.clear()
        sock = site.send(link(0))
        for number in range(1, 5000):
            sock.sendto(link(number), ("127.0.0.1", site.port))
            if number % 250 == 0:
                await asyncio.sleep(0)  # the sender is in the same thread
        sock.close()
        site.pause.set()
        await site.until(5000, 30)
        assert len(set(site.said)) == 5000
        assert monitor.counts() == {"rejected": 0, "lost": 0}


async def test_what_there_is_no_room_for_is_counted(
    files: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("doctor.drivers.monitors.snmp.receiver.MOST_WAITING", 100)
    async with running(files) as (site, monitor):
        site.send(link(7), times=400).close()
        await site.until(100)
        assert monitor.counts()["lost"] == 300
        assert len(site.said) == 100


async def test_what_the_kernel_had_no_room_for_is_counted(files: dict[str, str]) -> None:
    async with running(files) as (site, monitor):
        (sock,) = monitor._listening.receiver.sockets
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        site.send(link(7), times=400).close()
        while not monitor.counts()["lost"]:
            site.send(link(7)).close()
            await asyncio.sleep(0.01)
        assert monitor.counts()["lost"] + len(site.said) >= 400


async def test_a_relay_passes_on_what_is_anothers(files: dict[str, str]) -> None:
    address = binding("1.3.6.1.6.3.18.1.3.0", bytes((1,)))
    address = address[: -len(b"\x04\x01\x01")] + b"\x40\x04" + bytes((127, 8, 1, 1))
    address = b"\x30" + bytes((len(address) - 2,)) + address[2:]
    told = trap("1.3.6.1.4.1.318.0.5", address)
    async with running(files, relays=[RELAY]) as (site, monitor):
        site.send(told, RELAY).close()
        site.send(told, OTHER).close()  # is no relay: it is its own
        site.send(trap("1.3.6.1.4.1.318.0.5"), RELAY).close()  # does not say whose it is
        await site.until(2)
        assert [one[1] for one in site.said] == ["leaf-1", "pdu-1"]
        assert monitor.counts()["rejected"] == 1


async def test_an_address_that_is_not_ours_is_told_when_it_begins(files: dict[str, str]) -> None:
    monitor = make({"listen": "192.0.2.1:162", "communities": ["public"]})
    with pytest.raises(PermanentError, match=r"snmp: cannot listen on 192.0.2.1:162"):
        await anext(monitor.watch(TARGETS))


# --- its parts ---


def test_devices_are_known_by_their_addresses() -> None:
    devices = Devices(
        [
            PhysicalResource(id="a", type="switch", address=("192.0.2.1", "2001:db8::1", "a.lab")),
            PhysicalResource(id="b", type="power", address=("192.0.2.1", "192.0.2.2")),
        ]
    )
    found = [devices.at(one) for one in ("192.0.2.1", "::ffff:192.0.2.2", "2001:db8::0:1", "192.0.2.3")]
    assert [one and one.id for one in found] == ["a", "b", "a", None]
    assert [devices.address_of(one) for one in ("a", "b", "c")] == ["192.0.2.1", "192.0.2.2", None]
    assert {one.id for one in devices} == {"a", "b"}


def test_a_brake_lets_through_a_burst_and_then_so_much_each_second() -> None:
    brake = Brake(3, 2.0)
    assert [brake.lets("a", 0.0) for _ in range(4)] == [True, True, True, False]
    assert brake.lets("b", 0.0)
    assert [brake.lets("a", 1.0) for _ in range(3)] == [True, True, False]
    assert [brake.lets("a", 100.0) for _ in range(4)] == [True, True, True, False]


@pytest.mark.shows("monitor snmp", "bad input")
@pytest.mark.parametrize(
    ("said", "place"),
    [
        pytest.param({"communities": [], "users": []}, "users: required", id="nobody"),
        pytest.param({"listen": "162"}, r"listen\[0\]: ", id="listen"),
        pytest.param({"listen": ["[::1]:99999"]}, r"listen\[0\]: ", id="port"),
        pytest.param({"relays": ["proxy.lab"]}, r"relays\[0\]: ", id="relay"),
        pytest.param({"users": [{"name": "x"}]}, r"users\[0\]", id="user"),
        pytest.param({"users": [7]}, r"users\[0\]: expected a mapping", id="no-user"),
        pytest.param({"users": "both"}, r"users\[1\].name", id="two-users"),
        pytest.param({"users": "md5"}, r"users\[0\].auth", id="md5"),
        pytest.param({"users": "short"}, r"users\[0\].privacy", id="short-key"),
        pytest.param({"users": "weak"}, r"users\[0\].auth_file: .* at least 8", id="weak-password"),
        pytest.param({"users": "open"}, r"users\[0\].auth_file: .*chmod 600", id="open-file"),
        pytest.param({"engine": "12"}, "engine: ", id="engine"),
        pytest.param({"burst": 0}, "burst: ", id="burst"),
        pytest.param({"community_files": {"a": "/nowhere"}}, "community_files.a: ", id="file"),
        pytest.param({"mapping_file": "/nowhere"}, "mapping_file: ", id="mapping"),
    ],
)
def test_settings_that_cannot_be_are_told(
    files: dict[str, str], tmp_path: Path, said: dict[str, Any], place: str
) -> None:
    user = {"name": "doctor", **files}
    weak = tmp_path / "weak"
    weak.write_text("short")
    weak.chmod(0o644 if said.get("users") == "open" else 0o600)
    users = {
        "both": [{**user}, {**user}],
        "md5": [{**user, "auth": "md5"}],
        "short": [{**user, "auth": "sha", "privacy": "aes256"}],
        "weak": [{**user, "auth_file": str(weak)}],
        "open": [{**user, "auth_file": str(weak)}],
    }
    if isinstance(said.get("users"), str):
        said = {"users": users[said["users"]]}
    with pytest.raises(ValueError, match=f"^{place}"):
        make({"listen": "127.0.0.1:1162", "communities": ["public"], **said})


def test_communities_may_stand_in_files(files: dict[str, str]) -> None:
    monitor = make({"community_files": {"lab": files["auth_file"]}})
    assert [one.reveal() for one in monitor._communities] == ["authpass12"]
    assert "authpass12" not in repr(monitor._communities)
