"""How a device is read after an order: what it said last counts, and not that there was no time to hear it once more."""

import asyncio

import pytest

from doctor.drivers.fences.switching import SwitchingFence
from doctor.kit.deadline import Deadline
from doctor.model.fencing import Doubt, NotSwitched, Reading, Seen, Supply, Unknown
from doctor.testing.clock import LoopClock

pytestmark = pytest.mark.looptime


class Slow(SwitchingFence):
    """Reads on, ever more slowly."""

    def __init__(self, *takes: float) -> None:
        super().__init__(LoopClock())
        self.takes = list(takes)

    async def status(self, plug: str, deadline: Deadline, *, fresh: bool = False) -> Reading:
        takes = self.takes.pop(0)
        await asyncio.sleep(min(takes, deadline.left))
        return Unknown(Doubt.LATE, "late") if deadline.has_passed else Seen(Supply.ON, self._clock.now())

    async def _order(self, wanted: Supply, plug: str, deadline: Deadline) -> Unknown | None:
        return None


async def test_a_reading_that_is_cut_short_tells_less_than_the_one_before() -> None:
    fence = Slow(0.1, 9.0)
    outcome = await fence.off("", Deadline.after(2.0, fence._clock))
    assert outcome == NotSwitched(Doubt.LATE, "it took the command and still reads on")


async def test_one_that_is_never_heard_is_unknown() -> None:
    fence = Slow(9.0)
    outcome = await fence.off("", Deadline.after(2.0, fence._clock))
    assert isinstance(outcome, Unknown)
