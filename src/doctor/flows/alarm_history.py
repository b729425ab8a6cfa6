"""Everything that happened to an alarm, in order: its life, what people did, who was told and who was not [HA 5.2].

Almost all of it is derived: from the record of the fault, the note of the alarm, the outbox and its deliveries, and the
subscriptions as they are now. Ids are made from content, so it is known under which id somebody would have been told.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from msgspec.structs import replace

from doctor.alarms.history import Moment, MomentKind, moments_of
from doctor.flows.alarm import occasion_of
from doctor.flows.hush import occasion_of as late_occasion_of
from doctor.flows.situation import Situation
from doctor.flows.timelines import Timelines
from doctor.inspector.prediction import action
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_note import ActKind, AlarmNote
from doctor.model.history import Happening, HistoryEntry, HistoryItem, Side, Silenced
from doctor.model.notification import Delivery, DeliveryState, NotificationType
from doctor.model.subscription import Subscription
from doctor.notifier.hearing import side_of
from doctor.notifier.message import notification_id_of
from doctor.notifier.unheard import Unheard, why_unheard
from doctor.ports.store import Outgoing

MOST_TOLD = 100  # moments, the newest: of those before it is not said who was told

KINDS = {
    MomentKind.RAISED: NotificationType.FAULT,
    MomentKind.CHANGED: NotificationType.FAULT_CHANGED,
    MomentKind.CLEARED: NotificationType.FAULT_CLEARED,
}


class _Occasion(NamedTuple):
    """Something that somebody should have been told of."""

    time: datetime
    kind: NotificationType
    transition: int
    alarm: Alarm
    occasion: str = ""
    project: str | None = None  # of an occasion: for whose subscriptions it is one


class AlarmHistory:
    """Puts the history of alarms together."""

    def __init__(self, situation: Situation, timelines: Timelines) -> None:
        self._situation = situation
        self._timelines = timelines

    async def of(self, record: AlarmedFault, alarm: Alarm, scope: str | None) -> list[HistoryItem]:
        """Return the history of an alarm as a project, or the Administrator (None), may see it."""
        history = await self._situation.store.fault_history(record.fault.fault_key)
        note = self._situation.notes.of(alarm.alarm_id)
        moments = moments_of(record, alarm, history.entries)
        items = list(_life(moments, history.repeats))
        occasions = [_Occasion(one.time, KINDS[one.kind], one.transition, one.alarm) for one in moments]
        if note is not None:
            items += _acts(note)
            occasions += _ends_of_shelving(note, moments)
        occasions += _ends_of_silences(history.entries, alarm, moments)
        past = _Past(note, history.entries, alarm, moments[0].transition, scope)
        items += await self._told(record, alarm, occasions[-MOST_TOLD:], past, scope)
        return sorted(items, key=lambda item: item.time)  # stable: what happened stands before who was told

    async def _told(
        self,
        record: AlarmedFault,
        alarm: Alarm,
        occasions: list[_Occasion],
        past: "_Past",
        scope: str | None,
    ) -> list[HistoryItem]:
        concerned = self._concerned(alarm, scope)
        ids = {
            (occasion, one.subscription_id): _ids(record, occasion, one)
            for occasion in occasions
            for one in concerned
        }
        expected = [one for each in ids.values() for one in each]
        others = await self._unexpected(record, scope, concerned, set(expected))
        rows = await self._situation.store.outgoing([*expected, *others], naming=alarm.alarm_id)
        sent = {row.notification_id: row for row in rows}
        items: list[HistoryItem] = []
        for occasion in occasions:
            items += self._on(occasion, record, concerned, ids, sent, past)
        for notification_id in others:
            if notification_id in sent:
                row = sent[notification_id]
                known = next((one for one in concerned if one.subscription_id == row.subscription_id), None)
                items += _ends(row, known, None)
        return items

    def _on(
        self,
        occasion: _Occasion,
        record: AlarmedFault,
        concerned: list[Subscription],
        ids: dict[tuple[_Occasion, str], tuple[str, ...]],
        sent: dict[str, Outgoing],
        past: "_Past",
    ) -> Iterator[HistoryItem]:
        """Say who was told of one thing, and who was not."""
        anybody = False
        for subscription in concerned:
            rows = [sent[one] for one in ids[occasion, subscription.subscription_id] if one in sent]
            if rows:
                anybody = True
                for row in rows:
                    yield from _ends(row, subscription, occasion.kind)
                continue
            if subscription.created > occasion.time or (
                occasion.occasion and subscription.project != occasion.project
            ):
                continue
            anybody = True
            is_shelved = not occasion.occasion and _was_shelved(past.note, occasion.time)
            why = why_unheard(
                subscription, occasion.kind, record.fault, occasion.alarm, is_shelved=is_shelved
            )
            if occasion.occasion and why is None:
                continue  # nothing had changed meanwhile
            silenced = past.silenced(occasion, subscription) if why is None else None
            if why is None and silenced is None and subscription.is_patient:
                why = Unheard.HELD_BACK
            yield HistoryItem(
                time=occasion.time,
                what=Happening.NOT_TOLD,
                notification_type=occasion.kind,
                subscription_id=subscription.subscription_id,
                reason=why or (Unheard.UNKNOWN if silenced is None else past.words_for(silenced)),
                silence_id=None if silenced is None else past.id_of(silenced),
            )
        if not anybody and not occasion.occasion:
            yield HistoryItem(
                time=occasion.time,
                what=Happening.NOT_TOLD,
                notification_type=occasion.kind,
                reason=Unheard.NO_SUBSCRIPTION,
            )

    def _concerned(self, alarm: Alarm, scope: str | None) -> list[Subscription]:
        """Return whose business an alarm is, as far as the viewer may know them."""
        subscriptions = self._situation.subscriptions
        if scope is not None or alarm.project is None:
            return list(subscriptions.of(scope))
        return [*subscriptions.of(alarm.project), *subscriptions.of(None)]

    async def _unexpected(
        self, record: AlarmedFault, scope: str | None, concerned: list[Subscription], known: set[str]
    ) -> list[str]:
        """Return the ids of other notifications of a fault: told later than it happened, or to subscriptions that are gone.

        Of those that are gone the Administrator alone is told.
        """
        timeline = await self._timelines.recall(record.fault.fault_key)
        theirs = {one.subscription_id for one in concerned}
        return [
            one.notification_id
            for one in (timeline.consumers if timeline else ())
            if one.notification_id not in known and (scope is None or one.subscription_id in theirs)
        ]


class _Past:
    """What people and silences have done to an alarm, as far as the viewer may know (a project, or None for all)."""

    def __init__(
        self,
        note: AlarmNote | None,
        entries: Sequence[HistoryEntry],
        alarm: Alarm,
        born: int,
        scope: str | None,
    ) -> None:
        """Take what is kept; ``born`` is the step of the fault in which the alarm was raised."""
        self.note = note
        self._scope = scope
        self._late = {one.side for entry in entries for one in entry.late if alarm.alarm_id in one.raised}
        self._silenced = {
            (entry.transition, one.side): one
            for entry in entries
            for one in entry.silenced
            if one.alarm_ids is None or alarm.alarm_id in one.alarm_ids
        }
        self._born = born

    def silenced(self, occasion: _Occasion, subscription: Subscription) -> Silenced | None:
        """Return the silence that kept something from a subscription, None if none did."""
        side = side_of(subscription.project)
        found = self._silenced.get((occasion.transition, side))
        is_end = occasion.kind is NotificationType.FAULT_CLEARED
        if found is None and is_end and side not in self._late:
            return self._silenced.get(
                (self._born, side)
            )  # who was never told of the beginning is not told of the end
        return found

    def words_for(self, silenced: Silenced) -> str:
        """Return why somebody was not told. What the Administrator writes is not meant for owners."""
        if self._is_hidden(silenced):
            return Unheard.SILENCED
        return f"silenced by {silenced.owner} because {silenced.reason}"

    def id_of(self, silenced: Silenced) -> str | None:
        """Return the id of a silence that the viewer can ask for."""
        return None if self._is_hidden(silenced) else silenced.silence_id

    def _is_hidden(self, silenced: Silenced) -> bool:
        return self._scope is not None and silenced.project is None


def _ids(record: AlarmedFault, occasion: _Occasion, subscription: Subscription) -> tuple[str, ...]:
    """Return the ids under which a subscription was told of something: an end may have been a correction."""
    fault = replace(record.fault, transition=occasion.transition)
    is_end = occasion.kind is NotificationType.FAULT_CLEARED
    kinds = (occasion.kind, NotificationType.CORRECTION) if is_end else (occasion.kind,)
    return tuple(
        notification_id_of(subscription.subscription_id, fault, kind, occasion.occasion) for kind in kinds
    )


def _life(moments: Iterable[Moment], repeats: int) -> Iterator[HistoryItem]:
    for moment in moments:
        alarm, before = moment.alarm, moment.before
        is_over = moment.kind is MomentKind.CLEARED
        yield HistoryItem(
            time=moment.time,
            what=Happening(moment.kind),
            perceived_severity="cleared" if is_over else alarm.severity.perceived,
            severity_before=before.severity.perceived if before else None,
            resource_state=None if is_over else alarm.resource_state,
            state_before=before.resource_state if before else None,
            is_root_cause=alarm.is_root_cause,
            user=moment.user or None,
            **_foreseen(moment),
        )
        if moment.kind is MomentKind.RAISED and repeats:
            yield HistoryItem(time=moment.time, what=Happening.REPEATED, count=repeats)


def _foreseen(moment: Moment) -> dict[str, Any]:
    seen = moment.prediction
    if seen is None:
        return {}
    return {
        "predicted_time": seen.predicted_time,
        "confidence": seen.confidence,
        "outcome": seen.outcome,
        "recommended_action": action(seen, moment.time),
    }


def _acts(note: AlarmNote) -> Iterator[HistoryItem]:
    for act in note.acts:
        yield HistoryItem(time=act.time, what=Happening(act.kind), user=act.user or None, until=act.until)
    for comment in note.comments:
        yield HistoryItem(time=comment.time, what=Happening.COMMENTED, user=comment.user, text=comment.text)


def _ends_of_shelving(note: AlarmNote, moments: list[Moment]) -> Iterator[_Occasion]:
    """Return when owners may have been told what had changed while the alarm was shelved."""
    for act in note.acts:
        if act.kind is ActKind.UNSHELVED:
            before = [one for one in moments if one.time <= act.time] or moments[:1]
            last = before[-1]
            yield _Occasion(
                act.time,
                NotificationType.FAULT_CHANGED,
                last.transition,
                last.alarm,
                occasion_of(note, act.shelving),
                last.alarm.project,
            )


def _ends_of_silences(
    entries: Iterable[HistoryEntry], alarm: Alarm, moments: list[Moment]
) -> Iterator[_Occasion]:
    """Return when somebody may have been told what silences had withheld."""
    for entry in entries:
        for late in entry.late:
            for kind, alarm_ids in (
                (NotificationType.FAULT, late.raised),
                (NotificationType.FAULT_CHANGED, late.changed),
            ):
                if alarm.alarm_id in alarm_ids:
                    before = [one for one in moments if one.time <= entry.time] or moments[:1]
                    yield _Occasion(
                        entry.time,
                        kind,
                        entry.transition,
                        before[-1].alarm,
                        late_occasion_of(entry),
                        None if late.side is Side.ADMINISTRATOR else alarm.project,
                    )


def _was_shelved(note: AlarmNote | None, time: datetime) -> bool:
    """Tell whether an alarm was shelved; of what was done at that very time nobody knows what came first."""
    kinds = (ActKind.SHELVED, ActKind.UNSHELVED)
    acts = [act for act in note.acts if act.kind in kinds and act.time <= time] if note else []
    before = [act for act in acts if act.time < time]
    possible = [*before[-1:], *acts[len(before) :]]
    return any(act.kind is ActKind.SHELVED for act in possible)


def _ends(
    row: Outgoing, subscription: Subscription | None, kind: NotificationType | None
) -> Iterator[HistoryItem]:
    """Say how a notification ended at each endpoint; a subscription without endpoints fetches it itself."""
    ended = {one.endpoint_id: one for one in row.deliveries}
    endpoints = subscription.endpoints if subscription else ()
    waiting = [
        one.endpoint_id for one in endpoints if one.endpoint_id not in ended and one.since < row.sequence
    ]
    for endpoint_id, delivery in [*ended.items(), *((one, None) for one in waiting)]:
        yield _end(row, kind, endpoint_id, delivery)
    if not ended and not waiting:
        yield _end(row, kind, None, None)


def _end(
    row: Outgoing, kind: NotificationType | None, endpoint_id: str | None, delivery: Delivery | None
) -> HistoryItem:
    is_received = endpoint_id is None or (delivery and delivery.state is DeliveryState.DELIVERED)
    reason = None if is_received else Unheard.PARKED if delivery else Unheard.PENDING
    received = delivery.received if delivery else None
    return HistoryItem(
        time=max(received or row.created, row.created),
        what=Happening.TOLD if is_received else Happening.NOT_TOLD,
        notification_type=kind,
        subscription_id=row.subscription_id,
        endpoint_id=endpoint_id,
        notification_id=row.notification_id,
        sequence=row.sequence,
        told_time=delivery.told if delivery else row.created if endpoint_id is None else None,
        received_time=received,
        attempts=delivery.attempts if delivery else None,
        reason=reason,
        error=(delivery.error or None) if delivery else None,
    )
