"""What owners say of their redundancy groups: who is in one, in which role, and what the group bears [HA 5.3].

A map names groups, too. What the owner has said himself goes over that, machine by machine.
"""

from collections.abc import Iterable, Iterator, Mapping
from datetime import datetime

import msgspec
from msgspec.structs import replace

from doctor.model.resource import VIRTUAL_MACHINE, Constraints, VirtualResource


class Group(msgspec.Struct, frozen=True, kw_only=True):
    """A redundancy group of a project.

    ``members`` are machines that are in it by their owner's word, beside those that the map has in it; ``roles`` are by
    machine. ``max_out``, ``recovery_time`` (seconds) and ``max_per_host`` hold for all of them; None leaves it to the
    `Constraints` of each. ``label`` is how people call it.
    """

    project: str
    name: str
    members: tuple[str, ...] = ()
    roles: Mapping[str, str] = {}
    max_out: int | None = None
    recovery_time: float | None = None
    max_per_host: int | None = None
    label: str = ""
    user: str = ""
    changed: datetime | None = None


class GroupBook:
    """All that owners have said of their groups."""

    def __init__(self, groups: Iterable[Group] = ()) -> None:
        self._all: dict[tuple[str, str], Group] = {}
        self._named: dict[tuple[str, str], str] = {}
        for one in groups:
            self.put(one)

    def __iter__(self) -> Iterator[Group]:
        return iter(self._all.values())

    def __len__(self) -> int:
        return len(self._all)

    def put(self, group: Group) -> None:
        """Have a group, in place of the one of its name."""
        self.forget(group.project, group.name)
        self._all[group.project, group.name] = group
        for machine in group.members:
            self._named[group.project, machine] = group.name

    def forget(self, project: str, name: str) -> None:
        """Have nothing said of a group."""
        gone = self._all.pop((project, name), None)
        for machine in () if gone is None else gone.members:
            if self._named.get((project, machine)) == name:
                del self._named[project, machine]

    def get(self, project: str, name: str) -> Group | None:
        """Return what is said of a group, or None."""
        return self._all.get((project, name))

    def group_of(self, project: str, machine: str) -> str | None:
        """Return the group that a machine is in by its owner's word."""
        return self._named.get((project, machine))

    def dressed(self, resource: VirtualResource) -> VirtualResource:
        """Return a resource of a map as it is by its owner's word; the same one where he has said nothing of it."""
        if resource.type != VIRTUAL_MACHINE:
            return resource
        name = self._named.get((resource.owner, resource.id), resource.group)
        group = None if name is None else self._all.get((resource.owner, name))
        if group is None:
            return resource
        limits = {
            field: value
            for field in ("max_out", "recovery_time", "max_per_host")
            if (value := getattr(group, field)) is not None
        }
        constraints = resource.constraints
        if limits:
            constraints = replace(constraints or Constraints(), **limits)
        role = group.roles.get(resource.id, resource.role)
        return replace(resource, group=name, role=role, constraints=constraints)
