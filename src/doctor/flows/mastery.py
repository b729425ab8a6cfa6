"""One master for each resource, where several controllers keep the map.

Two regions may have hosts of the same name, or the same region may stand in the settings twice. Who has brought a
resource first keeps it: another one's word of it is set aside, and counts from when the master has it no more.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable

import structlog
from msgspec.structs import replace

from doctor.model.map_news import Entry, MapDelta
from doctor.model.resource import PhysicalResource, Relation, Resource, VirtualResource
from doctor.model.resource_map import ResourceMap

log = structlog.get_logger(__name__)


class Mastery:
    """Who keeps what, of these controllers."""

    def __init__(self, controllers: Collection[str]) -> None:
        self._controllers = controllers
        self._set_aside: dict[str, dict[str, Entry]] = {name: {} for name in controllers}

    def trouble(self, controller: str) -> str:
        """Return a sentence on what this controller would keep as well, or nothing."""
        aside = self._set_aside[controller]
        if not aside:
            return ""
        return f"{len(aside)} resources are another controller's already, {min(aside)!r} among them: set host_prefix?"

    def settled(self, controller: str, delta: MapDelta, resources: ResourceMap) -> MapDelta:
        """Return what of a controller's news is its own to say, with what others may say from now on."""
        aside = self._set_aside[controller]
        theirs = {name for name in delta.ids if self._is_anothers(name, controller, resources)}
        if len(self._controllers) == 1 or not (theirs or aside or self._waiting(delta.gone)):
            return delta
        self._put_aside(controller, delta, theirs)
        barred = theirs | aside.keys()
        mine = MapDelta(
            physical=tuple(one for one in delta.physical if one.id not in theirs),
            virtual=tuple(one for one in delta.virtual if one.id not in theirs),
            gone=tuple(name for name in delta.gone if name not in theirs),
            related=_without(delta.related, barred),
            unrelated=_without(delta.unrelated, barred),
        )
        return self._handed_over(mine)

    def _is_anothers(self, name: str, controller: str, resources: ResourceMap) -> bool:
        known = resources.get(name)
        return known is not None and known.cloud != controller and known.cloud in self._controllers

    def _put_aside(self, controller: str, delta: MapDelta, theirs: Collection[str]) -> None:
        """Keep what another one is the master of, as it would be."""
        aside = self._set_aside[controller]
        if theirs and not aside:
            log.warning("map.two_masters", controller=controller, resources=sorted(theirs)[:10])
        ties: defaultdict[str, list[Relation]] = defaultdict(list)
        for tie in delta.related:
            for end in (tie.supplier, tie.dependent):
                ties[end].append(tie)
        things: tuple[Resource, ...] = (*delta.physical, *delta.virtual)
        for one in things:
            if one.id in theirs:
                known = aside.get(one.id, Entry(one)).relations
                aside[one.id] = Entry(one, tuple(dict.fromkeys((*known, *ties[one.id]))))
            else:
                aside.pop(one.id, None)
        for name in delta.gone:
            aside.pop(name, None)

    def _waiting(self, names: Iterable[str]) -> bool:
        return any(name in aside for name in names for aside in self._set_aside.values())

    def _handed_over(self, delta: MapDelta) -> MapDelta:
        """Return news with what others have waited to say of the resources that are gone by it."""
        freed: list[Entry] = []
        for name in delta.gone:
            for aside in self._set_aside.values():
                if name in aside:
                    freed.append(aside.pop(name))
                    break
        if not freed:
            return delta
        return replace(
            delta,
            physical=(
                *delta.physical,
                *(one.resource for one in freed if isinstance(one.resource, PhysicalResource)),
            ),
            virtual=(
                *delta.virtual,
                *(one.resource for one in freed if isinstance(one.resource, VirtualResource)),
            ),
            related=(*delta.related, *(tie for one in freed for tie in one.relations)),
        )


def _without(ties: Iterable[Relation], names: Collection[str]) -> tuple[Relation, ...]:
    return tuple(tie for tie in ties if tie.supplier not in names and tie.dependent not in names)
