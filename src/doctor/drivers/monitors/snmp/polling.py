"""Asks devices how they are, again and again, and sooner when a trap says that much may have changed.

What traps have lost is found by that, and what anybody can have said in a trap is put right. A device that does not answer is
a fact of its own, and the end of nothing.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import structlog

from doctor.drivers.monitors.snmp.client import Client, Target, Unanswered
from doctor.drivers.monitors.snmp.devices import Devices
from doctor.drivers.monitors.snmp.facts import (
    IF_NAME,
    KIND,
    LINK_DOWN,
    PORT,
    PORT_DOWN,
    READING,
    SILENCE,
    Device,
    Origin,
    PortNames,
    mark_of,
    port_fact,
    silence_fact,
    wrong_fact,
)
from doctor.drivers.monitors.snmp.looks import (
    IF_DESCR,
    PORT_COLUMNS,
    SENSOR_COLUMNS,
    Ports,
    Wrong,
    beyond,
    columns_of,
    ports_of,
    wrong_in,
)
from doctor.drivers.monitors.snmp.mapping import Meanings, TableRule
from doctor.drivers.monitors.snmp.settings import PollSettings, SnmpSettings
from doctor.kit.clock import Clock
from doctor.kit.pattern import pattern
from doctor.kit.secret import Secret
from doctor.model.event import DOWN
from doctor.model.resource import HOST
from doctor.ports.payload import Listing, Stated, Told

AT_ONCE = 32  # devices
LEAST_BETWEEN = 1.0  # seconds, of the same device, however many traps it sends
LOOK_FOR_TABLES_EVERY = 3600.0  # seconds: a device seldom grows new ones
V2C_NAME, V3_NAME = "v2c", "v3 authPriv"

log = structlog.get_logger()


class Way(NamedTuple):
    """How the devices of one entry of the settings are asked."""

    settings: PollSettings
    community: Secret | None

    def takes(self, device: Device) -> bool:
        """Tell whether it is for this device. Of hosts few speak SNMP: they have to be named."""
        only = self.settings.only
        return any(pattern(one)(device.id) for one in only) if only else device.type != HOST


class Course:
    """How it goes with one device."""

    def __init__(self, device: Device, target: Target, way: Way) -> None:
        self.device = device
        self.target = target
        self.way = way
        self.wake = asyncio.Event()
        self.misses = 0
        self.tables: list[TableRule] | None = None
        self.has_sensors = False
        self.looked_for_tables = 0.0
        self.said: dict[str, Stated] = {}  # what stands as it was said first: said again it is no news


class Poller:
    """Asks all devices that the settings name. ``give`` takes what comes out."""

    def __init__(
        self,
        settings: SnmpSettings,
        communities: Sequence[Secret | None],
        meanings: Meanings,
        client: Client,
        names: PortNames,
        clock: Clock,
        give: Callable[[Listing], None],
    ) -> None:
        self._name = settings.name
        self._hints = settings.hints
        self._ways = [Way(*one) for one in zip(settings.poll, communities, strict=True)]
        self._meanings = meanings
        self._client = client
        self._names = names
        self._clock = clock
        self._give = give
        link = meanings.traps.find(LINK_DOWN)
        self._port_down = link.type if link is not None and link.type else PORT_DOWN
        self._ports = Ports()
        self._mapped: frozenset[str] = frozenset()
        self._courses: dict[str, Course] = {}
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._turns = asyncio.Semaphore(AT_ONCE)

    def load(self, devices: Devices, mapped: Iterable[str]) -> None:
        """Take what there is to ask now, and the names that the map has."""
        self._mapped = frozenset(mapped)
        wanted: dict[str, Course] = {}
        for device in devices:
            way = next((one for one in self._ways if one.takes(device)), None)
            address = devices.address_of(device.id)
            if way is None or address is None:
                continue
            given = way.settings
            target = Target(
                device.id, address, given.port, given.user, way.community, given.timeout.total_seconds()
            )
            known = self._courses.get(device.id)
            is_same = known is not None and (known.device, known.target) == (device, target)
            wanted[device.id] = known if known is not None and is_same else Course(device, target, way)
        for name, course in self._courses.items():
            if wanted.get(name) is not course:
                self._tasks.pop(name).cancel()
        self._courses = wanted
        self._client.keep(wanted)
        self._ports.keep(wanted)
        for name, course in wanted.items():
            if name not in self._tasks:
                self._tasks[name] = asyncio.create_task(self._run(course), name=f"snmp {name}")

    def soon(self, device: str, mark: str = "") -> None:
        """Ask a device soon: of what has this id somebody has said something that may not be true."""
        course = self._courses.get(device)
        if course is not None:
            course.said.pop(mark, None)
            course.wake.set()

    def all_soon(self) -> None:
        """Ask all devices soon: something was lost."""
        for course in self._courses.values():
            course.wake.set()

    async def stop(self) -> None:
        """Ask nobody any more."""
        tasks = list(self._tasks.values())
        self._tasks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _run(self, course: Course) -> None:
        every = course.way.settings.every.total_seconds()
        while True:
            began = self._clock.monotonic()
            course.wake.clear()
            async with self._turns:
                await self._turn(course)
            wait = max(began + every * random.uniform(0.9, 1.0) - self._clock.monotonic(), 0.0)
            try:
                async with asyncio.timeout(wait):
                    await asyncio.sleep(min(LEAST_BETWEEN, wait))
                    await course.wake.wait()
            except TimeoutError:
                pass

    async def _turn(self, course: Course) -> None:
        """Ask a device once, and give what came out."""
        asked = self._clock.now()
        try:
            listings = await self._look(course, asked)
        except Unanswered as why:
            self._missed(course, asked, str(why))
        except Exception:
            if not course.misses:
                log.exception("snmp.poll_failed", device=course.device.id)
            self._missed(course, asked, "its answers are not understood")  # of one device, and none other
        else:
            course.misses = 0
            self._say(course, asked, {SILENCE: [], **listings[0]}, listings[1])

    def _missed(self, course: Course, asked: datetime, why: str) -> None:
        course.misses += 1
        course.tables = None
        if course.misses == course.way.settings.misses:
            log.warning("snmp.unanswered", device=course.device.id, error=why)
            self._say(course, asked, {SILENCE: [silence_fact(self._origin(course, asked), why)]}, {})

    def _origin(self, course: Course, asked: datetime) -> Origin:
        is_signed = course.target.user is not None
        source = self._name if is_signed else self._hints
        return Origin(course.device, source, V3_NAME if is_signed else V2C_NAME, asked)

    async def _look(
        self, course: Course, asked: datetime
    ) -> tuple[dict[str, list[Stated]], dict[str, list[Stated]]]:
        """Return what stands by all that can be asked for, by key; and what is kept."""
        origin = self._origin(course, asked)
        device = course.device.id
        walked = await self._client.walk(course.target, PORT_COLUMNS)
        if walked[PORT_COLUMNS[1]] and not walked[IF_NAME]:
            walked |= await self._client.walk(course.target, [IF_DESCR])
        ports = ports_of(walked)
        self._names.learn(device, {port.number: port.name for port in ports})
        down, others = self._ports.look(device, ports, self._mapped)
        found: dict[str, list[Stated]] = {}
        kept: dict[str, list[Stated]] = {}
        if ports:
            found[PORT] = [
                port_fact(origin, name, DOWN, cause, {}, kind=self._port_down) for name, cause in down.items()
            ]
            kept[PORT] = [port_fact(origin, name, DOWN, "", {}, kind=self._port_down) for name in others]
        await self._look_for_tables(course)
        assert course.tables is not None
        for table in course.tables:
            rows = await self._client.walk(course.target, columns_of(table))
            if rows[table.column]:
                found[table.key] = [*found.get(table.key, []), *self._facts(origin, wrong_in(table, rows))]
        if course.has_sensors:
            rows = await self._client.walk(course.target, SENSOR_COLUMNS)
            found[READING] = self._facts(origin, beyond(self._meanings.limits, rows))
        return found, kept

    async def _look_for_tables(self, course: Course) -> None:
        """Find out which tables a device has, once in a while."""
        now = self._clock.monotonic()
        if course.tables is not None and now - course.looked_for_tables < LOOK_FOR_TABLES_EVERY:
            return
        course.looked_for_tables = now
        found = []
        for table in self._meanings.tables:
            rows = await self._client.walk(course.target, [table.column])
            if rows[table.column]:
                found.append(table)
        course.tables = found
        if self._meanings.limits:
            sensors = await self._client.walk(course.target, [SENSOR_COLUMNS[0]])
            course.has_sensors = any(sensors.values())

    @staticmethod
    def _facts(origin: Origin, wrong: Iterable[Wrong]) -> list[Stated]:
        return [
            wrong_fact(
                origin,
                one.type,
                mark_of(one.key, one.part),
                one.status,
                one.cause,
                severity=one.severity,
                part=one.part,
            )
            for one in wrong
        ]

    def _say(
        self,
        course: Course,
        asked: datetime,
        found: Mapping[str, Sequence[Stated]],
        kept: Mapping[str, Sequence[Stated]],
    ) -> None:
        """Give what stands by each key, and to what traps had said the end of what does not."""
        said: dict[str, Stated] = {}
        source = self._origin(course, asked).source
        for key, facts in found.items():
            stated = [self._as_before(course, one) for one in facts]
            said |= {one.event.monitor_event_id: one for one in stated}
            others = kept.get(key, ())
            within = f"{course.device.id} {mark_of(key)}"
            self._give(Listing(KIND, Told(source, asked), stated, others, within))
            if source != self._hints and key != SILENCE:
                self._give(Listing(KIND, Told(self._hints, asked), (), (*stated, *others), within))
        course.said = {
            mark: one for mark, one in course.said.items() if not _is_of(mark, course, found)
        } | said

    @staticmethod
    def _as_before(course: Course, one: Stated) -> Stated:
        before = course.said.get(one.event.monitor_event_id)
        if before is None or (before.event.status, before.event.severity, before.event.type) != (
            one.event.status,
            one.event.severity,
            one.event.type,
        ):
            return one
        return before


def _is_of(mark: str, course: Course, keys: Iterable[str]) -> bool:
    return any(mark.startswith(f"{course.device.id} {mark_of(key)}") for key in keys)
