"""How somebody asks not to be told for a while (design part 4): silences are made, changed, ended, and end by themselves.

An owner silences what is told of his own alarms, the Administrator what is told of all. What was withheld and still
holds is told at the end, whoever or whatever brought that about.
"""

import asyncio
from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import NamedTuple
from uuid import uuid4

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.agenda import Agenda
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.hush import Hush
from doctor.flows.notices import Notices
from doctor.flows.situation import SILENCE_MEMO, TALLY_MEMO, Situation
from doctor.flows.step import Draft
from doctor.kit.clock import Clock
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Identity
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import Silence, SilenceMatcher, SilenceState
from doctor.notifier import silence_life as life
from doctor.notifier.silence_life import SilenceEdit, SilenceOrder
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

TURN = "silences"
CHUNK = 500  # faults between two looks at what else there is to do


class SilenceLimits(NamedTuple):
    """How long a silence may last, and how many of a project may be planned or last."""

    longest: timedelta = timedelta(days=7)
    per_project: int = 100


class SilenceFlow:
    """Makes, changes and ends silences. Whose they are is part of every look-up."""

    def __init__(
        self,
        situation: Situation,
        delivery: DeliveryFlow,
        agenda: Agenda,
        clock: Clock,
        limits: SilenceLimits = SilenceLimits(),  # noqa: B008 - frozen
    ) -> None:
        self._situation = situation
        self._delivery = delivery
        self._agenda = agenda
        self._clock = clock
        self._limits = limits
        self._hush = Hush(situation)
        self._notices = Notices(situation)
        self._changing = asyncio.Lock()  # two who change one silence do it one after the other
        situation.on_restored(self._plan)

    def start(self) -> None:
        """Plan the turns of the silences that the store knows; what ended while Doctor was away is told at once."""
        self._agenda.at(self._clock.now(), TURN, self._turn)

    async def create(self, identity: Identity, order: SilenceOrder) -> tuple[Silence, list[Flaw]]:
        """Begin or plan a silence; returns it with what its author should look at once more.

        Raises:
            RejectedError: something is wrong with it, or there are too many.
            StoreError: it was not kept.
        """
        scope, resources = identity.scope, self._situation.resources
        order = order._replace(matcher=_with_ids(order.matcher, scope, resources))
        silence = life.made(
            order,
            str(uuid4()),
            scope,
            user=identity.name,
            now=self._clock.now(),
            longest=self._limits.longest,
        )
        # A map may have a million machines: elsewhere, so that faults are told meanwhile.
        is_sweeping, doubts = await asyncio.to_thread(_looked_over, silence, resources)
        if is_sweeping and not order.everything:
            flaw = Flaw("/matcher", life.EVERYTHING)
            raise RejectedError("the silence is wrong", flaws=[flaw])
        async with self._changing:
            self._check_room(scope)
            await self._put(silence)
        log.info(
            "silence.made",
            silence_id=silence.silence_id,
            project=scope,
            owner=silence.owner,
            end=silence.end.isoformat(),
        )
        return silence, doubts

    async def change(self, identity: Identity, silence_id: str, edit: SilenceEdit) -> Silence:
        """Change a silence that is not over.

        Raises:
            RejectedError: there is no such silence, it is over, or would be wrong then.
            StoreError: it was not kept.
        """
        async with self._changing:
            await self._situation.ready()
            before = self.get(identity, silence_id)
            now = self._clock.now()
            after = life.changed(before, edit, user=identity.name, now=now, longest=self._limits.longest)
            if after is not before:
                await self._put(after)
            return after

    async def end(self, identity: Identity, silence_id: str) -> Silence:
        """End a silence before its time, and tell what it has withheld; one that is over stays so.

        Raises:
            RejectedError: there is no such silence.
            StoreError: it was not kept.
        """
        async with self._changing:
            await self._situation.ready()
            before = self.get(identity, silence_id)
            after = life.ended(before, user=identity.name, now=self._clock.now())
            if after is not before:
                await self._put(after)
                log.info("silence.ended", silence_id=silence_id, user=identity.name)
            return after

    def get(self, identity: Identity, silence_id: str) -> Silence:
        """Return a silence of the identity's scope.

        Raises:
            RejectedError: there is none, or it is somebody else's: the same answer for both.
        """
        found = self._situation.silences.get(silence_id)
        if found is None or (identity.scope is not None and found.project != identity.scope):
            raise RejectedError("there is no such silence", reason=Reason.NOT_FOUND)
        return found

    def all(self, identity: Identity) -> list[Silence]:
        """Return the silences that the identity may see."""
        scope, silences = identity.scope, self._situation.silences
        return list(silences) if scope is None else silences.of(scope)

    def over(self, record: AlarmedFault, alarm: Alarm, scope: str | None) -> tuple[Silence, ...]:
        """Return the silences that keep an open alarm from its owner, and for the Administrator those for himself."""
        now = self._clock.now()
        if alarm.cleared_time is not None or not self._situation.silences.live(now):
            return ()
        cover = self._hush.coverage(record, now).of(alarm)
        found = cover if scope is None else (cover.owner,)
        return tuple({one.silence_id: one for one in found if one is not None}.values())

    async def covered(self, silences: Sequence[Silence]) -> dict[str, int]:
        """Count the open alarms that each of some silences keeps from somebody now."""
        counts = dict.fromkeys((one.silence_id for one in silences), 0)
        now = self._clock.now()
        if not any(one.state(now) is SilenceState.ACTIVE for one in silences):
            return counts
        for number, record in enumerate(list(self._situation.book), 1):
            if number % CHUNK == 0:
                await asyncio.sleep(0)  # so that a fault that comes meanwhile need not wait
            coverage = self._hush.coverage(record, now)
            for alarm in record.alarms.values() if coverage else ():
                for silence_id in {one.silence_id for one in coverage.of(alarm) if one is not None}:
                    if silence_id in counts:
                        counts[silence_id] += 1
        return counts

    async def forget(self, before: datetime) -> int:
        """Forget silences that were over at a time, with what they have withheld; returns how many.

        Raises:
            StoreError: it was not kept.
        """
        async with self._changing:
            await self._situation.ready()
            silences = self._situation.silences
            gone = [one.silence_id for one in silences if one.until <= before]
            if gone:
                memos = [
                    Memo(kind=kind, key=key, record=None)
                    for key in gone
                    for kind in (SILENCE_MEMO, TALLY_MEMO)
                ]
                await self._situation.keep(Change(memos=memos))
                for silence_id in gone:
                    silences.forget(silence_id)
            return len(gone)

    async def _put(self, silence: Silence) -> None:
        """Keep a silence as it is now, and tell what nothing covers any more by that."""
        situation = self._situation
        await situation.ready()
        situation.silences.put(silence)
        draft = Draft(self._clock.now())
        draft.change.memos.append(_memo(silence))
        await self._tell(draft)
        self._plan()

    async def _turn(self, now: datetime) -> None:
        """Do what is due: a silence has begun or ended."""
        await self._situation.ready()
        await self._tell(Draft(now))
        self._plan()

    async def _tell(self, draft: Draft) -> None:
        self._notices.of_silences(draft)
        if draft.change != Change():
            await self._situation.keep(draft.change)
            self._delivery.dispatch(draft.change.notifications)
        if draft.change.notifications:
            log.info("silences.told", notifications=len(draft.change.notifications))

    def _plan(self) -> None:
        """Come back when the next silence begins or ends."""
        moment = self._situation.silences.next_turn(self._clock.now())
        if moment is None:
            self._agenda.cancel(TURN)
        else:
            self._agenda.at(moment, TURN, self._turn)

    def _check_room(self, scope: str | None) -> None:
        now = self._clock.now()
        others = [
            one for one in self._situation.silences.of(scope) if one.state(now) is not SilenceState.ENDED
        ]
        if len(others) >= self._limits.per_project:
            raise RejectedError(
                f"a project has {self._limits.per_project} silences at most: end some",
                reason=Reason.TOO_MANY,
            )


def _looked_over(silence: Silence, resources: ResourceMap) -> tuple[bool, list[Flaw]]:
    return (
        life.is_sweeping(silence.matcher, silence.project, resources),
        list(life.doubts(silence.matcher, silence.project, resources)),
    )


def _with_ids(matcher: SilenceMatcher, scope: str | None, resources: ResourceMap) -> SilenceMatcher:
    """Return a matcher of the Administrator with the ids of what he calls by an alias or a short name."""
    if scope is not None:
        return matcher
    found = (resources.find(name) for name in matcher.resource_id)
    ids = tuple(name if one is None else one.id for name, one in zip(matcher.resource_id, found, strict=True))
    return replace(matcher, resource_id=ids)


def _memo(silence: Silence) -> Memo:
    return Memo(kind=SILENCE_MEMO, key=silence.silence_id, record=msgspec.msgpack.encode(silence))
