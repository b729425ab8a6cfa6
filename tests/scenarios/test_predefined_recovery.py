"""What an owner has said beforehand is done to his machines, and nothing that he has not said [D 3.3.6; HA 5.3, 6.2]."""

import asyncio
from datetime import timedelta

import pytest

from doctor.model.errors import RejectedError
from doctor.model.fence_job import FenceState
from doctor.model.instruction import Action
from doctor.model.map_news import MapDelta, MapStatus, Phase
from doctor.model.recovery import Handler, RecoveryLimits, RecoveryState
from doctor.model.resource import Constraints
from doctor.model.scope import Scope, ScopeKind
from doctor.testing.fence import Mode
from doctor.testing.scenario import down, up
from tests.scenarios.recovery_site import RED, Recovering, World, recovering

pytestmark = pytest.mark.looptime

A, S = Action, RecoveryState
ERROR = "compute.instance.error"
FENCED = FenceState.FENCED
CORE, DB = Scope(ScopeKind.GROUP, "core"), Scope(ScopeKind.GROUP, "db")


def sal(level: int | str) -> Scope:
    return Scope(ScopeKind.SAL, str(level))


async def break_(one: Recovering, machine: str = "vm-1") -> None:
    """Let a machine fail by itself; its host works."""
    await one.say(down(ERROR, machine), "agent")


async def mend(one: Recovering, machine: str = "vm-1") -> None:
    await one.say(up(ERROR, machine), "agent")


# --- who begins ---


@pytest.mark.requirement("B26", "E31", "A6", "B22", "G14", "G19", "G49")
async def test_a_machine_is_evacuated_when_its_host_is_isolated_because_its_owner_said_so() -> None:
    """[D 3.3.6] By an instruction in his name, of which he hears the end."""
    async with recovering() as one:
        await one.say_beforehand(A.EVACUATE)
        await one.lose()
        waits = await one.comes_to(S.WAITING)
        assert (waits.reason, one.told_to) == ("its host is not isolated yet", [])
        await one.until("compute-1", FENCED)
        fenced = one.clock.monotonic()
        done = await one.comes_to(S.SUCCEEDED)
        assert one.clock.monotonic() - fenced < 0.3
        assert one.told_to == [(A.EVACUATE, "vm-1")]
        assert one.host_of() not in (None, "compute-1")
        (result,) = await one.heard()
        assert result["instruction"]["acknowledged"]
        made = one.situation.instructions.get(done.tries[0].instruction_id)
        assert made is not None
        assert (made.alarm_id, made.project, made.user) == (done.alarm_id, "red", "recovery policy")


@pytest.mark.requirement("B25", "A14", "G56")
async def test_without_a_word_of_its_owner_nothing_is_done() -> None:
    """[D 3.3.6] No automatic action in the basic case."""
    async with recovering() as one:
        await one.say_beforehand(A.EVACUATE, scope=Scope(ScopeKind.MACHINE, "vm-2"))
        await one.lose()
        await one.until("compute-1", FENCED)
        await asyncio.sleep(600)
        assert (one.told_to, one.situation.recoveries) == ([], {})


@pytest.mark.requirement("A14", "G55")
async def test_what_its_owner_handles_begins_when_he_has_switched_over() -> None:
    """[D 2.1.1] Nothing is recovered before the standby serves."""
    async with recovering() as one:
        await one.say_beforehand(A.EVACUATE, handled_by=Handler.OWNER)
        await one.lose()
        await one.until("compute-1", FENCED)
        await asyncio.sleep(60)
        waits = await one.comes_to(S.WAITING)
        assert (waits.reason, one.told_to) == ("its owner has not said yet that he has switched over", [])
        await one.ask(A.SWITCHED_OVER)
        await one.comes_to(S.SUCCEEDED)
        assert one.told_to == [(A.EVACUATE, "vm-1")]


async def test_doctor_begins_when_its_owner_has_not_instructed_for_a_while() -> None:
    async with recovering() as one:
        await one.say_beforehand(A.EVACUATE, after=timedelta(seconds=30))
        lost = one.clock.monotonic()
        await one.lose()
        await one.comes_to(S.SUCCEEDED)
        assert 30 <= one.clock.monotonic() - lost < 30.5


@pytest.mark.parametrize("action", [A.LEAVE, A.REBUILD])
async def test_a_machine_whose_owner_instructs_is_left_to_him(action: Action) -> None:
    async with recovering() as one:
        await one.say_beforehand(A.EVACUATE, after=timedelta(seconds=30))
        await one.lose()
        await one.ask(action)
        await one.until("compute-1", FENCED)
        await asyncio.sleep(120)
        assert A.EVACUATE not in [instruction.action for instruction in one.instructions.all(RED)]
        assert one.recovery_of().tries == ()


@pytest.mark.requirement("E28", "F15")
async def test_a_wish_that_stands_with_the_machine_is_heard() -> None:
    async with recovering() as one:
        await one.change(one.machine(1, recovery="evacuate"), one.machine(2, recovery="whatever"))
        await one.lose()
        await one.comes_to(S.SUCCEEDED)
        assert one.told_to == [(A.EVACUATE, "vm-1")]


async def test_what_is_said_after_the_fault_holds_at_once() -> None:
    async with recovering() as one:
        await break_(one)
        await asyncio.sleep(10)
        await one.say_beforehand(A.REBOOT)
        await one.comes_to(S.RUNNING)
        assert one.told_to == [(A.REBOOT, "vm-1")]
        await mend(one)
        await one.comes_to(S.SUCCEEDED)


async def test_what_is_taken_back_is_not_done() -> None:
    async with recovering() as one:
        said = await one.say_beforehand(A.EVACUATE, after=timedelta(seconds=30))
        await one.lose()
        await one.comes_to(S.WAITING)
        await one.policies.forget("red", said.scope, user="vnfm")
        await one.comes_to(S.LEFT)
        await asyncio.sleep(120)
        assert one.told_to == []
        with pytest.raises(RejectedError, match="no such recovery policy"):
            await one.policies.forget("red", said.scope, user="vnfm")


# --- step by step ---


@pytest.mark.requirement("G18")
async def test_what_did_not_help_in_time_is_followed_by_the_next_step() -> None:
    """[HA 4] Recovery mechanisms of a class; its owner hears of each step."""
    async with recovering() as one:
        await one.say_beforehand(A.REBOOT, A.EVACUATE, A.MIGRATE, seconds=60)
        broken = one.clock.monotonic()
        await break_(one)
        await one.until_so(lambda: one.told_to == [(A.REBOOT, "vm-1")])
        await one.until_so(lambda: one.told_to == [(A.REBOOT, "vm-1"), (A.MIGRATE, "vm-1")])
        assert 60 <= one.clock.monotonic() - broken < 61
        exhausted = await one.comes_to(S.EXHAUSTED)
        assert exhausted.reason == "no step is left"
        assert [each.step for each in exhausted.tries] == [0, 2]
        assert len(await one.heard()) == 2
        await asyncio.sleep(3600)
        assert len(one.told_to) == 2
        await mend(one)
        await one.comes_to(S.SUCCEEDED)


async def test_what_cannot_be_done_is_followed_by_the_next_step_at_once() -> None:
    async with recovering() as one:
        one.controller.cannot.add(A.REBOOT)
        await one.say_beforehand(A.REBOOT, A.REBUILD)
        broken = one.clock.monotonic()
        await break_(one)
        await one.until_so(lambda: one.told_to == [(A.REBUILD, "vm-1")])
        assert one.clock.monotonic() - broken < 1
        nack, ack = await one.heard()
        assert [each["instruction"]["acknowledged"] for each in (nack, ack)] == [False, True]


async def test_where_nobody_can_isolate_an_evacuation_is_refused_and_told() -> None:
    async with recovering(name="other-{host}") as one:  # no plan is for a host of this site
        await one.say_beforehand(A.EVACUATE)
        await one.lose()
        await one.comes_to(S.EXHAUSTED)
        (result,) = await one.heard()
        assert "nothing can make sure that its host is off" in result["instruction"]["results"][0]["reason"]
        assert one.told_to == []


async def test_a_host_that_cannot_be_isolated_keeps_its_machines() -> None:
    """[I-15] However long, and whatever its owner has said."""
    async with recovering() as one:
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.DEAF
        await one.say_beforehand(A.EVACUATE)
        await one.lose()
        await one.until("compute-1", FenceState.NEEDS_HUMAN)
        await asyncio.sleep(3600)
        assert (one.told_to, one.recovery_of().state) == ([], S.WAITING)
        for person in ("alice", "bob"):
            await one.desk.vouch(
                "compute-1", typed="compute-1", by=person, account=person, reason="I pulled the plug"
            )
        await one.comes_to(S.SUCCEEDED)
        assert one.told_to == [(A.EVACUATE, "vm-1")]


async def test_a_machine_that_fails_again_and_again_is_left_for_a_person() -> None:
    """No loops: each alarm has its steps once, and all together are limited."""
    async with recovering(limits=RecoveryLimits(most=3, within=timedelta(hours=1))) as one:
        await one.say_beforehand(A.REBOOT)
        for _ in range(6):
            await break_(one)
            await asyncio.sleep(10)
            await mend(one)
            await asyncio.sleep(10)
        assert len(one.told_to) == 3
        await asyncio.sleep(3600)
        await break_(one)
        await one.until_so(lambda: len(one.told_to) == 4)


# --- order and limits ---


async def fill(one: Recovering, **levels: int | str | None) -> None:
    """Have machines with these levels on compute-1, in no group."""
    await one.change(
        *(
            one.machine(int(name.removeprefix("vm_")), host="compute-1", sal=level)
            for name, level in levels.items()
        )
    )


@pytest.mark.requirement("G18", "G41")
async def test_machines_go_in_the_order_of_level_and_priority() -> None:
    """[HA 5.3] The most important first, one after the other if there is no more room to do it."""
    async with recovering(limits=RecoveryLimits(at_once=1)) as one:
        await fill(one, vm_1=3, vm_2=1, vm_3="2B", vm_4=None, vm_5=3)
        for level in (1, "2B", 3):
            await one.say_beforehand(A.EVACUATE, scope=sal(level))
        urgent = Scope(ScopeKind.MACHINE, "vm-5")
        await one.say_beforehand(A.EVACUATE, scope=urgent, priority=1)
        one.controller.takes = 2.0
        await one.lose()
        await one.comes_to(S.SUCCEEDED, "vm-1")
        assert [machine for _, machine in one.told_to] == ["vm-2", "vm-3", "vm-5", "vm-1"]


@pytest.mark.requirement("G38")
async def test_no_more_are_under_way_than_a_host_and_a_zone_can_bear() -> None:
    async with recovering(limits=RecoveryLimits(per_zone=3, per_host=1)) as one:
        await fill(one, **{f"vm_{n}": 1 for n in range(1, 9)})
        await one.say_beforehand(A.EVACUATE, scope=sal(1))
        one.controller.takes = 5.0
        await one.lose()
        most: set[int] = set()

        def is_over() -> bool:
            under_way = [task for made, task in one.situation.instructions.open if made.alarm_id]
            most.add(len(under_way))
            assert len({task.target for task in under_way}) == len(under_way)
            return len(one.told_to) == 8

        await one.until_so(is_over)
        assert max(most) == 3


@pytest.mark.requirement("G19")
async def test_machines_go_where_there_is_room_and_none_of_their_group() -> None:
    """[HA 4.1] Capacity and anti-affinity are respected, and reserved hosts are for those whom they are for."""
    reserved = {f"node-of-compute-{n}": frozenset({"9"}) for n in range(5, 11)}
    async with recovering(limits=RecoveryLimits(reserved=reserved, per_host=9)) as one:
        apart = Constraints(anti_affinity=True)
        await one.change(
            one.machine(1, sal=1, group="core", constraints=apart),
            one.machine(5, sal=1, group="core", constraints=apart, host="compute-1"),
            one.machine(6, sal=1, group="core", constraints=apart, host="compute-1"),
            one.machine(2, group="core"),
            one.machine(3, vcpus=8),
            one.machine(7, sal=9, vcpus=8, host="compute-1"),
        )
        for level in (1, 9):
            await one.say_beforehand(A.EVACUATE, scope=sal(level))
        await one.lose()
        await one.comes_to(S.SUCCEEDED, "vm-7")
        # compute-2 has one of the group, compute-3 no room, the others are for level 9
        assert [one.host_of(f"vm-{n}") for n in (1, 5, 6)] == ["compute-4", "compute-1", "compute-1"]
        assert one.recovery_of("vm-5").reason == "no other host that may take it has room for it"
        assert one.host_of("vm-7") in {f"compute-{n}" for n in range(5, 11)}
        await one.change(one.machine(3, vcpus=1))
        await one.comes_to(S.SUCCEEDED, "vm-5")
        assert one.host_of("vm-5") == "compute-3"


async def test_a_group_is_recovered_after_those_on_which_it_depends() -> None:
    async with recovering() as one:
        await one.change(
            one.machine(1, group="app", sal=1), one.machine(2, group="db", sal=3, host="compute-1")
        )
        app = Scope(ScopeKind.GROUP, "app")
        await one.say_beforehand(A.EVACUATE, scope=app, after_groups=("db",))
        await one.say_beforehand(A.EVACUATE, scope=DB)
        one.controller.takes = 5.0
        await one.lose()
        await one.until("compute-1", FENCED)
        await asyncio.sleep(1)
        assert one.recovery_of("vm-1").reason == "the group db comes first"
        await one.comes_to(S.SUCCEEDED, "vm-1")
        assert [machine for _, machine in one.told_to] == ["vm-2", "vm-1"]
        with pytest.raises(RejectedError) as refused:
            await one.say_beforehand(A.EVACUATE, scope=DB, after_groups=("app",))
        assert "circle: db after app after db" in refused.value.flaws[0].detail


async def test_a_group_that_nobody_recovers_holds_nobody_up() -> None:
    async with recovering() as one:
        await one.change(one.machine(1, group="app"), one.machine(2, group="db", host="compute-1"))
        await one.say_beforehand(A.EVACUATE, scope=Scope(ScopeKind.GROUP, "app"), after_groups=("db",))
        await one.lose()
        await one.comes_to(S.SUCCEEDED)


async def test_a_machine_goes_elsewhere_if_its_new_host_fails_too() -> None:
    async with recovering() as one:
        await one.change(*(one.machine(n, vcpus=8) for n in range(4, 11)))  # compute-2 and 3 have room
        await one.say_beforehand(A.EVACUATE)
        one.controller.takes = 3.0
        await one.lose()
        await one.until_so(lambda: "vm-1" in one.situation.recoveries and one.recovery_of().tries)
        ((_, task),) = one.situation.instructions.open
        assert task.target in ("compute-2", "compute-3")
        await one.lose(task.target, "ping")
        await one.comes_to(S.SUCCEEDED)
        assert one.host_of() in {"compute-2", "compute-3"} - {task.target}


# --- crashes ---


@pytest.mark.parametrize("seconds", [0.0, 0.5, 2.0, 2.2, 2.6, 3.5, 4.5, 8.0])
@pytest.mark.requirement("A14")
async def test_a_successor_goes_on_where_the_last_one_died_and_repeats_nothing(seconds: float) -> None:
    """Exactly once: by the id of the alarm and the step."""
    world = World()
    async with recovering(world) as one:
        await fill(one, vm_1=1, vm_2=2)
        for level in (1, 2):
            await one.say_beforehand(A.EVACUATE, scope=sal(level))
        one.controller.takes = 1.0
        await one.lose()
        await asyncio.sleep(seconds)
    async with recovering(world) as one:
        await one.lose()
        for machine in ("vm-1", "vm-2"):
            if one.host_of(machine) == "compute-1":
                await one.comes_to(S.SUCCEEDED, machine)
        assert sorted(one.told_to) == [(A.EVACUATE, "vm-1"), (A.EVACUATE, "vm-2")]
        assert len(await one.heard()) <= 2


@pytest.mark.parametrize("trouble", ["breaks", "unsure"])
async def test_what_was_not_kept_or_may_have_been_is_done_once_all_the_same(trouble: str) -> None:
    """[I-22] Whichever of its records it is."""
    async with recovering(limits=RecoveryLimits(most=100)) as one:
        await one.say_beforehand(A.REBOOT)
        for count in range(1, 8):
            await break_(one)
            setattr(one.store, trouble, count)
            await asyncio.sleep(10)
            made = one.instructions.all(RED)
            assert len(made) == count
            assert all(instruction.is_acknowledged for instruction in made)
            await mend(one)
            await one.until_so(lambda: one.recovery_of().is_over)


async def test_a_doctor_without_office_recovers_nothing() -> None:
    """[I-14]"""
    world = World()
    async with recovering(world) as one:
        await one.say_beforehand(A.REBOOT)
        async with recovering(world):
            one.situation.fence_book.epoch += 1  # it has heard of the other one
            await break_(one)
            await asyncio.sleep(5)
            assert one.told_to == []


async def test_a_machine_that_a_cloud_has_not_told_of_yet_is_not_gone() -> None:
    async with recovering() as one:
        await one.say_beforehand(A.REBOOT, handled_by=Handler.OWNER)
        await break_(one)
        await one.comes_to(S.WAITING)
        one.situation.clouds["cloud"] = MapStatus(phase=Phase.LOADING)
        await one.faults.change_map(MapDelta(gone=("vm-1",)))
        await asyncio.sleep(20)
        assert not one.recovery_of().is_over
        one.situation.clouds["cloud"] = MapStatus(phase=Phase.CURRENT)
        await one.comes_to(S.LEFT)
        assert (one.recovery_of().reason, one.recovery_of().is_over) == ("it is gone", True)


async def test_old_recoveries_are_forgotten() -> None:
    async with recovering() as one:
        await one.say_beforehand(A.REBOOT)
        await break_(one)
        await one.comes_to(S.RUNNING)
        assert await one.recovery.forget(one.clock.now()) == 0
        await mend(one)
        await one.comes_to(S.SUCCEEDED)
        assert await one.recovery.forget(one.clock.now()) == 1
        assert one.recovery.all(RED) == []
        assert "recovery" not in {kind for kind, kept in (await one.situation.load()).memos.items() if kept}


# --- when the host returns ---


@pytest.mark.requirement("D12", "D32", "F17")
async def test_machines_that_stayed_start_again_in_their_order_and_those_that_left_do_not() -> None:
    """[D 5.3.2, 5.5.1] On the same host after its return, the most important first; their owner is told."""
    async with recovering(limits=RecoveryLimits(per_host=1)) as one:
        await fill(one, vm_1=3, vm_2=1, vm_3=2, vm_4=1)
        await one.change(one.machine(5, host="compute-1", sal=1, vim_state="stopped"))
        for level in (1, 2, 3):
            await one.say_beforehand(scope=sal(level), start_on_return=True)
        evacuated = Scope(ScopeKind.MACHINE, "vm-4")
        await one.say_beforehand(A.EVACUATE, scope=evacuated, start_on_return=True)
        one.controller.takes = 1.0
        await one.lose()
        await one.comes_to(S.SUCCEEDED, "vm-4")
        await one.ask(A.LEAVE, "vm-3")
        await one.comes_to(S.LEFT, "vm-1")
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", FenceState.OBSERVED)
        await asyncio.sleep(5)
        assert one.told_to == [(A.EVACUATE, "vm-4")]  # nobody has seen it yet
        await one.find()
        for machine in ("vm-1", "vm-2", "vm-3", "vm-5"):
            await one.comes_to(S.SUCCEEDED, machine)
        started = [(A.START, machine) for machine in ("vm-2", "vm-3", "vm-1")]
        assert one.told_to == [(A.EVACUATE, "vm-4"), *started]
        assert one.host_of("vm-4") != "compute-1"
        results = [each["instruction"] for each in await one.heard()]
        assert [each["action"] for each in results].count("start") == 3
        assert all(each["acknowledged"] for each in results)


async def test_a_machine_that_stayed_is_not_started_on_a_host_that_was_not_given_back() -> None:
    """[I-15] Whatever monitors say of it."""
    async with recovering() as one:
        await one.say_beforehand(start_on_return=True)
        await one.lose()
        await one.until("compute-1", FENCED)
        await one.find()
        await one.until("compute-1", FenceState.NEEDS_HUMAN)  # somebody has switched it on
        await asyncio.sleep(60)
        assert one.told_to == []
        assert one.recovery_of().reason == "its host has not been given back yet"
        await one.desk.give_back("compute-1", user="alice", reason="it was me")
        await one.until_so(lambda: one.told_to == [(A.START, "vm-1")])
