"""Small infrastructures made by chance, and the failure policy of the simulation.

The name of everything physical begins with ``iron-``, and the name of a machine has its owner in it, so that a leak is
seen at a glance.
"""

import random
from collections.abc import Iterable
from dataclasses import dataclass, field, replace

import msgspec

from doctor.api.wire.resource_map import ResourceMapIn, resource_map_of
from doctor.model.resource_map import ResourceMap

PHYSICAL = "iron-"
OWNERS = ("red", "blue", "green")
ZONES = ("zone-1", "zone-2")


@dataclass(frozen=True)
class Nfvi:
    """Hosts in racks and on switches, which stay, and machines, which come, go and move."""

    racks: dict[str, tuple[str, ...]]
    switches: dict[str, tuple[str, ...]]
    zones: dict[str, str]
    machines: dict[str, str] = field(default_factory=dict)

    @property
    def hosts(self) -> list[str]:
        """Return all hosts."""
        return list(self.zones)

    def switches_of(self, host: str) -> list[str]:
        """Return the switches that a host hangs on."""
        return [switch for switch, hosts in self.switches.items() if host in hosts]

    def machines_on(self, hosts: Iterable[str]) -> list[str]:
        """Return the machines on these hosts."""
        wanted = set(hosts)
        return [machine for machine, host in self.machines.items() if host in wanted]

    def document(self) -> bytes:
        """Return the map as the operator loads it."""
        return msgspec.json.encode(
            {
                "physical_resources": [
                    *({"id": rack, "type": "rack"} for rack in self.racks),
                    *({"id": switch, "type": "switch"} for switch in self.switches),
                    *({"id": host, "zone_id": zone} for host, zone in self.zones.items()),
                ],
                "virtual_resources": [
                    {"id": machine, "host": host, "owner": owner_of(machine)}
                    for machine, host in self.machines.items()
                ],
                "relations": [
                    *(
                        {"from": rack, "kind": "contains", "to": host}
                        for rack, hosts in self.racks.items()
                        for host in hosts
                    ),
                    *(
                        {"from": switch, "kind": "connects", "to": host}
                        for switch, hosts in self.switches.items()
                        for host in hosts
                    ),
                ],
            }
        )

    def changed(self, rng: random.Random) -> "Nfvi":
        """Return it with machines that moved, came or went."""
        machines = dict(self.machines)
        for _ in range(rng.randint(1, 3)):
            what = rng.random()
            if what < 0.5 and machines:
                machines[rng.choice(list(machines))] = rng.choice(self.hosts)
            elif what < 0.75 and len(machines) > 2:
                del machines[rng.choice(list(machines))]
            else:
                machines[_new_machine(rng)] = rng.choice(self.hosts)
        return replace(self, machines=machines)


def owner_of(machine: str) -> str:
    """Return whose machine this is."""
    return machine.split("-")[1]


def some_nfvi(rng: random.Random) -> Nfvi:
    """Return an infrastructure with two to five hosts."""
    hosts = [f"{PHYSICAL}host-{number}" for number in range(rng.randint(2, 5))]
    racks = {f"{PHYSICAL}rack-{number}": tuple(hosts[number::2]) for number in range(rng.choice([0, 1, 2]))}
    names = [f"{PHYSICAL}switch-{number}" for number in range(rng.choice([0, 2, 2, 3]))]
    ties = {host: rng.sample(names, min(len(names), 2)) for host in hosts}
    switches = {name: tuple(host for host in hosts if name in ties[host]) for name in names}
    machines = {_new_machine(rng): rng.choice(hosts) for _ in range(rng.randint(3, 9))}
    return Nfvi(racks, switches, {host: rng.choice(ZONES) for host in hosts}, machines)


def hall_nfvi(rng: random.Random) -> Nfvi:
    """Return an infrastructure that is large enough for some of it to be cut off: six to nine hosts in racks of two or three."""
    hosts = [f"{PHYSICAL}host-{number}" for number in range(rng.randint(6, 9))]
    size = rng.choice([2, 3])
    racks = {
        f"{PHYSICAL}rack-{number}": tuple(hosts[start : start + size])
        for number, start in enumerate(range(0, len(hosts), size))
    }
    names = [f"{PHYSICAL}switch-{number}" for number in range(rng.choice([0, 2]))]
    switches = {name: tuple(hosts) for name in names}
    zones = ZONES[: rng.choice([1, 2])]
    machines = {_new_machine(rng): rng.choice(hosts) for _ in range(rng.randint(8, 14))}
    return Nfvi(racks, switches, {host: zones[n % len(zones)] for n, host in enumerate(hosts)}, machines)


def _new_machine(rng: random.Random) -> str:
    return f"vm-{rng.choice(OWNERS)}-{rng.getrandbits(32):08x}"


def map_of(document: bytes) -> ResourceMap:
    """Read a map as the doors do."""
    return resource_map_of(msgspec.json.decode(document, type=ResourceMapIn), version=1)


DISK_SEVERITIES = ("warning", "major", "minor")


def policy_text(disk_severity: str) -> str:
    """Return a failure policy; its versions differ in how bad a crashed disk is."""
    return f"""
version: 1
description: simulation, disks are {disk_severity}
damping: off
faults:
  - {{name: host-down, when: {{type: compute.host.down}}}}
  - {{name: memory-failure, when: {{type: compute.memory.failure}}}}
  - {{name: disk-crash, when: {{type: compute.disk.crash}}, severity: {disk_severity}, state: normal}}
  - {{name: switch-down, when: {{type: network.switch.down}}}}
  - {{name: rack-down, when: {{type: compute.power.failure}}, severity: critical, state: down, fault_type: rack down}}
  - {{name: instance-down, when: {{type: compute.instance.down}}}}
  - {{name: fencing-needs-human, when: {{type: fencing.needs_human}}}}
propagate:
  - {{from: host, kind: hosts, state: down, to_state: error, severity: same}}
  - {{from: host, kind: hosts, state: error, to_state: error, severity: same}}
  - {{from: host, kind: hosts, state: normal, min_severity: warning, to_state: normal, severity: same}}
  - {{from: switch, kind: connects, state: down, when_all: true, to_state: error, severity: critical}}
  - {{from: switch, kind: connects, state: down, when_all: false, to_state: normal, severity: warning}}
  - {{from: rack, kind: contains, state: down, to_state: down, severity: same}}
"""
