"""The second model: what must be open after these events and maps, as simply as can be said.

It shares nothing with the inspector and the alarms. Events and maps are taken one by one in the order in which they were
kept.
"""

from collections.abc import Iterable
from typing import NamedTuple

from doctor.testing.simulation.nfvi import Nfvi


class Said(NamedTuple):
    """An event: this is down, or up again."""

    type: str
    resource: str
    status: str
    number: str


class Effect(NamedTuple):
    """How a resource is by a fault."""

    state: str
    severity: str


Subject = tuple[str, str]  # resource and type of event

FAULT_TYPES = {
    "compute.host.down": "host down",
    "compute.memory.failure": "memory failure",
    "compute.disk.crash": "disk crash",
    "network.switch.down": "switch down",
    "compute.power.failure": "rack down",
    "compute.instance.down": "instance down",
}
ROOTS = {
    "compute.host.down": Effect("down", "critical"),
    "compute.memory.failure": Effect("error", "critical"),
    "network.switch.down": Effect("down", "warning"),
    "compute.power.failure": Effect("down", "critical"),
    "compute.instance.down": Effect("down", "critical"),
}


class OpenFaults:
    """What is open: the last word on each subject."""

    def __init__(self) -> None:
        self.open: dict[Subject, str] = {}
        self._seen: set[Said] = set()
        self._machines: set[str] = set()

    def load(self, machines: Iterable[str]) -> None:
        """Take a map: what was wrong with a machine that is gone is so no more."""
        gone = self._machines.difference(machines)
        self._machines = set(machines)
        for subject in [one for one in self.open if one[0] in gone]:
            del self.open[subject]

    def take(self, said: Said) -> str | None:
        """Take an event; returns ``raised`` or ``cleared``, None if it changes nothing."""
        if said in self._seen:
            return None
        self._seen.add(said)
        subject = (said.resource, said.type)
        if said.status == "down" and subject not in self.open:
            self.open[subject] = said.number
            return "raised"
        if said.status == "up" and subject in self.open:
            del self.open[subject]
            return "cleared"
        return None


def reach(subject: Subject, open_subjects: Iterable[Subject], nfvi: Nfvi, disks: str) -> dict[str, Effect]:
    """Return what a fault does to which resource, given what else is open."""
    resource, what = subject
    dead = {name for name, kind in open_subjects if kind == "network.switch.down"}
    root = Effect("normal", disks) if what == "compute.disk.crash" else ROOTS[what]
    found = {resource: root}
    if what == "compute.power.failure":
        found |= {host: Effect("down", "critical") for host in nfvi.racks.get(resource, ())}
    if what == "network.switch.down":
        for host in nfvi.switches.get(resource, ()):
            is_cut_off = set(nfvi.switches_of(host)) <= dead
            found[host] = Effect("error", "critical") if is_cut_off else Effect("normal", "warning")
    for machine, host in nfvi.machines.items():
        if host in found:
            effect = found[host]
            state = "normal" if effect.state == "normal" else "error"
            found[machine] = Effect(state, effect.severity)
    return found
