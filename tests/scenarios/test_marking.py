"""The cloud says what is true, through failures, clears and restarts, and telling waits for none of it [I-23]."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.agenda import Agenda
from doctor.flows.cloud import CloudFlow
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.marking import MarkingFlow
from doctor.flows.policy import PolicyFlow
from doctor.flows.situation import Situation
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue
from doctor.model.checkpoint import Checkpoint
from doctor.model.errors import PermanentError, Reason, RejectedError, StoreError, TransientError
from doctor.model.map_news import MapDelta, MapStatus, Phase
from doctor.model.marking import ForceDown, Mark, MarkKind, MarkState, Standing
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.store import Change
from doctor.testing.channel import FakeChannel
from doctor.testing.clock import LoopClock
from doctor.testing.cloud import FakeCloud
from doctor.testing.scenario import Report, host_down, host_up

pytestmark = pytest.mark.looptime

DOWN = Mark(MarkKind.FORCED_DOWN, "compute-1")
DISABLED = Mark(MarkKind.DISABLED, "compute-1")
VM_1, VM_2 = Mark(MarkKind.SERVER_ERROR, "vm-1"), Mark(MarkKind.SERVER_ERROR, "vm-2")
PORT = Mark(MarkKind.PORT_DOWN, "port-1")
ALL = {DOWN: "down", DISABLED: "disabled", VM_1: "error", VM_2: "error", PORT: "down"}


def machine(name: str, kind: str = "virtual machine", **more: object) -> VirtualResource:
    return VirtualResource(
        id=name,
        type=kind,
        owner="red",
        cloud="cloud",
        **{"host": "compute-1", "vim_state": "active"} | more,  # type: ignore[arg-type]
    )


CONTENT = MapDelta(
    physical=(
        PhysicalResource(id="compute-1", cloud="cloud", vim_state="enabled up"),
        PhysicalResource(id="compute-2", cloud="cloud", vim_state="enabled up"),
    ),
    virtual=(
        machine("vm-1", sal=2),
        machine("vm-2", sal=1),
        machine("port-1", "virtual NIC"),
        machine("vm-9", host="compute-2"),
    ),
)


class Store(MemoryStore):
    """A store that can fail, and that is there after Doctor has died."""

    def __init__(self) -> None:
        super().__init__()
        self.is_full = False

    async def commit(self, change: Change) -> None:
        if self.is_full:
            raise StoreError("no space left on device")
        await super().commit(change)


class Doctor:
    """The flows of one process."""

    def __init__(self, store: Store, cloud: FakeCloud, force_down: ForceDown) -> None:
        clock = self.clock = LoopClock()
        policies = PolicyFlow(default_catalogue(), clock)
        self.situation = Situation(store, policies.default(), clouds=[cloud.name])
        self.timelines = Timelines(store)
        delivery = DeliveryFlow(store, FakeChannel(clock), clock, lambda *_: None)
        self.faults = FaultFlow(self.situation, delivery, self.timelines, Agenda(clock), clock)
        self.marks = MarkingFlow(
            self.situation, {cloud.name: cloud}, self.timelines, clock, {cloud.name: force_down}
        )
        self.faults.on_settled(self.marks.settled)
        self.faults.on_isolated(self.marks.isolated)
        self.cloud = CloudFlow(self.situation, {cloud.name: cloud}, self.faults, self.marks, delivery, clock)

    async def report(self, said: Report) -> None:
        event = said.event(self.clock.monotonic())
        await self.faults.accept([Reported([event], "test", b"{}", self.clock.now())])

    def states(self) -> dict[Mark, MarkState]:
        return {mark: record.state for mark, record in self.situation.marks.items()}


class Site:
    """A cloud, a store, and one Doctor after the other."""

    def __init__(self, content: MapDelta | None = CONTENT, force_down: ForceDown = ForceDown.AUTO) -> None:
        self.cloud = FakeCloud(content=content)
        self.store = Store()
        self.force_down = force_down
        self.known = ResourceMap()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[Doctor]:
        doctor = Doctor(self.store, self.cloud, self.force_down)
        doctor.situation.resources = self.known
        await doctor.situation.load()
        doctor.marks.resume()
        works = (doctor.marks.run(), doctor.cloud.run(), doctor.situation.stay_ready())
        tasks = [asyncio.create_task(work) for work in works]
        try:
            await asyncio.sleep(0.001)
            yield doctor
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def said(self) -> dict[Mark, str]:
        """Return what was set in the cloud."""
        return {mark: standing.state for mark, standing in self.cloud.standings.items()}


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
        await asyncio.sleep(5)
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
        assert doctor.marks.left == {}


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
