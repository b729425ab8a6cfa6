"""What becomes of faults that have not happened yet [D 2.1.2, 3.3.2].

An event that foresees a fault comes in, or takes it back, or the time has come; the predicted fault begins, moves or
ends in the same step. It takes the same way as any fault, and takes nothing down. Decides nothing itself
(`doctor.inspector.prediction` does).
"""

from collections.abc import Awaitable, Callable

import structlog
from msgspec.structs import replace

from doctor.flows.agenda import Agenda
from doctor.flows.judgement import Judgement
from doctor.flows.memory import Folded, Key
from doctor.flows.settlement import Settlement
from doctor.flows.situation import Situation
from doctor.flows.step import Step
from doctor.inspector import diagnosis, prediction
from doctor.inspector.prediction import Begun, Kept, Moved, Nothing, Over, Unusable
from doctor.inspector.selection import Foretold, TakenBack
from doctor.kit.clock import Clock
from doctor.kit.ids import SEPARATOR
from doctor.model.alarm import AlarmedFault
from doctor.model.event import RawEvent
from doctor.model.fault import Fault, Outcome, Prediction

log = structlog.get_logger(__name__)

OnDue = Callable[[str], Awaitable[None]]


class Foresights:
    """Begins, moves and ends predicted faults. ``on_due`` looks at one, by its key, when its time has come."""

    def __init__(
        self,
        situation: Situation,
        settlement: Settlement,
        judgement: Judgement,
        agenda: Agenda,
        clock: Clock,
        on_due: OnDue,
    ) -> None:
        self._situation = situation
        self._settlement = settlement
        self._judgement = judgement
        self._agenda = agenda
        self._clock = clock
        self._on_due = on_due

    def resume(self) -> None:
        """Note anew what is due, after a start."""
        for record in self._situation.book:
            if record.fault.prediction is not None:
                self._plan(record.fault)

    def foretold(
        self, event: RawEvent, event_id: str, verdict: Foretold, step: Step, *, at_once: bool = False
    ) -> None:
        """Take what an event foresees; ``at_once`` if it was folded before, and shall not be again."""
        situation = self._situation
        raises = verdict.raises
        resource_id = situation.id_of(raises.resource)
        said = prediction.claim_of(event.source, raises.details or {}, verdict.rule, step.now)
        if isinstance(said, Unusable):
            log.warning("prediction.unusable", event_id=event_id, resource_id=resource_id, why=said.reason)
            return
        if situation.book.open_fault(resource_id, raises.rule.fault_type) is not None:
            return  # it has come by now
        key = (resource_id, prediction.predicted(raises.rule.fault_type))
        folded = situation.memory.folded.get(key)
        if folded is not None and folded.event is None and not at_once:
            self._judgement.folds(key, step.now, step.change, event, event_id)
            return
        record = situation.book.open_fault(*key)
        known = None if record is None else record.fault.prediction
        decided = prediction.claimed(known, said, verdict.rule, raises.rule, raises.severity, step.now)
        is_told = isinstance(decided, Begun | Moved | Over)
        last = None if isinstance(decided, Over) else event
        if is_told and not at_once and self._judgement.folds(key, step.now, step.change, last, event_id):
            return
        match decided:
            case Begun(seen):
                self._begin(event, event_id, verdict, seen, resource_id, step)
            case Nothing(reason):
                log.info("prediction.not_counted", event_id=event_id, resource_id=resource_id, why=reason)
            case Moved() | Kept() | Over():
                assert record is not None  # else nothing was known
                if isinstance(decided, Kept):
                    repeats = step.change.repeats
                    repeats[record.fault.fault_key] = repeats.get(record.fault.fault_key, 0) + 1
                self._go_on(record, decided, step)

    def taken_back(self, event: RawEvent, verdict: TakenBack, step: Step) -> None:
        """Take back what the source of an event had foreseen."""
        situation = self._situation
        for name, fault_type in verdict.faults:
            key = (situation.id_of(name), prediction.predicted(fault_type))
            record = situation.book.open_fault(*key)
            folded = situation.memory.folded.get(key)
            is_over = record is None if folded is None else folded.event is None
            if is_over:
                continue
            if record is None or record.fault.prediction is None:
                self._judgement.folds(key, step.now, step.change, None)
                continue
            decided = prediction.taken_back(record.fault.prediction, event.source, step.now)
            is_folded = isinstance(decided, Over) and self._judgement.folds(key, step.now, step.change, None)
            if not is_folded:
                self._go_on(record, decided, step)

    def came_true(self, fault: Fault, step: Step) -> None:
        """End the prediction of a fault that has begun: it hangs under the fault."""
        key = (fault.resource_id, prediction.predicted(fault.fault_type))
        self._situation.memory.fold(key, None, step.change)
        record = self._situation.book.open_fault(*key)
        if record is not None and record.fault.prediction is not None:
            seen = prediction.ended(record.fault.prediction, Outcome.CONFIRMED)
            self._end(record, seen, step, cause=fault.fault_key)

    def withdraw(self, record: AlarmedFault, step: Step) -> None:
        """End a prediction because somebody says so."""
        assert record.fault.prediction is not None  # else it is none
        self._end(record, prediction.ended(record.fault.prediction, Outcome.WITHDRAWN), step)

    def unfold(self, key: Key, folded: Folded, step: Step) -> None:
        """Tell how a prediction that came and went has ended up."""
        record = self._situation.book.open_fault(*key)
        if folded.event is None:
            if record is not None:
                self.withdraw(record, step)
            return
        found = self._situation.resources.find(folded.event.resource)
        verdict = self._situation.selector.select(folded.event, getattr(found, "zone_id", None))
        if isinstance(verdict, Foretold):
            self.foretold(folded.event, folded.event_id, verdict, step, at_once=True)

    def look(self, fault_key: str, step: Step) -> None:
        """See what the time has done to a prediction: it is near now, or was wrong."""
        record = self._situation.book.fault(fault_key)
        if record is None or record.fault.prediction is None:
            return
        decided = prediction.as_of(record.fault.prediction, step.now)
        if (
            isinstance(decided, Kept)
            and prediction.action(decided.prediction, step.now) != record.fault.recommended_action
        ):
            decided = Moved(decided.prediction)
        self._go_on(record, decided, step)

    def _begin(
        self,
        event: RawEvent,
        event_id: str,
        verdict: Foretold,
        seen: Prediction,
        resource_id: str,
        step: Step,
    ) -> None:
        situation = self._situation
        fault_type = prediction.predicted(seen.fault_type)
        expected = diagnosis.fault_of(
            verdict.raises,
            event,
            resource_id,
            situation.resources.get(resource_id),
            fault_key=situation.fault_key(event_id, resource_id, fault_type),
            raised_by=event_id,
            now=step.now,
        )
        fault = prediction.fault_of(expected, seen, verdict.rule, step.now)
        self._settlement.open(fault, step)
        self._plan(fault)

    def _go_on(
        self, record: AlarmedFault, decided: Moved | Kept | Over | Begun | Nothing, step: Step
    ) -> None:
        fault = record.fault
        match decided:
            case Moved(seen) | Begun(seen):
                moved = prediction.moved(fault, seen, step.now)
                self._settlement.change(record, moved, step, retold=record.alarms.keys())
                self._plan(moved)
            case Over(seen):
                self._end(record, seen, step)
            case Kept(seen) if seen == fault.prediction:
                self._plan(fault)
            case Kept(seen):
                kept = replace(fault, prediction=seen)
                self._settlement.keep(record, kept, step)
                self._plan(kept)
            case Nothing():
                pass

    def _end(self, record: AlarmedFault, seen: Prediction, step: Step, *, cause: str | None = None) -> None:
        fault = replace(record.fault, prediction=seen, cause=cause)
        self._settlement.end(replace(record, fault=fault), step)
        self._agenda.cancel(_plan_of(fault.fault_key))

    def _plan(self, fault: Fault) -> None:
        assert fault.prediction is not None  # else nothing is due
        moment = prediction.next_look(fault.prediction, self._clock.now())
        self._agenda.at(moment, _plan_of(fault.fault_key), lambda _: self._on_due(fault.fault_key))


def _plan_of(fault_key: str) -> str:
    return SEPARATOR.join(("foreseen", fault_key))
