"""The main story: from raw events to owners who know [D 5.2.1].

    accept -> drop repeats -> judge by the policy -> find what is affected -> alarms -> notifications
           -> save all of it in one transaction -> tell

Up to saving nothing waits: a step is decided in memory, in the order in which events arrived, so that order holds
without locks. The answer to the Monitor comes after saving [I-1], telling right behind it.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.alarms import lifecycle
from doctor.alarms.history import entry_of
from doctor.flows.agenda import Agenda
from doctor.flows.capacity import capacity_notifications
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.judgement import OWN, Judgement
from doctor.flows.memory import Expected, Key
from doctor.flows.situation import Situation
from doctor.flows.telling import written
from doctor.flows.timelines import Timelines
from doctor.inspector import aggregation, correlation, impact, suspicion
from doctor.inspector.selection import Clear, Foretold, Ignored, Raise, TakenBack, Unnamed
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_ids
from doctor.kit.times import in_utc
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.model.event import EventBatch, RawEvent
from doctor.model.fault import EventType, Fault, ResourceState
from doctor.model.policy import RecommendedAction
from doctor.notifier.matching import tellings
from doctor.notifier.message import Outlooks
from doctor.ports.store import Change

log = structlog.get_logger(__name__)

MOST_LINKS = 5  # in a chain of symptoms that one step makes known; the next step would find the rest
MOST_TYPES = 10_000  # of events that no rule names, to be counted one by one
OTHER = "other"
UNKNOWN_RESOURCE = "unknown resource"


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


class Step:
    """What one call to the flow decided: what to keep, when it was decided, and by whom if not by a Monitor.

    ``accepted`` is when the report came of which it is just deciding.
    """

    def __init__(self, now: datetime, *, user: str = "") -> None:
        self.accepted = self.now = now
        self.user = user
        self.change = Change()
        self.timelines: list[Timeline] = []
        self.cleared_faults: list[str] = []

    def remember(self, before: AlarmedFault, transition: Transition, *, user: str = "") -> None:
        """Keep of a transition what the record of the fault will not tell."""
        entry = entry_of(before, transition, now=self.now, user=user)
        if entry is not None:
            self.change.history.append(entry)


class FaultFlow:
    """Takes raw events; what they mean is kept and told."""

    def __init__(
        self,
        situation: Situation,
        delivery: DeliveryFlow,
        timelines: Timelines,
        agenda: Agenda,
        clock: Clock,
    ) -> None:
        self._situation = situation
        self._delivery = delivery
        self._timelines = timelines
        self._clock = clock
        self._judgement = Judgement(situation, clock, agenda, self._calm, self._silence, self._lull)
        situation.on_restored(self._catch_up)
        delivery.keep = situation.keep

    def _catch_up(self) -> None:
        """Tell what was kept by a change whose outcome was unknown."""
        self._delivery.catch_up(self._situation.subscriptions, self._situation.last_sequence)

    def start(self) -> None:
        """Put on the agenda what was due when Doctor ended."""
        self._judgement.resume()

    async def accept(self, reports: Iterable[Reported]) -> list[Accepted]:
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
        return accepted

    def _take(self, report: Reported, step: Step) -> Accepted:
        """Judge the events of one report that are news."""
        situation = self._situation
        is_news, rules_for, counts = situation.intake.is_news, situation.selector.rules_for, situation.counts
        step.accepted = report.received
        ids = stable_ids("event", [event.identity for event in report.events])
        news = []
        for event, event_id in zip(report.events, ids, strict=True):
            new = is_news(event_id)
            news.append(new)
            if new:
                if rules_for(event.type) is not None:
                    self._judge(event, event_id, step)
                else:
                    counts[event.type if event.type in counts or len(counts) < MOST_TYPES else OTHER] += 1
        batch = EventBatch(
            received_time=report.received,
            source=report.source,
            event_ids=bytes.fromhex("".join(ids).replace("-", "")),
            body=report.body,
        )
        step.change.batches.append(batch)
        return Accepted(ids, news)

    async def clear(self, fault_key: str, *, user: str) -> None:
        """End an open fault by hand; owners are told as of any end. One that is not open stays so.

        If it is still there, the next report of a Monitor with a new time raises it anew.

        Raises:
            StoreError: it was not kept.
        """
        await self._by_itself(lambda step: self._end_by_hand(fault_key, step), user=user)

    def _end_by_hand(self, fault_key: str, step: Step) -> None:
        record = self._situation.book.fault(fault_key)
        if record is not None:
            self._end(record, step)
            self._conclude(record.fault.resource_id, fault_key, step)

    async def _by_itself(self, decide: Callable[[Step], None], *, user: str = "") -> None:
        """Do what no event has brought about, but a person or the time, as durably as what an event has."""
        situation = self._situation
        await situation.ready()
        step = Step(self._clock.now(), user=user)
        try:
            decide(step)
        except Exception:  # a defect of ours: what memory has of this step is not kept
            situation.doubt()
            raise
        await situation.keep(step.change)
        self._tell(step)

    async def _calm(self, key: Key) -> None:
        """Tell how a fault that came and went has ended up."""
        await self._by_itself(lambda step: self._unfold(key, step))

    def _unfold(self, key: Key, step: Step) -> None:
        situation = self._situation
        folded = situation.memory.folded.get(key)
        if folded is None:
            return
        situation.memory.fold(key, None, step.change)
        record = situation.book.open_fault(*key)
        verdict = None
        if folded.event is not None:
            found = situation.resources.find(folded.event.resource)
            verdict = situation.selector.select(folded.event, getattr(found, "zone_id", None))
            verdict = verdict.raises if isinstance(verdict, Clear) else verdict
        count = {"folded_changes": folded.flapping.folded}
        if not isinstance(verdict, Raise) or folded.event is None:
            if record is not None:
                self._end(record, step)
        elif record is None:
            self._begin(folded.event, folded.event_id, verdict, key[0], step, count)
        else:
            self._change(record, verdict, step, count)

    async def _lull(self, key: Key) -> None:
        """End the storm over a domain, if it is calm by now."""
        await self._by_itself(lambda step: self._end_storm(key[0], step))

    def _end_storm(self, domain: str, step: Step) -> None:
        situation = self._situation
        storm = situation.selector.policy.storm
        record = situation.book.open_fault(domain, suspicion.DOMAIN_FAULT)
        if record is not None and (
            storm is None or suspicion.is_calm(domain, situation.book, situation.resources, storm)
        ):
            self._end(record, step)

    async def _silence(self, key: Key) -> None:
        """Say that somebody has not spoken who should have."""
        await self._by_itself(lambda step: self._miss(key, step))

    def _miss(self, key: Key, step: Step) -> None:
        event = self._judgement.silence(key, step.now)
        if event is not None:
            silent = Expected(last=step.now, is_silent=True)
            self._situation.memory.expect(key, silent, step.change)
            body = msgspec.json.encode(event)
            self._take(Reported([event], source=OWN, body=body, received=step.now), step)

    def _judge(self, event: RawEvent, event_id: str, step: Step) -> None:
        """Decide what one event means (T3), and do it to the alarms in memory."""
        situation = self._situation
        judgement = self._judgement
        zone_id = getattr(situation.resources.find(event.resource), "zone_id", None)
        verdict = situation.selector.select(event, zone_id)
        raised = verdict if isinstance(verdict, Raise) else None
        match verdict:
            case Raise():
                self._raise(event, event_id, verdict, step)
            case Clear():
                for ended in verdict.faults:
                    self._clear(ended.resource, ended.fault_type, step)
                raised = verdict.raises
                if raised is not None:
                    self._raise(event, event_id, raised, step)
            case Foretold() | TakenBack() | Ignored() | Unnamed():
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
        elif (
            folded is None
            and self._judgement.believes(event, verdict.rule, resource_id, step.now, step.change)
            and not self._judgement.folds(key, step.now, step.change, event, event_id)
        ):
            self._begin(event, event_id, verdict, resource_id, step)
            self._conclude(resource_id, event_id, step)

    def _begin(
        self,
        event: RawEvent,
        event_id: str,
        verdict: Raise,
        resource_id: str,
        step: Step,
        more: dict[str, Any] | None = None,
    ) -> None:
        rule = verdict.rule
        found = self._situation.resources.get(resource_id)
        details = event.details if verdict.details is None else verdict.details
        fault = Fault(
            fault_key=lifecycle.fault_key_of(
                event_id, resource_id, rule.fault_type, secret=self._situation.secret
            ),
            resource_id=resource_id,
            resource_type=found.type
            if found
            else event.resource_type or rule.resource.type or UNKNOWN_RESOURCE,
            fault_type=rule.fault_type,
            rule=rule.name,
            severity=verdict.severity,
            state=rule.state,
            event_type=rule.event_type,
            probable_cause=rule.probable_cause,
            recommended_action=rule.recommended_action,
            raised_by=event_id,
            event_time=event.time,
            raised_time=step.now,
            details=_storable(details | more if more else details),
        )
        self._open(fault, step)

    def _open(self, fault: Fault, step: Step) -> None:
        fault = replace(fault, cause=correlation.cause_of(fault, self._situation.book))
        judged = self._clock.now()
        reaches = self._reaches(fault.fault_key, fault)
        step.timelines.append(self._timeline(fault, step, judged))
        self._settle(AlarmedFault(fault=fault, alarms={}), fault, reaches, step)
        log.info(
            "fault.raised",
            fault_id=fault.fault_key,
            resource_id=fault.resource_id,
            fault_type=fault.fault_type,
            severity=fault.severity.perceived,
            affected=len(reaches[fault.fault_key]) - 1,
        )

    def _conclude(self, resource_id: str, event_id: str, step: Step) -> None:
        """Raise or end what follows from a fault that has come or gone on a resource."""
        self._aggregate(resource_id, event_id, step)
        situation = self._situation
        policy = situation.selector.policy
        if not policy.suspect and policy.storm is None:
            return
        found = suspicion.judged(
            resource_id, situation.book, situation.resources, policy.suspect, policy.storm, step.now
        )
        for verdict in list(found):
            match verdict:
                case suspicion.Relieved(record) if record.fault.rule == suspicion.STORM:
                    self._judgement.calms_down(record.fault.resource_id, policy.storm, step.now)
                case suspicion.Relieved(record):
                    self._end(record, step)
                case suspicion.Suspected():
                    self._suspect(verdict, event_id, step)

    def _suspect(self, verdict: suspicion.Suspected, event_id: str, step: Step) -> None:
        situation = self._situation
        known = situation.book.open_fault(verdict.resource_id, verdict.fault_type)
        if known is not None:
            fault = replace(known.fault, explains=verdict.symptoms)
            reach = {key: (one.resource_state, one.severity) for key, one in known.alarms.items()}
            self._settle(known, fault, {fault.fault_key: impact.as_reach(reach)}, step)
            return
        found = situation.resources.get(verdict.resource_id)
        first = situation.book.fault(verdict.symptoms[0])
        assert first is not None  # the book has named it
        key = lifecycle.fault_key_of(
            event_id, verdict.resource_id, verdict.fault_type, secret=situation.secret
        )
        self._open(
            Fault(
                fault_key=key,
                resource_id=verdict.resource_id,
                resource_type=found.type if found else UNKNOWN_RESOURCE,
                fault_type=verdict.fault_type,
                rule=verdict.rule,
                severity=verdict.severity,
                state=ResourceState.NORMAL,
                event_type=EventType.EQUIPMENT,
                probable_cause="several dependent resources have failed",
                recommended_action=RecommendedAction.INFORM_OAM,
                raised_by=event_id,
                event_time=first.fault.event_time,
                raised_time=step.now,
                details={"symptoms": len(verdict.symptoms)},
                is_derived=True,
                explains=verdict.symptoms,
            ),
            step,
        )

    def _aggregate(self, resource_id: str, event_id: str, step: Step) -> None:
        """Raise or end what the lesser faults of a resource are together [D 3.3.2]."""
        situation = self._situation
        rules = situation.selector.policy.aggregate
        for found in list(aggregation.judged(resource_id, situation.book, rules, step.now)) if rules else ():
            match found:
                case aggregation.Apart(rule):
                    record = situation.book.open_fault(resource_id, rule.fault_type)
                    if record is not None:
                        self._end(record, step)
                case aggregation.Together(rule, faults):
                    key = lifecycle.fault_key_of(
                        event_id, resource_id, rule.fault_type, secret=situation.secret
                    )
                    self._open(
                        Fault(
                            fault_key=key,
                            resource_id=resource_id,
                            resource_type=faults[0].resource_type,
                            fault_type=rule.fault_type,
                            rule=rule.name,
                            severity=rule.severity,
                            state=rule.state,
                            event_type=faults[0].event_type,
                            probable_cause=rule.probable_cause,
                            recommended_action=rule.recommended_action,
                            raised_by=event_id,
                            event_time=faults[-1].event_time,
                            raised_time=step.now,
                            details={"faults": [fault.fault_type for fault in faults]},
                            is_derived=True,
                        ),
                        step,
                    )

    def _repeat(
        self, record: AlarmedFault, verdict: Raise, event: RawEvent, event_id: str, step: Step
    ) -> None:
        """Count a repeat of an open fault; if it is worse or better than before, tell the change."""
        fault = record.fault
        if verdict.severity == fault.severity and verdict.rule.state == fault.state:
            repeats = step.change.repeats
            repeats[fault.fault_key] = repeats.get(fault.fault_key, 0) + 1
        elif not self._judgement.folds(
            (fault.resource_id, fault.fault_type), step.now, step.change, event, event_id
        ):
            self._change(record, verdict, step)

    def _change(
        self, record: AlarmedFault, verdict: Raise, step: Step, more: dict[str, Any] | None = None
    ) -> None:
        fault = record.fault
        changed = replace(
            fault,
            details=fault.details | more if more else fault.details,
            severity=verdict.severity,
            state=verdict.rule.state,
            rule=verdict.rule.name,
            changed_time=step.now,
            transition=fault.transition + 1,
        )
        self._settle(record, changed, self._reaches(changed.fault_key, changed), step)

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
                self._end(record, step)
                self._conclude(subject, record.fault.fault_key, step)

    def _end(self, record: AlarmedFault, step: Step) -> None:
        fault = record.fault
        self._settle(record, None, self._reaches(fault.fault_key, None), step)
        step.cleared_faults.append(fault.fault_key)
        log.info(
            "fault.cleared",
            fault_id=fault.fault_key,
            resource_id=fault.resource_id,
            fault_type=fault.fault_type,
            **({"user": step.user} if step.user else {}),
        )

    def _reaches(self, fault_key: str, fault: Fault | None) -> dict[str, impact.Reach]:
        """Return what a fault does to which resource now (T4), and what other faults do differently by it."""
        situation = self._situation
        rules = situation.selector.propagation
        return impact.reaches(fault_key, fault, situation.resources, rules, situation.book)

    def _settle(
        self, record: AlarmedFault, fault: Fault | None, reaches: dict[str, impact.Reach], step: Step
    ) -> None:
        """Bring a fault, and those that weigh differently by it, to what they reach now; None is the end of it.

        All of it is taken over into memory before any of it is written, so that every notification speaks of the same
        moment.
        """
        situation = self._situation
        resources = situation.resources
        pool = situation.pool  # as it is before
        transitions = []
        for fault_key, reach in reaches.items():
            if fault_key != record.fault.fault_key:
                other = situation.book.fault(fault_key)
                assert other is not None  # the book has named it
                again = replace(other.fault, transition=other.fault.transition + 1)
                transitions.append(lifecycle.settled(other, again, reach, resources, now=step.now))
                step.remember(other, transitions[-1])
            elif fault is None:
                transitions.append(lifecycle.cleared(record, now=step.now))
                step.remember(record, transitions[-1], user=step.user)
            else:
                transitions.append(lifecycle.settled(record, fault, reach, resources, now=step.now))
                step.remember(record, transitions[-1])
        for transition in transitions:
            situation.book.apply(transition)
        transitions += self._explained(transitions, step)
        step.change.faults += [transition.record for transition in transitions]
        outlooks: Outlooks = {}
        for transition in transitions:
            self._notify(transition, outlooks, step)
        hosts = [
            alarm.resource_id
            for transition in transitions
            for alarms in (transition.raised, transition.changed, transition.cleared)
            for alarm in alarms
            if alarm.project is None
        ]
        zones = pool.settle(hosts, situation.book.state_of, changed_by=record.fault.fault_key)
        step.change.notifications += capacity_notifications(situation, zones, now=step.now)

    def _explained(self, transitions: Sequence[Transition], step: Step) -> list[Transition]:
        """Hang symptoms under their root causes, and let go of those that have none any more."""
        situation = self._situation
        found = []
        news = list(transitions)
        for _ in range(MOST_LINKS):
            again = []
            for record, cause in correlation.unsettled(news, situation.book):
                fault = replace(
                    record.fault, cause=cause, changed_time=step.now, transition=record.fault.transition + 1
                )
                reach = {key: (one.resource_state, one.severity) for key, one in record.alarms.items()}
                transition = lifecycle.settled(
                    record,
                    fault,
                    reach,
                    situation.resources,
                    now=step.now,
                    retold=self._retold(record, cause),
                )
                situation.book.apply(transition)
                step.remember(record, transition)
                again.append(transition)
            if not again:
                break
            found += again
            news = again
        return found

    def _retold(self, record: AlarmedFault, cause: str | None) -> set[str]:
        """Return the resources on which it shows that a fault has another cause: those that the causes reach too."""
        book = self._situation.book
        causes = [book.fault(key) for key in (record.fault.cause, cause) if key is not None]
        reached = {
            key for one in causes if one is not None for key in one.alarms.keys() & record.alarms.keys()
        }
        return reached | {record.fault.resource_id}

    def _notify(self, transition: Transition, outlooks: Outlooks, step: Step) -> None:
        """Write the notifications of a transition, each with the next number of its subscription."""
        situation = self._situation
        for telling in tellings(transition, situation.subscriptions, situation.notes.shelved):
            describer = situation.describer(telling.subscription.project, outlooks)
            step.change.notifications.append(
                written(situation, telling, transition.record, describer, now=step.now)
            )

    def _timeline(self, fault: Fault, step: Step, judged: datetime) -> Timeline:
        checkpoints = {Checkpoint.DETECTED: fault.event_time, Checkpoint.ACCEPTED: step.accepted}
        occurred = _occurred(fault)
        if occurred is not None:
            checkpoints[Checkpoint.OCCURRED] = occurred
        checkpoints[Checkpoint.JUDGED] = judged
        checkpoints[Checkpoint.AFFECTED_FOUND] = self._clock.now()
        return Timeline(
            fault_id=fault.fault_key,
            fault_type=fault.fault_type,
            resource_id=fault.resource_id,
            checkpoints=checkpoints,
        )

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


def _storable(details: dict[str, Any]) -> dict[str, Any]:
    """Return details as any store can keep them: a whole number beyond 64 bits is kept as text."""
    try:
        msgspec.msgpack.encode(details)
    except OverflowError:
        return {key: _within_64_bits(value) for key, value in details.items()}
    return details


def _within_64_bits(value: Any) -> Any:
    match value:
        case dict():
            return {key: _within_64_bits(inner) for key, inner in value.items()}
        case list():
            return [_within_64_bits(inner) for inner in value]
        case int() if not -(2**63) <= value < 2**63:
            return str(value)
    return value


def _occurred(fault: Fault) -> datetime | None:
    """Return when it happened (T0), if the Monitor knows: the last sign of life is as near as one can say."""
    for key in ("occurred_time", "last_seen"):
        try:
            return in_utc(msgspec.convert(fault.details.get(key), datetime))
        except (msgspec.ValidationError, OverflowError):
            continue
    return None
