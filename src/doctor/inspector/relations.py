"""One step along the relations of the resource map: up to what a resource depends on, down to what depends on it."""

from collections.abc import Iterator, Sequence

from doctor.model.resource_map import HOSTS, ResourceMap


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
