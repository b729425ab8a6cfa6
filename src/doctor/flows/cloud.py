"""Keeps the resource map as the controllers tell it: piece by piece, for the very next event.

A map that a cloud keeps is changed where it stands, between two steps of the fault flow. It is written down now and
then, so that a Doctor that starts while the cloud is away knows who owned what.
"""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from typing import TypeVar

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.capacity import tell_capacity
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.marking import MarkingFlow
from doctor.flows.mastery import Mastery
from doctor.flows.overlay import Overlay
from doctor.flows.situation import Situation
from doctor.flows.step import Draft
from doctor.flows.vim_watch import VimWatch
from doctor.kit.clock import Clock
from doctor.model.errors import StoreError
from doctor.model.event import RawEvent
from doctor.model.map_news import MapDelta, MapNews, MapStatus, Phase
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Controller
from doctor.ports.store import Change

log = structlog.get_logger(__name__)

Item = TypeVar("Item")

SETTLE = 0.5  # seconds that changes of the capacity gather before they are told
CHUNK = 500  # resources that are written down at a time, a millisecond or so


class KeptMap(msgspec.Struct, kw_only=True, tag="kept by controllers"):
    """A map as it is written down."""

    physical_resources: list[PhysicalResource]
    virtual_resources: list[VirtualResource]
    relations: list[Relation]

    @property
    def resource_map(self) -> ResourceMap:
        """Return the map. What does not fit together, because it changed while it was written, is left out."""
        resources = ResourceMap()
        resources.apply(
            MapDelta(
                physical=tuple(self.physical_resources),
                virtual=tuple(self.virtual_resources),
                related=tuple(self.relations),
            )
        )
        return resources


class CloudFlow:
    """What all controllers say."""

    def __init__(
        self,
        situation: Situation,
        controllers: Mapping[str, Controller],
        faults: FaultFlow,
        marks: MarkingFlow,
        delivery: DeliveryFlow,
        clock: Clock,
        overlay: Overlay,
    ) -> None:
        self._situation = situation
        self._overlay = overlay
        self._controllers = controllers
        self._faults = faults
        self._marks = marks
        self._delivery = delivery
        self._clock = clock
        self._mastery = Mastery(list(controllers))
        self._watch = VimWatch(situation, controllers, faults, marks, clock)
        self._hosts: dict[str, None] = {}
        self._changed = asyncio.Event()
        self._written_version: int | None = None

    async def run(self) -> None:
        """Take in what controllers say, until cancelled."""
        if self._controllers:
            await self._overlay.start()
        async with asyncio.TaskGroup() as tasks:
            for name, controller in self._controllers.items():
                tasks.create_task(self._follow(name, controller))
            tasks.create_task(self._keep_counting())
            tasks.create_task(self._watch.run())

    async def _follow(self, name: str, controller: Controller) -> None:
        async def tell(news: MapNews) -> None:
            match news:
                case MapDelta():
                    await self._take(self._mastery.settled(name, news, self._situation.resources))
                case MapStatus():
                    await self._note(name, news)
                case RawEvent():
                    body = msgspec.json.encode(news)
                    report = Reported([news], name, body, self._clock.now())
                    await self._faults.accept([report])

        await controller.watch(self._situation.resources, tell)

    async def _take(self, delta: MapDelta) -> None:
        """Change the map for the very next event."""
        delta = self._overlay.completed(delta)
        resources = self._situation.resources
        hosts = dict.fromkeys(one.id for one in delta.physical)
        for resource_id in (*(one.id for one in delta.virtual), *delta.gone):
            known = resources.virtual.get(resource_id)
            if known is not None and known.host is not None:
                hosts[known.host] = None
        hosts.update((one.host, None) for one in delta.virtual if one.host is not None)
        await self._faults.change_map(delta)
        self._hosts.update(hosts)
        self._changed.set()
        self._marks.map_changed(delta.ids)
        self._watch.look_at(delta.ids)

    async def _note(self, name: str, status: MapStatus) -> None:
        before = self._situation.clouds[name]
        status = replace(status, trouble=status.trouble or self._mastery.trouble(name))
        self._situation.clouds[name] = status
        if status.phase is Phase.CURRENT and before.reconciled != status.reconciled:
            if before.phase is not Phase.CURRENT:
                self._marks.map_is_complete()
                self._watch.look_at_all()
            await self._write_down()

    async def _keep_counting(self) -> None:
        """Tell what changes of the map do to the capacity, some at a time."""
        situation = self._situation
        while True:
            await self._changed.wait()
            await asyncio.sleep(SETTLE)
            self._changed.clear()
            hosts, self._hosts = self._hosts, {}
            zones = situation.pool.recount(hosts, situation.resources, situation.book.state_of)
            try:
                await situation.ready()
                draft = Draft(self._clock.now())
                tell_capacity(situation, zones, draft)
                if draft.change.notifications:
                    await situation.keep(draft.change)
                    self._delivery.dispatch(draft.change.notifications)
            except StoreError as error:
                log.warning("capacity.not_kept", error=str(error))

    async def _write_down(self) -> None:
        """Keep the map for the next start, unless nothing has changed."""
        resources = self._situation.resources
        version = resources.version
        if version == self._written_version:
            return
        parts = [
            b'{"type":"kept by controllers","physical_resources":[',
            await _listed(list(resources.physical), resources.physical.get),
            b'],"virtual_resources":[',
            await _listed(resources.virtual_ids, resources.as_given),
            b'],"relations":[',
            await _listed(list(resources.relations), lambda one: one),
            b"]}",
        ]
        try:
            await self._situation.keep(Change(resource_map=b"".join(parts)))
            self._written_version = version
        except StoreError as error:
            log.warning("resource_map.not_kept", error=str(error))


async def _listed(items: Sequence[Item], look_up: Callable[[Item], object | None]) -> bytes:
    """Write many things, some at a time: a fault that comes meanwhile does not wait for all of them."""
    chunks = []
    for start in range(0, len(items), CHUNK):
        await asyncio.sleep(0)
        found = [one for one in map(look_up, items[start : start + CHUNK]) if one is not None]
        if found:
            chunks.append(msgspec.json.encode(found)[1:-1])
    return b",".join(chunks)
