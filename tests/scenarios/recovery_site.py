"""A site whose owners say beforehand what is done to their machines, on the embedded controller."""

import asyncio
from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from msgspec.structs import replace

from doctor.drivers.controllers.embedded import EmbeddedController
from doctor.flows.hand_map import HandMap
from doctor.flows.instruction import InstructionFlow, Order
from doctor.flows.recovery import RecoveryFlow
from doctor.flows.recovery_policy import RecoveryPolicyFlow
from doctor.model.errors import RejectedError
from doctor.model.fault import ResourceState
from doctor.model.identity import Identity, Role
from doctor.model.instruction import Action, Command, Instruction, Progress
from doctor.model.map_news import MapDelta
from doctor.model.recovery import (
    Handler,
    Recovery,
    RecoveryLimits,
    RecoveryPolicy,
    RecoveryState,
    RecoveryStep,
)
from doctor.model.resource import VirtualResource
from doctor.model.scope import Scope, ScopeKind
from doctor.testing.clock import LoopClock
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.isolation_site import Devices, ToldSite, armed

RED = Identity(name="vnfm", role=Role.CONSUMER, project="red")
VM_1 = Scope(ScopeKind.MACHINE, "vm-1")


class Embedded(EmbeddedController):
    """The embedded controller, which writes down what it is told and can be slow or unable."""

    def __init__(self, *given: Any) -> None:
        super().__init__(*given)
        self.told: list[tuple[Action, str, str | None]] = []
        self.takes = 0.0
        self.cannot: set[Action] = set()

    async def look(self, command: Command) -> Progress:
        if self.takes:
            await asyncio.sleep(self.takes)
        return await super().look(command)

    async def tell(self, command: Command) -> None:
        if command.action in self.cannot:
            raise RejectedError("it cannot")
        self.told.append((command.action, command.resource_id, command.target))
        await super().tell(command)


class World:
    """What outlives Doctor."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.devices = Devices(self.clock)
        self.store = FallibleStore()
        self.told: list[tuple[Action, str, str | None]] = []


class Recovering(ToldSite):
    """One process of Doctor, which recovers."""

    def __init__(self, world: World, limits: RecoveryLimits | None = None, **more: Any) -> None:
        super().__init__(world.store, world.devices, world.clock, **more)
        self.store = world.store

        def is_well(host: Any) -> bool:
            return self.situation.book.state_of(host.id) is ResourceState.NORMAL

        self.controller = Embedded(lambda: self.situation.resources, is_well)
        self.controller.told = world.told
        self.hand_map = HandMap(self.situation, self.faults, self.delivery, self.controller, self.clock)
        self.instructions = InstructionFlow(
            self.situation,
            {None: self.controller},
            self.isolation,
            self.faults,
            self.delivery,
            self.timelines,
            self.clock,
        )
        self.isolation.unfinished = self.instructions.unfinished
        self.recovery = RecoveryFlow(
            self.situation, self.instructions, self.isolation, self.clock, limits or RecoveryLimits()
        )
        self.policies = RecoveryPolicyFlow(self.situation, self.clock, self.recovery.look_at)
        self.faults.on_settled(lambda transitions: self.instructions.ring())
        self.faults.on_isolated(lambda host: self.instructions.ring())
        self.faults.on_settled(self.recovery.settled)
        self.faults.on_isolated(lambda host: self.recovery.ring())
        self.isolation.on_moved(lambda host: self.recovery.ring())
        self.isolation.on_moved(lambda host: self.instructions.ring())

    def works(self) -> list[Coroutine[Any, Any, None]]:
        self.hand_map.start()
        return [*super().works(), self.hand_map.run(), self.instructions.run(), self.recovery.run()]

    async def change(self, *machines: VirtualResource) -> None:
        """Have machines otherwise than the site has them, for good."""
        await self.hand_map._take(MapDelta(virtual=machines))

    def machine(self, number: int, **more: Any) -> VirtualResource:
        """Return a machine of the site with something else about it."""
        return replace(self.situation.resources.virtual[f"vm-{number}"], **more)

    def host_of(self, machine: str = "vm-1") -> str | None:
        """Return where a machine is."""
        return self.situation.resources.virtual[machine].host

    async def say_beforehand(
        self, *actions: Action, scope: Scope = VM_1, seconds: float = 300.0, **more: Any
    ) -> RecoveryPolicy:
        """Let the owner say what is to be done, each for so many seconds; by Doctor, at once."""
        steps = tuple(RecoveryStep(action=one, timeout=timedelta(seconds=seconds)) for one in actions)
        usual: dict[str, Any] = {"handled_by": Handler.DOCTOR, "steps": steps}
        return await self.policies.put(
            RecoveryPolicy(project="red", scope=scope, **{**usual, **more}), user="vnfm"
        )

    async def ask(self, action: Action, machine: str = "vm-1", **more: Any) -> Instruction:
        """Let the owner instruct."""
        order = Order(action, (machine,), {}, deadline=timedelta(seconds=60), **more)
        return await self.instructions.create(RED, order)

    def recovery_of(self, machine: str = "vm-1") -> Recovery:
        """Return how far the recovery of a machine got."""
        return self.situation.recoveries[machine]

    async def comes_to(self, state: RecoveryState, machine: str = "vm-1") -> Recovery:
        """Wait until a recovery is in a state."""

        def is_there() -> bool:
            known = self.situation.recoveries.get(machine)
            return known is not None and known.state is state

        await self.until_so(is_there, f"{machine} never came to {state}")
        return self.recovery_of(machine)

    @property
    def told_to(self) -> list[tuple[Action, str]]:
        """Return what the controller was told, in order."""
        return [(action, machine) for action, machine, _ in self.controller.told]


def recovering(world: World | None = None, **more: Any) -> AbstractAsyncContextManager[Recovering]:
    """Run a Doctor whose zone is armed."""
    return armed(Recovering(world or World(), **more))
