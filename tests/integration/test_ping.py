"""The ping monitor against real hosts: network namespaces whose cables are cut and mended."""

import asyncio
import ctypes
import os
import subprocess
import sys
import threading
import time
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest
import uvloop

from doctor.cli.demo.netns import HostNamespace, Namespaces, ip, is_alive, remove_leftovers
from doctor.drivers.monitors.ping import PingMonitor, PingSettings
from doctor.drivers.monitors.ping.methods import open_prober
from doctor.drivers.monitors.ping.settings import Method
from doctor.model.errors import PermanentError
from doctor.model.event import RawEvent
from doctor.model.resource import PhysicalResource

SOON = 1.0
LISTEN = "import socket, time; server = socket.create_server(('', 7777)); print(flush=True); time.sleep(60)"
SPIN = "while True: pass"

pytestmark = [pytest.mark.needs("root", "netns", "raw_icmp")]


@pytest.fixture(scope="module")
def namespaces() -> Iterator[Namespaces]:
    with Namespaces() as made:
        yield made


class Map:
    """Targets that a test changes."""

    def __init__(self, **hosts: Iterable[str]) -> None:
        self.version = 0
        self.change(**hosts)

    def change(self, **hosts: Iterable[str]) -> None:
        self.version += 1
        self._hosts = [
            PhysicalResource(id=name, address=tuple(addresses)) for name, addresses in hosts.items()
        ]

    def hosts(self) -> Iterable[PhysicalResource]:
        return self._hosts


class Events:
    """What a monitor has said."""

    def __init__(self, queue: asyncio.Queue[RawEvent]) -> None:
        self._queue = queue

    async def next(self, *, within: float = SOON) -> tuple[str, str]:
        async with asyncio.timeout(within):
            event = await self._queue.get()
        return event.resource, event.status

    async def none(self, *, during: float) -> None:
        await asyncio.sleep(during)
        assert self._queue.empty(), self._queue.get_nowait()


@asynccontextmanager
async def watching(targets: Map, **settings: Any) -> AsyncIterator[Events]:
    queue: asyncio.Queue[RawEvent] = asyncio.Queue()

    async def read() -> None:
        async for event in PingMonitor(PingSettings.parse(settings)).watch(targets):
            queue.put_nowait(event)

    async with asyncio.TaskGroup() as tasks:
        reader = tasks.create_task(read())
        yield Events(queue)
        reader.cancel()


def in_thread(work: Callable[[], None], *before: Callable[[], None]) -> None:
    """Do work in a thread of its own, which alone is changed by what is done before."""
    failure: list[BaseException] = []

    def body() -> None:
        try:
            for change in before:
                change()
            work()
        except BaseException as error:
            failure.append(error)

    thread = threading.Thread(target=body)
    thread.start()
    thread.join()
    if failure:
        raise failure[0]


def move_to(host: HostNamespace) -> Callable[[], None]:
    """Return what moves a thread into a namespace."""

    def move() -> None:
        with Path(f"/run/netns/{host.namespace}").open() as namespace:
            if ctypes.CDLL(None, use_errno=True).setns(namespace.fileno(), 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")

    return move


def drop_capabilities() -> None:
    """Take all capabilities from this thread; its user id alone does not open raw sockets."""
    version_3 = (ctypes.c_uint32 * 2)(0x20080522, 0)
    none = (ctypes.c_uint32 * 6)()
    if ctypes.CDLL(None, use_errno=True).capset(version_3, none) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def run_in(host: HostNamespace, main: Coroutine[Any, Any, None]) -> None:
    """Run an event loop inside a namespace."""
    in_thread(lambda: asyncio.run(main), move_to(host))


@contextmanager
def busy_cores() -> Iterator[None]:
    """Keep every core busy."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(os.cpu_count() or 1)]
    try:
        yield
    finally:
        for process in spinning:
            process.kill()
            process.wait()


async def down_and_up(host: HostNamespace) -> None:
    async with watching(Map(c1=host.addresses)) as events:
        assert await events.next() == ("c1", "up")

        begin = time.monotonic()
        host.cut()
        assert await events.next() == ("c1", "down")
        assert time.monotonic() - begin < SOON

        host.mend()
        assert await events.next(within=3.0) == ("c1", "up")


@pytest.mark.shows("monitor ping", "real", "restart")
@pytest.mark.requirement("A2", "B6", "C16", "F27")
@pytest.mark.parametrize(
    "loop", [pytest.param(None, id="asyncio"), pytest.param(uvloop.new_event_loop, id="uvloop")]
)
def test_a_host_whose_cable_is_cut_is_down_and_up_when_it_is_mended(
    namespaces: Namespaces, loop: Callable[[], asyncio.AbstractEventLoop] | None
) -> None:
    host = namespaces.add("single" if loop is None else "single-uv")

    with asyncio.Runner(loop_factory=loop) as runner:
        runner.run(down_and_up(host))


@pytest.mark.requirement("F23")
async def test_of_several_addresses_any_is_enough(namespaces: Namespaces) -> None:
    host = namespaces.add("double", wires=2)
    first, second = host.wires

    async with watching(Map(c1=host.addresses)) as events:
        assert await events.next() == ("c1", "up")

        first.cut()
        await events.none(during=0.6)

        second.cut()
        assert await events.next() == ("c1", "down")

        first.mend()
        assert await events.next(within=3.0) == ("c1", "up")


async def test_a_busy_machine_raises_no_false_alarm_and_still_finds_a_failure(namespaces: Namespaces) -> None:
    host = namespaces.add("calm")
    others = {f"c{number}": [f"127.7.0.{number}"] for number in range(1, 101)}

    async with watching(Map(victim=host.addresses, **others)) as events:
        ups = {await events.next() for _ in range(101)}
        assert {status for _, status in ups} == {"up"}

        with busy_cores():
            await events.none(during=1.2)
            time.sleep(0.3)  # noqa: ASYNC251 - somebody blocks the loop
            await events.none(during=1.5)

            host.cut()
            assert await events.next() == ("victim", "down")
            await events.none(during=0.3)


async def test_a_host_that_was_never_there_is_down_after_the_grace() -> None:
    begin = time.monotonic()

    async with watching(Map(c1=["198.18.0.1"]), start_grace=0.5) as events:
        # No route leads there, or one that leads nowhere.
        assert await events.next(within=2.0) == ("c1", "down")

    assert time.monotonic() - begin >= 0.5


async def test_the_map_may_change_while_running(namespaces: Namespaces) -> None:
    stays, comes = namespaces.add("stays"), namespaces.add("comes")
    targets = Map(stays=stays.addresses, goes=["127.7.1.1"])

    async with watching(targets) as events:
        assert {await events.next(), await events.next()} == {("stays", "up"), ("goes", "up")}
        stays.cut()
        assert await events.next() == ("stays", "down")

        targets.change(stays=stays.addresses, comes=comes.addresses)
        assert await events.next() == ("comes", "up")
        await events.none(during=0.5)

        comes.cut()
        assert await events.next() == ("comes", "down")


async def test_ipv6_beside_ipv4() -> None:
    async with watching(Map(c1=["::1"], c2=["127.0.0.1"])) as events:
        assert {await events.next(), await events.next()} == {("c1", "up"), ("c2", "up")}


def test_unprivileged_icmp(namespaces: Namespaces) -> None:
    here = namespaces.add("unprivileged")
    here.run("sysctl", "-w", f"net.ipv4.ping_group_range={os.getegid()} {os.getegid()}")

    async def main() -> None:
        machine = here.wires[0].local
        async with watching(Map(machine=[machine], here=["::1"]), method="datagram") as events:
            assert {await events.next(), await events.next()} == {("machine", "up"), ("here", "up")}
            here.cut()
            assert await events.next() == ("machine", "down")
            await events.none(during=0.3)

    run_in(here, main())


async def test_tcp_finds_that_a_process_is_gone(namespaces: Namespaces) -> None:
    host = namespaces.add("served")
    settings = {"method": "tcp", "tcp_port": 7777, "tcp_refused": "down"}
    with host.start(sys.executable, "-c", LISTEN, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        await asyncio.to_thread(server.stdout.readline)

        try:
            async with watching(Map(c1=host.addresses), **settings) as events:
                assert await events.next() == ("c1", "up")
                server.kill()
                assert await events.next() == ("c1", "down")
        finally:
            server.kill()


async def test_tcp_finds_that_a_host_is_gone_even_if_it_refused(namespaces: Namespaces) -> None:
    host = namespaces.add("refusing")

    async with watching(Map(c1=host.addresses), method="tcp", tcp_port=7777) as events:
        assert await events.next() == ("c1", "up")
        host.cut()
        assert await events.next() == ("c1", "down")


def test_without_rights_there_is_tcp_or_a_clear_refusal(namespaces: Namespaces) -> None:
    here = namespaces.add("no-rights")  # a new namespace lets nobody use unprivileged ICMP

    def work() -> None:
        prober = open_prober(PingSettings())
        assert prober.method is Method.TCP
        prober.close()
        with pytest.raises(PermanentError, match="CAP_NET_RAW"):
            open_prober(PingSettings(method=Method.RAW))
        with pytest.raises(PermanentError, match="ping_group_range"):
            open_prober(PingSettings(method=Method.DATAGRAM))

    in_thread(work, move_to(here), drop_capabilities)


# --- the hosts themselves ---


def test_what_runs_on_a_host_ends_with_it() -> None:
    with Namespaces() as made:
        host = made.add("short-lived")
        assert "eth0" in host.run("ip", "-brief", "link")
        program = host.start("sleep", "60")
        interface = host.wires[0].interface

    assert program.wait(timeout=5) != 0
    assert host.namespace not in ip("netns", "list")
    assert interface not in ip("-brief", "link")


def test_a_command_that_fails_says_why() -> None:
    with Namespaces() as made, pytest.raises(RuntimeError, match="nonsense"):
        made.add("talkative").run("ip", "nonsense")


def test_a_host_that_cannot_be_made_leaves_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    def none_free() -> tuple[str, str]:
        raise RuntimeError("all addresses are in use")

    monkeypatch.setattr("doctor.cli.demo.netns.free_pair", none_free)

    with Namespaces() as made, pytest.raises(RuntimeError, match="in use"):
        made.add("half-made")

    assert f"doctor-{os.getpid()}-half-made" not in ip("netns", "list")


def test_what_a_killed_run_has_left_is_removed_and_nothing_else() -> None:
    dead = subprocess.Popen(["true"])
    dead.wait()
    assert not is_alive(dead.pid)
    left = f"doctor-{dead.pid}-left"
    with Namespaces() as made:
        used = made.add("in-use").namespace
        ip("netns", "add", left)

        assert left in remove_leftovers()

        names = ip("netns", "list")
        assert left not in names
        assert used in names
