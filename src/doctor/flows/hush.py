"""What silences keep from people: withheld with each step of a fault, and let go when nothing covers it any more.

Asked by `Notices`, which writes what is told. What is to be remembered goes into the draft of the step.
"""

from collections.abc import Iterator
from datetime import datetime
from typing import NamedTuple

import msgspec
import structlog
from msgspec.structs import replace

from doctor.alarms.history import befores, with_silences
from doctor.flows.situation import TALLY_MEMO, UNHEARD_MEMO, Situation
from doctor.flows.step import Draft
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.history import HistoryEntry, Side, Standing
from doctor.model.silence import Tally, Unheard
from doctor.notifier.hearing import NOTHING, Heard, Withheld, hear, late_of, overdue, side_of, silenced_of
from doctor.notifier.matching import tellings
from doctor.notifier.silences import Coverage
from doctor.ports.store import Memo

log = structlog.get_logger(__name__)

_encode = msgspec.msgpack.Encoder().encode


class Late(NamedTuple):
    """What can be told at last of one fault, and what tells it from all else that is told of it."""

    record: AlarmedFault
    news: Heard
    occasion: str


class Hush:
    """Holds back, and lets go."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    def heard(self, transition: Transition, draft: Draft) -> Heard:
        """Return what is told of a transition now; the rest is remembered.

        The history of the step, as far as there is any, is in the draft already.
        """
        situation = self._situation
        fault = transition.record.fault
        unheard = situation.unheard.get(fault.fault_key, NOTHING)
        coverage = self.coverage(transition.record, draft.now)
        if unheard is NOTHING and not coverage:
            return Heard(transition, transition)
        entry = next((one for one in draft.change.history if _is_of(one, transition)), None)
        found = hear(transition, unheard, coverage, befores(entry, transition))
        self._remember(transition.record, unheard, found.unheard, draft)
        if found.withheld:
            silenced = [one for each in found.withheld for one in silenced_of(transition, each)]
            with_silences(draft.change.history, fault, silenced, now=draft.now)
            self._count(found.withheld, draft)
            log.info(
                "fault.silenced",
                fault_id=fault.fault_key,
                silences=[one.silence.silence_id for one in found.withheld],
            )
        return found.news

    def overdue(self, draft: Draft) -> Iterator[Late]:
        """Return what nothing covers any more, with the memory and the history of it in the draft."""
        for fault_key, unheard in list(self._situation.unheard.items()):
            record = self._situation.book.fault(fault_key)
            if record is None:  # it ended, and whoever knew of it knows that
                self._situation.unheard.pop(fault_key)
                draft.change.memos.append(_memo(fault_key, NOTHING))
                continue
            shelved = self._situation.notes.shelved
            news, left = overdue(record, unheard, self.coverage(record, draft.now), shelved)
            self._remember(record, unheard, left, draft)
            if not news.is_empty:
                entry = HistoryEntry(
                    fault_key=fault_key,
                    transition=record.fault.transition,
                    time=draft.now,
                    late=tuple(late_of(news)),
                )
                draft.change.history.append(entry)
                yield Late(record, news, occasion_of(entry))

    def owe(self, record: AlarmedFault, alarm: Alarm, known: Standing, draft: Draft) -> bool:
        """Tell whether a silence says when he whose an open alarm is hears how it is; ``known`` is what he knows."""
        side = side_of(alarm.project)
        before = self._situation.unheard.get(record.fault.fault_key, NOTHING)
        if alarm.alarm_id in before.of(side):
            return True
        if not self.keeps(record, alarm, side, draft):
            return False
        owed = {**before.of(side), alarm.alarm_id: known}
        after = replace(before, owners=owed) if side is Side.OWNER else replace(before, administrator=owed)
        self._remember(record, before, after, draft)
        return True

    def keeps(self, record: AlarmedFault, alarm: Alarm, side: Side, draft: Draft) -> bool:
        """Tell whether a silence keeps an alarm from its owner, or from the Administrator, now."""
        return self.coverage(record, draft.now).of(alarm).by(side) is not None

    def is_unheard(self, record: AlarmedFault, alarm: Alarm, side: Side) -> bool:
        """Tell whether somebody was never told of an alarm, because of a silence."""
        unheard = self._situation.unheard.get(record.fault.fault_key, NOTHING)
        return unheard.of(side).get(alarm.alarm_id, alarm) is None

    def coverage(self, record: AlarmedFault, now: datetime) -> Coverage:
        """Return which silences cover which alarms of a fault."""
        situation = self._situation
        return Coverage(situation.silences, record, situation.book, situation.resources, now)

    def _remember(self, record: AlarmedFault, before: Unheard, after: Unheard, draft: Draft) -> None:
        if after == before:
            return
        fault_key = record.fault.fault_key
        if after.is_empty:
            self._situation.unheard.pop(fault_key, None)
        else:
            self._situation.unheard[fault_key] = after
        draft.change.memos.append(_memo(fault_key, after))

    def _count(self, withheld: tuple[Withheld, ...], draft: Draft) -> None:
        silences, subscriptions = self._situation.silences, self._situation.subscriptions
        for silence, news, alarms in withheld:
            many = sum(1 for _ in tellings(news.owners, subscriptions, administrator=news.administrator))
            before = silences.tally(silence.silence_id)
            after = Tally(before.notifications + many, before.alarms + len(alarms))
            silences.tallies[silence.silence_id] = after
            draft.change.memos.append(Memo(kind=TALLY_MEMO, key=silence.silence_id, record=_encode(after)))


def occasion_of(entry: HistoryEntry) -> str:
    """Return what tells a notification at the end of a silence from all others of the fault."""
    return f"unsilenced {entry.time.isoformat()}"


def _is_of(entry: HistoryEntry, transition: Transition) -> bool:
    fault = transition.record.fault
    return entry.fault_key == fault.fault_key and entry.transition == fault.transition


def _memo(fault_key: str, unheard: Unheard) -> Memo:
    record = None if unheard.is_empty else _encode(unheard)
    return Memo(kind=UNHEARD_MEMO, key=fault_key, record=record)
