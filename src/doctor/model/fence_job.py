"""What is kept of the isolation of a host: the job, what was said of the host, and what was decided and why."""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.fencing import Vantage


class FenceState(StrEnum):
    """How far the isolation of a host got. The way from one to the next is in `doctor.fencing.machine`."""

    SUSPECT = "suspect"  # believed dead, nothing is done yet
    AUTHORISED = "authorised"  # it may be cut off, no command was given yet
    ATTEMPT = "attempt"  # a command may have been given
    CONFIRMING = "confirming"  # the devices read off; whether that is true is being found out
    FENCED = "fenced"
    CONTRADICTED = "contradicted"  # something says otherwise
    EXHAUSTED = "exhausted"  # no level did it
    NEEDS_HUMAN = "needs_human"
    CANCELLED = "cancelled"  # it turned out alive before the first command
    UNFENCING = "unfencing"  # what was cut is being given back
    OBSERVED = "observed"  # it has it back, and is watched for a while
    NORMAL = "normal"


class Says(StrEnum):
    """What a witness says of a host."""

    DEAD = "dead"
    ALIVE = "alive"


class Statement(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What somebody said of a host last. ``reporter`` is who it really was: the name of a token, a monitor, a device.

    ``time`` is Doctor's own, of when it heard it [I-25]. ``since`` is when the reporter began to say so.
    """

    host: str
    reporter: str
    says: Says
    time: datetime
    since: datetime
    detail: str = ""


class Weighed(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """A statement and what it is worth: the class that it counts for, or why it does not count."""

    statement: Statement
    vantage: Vantage | None = None
    objection: str = ""


class Word(msgspec.Struct, frozen=True, kw_only=True):
    """A person says that a host is off. ``account`` is the token behind it, ``by`` the person's name."""

    by: str
    account: str
    reason: str
    time: datetime


class FenceJob(msgspec.Struct, frozen=True, kw_only=True):
    """The isolation of one host, from the suspicion to its return.

    ``generation`` counts the lives of the host: each suspicion begins a new one. ``revision`` counts what was written, so
    that nobody writes over what he has not seen. ``level`` is the place in the plan, ``cut`` when the last command may
    have gone out, ``changed`` when the present state began. ``fences`` are the times of all commands to begin of the
    last day, of earlier generations too. ``silent`` are the hosts that were silent when it was authorised. ``widened`` is the
    zone around it that may be cut off in its place: its levels come behind those of the host. ``returned`` is when the host was
    given back last, in whichever generation. ``tried`` is the highest level of which a command may have gone out in this one:
    who tries again begins with the first.
    """

    host: str
    zone: str
    generation: int
    revision: int
    state: FenceState
    fault_key: str
    since: datetime
    changed: datetime
    epoch: int = 0
    level: int = 0
    reason: str = ""
    cut: datetime | None = None
    fenced: datetime | None = None
    fences: tuple[datetime, ...] = ()
    silent: tuple[str, ...] = ()
    evidence: tuple[Weighed, ...] = ()
    words: tuple[Word, ...] = ()
    widened: str = ""
    returned: datetime | None = None
    tried: int = 0

    @property
    def reach(self) -> int:
        """Return the last level of which something may have been cut."""
        return max(self.level, self.tried)


class ZoneMode(StrEnum):
    """What Doctor may do in a zone."""

    ADVISE = "advise"  # decides and says so, and does not act
    ARMED = "armed"
    HOLD = "hold"


class ZoneSetting(msgspec.Struct, frozen=True, kw_only=True):
    """The mode of a zone (of the whole site as the hold switch), and who set it."""

    mode: ZoneMode
    user: str
    reason: str
    time: datetime


class Check(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """One brake: whether it lets go, and why not."""

    brake: str
    passes: bool
    detail: str = ""


class FenceDecision(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What was decided of a host, or with ``state`` None of a zone, and what for: the audit log.

    ``previous`` and ``digest`` chain one to the next. The digest is that of the record as it is written, here and in what
    it consists of: a field that is added later needs a default, which is left out, or old digests hold no more.
    """

    host: str
    generation: int
    revision: int
    time: datetime
    decision: str
    state: FenceState | None
    reason: str
    user: str = ""
    evidence: tuple[Weighed, ...] = ()
    checks: tuple[Check, ...] = ()
    epoch: int = 0
    previous: str = ""
    digest: str = ""
