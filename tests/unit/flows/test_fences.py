"""Devices side by side: cutting off, confirming, and the machine that is not the right one."""

import asyncio
from collections.abc import Mapping

import pytest

from doctor.flows.fences import Fences
from doctor.kit.deadline import Deadline
from doctor.model.fence_plan import Level, Rule, Step
from doctor.model.fencing import Doubt, Fenced, NotFenced, NotSwitched, Supply, Switched, Unknown, Vantage
from doctor.testing.clock import LoopClock
from doctor.testing.fence import FakeFence, Mode

CLOCK = LoopClock()


def fences(**modes: Mode) -> tuple[Fences, Mapping[str, FakeFence]]:
    devices = {name: FakeFence(clock=CLOCK, mode=mode) for name, mode in modes.items()}
    return Fences(devices, {}, CLOCK), devices


def level(rule: Rule, *names: str, identity: str | None = None) -> Level:
    return Level(rule, tuple(Step(name, "", identity) for name in names))


def within(seconds: float) -> Deadline:
    return Deadline.after(seconds, CLOCK)


@pytest.mark.looptime
@pytest.mark.requirement("B23")
async def test_it_is_confirmed_by_two_readings_a_second_apart() -> None:
    """[I-16] The rule takes a second, and no less."""
    known, devices = fences(bmc=Mode.HONEST)
    one = level(Rule.ALL_OF, "bmc")
    (cut,) = await known.cut(one, within(5))
    assert isinstance(cut, Switched)
    began = CLOCK.monotonic()
    found = await known.confirm(one, within(5))
    assert isinstance(found, Fenced)
    assert [reading.fresh for reading in found.readings] == [True, True]
    assert found.vantages == {Vantage.OUT_OF_BAND}
    assert 1.0 <= CLOCK.monotonic() - began < 1.1
    assert devices["bmc"].commands == [("", Supply.OFF)]


@pytest.mark.looptime
async def test_it_is_not_confirmed_when_it_comes_back_in_between() -> None:
    known, devices = fences(bmc=Mode.HONEST)
    one = level(Rule.ALL_OF, "bmc")
    await known.cut(one, within(5))
    confirming = asyncio.create_task(known.confirm(one, within(5)))
    await asyncio.sleep(0.5)
    devices["bmc"].host().is_on = True
    found = await confirming
    assert isinstance(found, NotFenced)


@pytest.mark.looptime
async def test_without_time_for_two_readings_it_is_unknown() -> None:
    known, devices = fences(bmc=Mode.HONEST)
    devices["bmc"].host().is_on = False
    found = await known.confirm(level(Rule.ALL_OF, "bmc"), within(0.9))
    assert isinstance(found, Unknown)
    assert found.doubt is Doubt.LATE


@pytest.mark.looptime
@pytest.mark.parametrize("mode", [Mode.DEAF, Mode.LOCKED])
async def test_a_device_that_does_not_answer_confirms_nothing(mode: Mode) -> None:
    known, devices = fences(bmc=mode)
    devices["bmc"].host().is_on = False
    assert isinstance(await known.confirm(level(Rule.ALL_OF, "bmc"), within(5)), Unknown)


@pytest.mark.looptime
async def test_all_of_takes_both_feeds() -> None:
    """One feed that is left keeps the host running."""
    known, devices = fences(a=Mode.HONEST, b=Mode.STUCK)
    both = level(Rule.ALL_OF, "a", "b")
    first, second = await known.cut(both, within(3))
    assert isinstance(first, Switched)
    assert isinstance(second, NotSwitched)
    assert isinstance(await known.confirm(both, within(3)), NotFenced)
    devices["b"].mode = Mode.HONEST
    await known.cut(both, within(3))
    confirmed = await known.confirm(both, within(3))
    assert isinstance(confirmed, Fenced)
    assert len(confirmed.readings) == 4


@pytest.mark.looptime
async def test_any_of_does_not_wait_for_the_slow() -> None:
    known, _ = fences(slow=Mode.DEAF, quick=Mode.HONEST)
    either = level(Rule.ANY_OF, "slow", "quick")
    began = CLOCK.monotonic()
    slow, quick = await known.cut(either, within(30))
    assert isinstance(slow, Unknown)
    assert isinstance(quick, Switched)
    assert isinstance(await known.confirm(either, within(30)), Fenced)
    assert CLOCK.monotonic() - began < 2


@pytest.mark.looptime
async def test_the_wrong_machine_is_left_alone() -> None:
    """[I-16] It is asked who it is before the first command, and once more before it is believed."""
    known, devices = fences(bmc=Mode.WRONG)
    one = level(Rule.ALL_OF, "bmc", identity="guid-7")
    (cut,) = await known.cut(one, within(5))
    assert isinstance(cut, NotSwitched)
    assert cut.doubt is Doubt.WRONG_MACHINE
    (back,) = await known.restore(one, within(5))
    assert isinstance(back, NotSwitched)
    devices["bmc"].host().is_on = False
    confirmed = await known.confirm(one, within(5))
    assert isinstance(confirmed, NotFenced)
    assert confirmed.doubt is Doubt.WRONG_MACHINE
    assert devices["bmc"].commands == []


@pytest.mark.looptime
async def test_a_machine_that_does_not_say_who_it_is_is_left_alone() -> None:
    known, devices = fences(bmc=Mode.HONEST)
    devices["bmc"].host().names = ()
    (cut,) = await known.cut(level(Rule.ALL_OF, "bmc", identity="guid-7"), within(5))
    assert isinstance(cut, Unknown)
    assert devices["bmc"].commands == []


@pytest.mark.looptime
async def test_a_lying_device_is_confirmed_from_its_one_vantage() -> None:
    """Whoever decides needs a second one: that is why the vantage is said [I-12, I-16]."""
    known, devices = fences(bmc=Mode.LYING)
    one = level(Rule.ALL_OF, "bmc")
    await known.cut(one, within(5))
    confirmed = await known.confirm(one, within(5))
    assert isinstance(confirmed, Fenced)
    assert confirmed.vantages == {Vantage.OUT_OF_BAND}
    assert devices["bmc"].host().is_on


@pytest.mark.looptime
async def test_what_was_cut_is_given_back_by_all() -> None:
    known, devices = fences(a=Mode.HONEST, b=Mode.HONEST)
    both = level(Rule.ANY_OF, "a", "b")
    await known.cut(both, within(5))
    outcomes = await known.restore(both, within(5))
    assert all(isinstance(one, Switched) for one in outcomes)
    assert all(device.host().is_on for device in devices.values())
    await known.close()
    assert all(device.closed for device in devices.values())
