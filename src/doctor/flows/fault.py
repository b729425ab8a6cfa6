"""The main story: from raw events to owners who know [D 5.2.1].

    accept -> drop repeats -> judge by the policy -> find what is affected -> alarms -> notifications
           -> save all of it in one transaction -> tell

Up to saving nothing waits: a step is decided in memory, in the order in which events arrived, so that order holds
without locks. The answer to the Monitor comes after saving [I-1], telling right behind it.
"""

from collections.abc import Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.alarms import lifecycle
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.notices import Notices
from doctor.flows.situation import ISOLATION, Situation
from doctor.flows.timelines import Timelines
from doctor.inspector import impact
from doctor.inspector.selection import Clear, Ignored, Raise, Unnamed
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_ids
from doctor.kit.times import in_utc
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.checkpoint import Checkpoint, Timeline
from doctor.model.event import EventBatch, RawEvent
from doctor.model.fault import Fault
from doctor.model.resource import Isolation
from doctor.model.resource_map import ResourceMap
from doctor.notifier.message import Outlooks, is_out
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

UNKNOWN_RESOURCE = "unknown resource"


class Accepted(NamedTuple):
    """The ids of events that are durable now, in their order, and whether each was news or was durable before."""

    event_ids: list[str]
    news: list[bool]


class Step:
    """What one call to `FaultFlow.accept` decided: what to keep, and when it was decided."""

    def __init__(self, accepted: datetime, now: datetime) -> None:
        self.accepted = accepted
        self.now = now
        self.change = Change()
        self.timelines: list[Timeline] = []
        self.cleared_faults: list[str] = []


class FaultFlow:
    """Takes raw events; what they mean is kept and told."""

    def __init__(
        self, situation: Situation, delivery: DeliveryFlow, timelines: Timelines, clock: Clock
    ) -> None:
        self._situation = situation
        self._delivery = delivery
        self._timelines = timelines
        self._clock = clock
        self._notices = Notices(situation)

    async def accept(
        self, events: Sequence[RawEvent], *, source: str, body: bytes, received: datetime
    ) -> Accepted:
        """Judge events in their order, and return when all that follows from them is durable.

        ``body`` is what was received, for the journal; ``received`` is checkpoint T2.

        Raises:
            StoreError: nothing was kept; the Monitor should send again.
        """
        situation = self._situation
        if not situation.is_ready:
            await situation.ready()
        ids = stable_ids("event", [event.identity for event in events])
        step = Step(received, self._clock.now())
        is_news = situation.intake.is_news
        rules_for = situation.selector.rules_for
        news = []
        counts = situation.counts
        try:
            for event, event_id in zip(events, ids, strict=True):
                new = is_news(event_id)
                news.append(new)
                if new:
                    if rules_for(event.type) is not None:
                        self._judge(event, event_id, step)
                    else:
                        counts[event.type] += 1
        except Exception:  # a defect of ours: what memory has of this step is not kept
            situation.doubt()
            raise
        step.change.batches.append(
            EventBatch(
                received_time=received,
                source=source,
                event_ids=bytes.fromhex("".join(ids).replace("-", "")),
                body=body,
            )
        )
        await situation.keep(step.change)
        self._tell(step)
        return Accepted(ids, news)

    def _judge(self, event: RawEvent, event_id: str, step: Step) -> None:
        """Decide what one event means (T3), and do it to the alarms in memory."""
        situation = self._situation
        found = situation.resources.find(event.resource)
        match situation.selector.select(event, getattr(found, "zone_id", None)):
            case Raise() as verdict:
                self._raise(event, event_id, verdict, step)
            case Clear() as verdict:
                for ended in verdict.faults:
                    self._clear(ended.resource, ended.fault_type, step)
                if verdict.raises is not None:
                    self._raise(event, event_id, verdict.raises, step)
            case Ignored() | Unnamed():
                pass

    def _raise(self, event: RawEvent, event_id: str, verdict: Raise, step: Step) -> None:
        rule = verdict.rule
        found = self._situation.resources.find(verdict.resource)
        resource_id = verdict.resource if found is None else found.id
        record = self._situation.book.open_fault(resource_id, rule.fault_type)
        if record is not None:
            self._repeat(record, verdict, step)
            return
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
            details=_storable(event.details if verdict.details is None else verdict.details),
        )
        judged = self._clock.now()
        reaches = self._reaches(fault.fault_key, fault)
        step.timelines.append(self._timeline(fault, step, judged))
        self._settle(AlarmedFault(fault=fault, alarms={}), fault, reaches, step)
        log.info(
            "fault.raised",
            fault_id=fault.fault_key,
            resource_id=resource_id,
            fault_type=fault.fault_type,
            severity=fault.severity.perceived,
            affected=len(reaches[fault.fault_key]) - 1,
        )

    def _repeat(self, record: AlarmedFault, verdict: Raise, step: Step) -> None:
        """Count a repeat of an open fault; if it is worse or better than before, tell the change."""
        fault = record.fault
        if verdict.severity == fault.severity and verdict.rule.state == fault.state:
            repeats = step.change.repeats
            repeats[fault.fault_key] = repeats.get(fault.fault_key, 0) + 1
            return
        changed = replace(
            fault,
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
            record = self._situation.book.open_fault(subject, fault_type)
            if record is None:
                continue
            self._settle(record, None, self._reaches(record.fault.fault_key, None), step)
            step.cleared_faults.append(record.fault.fault_key)
            log.info(
                "fault.cleared", fault_id=record.fault.fault_key, resource_id=subject, fault_type=fault_type
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
        transitions = []
        for fault_key, reach in reaches.items():
            if fault_key != record.fault.fault_key:
                other = situation.book.fault(fault_key)
                assert other is not None  # the book has named it
                again = replace(other.fault, transition=other.fault.transition + 1)
                transitions.append(lifecycle.settled(other, again, reach, resources, now=step.now))
            elif fault is None:
                transitions.append(lifecycle.cleared(record, now=step.now))
            else:
                transitions.append(lifecycle.settled(record, fault, reach, resources, now=step.now))
        self._publish(transitions, step)

    def _publish(self, transitions: Sequence[Transition], step: Step) -> None:
        """Take over into memory what was decided, and write what it tells."""
        situation = self._situation
        for transition in transitions:
            situation.book.apply(transition)
            step.change.faults.append(transition.record)
        if situation.isolations:
            self._forget_isolations(step)
        outlooks: Outlooks = {}
        for transition in transitions:
            self._notices.of(transition, outlooks, step)

    async def replace_map(self, resources: ResourceMap, document: bytes) -> None:
        """Use another resource map for the very next event, and put right what was told by the one before [I-24].

        The map and what follows from it are kept together, or neither is.

        Raises:
            RejectedError: the map belongs to a cloud.
            StoreError: it could not be kept; the map before stays.
        """
        situation = self._situation
        await situation.ready()
        before = situation.resources
        situation.controller.replace(resources)
        step = Step(self._clock.now(), self._clock.now())
        step.change.resource_map = document
        try:
            self._correct(before, step)
            for subscription in list(situation.subscriptions):
                if subscription.is_patient:
                    self._notices.regroup(subscription, subscription, step)
            await situation.keep(step.change)
        except BaseException:
            situation.controller.replace(before)
            situation.doubt()
            raise
        self._tell(step)

    def _correct(self, before: ResourceMap, step: Step) -> None:
        """Bring all open faults to the map as it is now."""
        situation = self._situation
        transitions = []
        reached = impact.all_reaches(situation.resources, situation.selector.propagation, situation.book)
        for record in situation.book:
            fault = record.fault
            subject = fault.resource_id
            if subject in before.virtual and subject not in situation.resources.virtual:
                transitions.append(lifecycle.withdrawn(record, now=step.now))
                step.cleared_faults.append(fault.fault_key)
                continue
            reach = reached[fault.fault_key]
            transition = lifecycle.corrected(record, reach, situation.resources, now=step.now)
            if transition is not None:
                transitions.append(transition)
        self._publish(transitions, step)

    def _forget_isolations(self, step: Step) -> None:
        """A host that serves again is no longer isolated; if it dies once more, that is a new case."""
        situation = self._situation
        for host in [one for one in situation.isolations if not is_out(situation.book.state_of(one))]:
            del situation.isolations[host]
            step.change.memos.append(Memo(kind=ISOLATION, key=host, record=None))

    async def isolation_changed(self, host: str, isolation: Isolation) -> None:
        """Take over how far the isolation of a faulty host got, and tell those who waited for it.

        Whoever fences says so here; as long as nobody does a dead host stays `pending`.

        Raises:
            StoreError: nothing was kept; say it again.
        """
        situation = self._situation
        await situation.ready()
        step = Step(self._clock.now(), self._clock.now())
        situation.isolations[host] = isolation
        step.change.memos.append(Memo(kind=ISOLATION, key=host, record=isolation.encode()))
        self._notices.of_release(f"isolation of {host}", step)
        await situation.keep(step.change)
        self._delivery.dispatch(step.change.notifications)

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
