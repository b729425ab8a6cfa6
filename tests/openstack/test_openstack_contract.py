"""The controller for OpenStack keeps the contract, on a real Nova and Neutron."""

from collections.abc import AsyncIterator

import pytest

from doctor.model.instruction import Action
from doctor.model.marking import MarkKind
from doctor.model.resource_map import ResourceMap
from doctor.testing.contracts.controller import ControllerContract, ControllerRig
from tests.openstack.cloud import Cloud, until
from tests.openstack.conftest import controller


class Rig(ControllerRig):
    def __init__(self, things: dict[MarkKind, str], settings: dict[str, object]) -> None:
        self.controller = controller(settings)
        self.known = ResourceMap()
        self._things = things

    def markable(self) -> dict[MarkKind, str]:
        return self._things

    def commandable(self) -> dict[Action, str]:
        server = self._things[MarkKind.SERVER_ERROR]
        return dict.fromkeys(
            (Action.STOP, Action.START, Action.REBOOT, Action.REBUILD, Action.LIVE_MIGRATE), server
        )

    async def begin(self) -> None:
        async def all_known() -> bool:
            return all(self.known.get(one) for one in self._things.values())

        await until(all_known)


class TestOpenStackController(ControllerContract):
    @pytest.fixture
    async def rig(self, cloud: Cloud, least: dict[str, object]) -> AsyncIterator[Rig]:
        name, servers = next(iter((await cloud.hosts_of(cloud.servers)).items()))
        ports = await cloud.ports_on(name)
        rig = Rig(
            {
                MarkKind.FORCED_DOWN: name,
                MarkKind.DISABLED: name,
                MarkKind.SERVER_ERROR: servers[0],
                MarkKind.PORT_DOWN: next(iter(ports)),
            },
            least,
        )
        yield rig
        await rig.controller.close()
