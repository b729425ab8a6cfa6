"""What an owner asks for is done once, when it may be, and he is told how it ended [D 3.3.6, 5.2.1 steps 7 and 8]."""

import asyncio

import pytest

from doctor.flows.instruction import Predefined
from doctor.model.checkpoint import Checkpoint
from doctor.model.errors import Flaw, PermanentError, Reason, RejectedError, StoreError, TransientError
from doctor.model.fence_job import FenceState
from doctor.model.instruction import Action, Command, TaskState
from doctor.model.map_news import MapDelta
from doctor.model.resource import NIC, Constraints, VirtualResource
from doctor.testing.fence import Mode
from tests.scenarios.instruction_site import ADMIN, BLUE, RED, Commanded, World, commanded

pytestmark = pytest.mark.looptime

A, S = Action, TaskState


def told(one: Commanded) -> list[tuple[Action, str]]:
    return [(command.action, command.resource_id) for command in one.cloud.told]


# --- the good day ---


@pytest.mark.requirement("A13", "B1", "B28", "D6", "D8")
async def test_a_machine_is_evacuated_once_its_host_is_isolated_and_its_owner_is_told() -> None:
    async with commanded() as one:
        await one.lose()
        (fault,) = await one.heard("fault")
        made = await one.ask(A.EVACUATE, notification_id=fault["notification_id"])
        assert one.task(made).state is S.WAITING_FOR_ISOLATION
        await one.comes_to(made, S.WAITING_FOR_ISOLATION)
        assert one.cloud.told == []
        await one.until("compute-1", FenceState.FENCED)
        fenced = one.clock.monotonic()
        over = await one.over(made)
        assert one.clock.monotonic() - fenced < 0.2
        assert over.is_acknowledged
        assert told(one) == [(A.EVACUATE, "vm-1")]
        assert one.situation.resources.virtual["vm-1"].host != "compute-1"
        (result,) = await one.heard()
        assert result["instruction"] == {
            "instruction_id": made.instruction_id,
            "action": "evacuate",
            "acknowledged": True,
            "results": [{"virtual_resource_id": "vm-1", "state": "succeeded", "reason": None}],
        }
        timeline = one.timelines.get(made.fault_key)
        assert timeline is not None
        assert timeline.checkpoints.keys() >= {Checkpoint.INSTRUCTED, Checkpoint.EXECUTED}
        seconds = timeline.checkpoints[Checkpoint.INSTRUCTED] - timeline.checkpoints[Checkpoint.DETECTED]
        assert seconds.total_seconds() < 1.0


async def test_a_cold_migration_is_led_to_its_end() -> None:
    async with commanded() as one:
        assert (await one.over(await one.ask(A.MIGRATE))).is_acknowledged
        assert told(one) == [(A.MIGRATE, "vm-1")] * 2


@pytest.mark.parametrize("action", [A.LIVE_MIGRATE, A.REBUILD, A.REBOOT, A.STOP, A.START, A.TERMINATE])
async def test_what_needs_no_isolation_is_done_at_once(action: Action) -> None:
    async with commanded() as one:
        before = one.clock.monotonic()
        assert (await one.over(await one.ask(action))).is_acknowledged
        assert one.clock.monotonic() - before < 0.2
        assert told(one) == [(action, "vm-1")]


async def test_each_machine_has_its_own_end_and_the_owner_gets_one_nack() -> None:
    async with commanded() as one:
        await one.lose()
        over = await one.over(await one.ask(A.REBOOT, "vm-1", "vm-2"))
        assert [task.state for task in over.tasks] == [S.REFUSED, S.SUCCEEDED]
        (result,) = await one.heard()
        assert not result["instruction"]["acknowledged"]
        assert "evacuate it" in result["instruction"]["results"][0]["reason"]


# --- nothing leaves a dead host before it is isolated ---


@pytest.mark.parametrize("action", [A.EVACUATE, A.REBUILD, A.TERMINATE])
async def test_a_host_that_is_not_isolated_keeps_its_machines(action: Action) -> None:
    """[I-15] The deadline brings a NACK, and what it was waiting for afterwards does nothing."""
    async with commanded() as one:
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.DEAF
        await one.lose()
        over = await one.over(await one.ask(action, seconds=40))
        assert "deadline" in over.tasks[0].reason
        assert one.cloud.told == []
        assert not (await one.heard())[0]["instruction"]["acknowledged"]


async def test_a_host_that_is_back_keeps_its_machines() -> None:
    async with commanded() as one:
        await one.lose("compute-1", "ping")  # one witness is not enough
        made = await one.ask(A.EVACUATE)
        await asyncio.sleep(5)
        await one.find("compute-1", "ping")
        over = await one.over(made)
        assert (over.tasks[0].reason, one.cloud.told) == ("its host is back: nothing was done", [])


async def test_a_host_does_not_come_back_while_a_machine_is_leaving_it() -> None:
    """[I-15]"""
    async with commanded() as one:
        one.cloud.takes = 30.0
        await one.lose()
        made = await one.ask(A.EVACUATE)
        await one.comes_to(made, S.RUNNING)
        with pytest.raises(RejectedError, match="may not come back yet") as refused:
            await one.desk.give_back("compute-1", user="alice", reason="repaired")
        assert "vm-1 is being evacuated" in refused.value.flaws[0].detail
        one.cloud.failure = PermanentError("Keystone refuses the login")  # who may not look does not give up
        await asyncio.sleep(60)
        assert one.instructions.unfinished("compute-1")
        one.cloud.failure = None
        assert (await one.over(made)).is_acknowledged
        await one.desk.give_back("compute-1", user="alice", reason="repaired")


@pytest.mark.requirement("F17")
async def test_a_host_does_not_come_back_while_somebody_else_moves_a_machine_from_it() -> None:
    """[I-15] As its cloud says, unless somebody knows better."""
    async with commanded() as one:
        one.cloud.moved_by_others = {"compute-1": ["evacuation of vm-1"]}
        await one.lose()
        await one.until("compute-1", FenceState.FENCED)
        with pytest.raises(RejectedError) as refused:
            await one.desk.give_back("compute-1", user="alice", reason="repaired")
        assert [flaw.detail for flaw in refused.value.flaws] == ["evacuation of vm-1"]
        given = await one.desk.give_back("compute-1", user="alice", reason="it never ends", anyway=True)
        assert given.state is FenceState.UNFENCING


async def test_a_cloud_that_says_nothing_holds_up_no_host() -> None:
    """It may be the one on which that cloud runs."""
    async with commanded() as one:
        await one.lose()
        await one.until("compute-1", FenceState.FENCED)
        one.cloud.failure = TransientError("no answer")
        given = await one.desk.give_back("compute-1", user="alice", reason="the cloud runs on it")
        assert given.state is FenceState.UNFENCING


async def test_a_doctor_without_office_evacuates_nothing() -> None:
    """[I-14] Another one has taken office since."""
    world = World()
    async with commanded(world) as one:
        await one.lose()
        await one.until("compute-1", FenceState.FENCED)
        async with commanded(world):
            made = await one.ask(A.EVACUATE)
            await asyncio.sleep(0.3)
            assert one.cloud.told == []
            assert one.instructions.get(ADMIN, made.instruction_id).tasks[0].state is not S.SUCCEEDED


# --- crashes and bad days ---


@pytest.mark.parametrize("moment", ["waiting", "running"])
async def test_a_successor_takes_up_what_was_open_and_repeats_nothing(moment: str) -> None:
    world = World()
    world.cloud.takes = 20.0
    async with commanded(world) as one:
        await one.lose()
        made = await one.ask(A.EVACUATE, seconds=600)
        if moment == "running":
            await one.comes_to(made, S.RUNNING)
            assert len(world.cloud.told) == 1
    async with commanded(world) as one:
        await one.lose()
        assert (await one.over(made)).is_acknowledged
        assert told(one) == [(A.EVACUATE, "vm-1")]
        assert len(await one.heard()) == 1


async def test_a_command_of_unknown_outcome_is_looked_for_before_it_is_repeated() -> None:
    async with commanded() as one:
        one.cloud.answers_lost = 1
        assert (await one.over(await one.ask(A.REBOOT))).is_acknowledged
        assert told(one) == [(A.REBOOT, "vm-1")]


async def test_a_machine_that_is_busy_is_waited_for() -> None:
    async with commanded() as one:
        one.cloud.takes = 5.0
        await one.cloud.tell(Command(A.STOP, "vm-1", "compute-1", {}))
        assert (await one.over(await one.ask(A.REBOOT))).is_acknowledged
        one.cloud.takes = 50.0
        await one.cloud.tell(Command(A.STOP, "vm-3", "compute-3", {}))
        over = await one.over(await one.ask(A.REBOOT, "vm-3"))
        assert (over.tasks[0].reason, over.tasks[0].detail) == (
            "the controller could not do it",
            "vm-3 is busy",
        )


async def test_a_cloud_that_is_away_is_waited_for_until_the_deadline() -> None:
    async with commanded() as one:
        one.cloud.failure = TransientError("no answer from compute-1")
        made = await one.ask(A.REBOOT, seconds=30)
        await one.until_so(lambda: one.task(made).reason)
        assert (one.task(made).reason, one.task(made).detail) == (
            "the controller does not take it yet",
            "no answer from compute-1",
        )
        assert "deadline" in (await one.over(made)).tasks[0].reason


async def test_what_the_cloud_cannot_do_is_a_nack_that_names_no_host_to_its_owner() -> None:
    async with commanded() as one:
        one.cloud.cannot.add(A.LIVE_MIGRATE)
        over = await one.over(await one.ask(A.LIVE_MIGRATE))
        assert (over.tasks[0].state, over.tasks[0].reason) == (S.FAILED, "the controller could not do it")
        (result,) = await one.heard()
        assert result["instruction"]["results"][0]["reason"] == "the controller could not do it"


async def test_what_the_cloud_says_to_the_owner_is_told_to_him() -> None:
    async with commanded() as one:
        flaw = Flaw("/parameters/image", "this image cannot be used")
        one.cloud.failure = RejectedError("400 of compute-1", reason=Reason.CONFLICT, flaws=[flaw])
        made = await one.ask(A.REBOOT)
        await one.until_so(lambda: one.task(made).reason)
        assert one.task(made).reason == "this image cannot be used"
        assert "compute-1" in one.task(made).detail
        one.cloud.failure = RejectedError("400 of compute-1", flaws=[flaw])
        assert (await one.over(made)).tasks[0].reason == "this image cannot be used"


async def test_a_command_goes_out_at_once_when_its_host_is_isolated() -> None:
    """What there was before it has been asked while it waited: one question to a cloud that takes its time, and not two."""
    async with commanded() as one:
        one.cloud.delay = 2.0
        await one.lose()
        made = await one.ask(A.EVACUATE)
        await one.until("compute-1", FenceState.FENCED)
        fenced = one.clock.monotonic()
        await one.until_so(lambda: one.cloud.told)
        assert one.clock.monotonic() - fenced < 2.5
        assert (await one.over(made)).is_acknowledged


# --- where it goes ---


async def test_a_machine_goes_where_the_administrator_says() -> None:
    async with commanded() as one:
        over = await one.over(await one.ask(A.LIVE_MIGRATE, by=ADMIN, parameters={"target": "compute-3"}))
        assert over.is_acknowledged
        assert [command.target for command in one.cloud.told] == ["compute-3"]
        assert one.situation.resources.virtual["vm-1"].host == "compute-3"


@pytest.mark.parametrize("how", ["full", "closed"])
async def test_a_host_that_was_named_and_takes_no_machine_is_a_nack(how: str) -> None:
    async with commanded() as one:
        getattr(one.cloud, how).add("compute-3")
        over = await one.over(await one.ask(A.LIVE_MIGRATE, by=ADMIN, parameters={"target": "compute-3"}))
        assert not over.is_acknowledged
        assert len(one.cloud.told) == (1 if how == "full" else 0)


async def test_a_host_that_is_down_or_is_none_is_not_taken_for_a_target() -> None:
    async with commanded() as one:
        await one.lose("compute-3", "ping")
        refused = await one.ask(A.LIVE_MIGRATE, by=ADMIN, parameters={"target": "compute-3"})
        assert (one.task(refused).state, one.task(refused).reason) == (
            S.REFUSED,
            "compute-3 is down: it takes no machine",
        )
        for target, by in (("nowhere", ADMIN), ("vm-2", ADMIN), ("compute-2", RED)):
            with pytest.raises(RejectedError) as wrong:
                await one.ask(A.LIVE_MIGRATE, by=by, parameters={"target": target})
            assert [flaw.pointer for flaw in wrong.value.flaws] == ["/parameters/target"]


@pytest.mark.parametrize("how", ["full", "closed"])
async def test_where_doctor_thinks_that_there_is_room_is_a_proposal(how: str) -> None:
    """A cloud may know better: then it chooses itself."""
    async with commanded() as one:
        getattr(one.cloud, how).add("compute-3")
        made = await one.ask(A.LIVE_MIGRATE, predefined=Predefined("alarm", "", 1, "compute-3"))
        assert (await one.over(made)).is_acknowledged
        targets = [command.target for command in one.cloud.told]
        assert targets == (["compute-3", None] if how == "full" else [None])


async def test_nothing_is_done_that_could_not_be_kept() -> None:
    async with commanded() as one:
        one.store.breaks = 1
        with pytest.raises(StoreError):
            await one.ask(A.REBOOT)
        await asyncio.sleep(2)
        assert (one.cloud.told, one.instructions.all(ADMIN)) == ([], [])
        made = await one.ask(A.REBOOT)
        one.store.breaks = 1  # the record by which it begins
        await asyncio.sleep(0)
        assert one.cloud.told == []
        assert (await one.over(made)).is_acknowledged
        assert len(told(one)) == 1


async def test_what_was_kept_although_it_seemed_not_to_be_is_done_once() -> None:
    async with commanded() as one:
        one.store.unsure = 1
        with pytest.raises(StoreError):
            await one.ask(A.REBOOT, idempotency_key="1")
        over = await one.over(await one.ask(A.REBOOT, idempotency_key="1"))
        assert over.is_acknowledged
        assert len(told(one)) == 1
        assert len(await one.heard()) == 1


# --- who may ask for what ---


async def test_what_is_foreign_and_what_is_unknown_are_refused_alike() -> None:
    async with commanded() as one:
        for machine in ("vm-1", "nowhere"):
            with pytest.raises(RejectedError) as refused:
                await one.ask(A.REBOOT, machine, by=BLUE)
            assert [flaw.detail for flaw in refused.value.flaws] == [
                "no virtual resource of yours has this id"
            ]
        made = await one.ask(A.LEAVE)
        with pytest.raises(RejectedError, match="no such instruction"):
            one.instructions.get(BLUE, made.instruction_id)
        assert one.instructions.all(BLUE) == []
        with pytest.raises(RejectedError, match="wrong"):
            await one.ask(A.LEAVE, notification_id="never-told")


@pytest.mark.requirement("B1", "B23")
async def test_a_port_is_cut_off_as_its_owner_wants_and_as_nobody_else_does() -> None:
    """Its machine is not asked: that may be moved, or dead."""
    async with commanded() as one:
        port = VirtualResource(id="port-1", type=NIC, host="compute-1", owner="red")
        one.cloud.say(MapDelta(virtual=(port,)))
        await asyncio.sleep(0.1)
        with pytest.raises(RejectedError):
            await one.ask(A.STOP, "port-1", by=BLUE)
        await one.lose("compute-1", "ping")
        assert (await one.over(await one.ask(A.STOP, "port-1"))).is_acknowledged
        (result,) = await one.heard()
        assert result["instruction"]["results"][0]["virtual_resource_id"] == "port-1"
        assert one.situation.resources.virtual["port-1"].vim_state == "stopped"
        refused = await one.ask(A.EVACUATE, "port-1")
        assert "only to stop, start, update" in one.task(refused, "port-1").reason


async def test_the_same_instruction_twice_is_one() -> None:
    async with commanded() as one:
        await one.lose()
        (fault,) = await one.heard("fault")
        answers = {"notification_id": fault["notification_id"]}
        first, second = await asyncio.gather(one.ask(A.EVACUATE, **answers), one.ask(A.EVACUATE, **answers))
        assert first.instruction_id == second.instruction_id
        keyed = await one.ask(A.REBOOT, "vm-2", idempotency_key="1")
        assert (await one.ask(A.REBOOT, "vm-2", idempotency_key="1")).instruction_id == keyed.instruction_id
        with pytest.raises(RejectedError) as refused:
            await one.ask(A.STOP, "vm-2", idempotency_key="1")
        assert refused.value.reason is Reason.CONFLICT
        await one.over(first)
        assert sorted(told(one)) == [(A.EVACUATE, "vm-1"), (A.REBOOT, "vm-2")]


async def test_one_thing_at_a_time_is_done_to_a_machine() -> None:
    async with commanded() as one:
        one.cloud.takes = 10.0
        first = await one.ask(A.STOP)
        second = await one.ask(A.REBOOT)
        assert first.instruction_id in one.task(second).reason
        assert one.task(second).state is S.REFUSED


async def test_no_more_of_a_group_are_away_than_it_can_bear() -> None:
    async with commanded() as one:
        known = one.situation.resources.virtual
        one.cloud.say(
            MapDelta(
                virtual=tuple(
                    VirtualResource(
                        id=f"vm-{n}",
                        host=known[f"vm-{n}"].host,
                        owner="red",
                        group="core",
                        constraints=Constraints(max_out=1),
                    )
                    for n in (1, 2, 3)
                )
            )
        )
        one.cloud.takes = 10.0
        await asyncio.sleep(0.1)
        began = one.clock.monotonic()
        made = await one.ask(A.LIVE_MIGRATE, "vm-1", "vm-2", "vm-3", seconds=600)
        await asyncio.sleep(1)
        assert sorted(one.task(made, f"vm-{n}").state for n in (1, 2, 3)) == [S.QUEUED, S.QUEUED, S.RUNNING]
        assert (await one.over(made)).is_acknowledged
        assert one.clock.monotonic() - began >= 30


async def test_a_controller_works_on_so_many_machines_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("doctor.flows.instruction.MOST_RUNNING", 2)
    async with commanded() as one:
        one.cloud.takes = 10.0
        made = await one.ask(A.REBOOT, *(f"vm-{n}" for n in range(1, 6)), seconds=600)
        await asyncio.sleep(1)
        states = [each.state for each in one.instructions.get(ADMIN, made.instruction_id).tasks]
        assert (states.count(S.RUNNING), states.count(S.QUEUED)) == (2, 3)
        assert (await one.over(made)).is_acknowledged
        assert len(told(one)) == 5


async def test_what_has_not_begun_can_be_given_up() -> None:
    async with commanded() as one:
        await one.lose("compute-1", "ping")
        made = await one.ask(A.EVACUATE)
        await one.instructions.cancel(ADMIN, made.instruction_id)
        assert "cancelled by alice" in one.task(made).reason
        await one.lose()
        await one.until("compute-1", FenceState.FENCED)
        await asyncio.sleep(1)
        assert one.cloud.told == []
        assert len(await one.heard()) == 1
        with pytest.raises(RejectedError, match="it is over"):
            await one.instructions.cancel(ADMIN, made.instruction_id)


async def test_what_is_given_up_while_its_controller_does_not_answer_is_answered_once() -> None:
    """[I-4] The question that fails then is about something that is over."""
    async with commanded() as one:
        one.cloud.delay, one.cloud.failure = 2.0, TransientError("no answer")
        made = await one.ask(A.REBOOT)
        await asyncio.sleep(1)
        given_up = await one.instructions.cancel(ADMIN, made.instruction_id)
        await asyncio.sleep(5)
        assert one.instructions.get(ADMIN, made.instruction_id) == given_up
        (result,) = await one.heard()
        await one.lose()
        numbers = [one["sequence"] for one in await one.heard("fault")]
        assert numbers == [result["sequence"] + 1]


# --- words ---


@pytest.mark.parametrize("action", [A.LEAVE, A.SWITCHED_OVER])
async def test_what_only_says_something_is_done_at_once(action: Action) -> None:
    async with commanded() as one:
        await one.lose()
        (fault,) = await one.heard("fault")
        made = await one.ask(action, notification_id=fault["notification_id"])
        assert (made.is_over, made.is_acknowledged, one.cloud.told) == (True, True, [])
        timeline = one.timelines.get(made.fault_key)
        assert timeline is not None
        assert (Checkpoint.HANDLED in timeline.checkpoints) is (action is A.SWITCHED_OVER)


async def test_a_fault_that_persists_is_evidence_and_cuts_nothing_off() -> None:
    async with commanded() as one:
        await one.ask(A.REPAIR, "vm-1", parameters={"cause": "it answers nobody"})
        assert one.situation.book.state_of("vm-1").is_out
        await asyncio.sleep(120)
        assert one.devices.commands == []


async def test_old_instructions_are_forgotten() -> None:
    async with commanded() as one:
        over, waits = await one.ask(A.LEAVE), None
        await one.lose("compute-2", "ping")
        waits = await one.ask(A.EVACUATE, "vm-2", seconds=3600)
        await asyncio.sleep(1)
        assert await one.instructions.forget(one.clock.now()) == 1
        assert [each.instruction_id for each in one.instructions.all(ADMIN)] == [waits.instruction_id]
        assert over.instruction_id not in (await one.situation.load()).memos["instruction"]
