"""What is done around the work on hosts, and hosts that are given back by themselves, or do not come back [D 5.5.2; issue E 5, 6]."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.model.errors import RejectedError
from doctor.model.fence_job import FenceState
from doctor.model.instruction import Action
from doctor.model.maintenance import Deed, GuestState, HostStage, MaintenanceLimits, Session, SessionState
from doctor.model.maintenance_action import ActionWish, Moment, RunState
from doctor.model.map_news import MapDelta
from doctor.testing.action import FakeAction
from doctor.testing.scenario import host_up
from tests.scenarios.maintenance_site import ADMIN, Maintained, maintained
from tests.scenarios.recovery_site import World

pytestmark = pytest.mark.looptime

A, D, G, S, M = Action, Deed, GuestState, HostStage, Moment
LIMITS = MaintenanceLimits(returns=timedelta(seconds=60))
WISHES = (
    ActionWish(M.PRE, "tell"),
    ActionWish(M.HOST, "flash"),
    ActionWish(M.HOST, "check"),
    ActionWish(M.POST, "tell"),
)


def acts(**changes: Any) -> dict[str, FakeAction]:
    """Return the actions of the settings."""
    return {name: FakeAction(**changes.get(name, {})) for name in ("tell", "flash", "check")}


@asynccontextmanager
async def ready(actions: dict[str, FakeAction], *machines: str) -> AsyncIterator[Maintained]:
    """Run a site whose owners let machines go: all of the first three hosts, if none is named."""
    async with maintained(limits=LIMITS, actions=actions) as one:
        for machine in machines or ("vm-1", "vm-2", "vm-3"):
            await one.agree_beforehand(D.LIVE_MIGRATE, machine)
        yield one


def done(actions: dict[str, FakeAction]) -> list[tuple[str, str, str | None]]:
    """Return what was done: the action, its moment and its host."""
    return [(name, job.moment.value, job.host) for name, one in actions.items() for job in one.ended]


def is_fenced(one: Maintained) -> bool:
    """Tell whether the first host was cut off."""
    job = one.situation.fence_book.jobs.get("compute-1")
    return job is not None and job.state is FenceState.FENCED


async def over(one: Maintained, session: Session) -> Session:
    """Wait for the end of a session."""
    await one.until_so(lambda: one.session(session).state.is_over, "the session never ended")
    return one.session(session)


async def stands_still(one: Maintained, session: Session) -> Session:
    """Wait until a session does not go on by itself."""
    await one.until_so(lambda: one.session(session).state is SessionState.PAUSED, "it was never paused")
    return one.session(session)


@pytest.mark.requirement("B4")
async def test_hosts_are_emptied_worked_on_and_given_back_in_turns() -> None:
    actions = acts(flash={"lasts": 5.0})
    async with ready(actions) as one:
        asked = await one.request("compute-1", "compute-2", at_once=1, actions=WISHES)
        assert asked.auto_return
        await one.stands(S.EMPTY)
        assert [job.host for job in actions["tell"].ended] == [None]
        assert one.work("compute-2").stage is S.WAITING
        ended = await over(one, asked)
        assert (ended.state, ended.outcome) == (SessionState.DONE, "")
        assert sorted(done(actions)) == sorted(
            [
                ("tell", "pre", None),
                *((name, "host", f"compute-{n}") for n in (1, 2) for name in ("flash", "check")),
                ("tell", "post", None),
            ]
        )
        assert [job.moment for job in actions["tell"].jobs] == [M.PRE, M.POST]
        last = actions["tell"].jobs[-1]
        assert last.hosts == {"compute-1": "returned", "compute-2": "returned"}
        assert (last.reason, last.session_id) == ("firmware", asked.session_id)
        assert await one.phases("admin") == ["started", "emptied", "over"] * 2 + ["result"]
        (response,) = await one.responses()
        assert response["result"] == "done"
        assert [info["maintenance_state"] for info in response["physical_resource_info"]] == ["enabled"] * 2


@pytest.mark.requirement("D38")
async def test_what_the_work_has_changed_is_reported() -> None:
    """[D 5.4] update_status: also what the cloud hears of a moment after the host is back."""
    actions = acts(flash={"lasts": 5.0})
    async with ready(actions) as one:
        asked = await one.request(actions=WISHES)
        await one.stands(S.EMPTY)

        async def now_runs(firmware: str) -> None:
            host = replace(one.situation.resources.physical["compute-1"], firmware_version=firmware)
            await one.faults.change_map(MapDelta(physical=(host,)))

        await now_runs("2.0")
        await over(one, asked)
        work = one.work()
        assert work.before is not None
        assert work.after is not None
        assert (work.before.firmware, work.after.firmware) == (None, "2.0")
        await now_runs("2.1")
        await one.until_so(lambda: (after := one.work().after) is not None and after.firmware == "2.1")
        await asyncio.sleep(LIMITS.returns.total_seconds())
        await now_runs("2.2")
        await asyncio.sleep(10)
        assert (after := one.work().after) is not None
        assert after.firmware == "2.1"  # that is none of the work any more


async def test_an_action_that_fails_leaves_its_host_and_stops_the_others() -> None:
    actions = acts(flash={"fails": {"compute-1"}})
    async with ready(actions) as one:
        asked = await one.request("compute-1", "compute-2", at_once=1, actions=WISHES)
        paused = await stands_still(one, asked)
        assert paused.outcome == "compute-1: action flash failed: it was told to fail"
        await asyncio.sleep(30)
        assert (one.work().stage, one.work("compute-2").stage) == (S.EMPTY, S.WAITING)
        assert done(actions) == [("tell", "pre", None), ("flash", "host", "compute-1")]
        assert await one.phases("admin") == ["started", "emptied", "action_failed"]
        assert await one.responses() == []
        actions["flash"].fails.clear()
        await one.maintenance.retry(ADMIN, asked.session_id)
        ended = await over(one, asked)
        assert ended.state is SessionState.DONE
        first, again, checked = one.work().runs
        assert (first.state, again.state, checked.name) == (RunState.FAILED, RunState.SUCCEEDED, "check")
        assert (first.number, again.number) == (1, 2)
        assert first.run_id != again.run_id


async def test_a_person_lets_the_others_go_on_and_gives_back_what_failed() -> None:
    actions = acts(flash={"fails": {"compute-1"}})
    async with ready(actions) as one:
        asked = await one.request("compute-1", "compute-2", at_once=1, actions=WISHES)
        await stands_still(one, asked)
        await one.maintenance.pause(ADMIN, asked.session_id, is_paused=False)
        await one.stands(S.RETURNED, "compute-2")
        assert one.work().stage is S.EMPTY
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        ended = await over(one, asked)
        assert (ended.state, ended.outcome) == (
            SessionState.FAILED,
            "compute-1: action flash failed: it was told to fail",
        )
        assert ("tell", "post", None) in done(actions)
        (response,) = await one.responses()
        assert response["result"] == "failed"


async def test_nothing_is_begun_when_what_comes_before_fails() -> None:
    actions = acts(tell={"fails": {None}})
    async with ready(actions) as one:
        asked = await one.request("compute-1", "compute-2", at_once=1, actions=WISHES)
        ended = await over(one, asked)
        assert (ended.state, ended.outcome) == (
            SessionState.FAILED,
            "pre action tell failed: it was told to fail",
        )
        assert [one.work(f"compute-{n}").stage for n in (1, 2)] == [S.FAILED] * 2
        assert done(actions) == [("tell", "pre", None)]
        assert one.told_to == []
        assert len(await one.responses()) == 1


async def test_what_fails_afterwards_is_told_and_hosts_serve() -> None:
    actions = acts(check={"fails": {None}})
    async with ready(actions) as one:
        asked = await one.request(actions=(ActionWish(M.HOST, "flash"), ActionWish(M.POST, "check")))
        ended = await over(one, asked)
        assert (ended.state, ended.outcome) == (
            SessionState.FAILED,
            "post action check failed: it was told to fail",
        )
        assert one.work().stage is S.RETURNED


async def test_a_person_gives_back_where_he_wants_to() -> None:
    actions = acts()
    async with ready(actions) as one:
        asked = await one.request(actions=WISHES, auto_return=False)
        await one.until_so(
            lambda: len(one.work().runs) == 2 and one.work().runs[1].state is RunState.SUCCEEDED
        )
        await asyncio.sleep(20)
        assert one.work().stage is S.EMPTY
        assert await one.responses() == []
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        assert (await over(one, asked)).state is SessionState.DONE
        assert ("tell", "post", None) in done(actions)


async def test_what_takes_too_long_has_failed() -> None:
    actions = acts(flash={"lasts": 500.0})
    async with ready(actions) as one:
        asked = await one.request(actions=WISHES)
        began = one.clock.monotonic()
        paused = await stands_still(one, asked)
        assert paused.outcome.endswith("flash failed: it had not ended in time")
        assert 60 <= one.clock.monotonic() - began < 65


async def test_a_host_is_not_given_back_while_something_runs_on_it() -> None:
    actions = acts(flash={"lasts": 30.0})
    async with ready(actions) as one:
        asked = await one.request(actions=WISHES)
        await one.until_so(lambda: actions["flash"].jobs)
        with pytest.raises(RejectedError) as wrong:
            await one.maintenance.give_back(ADMIN, ["compute-1"])
        assert wrong.value.flaws[0].detail.startswith("action flash runs on it: wait for its end")
        with pytest.raises(RejectedError, match="no action has failed"):
            await one.maintenance.retry(ADMIN, asked.session_id)
        assert (await over(one, asked)).state is SessionState.DONE


async def test_what_is_called_off_while_it_is_worked_on_stays_in_maintenance() -> None:
    """Half a firmware is no host to give to anybody."""
    actions = acts(flash={"lasts": 30.0})
    async with ready(actions) as one:
        asked = await one.request("compute-1", "compute-2", at_once=1, actions=WISHES)
        await one.until_so(lambda: actions["flash"].jobs)
        ended = await one.maintenance.abort(ADMIN, asked.session_id, "smoke")
        assert ended.state is SessionState.ABORTED
        assert (one.work().stage, one.work("compute-2").stage) == (S.EMPTY, S.ABORTED)
        await asyncio.sleep(60)
        assert done(actions) == [("tell", "pre", None)]
        (run,) = one.work().runs
        assert (run.state, run.detail) == (RunState.FAILED, "called off by alice: smoke")
        with pytest.raises(RejectedError, match=r"give back what was not finished.*compute-1"):
            await one.maintenance.abort(ADMIN, asked.session_id)
        with pytest.raises(RejectedError, match="it is aborted"):
            await one.maintenance.retry(ADMIN, asked.session_id)
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        assert one.work().stage is S.RETURNED
        assert len(await one.responses()) == 1


async def test_what_comes_before_can_be_called_off() -> None:
    actions = acts(tell={"lasts": 30.0})
    async with ready(actions) as one:
        asked = await one.request(actions=WISHES)
        await one.until_so(lambda: actions["tell"].jobs)
        await one.maintenance.abort(ADMIN, asked.session_id)
        await asyncio.sleep(60)
        assert done(actions) == []
        assert one.work().stage is S.ABORTED
        assert one.session(asked).runs[0].state is RunState.FAILED


async def test_runs_survive_kills_at_every_moment() -> None:
    """Each run is begun at least once, under the same id by whoever takes over, and there is one answer."""
    for wait in (0.02, 0.3, 1.0, 2.5, 4.0, 7.0, 11.0, 14.0):
        world, actions = World(), acts(flash={"lasts": 3.0}, check={"lasts": 3.0}, tell={"lasts": 3.0})
        running = Maintained(world, limits=LIMITS, actions=actions)
        await running.start()
        await running.agree_beforehand(D.LIVE_MIGRATE, "vm-1")
        asked = await running.request(actions=WISHES)
        await asyncio.sleep(wait)
        running = await running.crash(world, limits=LIMITS, actions=actions)
        ended = await over(running, asked)
        assert (ended.state, ended.outcome) == (SessionState.DONE, ""), wait
        assert set(done(actions)) == {
            ("tell", "pre", None),
            ("flash", "host", "compute-1"),
            ("check", "host", "compute-1"),
            ("tell", "post", None),
        }
        for each in actions.values():
            assert len({job.run_id for job in each.jobs}) == len({job.moment for job in each.jobs})
        assert sum(len(one.jobs) for one in actions.values()) <= 5
        assert len(await world.store.notifications(asked.session_id, after=0, limit=10)) == 1
        await running.die()


async def test_a_store_that_is_away_loses_no_end() -> None:
    actions = acts(flash={"lasts": 5.0})
    async with ready(actions) as one:
        asked = await one.request(actions=WISHES)
        await one.until_so(lambda: actions["flash"].jobs)
        one.store.breaks = 4
        await one.until_so(lambda: actions["flash"].ended)
        assert (await over(one, asked)).state is SessionState.DONE
        assert len(actions["flash"].jobs) == 1


async def test_an_action_that_is_gone_from_the_settings_has_failed() -> None:
    world, actions = World(), acts(flash={"lasts": 30.0})
    running = Maintained(world, limits=LIMITS, actions=actions)
    await running.start()
    await running.agree_beforehand(D.LIVE_MIGRATE, "vm-1")
    asked = await running.request(actions=WISHES)
    await running.until_so(lambda: actions["flash"].jobs)
    del actions["flash"]
    running = await running.crash(world, limits=LIMITS, actions=actions)
    paused = await stands_still(running, asked)
    assert paused.outcome.endswith("the settings have no action of this name any more")
    await running.die()


async def test_time_that_passes_without_doctor_counts() -> None:
    world, actions = World(), acts(flash={"lasts": 30.0})
    running = Maintained(world, limits=LIMITS, actions=actions)
    await running.start()
    await running.agree_beforehand(D.LIVE_MIGRATE, "vm-1")
    asked = await running.request(actions=WISHES)
    await running.until_so(lambda: actions["flash"].jobs)
    await running.die()
    await asyncio.sleep(60)
    running = Maintained(world, limits=LIMITS, actions=actions)
    await running.start()
    paused = await stands_still(running, asked)
    assert paused.outcome.endswith("its time was over when it could be begun again")
    assert len(actions["flash"].jobs) == 1
    await running.die()


async def test_a_driver_that_breaks_its_promise_harms_its_own_run_only() -> None:
    class Broken(FakeAction):
        async def run(self, *given: Any) -> Any:
            raise OSError("who knows")

    async with ready({**acts(), "flash": Broken()}) as one:
        asked = await one.request("compute-1", actions=WISHES)
        other = await one.request("compute-2", actions=(ActionWish(M.HOST, "check"),))
        paused = await stands_still(one, asked)
        assert paused.outcome.endswith("the driver is broken: OSError")
        assert (await over(one, other)).state is SessionState.DONE


@pytest.mark.parametrize(
    ("more", "pointer", "said"),
    [
        pytest.param(
            {"actions": (ActionWish(M.HOST, "flsh"),)}, "/actions/0/name", "did you mean 'flash'?", id="slip"
        ),
        pytest.param(
            {"actions": (ActionWish(M.HOST, "flash"), ActionWish(M.PRE, "zzz"))},
            "/actions/1/name",
            "there are: check, flash, tell",
            id="unknown",
        ),
        pytest.param(
            {"actions": (ActionWish(M.HOST, "flash"),) * 2}, "/actions/1", "is there twice", id="twice"
        ),
    ],
)
async def test_what_is_wrong_with_wishes_is_said(more: dict[str, Any], pointer: str, said: str) -> None:
    async with ready(acts()) as one:
        with pytest.raises(RejectedError) as wrong:
            await one.request(**more)
        (flaw,) = wrong.value.flaws
        assert flaw.pointer == pointer
        assert said in flaw.detail
        with pytest.raises(RejectedError):
            await one.maintenance.retry(ADMIN, "nowhere")


# --- hosts that come back, and hosts that do not ---


async def test_silence_of_a_host_that_is_worked_on_calls_nobody_and_counts_for_nothing() -> None:
    """[I-27] Its owner, whose machine is off there as he wanted, reads that it is maintenance."""
    async with maintained() as one:
        await one.agree_beforehand(D.STOP)
        await one.request()
        await one.stands(S.EMPTY)
        await one.lose("compute-1", "ping", "peers")
        await asyncio.sleep(60)
        assert one.calls == set()
        assert "compute-1" not in one.situation.fence_book.jobs
        assert one.devices.commands == []
        (told,) = [
            each
            for each in await one.heard("fault")
            if "subscription_id" in each and each["subscription_id"] == "red"
        ]
        (info,) = told["virtual_resource_info"]
        assert (info["host_status"], info["isolation"]) == ("MAINTENANCE", "not_required")
        await one.say(host_up("compute-1"), "ping", "peers")
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        await one.until_so(lambda: (A.START, "vm-1") in one.told_to)


async def test_a_host_that_fails_while_it_is_emptied_is_a_fault_as_ever() -> None:
    async with maintained() as one:
        await one.request("compute-1", "compute-2")
        await one.machine_is(G.ASKED)
        await one.lose("compute-1", "ping", "peers")
        await one.stands(S.FAILED)
        await one.until_so(lambda: is_fenced(one))
        assert one.work("compute-2").stage is S.EMPTYING


async def test_a_host_that_does_not_come_back_when_it_was_given_back_becomes_a_fault() -> None:
    async with maintained(limits=LIMITS) as one:
        await one.agree_beforehand(D.STOP)
        await one.request()
        await one.stands(S.EMPTY)
        await one.lose("compute-1", "ping", "peers")
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        await asyncio.sleep(55)
        assert one.devices.commands == []  # it may still be on its way
        assert one.calls == set()
        await one.until_so(lambda: is_fenced(one))
        assert (await one.phases("admin"))[-1] == "not_back"
        assert (await one.phases())[-1] == "not_back"
        assert one.work().reason == "it has not come back from the work on it"


async def test_a_host_that_comes_back_and_fails_again_is_a_fault_at_once() -> None:
    async with maintained(limits=LIMITS) as one:
        await one.agree_beforehand(D.MIGRATE)
        await one.request()
        await one.stands(S.EMPTY)
        await one.lose("compute-1", "ping", "peers")
        await one.maintenance.give_back(ADMIN, ["compute-1"])
        await asyncio.sleep(5)
        await one.say(host_up("compute-1"), "ping", "peers")
        await one.until_so(lambda: one.work().back is not None)
        await one.lose("compute-1", "ping", "peers")
        await one.until_so(lambda: is_fenced(one))
        assert one.clock.monotonic() < 40
        assert "not_back" not in await one.phases("admin")


async def test_a_host_that_is_restarted_by_its_actions_is_waited_for() -> None:
    actions = acts(flash={"lasts": 10.0})
    async with ready(actions) as one:
        asked = await one.request(actions=WISHES)
        await one.until_so(lambda: actions["flash"].jobs)
        await one.lose("compute-1", "ping", "peers")
        await one.until_so(lambda: actions["check"].ended)
        await asyncio.sleep(20)
        assert one.work().stage is S.EMPTY
        await one.say(host_up("compute-1"), "ping", "peers")
        assert (await over(one, asked)).state is SessionState.DONE
        assert one.devices.commands == []


async def test_a_host_that_does_not_come_back_from_its_actions_stops_the_others() -> None:
    actions = acts(flash={"lasts": 10.0})
    async with ready(actions) as one:
        asked = await one.request("compute-1", "compute-2", at_once=1, actions=WISHES)
        await one.until_so(lambda: actions["flash"].jobs)
        await one.lose("compute-1", "ping", "peers")
        paused = await stands_still(one, asked)
        assert paused.outcome == "compute-1: it has not come back from the work on it"
        assert (one.work().stage, one.work("compute-2").stage) == (S.FAILED, S.WAITING)
        await one.until_so(lambda: is_fenced(one))
        assert (await one.phases("admin"))[-1] == "not_back"
        await one.maintenance.abort(ADMIN, asked.session_id)
        (response,) = await one.responses()
        assert response["result"] == "failed"


async def test_a_watch_over_a_host_survives_a_kill() -> None:
    world = World()
    running = Maintained(world, limits=LIMITS)
    await running.start()
    await running.arm()
    await running.agree_beforehand(D.MIGRATE)
    await running.request()
    await running.stands(S.EMPTY)
    await running.lose("compute-1", "ping", "peers")
    await running.maintenance.give_back(ADMIN, ["compute-1"])
    await asyncio.sleep(10)
    running = await running.crash(world, limits=LIMITS)
    await asyncio.sleep(30)
    assert running.devices.commands == []
    await running.until_so(lambda: "not_back" in _phases(running))
    await running.die()


def _phases(one: Maintained) -> str:
    return " ".join(each.notification.body.decode() for each in one.channel.attempts)
