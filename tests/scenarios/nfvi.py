"""The infrastructures that the stories are about."""

from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import EventKind, SubscribeFilter

FAULTS = SubscribeFilter(event=frozenset({EventKind.FAULT}))  # and nothing of the capacity


def small_nfvi() -> ResourceMap:
    """Two hosts. Red has an active machine on one and its standby on the other, blue a neighbour on the first."""
    return ResourceMap(
        [
            PhysicalResource(id="compute-1", zone_id="zone-1", metadata={"serial": "SN-1"}),
            PhysicalResource(id="compute-2", zone_id="zone-1"),
        ],
        [
            VirtualResource(id="vm-1", host="compute-1", owner="red", group="vnf", role="ACT"),
            VirtualResource(id="vm-2", host="compute-2", owner="red", group="vnf", role="STBY"),
            VirtualResource(id="vm-3", host="compute-1", owner="blue"),
        ],
    )


def redundant_nfvi() -> ResourceMap:
    """One host that hangs on two switches, each with a power feed of its own; red and blue have a machine on it."""
    return ResourceMap(
        [
            PhysicalResource(id="compute-1"),
            PhysicalResource(id="switch-a", type="switch"),
            PhysicalResource(id="switch-b", type="switch"),
            PhysicalResource(id="feed-a", type="power"),
            PhysicalResource(id="feed-b", type="power"),
        ],
        [
            VirtualResource(id="vm-1", host="compute-1", owner="red"),
            VirtualResource(id="vm-2", host="compute-1", owner="blue"),
        ],
        [
            Relation("switch-a", "connects", "compute-1"),
            Relation("switch-b", "connects", "compute-1"),
            Relation("feed-a", "powers", "switch-a"),
            Relation("feed-b", "powers", "switch-b"),
        ],
    )


def crowded_nfvi(machines: int, owner: str = "red") -> ResourceMap:
    """One host with many machines of one owner."""
    return ResourceMap(
        [PhysicalResource(id="compute-1")],
        [VirtualResource(id=f"vm-{number}", host="compute-1", owner=owner) for number in range(machines)],
    )
