"""The doors to redundancy groups: who is in one, and what it bears."""

from collections.abc import Callable
from typing import Literal

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several, is_in
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import OWNERS, READERS
from doctor.api.scoped import ProjectQuery, project_of
from doctor.api.sorting import Key, Order, sorted_page
from doctor.api.wire.group import GroupIn, GroupOut, group_of, group_out
from doctor.flows.group import GroupFlow, Known
from doctor.model.errors import Reason, RejectedError

TAG = "Groups"
NAME = {
    "name": "The name of a group; it is its owner's, and another one's group of that name is another group."
}
_GROUP = {"members": ["vm-1-1", "vm-1-2"], "max_out": 1, "recovery_time": "PT1M", "anti_affinity": True}
_KEYS: dict[str, Callable[[Known], Key]] = {"name": lambda one: one.name}


class GroupsQuery(PageQuery, frozen=True, kw_only=True):
    """Which groups; ``project`` is for the Administrator."""

    project: Several = frozenset()
    sort: Literal["name", "-name"] = "name"


class GroupsDoor:
    """The operations on redundancy groups."""

    def __init__(self, groups: GroupFlow) -> None:
        self._groups = groups

    @operation("GET", "/v1/groups", tag=TAG, roles=READERS)
    async def list_groups(self, call: Call[None, GroupsQuery]) -> Answer[Page[GroupOut]]:
        """List my groups, those of the map and those that I have named; the Administrator lists all."""
        query = call.query
        order = Order(query.sort, query.cursor, _KEYS, lambda one: f"{one.project} {one.name}")
        rows = self._groups.all(call.identity)
        page = await sorted_page(rows, query, order, lambda one: is_in(one.project, query.project), group_out)
        return Answer(page)

    @operation("GET", "/v1/groups/{name}", tag=TAG, roles=READERS, path_help=NAME)
    async def get_group(self, call: Call[None, ProjectQuery]) -> Answer[GroupOut]:
        """Show a group: its machines, and what holds for it."""
        project = project_of(call.identity, call.query.project)
        return Answer(group_out(self._groups.get(project, call.path["name"])))

    @operation("PUT", "/v1/groups/{name}", tag=TAG, roles=OWNERS, path_help=NAME, example=_GROUP)
    async def put_group(self, call: Call[GroupIn, ProjectQuery]) -> Answer[GroupOut]:
        """Say who is in a group, in which role, and what it bears.

        It holds for the very next event, instruction and step of maintenance, wherever the map comes from.
        """
        project = project_of(call.identity, call.query.project)
        name = named(call.path["name"])
        made = await self._groups.put(group_of(call.body, project, name), user=call.identity.name)
        return Answer(group_out(made))

    @operation(
        "DELETE",
        "/v1/groups/{name}",
        tag=TAG,
        roles=OWNERS,
        path_help=NAME,
        answers={204: "What the map says of its machines counts."},
    )
    async def delete_group(self, call: Call[None, ProjectQuery]) -> Answer[None]:
        """Take back what I have said of a group."""
        project = project_of(call.identity, call.query.project)
        await self._groups.forget(project, call.path["name"], user=call.identity.name)
        return Answer(None, 204)


def named(name: str) -> str:
    """Return the name of a group.

    Raises:
        RejectedError: it is none.
    """
    if not 0 < len(name) <= 255 or not name.isprintable():
        raise RejectedError("the name of a group is a line of at most 255 letters", reason=Reason.NOT_FOUND)
    return name
