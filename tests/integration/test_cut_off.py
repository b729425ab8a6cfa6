"""Doctor's own cable is pulled: real network namespaces on a real bridge, the ping monitor, and the flows behind it [I-13]."""

import asyncio
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import msgspec
import pytest

from doctor.cli.demo.netns import HostNamespace, Namespaces, ip
from doctor.drivers.monitors.ping import PingMonitor, PingSettings
from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.fault import Reported
from doctor.inspector.catalogue import default_catalogue, default_policy_text
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.inspector.vantage import MONITOR_ISOLATED
from doctor.model.identity import Identity, Role
from doctor.model.resource import PhysicalResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import EventKind, SubscribeFilter
from doctor.testing.channel import FakeChannel
from doctor.testing.clock import LoopClock
from doctor.testing.scenario import RunningFlows
from tests.integration.test_ping import run_in

pytestmark = [pytest.mark.needs("root", "netns", "raw_icmp")]

POLICY = Selector(parse_policy(default_policy_text(), default_catalogue()).policy)
ADMIN = Identity(name="root", role=Role.ADMIN)
FAULTS = SubscribeFilter(event=frozenset({EventKind.FAULT}))
SERVE = "import socket, time; server = socket.create_server(('', 7777)); print(flush=True); time.sleep(600)"
SOON = 10.0  # a machine that is busy may take its time


class Plug:
    """A cable from a host to the switch, which can be pulled."""

    def __init__(self, switch: HostNamespace, host: HostNamespace, number: int) -> None:
        self._switch = switch
        self._port = f"port{number}"
        self.address = f"198.19.255.{number}"
        ip(
            "-n",
            switch.namespace,
            "link",
            "add",
            self._port,
            "type",
            "veth",
            "peer",
            "name",
            "lan0",
            "netns",
            host.namespace,
        )
        ip("-n", switch.namespace, "link", "set", self._port, "master", "br0")
        ip("-n", switch.namespace, "link", "set", self._port, "up")
        ip("-n", host.namespace, "address", "add", f"{self.address}/24", "dev", "lan0")
        ip("-n", host.namespace, "link", "set", "lan0", "up")

    def pull(self) -> None:
        ip("-n", self._switch.namespace, "link", "set", self._port, "down")

    def plug_in(self) -> None:
        ip("-n", self._switch.namespace, "link", "set", self._port, "up")


class Lan:
    """A switch, with Doctor, three hosts and a canary on it."""

    def __init__(self, made: Namespaces) -> None:
        self.switch = made.add("switch")
        ip("-n", self.switch.namespace, "link", "add", "br0", "type", "bridge")
        ip("-n", self.switch.namespace, "link", "set", "br0", "up")
        self.namespaces = {
            name: made.add(name) for name in ("doctor", "compute-1", "compute-2", "compute-3", "canary")
        }
        self.plugs = {
            name: Plug(self.switch, host, number)
            for number, (name, host) in enumerate(self.namespaces.items(), 1)
        }

    @property
    def resources(self) -> ResourceMap:
        return ResourceMap(
            [
                PhysicalResource(id=name, address=(plug.address,))
                for name, plug in self.plugs.items()
                if name.startswith("compute")
            ],
            version=1,
        )


@pytest.fixture(scope="module")
def lan() -> Iterator[Lan]:
    with Namespaces() as made:
        yield Lan(made)


class Targets:
    """The hosts of the map."""

    def __init__(self, resources: ResourceMap) -> None:
        self.version = resources.version
        self._resources = resources

    def hosts(self) -> list[PhysicalResource]:
        return list(self._resources.hosts())


class Observed:
    """A Doctor in its namespace, with what its Administrator was told."""

    def __init__(self, lan: Lan, **settings: Any) -> None:
        self._targets = Targets(lan.resources)
        self._settings = PingSettings.parse(settings)
        clock = LoopClock()
        self.store = MemoryStore()
        self.doctor = RunningFlows(self.store, FakeChannel(clock), clock, lan.resources, POLICY)
        self._clock = clock
        self._subscription_id = ""

    async def live(self, story: Callable[["Observed"], Any]) -> None:
        async with asyncio.TaskGroup() as tasks:
            await self.doctor.start(tasks)
            made, _ = await self.doctor.subscriptions.create(ADMIN, FAULTS, [], resource_ids=[])
            self._subscription_id = made.subscription_id
            self.doctor.do(tasks, self._watch())
            await story(self)
            await self.doctor.die()

    async def _watch(self) -> None:
        async for event in PingMonitor(self._settings, self._clock).watch(self._targets):
            report = Reported([event], "ping", msgspec.json.encode(event), self._clock.now())
            await self.doctor.faults.accept([report])

    async def told(self) -> list[tuple[str, str]]:
        rows = await self.store.notifications(self._subscription_id, after=0, limit=1000)
        messages = [msgspec.json.decode(row.body) for row in rows]
        return [
            (
                message["notification_type"],
                info["faults"][0]["fault_type"] + " on " + info["physical_resource_id"],
            )
            for message in messages
            for info in message["physical_resource_info"]
        ]

    async def until(self, *wanted: tuple[str, str]) -> None:
        """Wait until exactly this was told, in whatever order."""
        async with asyncio.timeout(SOON):
            while True:
                if sorted(await self.told()) == sorted(wanted):
                    return
                await asyncio.sleep(0.05)

    async def sees(self, hosts: int) -> None:
        """Wait until it sees so many hosts and a canary."""
        async with asyncio.timeout(SOON):
            while True:
                for one in self.doctor.faults.lookout.vantages:
                    if len(one.seen) == hosts and None in one.canaries.values():
                        return
                await asyncio.sleep(0.05)


CUT_OFF = f"{MONITOR_ISOLATED} on ping"


async def cable_pulled(lan: Lan, seen: Observed) -> None:
    await seen.sees(3)
    lan.plugs["doctor"].pull()
    await seen.until(("fault", CUT_OFF))
    await asyncio.sleep(1.0)
    await seen.until(("fault", CUT_OFF))

    lan.plugs["compute-2"].pull()
    lan.plugs["doctor"].plug_in()
    await seen.until(("fault", CUT_OFF), ("fault_cleared", CUT_OFF), ("fault", "host down on compute-2"))
    lan.plugs["compute-2"].plug_in()
    await seen.until(
        ("fault", CUT_OFF),
        ("fault_cleared", CUT_OFF),
        ("fault", "host down on compute-2"),
        ("fault_cleared", "host down on compute-2"),
    )


async def hosts_die(lan: Lan, seen: Observed) -> None:
    """All of them, and the canary goes on answering."""
    await seen.sees(3)
    for number in (1, 2, 3):
        lan.plugs[f"compute-{number}"].pull()
    dead = [("fault", f"host down on compute-{number}") for number in (1, 2, 3)]
    await seen.until(*dead)
    for number in (1, 2, 3):
        lan.plugs[f"compute-{number}"].plug_in()
    await seen.until(*dead, *(("fault_cleared", what) for _, what in dead))


@pytest.mark.parametrize("port", [pytest.param(None, id="icmp"), pytest.param(7777, id="tcp")])
@pytest.mark.parametrize("story", [cable_pulled, hosts_die])
def test_doctor_knows_its_own_cable_from_those_of_the_hosts(
    lan: Lan, story: Callable[[Lan, Observed], Any], port: int | None
) -> None:
    namespace = lan.namespaces["canary"]
    with namespace.start(sys.executable, "-c", SERVE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None
        server.stdout.readline()
        canary = {"address": lan.plugs["canary"].address, "interval": 0.1, "port": port}
        try:
            seen = Observed(lan, canaries=[canary])
            run_in(lan.namespaces["doctor"], seen.live(lambda one: story(lan, one)))
        finally:
            server.kill()
