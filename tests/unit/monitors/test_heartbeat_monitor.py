"""The heartbeat monitor in virtual time, with agents and hosts of which everything is known."""

import asyncio
import socket
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from doctor.drivers.monitors.heartbeat.keyring import Keyring
from doctor.drivers.monitors.heartbeat.monitor import HeartbeatMonitor, Listening, PeerMonitor
from doctor.drivers.monitors.heartbeat.receiver import Receiver
from doctor.drivers.monitors.heartbeat.settings import HeartbeatSettings
from doctor.drivers.monitors.heartbeat.vouching import HOLDS_FOR
from doctor.kit.beat import MOST_BYTES, Beat, Key, Kind, Malformed, derived, pack, read
from doctor.kit.key_file import new_key, write_key
from doctor.model.errors import PermanentError
from doctor.model.event import RawEvent
from doctor.ports.monitor import Stake
from tests.unit.monitors.test_ping_monitor import Hosts, LoopClock, Map

HOSTS = {f"compute-{number}": f"198.18.0.{number}" for number in range(1, 7)}


class Agents:
    """Agents that send each 100 ms while they are alive; they answer challenges."""

    def __init__(self, master: bytes, address: tuple[str, int]) -> None:
        self.alive = dict.fromkeys(HOSTS, True)
        self.boots = dict.fromkeys(HOSTS, b"A" * 16)
        self.lag_us = 0
        self.wished: dict[str, int] = {}
        self.hear = set(HOSTS.values())  # the addresses that agents hear when they are asked
        self._keys = {host: Key(derived(master, host)) for host in HOSTS}
        self._socks: dict[str, socket.socket] = {}
        self._sequence = 0
        self._challenges: dict[str, bytes] = {}
        for host in HOSTS:
            sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
            sock.connect(address)
            sock.setblocking(False)
            self._socks[host] = sock

    async def run(self) -> None:
        while True:
            for host in HOSTS:
                if self.alive[host]:
                    self.send(host)
            await asyncio.sleep(0.1)

    def send(self, host: str, kind: Kind = Kind.BEAT) -> None:
        self._listen(host)
        self._sequence += 1
        beat = Beat(
            kind,
            host,
            "mgmt",
            self.boots[host],
            1,
            self._sequence,
            challenge=self._challenges.get(host, bytes(8)),
            interval_us=100_000,
            lag_us=self.lag_us,
        )
        self._socks[host].send(pack(beat, self._keys[host]))

    def _listen(self, host: str) -> None:
        while True:
            try:
                beat, _ = read(memoryview(self._socks[host].recv(MOST_BYTES)))
            except (BlockingIOError, Malformed):
                return
            if beat.challenge == self._challenges.get(host) and beat.kind is Kind.CHALLENGE:
                self.wished[host] = beat.interval_us
            self._challenges[host] = beat.challenge
            if beat.kind is Kind.QUESTION:
                answer = beat._replace(kind=Kind.ANSWER, interval_us=int(beat.subject in self.hear))
                self._socks[host].send(pack(answer, self._keys[host]))

    def close(self) -> None:
        for sock in self._socks.values():
            sock.close()


class World:
    """The monitor, the agents, and the hosts that answer pings."""

    def __init__(self, folder: Path, **settings: object) -> None:
        master = new_key()
        file = folder / "m.key"
        write_key(file, master)
        given = {"listen": "127.0.0.1:0", "master_key_file": str(file), "peers": 3, **settings}
        read = HeartbeatSettings.parse(given)
        receiver = Receiver(read.addresses, Keyring(file, None))
        self.map = Map(**HOSTS)
        self.hosts = Hosts()
        self.listening = Listening(self.map, read, LoopClock(), receiver, self.hosts)
        self.agents = Agents(master, receiver.addresses[0])
        self.events: list[RawEvent] = []
        self.of_peers: list[RawEvent] = []
        self.listening.peers_say = self.of_peers.append

    async def __aenter__(self) -> "World":
        self._tasks = [asyncio.create_task(self.agents.run()), asyncio.create_task(self._read())]
        self.listening.start()
        await asyncio.sleep(1)
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await self.listening.stop()
        self.agents.close()

    async def _read(self) -> None:
        while True:
            self.events.append(await self.listening.next_event())

    def die(self, *hosts: str) -> None:
        for host in hosts:
            self.agents.alive[host] = False
            self.hosts.dead.add(HOSTS[host])
            self.agents.hear.discard(HOSTS[host])

    def said(self) -> list[tuple[str, str, str]]:
        """Return what was said since the last time."""
        found, self.events[:] = [(one.type, one.resource, one.status) for one in self.events], []
        return found


DOWN = "compute.host.down"
TRIED = 10  # seconds in which each host is tried


@pytest.mark.looptime
@pytest.mark.requirement("A2", "G3")
async def test_a_dead_host_is_reported_with_what_else_was_seen(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        assert sorted(world.said()) == [(DOWN, host, "up") for host in HOSTS]
        world.die("compute-1")
        await asyncio.sleep(0.5)

        (event,) = world.events
        assert (event.type, event.resource, event.status, event.source) == (
            DOWN,
            "compute-1",
            "down",
            "heartbeat",
        )
        assert event.sight is not None
        assert (event.sight.hosts, event.sight.hosts_heard) == (6, 5)
        assert event.sight.is_clear
        assert event.details["method"] == "heartbeat"
        assert event.details["cause"] == "no heartbeat on mgmt and no answer to ping"
        world.said()

        world.agents.alive["compute-1"] = True
        await asyncio.sleep(0.5)
        assert world.said() == [(DOWN, "compute-1", "up")]


@pytest.mark.looptime
async def test_a_dead_agent_is_no_dead_host(tmp_path: Path) -> None:
    """When the host dies later what its peers heard before does not count."""
    async with World(tmp_path, agent_grace=2) as world:
        world.said()
        world.agents.alive["compute-1"] = False
        await asyncio.sleep(1.5)
        assert world.said() == []
        await asyncio.sleep(1.5)
        assert world.said() == [("monitor.silent", "agent@compute-1", "down")]

        world.die("compute-1")
        await asyncio.sleep(0.5)
        assert world.said() == [
            ("monitor.silent", "agent@compute-1", "up"),
            (DOWN, "compute-1", "down"),
        ]


@pytest.mark.looptime
async def test_without_confirmation_the_heartbeats_are_all_there_is(tmp_path: Path) -> None:
    async with World(tmp_path, confirm=False, peers=0) as world:
        world.said()
        world.agents.alive["compute-1"] = False
        await asyncio.sleep(0.5)
        assert world.said() == [(DOWN, "compute-1", "down")]


@pytest.mark.looptime
async def test_a_goodbye_is_no_fault(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.said()
        world.agents.alive["compute-1"] = False
        world.agents.send("compute-1", Kind.GOODBYE)
        await asyncio.sleep(20)
        assert world.said() == []
        world.agents.alive["compute-1"] = True
        await asyncio.sleep(1)
        world.die("compute-1")
        await asyncio.sleep(1)
        assert world.said() == [(DOWN, "compute-1", "up"), (DOWN, "compute-1", "down")]


@pytest.mark.looptime
async def test_a_host_that_started_anew_lost_what_ran_on_it(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.said()
        world.agents.boots["compute-1"] = b"B" * 16
        await asyncio.sleep(1)
        (event,) = world.events
        assert (event.type, event.resource) == ("hypervisor.restarted", "compute-1")
        assert event.details["boot_id"] == (b"B" * 16).hex()


@pytest.mark.looptime
@pytest.mark.requirement("E30")
async def test_when_nobody_is_heard_it_is_said_that_nobody_was(tmp_path: Path) -> None:
    async with World(tmp_path, canaries=["192.0.2.1"]) as world:
        world.said()
        world.die(*HOSTS)
        world.hosts.dead.add("192.0.2.1")
        await asyncio.sleep(1)
        downs = [event for event in world.events if event.type == DOWN]
        assert len(downs) == 6
        sights = [event.sight for event in downs]
        assert all(sight is not None and not sight.is_clear and sight.settles_in > 0 for sight in sights)
        assert ("monitor.canary", "192.0.2.1", "down") in world.said()


@pytest.mark.looptime
async def test_a_busy_host_is_given_the_time_that_it_announces(tmp_path: Path) -> None:
    async with World(tmp_path, confirm=False, peers=0) as world:
        world.agents.lag_us = 400_000
        await asyncio.sleep(0.5)
        world.said()
        world.agents.alive["compute-1"] = False
        await asyncio.sleep(0.6)
        assert world.said() == []
        await asyncio.sleep(0.3)
        assert world.said() == [(DOWN, "compute-1", "down")]


@pytest.mark.looptime
async def test_a_host_that_leaves_the_map_is_missed_by_nobody(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.said()
        world.map.change(**{host: address for host, address in HOSTS.items() if host != "compute-1"})
        await asyncio.sleep(0.5)
        world.die("compute-1")
        await asyncio.sleep(2)
        assert world.said() == []


@pytest.mark.looptime
async def test_one_that_has_to_send_and_never_did(tmp_path: Path) -> None:
    world = World(tmp_path, only=["compute-1", "compute-2"], expect=["compute-*"], start_grace=2, slowest=1)
    world.die("compute-1", "compute-3")
    async with world:
        assert world.said() == [(DOWN, "compute-2", "up")]
        await asyncio.sleep(10)
        assert world.said() == [(DOWN, "compute-1", "down")]


@pytest.mark.looptime
async def test_noise_is_no_evidence(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.said()
        world.die("compute-1")
        forged = Beat(Kind.BEAT, "compute-1", "mgmt", b"A" * 16, 1, 10_000, interval_us=100_000)
        for number in range(20):
            world.agents._socks["compute-2"].send(
                pack(forged._replace(sequence=10_000 + number), Key(new_key()))
            )
            await asyncio.sleep(0.05)
        assert world.said() == [(DOWN, "compute-1", "down")]


async def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    file = tmp_path / "m.key"
    write_key(file, new_key())
    settings = HeartbeatSettings.parse({"listen": "192.0.2.77:12346", "master_key_file": str(file)})
    watching = HeartbeatMonitor(settings, Keyring(file, None)).watch(Map(**HOSTS))
    with pytest.raises(PermanentError, match="cannot listen on 192"):
        await anext(watching)


async def test_it_gives_everything_back(tmp_path: Path) -> None:
    file = tmp_path / "m.key"
    write_key(file, new_key())
    settings = HeartbeatSettings.parse(
        {"listen": "127.0.0.1:0", "master_key_file": str(file), "ping": {"method": "tcp"}}
    )
    watching = HeartbeatMonitor(settings, Keyring(file, None)).watch(Map(**HOSTS))
    with capture_logs() as logs:
        task = asyncio.ensure_future(anext(watching))
        await asyncio.sleep(0.05)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await watching.aclose()
    assert logs[0]["event"] == "heartbeat.started"
    assert logs[-1]["event"] == "monitor.stopped"


@pytest.mark.looptime
@pytest.mark.requirement("E30")
async def test_a_host_that_its_peers_hear_is_not_dead(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        world.said()
        world.die("compute-1")
        world.agents.hear.add(HOSTS["compute-1"])
        await asyncio.sleep(20)
        assert world.said() == [("hypervisor.unreachable", "compute-1", "down")]
        assert world.of_peers == []

        world.agents.hear.clear()
        await asyncio.sleep(6)
        assert world.said() == [("hypervisor.unreachable", "compute-1", "up"), (DOWN, "compute-1", "down")]


@pytest.mark.looptime
async def test_what_peers_say_is_said_by_a_witness_of_its_own(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await asyncio.sleep(TRIED)
        world.die("compute-1")
        await asyncio.sleep(1)
        (dead,) = world.of_peers
        assert (dead.type, dead.resource, dead.status, dead.source) == (
            DOWN,
            "compute-1",
            "down",
            "heartbeat.peers",
        )
        assert len(dead.details["peers"]) == 3
        assert dead.sight is None
        await asyncio.sleep(20)
        assert len(world.of_peers) == 1

        world.agents.alive["compute-1"] = True
        await asyncio.sleep(1)
        assert [event.status for event in world.of_peers] == ["down", "up"]


@pytest.mark.looptime
@pytest.mark.requirement("E30")
@pytest.mark.parametrize("answers", [True, False], ids=["host-answers-us", "nobody-answers"])
async def test_peers_that_could_never_hear_it_are_no_witnesses(tmp_path: Path, answers: bool) -> None:
    """Agents may be unable to reach each other although Doctor reaches them all."""
    async with World(tmp_path, agent_grace=2) as world:
        world.agents.hear.clear()
        await asyncio.sleep(HOLDS_FOR + 30)
        world.said()
        world.agents.alive["compute-1"] = False
        if not answers:
            world.hosts.dead.add(HOSTS["compute-1"])
        await asyncio.sleep(60)
        assert world.of_peers == []
        silent = ("monitor.silent", "agent@compute-1", "down")
        assert world.said() == [silent if answers else (DOWN, "compute-1", "down")]


@pytest.mark.looptime
async def test_a_host_that_answers_us_is_not_dead_because_its_peers_are_cut_off(tmp_path: Path) -> None:
    """They could hear it until now, and its agent ends in the same moment."""
    async with World(tmp_path, agent_grace=2) as world:
        await asyncio.sleep(TRIED)
        world.said()
        world.agents.alive["compute-1"] = False
        world.agents.hear.clear()
        await asyncio.sleep(60)
        assert world.of_peers == []
        assert world.said() == [("monitor.silent", "agent@compute-1", "down")]


@pytest.mark.looptime
async def test_what_peers_say_is_taken_back_when_we_hear_the_host(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await asyncio.sleep(TRIED)
        world.die("compute-1")
        await asyncio.sleep(1)
        world.hosts.dead.clear()
        await asyncio.sleep(1)
        assert [event.status for event in world.of_peers] == ["down", "up"]


@pytest.mark.looptime
async def test_what_peers_said_of_a_dead_host_stays_true_however_long(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await asyncio.sleep(TRIED)
        world.die("compute-1")
        await asyncio.sleep(3 * HOLDS_FOR)
        assert [event.status for event in world.of_peers] == ["down"]


@pytest.mark.looptime
async def test_a_dead_host_that_its_peers_hear_again_is_back(tmp_path: Path) -> None:
    async with World(tmp_path) as world:
        await asyncio.sleep(TRIED)
        world.die("compute-1")
        await asyncio.sleep(1)
        world.said()
        world.agents.hear.add(HOSTS["compute-1"])
        await asyncio.sleep(6)
        assert world.said() == [(DOWN, "compute-1", "up"), ("hypervisor.unreachable", "compute-1", "down")]
        assert [event.status for event in world.of_peers] == ["down", "up"]


@pytest.mark.looptime
async def test_nobody_is_asked_who_is_missed_himself(tmp_path: Path) -> None:
    async with World(tmp_path, peers=5) as world:
        await asyncio.sleep(TRIED)
        world.said()
        world.die("compute-1", "compute-2", "compute-3", "compute-4", "compute-5")
        await asyncio.sleep(1)
        assert {one.resource for one in world.of_peers} <= {f"compute-{n}" for n in range(1, 6)}
        assert all(set(one.details["peers"]) == {"compute-6"} for one in world.of_peers)


@pytest.mark.looptime
async def test_peers_may_be_left_alone(tmp_path: Path) -> None:
    async with World(tmp_path, peers=0) as world:
        world.said()
        world.die("compute-1")
        world.agents.hear.add(HOSTS["compute-1"])
        await asyncio.sleep(1)
        assert world.said() == [(DOWN, "compute-1", "down")]
        assert world.of_peers == []


async def test_the_monitor_of_peers_says_what_it_is_told() -> None:
    monitor = PeerMonitor("heartbeat.peers")
    watching = monitor.watch(Map(**HOSTS))
    event = RawEvent(time=LoopClock().now(), type=DOWN)
    asyncio.get_running_loop().call_later(0.01, monitor.say, event)
    assert await anext(watching) is event
    await watching.aclose()


class Informed(Map):
    """Targets of which more is known."""

    def __init__(self, **hosts: str) -> None:
        super().__init__(**hosts)
        self.stakes: dict[str, Stake] = {}

    def stake(self, host_id: str) -> Stake:
        return self.stakes.get(host_id, Stake())


@pytest.mark.looptime
@pytest.mark.requirement("F21")
async def test_a_host_in_trouble_is_watched_more_closely(tmp_path: Path) -> None:
    world = World(tmp_path, paces={"troubled": 0.02})
    informed = Informed(**HOSTS)
    world.listening._targets = informed
    async with world:
        await asyncio.sleep(3)
        world.agents.wished.clear()  # with a challenge nothing is wished
        await asyncio.sleep(3)
        assert world.agents.wished == {}
        informed.stakes["compute-1"] = Stake(is_troubled=True)
        await asyncio.sleep(3)
        assert world.agents.wished == {"compute-1": 20_000}
        informed.stakes.clear()
        await asyncio.sleep(6)
        assert world.agents.wished == {"compute-1": 0}
