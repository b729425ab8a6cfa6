"""What a document adds to a map that clouds keep, and what is wrong with it."""

import pytest

from doctor.api.wire.resource_map import (
    PhysicalResourceIn,
    RelationIn,
    ResourceMapIn,
    VirtualResourceIn,
    additions_of,
)
from doctor.model.errors import RejectedError
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap

KNOWN = ResourceMap(
    [PhysicalResource(id="compute-1", cloud="cloud")],
    [VirtualResource(id="vm-1", host="compute-1", owner="red", cloud="cloud")],
)
SWITCH = PhysicalResourceIn(id="switch-1", type="switch")
UPLINK = RelationIn("switch-1", "connects", "compute-1")


def test_what_the_cloud_keeps_is_passed_over() -> None:
    """The answer of GET may be sent back."""
    document = ResourceMapIn(
        physical_resources=[PhysicalResourceIn(id="compute-1", zone_id="elsewhere"), SWITCH],
        virtual_resources=[VirtualResourceIn(id="vm-1", owner="blue")],
        relations=[UPLINK, RelationIn("compute-1", "hosts", "vm-1")],
    )
    physical, relations = additions_of(document, KNOWN, is_complete=True)
    assert [one.id for one in physical] == ["switch-1"]
    assert relations == [Relation("switch-1", "connects", "compute-1")]


@pytest.mark.parametrize(
    ("document", "pointer"),
    [
        pytest.param(
            ResourceMapIn(physical_resources=[SWITCH, SWITCH]), "/physical_resources/1/id", id="twice"
        ),
        pytest.param(
            ResourceMapIn(virtual_resources=[VirtualResourceIn(id="vm-9", owner="red")]),
            "/virtual_resources/0/id",
            id="a-machine-of-nobody",
        ),
        pytest.param(
            ResourceMapIn(
                physical_resources=[SWITCH], relations=[RelationIn("switch-1", "connects", "compute-9")]
            ),
            "/relations/0/to",
            id="a-host-that-is-not-there",
        ),
        pytest.param(
            ResourceMapIn(
                physical_resources=[SWITCH], relations=[RelationIn("switch-1", "connects", "switch-1")]
            ),
            "/relations/0/to",
            id="itself",
        ),
    ],
)
def test_what_is_wrong_is_named(document: ResourceMapIn, pointer: str) -> None:
    with pytest.raises(RejectedError) as refused:
        additions_of(document, KNOWN, is_complete=True)
    assert [flaw.pointer for flaw in refused.value.flaws] == [pointer]


def test_while_the_cloud_is_loading_a_host_may_still_come() -> None:
    document = ResourceMapIn(
        physical_resources=[SWITCH], relations=[RelationIn("switch-1", "connects", "compute-9")]
    )
    assert additions_of(document, KNOWN, is_complete=False)[1]
