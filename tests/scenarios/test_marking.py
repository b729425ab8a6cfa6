"""The cloud says what is true, through failures, clears and restarts, and telling waits for none of it [I-23]."""

import asyncio
from datetime import timedelta

import pytest

from doctor.model.checkpoint import Checkpoint
from doctor.model.errors import PermanentError, Reason, RejectedError, TransientError
from doctor.model.map_news import MapDelta, MapStatus, Phase
from doctor.model.marking import ForceDown, Mark, MarkKind, MarkState, Standing
from doctor.model.resource import Isolation, PhysicalResource
from doctor.model.resource_map import ResourceMap
from doctor.testing.scenario import host_down, host_up
from tests.scenarios.cloud_site import CONTENT, Site, machine

pytestmark = pytest.mark.looptime

DOWN = Mark(MarkKind.FORCED_DOWN, "compute-1")
DISABLED = Mark(MarkKind.DISABLED, "compute-1")
VM_1, VM_2 = Mark(MarkKind.SERVER_ERROR, "vm-1"), Mark(MarkKind.SERVER_ERROR, "vm-2")
PORT = Mark(MarkKind.PORT_DOWN, "port-1")
ALL = {DOWN: "down", DISABLED: "disabled", VM_1: "error", VM_2: "error", PORT: "down"}


@pytest.mark.requirement("B24", "C10")
async def test_a_dead_host_is_marked_and_then_as_before() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(0.1)
        assert site.said() == ALL
        assert site.cloud.standings[DISABLED].reason.startswith("doctor: host down (")
        assert set(doctor.states().values()) == {MarkState.MARKED}
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(0.1)
        assert set(site.said().values()) == {"up", "enabled", "active"}
        assert doctor.states() == {}


@pytest.mark.requirement("F16", "F17")
async def test_a_host_is_not_taken_for_up_before_it_was_given_back() -> None:
    """[I-15] Not while its machines are on their way elsewhere, whatever monitors say; not after a restart either."""
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(0.1)
        doctor.kept_down["compute-1"] = "vm-1 is being evacuated"
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(60)
        assert {mark: word for mark, word in site.said().items() if word in ("down", "disabled")} == {
            DOWN: "down",
            DISABLED: "disabled",
        }
        assert doctor.states() == {DOWN: MarkState.MARKED, DISABLED: MarkState.MARKED}
    async with site.running() as doctor:
        doctor.kept_down["compute-1"] = "its isolation is fenced"
        doctor.marks.resume()
        await asyncio.sleep(1)
    async with site.running() as doctor:
        await asyncio.sleep(1)
        assert set(site.said().values()) == {"up", "enabled", "active"}
        assert doctor.states() == {}


async def test_the_host_comes_first_then_servers_of_the_highest_level() -> None:
    site = Site()
    site.cloud.delay = 0.1
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1.0)
    order = [mark for _, mark in site.cloud.log]
    assert order[0] == DOWN
    assert order.index(VM_2) < order.index(VM_1) < order.index(PORT)
    assert order.index(DISABLED) > order.index(DOWN)


@pytest.mark.requirement("F5")
async def test_when_all_is_marked_is_on_the_timeline() -> None:
    site = Site()
    site.cloud.delay = 0.1
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1.0)
        (record,) = list(doctor.situation.book)
        timeline = doctor.timelines.get(record.fault.fault_key)
    assert timeline is not None
    stamps = timeline.checkpoints
    assert stamps[Checkpoint.HOST_MARKED] - stamps[Checkpoint.SAVED] < timedelta(seconds=0.2)
    assert stamps[Checkpoint.RESOURCES_MARKED] >= stamps[Checkpoint.HOST_MARKED]


@pytest.mark.requirement("F1")
async def test_telling_does_not_wait_for_a_cloud_that_does_not_answer() -> None:
    site = Site()
    site.cloud.delay = 30.0
    async with site.running() as doctor:
        begun = doctor.clock.monotonic()
        await doctor.report(host_down("compute-1"))
        assert doctor.clock.monotonic() - begun < 0.01
        await asyncio.sleep(1.0)
        assert set(doctor.states().values()) == {MarkState.MARKING}


async def test_what_fails_for_now_is_tried_again_until_it_works() -> None:
    site = Site()
    site.cloud.failure = TransientError("503")
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(5)
        pending = doctor.situation.marks[VM_1]
        assert (pending.state, pending.trouble) == (MarkState.MARKING, "503")
        assert pending.attempts > 1
        site.cloud.failure = None
        await asyncio.sleep(60)
        assert site.said() == ALL
        assert doctor.situation.marks[VM_1].trouble is None


@pytest.mark.parametrize(
    "error",
    [
        pytest.param(PermanentError("403"), id="Doctor may not"),
        pytest.param(RejectedError("400", reason=Reason.CONFLICT), id="not as things are"),
    ],
)
async def test_what_is_refused_is_said_and_tried_again_now_and_then(error: Exception) -> None:
    site = Site()
    site.cloud.fail(VM_1, error)  # type: ignore[arg-type]
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(0.5)
        assert doctor.situation.marks[VM_1].trouble == str(error)
        assert site.said() == {mark: word for mark, word in ALL.items() if mark != VM_1}
        await asyncio.sleep(60)
        assert site.said() == ALL


async def test_a_server_that_is_deleted_meanwhile_is_forgotten() -> None:
    site = Site()
    site.cloud.fail(VM_1, RejectedError("404", reason=Reason.NOT_FOUND))
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(5)
        assert VM_1 not in doctor.states()
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(5)
        assert doctor.states() == {}


async def test_a_clear_in_the_middle_leaves_nothing_marked() -> None:
    site = Site()
    site.cloud.delay = 1.0
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1.5)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(30)
        assert set(site.said().values()) <= {"up", "enabled", "active"}
        assert doctor.states() == {}


async def test_a_host_that_fails_again_while_it_is_unmarked_is_marked_in_the_end() -> None:
    site = Site()
    site.cloud.delay = 1.0
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(10)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(1.5)
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(60)
        assert site.said() == ALL
        assert set(doctor.states().values()) == {MarkState.MARKED}


@pytest.mark.parametrize("lives", [0.0, 0.05, 0.15, 0.25, 0.35])
async def test_a_doctor_that_dies_in_the_middle_goes_on_where_it_was(lives: float) -> None:
    site = Site()
    site.cloud.delay = 0.1
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(lives)
    async with site.running() as doctor:
        await asyncio.sleep(5)
        assert site.said() == ALL
        assert set(doctor.states().values()) == {MarkState.MARKED}
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(lives)
    async with site.running() as doctor:
        await asyncio.sleep(5)
        assert set(site.said().values()) == {"up", "enabled", "active"}
        assert doctor.states() == {}


async def test_what_was_written_although_it_failed_is_taken_back_to_what_it_was() -> None:
    """The answer was lost, not the change."""
    site = Site()
    site.cloud.fails_after_writing = True
    site.cloud.fail(VM_1, TransientError("connection reset"))
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(5)
        assert doctor.states()[VM_1] is MarkState.MARKED
        assert doctor.situation.marks[VM_1].before == "active"
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(5)
        assert site.said()[VM_1] == "active"


async def test_what_the_cloud_has_announced_is_taken_back_without_asking() -> None:
    """Half as many calls. Of a host the cloud is asked all the same."""
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        site.cloud.say(
            MapDelta(virtual=(machine("vm-1", vim_state="error"), machine("vm-2", vim_state="error")))
        )
        await asyncio.sleep(1)
        site.cloud.log.clear()
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(1)
        assert {mark for verb, mark in site.cloud.log if verb == "read"} == {DOWN, DISABLED, PORT}
        assert set(site.said().values()) == {"up", "enabled", "active"}


@pytest.mark.requirement("C12")
async def test_what_is_not_ours_is_left_as_it_is() -> None:
    site = Site()
    site.cloud.say(
        MapDelta(
            physical=(PhysicalResource(id="compute-1", cloud="cloud", vim_state="disabled up"),),
            virtual=(
                machine("vm-1", vim_state="error"),
                machine("vm-2", vim_state="stopped"),
                machine("port-1", "virtual NIC", vim_state="down"),
            ),
        )
    )
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(5)
        assert site.said() == {DOWN: "down"}
        assert set(doctor.marks.left) == {DISABLED, VM_1, VM_2, PORT}
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(5)
        assert site.said() == {DOWN: "up"}
        assert set(doctor.marks.left) == {VM_1}  # the cloud's own word; its owner is told of that too


async def test_what_somebody_changed_meanwhile_is_not_taken_back() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        site.cloud.standings[VM_1] = Standing("deleted")
        site.cloud.standings[DISABLED] = Standing("disabled", "new disks")
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(1)
        assert site.cloud.standings[VM_1] == Standing("deleted")
        assert site.cloud.standings[DISABLED] == Standing("disabled", "new disks")
        assert doctor.states() == {}


async def late(site: Site) -> None:
    """Let the cloud do now what it was asked to do while it did not answer."""
    site.cloud.standings |= {DOWN: Standing("down"), VM_1: Standing("error"), PORT: Standing("down")}
    site.cloud.say(
        MapDelta(
            physical=(PhysicalResource(id="compute-1", cloud="cloud", vim_state="enabled down"),),
            virtual=(
                machine("vm-1", vim_state="error"),
                machine("port-1", "virtual NIC", vim_state="down"),
            ),
        )
    )


async def test_what_comes_through_after_all_when_it_is_over_is_taken_back() -> None:
    site = Site()
    site.cloud.failure = TransientError("no answer")
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(3)
        await doctor.report(host_up("compute-1"))
        site.cloud.failure = None
        await asyncio.sleep(15)
        assert doctor.states() == {}
        await late(site)
        await asyncio.sleep(5)
        assert set(site.said().values()) <= {"up", "active"}
        assert doctor.states() == {}
        assert not len(doctor.situation.book)  # nobody was told that somebody else has forced it down


async def test_what_a_doctor_of_before_has_asked_for_is_taken_back_when_it_comes_through() -> None:
    """He died over the request: his successor reads that nothing is marked, and it comes through after that."""
    site = Site()
    site.cloud.delay = 1.0
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(0.5)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(0.1)
    site.cloud.delay = 0.0
    async with site.running() as doctor:
        await asyncio.sleep(15)
        assert doctor.states() == {}
        await late(site)
        await asyncio.sleep(5)
        assert set(site.said().values()) <= {"up", "active"}
        assert doctor.states() == {}


@pytest.mark.parametrize("is_seen", [True, False], ids=["while one runs", "while none runs"])
async def test_what_comes_through_late_is_taken_back_by_whoever_runs_then(is_seen: bool) -> None:
    """The first died over the request, the second read that nothing is marked, and died too."""
    site = Site()
    site.cloud.delay = 1.0
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(0.5)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(0.1)
    site.cloud.delay = 0.0
    async with site.running() as doctor:
        await asyncio.sleep(15)
        assert doctor.states() == {}
    if not is_seen:
        await late(site)
        await asyncio.sleep(300)
    site.cloud.say(MapStatus(phase=Phase.CURRENT, listening=True))
    async with site.running() as doctor:
        if is_seen:
            await asyncio.sleep(15)
            await late(site)
        await asyncio.sleep(5)
        assert set(site.said().values()) <= {"up", "active"}
        assert doctor.states() == {}
        await asyncio.sleep(120)
        assert not doctor.situation.late_marks
    async with site.running() as doctor:
        assert not doctor.situation.late_marks


async def test_what_comes_through_may_have_been_asked_for_when_it_was_just_over() -> None:
    site = Site()
    site.cloud.failure, site.cloud.delay = TransientError("no answer"), 2.0
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(2)
        site.cloud.failure, site.cloud.delay = None, 0.0
        await asyncio.sleep(15)
        assert doctor.states() == {}
        await late(site)
        await asyncio.sleep(5)
        assert set(site.said().values()) <= {"up", "active"}


async def test_what_comes_through_after_all_is_taken_for_the_mark_that_is_wanted_again() -> None:
    site = Site()
    site.cloud.failure = TransientError("no answer")
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(3)
        await doctor.report(host_up("compute-1"))
        site.cloud.failure = None
        await asyncio.sleep(15)
        await late(site)
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(5)
        assert site.said() == ALL
        assert set(doctor.states().values()) == {MarkState.MARKED}
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(5)
        assert set(site.said().values()) == {"up", "enabled", "active"}


async def test_what_is_marked_long_after_that_is_somebody_elses() -> None:
    site = Site()
    site.cloud.failure = TransientError("no answer")
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(3)
        await doctor.report(host_up("compute-1"))
        site.cloud.failure = None
        await asyncio.sleep(120)
        await late(site)
        await asyncio.sleep(5)
        assert site.said()[DOWN] == "down"


async def test_a_server_that_is_busy_is_marked_when_it_no_longer_is() -> None:
    site = Site()
    site.cloud.say(MapDelta(virtual=(machine("vm-1", vim_state="active (migrating)"),)))
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        assert VM_1 not in site.said()
        site.cloud.say(MapDelta(virtual=(machine("vm-1"),)))
        await asyncio.sleep(1)
        assert site.said()[VM_1] == "error"


async def test_a_fault_that_comes_before_the_map_is_marked_when_it_is_there() -> None:
    site = Site(content=None)
    async with site.running() as doctor:
        site.cloud.say(MapDelta(physical=CONTENT.physical))
        await asyncio.sleep(0.1)
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        assert site.said() == {DOWN: "down", DISABLED: "disabled"}


async def test_what_the_map_of_before_a_restart_says_is_asked_for_before_it_is_marked() -> None:
    """Its server was shut down meanwhile: put into error, and back to active, it would seem to run."""
    site = Site()
    async with site.running() as doctor:
        await asyncio.sleep(1)
        site.known = doctor.situation.resources
    site.cloud.standings[VM_1] = Standing("stopped")
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(2)
        assert site.said()[VM_1] == "stopped"
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(10)
        assert site.said()[VM_1] == "stopped"


async def test_marks_of_before_are_not_taken_back_only_because_the_map_is_not_there_yet() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
    site.known = ResourceMap()
    async with site.running() as doctor:
        await asyncio.sleep(5)
        assert site.said() == ALL
        site.cloud.say(CONTENT)
        site.cloud.say(MapStatus(phase=Phase.CURRENT))
        await asyncio.sleep(5)
        assert site.said() == ALL
        assert set(doctor.states().values()) == {MarkState.MARKED}


async def test_a_full_disk_puts_marking_off_and_nothing_is_marked_that_is_not_kept() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        site.store.is_full = True
        await asyncio.sleep(1)
        assert site.said() == {}
        site.store.is_full = False
        await asyncio.sleep(5)
        assert site.said() == ALL


async def test_a_host_waits_for_its_isolation_where_the_operator_wants_it() -> None:
    site = Site(force_down=ForceDown.WHEN_ISOLATED)
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        assert DOWN not in site.said()
        assert site.said()[DISABLED] == "disabled"


@pytest.mark.parametrize(
    ("fenced", "force_down", "is_forced"),
    [
        pytest.param(True, ForceDown.AUTO, False, id="somebody will say when it is isolated"),
        pytest.param(True, ForceDown.IMMEDIATELY, True, id="at once, as the operator wants it"),
        pytest.param(False, ForceDown.AUTO, True, id="nobody can isolate it"),
    ],
)
async def test_a_host_with_a_fence_is_forced_down_when_it_is_isolated(
    fenced: bool, force_down: ForceDown, is_forced: bool
) -> None:
    """Before that no new machines come there, and those on it are in error; another host has no fence [I-14]."""
    site = Site(force_down=force_down, fenced=frozenset({"compute-1"} if fenced else ()))
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        assert site.said().get(DOWN) == ("down" if is_forced else None)
        assert site.said()[DISABLED] == "disabled"
        assert site.said()[VM_1] == "error"
        for isolation in (Isolation.PENDING, Isolation.FAILED):
            await doctor.faults.isolation_changed("compute-1", isolation)
            await asyncio.sleep(1)
            assert site.said().get(DOWN) == ("down" if is_forced else None)
        await doctor.faults.isolation_changed("compute-1", Isolation.ISOLATED)
        await asyncio.sleep(1)
        assert site.said() == ALL
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(1)
        assert set(site.said().values()) == {"up", "enabled", "active"}


async def test_a_host_that_is_isolated_no_more_is_not_forced_down() -> None:
    """[I-15] The cloud did not answer in time: when it does, the host is being given back."""
    site = Site(fenced=frozenset({"compute-1"}))
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        site.cloud.fail(DOWN, *[TransientError("no answer")] * 3)
        await doctor.faults.isolation_changed("compute-1", Isolation.ISOLATED)
        await asyncio.sleep(0.01)
        await doctor.faults.isolation_changed("compute-1", Isolation.PENDING)
        await asyncio.sleep(60)
        assert DOWN not in site.said()
        await doctor.faults.isolation_changed("compute-1", Isolation.ISOLATED)
        await asyncio.sleep(15)
        assert site.said()[DOWN] == "down"


@pytest.mark.requirement("F16")
async def test_a_host_that_has_failed_anew_is_not_taken_for_up() -> None:
    """The cloud did not answer while it was well."""
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(0.1)
        site.cloud.fail(DOWN, *[TransientError("no answer")] * 3)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(0.01)
        doctor.kept_down["compute-1"] = "its isolation is suspect"
        await asyncio.sleep(60)
        assert site.said()[DOWN] == "down"
        doctor.kept_down.clear()
        await asyncio.sleep(15)
        assert site.said()[DOWN] == "up"


async def test_a_mark_that_is_wanted_again_while_it_is_taken_back_is_not_forgotten() -> None:
    """[I-17] Its record is being kept when the cloud has answered: a Doctor that dies over it leaves a successor who knows."""
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(0.1)
        site.cloud.delay = 1.0
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(0.1)
        site.store.marks_take = 5.0
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(5.6)  # it is kept, and the cloud has not been told yet
    assert any(
        DISABLED.resource_id in key and key.startswith(DISABLED.kind) for key in site.store._memos["mark"]
    )
    async with site.running() as doctor:
        await asyncio.sleep(20)
        await doctor.report(host_up("compute-1"))
        await asyncio.sleep(20)
        assert set(site.said().values()) == {"up", "enabled", "active"}


async def test_a_host_is_forced_down_although_the_cloud_still_asks_it_about_something_else() -> None:
    """A cloud asks the host that it disables; one that is frozen does not answer, until somebody says that it is down."""
    site = Site(fenced=frozenset({"compute-1"}))
    site.cloud.slow[DISABLED] = 60.0
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        await doctor.faults.isolation_changed("compute-1", Isolation.ISOLATED)
        await asyncio.sleep(0.1)
        assert site.said()[DOWN] == "down"
        assert DISABLED not in site.said()
        await asyncio.sleep(120)
        assert site.said() == ALL


async def test_other_hosts_and_their_servers_are_untouched() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        assert not [mark for mark in site.said() if mark.resource_id in ("compute-2", "vm-9")]


@pytest.mark.requirement("C12")
async def test_a_server_that_leaves_a_dead_host_is_put_right_and_its_mark_let_go() -> None:
    """[I-24] It was evacuated: the cloud has made it active elsewhere, and its owner hears that it is well."""
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        site.cloud.standings[VM_1] = Standing("active")
        site.cloud.say(MapDelta(virtual=(machine("vm-1", host="compute-2", sal=2),)))
        await asyncio.sleep(1)
        assert not doctor.situation.book.is_troubled("vm-1")
        assert VM_1 not in doctor.states()
        assert site.said()[VM_1] == "active"
        assert doctor.states()[VM_2] is MarkState.MARKED


@pytest.mark.requirement("C1")
async def test_a_server_that_comes_to_a_dead_host_is_told_and_marked() -> None:
    """[I-24] The map was late: it was there all the time."""
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        site.cloud.say(MapDelta(virtual=(machine("vm-5"),)))
        await asyncio.sleep(1)
        assert doctor.situation.book.is_troubled("vm-5")
        assert site.said()[Mark(MarkKind.SERVER_ERROR, "vm-5")] == "error"


async def test_what_the_store_does_not_take_is_put_right_later() -> None:
    site = Site()
    async with site.running() as doctor:
        await doctor.report(host_down("compute-1"))
        await asyncio.sleep(1)
        site.store.is_full = True
        site.cloud.say(MapDelta(gone=("vm-2",)))
        await asyncio.sleep(1)
        assert "vm-2" not in doctor.situation.resources.virtual
        site.store.is_full = False
        await asyncio.sleep(10)
        assert not doctor.situation.book.is_troubled("vm-2")
