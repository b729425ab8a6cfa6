"""The resource map as it is loaded: a JSON document with what there is and what depends on what."""

from sys import intern
from typing import Annotated, Any

import msgspec
from msgspec.structs import asdict

from doctor.model.errors import Flaw, RejectedError
from doctor.model.resource import (
    HOST,
    VIRTUAL_MACHINE,
    VIRTUAL_RESOURCE_TYPES,
    Constraints,
    PhysicalResource,
    Relation,
    VirtualResource,
)
from doctor.model.resource_map import ResourceMap

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]


class PhysicalResourceIn(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A host, switch, power feed ... of the map. ``address`` is one address or a list.

    The ``metadata`` is yours; of a host, ``vcpus`` and ``memory_mb`` in it count for the capacity.
    """

    id: Name
    type: Name = HOST
    zone_id: Name | None = None
    address: str | list[str] = []
    aliases: list[Name] = []
    firmware_version: str | None = None
    hypervisor_version: str | None = None
    update_status: str | None = None
    metadata: dict[str, Any] = {}


class ConstraintsIn(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """What is not to be done to a machine that serves: no live migration, no interruption of more than so many seconds,
    no more of its group away at once than ``max_out``. With ``anti_affinity`` no two of its group are started on one host,
    with ``max_per_host`` no more than so many. For maintenance it leaves so many seconds (``recovery_time``) after another one of its group.
    """

    live_migration: bool = True
    tolerated_interruption: Annotated[float, msgspec.Meta(ge=0)] | None = None
    max_out: Annotated[int, msgspec.Meta(ge=0, le=10**6)] | None = None
    anti_affinity: bool = False
    recovery_time: Annotated[float, msgspec.Meta(ge=0, le=86400)] | None = None
    max_per_host: Annotated[int, msgspec.Meta(ge=1, le=10**6)] | None = None


class VirtualResourceIn(msgspec.Struct, forbid_unknown_fields=True, gc=False, kw_only=True):
    """A machine, network, volume ... of the map, with its owner (project).

    ``vcpus`` and ``memory_mb`` are what it takes of its host, for the capacity. ``constraints`` are for instructions.
    ``recovery`` is what its owner wishes for when it fails: actions, such as ``reboot, evacuate``.
    """

    id: Name
    type: Name = VIRTUAL_MACHINE
    host: Name | None = None
    owner: Name
    group: Name | None = None
    role: Name | None = None
    sal: int | Name | None = None
    vcpus: Annotated[int, msgspec.Meta(ge=0, le=10**12)] | None = None
    memory_mb: Annotated[int, msgspec.Meta(ge=0, le=10**12)] | None = None
    recovery: Name | None = None
    constraints: ConstraintsIn | None = None


class RelationIn(
    msgspec.Struct, forbid_unknown_fields=True, gc=False, rename={"supplier": "from", "dependent": "to"}
):
    """``to`` depends on ``from`` (``hosts``, ``connects``, ``attaches``, ``powers``, ``contains``, ``backs``)."""

    supplier: Name
    kind: Name
    dependent: Name


class ResourceMapIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """The whole map; it replaces the one before."""

    physical_resources: list[PhysicalResourceIn] = []
    virtual_resources: list[VirtualResourceIn] = []
    relations: list[RelationIn] = []


def resource_map_of(document: ResourceMapIn, *, version: int) -> ResourceMap:
    """Index a document.

    Raises:
        RejectedError: double ids, unknown hosts or ends of relations, unknown types of virtual resources.
    """
    flaws = [
        Flaw(f"/virtual_resources/{index}/type", f"use one of: {', '.join(VIRTUAL_RESOURCE_TYPES)}")
        for index, resource in enumerate(document.virtual_resources)
        if resource.type not in VIRTUAL_RESOURCE_TYPES
    ]
    if flaws:
        raise RejectedError(f"the resource map has {len(flaws)} flaws", flaws=flaws[:100])
    return ResourceMap(
        [_physical(resource) for resource in document.physical_resources],
        [_virtual(resource) for resource in document.virtual_resources],
        [
            Relation(intern(one.supplier), intern(one.kind), intern(one.dependent))
            for one in document.relations
        ],
        version=version,
    )


def additions_of(
    document: ResourceMapIn, resources: ResourceMap, *, is_complete: bool
) -> tuple[list[PhysicalResource], list[Relation]]:
    """Return what a document adds to a map that clouds keep; what is theirs is passed over.

    ``is_complete``: the clouds have told all that there is, so that a name that nothing has is a mistake.

    Raises:
        RejectedError: double ids, virtual resources that no cloud has, unknown ends of relations.
    """
    flaws = []
    added: dict[str, PhysicalResource] = {}
    theirs = {one.id for one in resources.physical.values() if one.cloud is not None}
    for index, given in enumerate(document.physical_resources):
        if given.id in added:
            flaws.append(Flaw(f"/physical_resources/{index}/id", f"{given.id!r} is there twice"))
        if given.id not in theirs:
            added[given.id] = _physical(given)
    for index, virtual in enumerate(document.virtual_resources):
        if virtual.id not in resources.virtual:
            flaws.append(
                Flaw(f"/virtual_resources/{index}/id", "is in no cloud: virtual resources are theirs")
            )
    ties: dict[Relation, None] = {}
    for index, tie in enumerate(document.relations):
        for end, name in (("from", tie.supplier), ("to", tie.dependent)):
            is_known = name in added or name in theirs or name in resources.virtual
            if not is_known and is_complete:
                flaws.append(Flaw(f"/relations/{index}/{end}", f"{name!r} is none of the resources"))
        if tie.supplier == tie.dependent:
            flaws.append(Flaw(f"/relations/{index}/to", "a resource does not depend on itself"))
        if tie.supplier in added or tie.dependent in added:
            ties[Relation(intern(tie.supplier), intern(tie.kind), intern(tie.dependent))] = None
    if flaws:
        raise RejectedError(f"the resource map has {len(flaws)} flaws", flaws=flaws[:100])
    return list(added.values()), list(ties)


def _physical(given: PhysicalResourceIn) -> PhysicalResource:
    addresses = [given.address] if isinstance(given.address, str) else given.address
    return PhysicalResource(
        id=intern(given.id),
        type=intern(given.type),
        zone_id=given.zone_id and intern(given.zone_id),
        address=tuple(part.strip() for address in addresses for part in address.split(",") if part.strip()),
        aliases=tuple(given.aliases),
        firmware_version=given.firmware_version,
        hypervisor_version=given.hypervisor_version,
        update_status=given.update_status,
        metadata=given.metadata,
    )


def _virtual(given: VirtualResourceIn) -> VirtualResource:
    """Return the resource with its repeated words kept once: a million machines have few owners and hosts."""
    return VirtualResource(
        id=given.id,
        type=intern(given.type),
        host=given.host and intern(given.host),
        owner=intern(given.owner),
        group=given.group and intern(given.group),
        role=given.role and intern(given.role),
        sal=given.sal,
        vcpus=given.vcpus,
        memory_mb=given.memory_mb,
        recovery=given.recovery and intern(given.recovery),
        constraints=None if given.constraints is None else Constraints(**asdict(given.constraints)),
    )
