"""A cloud in memory: a map that changes, states that can be set, and as many bad days as a test wants."""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from doctor.model.errors import DoctorError, Reason, RejectedError, TransientError
from doctor.model.instruction import Action, Command, Progress, Stage
from doctor.model.map_news import MapDelta, MapNews, MapStatus, Phase
from doctor.model.marking import HEALTHY, Mark, Standing
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Tell


class FakeCloud:
    """A controller whose cloud is this object. ``log`` has what was asked of it, in order.

    ``told`` are the commands that it has taken, ``takes`` is how many seconds each needs to be done, ``cannot`` which
    actions come to nothing, ``full`` the hosts on which machines do not arrive, ``closed`` those that are refused for them,
    ``answers_lost`` how many of the next commands are taken without an answer. It moves machines to any other of its hosts;
    a cold migration halts until it is told again.
    """

    def __init__(self, name: str = "cloud", content: MapDelta | None = None) -> None:
        self.name = name
        self.standings: dict[Mark, Standing] = {}
        self.log: list[tuple[str, Mark]] = []
        self.delay = 0.0
        self.slow: dict[Mark, float] = {}  # marks that take so many seconds
        self.failure: DoctorError | None = None
        self.fails_after_writing = False
        self.told: list[Command] = []
        self.takes = 0.0
        self.answers_lost = 0
        self.cannot: set[Action] = set()
        self.full: set[str] = set()
        self.moved_by_others: dict[str, Sequence[str]] = {}
        self.closed: set[str] = set()
        self._done: dict[str, list[tuple[Action, Stage]]] = {}
        self._map = ResourceMap()
        self._news: asyncio.Queue[MapNews] = asyncio.Queue()
        self._failures: defaultdict[Mark, list[DoctorError]] = defaultdict(list)
        if content is not None:
            self.say(content)
            self.say(MapStatus(phase=Phase.CURRENT, listening=True))

    def say(self, news: MapNews) -> None:
        """Let the cloud change, or say something of itself."""
        if isinstance(news, MapDelta):
            self._map.apply(news)
        self._news.put_nowait(news)

    @property
    def content(self) -> MapDelta:
        """Return all that there is."""
        return MapDelta(
            physical=tuple(self._map.physical.values()), virtual=tuple(self._map.virtual.values())
        )

    def fail(self, mark: Mark, *errors: DoctorError) -> None:
        """Let what is asked of this mark fail, each time with the next of the errors."""
        self._failures[mark] += errors

    async def watch(self, known: ResourceMap, tell: Tell) -> None:
        """Tell what was said."""
        while True:
            await tell(await self._news.get())

    async def read(self, mark: Mark) -> Standing:
        """Return how it is."""
        await self._meet("read", mark)
        if self._map.get(mark.resource_id) is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        return self.standings.get(mark) or Standing(HEALTHY[mark.kind])

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it."""
        if self.fails_after_writing:
            self.standings[mark] = standing
        await self._meet("write", mark)
        if self._map.get(mark.resource_id) is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        self.standings[mark] = standing

    async def look(self, command: Command) -> Progress:
        """Return how far it got."""
        await self._face()
        done = self._done.get(command.resource_id, [])
        seen = str(len(done))
        if self._map.get(command.resource_id) is None:
            if command.action is Action.TERMINATE:
                return Progress(Stage.SUCCEEDED, seen)
            raise RejectedError(f"there is no {command.resource_id}", reason=Reason.NOT_FOUND)
        since = len(done) if command.since is None else int(command.since)
        found = [stage for action, stage in done[since:] if action is command.action]
        return Progress(found[-1] if found else Stage.UNTOUCHED, seen)

    async def tell(self, command: Command) -> None:
        """Take it, and do it in its time."""
        await self._face()
        if command.target in self.closed:
            raise RejectedError(f"{command.target} is disabled")
        self._take(command)
        if self.answers_lost:
            self.answers_lost -= 1
            raise TransientError("no answer")

    def _take(self, command: Command) -> None:
        if self._map.get(command.resource_id) is None:
            raise RejectedError(f"there is no {command.resource_id}", reason=Reason.NOT_FOUND)
        done = self._done.setdefault(command.resource_id, [])
        if done and done[-1][1] is Stage.RUNNING:
            raise RejectedError(f"{command.resource_id} is busy", reason=Reason.CONFLICT)
        self.told.append(command)
        is_end = bool(done) and done[-1] == (command.action, Stage.HALTED)
        done.append((command.action, Stage.RUNNING))
        if self.takes:
            self._later(self.takes, self._end, command, is_end)
        else:
            self._end(command, is_end)

    def _later(self, seconds: float, action: Callable[..., None], *parts: Any) -> None:
        """Do something after a while."""
        asyncio.get_running_loop().call_later(seconds, action, *parts)

    def _end(self, command: Command, is_end: bool) -> None:
        stage = Stage.SUCCEEDED
        if command.action in self.cannot or command.target in self.full:
            stage = Stage.FAILED
        elif command.action is Action.MIGRATE and not is_end:
            stage = Stage.HALTED
        else:
            self._change(command)
        self._done[command.resource_id][-1] = (command.action, stage)

    def _change(self, command: Command) -> None:
        machine = self._map.virtual[command.resource_id]
        match command.action:
            case Action.EVACUATE | Action.MIGRATE | Action.LIVE_MIGRATE:
                others = [one.id for one in self._map.hosts() if one.id != machine.host]
                there = command.target or others[0]
                self.say(MapDelta(virtual=(replace(machine, host=there, vim_state="active"),)))
            case Action.STOP:
                self.say(MapDelta(virtual=(replace(machine, vim_state="stopped"),)))
            case Action.START | Action.REBOOT | Action.REBUILD:
                self.say(MapDelta(virtual=(replace(machine, vim_state="active"),)))
            case Action.TERMINATE:
                self.say(MapDelta(gone=(machine.id,)))
            case Action.UPDATE:
                name = command.parameters.get("name", machine.name)
                self.say(MapDelta(virtual=(replace(machine, name=name),)))
            case Action.LEAVE | Action.SWITCHED_OVER | Action.REPAIR:
                raise LookupError(f"{command.action} is nothing for a controller")

    async def leaving(self, host: str) -> Sequence[str]:
        """Return what somebody else is moving away."""
        await self._face()
        return self.moved_by_others.get(host, ())

    async def close(self) -> None:
        """Do nothing."""

    async def _meet(self, verb: str, mark: Mark) -> None:
        self.log.append((verb, mark))
        await self._face(mark)

    async def _face(self, mark: Mark | None = None) -> None:
        """Have the bad day that a test wants."""
        delay = self.delay if mark is None else self.slow.get(mark, self.delay)
        if delay:
            await asyncio.sleep(delay)
        if mark is not None and self._failures[mark]:
            raise self._failures[mark].pop(0)
        if self.failure is not None:
            raise self.failure
