"""The door to virtual resources: what is mine, how it is, and what is wrong with it."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Described, Owned, Several, administrators_only, ids_named, info_of, is_in
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import READERS
from doctor.api.sorting import CHUNK, Key, Order, sorted_page
from doctor.model.errors import Reason, RejectedError
from doctor.model.fault import ResourceState
from doctor.model.notification import VirtualResourceInfo
from doctor.model.resource import HostStatus, VirtualResource
from doctor.notifier.message import Describer

VirtualResourceSort = Literal[
    "virtual_resource_id",
    "-virtual_resource_id",
    "virtual_resource_type",
    "-virtual_resource_type",
    "virtual_resource_state",
    "-virtual_resource_state",
    "group",
    "-group",
    "role",
    "-role",
    "owner",
    "-owner",
]


class VirtualResourceQuery(PageQuery, frozen=True, kw_only=True):
    """Which virtual resources; ``host`` and ``owner`` are for the Administrator.

    Without ``sort`` they come in the order of the resource map; states sort from good to bad.
    """

    virtual_resource_id: Several = frozenset()
    virtual_resource_type: Several = frozenset()
    virtual_resource_state: list[ResourceState] = []
    group: Several = frozenset()
    role: Several = frozenset()
    host_status: list[HostStatus] = []
    host: Several = frozenset()
    owner: Described | None = None
    sort: VirtualResourceSort | None = None


class VirtualResourceOut(VirtualResourceInfo, frozen=True, gc=False, kw_only=True):
    """A virtual resource with what its owner gave it."""

    owner: str
    group: str | None
    role: str | None
    sal: int | str | None


class VirtualResourcesDoor(Owned):
    """The operations on virtual resources."""

    @operation("GET", "/v1/virtual-resources", tag="Resources", roles=READERS)
    async def list_virtual_resources(
        self, call: Call[None, VirtualResourceQuery]
    ) -> Answer[Page[VirtualResourceOut]]:
        """List virtual resources with their state and the faults on them."""
        query, scope = call.query, call.identity.scope
        administrators_only(scope, {"host": query.host})
        ids = self._among(query, scope)
        virtual = self._situation.resources.virtual
        describer = self._situation.describer(scope)
        wanted = self._test(query, describer)
        if query.sort is not None:
            order = Order(query.sort, query.cursor, self._keys(), lambda row: row.id)
            resources = [one for resource_id in ids if (one := virtual.get(resource_id)) is not None]
            page = await sorted_page(
                resources, query, order, wanted, lambda row: self._resource(row, describer)
            )
            return Answer(page)
        start = position_in(query.cursor, tuple[int, str])
        first = 0 if start is None else _resume(ids, *start)
        rows: list[tuple[int, VirtualResource]] = []
        for index in range(first, len(ids)):
            resource = virtual.get(ids[index])  # it may be gone since the list began
            if resource is not None and wanted(resource):
                rows.append((index, resource))
            if len(rows) > query.limit:
                break
            if index % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)
        return Answer(
            page_of(
                rows,
                query.limit,
                lambda row: self._resource(row[1], describer),
                lambda row: (row[0], row[1].id),
            )
        )

    @operation("GET", "/v1/virtual-resources/{virtual_resource_id}", tag="Resources", roles=READERS)
    async def get_virtual_resource(self, call: Call[None, None]) -> Answer[VirtualResourceOut]:
        """Show a virtual resource with its state and the faults on it."""
        scope = call.identity.scope
        resource = self._situation.resources.virtual.get(call.path["virtual_resource_id"])
        if resource is None or (scope is not None and resource.owner != scope):
            raise RejectedError("there is no such virtual resource", reason=Reason.NOT_FOUND)
        return Answer(self._resource(resource, self._situation.describer(scope)))

    def _among(self, query: VirtualResourceQuery, scope: str | None) -> Sequence[str]:
        """Return the ids to look through, in the order of the map."""
        resources = self._situation.resources
        if scope is not None:
            return resources.owned_by(scope) if query.owner in (None, scope) else ()
        if query.host:
            hosts = sorted(ids_named(query.host, resources))
            return [machine for host in hosts for machine in resources.machines_on(host)]
        return resources.virtual_ids if query.owner is None else resources.owned_by(query.owner)

    def _test(self, query: VirtualResourceQuery, describer: Describer) -> Callable[[VirtualResource], bool]:
        state_of = self._situation.book.state_of

        def wanted(resource: VirtualResource) -> bool:
            return (
                is_in(resource.id, query.virtual_resource_id)
                and is_in(resource.type, query.virtual_resource_type)
                and is_in(resource.group or "", query.group)
                and is_in(resource.role or "", query.role)
                and (query.owner is None or resource.owner == query.owner)
                and (
                    not query.virtual_resource_state or state_of(resource.id) in query.virtual_resource_state
                )
                and (
                    not query.host_status or describer.outlook(resource.host).host_status in query.host_status
                )
            )

        return wanted

    def _keys(self) -> dict[str, Callable[[VirtualResource], Key]]:
        state_of = self._situation.book.state_of
        return {
            "virtual_resource_id": lambda row: row.id,
            "virtual_resource_type": lambda row: row.type,
            "virtual_resource_state": lambda row: state_of(row.id).badness,
            "group": lambda row: row.group or "",
            "role": lambda row: row.role or "",
            "owner": lambda row: row.owner,
        }

    def _resource(self, resource: VirtualResource, describer: Describer) -> VirtualResourceOut:
        info = info_of(describer, resource.id, self._alarms_on(resource.id), resource.type)
        return VirtualResourceOut(
            **msgspec.structs.asdict(info),
            owner=resource.owner,
            group=resource.group,
            role=resource.role,
            sal=resource.sal,
        )


def _resume(ids: Sequence[str], index: int, last: str) -> int:
    """Return where to go on behind the last row, also if the list is another one by now."""
    if 0 <= index < len(ids) and ids[index] == last:
        return index + 1
    return next((at + 1 for at, one in enumerate(ids) if one == last), len(ids))
