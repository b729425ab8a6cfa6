"""The door to physical resources [D 5.5.2]: the state of hosts, switches, power feeds, and what is wrong with them."""

from collections.abc import Callable
from typing import Literal

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several, ids_named
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import OVERSEERS
from doctor.api.sorting import Key, Order, sorted_page
from doctor.flows.situation import Situation
from doctor.model.errors import Reason, RejectedError
from doctor.model.fault import ResourceState
from doctor.model.notification import PhysicalResourceInfo
from doctor.model.resource import PhysicalResource
from doctor.notifier.message import Describer

PhysicalResourceSort = Literal[
    "physical_resource_id",
    "-physical_resource_id",
    "physical_resource_type",
    "-physical_resource_type",
    "physical_resource_state",
    "-physical_resource_state",
    "zone_id",
    "-zone_id",
]


class PhysicalResourceQuery(PageQuery, frozen=True, kw_only=True):
    """StateQueryFilterClass [D 5.4]. A name may be an alias or a short name; states sort from good to bad."""

    physical_resource_id: Several = frozenset()
    physical_resource_state: list[ResourceState] = []
    zone_id: Several = frozenset()
    sort: PhysicalResourceSort | None = None


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
        strangers = [
            PhysicalResource(id=record.fault.resource_id, type=record.fault.resource_type)
            for record in book
            if resources.get(record.fault.resource_id) is None
            and resources.vnf_owner(record.fault.resource_id) is None
        ]
        rows = [*resources.physical.values(), *{one.id: one for one in strangers}.values()]
        keys: dict[str, Callable[[PhysicalResource], Key]] = {
            "physical_resource_id": lambda row: row.id,
            "physical_resource_type": lambda row: row.type,
            "physical_resource_state": lambda row: book.state_of(row.id).badness,
            "zone_id": lambda row: row.zone_id or "",
        }
        order = Order(query.sort or "physical_resource_id", query.cursor, keys, lambda row: row.id)
        named = ids_named(query.physical_resource_id, resources)

        def wanted(row: PhysicalResource) -> bool:
            return (
                (not named or row.id in named)
                and (not query.zone_id or row.zone_id in query.zone_id)
                and (
                    not query.physical_resource_state
                    or book.state_of(row.id) in query.physical_resource_state
                )
            )

        describer = self._situation.describer(None)
        page = await sorted_page(rows, query, order, wanted, lambda row: self._physical(row, describer))
        return Answer(page)

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
