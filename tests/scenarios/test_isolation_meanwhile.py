"""What happens between a decision on a host and its record, or between a record and what follows from it [I-12, I-16, I-17]."""

import asyncio
from collections.abc import Callable
from datetime import timedelta

import pytest

from doctor.drivers.stores.memory import MemoryStore
from doctor.fencing.limits import Limits
from doctor.flows.situation import FENCE_ZONE_MEMO
from doctor.model.errors import RejectedError, StoreError
from doctor.model.fence_job import FenceState, ZoneMode
from doctor.model.fencing import Supply
from doctor.model.resource import Isolation
from doctor.ports.store import Change
from doctor.testing.clock import LoopClock
from doctor.testing.fence import Mode
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.isolation_site import Devices, Site, site

pytestmark = [pytest.mark.looptime, pytest.mark.requirement("B22")]

S = FenceState
HOST = "compute-1"


class WaitingStore(MemoryStore):
    """A store that takes its time for the changes that it is told of: they are kept when it is let ``go``."""

    def __init__(self, waits: Callable[[Change], bool]) -> None:
        super().__init__()
        self.waits: Callable[[Change], bool] = waits
        self.reached = asyncio.Event()
        self.go = asyncio.Event()

    async def commit(self, change: Change) -> None:
        if self.waits(change) and not self.go.is_set():
            self.reached.set()
            await self.go.wait()
        await super().commit(change)


def step_into(state: FenceState) -> Callable[[Change], bool]:
    return lambda change: (
        change.fencing is not None and any(job.state is state for job in change.fencing.jobs)
    )


class UnsureStore(MemoryStore):
    """Keeps that a suspicion is over, and answers that it did not."""

    async def commit(self, change: Change) -> None:
        await super().commit(change)
        if step_into(S.CANCELLED)(change):
            raise StoreError("the answer was lost")


class Switch:
    """Says whether settings of fencing are to be kept slowly."""

    is_slow = False

    def __call__(self, change: Change) -> bool:
        return self.is_slow and any(memo.kind == FENCE_ZONE_MEMO for memo in change.memos)


async def decided(one: Site, host: str = HOST) -> list[str]:
    return [each.decision for each in await one.decisions() if each.host == host]


async def test_a_host_that_is_seen_while_its_command_is_being_recorded_is_not_cut_off() -> None:
    store = WaitingStore(step_into(S.ATTEMPT))
    async with site(store=store) as one:
        await one.lose()
        await store.reached.wait()
        await one.find(HOST, "ping")
        store.go.set()
        await one.until(HOST, S.NEEDS_HUMAN)
        assert one.devices.commands == []
        assert one.calls == {HOST}


async def test_a_hold_that_comes_first_stops_what_is_decided_behind_it() -> None:
    """The brakes are asked when it is one's turn to write, and not before."""
    slow = Switch()
    store = WaitingStore(slow)
    async with site(store=store) as one:
        await one.lose(HOST, "ping")
        await one.until(HOST, S.SUSPECT)
        slow.is_slow = True
        hold = asyncio.create_task(one.desk.set_hold(True, user="alice", reason="wait"))
        await store.reached.wait()
        await one.lose(HOST, "peers")
        await asyncio.sleep(5)
        store.go.set()
        await hold
        await asyncio.sleep(5)
        assert "authorise" not in await decided(one)
        assert one.devices.commands == []


async def test_a_host_that_is_seen_while_its_confirmation_waits_is_not_isolated() -> None:
    """[I-16] Its BMC lies, and somebody else's record is being written when the host has been silent for long enough."""
    slow = Switch()
    store = WaitingStore(slow)
    async with site(store=store) as one:
        one.devices.bmc[HOST].mode = Mode.LYING
        await one.lose()
        await one.until(HOST, S.CONFIRMING)
        slow.is_slow = True
        again = asyncio.create_task(one.arm())
        await asyncio.sleep(5)
        await one.find(HOST, "ping")
        store.go.set()
        await again
        await one.until(HOST, S.NEEDS_HUMAN)
        assert "contradict" in await decided(one)
        assert "confirm" not in await decided(one)


async def test_nobody_is_told_of_an_isolation_that_is_being_ended() -> None:
    """Whoever looks at the host while its return is being recorded must not tell anew that it is isolated."""
    store = WaitingStore(step_into(S.UNFENCING))
    async with site(store=store) as one:
        await one.lose()
        await one.until(HOST, S.FENCED)
        back = asyncio.create_task(one.desk.give_back(HOST, user="alice", reason="repaired"))
        await store.reached.wait()
        one.isolation.touch([HOST])
        await asyncio.sleep(1)
        assert one.told() is Isolation.PENDING
        store.go.set()
        await back
        assert one.told() is Isolation.PENDING


async def test_a_call_ends_although_doctor_died_before_he_could_end_it() -> None:
    clock, store = LoopClock(), WaitingStore(step_into(S.NORMAL))
    excluded = {HOST: "it is ours"}
    first = Site(store, Devices(clock), clock, excluded=excluded)
    await first.start()
    await first.arm()
    await first.lose()
    await first.until_so(lambda: first.calls == {HOST}, "nobody is called")
    store.waits = lambda change: store._fence_jobs[HOST].state is S.CANCELLED
    await first.find()
    await store.reached.wait()
    await first.die()
    store.go.set()
    second = Site(store, Devices(clock), clock, excluded=excluded)
    await second.start()
    assert second.state() is S.CANCELLED
    await second.until_so(lambda: second.calls == set(), "somebody is called for nothing")
    await second.die()


async def test_an_attempt_that_nobody_may_go_on_with_is_put_before_a_person() -> None:
    """[I-17] A successor that has not enough evidence waits for a while, and not for ever."""
    clock, store = LoopClock(), WaitingStore(lambda _: False)
    devices = Devices(clock)
    devices.bmc[HOST].mode = Mode.STUCK
    first = Site(store, devices, clock)
    await first.start()
    await first.arm()
    await first.lose()
    await first.until(HOST, S.ATTEMPT)
    await first.die()
    commands = list(devices.commands)
    second = Site(store, devices, clock, limits=Limits(start_up=timedelta(0), vantages=3))
    await second.start()
    await asyncio.sleep(30)
    assert (second.state(), second.calls) == (S.ATTEMPT, set())
    await second.until(HOST, S.NEEDS_HUMAN)
    assert devices.commands == commands
    await second.until_so(lambda: second.calls == {HOST}, "nobody is called")
    await second.die()


@pytest.mark.parametrize("state", [S.AUTHORISED, S.CONFIRMING])
async def test_who_takes_over_gives_no_command_before_he_has_heard_how_it_is(state: FenceState) -> None:
    """[I-13] Nothing is cut off right after a start, also not what a Doctor of before had decided to."""
    clock, store = LoopClock(), WaitingStore(lambda _: False)
    store.waits = lambda _: HOST in store._fence_jobs and store._fence_jobs[HOST].state is state
    devices = Devices(clock)
    first = Site(store, devices, clock)
    await first.start()
    await first.arm()
    await first.lose()
    await store.reached.wait()
    await first.die()
    store.go.set()
    devices.bmc[HOST].mode = Mode.DEAF  # so that the next level has to be tried
    commands = list(devices.commands)
    second = Site(store, devices, clock, limits=Limits())
    await second.start()
    await asyncio.sleep(58)
    assert devices.commands == commands
    await second.until(HOST, S.FENCED)
    assert devices.commands[-1:] == [(HOST, Supply.OFF)] == devices.pdu.commands[-1:]
    await second.die()


async def test_why_a_host_is_held_back_is_on_record_after_a_step_of_unknown_outcome() -> None:
    store = UnsureStore()
    async with site(store=store) as one:
        await one.desk.set_zone("az-1", ZoneMode.ADVISE, user="alice", reason="not yet")
        await one.lose()
        await asyncio.sleep(5)
        await one.find()
        await one.until(HOST, S.CANCELLED)
        await one.lose()
        await one.until(HOST, S.SUSPECT)
        await asyncio.sleep(5)
        assert (await decided(one))[-2:] == ["suspect", "advise"]


async def test_what_a_device_read_of_a_host_is_forgotten_when_the_host_is_back() -> None:
    """Else it would count as silent for ever: against its zone, and for no storm."""
    async with site() as one:
        one.devices.bmc[HOST].host("").is_on = False
        await one.lose(HOST, "ping")
        await one.until(HOST, S.FENCED)
        await one.desk.give_back(HOST, user="alice", reason="repaired")
        await one.until(HOST, S.OBSERVED)
        assert one.devices.commands[-1] == (HOST, Supply.ON)
        await one.find(HOST, "ping")
        await asyncio.sleep(10)
        assert one.isolation.lookup.silent(one.clock.now()) == {}


async def test_a_wish_of_unknown_outcome_is_looked_up_before_it_is_taken_again() -> None:
    """[I-22] It was kept; the log of decisions goes on from there."""
    store = FallibleStore()
    async with site(store=store) as one:
        one.devices.bmc[HOST].mode = one.devices.pdu.mode = Mode.DEAF
        await one.lose()
        await one.until(HOST, S.NEEDS_HUMAN)
        await asyncio.sleep(20)
        store.unsure = 1
        with pytest.raises(StoreError):
            await one.desk.retry(HOST, user="alice", reason="look again")
        with pytest.raises(RejectedError, match="is suspect"):
            await one.desk.retry(HOST, user="alice", reason="look again")
        await one.until(HOST, S.NEEDS_HUMAN)
        assert (await one.desk.audit()).broken is None
        assert (await decided(one)).count("retry") == 1
