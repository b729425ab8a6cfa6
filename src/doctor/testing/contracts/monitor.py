"""What every monitor must do. A driver's tests inherit the suite and say how its source is made to speak::

class TestMyMonitor(MonitorContract):
    @pytest.fixture
    def rig(self) -> Iterator[MonitorRig]:
        ...

The source should be a real one, or at least answer as the real one does. Tests use the real time.
"""

import asyncio
import time
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import aclosing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Self

import msgspec
import pytest

from doctor.model.event import UP, RawEvent
from doctor.model.resource import HOST, PhysicalResource
from doctor.ports.monitor import Monitor, Said
from doctor.ports.payload import Alive, Listing, Saying

CLOSED_WITHIN = 1.0  # seconds
MOST_DETAILS = 16 * 1024  # bytes
LONGEST_NAME = 255


class FixedTargets:
    """Hosts to watch, which do not change."""

    version = 1

    def __init__(self, hosts: Sequence[PhysicalResource] = ()) -> None:
        self._hosts = hosts

    def hosts(self) -> Sequence[PhysicalResource]:
        """Return the hosts."""
        return [one for one in self._hosts if one.type == HOST]

    def resources(self) -> Sequence[PhysicalResource]:
        """Return all that there is."""
        return self._hosts


class MonitorRig(ABC):
    """A monitor, and something that can be made wrong where it looks."""

    monitor: Monitor
    targets: FixedTargets = FixedTargets()
    settings: Mapping[str, Any] = {}  # with which `make` makes it
    patience: float = 10.0  # seconds in which a change is seen, on a busy machine
    flood: int = 500  # how much can be wrong at once; where there is less to watch, less

    @abstractmethod
    def make(self, settings: Mapping[str, Any]) -> Monitor:
        """Make a monitor by settings, as the entry point does."""

    @abstractmethod
    def put_wrong(self, number: int) -> None:
        """Let exactly so many things be wrong from now on: the first so many, always the same ones."""


class AskedRig(MonitorRig):
    """The same of a monitor that asks a source, which may be away."""

    @abstractmethod
    def vanish(self) -> None:
        """Let the source answer no more."""

    @abstractmethod
    def appear(self) -> None:
        """Let it be back, with all that is wrong there by now."""


Key = tuple[str, str, str]


class Watching:
    """A run of a monitor, read into what is wrong by it."""

    def __init__(self, rig: MonitorRig) -> None:
        self._rig = rig
        self._reading: asyncio.Task[None] | None = None
        self._is_awake = asyncio.Event()
        self._is_awake.set()
        self._wrong: dict[str, dict[Key, RawEvent]] = {}  # by the list that it is in; "" is none
        self.events: list[RawEvent] = []

    @property
    def wrong(self) -> dict[Key, RawEvent]:
        """What is wrong, by type, resource and id."""
        return {key: event for wrong in self._wrong.values() for key, event in wrong.items()}

    async def __aenter__(self) -> Self:
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *details: object) -> None:
        assert self._reading is not None
        self._reading.cancel()
        await asyncio.wait([self._reading])

    async def _read(self) -> None:
        async with aclosing(self._rig.monitor.watch(self._rig.targets)) as says:
            async for said in says:
                await self._is_awake.wait()
                self._take(said)

    def _take(self, said: Said) -> None:
        listing = said.kind if isinstance(said, Listing | Saying) else ""
        if isinstance(said, Listing):
            kept = {_key(one.event) for one in said.kept if not isinstance(one, Alive)}
            before = self._wrong.get(listing, {})
            self._wrong[listing] = {
                key: one for key, one in before.items() if key in kept or not key[2].startswith(said.within)
            }
        if isinstance(said, Listing | Saying):
            events = [one.event for one in said.readings if not isinstance(one, Alive)]
        else:
            events = [said]
        wrong = self._wrong.setdefault(listing, {})
        for event in events:
            self.events.append(event)
            key = _key(event)
            if event.status == UP:
                wrong.pop(key, None)
            else:
                wrong[key] = event

    async def until(self, number: int, seconds: float | None = None) -> None:
        """Wait until so many things are wrong.

        Raises:
            AssertionError: it did not come to that.
        """
        assert self._reading is not None
        end = time.monotonic() + (self._rig.patience if seconds is None else seconds)
        while len(self.wrong) != number:
            assert not self._reading.done(), "the monitor has ended by itself"
            assert time.monotonic() < end, f"{len(self.wrong)} things are wrong, and not {number}"
            await asyncio.sleep(0.01)

    async def sleep(self, seconds: float) -> None:
        """Take nothing for a while."""
        self._is_awake.clear()
        await asyncio.sleep(seconds)
        self._is_awake.set()


def _key(event: RawEvent) -> Key:
    return event.type, event.resource, event.monitor_event_id


def open_files() -> set[str]:
    """Return what sockets and pipes this process has."""
    found = set()
    for file in Path("/proc/self/fd").iterdir():
        with suppress(OSError):
            found.add(str(file.readlink()))
    return {one for one in found if one.startswith(("socket:", "pipe:"))}


class MonitorContract:
    """The suite. A subclass has the fixture ``rig``."""

    async def test_what_it_says_can_be_kept(self, rig: MonitorRig) -> None:
        """Times are in UTC and of now, names can be printed, details are an object that is not too large."""
        async with Watching(rig) as watching:
            rig.put_wrong(1)
            await watching.until(1)
        assert rig.monitor.name
        for event in watching.events:
            assert event.time.tzinfo is UTC
            assert abs(datetime.now(UTC) - event.time) < timedelta(days=1)
            names = (event.type, event.resource, event.source, event.status, event.monitor_event_id)
            assert all(len(name) <= LONGEST_NAME and name.isprintable() for name in names), event
            assert event.type
            assert event.source
            assert len(event.raw_details) <= MOST_DETAILS
            assert isinstance(msgspec.json.decode(event.raw_details), dict)

    async def test_what_is_wrong_is_told_and_its_end_is(self, rig: MonitorRig) -> None:
        """By the same type, resource and id, as often as it happens."""
        async with Watching(rig) as watching:
            for number in (1, 0, 1):
                rig.put_wrong(number)
                await watching.until(number)

    async def test_what_was_wrong_before_it_began_is_told(self, rig: MonitorRig) -> None:
        """A Doctor that starts in the middle of it all has to know; also the second time."""
        rig.put_wrong(1)
        for _ in range(2):
            async with Watching(rig) as watching:
                await watching.until(1)

    async def test_a_flood_is_told_to_the_last(self, rig: MonitorRig) -> None:
        """Also if nobody takes it for a while."""
        async with Watching(rig) as watching:
            rig.put_wrong(1)
            await watching.until(1)
            rig.put_wrong(rig.flood)
            await watching.sleep(1.0)
            await watching.until(rig.flood, 3 * rig.patience)
            rig.put_wrong(0)
            await watching.until(0, 3 * rig.patience)

    async def test_it_ends_at_once_and_leaves_nothing(self, rig: MonitorRig) -> None:
        """No task and no socket."""
        await self._ends_at_once(rig)

    async def _ends_at_once(self, rig: MonitorRig) -> None:
        files, tasks = open_files(), asyncio.all_tasks()
        async with Watching(rig):
            await asyncio.sleep(0.3)
            began = time.monotonic()
        assert time.monotonic() - began < CLOSED_WITHIN
        assert asyncio.all_tasks() == tasks
        end = time.monotonic() + rig.patience
        while not open_files() <= files:  # a thread may need its time to see that it is not wanted any more
            assert time.monotonic() < end, open_files() - files
            await asyncio.sleep(0.1)

    def test_wrong_settings_are_told_with_the_place(self, rig: MonitorRig) -> None:
        """As ValueError, which names the setting."""
        assert rig.make(rig.settings).name
        with pytest.raises(ValueError, match="no_such_setting"):
            rig.make({**rig.settings, "no_such_setting": 1})


class AskingContract(MonitorContract):
    """The suite of a monitor that asks a source. A subclass has the fixture ``rig``."""

    async def test_that_its_source_is_away_is_the_end_of_nothing(self, rig: AskedRig) -> None:
        """What has happened meanwhile is told when it is back."""
        async with Watching(rig) as watching:
            rig.put_wrong(2)
            await watching.until(2)
            rig.vanish()
            rig.put_wrong(1)
            with pytest.raises(AssertionError, match="2 things are wrong"):
                await watching.until(1, 1.5)
            rig.appear()
            await watching.until(1, 2 * rig.patience)

    async def test_it_begins_while_its_source_is_away(self, rig: AskedRig) -> None:
        """Who starts first does not matter."""
        rig.vanish()
        rig.put_wrong(1)
        async with Watching(rig) as watching:
            await asyncio.sleep(0.5)
            rig.appear()
            await watching.until(1, 2 * rig.patience)

    async def test_it_ends_at_once_while_its_source_is_away(self, rig: AskedRig) -> None:
        """A shutdown waits for nobody."""
        rig.vanish()
        await self._ends_at_once(rig)
        rig.appear()
