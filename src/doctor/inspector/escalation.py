"""What becomes of a zone whose parts have failed too often: asked about or not, until it is over [HA 6.1.2.2, 6.1.2.3].

In comes an `Escalation` and what happens to it, out goes the next one, and the fault that it is on the zone: a question
to the Administrator while it is to be decided, then the failure of the zone.
"""

from collections.abc import Iterable
from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec
from msgspec.structs import replace

from doctor.inspector.zones import QUESTION, ZONE_FAULT, Reached
from doctor.model.alarm_book import AlarmBook
from doctor.model.errors import Reason, RejectedError
from doctor.model.escalation import Escalation, EscalationState, Failure, Probation
from doctor.model.fault import EventType, Fault, ResourceState, Severity
from doctor.model.policy import Audience, Escalate, IsolationPolicy, RecommendedAction


class Move(StrEnum):
    """What can happen to an escalation."""

    APPROVE = "approve"
    REJECT = "reject"
    EXPIRE = "expire"
    WITHDRAW = "withdraw"


TRANSITIONS: dict[tuple[EscalationState, Move], EscalationState] = {
    (EscalationState.PENDING, Move.APPROVE): EscalationState.APPROVED,
    (EscalationState.PENDING, Move.REJECT): EscalationState.REJECTED,
    (EscalationState.PENDING, Move.EXPIRE): EscalationState.EXPIRED,
    (EscalationState.PENDING, Move.WITHDRAW): EscalationState.WITHDRAWN,
}
HAS_TAKEN_EFFECT = frozenset({EscalationState.APPROVED, EscalationState.AUTOMATIC})


def begun(found: Reached, *, escalation_id: str, fault_key: str, raised_by: str, now: datetime) -> Escalation:
    """Return the escalation of a zone in which too much has failed."""
    level = found.level
    asks = level.escalate is Escalate.ASK
    return Escalation(
        escalation_id=escalation_id,
        resource_id=found.zone,
        resource_type=level.type,
        level=level,
        failures=found.failures,
        raised_time=now,
        deadline=now + level.deadline if asks else None,
        state=EscalationState.PENDING if asks else EscalationState.AUTOMATIC,
        fault_key=fault_key,
        raised_by=raised_by,
    )


def moved(
    escalation: Escalation, move: Move, *, now: datetime, user: str = "", comment: str = ""
) -> Escalation:
    """Return an escalation after something happened to it. To say the same twice changes nothing.

    Raises:
        RejectedError: it is decided, otherwise.
    """
    state = TRANSITIONS.get((escalation.state, move))
    if state is None:
        if TRANSITIONS[EscalationState.PENDING, move] is escalation.state:
            return escalation
        by = f" by {escalation.user}" if escalation.user else ""
        raise RejectedError(f"the escalation is {escalation.state} already{by}", reason=Reason.CONFLICT)
    return replace(escalation, state=state, decided_time=now, user=user, comment=comment)


def failures_now(escalation: Escalation, probation: Probation | None) -> tuple[Failure, ...]:
    """Return the failures of which an escalation is when it is decided: those at its beginning, and what came since."""
    known = {failure.fault_key for failure in escalation.failures}
    later = () if probation is None else probation.failures
    return (*escalation.failures, *(failure for failure in later if failure.fault_key not in known))


def fault_of(escalation: Escalation, book: AlarmBook, *, event_time: datetime, now: datetime) -> Fault:
    """Return the fault that an escalation is on its zone. The question takes nothing down and is the Administrator's."""
    level = escalation.level
    is_failure = escalation.state in HAS_TAKEN_EFFECT
    return Fault(
        fault_key=escalation.fault_key,
        resource_id=escalation.resource_id,
        resource_type=escalation.resource_type,
        fault_type=ZONE_FAULT if is_failure else QUESTION,
        rule=f"zone {level.type}",
        severity=level.severity if is_failure else Severity.CRITICAL,
        state=level.state if is_failure else ResourceState.NORMAL,
        event_type=EventType.EQUIPMENT,
        probable_cause=level.probable_cause,
        recommended_action=level.recommended_action if is_failure else RecommendedAction.INFORM_OAM,
        raised_by=escalation.raised_by,
        event_time=event_time,
        raised_time=now,
        details=details_of(escalation),
        is_derived=True,
        is_confined=not is_failure or level.tell is Audience.ADMINISTRATOR,
        explains=still_open(escalation.failures, book) if is_failure else (),
    )


def still_open(failures: Iterable[Failure], book: AlarmBook) -> tuple[str, ...]:
    """Return the keys of those of the failures that last."""
    return tuple(failure.fault_key for failure in failures if book.fault(failure.fault_key) is not None)


def details_of(escalation: Escalation) -> dict[str, Any]:
    """Return what the Administrator is told: how it came to this, who decided, and what is to be done."""
    level = escalation.level
    details: dict[str, Any] = {
        "escalation_id": escalation.escalation_id,
        "escalation": str(escalation.state),
        "failures": len(escalation.failures),
        "parts": list(dict.fromkeys(failure.resource_id for failure in escalation.failures)),
        "probation": msgspec.to_builtins(level.probation),
        "isolation": str(level.isolation),
    }
    if escalation.state is EscalationState.PENDING:
        details["deadline"] = msgspec.to_builtins(escalation.deadline)
    if escalation.user:
        details |= {"user": escalation.user, "comment": escalation.comment}
    if level.isolation is not IsolationPolicy.NONE:
        details["advice"] = f"isolate {escalation.resource_id} before anything within it is recovered"
    return details
