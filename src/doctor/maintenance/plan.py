"""What emptying hosts would come to: in which order, who is asked, where machines would go, how long it takes at least.

A dry run: nothing here is kept, and what comes true depends on what owners answer. Machines go to the host with the most
room, to one that is not to be emptied itself as long as there is one, so that they move once.
"""

import heapq
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from datetime import timedelta
from typing import NamedTuple

from doctor.maintenance.guests import MOVES
from doctor.model.maintenance import Deed, MaintenanceLimits
from doctor.model.resource import VirtualResource
from doctor.recovery.turns import Room

USUAL = {Deed.MIGRATE: 60, Deed.LIVE_MIGRATE: 30, Deed.STOP: 30, Deed.TERMINATE: 10}  # seconds
TRIED = 20  # hosts that are looked at for a machine that has to keep apart from others

Group = tuple[str, str]


class Guess(NamedTuple):
    """A machine of a plan, what would be done to it, and where it would go; ``risk`` is what may come in between."""

    machine: VirtualResource
    deed: Deed
    target: str | None = None
    risk: str = ""


class HostPlan(NamedTuple):
    """A host of a plan: in which turn it would go, and for how long its machines leave at least."""

    host: str
    turn: int
    takes: timedelta
    machines: tuple[Guess, ...]

    @property
    def staying(self) -> list[VirtualResource]:
        """Return the machines that are on it afterwards, too."""
        gone = (Deed.TERMINATE, Deed.OWN_ACTION)
        return [one.machine for one in self.machines if one.target is None and one.deed not in gone]


class Plan(NamedTuple):
    """All hosts in their order. ``moves`` counts machines that go elsewhere, ``twice`` those that would move again."""

    hosts: tuple[HostPlan, ...]
    takes: timedelta
    moves: int
    twice: int


class Guests(NamedTuple):
    """A host that is to be emptied: its room when it is empty, and its machines with what was said of them beforehand."""

    room: Room
    machines: Sequence[tuple[VirtualResource, Deed]]


def plan(
    hosts: Sequence[Guests], others: Iterable[Room], at_once: int | None, limits: MaintenanceLimits
) -> Plan:
    """Plan to empty hosts, ``at_once`` of them together (None: all). ``others`` are the hosts that go on serving."""
    return _Planner(hosts, others, limits).run(at_once or max(len(hosts), 1))


class _Planner:
    def __init__(self, hosts: Sequence[Guests], others: Iterable[Room], limits: MaintenanceLimits) -> None:
        self._hosts = hosts
        self._limits = limits
        self._left = {one.host: one for one in others}  # what hosts that serve, and go on serving, have left
        self._waiting: dict[str, Room] = {}  # the same of hosts that are still to be emptied
        self._on: dict[Group, Counter[str]] = defaultdict(Counter)
        self._machines = {one.room.host: list(one.machines) for one in hosts}
        for host, machines in self._machines.items():
            for machine, _ in machines:
                if (group := _apart(machine)) is not None:
                    self._on[group][host] += 1
        self._moved: set[str] = set()
        self._moves = self._twice = 0

    def run(self, at_once: int) -> Plan:
        order = list(self._hosts)
        for one in order:
            self._waiting[one.room.host] = _without(one.room, [machine for machine, _ in one.machines])
        planned: list[HostPlan] = []
        total = timedelta(0)
        for turn, start in enumerate(range(0, len(order), at_once), 1):
            batch = order[start : start + at_once]
            for one in batch:
                del self._waiting[one.room.host]
            quiet, waiting = _Heap(self._left), _Heap(self._waiting)
            done = [self._empty(one.room.host, turn, quiet, waiting) for one in batch]
            for one, made in zip(batch, done, strict=True):  # they serve again when the next go
                self._left[one.room.host] = _without(one.room, made.staying)
            total += max((one.takes for one in done), default=timedelta(0))
            planned += done
        return Plan(tuple(planned), total, self._moves, self._twice)

    def _empty(self, host: str, turn: int, quiet: "_Heap", waiting: "_Heap") -> HostPlan:
        guesses = []
        seconds = 0
        for machine, deed in self._machines[host]:
            seconds += USUAL.get(deed, 0)
            if deed not in MOVES and deed is not Deed.ASK:
                risk = "its owner lets it stay: the host cannot be emptied" if deed is Deed.LEAVE else ""
                guesses.append(Guess(machine, deed, risk=risk))
                continue
            target = self._place(machine, deed, host, quiet, waiting)
            risk = "no other host has room for it" if target is None else ""
            if deed is Deed.ASK:
                risk = "; ".join(filter(None, ("its owner has to answer", risk)))
            guesses.append(Guess(machine, deed, target, risk))
        takes = timedelta(seconds=seconds / self._limits.per_host)
        return HostPlan(host, turn, takes, tuple(guesses))

    def _place(
        self, machine: VirtualResource, deed: Deed, host: str, quiet: "_Heap", waiting: "_Heap"
    ) -> str | None:
        group, beside = _apart(machine), set()
        if group is not None:
            most = (machine.constraints and machine.constraints.together) or 1
            beside = {one for one, count in self._on[group].items() if count >= most}
        target = quiet.take(machine, beside)
        if target is None:
            target = waiting.take(machine, beside)
            if target is not None:
                self._machines[target].append((machine, deed))
        if target is not None:
            self._moves += 1
            self._twice += machine.id in self._moved
            self._moved.add(machine.id)
            if group is not None:
                self._on[group][host] -= 1
                self._on[group][target] += 1
        return target


class _Heap:
    """Hosts by what they have left, the emptiest first."""

    def __init__(self, rooms: dict[str, Room]) -> None:
        self._rooms = rooms
        self._heap = [(-one.vcpus, -one.memory_mb, one.host) for one in rooms.values()]
        heapq.heapify(self._heap)

    def take(self, machine: VirtualResource, beside: set[str]) -> str | None:
        """Take room for a machine on the emptiest host that will do; None: there is none."""
        passed: list[tuple[float, float, str]] = []
        found = None
        while self._heap and found is None and len(passed) < TRIED + len(beside):
            entry = heapq.heappop(self._heap)
            room = self._rooms[entry[2]]
            if room.vcpus < (machine.vcpus or 0):
                passed.append(entry)
                break  # no other one has more
            if room.memory_mb < (machine.memory_mb or 0) or room.host in beside:
                passed.append(entry)
                continue
            left = room._replace(
                vcpus=room.vcpus - (machine.vcpus or 0), memory_mb=room.memory_mb - (machine.memory_mb or 0)
            )
            self._rooms[room.host] = left
            passed.append((-left.vcpus, -left.memory_mb, left.host))
            found = room.host
        for entry in passed:
            heapq.heappush(self._heap, entry)
        return found


def _without(room: Room, machines: Iterable[VirtualResource]) -> Room:
    """Return what is left of a host beside these machines."""
    machines = list(machines)
    return room._replace(
        vcpus=room.vcpus - sum(one.vcpus or 0 for one in machines),
        memory_mb=room.memory_mb - sum(one.memory_mb or 0 for one in machines),
    )


def _apart(machine: VirtualResource) -> Group | None:
    """Return the group from whose machines one keeps apart."""
    is_apart = machine.constraints is not None and machine.constraints.together is not None
    return (machine.owner, machine.group) if is_apart and machine.group is not None else None
