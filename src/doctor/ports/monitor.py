"""What reports events by itself. Those that push use the southbound API instead."""

from collections.abc import AsyncGenerator, Iterable
from typing import Protocol

from doctor.model.event import RawEvent
from doctor.model.resource import PhysicalResource


class Targets(Protocol):
    """What there is to watch, asked anew whenever it may have changed."""

    @property
    def version(self) -> int:
        """Return a number that changes whenever the hosts change."""
        ...

    def hosts(self) -> Iterable[PhysicalResource]:
        """Return the hosts of the resource map."""
        ...


class Monitor(Protocol):
    """A source of raw events.

    ``watch`` yields until it is cancelled; what it cannot do where it runs is said by raising `PermanentError` when
    it starts. It never judges: a host that answers no more is an event like any other.
    """

    name: str

    def watch(self, targets: Targets) -> AsyncGenerator[RawEvent, None]:
        """Yield events about the targets, in the order in which they were seen."""
        ...
