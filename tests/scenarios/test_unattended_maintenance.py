"""Sessions whose hosts come back by themselves, as Fenix' do, and who hears of them."""

import asyncio
from collections import Counter
from datetime import timedelta
from typing import Any

import pytest

from doctor.drivers.channels.fenix import events
from doctor.flows.maintenance_desk import Reply
from doctor.flows.placement import apart
from doctor.model.errors import RejectedError
from doctor.model.maintenance import Deed, GuestState, HostStage, SessionState
from doctor.model.resource import Constraints
from doctor.model.subscription import FENIX, Endpoint, Subscription
from doctor.ports.store import Change
from tests.scenarios.maintenance_site import ADMIN, BLUE, BOB, Maintained, machine, maintained
from tests.scenarios.recovery_site import RED, World

pytestmark = pytest.mark.looptime

D, G, S = Deed, GuestState, HostStage


async def listen(one: Maintained, name: str, project: str | None) -> None:
    """Have somebody listen as Fenix' clients do."""
    endpoint = Endpoint(endpoint_id=f"{name}-0", url=f"http://{name}/", format=FENIX)
    made = Subscription(subscription_id=name, project=project, endpoints=(endpoint,), created=one.clock.now())
    await one.situation.keep(Change(subscriptions=[made]))
    one.situation.subscriptions.put(made)
    one.delivery.follow(made)


def heard(one: Maintained, name: str) -> list[dict[str, Any]]:
    """Return what somebody hears who listens so."""
    mine = [each for each in one.channel.attempts if each.endpoint_id == f"{name}-0"]
    return [event.payload for each in mine for event in events(each.notification)]


async def test_hosts_come_back_by_themselves_one_after_the_other_and_what_was_off_runs_again() -> None:
    async with maintained() as one:
        await one.agree_beforehand(D.STOP)
        await one.agree_beforehand(D.MIGRATE, "vm-2")
        asked = await one.request("compute-1", "compute-2", at_once=1, auto_return=True)
        await one.stands(S.RETURNED, "compute-2")
        assert one.work("compute-1").ended is not None
        assert one.work("compute-1").ended <= one.work("compute-2").began  # type: ignore[operator]
        assert one.session(asked).state is SessionState.DONE
        await one.until_so(lambda: one.machine_named("vm-1").vim_state == "active")
        assert await one.phases("admin") == [
            "started", "emptied", "over", "started", "emptied", "over", "result",
        ]  # fmt: skip
        assert one.state_of("compute-1") == one.state_of("compute-2") == "normal"


async def test_what_is_empty_when_doctor_is_killed_comes_back_all_the_same() -> None:
    world = World()
    one = Maintained(world)
    await one.start()
    await one.agree_beforehand(D.MIGRATE)
    asked = await one.request(auto_return=True)
    for _ in range(20):
        one = await one.crash(world)
        tasks = [asyncio.create_task(each) for each in one.works()]
        await asyncio.sleep(0.3)
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks)
        if one.work().stage is S.RETURNED:
            break
    assert one.work().stage is S.RETURNED
    assert one.session(asked).answered is not None
    await one.die()


async def test_an_owner_who_is_ready_waits_for_no_notice_and_no_switch_over() -> None:
    async with maintained() as one:
        await one.change(machine("vm-act", "compute-1", group="g", role="ACT"))
        await one.change(machine("vm-stby", "compute-3", group="g", role="STBY"))
        await one.agree_beforehand(D.ASK, "vm-act", lead_time=timedelta(minutes=5))
        asked = await one.request(seconds=600.0)
        await one.machine_is(G.ASKED, "vm-act")
        began = one.clock.monotonic()
        actions = {"vm-act": None, "vm-1": D.MIGRATE}
        await one.maintenance.reply(RED, asked.session_id, Reply(actions, ready=True))
        await one.stands(S.EMPTY)
        assert one.clock.monotonic() - began < 5.0
        again = await one.maintenance.reply(RED, asked.session_id, Reply(actions, ready=True))
        assert {each.state for each in again} == {G.AWAY}  # he says once more what counts already
        with pytest.raises(RejectedError, match="reply is wrong"):
            await one.maintenance.reply(RED, asked.session_id, Reply({"vm-1": D.MIGRATE}, refusal="no"))


async def test_owners_hear_when_it_begins_and_when_it_has_ended_for_them() -> None:
    async with maintained() as one:
        await listen(one, "red-fenix", "red")
        await one.request(
            "compute-1",
            "compute-2",
            starts=one.clock.now() + timedelta(seconds=30),
            at_once=1,
            auto_return=True,
            metadata={"release": "next"},
        )
        await one.until_so(lambda: bool(heard(one, "red-fenix")), "nobody was told")
        for name in ("vm-1", "vm-2"):
            await one.agree_beforehand(D.MIGRATE, name)
        await one.stands(S.RETURNED, "compute-2")
        told = await one.told_to_owner()
        assert [each["maintenance"]["phase"] for each in told] == [
            "planned", "started", "moved", "over", "started", "moved", "over",
        ]  # fmt: skip
        assert {each["maintenance"]["metadata"]["release"] for each in told} == {"next"}
        assert [each["maintenance"].get("ends", False) for each in told] == [False] * 6 + [True]
        states = [each["state"] for each in heard(one, "red-fenix")]
        assert states == [
            "MAINTENANCE",
            "PLANNED_MAINTENANCE",
            "INSTANCE_ACTION_DONE",
            "PLANNED_MAINTENANCE",
            "INSTANCE_ACTION_DONE",
            "MAINTENANCE_COMPLETE",
        ]


async def test_a_bus_of_the_administrator_hears_of_the_machines_of_each_owner_by_itself() -> None:
    async with maintained() as one:
        await one.change(machine("vm-blue", "compute-1", owner="blue"))
        await listen(one, "bus", None)
        await one.agree_beforehand(D.MIGRATE)
        await one.agree_beforehand(D.MIGRATE, "vm-blue", "blue")
        await one.request(auto_return=True)
        await one.stands(S.RETURNED)
        told = heard(one, "bus")
        by_project = {
            project: [each["state"] for each in told if each["project_id"] == project]
            for project in ("red", "blue", "admin")
        }
        asked_and_done = ["PLANNED_MAINTENANCE", "INSTANCE_ACTION_DONE", "MAINTENANCE_COMPLETE"]
        assert by_project == {
            "red": asked_and_done,
            "blue": asked_and_done,
            "admin": ["IN_MAINTENANCE", "MAINTENANCE_COMPLETE"],
        }
        ids = [
            each.notification.notification_id for each in one.channel.attempts if each.endpoint_id == "bus-0"
        ]
        assert len(ids) == len(set(ids))


async def test_where_every_host_is_to_be_emptied_it_is_said_that_machines_move_again() -> None:
    async with maintained() as one:
        await listen(one, "red-fenix", "red")
        hosts = [each.id for each in one.situation.resources.hosts()]
        await one.request(*hosts, at_once=1, auto_return=True)
        await one.machine_is(G.ASKED)
        await one.until_so(lambda: bool(heard(one, "red-fenix")), "nobody was told")
        assert heard(one, "red-fenix")[0]["state"] == "PREPARE_MAINTENANCE"
        assert one.maintenance.moves_again


async def test_what_is_withdrawn_is_called_off_and_stays_on_record() -> None:
    async with maintained() as one:
        asked = await one.request(auto_return=True)
        await one.machine_is(G.ASKED)
        gone = await one.maintenance.withdraw(ADMIN, asked.session_id)
        assert (gone.state, gone.withdrawn is not None) == (SessionState.ABORTED, True)
        assert one.state_of("compute-1") == "normal"
        again = await one.maintenance.withdraw(ADMIN, asked.session_id)
        assert again.state is SessionState.ABORTED
        with pytest.raises(RejectedError, match="no such session"):
            await one.maintenance.withdraw(BLUE, asked.session_id)


async def test_of_a_group_no_more_go_to_one_host_than_it_bears() -> None:
    """Two may be together: the third and fourth that leave go to another host than the first two."""
    async with maintained() as one:
        bears = Constraints(max_per_host=2)
        for number in range(4):
            name, host = f"vm-m{number}", "compute-1" if number < 2 else "compute-2"
            await one.change(machine(name, host, group="mesh", constraints=bears))
            await one.agree_beforehand(D.MIGRATE, name)
        for name in ("vm-1", "vm-2"):
            await one.agree_beforehand(D.MIGRATE, name)
        await one.request("compute-1", "compute-2", at_once=1, auto_return=True)
        await one.stands(S.RETURNED, "compute-2")
        hosts = Counter(one.machine_named(f"vm-m{number}").host for number in range(4))
        assert max(hosts.values()) <= 2
        full = apart(one.situation, one.machine_named("vm-m0"), ())
        mates = Counter(one.machine_named(f"vm-m{number}").host for number in range(1, 4))
        assert full == {host for host, count in mates.items() if count >= 2}


async def test_who_is_asked_to_make_room_hears_it_in_the_words_of_fenix_and_may_look() -> None:
    async with maintained() as one:
        await listen(one, "red-fenix", "red")
        await listen(one, "bus", None)
        hosts = [each.id for each in one.situation.resources.hosts()]
        asked = await one.request(*hosts, scale_in=True, override="all of them are old")
        await one.maintenance.approve(BOB, asked.session_id)
        assert one.session(asked).waits_for_room
        await one.until_so(lambda: bool(heard(one, "red-fenix")), "nobody was asked")
        assert heard(one, "red-fenix")[0]["state"] == "SCALE_IN"
        assert "red" in {each["project_id"] for each in heard(one, "bus")}
        assert one.maintenance.get(RED, asked.session_id).session_id == asked.session_id
