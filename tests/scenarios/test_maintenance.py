"""Hosts are emptied with the consent of those whose machines run there [D 3.4.2, 5.2.2, 5.5.2; HA 5.3]."""

import asyncio
from datetime import timedelta
from typing import Any

import pytest

from doctor.flows.instruction import Order
from doctor.flows.maintenance_desk import HostWish, Request
from doctor.model.errors import RejectedError
from doctor.model.identity import Identity
from doctor.model.instruction import Action, Instruction
from doctor.model.maintenance import (
    Decider,
    Deed,
    GuestState,
    HostStage,
    MaintenanceLimits,
    SessionState,
)
from doctor.model.map_news import MapStatus, Phase
from doctor.model.marking import Mark, MarkKind, MarkRecord, MarkState
from doctor.model.resource import Constraints
from doctor.profiler.availability import ServiceAvailabilityLevel
from doctor.testing.scenario import host_down
from tests.scenarios.maintenance_site import ADMIN, BLUE, BOB, machine, maintained
from tests.scenarios.recovery_site import RED, World

pytestmark = pytest.mark.looptime

A, D, G, S = Action, Deed, GuestState, HostStage


@pytest.mark.requirement("B30", "B32", "B33", "D34", "D35")
async def test_figure_3_4_the_host_is_emptied_as_its_owners_say() -> None:
    """[D 3.4.2 fig. 3.4] C1 has a policy, C2 chooses, C3 switches over; the Administrator gets one positive answer."""
    async with maintained() as one:
        await one.change(
            machine("vm-c1", "compute-1"),
            machine("vm-c3", "compute-1", role="ACT", group="core"),
            machine("vm-c3-b", "compute-2", role="STBY", group="core"),
        )
        await one.agree_beforehand(D.STOP, "vm-c1")
        asked = await one.request()
        await one.machine_is(G.STOPPED, "vm-c1")
        assert one.state_of("compute-1") == one.state_of("vm-1") == "maintenance"
        told = (await one.told_to_owner())[0]
        said = told["maintenance"]
        assert (said["phase"], said["session_id"], said["reason"]) == (
            "planned",
            asked.session_id,
            "firmware",
        )
        assert said["reply_to"] == f"/v1/maintenance/{asked.session_id}/replies"
        assert "physical_resource_info" not in told
        assert {one["virtual_resource_state"] for one in told["virtual_resource_info"]} == {"maintenance"}
        assert {one["host_status"] for one in told["virtual_resource_info"]} == {"MAINTENANCE"}
        await one.reply(asked, {"vm-1": D.MIGRATE, "vm-c3": D.LIVE_MIGRATE})
        await one.machine_is(G.AWAY)
        assert one.guest("vm-c3").reason == "its owner has not said yet that the standby has taken over"
        await one.ask(A.SWITCHED_OVER, "vm-c3")
        work = await one.stands(S.EMPTY)
        assert one.told_to[-1] == (A.LIVE_MIGRATE, "vm-c3")
        (response,) = await one.responses()
        assert (response["session_id"], response["result"], response["reason"]) == (
            asked.session_id,
            "done",
            None,
        )
        (host,) = response["physical_resource_info"]
        assert (host["maintenance_state"], host["maintenance"]["progress"]) == ("in-maintenance", 100)
        assert work.deadline is not None
        assert one.session(asked).state is SessionState.DONE
        assert one.state_of("vm-1") == "normal"
        assert one.state_of("compute-1") == "maintenance"
        assert await one.phases("admin") == ["started", "emptied", "result"]


@pytest.mark.requirement("B34", "B35")
async def test_figure_3_5_what_cannot_be_emptied_in_time_serves_as_before() -> None:
    """[D 3.4.2 fig. 3.5] The owner gets his NACK, the Administrator one negative answer, the host is enabled."""
    async with maintained() as one:
        await one.change(machine("vm-off", "compute-1"))
        await one.agree_beforehand(D.STOP, "vm-off")
        one.controller.cannot = {A.MIGRATE}
        asked = await one.request(seconds=30.0)
        await one.machine_is(G.ASKED)
        await one.reply(asked, {"vm-1": D.MIGRATE})
        work = await one.stands(S.FAILED)
        assert "vm-1: tried 3 times" in work.reason
        assert one.state_of("compute-1") == one.state_of("vm-1") == "normal"
        results = [each for each in await one.heard() if each["instruction"]["action"] == "migrate"]
        assert [each["instruction"]["acknowledged"] for each in results] == [False] * 3
        (response,) = await one.responses()
        assert (response["result"], response["physical_resource_info"][0]["maintenance_state"]) == (
            "failed",
            "enabled",
        )
        assert "vm-1: tried 3 times" in response["reason"]
        assert (await one.phases())[-1] == "failed"
        assert await one.phases("admin") == ["started", "failed", "result"]
        await one.until_so(lambda: one.machine_named("vm-off").vim_state == "active")


async def test_an_owner_who_says_nothing_keeps_his_machine_and_its_host_only() -> None:
    async with maintained() as one:
        await one.agree_beforehand(D.MIGRATE, "vm-2")
        asked = await one.request("compute-1", "compute-2", seconds=40.0)
        await one.stands(S.EMPTY, "compute-2")
        guest = await one.machine_is(G.STAYS)
        assert (guest.decided_by, guest.reason) == (Decider.SILENCE, "its owner has not answered")
        assert await one.phases() == ["planned", "moved", "reminder"]
        await one.stands(S.FAILED)
        assert one.work("compute-2").stage is S.EMPTY
        (response,) = await one.responses()
        assert response["result"] == "failed"
        assert "compute-1: not empty in time: vm-1: its owner has not answered" in response["reason"]
        assert one.host_of() == "compute-1"
        assert one.session(asked).state is SessionState.FAILED


async def test_silence_counts_as_its_owner_has_said_beforehand() -> None:
    async with maintained() as one:
        await one.agree_beforehand(D.ASK, if_silent=D.LIVE_MIGRATE)
        await one.request(seconds=40.0)
        began = one.clock.monotonic()
        await one.stands(S.EMPTY)
        assert 19.0 < one.clock.monotonic() - began < 22.0
        assert one.told_to == [(A.LIVE_MIGRATE, "vm-1")]


async def test_a_late_answer_counts_until_the_host_is_given_up() -> None:
    async with maintained() as one:
        asked = await one.request(seconds=40.0)
        await one.machine_is(G.STAYS)
        await one.reply(asked, {"vm-1": D.TERMINATE})
        await one.stands(S.EMPTY)
        with pytest.raises(RejectedError, match="reply is wrong"):
            await one.reply(asked, {"vm-1": D.MIGRATE})


async def test_an_owner_who_refuses_is_left_alone() -> None:
    async with maintained() as one:
        asked = await one.request(seconds=20.0)
        await one.machine_is(G.ASKED)
        (guest,) = await one.reply(asked, refusal="there is an event tonight")
        assert (guest.state, guest.reason) == (G.STAYS, "its owner refuses: there is an event tonight")
        work = await one.stands(S.FAILED)
        assert "there is an event tonight" in work.reason
        assert one.told_to == []


async def test_what_leaves_by_the_owners_own_hand_is_out_of_the_way() -> None:
    async with maintained() as one:
        asked = await one.request()
        await one.machine_is(G.ASKED)
        await one.reply(asked, {"vm-1": D.OWN_ACTION})
        await asyncio.sleep(3)
        assert one.guest().reason == "its owner takes it away himself"
        await one.ask(A.MIGRATE)
        await one.stands(S.EMPTY)


async def test_strangers_see_and_say_nothing() -> None:
    async with maintained() as one:
        await one.change(machine("vm-b", "compute-2", owner="blue"))
        asked = await one.request()
        await one.machine_is(G.ASKED)
        with pytest.raises(RejectedError, match="no such session"):
            await one.reply(asked, {"vm-1": D.MIGRATE}, BLUE)
        assert one.maintenance.all(BLUE) == []
        assert await one.told_to_owner("blue") == []
        with pytest.raises(RejectedError) as wrong:
            await one.reply(asked, {"vm-b": D.MIGRATE})
        assert wrong.value.flaws[0].pointer == "/actions/vm-b"


async def test_standbys_leave_before_the_active_one() -> None:
    async with maintained() as one:
        await one.change(
            machine("vm-act", "compute-1", role="ACT", group="core"),
            machine("vm-stby", "compute-1", role="STBY", group="core"),
        )
        for name in ("vm-1", "vm-act", "vm-stby"):
            await one.agree_beforehand(D.MIGRATE, name, await_switch_over=False)
        await one.request()
        await one.stands(S.EMPTY)
        names = [name for _, name in one.told_to]
        assert names.index("vm-stby") < names.index("vm-act")


async def test_a_group_gets_its_time_between_two_that_leave() -> None:
    """[HA 5.3] One at a time, and the next when the group has recovered."""
    async with maintained() as one:
        careful = Constraints(max_out=1, recovery_time=20)
        for n in range(3):
            await one.change(machine(f"vm-g{n}", "compute-1", group="core", constraints=careful))
            await one.agree_beforehand(D.MIGRATE, f"vm-g{n}")
        await one.agree_beforehand(D.MIGRATE)
        began = one.clock.monotonic()
        await one.request(seconds=90.0)
        await one.stands(S.EMPTY)
        assert 40.0 <= one.clock.monotonic() - began < 45.0


async def test_hosts_go_in_turns_and_machines_do_not_move_to_the_next() -> None:
    async with maintained() as one:
        for n in range(1, 4):
            await one.agree_beforehand(D.MIGRATE, f"vm-{n}")
        asked = await one.request("compute-1", "compute-2", "compute-3", at_once=1)
        for n in range(1, 4):
            host = f"compute-{n}"
            await one.stands(S.EMPTY, host)
            others = [one.work(f"compute-{m}").stage for m in range(n + 1, 4)]
            assert others == [S.WAITING] * (3 - n)
            assert await one.responses() == []
            await one.maintenance.give_back(ADMIN, [host])
        await one.until_so(lambda: one.session(asked).state is SessionState.DONE)
        assert len(one.told_to) == 3  # each machine once
        assert len(await one.responses()) == 1
        assert one.state_of("compute-3") == "normal"


async def test_a_machine_that_has_to_leave_twice_is_told_once_on_each_host() -> None:
    """All hosts are to be emptied: the first machine goes where it cannot stay, and leaves from there in its turn."""
    async with maintained() as one:
        for n in range(1, 11):
            await one.agree_beforehand(D.MIGRATE, f"vm-{n}")
        asked = await one.request(*(f"compute-{n}" for n in range(1, 11)), at_once=1, seconds=600.0)
        left = {f"compute-{n}" for n in range(1, 11)}
        tries = []
        while left:
            await one.until_so(lambda: any(one.work(host).stage is S.EMPTY for host in left))
            (host,) = (host for host in left if one.work(host).stage is S.EMPTY)
            left.remove(host)
            tries += [(guest.resource_id, guest.attempts) for guest in one.work(host).guests]
            await one.maintenance.give_back(ADMIN, [host])
        await one.until_so(lambda: one.session(asked).state is SessionState.DONE)
        names = [name for name, _ in tries]
        assert len(names) > len(set(names)), "none had to leave twice"
        assert {attempts for _, attempts in tries} == {1}
        assert sorted(names) == sorted(name for _, name in one.told_to)


async def test_machines_wait_for_a_host_that_is_not_to_be_emptied_rather_than_move_twice() -> None:
    """It takes one at a time; the others have to go themselves soon."""
    async with maintained(limits=MaintenanceLimits(per_host=1)) as one:
        for name in ("vm-1", "vm-1b", "vm-1c"):
            await one.change(machine(name, "compute-1"))
            await one.agree_beforehand(D.LIVE_MIGRATE, name)
        one.controller.lasts = 3.0
        await one.request(*(f"compute-{n}" for n in range(1, 10)), at_once=1)
        await one.stands(S.EMPTY)
        assert {one.host_of(name) for name in ("vm-1", "vm-1b", "vm-1c")} == {"compute-10"}


async def test_a_host_that_its_cloud_has_disabled_still_is_waited_for() -> None:
    """It was given back a moment ago; a try that fails would bring the machine to one that is to be emptied itself."""
    async with maintained() as one:
        mark = Mark(MarkKind.DISABLED, "compute-10")
        one.situation.marks[mark] = MarkRecord(
            mark=mark,
            cloud="cloud",
            state=MarkState.UNMARKING,
            before="enabled",
            reason="",
            fault_key="",
            since=one.clock.now(),
        )
        await one.agree_beforehand(D.LIVE_MIGRATE)
        await one.request(*(f"compute-{n}" for n in range(1, 10)), at_once=1)
        await asyncio.sleep(10)
        assert one.told_to == []
        assert "disabled still" in one.guest().reason
        del one.situation.marks[mark]
        await one.stands(S.EMPTY)
        assert one.host_of() == "compute-10"


@pytest.mark.requirement("D12")
async def test_what_was_shut_down_is_started_again_after_the_work() -> None:
    async with maintained() as one:
        await one.agree_beforehand(D.STOP)
        await one.request()
        await one.stands(S.EMPTY)
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        await one.until_so(lambda: one.told_to == [(A.STOP, "vm-1"), (A.START, "vm-1")])
        assert (await one.phases())[-1] == "over"
        assert one.host_of() == "compute-1"
        assert one.state_of("vm-1") == one.state_of("compute-1") == "normal"


async def test_a_host_that_fails_is_for_those_who_heal() -> None:
    async with maintained() as one:
        asked = await one.request()
        await one.machine_is(G.ASKED)
        await one.say(host_down("compute-1", source="ping"), "ping")
        work = await one.stands(S.FAILED)
        assert work.reason == "the host has failed"
        assert one.state_of("vm-1") == "error"
        assert one.session(asked).state is SessionState.FAILED
        assert await one.heard("fault")


async def test_a_session_survives_kills_at_every_moment() -> None:
    """[I-26] Its deadline is a moment, and each machine is told to leave once."""
    world = World()
    async with maintained(world) as first:
        await first.agree_beforehand(D.MIGRATE)
        await first.agree_beforehand(D.STOP, "vm-2")
        asked = await first.request("compute-1", "compute-2", "compute-3", seconds=30.0)
        running = first
        try:
            for pause in (0.0, 0.03, 0.06, 0.1, 0.5, 3.0, 9.0):
                await asyncio.sleep(pause)
                running = await running.crash(world)
            await running.stands(S.EMPTY, "compute-1")
            await running.stands(S.EMPTY, "compute-2")
            await running.stands(S.FAILED, "compute-3")
            assert sorted(running.told_to) == [(A.MIGRATE, "vm-1"), (A.STOP, "vm-2")]
            await running.until_so(lambda: running.session(asked).state is SessionState.FAILED)
            ended = running.work("compute-3").ended
            assert ended is not None and (ended - asked.created).total_seconds() == pytest.approx(
                30.0, abs=2.0
            )
        finally:
            if running is not first:
                await running.die()


async def test_from_a_map_of_before_the_start_nothing_follows() -> None:
    """Who has left, or was shut down, looks as if nothing had been done: it must not be done again [I-26]."""
    async with maintained() as one:
        await one.change(machine("vm-off", "compute-1"), machine("vm-silent", "compute-1"))
        await one.agree_beforehand(D.MIGRATE)
        await one.agree_beforehand(D.STOP, "vm-off")
        before = [one.machine_named(name) for name in ("vm-1", "vm-off")]
        asked = await one.request(seconds=60.0)
        await one.machine_is(G.AWAY)
        await one.machine_is(G.STOPPED, "vm-off")
        after = [one.machine_named(name) for name in ("vm-1", "vm-off")]
        one.situation.clouds[""] = MapStatus(phase=Phase.LOADING)
        await one.change(*before, machine("vm-stranger", "compute-1"))
        await asyncio.sleep(20)
        assert (one.guest().state, one.guest("vm-off").state) == (G.AWAY, G.STOPPED)
        assert one.work().guest("vm-stranger") is None
        await one.change(*after, machine("vm-stranger", "compute-2"), machine("vm-silent", "compute-2"))
        await asyncio.sleep(5)
        assert one.work().stage is S.EMPTYING
        one.situation.clouds[""] = MapStatus(phase=Phase.CURRENT, listening=True)
        await one.stands(S.EMPTY)
        assert one.told_to == [(A.MIGRATE, "vm-1"), (A.STOP, "vm-off")]
        assert one.session(asked).state is SessionState.DONE


async def test_the_time_of_a_host_is_over_whatever_is_known_of_it() -> None:
    async with maintained() as one:
        await one.request(seconds=20.0)
        await one.machine_is(G.ASKED)
        one.situation.clouds[""] = MapStatus(phase=Phase.LOADING)
        await one.stands(S.FAILED)


async def test_what_a_guard_is_against_takes_two_persons() -> None:
    """[I-28]"""
    async with maintained() as one:
        hosts = [f"compute-{n}" for n in range(1, 7)]
        with pytest.raises(RejectedError, match="zone az-1: 4 of 10 hosts would serve, and 6 have to"):
            await one.request(*hosts)
        for n in range(1, 7):
            await one.agree_beforehand(D.MIGRATE, f"vm-{n}")
        asked = await one.request(*hosts, override="the power feed is to be replaced")
        assert asked.state is SessionState.PROPOSED
        await asyncio.sleep(5)
        assert one.work().stage is S.WAITING
        with pytest.raises(RejectedError, match="somebody else's word"):
            await one.maintenance.approve(ADMIN, asked.session_id)
        await one.maintenance.approve(BOB, asked.session_id)
        await one.stands(S.EMPTY, "compute-6")


async def test_a_level_that_promises_how_many_stay_is_a_guard() -> None:
    """[I-28] One of two is out: the other one stays, or somebody says why not."""
    levels = {"1": ServiceAvailabilityLevel(detection=1, recovery=6, impact=0.5)}
    async with maintained(levels=levels) as one:
        for name, host in (("vm-core-1", "compute-1"), ("vm-core-2", "compute-2")):
            await one.change(machine(name, host, group="core", sal=1))
        await one.agree_beforehand(D.STOP, "vm-core-1")
        await one.lose("compute-2")
        with pytest.raises(RejectedError, match="core of red: 2 of 2 would be off at once, and its level"):
            await one.request("compute-1")
        await one.find("compute-2")
        assert (await one.request("compute-1")).state is SessionState.PLANNED


async def test_it_can_be_called_off() -> None:
    async with maintained() as one:
        await one.change(machine("vm-off", "compute-1"))
        await one.agree_beforehand(D.STOP, "vm-off")
        asked = await one.request()
        await one.machine_is(G.STOPPED, "vm-off")
        await one.maintenance.abort(ADMIN, asked.session_id, "not tonight")
        assert one.state_of("compute-1") == "normal"
        await one.until_so(lambda: one.told_to[-1] == (A.START, "vm-off"))
        assert (await one.phases())[-1] == "cancelled"
        (response,) = await one.responses()
        assert (response["result"], response["reason"]) == ("failed", "called off by alice: not tonight")
        with pytest.raises(RejectedError, match="it is over"):
            await one.maintenance.abort(ADMIN, asked.session_id)


async def test_a_paused_session_begins_nothing() -> None:
    async with maintained() as one:
        asked = await one.request()
        await one.machine_is(G.ASKED)
        await one.maintenance.pause(ADMIN, asked.session_id, is_paused=True)
        await one.reply(asked, {"vm-1": D.MIGRATE})
        await asyncio.sleep(5)
        assert one.told_to == []
        await one.maintenance.pause(ADMIN, asked.session_id, is_paused=False)
        await one.stands(S.EMPTY)


async def test_a_machine_that_arrives_meanwhile_is_asked_about_too() -> None:
    async with maintained() as one:
        asked = await one.request()
        await one.machine_is(G.ASKED)
        await one.change(machine("vm-new", "compute-1"))
        await one.until_so(lambda: one.work().guest("vm-new"))
        await one.reply(asked, {"vm-1": D.MIGRATE, "vm-new": D.MIGRATE})
        await one.stands(S.EMPTY)


@pytest.mark.requirement("B2", "A20")
async def test_owners_hear_long_before_what_is_planned() -> None:
    async with maintained() as one:
        later = one.clock.now() + timedelta(hours=2)
        asked = await one.request(starts=later)
        assert await one.phases() == ["planned"]
        assert one.state_of("vm-1") == "normal"
        await one.reply(asked, {"vm-1": D.MIGRATE})
        await asyncio.sleep(3600)
        assert one.told_to == []
        await asyncio.sleep(3605)
        assert one.work().stage is S.EMPTY
        assert one.told_to == [(A.MIGRATE, "vm-1")]


@pytest.mark.parametrize(
    ("hosts", "more", "pointer", "says"),
    [
        pytest.param(
            ("compute-99",), {}, "/physical_resource_state/0/physical_resource_id", "no host", id="unknown"
        ),
        pytest.param(
            ("compute-1", "compute-1"),
            {},
            "/physical_resource_state/1/physical_resource_id",
            "twice",
            id="twice",
        ),
        pytest.param(("compute-1",), {"seconds": 0.5}, "/timeout", "at least 1 s", id="timeout"),
        pytest.param(("compute-1",), {"at_once": 0}, "/at_once", "one host", id="none-at-once"),
    ],
)
async def test_a_request_that_is_wrong_says_where(
    hosts: tuple[str, ...], more: dict[str, Any], pointer: str, says: str
) -> None:
    async with maintained() as one:
        with pytest.raises(RejectedError) as wrong:
            await one.request(*hosts, **more)
        (flaw,) = wrong.value.flaws
        assert flaw.pointer == pointer
        assert says in flaw.detail


async def test_a_host_is_in_one_session() -> None:
    async with maintained() as one:
        asked = await one.request()
        with pytest.raises(RejectedError) as wrong:
            await one.request()
        assert asked.session_id in wrong.value.flaws[0].detail


async def test_a_persons_word_that_a_host_is_down_counts_until_it_is_taken_back() -> None:
    """[D 5.5.2] `down` marks a host and all its machines in one call, `normal` takes back."""
    async with maintained() as one:
        assert await one.maintenance.say_down(ADMIN, ["compute-1"], "smoke") == ["compute-1"]
        assert (one.state_of("compute-1"), one.state_of("vm-1")) == ("down", "error")
        await one.maintenance.take_back(ADMIN, ["compute-1"])
        assert (one.state_of("compute-1"), one.state_of("vm-1")) == ("normal", "normal")
        with pytest.raises(RejectedError) as wrong:
            await one.maintenance.take_back(ADMIN, ["compute-2", "compute-1"])
        assert [flaw.pointer for flaw in wrong.value.flaws] == [
            f"/physical_resource_state/{n}/physical_resource_id" for n in range(2)
        ]
        with pytest.raises(RejectedError, match="request is wrong"):
            await one.maintenance.say_down(ADMIN, ["compute-99"], "")


async def test_a_host_in_maintenance_that_falls_silent_is_told_of_and_never_fenced() -> None:
    """[I-27] Who works on a host switches it off; its owners have left."""
    async with maintained() as one:
        await one.agree_beforehand(D.MIGRATE)
        await one.request()
        await one.stands(S.EMPTY)
        await one.lose("compute-1", "ping", "peers")
        await asyncio.sleep(60)
        assert one.state_of("compute-1") == "down"
        assert one.devices.commands == []
        assert await one.heard("fault") == [] or all(
            info["virtual_resource_id"] != "vm-1"
            for told in await one.heard("fault")
            for info in told.get("virtual_resource_info", [])
        )


async def test_what_cannot_be_returned_is_said() -> None:
    async with maintained() as one:
        with pytest.raises(RejectedError, match="request is wrong"):
            await one.maintenance.give_back(ADMIN, ["compute-1"])
        await one.request()
        await one.machine_is(G.ASKED)
        await one.maintenance.take_back(ADMIN, ["compute-1"])
        assert one.work().stage is S.ABORTED
        assert (await one.responses())[0]["result"] == "failed"


async def test_sessions_that_are_over_are_forgotten_in_time() -> None:
    async with maintained() as one:
        await one.agree_beforehand(D.MIGRATE)
        asked = await one.request()
        await one.stands(S.EMPTY)
        await one.responses()
        later = one.clock.now() + timedelta(days=1)
        assert await one.emptying.forget(later) == 0  # its host is worked on
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        assert await one.emptying.forget(later) == 1
        with pytest.raises(RejectedError, match="no such session"):
            one.maintenance.get(ADMIN, asked.session_id)
        assert one.situation.subscriptions.get(asked.session_id) is None


async def test_what_has_not_begun_when_it_is_called_off_is_not_done() -> None:
    async with maintained() as one:
        for name in ("vm-g0", "vm-g1"):
            await one.change(machine(name, "compute-1", group="core", constraints=Constraints(max_out=1)))
            await one.agree_beforehand(D.MIGRATE, name)
        one.controller.lasts = 10.0
        asked = await one.request()
        await one.machine_is(G.MOVING, "vm-g0")
        await one.machine_is(G.MOVING, "vm-g1")
        await one.until_so(lambda: one.told_to)
        await one.maintenance.abort(ADMIN, asked.session_id)
        await asyncio.sleep(30)
        ((_, left),) = one.told_to
        stayed = "vm-g1" if left == "vm-g0" else "vm-g0"
        assert one.host_of(left) != "compute-1"
        assert one.host_of(stayed) == "compute-1"


async def test_what_was_being_shut_down_when_it_is_called_off_is_started_again() -> None:
    world = World()
    async with maintained(world) as one:
        await one.agree_beforehand(D.STOP)
        one.controller.lasts = 10.0
        asked = await one.request()
        await one.until_so(lambda: (A.STOP, "vm-1") in one.told_to)
        assert one.guest().state is G.MOVING
        await one.maintenance.abort(ADMIN, asked.session_id)
        assert one.state_of("compute-1") == "normal"
        await one.until_so(lambda: one.told_to == [(A.STOP, "vm-1"), (A.START, "vm-1")])
        await one.until_so(lambda: one.machine_named("vm-1").vim_state == "active")


async def test_a_slow_disk_makes_no_deadline_later() -> None:
    """[I-26] A look that waits for the disk for long is no work after which one rests."""
    world = World()
    async with maintained(world) as one:
        asked = await one.request(seconds=30.0)
        await one.machine_is(G.ASKED)
        await asyncio.sleep(6)
        world.store.seconds = 18.0
        answer = asyncio.create_task(one.reply(asked, refusal="not now"))
        await asyncio.sleep(1)
        world.store.seconds = 0.0
        await answer
        work = await one.stands(S.FAILED)
        assert work.deadline is not None and work.ended is not None
        assert (work.ended - work.deadline).total_seconds() < 3


async def test_an_instruction_that_was_kept_just_before_a_failure_is_called_off_too() -> None:
    """[I-26] What its host could not keep any more is known by its id."""
    world = World()
    async with maintained(world) as one:
        for name in ("vm-g0", "vm-g1"):
            await one.change(machine(name, "compute-1", group="core", constraints=Constraints(max_out=1)))
            await one.agree_beforehand(D.MIGRATE, name)
        one.controller.lasts = 10.0
        create, made = one.instructions.create, []

        async def create_and_break(identity: Identity, order: Order) -> Instruction:
            made.append(await create(identity, order))
            if len(made) == 2:
                world.store.breaks = 1
            return made[-1]

        one.instructions.create = create_and_break  # type: ignore[method-assign]
        asked = await one.request()
        await one.until_so(lambda: world.store.refused)
        await one.machine_is(G.MOVING, "vm-g0")
        await one.machine_is(G.MOVING, "vm-g1")
        await one.maintenance.abort(ADMIN, asked.session_id)
        await asyncio.sleep(30)
        ((_, left),) = one.told_to
        assert one.host_of("vm-g1" if left == "vm-g0" else "vm-g0") == "compute-1"


async def test_a_session_that_runs_stays_so_when_machines_leave() -> None:
    async with maintained() as one:
        await one.agree_beforehand(D.MIGRATE)
        one.controller.lasts = 10.0
        asked = await one.request()
        await one.machine_is(G.MOVING)
        assert one.session(asked).state is SessionState.RUNNING


async def test_a_machine_that_was_shut_down_counts_for_its_group_until_its_host_is_back() -> None:
    """[I-28] At most one may be away."""
    async with maintained() as one:
        careful = Constraints(max_out=1)
        await one.change(
            machine("vm-a", "compute-1", group="core", constraints=careful),
            machine("vm-b", "compute-2", group="core", constraints=careful),
        )
        for name in ("vm-1", "vm-2", "vm-b"):
            await one.agree_beforehand(D.MIGRATE, name)
        await one.agree_beforehand(D.STOP, "vm-a")
        await one.request("compute-1")
        await one.stands(S.EMPTY, "compute-1")
        await one.request("compute-2", seconds=120.0)
        await asyncio.sleep(20)
        assert one.host_of("vm-b") == "compute-2"
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        await one.stands(S.EMPTY, "compute-2")
        assert one.told_to.index((A.START, "vm-a")) < one.told_to.index((A.MIGRATE, "vm-b"))


async def test_sessions_at_the_same_time_are_weighed_together() -> None:
    """What a zone and its capacity can bear is counted with what others have planned for then."""
    async with maintained() as one:
        later = one.clock.now() + timedelta(hours=1)
        first = await one.request("compute-1", "compute-2", "compute-3", starts=later)
        with pytest.raises(RejectedError) as wrong:
            await one.request("compute-4", "compute-5", starts=later)
        assert [flaw.detail for flaw in wrong.value.flaws] == [
            "zone az-1: 5 of 10 hosts would serve, and 6 have to",
            f"at the same time as session {first.session_id}, with 3 hosts",
        ]
        _, weighed = await one.maintenance.plan(
            Request((HostWish("compute-4"), HostWish("compute-5")), starts=later)
        )
        assert len(weighed.against) == 2
        second = await one.request("compute-4", "compute-5", starts=later + timedelta(hours=1))
        third = await one.request("compute-6", starts=later)
        found = one.maintenance.calendar(ADMIN)
        assert [each.session.session_id for each in found][2:] == [second.session_id]
        overlaps = {each.session.session_id: each.overlaps for each in found}
        assert overlaps == {
            first.session_id: (third.session_id,),
            third.session_id: (first.session_id,),
            second.session_id: (),
        }
        await one.until_so(lambda: one.work("compute-6").guests)  # owners are told at once
        assert one.maintenance.calendar(BLUE) == []
        assert len(one.maintenance.calendar(RED)) == 3
