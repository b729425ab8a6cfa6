"""The door to the capacity of the pool [D 3.3.4]."""

from collections.abc import Callable
from typing import Literal

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Several, is_in
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import OVERSEERS
from doctor.api.sorting import Key, Order, sorted_page
from doctor.flows.situation import Situation
from doctor.model.capacity import ZoneCapacity


class CapacityQuery(PageQuery, frozen=True, kw_only=True):
    """Which zones. Hosts without a zone have the zone null, which no name finds."""

    zone_id: Several = frozenset()
    sort: Literal["zone_id", "-zone_id"] = "zone_id"


_KEYS: dict[str, Callable[[ZoneCapacity], Key]] = {"zone_id": lambda one: 0 if one.zone_id is None else 1}


class CapacityDoor:
    """The operations on the capacity."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    @operation("GET", "/v1/capacity", tag="Resources", roles=OVERSEERS)
    async def get_capacity(self, call: Call[None, CapacityQuery]) -> Answer[Page[ZoneCapacity]]:
        """Ask what the zones have and what is left of it.

        It is counted anew whenever a fault, its end or a new map changes it, and told as `capacity` notifications.
        Hosts say in their `metadata` what they have (`vcpus`, `memory_mb`), virtual resources what they take.
        """
        query = call.query
        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.zone_id or "")
        zones = self._situation.pool.zones()

        def wanted(one: ZoneCapacity) -> bool:
            return not query.zone_id or (one.zone_id is not None and is_in(one.zone_id, query.zone_id))

        return Answer(await sorted_page(zones, query, order, wanted, lambda one: one))
