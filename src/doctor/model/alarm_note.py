"""What people did to an alarm: acknowledged, commented, shelved it [D 5.5.3, IFA 005]."""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.fault import ResourceState, Severity

MOST_COMMENTS = 50
MOST_ACTS = 100


class AckState(StrEnum):
    """Whether somebody has taken notice of an alarm (X.733, IFA 005)."""

    UNACKNOWLEDGED = "unacknowledged"
    ACKNOWLEDGED = "acknowledged"


class ActKind(StrEnum):
    """What somebody did to an alarm; the end of a shelving may also be its time."""

    ACKNOWLEDGED = "acknowledged"
    UNACKNOWLEDGED = "unacknowledged"
    SHELVED = "shelved"
    UNSHELVED = "unshelved"


class Act(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """One thing that somebody did. ``user`` is empty when it was the time; ``until`` is of a shelving.

    ``shelving`` counts the shelvings of the alarm, so that what is told at the end of one has an id of its own.
    """

    time: datetime
    kind: ActKind
    user: str = ""
    until: datetime | None = None
    shelving: int = 0


class Comment(msgspec.Struct, frozen=True, gc=False):
    """What somebody had to say."""

    time: datetime
    user: str
    text: str


class Shelving(msgspec.Struct, frozen=True, gc=False, array_like=True):
    """An alarm that is put aside until a time, and what its owner knew of it when it was."""

    until: datetime
    user: str
    severity: Severity
    resource_state: ResourceState
    is_root_cause: bool


class AlarmNote(msgspec.Struct, frozen=True, kw_only=True):
    """All that people did to one alarm, apart from the record of its fault, which may have thousands of alarms.

    ``comments`` are in their order and ``MOST_COMMENTS`` at most; of ``acts`` the newest ``MOST_ACTS`` stay.
    """

    alarm_id: str
    fault_key: str
    acknowledged_time: datetime | None = None
    user: str | None = None
    comments: tuple[Comment, ...] = ()
    shelving: Shelving | None = None
    shelvings: int = 0
    acts: tuple[Act, ...] = ()

    @property
    def ack_state(self) -> AckState:
        """Return whether it is acknowledged."""
        return AckState.UNACKNOWLEDGED if self.acknowledged_time is None else AckState.ACKNOWLEDGED
