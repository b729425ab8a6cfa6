"""When a fault passed which station [D 3.3]."""

from datetime import timedelta

import pytest

from doctor.flows import timelines as module
from doctor.flows.timelines import Timelines
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.model.notification import Failed
from doctor.ports.store import Change
from doctor.testing.clock import START
from doctor.testing.scenario import Scenario, host_down, host_up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import small_nfvi


def seconds(timeline: Timeline) -> dict[str, float]:
    return {name.value: (time - START).total_seconds() for name, time in timeline.checkpoints.items()}


def timelines(story: Scenario) -> list[Timeline]:
    """Return all timelines of a story at its end."""
    found: list[Timeline] = []

    async def look() -> None:
        await story.doctor.timelines.save()
        found.extend(await story.store.timelines(before=None, limit=100))

    story.note(99.0, look)
    story.run()
    return found


@pytest.mark.requirement("F4", "F7")
def test_every_station_is_stamped() -> None:
    """[D 3.3, profiler] T0 from what the monitor last saw, T5 when it is durable, T7 when the first consumer had it."""
    story = Scenario(small_nfvi(), store=FallibleStore(seconds=0.01))
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).subscribe("vnfm-blue", project="blue")
    story.at(0.5).answer("vnfm-blue", Failed("no"))
    details = {"last_seen": (START + timedelta(seconds=0.2)).isoformat()}
    story.at(1.0).push(host_down("compute-1", seen=0.9, details=details))
    story.at(5.0).push(host_up("compute-1"))
    (timeline,) = timelines(story)
    assert seconds(timeline) == pytest.approx(
        {"T0": 0.2, "T1": 0.9, "T2": 1.0, "T3": 1.0, "T4": 1.0, "T5": 1.01, "T6": 1.01, "T7": 1.01, "R": 5.01}
    )
    received: dict[str, list[float]] = {}
    for one in timeline.consumers:
        assert one.received is not None
        received.setdefault(one.subscription_id, []).append((one.received - START).total_seconds())
    assert received == {
        story.subscriptions["vnfm-red"].subscription_id: [1.01, 5.01],
        story.subscriptions["vnfm-blue"].subscription_id: [1.06, 5.01],
    }


@pytest.mark.parametrize(
    ("details", "occurred"),
    [
        pytest.param({}, None, id="unknown"),
        pytest.param({"occurred_time": "2026-03-04T05:06:06Z"}, -1.0, id="said"),
        pytest.param(
            {"occurred_time": "2026-03-04T05:06:06Z", "last_seen": "2026-03-04T05:06:05Z"},
            -1.0,
            id="said-and-seen",
        ),
        pytest.param({"occurred_time": "soon", "last_seen": "2026-03-04T05:06:05"}, -2.0, id="no-zone"),
        pytest.param({"last_seen": "9999-12-31T23:59:59-10:00"}, None, id="beyond-all-time"),
    ],
)
def test_when_it_occurred(details: dict[str, str], occurred: float | None) -> None:
    """[D 3.3] T0, if the Monitor knows."""
    story = Scenario(small_nfvi())
    story.at(1.0).push(host_down("compute-1", details=details))
    (timeline,) = timelines(story)
    assert seconds(timeline).get("T0") == occurred


def test_a_repeat_does_not_move_a_stamp() -> None:
    """Only the first time counts."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red", endpoints=2)
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(host_down("compute-1"))
    (timeline,) = timelines(story)
    assert seconds(timeline)["T5"] == seconds(timeline)["T7"] == 1.0
    assert len(timeline.consumers) == 1


def timeline_of(fault_id: str) -> Timeline:
    return Timeline(fault_id=fault_id, fault_type="host down", resource_id="compute-1")


@pytest.mark.requirement("F4", "D8")
async def test_handled_is_the_last_station() -> None:
    """[D 3.3] T8, by each consumer; the first one's is the fault's."""
    store = FallibleStore()
    found = Timelines(store)
    found.start(timeline_of("f"))
    for second, consumer in enumerate(("a", "b", "a")):
        found.handled("f", consumer, f"n-{consumer}", START + timedelta(seconds=second))
    timeline = found.get("f")
    assert timeline is not None
    assert timeline.checkpoints == {Checkpoint.HANDLED: START}
    assert [one.handled for one in timeline.consumers] == [START, START + timedelta(seconds=1)]
    found.handled("unheard-of", "a", "n", START)
    found.told("unheard-of", "a", "n", START, START)
    found.stamp("unheard-of", Checkpoint.SAVED, START)
    assert found.get("unheard-of") is None


class PuttingOff(FallibleStore):
    """A store that writes what may be later with the next commit, and not before."""

    def __init__(self) -> None:
        super().__init__()
        self._put_off: list[Change] = []

    def later(self, change: Change) -> None:
        self._put_off.append(change)

    async def commit(self, change: Change) -> None:
        for one in self._put_off:
            await super().commit(one)
        self._put_off = []
        await super().commit(change)


async def test_a_listing_has_what_was_just_handed_to_the_store() -> None:
    store = PuttingOff()
    found = Timelines(store)
    found.start(timeline_of("f"))
    found.flush()
    await found.save()
    assert [one.fault_id for one in await store.timelines(before=None, limit=10)] == ["f"]


async def test_older_timelines_are_in_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded, also when somebody looks at all of them; what is recalled can be stamped again."""
    monkeypatch.setattr(module, "REMEMBERED", 2)
    store = FallibleStore()
    found = Timelines(store)
    found.flush()
    await found.save()
    for number in range(5):
        found.start(timeline_of(f"f-{number}"))
    found.flush()
    assert [found.get(f"f-{number}") is not None for number in range(5)] == [False] * 3 + [True] * 2
    for number in range(5):
        recalled = await found.recall(f"f-{number}")
        assert recalled is not None
        assert recalled.fault_id == f"f-{number}"
    assert await found.recall("unheard-of") is None
    assert sum(found.get(f"f-{number}") is not None for number in range(5)) == 2
    found.handled("f-4", "a", "n", START)
    await found.save()
    kept = await store.timeline("f-4")
    assert kept is not None
    assert Checkpoint.HANDLED in kept.checkpoints
