"""The hourly check: what is found is kept, told when it changes, and switches nothing."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta

import pytest

from doctor.drivers.stores.memory import MemoryStore
from doctor.fencing.readiness import Readiness
from doctor.flows.fence_readiness import FIRST_AFTER, UNREADY, FenceReadiness
from doctor.flows.fences import Fences
from doctor.flows.policy import PolicyFlow
from doctor.flows.situation import Situation
from doctor.inspector.catalogue import default_catalogue
from doctor.model.errors import Reason, RejectedError
from doctor.model.event import RawEvent
from doctor.model.fence_plan import FencePlan, Level, Rule, Step
from doctor.model.fencing import Doubt
from doctor.model.resource import PhysicalResource, Relation
from doctor.model.resource_map import ResourceMap
from doctor.testing.clock import LoopClock
from doctor.testing.fence import FakeFence, Mode

CLOCK = LoopClock()
EVERY = timedelta(hours=1)


class Targets:
    version = 1

    def hosts(self) -> list[PhysicalResource]:
        return []


class Site:
    """Two hosts with a BMC each; the first has two feeds as well."""

    def __init__(self, store: MemoryStore | None = None) -> None:
        self.store = store or MemoryStore()
        self.devices = {name: FakeFence(clock=CLOCK) for name in ("bmc-1", "bmc-2")}
        self.devices |= {name: FakeFence(clock=CLOCK, partial=True) for name in ("pdu-a", "pdu-b")}
        feeds = Level(Rule.ALL_OF, (Step("pdu-a", "1"), Step("pdu-b", "1")))
        plans = {
            "compute-1": FencePlan("compute-1", (Level(Rule.ALL_OF, (Step("bmc-1"),)), feeds)),
            "compute-2": FencePlan("compute-2", (Level(Rule.ALL_OF, (Step("bmc-2"),)),)),
        }
        resources = ResourceMap(
            [
                PhysicalResource(id="compute-1", aliases=("c1",)),
                PhysicalResource(id="compute-2"),
                *(PhysicalResource(id=name, type="power") for name in ("feed-a", "feed-b")),
            ],
            relations=[Relation(feed, "powers", "compute-1") for feed in ("feed-a", "feed-b")],
        )
        policies = PolicyFlow(default_catalogue(), CLOCK)
        self.situation = Situation(self.store, policies.default(), resources=resources)
        self.fences = Fences(self.devices, plans, CLOCK)
        self.readiness = FenceReadiness(self.situation, self.fences, CLOCK, every=EVERY)

    def commands(self) -> int:
        return sum(len(device.commands) for device in self.devices.values())


@asynccontextmanager
async def watching(site: Site) -> AsyncIterator[list[RawEvent]]:
    """Let the checks run and gather what they tell."""
    told: list[RawEvent] = []

    async def watch() -> None:
        async for event in site.readiness.watch(Targets()):
            told.append(event)  # noqa: PERF401 - they are looked at while they come

    site.readiness.start(await site.situation.load())
    task = asyncio.create_task(watch())
    try:
        yield told
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


def said(event: RawEvent) -> tuple[str, str, str]:
    return str(event.details["host"]), event.status, event.severity


@pytest.mark.looptime
async def test_every_device_is_asked_each_hour_and_none_is_told_anything() -> None:
    site = Site()
    async with watching(site) as told:
        await asyncio.sleep(FIRST_AFTER + 1)
        assert sorted(map(said, told)) == [("compute-1", "up", "cleared"), ("compute-2", "up", "cleared")]
        reads = {name: device.reads for name, device in site.devices.items()}
        assert set(reads.values()) == {1}
        await asyncio.sleep(EVERY.total_seconds())
        assert {device.reads for device in site.devices.values()} == {2}
        assert len(told) == 2  # nothing new
    assert site.commands() == 0
    assert [one.readiness for one in site.readiness.checks] == [Readiness.READY, Readiness.READY]


@pytest.mark.looptime
async def test_a_host_that_could_not_be_cut_off_is_told_and_so_is_its_recovery() -> None:
    site = Site()
    site.devices["bmc-2"].mode = Mode.LOCKED
    async with watching(site) as told:
        await asyncio.sleep(FIRST_AFTER + 1)
        assert ("compute-2", "down", "major") in map(said, told)
        assert told[-1].type == UNREADY
        site.devices["bmc-2"].mode = Mode.HONEST
        await asyncio.sleep(EVERY.total_seconds())
        assert said(told[-1]) == ("compute-2", "up", "cleared")


@pytest.mark.looptime
async def test_one_level_less_is_a_warning() -> None:
    site = Site()
    site.devices["pdu-b"].mode = Mode.DEAF
    async with watching(site) as told:
        await asyncio.sleep(60)
        assert ("compute-1", "down", "warning") in map(said, told)
    (first, _) = site.readiness.checks
    assert first.readiness is Readiness.DEGRADED
    assert first.reason.startswith("pdu-b 1:")


@pytest.mark.looptime
async def test_a_device_that_reads_off_though_the_host_runs_is_behind_another() -> None:
    """It would confirm a fence that never was."""
    site = Site()
    site.devices["bmc-2"].host().is_on = False
    await site.situation.load()
    checked = await site.readiness.check("compute-2")
    assert checked.readiness is Readiness.UNREADY
    assert checked.levels[0].steps[0].doubt is Doubt.WRONG_MACHINE


@pytest.mark.looptime
async def test_what_was_found_is_there_after_a_restart() -> None:
    store = MemoryStore()
    before = Site(store)
    async with watching(before):
        await asyncio.sleep(FIRST_AFTER + 1)
    after = Site(store)
    after.fences.plans.pop("compute-2")
    after.readiness = FenceReadiness(after.situation, after.fences, CLOCK, every=EVERY)
    after.readiness.start(await after.situation.load())
    (kept,) = after.readiness.checks
    assert kept == before.readiness.checks[0]
    assert kept.checked is not None
    again = Site(store)
    again.readiness.start(await again.situation.load())
    assert [one.readiness for one in again.readiness.checks] == [Readiness.READY, Readiness.UNCHECKED]


@pytest.mark.looptime
async def test_a_host_is_found_by_its_alias_and_a_stranger_is_not() -> None:
    site = Site()
    await site.situation.load()
    assert (await site.readiness.check("c1")).host == "compute-1"
    with pytest.raises(RejectedError) as refused:
        await site.readiness.check("compute-9")
    assert refused.value.reason is Reason.NOT_FOUND


@pytest.mark.looptime
async def test_a_driver_with_a_defect_ends_no_check_but_its_own() -> None:
    site = Site()

    async def break_down(*_: object, **__: object) -> None:
        raise RuntimeError("a defect")

    site.devices["bmc-1"].status = break_down  # type: ignore[assignment, method-assign]
    async with watching(site) as told:
        await asyncio.sleep(FIRST_AFTER + 1)
        assert [said(event)[0] for event in told] == ["compute-2"]
