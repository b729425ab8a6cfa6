"""The controllers that need no cloud keep the contract, so that tests with them mean something."""

import asyncio

import pytest

from doctor.drivers.controllers.embedded import EmbeddedController, make
from doctor.model.map_news import MapDelta
from doctor.model.marking import MarkKind
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Controller
from doctor.testing.cloud import FakeCloud
from doctor.testing.contracts.controller import ControllerContract, ControllerRig

CONTENT = MapDelta(
    physical=(PhysicalResource(id="compute-1", cloud="cloud"),),
    virtual=(
        VirtualResource(id="vm-1", host="compute-1", owner="red", cloud="cloud"),
        VirtualResource(id="port-1", type="virtual NIC", host="compute-1", owner="red", cloud="cloud"),
        VirtualResource(id="disk-1", type="virtual storage", owner="red", cloud="cloud"),
    ),
    related=(Relation("port-1", "attaches", "vm-1"), Relation("disk-1", "attaches", "vm-1")),
)


class Rig(ControllerRig):
    def __init__(self, controller: Controller, known: ResourceMap) -> None:
        self.controller = controller
        self.known = known

    def markable(self) -> dict[MarkKind, str]:
        return {
            MarkKind.FORCED_DOWN: "compute-1",
            MarkKind.DISABLED: "compute-1",
            MarkKind.SERVER_ERROR: "vm-1",
            MarkKind.PORT_DOWN: "port-1",
            MarkKind.VOLUME_ERROR: "disk-1",
        }

    async def begin(self) -> None:
        for _ in range(5):
            await asyncio.sleep(0)


class TestEmbeddedController(ControllerContract):
    @pytest.fixture
    def rig(self) -> Rig:
        known = ResourceMap()
        known.apply(CONTENT)
        return Rig(EmbeddedController(), known)


class TestFakeCloud(ControllerContract):
    @pytest.fixture
    def rig(self) -> Rig:
        return Rig(FakeCloud(content=CONTENT), ResourceMap())


def test_the_embedded_controller_has_no_settings() -> None:
    assert isinstance(make({}), EmbeddedController)
    with pytest.raises(ValueError, match="unknown setting 'cloud'"):
        make({"cloud": "mine"})
