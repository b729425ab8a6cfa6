"""The things that break and the things that run on them."""

from enum import StrEnum
from typing import Any, NamedTuple
from urllib.parse import quote, unquote

import msgspec

VIRTUAL_MACHINE, NETWORK, STORAGE, NIC = (
    "virtual machine",
    "virtual network",
    "virtual storage",
    "virtual NIC",
)
VNF = "vnf"  # not in any map: what the machines of a group are together
HOST = "host"
JOINS = ("connects", "powers", "contains")  # the relations that make a failure domain
LAST_RANK = 1000  # of machines without a level
MOST_LEVELS = 8  # of domains within domains; a map in a circle has no more
RELATION_KINDS = ("hosts", "connects", "attaches", "powers", "contains", "backs")

VIRTUAL_RESOURCE_TYPES = (
    VIRTUAL_MACHINE,
    NETWORK,
    STORAGE,
    "virtual CPU",
    "virtual memory",
    NIC,
)


class MaintenanceState(StrEnum):
    """Where a host stands on its way into maintenance and back [D 3.4.2]."""

    ENABLED = "enabled"
    GOING_TO_MAINTENANCE = "going-to-maintenance"
    IN_MAINTENANCE = "in-maintenance"


class HostStatus(StrEnum):
    """What an owner may know of the host under a machine, in Nova's words."""

    UP = "UP"
    UNKNOWN = "UNKNOWN"
    DOWN = "DOWN"
    MAINTENANCE = "MAINTENANCE"
    NONE = ""


class Isolation(StrEnum):
    """Whether the faulty host can still do harm."""

    NOT_REQUIRED = "not_required"
    PENDING = "pending"
    ISOLATED = "isolated"
    FAILED = "failed"


class PhysicalResource(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A host, switch, power feed ... ``address`` has an entry for each way to reach it.

    ``cloud`` is the controller that it comes from, None for what was loaded by hand; ``vim_state`` is how that
    controller has it, in its own words.
    """

    id: str
    type: str = HOST
    zone_id: str | None = None
    address: tuple[str, ...] = ()
    aliases: tuple[str, ...] = ()
    firmware_version: str | None = None
    hypervisor_version: str | None = None
    update_status: str | None = None
    metadata: dict[str, Any] = {}
    cloud: str | None = None
    vim_state: str | None = None


class Constraints(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """What the owner of a machine wants nobody to do to it while it serves [HA 5.3].

    ``tolerated_interruption`` is in seconds; ``max_out`` is how many of its group may be away at once. None is no limit.
    ``recovery_time`` (seconds) passes from when one of its group has left a host that is emptied to when it leaves.
    With ``anti_affinity`` Doctor starts no two of its group on one host, with ``max_per_host`` no more than so many.
    """

    live_migration: bool = True
    tolerated_interruption: float | None = None
    max_out: int | None = None
    anti_affinity: bool = False
    recovery_time: float | None = None
    max_per_host: int | None = None

    @property
    def together(self) -> int | None:
        """Return how many of its group may be on one host, None: any number."""
        if self.anti_affinity:
            return min(1, self.max_per_host or 1)
        return self.max_per_host or None


class VirtualResource(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """A machine, network, volume ... ``owner`` is the project it belongs to; ``group`` is a name of that owner's.

    ``vcpus`` and ``memory_mb`` are what it takes of its host, ``needs`` what not every host has (pinned CPUs ...);
    ``user`` made it, ``recovery`` is what its owner wishes for it, ``constraints`` what he does not want. ``cloud`` and
    ``vim_state`` are as of a `PhysicalResource`.
    """

    id: str
    type: str = VIRTUAL_MACHINE
    host: str | None = None
    owner: str
    group: str | None = None
    role: str | None = None
    sal: int | str | None = None
    vcpus: int | None = None
    memory_mb: int | None = None
    name: str | None = None
    user: str | None = None
    recovery: str | None = None
    constraints: Constraints | None = None
    needs: tuple[str, ...] = ()
    cloud: str | None = None
    vim_state: str | None = None

    @property
    def sal_rank(self) -> int:
        """Return the service availability level as a number, the most important first; without one it is the last."""
        digits = "".join(char for char in str(self.sal or "") if char.isdigit())
        return int(digits[:3]) if digits else LAST_RANK


class Relation(msgspec.Struct, frozen=True, gc=False, rename={"supplier": "from", "dependent": "to"}):
    """``to`` depends on ``from``: ``hosts``, ``connects``, ``attaches``, ``powers``, ``contains``, ``backs``."""

    supplier: str
    kind: str
    dependent: str


Resource = PhysicalResource | VirtualResource


class Vnf(NamedTuple):
    """What the machines of a group are together, or a machine without a group (``group`` None) by itself."""

    owner: str
    group: str | None
    machine: str | None = None

    @property
    def id(self) -> str:
        """Return an id that tells the VNFs of all owners apart."""
        parts = [self.owner, self.group or "", *([] if self.machine is None else [self.machine])]
        return ":".join([VNF, *(quote(part, safe="") for part in parts)])


def vnf_of(machine: VirtualResource) -> Vnf:
    """Return the VNF of a machine."""
    return Vnf(machine.owner, machine.group, machine.id if machine.group is None else None)


def vnf_named(resource_id: str) -> Vnf | None:
    """Return the VNF of an id, None for an id of anything else."""
    kind, *parts = resource_id.split(":")
    match [unquote(part) for part in parts]:
        case [owner, group] if kind == VNF and group:
            return Vnf(owner, group)
        case [owner, "", machine] if kind == VNF and machine:
            return Vnf(owner, None, machine)
    return None
