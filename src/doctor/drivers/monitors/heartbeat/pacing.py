"""How often the agent of a host is to say that it is there: by what depends on it, and how it is.

In come the settings, a host, and what is at stake on it; out goes an interval, and when an agent is to be told.
"""

from collections.abc import Iterator
from datetime import timedelta
from fnmatch import fnmatchcase

import msgspec

from doctor.model.resource import PhysicalResource
from doctor.ports.monitor import Stake

AGAIN_AFTER = 1.0  # seconds after which an agent that does otherwise is told again
TIMES = 5  # then only each ten seconds: its own settings may not allow it
SELDOM = 10.0
FORGOTTEN = 3  # times that an agent is told that there is no wish any more


class PaceSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The intervals that are wished of agents; the shortest that applies counts, within the settings of the agent.

    - ``hosts``: by patterns of ids; the first that fits. ``zones``: by zone, for hosts that no pattern fits.
    - ``levels``: by the service availability levels of the machines on a host.
    - ``troubled``: while any fault or warning is open on the host.
    - ``owners``: the shortest that an owner may wish for; without it owners' wishes are not heeded.
    """

    hosts: dict[str, timedelta] = {}
    zones: dict[str, timedelta] = {}
    levels: dict[str, timedelta] = {}
    troubled: timedelta | None = None
    owners: timedelta | None = None

    @property
    def is_there(self) -> bool:
        """Tell whether anything is wished."""
        return bool(self.hosts or self.zones or self.levels or self.troubled or self.owners)


def wished(settings: PaceSettings, host: PhysicalResource, stake: Stake) -> int:
    """Return the interval that is wished of an agent in microseconds, 0 if none is."""
    return min((round(one.total_seconds() * 1e6) for one in _wishes(settings, host, stake)), default=0)


def _wishes(settings: PaceSettings, host: PhysicalResource, stake: Stake) -> Iterator[timedelta]:
    fitting = [interval for pattern, interval in settings.hosts.items() if fnmatchcase(host.id, pattern)]
    if fitting:
        yield fitting[0]
    elif host.zone_id is not None and host.zone_id in settings.zones:
        yield settings.zones[host.zone_id]
    for level in stake.levels & settings.levels.keys():
        yield settings.levels[level]
    if settings.troubled is not None and stake.is_troubled:
        yield settings.troubled
    if settings.owners is not None and stake.wish is not None:
        yield max(stake.wish, settings.owners)


class Pacing:
    """Knows what each agent was told, and when it is to be told again."""

    def __init__(self) -> None:
        self._told: dict[
            str, tuple[int, int, float]
        ] = {}  # the wish, how often it was told, when it may be again

    def due(self, host: str, wish: int, announced: int, now: float) -> bool:
        """Tell whether an agent that announces an interval is to be told a wish now; then it counts as told."""
        told, times, again = self._told.get(host, (0, FORGOTTEN, 0.0))
        if told != wish:
            times, again = 0, now
        is_heeded = times >= FORGOTTEN if wish == 0 else announced == wish
        if is_heeded or now < again:
            return False
        self._told[host] = (wish, times + 1, now + (AGAIN_AFTER if times < TIMES else SELDOM))
        return True

    def forget(self, host: str) -> None:
        """Forget what an agent was told: a new one does not know."""
        self._told.pop(host, None)
