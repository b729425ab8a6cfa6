"""From a fault to what follows from it: alarms, other faults that weigh differently by it, notifications, capacity.

A fault that begins, changes or ends comes in; all of it is taken over into memory, and what has to be kept and told is
noted in the step. Nothing waits here.
"""

from collections.abc import Collection, Sequence

import structlog
from msgspec.structs import replace

from doctor.alarms import lifecycle
from doctor.flows.capacity import tell_capacity
from doctor.flows.correction import corrections
from doctor.flows.notices import Notices
from doctor.flows.situation import ISOLATION_MEMO, Situation
from doctor.flows.step import Step
from doctor.inspector import correlation, impact
from doctor.kit.clock import Clock
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.capacity import Pool, differences
from doctor.model.fault import Fault
from doctor.model.resource_map import Owners, ResourceMap
from doctor.notifier.message import Outlooks
from doctor.ports.store import Memo
from doctor.profiler.timeline import timeline_of

log = structlog.get_logger(__name__)

MOST_LINKS = 5  # in a chain of symptoms that one step makes known; the next step would find the rest


class Settlement:
    """Brings alarms to what the faults are, and has it told."""

    def __init__(self, situation: Situation, clock: Clock, notices: Notices) -> None:
        self._situation = situation
        self._clock = clock
        self._notices = notices

    def open(self, fault: Fault, step: Step) -> None:
        """Begin a fault (T3, T4); it hangs under the one that explains it."""
        fault = replace(fault, cause=correlation.cause_of(fault, self._situation.book))
        judged = self._clock.now()
        reaches = self._reaches(fault.fault_key, fault)
        step.timelines.append(
            timeline_of(fault, accepted=step.accepted, judged=judged, affected_found=self._clock.now())
        )
        self._settle(AlarmedFault(fault=fault, alarms={}), fault, reaches, step)
        log.info(
            "fault.raised",
            fault_id=fault.fault_key,
            resource_id=fault.resource_id,
            fault_type=fault.fault_type,
            severity=fault.severity.perceived,
            affected=len(reaches[fault.fault_key]) - 1,
        )

    def change(self, record: AlarmedFault, fault: Fault, step: Step, *, retold: Collection[str] = ()) -> None:
        """Go on with a fault that is worse or better than before; on ``retold`` it is news in any case."""
        self._settle(record, fault, self._reaches(fault.fault_key, fault), step, retold=retold)

    def keep(self, record: AlarmedFault, fault: Fault, step: Step) -> None:
        """Go on with a fault of which something is known that nobody need be told; it reaches what it did."""
        self._settle(record, fault, {fault.fault_key: impact.known_reach(record)}, step)

    def explain(self, record: AlarmedFault, symptoms: tuple[str, ...], step: Step) -> None:
        """Go on with a fault that explains other ones than before; what it reaches is the same."""
        self.keep(record, replace(record.fault, explains=symptoms), step)

    def retell(self, host: str, step: Step) -> None:
        """Tell the alarms on a host and its machines anew: what can be said of the host is another thing than before."""
        situation = self._situation
        concerned = {host, *situation.resources.machines_on(host)}
        transitions = []
        for record in list(situation.book.on(host)):
            fault = record.fault
            again = replace(fault, changed_time=step.now, transition=fault.transition + 1)
            reach = impact.known_reach(record)
            transition = lifecycle.settled(
                record, again, reach, situation.resources, now=step.now, retold=concerned
            )
            step.remember(record, transition)
            transitions.append(transition)
        if transitions:
            self._publish(transitions, step)

    def end(self, record: AlarmedFault, step: Step, *, why: str = "") -> None:
        """End a fault and its alarms; ``why`` is kept in its details, if that is not plain."""
        fault = record.fault
        if why:
            fault = replace(fault, details=fault.details | {"cleared_because": why})
            record = replace(record, fault=fault)
        self._settle(record, None, self._reaches(fault.fault_key, None), step)
        step.cleared_faults.append(fault.fault_key)
        log.info(
            "fault.cleared",
            fault_id=fault.fault_key,
            resource_id=fault.resource_id,
            fault_type=fault.fault_type,
            **({"user": step.user} if step.user else {}),
            **({"why": why} if why else {}),
        )

    def _reaches(self, fault_key: str, fault: Fault | None) -> dict[str, impact.Reach]:
        """Return what a fault does to which resource now (T4), and what other faults do differently by it."""
        situation = self._situation
        rules = situation.selector.propagation
        return impact.reaches(fault_key, fault, situation.resources, rules, situation.book)

    def _settle(
        self,
        record: AlarmedFault,
        fault: Fault | None,
        reaches: dict[str, impact.Reach],
        step: Step,
        *,
        retold: Collection[str] = (),
    ) -> None:
        """Bring a fault, and those that weigh differently by it, to what they reach now; None is the end of it."""
        situation = self._situation
        resources = situation.resources
        transitions = []
        for fault_key, reach in reaches.items():
            if fault_key != record.fault.fault_key:
                other = situation.book.fault(fault_key)
                assert other is not None  # the book has named it
                again = replace(other.fault, transition=other.fault.transition + 1)
                transitions.append(lifecycle.settled(other, again, reach, resources, now=step.now))
                step.remember(other, transitions[-1])
            elif fault is None:
                transitions.append(lifecycle.cleared(record, now=step.now))
                step.remember(record, transitions[-1], user=step.user)
            else:
                transitions.append(
                    lifecycle.settled(record, fault, reach, resources, now=step.now, retold=retold)
                )
                step.remember(record, transitions[-1])
        pool = situation.pool  # as it is before
        self._publish(transitions, step)
        hosts = [
            alarm.resource_id
            for transition in transitions
            for alarms in (transition.raised, transition.changed, transition.cleared)
            for alarm in alarms
            if alarm.project is None
        ]
        zones = pool.settle(hosts, situation.book.state_of, changed_by=record.fault.fault_key)
        tell_capacity(situation, zones, step)

    def correct(self, before: ResourceMap, pool: Pool, step: Step) -> None:
        """Bring all open faults, and what subscriptions wait for, to another map [I-24].

        ``before`` is the map that they were judged by, and ``pool`` its capacity.
        """
        self.follow(before, None, step)
        tell_capacity(self._situation, differences(pool, self._situation.pool), step)

    def follow(self, before: Owners, only: Collection[str] | None, step: Step) -> None:
        """Bring open faults, and what subscriptions wait for, to the map as it is now; ``only`` as in `corrections`."""
        situation = self._situation
        patient = [one for one in situation.subscriptions if one.is_patient]
        for subscription in patient:
            self._notices.regroup(subscription, step, former=subscription, formerly=before)
        transitions = []
        for record, transition in corrections(situation, before, now=step.now, only=only):
            step.remember(record, transition)
            transitions.append(transition)
            if not transition.record.fault.is_open:
                step.cleared_faults.append(record.fault.fault_key)
        self._publish(transitions, step)
        for subscription in patient:
            self._notices.settle(subscription, step)

    def _publish(self, transitions: list[Transition], step: Step) -> None:
        """Take over into memory what was decided, with what it explains, and write what it tells.

        All of it is taken over before any of it is written, so that every notification speaks of the same moment.
        """
        situation = self._situation
        for transition in transitions:
            situation.book.apply(transition)
        transitions += self._explained(transitions, step)
        step.change.faults += [transition.record for transition in transitions]
        step.transitions += transitions
        if situation.isolations:
            self._forget_isolations(step)
        outlooks: Outlooks = {}
        for transition in transitions:
            self._notices.of(transition, outlooks, step)

    def _forget_isolations(self, step: Step) -> None:
        """A host that serves again is no longer isolated; if it dies once more, that is a new case."""
        situation = self._situation
        for host in [one for one in situation.isolations if not situation.book.state_of(one).is_out]:
            del situation.isolations[host]
            step.change.memos.append(Memo(kind=ISOLATION_MEMO, key=host, record=None))

    def _explained(self, transitions: Sequence[Transition], step: Step) -> list[Transition]:
        """Hang symptoms under their root causes, and let go of those that have none any more."""
        situation = self._situation
        found = []
        news = list(transitions)
        for _ in range(MOST_LINKS):
            again = []
            for record, cause in correlation.unsettled(news, situation.book):
                fault = replace(
                    record.fault, cause=cause, changed_time=step.now, transition=record.fault.transition + 1
                )
                transition = lifecycle.settled(
                    record,
                    fault,
                    impact.known_reach(record),
                    situation.resources,
                    now=step.now,
                    retold=self._retold(record, cause),
                )
                situation.book.apply(transition)
                step.remember(record, transition)
                again.append(transition)
            if not again:
                break
            found += again
            news = again
        return found

    def _retold(self, record: AlarmedFault, cause: str | None) -> set[str]:
        """Return the resources on which it shows that a fault has another cause: those that the causes reach too."""
        book = self._situation.book
        causes = [book.fault(key) for key in (record.fault.cause, cause) if key is not None]
        reached = {
            key for one in causes if one is not None for key in one.alarms.keys() & record.alarms.keys()
        }
        return reached | {record.fault.resource_id}
