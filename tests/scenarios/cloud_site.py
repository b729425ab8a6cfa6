"""A cloud with two hosts, and Doctors beside it, one after the other, on the same store."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.agenda import Agenda
from doctor.flows.cloud import CloudFlow
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.marking import MarkingFlow
from doctor.flows.overlay import Overlay
from doctor.flows.policy import PolicyFlow
from doctor.flows.situation import MARK_MEMO, Situation
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue
from doctor.model.errors import StoreError
from doctor.model.map_news import MapDelta
from doctor.model.marking import ForceDown, Mark, MarkState
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.store import Change
from doctor.testing.channel import FakeChannel
from doctor.testing.clock import LoopClock
from doctor.testing.cloud import FakeCloud
from doctor.testing.scenario import Report


def machine(name: str, kind: str = "virtual machine", **more: object) -> VirtualResource:
    return VirtualResource(
        id=name,
        type=kind,
        owner="red",
        cloud="cloud",
        **{"host": "compute-1", "vim_state": "active"} | more,  # type: ignore[arg-type]
    )


CONTENT = MapDelta(
    physical=(
        PhysicalResource(id="compute-1", cloud="cloud", vim_state="enabled up"),
        PhysicalResource(id="compute-2", cloud="cloud", vim_state="enabled up"),
    ),
    virtual=(
        machine("vm-1", sal=2),
        machine("vm-2", sal=1),
        machine("port-1", "virtual NIC"),
        machine("vm-9", host="compute-2"),
    ),
)


class Store(MemoryStore):
    """A store that can fail, or be slow with the next change of marks, and that is there after Doctor has died.

    What is handed in first is kept first.
    """

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False
        self.marks_take = 0.0
        self._turn = asyncio.Lock()
        self._behind: list[asyncio.Task[None]] = []

    async def commit(self, change: Change) -> None:
        if self.is_full:
            raise StoreError("no space left on device")
        async with self._turn:
            if self.marks_take and any(memo.kind == MARK_MEMO for memo in change.memos):
                seconds, self.marks_take = self.marks_take, 0.0
                await asyncio.sleep(seconds)
            await super().commit(change)

    def later(self, change: Change) -> None:
        if self._turn.locked():
            self._behind.append(asyncio.create_task(self.commit(change)))
        else:
            super().later(change)


class Doctor:
    """The flows of one process."""

    def __init__(
        self, store: Store, cloud: FakeCloud, force_down: ForceDown, fenced: frozenset[str] = frozenset()
    ) -> None:
        clock = self.clock = LoopClock()
        self.kept_down: dict[str, str] = {}
        policies = PolicyFlow(default_catalogue(), clock)
        self.situation = Situation(store, policies.default(), clouds=[cloud.name])
        self.timelines = Timelines(store)
        delivery = DeliveryFlow(store, FakeChannel(clock), clock, lambda *_: None)
        self.faults = FaultFlow(self.situation, delivery, self.timelines, Agenda(clock), clock)
        self.marks = MarkingFlow(
            self.situation,
            {cloud.name: cloud},
            self.timelines,
            clock,
            {cloud.name: force_down},
            lambda host: host.id in fenced,
            lambda host: self.kept_down.get(host, ""),
        )
        self.faults.on_settled(self.marks.settled)
        self.faults.on_isolated(self.marks.isolated)
        self.overlay = Overlay(self.situation, self.faults)
        self.cloud = CloudFlow(
            self.situation, {cloud.name: cloud}, self.faults, self.marks, delivery, clock, self.overlay
        )

    async def report(self, said: Report) -> None:
        event = said.event(self.clock.monotonic())
        await self.faults.accept([Reported([event], "test", b"{}", self.clock.now())])

    def states(self) -> dict[Mark, MarkState]:
        return {mark: record.state for mark, record in self.situation.marks.items()}


class Site:
    """A cloud, a store, and one Doctor after the other."""

    def __init__(
        self,
        content: MapDelta | None = CONTENT,
        force_down: ForceDown = ForceDown.AUTO,
        fenced: frozenset[str] = frozenset(),
    ) -> None:
        self.cloud = FakeCloud(content=content)
        self.store = Store()
        self.force_down = force_down
        self.fenced = fenced
        self.known = ResourceMap()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Doctor]:
        doctor = Doctor(self.store, self.cloud, self.force_down, self.fenced)
        doctor.situation.resources = self.known
        await doctor.situation.load()
        doctor.marks.resume()
        works = (doctor.marks.run(), doctor.cloud.run(), doctor.situation.stay_ready())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.sleep(0.001)
            yield doctor
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def said(self) -> dict[Mark, str]:
        """Return what was set in the cloud."""
        return {mark: standing.state for mark, standing in self.cloud.standings.items()}
