"""What is remembered of failure impact zones: what failed in them lately, and how they came to have failed themselves."""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.policy import ZoneLevel


class Failure(msgspec.Struct, frozen=True, array_like=True):
    """A part of a zone went out of service. Stored as an array: new fields come last and have a default."""

    fault_key: str
    resource_id: str
    fault_type: str
    time: datetime


class Probation(msgspec.Struct, frozen=True, kw_only=True):
    """A zone in which something has failed lately.

    ``failures`` are those that count, the oldest first, ``last`` is when the last one was. Those raised up to ``since``
    have had their consequence.
    """

    failures: tuple[Failure, ...] = ()
    last: datetime
    since: datetime | None = None


class EscalationState(StrEnum):
    """How it stands with an escalation: ``PENDING`` awaits a decision, ``APPROVED`` and ``AUTOMATIC`` have taken effect.

    ``EXPIRED``: nobody decided in time. ``WITHDRAWN``: there was nothing left to decide.
    """

    PENDING = "pending"
    APPROVED = "approved"
    REJECTED = "rejected"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"
    AUTOMATIC = "automatic"


class Escalation(msgspec.Struct, frozen=True, kw_only=True):
    """Parts of a zone have failed too often: from what they were to what became of it.

    ``level`` is what the policy said at that time. ``fault_key`` is the fault on the zone: the question while it is open
    and after it has expired, then the failure of the zone. ``raised_by`` is the event by which it became too much.
    ``user`` is who decided, if somebody did; ``is_over`` says that the fault has ended, and nothing more can happen.
    """

    escalation_id: str
    resource_id: str
    resource_type: str
    level: ZoneLevel
    failures: tuple[Failure, ...]
    raised_time: datetime
    deadline: datetime | None = None
    state: EscalationState
    decided_time: datetime | None = None
    user: str = ""
    comment: str = ""
    fault_key: str
    raised_by: str
    is_over: bool = False
