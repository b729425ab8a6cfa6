"""What every fence must do. A driver's tests inherit the suite and say how its device is made to behave::

class TestMyFence(FenceContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[FenceRig]:
        ...

The device should be a real one or a simulator of others' making, for what is proved is how the driver copes with it.
"""

import asyncio
import time
from abc import ABC, abstractmethod

import pytest

from doctor.kit.clock import SystemClock
from doctor.kit.deadline import Deadline
from doctor.model.fencing import (
    Doubt,
    Identified,
    NotSwitched,
    Seen,
    Supply,
    Switched,
    Unknown,
)
from doctor.ports.fence import Fence
from doctor.testing.fence import Mode

OVERSHOOT = 0.5  # seconds that a busy test machine may take beyond a deadline
CLOCK = SystemClock()


class FenceRig(ABC):
    """A device with one host behind ``plug``, whose true state is known."""

    fence: Fence
    plug: str = ""
    wrong_plug: str = "\n"
    names: tuple[str, ...] = ()  # what the device calls the host; none: it cannot tell
    secret: str = ""  # what may be seen nowhere
    locked_doubts: tuple[Doubt, ...] = (Doubt.LOGIN,)  # what a refused login looks like
    patience: float = 5.0  # seconds in which an honest device does it, on a busy machine
    short: float = 1.5  # seconds that are given to a device of which nothing is expected

    @abstractmethod
    def is_on(self) -> bool:
        """Tell the truth about the host."""

    @abstractmethod
    def put(self, *, on: bool) -> None:
        """Make it so, past the device."""

    @abstractmethod
    def behave(self, mode: Mode) -> None:
        """Let the device behave like this from now on: HONEST, SLOW, STUCK, CONTRARY, DEAF or LOCKED."""

    @abstractmethod
    def was_switched_on(self) -> bool:
        """Tell whether the host was ever switched on, or cycled, through the device."""

    def restart(self) -> None:
        """Let the device forget all sessions, where it has any."""
        return


def soon(seconds: float) -> Deadline:
    """Return a deadline."""
    return Deadline.after(seconds, CLOCK)


class FenceContract:
    """The suite. A subclass has the fixture ``rig``."""

    async def test_it_reads_what_is(self, rig: FenceRig) -> None:
        """Both ways of reading see both states."""
        for on in (True, False):
            rig.put(on=on)
            for fresh in (False, True):
                reading = await rig.fence.status(rig.plug, soon(rig.patience), fresh=fresh)
                assert isinstance(reading, Seen), reading
                assert reading.supply is (Supply.ON if on else Supply.OFF)
                assert abs((CLOCK.now() - reading.time).total_seconds()) < 5

    async def test_a_fresh_reading_says_that_it_is(self, rig: FenceRig) -> None:
        """What confirms a fence may be no echo of an earlier session."""
        reading = await rig.fence.status(rig.plug, soon(rig.patience), fresh=True)
        assert isinstance(reading, Seen)
        assert reading.fresh

    async def test_off_is_off_and_on_is_on(self, rig: FenceRig) -> None:
        """What is read afterwards is true."""
        off = await rig.fence.off(rig.plug, soon(rig.patience))
        assert isinstance(off, Switched), off
        assert off.reading.supply is Supply.OFF
        assert not rig.is_on()
        on = await rig.fence.on(rig.plug, soon(rig.patience))
        assert isinstance(on, Switched), on
        assert on.reading.supply is Supply.ON
        assert rig.is_on()

    async def test_off_may_be_repeated_and_never_switches_on(self, rig: FenceRig) -> None:
        """A successor does again what may have been done [I-17]; no device cycles."""
        for _ in range(3):
            assert isinstance(await rig.fence.off(rig.plug, soon(rig.patience)), Switched)
            assert not rig.is_on()
        assert not rig.was_switched_on()

    async def test_a_slow_device_is_waited_for(self, rig: FenceRig) -> None:
        """Off is said when it is off, and not when the command was taken."""
        rig.behave(Mode.SLOW)
        outcome = await rig.fence.off(rig.plug, soon(2 * rig.patience))
        assert isinstance(outcome, Switched), outcome
        assert not rig.is_on()

    async def test_the_word_of_a_device_counts_for_nothing(self, rig: FenceRig) -> None:
        """One that takes the command and does nothing has not switched, and its host is on [I-16]."""
        rig.behave(Mode.STUCK)
        outcome = await rig.fence.off(rig.plug, soon(rig.short))
        assert isinstance(outcome, NotSwitched), outcome
        assert outcome.detail
        assert rig.is_on()

    async def test_neither_does_its_refusal(self, rig: FenceRig) -> None:
        """One that says no and does it has switched: what is read back counts."""
        rig.behave(Mode.CONTRARY)
        outcome = await rig.fence.off(rig.plug, soon(rig.patience))
        assert isinstance(outcome, Switched), outcome
        assert not rig.is_on()

    async def test_silence_is_never_off(self, rig: FenceRig) -> None:
        """A device that does not answer is unknown, whatever was read before, and the deadline holds [I-16]."""
        assert isinstance(await rig.fence.status(rig.plug, soon(rig.patience)), Seen)
        rig.put(on=False)
        rig.behave(Mode.DEAF)
        for call in (rig.fence.status, rig.fence.off, rig.fence.identify):
            began = time.monotonic()
            outcome = await call(rig.plug, soon(rig.short))
            assert isinstance(outcome, Unknown), outcome
            if rig.names or call != rig.fence.identify:
                assert outcome.doubt in (Doubt.LATE, Doubt.UNREACHABLE), outcome
            assert time.monotonic() - began < rig.short + OVERSHOOT

    async def test_a_device_that_comes_back_is_used_again(self, rig: FenceRig) -> None:
        """It may have been restarted meanwhile, and know no session any more."""
        rig.behave(Mode.DEAF)
        assert isinstance(await rig.fence.status(rig.plug, soon(0.6)), Unknown)
        rig.behave(Mode.HONEST)
        rig.restart()
        outcome = await rig.fence.off(rig.plug, soon(2 * rig.patience))
        assert isinstance(outcome, Switched), outcome
        assert not rig.is_on()

    async def test_a_refused_login_is_said_so_and_keeps_the_secret(self, rig: FenceRig) -> None:
        """Nothing was done, nothing is known, and the reason can be shown to anybody."""
        rig.behave(Mode.LOCKED)
        for outcome in (
            await rig.fence.status(rig.plug, soon(rig.patience), fresh=True),
            await rig.fence.off(rig.plug, soon(rig.short)),
        ):
            assert isinstance(outcome, Unknown), outcome
            assert outcome.doubt in rig.locked_doubts, outcome
            assert not rig.secret or rig.secret not in outcome.detail
        assert rig.is_on()

    async def test_too_late_is_too_late(self, rig: FenceRig) -> None:
        """After the deadline no command goes out."""
        passed = soon(-1)
        assert isinstance(await rig.fence.off(rig.plug, passed), Unknown)
        assert isinstance(await rig.fence.status(rig.plug, passed), Unknown)
        assert rig.is_on()

    async def test_a_call_can_be_cancelled(self, rig: FenceRig) -> None:
        """A shutdown does not wait for a device that hangs, and the device is as good as before."""
        rig.behave(Mode.DEAF)
        hanging = asyncio.create_task(rig.fence.off(rig.plug, soon(60)))
        await asyncio.sleep(0.3)
        began = time.monotonic()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert time.monotonic() - began < OVERSHOOT + 0.5
        rig.behave(Mode.HONEST)
        rig.restart()
        await asyncio.sleep(0.7)
        assert rig.is_on()  # nobody goes on asking for what was given up
        reading = await rig.fence.status(rig.plug, soon(2 * rig.patience), fresh=True)
        assert isinstance(reading, Seen), reading

    async def test_many_may_ask_at_the_same_time(self, rig: FenceRig) -> None:
        """A readiness check may meet a fence."""
        readings = await asyncio.gather(
            *(
                rig.fence.status(rig.plug, soon(3 * rig.patience), fresh=bool(number % 2))
                for number in range(4)
            )
        )
        assert all(isinstance(reading, Seen) for reading in readings), readings

    async def test_it_knows_its_host_or_says_that_it_cannot(self, rig: FenceRig) -> None:
        """Before the wrong machine is cut off [I-16]."""
        identity = await rig.fence.identify(rig.plug, soon(rig.patience))
        if not rig.names:
            assert isinstance(identity, Unknown)
            assert identity.doubt is Doubt.NOT_OFFERED, identity
            return
        assert isinstance(identity, Identified), identity
        assert all(identity.is_machine(name) for name in rig.names)
        assert identity.is_machine(rig.names[0].upper())
        assert not identity.is_machine("0" * 32)

    async def test_it_knows_what_is_no_plug(self, rig: FenceRig) -> None:
        """What stands in the settings is checked before anybody needs it."""
        assert rig.fence.check(rig.plug) is None
        assert rig.fence.check(rig.wrong_plug)

    async def test_a_closed_one_does_nothing_and_may_be_closed_again(self, rig: FenceRig) -> None:
        """What comes late in a shutdown is unknown."""
        await rig.fence.status(rig.plug, soon(rig.patience))
        await rig.fence.close()
        await rig.fence.close()
        assert isinstance(await rig.fence.off(rig.plug, soon(rig.patience)), Unknown)
        assert isinstance(await rig.fence.status(rig.plug, soon(rig.patience)), Unknown)
        assert rig.is_on()
