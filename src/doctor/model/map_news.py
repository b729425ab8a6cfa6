"""What a controller has to say of its part of the resource map, while it watches it."""

from collections.abc import Iterator, Mapping
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec

from doctor.model.event import RawEvent
from doctor.model.resource import PhysicalResource, Relation, Resource, VirtualResource


class MapDelta(msgspec.Struct, frozen=True, kw_only=True):
    """What is new, has changed or is gone. What is put takes the place of what had its id."""

    physical: tuple[PhysicalResource, ...] = ()
    virtual: tuple[VirtualResource, ...] = ()
    gone: tuple[str, ...] = ()
    related: tuple[Relation, ...] = ()
    unrelated: tuple[Relation, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.physical or self.virtual or self.gone or self.related or self.unrelated)

    @property
    def put(self) -> Iterator[str]:
        """Return the ids of all resources that are new or have changed."""
        yield from (one.id for one in self.physical)
        yield from (one.id for one in self.virtual)

    @property
    def ids(self) -> Iterator[str]:
        """Return the ids of all resources that it speaks of."""
        yield from self.put
        yield from self.gone


class Phase(StrEnum):
    """How far a controller knows what there is."""

    LOADING = "loading"
    CURRENT = "current"
    STALE = "stale"  # nothing was heard for too long: the map is what it was then


class MapStatus(msgspec.Struct, frozen=True, kw_only=True):
    """How true the part of one controller is.

    ``as_of`` is when it was last known to be true; ``loaded`` of ``expected`` resources tell the progress of a
    reading, None where nobody knows how many there are. ``drift`` is how many resources the last reconciliation found
    otherwise than they had been announced. ``trouble`` says what is wrong with the way to the controller.
    """

    phase: Phase
    as_of: datetime | None = None
    loaded: int = 0
    expected: int | None = None
    drift: int = 0
    drift_total: int = 0
    reconciled: datetime | None = None
    listening: bool = False
    trouble: str = ""

    @property
    def is_told_of_changes(self) -> bool:
        """Tell whether it is true now, and stays so: all was read, and what changes is announced."""
        return self.listening and self.phase is Phase.CURRENT

    def is_true_since(self, when: datetime) -> bool:
        """Tell whether it says how things were at that moment or later."""
        return self.is_told_of_changes or (self.as_of is not None and self.as_of >= when)


MapNews = MapDelta | MapStatus | RawEvent


class Entry(NamedTuple):
    """A resource with the relations that come and go with it."""

    resource: Resource
    relations: tuple[Relation, ...] = ()


def difference(before: Mapping[str, Entry], after: Mapping[str, Entry]) -> MapDelta:
    """Return what makes the entries before those after. Where an id is missing in one of them, it is not there."""
    physical: list[PhysicalResource] = []
    virtual: list[VirtualResource] = []
    related: list[Relation] = []
    unrelated: list[Relation] = []
    for name, entry in after.items():
        known = before.get(name)
        if known is None or known.resource != entry.resource:
            if isinstance(entry.resource, PhysicalResource):
                physical.append(entry.resource)
            else:
                virtual.append(entry.resource)
        old = () if known is None else known.relations
        if old != entry.relations:
            related += [one for one in entry.relations if one not in old]
            unrelated += [one for one in old if one not in entry.relations]
    gone = [name for name in before if name not in after]
    for name in gone:
        unrelated += before[name].relations
    return MapDelta(
        physical=tuple(physical),
        virtual=tuple(virtual),
        gone=tuple(gone),
        related=tuple(related),
        unrelated=tuple(unrelated),
    )
