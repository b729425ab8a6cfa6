"""The door to physical resources [D 5.5.2]: the state of hosts, switches, power feeds, and what is wrong with them."""

from typing import Annotated

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import OVERSEERS
from doctor.flows.situation import Situation
from doctor.model.errors import Reason, RejectedError
from doctor.model.fault import ResourceState
from doctor.model.notification import PhysicalResourceInfo
from doctor.model.resource import PhysicalResource
from doctor.notifier.message import Describer

Name = Annotated[str, msgspec.Meta(max_length=255)]


class PhysicalResourceQuery(PageQuery, frozen=True, kw_only=True):
    """StateQueryFilterClass [D 5.4]."""

    physical_resource_id: list[Name] = []
    physical_resource_state: list[ResourceState] = []
    zone_id: list[Name] = []


class PhysicalResourcesDoor:
    """The operations on physical resources."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    @operation("GET", "/v1/physical-resources", tag="Resources", roles=OVERSEERS)
    async def query_physical_resources(
        self, call: Call[None, PhysicalResourceQuery]
    ) -> Answer[Page[PhysicalResourceInfo]]:
        """Ask for the state of physical resources (StateQuery of [D 5.5.2]), with the faults on them.

        Resources that only an event has named are there too as long as something is wrong with them.
        """
        query = call.query
        resources, book = self._situation.resources, self._situation.book
        unknown = {
            record.fault.resource_id: record.fault.resource_type
            for record in book
            if resources.get(record.fault.resource_id) is None
        }
        after = position_in(query.cursor, str)
        rows: list[PhysicalResource] = []
        for resource_id in sorted([*resources.physical, *unknown]):
            resource = resources.physical.get(resource_id) or PhysicalResource(
                id=resource_id, type=unknown[resource_id]
            )
            if (
                (after is None or resource_id > after)
                and (not query.physical_resource_id or resource_id in query.physical_resource_id)
                and (not query.zone_id or resource.zone_id in query.zone_id)
                and (
                    not query.physical_resource_state
                    or book.state_of(resource_id) in query.physical_resource_state
                )
            ):
                rows.append(resource)
            if len(rows) > query.limit:
                break
        describer = self._situation.describer(None)
        return Answer(
            page_of(rows, query.limit, lambda row: self._physical(row, describer), lambda row: row.id)
        )

    @operation("GET", "/v1/physical-resources/{physical_resource_id}", tag="Resources", roles=OVERSEERS)
    async def get_physical_resource(self, call: Call[None, None]) -> Answer[PhysicalResourceInfo]:
        """Show a physical resource with its state and the faults on it. An alias or a short name will do."""
        resource = self._situation.resources.find(call.path["physical_resource_id"])
        if not isinstance(resource, PhysicalResource):
            raise RejectedError("there is no such physical resource", reason=Reason.NOT_FOUND)
        return Answer(self._physical(resource, self._situation.describer(None)))

    def _physical(self, resource: PhysicalResource, describer: Describer) -> PhysicalResourceInfo:
        faults = tuple(
            describer.fault(record, record.alarms[resource.id])
            for record in self._situation.book.on(resource.id)
        )
        return describer.physical(resource.id, resource.type, faults)
