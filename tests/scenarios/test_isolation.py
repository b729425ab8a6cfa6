"""A host that is believed dead is made dead, and nothing else is ever cut off [I-12 to I-17]."""

import asyncio
from datetime import timedelta

import pytest

from doctor.drivers.stores.memory import MemoryStore
from doctor.fencing.limits import Limits
from doctor.flows.isolation import LostOfficeError
from doctor.model.checkpoint import Checkpoint
from doctor.model.errors import RejectedError, StoreError
from doctor.model.fence_job import FenceState, ZoneMode
from doctor.model.fencing import Supply
from doctor.model.resource import Isolation
from doctor.model.silence import Audience, Silence, SilenceMatcher
from doctor.model.vantage import CANARY_EVENT, Sight
from doctor.ports.store import Change
from doctor.testing.clock import LoopClock
from doctor.testing.fence import Mode
from doctor.testing.scenario import down, host_down, up
from tests.scenarios.isolation_site import HOSTS, Devices, Site, site

pytestmark = [pytest.mark.looptime, pytest.mark.requirement("B22")]

OFF, ON = Supply.OFF, Supply.ON
S = FenceState
SIGHT = Sight(vantage="ping", hosts=1, canaries=1, settles_in=0.3)  # it hears nobody


# --- the good day ---


async def test_a_dead_host_is_cut_off_confirmed_and_told() -> None:
    async with site() as one:
        before = one.clock.monotonic()
        await one.lose()
        assert one.told() is Isolation.PENDING
        await one.until("compute-1", S.FENCED)
        took = one.clock.monotonic() - before
        assert 1.9 < took < 2.5  # silent for two heartbeats, read twice a second apart
        assert one.devices.commands == [("compute-1", OFF)]
        assert one.told() is Isolation.ISOLATED
        job = one.situation.fence_book.jobs["compute-1"]
        timeline = one.timelines.get(job.fault_key)
        assert timeline is not None
        assert Checkpoint.ISOLATED in timeline.checkpoints
        assert one.calls == set()


async def test_every_step_is_in_the_log_with_its_evidence() -> None:
    async with site() as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        decisions = await one.decisions()
        assert [each.decision for each in decisions] == [
            "armed az-1",
            "suspect",
            "authorise",
            "begin",
            "reads_off",
            "confirm",
        ]
        assert (await one.desk.audit()).broken is None
        authorised = decisions[2]
        assert {each.statement.reporter for each in authorised.evidence if each.vantage} == {"ping", "peers"}
        assert all(check.passes for check in authorised.checks)


async def test_a_host_without_power_needs_one_witness_and_its_bmc() -> None:
    """What reads off is dead to the BMC as well; nothing has to be switched for that, but it is confirmed all the same."""
    async with site() as one:
        one.devices.bmc["compute-1"].host("").is_on = False
        await one.lose("compute-1", "ping")
        await one.until("compute-1", S.FENCED)


async def test_a_host_that_is_given_back_is_watched_and_then_as_any_other() -> None:
    async with site() as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        with pytest.raises(RejectedError, match="may not come back yet"):
            one.isolation.unfinished = lambda host: ["vm-1 is being evacuated"]
            await one.desk.give_back("compute-1", user="alice", reason="repaired")
        one.isolation.unfinished = lambda host: ()
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", S.UNFENCING)
        assert one.told() is Isolation.PENDING
        await one.until("compute-1", S.OBSERVED)
        assert one.devices.commands == [("compute-1", OFF), ("compute-1", ON)]
        await one.find()
        await asyncio.sleep(15 * 60 + 1)
        assert one.state() is S.NORMAL


async def test_a_host_is_as_any_other_again_when_all_who_missed_it_have_seen_it() -> None:
    """[4.1] Monitors agree."""
    async with site() as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        assert one.isolation.keeps_down("compute-1") == "its isolation is fenced"
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", S.OBSERVED)
        assert one.isolation.keeps_down("compute-1") == ""
        one.isolation.unfinished = lambda host: ["vm-1 is being evacuated"]
        assert one.isolation.keeps_down("compute-1") == "vm-1 is being evacuated"
        await one.find("compute-1", "ping")  # for the alarm that is enough
        await asyncio.sleep(15 * 60 + 120)
        assert one.state() is S.OBSERVED
        await one.find("compute-1", "peers")
        await asyncio.sleep(120)
        assert one.state() is S.NORMAL


async def test_a_host_that_woke_just_before_it_was_cut_off_is_let_start_in_peace() -> None:
    """[I-12] Its failure is told twice then, and the second is as old as its isolation: it is no news that it is down."""
    async with site() as one:
        one.devices.bmc["compute-1"].mode = Mode.SLOW
        await one.lose()
        await one.until("compute-1", S.ATTEMPT)
        await one.find("compute-1", "ping")
        await one.until("compute-1", S.CONFIRMING)
        await one.lose("compute-1", "ping")
        await one.until("compute-1", S.FENCED)
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", S.OBSERVED)
        await one.lose("compute-1", "peers")  # it takes its time to start, and they say so again
        await asyncio.sleep(60)
        assert one.state() is S.OBSERVED
        assert one.devices.commands == [("compute-1", OFF), ("compute-1", ON)]


async def test_what_was_said_of_a_host_before_it_was_given_back_says_nothing_of_it_since() -> None:
    """[I-12] Else a word from before would make two of one."""
    async with site() as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", S.OBSERVED)
        await one.find("compute-1", "ping")  # the peers have not looked again yet
        await one.lose("compute-1", "ping")
        await one.until("compute-1", S.SUSPECT)
        await asyncio.sleep(5)
        assert one.state() is S.SUSPECT
        said = {
            weighed.statement.reporter: weighed for weighed in one.desk.explain("compute-1").judgement.weighed
        }
        assert said["peers"].objection == "it was said before the host was given back"
        await one.lose("compute-1", "peers")
        await one.until("compute-1", S.FENCED)
        assert one.devices.commands == [("compute-1", OFF), ("compute-1", ON), ("compute-1", OFF)]


async def test_machines_that_are_still_on_their_way_keep_a_host_off() -> None:
    """[I-15] Also when they began to leave after somebody had asked for it."""
    async with site() as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        one.isolation.unfinished = lambda host: ["vm-1 is being evacuated"]
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert one.devices.commands == [("compute-1", OFF)]


# --- evidence ---


@pytest.mark.parametrize("reporter", ["ping", "peers", "storage", "stranger"])
async def test_no_single_witness_cuts_a_host_off(reporter: str) -> None:
    """[I-12]"""
    async with site() as one:
        await one.lose("compute-1", reporter)
        await asyncio.sleep(120)
        assert one.devices.commands == []
        assert (one.state(), one.calls) == (S.NEEDS_HUMAN, {"compute-1"})


async def test_a_host_that_somebody_sees_is_not_cut_off() -> None:
    async with site() as one:
        await one.find("compute-1", "storage")
        await one.lose()
        await asyncio.sleep(120)
        assert one.devices.commands == []


async def test_a_host_that_comes_back_before_the_first_command_is_let_go() -> None:
    async with site() as one:
        await one.lose("compute-1", "ping")
        await asyncio.sleep(1)
        await one.find("compute-1", "ping")
        await asyncio.sleep(1)
        assert (one.state(), one.devices.commands, one.calls) == (S.CANCELLED, [], set())
        await one.lose()
        await one.until("compute-1", S.FENCED)
        assert one.situation.fence_book.jobs["compute-1"].generation == 2


async def test_who_is_called_in_vain_hears_that_it_is_over() -> None:
    async with site() as one:
        await one.lose("compute-1", "ping")
        await one.until("compute-1", S.NEEDS_HUMAN)
        await one.until_so(lambda: one.calls == {"compute-1"})
        await one.find("compute-1", "ping")
        await one.until("compute-1", S.CANCELLED)
        await one.until_so(lambda: not one.calls)


# --- devices that do not do it, or say so ---


@pytest.mark.parametrize("mode", [Mode.STUCK, Mode.DEAF, Mode.LOCKED, Mode.WRONG])
async def test_what_the_bmc_does_not_do_the_next_level_does(mode: Mode) -> None:
    """[I-16]"""
    async with site() as one:
        one.devices.bmc["compute-1"].mode = mode
        await one.lose()
        await one.until("compute-1", S.FENCED)
        assert one.devices.pdu.commands == [("compute-1", OFF)]
        assert not one.devices.pdu.host("compute-1").is_on


@pytest.mark.parametrize("mode", [Mode.STUCK, Mode.DEAF, Mode.LOCKED, Mode.WRONG])
async def test_where_nothing_does_it_a_person_is_called(mode: Mode) -> None:
    async with site() as one:
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = mode
        await one.lose()
        await one.until("compute-1", S.NEEDS_HUMAN)
        await one.until_so(lambda: one.calls == {"compute-1"})
        assert one.told() is Isolation.FAILED


@pytest.mark.parametrize("mode", [Mode.SLOW, Mode.CONTRARY])
async def test_a_bmc_that_is_slow_or_contrary_will_do(mode: Mode) -> None:
    async with site() as one:
        one.devices.bmc["compute-1"].mode = mode
        await one.lose()
        await one.until("compute-1", S.FENCED)
        assert one.devices.pdu.commands == []


async def test_a_lie_is_found_out_by_the_next_sign_of_life() -> None:
    """[I-16] The host answers although its BMC reads off: nothing else is cut, and a person is called."""
    async with site() as one:
        one.devices.bmc["compute-1"].mode = Mode.LYING
        await one.lose()
        await one.until("compute-1", S.CONFIRMING)
        await asyncio.sleep(0.5)
        await one.find("compute-1", "peers")
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert one.devices.commands == [("compute-1", OFF)]


async def test_a_host_that_turns_up_after_it_was_isolated_is_isolated_no_more() -> None:
    async with site() as one:
        one.devices.bmc["compute-1"].mode = Mode.LYING
        await one.lose()
        await one.until("compute-1", S.FENCED)
        await one.find("compute-1", "peers")
        await one.until("compute-1", S.NEEDS_HUMAN)
        await one.until_so(lambda: one.calls == {"compute-1"})


async def test_another_host_that_falls_silent_by_it_stops_everything() -> None:
    """[I-16] The BMC was behind another machine, and nobody had noticed."""
    async with site() as one:
        await one.lose()
        await one.until("compute-1", S.CONFIRMING)
        await one.lose("compute-9", "ping")
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert one.devices.commands == [("compute-1", OFF)]
        assert "wrong machine" in one.situation.fence_book.jobs["compute-1"].reason


# --- brakes ---


async def test_a_zone_that_nobody_has_armed_is_only_advised() -> None:
    async with site() as one:
        await one.desk.set_zone("az-1", ZoneMode.ADVISE, user="alice", reason="not yet")
        await one.lose()
        await asyncio.sleep(300)
        assert (one.state(), one.devices.commands, one.calls) == (S.SUSPECT, [], set())
        assert (await one.decisions())[-1].decision == "advise"
        await one.arm()
        await one.until("compute-1", S.FENCED)


async def test_the_hold_switch_stops_all_of_it_also_after_a_restart() -> None:
    clock, store = LoopClock(), MemoryStore()
    devices = Devices(clock)
    first = Site(store, devices, clock)
    await first.start()
    await first.arm()
    await first.desk.set_hold(True, user="bob", reason="something is odd")
    await first.die()
    second = Site(store, devices, clock)
    await second.start()
    await second.lose()
    await asyncio.sleep(100)
    assert devices.commands == []
    assert second.desk.explain("compute-1").ruling.reason == "the hold switch is on: bob: something is odd"
    await second.desk.set_hold(False, user="bob", reason="it was nothing")
    await second.until("compute-1", S.FENCED)
    await second.die()


async def test_a_hold_in_the_middle_ends_it_before_the_next_level() -> None:
    async with site() as one:
        one.devices.bmc["compute-1"].mode = Mode.STUCK
        await one.lose()
        await one.until("compute-1", S.ATTEMPT)
        await one.desk.set_hold(True, user="bob", reason="something is odd")
        await one.until("compute-1", S.NEEDS_HUMAN)
        assert one.devices.commands == [("compute-1", OFF)]
        with pytest.raises(RejectedError, match="hold switch is on"):
            await one.desk.give_back("compute-1", user="bob", reason="")


async def test_a_rack_that_falls_silent_is_a_storm_and_nothing_is_cut_off() -> None:
    """[I-11]"""
    async with site() as one:
        for host in ("compute-1", "compute-2"):
            await one.lose(host)
        await asyncio.sleep(300)
        assert (one.devices.commands, one.calls) == ([], set())
        assert [one.told(host) for host in ("compute-1", "compute-2")] == [Isolation.PENDING] * 2


async def test_a_doctor_that_is_cut_off_itself_does_nothing() -> None:
    """[I-13]"""
    async with site() as one:
        for host in HOSTS:
            await one.lose(host, "ping", "peers", "storage")
        await asyncio.sleep(300)
        assert one.devices.commands == []


async def test_while_a_monitor_sees_no_canary_nothing_is_cut_off() -> None:
    """[I-13] Others are sure that the host is dead, but Doctor cannot know that it sees."""
    async with site() as one:
        await one.watch(down(CANARY_EVENT, "gateway"), SIGHT)
        await one.lose("compute-1", "peers", "storage")
        await asyncio.sleep(100)
        assert (one.state(), one.devices.commands, one.calls) == (S.SUSPECT, [], set())
        assert "ping sees none of its canaries" in one.desk.explain("compute-1").ruling.reason
        await one.watch(up(CANARY_EVENT, "gateway"), SIGHT)
        await one.until("compute-1", S.FENCED)


async def test_a_monitor_that_was_cut_off_is_a_witness_when_it_sees_again() -> None:
    """[I-13] What it missed while it was cut off says nothing; what it misses then is evidence."""
    async with site() as one:
        await one.watch(down(CANARY_EVENT, "gateway"), SIGHT)
        await one.watch(host_down("compute-1"), SIGHT)
        await one.lose("compute-1", "peers", "storage")
        assert one.desk.explain("compute-1").ruling.reason.endswith("ping may be cut off")
        await asyncio.sleep(100)
        assert (one.state(), one.devices.commands, one.calls) == (S.SUSPECT, [], set())
        assert one.desk.explain("compute-1").ruling.reason.endswith("ping is cut off")
        await one.find("compute-1", "storage")
        await one.lose("compute-1", "peers")
        await one.watch(up(CANARY_EVENT, "gateway"), SIGHT)
        await asyncio.sleep(10)
        assert "ping" in one.situation.fence_book.statements["compute-1"]


async def test_a_monitor_that_is_believed_on_somebodys_word_cuts_nothing_off() -> None:
    async with site() as one:
        one.faults.lookout.overrule("ping")
        await one.lose()
        await asyncio.sleep(100)
        assert (one.state(), one.devices.commands) == (S.SUSPECT, [])
        await one.watch(up(CANARY_EVENT, "gateway"), SIGHT)
        await one.until("compute-1", S.FENCED)


async def test_a_monitor_that_was_cut_off_before_a_restart_holds_until_it_speaks() -> None:
    clock, store = LoopClock(), MemoryStore()
    devices = Devices(clock)
    first = Site(store, devices, clock)
    await first.start()
    await first.arm()
    await first.watch(down(CANARY_EVENT, "gateway"), SIGHT)
    await first.watch(host_down("compute-9"), SIGHT)
    await asyncio.sleep(1)
    assert first.faults.lookout.isolation("ping") is not None
    await first.die()
    second = Site(store, devices, clock)
    await second.start()
    await second.lose("compute-1", "peers", "storage")
    await asyncio.sleep(50)
    assert devices.commands == []
    await second.until("compute-1", S.FENCED)
    await second.die()


async def test_planned_work_cuts_no_host_off() -> None:
    """Whoever has silenced a host knows that it goes; the host that fails beside it is another matter."""
    async with site() as one:
        now = one.clock.now()
        one.situation.silences.put(
            Silence(
                silence_id="s",
                project=None,
                audience=Audience.ADMINISTRATOR,
                matcher=SilenceMatcher(resource_id=("compute-1",)),
                owner="alice",
                reason="new memory modules",
                start=now,
                end=now + timedelta(minutes=10),
                created=now,
                created_by="alice",
            )
        )
        await one.lose("compute-1")
        await asyncio.sleep(15 * 60)
        assert (one.state(), one.devices.commands, one.calls) == (S.SUSPECT, [], set())
        await one.lose("compute-5")
        await one.until("compute-5", S.FENCED)
        await one.find("compute-1")
        await one.until("compute-1", S.CANCELLED)
        await one.lose("compute-1")
        await asyncio.sleep(1)
        assert "planned" not in one.desk.explain("compute-1").ruling.reason


async def test_a_doctor_that_has_just_started_waits() -> None:
    async with site(limits=Limits()) as one:
        await one.lose()
        await asyncio.sleep(59)
        assert one.devices.commands == []
        await one.until("compute-1", S.FENCED)


async def test_a_second_host_waits_for_its_turn() -> None:
    """One host in ten minutes, of a zone of ten; the second one is put before a person."""
    async with site() as one:
        await one.lose("compute-1")
        await one.until("compute-1", S.FENCED)
        await one.lose("compute-5")
        await one.until("compute-5", S.NEEDS_HUMAN)
        assert one.devices.commands == [("compute-1", OFF)]
        await one.desk.retry("compute-5", user="alice", reason="it is only two")
        await asyncio.sleep(30)
        assert one.devices.commands == [("compute-1", OFF)]


async def test_a_host_that_is_never_to_be_cut_off_is_put_before_a_person_at_once() -> None:
    async with site(excluded={"compute-1": "it runs Doctor"}) as one:
        await one.lose()
        await asyncio.sleep(1)
        assert (one.state(), one.devices.commands) == (S.NEEDS_HUMAN, [])


async def test_the_settings_may_call_a_host_by_another_of_its_names() -> None:
    async with site(name="node-of-{host}", excluded={"node-of-compute-5": "it runs Doctor"}) as one:
        await one.lose("compute-1")
        await one.until("compute-1", S.FENCED)
        await one.lose("compute-5")
        await one.until("compute-5", S.NEEDS_HUMAN)
        assert one.devices.commands == [("compute-1", OFF)]


async def test_a_host_that_dies_with_its_rack_is_not_cut_off() -> None:
    """[I-11] The rack is down, and that explains it."""
    async with site() as one:
        await one.say(down("compute.host.down", "rack-0", resource_type="rack"), "ping")
        await one.lose()
        await asyncio.sleep(300)
        assert (one.state(), one.devices.commands, one.calls) == (S.SUSPECT, [], set())


# --- crashes ---


@pytest.mark.parametrize("state", [S.SUSPECT, S.AUTHORISED, S.ATTEMPT, S.CONFIRMING, S.FENCED])
async def test_a_successor_goes_on_where_the_record_says(state: FenceState) -> None:
    """[I-17]"""
    clock, store = LoopClock(), StoppingStore(state)
    devices = Devices(clock)
    first = Site(store, devices, clock)
    await first.start()
    await first.arm()
    await first.lose()
    await asyncio.wait_for(store.stopped.wait(), 60)
    await first.die()
    store.wanted = None
    second = Site(store, devices, clock)
    await second.start()
    await second.until("compute-1", S.FENCED)
    assert second.told() is Isolation.ISOLATED
    assert 1 <= len(devices.commands) <= 2
    assert set(devices.commands) == {("compute-1", OFF)}
    await second.die()


async def test_a_successor_does_not_repeat_a_command_to_a_host_that_has_come_back() -> None:
    clock, store = LoopClock(), StoppingStore(S.ATTEMPT)
    devices = Devices(clock)
    first = Site(store, devices, clock)
    await first.start()
    await first.arm()
    await first.lose()
    await asyncio.wait_for(store.stopped.wait(), 60)
    await first.die()
    store.wanted = None
    second = Site(store, devices, clock)
    await second.situation.load()
    await second.find()
    await second.start()
    await second.until("compute-1", S.NEEDS_HUMAN)
    assert devices.commands == []
    await second.die()


async def test_a_doctor_of_before_can_do_nothing_any_more() -> None:
    """[I-14] It holds the state of before, and the store refuses every step."""
    clock, store = LoopClock(), MemoryStore()
    devices = Devices(clock)
    old = Site(store, devices, clock)
    await old.start()
    await old.arm()
    new = Site(store, devices, clock)
    await new.start()
    await old.lose()
    await asyncio.sleep(30)
    assert devices.commands == []
    with pytest.raises(LostOfficeError):
        _ = old.isolation.office
    await old.die()
    await new.die()


async def test_nothing_is_done_that_could_not_be_kept() -> None:
    store = FullStore()
    async with site(store=store) as one:
        await one.lose("compute-1", "ping")
        await asyncio.sleep(0.5)
        store.is_full = True
        with pytest.raises(StoreError):
            await one.lose("compute-1", "peers")
        await asyncio.sleep(10)
        assert one.devices.commands == []
        store.is_full = False
        await one.lose("compute-1", "peers")
        await one.until("compute-1", S.FENCED)


class FullStore(MemoryStore):
    """A store whose disk may be full."""

    is_full = False

    async def commit(self, change: Change) -> None:
        if self.is_full:
            raise StoreError("no space left on device")
        await super().commit(change)


class StoppingStore(MemoryStore):
    """A store that keeps a step into one state and then lets nobody go on."""

    def __init__(self, wanted: FenceState) -> None:
        super().__init__()
        self.wanted: FenceState | None = wanted
        self.stopped = asyncio.Event()

    async def commit(self, change: Change) -> None:
        if self.stopped.is_set() and self.wanted is not None:
            await asyncio.Event().wait()
        await super().commit(change)
        if change.fencing is not None and any(job.state is self.wanted for job in change.fencing.jobs):
            self.stopped.set()
            await asyncio.Event().wait()


# --- people ---


async def test_two_people_can_say_that_a_host_is_off() -> None:
    async with site() as one:
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.DEAF
        await one.lose()
        await one.until("compute-1", S.NEEDS_HUMAN)

        async def vouch(by: str, account: str) -> FenceState:
            reason = "both plugs are in my hand"
            job = await one.desk.vouch("compute-1", typed="compute-1", by=by, account=account, reason=reason)
            return job.state

        with pytest.raises(RejectedError) as early:
            await vouch("alice", "token-a")
        assert "may still be on its way" in early.value.flaws[0].detail
        await asyncio.sleep(15)
        assert await vouch("alice", "token-a") is S.NEEDS_HUMAN
        for by, account in (("alice", "token-b"), ("bob", "token-a")):
            with pytest.raises(RejectedError):
                await vouch(by, account)
        assert await vouch("bob", "token-b") is S.FENCED
        await one.until_so(lambda: one.told() is Isolation.ISOLATED and not one.calls)
        named = [each.user for each in await one.decisions() if each.decision == "vouch"]
        assert named == ["alice", "bob"]


async def test_a_host_that_serves_needs_nobody_to_vouch_for_it() -> None:
    async with site() as one:
        for refused in (
            one.desk.vouch("compute-1", typed="compute-1", by="a", account="t", reason="x"),
            one.desk.retry("compute-1", user="a", reason=""),
            one.desk.give_back("compute-1", user="a", reason=""),
            one.desk.set_zone("az-9", ZoneMode.ARMED, user="a", reason=""),
        ):
            with pytest.raises(RejectedError):
                await refused
        with pytest.raises(RejectedError, match="no such host"):
            one.desk.explain("compute-99")


async def test_it_is_explained_before_anything_has_happened() -> None:
    async with site() as one:
        told = one.desk.explain("compute-1")
        assert told.job is None
        assert [each.brake for each in told.ruling.objections] == ["evidence"]
        (zone,) = one.desk.zones
        assert (zone.zone, zone.mode, len(zone.hosts)) == ("az-1", ZoneMode.ARMED, 10)


async def test_what_was_cut_in_part_is_for_a_person_also_when_it_is_back() -> None:
    async with site() as one:
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.STUCK
        await one.lose()
        await one.until("compute-1", S.NEEDS_HUMAN)
        await one.find()
        await asyncio.sleep(5)
        assert one.state() is S.NEEDS_HUMAN
        with pytest.raises(RejectedError, match="may still be on its way to it: wait"):
            await one.desk.retry("compute-1", user="alice", reason="look again")
        await asyncio.sleep(15)
        await one.desk.retry("compute-1", user="alice", reason="look again")
        await one.until("compute-1", S.NEEDS_HUMAN)
        one.devices.bmc["compute-1"].mode = one.devices.pdu.mode = Mode.HONEST
        await one.desk.give_back("compute-1", user="alice", reason="it serves")
        await one.until("compute-1", S.OBSERVED)


async def test_all_that_was_cut_is_given_back_also_what_was_tried_before() -> None:
    """Its outlet was switched off, and contradicted; then its BMC was repaired, and did it."""
    async with site() as one:
        one.devices.bmc["compute-1"].mode = Mode.LOCKED
        await one.lose()
        await one.until("compute-1", S.CONFIRMING)
        await one.find("compute-1", "ping")
        await one.until("compute-1", S.NEEDS_HUMAN)
        await one.lose("compute-1", "ping")
        one.devices.bmc["compute-1"].mode = Mode.HONEST
        await asyncio.sleep(20)
        await one.desk.retry("compute-1", user="alice", reason="its BMC was repaired")
        await one.until("compute-1", S.FENCED)
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", S.OBSERVED)
        assert one.devices.pdu.commands == [("compute-1", OFF), ("compute-1", ON)]


async def test_what_cannot_be_given_back_is_for_a_person() -> None:
    async with site(limits=Limits(start_up=timedelta(0), attempt=timedelta(seconds=2))) as one:
        await one.lose()
        await one.until("compute-1", S.FENCED)
        one.devices.bmc["compute-1"].mode = Mode.LOCKED
        await one.desk.give_back("compute-1", user="alice", reason="repaired")
        await one.until("compute-1", S.NEEDS_HUMAN)
