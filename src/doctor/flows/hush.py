"""What silences keep from people: withheld with each step of a fault, and told when nothing covers it any more.

Beside the fault flow, which asks what is heard of a transition, and the flow of silences, which asks for what is overdue.
Both is kept in the change of the one who asks.
"""

from collections.abc import Iterator
from datetime import datetime

import msgspec
import structlog
from msgspec.structs import replace

from doctor.alarms.history import befores, with_silences
from doctor.flows.situation import TALLY_MEMO, UNHEARD_MEMO, Situation
from doctor.flows.telling import written
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.history import HistoryEntry, Standing
from doctor.model.notification import StoredNotification
from doctor.model.silence import Tally, Unheard
from doctor.notifier.hearing import NOTHING, News, Withheld, hear, late_of, overdue, silenced_of
from doctor.notifier.matching import tellings
from doctor.notifier.silences import Coverage
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

_encode = msgspec.msgpack.Encoder().encode


class Hush:
    """Holds back, and lets go."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    def heard(self, transition: Transition, change: Change, now: datetime) -> News:
        """Return what is told of a transition now; the rest is remembered.

        The history of the step, as far as there is any, is in the change already.
        """
        situation = self._situation
        fault = transition.record.fault
        unheard = situation.unheard.get(fault.fault_key, NOTHING)
        coverage = self.coverage(transition.record, now)
        if unheard is NOTHING and not coverage:
            return News(transition, transition)
        entry = next((one for one in change.history if _is_of(one, transition)), None)
        found = hear(transition, unheard, coverage, befores(entry, transition))
        self._remember(transition.record, unheard, found.unheard, change)
        if found.withheld:
            silenced = [one for each in found.withheld for one in silenced_of(transition, each)]
            with_silences(change.history, fault, silenced, now=now)
            self._count(found.withheld, change)
            log.info(
                "fault.silenced",
                fault_id=fault.fault_key,
                silences=[one.silence.silence_id for one in found.withheld],
            )
        return found.news

    def let_go(self, change: Change, now: datetime) -> list[StoredNotification]:
        """Write what is overdue: what nothing covers any more, with the memory and the history of it."""
        told: list[StoredNotification] = []
        for fault_key, unheard in list(self._situation.unheard.items()):
            record = self._situation.book.fault(fault_key)
            if record is None:  # it ended, and whoever knew of it knows that
                self._situation.unheard.pop(fault_key)
                change.memos.append(_memo(fault_key, NOTHING))
                continue
            news, left = overdue(record, unheard, self.coverage(record, now), self._situation.notes.shelved)
            self._remember(record, unheard, left, change)
            if not news.is_empty:
                told += self._late(record, news, change, now)
        return told

    def owe(self, record: AlarmedFault, alarm: Alarm, known: Standing, change: Change, now: datetime) -> bool:
        """Remember that an owner knows an open alarm only as it was, if a silence keeps it from him now."""
        if self.coverage(record, now).of(alarm).owner is None:
            return False
        before = self._situation.unheard.get(record.fault.fault_key, NOTHING)
        owners = {alarm.alarm_id: known, **before.owners}
        self._remember(record, before, replace(before, owners=owners), change)
        return True

    def coverage(self, record: AlarmedFault, now: datetime) -> Coverage:
        """Return which silences cover which alarms of a fault."""
        situation = self._situation
        return Coverage(situation.silences, record, situation.book, situation.resources, now)

    def _late(
        self, record: AlarmedFault, news: News, change: Change, now: datetime
    ) -> Iterator[StoredNotification]:
        situation = self._situation
        entry = HistoryEntry(
            fault_key=record.fault.fault_key,
            transition=record.fault.transition,
            time=now,
            late=tuple(late_of(news)),
        )
        change.history.append(entry)
        for telling in tellings(news.owners, situation.subscriptions, administrator=news.administrator):
            describer = situation.describer(telling.subscription.project)
            yield written(situation, telling, record, describer, now=now, occasion=occasion_of(entry))

    def _remember(self, record: AlarmedFault, before: Unheard, after: Unheard, change: Change) -> None:
        if after == before:
            return
        fault_key = record.fault.fault_key
        if after.is_empty:
            self._situation.unheard.pop(fault_key, None)
        else:
            self._situation.unheard[fault_key] = after
        change.memos.append(_memo(fault_key, after))

    def _count(self, withheld: tuple[Withheld, ...], change: Change) -> None:
        situation = self._situation
        for silence, news, alarms in withheld:
            many = sum(
                1 for _ in tellings(news.owners, situation.subscriptions, administrator=news.administrator)
            )
            before = situation.silences.tally(silence.silence_id)
            after = Tally(before.notifications + many, before.alarms + len(alarms))
            situation.silences.tallies[silence.silence_id] = after
            change.memos.append(Memo(kind=TALLY_MEMO, key=silence.silence_id, record=_encode(after)))


def occasion_of(entry: HistoryEntry) -> str:
    """Return what tells a notification at the end of a silence from all others of the fault."""
    return f"unsilenced {entry.time.isoformat()}"


def _is_of(entry: HistoryEntry, transition: Transition) -> bool:
    fault = transition.record.fault
    return entry.fault_key == fault.fault_key and entry.transition == fault.transition


def _memo(fault_key: str, unheard: Unheard) -> Memo:
    record = None if unheard.is_empty else _encode(unheard)
    return Memo(kind=UNHEARD_MEMO, key=fault_key, record=record)
