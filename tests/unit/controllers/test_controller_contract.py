"""The controllers that need no cloud keep the contract, so that tests with them mean something."""

import asyncio

import pytest

from doctor.drivers.controllers.embedded import EmbeddedController, make
from doctor.model.errors import Reason, RejectedError
from doctor.model.instruction import Action, Command, Stage
from doctor.model.map_news import MapDelta
from doctor.model.marking import MarkKind
from doctor.model.resource import NIC, STORAGE, PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Controller
from doctor.testing.cloud import FakeCloud
from doctor.testing.contracts.controller import ControllerContract, ControllerRig, carry_out, watching

CONTENT = MapDelta(
    physical=(
        PhysicalResource(id="compute-1", zone_id="a", cloud="cloud"),
        PhysicalResource(id="compute-2", zone_id="a", cloud="cloud"),
    ),
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

    def commandable(self) -> dict[Action, str]:
        return {
            Action.STOP: "vm-1",
            Action.START: "vm-1",
            Action.REBOOT: "vm-1",
            Action.REBUILD: "vm-1",
            Action.LIVE_MIGRATE: "vm-1",
            Action.MIGRATE: "vm-1",
            Action.EVACUATE: "vm-1",
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


def host(name: str, zone: str = "a", **metadata: int) -> PhysicalResource:
    return PhysicalResource(id=name, zone_id=zone, metadata=metadata)


VM = VirtualResource(id="vm-1", host="compute-1", owner="red", vcpus=2, memory_mb=1024)


@pytest.mark.parametrize(
    ("hosts", "taken"),
    [
        pytest.param((host("b"), host("c", "other")), "b", id="the-same-zone-first"),
        pytest.param((host("c", "other"),), "c", id="another-zone-rather-than-none"),
        pytest.param((host("b", vcpus=1), host("c", vcpus=2)), "c", id="where-it-fits"),
        pytest.param((host("b", vcpus=4), host("c", vcpus=8)), "c", id="where-most-is-left"),
        pytest.param((host("b", memory_mb=512),), None, id="nowhere"),
        pytest.param((host("broken"),), None, id="not-on-one-that-is-not-well"),
    ],
)
async def test_a_machine_of_a_map_goes_where_it_fits(
    hosts: tuple[PhysicalResource, ...], taken: str | None
) -> None:
    resources = ResourceMap((host("compute-1"), *hosts), (VM,))
    controller = EmbeddedController(lambda: resources, lambda one: one.id != "broken")
    async with watching(Rig(controller, resources)):
        command = Command(Action.EVACUATE, "vm-1", "compute-1", {})
        if taken is None:
            with pytest.raises(RejectedError, match="no other host has room") as refused:
                await carry_out(controller, command)
            assert refused.value.reason is Reason.CONFLICT
        else:
            await carry_out(controller, command)
            assert resources.virtual["vm-1"].host == taken


async def test_a_map_is_updated_where_it_has_a_place_for_it() -> None:
    resources = ResourceMap((host("compute-1"),), (VM,))
    controller = EmbeddedController(lambda: resources)
    async with watching(Rig(controller, resources)):
        update = Command(
            Action.UPDATE, "vm-1", "compute-1", {"metadata": {"doctor:role": "ACT"}, "name": "a"}
        )
        assert (await carry_out(controller, update)).stage is Stage.SUCCEEDED
        assert (resources.virtual["vm-1"].role, resources.virtual["vm-1"].name) == ("ACT", "a")
        with pytest.raises(RejectedError, match="no place for 'colour'"):
            await carry_out(controller, update._replace(parameters={"metadata": {"colour": "red"}}))
        terminate = Command(Action.TERMINATE, "vm-1", "compute-1", {})
        assert (await carry_out(controller, terminate)).stage is Stage.SUCCEEDED
        assert resources.virtual == {}


@pytest.mark.requirement("B1", "B23")
async def test_ports_are_cut_off_and_given_back_and_volumes_put_into_service() -> None:
    port = VirtualResource(id="port-1", type=NIC, host="compute-1", owner="red", vim_state="active")
    volume = VirtualResource(id="volume-1", type=STORAGE, owner="red", vim_state="error")
    resources = ResourceMap((host("compute-1"),), (VM, port, volume))
    controller = EmbeddedController(lambda: resources)
    async with watching(Rig(controller, resources)):
        for action, one, state in (
            (Action.STOP, port, "stopped"),
            (Action.START, port, "active"),
            (Action.START, volume, "available"),
        ):
            command = Command(action, one.id, one.host, {}, kind=one.type)
            assert (await carry_out(controller, command)).stage is Stage.SUCCEEDED
            assert resources.virtual[one.id].vim_state == state
