"""How a fault that comes and goes is told less often [I-9].

In come the changes of one fault, one by one; out goes whether each is told at once or folded. The first changes are
told as they come, a clear as well as a raise. What is folded is counted, and the last of it is told in the end.
"""

from datetime import datetime

import msgspec

from doctor.model.policy import Damping


class Flapping(msgspec.Struct, frozen=True, kw_only=True):
    """The last changes of a fault. ``folded`` counts those that nobody was told of; the last was at ``last``."""

    changes: tuple[datetime, ...] = ()
    folded: int = 0
    last: datetime | None = None

    @property
    def is_damped(self) -> bool:
        """Tell whether changes are folded now."""
        return self.folded > 0


def changed(before: Flapping, damping: Damping, now: datetime) -> Flapping:
    """Count a change. If it is folded, `Flapping.folded` has grown."""
    if before.is_damped:
        return Flapping(changes=before.changes, folded=before.folded + 1, last=now)
    recent = tuple(when for when in before.changes if now - when < damping.within)
    if 0 < damping.changes <= len(recent):
        return Flapping(changes=recent, folded=1, last=now)
    return Flapping(changes=(*recent, now), last=now)


def calm_at(flapping: Flapping, damping: Damping) -> datetime | None:
    """Return when the last of what was folded is due to be told, None if nothing is."""
    return None if not flapping.is_damped or flapping.last is None else flapping.last + damping.hold
