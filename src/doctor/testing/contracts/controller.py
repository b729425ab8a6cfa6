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
from doctor.model.instruction import Action, Command, Progress, Stage
from doctor.model.map_news import MapDelta, MapNews, MapStatus, Phase
from doctor.model.marking import HEALTHY, MARKED, Mark, MarkKind, Standing
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Controller

PATIENCE = 60.0  # seconds: a real cloud may be busy
LONGEST_PAUSE = 0.5  # between two questions, which keep it busy
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
    def commandable(self) -> dict[Action, str]:
        """Return a machine for each action that can be tried: on a host that works, with another one beside it."""

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

    async def is_elsewhere(self, resource_id: str, before: str | None) -> None:
        """Wait until a machine is told to be on another host."""
        async with asyncio.timeout(PATIENCE):
            while self.resources.virtual[resource_id].host == before:  # noqa: ASYNC110 - a map has no bell
                await asyncio.sleep(0.05)


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


MOVES = (Action.EVACUATE, Action.MIGRATE, Action.LIVE_MIGRATE)


async def carry_out(controller: Controller, command: Command) -> Progress:
    """Give a command as the flow of instructions does: ask first, tell, ask until it is over."""
    pause = 0.01
    async with asyncio.timeout(PATIENCE):
        command = command._replace(since=(await controller.look(command)).seen)
        while True:
            progress = await controller.look(command)
            if progress.stage in (Stage.SUCCEEDED, Stage.FAILED):
                return progress
            if progress.stage in (Stage.UNTOUCHED, Stage.HALTED):
                await controller.tell(command)
            await asyncio.sleep(pause)
            pause = min(2 * pause, LONGEST_PAUSE)


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

    async def test_what_is_commanded_is_done(self, rig: ControllerRig) -> None:
        """And what was moved is on another host then."""
        async with watching(rig) as told:
            for action, resource_id in rig.commandable().items():
                before = told.resources.virtual[resource_id].host
                progress = await carry_out(rig.controller, Command(action, resource_id, before, {}))
                assert progress.stage is Stage.SUCCEEDED, f"{action}: {progress.detail}"
                if action in MOVES:
                    await told.is_elsewhere(resource_id, before)

    async def test_to_look_does_nothing(self, rig: ControllerRig) -> None:
        """Before the first command, what was ever done to a machine is none of it."""
        async with watching(rig) as told:
            for action, resource_id in rig.commandable().items():
                host = told.resources.virtual[resource_id].host
                first = await rig.controller.look(Command(action, resource_id, host, {}))
                assert first.stage is Stage.UNTOUCHED
                assert await rig.controller.look(Command(action, resource_id, host, {})) == first

    async def test_the_same_command_later_is_another_one(self, rig: ControllerRig) -> None:
        """What a machine went through before does not count."""
        async with watching(rig) as told:
            resource_id = rig.commandable().get(Action.REBOOT)
            if resource_id is not None:
                command = Command(Action.REBOOT, resource_id, told.resources.virtual[resource_id].host, {})
                assert (await carry_out(rig.controller, command)).stage is Stage.SUCCEEDED
                again = command._replace(since=(await rig.controller.look(command)).seen)
                assert (await rig.controller.look(again)).stage is Stage.UNTOUCHED
                assert (await carry_out(rig.controller, command)).stage is Stage.SUCCEEDED

    async def test_a_machine_that_is_gone_is_terminated_and_nothing_else(self, rig: ControllerRig) -> None:
        """Whatever else is asked for cannot be done to it any more."""
        async with watching(rig):
            gone = Command(Action.TERMINATE, NOWHERE, None, {}, since="")
            assert (await rig.controller.look(gone)).stage is Stage.SUCCEEDED
            for ask in (rig.controller.look, rig.controller.tell):
                with pytest.raises(RejectedError) as refused:
                    await ask(gone._replace(action=Action.REBOOT))
                assert refused.value.reason is Reason.NOT_FOUND
