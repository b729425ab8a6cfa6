"""Runs what a session asks for beside emptying hosts: actions by the names of the settings.

    kept as running -> begun -> (its end, its deadline) kept as succeeded or failed -> what is next

A run that is on record is being run: whoever takes over begins it again under the same id, so that a service, or a
program, can tell. One that has failed on a host leaves that in maintenance and pauses its session; a person decides.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

import structlog
from msgspec.structs import replace

from doctor.flows.maintenance_session import Look, NamedAction, SessionKeeper
from doctor.flows.situation import Situation
from doctor.flows.step import Draft
from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.kit.deadline import Deadline
from doctor.maintenance.actions import Begin, Course, Failed, begun, course, ended, in_words, running
from doctor.model.errors import StoreError
from doctor.model.maintenance import HostStage, HostWork, Session, SessionState
from doctor.model.maintenance_action import Job, Moment, NotDone, Run, RunOutcome
from doctor.model.notification import Phase

log = structlog.get_logger(__name__)

LEAST = timedelta(seconds=1)  # that a run gets which is begun again


class _Place(NamedTuple):
    """Where a run stands: in a session, or with one of its hosts."""

    session: Session
    work: HostWork | None
    run: Run


class ActionFlow:
    """All runs of actions. ``ring`` is called when one has ended."""

    def __init__(
        self, situation: Situation, keeper: SessionKeeper, clock: Clock, ring: Callable[[], None]
    ) -> None:
        self._situation = situation
        self._keeper = keeper
        self._clock = clock
        self._ring = ring
        self._under_way: dict[str, asyncio.Task[None]] = {}
        self._over: set[str] = set()  # of these: those of which only the end has to be kept

    # --- what is next ---

    def of_session(self, look: Look, moment: Moment, now: datetime) -> tuple[Look, Course]:
        """Go on with the actions of a session itself; return it as it will be, and how it was."""
        session = look.session
        found = course(session.asks_for(moment), moment, session.runs)
        if isinstance(found, Begin):
            run = self._begun(session, None, moment, found.name, session.runs, now)
            look = look._replace(session=replace(session, runs=(*session.runs, run)))
        return look, found

    def of_host(self, session: Session, work: HostWork, now: datetime) -> tuple[HostWork, Course]:
        """Go on with the actions of a host that is empty; return it as it will be, and how it was."""
        found = course(session.asks_for(Moment.HOST), Moment.HOST, work.runs)
        if isinstance(found, Begin):
            run = self._begun(session, work.host, Moment.HOST, found.name, work.runs, now)
            work = replace(work, runs=(*work.runs, run))
        return work, found

    def _begun(
        self,
        session: Session,
        host: str | None,
        moment: Moment,
        name: str,
        runs: tuple[Run, ...],
        now: datetime,
    ) -> Run:
        timeout = self._keeper.timeout_of(name)
        log.info("maintenance.action", session_id=session.session_id, moment=moment, action=name, host=host)
        return begun(session.session_id, host, moment, name, runs, now, timeout)

    # --- doing it ---

    @property
    def is_busy(self) -> bool:
        """Tell whether something runs, be it called off already."""
        return bool(self._under_way)

    def tend(self, tasks: asyncio.TaskGroup) -> None:
        """Begin what is on record as running and is not, and end what is not on record any more."""
        wanted = {place.run.run_id: place for place in self._places()}
        for run_id in self._under_way.keys() - wanted.keys() - self._over:
            self._under_way[run_id].cancel()
        for run_id in wanted.keys() - self._under_way.keys():
            self._under_way[run_id] = tasks.create_task(self._run(wanted[run_id]), name=f"action {run_id}")

    def _places(self) -> Iterator[_Place]:
        book = self._situation.maintenance
        for session in book.open:
            if session.actions:
                if (run := running(session.runs)) is not None:
                    yield _Place(session, None, run)
                for work in book.works(session.session_id):
                    if (run := running(work.runs)) is not None:
                        yield _Place(session, work, run)

    async def _run(self, place: _Place) -> None:
        run = place.run
        try:
            outcome = await self._outcome(place)
            self._over.add(run.run_id)
            await self._keep_surely(place, outcome)
        finally:
            del self._under_way[run.run_id]
            self._over.discard(run.run_id)
            self._ring()

    async def _outcome(self, place: _Place) -> RunOutcome:
        run = place.run
        named = self._keeper.actions.get(run.name)
        if named is None:
            return NotDone("the settings have no action of this name any more")
        left = run.deadline - self._clock.now()
        if left < LEAST:
            return NotDone("its time was over when it could be begun again")
        try:
            return await named.action.run(self._job(place), Deadline.after(left.total_seconds(), self._clock))
        except Exception as error:  # of a driver that does not keep its promise; the session has to go on
            log.exception("maintenance.action_broken", action=run.name)
            return NotDone(f"the driver is broken: {type(error).__name__}")

    def _job(self, place: _Place) -> Job:
        works = self._situation.maintenance.works(place.session.session_id)
        return Job(
            run_id=place.run.run_id,
            moment=place.run.moment,
            name=place.run.name,
            number=place.run.number,
            session_id=place.session.session_id,
            reason=place.session.reason,
            host=None if place.work is None else place.work.host,
            metadata={} if place.work is None else place.work.metadata,
            hosts={one.host: one.stage.value for one in works},
        )

    async def _keep_surely(self, place: _Place, outcome: RunOutcome) -> None:
        """Keep what came of a run, however long the store is away."""
        attempt = 1
        while True:
            try:
                await self._keep(place, outcome)
            except StoreError as error:
                log.warning("maintenance.not_kept", run_id=place.run.run_id, error=str(error))
                attempt += 1
                await asyncio.sleep(retry.delay_before(attempt))
            else:
                return

    async def _keep(self, place: _Place, outcome: RunOutcome) -> None:
        async with self._keeper.step():
            now = self._clock.now()
            session = self._situation.maintenance.get(place.session.session_id)
            if session is not None:
                look = self._with_end(session, place, outcome, now)
                await self._keeper.keep(look, Draft(now))
        log.info(
            "maintenance.action_over",
            run_id=place.run.run_id,
            action=place.run.name,
            host=None if place.work is None else place.work.host,
            is_done=not isinstance(outcome, NotDone),
            detail=outcome.detail,
        )

    def _with_end(self, session: Session, place: _Place, outcome: RunOutcome, now: datetime) -> Look:
        run_id = place.run.run_id
        if place.work is None:
            return Look(replace(session, runs=ended(session.runs, run_id, outcome, now)), {}, {})
        works = self._situation.maintenance.works(session.session_id)
        work = next(one for one in works if one.host == place.work.host)
        work = replace(work, runs=ended(work.runs, run_id, outcome, now))
        found = course(session.asks_for(Moment.HOST), Moment.HOST, work.runs)
        if not isinstance(found, Failed) or work.stage is not HostStage.EMPTY:
            return Look(session, {work.host: work}, {})
        if session.state is SessionState.RUNNING:
            why = f"{work.host}: {in_words(found.run)}"
            session = replace(session, state=SessionState.PAUSED, outcome=why)
        return Look(session, {work.host: work}, {Phase.ACTION_FAILED: [(work, None)]})


def called_off(works: Iterable[HostWork], why: str, now: datetime) -> Iterator[HostWork]:
    """Return the hosts on which an action runs, as they are when that is called off."""
    for work in works:
        if (run := running(work.runs)) is not None:
            yield replace(work, runs=ended(work.runs, run.run_id, NotDone(why), now))


def without_runs(session: Session, why: str, now: datetime) -> Session:
    """Return a session as it is when what runs for it as a whole is called off."""
    run = running(session.runs)
    if run is None:
        return session
    return replace(session, runs=ended(session.runs, run.run_id, NotDone(why), now))


def names_of(actions: Mapping[str, NamedAction]) -> str:
    """Say which actions there are."""
    return f"there are: {', '.join(sorted(actions))}" if actions else "the settings name none"
