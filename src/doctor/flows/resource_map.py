"""How a new resource map takes the place of the one before: kept first, then used for the very next event."""

import gc
from datetime import datetime

import structlog

from doctor.flows.capacity import capacity_notifications
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.situation import Situation
from doctor.model.capacity import Pool, differences
from doctor.model.errors import Reason, RejectedError
from doctor.model.resource_map import ResourceMap
from doctor.ports.store import Change

log = structlog.get_logger(__name__)


async def replace_map(
    situation: Situation, delivery: DeliveryFlow, resources: ResourceMap, document: bytes, *, now: datetime
) -> None:
    """Replace the map of the embedded controller whole. Open faults stay as they were judged.

    What it does to the capacity is kept with the map and told. A fault that comes while the map is kept is counted in
    the pool from before; if that makes a difference it is told behind.

    Raises:
        RejectedError: the map belongs to a cloud.
        StoreError: it could not be kept; the map before stays.
    """
    if situation.clouds:
        detail = f"the resource map is kept by {', '.join(situation.clouds)}, and not by hand"
        raise RejectedError(detail, reason=Reason.CONFLICT)
    async with situation.setting:
        await situation.ready()
        counted = Pool(resources, situation.book.state_of)
        told = capacity_notifications(situation, differences(situation.pool, counted), now=now)
        await situation.put_in_force(
            Change(resource_map=document, notifications=told),
            lambda snapshot: snapshot.resource_map == document,
            lambda: _use(situation, resources),
        )
        delivery.dispatch(told)
        behind = capacity_notifications(situation, differences(counted, situation.pool), now=now)
        if behind:
            await situation.keep(Change(notifications=behind))
            delivery.dispatch(behind)
    settle_memory()
    log.info(
        "resource_map.replaced",
        version=resources.version,
        physical_resources=len(resources.physical),
        virtual_resources=len(resources.virtual),
        relations=resources.count_relations(),
    )


def _use(situation: Situation, resources: ResourceMap) -> None:
    situation.resources = resources


def settle_memory() -> None:
    """Keep the collector away from what stays for long: a pass over a million machines would stop the fault path."""
    gc.collect()
    gc.freeze()
    gc.enable()
