"""A fence without a device, for tests: whether its hosts have power is known, and it behaves as it is told."""

import asyncio
from dataclasses import dataclass, field
from enum import Enum

from doctor.kit.clock import Clock, SystemClock
from doctor.kit.deadline import Deadline
from doctor.model.fencing import (
    Cut,
    Doubt,
    Identified,
    Identity,
    NotSwitched,
    Reading,
    Seen,
    Supply,
    Switched,
    SwitchOutcome,
    Unknown,
    Vantage,
)


class Mode(Enum):
    """How a device behaves; what a real one does on a bad day, too."""

    HONEST = "does what it is told, and says so"
    SLOW = "takes its time"
    STUCK = "takes the command and does nothing"
    CONTRARY = "refuses the command and does it all the same"
    DEAF = "does not answer"
    LOCKED = "lets nobody in"
    LYING = "says that it did it, reads as it should, and did nothing"
    WRONG = "is behind another host"


@dataclass
class FakeHost:
    """What is behind a plug. ``is_on`` is the truth, ``claims`` what a lying device makes of it."""

    names: tuple[str, ...] = ()
    is_on: bool = True
    claims: bool | None = None


@dataclass
class FakeFence:
    """A device for any number of hosts, by plug. ``commands`` are those that arrived, in their order."""

    cuts: Cut = Cut.POWER
    vantage: Vantage = Vantage.OUT_OF_BAND
    clock: Clock = field(default_factory=SystemClock)
    kind: str = "fake"
    partial: bool = False
    mode: Mode = Mode.HONEST
    seconds: float = 0.3  # that a slow one takes
    plugs: set[str] | None = None  # None: any will do
    hosts: dict[str, FakeHost] = field(default_factory=dict)
    commands: list[tuple[str, Supply]] = field(default_factory=list)
    reads: int = 0
    closed: bool = False

    def host(self, plug: str = "") -> FakeHost:
        """Return what is behind a plug; at first it is on, and called as the plug."""
        return self.hosts.setdefault(plug, FakeHost(names=(plug or "the host",)))

    # --- the port ---

    def check(self, plug: str) -> str | None:
        """Object to plugs that it does not have."""
        return None if self.plugs is None or plug in self.plugs else "there is no such plug"

    async def identify(self, plug: str, deadline: Deadline) -> Identity:
        """Say what is behind the plug."""
        if doubt := await self._doubt(deadline):
            return doubt
        names = ("somebody else",) if self.mode is Mode.WRONG else self.host(plug).names
        return Identified(names) if names else Unknown(Doubt.NOT_OFFERED, "it has no name for it")

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read."""
        if doubt := await self._doubt(deadline):
            return doubt
        self.reads += 1
        host = self.host(plug)
        is_on = host.is_on if host.claims is None else host.claims
        return Seen(Supply.ON if is_on else Supply.OFF, self.clock.now(), fresh=fresh)

    async def off(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Cut off."""
        return await self._switch(plug, Supply.OFF, deadline)

    async def on(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Give back."""
        return await self._switch(plug, Supply.ON, deadline)

    async def close(self) -> None:
        """Answer nothing more."""
        self.closed = True

    # --- how it behaves ---

    async def _doubt(self, deadline: Deadline) -> Unknown | None:
        await asyncio.sleep(0)
        if self.closed:
            return Unknown(Doubt.CLOSED, "it is closed")
        if deadline.has_passed:
            return Unknown(Doubt.LATE, "there was no time left to ask")
        if self.mode is Mode.DEAF:
            await asyncio.sleep(deadline.left)
            return Unknown(Doubt.LATE, "it does not answer")
        if self.mode is Mode.LOCKED:
            return Unknown(Doubt.LOGIN, "it lets nobody in")
        return None

    async def _switch(self, plug: str, wanted: Supply, deadline: Deadline) -> SwitchOutcome:
        if doubt := await self._doubt(deadline):
            return doubt
        self.commands.append((plug, wanted))
        host, is_on = self.host(plug), wanted is Supply.ON
        if self.mode is Mode.SLOW:
            await asyncio.sleep(min(self.seconds, deadline.left))
            if deadline.has_passed:
                return NotSwitched(Doubt.LATE, "it was not done in time")
        if self.mode is Mode.STUCK and host.is_on is not is_on:
            await asyncio.sleep(deadline.left)
            return NotSwitched(Doubt.LATE, "it took the command and did nothing")
        if self.mode is Mode.LYING:
            host.claims = is_on
        elif self.mode is not Mode.STUCK:
            host.is_on = is_on
        return Switched(Seen(wanted, self.clock.now(), fresh=False))
