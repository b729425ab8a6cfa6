"""Which zones something has failed in lately, which have failed themselves, and about which somebody has to decide.

Holds what is remembered between faults. What happens goes in (a fault that begins, changes or ends, time that passes, a
decision); what is to be done to the faults on the zones comes out as duties, in their order. They are to be performed
at once, and what they do to faults is to be heeded as well: that is how a zone that fails counts in the next one.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import datetime
from typing import NamedTuple

from msgspec.structs import replace

from doctor.inspector import zones
from doctor.inspector.escalation import (
    HAS_TAKEN_EFFECT,
    Move,
    begun,
    details_of,
    failures_now,
    fault_of,
    moved,
)
from doctor.inspector.zones import (
    QUESTION,
    ZONE_FAULT,
    Counted,
    IsPlanned,
    Joined,
    Levels,
    Reached,
    unplanned,
)
from doctor.kit.ids import stable_id
from doctor.kit.times import rfc3339
from doctor.model.alarm_book import AlarmBook
from doctor.model.errors import Reason, RejectedError
from doctor.model.escalation import Escalation, EscalationState, Probation
from doctor.model.fault import Fault
from doctor.model.policy import Escalate
from doctor.model.resource_map import ResourceMap


class Open(NamedTuple):
    """A fault on a zone begins."""

    fault: Fault


class Change(NamedTuple):
    """A fault on a zone goes on as this."""

    fault: Fault


class Explain(NamedTuple):
    """A fault on a zone goes on, and explains these."""

    fault_key: str
    symptoms: tuple[str, ...]


class End(NamedTuple):
    """A fault on a zone is over."""

    fault_key: str


Duty = Open | Change | Explain | End
Duties = Iterator[Duty]

# The name of the fault that begins on a resource by something: of an escalation here.
FaultKeyOf = Callable[[str, str, str], str]


class Present(NamedTuple):
    """What is known when something happens: ``levels`` are those of the policy, ``is_planned`` tells of open faults."""

    levels: Levels
    book: AlarmBook
    resources: ResourceMap
    now: datetime
    user: str = ""
    is_planned: IsPlanned = unplanned


class ZoneBook:
    """The zones. ``take_news`` says what has changed, to be kept, and ``take_changed`` of which zones."""

    def __init__(
        self,
        fault_key_of: FaultKeyOf,
        probations: Mapping[str, Probation] | None = None,
        escalations: Iterable[Escalation] = (),
    ) -> None:
        self.probations: dict[str, Probation] = {}
        self.escalations: dict[str, Escalation] = {}
        self._fault_key_of = fault_key_of
        self._active: dict[str, str] = {}  # the escalation of a zone that is not over
        self._by_fault: dict[str, str] = {}  # escalations that are not over by the fault on their zone
        self._counted: dict[str, set[str]] = {}  # in which zones a fault counts
        self._news: dict[tuple[type, str], Probation | Escalation | None] = {}
        self._changed: set[str] = set()
        for zone, probation in (probations or {}).items():
            self._put(zone, probation)
        for escalation in escalations:
            self._keep(escalation)
        self._news = {}
        self._changed = set()

    @property
    def is_empty(self) -> bool:
        """Tell whether nothing is going on in any zone."""
        return not self.probations and not self._active

    @property
    def troubled(self) -> Iterable[str]:
        """Return the zones with an escalation that is not over."""
        return self._active.keys()

    def take_changed(self) -> set[str]:
        """Return the zones to which something has happened since the last time."""
        changed, self._changed = self._changed, set()
        return changed

    def active(self, zone: str) -> Escalation | None:
        """Return the escalation of a zone that is not over, or None."""
        found = self._active.get(zone)
        return None if found is None else self.escalations[found]

    def take_news(self) -> dict[tuple[type, str], Probation | Escalation | None]:
        """Return what has changed since the last time, by kind and key: probations by zone, escalations by their id."""
        news, self._news = self._news, {}
        return news

    def forget(self, escalation_id: str) -> None:
        """Forget an escalation that is over."""
        del self.escalations[escalation_id]
        self._news[Escalation, escalation_id] = None

    # --- what happens ---

    def heed(self, fault: Fault, present: Present) -> Duties:
        """Take note of a fault that has begun, changed or ended."""
        record = present.book.fault(fault.fault_key)
        if record is None:
            yield from self._ended(fault, present)
        else:
            yield from self._known(record.fault, present)
            yield from self._counts(record.fault, present)

    def passes(self, zone: str, present: Present) -> Duties:
        """Take note of the time that has passed."""
        escalation, probation = self.active(zone), self.probations.get(zone)
        if escalation is not None and _is_late(escalation, present.now):
            escalation = moved(escalation, Move.EXPIRE, now=present.now)
            self._keep(escalation)
            self._settle(zone, present.now)
            yield from self._retold(escalation, present)
        if escalation is not None:
            yield from self._reviewed(escalation, present)
        elif probation is not None:
            level = present.levels.get(zones.type_of(zone, present.resources))
            if level is None or present.now >= zones.calm_at(probation, level.probation):
                self._put(zone, None)

    def decide(self, escalation_id: str, move: Move, present: Present, *, comment: str = "") -> Duties:
        """Take note of what somebody has decided.

        Raises:
            RejectedError: there is nothing of this id to decide, or not any more.
        """
        escalation = self.escalations.get(escalation_id)
        if escalation is None:
            raise RejectedError("there is no such escalation", reason=Reason.NOT_FOUND)
        if _is_late(escalation, present.now):
            raise RejectedError("the time to decide is over", reason=Reason.CONFLICT)
        decided = moved(escalation, move, now=present.now, user=present.user, comment=comment)
        return iter(()) if decided is escalation else self._decided(escalation, decided, present)

    def due(self, zone: str, present: Present) -> datetime | None:
        """Return when to look at a zone again if nothing happens, None for never."""
        escalation, probation = self.active(zone), self.probations.get(zone)
        moments = []
        if escalation is not None and escalation.state is EscalationState.PENDING and escalation.deadline:
            moments.append(escalation.deadline)
        if probation is not None:
            level = present.levels.get(zones.type_of(zone, present.resources))
            level = level if escalation is None else escalation.level
            calm_at = present.now if level is None else zones.calm_at(probation, level.probation)
            if escalation is None or calm_at > present.now:
                moments.append(calm_at)
        return min(moments, default=None)

    # --- what follows ---

    def _known(self, fault: Fault, present: Present) -> Duties:
        """Withdraw the question whether a zone has failed once that is known anyway, or its failures are explained."""
        if zones.takes_out(fault):
            yield from self._withdrawn(fault.resource_id, present)
        if zones.is_symptom(fault, present.book):
            for zone in sorted(self._counted.get(fault.fault_key, ())):
                self._put(zone, zones.without(self.probations[zone], fault.fault_key))
                escalation = self.active(zone)
                if escalation is None or escalation.state is not EscalationState.PENDING:
                    continue
                left = [
                    one
                    for one in failures_now(escalation, self.probations[zone])
                    if not zones.has_turned_out(one, present.book)
                ]
                if not zones.is_too_much(left, escalation.level):
                    yield from self._withdrawn(zone, present)

    def _withdrawn(self, zone: str, present: Present) -> Duties:
        escalation = self.active(zone)
        if escalation is not None and escalation.state is EscalationState.PENDING:
            self._keep(moved(escalation, Move.WITHDRAW, now=present.now))
            yield End(escalation.fault_key)

    def _counts(self, fault: Fault, present: Present) -> Duties:
        """Count a failure where it counts."""
        pending = {
            zone
            for zone, one in self._active.items()
            if self.escalations[one].state is EscalationState.PENDING
        }
        levels, book, resources, now, _, is_planned = present
        found = zones.judged(fault, levels, self.probations, pending, book, resources, now, is_planned)
        for verdict in list(found):
            self._put(verdict.zone, verdict.probation)
            match verdict:
                case Counted():
                    pass
                case Joined():
                    failed = verdict.record.fault
                    lasting = [key for key in failed.explains if book.fault(key) is not None]
                    yield Explain(failed.fault_key, (*lasting, fault.fault_key))
                case Reached():
                    yield from self._begun(verdict, fault, present)

    def _begun(self, found: Reached, fault: Fault, present: Present) -> Duties:
        before = self.active(found.zone)
        escalation_id = stable_id("escalation", found.zone, fault.fault_key, rfc3339(present.now))
        is_automatic = found.level.escalate is Escalate.AUTOMATIC
        fault_type = ZONE_FAULT if is_automatic else QUESTION
        escalation = begun(
            found,
            escalation_id=escalation_id,
            fault_key=self._fault_key_of(escalation_id, found.zone, fault_type),
            raised_by=fault.raised_by,
            now=present.now,
        )
        self._keep(escalation)
        if before is not None:  # the question before was not answered in time
            yield End(before.fault_key)
        if is_automatic:
            self._settle(found.zone, present.now)
        yield Open(fault_of(escalation, present.book, event_time=fault.event_time, now=present.now))

    def _decided(self, before: Escalation, decided: Escalation, present: Present) -> Duties:
        zone = decided.resource_id
        if decided.state in HAS_TAKEN_EFFECT:
            probation = self.probations.get(zone)
            decided = replace(
                decided,
                failures=failures_now(before, probation),
                fault_key=self._fault_key_of(decided.escalation_id, zone, ZONE_FAULT),
            )
        self._keep(decided)
        self._settle(zone, present.now)
        yield End(before.fault_key)
        if decided.state in HAS_TAKEN_EFFECT:
            yield Open(fault_of(decided, present.book, event_time=present.now, now=present.now))

    def _retold(self, escalation: Escalation, present: Present) -> Duties:
        record = present.book.fault(escalation.fault_key)
        if record is not None:
            yield Change(replace(record.fault, details=details_of(escalation)))

    def _ended(self, fault: Fault, present: Present) -> Duties:
        """Take note of the end of a fault: of a zone's own, or of one of those that led to it."""
        known = self._by_fault.get(fault.fault_key)
        if known is not None:
            escalation = self.escalations[known]
            if escalation.state is EscalationState.PENDING:  # cleared by hand
                escalation = moved(escalation, Move.WITHDRAW, now=present.now, user=present.user)
            is_active = self._active.get(escalation.resource_id) == known
            self._keep(replace(escalation, is_over=True))
            if is_active:
                self._settle(escalation.resource_id, present.now)
        for escalation in [self.escalations[one] for one in self._active.values()]:
            yield from self._reviewed(escalation, present)

    def _reviewed(self, escalation: Escalation, present: Present) -> Duties:
        """End the fault on a zone that is well again."""
        record = present.book.fault(escalation.fault_key)
        probation = self.probations.get(escalation.resource_id)
        if record is None:
            return
        led_to_it = record.fault.explains or [failure.fault_key for failure in escalation.failures]
        if probation is None or zones.is_well(
            probation, escalation.level, led_to_it, present.book, present.now
        ):
            self._put(escalation.resource_id, None)
            if escalation.state is EscalationState.PENDING:
                self._keep(moved(escalation, Move.WITHDRAW, now=present.now))
            yield End(escalation.fault_key)

    # --- what is remembered ---

    def _settle(self, zone: str, now: datetime) -> None:
        """Let the failures of a zone up to now have had their consequence."""
        probation = self.probations.get(zone)
        if probation is not None:
            self._put(zone, zones.has_had_consequence(probation, now))

    def _put(self, zone: str, probation: Probation | None) -> None:
        before = self.probations.pop(zone, None)
        for failure in before.failures if before else ():
            counted = self._counted[failure.fault_key]
            counted.discard(zone)
            if not counted:
                del self._counted[failure.fault_key]
        if probation is not None:
            self.probations[zone] = probation
            for failure in probation.failures:
                self._counted.setdefault(failure.fault_key, set()).add(zone)
        if probation != before:
            self._news[Probation, zone] = probation
            self._changed.add(zone)

    def _keep(self, escalation: Escalation) -> None:
        escalation_id, zone = escalation.escalation_id, escalation.resource_id
        before = self.escalations.get(escalation_id)
        if before is not None:
            self._by_fault.pop(before.fault_key, None)
        self.escalations[escalation_id] = escalation
        self._news[Escalation, escalation_id] = escalation
        self._changed.add(zone)
        if not escalation.is_over:
            self._by_fault[escalation.fault_key] = escalation_id
            self._active[zone] = escalation_id
        elif self._active.get(zone) == escalation_id:
            del self._active[zone]


def _is_late(escalation: Escalation, now: datetime) -> bool:
    return (
        escalation.state is EscalationState.PENDING
        and escalation.deadline is not None
        and now >= escalation.deadline
    )
