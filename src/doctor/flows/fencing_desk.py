"""What people want of fencing: arm a zone, hold everything, vouch for a host, have it tried again or given back.

Each wish is kept with its name and reason in the log of decisions before it takes effect.
"""

from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import Any, NamedTuple

import msgspec

from doctor.fencing.audit import Audit, Break
from doctor.fencing.book import EVERYWHERE
from doctor.fencing.brakes import Ruling
from doctor.fencing.evidence import Judgement
from doctor.fencing.machine import RESTING, TRANSITIONS, Trigger, may_return_at
from doctor.fencing.vouching import flaws_of, is_enough
from doctor.flows.isolation import IsolationFlow
from doctor.flows.situation import FENCE_ZONE_MEMO, Situation
from doctor.kit.clock import Clock
from doctor.model.errors import Flaw, Reason, RejectedError, StoreError
from doctor.model.fence_job import FenceDecision, FenceJob, FenceState, Word, ZoneMode, ZoneSetting
from doctor.ports.store import Change, Memo

Leaving = Callable[[str], Awaitable[Sequence[str]]]

_encode = msgspec.msgpack.Encoder().encode


class ZoneStanding(NamedTuple):
    """A zone: what Doctor may do there, who said so, and its hosts."""

    zone: str
    mode: ZoneMode
    setting: ZoneSetting | None
    hosts: frozenset[str]


class Explanation(NamedTuple):
    """Why a host is as it is, and what would be decided of it now. ``job`` None: it is not being isolated."""

    host: str
    job: FenceJob | None
    judgement: Judgement
    ruling: Ruling


async def nothing(host: str) -> Sequence[str]:
    """Return nothing: no cloud moves machines of itself."""
    return ()


class FencingDesk:
    """Takes wishes and answers questions. ``leaving`` says what is on its way from a host beside Doctor's own instructions."""

    def __init__(
        self, situation: Situation, isolation: IsolationFlow, clock: Clock, leaving: Leaving = nothing
    ) -> None:
        self._situation = situation
        self._isolation = isolation
        self._clock = clock
        self.leaving = leaving

    # --- questions ---

    @property
    def hold(self) -> ZoneSetting | None:
        """Return who has pulled the hold switch."""
        return self._situation.fence_book.hold

    @property
    def zones(self) -> list[ZoneStanding]:
        """Return all zones."""
        book, lookup = self._situation.fence_book, self._isolation.lookup
        return [
            ZoneStanding(zone, book.mode(zone), book.zones.get(zone), lookup.hosts_of(zone))
            for zone in lookup.zones
        ]

    @property
    def jobs(self) -> Sequence[FenceJob]:
        """Return the last job of each host."""
        return list(self._situation.fence_book.jobs.values())

    def zone(self, zone: str) -> ZoneStanding:
        """Return one zone.

        Raises:
            RejectedError: no host is in such a zone.
        """
        for standing in self.zones:
            if standing.zone == zone:
                return standing
        raise RejectedError("no host is in such a zone", reason=Reason.NOT_FOUND)

    def explain(self, name: str) -> Explanation:
        """Return what is known of a host and what the brakes say now.

        Raises:
            RejectedError: there is no such host.
        """
        host = self._host(name)
        now = self._clock.now()
        job = self._situation.fence_book.jobs.get(host)
        asked = job if job is not None and job.state not in RESTING else self._imagined(host)
        lookup = self._isolation.lookup
        return Explanation(host, job, lookup.judgement(host, now), self._isolation.ruling(asked))

    async def audit(self, noted: str = "") -> Audit:
        """Read the whole log and see whether all of it is as it was written; a page at a time, for others have haste.

        Raises:
            StoreError: the store cannot be read at all.
        """
        await self._situation.ready()
        audit, store = Audit(), self._situation.store
        try:
            async with self._isolation.writing:
                end, page = self._situation.fence_book.digest, await store.fence_decisions()
            while page:
                for _, decision in page:
                    audit.take(decision)
                page = await store.fence_decisions(before=page[-1][0])
        except StoreError as error:
            audit.broken = Break(None, str(error))
        else:
            audit.finish(end, noted)
        return audit

    def _imagined(self, host: str) -> FenceJob:
        now, before = self._clock.now(), self._situation.fence_book.jobs.get(host)
        return FenceJob(
            host=host,
            zone=self._isolation.lookup.zone_of(host),
            generation=0,
            revision=0,
            state=FenceState.SUSPECT,
            fault_key="",
            since=now,
            changed=now,
            fences=() if before is None else before.fences,
        )

    def _host(self, name: str) -> str:
        found = self._situation.resources.find(name)
        host = name if found is None else found.id
        if host not in {one.id for one in self._situation.resources.hosts()} | set(
            self._situation.fence_book.jobs
        ):
            raise RejectedError("there is no such host", reason=Reason.NOT_FOUND)
        return host

    # --- wishes ---

    async def set_zone(self, zone: str, mode: ZoneMode, *, user: str, reason: str) -> ZoneStanding:
        """Say what Doctor may do in a zone.

        Raises:
            RejectedError: no host is in such a zone.
            TransientError: it was not kept, or another Doctor acts.
        """
        self.zone(zone)
        await self._set(zone, mode, user, reason, f"{mode} {zone}")
        return self.zone(zone)

    async def set_hold(self, is_on: bool, *, user: str, reason: str) -> ZoneSetting | None:
        """Pull the hold switch or release it; it stays so through restarts.

        Raises:
            TransientError: it was not kept, or another Doctor acts.
        """
        mode = ZoneMode.HOLD if is_on else ZoneMode.ARMED
        await self._set(EVERYWHERE, mode, user, reason, "hold" if is_on else "release")
        return self.hold

    async def _set(self, zone: str, mode: ZoneMode, user: str, reason: str, decision: str) -> None:
        now = self._clock.now()
        setting = ZoneSetting(mode=mode, user=user, reason=reason, time=now)
        memo = Memo(kind=FENCE_ZONE_MEMO, key=zone, record=_encode(setting))
        decided = FenceDecision(
            host="",
            generation=0,
            revision=0,
            time=now,
            decision=decision,
            state=None,
            reason=reason,
            user=user,
        )
        await self._isolation.note_setting(Change(memos=[memo]), decided)
        self._situation.fence_book.zones[zone] = setting
        self._isolation.touch([job.host for job in self._situation.fence_book.active])

    async def vouch(self, name: str, *, typed: str, by: str, account: str, reason: str) -> FenceJob:
        """Take the word of a person that a host is off; with the second one it counts as isolated.

        Raises:
            RejectedError: it is not enough, or the host is not one to vouch for; each flaw says what is missing.
            TransientError: it was not kept, or another Doctor acts.
        """
        await self._situation.ready()
        host = self._host(name)
        job = await self._job_to_vouch_for(host)
        now = self._clock.now()
        word = Word(by=by.strip(), account=account, reason=reason.strip(), time=now)
        limits = self._isolation.limits
        life = self._isolation.lookup.judgement(host, now).life
        if flaws := flaws_of(job, typed, word, life, limits):
            raise RejectedError("this is no confirmation", flaws=flaws)
        words = (*job.words, word)
        says = f"{word.by} says that it is off: {word.reason}"
        if is_enough(words, limits):
            return await self._move(job, Trigger.VOUCH, says, user=word.by, words=words)
        return await self._isolation.note(job, "vouch", says, user=word.by, words=words)

    async def _job_to_vouch_for(self, host: str) -> FenceJob:
        job = self._situation.fence_book.jobs.get(host)
        if job is None or job.state in RESTING:
            failure = self._isolation.lookup.failure_of(host)
            if failure is None:
                raise RejectedError(
                    f"{host} is not down: there is nothing to confirm", reason=Reason.CONFLICT
                )
            return await self._isolation.suspect(host, failure.fault.fault_key)
        self._check(job, Trigger.VOUCH, "cannot be confirmed by a person")
        return job

    async def retry(self, name: str, *, user: str, reason: str, zone: str = "") -> FenceJob:
        """Have a host tried again, from the first level, through all brakes; in the end, if a zone is named, with that.

        Raises:
            RejectedError: it does not wait for a person, or there is no such zone around it that could be cut off.
            TransientError: it was not kept, or another Doctor acts.
        """
        await self._situation.ready()
        job = self._job(name)
        self._check(job, Trigger.RETRY, "does not wait to be tried again")
        early = may_return_at(job, self._isolation.limits.longest_command) - self._clock.now()
        if early > timedelta(0):
            wait = f"wait {round(early.total_seconds()) + 1} s"
            raise RejectedError(f"a command may still be on its way to it: {wait}", reason=Reason.CONFLICT)
        lookup = self._isolation.lookup
        around, known = lookup.zones_around(job.host), lookup.zone_of_level(job, job.reach)
        if zone and zone not in around:
            says = (
                f"use one of: {', '.join(around)}" if around else "fencing.zones says of none around it how"
            )
            raise RejectedError("it cannot be cut off", flaws=[Flaw("/zone", says)])
        if zone and known not in ("", zone):
            detail = f"{known} was cut off in its place already: give it back first"
            raise RejectedError(detail, reason=Reason.CONFLICT)
        return await self._move(job, Trigger.RETRY, reason or "tried again", user=user, widened=zone or known)

    async def give_back(self, name: str, *, user: str, reason: str, anyway: bool = False) -> FenceJob:
        """Have a host given back what was cut; ``anyway``: although its cloud knows of machines that others move from it.

        Raises:
            RejectedError: it is not isolated, its machines are still on their way elsewhere, or the switch is on hold.
            TransientError: it was not kept, or another Doctor acts.
        """
        await self._situation.ready()
        job = self._job(name)
        self._check(job, Trigger.RETURN, "is not isolated")
        if self.hold is not None:
            detail = f"the hold switch is on ({self.hold.user}: {self.hold.reason}): release it first"
            raise RejectedError(detail, reason=Reason.CONFLICT)
        left = self._isolation.unfinished(job.host) or (() if anyway else await self.leaving(job.host))
        if left:
            flaws = [Flaw("/host", one) for one in left]
            raise RejectedError(f"{job.host} may not come back yet", reason=Reason.CONFLICT, flaws=flaws)
        return await self._move(job, Trigger.RETURN, reason or "given back", user=user, words=())

    def _job(self, name: str) -> FenceJob:
        host = self._host(name)
        job = self._situation.fence_book.jobs.get(host)
        if job is None:
            raise RejectedError(f"nothing was ever done to {host}", reason=Reason.CONFLICT)
        return job

    def _check(self, job: FenceJob, trigger: Trigger, what: str) -> None:
        if (job.state, trigger) not in TRANSITIONS:
            raise RejectedError(f"{job.host} is {job.state}: it {what}", reason=Reason.CONFLICT)

    async def _move(
        self, job: FenceJob, trigger: Trigger, reason: str, *, user: str, **changes: Any
    ) -> FenceJob:
        after = await self._isolation.move(job, trigger, reason, user=user, **changes)
        self._isolation.touch([job.host])
        return after
