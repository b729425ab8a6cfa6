"""Where there is no room for what has to leave hosts: owners are asked to scale in, and the emptiest host goes first [HA 5.3, 6.2]."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from doctor.flows.instruction import Order
from doctor.flows.maintenance_desk import HostWish, Request
from doctor.model.errors import RejectedError
from doctor.model.instruction import Action
from doctor.model.maintenance import Deed, GuestState, HostStage, MaintenanceLimits, SessionState
from tests.scenarios.maintenance_site import ADMIN, BLUE, BOB, Maintained, machine, maintained
from tests.scenarios.recovery_site import World

pytestmark = pytest.mark.looptime

A, D, S = Action, Deed, HostStage
ALL = tuple(f"compute-{n}" for n in range(1, 11))
LIMITS = MaintenanceLimits(floor=0.1)


async def filled(one: Maintained, *, by: int = 7, hosts: tuple[str, ...] = ALL) -> None:
    """Fill hosts, which have 8 vCPUs each and a machine of one: nobody has room for more."""
    await one.change(*(machine(f"big-{host}", host, owner="blue", vcpus=by, memory_mb=by) for host in hosts))
    for host in hosts:
        await one.agree_beforehand(D.LIVE_MIGRATE, f"big-{host}", project="blue")
    for n in range(1, 11):
        await one.agree_beforehand(D.LIVE_MIGRATE, f"vm-{n}")


async def told(one: Maintained, who: str) -> list[dict[str, Any]]:
    """Return what an owner was asked to make room by."""
    return [each for each in await one.told_to_owner(who) if each["maintenance"]["phase"] == "scale_in"]


@pytest.mark.requirement("G58")
async def test_owners_are_asked_to_make_room_and_hosts_go_when_there_is() -> None:
    async with maintained(limits=LIMITS) as one:
        await filled(one)
        with pytest.raises(RejectedError, match=r"ask owners to make room \(scale_in\)"):
            await one.request("compute-1")
        asked = await one.request("compute-1", scale_in=True, seconds=60.0)
        assert asked.scale_in is not None
        assert (asked.scale_in.vcpus, asked.scale_in.memory_mb) == (8, 8)
        for who in ("red", "blue"):
            (notice,) = await told(one, who)
            said = notice["maintenance"]
            assert said["scale_in"] == {"vcpus": 8, "memory_mb": 8}
            assert said["reply_by"] is not None
            assert said["reason"] == "firmware"
            assert "physical_resource_info" not in notice
        assert "scale_in" not in await one.phases("admin")
        await asyncio.sleep(10)
        assert one.work().stage is S.WAITING
        await one.instructions.create(BLUE, _terminate("big-compute-5"))
        await asyncio.sleep(10)  # 7 of 8 are there
        assert one.session(asked).waits_for_room
        await one.ask(A.TERMINATE, "vm-5")
        await one.stands(S.EMPTY)
        assert one.host_of("big-compute-1") == "compute-5"
        assert one.session(asked).state is SessionState.DONE


async def test_what_owners_answer_for_machines_on_the_hosts_counts_too() -> None:
    async with maintained(limits=LIMITS) as one:
        await filled(one, hosts=ALL[1:])
        await one.agree_beforehand(D.ASK, "vm-1")
        asked = await one.request("compute-1", scale_in=True)
        await one.machine_is(GuestState.ASKED)
        await one.reply(asked, {"vm-1": D.STOP})
        await one.stands(S.EMPTY)
        assert one.told_to == [(A.STOP, "vm-1")]


async def test_who_makes_no_room_is_asked_once_more_and_then_it_is_over() -> None:
    async with maintained(limits=LIMITS) as one:
        await filled(one)
        asked = await one.request("compute-1", "compute-2", at_once=None, scale_in=True, seconds=60.0)
        began = one.clock.monotonic()
        await one.until_so(lambda: one.session(asked).state.is_over)
        assert 60 <= one.clock.monotonic() - began < 66
        assert len(await told(one, "blue")) == 2
        assert one.session(asked).state is SessionState.FAILED
        why = "there is no room: 16 vcpus and 16 MB of memory are missing, and owners were asked to scale in"
        assert [one.work(f"compute-{n}").reason for n in (1, 2)] == [why] * 2
        (response,) = await one.responses()
        assert response["result"] == "failed"
        assert one.told_to == []


async def test_nobody_is_asked_where_there_is_room() -> None:
    async with maintained() as one:
        await one.agree_beforehand(D.MIGRATE)
        asked = await one.request(scale_in=True)
        assert asked.scale_in is None
        await one.stands(S.EMPTY)
        assert await told(one, "red") == []


async def test_other_guards_hold_and_owners_are_asked_when_a_second_person_has_agreed() -> None:
    async with maintained() as one:
        await filled(one)
        with pytest.raises(RejectedError, match="hosts would serve"):
            await one.request(*ALL[:6], scale_in=True)
        asked = await one.request(*ALL[:6], scale_in=True, override="the rack burns")
        assert await told(one, "blue") == []
        await one.maintenance.approve(BOB, asked.session_id)
        assert len(await told(one, "blue")) == 1
        await one.maintenance.abort(ADMIN, asked.session_id)


async def test_a_kill_changes_nothing_of_what_is_waited_for() -> None:
    world = World()
    running = Maintained(world, limits=LIMITS)
    await running.start()
    await filled(running)
    asked = await running.request("compute-1", scale_in=True, seconds=60.0)
    running = await running.crash(world, limits=LIMITS)
    found = running.session(asked).scale_in  # the map that it starts with has room again
    assert found is not None
    assert asked.scale_in is not None
    assert (found.until, found.vcpus) == (asked.scale_in.until, asked.scale_in.vcpus)
    await running.stands(S.EMPTY)
    await running.die()


async def test_the_emptiest_host_goes_first_where_nobody_else_has_room() -> None:
    """All hosts of a site, one at a time: what leaves the first moves again, all others move once."""
    async with maintained(limits=LIMITS) as one:
        await filled(one, by=4, hosts=ALL[:6] + ALL[7:])  # compute-7 has least
        found, weighed = await one.maintenance.plan(Request(tuple(map(HostWish, ALL)), at_once=1))
        assert weighed.first == ("compute-7",)
        assert [each.host for each in found.hosts][:3] == ["compute-7", "compute-1", "compute-2"]
        assert weighed.against == []
        assert found.twice <= 2
        asked = await one.request(*ALL, at_once=1, seconds=300.0)
        assert asked.hosts == ("compute-7", *ALL[:6], *ALL[7:])
        for host in asked.hosts:
            await one.stands(S.EMPTY, host)
            await one.maintenance.give_back(ADMIN, [host])
        assert one.session(asked).state is SessionState.DONE
        moves = [name for action, name in one.told_to if action is A.LIVE_MIGRATE]
        assert len(moves) - len(set(moves)) <= 2


async def test_the_order_asked_for_holds_where_others_have_room() -> None:
    async with maintained() as one:
        asked = await one.request("compute-3", "compute-1", at_once=1)
        assert asked.hosts == ("compute-3", "compute-1")


def _terminate(name: str) -> Order:
    return Order(A.TERMINATE, (name,), {}, deadline=timedelta(seconds=60))
