"""Which events come that no rule of the policy in force names: what its author may have forgotten.

They change nothing, so their types are all that is remembered of them, and how many there were.
"""

from collections.abc import Iterator
from typing import NamedTuple

MOST_TYPES = 10_000  # to be counted one by one: a Monitor that makes up names must not fill the memory


class UnnamedType(NamedTuple):
    """A type of event and how many came; the type is None for all further types together."""

    type: str | None
    events: int


class UnnamedTypes:
    """Counts by type."""

    def __init__(self, most: int = MOST_TYPES) -> None:
        self._most = most
        self._counts: dict[str, int] = {}
        self._others = 0

    def __iter__(self) -> Iterator[UnnamedType]:
        yield from (UnnamedType(event_type, events) for event_type, events in self._counts.items())
        if self._others:
            yield UnnamedType(None, self._others)

    def count(self, event_type: str) -> None:
        """Count an event."""
        known = self._counts.get(event_type)
        if known is not None:
            self._counts[event_type] = known + 1
        elif len(self._counts) < self._most:
            self._counts[event_type] = 1
        else:
            self._others += 1
