"""The fence devices and who is behind them: asks and tells them, step by step, and reads what came of it.

Whether a host is to be fenced is none of its business, and no brake is here: it is for those who have decided.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import NamedTuple, TypeVar

from doctor.fencing.levels import judge
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.model.fence_plan import MANUAL, DeviceFacts, FencePlan, Level, Rule, Step
from doctor.model.fencing import (
    Cut,
    Doubt,
    Fenced,
    FenceOutcome,
    Identified,
    NotFenced,
    NotSwitched,
    Reading,
    Seen,
    Supply,
    Switched,
    SwitchOutcome,
    Unknown,
)
from doctor.model.resource_map import ResourceMap
from doctor.ports.fence import Fence

READ_APART = 1.0  # seconds between the two readings that confirm

Outcome = TypeVar("Outcome")


class Sighting(NamedTuple):
    """What one device read of a host."""

    step: Step
    reading: Reading


class Fences:
    """All devices by name, and the plans of the hosts."""

    def __init__(self, devices: Mapping[str, Fence], plans: Mapping[str, FencePlan], clock: Clock) -> None:
        self.devices = dict(devices)
        self.plans = dict(plans)
        self.facts = {
            name: DeviceFacts(device.kind, device.cuts, device.vantage, device.partial)
            for name, device in devices.items()
        }
        self._clock = clock

    def plan_of(self, host: str, resources: ResourceMap) -> FencePlan | None:
        """Return how a host is cut off, by whichever of its names somebody has said so; None if nobody has."""
        name = resources.name_among(host, self.plans)
        return None if name is None else self.plans[name]

    async def cut(self, level: Level, deadline: Deadline) -> tuple[SwitchOutcome, ...]:
        """Cut a host off with the devices of a level, side by side; the outcomes are in the order of its steps.

        Of any_of, the others are given up as soon as one reads off. That is not yet a confirmation.
        """
        return await _side_by_side(
            level,
            lambda step: self._switch(step, Supply.OFF, deadline),
            lambda outcome: isinstance(outcome, Switched),
        )

    async def confirm(self, level: Level, deadline: Deadline) -> FenceOutcome:
        """Read, in new sessions and twice, whether what the devices of a level cut is off.

        It sends no command, so it can be repeated, also by a successor.
        """
        outcomes = await _side_by_side(
            level, lambda step: self._read_off(step, deadline), lambda outcome: isinstance(outcome, Fenced)
        )
        return judge(level, outcomes)

    async def restore(self, level: Level, deadline: Deadline) -> tuple[SwitchOutcome, ...]:
        """Give back what a level cuts, with all of its devices: nobody knows which of them it was."""
        return await _side_by_side(
            level, lambda step: self._switch(step, Supply.ON, deadline), lambda _: False
        )

    async def look(self, plan: FencePlan, deadline: Deadline) -> list[Sighting]:
        """Read what the devices of a host say of its power, and switch nothing; people are not asked."""

        async def read(step: Step) -> Sighting:
            mistaken = await self._mistaken(step, deadline)
            if mistaken is not None:
                return Sighting(step, Unknown(mistaken.doubt, mistaken.detail))
            return Sighting(step, await self.devices[step.device].status(step.plug, deadline, fresh=True))

        steps = dict.fromkeys(
            step
            for level in plan.levels
            for step in level.steps
            if self.facts[step.device].cuts is Cut.POWER
            and self.facts[step.device].kind != MANUAL
            and not self.facts[step.device].partial
        )
        return list(await asyncio.gather(*(read(step) for step in steps)))

    async def close(self) -> None:
        """Let go of all devices."""
        await asyncio.gather(*(device.close() for device in self.devices.values()))

    async def _switch(self, step: Step, wanted: Supply, deadline: Deadline) -> SwitchOutcome:
        refusal = await self._mistaken(step, deadline)
        if isinstance(refusal, NotFenced):
            return NotSwitched(refusal.doubt, refusal.detail)
        device = self.devices[step.device]
        return refusal or await (device.off if wanted is Supply.OFF else device.on)(step.plug, deadline)

    async def _mistaken(self, step: Step, deadline: Deadline) -> NotFenced | Unknown | None:
        """Say why this may not be the right machine; None where it is, or where nobody said how to know it [I-16]."""
        if step.identity is None:
            return None
        match await self.devices[step.device].identify(step.plug, deadline):
            case Unknown() as unknown:
                return unknown
            case Identified() as found if not found.is_machine(step.identity):
                return NotFenced(Doubt.WRONG_MACHINE, f"{step.device} is behind {found.names[0]}")
            case _:
                return None

    async def _read_off(self, step: Step, deadline: Deadline) -> FenceOutcome:
        if (mistaken := await self._mistaken(step, deadline)) is not None:
            return mistaken
        device = self.devices[step.device]
        readings: list[Seen] = []
        while True:
            match await device.status(step.plug, deadline, fresh=True):
                case Unknown() as unknown:
                    return unknown
                case Seen(supply=Supply.ON):
                    return NotFenced(Doubt.REFUSED, f"{step.device} reads on")
                case Seen() as reading:
                    readings.append(reading)
            if len(readings) == 2:
                return Fenced(tuple(readings), frozenset({device.vantage}))
            if deadline.left < READ_APART:
                return Unknown(Doubt.LATE, f"there was no time left to read {step.device} twice")
            await asyncio.sleep(READ_APART)


async def _side_by_side(
    level: Level, take: Callable[[Step], Awaitable[Outcome]], is_enough: Callable[[Outcome], bool]
) -> tuple[Outcome | Unknown, ...]:
    """Take all steps at once. Of any_of, what is not done when one is enough is given up."""
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(_awaited(take(step))) for step in level.steps]
        if level.rule is Rule.ANY_OF:
            for done in asyncio.as_completed(tasks):
                if is_enough(await done):
                    break
            for task in tasks:
                task.cancel()
    return tuple(_outcome(tasks))


async def _awaited(outcome: Awaitable[Outcome]) -> Outcome:
    return await outcome


def _outcome(tasks: Sequence["asyncio.Task[Outcome]"]) -> Sequence[Outcome | Unknown]:
    return [
        Unknown(Doubt.LATE, "another one was quicker") if task.cancelled() else task.result()
        for task in tasks
    ]
