"""Keeps what commands have changed in a map that is loaded by hand: after a restart machines are where they were moved.

Whoever loads a map anew says how everything is: then nothing of it counts any more.
"""

from collections.abc import Iterable

import msgspec
from msgspec.structs import replace

from doctor.flows.capacity import tell_capacity
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow
from doctor.flows.situation import MOVED_MEMO, Situation
from doctor.flows.step import Draft
from doctor.kit.clock import Clock
from doctor.model.map_news import MapDelta, MapNews
from doctor.model.resource import VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Controller
from doctor.ports.store import Change, Memo

GONE = b""


class HandMap:
    """The map of the embedded controller, as it changes by commands."""

    def __init__(
        self,
        situation: Situation,
        faults: FaultFlow,
        delivery: DeliveryFlow,
        controller: Controller,
        clock: Clock,
    ) -> None:
        self._situation = situation
        self._faults = faults
        self._delivery = delivery
        self.controller = controller
        self._clock = clock

    def start(self) -> None:
        """Bring the map, as it was loaded, to how it was left."""
        recall(self._situation.resources, self._situation.moved.items())

    async def run(self) -> None:
        """Take in what the embedded controller does, until cancelled."""
        await self.controller.watch(self._situation.resources, self._take)

    async def _take(self, news: MapNews) -> None:
        """Keep a change, then use it for the very next event.

        Raises:
            StoreError: it was not kept, and is not so.
        """
        if not isinstance(news, MapDelta):
            return
        situation = self._situation
        news = replace(news, virtual=tuple(_as_given(one, situation.resources) for one in news.virtual))
        records = {one.id: msgspec.msgpack.encode(one) for one in news.virtual}
        records |= dict.fromkeys(news.gone, GONE)
        async with situation.setting:
            await situation.ready()
            memos = [Memo(kind=MOVED_MEMO, key=key, record=record) for key, record in records.items()]
            await situation.keep(Change(memos=memos))
            situation.moved |= records
            hosts = {known.host for key in records if (known := situation.resources.virtual.get(key))}
            await self._faults.change_map(news)
        await self._count(hosts | {one.host for one in news.virtual})

    async def _count(self, hosts: Iterable[str | None]) -> None:
        """Tell what a change does to the capacity."""
        situation = self._situation
        concerned = [one for one in hosts if one is not None]
        zones = situation.pool.recount(concerned, situation.resources, situation.book.state_of)
        draft = Draft(self._clock.now())
        tell_capacity(situation, zones, draft)
        if draft.change.notifications:
            await situation.keep(draft.change)
            self._delivery.dispatch(draft.change.notifications)


def _as_given(after: VirtualResource, resources: ResourceMap) -> VirtualResource:
    """Return a machine without what its owner has said of it since the map was loaded: that is kept elsewhere."""
    known, given = resources.virtual.get(after.id), resources.given.get(after.id)
    if known is None or given is None:
        return after
    was = given._asdict()
    return replace(after, **{name: was[name] for name in was if getattr(after, name) == getattr(known, name)})


def recall(resources: ResourceMap, moved: Iterable[tuple[str, bytes]]) -> None:
    """Change a map that was just loaded to how commands have left it."""
    put, gone = [], []
    for resource_id, record in moved:
        if record == GONE:
            gone.append(resource_id)
        elif resource_id in resources.virtual:
            put.append(msgspec.msgpack.decode(record, type=VirtualResource))
    if put or gone:
        resources.apply(MapDelta(virtual=tuple(put), gone=tuple(gone)))
