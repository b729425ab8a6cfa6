"""How available the VNFs were, and whether they got what their level promises [HA 6.1.1, 6.1.2].

In come the outages of machines within a window; out goes, per VNF, what was measured. Planned or not is the same: who is
out is out [HA 6.1.2.1]. A VNF is the machines of one owner in one group, or a machine without a group by itself.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

import msgspec

from doctor.model.resource import VirtualResource, Vnf, vnf_of

DAY = timedelta(days=1)


class ServiceAvailabilityLevel(msgspec.Struct, frozen=True, kw_only=True):
    """What a level promises, and which capabilities of the NFVI it needs.

    ``detection`` and ``recovery`` are seconds. ``availability`` is the least share of its machines' time within
    ``window`` in which they work; what is left of the whole is the budget of outages. It is at risk when it was used
    ``burn_rate`` times as fast as evenly during the last ``burn_over``. ``impact`` is the largest share of the machines
    that may be out at once, ``failures_per_day`` how often they may begin to be. None is no promise.
    """

    detection: float
    recovery: float
    needs: tuple[str, ...] = ()
    availability: float | None = None
    window: timedelta = timedelta(days=30)
    burn_rate: float | None = 14.4
    burn_over: timedelta = timedelta(hours=1)
    impact: float | None = None
    failures_per_day: float | None = None


Levels = Mapping[str, ServiceAvailabilityLevel]

SHIPPED: dict[str, ServiceAvailabilityLevel] = {
    "1": ServiceAvailabilityLevel(detection=1, recovery=6),
    "2": ServiceAvailabilityLevel(detection=5, recovery=15),
    "3": ServiceAvailabilityLevel(detection=10, recovery=25),
}


class Outage(NamedTuple):
    """A time in which a machine was out; ``end`` None is until further notice."""

    resource_id: str
    begin: datetime
    end: datetime | None


class Breach(msgspec.Struct, frozen=True, kw_only=True):
    """A promise that was not kept: a time without recovery that took longer than it may, or a need that is not met."""

    promise: str
    detail: str
    resource_id: str | None = None
    begin: datetime | None = None
    seconds: float | None = None


class VnfAvailability(msgspec.Struct, frozen=True, kw_only=True):
    """What was measured of one VNF within a window.

    ``availability`` is the share of its machines' time in which they worked, ``target`` what its level promises, None if
    it does not say. ``failures`` are the times in which at
    least one was out; ``impact`` is the largest share that was out at once. Recovery is from a machine's alarm to its
    end, in seconds; what is still out counts up to now.
    """

    vnf_id: str
    owner: str
    group: str | None
    machine: str | None
    machines: int
    sal: str | None
    availability: float
    target: float | None
    failures: int
    failures_per_day: float
    impact: float
    longest_recovery: float | None
    mean_recovery: float | None
    breaches: tuple[Breach, ...]


class Window(NamedTuple):
    """The time that is looked at; ``end`` is not after now."""

    begin: datetime
    end: datetime


def vnfs(machines: Iterable[VirtualResource]) -> dict[Vnf, list[VirtualResource]]:
    """Return the machines by VNF."""
    found: dict[Vnf, list[VirtualResource]] = {}
    for one in machines:
        found.setdefault(vnf_of(one), []).append(one)
    return found


def measure(
    machines: Sequence[VirtualResource],
    outages: Iterable[Outage],
    window: Window,
    levels: Levels,
    *,
    capabilities: frozenset[str] = frozenset(),
) -> VnfAvailability:
    """Measure one VNF. ``outages`` are of its machines; those that overlap on a machine are one."""
    spans = [span for span in joined(outages, window.end) if _reaches_into(window, span)]
    seen = [(max(begin, window.begin), min(end, window.end)) for _, begin, end in spans]
    out = sum(((end - begin) for begin, end in seen), timedelta())
    whole = (window.end - window.begin) * len(machines)
    failures, most = _together(seen)
    recoveries = [(end - begin).total_seconds() for _, begin, end in spans]
    sal = strictest([str(one.sal) for one in machines if one.sal is not None], levels)
    level = levels.get(sal or "")
    vnf = vnf_of(machines[0])
    measured = {
        "availability": round(1 - out / whole, 9) if whole else 1.0,
        "failures_per_day": round(failures / ((window.end - window.begin) / DAY), 6) if whole else 0.0,
        "impact": round(most / len(machines), 6),
    }
    return VnfAvailability(
        vnf_id=vnf.id,
        owner=vnf.owner,
        group=vnf.group,
        machine=vnf.machine,
        machines=len(machines),
        sal=sal,
        target=None if level is None else level.availability,
        failures=failures,
        **measured,
        longest_recovery=max(recoveries, default=None),
        mean_recovery=round(sum(recoveries) / len(recoveries), 6) if recoveries else None,
        breaches=(
            *_breaches(machines, spans, levels, capabilities),
            *(() if level is None else _missed(sal or "", level, measured)),
        ),
    )


def strictest(names: Iterable[str], levels: Levels) -> str | None:
    """Return the level that promises the shortest recovery; one that is not defined comes behind all others."""
    ordered = sorted(
        set(names), key=lambda name: (levels[name].recovery if name in levels else float("inf"), name)
    )
    return ordered[0] if ordered else None


def _reaches_into(window: Window, span: tuple[str, datetime, datetime]) -> bool:
    _, begin, end = span
    return begin < window.end and end > window.begin


def joined(outages: Iterable[Outage], now: datetime) -> list[tuple[str, datetime, datetime]]:
    """Return the outages of each machine, joined where they overlap or touch, in order; what goes on ends now."""
    found: list[tuple[str, datetime, datetime]] = []
    by_machine: dict[str, list[tuple[datetime, datetime]]] = {}
    for one in outages:
        by_machine.setdefault(one.resource_id, []).append((one.begin, one.end or max(now, one.begin)))
    for resource_id, spans in sorted(by_machine.items()):
        spans.sort()
        begin, end = spans[0]
        for next_begin, next_end in spans[1:]:
            if next_begin > end:
                found.append((resource_id, begin, end))
                begin, end = next_begin, next_end
            else:
                end = max(end, next_end)
        found.append((resource_id, begin, end))
    return found


def _together(spans: Iterable[tuple[datetime, datetime]]) -> tuple[int, int]:
    """Return how often somebody was out, and how many were at most."""
    steps = sorted(step for begin, end in spans for step in ((begin, 0), (end, 1)))
    failures = out = most = 0
    for _, is_end in steps:  # at one moment those that begin come first: what touches is one failure
        if is_end:
            out -= 1
        else:
            failures += out == 0
            out += 1
            most = max(most, out)
    return failures, most


def _breaches(
    machines: Sequence[VirtualResource],
    spans: Sequence[tuple[str, datetime, datetime]],
    levels: Levels,
    capabilities: frozenset[str],
) -> Iterator[Breach]:
    promised = {one.id: str(one.sal) for one in machines if one.sal is not None}
    for name in sorted(set(promised.values())):
        level = levels.get(name)
        if level is None:
            yield Breach(promise="sal", detail=f"there is no level {name!r}: define it, or use another")
            continue
        for need in level.needs:
            if need not in capabilities:
                yield Breach(promise="needs", detail=f"level {name} needs {need}, which is not there")
    for resource_id, begin, end in spans:
        level = levels.get(promised.get(resource_id, ""))
        seconds = (end - begin).total_seconds()
        if level is not None and seconds > level.recovery:
            yield Breach(
                promise="recovery",
                detail=f"level {promised[resource_id]} promises {level.recovery:g} s",
                resource_id=resource_id,
                begin=begin,
                seconds=seconds,
            )


def _missed(name: str, level: ServiceAvailabilityLevel, measured: Mapping[str, float]) -> Iterator[Breach]:
    """Return what a level promises of the VNF as a whole and was not kept within the window."""
    if level.availability is not None and measured["availability"] < level.availability:
        yield Breach(promise="availability", detail=f"level {name} promises {level.availability:g}")
    if level.impact is not None and measured["impact"] > level.impact:
        yield Breach(promise="impact", detail=f"level {name} allows {level.impact:g} of the machines at once")
    if level.failures_per_day is not None and measured["failures_per_day"] > level.failures_per_day:
        yield Breach(promise="failures", detail=f"level {name} allows {level.failures_per_day:g} a day")
