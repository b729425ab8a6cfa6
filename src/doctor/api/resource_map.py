"""The door to the resource map of the embedded controller: replaced whole, read as it could be loaded again."""

import asyncio

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.problem import Limits
from doctor.api.roles import ADMINISTRATORS, OVERSEERS
from doctor.api.wire.resource_map import (
    PhysicalResourceIn,
    RelationIn,
    ResourceMapIn,
    VirtualResourceIn,
    additions_of,
    resource_map_of,
)
from doctor.flows.fault import FaultFlow
from doctor.flows.overlay import Content, Overlay
from doctor.flows.resource_map import replace_map
from doctor.flows.situation import Situation
from doctor.model.map_news import Phase

RESOURCE_MAP = Limits(body=512 * 1024 * 1024, seconds=600, items=20_000_000, large=True)


class Loaded(msgspec.Struct, frozen=True, kw_only=True):
    """How much a resource map holds. ``version`` counts the maps since the start."""

    version: int
    physical_resources: int
    virtual_resources: int
    relations: int


class ResourceMapDoor:
    """The operations on the resource map."""

    def __init__(self, situation: Situation, faults: FaultFlow, overlay: Overlay) -> None:
        self._situation = situation
        self._faults = faults
        self._overlay = overlay

    @operation(
        "PUT",
        "/v1/resource-map",
        tag="Resources",
        roles=ADMINISTRATORS,
        limits=RESOURCE_MAP,
        example={
            "physical_resources": [{"id": "compute-1", "zone_id": "az1", "address": "10.0.0.1"}],
            "virtual_resources": [{"id": "vm-1-1", "host": "compute-1", "owner": "red", "role": "ACT"}],
            "relations": [],
        },
    )
    async def put_resource_map(self, call: Call[ResourceMapIn, None]) -> Answer[Loaded]:
        """Replace the resource map of the embedded controller, whole.

        It is used for the very next event. What open faults reach is judged anew: who was told of a machine that is
        not affected, or not theirs any more, gets a `correction`.

        Where clouds keep the map this replaces all that was added to it by hand: physical resources of which no cloud
        knows (racks, switches, power feeds ...), and their relations to those of the clouds. What a cloud keeps is left
        as it is, so that the answer of `GET` may be changed and sent back.
        """
        if self._situation.clouds:
            return await self._add(call)
        version = self._situation.resources.version + 1
        # A million machines take seconds: in a thread, faults are told meanwhile.
        resources = await asyncio.to_thread(resource_map_of, call.body, version=version)
        await replace_map(self._faults, resources, call.raw)
        return Answer(
            Loaded(
                version=version,
                physical_resources=len(resources.physical),
                virtual_resources=len(resources.virtual),
                relations=resources.count_relations(),
            )
        )

    async def _add(self, call: Call[ResourceMapIn, None]) -> Answer[Loaded]:
        situation = self._situation
        is_complete = all(one.phase is Phase.CURRENT for one in situation.clouds.values())
        physical, relations = additions_of(call.body, situation.resources, is_complete=is_complete)
        content = Content(physical=tuple(physical), relations=tuple(relations))
        await self._overlay.put(content, user=call.identity.name)
        resources = situation.resources
        return Answer(
            Loaded(
                version=resources.version,
                physical_resources=len(resources.physical),
                virtual_resources=len(resources.virtual),
                relations=resources.count_relations(),
            )
        )

    @operation("GET", "/v1/resource-map", tag="Resources", roles=OVERSEERS)
    async def get_resource_map(self, call: Call[None, None]) -> Answer[ResourceMapIn]:
        """Return the resource map, as it could be loaded again."""
        resources = self._situation.resources
        return Answer(
            ResourceMapIn(
                physical_resources=[
                    PhysicalResourceIn(
                        id=one.id,
                        type=one.type,
                        zone_id=one.zone_id,
                        address=list(one.address),
                        aliases=list(one.aliases),
                        firmware_version=one.firmware_version,
                        hypervisor_version=one.hypervisor_version,
                        update_status=one.update_status,
                        metadata=one.metadata,
                    )
                    for one in resources.physical.values()
                ],
                virtual_resources=[
                    VirtualResourceIn(
                        id=one.id,
                        type=one.type,
                        host=one.host,
                        owner=one.owner,
                        group=one.group,
                        role=one.role,
                        sal=one.sal,
                        vcpus=one.vcpus,
                        memory_mb=one.memory_mb,
                    )
                    for one in filter(None, map(resources.as_given, resources.virtual))
                ],
                relations=[RelationIn(one.supplier, one.kind, one.dependent) for one in resources.relations],
            )
        )
