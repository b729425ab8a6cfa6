"""What reports events by itself. Those that push use the southbound API instead."""

from collections.abc import AsyncGenerator, Iterable, Mapping
from datetime import timedelta
from typing import Protocol, runtime_checkable

import msgspec

from doctor.model.event import RawEvent
from doctor.model.resource import PhysicalResource
from doctor.ports.payload import Listing, Saying


class Targets(Protocol):
    """What there is to watch, asked anew whenever it may have changed."""

    @property
    def version(self) -> int:
        """Return a number that changes whenever the hosts change."""
        ...

    def hosts(self) -> Iterable[PhysicalResource]:
        """Return the hosts of the resource map."""
        ...


class Stake(msgspec.Struct, frozen=True, kw_only=True):
    """What depends on a host, and how it is: how closely it should be watched.

    ``levels`` are the service availability levels of the machines on it, ``is_troubled`` that a fault or warning is open on it,
    ``wish`` the shortest time within which an owner wants to have his machines looked at.
    """

    levels: frozenset[str] = frozenset()
    is_troubled: bool = False
    wish: timedelta | None = None


@runtime_checkable
class Informed(Protocol):
    """Targets of which more is known than that they are there."""

    def stake(self, host_id: str) -> Stake:
        """Return what is at stake on a host."""
        ...


Said = RawEvent | Listing | Saying


@runtime_checkable
class Inventory(Protocol):
    """Targets that are more than hosts: switches, power, storage."""

    def resources(self) -> Iterable[PhysicalResource]:
        """Return all physical resources of the map."""
        ...


@runtime_checkable
class Counts(Protocol):
    """What a monitor may have beside: figures that only it knows, such as ``lost`` and ``rejected``."""

    def counts(self) -> Mapping[str, int]:
        """Return them as they are now."""
        ...


@runtime_checkable
class Speaks(Protocol):
    """What a monitor may have beside: when it has yielded nothing for so long something is wrong with its source."""

    silent_after: timedelta


@runtime_checkable
class Doubtful(Protocol):
    """What a monitor may have beside: the name by which it says what it cannot vouch for, and which is never evidence."""

    hints: str


class Monitor(Protocol):
    """A source of raw events, of lists of all that stands somewhere, or of what others say by themselves.

    ``watch`` yields until it is cancelled; what it cannot do where it runs is said by raising `PermanentError` when
    it starts. It never judges: a host that answers no more is an event like any other.
    """

    name: str

    def watch(self, targets: Targets) -> AsyncGenerator[Said, None]:
        """Yield events about the targets, in the order in which they were seen."""
        ...
