"""The clock of this machine, and those of tests."""

import asyncio
from datetime import UTC, datetime, timedelta

import looptime
import pytest

from doctor.kit.clock import SystemClock
from doctor.testing.clock import START, LoopClock, ManualClock


def test_the_clock_of_this_machine() -> None:
    clock = SystemClock()
    earlier, before = clock.monotonic(), datetime.now(UTC)
    assert before <= clock.now() <= datetime.now(UTC)
    assert clock.now().tzinfo is UTC
    assert clock.monotonic() >= earlier


def test_a_manual_clock_stands_still() -> None:
    clock = ManualClock()
    assert (clock.now(), clock.monotonic()) == (START, 0.0)
    clock.advance(1.5)
    assert (clock.now(), clock.monotonic()) == (START + timedelta(seconds=1.5), 1.5)


def test_a_manual_clock_can_be_set_back_but_no_time_is_undone() -> None:
    clock = ManualClock()
    clock.advance(10.0)
    clock.set_wall(START)
    assert (clock.now(), clock.monotonic()) == (START, 10.0)
    with pytest.raises(ValueError, match="does not go back"):
        clock.advance(-1.0)


def test_a_loop_clock_goes_with_the_loop() -> None:
    async def wait() -> tuple[datetime, float]:
        await asyncio.sleep(3600)
        return clock.now(), clock.monotonic()

    clock = LoopClock()
    with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
        assert runner.run(wait()) == (START + timedelta(hours=1), 3600.0)
