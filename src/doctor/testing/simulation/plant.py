"""The machine hall in truth: which host has power, lives and is reached, and which guests write on it.

Doctor never sees any of this. It hears of it by witnesses, reads devices, and asks the cloud; the judges compare what it
believed and did with what was so.
"""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from enum import Enum
from typing import NamedTuple

from doctor.model.fencing import Cut
from doctor.testing.simulation.deeds import Deeds, Truth
from doctor.testing.simulation.loop import SimLoop
from doctor.testing.simulation.trace import Trace

BOOT = 3.0  # seconds from power to a host that serves


class Life(Enum):
    """What a host with power does."""

    RUNNING = "running"
    FROZEN = "frozen"  # does nothing, and may go on as if nothing had been
    DEAD = "dead"  # until its power is switched off and on
    BOOTING = "booting"


@dataclass
class Iron:
    """A host. ``chassis`` is what its BMC switches, ``feeds`` what a PDU does; it takes the one and any of the others.

    ``guests`` are what runs on it as long as it has power. ``lives`` counts how often it was started; ``was_unwell`` tells
    whether it was ever anything but well.
    """

    name: str
    chassis: bool = True
    feeds: list[bool] = field(default_factory=lambda: [True, True])
    network: bool = True
    storage: bool = True
    port: bool = True  # its switch port, and what the storage lets it do: further devices switch those
    grant: bool = True
    life: Life = Life.RUNNING
    guests: dict[str, None] = field(default_factory=dict)
    lives: int = 1
    was_unwell: bool = False

    @property
    def has_power(self) -> bool:
        """Tell whether it has power."""
        return self.chassis and any(self.feeds)

    @property
    def runs(self) -> bool:
        """Tell whether it does anything."""
        return self.has_power and self.life is Life.RUNNING

    @property
    def is_on_network(self) -> bool:
        """Tell whether others can reach it, if it runs."""
        return self.network and self.port

    @property
    def writes(self) -> bool:
        """Tell whether its guests can write."""
        return self.runs and self.storage and self.grant

    @property
    def is_well(self) -> bool:
        """Tell whether nothing is wrong with it."""
        return self.writes and self.is_on_network

    @property
    def is_off(self) -> bool:
        """Tell whether it can do no harm: it has no power, or neither network nor storage."""
        return not self.has_power or not (self.port or self.grant)


class Twice(NamedTuple):
    """A machine that wrote on two hosts at once."""

    tick: int
    machine: str
    hosts: tuple[str, ...]


class Plant:
    """All hosts. ``machines_of`` says, as the cloud knows it, what a host is to run when it starts."""

    def __init__(self, hosts: Iterable[str], loop: SimLoop, trace: Trace, deeds: Deeds) -> None:
        self.hosts = {name: Iron(name) for name in hosts}
        self.machines_of: Callable[[str], Iterable[str]] = lambda host: ()
        self.on_changed: Callable[[], None] = lambda: None
        self.twice: list[Twice] = []
        self._known_twice: frozenset[tuple[str, tuple[str, ...]]] = frozenset()
        self._loop = loop
        self._trace = trace
        self._deeds = deeds

    # --- what happens to hosts ---

    def freeze(self, name: str) -> None:
        """Let a host do nothing any more, for a while or for ever."""
        host = self.hosts[name]
        if host.runs:
            host.life = Life.FROZEN
            self._note(name, "freezes")

    def thaw(self, name: str) -> None:
        """Let a frozen host go on."""
        host = self.hosts[name]
        if host.has_power and host.life is Life.FROZEN:
            host.life = Life.RUNNING
            self._note(name, "thaws")

    def kill(self, name: str) -> None:
        """Let a host die with all its guests; its power stays."""
        host = self.hosts[name]
        if host.has_power:
            host.life = Life.DEAD
            host.guests.clear()
            self._note(name, "dies")

    def attach(self, name: str, *, network: bool | None = None, storage: bool | None = None) -> None:
        """Let a host lose or find its network or its storage."""
        host = self.hosts[name]
        host.network = host.network if network is None else network
        host.storage = host.storage if storage is None else storage
        self._note(name, f"network {host.network}, storage {host.storage}")

    # --- what devices do to them ---

    def has(self, name: str, cut: Cut, feed: int | None = None) -> bool:
        """Tell whether a host has what a device can take from it."""
        host = self.hosts[name]
        match cut:
            case Cut.POWER:
                return host.has_power if feed is None else host.feeds[feed]
            case Cut.NETWORK:
                return host.port
            case Cut.STORAGE:
                return host.grant

    def switch(self, name: str, cut: Cut, is_on: bool, feed: int | None = None) -> None:
        """Take something from a host, or give it back."""
        host = self.hosts[name]
        had_power = host.has_power
        match cut:
            case Cut.POWER if feed is None:
                host.chassis = is_on
            case Cut.POWER:
                host.feeds[feed or 0] = is_on
            case Cut.NETWORK:
                host.port = is_on
            case Cut.STORAGE:
                host.grant = is_on
        if had_power and not host.has_power:
            host.guests.clear()
        elif host.has_power and not had_power:
            host.life = Life.BOOTING
            host.lives += 1
            self._loop.outside(BOOT, self._boot, name, host.lives)
        self._note(name, f"{cut.value} is {'on' if is_on else 'off'}", "" if feed is None else f"feed {feed}")

    def _boot(self, name: str, life: int) -> None:
        host = self.hosts[name]
        if host.has_power and host.lives == life and host.life is Life.BOOTING:
            host.life = Life.RUNNING
            host.guests = dict.fromkeys(self.machines_of(name))
            self._note(name, "has started", *host.guests)

    # --- guests ---

    def start(self, machine: str, name: str) -> bool:
        """Start a guest; tell whether the host could."""
        host = self.hosts[name]
        if not host.is_well:
            return False
        host.guests[machine] = None
        self._note(name, "starts", machine)
        return True

    def stop(self, machine: str, name: str) -> None:
        """Stop a guest."""
        if self.hosts[name].guests.pop(machine, "") is None:
            self._note(name, "stops", machine)

    def writers(self) -> Iterator[tuple[str, tuple[str, ...]]]:
        """Return each machine that writes, with the hosts on which it does."""
        found: dict[str, list[str]] = {}
        for host in self.hosts.values():
            if host.writes:
                for machine in host.guests:
                    found.setdefault(machine, []).append(host.name)
        for machine, hosts in found.items():
            yield machine, tuple(sorted(hosts))

    def _note(self, name: str, what: str, *more: object) -> None:
        tick = self._trace.note(name, what, *more)
        host = self.hosts[name]
        host.was_unwell = host.was_unwell or not host.is_well
        self._deeds.note(Truth(tick, self._loop.time(), name, host.is_off, host.is_well, host.was_unwell))
        twice = frozenset(one for one in self.writers() if len(one[1]) > 1)
        for machine, hosts in sorted(twice - self._known_twice):
            self._trace.note("storage", "two writers", machine, *hosts)
            self.twice.append(Twice(tick, machine, hosts))
        self._known_twice = twice
        self.on_changed()
