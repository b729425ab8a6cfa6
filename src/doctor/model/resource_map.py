"""The resource map: what there is, what runs on what, and who owns it [D 5.1.3].

Plain dicts over structs that the garbage collector need not visit: a million machines cost about a kilobyte each
and a look-up costs a microsecond or two, since nothing is listed or searched at fault time.
"""

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import chain
from typing import NamedTuple, Protocol, TypeVar

from msgspec.structs import replace

from doctor.model.errors import Flaw, RejectedError
from doctor.model.map_news import MapDelta
from doctor.model.resource import (
    HOST,
    JOINS,
    MOST_LEVELS,
    VIRTUAL_MACHINE,
    Constraints,
    PhysicalResource,
    Relation,
    Resource,
    VirtualResource,
    Vnf,
    vnf_named,
    vnf_of,
)

HOSTS = "hosts"

T = TypeVar("T")


class Given(NamedTuple):
    """What a map was given of a machine of which its owner has said something else since."""

    group: str | None
    role: str | None
    constraints: Constraints | None


class ResourceMap:
    """Everything known of the infrastructure, with the look-ups of the fault path.

    A map that is loaded by hand is made whole and then only read; a new one takes its place. One that a cloud keeps
    is changed where it stands, by `apply`, between two steps of the flows. Lists that were handed out stay as they were.
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
        self.given: dict[str, Given] = {}  # of machines that are not in it as whoever keeps it has them
        self._names: dict[str, str] = {}
        self._machines: dict[str, list[str]] = {}
        self._owned: dict[str, list[str]] = {}
        self._groups: tuple[int, dict[str, dict[str, list[str]]]] = (version, {})
        self._taken: dict[str, tuple[int, int]] = {}
        self._dependents: dict[str, list[Relation]] = {}
        self._suppliers: dict[str, list[Relation]] = {}
        flaws = [
            *self._index_physical(physical),
            *self._index_virtual(virtual),
            *self._index_relations(relations),
        ]
        if flaws:
            raise RejectedError(f"the resource map has {len(flaws)} flaws", flaws=flaws[:100])

    def copy(self) -> "ResourceMap":
        """Return a map that stays as this one is now, whatever becomes of this one: for who reads it beside the flows."""
        same = ResourceMap(version=self.version)
        same.physical, same.virtual, same.given = dict(self.physical), dict(self.virtual), dict(self.given)
        same._names, same._taken = dict(self._names), dict(self._taken)
        same._machines, same._owned = _copied(self._machines), _copied(self._owned)
        same._dependents, same._suppliers = _copied(self._dependents), _copied(self._suppliers)
        return same

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
            if resource.host is not None and resource.host not in self.physical:
                yield Flaw(
                    f"/virtual_resources/{index}/host",
                    f"{resource.host!r} is none of the physical resources",
                )
            self._place(resource)

    def _place(self, resource: VirtualResource) -> None:
        """Take a virtual resource into the look-ups."""
        self.virtual[resource.id] = resource
        if resource.host is not None:
            self._machines.setdefault(resource.host, []).append(resource.id)
            self._take(resource, 1)
        self._owned.setdefault(resource.owner, []).append(resource.id)

    def _take(self, resource: VirtualResource, sign: int) -> None:
        if resource.host is not None and (resource.vcpus or resource.memory_mb):
            vcpus, memory_mb = self.taken_on(resource.host)
            self._taken[resource.host] = (
                vcpus + sign * (resource.vcpus or 0),
                memory_mb + sign * (resource.memory_mb or 0),
            )

    def _index_relations(self, relations: Iterable[Relation]) -> Iterator[Flaw]:
        for index, relation in enumerate(relations):
            for end, name in (("from", relation.supplier), ("to", relation.dependent)):
                if self.get(name) is None:
                    yield Flaw(f"/relations/{index}/{end}", f"{name!r} is none of the resources")
            if relation.supplier == relation.dependent:
                yield Flaw(f"/relations/{index}/to", "a resource does not depend on itself")
            self._relate(relation)

    def _relate(self, relation: Relation) -> None:
        self._dependents.setdefault(relation.supplier, []).append(relation)
        self._suppliers.setdefault(relation.dependent, []).append(relation)

    def apply(self, delta: MapDelta) -> None:
        """Change the map where it stands. It is a new version then.

        A resource whose host is not in the map is on none; a relation of which an end is missing is left out: whoever
        keeps the map names what things stand on before it names the things.
        """
        for relation in delta.unrelated:
            _drop(self._dependents, relation.supplier, relation)
            _drop(self._suppliers, relation.dependent, relation)
        for name in delta.gone:
            self._remove(name)
        for physical in delta.physical:
            self._put_physical(physical)
        for virtual in delta.virtual:
            self._put_virtual(virtual)
        for relation in delta.related:
            known = self.get(relation.supplier) is not None and self.get(relation.dependent) is not None
            if known and relation not in self._dependents.get(relation.supplier, ()):
                self._relate(relation)
        self.version += 1
        for listing in ("virtual_ids", "physical_ids"):
            self.__dict__.pop(listing, None)
        ties = chain(delta.related, delta.unrelated)
        if delta.physical or delta.gone or any(one.kind in JOINS for one in ties):
            self.__dict__.pop("hosts_by_domain", None)

    def _put_physical(self, resource: PhysicalResource) -> None:
        known = self.physical.get(resource.id)
        if known is None or known.aliases != resource.aliases:
            if known is not None:
                self._forget_names(known)
            for alias in resource.aliases:
                self._names.setdefault(alias, resource.id)
            self._names.setdefault(short_name(resource.id), resource.id)
        self.physical[resource.id] = resource

    def _put_virtual(self, resource: VirtualResource) -> None:
        if resource.host is not None and resource.host not in self.physical:
            resource = replace(resource, host=None)
        known = self.virtual.get(resource.id)
        if known is None:
            self._place(resource)
            return
        self.virtual[resource.id] = resource
        self._take(known, -1)
        self._take(resource, 1)
        if known.host != resource.host:
            if known.host is not None:
                _drop(self._machines, known.host, known.id)
            if resource.host is not None:
                self._machines.setdefault(resource.host, []).append(resource.id)
        if known.owner != resource.owner:
            _drop(self._owned, known.owner, known.id)
            self._owned.setdefault(resource.owner, []).append(resource.id)

    def _remove(self, name: str) -> None:
        """Take a resource out, with its relations; what was on a host that goes is on none."""
        for relation in (*self.dependents(name), *self.suppliers(name)):
            _drop(self._dependents, relation.supplier, relation)
            _drop(self._suppliers, relation.dependent, relation)
        virtual = self.virtual.pop(name, None)
        if virtual is not None:
            self._take(virtual, -1)
            if virtual.host is not None:
                _drop(self._machines, virtual.host, name)
            _drop(self._owned, virtual.owner, name)
        physical = self.physical.pop(name, None)
        if physical is not None:
            self._forget_names(physical)
            for machine in self._machines.pop(name, ()):
                self.virtual[machine] = replace(self.virtual[machine], host=None)
            self._taken.pop(name, None)

    def _forget_names(self, resource: PhysicalResource) -> None:
        for name in (*resource.aliases, short_name(resource.id)):
            if self._names.get(name) == resource.id:
                del self._names[name]

    def count_relations(self) -> int:
        """Return how many relations there are."""
        return sum(map(len, self._dependents.values()))

    @property
    def relations(self) -> Iterator[Relation]:
        """Return all relations, supplier by supplier."""
        return chain.from_iterable(self._dependents.values())

    def get(self, resource_id: str) -> Resource | None:
        """Return the resource of this id, or None."""
        return self.physical.get(resource_id) or self.virtual.get(resource_id)

    def as_given(self, resource_id: str) -> VirtualResource | None:
        """Return a virtual resource as whoever keeps the map has it, whatever its owner has said since."""
        found, given = self.virtual.get(resource_id), self.given.get(resource_id)
        return found if found is None or given is None else replace(found, **given._asdict())

    def find(self, name: str) -> Resource | None:
        """Return the resource that a Monitor calls by this name: its id, an alias, then a host's short name."""
        found = self.get(name)
        if found is None:
            resource_id = self._names.get(name) or self._names.get(short_name(name))
            found = self.physical.get(resource_id) if resource_id else None
        return found

    def name_among(self, resource_id: str, names: Container[str]) -> str | None:
        """Return by which of these names a resource is called; what no map knows has its id only."""
        found = self.physical.get(resource_id)
        own = (resource_id,) if found is None else (found.id, *found.aliases, short_name(found.id))
        known = (name for name in own if name in names)
        return next((name for name in known if found is None or self.find(name) is found), None)

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

    def domains_of(self, resource_id: str) -> list[str]:
        """Return the failure domains that a resource is in, those nearest to it first."""
        found: dict[str, None] = {}
        level = [resource_id]
        for _ in range(MOST_LEVELS):
            level = [
                relation.supplier
                for name in level
                for relation in self._suppliers.get(name, ())
                if relation.kind in JOINS and relation.supplier not in found
            ]
            found.update(dict.fromkeys(level))
            if not level:
                break
        return list(found)

    @cached_property
    def hosts_by_domain(self) -> Mapping[str, frozenset[str]]:
        """Return the hosts in each failure domain, also in those within it: counted once, for all of the map."""
        found: dict[str, set[str]] = {}
        for host in self.hosts():
            for domain in self.domains_of(host.id):
                found.setdefault(domain, set()).add(host.id)
        return {domain: frozenset(hosts) for domain, hosts in found.items()}

    def hosts(self) -> Iterator[PhysicalResource]:
        """Return all hosts."""
        return (resource for resource in self.physical.values() if resource.type == HOST)


class Owners(Protocol):
    """Who has which virtual resources: a map, or a map as it was before a change."""

    @property
    def virtual(self) -> Mapping[str, VirtualResource]:
        """Return the virtual resources by their ids."""
        ...

    def owned_by(self, project: str) -> Sequence[str]:
        """Return the ids of the virtual resources of this project."""
        ...


class OwnersBefore(Mapping[str, VirtualResource]):
    """The owners of a map as they were before a delta that is about to change it; good until the next one."""

    def __init__(self, resources: ResourceMap, delta: MapDelta) -> None:
        self._resources = resources
        self._known = {name: resources.virtual.get(name) for name in delta.ids}

    @property
    def virtual(self) -> Mapping[str, VirtualResource]:
        """Return the virtual resources by their ids."""
        return self

    def owned_by(self, project: str) -> Sequence[str]:
        """Return the ids of the virtual resources of this project."""
        others = [name for name in self._resources.owned_by(project) if name not in self._known]
        return others + [
            name for name, one in self._known.items() if one is not None and one.owner == project
        ]

    def __getitem__(self, name: str) -> VirtualResource:
        found = self._known[name] if name in self._known else self._resources.virtual.get(name)
        if found is None:
            raise KeyError(name)
        return found

    def __iter__(self) -> Iterator[str]:
        yield from (name for name, one in self._known.items() if one is not None)
        yield from (name for name in self._resources.virtual if name not in self._known)

    def __len__(self) -> int:
        return sum(1 for _ in self)


def _copied(lists: dict[str, list[T]]) -> dict[str, list[T]]:
    return {key: items.copy() for key, items in lists.items()}


def _drop(lists: dict[str, list[T]], key: str, item: T) -> None:
    """Take an item out of the list of this key, by another list: somebody may be reading that one."""
    left = [one for one in lists.get(key, ()) if one != item]
    if left:
        lists[key] = left
    else:
        lists.pop(key, None)


def short_name(name: str) -> str:
    """Return a host name without its domain; an IPv4 address, or the name of a part (``leaf-1.lab:eth1``), stays whole."""
    head, _, tail = name.partition(".")
    return head if tail and not head.isdigit() and ":" not in name else name
