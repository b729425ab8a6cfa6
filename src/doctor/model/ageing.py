"""How long the past is kept [HA 5.2]: by age and by number, for each severity. What is active never ages."""

from collections.abc import Mapping
from datetime import datetime, timedelta

import msgspec

from doctor.model.fault import Severity

AGEING_SEVERITIES = tuple(severity for severity in reversed(Severity) if severity is not Severity.CLEARED)


class Keep(msgspec.Struct, frozen=True, kw_only=True):
    """How much is kept: faults that were cleared in the last ``days``, the newest ``count`` of them; None is all."""

    days: float | None = None
    count: int | None = None


class Limit(msgspec.Struct, frozen=True):
    """The same at one moment: what was cleared before is forgotten, and all but the newest ``count``."""

    before: datetime | None
    count: int | None


class Ageing(msgspec.Struct, frozen=True):
    """What is kept of cleared faults by their worst severity; each of the five is there."""

    keep: dict[Severity, Keep]

    def limits(self, now: datetime) -> Mapping[Severity, Limit]:
        """Return the limits as they are now."""
        return {
            severity: Limit(None if one.days is None else _ago(now, one.days), one.count)
            for severity, one in self.keep.items()
        }


def _ago(now: datetime, days: float) -> datetime | None:
    try:
        return now - timedelta(days=days)
    except OverflowError:  # longer than there is time
        return None


def all_of(before: datetime) -> Mapping[Severity, Limit]:
    """Return the limits that keep of every severity what was cleared since."""
    return dict.fromkeys(Severity, Limit(before, None))
