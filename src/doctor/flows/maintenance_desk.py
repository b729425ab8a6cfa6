"""Where people speak of maintenance: the Administrator asks for hosts and gives them back, owners answer [D 5.5.1, 5.5.2].

What is asked for is checked, against guards too, and kept before it is answered; `doctor.flows.maintenance` does it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.maintenance_actions import called_off, names_of, without_runs
from doctor.flows.maintenance_session import Look, NamedAction, Said, SessionKeeper, everybody
from doctor.flows.maintenance_weighing import Weighed, Weighing
from doctor.flows.situation import Situation
from doctor.flows.step import Draft
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_id
from doctor.maintenance.actions import begun, running
from doctor.maintenance.calendar import Entry, entries
from doctor.maintenance.guests import (
    allowed,
    decided,
)
from doctor.maintenance.plan import Plan
from doctor.maintenance.stages import Trigger, given_back
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import RawEvent
from doctor.model.identity import Identity
from doctor.model.maintenance import (
    Decider,
    Deed,
    Guest,
    GuestState,
    HostStage,
    HostWork,
    MaintenanceLimits,
    Override,
    ScaleIn,
    Session,
    SessionState,
)
from doctor.model.maintenance_action import ActionWish, Moment, RunState
from doctor.model.notification import Phase
from doctor.model.resource import HOST, PhysicalResource
from doctor.model.subscription import Endpoint, EventKind, SubscribeFilter, Subscription
from doctor.ports.channel import Channel
from doctor.profiler.availability import SHIPPED, Levels

log = structlog.get_logger(__name__)

SLACK = timedelta(seconds=60)  # by which clocks differ: a start that is over for longer is a slip
PERSONS_WORD = "compute.host.down"  # the event by which it is judged that a person says a host is down


class HostWish(NamedTuple):
    """A host that somebody wants to work on, with what he writes down of the work."""

    host: str
    metadata: Mapping[str, Any] = {}


class Request(NamedTuple):
    """What the Administrator asks for: StateChangeRequest [D 5.5.2].

    ``starts`` None is now. ``at_once`` is how many hosts are away together, None: all. ``override`` is why it is to be done
    although a guard is against it; a second person has to agree. ``actions`` are done around the work; with ``auto_return``
    a host is given back when those on it are done (None: if there are any). ``scale_in`` is to ask owners to make room where
    there is none. ``metadata`` is told to owners. With ``holds`` it is because the host is disabled in its cloud.
    """

    hosts: tuple[HostWish, ...]
    timeout: timedelta | None = None
    reason: str = ""
    reply_to: str | None = None
    starts: datetime | None = None
    at_once: int | None = None
    override: str | None = None
    actions: tuple[ActionWish, ...] = ()
    auto_return: bool | None = None
    scale_in: bool = False
    metadata: Mapping[str, Any] = {}
    holds: bool = False

    @property
    def returns(self) -> bool:
        """Tell whether hosts are given back when what was to be done on them is done."""
        has_any = any(one.moment is Moment.HOST for one in self.actions)
        return has_any if self.auto_return is None else self.auto_return


class Reply(NamedTuple):
    """What an owner answers: ``refusal`` is why he does not agree, None if he does; ``actions`` are by machine, None is the
    first that is allowed.

    With ``ready`` it may be done at once: the standby has taken over where there is one, and he needs no more notice.
    """

    actions: Mapping[str, Deed | None]
    refusal: str | None = None
    ready: bool = False


class MaintenanceDesk:
    """Takes what people say. ``ring`` is called when there may be something to do by it."""

    def __init__(
        self,
        situation: Situation,
        keeper: SessionKeeper,
        faults: FaultFlow,
        delivery: DeliveryFlow,
        channel: Channel,
        clock: Clock,
        ring: Callable[[], None],
        limits: MaintenanceLimits = MaintenanceLimits(),  # noqa: B008 - frozen
        levels: Levels = SHIPPED,
    ) -> None:
        self._situation = situation
        self._keeper = keeper
        self._faults = faults
        self._delivery = delivery
        self._channel = channel
        self._clock = clock
        self._ring = ring
        self.limits = limits
        self._weighing = Weighing(situation, keeper, limits, levels)

    # --- what there is ---

    def get(self, identity: Identity, session_id: str) -> Session:
        """Return a session; to an owner only one in which machines of his are.

        Raises:
            RejectedError: there is none, or it is none of his affair: the same answer for both.
        """
        found = self._situation.maintenance.get(session_id)
        if found is None or not self._concerns(identity, found):
            raise RejectedError("there is no such session", reason=Reason.NOT_FOUND)
        return found

    def all(self, identity: Identity) -> list[Session]:
        """Return the sessions that somebody may see."""
        return [one for one in self._situation.maintenance if self._concerns(identity, one)]

    def works(self, session: Session) -> list[HostWork]:
        """Return the hosts of a session."""
        return self._situation.maintenance.works(session.session_id)

    def watcher(self, session_id: str) -> asyncio.Event:
        """Return what is set at the next change of a session, and once; ask before looking how it is."""
        return self._keeper.watcher(session_id)

    @property
    def moves_again(self) -> bool:
        """Tell whether what leaves a host now may have to leave again: every host is to be emptied."""
        return not self._keeper.has_quiet_host

    def is_open(self, session: Session) -> bool:
        """Tell whether something may still come of a session."""
        return self._situation.maintenance.is_open(session)

    def calendar(self, identity: Identity) -> list[Entry]:
        """Return the sessions that somebody may see, in the order in which they begin, and which of them meet."""
        physical = self._situation.resources.physical

        def zone_of(host: str) -> str | None:
            return physical[host].zone_id if host in physical else None

        return entries(self.all(identity), zone_of, self._keeper.timeout_of, self._clock.now())

    @property
    def actions(self) -> Mapping[str, NamedAction]:
        """Return the actions that can be asked for."""
        return self._keeper.actions

    def _concerns(self, identity: Identity, session: Session) -> bool:
        was_asked = session.scale_in is not None and identity.scope is not None
        if was_asked and self._situation.resources.owned_by(identity.scope or ""):
            return True  # for room, as everybody who runs anything
        return identity.scope is None or any(
            guest.owner == identity.scope for work in self._keeper.works(session) for guest in work.guests
        )

    # --- the Administrator ---

    async def create(self, identity: Identity, request: Request) -> Session:
        """Take a request to empty hosts; what is to be done for it is under way.

        Raises:
            RejectedError: hosts that are unknown, out, or in another session; a time that is wrong; a guard is against it.
            StoreError: it was not kept, and nothing is done.
        """
        now = self._clock.now()
        async with self._keeper.step():
            hosts = self._hosts(request, now)
            weighed = await self._weigh(identity.name, hosts, request, now)
            against = weighed.against
            if against and request.override is None:
                way = "" if weighed.short is None else ", ask owners to make room (scale_in)"
                detail = f"{'; '.join(against)}. Empty fewer at once{way}, or say why it has to be (override)"
                flaws = [Flaw("/physical_resource_state", one) for one in against]
                raise RejectedError(detail, reason=Reason.CONFLICT, flaws=flaws)
            session = self._session(identity.name, weighed.hosts, request, now, against)
            if request.scale_in and weighed.short is not None:
                until = session.starts + session.timeout
                wanted = ScaleIn(vcpus=weighed.short.vcpus, memory_mb=weighed.short.memory_mb, until=until)
                session = replace(session, scale_in=wanted)
            works = {
                one.host: HostWork(session_id=session.session_id, host=one.host, metadata=dict(one.metadata))
                for one in (wish._replace(host=self._situation.id_of(wish.host)) for wish in request.hosts)
            }
            draft = Draft(now)
            if request.reply_to is not None:
                draft.change.subscriptions.append(self._answering(session))
            asked: Said = {Phase.SCALE_IN: []} if session.waits_for_room and not against else {}
            await self._keeper.keep(Look(session, works, asked), draft)
            for one in draft.change.subscriptions:
                self._situation.subscriptions.put(one)
                self._delivery.follow(one)
        log.info("maintenance.asked_for", session_id=session.session_id, hosts=len(hosts), user=identity.name)
        self._ring()
        return session

    def _hosts(self, request: Request, now: datetime) -> dict[str, PhysicalResource]:
        situation = self._situation
        flaws: list[Flaw] = []
        found: dict[str, PhysicalResource] = {}
        for index, wish in enumerate(request.hosts):
            pointer = f"/physical_resource_state/{index}/physical_resource_id"
            host = situation.resources.physical.get(situation.id_of(wish.host))
            if host is None or host.type != HOST:
                flaws.append(Flaw(pointer, f"the resource map has no host {wish.host!r}"))
            elif host.id in found:
                flaws.append(Flaw(pointer, f"{wish.host!r} is there twice"))
            elif (session_id := situation.maintenance.hosts.get(host.id)) is not None:
                flaws.append(
                    Flaw(pointer, f"is in session {session_id} already: abort that, or wait for its end")
                )
            elif situation.book.state_of(host.id).is_out:
                detail = "is out: there is nothing to empty; evacuate its machines, or wait until it is back"
                flaws.append(Flaw(pointer, detail))
            else:
                found[host.id] = host
        if not request.hosts:
            flaws.append(Flaw("/physical_resource_state", "name one host at least"))
        timeout = request.timeout or self.limits.usual
        if not timedelta(seconds=1) <= timeout <= self.limits.longest:
            most = f"{self.limits.longest.total_seconds():g} s"
            flaws.append(Flaw("/timeout", f"is at least 1 s and at most {most}"))
        if request.starts is not None and request.starts < now - SLACK:
            flaws.append(Flaw("/starts_at", f"is over: it is {now.isoformat()}"))
        if request.at_once is not None and request.at_once < 1:
            flaws.append(Flaw("/at_once", "is one host at least"))
        flaws += self._flaws_of_actions(request)
        if request.reply_to is not None:
            refusal = self._channel.check(Endpoint(endpoint_id="", url=request.reply_to))
            flaws += [] if refusal is None else [Flaw("/reply_to", refusal)]
        if flaws:
            raise RejectedError("the request is wrong", flaws=flaws)
        if sum(not one.state.is_over for one in situation.maintenance) >= self.limits.sessions:
            detail = f"{self.limits.sessions} sessions are open: wait for the end of some, or abort them"
            raise RejectedError(detail, reason=Reason.TOO_MANY)
        return found

    def _flaws_of_actions(self, request: Request) -> Iterator[Flaw]:
        known = self._keeper.actions
        for index, wish in enumerate(request.actions):
            if wish.name not in known:
                close = get_close_matches(wish.name, known, 1)
                hint = f"did you mean {close[0]!r}?" if close else names_of(known)
                yield Flaw(f"/actions/{index}/name", f"there is no action {wish.name!r}: {hint}")
            elif wish in request.actions[:index]:
                yield Flaw(f"/actions/{index}", f"{wish.moment}:{wish.name} is there twice")

    def _session(
        self,
        user: str,
        hosts: Iterable[str],
        request: Request,
        now: datetime,
        against: Sequence[str] = (),
    ) -> Session:
        """Return the session that a request makes; ``against`` is what a guard says, which is waived."""
        names = tuple(hosts)
        return Session(
            session_id=stable_id("maintenance", user, now.isoformat(), *sorted(names)),
            user=user,
            reason=request.reason,
            hosts=names,
            created=now,
            starts=max(request.starts or now, now),
            timeout=request.timeout or self.limits.usual,
            at_once=request.at_once,
            reply_to=request.reply_to,
            state=SessionState.PROPOSED if against else SessionState.PLANNED,
            outcome="; ".join(against),
            override=Override(reason=request.override or "", users=(user,)) if against else None,
            metadata=dict(request.metadata),
            actions=request.actions,
            auto_return=request.returns,
            holds=request.holds,
        )

    async def plan(self, request: Request) -> tuple[Plan, Weighed]:
        """Return what a request would come to, and what was weighed: what a guard would say, and who goes first.

        Raises:
            RejectedError: hosts that are unknown, out, or in another session; a time that is wrong.
        """
        await self._situation.ready()
        now = self._clock.now()
        hosts = self._hosts(request, now)
        weighed = await self._weigh("", hosts, request, now)
        return await self._weighing.plan(weighed, request.at_once), weighed

    async def _weigh(
        self, user: str, hosts: Mapping[str, PhysicalResource], request: Request, now: datetime
    ) -> Weighed:
        asked_for = self._session(user, hosts, request, now)
        return await self._weighing.weigh(asked_for, hosts.values(), now, asks_for_room=request.scale_in)

    def _answering(self, session: Session) -> Subscription:
        """Return what the one response goes out by: it hears of nothing else."""
        endpoint_id = stable_id("endpoint", session.session_id, session.reply_to or "")
        return Subscription(
            subscription_id=session.session_id,
            project=None,
            filter=SubscribeFilter(event=frozenset({EventKind.MAINTENANCE})),
            endpoints=(Endpoint(endpoint_id=endpoint_id, url=session.reply_to or ""),),
            created=session.created,
        )

    async def approve(self, identity: Identity, session_id: str) -> Session:
        """Agree, as a second person, to what a guard is against.

        Raises:
            RejectedError: there is no such session, it needs no second person, or this is the first one.
        """
        async with self._keeper.step():
            session = self.get(identity, session_id)
            if session.state is not SessionState.PROPOSED or session.override is None:
                raise RejectedError("it waits for nobody's word", reason=Reason.CONFLICT)
            if identity.name in session.override.users:
                raise RejectedError(f"{identity.name} has asked for it: it takes somebody else's word")
            users = (*session.override.users, identity.name)
            agreed = replace(
                session,
                state=SessionState.PLANNED,
                outcome="",
                override=replace(session.override, users=users),
            )
            asked: Said = {Phase.SCALE_IN: []} if agreed.waits_for_room else {}
            await self._keeper.keep(Look(agreed, {}, asked), Draft(self._clock.now()))
        log.info("maintenance.approved", session_id=session_id, users=users, against=session.outcome)
        self._ring()
        return agreed

    async def pause(self, identity: Identity, session_id: str, *, is_paused: bool) -> Session:
        """Begin nothing new, or go on.

        Raises:
            RejectedError: there is no such session, or it cannot be paused as it is.
        """
        async with self._keeper.step():
            session = self.get(identity, session_id)
            possible = (SessionState.PLANNED, SessionState.RUNNING) if is_paused else (SessionState.PAUSED,)
            if session.state not in possible:
                raise RejectedError(f"it is {session.state}", reason=Reason.CONFLICT)
            after = replace(
                session, state=SessionState.PAUSED if is_paused else SessionState.PLANNED, outcome=""
            )
            await self._keeper.keep(Look(after, {}, {}), Draft(self._clock.now()))
        log.info("maintenance.paused" if is_paused else "maintenance.resumed", session_id=session_id)
        self._ring()
        return after

    async def abort(self, identity: Identity, session_id: str, reason: str = "") -> Session:
        """Call a session off: its hosts serve as before, and what was shut down is started again.

        A host on which an action has begun that has not come to a good end stays in maintenance, until a person gives it back.

        Raises:
            RejectedError: there is no such session, or it is over.
        """
        async with self._keeper.step():
            session = self.get(identity, session_id)
            if not self._situation.maintenance.is_open(session):
                raise RejectedError("it is over", reason=Reason.CONFLICT)
            now = self._clock.now()
            why = f"called off by {identity.name}" + (f": {reason}" if reason else "")
            works = [one for one in self._keeper.works(session) if not one.stage.is_over]
            stay = [one for one in works if one.is_unfinished]
            works = [one for one in works if not one.is_unfinished]
            if session.state.is_over and not works:
                names = ", ".join(one.host for one in stay)
                detail = f"it is over; give back what was not finished when you have seen to it: {names}"
                raise RejectedError(detail, reason=Reason.CONFLICT)
            works = await self._keeper.undo(works)
            after = {one.host: self._given_back(one, Trigger.ABORT, now, why) for one in works}
            said = {Phase.CANCELLED: [pair for one in after.values() for pair in everybody(one)]}
            after |= {one.host: one for one in called_off(stay, why, now)}
            session = without_runs(session, why, now)
            look = self._keeper.with_outcome(Look(session, after, said), now)
            if not look.session.state.is_over:
                ended = replace(look.session, state=SessionState.ABORTED, outcome=why, ended=now)
                look = self._keeper.answered(look._replace(session=ended), now)
            await self._keeper.keep(look, Draft(now))
        log.info("maintenance.aborted", session_id=session_id, user=identity.name)
        self._ring()
        return look.session

    async def withdraw(self, identity: Identity, session_id: str) -> Session:
        """Call a session off, if it is not over, and show it to nobody who asks as Fenix' clients do.

        Raises:
            RejectedError: there is no such session.
        """
        if self.is_open(self.get(identity, session_id)):
            await self.abort(identity, session_id)
        async with self._keeper.step():
            session = replace(self.get(identity, session_id), withdrawn=self._clock.now())
            await self._keeper.keep(Look(session, {}, {}), Draft(self._clock.now()))
        return session

    async def let_go(self, session_id: str) -> None:
        """Note that the host of a session is not disabled in its cloud any more: it may be opened for again."""
        async with self._keeper.step():
            session = self._situation.maintenance.get(session_id)
            if session is not None:
                await self._keeper.keep(Look(replace(session, holds=False), {}, {}), Draft(self._clock.now()))

    async def give_back(self, identity: Identity, hosts: Sequence[str]) -> list[HostWork]:
        """Have hosts serve again: the work on them is done, or they were not emptied yet and need not be.

        Raises:
            RejectedError: one of them is in no session; then nothing is done.
        """
        async with self._keeper.step():
            now = self._clock.now()
            found, flaws = [], []
            for index, name in enumerate(hosts):
                work = self._situation.maintenance.of_host(self._situation.id_of(name))
                pointer = f"/physical_resource_state/{index}/physical_resource_id"
                if work is None:
                    flaws.append(Flaw(pointer, "is in no session of maintenance"))
                elif (run := running(work.runs)) is not None:
                    detail = f"action {run.name} runs on it: wait for its end, or call the session off"
                    flaws.append(Flaw(pointer, detail))
                else:
                    found.append(work)
            if flaws:
                raise RejectedError("the request is wrong", flaws=flaws)
            found = await self._keeper.undo(found)
            done = []
            for work in found:
                is_done = work.stage is HostStage.EMPTY
                trigger = Trigger.GIVE_BACK if is_done else Trigger.ABORT
                why = "" if is_done else f"called off by {identity.name}"
                after = self._given_back(work, trigger, now, why)
                session = self._situation.maintenance.get(work.session_id)
                assert session is not None  # a host is in a session
                phase = Phase.OVER if is_done else Phase.CANCELLED
                said = {phase: everybody(after)}
                await self._keeper.keep(
                    self._keeper.with_outcome(Look(session, {work.host: after}, said), now), Draft(now)
                )
                done.append(after)
        log.info("maintenance.given_back", hosts=[one.host for one in done], user=identity.name)
        self._ring()
        return done

    def _given_back(self, work: HostWork, trigger: Trigger, now: datetime, why: str) -> HostWork:
        return given_back(work, trigger, now, self._keeper.versions(work.host), self.limits.returns, why)

    async def retry(self, identity: Identity, session_id: str) -> Session:
        """Run once more what has failed on hosts, and go on with their session.

        Raises:
            RejectedError: there is no such session, it is over, or nothing has failed that could be run again.
        """
        async with self._keeper.step():
            session = self.get(identity, session_id)
            now = self._clock.now()
            works = {}
            for work in self._keeper.works(session):
                last = work.runs[-1] if work.runs else None
                if work.stage is HostStage.EMPTY and last is not None and last.state is RunState.FAILED:
                    timeout = self._keeper.timeout_of(last.name)
                    again = begun(session_id, work.host, last.moment, last.name, work.runs, now, timeout)
                    works[work.host] = replace(work, runs=(*work.runs, again))
            if session.state.is_over or not works:
                why = (
                    f"it is {session.state}" if session.state.is_over else "no action has failed on its hosts"
                )
                raise RejectedError(why, reason=Reason.CONFLICT)
            if session.state is SessionState.PAUSED:
                session = replace(session, state=SessionState.PLANNED, outcome="")
            await self._keeper.keep(Look(session, works, {}), Draft(now))
        log.info("maintenance.retried", session_id=session_id, hosts=list(works), user=identity.name)
        self._ring()
        return session

    async def take_back(self, identity: Identity, hosts: Sequence[str]) -> list[str]:
        """Have hosts in their usual state: given back after the work, or not down any more because a person says so.

        Raises:
            RejectedError: one of them is in no session, and not down; then nothing is done.
            StoreError: it was not kept.
        """
        await self._situation.ready()
        ids = [self._situation.id_of(name) for name in hosts]
        down = [one for one in ids if self._situation.book.state_of(one).is_out]
        self._refuse(
            "is in no session of maintenance, and not down",
            (
                index
                for index, one in enumerate(ids)
                if one not in down and self._situation.maintenance.of_host(one) is None
            ),
        )
        if down:
            await self._report(identity, down, "up", "")
        if others := [one for one in ids if one not in down]:
            await self.give_back(identity, others)
        return ids

    async def say_down(self, identity: Identity, hosts: Sequence[str], reason: str) -> list[str]:
        """Take a person's word that hosts have failed, with all that runs on them; evidence for a fence it is not.

        Raises:
            RejectedError: the map has no such host; then nothing is done.
            StoreError: it was not kept.
        """
        await self._situation.ready()
        ids = [self._situation.id_of(name) for name in hosts]
        known = self._situation.resources.physical
        self._refuse(
            "the resource map has no such host",
            (index for index, one in enumerate(ids) if one not in known or known[one].type != HOST),
        )
        await self._report(identity, ids, "down", reason)
        return ids

    def _refuse(self, detail: str, places: Iterable[int]) -> None:
        flaws = [Flaw(f"/physical_resource_state/{one}/physical_resource_id", detail) for one in places]
        if flaws:
            raise RejectedError("the request is wrong", flaws=flaws)

    async def _report(self, identity: Identity, hosts: Sequence[str], status: str, reason: str) -> None:
        now, source = self._clock.now(), f"administrator {identity.name}"
        said = {"status": status, **({"reason": reason} if reason else {})}
        events = [
            RawEvent(
                time=now,
                type=PERSONS_WORD,
                resource=host,
                source=source,
                status=status,
                raw_details=msgspec.json.encode(said),
            )
            for host in hosts
        ]
        await self._faults.accept([Reported(events, source, msgspec.json.encode(events), now)])

    # --- owners ---

    async def reply(self, identity: Identity, session_id: str, reply: Reply) -> list[Guest]:
        """Take what an owner says of his machines; he may say something else until the host is done with.

        Raises:
            RejectedError: there is no such session, machines that are not his or not in it, an action that cannot be
                done, or it is too late.
        """
        async with self._keeper.step():
            session = self.get(identity, session_id)
            now = self._clock.now()
            mine = {
                guest.resource_id: (work, guest)
                for work in self._keeper.works(session)
                for guest in work.guests
                if identity.scope in (None, guest.owner)
            }
            flaws = [
                Flaw(f"/actions/{name}", "no machine of yours in this session has this id")
                for name in reply.actions
                if name not in mine
            ]
            if flaws:
                raise RejectedError("the reply is wrong", flaws=flaws)
            chosen: dict[str, Deed | None] = dict(reply.actions)
            if not chosen:
                chosen = dict.fromkeys(
                    name for name, (_, one) in mine.items() if one.state is GuestState.ASKED
                )
            works: dict[str, HostWork] = {}
            answered = []
            for name, wish in chosen.items():
                work, guest = mine[name]
                work = works.get(work.host, work)
                after = self._reply_for(identity, work, guest, wish, reply, now, flaws)
                works[work.host] = work.with_guest(after)
                answered.append(after)
            if flaws:
                raise RejectedError("the reply is wrong", reason=Reason.CONFLICT, flaws=flaws)
            await self._keeper.keep(Look(session, works, {}), Draft(now))
        log.info("maintenance.answered", session_id=session_id, user=identity.name, machines=len(answered))
        self._ring()
        return answered

    def _reply_for(
        self,
        identity: Identity,
        work: HostWork,
        guest: Guest,
        wish: Deed | None,
        reply: Reply,
        now: datetime,
        flaws: list[Flaw],
    ) -> Guest:
        pointer = f"/actions/{guest.resource_id}"
        if why := _too_late(work, guest):
            if reply.refusal is not None or wish not in (None, guest.deed):  # else it counts already
                flaws.append(Flaw(pointer, f"too late: {why}"))
            return guest
        sight, refusal = self._keeper.sight(guest), reply.refusal
        possible = allowed(sight)
        deed = Deed.LEAVE if refusal is not None else wish or next(iter(possible))
        if deed not in possible:
            flaws.append(Flaw(pointer, f"{deed} cannot be done; use one of: {', '.join(possible)}"))
            return guest
        reason = (
            "" if refusal is None else f"its owner refuses: {refusal}" if refusal else "its owner refuses"
        )
        guest = replace(guest, ready=reply.ready and refusal is None)
        return decided(guest, deed, Decider.OWNER, sight, now, user=identity.name, reason=reason)


def _too_late(work: HostWork, guest: Guest) -> str:
    """Return why nobody can say any more what is done to a machine, or nothing."""
    if work.stage.is_over or work.stage is HostStage.EMPTY:
        return "its host is done with"
    return f"it is {guest.state}" if guest.state in (GuestState.MOVING, GuestState.AWAY) else ""
