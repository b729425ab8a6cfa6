"""The main story: from raw events to owners who know [D 5.2.1].

    accept -> drop repeats -> judge by the policy -> find what is affected -> alarms -> notifications
           -> save all of it in one transaction -> tell

Up to saving nothing waits: a step is decided in memory, in the order in which events arrived, so that order holds
without locks. The answer to the Monitor comes after saving [I-1], telling right behind it.

Of one event `FaultFlow` decides which fault it is. What the fault does to alarms, notifications and the capacity is
brought about in `settlement` (whom it is told to in `notices`), what follows from several faults together in
`conclusion`, what is only foreseen in `foresight`, and whether it is believed by now, or comes and goes, is asked of
`judgement`. All of them write into the one `Step`.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple, Protocol

import msgspec

from doctor.flows.agenda import Agenda
from doctor.flows.conclusion import Conclusions
from doctor.flows.correction import concerned
from doctor.flows.foresight import Foresights
from doctor.flows.hearsay import hear
from doctor.flows.judgement import OWN, Judgement
from doctor.flows.lookout import Lookout
from doctor.flows.memory import Expected, Key
from doctor.flows.notices import Notices
from doctor.flows.settlement import Settlement
from doctor.flows.situation import ISOLATION_MEMO, MOVED_MEMO, Situation
from doctor.flows.step import Step
from doctor.flows.zones import ZoneWatch
from doctor.inspector import diagnosis
from doctor.inspector.escalation import Move
from doctor.inspector.measurement import Readings
from doctor.inspector.prediction import PREFIX
from doctor.inspector.selection import Clear, Foretold, Ignored, Raise, TakenBack, Unnamed
from doctor.inspector.vantage import MONITOR_ISOLATED
from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_ids
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.model.errors import Reason, RejectedError, StoreError
from doctor.model.event import EventBatch, RawEvent
from doctor.model.map_news import MapDelta
from doctor.model.notification import StoredNotification
from doctor.model.resource import Isolation
from doctor.model.resource_map import OwnersBefore, ResourceMap
from doctor.model.subscription import Subscription
from doctor.ports.store import Change, FenceChange, Memo

LET_GO = "let go of what no rule stands behind"

OnReported = Callable[[Sequence["Reported"], Sequence["Accepted"]], None]
OnSettled = Callable[[Sequence[Transition]], None]
OnHeard = Callable[[Iterable[str]], None]
OnIsolated = Callable[[str], None]


class Reported(NamedTuple):
    """Events that came together, in their order.

    ``body`` is what was received, for the journal; ``received`` is checkpoint T2.
    """

    events: Sequence[RawEvent]
    source: str
    body: bytes
    received: datetime


class Accepted(NamedTuple):
    """The ids of a report's events, durable now, in their order, and whether each was news or was durable before."""

    event_ids: list[str]
    news: list[bool]


class Outbox(Protocol):
    """What takes notifications that are kept, and keeps how they end by ``keep``."""

    keep: Callable[[Change], Awaitable[None]]

    def dispatch(self, notifications: Sequence[StoredNotification]) -> None:
        """Send these."""
        ...

    def catch_up(self, subscriptions: Iterable[Subscription], last_sequence: Callable[[str], int]) -> None:
        """Send what was kept although it seemed not to be."""
        ...


class Stopwatch(Protocol):
    """What notes when faults passed which checkpoint."""

    def start(self, timeline: Timeline) -> None:
        """Begin the timeline of a fault."""
        ...

    def stamp(self, fault_id: str, checkpoint: Checkpoint, time: datetime) -> None:
        """Note that a fault passed a checkpoint."""
        ...


class FaultFlow:
    """Takes raw events; what they mean is kept and told."""

    def __init__(
        self,
        situation: Situation,
        delivery: Outbox,
        timelines: Stopwatch,
        agenda: Agenda,
        clock: Clock,
    ) -> None:
        self._situation = situation
        self._delivery = delivery
        self._timelines = timelines
        self._clock = clock
        self._agenda = agenda
        self._judgement = Judgement(situation, clock, agenda, self._calm, self._silence, self._lull)
        self._notices = Notices(situation)
        self._settlement = Settlement(situation, clock, self._notices)
        self._conclusions = Conclusions(situation, self._settlement, self._judgement)
        self._foresights = Foresights(
            situation, self._settlement, self._judgement, agenda, clock, self._look_ahead
        )
        self._zones = ZoneWatch(situation, self._settlement, agenda, self._zone_due)
        self.lookout = Lookout(situation, agenda, clock, self._settlement, self._judge, self._by_itself)
        self._on_reported: list[OnReported] = []
        self._on_settled: list[OnSettled] = []
        self._on_heard: list[OnHeard] = []
        self._on_isolated: list[OnIsolated] = []
        situation.on_restored(self._catch_up)
        situation.on_restored(self._watch_zones)
        situation.on_policy(self._look_back)
        delivery.keep = situation.keep

    def _catch_up(self) -> None:
        """Tell what was kept by a change whose outcome was unknown."""
        self._delivery.catch_up(self._situation.subscriptions, self._situation.last_sequence)
        self._foresights.resume()

    def start(self) -> None:
        """Put on the agenda what was due when Doctor ended."""
        self._judgement.resume()
        self.lookout.start()
        self._foresights.resume()
        self._look_back()

    def _watch_zones(self) -> None:
        """Note when something is due in which zone, as it is by what is known and in force now."""
        self._zones.resume(self._clock.now())

    async def accept(self, reports: Sequence[Reported]) -> list[Accepted]:
        """Judge reports in their order, and return when all that follows from them is durable.

        Raises:
            StoreError: nothing was kept; the Monitors should send again.
        """
        situation = self._situation
        if not situation.is_ready:
            await situation.ready()
        step = Step(self._clock.now())
        try:
            accepted = [self._take(report, step) for report in reports]
        except Exception:  # a defect of ours: what memory has of this step is not kept
            situation.doubt()
            raise
        await situation.keep(step.change)
        self._tell(step)
        for reported in self._on_reported:
            reported(reports, accepted)
        return accepted

    def _take(self, report: Reported, step: Step) -> Accepted:
        """Judge the events of one report that are news."""
        situation = self._situation
        is_news, rules_for = situation.intake.is_news, situation.selector.rules_for
        step.accepted, step.reporter = report.received, report.source
        ids = stable_ids("event", [event.identity for event in report.events])
        news = []
        for event, event_id in zip(report.events, ids, strict=True):
            new = is_news(event_id)
            news.append(new)
            if new and (event.sight is None or self.lookout.passes(event, event_id, event.sight, step)):
                if rules_for(event.type) is not None:
                    self._judge(event, event_id, step)
                else:
                    situation.unnamed.count(event.type)
                self._zones.heed(step)
        batch = EventBatch(
            received_time=report.received,
            source=report.source,
            event_ids=bytes.fromhex("".join(ids).replace("-", "")),
            body=report.body,
        )
        step.change.batches.append(batch)
        return Accepted(ids, news)

    def _judge(self, event: RawEvent, event_id: str, step: Step) -> None:
        """Decide what one event means (T3), and do it to the alarms in memory."""
        situation = self._situation
        judgement = self._judgement
        zone_id = getattr(situation.resources.find(event.resource), "zone_id", None)
        verdict = situation.selector.select(event, zone_id)
        raised = verdict if isinstance(verdict, Raise) else None
        hear(situation, event, verdict, step)
        match verdict:
            case Raise():
                self._raise(event, event_id, verdict, step)
            case Clear():
                for ended in verdict.faults:
                    self._clear(ended.resource, ended.fault_type, step)
                raised = verdict.raises
                if raised is not None:
                    self._raise(event, event_id, raised, step)
            case Foretold():
                self._foresights.foretold(event, event_id, verdict, step)
            case TakenBack():
                self._foresights.taken_back(event, verdict, step)
            case Ignored() | Unnamed():
                pass
        judgement.contradicts(event, raised, step.change)
        for own in judgement.hears(event, zone_id, step.now, step.change):
            (own_id,) = stable_ids("event", [own.identity])
            self._judge(own, own_id, step)

    def _raise(self, event: RawEvent, event_id: str, verdict: Raise, step: Step) -> None:
        """Begin a fault, or count a repeat of it; one that is not believed yet, or comes and goes, waits."""
        resource_id = self._situation.id_of(verdict.resource)
        key = (resource_id, verdict.rule.fault_type)
        record = self._situation.book.open_fault(*key)
        folded = self._situation.memory.folded.get(key)
        if folded is not None and folded.event is None:
            self._judgement.folds(key, step.now, step.change, event, event_id)
        elif record is not None:
            self._repeat(record, verdict, event, event_id, step)
        elif folded is None:
            before = self._judgement.believed(event, verdict, resource_id, step.now, step.change)
            if before is not None and not self._judgement.folds(key, step.now, step.change, event, event_id):
                self._begin(event, event_id, verdict, resource_id, step, before=before)

    def _begin(
        self,
        event: RawEvent,
        event_id: str,
        verdict: Raise,
        resource_id: str,
        step: Step,
        more: dict[str, Any] | None = None,
        before: Readings | None = None,
    ) -> None:
        """Begin a fault, and what follows from it; ``before`` is what was read when it was first in doubt."""
        situation = self._situation
        fault = diagnosis.fault_of(
            verdict,
            event,
            resource_id,
            situation.resources.get(resource_id),
            fault_key=situation.fault_key(event_id, resource_id, verdict.rule.fault_type),
            raised_by=event_id,
            now=step.now,
            before=before,
            more=more,
        )
        self._settlement.open(fault, step)
        self._foresights.came_true(fault, step)
        self._conclusions.draw(resource_id, event_id, step)

    def _repeat(
        self, record: AlarmedFault, verdict: Raise, event: RawEvent, event_id: str, step: Step
    ) -> None:
        """Count a repeat of an open fault; if it is worse or better than before, tell the change."""
        fault = record.fault
        if not diagnosis.has_moved(fault, verdict):
            repeats = step.change.repeats
            repeats[fault.fault_key] = repeats.get(fault.fault_key, 0) + 1
        elif not self._judgement.folds(
            (fault.resource_id, fault.fault_type), step.now, step.change, event, event_id
        ):
            self._change(record, verdict, step)

    def _change(
        self, record: AlarmedFault, verdict: Raise, step: Step, more: dict[str, Any] | None = None
    ) -> None:
        self._settlement.change(record, diagnosis.moved(record.fault, verdict, now=step.now, more=more), step)

    def _clear(self, name: str, fault_type: str, step: Step) -> None:
        """End a fault and its alarms; one that is not open stays so.

        A fault on something that no map knew goes by the name that the Monitor has for it, also when a map that came
        later knows better.
        """
        found = self._situation.resources.find(name)
        resource_id = name if found is None else found.id
        for subject in dict.fromkeys((resource_id, name)):
            key = (subject, fault_type)
            record = self._situation.book.open_fault(*key)
            folded = self._situation.memory.folded.get(key)
            is_over = record is None if folded is None else folded.event is None
            if is_over or self._judgement.folds(key, step.now, step.change, None):
                continue
            if record is not None:
                self._finish(record, step)

    def _finish(self, record: AlarmedFault, step: Step) -> None:
        """End a fault, and what followed from it."""
        self._settlement.end(record, step)
        self._conclusions.draw(record.fault.resource_id, record.fault.fault_key, step)

    def _tell(self, step: Step) -> None:
        """Hand over what is saved (T5)."""
        if step.timelines or step.cleared_faults:
            saved = self._clock.now()
            for timeline in step.timelines:
                timeline.checkpoints[Checkpoint.SAVED] = saved
                self._timelines.start(timeline)
            for fault_key in step.cleared_faults:
                self._timelines.stamp(fault_key, Checkpoint.RESOLVED, saved)
        self._delivery.dispatch(step.change.notifications)
        if step.transitions:
            for settled in self._on_settled:
                settled(step.transitions)
        if step.heard:
            for heard in self._on_heard:
                heard(step.heard)

    def on_reported(self, reported: OnReported) -> None:
        """Have this called with reports, and what was made of them, once that is kept and on its way."""
        self._on_reported.append(reported)

    def on_settled(self, settled: OnSettled) -> None:
        """Have this called with what a step did to faults, once that is kept and on its way to those who are told."""
        self._on_settled.append(settled)

    def on_heard(self, heard: OnHeard) -> None:
        """Have this called with the hosts of which somebody has said whether they live, once that is kept."""
        self._on_heard.append(heard)

    def on_isolated(self, isolated: OnIsolated) -> None:
        """Have this called with a host once it is kept how far its isolation got."""
        self._on_isolated.append(isolated)

    # --- what no event brings about ---

    async def clear(self, fault_key: str, *, user: str) -> None:
        """End an open fault by hand; owners are told as of any end. One that is not open stays so.

        If it is still there, the next report of a Monitor with a new time raises it anew.

        Raises:
            StoreError: it was not kept.
        """
        await self._by_itself(lambda step: self._end_by_hand(fault_key, step), user=user)

    async def decide(self, escalation_id: str, move: Move, *, user: str, comment: str = "") -> None:
        """Say whether a zone has failed whose parts have failed too often; to say the same twice is no error.

        Raises:
            RejectedError: there is nothing of this id to decide, or not any more.
            StoreError: it was not kept.
        """
        await self._by_itself(lambda step: self._zones.decide(escalation_id, move, comment, step), user=user)

    def _end_by_hand(self, fault_key: str, step: Step) -> None:
        """Take a person's word that a fault is over, whatever was folded, and whatever would follow from others."""
        situation = self._situation
        record = situation.book.fault(fault_key)
        if record is None:
            return
        fault = record.fault
        situation.memory.fold((fault.resource_id, fault.fault_type), None, step.change)
        if fault.fault_type == MONITOR_ISOLATED:
            self.lookout.overrule(fault.resource_id)
        if fault.prediction is not None:
            self._foresights.withdraw(record, step)
        elif fault.is_derived:
            self._settlement.end(
                record, step
            )  # what it was concluded from is still there, and would raise it at once
        else:
            self._finish(record, step)

    async def _by_itself(self, decide: Callable[[Step], None], *, user: str = "") -> None:
        """Do what no event has brought about, but a person or the time, as durably as what an event has."""
        situation = self._situation
        await situation.ready()
        step = Step(self._clock.now(), user=user)
        try:
            decide(step)
            self._zones.heed(step)
        except RejectedError:  # before anything was done
            raise
        except Exception:  # a defect of ours: what memory has of this step is not kept
            situation.doubt()
            raise
        await situation.keep(step.change)
        self._tell(step)

    def _look_back(self) -> None:
        """See whether the policy that is in force now stands behind what was concluded before."""
        if self._conclusions.unfounded:
            self._agenda.at(self._clock.now(), LET_GO, lambda _: self._by_itself(self._conclusions.let_go))
        self._watch_zones()

    async def _calm(self, key: Key) -> None:
        """Tell how a fault that came and went has ended up."""
        await self._by_itself(lambda step: self._unfold(key, step))

    def _unfold(self, key: Key, step: Step) -> None:
        situation = self._situation
        folded = situation.memory.folded.get(key)
        if folded is None:
            return
        situation.memory.fold(key, None, step.change)
        if key[1].startswith(PREFIX):
            self._foresights.unfold(key, folded, step)
            return
        record = situation.book.open_fault(*key)
        verdict = None
        if folded.event is not None:
            found = situation.resources.find(folded.event.resource)
            verdict = situation.selector.select(folded.event, getattr(found, "zone_id", None))
            verdict = verdict.raises if isinstance(verdict, Clear) else verdict
        count = {"folded_changes": folded.flapping.folded}
        if not isinstance(verdict, Raise) or folded.event is None:
            if record is not None:
                self._finish(record, step)
        elif record is None:
            self._begin(folded.event, folded.event_id, verdict, key[0], step, count)
        else:
            self._change(record, verdict, step, count)

    async def _look_ahead(self, fault_key: str) -> None:
        """See what the time has done to a prediction."""
        await self._by_itself(lambda step: self._foresights.look(fault_key, step))

    async def _lull(self, key: Key) -> None:
        """End the storm over a domain, if it is calm by now."""
        await self._by_itself(lambda step: self._conclusions.end_storm(key[0], step))

    async def _zone_due(self, zone: str) -> None:
        """Do what is due in a zone."""
        await self._by_itself(lambda step: self._zones.pass_time(zone, step))

    async def _silence(self, key: Key) -> None:
        """Say that somebody has not spoken who should have."""
        await self._by_itself(lambda step: self._miss(key, step))

    def _miss(self, key: Key, step: Step) -> None:
        event = self._judgement.silence(key, step.now, self.lookout.cut_off_until(step.now))
        if event is not None:
            silent = Expected(last=step.now, is_silent=True)
            self._situation.memory.expect(key, silent, step.change)
            body = msgspec.json.encode(event)
            self._take(Reported([event], source=OWN, body=body, received=step.now), step)

    async def isolation_changed(
        self, host: str, isolation: Isolation, *, fencing: FenceChange | None = None
    ) -> None:
        """Take over how far the isolation of a faulty host got: a change of its alarms, and of those of its machines.

        It is kept together with ``fencing``, the step of the machine that brought it about. Who waited for it is told
        now; as long as nobody says anything a dead host stays `pending`.

        Raises:
            StoreError: nothing was kept; say it again.
        """
        await self._by_itself(lambda step: self._isolate(host, isolation, fencing, step))
        for isolated in self._on_isolated:
            isolated(host)

    def _isolate(self, host: str, isolation: Isolation, fencing: FenceChange | None, step: Step) -> None:
        situation = self._situation
        step.change.fencing = fencing
        before = situation.isolations.get(host, Isolation.PENDING)
        if situation.book.state_of(host).is_out:
            situation.isolations[host] = isolation
            step.change.memos.append(Memo(kind=ISOLATION_MEMO, key=host, record=isolation.encode()))
        if isolation is not before:
            self._settlement.retell(host, step)
        self._notices.of_isolation(step)

    async def replace_map(self, resources: ResourceMap, document: bytes) -> None:
        """Use another resource map for the very next event, and put right what was told by the one before [I-24].

        The map and what follows from it are kept together, or neither is.

        Raises:
            RejectedError: the map belongs to a cloud.
            StoreError: it could not be kept; the map before stays.
        """
        situation = self._situation
        if situation.clouds:
            detail = f"the resource map is kept by {', '.join(situation.clouds)}, and not by hand"
            raise RejectedError(detail, reason=Reason.CONFLICT)
        async with situation.setting:
            await situation.ready()
            before = situation.resources
            pool = situation.pool  # as it is before
            situation.dress(resources)
            situation.resources = resources
            step = Step(self._clock.now())
            step.change.resource_map = document
            step.change.memos += [Memo(kind=MOVED_MEMO, key=one, record=None) for one in situation.moved]
            try:
                self._settlement.correct(before, pool, step)
                self._conclusions.review(None, step)
                self._zones.heed(step)
            except Exception:  # a defect of ours: what memory has of this step is not kept
                situation.resources = before
                situation.doubt()
                raise
            await situation.put_in_force(
                step.change,
                lambda snapshot: snapshot.resource_map == document,
                lambda: situation.use(resources),
                lambda: situation.use(before),
            )
            situation.moved = {}
            self._tell(step)

    async def change_map(self, delta: MapDelta) -> None:
        """Change the map where it stands, for the very next event, and put right what was told by it before [I-24]."""
        situation = self._situation
        if situation.groups or situation.resources.given:
            delta = situation.dressed(delta, situation.resources)
        only = concerned(situation, delta)
        doubtful = None if only is None else self._conclusions.resting_on(only)
        before = OwnersBefore(situation.resources, delta)
        situation.resources.apply(delta)
        attempt = 0

        def follow(step: Step) -> None:
            self._settlement.follow(before, only, step)
            self._conclusions.review(doubtful, step)

        while only is None or only:
            attempt += 1
            try:
                await self._by_itself(follow)
                return
            except StoreError:
                # The map is true whatever the store says. Until it takes it nobody can be told of anything.
                await asyncio.sleep(retry.delay_before(attempt + 1))
