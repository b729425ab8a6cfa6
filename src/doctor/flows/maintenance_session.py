"""A session of maintenance as it is kept and told: what is known of its machines, and each step of it in one commit."""

import asyncio
from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from datetime import datetime, timedelta
from functools import partial
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.capacity import tell_capacity
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.instruction import Agreed, InstructionFlow, Order
from doctor.flows.situation import HOST_MEMO, SESSION_MEMO, Situation
from doctor.flows.step import Draft
from doctor.flows.telling import tell
from doctor.kit.ids import SEPARATOR
from doctor.maintenance.guests import (
    ACTIVE,
    STANDBY,
    Sight,
    allowed,
)
from doctor.maintenance.room import Load
from doctor.maintenance.stages import outcome
from doctor.model.errors import RejectedError, StoreError
from doctor.model.fault import ResourceState
from doctor.model.identity import Identity, Role
from doctor.model.instruction import Action
from doctor.model.maintenance import (
    Deed,
    Guest,
    GuestState,
    HostStage,
    HostWork,
    Session,
    SessionState,
    Versions,
)
from doctor.model.maintenance_action import USUAL_TIMEOUT
from doctor.model.map_news import MapStatus
from doctor.model.map_news import Phase as MapPhase
from doctor.model.notification import Phase
from doctor.model.resource import VIRTUAL_MACHINE, PhysicalResource, Resource, VirtualResource
from doctor.notifier.maintenance import (
    administrators_told,
    hear_for_owners,
    owners_told,
    write_maintenance,
    write_response,
)
from doctor.ports.action import MaintenanceAction
from doctor.ports.store import Memo
from doctor.recovery.turns import Room

log = structlog.get_logger(__name__)

ENDS = (Phase.OVER, Phase.FAILED, Phase.NOT_BACK, Phase.CANCELLED)
START = 0  # the number of the instruction that starts again what was shut down


class NamedAction(NamedTuple):
    """An action of the settings, and how long a run of it may take."""

    action: MaintenanceAction
    timeout: timedelta = USUAL_TIMEOUT


Said = dict[Phase, list[tuple[HostWork, Guest | None]]]  # without a machine: of the host itself
OnChanged = Callable[[Iterable[str]], None]


class Look(NamedTuple):
    """A session as it will be when a step is kept, and who is told what of it."""

    session: Session
    works: dict[str, HostWork]
    said: Said


class SessionKeeper:
    """Knows how it is with the machines of sessions, and keeps what becomes of them. ``actions`` are those of the settings."""

    def __init__(
        self,
        situation: Situation,
        instructions: InstructionFlow,
        delivery: DeliveryFlow,
        actions: Mapping[str, NamedAction] | None = None,
    ) -> None:
        self.actions = actions or {}
        self._situation = situation
        self._instructions = instructions
        self._delivery = delivery
        self._on_changed: list[OnChanged] = []
        self._changing = asyncio.Lock()
        self._reading = 0

    def on_changed(self, changed: OnChanged) -> None:
        """Have this called with the ids of the resources that are in maintenance now, or are not any more."""
        self._on_changed.append(changed)

    # --- what is known ---

    def works(self, session: Session) -> list[HostWork]:
        """Return the hosts of a session."""
        return self._situation.maintenance.works(session.session_id)

    def timeout_of(self, action: str) -> timedelta:
        """Return how long a run of an action may take."""
        named = self.actions.get(action)
        return USUAL_TIMEOUT if named is None else named.timeout

    def machines_on(self, host: str) -> Iterator[VirtualResource]:
        """Return the virtual machines on a host."""
        resources = self._situation.resources
        machines = (resources.virtual[one] for one in resources.machines_on(host))
        return (one for one in machines if one.type == VIRTUAL_MACHINE)

    def load(self, host: PhysicalResource, rooms: Mapping[str, Room]) -> Load:
        """Return what has to leave a host, by what owners have said of their machines, or say beforehand."""
        work = self._situation.maintenance.of_host(host.id)
        machines = []
        for machine in self.machines_on(host.id):
            guest = None if work is None else work.guest(machine.id)
            policy = self._situation.maintenance_policies.of(machine)
            usual = Deed.ASK if policy is None else policy.action
            machines.append((machine, usual if guest is None or guest.deed is None else guest.deed))
        return Load(host, machines, rooms.get(host.id))

    def is_loading(self, host: str) -> bool:
        """Tell whether what the map has of a host and its machines is of before this Doctor started, or nothing yet."""
        status = self._status(self._situation.resources.physical.get(host))
        return status is not None and status.phase is MapPhase.LOADING

    def _status(self, resource: Resource | None) -> MapStatus | None:
        """Return how true the map is about a resource, None if it is a map that is loaded by hand."""
        return None if resource is None else self._situation.clouds.get(resource.cloud or "")

    def versions(self, host: str) -> Versions | None:
        """Return what runs on a host beneath its machines, None if the map has no such host."""
        found = self._situation.resources.physical.get(host)
        if found is None:
            return None
        return Versions(firmware=found.firmware_version, hypervisor=found.hypervisor_version)

    def sight(self, guest: Guest, works: Mapping[str, HostWork] | None = None) -> Sight:
        """Gather what is known of a machine; ``works`` are hosts of its session as they are going to be."""
        situation = self._situation
        facts = self._instructions.facts(guest.resource_id)
        if facts is None:
            return Sight(None)
        machine = facts.machine
        last = situation.instructions.get(guest.tries[-1]) if guest.tries else None
        standbys = self._standbys(machine) if machine.role == ACTIVE else []
        status = self._status(machine)
        return Sight(
            facts=facts,
            as_of=None if status is None or status.listening else status.as_of,
            policy=situation.maintenance_policies.of(machine),
            task=None if last is None else last.task(machine.id),
            switched_over=any(
                one.action is Action.SWITCHED_OVER and one.created >= guest.told
                for one in situation.instructions.about(machine.id)
            ),
            standby=any(not situation.book.state_of(one.id).is_out for one in standbys),
            standby_here=any(self._leaves_first(one, works or {}) for one in standbys),
            recovering_until=self._recovering_until(machine),
        )

    def _recovering_until(self, machine: VirtualResource) -> datetime | None:
        """Return until when the group of a machine recovers from the last that has left for maintenance."""
        pause = None if machine.constraints is None else machine.constraints.recovery_time
        if not pause or machine.group is None:
            return None
        left = [
            task.ended
            for name in self._situation.resources.group(machine.owner, machine.group)
            if name != machine.id
            for one in self._situation.instructions.about(name)
            if one.session_id is not None and (task := one.task(name)) is not None and task.ended is not None
        ]
        return max(left) + timedelta(seconds=pause) if left else None

    def _standbys(self, machine: VirtualResource) -> list[VirtualResource]:
        if machine.group is None:
            return []
        resources = self._situation.resources
        members = (resources.virtual[one] for one in resources.group(machine.owner, machine.group))
        return [one for one in members if one.role == STANDBY and one.id != machine.id]

    def _leaves_first(self, standby: VirtualResource, works: Mapping[str, HostWork]) -> bool:
        """Tell whether a standby is itself on a host that is being emptied, and is going to leave it."""
        host = standby.host or ""
        work = works.get(host) or self._situation.maintenance.of_host(host)
        guest = None if work is None or work.stage is not HostStage.EMPTYING else work.guest(standby.id)
        return guest is not None and guest.state in (GuestState.AGREED, GuestState.MOVING)

    # --- what is done and kept ---

    @asynccontextmanager
    async def step(self) -> AsyncIterator[None]:
        """Let nobody else decide or keep a step while one is decided and kept, by what is known then."""
        async with self._changing:
            await self._situation.ready()
            self._reading = self._situation.readings
            yield

    def adopted(self, work: HostWork) -> HostWork:
        """Return a host with what its machines were told to do, also where that could not be kept here.

        An instruction is kept before the host knows of it; a crash in between leaves it on its own.
        """
        return replace(work, guests=tuple(self._adopted(work, one) for one in work.guests))

    def _adopted(self, work: HostWork, guest: Guest) -> Guest:
        agreed = Agreed(work.session_id, work.host, guest.resource_id, len(guest.tries) + 1)
        instruction_id = agreed.instruction_id
        if self._situation.instructions.get(instruction_id) is None:
            return guest
        is_known_to_be_over = guest.state.is_out_of_the_way
        return replace(
            guest,
            state=guest.state if is_known_to_be_over else GuestState.MOVING,
            tries=(*guest.tries, instruction_id),
            attempts=guest.attempts + 1,
        )

    async def undo(self, works: Iterable[HostWork]) -> list[HostWork]:
        """Take back what can be: what has not begun, and what was shut down for the work; return them as they are.

        What was shut down is started on the same host, those of the highest level first.
        """
        works = [self.adopted(work) for work in works]
        stopped = []
        for work in works:
            for guest in work.guests:
                if guest.state is GuestState.MOVING:
                    with suppress(RejectedError):  # it has begun, and goes on to its end
                        await self._instructions.cancel(in_the_name_of(guest), guest.tries[-1])
                machine = self._situation.resources.virtual.get(guest.resource_id)
                policy = None if machine is None else self._situation.maintenance_policies.of(machine)
                is_wanted = policy is None or policy.start_on_return or work.stage is not HostStage.EMPTY
                if machine is not None and work.has_shut_down(guest.resource_id) and is_wanted:
                    stopped.append((machine.sal_rank, machine.id, work, guest))
        for _, _, work, guest in sorted(stopped, key=lambda one: one[:2]):
            order = Order(
                Action.START,
                (guest.resource_id,),
                {},
                agreed=Agreed(work.session_id, work.host, guest.resource_id, START),
            )
            try:
                await self._instructions.create(in_the_name_of(guest), order)
            except RejectedError as error:
                log.warning("maintenance.not_started", resource_id=guest.resource_id, reason=str(error))
        return works

    def with_outcome(self, look: Look, now: datetime) -> Look:
        """Add the end of a session, if this is it, with its one answer."""
        if look.session.state.is_over or look.session.state is SessionState.PROPOSED:
            return look
        works = [look.works.get(one.host, one) for one in self.works(look.session)]
        end = outcome(look.session, works)
        if end is None:
            return look
        ended = replace(look.session, state=end[0], outcome=end[1], ended=now)
        log.info("maintenance.over", session_id=ended.session_id, state=end[0], reason=end[1])
        return self.answered(look._replace(session=ended), now)

    def answered(self, look: Look, now: datetime) -> Look:
        """Add the one answer of a session."""
        said = {**look.said, Phase.RESULT: []}
        return look._replace(session=replace(look.session, answered=now), said=said)

    async def keep(self, look: Look, draft: Draft) -> None:
        """Make a step durable, with what is told of it.

        It is so in memory first: what is told of a host is how that will be. If it is not kept, the store is read anew.

        Raises:
            StoreError: it was not kept, or memory was read anew since the `step` began.
        """
        situation, session = self._situation, look.session
        if situation.readings != self._reading:
            raise StoreError("the store was read anew while this was decided")
        if situation.maintenance.get(session.session_id) != session:
            situation.maintenance.put(session)
            draft.change.memos.append(_memo(SESSION_MEMO, session.session_id, session))
        for work in look.works.values():
            situation.maintenance.put_host(work)
            draft.change.memos.append(_memo(HOST_MEMO, key_of(work), work))
        zones = situation.pool.settle(look.works, situation.book.state_of, changed_by=session.session_id)
        tell_capacity(situation, zones, draft)
        if Phase.SCALE_IN in look.said:
            self._ask_for_room(session, draft)
        for phase, said in look.said.items():
            self._tell_owners(session, phase, said, draft)
            self._tell_administrators(session, phase, said, draft)
        if Phase.RESULT in look.said and (answering := situation.subscriptions.get(session.session_id)):
            response = partial(_respond, session, self.works(session), situation.describer(None))
            tell(situation, answering, response, draft)
        await situation.keep(draft.change)
        self._delivery.dispatch(draft.change.notifications)
        for changed in self._on_changed:
            changed(look.works)

    def _tell_owners(
        self, session: Session, phase: Phase, said: Iterable[tuple[HostWork, Guest | None]], draft: Draft
    ) -> None:
        by_owner: dict[str, list[tuple[HostWork, Guest]]] = defaultdict(list)
        for work, guest in said:
            if guest is not None:
                by_owner[guest.owner].append((work, guest))
        for owner, concerned in by_owner.items():
            guests = [guest for _, guest in concerned]
            works = list({work.host: work for work, _ in concerned}.values())
            subscriptions = self._situation.subscriptions
            told = owners_told(guests, subscriptions.of(owner), subscriptions.of(None))
            for subscription, own in told:
                possible = {
                    guest.resource_id: allowed(self.sight(guest))
                    for work, guest in concerned
                    if guest in own and not guest.state.is_out_of_the_way
                }
                notice = partial(
                    write_maintenance,
                    subscription,
                    session,
                    phase,
                    self._situation.describer(owner),
                    now=draft.now,
                    occasion=draft.now.isoformat(),
                    owner=owner,
                    guests=own,
                    works=works,
                    allowed=possible,
                    moves_again=not self.has_quiet_host,
                    ends=phase in ENDS and not self._goes_on_for(owner, session),
                )
                tell(self._situation, subscription, notice, draft)

    def _ask_for_room(self, session: Session, draft: Draft) -> None:
        """Ask all owners who run anything to give up some of it."""
        owners = {
            one.owner for one in self._situation.resources.virtual.values() if one.type == VIRTUAL_MACHINE
        }
        subscriptions = self._situation.subscriptions
        for owner in sorted(owners):
            for subscription in hear_for_owners(subscriptions.of(owner), subscriptions.of(None)):
                notice = partial(
                    write_maintenance,
                    subscription,
                    session,
                    Phase.SCALE_IN,
                    self._situation.describer(owner),
                    now=draft.now,
                    occasion=draft.now.isoformat(),
                    owner=owner,
                )
                tell(self._situation, subscription, notice, draft)

    @property
    def has_quiet_host(self) -> bool:
        """Tell whether there is a host that serves and is not to be emptied itself."""
        situation = self._situation
        return any(
            one.id not in situation.maintenance.hosts
            and situation.book.state_of(one.id) is ResourceState.NORMAL
            for one in situation.resources.hosts()
        )

    def _goes_on_for(self, owner: str, session: Session) -> bool:
        """Tell whether a session still has to do with machines of an owner."""
        return any(
            owner in {one.owner for one in work.guests} | {one.owner for one in self.machines_on(work.host)}
            for work in self.works(session)
            if not work.stage.is_over
        )

    def _tell_administrators(
        self, session: Session, phase: Phase, said: Sequence[tuple[HostWork, Guest | None]], draft: Draft
    ) -> None:
        if phase in (Phase.PLANNED, Phase.REMINDER, Phase.MOVED):
            return  # between owners and Doctor; who wants to know looks at the session
        works = list({work.host: work for work, _ in said}.values())
        if phase is Phase.RESULT:
            works = self.works(session)
        if not works:
            return
        for subscription in administrators_told(self._situation.subscriptions.of(None)):
            if self._situation.maintenance.get(subscription.subscription_id) is not None:
                continue  # it is there for the answer of a session and nothing else
            notice = partial(
                write_maintenance,
                subscription,
                session,
                phase,
                self._situation.describer(None),
                now=draft.now,
                occasion=draft.now.isoformat(),
                works=works,
            )
            tell(self._situation, subscription, notice, draft)


def _respond(
    session: Session, works: Sequence[HostWork], describer: Any, *, sequence: int
) -> tuple[str, bytes]:
    return write_response(session, works, describer)


def everybody(work: HostWork) -> list[tuple[HostWork, Guest | None]]:
    """Return a host with each of its machines, by itself if it has none."""
    return [(work, guest) for guest in work.guests] or [(work, None)]


def in_the_name_of(guest: Guest) -> Identity:
    """Return who instructs where the owner of a machine has agreed."""
    return Identity(name="maintenance", role=Role.CONSUMER, project=guest.owner)


def key_of(work: HostWork) -> str:
    """Return the key of the record of a host."""
    return f"{work.session_id}{SEPARATOR}{work.host}"


def _memo(kind: str, key: str, record: msgspec.Struct) -> Memo:
    return Memo(kind=kind, key=key, record=msgspec.msgpack.encode(record))
