"""What is judged over time: doubts, flapping, and silence.

Between the failure policy, which judges one event, and the alarms: whether a fault is believed yet, whether its change
is told now or folded, and who should have spoken by now. Decides nothing itself (`doctor.inspector` does), and keeps
what it has to remember in the `Memory` of the situation, in the same transaction as the event.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

from doctor.flows.agenda import Agenda
from doctor.flows.memory import Expected, Folded, Key
from doctor.flows.situation import Situation
from doctor.inspector import confirmation, damping
from doctor.inspector.measurement import Readings, readings
from doctor.inspector.selection import Raise
from doctor.inspector.suspicion import STORM
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.event import RawEvent
from doctor.model.policy import Absence, Storm, Subject
from doctor.ports.store import Change

OWN = "doctor"  # the source of what Doctor itself has noticed

OnDue = Callable[[Key], Awaitable[None]]


class Judgement:
    """Judges over time.

    What is due is done by whoever made it: ``on_calm`` tells how a fault has ended up that came and went, ``on_silence``
    that somebody has not spoken, ``on_lull`` that a storm may be over.
    """

    def __init__(
        self,
        situation: Situation,
        clock: Clock,
        agenda: Agenda,
        on_calm: OnDue,
        on_silence: OnDue,
        on_lull: OnDue,
    ) -> None:
        self._agenda = agenda
        self._situation = situation
        self._clock = clock
        self._on_calm = on_calm
        self._on_silence = on_silence
        self._on_lull = on_lull

    def resume(self) -> None:
        """Note anew what is due, after a start."""
        memory = self._situation.memory
        for key, folded in memory.folded.items():
            self._note_calm(key, folded)
        now = self._clock.now()
        for key, expected in memory.expected.items():
            absence = self._absence(key)
            if absence is not None:
                memory.expected[key] = Expected(last=now, is_silent=expected.is_silent)
                self._note_silence(key, now + absence.every)

        for record in self._situation.book:
            if record.fault.rule == STORM:
                self.calms_down(record.fault.resource_id, self._situation.selector.policy.storm, now)

    def calms_down(self, domain: str, storm: Storm | None, now: datetime) -> None:
        """Look again later whether a storm is over."""
        key = (domain, STORM)
        self._agenda.at(now + (storm or Storm()).calm, _plan("lull", key), lambda _: self._on_lull(key))

    def believed(
        self, event: RawEvent, raised: Raise, resource_id: str, now: datetime, change: Change
    ) -> Readings | None:
        """Return what was read when a fault that is not open yet was first in doubt; None as long as it is."""
        rule = raised.rule
        patience = rule.patience
        if patience is None:
            return {}
        memory = self._situation.memory
        key = (rule.name, resource_id)
        read = readings(raised.thresholds, raised.details or {})
        before = memory.waiting.get(key)
        waiting = confirmation.heard(before, patience, event.source, now, read)
        if confirmation.is_believed(waiting, patience, now):
            memory.wait(key, None, change)
            return {} if before is None else before.readings
        memory.wait(key, waiting, change)
        return None

    def contradicts(self, event: RawEvent, raised: Raise | None, change: Change) -> None:
        """Take back what this source had said for other faults than the one that the event raises."""
        situation = self._situation
        for rule in situation.selector.patient(event.type):
            if rule.patience is None or (raised is not None and raised.rule.name == rule.name):
                continue
            key = (rule.name, situation.id_of(event.resource))
            waiting = situation.memory.waiting.get(key)
            if waiting is not None:
                left = confirmation.contradicted(waiting, rule.patience, event.source)
                situation.memory.wait(key, left, change)

    def folds(
        self, key: Key, now: datetime, change: Change, event: RawEvent | None, event_id: str = ""
    ) -> bool:
        """Count a change of a fault, and tell whether it is folded; ``event`` raises it, None ends it."""
        memory = self._situation.memory
        rules = self._situation.selector.policy.damping
        flapping = damping.changed(memory.flapping(key), rules, now)
        if not flapping.is_damped:
            memory.tell(key, flapping, rules.within)
            return False
        folded = Folded(flapping=flapping, event=event, event_id=event_id)
        memory.fold(key, folded, change)
        self._note_calm(key, folded)
        return True

    def hears(self, event: RawEvent, zone_id: str | None, now: datetime, change: Change) -> list[RawEvent]:
        """Note that somebody has spoken who is expected to; return what that means if he was silent before."""
        memory = self._situation.memory
        returned = []
        for absence in self._situation.selector.expected(event, zone_id):
            subject = event.source if absence.same is Subject.SOURCE else event.resource
            key = (absence.name, subject)
            before = memory.expected.get(key)
            memory.expect(key, Expected(last=now), change)
            if before is None or before.is_silent:
                self._note_silence(key, now + absence.every)
            if before is not None and before.is_silent:
                returned.append(own_event(absence.raises, subject, "up", now))
        return returned

    def silence(self, key: Key, now: datetime, cut_off_until: datetime | None = None) -> RawEvent | None:
        """Return what it means that somebody has not spoken, if he really has not.

        Who could not be heard until lately because Doctor itself was cut off has the whole time from then on.
        """
        memory = self._situation.memory
        absence, expected = self._absence(key), memory.expected.get(key)
        if absence is None or expected is None or expected.is_silent:
            return None
        due = max(expected.last, cut_off_until or expected.last) + absence.every
        if due > now:
            self._note_silence(key, due)
            return None
        return own_event(absence.raises, key[1], "down", now)

    def _absence(self, key: Key) -> Absence | None:
        rules = self._situation.selector.policy.absence
        return next((rule for rule in rules if rule.name == key[0]), None)

    def _note_calm(self, key: Key, folded: Folded) -> None:
        due = damping.calm_at(folded.flapping, self._situation.selector.policy.damping)
        if due is not None:
            self._agenda.at(due, _plan("calm", key), lambda _: self._on_calm(key))

    def _note_silence(self, key: Key, due: datetime) -> None:
        self._agenda.at(due, _plan("silence", key), lambda _: self._on_silence(key))


def _plan(what: str, key: Key) -> str:
    return SEPARATOR.join((what, *key))


def own_event(event_type: str, resource: str, status: str, now: datetime) -> RawEvent:
    """Return an event by which Doctor says what it has noticed itself."""
    return RawEvent(time=now, type=event_type, resource=resource, source=OWN, status=status)
