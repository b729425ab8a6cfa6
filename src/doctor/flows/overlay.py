"""What the operator adds by hand to a map that clouds keep: racks, switches, power feeds, storage, and their relations.

A cloud knows nothing of these. They are kept as a setting, come into the map at once, and a relation to something that
a cloud has not told yet comes in with it.
"""

from collections.abc import Iterable

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.fault import FaultFlow
from doctor.flows.situation import SETTING_MEMO, Situation
from doctor.model.map_news import Entry, MapDelta, difference
from doctor.model.resource import PhysicalResource, Relation
from doctor.model.resource_map import ResourceMap
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

OVERLAY = "overlay"


class Content(msgspec.Struct, frozen=True, kw_only=True):
    """All that was added. Each relation has one of these resources at one end."""

    physical: tuple[PhysicalResource, ...] = ()
    relations: tuple[Relation, ...] = ()

    @property
    def entries(self) -> dict[str, Entry]:
        """Return the resources, each with the relations that come and go with it."""
        ties: dict[str, list[Relation]] = {one.id: [] for one in self.physical}
        for tie in self.relations:
            ties[tie.supplier if tie.supplier in ties else tie.dependent].append(tie)
        return {one.id: Entry(one, tuple(ties[one.id])) for one in self.physical}


class Overlay:
    """The additions to the map. Where no cloud keeps it there are none."""

    def __init__(self, situation: Situation, faults: FaultFlow) -> None:
        self._situation = situation
        self._faults = faults
        self._content = Content()
        self._by_end: dict[str, list[Relation]] = {}

    async def start(self) -> None:
        """Bring the map from before in line with what was added, in case Doctor ended in between."""
        kept = self._situation.settings.get(OVERLAY)
        self._use(msgspec.msgpack.decode(kept, type=Content) if kept else Content())
        delta = difference(_by_hand(self._situation.resources), self._content.entries)
        if delta:
            await self._faults.change_map(delta)

    async def put(self, content: Content, *, user: str) -> None:
        """Let this be all that is added, for the very next event; what open faults reach is put right.

        Raises:
            StoreError: it was not kept; what was before stays.
        """
        situation = self._situation
        async with situation.setting:
            await situation.ready()
            record = msgspec.msgpack.encode(content) if content.physical else None
            await situation.keep(Change(memos=[Memo(kind=SETTING_MEMO, key=OVERLAY, record=record)]))
            if record is None:
                situation.settings.pop(OVERLAY, None)
            else:
                situation.settings[OVERLAY] = record
            before = self._content.entries
            self._use(content)
            delta = difference(before, content.entries)
            if delta:
                await self._faults.change_map(delta)
        log.info("overlay.put", user=user, resources=len(content.physical), relations=len(content.relations))

    def completed(self, delta: MapDelta) -> MapDelta:
        """Return news of a cloud with the relations that waited for what is new in them."""
        if not self._by_end:
            return delta
        known = self._situation.resources.get
        waited = [tie for name in delta.put if known(name) is None for tie in self._by_end.get(name, ())]
        return replace(delta, related=(*delta.related, *waited)) if waited else delta

    def _use(self, content: Content) -> None:
        self._content = content
        own = {one.id for one in content.physical}
        self._by_end = {}
        for tie in content.relations:
            for end in (tie.supplier, tie.dependent):
                if end not in own:
                    self._by_end.setdefault(end, []).append(tie)


def _by_hand(resources: ResourceMap) -> dict[str, Entry]:
    """Return what is in a map and comes from no cloud."""
    return Content(
        physical=tuple(one for one in resources.physical.values() if one.cloud is None),
        relations=tuple(
            _ties(resources, (one.id for one in resources.physical.values() if one.cloud is None))
        ),
    ).entries


def _ties(resources: ResourceMap, names: Iterable[str]) -> Iterable[Relation]:
    return dict.fromkeys(
        tie for name in names for tie in (*resources.suppliers(name), *resources.dependents(name))
    )
