"""The resource map: what there is, what runs on what, and who owns it [D 5.1.3].

Plain dicts over structs that the garbage collector need not visit: a million machines cost about a kilobyte each
and a look-up costs a microsecond or two, since nothing is listed or searched at fault time.
"""

from collections.abc import Iterable, Iterator, Sequence
from functools import cached_property

from doctor.model.errors import Flaw, RejectedError
from doctor.model.resource import (
    HOST,
    VIRTUAL_MACHINE,
    PhysicalResource,
    Relation,
    Resource,
    VirtualResource,
    Vnf,
    vnf_named,
    vnf_of,
)

HOSTS = "hosts"


class ResourceMap:
    """Everything known of the infrastructure, with the look-ups of the fault path.

    A map is made whole and then only read; a new one takes its place.
    """

    def __init__(
        self,
        physical: Iterable[PhysicalResource] = (),
        virtual: Iterable[VirtualResource] = (),
        relations: Iterable[Relation] = (),
        *,
        version: int = 0,
    ) -> None:
        """Index the resources.

        Raises:
            RejectedError: ids that are double or names that nothing has; every flaw is named.
        """
        self.version = version
        self.physical: dict[str, PhysicalResource] = {}
        self.virtual: dict[str, VirtualResource] = {}
        self.relations: list[Relation] = list(relations)
        self._names: dict[str, str] = {}
        self._machines: dict[str, list[str]] = {}
        self._owned: dict[str, list[str]] = {}
        self._groups: tuple[int, dict[str, dict[str, list[str]]]] = (version, {})
        self._taken: dict[str, tuple[int, int]] = {}
        self._dependents: dict[str, list[Relation]] = {}
        self._suppliers: dict[str, list[Relation]] = {}
        flaws = [*self._index_physical(physical), *self._index_virtual(virtual), *self._index_relations()]
        if flaws:
            raise RejectedError(f"the resource map has {len(flaws)} flaws", flaws=flaws[:100])

    def _index_physical(self, physical: Iterable[PhysicalResource]) -> Iterator[Flaw]:
        short_names: dict[str, str] = {}
        for index, resource in enumerate(physical):
            if resource.id in self.physical:
                yield Flaw(f"/physical_resources/{index}/id", f"{resource.id!r} is there twice")
            self.physical[resource.id] = resource
            for alias in resource.aliases:
                if self._names.setdefault(alias, resource.id) != resource.id:
                    yield Flaw(
                        f"/physical_resources/{index}/aliases",
                        f"{alias!r} already names {self._names[alias]!r}",
                    )
            short_names.setdefault(short_name(resource.id), resource.id)
        for name, resource_id in short_names.items():
            self._names.setdefault(name, resource_id)

    def _index_virtual(self, virtual: Iterable[VirtualResource]) -> Iterator[Flaw]:
        for index, resource in enumerate(virtual):
            resource_id = resource.id
            if resource_id in self.virtual or resource_id in self.physical:
                yield Flaw(f"/virtual_resources/{index}/id", f"{resource_id!r} is there twice")
            self.virtual[resource_id] = resource
            if resource.host is not None:
                if resource.host not in self.physical:
                    yield Flaw(
                        f"/virtual_resources/{index}/host",
                        f"{resource.host!r} is none of the physical resources",
                    )
                self._machines.setdefault(resource.host, []).append(resource_id)
                if resource.vcpus or resource.memory_mb:
                    vcpus, memory_mb = self.taken_on(resource.host)
                    self._taken[resource.host] = (
                        vcpus + (resource.vcpus or 0),
                        memory_mb + (resource.memory_mb or 0),
                    )
            self._owned.setdefault(resource.owner, []).append(resource_id)

    def _index_relations(self) -> Iterator[Flaw]:
        for index, relation in enumerate(self.relations):
            for end, name in (("from", relation.supplier), ("to", relation.dependent)):
                if self.get(name) is None:
                    yield Flaw(f"/relations/{index}/{end}", f"{name!r} is none of the resources")
            if relation.supplier == relation.dependent:
                yield Flaw(f"/relations/{index}/to", "a resource does not depend on itself")
            self._dependents.setdefault(relation.supplier, []).append(relation)
            self._suppliers.setdefault(relation.dependent, []).append(relation)

    def get(self, resource_id: str) -> Resource | None:
        """Return the resource of this id, or None."""
        return self.physical.get(resource_id) or self.virtual.get(resource_id)

    def find(self, name: str) -> Resource | None:
        """Return the resource that a Monitor calls by this name: its id, an alias, then a host's short name."""
        found = self.get(name)
        if found is None:
            resource_id = self._names.get(name) or self._names.get(short_name(name))
            found = self.physical.get(resource_id) if resource_id else None
        return found

    def machines_on(self, host_id: str) -> Sequence[str]:
        """Return the ids of the virtual resources that run on this host."""
        return self._machines.get(host_id, ())

    def taken_on(self, host_id: str) -> tuple[int, int]:
        """Return how many vcpus and how much memory (MB) the virtual resources on this host take."""
        return self._taken.get(host_id, (0, 0))

    def owned_by(self, project: str) -> Sequence[str]:
        """Return the ids of the virtual resources of this project."""
        return self._owned.get(project, ())

    def group(self, project: str, name: str) -> Sequence[str]:
        """Return the ids of the virtual resources in a group of this project, in their order.

        The groups of a project are found when somebody first asks for one of them in this version of the map.
        """
        version, groups = self._groups
        if version != self.version:
            self._groups = self.version, (groups := {})
        if project not in groups:
            found = groups[project] = {}
            for resource_id in self.owned_by(project):
                group = self.virtual[resource_id].group
                if group is not None:
                    found.setdefault(group, []).append(resource_id)
        return groups[project].get(name, ())

    def machines_of(self, vnf: Vnf) -> Sequence[VirtualResource]:
        """Return the virtual machines of a VNF, none if there is no such VNF."""
        if vnf.group is not None:
            members = (self.virtual[one] for one in self.group(vnf.owner, vnf.group))
            return [one for one in members if one.type == VIRTUAL_MACHINE]
        alone = self.virtual.get(vnf.machine or "")
        is_one = alone is not None and vnf_of(alone) == vnf and alone.type == VIRTUAL_MACHINE
        return [alone] if alone is not None and is_one else ()

    def vnf_owner(self, resource_id: str) -> str | None:
        """Return the owner of the VNF of this id, None if there is none."""
        vnf = vnf_named(resource_id)
        return vnf.owner if vnf is not None and self.machines_of(vnf) else None

    @cached_property
    def virtual_ids(self) -> Sequence[str]:
        """Return the ids of all virtual resources, in the order in which they were loaded."""
        return list(self.virtual)

    @cached_property
    def physical_ids(self) -> Sequence[str]:
        """Return the ids of all physical resources, in the order in which they were loaded."""
        return list(self.physical)

    def dependents(self, resource_id: str) -> Sequence[Relation]:
        """Return the relations in which this resource is the supplier."""
        return self._dependents.get(resource_id, ())

    def suppliers(self, resource_id: str) -> Sequence[Relation]:
        """Return the relations in which this resource is the dependent."""
        return self._suppliers.get(resource_id, ())

    def suppliers_among(self, resource_ids: Iterable[str]) -> Sequence[str]:
        """Return those of the resources that are suppliers in some relation, in the order of their ids."""
        return sorted(self._dependents.keys() & resource_ids)

    def hosts(self) -> Iterator[PhysicalResource]:
        """Return all hosts."""
        return (resource for resource in self.physical.values() if resource.type == HOST)


def short_name(name: str) -> str:
    """Return a host name without its domain; an IPv4 address stays whole."""
    head, _, tail = name.partition(".")
    return head if tail and not head.isdigit() else name
