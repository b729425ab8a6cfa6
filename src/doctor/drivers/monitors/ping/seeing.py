"""Who else has answered: what tells a host that is dead from a monitor that hears nobody.

Whoever answered a probe that was sent between those that a silent host has missed proves that we could hear then. In
come the hosts and canaries as they are known, out goes how many of them did.
"""

from collections.abc import Iterable

from doctor.drivers.monitors.ping.judging import Change, Host, Rule, Status
from doctor.model.vantage import Sight

PATIENCE = 0.2  # seconds more that are waited for the others, for a machine that is busy


def sight(
    watched: Iterable[Host], begin: float, end: float, *, vantage: str, settles_in: float = 0.0
) -> Sight:
    """Return how many of those that were there until then have answered what they were asked in a time."""
    there, heard = [0, 0], [0, 0]
    for one in watched:
        if _was_there(one, begin):
            there[one.is_canary] += 1
            heard[one.is_canary] += one.was_seen(begin, end)
    return Sight(
        vantage=vantage,
        hosts=there[False],
        hosts_heard=heard[False],
        canaries=there[True],
        canaries_heard=heard[True],
        settles_in=settles_in,
    )


def _was_there(one: Host, moment: float) -> bool:
    """Tell whether somebody is up, or fell silent only about this moment."""
    if one.status is Status.UP:
        return True
    rule, heard = one.rule, one.heard
    return heard is not None and heard > moment - (rule.misses + 1) * rule.interval - rule.timeout


def settles_in(rule: Rule, witnesses: Iterable[Rule]) -> float:
    """Return in how many seconds all witnesses are found silent if they fell silent with a host of this rule.

    Each may have answered just before, and the host may have been found silent as soon as that could be; or they are not
    silent, and we have made sure that it is the host.
    """
    soonest = (rule.misses - 1) * rule.interval + rule.timeout
    latest = max(((one.misses + 1) * one.interval + one.timeout for one in witnesses), default=soonest)
    return max(latest - soonest, 0.0) + returns_in(rule) + PATIENCE


def returns_in(rule: Rule) -> float:
    """Return in how many seconds a host that answers again is found to."""
    return rule.recover * rule.interval + rule.timeout


class Doubt:
    """Whether we could hear anybody since some hosts fell silent: it rises with them, and falls with proof or time."""

    def __init__(self) -> None:
        self.since = 0.0
        self._until: float | None = None
        self._wait = 0.0
        self._clear_from: float | None = None

    @property
    def is_there(self) -> bool:
        """Tell whether there is any."""
        return self._until is not None

    def rise(self, change: Change, until: float) -> None:
        """Doubt a host that has fallen silent, until a time at most."""
        begin = change.missed[0] if change.missed else 0.0
        if self._until is None:
            self.since, self._wait, self._clear_from = begin, 0.0, None
        if begin > self.since:
            self.since, self._clear_from = begin, None
        self._wait = max(self._wait, returns_in(change.rule))
        self._until = max(self._until or until, until)

    def is_dispelled(self, now: float, *, is_clear: bool) -> bool:
        """Tell whether we hear somebody for so long that hosts would be heard that are there; then it is over."""
        if self._until is None:
            return False
        if is_clear and self._clear_from is None:
            self._clear_from = now
        proven = self._clear_from is not None and now >= self._clear_from + self._wait
        if proven or now >= self._until:
            self._until = None
        return proven
