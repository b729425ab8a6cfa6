"""What the doors of the Consumers share [D 5.5.1]: which resources of the one who asks have open alarms.

Every answer is kept to the scope of the one who asks: a project sees its own resources and nothing else, the
Administrator sees all. What is somebody else's is answered like what does not exist.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Annotated

import msgspec

from doctor.flows.situation import Situation
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.errors import Flaw, RejectedError
from doctor.model.fault import Severity, severity_of
from doctor.model.notification import VirtualResourceInfo
from doctor.model.resource_map import ResourceMap
from doctor.notifier.message import Describer

Described = Annotated[str, msgspec.Meta(max_length=255)]
# Any of these; a set, since each may be held against a hundred thousand alarms.
Several = Annotated[frozenset[Described], msgspec.Meta(max_length=100)]


class Owned:
    """Operations on what belongs to somebody."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    def _troubled(self, scope: str | None) -> Iterator[str]:
        """Return the ids of virtual resources and VNFs in scope with an open alarm, in order."""
        resources, book = self._situation.resources, self._situation.book
        owners = ((vnf, resources.vnf_owner(vnf)) for vnf in book.vnfs)
        found = [vnf for vnf, owner in owners if owner is not None and scope in (None, owner)]
        if scope is None:
            found += [resource_id for resource_id in book.troubled() if resource_id in resources.virtual]
        else:
            on = book.is_troubled
            found += [resource_id for resource_id in resources.owned_by(scope) if on(resource_id)]
        return iter(sorted(found))

    def _alarms_on(self, resource_id: str) -> list[tuple[AlarmedFault, Alarm]]:
        found = [(record, record.alarms[resource_id]) for record in self._situation.book.on(resource_id)]
        return sorted(found, key=lambda pair: (-pair[1].severity, pair[1].raised_time))


def is_in(value: str, wanted: frozenset[str]) -> bool:
    """Tell whether a value passes a filter; an empty one lets all pass."""
    return not wanted or value in wanted


def severity_floor(word: str | None) -> Severity:
    """Return the lowest severity that is asked for.

    Raises:
        RejectedError: it is none.
    """
    if word is None:
        return Severity.CLEARED
    try:
        return severity_of(word)
    except ValueError as error:
        raise RejectedError("the query is wrong", flaws=[Flaw("/min_severity", str(error))]) from None


def info_of(
    describer: Describer, resource_id: str, told: list[tuple[AlarmedFault, Alarm]], kind: str = ""
) -> VirtualResourceInfo:
    """Describe a resource with these alarms on it."""
    faults = tuple(describer.fault(*pair) for pair in told)
    return describer.virtual(resource_id, kind or told[0][1].resource_type, faults)


def administrators_only(scope: str | None, filters: Mapping[str, object]) -> None:
    """Refuse these filters to a project.

    Raises:
        RejectedError: one is given, and it is not the Administrator who asks.
    """
    flaws = [Flaw(f"/{name}", "only for the Administrator") for name, given in filters.items() if given]
    if scope is not None and flaws:
        raise RejectedError("only the Administrator may ask for the physical side", flaws=flaws)


def ids_named(names: Iterable[str], resources: ResourceMap) -> frozenset[str]:
    """Return the ids of physical resources that are named by id, alias or short name; an unknown name stays."""
    return frozenset(found.id if (found := resources.find(name)) else name for name in names)
