"""What Doctor believes is broken, or is going to be."""

from datetime import datetime, timedelta
from enum import IntEnum, StrEnum
from typing import Any

import msgspec


class Severity(IntEnum):
    """How bad it is: X.733 names, higher is worse [D 5.4]. ``CLEARED`` is the end of a fault."""

    CLEARED = 0
    INDETERMINATE = 1
    WARNING = 2
    MINOR = 3
    MAJOR = 4
    CRITICAL = 5

    @property
    def perceived(self) -> str:
        """Return the X.733 name of ``perceived_severity``."""
        return self.name.lower()


# What monitors write: X.733, the annex of the requirement, syslog, Zabbix, Nagios, collectd, Alertmanager, VES.
SEVERITY_WORDS: dict[str, Severity] = {
    **{severity.perceived: severity for severity in Severity},
    **{str(int(severity)): severity for severity in Severity},
    "info": Severity.INDETERMINATE,
    "information": Severity.INDETERMINATE,
    "informational": Severity.INDETERMINATE,
    "notice": Severity.INDETERMINATE,
    "debug": Severity.INDETERMINATE,
    "none": Severity.INDETERMINATE,
    "unknown": Severity.INDETERMINATE,
    "not classified": Severity.INDETERMINATE,
    "low": Severity.WARNING,
    "warn": Severity.WARNING,
    "average": Severity.MINOR,
    "medium": Severity.MINOR,
    "moderate": Severity.MINOR,
    "error": Severity.MAJOR,
    "err": Severity.MAJOR,
    "high": Severity.MAJOR,
    "failure": Severity.CRITICAL,
    "fatal": Severity.CRITICAL,
    "crit": Severity.CRITICAL,
    "alert": Severity.CRITICAL,
    "emergency": Severity.CRITICAL,
    "emerg": Severity.CRITICAL,
    "disaster": Severity.CRITICAL,
    "page": Severity.CRITICAL,
    "ok": Severity.CLEARED,
    "okay": Severity.CLEARED,
    "normal": Severity.CLEARED,
    "clear": Severity.CLEARED,
    "resolved": Severity.CLEARED,
}


def severity_of(word: str | int) -> Severity:
    """Read a severity as a Monitor or a Consumer writes it (a name of any case, or the integer).

    Raises:
        ValueError: the word is not known; the message lists the X.733 names.
    """
    severity = SEVERITY_WORDS.get(str(word).strip().lower())
    if severity is None:
        raise ValueError(
            f"unknown severity {str(word)[:40]!r}: use critical, major, minor, warning, indeterminate or cleared"
        )
    return severity


class EventType(StrEnum):
    """The kinds of alarm of X.733."""

    COMMUNICATIONS = "communications_alarm"
    PROCESSING_ERROR = "processing_error_alarm"
    ENVIRONMENTAL = "environmental_alarm"
    QOS = "qos_alarm"
    EQUIPMENT = "equipment_alarm"


class ResourceState(StrEnum):
    """State of a physical or virtual resource [D 5.4], from good to bad by `badness`."""

    NORMAL = "normal"
    MAINTENANCE = "maintenance"
    ERROR = "error"
    DOWN = "down"

    @property
    def badness(self) -> int:
        """Return how bad the state is; of several faults the worst state counts."""
        return _BADNESS[self]

    @property
    def is_out(self) -> bool:
        """Tell whether a resource in this state does not do its work."""
        return self is ResourceState.DOWN or self is ResourceState.ERROR


_BADNESS = {
    ResourceState.NORMAL: 0,
    ResourceState.MAINTENANCE: 1,
    ResourceState.ERROR: 2,
    ResourceState.DOWN: 3,
}


class Outcome(StrEnum):
    """How a prediction stands: its fault is waited for, has come, was taken back, or stayed away."""

    EXPECTED = "expected"
    CONFIRMED = "confirmed"
    WITHDRAWN = "withdrawn"
    EXPIRED = "expired"


class Claim(msgspec.Struct, frozen=True, array_like=True):
    """What one source foresees: when, and how sure it is (0 to 1; None: it does not say).

    At ``deadline`` it was wrong, unless it has said something else by then.
    """

    source: str
    predicted_time: datetime
    confidence: float | None
    deadline: datetime


class Prediction(msgspec.Struct, frozen=True, kw_only=True):
    """What is foreseen: a fault of the type ``fault_type`` on the same resource [D 2.1.2].

    ``predicted_time`` and ``confidence`` are what was told; ``claims`` is what is said now, the earliest first, and may
    have moved a little since. The resource will be in ``state`` by a fault of ``severity``. ``action`` is what had best
    be done when it is nearer than ``near``.
    """

    fault_type: str
    predicted_time: datetime
    confidence: float | None
    claims: tuple[Claim, ...]
    state: ResourceState
    severity: Severity
    action: str
    near: timedelta
    outcome: Outcome = Outcome.EXPECTED


class Fault(msgspec.Struct, frozen=True, kw_only=True):
    """One thing that is broken, from its raise to its clear.

    ``fault_key`` names this occurrence (it is made from the raising event, so it is the same after a crash and
    replay); owners never see it, they get a ``fault_id`` of their own. ``transition`` counts what owners were told
    of: 1 is the raise. Times are aware UTC; ``event_time`` is the Monitor's. ``cause`` is the key of the open fault of
    which this one is a symptom, None for a root cause. ``is_derived``: no event says so, Doctor has concluded it,
    from the faults whose keys are ``explains``. With a ``prediction`` nothing is broken yet.
    """

    fault_key: str
    resource_id: str
    resource_type: str
    fault_type: str
    rule: str
    severity: Severity
    state: ResourceState
    event_type: EventType
    probable_cause: str
    recommended_action: str
    raised_by: str
    event_time: datetime
    raised_time: datetime
    changed_time: datetime | None = None
    cleared_time: datetime | None = None
    transition: int = 1
    details: dict[str, Any] = {}
    is_derived: bool = False
    is_confined: bool = False
    explains: tuple[str, ...] = ()
    cause: str | None = None
    prediction: Prediction | None = None

    @property
    def is_open(self) -> bool:
        """Tell whether the fault is still there."""
        return self.cleared_time is None
