"""A second version of failure impact zones: deliberately simple and slow, second by second, to hold the real one against."""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

Told = tuple[int, str, bool]  # in which second which zone has failed (True) or is well again (False)


class Rule(NamedTuple):
    """How often parts may fail within so many seconds, and how many different ones it takes."""

    probation: int
    frequency: int
    distinct: int


class Zone:
    """One zone; ``outer`` is the one that it is in."""

    def __init__(self, name: str, rule: Rule, outer: "Zone | None" = None) -> None:
        self.name = name
        self.rule = rule
        self.outer = outer
        self.failures: list[tuple[int, str, str]] = []  # second, part, and the name of that one failure
        self.failed_as: str | None = None
        self.symptoms: set[str] = set()
        self.last = 0

    def fails(self, second: int, part: str, name: str, told: list[Told]) -> None:
        """Let a part fail."""
        self.last = second
        if self.failed_as is not None:
            self.symptoms.add(name)
            return
        self.failures.append((second, part, name))
        recent = [failure for failure in self.failures if second - failure[0] < self.rule.probation]
        parts = {part for _, part, _ in recent}
        if len(recent) >= self.rule.frequency and len(parts) >= self.rule.distinct:
            self.failures = []
            self.symptoms = {name for _, _, name in recent}
            self.failed_as = f"{self.name} in second {second}"
            told.append((second, self.name, True))
            if self.outer is not None:
                self.outer.fails(second, self.name, self.failed_as, told)

    def look(self, second: int, lasting: set[str], told: list[Told]) -> None:
        """Look whether the zone is well again; ``lasting`` are the failures that are not over."""
        is_quiet = second - self.last >= self.rule.probation
        if self.failed_as is not None and is_quiet and len(self.symptoms & lasting) < self.rule.frequency:
            self.failed_as = None
            told.append((second, self.name, False))


def tell(
    zones: Iterable[Zone],
    zone_of: Mapping[str, Zone],
    changes: Mapping[int, tuple[str, str]],
    until: int,
) -> list[Told]:
    """Return what becomes of the zones, inner ones first, when in some seconds a fault of a part comes or goes."""
    zones = list(zones)
    told: list[Told] = []
    open_faults: dict[str, list[tuple[str, str]]] = {part: [] for part in zone_of}
    for second in range(until):
        _look(zones, second, open_faults, told)
        if second in changes:
            part, kind = changes[second]
            here = open_faults[part]
            known = next((one for one in here if one[0] == kind), None)
            if known is not None:
                here.remove(known)
            else:
                here.append((kind, f"{part} {kind} in second {second}"))
                if len(here) == 1:
                    zone_of[part].fails(second, part, here[0][1], told)
            _look(zones, second, open_faults, told)
    return told


def _look(
    zones: list[Zone], second: int, open_faults: Mapping[str, list[tuple[str, str]]], told: list[Told]
) -> None:
    for _ in zones:  # what is over in the inner ones may end the outer ones
        lasting = {name for faults in open_faults.values() for _, name in faults}
        lasting |= {zone.failed_as for zone in zones if zone.failed_as is not None}
        for zone in zones:
            zone.look(second, lasting, told)
