"""What all commands have in common: the order is given, and then the device is read until it reads as it should."""

import asyncio
from collections.abc import Awaitable, Callable

from doctor.kit.deadline import Deadline
from doctor.model.fencing import Doubt, NotSwitched, Reading, Seen, Supply, Switched, SwitchOutcome, Unknown

# Asking once more changes nothing about these, and wrong logins can lock an account.
HOPELESS = frozenset({Doubt.LOGIN, Doubt.NOT_INSTALLED, Doubt.NOT_OFFERED, Doubt.CLOSED})

LEAST = 0.1
RAREST = 2.0  # seconds between attempts to read a device that does not answer

Order = Callable[[], Awaitable[Unknown | None]]
Read = Callable[[], Awaitable[Reading]]


async def switch(
    wanted: Supply,
    order: Order,
    read: Read,
    deadline: Deadline,
    *,
    poll_every: float,
    least: float = LEAST,
) -> SwitchOutcome:
    """Give the order and read until it is done.

    ``order`` answers None when the device took it, and else why it did not or may not have. That is believed for one
    thing only: while the device still reads otherwise, an order that may not have arrived is given again. A device
    that cannot be read is asked ever less often. A reading for which fewer than ``least`` seconds are left is not begun.
    """
    if deadline.has_passed:
        return Unknown(Doubt.LATE, "there was no time left to ask")
    complaint = await order()
    if complaint is not None and complaint.doubt in HOPELESS:
        return complaint
    wait = poll_every
    while True:
        began = deadline.left
        reading = await read()
        took = began - deadline.left
        if isinstance(reading, Seen) and reading.supply is wanted:
            return Switched(reading)
        if isinstance(reading, Unknown) and reading.doubt in HOPELESS:
            return reading
        wait = poll_every if isinstance(reading, Seen) else min(2 * wait, RAREST)
        if deadline.left <= wait + max(2 * took, least):  # a reading cut short would tell less than this one
            return _give_up(reading, complaint, wanted)
        await asyncio.sleep(wait)
        if complaint is not None and isinstance(reading, Seen):
            complaint = await order()


def _give_up(reading: Reading, complaint: Unknown | None, wanted: Supply) -> SwitchOutcome:
    match reading:
        case Unknown():
            return reading
        case Seen() if complaint is None:
            return NotSwitched(Doubt.LATE, f"it took the command and still reads {reading.supply}")
        case Seen():
            return NotSwitched(complaint.doubt, f"still {reading.supply}, not {wanted}: {complaint.detail}")
