"""What the event loop sees of the ping monitor: events in order, changes of the map, failures, an end."""

import asyncio
import socket
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta

import pytest
from structlog.testing import capture_logs

from doctor.drivers.monitors.ping import methods, monitor
from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import Path
from doctor.drivers.monitors.ping.methods import open_prober
from doctor.drivers.monitors.ping.monitor import Watching
from doctor.drivers.monitors.ping.probing import Answer, Prober
from doctor.drivers.monitors.ping.settings import Method, PingSettings, Refused
from doctor.kit.clock import SystemClock
from doctor.model.errors import PermanentError
from doctor.model.resource import PhysicalResource
from doctor.model.vantage import Sight

BEGIN = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)


class LoopClock:
    """The time of the event loop, which the tests make run faster."""

    def now(self) -> datetime:
        return BEGIN + timedelta(seconds=self.monotonic())

    def monotonic(self) -> float:
        return asyncio.get_running_loop().time()


class Map:
    """Targets that a test changes."""

    def __init__(self, **hosts: str) -> None:
        self.version = 0
        self.change(**hosts)

    def change(self, **hosts: str) -> None:
        self.version += 1
        self._hosts = [PhysicalResource(id=name, address=(address,)) for name, address in hosts.items()]

    def hosts(self) -> Iterable[PhysicalResource]:
        return self._hosts


class Hosts:
    """A prober of hosts that answer at once, but for the dead ones."""

    method = Method.RAW

    def __init__(self) -> None:
        self.dead: set[str] = set()
        self.failure: Exception | None = None
        self.speaks_ipv6 = True
        self.is_closed = False
        self._answers: list[Answer] = []

    def prepare(self, family: int) -> None:
        if family == socket.AF_INET6 and not self.speaks_ipv6:
            raise OSError("Address family not supported by protocol")

    def send(self, path: Path, number: int, now: float) -> None:
        if path.address.text not in self.dead:
            self._answers.append(Answer(path.key, path.address.text, number))

    def drain(self, now: float) -> tuple[list[Answer], bool]:
        if self.failure is not None:
            raise self.failure
        come, self._answers = self._answers, []
        return come, True

    def close(self) -> None:
        self.is_closed = True


async def take(watching: Watching, count: int) -> list[tuple[str, str]]:
    return [(event.resource, event.status) for event in [await watching.next_event() for _ in range(count)]]


@pytest.fixture
def hosts() -> Hosts:
    return Hosts()


def watch(targets: Map, hosts: Hosts, settings: PingSettings | None = None) -> Watching:
    return Watching(targets, settings or PingSettings(), LoopClock(), hosts)


@pytest.mark.looptime
async def test_events_come_in_order_and_carry_the_time(hosts: Hosts) -> None:
    watching = watch(Map(c1="198.18.0.1"), hosts)
    watching.start()

    assert await take(watching, 1) == [("c1", "up")]
    hosts.dead.add("198.18.0.1")
    cut = LoopClock().now()
    down = await watching.next_event()
    hosts.dead.clear()

    assert (down.resource, down.status) == ("c1", "down")
    assert down.time - cut < timedelta(milliseconds=335)
    assert await take(watching, 1) == [("c1", "up")]
    await watching.stop()


@pytest.mark.looptime
async def test_probing_goes_on_while_nobody_takes_events(hosts: Hosts) -> None:
    watching = watch(Map(c1="198.18.0.1"), hosts)
    watching.start()
    await asyncio.sleep(1)
    hosts.dead.add("198.18.0.1")
    await asyncio.sleep(1)
    hosts.dead.clear()
    await asyncio.sleep(1)

    assert await take(watching, 3) == [("c1", "up"), ("c1", "down"), ("c1", "up")]
    await watching.stop()


@pytest.mark.looptime
async def test_with_too_many_events_waiting_hosts_are_judged_later(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(monitor, "MOST_WAITING", 2)
    watching = watch(Map(c1="198.18.0.1", c2="198.18.0.2", c3="198.18.0.3"), hosts)
    watching.start()
    await asyncio.sleep(1)
    hosts.dead.add("198.18.0.3")
    await asyncio.sleep(1)

    first = await take(watching, 2)
    rest = await take(watching, 1)

    assert sorted({host for host, _ in [*first, *rest]}) == ["c1", "c2", "c3"]
    assert ("c3", "down") in [*first, *rest]
    await watching.stop()


@pytest.mark.looptime
async def test_a_change_of_the_map_is_noticed_while_running(hosts: Hosts) -> None:
    targets = Map(c1="198.18.0.1")
    hosts.dead.add("198.18.0.1")
    watching = watch(targets, hosts)
    watching.start()
    assert await take(watching, 1) == [("c1", "down")]

    targets.change(c1="198.18.0.1", c2="198.18.0.2")

    assert await take(watching, 1) == [("c2", "up")]
    await watching.stop()


@pytest.mark.looptime
async def test_an_empty_map_may_fill_later(hosts: Hosts) -> None:
    targets = Map()
    watching = watch(targets, hosts)
    watching.start()
    await asyncio.sleep(5)

    targets.change(c1="198.18.0.1")

    assert await take(watching, 1) == [("c1", "up")]
    await watching.stop()


@pytest.mark.looptime
async def test_a_failure_of_probing_is_not_kept_quiet(hosts: Hosts) -> None:
    watching = watch(Map(c1="198.18.0.1"), hosts)
    watching.start()
    await take(watching, 1)

    hosts.failure = RuntimeError("broken")

    with pytest.raises(RuntimeError, match="broken"):
        await watching.next_event()
    await watching.stop()


@pytest.mark.looptime
async def test_addresses_that_cannot_be_used_are_named_once_and_do_no_harm(hosts: Hosts) -> None:
    hosts.speaks_ipv6 = False
    targets = Map(c1="198.18.0.1", c2="2001:db8::2", c3="224.0.0.1")
    watching = watch(targets, hosts)

    with capture_logs() as logs:
        watching.start()
        assert await take(watching, 1) == [("c1", "up")]
        targets.change(c2="2001:db8::2", c3="224.0.0.1")
        await asyncio.sleep(1)

    unusable = [entry["address"] for entry in logs if entry["event"] == "ping.address_unusable"]
    assert sorted(unusable) == ["2001:db8::2", "224.0.0.1"]
    await watching.stop()


@pytest.mark.looptime
async def test_after_the_end_nothing_is_left(hosts: Hosts) -> None:
    before = asyncio.all_tasks()
    watching = watch(Map(c1="198.18.0.1", c2="no-such-host.invalid"), hosts)
    watching.start()
    await take(watching, 1)

    await watching.stop()

    assert hosts.is_closed
    assert asyncio.all_tasks() == before


# --- names ---


async def test_a_name_is_looked_up_in_the_background(hosts: Hosts) -> None:
    watching = Watching(Map(c1="localhost", c2="198.18.0.2"), PingSettings(), SystemClock(), hosts)
    watching.start()

    assert sorted(await take(watching, 2)) == [("c1", "up"), ("c2", "up")]
    await watching.stop()


async def test_a_name_that_is_not_found_is_looked_up_again(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers: Iterator[OSError | tuple[Address, ...]] = iter(
        (OSError("not yet"), (Address(socket.AF_INET, "198.18.0.1"),))
    )

    def resolve(name: str) -> tuple[Address, ...]:
        answer = next(answers)
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr(monitor, "resolve", resolve)
    monkeypatch.setattr(monitor, "LOOK_UP_AGAIN", 0.01)
    watching = Watching(Map(c1="compute-1"), PingSettings(), SystemClock(), hosts)

    with capture_logs() as logs:
        watching.start()
        assert await take(watching, 1) == [("c1", "up")]

    assert [entry["name"] for entry in logs if entry["event"] == "ping.name_not_found"] == ["compute-1"]
    await watching.stop()


async def test_of_what_a_name_stands_for_the_usable_part_is_used(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(name: str) -> tuple[Address, ...]:
        return Address(socket.AF_INET6, "2001:db8::1"), Address(socket.AF_INET, "198.18.0.1")

    monkeypatch.setattr(monitor, "resolve", resolve)
    hosts.speaks_ipv6 = False
    watching = Watching(Map(c1="compute-1"), PingSettings(), SystemClock(), hosts)
    watching.start()

    event = await watching.next_event()

    assert event.details["addresses"] == ["198.18.0.1"]
    await watching.stop()


async def test_a_failure_of_looking_up_is_not_kept_quiet(
    hosts: Hosts, monkeypatch: pytest.MonkeyPatch
) -> None:
    def resolve(name: str) -> tuple[Address, ...]:
        raise RuntimeError("broken")

    monkeypatch.setattr(monitor, "resolve", resolve)
    watching = Watching(Map(c1="compute-1"), PingSettings(), SystemClock(), hosts)
    watching.start()

    with pytest.raises(RuntimeError, match="broken"):
        await watching.next_event()
    await watching.stop()


# --- which method ---


@pytest.fixture
def allowed(monkeypatch: pytest.MonkeyPatch) -> set[Method]:
    """Let only the methods in this set be opened; they are not opened for real."""
    methods_allowed: set[Method] = set()

    def open_method(method: Method, settings: PingSettings) -> Prober:
        if method not in methods_allowed:
            raise PermissionError(1, "Operation not permitted")
        prober = Hosts()
        prober.method = method
        return prober

    monkeypatch.setattr(methods, "open_method", open_method)
    return methods_allowed


@pytest.mark.parametrize(
    ("possible", "chosen"),
    [
        pytest.param({Method.RAW, Method.DATAGRAM, Method.TCP}, Method.RAW, id="raw-is-best"),
        pytest.param({Method.DATAGRAM, Method.TCP}, Method.DATAGRAM, id="then-datagram"),
        pytest.param({Method.TCP}, Method.TCP, id="then-tcp"),
    ],
)
def test_auto_takes_the_best_that_is_allowed(
    allowed: set[Method], possible: set[Method], chosen: Method
) -> None:
    allowed |= possible

    assert open_prober(PingSettings()).method is chosen


@pytest.mark.parametrize(
    ("method", "remedy"),
    [
        pytest.param(Method.RAW, "give the process CAP_NET_RAW", id="raw"),
        pytest.param(Method.DATAGRAM, "net.ipv4.ping_group_range", id="datagram"),
    ],
)
def test_a_method_that_is_not_allowed_is_an_error_with_a_remedy(
    allowed: set[Method], method: Method, remedy: str
) -> None:
    allowed.add(Method.TCP)

    with pytest.raises(PermanentError, match=remedy):
        open_prober(PingSettings(method=method))


def test_another_reason_than_permission_is_told_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    def open_method(method: Method, settings: PingSettings) -> Prober:
        raise OSError(24, "Too many open files")

    monkeypatch.setattr(methods, "open_method", open_method)

    with pytest.raises(PermanentError, match="Too many open files"):
        open_prober(PingSettings())


# --- canaries ---

CANARY = "192.0.2.1"


@pytest.mark.looptime
async def test_canaries_are_watched_before_there_is_a_map(hosts: Hosts) -> None:
    targets = Map()
    watching = watch(targets, hosts, PingSettings.parse({"canaries": [CANARY], "vantage": "here"}))
    watching.start()

    up = await watching.next_event()
    assert (up.type, up.resource, up.status, up.source) == ("monitor.canary", CANARY, "up", "here")
    assert up.sight == Sight(vantage="here")
    targets.change(c1=CANARY)
    assert await take(watching, 1) == [("c1", "up")]
    hosts.dead.add(CANARY)
    assert sorted(await take(watching, 2)) == [(CANARY, "down"), ("c1", "down")]
    await watching.stop()


@pytest.mark.looptime
async def test_a_canary_with_a_port_is_asked_by_tcp(hosts: Hosts, monkeypatch: pytest.MonkeyPatch) -> None:
    probers: dict[int, Hosts] = {}

    def make(port: int, refused: Refused) -> Hosts:
        assert refused is Refused.ALIVE
        return probers.setdefault(port, Hosts())

    monkeypatch.setattr(monitor, "TcpProber", make)
    canaries = [f"tcp://{CANARY}:443", "tcp://192.0.2.2:443", "tcp://192.0.2.3:22"]
    watching = watch(Map(c1="198.18.0.1"), hosts, PingSettings.parse({"canaries": canaries}))
    watching.start()

    assert {await take(watching, 1) == [("c1", "up")]} == {True}
    assert {name for name, _ in await take(watching, 3)} == set(canaries)
    assert sorted(probers) == [22, 443]
    probers[22].dead.add("192.0.2.3")
    assert await take(watching, 1) == [("tcp://192.0.2.3:22", "down")]
    await watching.stop()
    assert all(one.is_closed for one in (hosts, *probers.values()))


@pytest.mark.looptime
async def test_a_host_that_dies_alone_comes_with_the_proof(hosts: Hosts) -> None:
    settings = PingSettings.parse({"canaries": [CANARY]})
    watching = watch(Map(c1="198.18.0.1", c2="198.18.0.2"), hosts, settings)
    watching.start()
    await take(watching, 3)
    hosts.dead.add("198.18.0.1")

    down = await watching.next_event()
    assert down.sight is not None
    assert down.sight.is_clear
    assert (down.sight.hosts, down.sight.hosts_heard, down.sight.canaries_heard) == (2, 1, 1)
    await asyncio.sleep(5)
    assert not watching._events
    await watching.stop()


@pytest.mark.looptime
async def test_after_a_blink_it_says_that_it_hears_somebody(hosts: Hosts) -> None:
    """When those that are there have had the time to answer."""
    settings = PingSettings.parse({"canaries": [{"address": CANARY, "misses": 6}]})
    everybody = {"198.18.0.1", "198.18.0.2", CANARY}
    watching = watch(Map(c1="198.18.0.1", c2="198.18.0.2"), hosts, settings)
    watching.start()
    await take(watching, 3)
    hosts.dead |= everybody
    downs = [await watching.next_event(), await watching.next_event()]
    assert not any(one.sight is None or one.sight.is_clear for one in downs)
    hosts.dead = {"198.18.0.1"}

    assert await take(watching, 1) == [("c2", "up")]
    sight = await watching.next_event()
    assert (sight.type, sight.resource, sight.status) == ("monitor.sight", "ping", "up")
    assert sight.sight is not None
    assert sight.sight.is_clear
    await watching.stop()


@pytest.mark.looptime
async def test_who_is_cut_off_says_nothing_more(hosts: Hosts) -> None:
    watching = watch(Map(c1="198.18.0.1"), hosts, PingSettings.parse({"canaries": [CANARY]}))
    watching.start()
    await take(watching, 2)
    hosts.dead |= {"198.18.0.1", CANARY}
    assert sorted(await take(watching, 2)) == [(CANARY, "down"), ("c1", "down")]
    await asyncio.sleep(30)
    assert not watching._events
    await watching.stop()
