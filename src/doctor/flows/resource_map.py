"""How a new resource map takes the place of the one before: kept first, then used for the very next event."""

import gc

import structlog

from doctor.flows.fault import FaultFlow
from doctor.model.resource_map import ResourceMap

log = structlog.get_logger(__name__)


async def replace_map(faults: FaultFlow, resources: ResourceMap, document: bytes) -> None:
    """Replace the map of the embedded controller whole. What open faults do is judged anew, and corrected.

    Raises:
        RejectedError: the map belongs to a cloud.
        StoreError: it could not be kept; the map before stays.
    """
    _ = resources.hosts_by_domain  # counted now, and not when the first host fails
    await faults.replace_map(resources, document)
    settle_memory()
    log.info(
        "resource_map.replaced",
        version=resources.version,
        physical_resources=len(resources.physical),
        virtual_resources=len(resources.virtual),
        relations=resources.count_relations(),
    )


def settle_memory() -> None:
    """Keep the collector away from what stays for long: a pass over a million machines would stop the fault path."""
    gc.collect()
    gc.freeze()
    gc.enable()
