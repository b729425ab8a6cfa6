"""Failure domains: what relations join, from a resource up to all that it depends on, and down to the hosts within."""

from collections.abc import Iterator, Sequence

from doctor.model.resource import HOST
from doctor.model.resource_map import HOSTS, ResourceMap

JOINS = ("connects", "powers", "contains")  # the relations that make a failure domain
MOST_LEVELS = 8  # of domains within domains; a map in a circle has no more


def above(resource_id: str, kinds: Sequence[str], resources: ResourceMap) -> Iterator[str]:
    """Return what a resource depends on by relations of these kinds; a machine depends on its host."""
    machine = resources.virtual.get(resource_id)
    if machine is not None and machine.host is not None and HOSTS in kinds:
        yield machine.host
    for relation in resources.suppliers(resource_id):
        if relation.kind in kinds:
            yield relation.supplier


def below(supplier: str, kind: str, resources: ResourceMap) -> Sequence[str]:
    """Return what depends on a resource by relations of this kind; machines depend on their host."""
    related = [relation.dependent for relation in resources.dependents(supplier) if relation.kind == kind]
    return [*related, *resources.machines_on(supplier)] if kind == HOSTS else related


def domains_of(resource_id: str, resources: ResourceMap) -> list[str]:
    """Return the failure domains that a resource is in, those nearest to it first."""
    found: dict[str, None] = {}
    level = [resource_id]
    for _ in range(MOST_LEVELS):
        level = [outer for name in level for outer in above(name, JOINS, resources) if outer not in found]
        found.update(dict.fromkeys(level))
        if not level:
            break
    return list(found)


def hosts_in(domain: str, resources: ResourceMap) -> list[str]:
    """Return the hosts in a failure domain, also in those within it."""
    found: dict[str, None] = {}
    level = [domain]
    for _ in range(MOST_LEVELS):
        level = [
            relation.dependent
            for name in level
            for relation in resources.dependents(name)
            if relation.kind in JOINS and relation.dependent not in found
        ]
        found.update(dict.fromkeys(level))
        if not level:
            break
    return [name for name in found if getattr(resources.get(name), "type", None) == HOST]
