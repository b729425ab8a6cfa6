"""Empties hosts with the consent of those whose machines run there [D 3.4.2, 5.2.2; HA 5.3].

    asked for -> (guards) its turn -> owners told and asked -> machines leave, in order -> empty | given up -> answered

What becomes of each machine is decided in `doctor.maintenance.guests`, of each host in `doctor.maintenance.stages`. What
is done to a machine is an ordinary instruction in the name of its owner, known by session, machine and number: one,
whoever repeats it after a crash. Each look at a session is kept as a whole, with what is told of it, and a successor goes
on from there: the deadlines are moments, and nothing but a commit makes a step [I-26].
"""

import asyncio
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta

import structlog
from msgspec.structs import replace

from doctor.flows.delivery import DeliveryFlow
from doctor.flows.instruction import Agreed, InstructionFlow, Order
from doctor.flows.isolation import LostOfficeError, Office
from doctor.flows.maintenance_actions import ActionFlow
from doctor.flows.maintenance_session import Look, SessionKeeper, everybody, in_the_name_of, key_of
from doctor.flows.maintenance_weighing import Weighing
from doctor.flows.placement import apart, rooms_of
from doctor.flows.situation import HOST_MEMO, SESSION_MEMO, Situation
from doctor.flows.step import Draft
from doctor.kit.clock import Clock
from doctor.maintenance.actions import Failed, Over, course, in_words
from doctor.maintenance.guests import (
    ACTIONS,
    ACTIVE,
    MOVES,
    STANDBY,
    Sight,
    again_at,
    looked_at,
    opened,
    waits,
)
from doctor.maintenance.stages import (
    NOT_BACK,
    Trigger,
    comes_back,
    given_back,
    has_stayed_away,
    may_begin,
    moved,
    verdict,
    watched,
)
from doctor.model.alarm import Transition
from doctor.model.errors import RejectedError, StoreError
from doctor.model.maintenance import (
    Guest,
    GuestState,
    HostStage,
    HostWork,
    MaintenanceLimits,
    Session,
    SessionState,
)
from doctor.model.maintenance_action import Moment
from doctor.model.marking import Mark, MarkKind
from doctor.model.notification import Phase
from doctor.model.recovery import RecoveryLimits
from doctor.model.resource import VirtualResource
from doctor.ports.store import Memo
from doctor.profiler.availability import SHIPPED
from doctor.recovery.turns import NO_ROOM, Candidate, Later, Turn, turns

log = structlog.get_logger(__name__)

GATHERS = 0.05  # seconds in which what happens is looked at together
SWEEP_EVERY = 5.0
LOOK_AGAIN = 0.5
LONGEST_REST = 2.0  # seconds between two looks at most: a slow disk makes no deadline later
CHUNK = 5  # hosts that are looked at in one go: faults have to be told meanwhile

Due = tuple[HostWork, Guest, Sight]  # a machine that may leave
CLOSED = Later("the host that has room for it takes none yet: its cloud has it disabled still")


class MaintenanceFlow:
    """All sessions of maintenance."""

    def __init__(
        self,
        situation: Situation,
        keeper: SessionKeeper,
        instructions: InstructionFlow,
        delivery: DeliveryFlow,
        office: Office,
        clock: Clock,
        limits: MaintenanceLimits = MaintenanceLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._situation = situation
        self._keeper = keeper
        self._instructions = instructions
        self._delivery = delivery
        self._office = office
        self._clock = clock
        self._limits = limits
        self._bell = asyncio.Event()
        self._actions = ActionFlow(situation, keeper, clock, self.ring)
        self._weighing = Weighing(situation, keeper, limits, SHIPPED)
        instructions.on_kept(lambda one: self.ring())
        situation.on_restored(self.ring)

    # --- what is to be looked at ---

    def settled(self, transitions: Iterable[Transition]) -> None:
        """Look when faults may have struck a host that is being emptied, or a machine there."""
        if self._has_work:
            self._bell.set()

    def ring(self) -> None:
        """Look at what is open: something is otherwise than it was."""
        if self._has_work:
            self._bell.set()

    @property
    def _has_work(self) -> bool:
        return self._situation.maintenance.has_work or self._actions.is_busy

    async def run(self) -> None:
        """Empty hosts, and have done there what was asked for, until cancelled."""
        async with asyncio.TaskGroup() as tasks:
            await self._keep_looking(tasks)

    async def _keep_looking(self, tasks: asyncio.TaskGroup) -> None:
        until: datetime | None = self._clock.now()
        while True:
            left = SWEEP_EVERY if until is None else (until - self._clock.now()).total_seconds()
            if not self._has_work:
                await self._bell.wait()  # a site without sessions costs nothing
            else:
                try:
                    async with asyncio.timeout(min(max(left, 0.0), SWEEP_EVERY)):
                        await self._bell.wait()
                except TimeoutError:
                    pass
            self._bell.clear()
            began = self._clock.monotonic()
            try:
                until = await self._go_on()
                self._actions.tend(tasks)
                took = self._clock.monotonic() - began
                await asyncio.sleep(min(max(GATHERS, 2 * took), LONGEST_REST))  # others work, too
            except (StoreError, LostOfficeError) as error:  # what is not kept is not done
                log.warning("maintenance.held_up", error=str(error))
                self._bell.set()
                await asyncio.sleep(LOOK_AGAIN)
            except Exception:  # a defect with one session must not stop the others for good
                log.exception("maintenance.broken")
                await asyncio.sleep(SWEEP_EVERY)
                self._bell.set()

    async def _go_on(self) -> datetime | None:
        """Do what is next in all sessions; return when to look again at the latest."""
        await self._situation.ready()
        _ = self._office.office  # without one nothing is begun
        moments: list[datetime] = []
        for session in list(self._situation.maintenance.open):
            if session.state is SessionState.PROPOSED:
                continue
            async with self._keeper.step():
                moments += await self._advance(session.session_id)
        for work in self._situation.maintenance.watched:
            moments += [] if work.watched_until is None else [work.watched_until]
            async with self._keeper.step():
                await self._watch(work)
        for work in self._situation.maintenance.unsettled:
            async with self._keeper.step():
                await self._settle(work)
        return min(moments, default=None)

    async def _settle(self, work: HostWork) -> None:
        """See the end of what was under way when a host was given up: what it has shut down is started again."""
        session = self._situation.maintenance.get(work.session_id)
        now = self._clock.now()
        guests = []
        for guest in work.guests:
            if guest.state is GuestState.MOVING and not self._keeper.is_loading(work.host):
                guest = looked_at(guest, work.host, self._keeper.sight(guest), now, self._limits)
                if guest.state is GuestState.AGREED:  # it was not done, and is not tried again
                    guest = replace(guest, state=GuestState.STUCK)
            guests.append(guest)
        after = replace(work, guests=tuple(guests))
        if session is not None and after != work:
            if after.stage is not HostStage.RETURNED:
                await self._keeper.undo([after])
            await self._keeper.keep(Look(session, {after.host: after}, {}), Draft(now))

    async def _watch(self, work: HostWork) -> None:
        """See whether a host that was given back has come."""
        session = self._situation.maintenance.get(work.session_id)
        now, state = self._clock.now(), self._situation.book.state_of(work.host)
        after = watched(work, state, self._keeper.versions(work.host), now)
        if session is None or after == work:
            return
        look = Look(session, {after.host: after}, {})
        if has_stayed_away(after, state):
            after = replace(after, reason=after.reason or NOT_BACK)
            look = Look(session, {after.host: after}, {Phase.NOT_BACK: everybody(after)})
            log.error("maintenance.not_back", session_id=work.session_id, host=work.host)
        await self._keeper.keep(look, Draft(now))

    # --- one look at a session ---

    async def _advance(self, session_id: str) -> list[datetime]:
        """Do what is next in a session; return when time alone changes something about it."""
        session = self._situation.maintenance.get(session_id)
        if session is None:
            return []
        now = self._clock.now()
        look = Look(session, {}, defaultdict(list))
        moments: list[datetime] = []
        known = self._keeper.works(session)
        look = await self._begin_all(look, known, now, moments)
        is_to_come = now < session.starts and session.state is SessionState.PLANNED
        if is_to_come or look.session.waits_for_room:
            for work in known:  # owners hear of it as long beforehand as it is known
                work = look.works.get(work.host, work)
                if work.stage is HostStage.WAITING:
                    asked = self._with_newcomers(look, work, now)
                    if asked != work:
                        look.works[work.host] = asked
        if session.state is SessionState.PLANNED and now >= session.starts:
            look = look._replace(session=replace(look.session, state=SessionState.RUNNING))
        elif session.state is SessionState.PLANNED:
            moments.append(session.starts)
        due: list[Due] = []
        for index, work in enumerate(known):
            if index % CHUNK == CHUNK - 1:
                await asyncio.sleep(0)
            work = look.works.get(work.host, work)
            if work.stage is HostStage.EMPTYING:
                await self._look_at(look, work, now, due, moments)
            elif work.stage is HostStage.EMPTY and (look.session.actions or look.session.auto_return):
                look = await self._work_on(look, work, now, moments)
        look = self._go_on_after(look, known, now)
        look = self._keeper.with_outcome(look, now)
        if look.works or look.session != session:
            await self._keeper.keep(look, Draft(now))
        if session.state is not SessionState.PAUSED:
            moments += await self._move(look.session, due, now)
        return moments

    async def _begin_all(
        self, look: Look, known: Sequence[HostWork], now: datetime, moments: list[datetime]
    ) -> Look:
        """Begin with the hosts whose turn it is, when what was to be done before them is done."""
        due = may_begin(look.session, known, now)
        if not due:
            return look
        if look.session.waits_for_room:
            look = await self._with_room(look, known, now, moments)
            if look.session.waits_for_room:
                return look
        look, before = self._actions.of_session(look, Moment.PRE, now)
        if isinstance(before, Failed):
            for work in known:
                if work.stage is HostStage.WAITING:
                    given_up = moved(work, Trigger.GIVE_UP, now, reason=in_words(before.run))
                    look.works[work.host] = given_up
                    look.said[Phase.FAILED] += everybody(given_up)
        elif isinstance(before, Over):
            for work in due:
                self._begin(look, work, now)
        return look

    async def _with_room(
        self, look: Look, known: Sequence[HostWork], now: datetime, moments: list[datetime]
    ) -> Look:
        """See whether there is room by now for what has to leave; owners were asked to give up some."""
        session = look.session
        wanted = session.scale_in
        assert wanted is not None  # it waits for that
        short = await self._weighing.shortage(session, now)
        half = session.created + (wanted.until - session.created) / 2
        if short is None:
            log.info("maintenance.has_room", session_id=session.session_id)
            return look._replace(session=replace(session, scale_in=replace(wanted, met=now)))
        if now >= wanted.until:
            why = f"there is no room: {short} are missing, and owners were asked to scale in"
            for work in known:
                if work.stage is HostStage.WAITING:
                    given_up = moved(look.works.get(work.host, work), Trigger.GIVE_UP, now, reason=why)
                    look.works[work.host] = given_up
                    look.said[Phase.FAILED] += everybody(given_up)
            return look
        moments += [wanted.until, *([] if wanted.reminded else [half])]
        if now >= half and not wanted.reminded:
            look.said[Phase.SCALE_IN] = []
            wanted = replace(wanted, reminded=True, vcpus=short.vcpus, memory_mb=short.memory_mb)
            look = look._replace(session=replace(session, scale_in=wanted))
        return look

    async def _work_on(self, look: Look, work: HostWork, now: datetime, moments: list[datetime]) -> Look:
        """Have done on an empty host what was asked for, and give it back when all of it is done and it has come back."""
        if look.session.state is not SessionState.RUNNING:
            return look
        after, found = self._actions.of_host(look.session, work, now)
        if isinstance(found, Over) and look.session.auto_return:
            match comes_back(work, self._situation.book.state_of(work.host), self._limits.returns, now):
                case True:
                    await self._keeper.undo([work])
                    versions = self._keeper.versions(work.host)
                    after = given_back(work, Trigger.GIVE_BACK, now, versions, self._limits.returns)
                    look.said[Phase.OVER] += everybody(after)
                    log.info("maintenance.host_returned", session_id=work.session_id, host=work.host)
                    moments.append(now)  # the next one may go
                case False:
                    after = moved(work, Trigger.GIVE_UP, now, reason=NOT_BACK)
                    look.said[Phase.NOT_BACK] += everybody(after)
                    why = f"{work.host}: {NOT_BACK}"
                    look = look._replace(
                        session=replace(look.session, state=SessionState.PAUSED, outcome=why)
                    )
                    log.error("maintenance.not_back", session_id=work.session_id, host=work.host)
                case until:
                    moments.append(until)
        if after != work:
            look.works[work.host] = after
        return look

    def _go_on_after(self, look: Look, known: Sequence[HostWork], now: datetime) -> Look:
        """Have done what was to be done after all hosts."""
        is_over = all(look.works.get(one.host, one).stage.is_over for one in known)
        before = course(look.session.asks_for(Moment.PRE), Moment.PRE, look.session.runs)
        if is_over and look.session.state is SessionState.RUNNING and isinstance(before, Over):
            look, _ = self._actions.of_session(look, Moment.POST, now)
        return look

    def _begin(self, look: Look, work: HostWork, now: datetime) -> None:
        """Begin to empty a host: nothing new is placed there, and owners are told and asked."""
        reply_by = now + look.session.timeout / 2
        began = moved(
            work,
            Trigger.BEGIN,
            now,
            deadline=now + look.session.timeout,
            before=self._keeper.versions(work.host),
            guests=tuple(replace(one, reply_by=reply_by) for one in work.guests),
        )
        look.works[work.host] = began
        look.said[Phase.STARTED] += everybody(began)
        log.info("maintenance.host_begun", session_id=work.session_id, host=work.host)

    async def _look_at(
        self,
        look: Look,
        work: HostWork,
        now: datetime,
        due: list[Due],
        moments: list[datetime],
    ) -> None:
        """See how it is with the machines of a host, and whether that is empty or never will be.

        As long as the map is what it was before this Doctor started, nothing follows from it: what has left by then may
        look as if it were there.
        """
        is_known = not self._keeper.is_loading(work.host)
        work = self._keeper.adopted(self._with_newcomers(look, work, now))
        look.works[work.host] = work
        guests, ready = [], []
        for guest in work.guests:
            if not is_known:
                guests.append(guest)
                continue
            sight = self._keeper.sight(guest, look.works)
            after = looked_at(guest, work.host, sight, now, self._limits)
            if after.state is not guest.state and after.state.is_out_of_the_way:
                look.said[Phase.MOVED].append((work, after))
            elif _needs_reminder(after, now):
                after = replace(after, reminded=True)
                look.said[Phase.REMINDER].append((work, after))
            if after.state is GuestState.AGREED and not waits(after, sight, now):
                ready.append((after, sight))
            moments += again_at(after, sight)
            moments += _reminder_at(after)
            guests.append(after)
        work = replace(work, guests=tuple(guests))
        match verdict(work, self._situation.book.state_of(work.host), now):
            case (Trigger.EMPTIED, _) if is_known:
                work = moved(work, Trigger.EMPTIED, now)
                look.said[Phase.EMPTIED].append((work, None))
                if look.session.auto_return:
                    moments.append(now)  # as soon as it is kept that it was empty
                log.info("maintenance.host_empty", session_id=work.session_id, host=work.host)
            case (Trigger.GIVE_UP, why):
                (work,) = await self._keeper.undo([work])
                work = moved(work, Trigger.GIVE_UP, now, reason=why)
                look.said[Phase.FAILED] += everybody(work)
                log.warning(
                    "maintenance.host_given_up", session_id=work.session_id, host=work.host, reason=why
                )
            case _:
                due += [(work, *one) for one in ready]
                moments += [] if work.deadline is None else [work.deadline]
                moments += [] if is_known else [now + timedelta(seconds=LOOK_AGAIN)]
        look.works[work.host] = work
        if work == self._situation.maintenance.of_host(work.host):
            del look.works[work.host]  # nothing of it has to be kept

    def _with_newcomers(self, look: Look, work: HostWork, now: datetime) -> HostWork:
        """Take in machines on a host that were not there before, and tell their owners."""
        if self._keeper.is_loading(work.host):
            return work
        known = {one.resource_id for one in work.guests}
        begins = max(now, look.session.starts)
        ends = begins + look.session.timeout if work.deadline is None else work.deadline
        reply_by = begins + (ends - begins) / 2
        new = []
        for machine in self._keeper.machines_on(work.host):
            if machine.id not in known:
                guest = Guest(resource_id=machine.id, owner=machine.owner, state=GuestState.ASKED, told=now)
                sight = self._keeper.sight(guest)
                guest = opened(machine, sight, now, reply_by)
                new.append(guest)
                look.said[Phase.PLANNED].append((work, guest))
        return replace(work, guests=(*work.guests, *new)) if new else work

    # --- machines that leave ---

    async def _move(self, session: Session, due: Sequence[Due], now: datetime) -> list[datetime]:
        """Give the instructions of the machines whose turn it is; return when to look again at the others."""
        if not due:
            return []
        due = sorted(due, key=lambda one: _rank(one[1], one[2]))
        turn_of = self._turns(due)
        careful = {
            _careful_group(machine) for machine, _ in self._under_way()
        }  # groups that want time between two that leave: the next comes when this one is away
        for work, guest, sight in due:
            assert sight.facts is not None  # it is there
            turn, group = turn_of[guest.resource_id], _careful_group(sight.facts.machine)
            if group is not None and group in careful:
                turn = Later("another one of its group leaves first")
            current = self._situation.maintenance.of_host(work.host)
            if current is None or current.stage is not HostStage.EMPTYING:
                continue
            if isinstance(turn, Later):
                waiting = current.guest(guest.resource_id)
                if waiting is not None and waiting.reason != turn.reason:
                    noted = current.with_guest(replace(waiting, reason=turn.reason))
                    self._situation.maintenance.put_host(
                        noted
                    )  # a reason for who looks; nothing depends on it
                continue
            if waits(guest, self._keeper.sight(guest), now):
                continue  # something has ended since it was looked at
            careful.add(group)
            await self._tell_to_leave(session, current, guest, turn.target, now)
        return [now + timedelta(seconds=LOOK_AGAIN)] if CLOSED in turn_of.values() else []

    async def _tell_to_leave(
        self, session: Session, work: HostWork, guest: Guest, target: str | None, now: datetime
    ) -> None:
        assert guest.deed is not None and work.deadline is not None
        agreed = Agreed(session.session_id, work.host, guest.resource_id, len(guest.tries) + 1, target)
        order = Order(
            ACTIONS[guest.deed],
            (guest.resource_id,),
            {},
            deadline=min(max(work.deadline - now, timedelta(seconds=1)), self._instructions.longest_wait),
            agreed=agreed,
        )
        try:
            made = await self._instructions.create(in_the_name_of(guest), order)
        except RejectedError as error:  # too many at once: others have to end first
            log.warning("maintenance.refused", resource_id=guest.resource_id, reason=str(error))
            return
        after = replace(
            guest,
            state=GuestState.MOVING,
            since=now,
            tries=(*guest.tries, made.instruction_id),
            attempts=guest.attempts + 1,
        )
        await self._keeper.keep(Look(session, {work.host: work.with_guest(after)}, {}), Draft(now))
        log.info(
            "maintenance.leaves",
            resource_id=guest.resource_id,
            action=order.action.value,
            instruction_id=made.instruction_id,
        )

    def _turns(self, due: Sequence[Due]) -> Mapping[str, Turn | Later]:
        """Decide whose turn it is and where machines go: to hosts that are not to be emptied themselves.

        Only what finds no room there goes to one that is; what has to wait for others waits, rather than move twice.
        """
        under_way = list(self._under_way())
        zones = {host.id: host.zone_id for host in self._situation.resources.hosts()}
        burden = Counter(host for _, host in under_way)
        candidates = []
        for _, guest, sight in due:
            assert sight.facts is not None
            machine = sight.facts.machine
            candidates.append(
                Candidate(
                    machine=machine,
                    priority=-_ORDER.get(machine.role or "", USUAL),
                    since=guest.told,
                    moves=guest.deed in MOVES,
                    apart=apart(self._situation, machine, under_way) | set(guest.avoid),
                )
            )
        rooms = rooms_of(self._situation, under_way) if any(one.moves for one in candidates) else []
        to_come = self._situation.maintenance.hosts
        limits = RecoveryLimits(
            at_once=self._limits.at_once, per_zone=self._limits.per_zone, per_host=self._limits.per_host
        )
        quiet = [one for one in rooms if one.host not in to_come]
        found = turns(candidates, quiet, zones, burden, limits)
        left = [one for one in candidates if found[one.machine.id] == NO_ROOM]
        if left and len(quiet) < len(rooms):
            begun = {one.machine.id: one.machine.host or "" for one in candidates}
            for name, turn in found.items():
                if isinstance(turn, Turn):
                    burden[turn.target or begun[name]] += 1
            others = [one for one in rooms if one.host in to_come]
            found = {**found, **turns(left, others, zones, burden, limits)}
        return {
            name: CLOSED if isinstance(turn, Turn) and self._is_closed(turn.target) else turn
            for name, turn in found.items()
        }

    def _is_closed(self, host: str | None) -> bool:
        """Tell whether Doctor has a host disabled in its cloud still, although it may serve again: that takes a moment."""
        return host is not None and Mark(MarkKind.DISABLED, host) in self._situation.marks

    def _under_way(self) -> Iterator[tuple[VirtualResource, str]]:
        for instruction, task in self._situation.instructions.open:
            machine = self._situation.resources.virtual.get(task.resource_id)
            if instruction.session_id is not None and machine is not None:
                yield machine, task.target or task.host or ""

    async def forget(self, before: datetime) -> int:
        """Forget sessions that were over at a time; returns how many.

        Raises:
            StoreError: it was not kept.
        """
        situation = self._situation
        gone = [
            one
            for one in situation.maintenance
            if one.ended is not None
            and one.ended <= before
            and not one.holds
            and not situation.maintenance.is_open(one)
        ]
        if gone:
            draft = Draft(self._clock.now())
            for session in gone:
                draft.change.memos += [_forgotten(SESSION_MEMO, session.session_id)]
                draft.change.memos += [
                    _forgotten(HOST_MEMO, key_of(work)) for work in self._keeper.works(session)
                ]
                if situation.subscriptions.get(session.session_id) is not None:
                    draft.change.forget_subscriptions.append(session.session_id)
            await situation.keep(draft.change)
            for session in gone:
                situation.maintenance.forget(session.session_id)
                if situation.subscriptions.get(session.session_id) is not None:
                    situation.subscriptions.remove(session.session_id)
                    self._delivery.forget(session.session_id)
        return len(gone)


_ORDER = {STANDBY: 0, ACTIVE: 2}  # who leaves first
USUAL = 1


def _rank(guest: Guest, sight: Sight) -> tuple[int, int, str]:
    """Return the place of a machine among those that leave: standbys first, and those of the highest level."""
    machine = None if sight.facts is None else sight.facts.machine
    role, level = (None, 0) if machine is None else (machine.role, machine.sal_rank)
    return (_ORDER.get(role or "", USUAL), level, guest.resource_id)


def _careful_group(machine: VirtualResource) -> tuple[str, str] | None:
    """Return the group of a machine if that wants time between two that leave."""
    wants_time = machine.constraints is not None and machine.constraints.recovery_time
    return (machine.owner, machine.group) if wants_time and machine.group is not None else None


def _needs_reminder(guest: Guest, now: datetime) -> bool:
    return not guest.reminded and any(now >= moment for moment in _reminder_at(guest))


def _reminder_at(guest: Guest) -> list[datetime]:
    """Return when an owner who has not answered is reminded: half-way to when silence counts."""
    if guest.state is not GuestState.ASKED or guest.reply_by is None or guest.reminded:
        return []
    return [guest.told + (guest.reply_by - guest.told) / 2]


def _forgotten(kind: str, key: str) -> Memo:
    return Memo(kind=kind, key=key, record=None)
