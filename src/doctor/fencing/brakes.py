"""What keeps Doctor from cutting hosts off: each brake looks at the scene and lets go, or says why it does not.

All of them are asked for the transaction that authorises, so that nothing is spent twice [I-11, I-13]. A brake that is
``final`` will not let go by waiting: then a person is asked at once.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from doctor.fencing.evidence import Judgement
from doctor.fencing.limits import Limits
from doctor.model.fence_job import Check, ZoneMode


class Spent(NamedTuple):
    """A host was cut off, or was begun to be."""

    host: str
    zone: str
    time: datetime


class Scene(NamedTuple):
    """All that the brakes look at.

    ``out`` are the hosts that do not serve, ``silent`` those that a witness takes for dead, and since when.
    ``domains`` are the failure domains of the host, with the hosts in each. ``cause`` is what the host's fault is a symptom
    of. ``running`` counts hosts that are being cut off now. ``shortage`` is what its machines would miss elsewhere,
    ``excluded`` why the host is never cut off, ``unnamed`` the devices that do not know which machine they are for.
    ``troubles`` is what is wrong with Doctor's own view. ``map_age`` None: the map is kept by hand.
    """

    host: str
    zone: str
    now: datetime
    judgement: Judgement
    mode: ZoneMode = ZoneMode.ARMED
    hold: str | None = None
    hosts: frozenset[str] = frozenset()
    zone_hosts: frozenset[str] = frozenset()
    out: frozenset[str] = frozenset()
    silent: Mapping[str, datetime] = {}
    domains: Mapping[str, frozenset[str]] = {}
    cause: str | None = None
    spent: Sequence[Spent] = ()
    running: int = 0
    shortage: str | None = None
    excluded: str | None = None
    levels: int = 1
    unnamed: Sequence[str] = ()
    troubles: Sequence[str] = ()
    up_for: timedelta = timedelta(days=1)
    map_age: timedelta | None = None


class Objection(NamedTuple):
    """Why a brake holds."""

    detail: str
    final: bool = False


Brake = Callable[[Scene, Limits], Objection | str | None]


def _evidence(scene: Scene, limits: Limits) -> str | None:
    return scene.judgement.objection(limits)


def _mode(scene: Scene, limits: Limits) -> str | None:
    match scene.mode:
        case ZoneMode.ADVISE:
            return f"the zone {scene.zone} is not armed: Doctor only says what it would do"
        case ZoneMode.HOLD:
            return f"the zone {scene.zone} is on hold"
        case ZoneMode.ARMED:
            return None


def _hold(scene: Scene, limits: Limits) -> str | None:
    return None if scene.hold is None else f"the hold switch is on: {scene.hold}"


def _levels(scene: Scene, limits: Limits) -> Objection | None:
    return None if scene.levels else Objection("no device can do it without a person", final=True)


def _identity(scene: Scene, limits: Limits) -> Objection | None:
    if not limits.identity or not scene.unnamed:
        return None
    names = ", ".join(scene.unnamed)
    return Objection(f"{names} has no identity: it may be behind another machine", final=True)


def _zone_budget(scene: Scene, limits: Limits) -> str | None:
    within = limits.zone_within
    lately = {one.host for one in scene.spent if one.zone == scene.zone and scene.now - one.time < within} - {
        scene.host
    }
    most = max(1, int(limits.zone_share * len(scene.zone_hosts)))
    if len(lately) < most:
        return None
    return (
        f"{len(lately)} of the {most} hosts that may be cut off in {scene.zone} within {_span(within)} were"
    )


def _site_budget(scene: Scene, limits: Limits) -> str | None:
    """A bucket of ``site_burst`` that fills by one every ``site_every``."""
    left, last = float(limits.site_burst), None
    for time in sorted(one.time for one in scene.spent):
        if last is not None:
            left = min(float(limits.site_burst), left + (time - last) / limits.site_every)
        left, last = left - 1.0, time
    if last is not None:
        left = min(float(limits.site_burst), left + max(scene.now - last, timedelta(0)) / limits.site_every)
    return None if left >= 1.0 else f"at most one host every {_span(limits.site_every)} is begun with"


def _at_once(scene: Scene, limits: Limits) -> str | None:
    if scene.running < limits.at_once:
        return None
    return f"{scene.running} hosts are being cut off, and no more may be at once"


def _storm(scene: Scene, limits: Limits) -> str | None:
    for domain, hosts in scene.domains.items():
        times = sorted(time for host, time in scene.silent.items() if host in hosts)
        together = _most_within(times, limits.storm_within)
        is_many = together >= limits.storm_hosts or (
            together >= 2 and together >= limits.storm_share * len(hosts)
        )
        if is_many and scene.now - times[-1] < limits.storm_calm:
            return f"a storm: {together} hosts of {domain} went silent within {_span(limits.storm_within)}"
    return None


def _most_within(times: Sequence[datetime], window: timedelta) -> int:
    return max((sum(first <= one <= first + window for one in times) for first in times), default=0)


def _cause(scene: Scene, limits: Limits) -> str | None:
    return None if scene.cause is None else f"something else explains it: {scene.cause}"


def _floor(scene: Scene, limits: Limits) -> str | None:
    well = scene.zone_hosts - scene.out - scene.silent.keys() - {scene.host}
    if scene.zone_hosts and len(well) >= limits.floor * len(scene.zone_hosts):
        return None
    share = f"{len(well)} of {len(scene.zone_hosts)} hosts of {scene.zone} are well"
    return f"{share}, and {limits.floor:.0%} have to be"


def _capacity(scene: Scene, limits: Limits) -> str | None:
    if not limits.capacity or scene.shortage is None:
        return None
    return f"its machines would not fit elsewhere: {scene.shortage}"


def _self_check(scene: Scene, limits: Limits) -> str | None:
    if scene.troubles:
        return f"Doctor's own view cannot be trusted: {scene.troubles[0]}"
    others = scene.hosts - {scene.host}
    if others and others <= scene.silent.keys():
        return "every host is silent: it is Doctor that is cut off"
    if scene.map_age is not None and scene.map_age > limits.map_age:
        return f"the resource map was put right {_span(scene.map_age)} ago"
    return None


def _start_up(scene: Scene, limits: Limits) -> str | None:
    if scene.up_for >= limits.start_up:
        return None
    return f"Doctor has run for {_span(scene.up_for)} only, and waits for {_span(limits.start_up)}"


def _often(scene: Scene, limits: Limits) -> Objection | None:
    own = [one.time for one in scene.spent if one.host == scene.host]
    for most, window in ((limits.in_probation, limits.probation), (limits.in_a_day, timedelta(hours=24))):
        count = sum(scene.now - time < window for time in own)
        if count >= most:
            return Objection(f"it was cut off {count} times within {_span(window)}", final=True)
    return None


def _excluded(scene: Scene, limits: Limits) -> Objection | None:
    return None if scene.excluded is None else Objection(scene.excluded, final=True)


BRAKES: Mapping[str, Brake] = {
    "evidence": _evidence,
    "mode": _mode,
    "hold": _hold,
    "levels": _levels,
    "identity": _identity,
    "excluded": _excluded,
    "often": _often,
    "storm": _storm,
    "cause": _cause,
    "zone budget": _zone_budget,
    "site budget": _site_budget,
    "at once": _at_once,
    "floor": _floor,
    "capacity": _capacity,
    "self check": _self_check,
    "start-up": _start_up,
}


class Ruling(NamedTuple):
    """What all brakes together say."""

    checks: tuple[Check, ...]
    is_final: bool

    @property
    def objections(self) -> tuple[Check, ...]:
        """Return the brakes that hold."""
        return tuple(one for one in self.checks if not one.passes)

    @property
    def reason(self) -> str:
        """Return a sentence on what holds, empty where nothing does."""
        return "; ".join(one.detail for one in self.objections)

    @property
    def is_advice(self) -> bool:
        """Tell whether it would be done if the zone were armed."""
        return [one.brake for one in self.objections] == ["mode"]


def rule(scene: Scene, limits: Limits, *, only: Iterable[str] = BRAKES) -> Ruling:
    """Ask the brakes, in their order."""
    checks, is_final = [], False
    for name in only:
        found = BRAKES[name](scene, limits)
        objection = Objection(found) if isinstance(found, str) else found
        checks.append(
            Check(brake=name, passes=objection is None, detail=objection.detail if objection else "")
        )
        is_final = is_final or (objection is not None and objection.final)
    return Ruling(tuple(checks), is_final)


# What is asked again right before the first command, and before each further level: what it has spent it may use.
AGAIN = ("evidence", "mode", "hold", "excluded", "storm", "cause", "self check", "start-up")


def _span(time: timedelta) -> str:
    seconds = time.total_seconds()
    return f"{seconds / 60:g} min" if seconds >= 120 and not seconds % 60 else f"{round(seconds, 1):g} s"
