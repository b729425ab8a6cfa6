"""The fence that is a person: nothing is confirmed but by name, and by two."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from doctor.drivers.fences.manual import ManualFence, ManualSettings, Vouching, make
from doctor.kit.deadline import Deadline
from doctor.model.errors import RejectedError
from doctor.model.fencing import Doubt, NotSwitched, Seen, Supply, Switched, Unknown
from doctor.testing.clock import ManualClock
from doctor.testing.contracts.fence import soon

HOST = "compute-1"
GOOD = Vouching(host=HOST, supply=Supply.OFF, by="Ada", approved_by="Grace", reason="pulled both cords")


async def test_it_waits_until_a_person_says_so() -> None:
    fence = ManualFence(ManualSettings())
    waiting = asyncio.create_task(fence.off(HOST, soon(5)))
    await asyncio.sleep(0.05)
    assert not waiting.done()
    await fence.vouch(HOST, GOOD)
    outcome = await waiting
    assert isinstance(outcome, Switched)
    assert outcome.reading.by == "Ada"
    reading = await fence.status(HOST, soon(1), fresh=True)
    assert isinstance(reading, Seen)
    assert reading.supply is Supply.OFF


async def test_silence_is_no_confirmation() -> None:
    fence = ManualFence(ManualSettings())
    outcome = await fence.off(HOST, soon(0.1))
    assert isinstance(outcome, Unknown)
    assert outcome.doubt is Doubt.UNCONFIRMED


async def test_the_opposite_is_no_confirmation() -> None:
    fence = ManualFence(ManualSettings())
    await fence.vouch(HOST, GOOD)
    assert isinstance(await fence.on(HOST, soon(0.1)), NotSwitched)


async def test_the_word_is_about_one_host_and_holds_for_a_while() -> None:
    clock = ManualClock()
    fence = ManualFence(ManualSettings(valid_for=timedelta(minutes=5)), clock)
    deadline = Deadline.after(1e6, clock)
    await fence.vouch(HOST, GOOD)
    assert isinstance(await fence.status("compute-2", deadline), Unknown)
    clock.advance(299)
    assert isinstance(await fence.status(HOST, deadline), Seen)
    clock.advance(2)
    assert isinstance(await fence.status(HOST, deadline), Unknown)


async def test_what_was_said_is_forgotten_with_the_release() -> None:
    fence = ManualFence(ManualSettings())
    await fence.vouch(HOST, GOOD)
    await fence.release(HOST)
    assert isinstance(await fence.status(HOST, soon(1)), Unknown)


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        pytest.param({"host": "compute-2"}, "/host", id="another-name-typed"),
        pytest.param({"host": "COMPUTE-1"}, "/host", id="nearly-the-name"),
        pytest.param({"by": " "}, "/by", id="nobody"),
        pytest.param({"reason": ""}, "/reason", id="no-reason"),
        pytest.param({"reason": "a\nb"}, "/reason", id="two-lines"),
        pytest.param({"approved_by": ""}, "/approved_by", id="nobody-approves"),
        pytest.param({"approved_by": "ADA "}, "/approved_by", id="he-approves-himself"),
    ],
)
async def test_it_takes_two_and_care(change: dict[str, Any], pointer: str) -> None:
    fence = ManualFence(ManualSettings())
    word = Vouching(
        **{
            name: change.get(name, getattr(GOOD, name))
            for name in ("host", "supply", "by", "approved_by", "reason")
        }
    )
    with pytest.raises(RejectedError) as refused:
        await fence.vouch(HOST, word)
    assert [flaw.pointer for flaw in refused.value.flaws] == [pointer]
    assert isinstance(await fence.status(HOST, soon(1)), Unknown)


async def test_a_site_may_do_with_one_person() -> None:
    fence = make({"second_person": False})
    word = Vouching(host=HOST, supply=Supply.OFF, by="Ada", reason="alone at night")
    assert (await fence.vouch(HOST, word)).by == "Ada"


async def test_it_ends_when_doctor_does() -> None:
    fence = ManualFence(ManualSettings())
    waiting = asyncio.create_task(fence.off(HOST, soon(60)))
    await asyncio.sleep(0.05)
    await fence.close()
    outcome = await asyncio.wait_for(waiting, 1)
    assert isinstance(outcome, Unknown)
    assert outcome.doubt is Doubt.CLOSED


def test_a_person_needs_a_name() -> None:
    assert ManualFence(ManualSettings()).check("")
    with pytest.raises(ValueError, match="valid_for"):
        make({"valid_for": 0})
