"""What no event says and Doctor concludes: aggregated faults, suspicions, storms [D 3.3.2, D 3.3.3, HA 6.1.2].

A fault that has come or gone on a resource comes in; what follows from it begins, goes on or ends in the same step.
Decides nothing itself (`doctor.inspector` does).
"""

from collections.abc import Iterable

from doctor.flows.judgement import Judgement
from doctor.flows.settlement import Settlement
from doctor.flows.situation import Situation
from doctor.flows.step import Step
from doctor.inspector import aggregation, foundation, suspicion
from doctor.model.alarm import AlarmedFault


class Conclusions:
    """Raises and ends derived faults."""

    def __init__(self, situation: Situation, settlement: Settlement, judgement: Judgement) -> None:
        self._situation = situation
        self._settlement = settlement
        self._judgement = judgement

    def draw(self, resource_id: str, event_id: str, step: Step) -> None:
        """Raise or end what follows from a fault that has come or gone on a resource, by an event or an end."""
        policy = self._situation.selector.policy
        if policy.aggregate:
            self._aggregate(resource_id, event_id, step)
        if policy.suspect or policy.storm is not None:
            self._suspect(resource_id, event_id, step)

    def end_storm(self, domain: str, step: Step) -> None:
        """End the storm over a domain, if it is calm by now."""
        situation = self._situation
        storm = situation.selector.policy.storm
        record = situation.book.open_fault(domain, suspicion.DOMAIN_FAULT)
        if record is not None and (
            storm is None or suspicion.is_calm(domain, situation.book, situation.resources, storm)
        ):
            self._settlement.end(record, step)

    def resting_on(self, keys: Iterable[str]) -> set[str]:
        """Return the keys of the suspicions that these faults hang under."""
        book = self._situation.book
        causes = {record.fault.cause for key in keys if (record := book.fault(key)) is not None}
        return {
            key
            for key in causes
            if key is not None
            and (record := book.fault(key)) is not None
            and suspicion.is_suspicion(record.fault)
        }

    def review(self, keys: Iterable[str] | None, step: Step) -> None:
        """End the suspicions among these faults, or all, that another resource map does not bear out any more."""
        situation = self._situation
        policy = situation.selector.policy
        records = (
            list(situation.book) if keys is None else [situation.book.fault(key) for key in sorted(keys)]
        )
        for record in records:
            if record is None or not suspicion.is_suspicion(record.fault):
                continue
            if record.fault.rule == suspicion.STORM:
                self._judgement.calms_down(record.fault.resource_id, policy.storm, step.now)
            elif not suspicion.is_borne_out(record, situation.book, situation.resources, policy.suspect):
                self._settlement.end(
                    record, step, why="by the resource map as it is now too few of them share it"
                )

    @property
    def unfounded(self) -> list[AlarmedFault]:
        """Return the derived faults that no rule of the policy stands behind any more."""
        return foundation.unfounded(self._situation.book, self._situation.selector.policy)

    def let_go(self, step: Step) -> None:
        """End what no rule of the policy stands behind any more: nothing else would."""
        for record in self.unfounded:
            why = f"the failure policy has no rule {record.fault.rule} any more"
            self._settlement.end(record, step, why=why)

    def _aggregate(self, resource_id: str, event_id: str, step: Step) -> None:
        """Raise or end what the lesser faults of a resource are together."""
        situation = self._situation
        rules = situation.selector.policy.aggregate
        for found in list(aggregation.judged(resource_id, situation.book, rules, step.now)):
            match found:
                case aggregation.Apart(rule):
                    record = situation.book.open_fault(resource_id, rule.fault_type)
                    if record is not None:
                        self._settlement.end(record, step)
                case aggregation.Together(rule):
                    key = situation.fault_key(event_id, resource_id, rule.fault_type)
                    fault = aggregation.fault_of(found, fault_key=key, raised_by=event_id, now=step.now)
                    self._settlement.open(fault, step)

    def _suspect(self, resource_id: str, event_id: str, step: Step) -> None:
        """Raise or end what failures of several resources say of what they share."""
        situation = self._situation
        policy = situation.selector.policy
        found = suspicion.judged(
            resource_id, situation.book, situation.resources, policy.suspect, policy.storm, step.now
        )
        for verdict in list(found):
            match verdict:
                case suspicion.Relieved(record) if record.fault.rule == suspicion.STORM:
                    self._judgement.calms_down(record.fault.resource_id, policy.storm, step.now)
                case suspicion.Relieved(record):
                    if (
                        situation.book.fault(record.fault.fault_key) is not None
                    ):  # another rule may have ended it
                        self._settlement.end(record, step)
                case suspicion.Suspected(supplier, fault_type):
                    known = situation.book.open_fault(supplier, fault_type)
                    if known is not None:
                        self._settlement.explain(known, verdict.symptoms, step)
                        continue
                    key = situation.fault_key(event_id, supplier, fault_type)
                    fault = suspicion.fault_of(
                        verdict,
                        situation.book,
                        situation.resources,
                        fault_key=key,
                        raised_by=event_id,
                        now=step.now,
                    )
                    self._settlement.open(fault, step)
