"""Forgets the past when it is old enough [HA 5.2], and lets the Administrator say when that is."""

from collections.abc import Mapping
from datetime import timedelta

import msgspec
import structlog

from doctor.flows.escalation import forget_escalations
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import ALARM_MEMO, SETTING_MEMO, Situation
from doctor.kit.clock import Clock
from doctor.model.ageing import AGEING_SEVERITIES, Ageing, Keep
from doctor.model.fault import Severity
from doctor.ports.store import Change, Memo

log = structlog.get_logger(__name__)

AGEING = "ageing"  # the name of the setting


class AgeingFlow:
    """Knows how long what is kept. Without a word of the Administrator it is what the settings say."""

    def __init__(self, situation: Situation, clock: Clock, silences: SilenceFlow, *, days: float) -> None:
        """Take ``days`` from the settings: for events, timelines, silences always, for the rest until told otherwise."""
        self._situation = situation
        self._clock = clock
        self._silences = silences
        self._days = days

    @property
    def current(self) -> Ageing:
        """Return what is in force."""
        kept = self._situation.settings.get(AGEING)
        given = msgspec.msgpack.decode(kept, type=dict[Severity, Keep]) if kept else {}
        usual = Keep(days=self._days)
        return Ageing({severity: given.get(severity, usual) for severity in AGEING_SEVERITIES})

    async def apply(self, given: Mapping[Severity, Keep], *, user: str) -> None:
        """Keep the cleared faults of these severities so long from now on, and the others as the settings say.

        Raises:
            StoreError: it was not kept; what was before stays in force.
        """
        record = msgspec.msgpack.encode(dict(given)) if given else None
        situation = self._situation
        await situation.ready()
        await situation.keep(Change(memos=[Memo(kind=SETTING_MEMO, key=AGEING, record=record)]))
        if record is None:
            situation.settings.pop(AGEING, None)
        else:
            situation.settings[AGEING] = record
        log.info("ageing.applied", user=user)

    async def forget(self) -> None:
        """Forget what is too old or too much, with the notes of the alarms and the escalations that go.

        Raises:
            StoreError: not everything could be forgotten; the next time finds it.
        """
        now = self._clock.now()
        before = now - timedelta(days=self._days)
        gone = await self._situation.store.prune(before=before, faults=self.current.limits(now))
        notes = await self._forget_notes()
        escalations = await forget_escalations(self._situation)
        silences = await self._silences.forget(before)
        log.info("store.pruned", gone=gone, notes=notes, escalations=escalations, silences=silences)

    async def _forget_notes(self) -> int:
        situation = self._situation
        await situation.ready()
        past = {note.fault_key for note in situation.notes if situation.book.fault(note.fault_key) is None}
        kept = await situation.store.kept_faults(sorted(past))
        lost = [note.alarm_id for note in situation.notes if note.fault_key in past - kept]
        if lost:
            memos = [Memo(kind=ALARM_MEMO, key=alarm_id, record=None) for alarm_id in lost]
            await situation.keep(Change(memos=memos))
            for alarm_id in lost:
                situation.notes.forget(alarm_id)
        return len(lost)
