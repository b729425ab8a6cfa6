"""The door to virtual resources: what is mine, how it is, and what is wrong with it."""

from collections.abc import Sequence

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Described, Owned, info_of
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import READERS
from doctor.model.errors import Reason, RejectedError
from doctor.model.fault import ResourceState
from doctor.model.notification import VirtualResourceInfo
from doctor.model.resource import VirtualResource
from doctor.notifier.message import Describer


class VirtualResourceQuery(PageQuery, frozen=True, kw_only=True):
    """Which virtual resources; ``owner`` is for the Administrator."""

    virtual_resource_id: list[Described] = []
    virtual_resource_type: list[Described] = []
    virtual_resource_state: list[ResourceState] = []
    owner: Described | None = None


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
        resources = self._situation.resources
        owner = query.owner if scope is None else scope
        ids = resources.virtual_ids if owner is None else resources.owned_by(owner)
        if scope is not None and query.owner not in (None, scope):
            ids = ()
        start = position_in(query.cursor, tuple[int, str])
        first = 0 if start is None else _resume(ids, *start)
        rows: list[tuple[int, VirtualResource]] = []
        for index in range(first, len(ids)):
            resource = resources.virtual[ids[index]]
            if (
                (not query.virtual_resource_id or resource.id in query.virtual_resource_id)
                and (not query.virtual_resource_type or resource.type in query.virtual_resource_type)
                and (
                    not query.virtual_resource_state
                    or self._situation.book.state_of(resource.id) in query.virtual_resource_state
                )
            ):
                rows.append((index, resource))
            if len(rows) > query.limit:
                break
        describer = self._situation.describer(scope)
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
