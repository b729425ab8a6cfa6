"""One run with maintenance: in a machine hall hosts are emptied for work on them, while it has its usual bad week.

A planner asks for hosts, pauses, resumes and calls off, works on what is empty and gives it back. Tenants have said
beforehand what may be done to their machines, or answer when they are asked, refuse, take machines away themselves, say
one thing and then another, or say nothing. In the end every session is over, and every host serves.
"""

import asyncio
import random
from collections import defaultdict
from collections.abc import Iterator
from datetime import timedelta
from functools import partial
from itertools import groupby
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from doctor.flows.instruction import Order
from doctor.flows.maintenance_desk import HostWish, Reply, Request
from doctor.flows.situation import HOST_MEMO, SESSION_MEMO
from doctor.maintenance.guests import ACTIVE, STANDBY
from doctor.model.fencing import Cut
from doctor.model.identity import Identity, Role
from doctor.model.instruction import Action
from doctor.model.maintenance import Deed, HostStage, HostWork, MaintenancePolicy, Session, SessionState
from doctor.model.map_news import MapDelta
from doctor.model.resource import Constraints, VirtualResource
from doctor.model.scope import Scope, ScopeKind
from doctor.model.subscription import EventKind, SubscribeFilter
from doctor.testing.simulation.loop import SimLoop, StuckError
from doctor.testing.simulation.maintained import MaintainedDoctor
from doctor.testing.simulation.nfvi import OWNERS, owner_of
from doctor.testing.simulation.powered_world import SHARE as SHARE_WITH_POWER
from doctor.testing.simulation.powered_world import PoweredWorld
from doctor.testing.simulation.process import Doctor
from doctor.testing.simulation.world import wishes_for

SHARE = 0.15  # of the seeds that have maintenance
TO_END = 300.0
PLANNER = Identity(name="carol", role=Role.ADMIN, project=None)
SECOND = Identity(name="dave", role=Role.ADMIN, project=None)
TENANT = "tenant-"
WILLING = (Deed.MIGRATE, Deed.LIVE_MIGRATE, Deed.STOP)
ANYTHING = (*WILLING, Deed.TERMINATE, Deed.OWN_ACTION, Deed.LEAVE)

R = TypeVar("R")


def has_maintenance(seed: int) -> bool:
    """Tell whether the world of a seed has maintenance."""
    return 0.0 <= random.Random(f"{seed}/power").random() - SHARE_WITH_POWER < SHARE


class MaintainedWorld(PoweredWorld):
    """Everything around a Doctor who empties hosts. ``agreed`` is what the owner of each machine has ever agreed to."""

    def __init__(self, seed: int, loop: SimLoop) -> None:
        super().__init__(seed, loop)
        rng = self.chance("bad days of maintenance")
        self.length = rng.choice([60.0, 90.0, 130.0])
        self.mishap_every = rng.choice([15.0, 40.0, 1000.0])
        self.plan_every = rng.choice([3.0, 8.0])
        self.agreed: defaultdict[str, set[Deed]] = defaultdict(set)
        self.keeps_off: set[str] = (
            set()
        )  # machines of which the owner does not want that they are started again
        self.groups: dict[str, tuple[str, int]] = {}  # by machine: its owner, and how many may be away
        self.crashes_in_work = 0
        self._make_groups(self.chance("groups"))

    def _make_groups(self, rng: random.Random) -> None:
        """Let some machines be of one kind, of which not all may be away at once."""
        machines = sorted(self.cloud.content.virtual, key=lambda one: (one.owner, one.id))
        grouped: list[VirtualResource] = []
        for _, own in groupby(machines, lambda one: one.owner):
            members = list(own)[: rng.randint(2, 5)]
            if len(members) < 2 or rng.random() < 0.25:
                continue
            constraints = Constraints(
                max_out=rng.choice([1, 1, 2]),
                recovery_time=rng.choice([None, 2.0]),
                anti_affinity=rng.random() < 0.3,
            )
            roles = [ACTIVE, STANDBY] if rng.random() < 0.5 else []
            for number, one in enumerate(members):
                role = roles[number] if number < len(roles) else None
                grouped.append(replace(one, group="g", constraints=constraints, role=role))
                self.groups[one.id] = one.owner, constraints.max_out or 0
        self.cloud.set_up(MapDelta(virtual=tuple(grouped)))

    def limit_of(self, machine: str) -> int | None:
        """Return how many of the group of a machine may be away at once, None if that is no matter."""
        group = self.groups.get(machine)
        return None if group is None else group[1]

    def crash(self) -> None:
        """Let Doctor die at once."""
        if self.doctors[-1].process.is_alive and any(one.stage is HostStage.EMPTYING for one in self.works()):
            self.crashes_in_work += 1
        super().crash()

    def make_doctor(self, name: str) -> Doctor:
        """Make another process of Doctor."""
        return MaintainedDoctor(name, self.loop, self.store, self.channel, self.clock, self.site.outfit)

    def cast(self) -> "list[asyncio.Task[None]]":
        """Let everybody begin who has a part in the bad week."""
        actors = super().cast()
        actors += [self._act(f"{TENANT}{owner}", self.tenant) for owner in OWNERS]
        actors.append(asyncio.create_task(self.planner()))
        return actors

    # --- what is kept ---

    def sessions(self) -> list[Session]:
        """Return the sessions that are kept."""
        return [*self._records(SESSION_MEMO, Session)]

    def works(self) -> list[HostWork]:
        """Return the hosts of all sessions that are kept."""
        return [*self._records(HOST_MEMO, HostWork)]

    def _records(self, kind: str, type_: type[R]) -> Iterator[R]:
        for record in self.store._memos.get(kind, {}).values():
            yield msgspec.msgpack.decode(record, type=type_)

    # --- the planner ---

    async def planner(self) -> None:
        """Have hosts emptied, and change one's mind."""
        rng = self.chance(PLANNER.name)
        while not self.is_calm:
            await asyncio.sleep(rng.expovariate(1 / self.plan_every))
            open_ = [one for one in self.sessions() if not one.state.is_over]
            empty = [one for one in self.works() if one.stage is HostStage.EMPTY]
            what = rng.random()
            if empty and what < 0.5:
                await self._work_on(rng.choice(empty).host, rng)
            elif open_ and what < 0.6:
                await self._pause(rng.choice(open_), rng)
            elif open_ and what < 0.7:
                await self._abort(rng.choice(open_))
            elif len(open_) < 3:
                await self._ask_for_hosts(rng)

    async def _ask_for_hosts(self, rng: random.Random) -> None:
        hosts = rng.sample(self.nfvi.hosts, rng.choice([1, 1, 2, 3]))
        request = Request(
            tuple(HostWish(host) for host in hosts),
            timeout=timedelta(seconds=rng.choice([8, 20, 40])),
            reason="firmware",
            reply_to=f"http://oam/{self.trace.tick}",
            starts=self.clock.now() + timedelta(seconds=rng.choice([1, 6])) if rng.random() < 0.2 else None,
            at_once=rng.choice([None, 1, 1, 2]),
            override="it has to be" if rng.random() < 0.2 else None,
        )
        made = await self.try_once(
            PLANNER.name,
            f"empty {hosts}",
            lambda doctor: _maintained(doctor).maintenance.create(PLANNER, request),
        )
        if made is not None and made.state is SessionState.PROPOSED and rng.random() < 0.7:
            await self.try_once(
                SECOND.name,
                "approve",
                lambda doctor: _maintained(doctor).maintenance.approve(SECOND, made.session_id),
            )

    async def _work_on(self, host: str, rng: random.Random) -> None:
        """Switch a host off and on, or not, and give it back; now and then that is forgotten for a while."""
        if rng.random() < 0.6:
            self.plant.switch(host, Cut.POWER, False)
            await asyncio.sleep(rng.uniform(0.5, 5.0))
            self._repair(host)
            self.plant.switch(host, Cut.POWER, True)
        await asyncio.sleep(rng.choice([0.1, 3.0]))
        await self._return(host)

    async def _return(self, host: str) -> None:
        await self.try_once(
            PLANNER.name,
            f"give back {host}",
            lambda doctor: _maintained(doctor).maintenance.give_back(PLANNER, [host]),
        )

    async def _pause(self, session: Session, rng: random.Random) -> None:
        for is_paused in (True, False):
            pause = partial(self._ask_to_pause, session.session_id, is_paused)
            await self.try_once(PLANNER.name, "pause" if is_paused else "resume", pause)
            await asyncio.sleep(rng.choice([0.5, 4.0, 15.0]))

    async def _ask_to_pause(self, session_id: str, is_paused: bool, doctor: Doctor) -> Session:
        desk = _maintained(doctor).maintenance
        return await desk.pause(PLANNER, session_id, is_paused=is_paused)

    async def _abort(self, session: Session) -> None:
        await self.try_once(
            PLANNER.name,
            "call off",
            lambda doctor: _maintained(doctor).maintenance.abort(PLANNER, session.session_id, "simulated"),
        )

    # --- tenants ---

    async def tenant(self, who: str) -> None:
        """Say something beforehand of some machines, and answer, or not, when one is asked."""
        rng = self.chance(who)
        project = who.removeprefix(TENANT)
        identity = Identity(name=who, role=Role.CONSUMER, project=project)
        endpoint_id = await self._listen(who, identity)
        machines = [one for one in self.nfvi.machines if owner_of(one) == project]
        for machine in machines:
            if rng.random() < 0.35:
                await self._agree_beforehand(who, project, machine, rng)
        read = 0
        while not self.is_calm:
            await asyncio.sleep(rng.uniform(0.2, 2.0))
            received = self.channel.ledger.received[endpoint_id]
            fresh, read = received[read:], len(received)
            for receipt in fresh:
                for session_id, machine in _asked(receipt.notification.body):
                    if rng.random() < 0.7:
                        await self._respond(who, identity, session_id, machine, rng)
            if machines and rng.random() < 0.03:
                await self._agree_beforehand(who, project, rng.choice(machines), rng)

    async def _listen(self, who: str, identity: Identity) -> str:
        asked = SubscribeFilter(event=frozenset({EventKind.MAINTENANCE}))
        made, _ = await self.insist(
            who,
            "subscribing",
            lambda doctor: doctor.subscriptions.create(identity, asked, wishes_for(who, 1), resource_ids=[]),
        )
        endpoint_id: str = made.endpoints[0].endpoint_id
        return endpoint_id

    async def _agree_beforehand(self, who: str, project: str, machine: str, rng: random.Random) -> None:
        action = rng.choice([*WILLING, Deed.MIGRATE, Deed.LEAVE, Deed.ASK])
        policy = MaintenancePolicy(
            project=project,
            scope=Scope(ScopeKind.MACHINE, machine),
            action=action,
            if_silent=rng.choice([Deed.LEAVE, Deed.MIGRATE]) if action is Deed.ASK else Deed.LEAVE,
            lead_time=timedelta(seconds=rng.choice([0, 0, 3])),
            await_switch_over=rng.random() < 0.5,
            start_on_return=rng.random() < 0.7,
        )
        self.agreed[machine] |= {policy.action, policy.if_silent}
        if not policy.start_on_return:
            self.keeps_off.add(machine)
        await self.insist(
            who, "agrees", lambda doctor: _maintained(doctor).maintenance_policies.put(policy, user=who)
        )

    async def _respond(
        self, who: str, identity: Identity, session_id: str, machine: str, rng: random.Random
    ) -> None:
        what = rng.random()
        if what < 0.2:
            await self._say(who, identity, session_id, Reply({machine: Deed.LEAVE}, refusal="not now"))
        elif what < 0.35:
            await self._instruct(who, identity, machine, Action.SWITCHED_OVER)
        else:
            deed = rng.choice([*WILLING, *WILLING, Deed.MIGRATE, *ANYTHING])
            self.agreed[machine].add(deed)
            await self._say(who, identity, session_id, Reply({machine: deed}))
            if deed is Deed.OWN_ACTION and rng.random() < 0.7:
                await self._instruct(who, identity, machine, Action.LIVE_MIGRATE)

    async def _say(self, who: str, identity: Identity, session_id: str, reply: Reply) -> None:
        await self.try_once(
            who,
            f"replies {dict(reply.actions)} {reply.refusal or ''}",
            lambda doctor: _maintained(doctor).maintenance.reply(identity, session_id, reply),
        )

    async def _instruct(self, who: str, identity: Identity, machine: str, action: Action) -> None:
        order = Order(action, (machine,), {}, deadline=timedelta(seconds=10))
        await self.try_once(
            who,
            f"{action} {machine}",
            lambda doctor: _maintained(doctor).instructions.create(identity, order),
        )

    # --- the end ---

    async def mend(self) -> None:
        """Let every session end, and then everything be repaired and come back."""
        until = self.loop.time() + TO_END
        while left := [one for one in self.sessions() if self._is_open(one)]:
            if self.loop.time() > until:
                raise StuckError(f"I-26: a session never ended: {left[0]}, {self._of(left[0])}")
            for session in left:
                if session.state in (SessionState.PAUSED, SessionState.PROPOSED):
                    await self._abort(session)
                for work in self._of(session):
                    if work.stage is HostStage.EMPTY:
                        await self._return(work.host)
            await asyncio.sleep(2.0)
        await super().mend()

    def _of(self, session: Session) -> list[HostWork]:
        return [one for one in self.works() if one.session_id == session.session_id]

    def _is_open(self, session: Session) -> bool:
        return not session.state.is_over or any(not one.stage.is_over for one in self._of(session))


def _maintained(doctor: Doctor) -> MaintainedDoctor:
    assert isinstance(doctor, MaintainedDoctor)
    return doctor


def _asked(body: bytes) -> Iterator[tuple[str, str]]:
    """Return the machines of which a message asks what may be done to them, each with the session."""
    message = msgspec.json.decode(body)
    maintenance = message.get("maintenance") or {}
    if maintenance.get("phase") in ("planned", "reminder"):
        for info in message.get("virtual_resource_info", ()):
            yield maintenance["session_id"], info["virtual_resource_id"]
