"""Failure impact zones in the fault flow: what their parts do to them, decided in the same step as the parts' own faults.

Decides nothing itself (`doctor.inspector.zone_book` does), brings its duties about, and has the time that matters to a zone
on the agenda.
"""

from collections.abc import Awaitable, Callable
from datetime import datetime

import structlog
from msgspec.structs import replace

from doctor.flows.agenda import Agenda
from doctor.flows.settlement import Settlement
from doctor.flows.situation import Situation
from doctor.flows.step import Step
from doctor.flows.zone_memory import news_of
from doctor.inspector.escalation import Move
from doctor.inspector.zone_book import Change, Duties, End, Explain, Open, Present
from doctor.kit.ids import SEPARATOR
from doctor.model.alarm import AlarmedFault
from doctor.model.fault import Fault

log = structlog.get_logger(__name__)

OnDue = Callable[[str], Awaitable[None]]


class ZoneWatch:
    """Watches over the zones. ``on_due`` is to call `pass_time` for a zone, in a step of its own."""

    def __init__(self, situation: Situation, settlement: Settlement, agenda: Agenda, on_due: OnDue) -> None:
        self._situation = situation
        self._settlement = settlement
        self._agenda = agenda
        self._on_due = on_due

    def heed(self, step: Step) -> None:
        """Take note of the faults that have begun, changed or ended in this step, and of what that does to the zones."""
        situation, faults = self._situation, step.change.faults
        if not situation.selector.zones and situation.zones.is_empty:
            step.heeded = len(faults)
            return
        while step.heeded < len(faults):
            fault = faults[step.heeded].fault
            step.heeded += 1
            self._perform(situation.zones.heed(fault, self._present(step)), step)

    def pass_time(self, zone: str, step: Step) -> None:
        """Do what is due in a zone, and come back when something else is."""
        present = self._present(step)
        self._perform(self._situation.zones.passes(zone, present), step)
        self._plan(zone, present)

    def decide(self, escalation_id: str, move: Move, comment: str, step: Step) -> None:
        """Do what somebody has decided.

        Raises:
            RejectedError: there is nothing of this id to decide, or not any more; nothing has changed.
        """
        present = self._present(step)
        self._perform(self._situation.zones.decide(escalation_id, move, present, comment=comment), step)
        log.info("escalation.decided", escalation_id=escalation_id, move=move, user=step.user)

    def resume(self, now: datetime) -> None:
        """Look at every zone now: after a start, or under another policy, what was due may be so no more or long since."""
        zones = self._situation.zones
        for zone in sorted({*zones.probations, *zones.troubled}):
            self._come_back(zone, now)

    def _present(self, step: Step) -> Present:
        situation = self._situation
        levels, book = situation.selector.zones, situation.book
        return Present(levels, book, situation.resources, step.now, step.user, self._is_planned)

    def _is_planned(self, fault: Fault) -> bool:
        return self._situation.is_planned(self._record(fault.fault_key))

    def _perform(self, duties: Duties, step: Step) -> None:
        for duty in duties:
            match duty:
                case Open(fault):
                    self._settlement.open(fault, step)
                case Change(fault):
                    changed = replace(fault, changed_time=step.now, transition=fault.transition + 1)
                    self._settlement.change(self._record(fault.fault_key), changed, step)
                case Explain(fault_key, symptoms):
                    self._settlement.explain(self._record(fault_key), symptoms, step)
                case End(fault_key):
                    self._settlement.end(self._record(fault_key), step)
        self._keep(step)

    def _record(self, fault_key: str) -> AlarmedFault:
        record = self._situation.book.fault(fault_key)
        assert record is not None  # zones speak of faults of their own
        return record

    def _keep(self, step: Step) -> None:
        zones = self._situation.zones
        present = self._present(step)
        for zone in zones.take_changed():
            self._plan(zone, present)
        step.change.memos += news_of(zones)

    def _plan(self, zone: str, present: Present) -> None:
        """Come back when something is due in a zone."""
        due = self._situation.zones.due(zone, present)
        if due is None:
            self._agenda.cancel(_key(zone))
        else:
            self._come_back(zone, due)

    def _come_back(self, zone: str, moment: datetime) -> None:
        self._agenda.at(moment, _key(zone), lambda _: self._on_due(zone))


def _key(zone: str) -> str:
    return SEPARATOR.join(("zone", zone))
