"""A host that cannot be isolated: the zone around it goes in its place, where that was said, and nowhere else [HA 6.1.2.2]."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.drivers.stores.memory import MemoryStore
from doctor.fencing.limits import Limits
from doctor.inspector.catalogue import default_policy_text
from doctor.model.errors import RejectedError
from doctor.model.fence_job import FenceState, ZoneMode
from doctor.model.fencing import Supply
from doctor.model.map_news import MapDelta
from doctor.testing.clock import LoopClock
from doctor.testing.fence import Mode
from tests.scenarios.isolation_site import HOSTS, Devices, Site, site

pytestmark = pytest.mark.looptime

S, OFF, ON = FenceState, Supply.OFF, Supply.ON
ASK = "  - {type: rack, relations: [contains], components: [host], probation: PT15M, escalate: ask}\n"
AUTOMATIC = ASK.replace("escalate: ask", "escalate: automatic, isolation: fence")
NEIGHBOUR = "compute-2"  # in rack-0 as well


def policy(zone: str = AUTOMATIC) -> str:
    head, _, tail = default_policy_text().partition("zones:\n")
    others = tail.splitlines(keepends=True)[2:]  # behind the zones that ship
    return f"{head}zones:\n{zone}{''.join(others)}"


@asynccontextmanager
async def stuck(**more: Any) -> AsyncIterator[Site]:
    """Run a site on which nothing of its own isolates compute-1."""
    async with site(zones_too=True, **{"policy": policy(), **more}) as one:
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.DEAF
        yield one


def rack(one: Site) -> list[tuple[str, Supply]]:
    return one.devices.racks.commands


async def lose_both(one: Site) -> None:
    """Lose a host, and with its rack the other host that is in it."""
    await one.lose()
    await one.until_so(lambda: rack(one))
    await one.lose(NEIGHBOUR)


@pytest.mark.requirement("G50", "G51")
async def test_the_rack_goes_in_place_of_a_host_that_nothing_else_isolates() -> None:
    """[HA 6.1.2.2] To the next higher level as soon as possible; and the hosts that went with it are proven off too."""
    async with stuck() as one:
        began = one.clock.monotonic()
        await lose_both(one)
        await one.until("compute-1", S.FENCED)
        assert one.clock.monotonic() - began < 20
        assert rack(one) == [("rack-0", OFF)]
        job = one.situation.fence_book.jobs["compute-1"]
        assert (job.widened, job.level) == ("rack-0", 2)
        await one.until(NEIGHBOUR, S.FENCED)
        assert one.calls == set()


@pytest.mark.parametrize("zone", [ASK, AUTOMATIC.replace("fence", "advise"), ""])
async def test_without_a_word_a_person_is_asked(zone: str) -> None:
    async with stuck(policy=policy(zone) if zone else default_policy_text()) as one:
        await one.lose()
        await one.until("compute-1", S.NEEDS_HUMAN)
        await asyncio.sleep(600)
        assert (rack(one), one.calls) == ([], {"compute-1"})


async def test_a_person_may_say_that_the_rack_goes() -> None:
    async with stuck(policy=policy(ASK)) as one:
        await one.lose()
        await one.until("compute-1", S.NEEDS_HUMAN)
        await asyncio.sleep(20)
        with pytest.raises(RejectedError) as refused:
            await one.desk.retry("compute-1", user="alice", reason="", zone="rack-1")
        assert refused.value.flaws[0].detail == "use one of: rack-0"
        await one.desk.retry("compute-1", user="alice", reason="its BMC is dead", zone="rack-0")
        await one.until("compute-1", S.FENCED)
        assert rack(one) == [("rack-0", OFF)]


@pytest.mark.parametrize(
    ("more", "says"),
    [
        pytest.param({"excluded": {NEIGHBOUR: "it runs Doctor"}}, "it runs Doctor", id="doctor-is-in-it"),
        pytest.param({"limits": Limits(start_up=timedelta(0), floor=0.9)}, "8 of 10 hosts", id="floor"),
    ],
)
async def test_a_rack_that_must_not_go_stays_and_a_person_is_called(more: dict[str, Any], says: str) -> None:
    async with stuck(**more) as one:
        await one.lose()
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert says in one.situation.fence_book.jobs["compute-1"].reason
        await asyncio.sleep(600)
        assert (rack(one), one.calls) == ([], {"compute-1"})


async def test_the_hold_switch_keeps_the_rack_on() -> None:
    async with stuck() as one:
        await one.lose()
        await one.until("compute-1", S.ATTEMPT)
        await one.desk.set_hold(True, user="alice", reason="wait")
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert rack(one) == []


async def test_one_rack_in_place_of_a_host_is_enough() -> None:
    async with stuck(limits=Limits(start_up=timedelta(0), zone_share=1.0)) as one:
        one.devices.bmc["compute-5"].mode = Mode.DEAF
        await one.lose()
        await one.until("compute-1", S.FENCED)
        await asyncio.sleep(120)
        await one.lose("compute-5")
        await one.until("compute-5", S.NEEDS_HUMAN)
        assert "one zone is enough" in one.situation.fence_book.jobs["compute-5"].reason
        assert rack(one) == [("rack-0", OFF)]


async def test_a_stranger_that_falls_silent_with_the_rack_is_a_contradiction() -> None:
    """[I-16] The rack's device may be behind another rack."""
    async with stuck() as one:
        await one.lose()
        await one.until_so(lambda: rack(one))
        await one.lose("compute-7", "ping")
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert "compute-7 went silent by it" in one.situation.fence_book.jobs["compute-1"].reason


async def test_the_rack_comes_back_when_all_its_hosts_are_given_back() -> None:
    """[I-15] Not while one of them is still to stay off, or its machines are on their way elsewhere."""
    async with stuck() as one:
        await lose_both(one)
        await one.until("compute-1", S.FENCED)
        await one.until(NEIGHBOUR, S.FENCED)
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.HONEST
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await asyncio.sleep(60)
        assert one.state() is S.UNFENCING
        assert "compute-2 went off with rack-0" in one.situation.fence_book.jobs["compute-1"].reason
        assert rack(one) == [("rack-0", OFF)]
        await one.desk.give_back(NEIGHBOUR, user="alice", reason="repaired")
        await one.until("compute-1", S.OBSERVED)
        await one.until(NEIGHBOUR, S.OBSERVED)
        assert rack(one) == [("rack-0", OFF), ("rack-0", ON)]


async def test_a_rack_that_was_cut_off_comes_back_with_a_host_that_was_tried_again_without_it() -> None:
    """Nobody else would know that it is off."""
    async with stuck(limits=Limits(start_up=timedelta(0), zone_share=1.0)) as one:
        await one.lose()
        await one.until_so(lambda: rack(one))
        await one.lose("compute-7", "ping")
        await one.until("compute-1", S.NEEDS_HUMAN)
        await one.find("compute-7", "ping")
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.HONEST
        await asyncio.sleep(80)
        await one.desk.retry("compute-1", user="alice", reason="its BMC was repaired")
        await one.until("compute-1", S.FENCED)
        assert one.situation.fence_book.jobs["compute-1"].level == 0
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", S.OBSERVED)
        assert rack(one) == [("rack-0", OFF), ("rack-0", ON)]


async def test_a_host_that_is_found_dead_while_its_rack_comes_back_is_not_isolated() -> None:
    """[I-15] Nobody had reported it before: it would run again a moment after its machines were evacuated."""
    async with stuck(limits=Limits(start_up=timedelta(0), zone_share=1.0)) as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.HONEST
        one.devices.racks.mode, one.devices.racks.seconds = Mode.SLOW, 12.0
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until_so(lambda: rack(one)[-1] == ("rack-0", ON))
        await one.lose(NEIGHBOUR)
        await one.until(NEIGHBOUR, S.CONFIRMING)
        await one.until(NEIGHBOUR, S.NEEDS_HUMAN)
        assert [each.decision for each in await one.decisions()].count("confirm") == 1
        await one.until("compute-1", S.OBSERVED)


async def test_the_rack_stays_off_while_machines_of_its_other_hosts_are_leaving() -> None:
    async with stuck() as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        leaving = {NEIGHBOUR: ["vm-2 is being evacuated"]}
        one.isolation.unfinished = lambda host: leaving.get(host, [])
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert rack(one) == [("rack-0", OFF)]


@pytest.mark.parametrize("seconds", [1.0, 6.0, 11.0, 11.5, 13.0])
async def test_a_successor_goes_on_with_the_rack(seconds: float) -> None:
    """[I-17] Which zone goes is on record before the command."""
    clock, store = LoopClock(), MemoryStore()
    devices = Devices(clock)
    devices.bmc["compute-1"].mode = devices.pdu.mode = Mode.DEAF
    more: dict[str, Any] = {"zones_too": True, "policy": policy()}
    one = Site(store, devices, clock, **more)
    await one.start()
    await one.arm()
    await one.lose()
    await asyncio.sleep(seconds)
    await one.die()
    one = Site(store, devices, clock, **more)
    await one.start()
    await one.lose()
    await one.until("compute-1", S.FENCED)
    assert {plug for plug, _ in devices.racks.commands} == {"rack-0"}
    assert set(devices.racks.commands) == {("rack-0", OFF)}
    await one.die()


async def test_a_rack_whose_hosts_are_not_all_armed_stays() -> None:
    async with stuck() as one:
        assert HOSTS[1] == NEIGHBOUR
        moved = one.situation.resources.physical[NEIGHBOUR]
        await one.faults.change_map(MapDelta(physical=(replace(moved, zone_id="az-2"),)))
        await one.lose()
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert "az-2, which is not armed" in one.situation.fence_book.jobs["compute-1"].reason
        await one.desk.set_zone("az-2", ZoneMode.ARMED, user="alice", reason="tested")
