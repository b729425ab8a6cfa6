"""What is not kept is not told, and what was not accepted can be sent again [I-29]."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.fault import Reported
from doctor.flows.policy import PolicyFlow
from doctor.flows.situation import Situation
from doctor.inspector.catalogue import default_catalogue
from doctor.kit.clock import SystemClock
from doctor.model.errors import StoreError
from doctor.model.identity import Identity, Role
from doctor.model.subscription import SubscribeFilter
from doctor.ports.store import Change, Memo, Snapshot
from doctor.testing.scenario import Scenario, host_down, host_up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import FAULTS, small_nfvi
from tests.unit.model.nfvis import long_lists

RED = Identity(name="red", role=Role.CONSUMER, project="red")


def breaking(story: Scenario, second: float, *, commits: int = 0, loads: int = 0) -> None:
    """Let the store of a story fail from this second on."""
    store = story.store
    assert isinstance(store, FallibleStore)

    def fail() -> None:
        store.breaks, store.loads_break = commits, loads

    story.at(second).do(fail)


def test_the_monitor_gets_an_error_and_nobody_is_told() -> None:
    """[I-29] The same event sent again is news: told once, without a gap."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 1.0).gets("vm-1 is error")
    breaking(story, 1.5, commits=1)
    story.at(2.0).push(host_up("compute-1", seen=2.0)).fails()
    story.at(3.0).push(host_up("compute-1", seen=2.0))
    story.want("vnfm-red").between(3.0, 3.0).gets_clear("vm-1 is normal")
    story.play()
    assert [heard.sequence for heard in story.heard("vnfm-red")] == [1, 2]


def test_what_was_decided_upon_what_was_not_kept_fails_as_well() -> None:
    """[I-29] One group fails; the next was decided before anybody knew, and fails although the disk is well again."""
    store = FallibleStore(seconds=0.05)
    story = Scenario(small_nfvi(), store=store)
    story.at(0.0).subscribe("vnfm-red", project="red")
    breaking(story, 0.5, commits=1)
    story.at(1.0).push(host_down("compute-1", seen=1.0)).fails()
    story.at(1.01).push(host_up("compute-1", seen=1.01)).fails()
    story.at(1.02).push(host_down("compute-1", seen=1.0)).fails()
    story.at(2.0).push(host_down("compute-1", seen=1.0))
    story.want("vnfm-red").between(2.0, 2.2).gets("vm-1 is error")
    story.at(3.0).push(host_up("compute-1", seen=1.01))
    story.want("vnfm-red").between(3.0, 3.2).gets_clear("vm-1 is normal")
    story.play()
    assert store.refused == 3


def test_who_comes_right_after_a_failure_is_judged_by_what_was_kept() -> None:
    """[I-29] Also while those who came before it have not heard yet that they failed."""
    story = Scenario(small_nfvi(), store=FallibleStore(seconds=0.05))
    story.at(0.0).subscribe("vnfm-red", project="red")
    breaking(story, 0.5, commits=1)
    story.at(1.0).push(host_down("compute-1", seen=1.0)).fails()
    story.at(1.01).push(host_down("compute-2", seen=1.01)).fails()
    story.at(1.06).push(host_down("compute-1", seen=1.0))
    story.want("vnfm-red").between(1.06, 1.3).gets("vm-1 is error")
    story.at(2.0).push(host_down("compute-2", seen=1.01))
    story.want("vnfm-red").between(2.0, 2.2).gets("vm-2 is error")
    story.play()


def test_many_who_come_back_at_once_are_judged_one_upon_the_other() -> None:
    """[I-3] The state is read anew once, and nobody's step is forgotten by another's reading."""
    story = Scenario(small_nfvi(), store=FallibleStore(seconds=0.05))
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    breaking(story, 0.5, commits=1)
    story.at(1.0).push(host_down("compute-1", seen=1.0)).fails()
    story.at(2.00).push(host_down("compute-1", seen=1.0))
    story.at(2.01).push(host_down("compute-1", seen=1.5))
    story.at(2.02).push(host_down("compute-2", seen=1.6))
    story.at(2.03).push(host_down("compute-1", seen=1.0)).is_duplicate()
    story.want("vnfm-red").between(2.0, 2.2).gets("vm-1 is error")
    story.want("vnfm-red").between(2.0, 2.2).gets("vm-2 is error")
    story.want("operator").between(2.0, 2.2).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.want("operator").between(2.0, 2.2).gets("compute-2 is down", "vm-2 is error")
    story.play()


def test_a_store_that_cannot_be_read_either_is_asked_each_time() -> None:
    """[I-29] Until it answers, everything is refused."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    story.at(0.0).subscribe("vnfm-red", project="red")
    breaking(story, 0.5, commits=1, loads=2)
    for second in (1.0, 2.0, 3.0):
        story.at(second).push(host_down("compute-1", seen=1.0)).fails()
    story.at(4.0).push(host_down("compute-1", seen=1.0))
    story.want("vnfm-red").between(4.0, 4.0).gets("vm-1 is error")
    story.play()


def test_a_fault_that_was_not_kept_has_no_timeline() -> None:
    """[I-29] Nothing of it is left."""
    store = FallibleStore()
    story = Scenario(small_nfvi(), store=store)
    breaking(story, 0.5, commits=1)
    story.at(1.0).push(host_down("compute-1")).fails()
    story.at(2.0).push(host_down("compute-2"))
    story.at(3.0).do(lambda: story.doctor.timelines.flush())
    kept: list[str] = []

    async def look() -> None:
        kept.extend(timeline.resource_id for timeline in await store.timelines(before=None, limit=10))

    story.note(4.0, look)
    story.play()
    assert kept == ["compute-2"]


def test_an_endpoint_that_is_added_after_a_failure_misses_nothing() -> None:
    """[I-1] The numbers of what was not kept are used again, and it waits for them."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    story.at(0.0).subscribe("vnfm-red", project="red")
    breaking(story, 0.5, commits=1)
    story.at(1.0).push(host_down("compute-1", seen=1.0)).fails()
    story.at(2.0).update("vnfm-red", endpoints=2)
    story.at(3.0).push(host_down("compute-1", seen=1.0))
    story.want("vnfm-red").between(3.0, 3.0).gets("vm-1 is error")
    story.play()


def test_a_subscription_that_was_not_kept_is_none() -> None:
    """[I-29] Who asked is told so, and may ask again."""
    story = Scenario(small_nfvi(), store=FallibleStore())
    breaking(story, 0.5, commits=1)
    refused: list[bool] = []

    async def subscribe() -> None:
        try:
            await story.doctor.subscriptions.create(RED, SubscribeFilter(), [], resource_ids=[])
        except StoreError:
            refused.append(len(story.doctor.situation.subscriptions) == 0)

    story.note(1.0, subscribe)
    story.at(2.0).subscribe("vnfm-red", project="red")
    story.at(3.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(3.0, 3.0).gets("vm-1 is error")
    story.play()
    assert refused == [True]


def test_a_defect_in_the_judging_leaves_nothing_half_done() -> None:
    """[I-1, I-29] What was not kept is not known either: the same event sent again is judged again."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    failures: list[type[BaseException]] = []

    async def stumble() -> None:
        flow, events = story.doctor.faults, [host_down("compute-1", seen=1.0).event(1.0)]
        settlement = flow._settlement
        judge = settlement.open

        def broken(*args: object) -> None:
            judge(*args)  # type: ignore[arg-type]
            raise ZeroDivisionError

        settlement.open = broken  # type: ignore[method-assign, assignment]
        try:
            await flow.accept([Reported(events, "monitor", b"", story.clock.now())])
        except ZeroDivisionError as error:
            failures.append(type(error))
        finally:
            settlement.open = judge  # type: ignore[method-assign]

    story.note(1.0, stumble)
    story.at(2.0).push(host_down("compute-1", seen=1.0))
    story.want("vnfm-red").between(2.0, 2.0).gets("vm-1 is error")
    story.play()
    assert failures == [ZeroDivisionError]


class LateStore(MemoryStore):
    """A store whose commits end when and how the test says."""

    def __init__(self) -> None:
        super().__init__()
        self.under_way: list[asyncio.Future[None]] = []
        self.loads = 0

    async def commit(self, change: Change) -> None:
        self.under_way.append(asyncio.get_running_loop().create_future())
        await self.under_way[-1]
        await super().commit(change)

    async def load(self, *, recent_events: int) -> Snapshot:
        self.loads += 1
        return await super().load(recent_events=recent_events)


async def test_a_failure_that_is_heard_of_late_makes_nobody_read_again() -> None:
    """[I-29] The state was read anew since, and did not have that change."""
    store = LateStore()
    situation = Situation(store, PolicyFlow(default_catalogue(), SystemClock()).default())
    await situation.load()
    keeping = [asyncio.create_task(situation.keep(Change())) for _ in range(2)]
    await asyncio.sleep(0)
    for place in (0, 1):
        store.under_way[place].set_exception(StoreError("no space left on device"))
        with pytest.raises(StoreError):
            await keeping[place]
        await situation.ready()
        assert store.loads == 2


STEPS = long_lists(
    st.tuples(
        st.sampled_from(["report", "report", "report", "break", "crash"]),
        st.sampled_from([0.0, 0.007, 0.05, 1.0]),
    ),
    30,
)


@settings(deadline=None, max_examples=40)
@given(steps=STEPS, seconds=st.sampled_from([0.0, 0.01, 0.05]))
def test_a_monitor_that_insists_gets_everything_told_exactly_once(
    steps: list[tuple[str, float]], seconds: float
) -> None:
    """[I-1, I-3, I-5, I-29] Each report is sent until it is accepted, through failures of the store and crashes."""
    store = FallibleStore(seconds=seconds)
    story = Scenario(small_nfvi(), store=store)
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2)
    second, pushes = 1.0, []
    for number, (what, gap) in enumerate(steps):
        second += gap
        if what == "break":
            breaking(story, second, commits=1, loads=number % 2)
        elif what == "crash":
            breaking(story, second)
            story.at(second).crash()
            story.at(second).start()
        else:
            report = host_up if number % 2 else host_down
            push = story.at(second).push(report("compute-1", seen=number))
            push.may_be_anything()
            pushes.append(push)
    for push in pushes:
        for _ in range(4):
            second += 10.0
            story.at(second).push_again(push)
    story.run(until=second + 100.0)
    assert all(push.was_accepted for push in pushes)
    kept = asyncio.run(
        store.notifications(story.subscriptions["vnfm-red"].subscription_id, after=0, limit=1_000)
    )
    for index in range(2):
        sequences = [heard.sequence for heard in story.heard(f"vnfm-red/{index}")]
        assert list(dict.fromkeys(sequences)) == [one.sequence for one in kept]
        assert len(sequences) == len(kept) or any(what == "crash" for what, _ in steps)


async def test_what_builds_on_what_was_lost_is_not_kept_behind_a_reading() -> None:
    """[I-5, I-22] The store would take it when it has been read, with numbers that are used again."""
    situation = Situation(
        MemoryStore(), PolicyFlow(default_catalogue(), SystemClock()).default(), resources=small_nfvi()
    )
    await situation.load()
    situation.doubt()
    memo = Memo(kind="test", key="one", record=b"1")
    with pytest.raises(StoreError, match="lost"):
        await situation.keep(Change(memos=[memo]))
    await situation.ready()
    assert "test" not in (await situation.store.load(recent_events=0)).memos
    await situation.keep(Change(memos=[memo]))
    assert (await situation.store.load(recent_events=0)).memos["test"] == {"one": b"1"}
