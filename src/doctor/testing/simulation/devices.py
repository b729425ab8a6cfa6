"""BMCs and other fence devices that are slow, deaf, broken, or behind the wrong host; what they switch is the truth.

A command that has left Doctor arrives, whatever becomes of Doctor meanwhile. A device that takes long is done within
`LONGEST` of that.
"""

import asyncio
import random
from collections.abc import Callable
from typing import NamedTuple

from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.model.fencing import (
    Cut,
    Doubt,
    NotSwitched,
    Reading,
    Seen,
    Supply,
    Switched,
    SwitchOutcome,
    Unknown,
    Vantage,
)
from doctor.testing.fence import FakeFence, FakeHost, Mode
from doctor.testing.simulation.deeds import Deeds, Read, Sent
from doctor.testing.simulation.loop import PROCESS, SimLoop
from doctor.testing.simulation.plant import Plant
from doctor.testing.simulation.trace import Trace

LONGEST = 6.0  # seconds that a slow device takes at most


class Hall(NamedTuple):
    """What all devices share: the plant, chance, and where it is written down."""

    plant: Plant
    rng: random.Random
    loop: SimLoop
    clock: Clock
    trace: Trace
    deeds: Deeds
    on_sent: Callable[[], None]


class Wired(FakeHost):
    """What is behind a plug in truth. ``host`` is that, ``names`` is what the device calls it."""

    def __init__(self, plant: Plant, host: str, label: str, cut: Cut, feed: int | None = None) -> None:
        self.host = host
        self.names = (label,)
        self.claims = None
        self._plant = plant
        self._cut = cut
        self._feed = feed

    @property
    def label(self) -> str:
        """Return the host that the device takes it for."""
        return self.names[0]

    @property
    def is_on_by_label(self) -> bool:
        """Tell whether the host that it takes it for has what it switches."""
        return self._plant.has(self.label, self._cut, self._feed)

    @property
    def is_on(self) -> bool:
        """Tell whether the host has it."""
        return self._plant.has(self.host, self._cut, self._feed)

    @is_on.setter
    def is_on(self, is_on: bool) -> None:
        self._plant.switch(self.host, self._cut, is_on, self._feed)


class SimFence(FakeFence):
    """One device. A fragile one answers no more for a while when it has done what it was told."""

    def __init__(self, name: str, hall: Hall, cuts: Cut = Cut.POWER, *, partial: bool = False) -> None:
        vantage = {
            Cut.POWER: Vantage.OUT_OF_BAND,
            Cut.NETWORK: Vantage.SWITCH_PORT,
            Cut.STORAGE: Vantage.STORAGE,
        }[cuts]
        super().__init__(cuts=cuts, vantage=vantage, clock=hall.clock, partial=partial)
        self.name = name
        self.is_fragile = False
        self._hall = hall

    def wire(self, plug: str, host: str, label: str, feed: int | None = None) -> None:
        """Put a host behind a plug, with what the device calls it."""
        self.hosts[plug] = Wired(self._hall.plant, host, label, self.cuts, feed)

    def wired(self, plug: str) -> Wired:
        """Return what is behind a plug."""
        found = self.hosts[plug]
        assert isinstance(found, Wired)
        return found

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read."""
        found = await super().status(plug, deadline, fresh=fresh)
        if isinstance(found, Seen):
            says_off = found.supply is Supply.OFF
            hall = self._hall
            tick = hall.trace.note(self.name, "reads", plug, found.supply.value)
            is_true = says_off is not self.wired(plug).is_on_by_label
            hall.deeds.note(Read(tick, hall.loop.time(), self.name, plug, fresh, says_off, is_true))
        return found

    async def _doubt(self, deadline: Deadline) -> Unknown | None:
        await asyncio.sleep(self._hall.rng.choice([0.001, 0.01, 0.2]))
        return await super()._doubt(deadline)

    async def _switch(self, plug: str, wanted: Supply, deadline: Deadline) -> SwitchOutcome:
        """Send the command, and read until it reads as it should."""
        if doubt := await self._doubt(deadline):
            return doubt
        hall, wired = self._hall, self.wired(plug)
        process = PROCESS.get()
        tick = hall.trace.note(self.name, f"is told {wanted.value}", plug, self.mode.name)
        self.commands.append((plug, wanted))
        hall.deeds.note(
            Sent(
                tick,
                hall.loop.time(),
                "" if process is None else process.name,
                self.name,
                plug,
                wired.host,
                wanted is Supply.ON,
            )
        )
        hall.loop.outside(hall.rng.choice([0.001, 0.02, 0.3]), self._arrives, plug, wanted)
        hall.on_sent()
        while True:
            await asyncio.sleep(hall.rng.choice([0.05, 0.3]))
            reading = await super().status(plug, deadline)
            match reading:
                case Seen() if reading.supply is wanted:
                    return Switched(reading)
                case Seen() if deadline.has_passed:
                    return NotSwitched(Doubt.LATE, f"it still reads {reading.supply.value}")
                case Unknown():
                    return reading
                case Seen():
                    pass

    def _arrives(self, plug: str, wanted: Supply) -> None:
        """Do what it was told, as it does such things."""
        if self.mode is Mode.SLOW:
            self._hall.loop.outside(self._hall.rng.uniform(0.5, LONGEST), self._do, plug, wanted)
        elif self.mode in (Mode.HONEST, Mode.CONTRARY):
            self._do(plug, wanted)
        elif self.mode is Mode.LYING:
            self.wired(plug).claims = wanted is Supply.ON

    def _do(self, plug: str, wanted: Supply) -> None:
        wired, is_on = self.wired(plug), wanted is Supply.ON
        wired.claims = None
        if wired.is_on is not is_on:
            wired.is_on = is_on
        if self.is_fragile:
            self._hall.loop.outside(1.0, self._falls_silent, self.mode)

    def _falls_silent(self, mode: Mode) -> None:
        self.mode = Mode.DEAF
        self._hall.loop.outside(self._hall.rng.choice([5.0, 30.0]), self._comes_back, mode)

    def _comes_back(self, mode: Mode) -> None:
        if self.mode is Mode.DEAF:
            self.mode = mode
