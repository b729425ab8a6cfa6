"""What people do to alarms [D 5.5.3, IFA 005]: acknowledge, comment, shelve, clear.

An owner does it to his own alarms, the Administrator to all; only the Administrator clears, since a fault that is
cleared by hand is over for everybody whom it hit. All but clearing is kept as a note of its own beside the fault.
"""

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum

import msgspec
import structlog
from msgspec.structs import replace

from doctor.alarms import notes
from doctor.flows.agenda import Agenda
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow
from doctor.flows.notices import Notices
from doctor.flows.situation import ALARM_MEMO, Situation
from doctor.flows.step import Draft
from doctor.kit.clock import Clock
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_note import AlarmNote
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Identity
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

UNSHELVE = "alarm.unshelve"


class AlarmAction(StrEnum):
    """What can be done to an alarm."""

    ACKNOWLEDGE = "acknowledge"
    UNACKNOWLEDGE = "unacknowledge"
    CLEAR = "clear"
    SHELVE = "shelve"
    UNSHELVE = "unshelve"


class AlarmFlow:
    """Acts on alarms for those who may. Everything can be said twice."""

    def __init__(
        self, situation: Situation, faults: FaultFlow, delivery: DeliveryFlow, agenda: Agenda, clock: Clock
    ) -> None:
        self._situation = situation
        self._faults = faults
        self._delivery = delivery
        self._agenda = agenda
        self._clock = clock
        self._notices = Notices(situation)

    def start(self) -> None:
        """Plan the ends of the shelvings that the store knows."""
        self._plan()

    async def find(self, identity: Identity, alarm_id: str) -> tuple[AlarmedFault, Alarm]:
        """Return an alarm, open or cleared, with its fault.

        Raises:
            RejectedError: there is none, or it is somebody else's: the same answer for both.
        """
        found = self._situation.book.alarm(alarm_id)
        if found is None:
            record = await self._situation.store.fault_of_alarm(alarm_id)
            alarms = record.alarms.values() if record else ()
            found = next(((record, alarm) for alarm in alarms if record and alarm.alarm_id == alarm_id), None)
        if found is None or (identity.scope is not None and found[1].project != identity.scope):
            raise RejectedError("there is no such alarm", reason=Reason.NOT_FOUND)
        return found

    async def act(
        self,
        identity: Identity,
        alarm_id: str,
        action: AlarmAction,
        *,
        user: str = "",
        until: datetime | None = None,
    ) -> None:
        """Do something to an alarm; ``user`` is who, if the name of the token does not tell.

        Raises:
            RejectedError: there is no such alarm, or this cannot be done to it, or not by this one.
            StoreError: it was not kept.
        """
        await self._situation.ready()
        record, alarm = await self.find(identity, alarm_id)
        user = user or identity.name
        if (until is None) is (action is AlarmAction.SHELVE):
            detail = "required: until when" if until is None else "only for shelving: leave it out"
            raise RejectedError("the end of a shelving is wrong", flaws=[Flaw("/until", detail)])
        if action is AlarmAction.CLEAR:
            await self._clear(identity, record, alarm, user)
            return
        note, now = self._note(record, alarm), self._clock.now()
        match action:
            case AlarmAction.ACKNOWLEDGE:
                await self._keep(note, notes.acknowledged(note, user=user, now=now))
            case AlarmAction.UNACKNOWLEDGE:
                await self._keep(note, notes.unacknowledged(note, user=user, now=now))
            case AlarmAction.SHELVE:
                assert until is not None  # checked above
                await self._keep(note, notes.shelved(note, alarm, until=until, user=user, now=now))
            case AlarmAction.UNSHELVE:
                await self._unshelve([note] if note.shelving else [], user=user, now=now)
        log.info("alarm.acted_on", alarm_id=alarm_id, action=action, user=user)

    async def comment(self, identity: Identity, alarm_id: str, text: str, *, user: str = "") -> None:
        """Add a comment to an alarm.

        Raises:
            RejectedError: there is no such alarm, or it has too many comments.
            StoreError: it was not kept.
        """
        await self._situation.ready()
        record, alarm = await self.find(identity, alarm_id)
        note = self._note(record, alarm)
        user = user or identity.name
        await self._keep(note, notes.commented(note, text, user=user, now=self._clock.now()))

    async def _clear(self, identity: Identity, record: AlarmedFault, alarm: Alarm, user: str) -> None:
        fault = record.fault
        if identity.scope is not None:
            raise RejectedError("only the Administrator clears alarms", reason=Reason.FORBIDDEN)
        if alarm.cleared_time is not None:
            return
        if alarm.resource_id != fault.resource_id:
            own = record.alarms.get(fault.resource_id)
            where = f"alarm {own.alarm_id} on {own.resource_id}" if own else fault.resource_id
            raise RejectedError(f"this alarm follows from another one: clear {where}, and it ends with it")
        await self._faults.clear(fault.fault_key, user=user)
        log.info("alarm.acted_on", alarm_id=alarm.alarm_id, action=AlarmAction.CLEAR, user=user)

    async def _unshelve(self, shelved: Sequence[AlarmNote], *, user: str, now: datetime) -> None:
        """Take alarms back; their owners are told of those that have changed meanwhile."""
        draft = Draft(now)
        for note in shelved:
            found = self._situation.book.alarm(note.alarm_id)
            if found is None:  # it is over, and its owner knows
                after = replace(note, shelving=None)
            else:
                after = notes.unshelved(note, user=user, now=now)
            self._situation.notes.put(after)
            draft.change.memos.append(_memo(after))
            if found is not None and note.shelving is not None and notes.has_moved(note.shelving, found[1]):
                known = notes.known_of(note.shelving)
                self._notices.of_unshelved(*found, known, occasion_of(after, after.shelvings), draft)
        self._notices.of_silences(draft)
        if draft.change.memos:
            await self._situation.keep(draft.change)
            self._delivery.dispatch(draft.change.notifications)
        self._plan()

    async def _unshelve_due(self, now: datetime) -> None:
        await self._situation.ready()
        ended = self._situation.notes.ended(now)
        await self._unshelve(ended, user="", now=now)
        log.info("alarms.unshelved", alarms=len(ended))

    def _plan(self) -> None:
        """Come back when the next shelving ends."""
        moment = self._situation.notes.next_end
        if moment is None:
            self._agenda.cancel(UNSHELVE)
        else:
            self._agenda.at(moment, UNSHELVE, self._unshelve_due)

    def _note(self, record: AlarmedFault, alarm: Alarm) -> AlarmNote:
        known = self._situation.notes.of(alarm.alarm_id)
        return known or AlarmNote(alarm_id=alarm.alarm_id, fault_key=record.fault.fault_key)

    async def _keep(self, before: AlarmNote, after: AlarmNote) -> None:
        if after is not before:
            self._situation.notes.put(after)
            await self._situation.keep(Change(memos=[_memo(after)]))
            self._plan()


def occasion_of(note: AlarmNote, shelving: int) -> str:
    """Return what tells the notification at the end of a shelving from all others."""
    return f"unshelved {note.alarm_id} {shelving}"


def _memo(note: AlarmNote) -> Memo:
    return Memo(kind=ALARM_MEMO, key=note.alarm_id, record=msgspec.msgpack.encode(note))
