"""How a new resource map takes the place of the one before: kept first, then used for the very next event."""

import gc

import structlog

from doctor.flows.situation import Situation
from doctor.model.resource_map import ResourceMap
from doctor.ports.store import Change

log = structlog.get_logger(__name__)


async def replace_map(situation: Situation, resources: ResourceMap, document: bytes) -> None:
    """Replace the map of the embedded controller whole. Open faults stay as they were judged.

    Raises:
        RejectedError: the map belongs to a cloud.
        StoreError: it could not be kept; the map before stays.
    """
    async with situation.setting:
        await situation.ready()
        await situation.put_in_force(
            Change(resource_map=document),
            lambda snapshot: snapshot.resource_map == document,
            lambda: situation.controller.replace(resources),
        )
    settle_memory()
    log.info(
        "resource_map.replaced",
        version=resources.version,
        physical_resources=len(resources.physical),
        virtual_resources=len(resources.virtual),
        relations=len(resources.relations),
    )


def settle_memory() -> None:
    """Keep the collector away from what stays for long: a pass over a million machines would stop the fault path."""
    gc.collect()
    gc.freeze()
    gc.enable()
