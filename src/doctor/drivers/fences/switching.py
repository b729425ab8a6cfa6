"""How devices are switched: the order is given, and then the device is read until it reads as it should."""

import asyncio
from abc import ABC, abstractmethod

from doctor.kit.clock import Clock, SystemClock
from doctor.kit.deadline import Deadline
from doctor.model.fencing import Doubt, NotSwitched, Reading, Seen, Supply, Switched, SwitchOutcome, Unknown

# Asking once more changes nothing about these, and wrong logins can lock an account.
HOPELESS = frozenset({Doubt.LOGIN, Doubt.NOT_INSTALLED, Doubt.NOT_OFFERED, Doubt.CLOSED})

RAREST = 2.0  # seconds between attempts to read a device that does not answer
ORDERING = 0.7  # the part of the time for which an order is waited for; in the rest is read what came of it


class SwitchingFence(ABC):
    """A device that takes an order, and is then read every ``poll_every`` seconds while at least ``least`` are left."""

    poll_every = 0.1
    least = 0.1

    def __init__(self, clock: Clock | None) -> None:
        self._clock = clock or SystemClock()

    @abstractmethod
    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        """Read."""

    @abstractmethod
    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        """Answer None when the device took the order, and else why it did not or may not have."""

    async def off(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Cut the host off, hard and at once."""
        return await self._switch(Supply.OFF, plug, deadline)

    async def on(self, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Give it back."""
        return await self._switch(Supply.ON, plug, deadline)

    async def _switch(self, wanted: Supply, plug: str, deadline: Deadline) -> SwitchOutcome:
        """Give the order and read until it is done.

        What the device answers to the order is believed for one thing only: while it still reads otherwise, an order
        that may not have arrived is given again. A device that cannot be read is asked ever less often.
        """
        if deadline.has_passed:
            return Unknown(Doubt.LATE, "there was no time left to ask")
        complaint = await self._order(wanted, plug, deadline.within(deadline.left * ORDERING))
        if complaint is not None and complaint.doubt in HOPELESS:
            return complaint
        wait = self.poll_every
        last: Seen | None = None
        while True:
            began = deadline.left
            reading = await self.status(plug, deadline)
            took = began - deadline.left
            if isinstance(reading, Seen) and reading.supply is wanted:
                return Switched(reading)
            if isinstance(reading, Unknown) and reading.doubt in HOPELESS:
                return reading
            wait = self.poll_every if isinstance(reading, Seen) else min(2 * wait, RAREST)
            # A reading cut short tells less than the one before.
            was_cut_short = isinstance(reading, Unknown) and reading.doubt is Doubt.LATE
            last = last if was_cut_short else reading if isinstance(reading, Seen) else None
            if deadline.left <= wait + max(2 * took, self.least):
                return _give_up(last or reading, complaint, wanted)
            await asyncio.sleep(wait)
            if complaint is not None and isinstance(reading, Seen):
                complaint = await self._order(wanted, plug, deadline.within(deadline.left * ORDERING))


def _give_up(reading: Reading, complaint: Unknown | None, wanted: Supply) -> SwitchOutcome:
    match reading:
        case Unknown():
            return reading
        case Seen() if complaint is None:
            return NotSwitched(Doubt.LATE, f"it took the command and still reads {reading.supply}")
        case Seen():
            return NotSwitched(complaint.doubt, f"still {reading.supply}, not {wanted}: {complaint.detail}")
