"""What somebody wants not to be told for a while: planned work, with who answers for it and why (design part 4)."""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.history import Side, Standing

MOST_CHANGES = 100


class Audience(StrEnum):
    """Who is not told while a silence lasts.

    ``ADMINISTRATOR``: the Administrator, while owners go on hearing of what is theirs. ``EVERYBODY``: the owners
    neither. ``PROJECT``: the project that has asked for the silence, and nobody else.
    """

    ADMINISTRATOR = "administrator"
    EVERYBODY = "everybody"
    PROJECT = "project"


class SilenceState(StrEnum):
    """Where a silence is in its life."""

    PLANNED = "planned"
    ACTIVE = "active"
    ENDED = "ended"


class SilenceMatcher(msgspec.Struct, frozen=True, kw_only=True):
    """Which alarms are meant: all that is given must hold, and what is empty is no restriction.

    Each is a list of words or patterns (``*``, ``?``, ``[...]``, case-sensitive), of which one must match.
    """

    resource_id: tuple[str, ...] = ()
    resource_type: tuple[str, ...] = ()
    zone_id: tuple[str, ...] = ()
    fault_type: tuple[str, ...] = ()
    project: tuple[str, ...] = ()


class SilenceChange(msgspec.Struct, frozen=True, gc=False):
    """One thing that somebody did to a silence: ``what`` as it is to be read."""

    time: datetime
    user: str
    what: str


class Silence(msgspec.Struct, frozen=True, kw_only=True):
    """One silence, from ``start`` until ``end``, or until somebody has ended it (``ended_time``).

    ``project`` is that of the one who asked for it, None for the Administrator; ``owner`` is who answers for it, by name.
    """

    silence_id: str
    project: str | None
    audience: Audience
    matcher: SilenceMatcher
    owner: str
    reason: str
    start: datetime
    end: datetime
    created: datetime
    created_by: str
    ended_time: datetime | None = None
    ended_by: str | None = None
    changes: tuple[SilenceChange, ...] = ()

    @property
    def until(self) -> datetime:
        """Return when it is over, or was."""
        return self.end if self.ended_time is None else min(self.end, self.ended_time)

    def state(self, now: datetime) -> SilenceState:
        """Return where it is in its life."""
        if self.until <= now:
            return SilenceState.ENDED
        return SilenceState.PLANNED if now < self.start else SilenceState.ACTIVE


class Tally(msgspec.Struct, frozen=True, gc=False):
    """What a silence has withheld so far: notifications, and how many different alarms they were about."""

    notifications: int = 0
    alarms: int = 0


class Unheard(msgspec.Struct, frozen=True, kw_only=True):
    """The open alarms of one fault of which somebody does not know how they are: silences have withheld it.

    By alarm id, what was told of the alarm before, or None when nothing was: apart for its owner and for the
    Administrator, who may be told different things.
    """

    owners: dict[str, Standing | None] = {}
    administrator: dict[str, Standing | None] = {}

    def of(self, side: Side) -> dict[str, Standing | None]:
        """Return what one of the two does not know."""
        return self.owners if side is Side.OWNER else self.administrator

    @property
    def is_empty(self) -> bool:
        """Tell whether everybody knows everything."""
        return not (self.owners or self.administrator)
