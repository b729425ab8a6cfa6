"""Brings the cloud to say what is true: hosts that are down, machines in error, ports without a data plane [D 4.3.2].

Beside telling, never before it. What is to be marked follows from the alarms as they are (`doctor.inspector.marking`
decides); it is kept before it is done, with what the cloud said before, and each mark is a job of its own that goes on
until it is done, through failures, clears and restarts [I-23].
"""

import asyncio
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta

import msgspec
import structlog
from msgspec.structs import replace

from doctor.flows.situation import LATE_MARK_MEMO, MARK_MEMO, Situation
from doctor.flows.timelines import Timelines
from doctor.inspector.marking import (
    BUSY,
    MAINTENANCE,
    Begin,
    Done,
    Leave,
    Write,
    marking,
    opening,
    rank,
    reason_for,
    standing_in,
    unmarking,
    wanted,
)
from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.alarm import Transition
from doctor.model.checkpoint import Checkpoint
from doctor.model.errors import DoctorError, PermanentError, Reason, RejectedError, StoreError, TransientError
from doctor.model.fault import ResourceState
from doctor.model.map_news import Phase
from doctor.model.marking import MARKED, ForceDown, Mark, MarkKind, MarkRecord, MarkState, Standing
from doctor.model.resource import Isolation, PhysicalResource, Resource, VirtualResource
from doctor.ports.controller import Controller
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

WORKERS = 6  # jobs of one cloud side by side
REFUSED_DELAY = 1.0  # seconds until what a cloud does not take as things are is tried again, then ever more
LONGEST_REFUSED = 5.0
FORBIDDEN_DELAY = 60.0
LONGEST_DELAY = (
    10.0  # seconds until a cloud that did not answer is asked again; its driver spares it meanwhile
)
ECHO = 60.0  # seconds for which a word of a mark that was taken back may still be under way

OF_HOST = (MarkKind.FORCED_DOWN, MarkKind.DISABLED)

Place = tuple[int, int, int]


class MarkingFlow:
    """All marks in all clouds.

    ``can_isolate`` tells of which hosts somebody will say whether they are isolated: their servers are marked at once,
    and they themselves, unless the operator wants it otherwise, are forced down when that is said. ``keeps_down`` says why
    a host that is well must not be taken for up yet: its machines would run twice [I-15]. ``on_let_go`` hears of
    which resources Doctor has dropped a mark that somebody else has changed.
    """

    def __init__(
        self,
        situation: Situation,
        controllers: Mapping[str, Controller],
        timelines: Timelines,
        clock: Clock,
        force_down: Mapping[str, ForceDown],
        can_isolate: Callable[[PhysicalResource], bool] = lambda host: False,
        keeps_down: Callable[[str], str] = lambda host: "",
    ) -> None:
        self._situation = situation
        self._controllers = controllers
        self._timelines = timelines
        self._clock = clock
        self._force_down = force_down
        self._can_isolate = can_isolate
        self._keeps_down = keeps_down
        self.left: dict[Mark, str] = {}
        self._looked_at: dict[str, None] = {}
        self._waiting: set[str] = set()
        self._changed = asyncio.Event()
        self._jobs: dict[str, asyncio.PriorityQueue[tuple[Place, Mark]]] = {
            name: asyncio.PriorityQueue() for name in controllers
        }
        self._being_kept: set[Mark] = set()
        self._queued: set[Mark] = set()
        self._at_work: set[Mark] = set()
        self._behind: defaultdict[str, list[tuple[Place, Mark]]] = defaultdict(list)
        self._fresh: set[Mark] = set()
        self._open: defaultdict[str, set[Mark]] = defaultdict(set)
        self._retries: dict[Mark, asyncio.TimerHandle] = {}
        self._let_go: dict[Mark, datetime] = {}
        self._unanswered: dict[Mark, datetime] = {}  # when the cloud did last not say whether it has set it
        self._ends: dict[Mark, asyncio.TimerHandle] = {}  # of those that may come late
        self.on_let_go: Callable[[str], None] = lambda resource_id: None
        self._count = 0
        situation.on_restored(self.resume)

    # --- what is to be looked at ---

    def settled(self, transitions: Iterable[Transition]) -> None:
        """Look at what is otherwise than before by faults."""
        if self._controllers:
            self.look_at(one for transition in transitions for one in transition.resource_ids)

    def isolated(self, host: str) -> None:
        """Look at a host of which it is known how far its isolation got."""
        if self._controllers:
            self.look_at((host,))

    def look_at(self, resource_ids: Iterable[str]) -> None:
        """See to it that resources are marked as they should be, soon."""
        self._looked_at.update(dict.fromkeys(resource_ids))
        self._changed.set()

    def map_changed(self, resource_ids: Iterable[str]) -> None:
        """Look at those that have, or should have, marks."""
        situation = self._situation
        if not len(situation.book) and not situation.marks and not situation.late_marks:
            return
        marked = {mark.resource_id for mark in (*situation.marks, *situation.late_marks)}
        troubled = situation.book.is_troubled
        self.look_at(one for one in resource_ids if one in marked or troubled(one))

    def was_just_ours(self, mark: Mark) -> bool:
        """Tell whether Doctor has let go of a mark so lately that the cloud may still speak of it."""
        if self.may_come_late(mark):
            return True
        when = self._let_go.get(mark)
        return when is not None and (self._clock.now() - when).total_seconds() < ECHO

    def may_come_late(self, mark: Mark) -> bool:
        """Tell whether a request to set a mark that Doctor has taken back may still come through."""
        return mark in self._situation.late_marks

    def resume(self) -> None:
        """Look at everything anew: after a start, when a map is complete, when the store was read again."""
        if not self._controllers:
            return
        now = self._clock.now()
        for mark, record in self._situation.marks.items():
            if record.state in (MarkState.MARKING, MarkState.UNMARKING):
                if mark not in self._queued | self._at_work | self._retries.keys():
                    self._unanswered[mark] = now  # a Doctor of before may have asked, and have died over it
                self._put(mark, record)
        for mark in self._situation.late_marks:
            self._watch(mark)
        self.look_at(self._situation.book.troubled())
        self.look_at(mark.resource_id for mark in (*self._situation.marks, *self._situation.late_marks))

    # --- planning ---

    async def run(self) -> None:
        """Mark and unmark until cancelled."""
        if not self._controllers:
            return
        try:
            async with asyncio.TaskGroup() as tasks:
                for name in self._controllers:
                    for _ in range(WORKERS):
                        tasks.create_task(self._work(name))
                await self._keep_planning()
        finally:
            for handle in (*self._retries.values(), *self._ends.values()):
                handle.cancel()

    async def _keep_planning(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            await asyncio.sleep(0)  # whoever is to be told goes first
            ids, self._looked_at = list(self._looked_at), {}
            try:
                await self._plan(ids)
            except StoreError as error:
                log.warning("marks.not_kept", error=str(error))
                self.look_at(ids)
                await asyncio.sleep(0.5)

    async def _plan(self, resource_ids: Sequence[str]) -> None:
        """Decide what is to be done to these resources, keep it, and hand it to those who do it."""
        situation = self._situation
        await situation.ready()
        now = self._clock.now()
        news: list[MarkRecord] = []
        for resource_id in resource_ids:
            news += self._planned(resource_id, now)
        if not news:
            return
        self._being_kept = {one.mark for one in news}
        try:
            await situation.keep(Change(memos=[_memo(one.mark, one) for one in news]))
        finally:
            self._being_kept = set()
        for record in news:
            known = situation.marks.get(record.mark)
            situation.marks[record.mark] = record
            if record.state is MarkState.MARKING and known is None and self._is_map_true(record.cloud):
                self._fresh.add(record.mark)
            self._put(record.mark, record)
        log.info("marks.planned", marks=len(news), resources=len(resource_ids))

    def _planned(self, resource_id: str, now: datetime) -> list[MarkRecord]:
        """Return what is to be done to one resource that is not being done already."""
        situation = self._situation
        resource = situation.resources.get(resource_id)
        if resource is None and any(one.phase is Phase.LOADING for one in situation.clouds.values()):
            self._waiting.add(resource_id)  # it may only not be known yet
            return []
        kinds, state = self._wanted(resource)
        news = []
        for kind in MarkKind:
            mark = Mark(kind, resource_id)
            record = situation.marks.get(mark)
            is_still_down = kind is MarkKind.FORCED_DOWN and state is ResourceState.DOWN
            if kind not in kinds and record is not None and is_still_down:
                continue  # a dead host is not forced up because somebody begins to ask whether it is isolated
            if kind not in kinds and record is not None and kind in OF_HOST and self._keeps_down(resource_id):
                continue
            if kind not in kinds:
                self.left.pop(mark, None)
                if record is not None and record.state is not MarkState.UNMARKING:
                    news.append(replace(record, state=MarkState.UNMARKING, attempts=0, trouble=None))
                elif record is None and (late := self._came_late(mark, resource)) is not None:
                    log.info("mark.came_late", mark=kind, resource_id=resource_id)
                    news.append(replace(late, since=now))
                continue
            assert resource is not None and resource.cloud is not None  # something is wanted of it
            if record is not None:
                if record.state is MarkState.UNMARKING:
                    news.append(replace(record, state=MarkState.MARKING, attempts=0, trouble=None))
                continue
            late = self._came_late(mark, resource)
            match opening(kind, standing_in(resource, kind)) if late is None else Begin(late.before):
                case Begin(before):
                    self.left.pop(mark, None)
                    why, whose = self._cause(resource_id)
                    news.append(
                        MarkRecord(
                            mark=mark,
                            cloud=resource.cloud,
                            state=MarkState.MARKING,
                            before=before,
                            reason=reason_for(why, whose),
                            fault_key=whose,
                            since=now,
                        )
                    )
                case Leave(reason):
                    known = self.left.get(mark)
                    if known is None or (known != reason and not reason.startswith(BUSY)):
                        log.info("mark.left", mark=mark.kind, resource_id=resource_id, reason=reason)
                    self.left[mark] = reason
        return news

    def _wanted(self, resource: Resource | None) -> tuple[tuple[MarkKind, ...], ResourceState]:
        """Return how a resource should be marked now, and the state that it is in."""
        if resource is None or resource.cloud is None or resource.cloud not in self._controllers:
            return (), ResourceState.NORMAL
        situation = self._situation
        state, isolation = situation.book.state_of(resource.id), situation.isolations.get(resource.id)
        if isolation is None:
            is_fenced = isinstance(resource, PhysicalResource) and self._can_isolate(resource)
            isolation = Isolation.PENDING if is_fenced else Isolation.NOT_REQUIRED
        force_down, is_planned = self._force_down[resource.cloud], resource.id in situation.maintenance.away
        return wanted(resource, state, isolation, force_down, is_planned=is_planned), state

    def _came_late(self, mark: Mark, resource: Resource | None) -> MarkRecord | None:
        """Return the mark that Doctor has taken back, if the cloud has set it only now, as it was asked to before."""
        if resource is None or not self.may_come_late(mark):
            return None
        late = self._situation.late_marks[mark]
        return late if standing_in(resource, mark.kind) == MARKED[mark.kind] else None

    def _watch(self, mark: Mark, end: datetime | None = None) -> None:
        """Expect a mark that was taken back, until it is clear that no request to set it has come through by the end."""
        known = self._ends.pop(mark, None)
        if known is not None:
            known.cancel()
        end = end or self._clock.now() + timedelta(seconds=ECHO)
        self._ends[mark] = asyncio.get_running_loop().call_later(ECHO, self._expect_no_more, mark, end)

    def _expect_no_more(self, mark: Mark, end: datetime) -> None:
        late = self._situation.late_marks.get(mark)
        status = None if late is None else self._situation.clouds.get(late.cloud)
        if status is not None and not status.is_true_since(end):
            self._watch(mark, end)
            return
        del self._ends[mark]
        if late is not None:
            del self._situation.late_marks[mark]
            self._situation.store.later(Change(memos=[_memo(mark, None, LATE_MARK_MEMO)]))

    def _cause(self, resource_id: str) -> tuple[str, str]:
        """Return the fault by which a resource is how it is: the type and key of the worst one, or of what explains it.

        A host with none is in maintenance: that, and the session.
        """
        book, work = self._situation.book, self._situation.maintenance.of_host(resource_id)
        if work is not None and not book.state_of(resource_id).is_out:
            return MAINTENANCE, work.session_id
        worst = max(book.on(resource_id), key=lambda one: one.alarms[resource_id].resource_state.badness)
        root = book.root_cause(worst.fault)
        fault = worst.fault if root is None else root.fault
        return fault.fault_type, fault.fault_key

    # --- doing ---

    def _put(self, mark: Mark, record: MarkRecord) -> None:
        """Hand a mark to the workers of its cloud, in its order."""
        if record.cloud not in self._jobs or mark in self._queued:
            return
        handle = self._retries.pop(mark, None)
        if handle is not None:
            handle.cancel()
        self._queued.add(mark)
        self._open[record.fault_key].add(mark)
        self._count += 1
        resource = self._situation.resources.get(mark.resource_id)
        self._jobs[record.cloud].put_nowait(((*rank(mark, resource), self._count), mark))

    async def _work(self, cloud: str) -> None:
        jobs, controller = self._jobs[cloud], self._controllers[cloud]
        while True:
            place, mark = await jobs.get()
            if self._has_to_wait(mark):
                self._behind[mark.resource_id].append((place, mark))
                continue
            self._queued.discard(mark)
            self._at_work.add(mark)
            try:
                await self._do(mark, controller)
            except StoreError as error:
                log.warning("mark.not_kept", mark=mark.kind, resource_id=mark.resource_id, error=str(error))
                self._try_again(mark, 1.0)
            except DoctorError as error:
                self._failed(mark, error)
            except Exception:  # a defect of ours must not stop the other marks
                log.exception("mark.broken", mark=mark.kind, resource_id=mark.resource_id)
                self._try_again(mark, FORBIDDEN_DELAY)
            finally:
                self._at_work.discard(mark)
                for behind in self._behind.pop(mark.resource_id, ()):
                    jobs.put_nowait(behind)

    def _has_to_wait(self, mark: Mark) -> bool:
        """Tell whether a mark is at work itself, or comes after another one of its resource.

        A cloud does not ask the host that it disables once that is forced down; else it may wait for a dead one for long,
        and to force it down is then not held up by that.
        """
        down = Mark(MarkKind.FORCED_DOWN, mark.resource_id)
        return mark in self._at_work or (mark.kind is MarkKind.DISABLED and down in self._at_work)

    async def _do(self, mark: Mark, controller: Controller) -> None:
        record = self._situation.marks.get(mark)
        if record is None:
            return
        if record.state is MarkState.MARKING:
            if mark in self._fresh:  # the map, which announcements keep, has said how it is
                self._fresh.discard(mark)
                step: Write | Done | Leave = Write(Standing(MARKED[mark.kind], record.reason))
            else:
                step = marking(record, await controller.read(mark))
            if isinstance(step, Write):
                if self._is_premature(record):
                    self._try_again(mark, LONGEST_DELAY)
                    return
                try:
                    await controller.write(mark, step.standing)
                except TransientError:
                    self._unanswered[mark] = self._clock.now()
                    raise
            if isinstance(step, Leave):
                self._forget(mark, step.reason)
            else:
                self._done(mark)
        elif record.state is MarkState.UNMARKING:
            is_heard = record.attempts == 0 and self._is_heard(mark)
            standing = Standing(MARKED[mark.kind]) if is_heard else await controller.read(mark)
            match unmarking(record, standing):
                case Write() if self._is_premature(record):
                    self._try_again(mark, LONGEST_DELAY)
                case Write(standing):
                    await controller.write(mark, standing)
                    self._forget(mark)
                case Leave(reason):
                    self._forget(mark, reason)

    def _is_premature(self, record: MarkRecord) -> bool:
        """Tell whether what was decided of a host would be wrong by now: it may have failed anew, or be isolated no more [I-15]."""
        kind, resource_id = record.mark
        if record.state is MarkState.UNMARKING:
            return kind in OF_HOST and bool(self._keeps_down(resource_id))
        resource = self._situation.resources.get(resource_id)
        return kind is MarkKind.FORCED_DOWN and resource is not None and kind not in self._wanted(resource)[0]

    def _is_heard(self, mark: Mark) -> bool:
        """Tell whether the map, which is listened to, has a mark as it was set: then the cloud need not be asked.

        Of a host it is asked: to enable one that somebody has just disabled would be no small matter.
        """
        resource = self._situation.resources.get(mark.resource_id)
        if not isinstance(resource, VirtualResource) or resource.cloud is None:
            return False
        return self._is_map_true(resource.cloud) and standing_in(resource, mark.kind) == MARKED[mark.kind]

    def _is_map_true(self, cloud: str) -> bool:
        """Tell whether the map is as the cloud is: after a start it is from before until all was read again."""
        return self._situation.clouds[cloud].is_told_of_changes

    def _done(self, mark: Mark) -> None:
        """Note that a mark is in the cloud, unless it should not be there any more by now."""
        situation = self._situation
        record = situation.marks.get(mark)
        if record is None:
            return
        now = self._clock.now()
        if record.state is MarkState.UNMARKING:
            self._put(mark, record)
            return
        done = replace(record, state=MarkState.MARKED, done=now, trouble=None)
        situation.marks[mark] = done
        situation.store.later(Change(memos=[_memo(mark, done)]))
        if mark.kind in (MarkKind.FORCED_DOWN, MarkKind.DISABLED):
            self._timelines.stamp(record.fault_key, Checkpoint.HOST_MARKED, now)
        log.debug("mark.set", mark=mark.kind, resource_id=mark.resource_id)
        self._close(record, Checkpoint.RESOURCES_MARKED)

    def _forget(self, mark: Mark, reason: str = "") -> None:
        """Have nothing more to do with a mark: it was taken back, or it is somebody else's by now."""
        situation = self._situation
        record = situation.marks.get(mark)
        if record is None or mark in self._being_kept:  # what is decided of it anew is to be done
            return
        if not reason and record.state is MarkState.MARKING:
            self._put(mark, record)  # it is wanted again
            return
        del situation.marks[mark]
        now = self._clock.now()
        self._let_go = _lately(self._let_go, now)
        self._unanswered = _lately(self._unanswered, now)
        self._let_go[mark] = now
        memos = [_memo(mark, None)]
        if mark in self._unanswered and record.state is MarkState.UNMARKING:
            late = situation.late_marks[mark] = replace(record, attempts=1, trouble=None)
            memos.append(_memo(mark, late, LATE_MARK_MEMO))
            self._watch(mark)
        elif situation.late_marks.pop(mark, None) is not None:
            memos.append(_memo(mark, None, LATE_MARK_MEMO))
        situation.store.later(Change(memos=memos))
        if reason:
            self.on_let_go(mark.resource_id)
            log.info("mark.let_go", mark=mark.kind, resource_id=mark.resource_id, reason=reason)
            if record.state is MarkState.MARKING:
                self.left[mark] = reason
        else:
            log.debug("mark.taken_back", mark=mark.kind, resource_id=mark.resource_id)
        self._close(record, None)

    def _close(self, record: MarkRecord, checkpoint: Checkpoint | None) -> None:
        """Count a mark of a fault as done; with the last one the fault has passed the checkpoint."""
        pending = self._open[record.fault_key]
        pending.discard(record.mark)
        if pending:
            return
        del self._open[record.fault_key]
        now = self._clock.now()
        if checkpoint is not None:
            self._timelines.stamp(record.fault_key, checkpoint, now)
        took_ms = round((now - record.since).total_seconds() * 1000) if checkpoint is not None else None
        log.info(
            "marks.set" if checkpoint is not None else "marks.taken_back",
            fault_id=record.fault_key,
            took_ms=took_ms,
        )

    def _failed(self, mark: Mark, error: DoctorError) -> None:
        """Say what is in the way of a mark, and try again when that may be over."""
        record = self._situation.marks.get(mark)
        if record is None:
            return
        if isinstance(error, RejectedError) and error.reason is Reason.NOT_FOUND:
            self._forget(mark, "it is gone")
            return
        attempts = record.attempts + 1
        self._situation.marks[mark] = replace(record, attempts=attempts, trouble=str(error))
        match error:
            case PermanentError():
                delay = FORBIDDEN_DELAY
            case RejectedError():
                delay = min(attempts * REFUSED_DELAY, LONGEST_REFUSED)
            case _:
                delay = min(retry.delay_before(attempts + 2), LONGEST_DELAY)
        if attempts in (1, 10) or attempts % 100 == 0:
            log.warning(
                "mark.pending",
                mark=mark.kind,
                resource_id=mark.resource_id,
                attempts=attempts,
                error=str(error),
            )
        self._try_again(mark, delay)

    def _try_again(self, mark: Mark, delay: float) -> None:
        def again() -> None:
            self._retries.pop(mark, None)
            record = self._situation.marks.get(mark)
            if record is not None and record.state is not MarkState.MARKED:
                self._put(mark, record)

        known = self._retries.pop(mark, None)
        if known is not None:
            known.cancel()
        self._retries[mark] = asyncio.get_running_loop().call_later(delay, again)

    def map_is_complete(self) -> None:
        """Look at what was not known while a map was loading."""
        self.look_at(self._waiting)
        self._waiting = set()
        self.resume()


def _lately(moments: Mapping[Mark, datetime], now: datetime) -> dict[Mark, datetime]:
    return {mark: when for mark, when in moments.items() if (now - when).total_seconds() < ECHO}


def _memo(mark: Mark, record: MarkRecord | None, kind: str = MARK_MEMO) -> Memo:
    return Memo(
        kind=kind,
        key=f"{mark.kind}{SEPARATOR}{mark.resource_id}",
        record=None if record is None else msgspec.msgpack.encode(record),
    )
