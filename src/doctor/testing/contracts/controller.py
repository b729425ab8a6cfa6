"""What every controller must do. A driver's tests inherit the suite and bring a cloud with things in it::

class TestMyController(ControllerContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[ControllerRig]:
        ...
"""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from doctor.model.errors import Reason, RejectedError
from doctor.model.event import RawEvent
from doctor.model.map_news import MapDelta, MapNews, MapStatus, Phase
from doctor.model.marking import HEALTHY, MARKED, Mark, MarkKind, Standing
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Controller

PATIENCE = 60.0  # seconds: a real cloud may be busy
NOWHERE = "00000000-0000-0000-0000-000000000000"


class ControllerRig(ABC):
    """A controller with a host that has a server, and what there is to mark of them.

    ``known`` is the map that Doctor has already: all of it where the map is loaded by hand.
    """

    controller: Controller
    known: ResourceMap

    @abstractmethod
    def markable(self) -> dict[MarkKind, str]:
        """Return a resource for each kind of mark that this controller knows; all of them are well."""

    @abstractmethod
    async def begin(self) -> None:
        """Wait until the controller can be asked, in the middle of `watch`."""


class Told:
    """What a controller has told, put together."""

    def __init__(self, known: ResourceMap) -> None:
        self.resources = known
        self.status: MapStatus | None = None
        self.is_current = asyncio.Event()
        self.dangling: list[str] = []
        self.events: list[RawEvent] = []

    async def take(self, news: MapNews) -> None:
        """Take in a piece, and see that what it stands on is known."""
        match news:
            case MapDelta():
                self.resources.apply(news)
                self.dangling += [
                    one.id for one in news.virtual if one.host and one.host not in self.resources.physical
                ]
            case MapStatus():
                self.status = news
                if news.phase is Phase.CURRENT:
                    self.is_current.set()
            case RawEvent():
                self.events.append(news)


@asynccontextmanager
async def watching(rig: ControllerRig) -> AsyncIterator[Told]:
    """Watch a controller for a while."""
    told = Told(rig.known)
    watch = asyncio.create_task(rig.controller.watch(rig.known, told.take))
    begin = asyncio.create_task(rig.begin())
    try:
        await asyncio.wait({watch, begin}, timeout=PATIENCE, return_when=asyncio.FIRST_COMPLETED)
        if watch.done():
            await watch  # it has failed
        assert begin.done(), f"nothing after {PATIENCE} s: {told.status}"
        yield told
    finally:
        for task in (watch, begin):
            task.cancel()
        await asyncio.gather(watch, begin, return_exceptions=True)


class ControllerContract:
    """The promises of `doctor.ports.controller`."""

    async def test_it_knows_what_can_be_marked_and_who_owns_it(self, rig: ControllerRig) -> None:
        """Every thing has an owner."""
        async with watching(rig) as told:
            for resource_id in rig.markable().values():
                assert told.resources.get(resource_id) is not None
            assert all(one.owner for one in told.resources.virtual.values())

    async def test_what_a_thing_stands_on_is_told_before_it(self, rig: ControllerRig) -> None:
        """A server comes after its host."""
        async with watching(rig) as told:
            assert told.dangling == []

    async def test_a_mark_is_read_as_it_was_written(self, rig: ControllerRig) -> None:
        """There and back."""
        async with watching(rig):
            for kind, resource_id in rig.markable().items():
                mark = Mark(kind, resource_id)
                before = await rig.controller.read(mark)
                assert before.state == HEALTHY[kind]
                await rig.controller.write(mark, Standing(MARKED[kind], "doctor: a test"))
                assert (await rig.controller.read(mark)).state == MARKED[kind]
                await rig.controller.write(mark, before)
                assert (await rig.controller.read(mark)).state == before.state

    async def test_the_same_twice_is_the_same_as_once(self, rig: ControllerRig) -> None:
        """A repeat after a crash harms nothing."""
        async with watching(rig):
            for kind, resource_id in rig.markable().items():
                mark = Mark(kind, resource_id)
                before = await rig.controller.read(mark)
                for standing in (Standing(MARKED[kind], "doctor: a test"), before):
                    await rig.controller.write(mark, standing)
                    await rig.controller.write(mark, standing)
                    assert (await rig.controller.read(mark)).state == standing.state

    async def test_the_reason_of_a_disabled_host_can_be_read(self, rig: ControllerRig) -> None:
        """By it a mark is known as ours."""
        async with watching(rig):
            host = rig.markable().get(MarkKind.DISABLED)
            if host is not None:
                mark = Mark(MarkKind.DISABLED, host)
                await rig.controller.write(mark, Standing("disabled", "doctor: a test"))
                assert await rig.controller.read(mark) == Standing("disabled", "doctor: a test")
                await rig.controller.write(mark, Standing("enabled"))
                assert await rig.controller.read(mark) == Standing("enabled")

    async def test_what_is_not_there_is_said_to_be_missing(self, rig: ControllerRig) -> None:
        """A server may be deleted at any time."""
        async with watching(rig):
            for kind in rig.markable():
                for ask in (
                    rig.controller.read(Mark(kind, NOWHERE)),
                    rig.controller.write(Mark(kind, NOWHERE), Standing(MARKED[kind])),
                ):
                    with pytest.raises(RejectedError) as refused:
                        await ask
                    assert refused.value.reason is Reason.NOT_FOUND
