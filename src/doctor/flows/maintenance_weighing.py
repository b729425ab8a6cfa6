"""Weighs what emptying hosts would come to: what is against it, what room is missing, who goes first, the whole plan.

It only reads. For a thousand hosts it takes a while, and faults have to be told meanwhile: so it goes on in pieces, and what
is pure reckoning is done in a thread.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple, ParamSpec, TypeVar

from doctor.flows.maintenance_session import SessionKeeper
from doctor.flows.placement import rooms_of
from doctor.flows.situation import Situation
from doctor.maintenance.calendar import away_meanwhile, span_of
from doctor.maintenance.guard import Standing, objections
from doctor.maintenance.plan import Guests, Plan, plan
from doctor.maintenance.room import Load, Shortage, prepared, shortage
from doctor.model.fault import ResourceState
from doctor.model.maintenance import HostStage, MaintenanceLimits, Session
from doctor.model.resource import PhysicalResource, Vnf, vnf_of
from doctor.profiler.availability import Levels, strictest
from doctor.recovery.turns import Room

CHUNK = 20  # hosts that are looked at before anybody else has a turn
CHUNK_OF_VNFS = 200
FEW = 500  # machines: for fewer a thread is not worth it

P = ParamSpec("P")
T = TypeVar("T")


class Weighed(NamedTuple):
    """What is known of a request. ``loads`` are in the order in which hosts go; ``first`` are those that go before the others
    so that machines move once. ``others`` are the hosts that serve meanwhile.
    """

    loads: Sequence[Load]
    first: tuple[str, ...]
    others: Sequence[Room]
    against: list[str]
    short: Shortage | None

    @property
    def hosts(self) -> tuple[str, ...]:
        """Return the hosts in the order in which they go."""
        return tuple(load.host.id for load in self.loads)

    @property
    def is_large(self) -> bool:
        """Tell whether it takes long to reckon with it."""
        return sum(len(load.machines) for load in self.loads) >= FEW


class Weighing:
    """Weighs sessions."""

    def __init__(
        self, situation: Situation, keeper: SessionKeeper, limits: MaintenanceLimits, levels: Levels
    ) -> None:
        self._situation = situation
        self._keeper = keeper
        self._limits = limits
        self._levels = levels

    async def weigh(
        self,
        session: Session,
        hosts: Iterable[PhysicalResource],
        now: datetime,
        *,
        asks_for_room: bool = False,
    ) -> Weighed:
        """Weigh a session that is not one yet."""
        situation = self._situation
        meanwhile = self._away_meanwhile(session, now)
        rooms = {one.host: one for one in rooms_of(situation, ())}
        loads = await self._loads(hosts, rooms)
        chosen = {load.host.id for load in loads}
        others = [one for one in rooms.values() if one.host not in chosen and one.host not in meanwhile]
        all_hosts = list(situation.resources.hosts())
        serving = {one.host for one in others} | chosen
        weighed = Weighed(loads, (), others, [], None)
        standings = await self._standings(loads)
        against = await _reckoned(
            weighed,
            objections,
            loads,
            others,
            Counter(one.zone_id for one in all_hosts if one.id in serving),
            Counter(one.zone_id for one in all_hosts),
            standings,
            session.at_once,
            self._limits,
            asks_for_room=asks_for_room,
        )
        if against and meanwhile:
            counted = Counter(meanwhile.values())
            against += [
                f"at the same time as session {one}, with {count} hosts" for one, count in counted.items()
            ]
        short = await _reckoned(weighed, shortage, loads, others, session.at_once)
        first = await _reckoned(weighed, prepared, loads, others, session.at_once)
        ids = {load.host.id for load in first}
        order = [*first, *(load for load in loads if load.host.id not in ids)]
        return Weighed(order, tuple(load.host.id for load in first), others, against, short)

    async def plan(self, weighed: Weighed, at_once: int | None) -> Plan:
        """Return what it would come to, machine by machine."""
        guests = []
        for load in weighed.loads:
            left = load.left or Room(load.host.id, load.host.zone_id, 0, 0)
            vcpus, memory_mb = self._situation.resources.taken_on(load.host.id)
            room = left._replace(vcpus=left.vcpus + vcpus, memory_mb=left.memory_mb + memory_mb)
            guests.append(Guests(room, load.machines))
        return await _reckoned(weighed, plan, guests, weighed.others, at_once, self._limits)

    async def shortage(self, session: Session, now: datetime) -> Shortage | None:
        """Return what is still missing for the hosts of a session that wait for their turn."""
        situation = self._situation
        rooms = {one.host: one for one in rooms_of(situation, ())}
        meanwhile = self._away_meanwhile(session, now)
        waiting = [
            situation.resources.physical[work.host]
            for work in self._keeper.works(session)
            if work.stage is HostStage.WAITING and work.host in situation.resources.physical
        ]
        loads = await self._loads(waiting, rooms)
        chosen = {load.host.id for load in loads}
        others = [one for one in rooms.values() if one.host not in chosen and one.host not in meanwhile]
        return await _reckoned(Weighed(loads, (), (), [], None), shortage, loads, others, session.at_once)

    async def _loads(self, hosts: Iterable[PhysicalResource], rooms: Mapping[str, Room]) -> list[Load]:
        loads = []
        for index, host in enumerate(hosts, 1):
            loads.append(self._keeper.load(host, rooms))
            if not index % CHUNK:
                await asyncio.sleep(0)
        return loads

    def _away_meanwhile(self, asked_for: Session, now: datetime) -> dict[str, str]:
        """Return the hosts that other sessions may have away at the same time, with the ids of those."""
        span = span_of(asked_for, self._keeper.timeout_of, now)
        found: dict[str, str] = {}
        for session in self._situation.maintenance.open:
            is_other = session.session_id != asked_for.session_id
            if is_other and span.meets(span_of(session, self._keeper.timeout_of, now)):
                works = self._keeper.works(session)
                found |= dict.fromkeys(away_meanwhile(session, works), session.session_id)
        return found

    async def _standings(self, loads: Iterable[Load]) -> dict[Vnf, Standing]:
        book, found = self._situation.book, {}
        asked_for = {machine.id: vnf_of(machine) for load in loads for machine, _ in load.machines}
        for index, vnf in enumerate(set(asked_for.values()), 1):
            members = self._situation.resources.machines_of(vnf)
            others = [one for one in members if one.id not in asked_for]
            out = sum(book.state_of(one.id) is not ResourceState.NORMAL for one in others)
            level = strictest([str(one.sal) for one in members if one.sal is not None], self._levels)
            share = None if level is None or level not in self._levels else self._levels[level].impact
            found[vnf] = Standing(len(members), out, share)
            if not index % CHUNK_OF_VNFS:
                await asyncio.sleep(0)
        return found


async def _reckoned(weighed: Weighed, reckon: Callable[P, T], *given: P.args, **more: P.kwargs) -> T:
    """Reckon with data that nobody changes: here, or in a thread where that takes long."""
    if weighed.is_large:
        return await asyncio.to_thread(reckon, *given, **more)
    return reckon(*given, **more)
