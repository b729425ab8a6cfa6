"""What every action of maintenance must do. A driver's tests inherit the suite and say how it is made to behave::

class TestMyAction(ActionContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[ActionRig]:
        ...
"""

import asyncio
import time
from abc import ABC, abstractmethod
from typing import Any

import pytest

from doctor.kit.clock import SystemClock
from doctor.kit.deadline import Deadline
from doctor.model.maintenance_action import Done, Job, Moment, NotDone
from doctor.ports.action import MaintenanceAction

CLOCK = SystemClock()
OVERSHOOT = 1.5  # seconds that a busy test machine may take beyond a deadline


class ActionRig(ABC):
    """An action for the host ``host``, of which is known what it was told, and what it has left running."""

    action: MaintenanceAction
    host: str = "compute-1"
    patience: float = 30.0  # seconds in which an honest one has done it, on a busy machine
    short: float = 3.0  # seconds that are given to one of which nothing is expected; it has begun by then
    secret: str = ""  # what may be seen nowhere

    @abstractmethod
    def fail(self, why: str) -> None:
        """Let it fail from now on, and say why."""

    @abstractmethod
    def hang(self) -> None:
        """Let it not end from now on, whatever it is told."""

    @abstractmethod
    def heal(self) -> None:
        """Let it do its work again."""

    @abstractmethod
    def told(self) -> list[dict[str, Any]]:
        """Return the facts that arrived, in their order."""

    def left(self) -> int:
        """Return how much of it still runs on this machine."""
        return 0


def job(host: str | None = "compute-1", **more: Any) -> Job:
    """Return what is to be done."""
    usual: dict[str, Any] = {
        "run_id": "7f000000-0000-5000-8000-000000000001",
        "moment": Moment.PRE if host is None else Moment.HOST,
        "name": "upgrade",
        "number": 1,
        "session_id": "5e550000-0000-5000-8000-000000000001",
        "reason": 'firmware $(reboot) "now" \u00e4',
        "host": host,
        "metadata": {"bios": "2.1; reboot"},
        "hosts": {"compute-1": "empty", "compute-2": "waiting"},
    }
    return Job(**{**usual, **more})


def soon(seconds: float) -> Deadline:
    """Return a deadline."""
    return Deadline.after(seconds, CLOCK)


class ActionContract:
    """The suite. A subclass has the fixture ``rig``."""

    async def test_it_is_told_the_facts_to_the_letter(self, rig: ActionRig) -> None:
        """What people wrote is data, whatever it looks like."""
        outcome = await rig.action.run(job(rig.host), soon(rig.patience))
        assert isinstance(outcome, Done), outcome
        assert rig.told() == [job(rig.host).facts]

    async def test_it_is_done_without_a_host(self, rig: ActionRig) -> None:
        """Before the first and after the last."""
        outcome = await rig.action.run(job(None), soon(rig.patience))
        assert isinstance(outcome, Done), outcome
        assert rig.told()[0]["host"] is None

    async def test_what_failed_says_why(self, rig: ActionRig) -> None:
        """In words that can be shown to anybody."""
        rig.fail("the image is missing")
        outcome = await rig.action.run(job(rig.host), soon(rig.patience))
        assert isinstance(outcome, NotDone), outcome
        assert "the image is missing" in outcome.detail
        assert not rig.secret or rig.secret not in outcome.detail

    async def test_one_that_hangs_ends_with_its_time(self, rig: ActionRig) -> None:
        """Nothing of it is left on this machine."""
        rig.hang()
        began = time.monotonic()
        outcome = await rig.action.run(job(rig.host), soon(rig.short))
        assert isinstance(outcome, NotDone), outcome
        assert time.monotonic() - began < rig.short + OVERSHOOT
        await _gone(rig)

    async def test_it_can_be_called_off(self, rig: ActionRig) -> None:
        """What it has begun on this machine ends."""
        rig.hang()
        hanging = asyncio.create_task(rig.action.run(job(rig.host), soon(60)))
        await asyncio.sleep(rig.short)
        began = time.monotonic()
        hanging.cancel()
        with pytest.raises(asyncio.CancelledError):
            await hanging
        assert time.monotonic() - began < 5 + OVERSHOOT
        await _gone(rig)

    async def test_it_is_done_again_after_it_failed(self, rig: ActionRig) -> None:
        """The same run may be begun more than once."""
        rig.fail("not yet")
        assert isinstance(await rig.action.run(job(rig.host), soon(rig.patience)), NotDone)
        rig.heal()
        assert isinstance(await rig.action.run(job(rig.host), soon(rig.patience)), Done)

    async def test_too_late_is_too_late(self, rig: ActionRig) -> None:
        """After the deadline nothing is begun."""
        assert isinstance(await rig.action.run(job(rig.host), soon(-1)), NotDone)
        assert rig.told() == []

    async def test_a_closed_one_does_nothing_and_may_be_closed_again(self, rig: ActionRig) -> None:
        """What comes late in a shutdown is not done."""
        await rig.action.close()
        await rig.action.close()
        assert isinstance(await rig.action.run(job(rig.host), soon(rig.patience)), NotDone)
        assert rig.told() == []


async def _gone(rig: ActionRig) -> None:
    for _ in range(50):
        if not rig.left():
            return
        await asyncio.sleep(0.1)
    assert rig.left() == 0
