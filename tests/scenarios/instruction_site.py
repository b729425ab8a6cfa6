"""A site whose machines can be commanded, in a cloud that outlives Doctor, and their owner, who hears of the end."""

from collections.abc import Coroutine
from contextlib import AbstractAsyncContextManager
from datetime import timedelta
from typing import Any

from doctor.flows.instruction import InstructionFlow, Order
from doctor.model.identity import Identity, Role
from doctor.model.instruction import Action, Instruction, Task, TaskState
from doctor.model.map_news import MapDelta, MapNews
from doctor.testing.clock import LoopClock
from doctor.testing.cloud import FakeCloud
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.isolation_site import Devices, ToldSite, armed

RED = Identity(name="vnfm", role=Role.CONSUMER, project="red")
BLUE = Identity(name="other", role=Role.CONSUMER, project="blue")
ADMIN = Identity(name="alice", role=Role.ADMIN)


class World:
    """What outlives Doctor."""

    def __init__(self) -> None:
        self.clock = LoopClock()
        self.devices = Devices(self.clock)
        self.store = FallibleStore()
        self.cloud = FakeCloud()


class Commanded(ToldSite):
    """One process of Doctor, with the flow of instructions."""

    def __init__(self, world: World, **more: Any) -> None:
        super().__init__(world.store, world.devices, world.clock, **more)
        self.store = world.store
        self.cloud = world.cloud
        self.instructions = InstructionFlow(
            self.situation,
            {None: self.cloud},
            self.isolation,
            self.faults,
            self.delivery,
            self.timelines,
            self.clock,
        )
        self.isolation.unfinished = self.instructions.unfinished
        self.desk.leaving = self.instructions.leaving
        self.faults.on_settled(lambda transitions: self.instructions.ring())
        self.faults.on_isolated(lambda host: self.instructions.ring())

    async def start(self) -> None:
        resources = self.situation.resources
        if not self.cloud.content:
            self.cloud.say(
                MapDelta(
                    physical=tuple(resources.physical.values()), virtual=tuple(resources.virtual.values())
                )
            )
        else:
            resources.apply(self.cloud.content)
        await super().start()

    def works(self) -> list[Coroutine[Any, Any, None]]:
        async def take(news: MapNews) -> None:
            if isinstance(news, MapDelta):
                await self.faults.change_map(news)

        return [*super().works(), self.cloud.watch(self.situation.resources, take), self.instructions.run()]

    async def ask(
        self, action: Action, *machines: str, by: Identity = RED, seconds: float = 60.0, **more: Any
    ) -> Instruction:
        """Instruct, with so many seconds to begin."""
        order = Order(action, machines or ("vm-1",), more.pop("parameters", {}), **more)
        return await self.instructions.create(by, order._replace(deadline=timedelta(seconds=seconds)))

    def task(self, instruction: Instruction, machine: str = "vm-1") -> Task:
        """Return how far it got."""
        found = self.instructions.get(ADMIN, instruction.instruction_id).task(machine)
        assert found is not None
        return found

    async def over(self, instruction: Instruction) -> Instruction:
        """Wait until an instruction is over."""
        await self.until_so(lambda: self.instructions.get(ADMIN, instruction.instruction_id).is_over)
        return self.instructions.get(ADMIN, instruction.instruction_id)

    async def comes_to(self, instruction: Instruction, state: TaskState, machine: str = "vm-1") -> Task:
        """Wait until a machine's part of it is in a state."""
        await self.until_so(lambda: self.task(instruction, machine).state is state, f"never {state}")
        return self.task(instruction, machine)


def commanded(world: World | None = None, **more: Any) -> AbstractAsyncContextManager[Commanded]:
    """Run a Doctor whose zone is armed."""
    return armed(Commanded(world or World(), **more))
