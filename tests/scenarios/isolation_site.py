"""A site whose hosts can be cut off by fake devices, with the flows of a running Doctor and a story's virtual time."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from datetime import timedelta
from typing import Any, TypeVar

import msgspec
from msgspec.structs import replace

from doctor.drivers.stores.memory import MemoryStore
from doctor.fencing.evidence import Witness
from doctor.fencing.limits import Limits
from doctor.flows.agenda import Agenda
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.fences import Fences
from doctor.flows.fencing_desk import FencingDesk
from doctor.flows.isolation import IsolationFlow
from doctor.flows.policy import PolicyFlow
from doctor.flows.scene import FencingRules
from doctor.flows.situation import Situation
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.model.fence_job import FenceDecision, FenceState, ZoneMode
from doctor.model.fence_plan import FencePlan, Level, Rule, Step
from doctor.model.fencing import Supply, Vantage
from doctor.model.resource import Isolation, PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Endpoint, Subscription
from doctor.model.vantage import Sight
from doctor.ports.store import Change, Store
from doctor.testing.channel import FakeChannel
from doctor.testing.clock import LoopClock
from doctor.testing.fence import FakeFence
from doctor.testing.scenario import Report, host_down, host_up

HOSTS = tuple(f"compute-{n}" for n in range(1, 11))
WITNESSES = {
    "ping": Witness(Vantage.IN_BAND, fresh_for=None),
    "peers": Witness(Vantage.PEER, fresh_for=None),
    "storage": Witness(Vantage.STORAGE, fresh_for=None),
}
PATIENCE = 100.0  # seconds that a test waits, of its own time

S = TypeVar("S", bound="Site")


class Devices:
    """What outlives Doctor: a BMC for each host, and the PDU of all."""

    def __init__(self, clock: LoopClock) -> None:
        self.bmc = {host: FakeFence(clock=clock) for host in HOSTS}
        self.pdu = FakeFence(clock=clock)
        self.racks = FakeFence(clock=clock)
        for host, bmc in self.bmc.items():
            bmc.host("").names = (host,)
            self.pdu.host(host).names = (host,)
        for n in range(5):
            self.racks.host(f"rack-{n}").names = (f"rack-{n}",)

    @property
    def commands(self) -> list[tuple[str, Supply]]:
        """Return all commands, by the host that they were meant for."""
        found = [(host, supply) for host, bmc in self.bmc.items() for _, supply in bmc.commands]
        return found + list(self.pdu.commands) + list(self.racks.commands)


class Site:
    """One process of Doctor on what outlives it."""

    def __init__(
        self,
        store: Store,
        devices: Devices,
        clock: LoopClock,
        limits: Limits | None = None,
        excluded: dict[str, str] | None = None,
        name: str = "{host}",
        policy: str | None = None,
        zones_too: bool = False,
    ) -> None:
        """``name`` is how the plans call the hosts; ``zones_too``: racks have devices of their own. ``policy`` is YAML."""
        self.clock = clock
        self.devices = devices
        machines = [
            VirtualResource(id=f"vm-{n}", host=host, owner="red", vcpus=1, memory_mb=1)
            for n, host in enumerate(HOSTS, 1)
        ]
        physical = [
            PhysicalResource(
                id=host, aliases=(f"node-of-{host}",), zone_id="az-1", metadata={"vcpus": 8, "memory_mb": 8}
            )
            for host in HOSTS
        ]
        racks = [PhysicalResource(id=f"rack-{n}", type="rack") for n in range(5)]
        resources = ResourceMap(
            [*physical, *racks],
            machines,
            relations=[Relation(f"rack-{n // 2}", "contains", host) for n, host in enumerate(HOSTS)],
        )
        policies = PolicyFlow(default_catalogue(), clock)
        selector = policies.default()
        if policy is not None:
            selector = Selector(parse_policy(policy, default_catalogue()).policy)
        self.situation = Situation(store, selector, resources=resources)
        self.timelines = Timelines(store)
        self.channel = FakeChannel(clock)
        self.delivery = DeliveryFlow(store, self.channel, clock, lambda *_: None)
        self.agenda = Agenda(clock)
        self.faults = FaultFlow(self.situation, self.delivery, self.timelines, self.agenda, clock)
        plans = {
            name.format(host=host): FencePlan(
                name.format(host=host),
                (
                    Level(Rule.ALL_OF, (Step(f"bmc {host}", "", host),)),
                    Level(Rule.ALL_OF, (Step("pdu", host, host),)),
                ),
            )
            for host in HOSTS
        }
        for n in range(5) if zones_too else ():
            rack = f"rack-{n}"
            plans[rack] = FencePlan(rack, (Level(Rule.ALL_OF, (Step("racks", rack, rack),)),))
        names = {**{f"bmc {host}": bmc for host, bmc in devices.bmc.items()}, "pdu": devices.pdu}
        names["racks"] = devices.racks
        self.fences = Fences(names, plans, clock)
        rules = FencingRules(limits or Limits(start_up=timedelta(0)), WITNESSES, excluded or {})
        self.isolation = IsolationFlow(self.situation, self.faults, self.fences, self.timelines, clock, rules)
        self.faults.on_settled(self.isolation.settled)
        self.faults.on_heard(self.isolation.heard)
        self.desk = FencingDesk(self.situation, self.isolation, clock)
        self.settled: list[tuple[str, Isolation]] = []

    async def start(self) -> None:
        """Take over what the store has, and begin."""
        await self.situation.load()
        self.faults.start()
        self._tasks = [asyncio.create_task(one) for one in (self.isolation.run(), self.agenda.run())]
        await asyncio.sleep(0.01)

    async def die(self) -> None:
        """Stop in the middle of whatever is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def arm(self) -> None:
        """Let Doctor act."""
        await self.desk.set_zone("az-1", ZoneMode.ARMED, user="alice", reason="tested")

    async def say(self, report: Report, *reporters: str) -> None:
        """Let monitors report."""
        for reporter in reporters:
            event = report.event(self.clock.monotonic())
            await self.faults.accept([Reported([event], reporter, b"{}", self.clock.now())])

    async def watch(self, report: Report, sight: Sight) -> None:
        """Let Doctor's own monitor say something, and what it saw meanwhile."""
        event = replace(report.event(self.clock.monotonic()), sight=sight)
        await self.faults.accept([Reported([event], sight.vantage, b"{}", self.clock.now())])

    async def lose(self, host: str = "compute-1", *reporters: str) -> None:
        """Let two monitors of different vantage miss a host, or those that are named."""
        for reporter in reporters or ("ping", "peers"):
            await self.say(host_down(host, source=reporter), reporter)

    async def find(self, host: str = "compute-1", *reporters: str) -> None:
        """Let a host be seen again."""
        for reporter in reporters or ("ping", "peers"):
            await self.say(host_up(host, source=reporter), reporter)

    def state(self, host: str = "compute-1") -> FenceState | None:
        """Return how far the isolation of a host got."""
        job = self.situation.fence_book.jobs.get(host)
        return None if job is None else job.state

    def told(self, host: str = "compute-1") -> Isolation:
        """Return what is told of it."""
        return self.situation.describer(None).isolation_of(host)

    async def until(self, host: str, *states: FenceState) -> None:
        """Wait until a host is in one of these states.

        Raises:
            AssertionError: it is not, after long enough.
        """
        await self.until_so(lambda: self.state(host) in states, f"{host} is {self.state(host)}")

    async def until_so(self, is_so: Callable[[], Any], what: str = "it is not so") -> None:
        """Wait until something is so."""
        end = self.clock.monotonic() + PATIENCE
        while not is_so():
            assert self.clock.monotonic() < end, what
            await asyncio.sleep(0.05)

    async def decisions(self) -> Sequence[FenceDecision]:
        """Return all decisions, the oldest first."""
        found = await self.situation.store.fence_decisions(limit=10_000)
        return [one for _, one in reversed(found)]

    @property
    def calls(self) -> set[str]:
        """Return the hosts for which a person is called."""
        return {
            str(record.fault.details["host"])
            for record in self.situation.book
            if record.fault.fault_type == "isolation needs a person"
        }


class ToldSite(Site):
    """The same, and its owner has subscribed and is told."""

    async def start(self) -> None:
        await super().start()
        endpoint = Endpoint(endpoint_id="red-0", url="http://red/")
        red = Subscription(
            subscription_id="red", project="red", endpoints=(endpoint,), created=self.clock.now()
        )
        await self.situation.keep(Change(subscriptions=[red]))
        self.situation.subscriptions.put(red)
        self.delivery.follow(red)
        self._tasks += [asyncio.create_task(one) for one in self.works()]
        await asyncio.sleep(0.01)

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs beside it all."""
        return [self.delivery.run(), self.situation.stay_ready()]

    async def heard(self, kind: str = "instruction_result") -> list[dict[str, Any]]:
        """Return what the owner was told of this kind."""
        await asyncio.sleep(0.05)
        bodies = [msgspec.json.decode(one.notification.body) for one in self.channel.attempts]
        return [one for one in bodies if one.get("notification_type") == kind]


def site(**more: Any) -> AbstractAsyncContextManager[Site]:
    """Run a site whose zone is armed."""
    clock = LoopClock()
    return armed(Site(more.pop("store", None) or MemoryStore(), Devices(clock), clock, **more))


@asynccontextmanager
async def armed(running: S) -> AsyncIterator[S]:
    """Run a site with its zone armed."""
    await running.start()
    await running.arm()
    try:
        yield running
    finally:
        await running.die()
