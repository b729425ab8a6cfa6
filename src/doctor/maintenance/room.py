"""Whether there is room for what has to leave hosts, and which host goes first so that machines move once."""

from collections.abc import Iterable, Sequence
from math import ceil
from typing import NamedTuple

from doctor.model.maintenance import Deed
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.recovery.turns import Room

STAYS_THERE = (Deed.STOP, Deed.TERMINATE)  # needs no room elsewhere


class Load(NamedTuple):
    """A host that is to be emptied, with its machines and what their owners have said; ``left`` is its own room, None if it
    is not known.
    """

    host: PhysicalResource
    machines: Sequence[tuple[VirtualResource, Deed]]
    left: Room | None = None

    def moving(self, word: str) -> int:
        """Return how much has to go elsewhere."""
        return sum(getattr(machine, word) or 0 for machine, deed in self.machines if deed not in STAYS_THERE)

    def free(self, word: str) -> float:
        """Return how much it can take now, and is asked for that of a host that waits for its turn."""
        return 0.0 if self.left is None else float(getattr(self.left, word))


class Need(NamedTuple):
    """How much of something has to go elsewhere at one time, and how much there is."""

    what: str
    needed: int
    free: float

    @property
    def missing(self) -> int:
        """Return how much is missing, 0 if there is enough."""
        return 0 if self.needed <= self.free else ceil(self.needed - self.free)


class Shortage(NamedTuple):
    """What is missing for hosts to be emptied."""

    vcpus: int
    memory_mb: int

    def __str__(self) -> str:
        words = [f"{self.vcpus} vcpus"] if self.vcpus else []
        words += [f"{self.memory_mb} MB of memory"] if self.memory_mb else []
        return " and ".join(words)


def needs(loads: Sequence[Load], rooms: Iterable[Room], at_once: int | None) -> tuple[Need, Need]:
    """Hold what has to go elsewhere against what is left there.

    Where hosts go in turns the worst turn counts, and those that wait for theirs, or have had it, take machines too.
    """
    others = list(rooms)
    vcpus, memory_mb = (_need(word, loads, others, at_once) for word in ("vcpus", "memory_mb"))
    return vcpus, memory_mb


def _need(word: str, loads: Sequence[Load], others: Sequence[Room], at_once: int | None) -> Need:
    together = len(loads) if at_once is None else min(at_once, len(loads))
    largest = sorted(loads, key=lambda one: one.moving(word) + one.free(word), reverse=True)
    free = sum(getattr(room, word) for room in others) + sum(one.free(word) for one in largest[together:])
    return Need(word, sum(one.moving(word) for one in largest[:together]), free)


def shortage(loads: Sequence[Load], rooms: Iterable[Room], at_once: int | None) -> Shortage | None:
    """Return what is missing, None if there is room."""
    vcpus, memory_mb = needs(loads, rooms, at_once)
    found = Shortage(vcpus.missing, memory_mb.missing)
    return found if any(found) else None


def prepared(loads: Sequence[Load], rooms: Iterable[Room], at_once: int | None) -> list[Load]:
    """Return the hosts that have to go first, so that the machines of the others can go to them and move only once.

    None where hosts go together, or where others have room for each turn. Else the emptiest: what leaves those has to move
    again, and on them the next find room.
    """
    if at_once is None or at_once >= len(loads):
        return []
    others = list(rooms)
    alone = [load._replace(left=None) for load in loads]
    if shortage(alone, others, at_once) is None:
        return []
    return sorted(loads, key=lambda one: (one.moving("vcpus"), one.moving("memory_mb")))[:at_once]
