"""Whether it is the hosts that are gone, or we who hear nobody [I-13].

A vantage is a monitor of Doctor's own, and all it knows is who answers. In comes what it has reported; out goes
whether its silent hosts are to be believed. Who sees a canary sees. Who sees no canary any more, and most hosts went
silent with them, is cut off himself; and so is, without canaries, who has lost most hosts of most failure domains that
have nothing to do with each other. What others report of those hosts is their word, and is not asked here.
"""

from collections.abc import Collection, Iterator
from datetime import datetime
from typing import NamedTuple

from doctor.model.event import RawEvent
from doctor.model.fault import EventType, Fault, ResourceState, Severity
from doctor.model.policy import RecommendedAction, SelfIsolation
from doctor.model.resource import JOINS
from doctor.model.resource_map import ResourceMap
from doctor.model.vantage import VANTAGE

MONITOR_ISOLATED = "monitor isolated"
SELF_ISOLATION = "self_isolation"  # the rule of the fault


class Held(NamedTuple):
    """A host that fell silent, and is not believed to be dead yet: what was said, and when that came."""

    event: RawEvent
    event_id: str
    received: datetime
    since: datetime


class Vantage:
    """What one vantage sees, by its own reports: hosts by id, canaries by name.

    ``dead`` are the silent hosts that were believed, with since when; ``canaries`` are those that are silent since then,
    or seen (None). Who has overruled the judgement, by hand, is believed until the vantage sees again.
    """

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: set[str] = set()
        self.held: dict[str, Held] = {}
        self.dead: dict[str, datetime] = {}
        self.canaries: dict[str, datetime | None] = {}
        self.is_overruled = False

    def sees(self, host: str) -> None:
        """Note that a host answers."""
        self.seen.add(host)
        self.held.pop(host, None)
        self.dead.pop(host, None)

    def hold(self, host: str, held: Held) -> None:
        """Note that a host has fallen silent, and is not believed to be dead."""
        self.seen.discard(host)
        self.held[host] = held

    def believe(self, host: str, since: datetime) -> None:
        """Note that a host is dead."""
        self.seen.discard(host)
        self.held.pop(host, None)
        self.dead[host] = since

    def canary(self, name: str, silent_since: datetime | None) -> None:
        """Note that a canary is silent, or seen (None)."""
        self.canaries[name] = silent_since


def may_be_blind(vantage: Vantage, rules: SelfIsolation) -> bool:
    """Tell whether there is enough to see for its absence to say anything."""
    return bool(vantage.canaries) or len(vantage.seen) + len(vantage.held) >= rules.hosts


def is_blind(vantage: Vantage, rules: SelfIsolation, resources: ResourceMap, now: datetime) -> bool:
    """Tell whether it is the vantage that hears nobody, rather than hosts that have died."""
    lost = {
        *(host for host, held in vantage.held.items() if now - held.since <= rules.within),
        *(host for host, since in vantage.dead.items() if now - since <= rules.within),
    } & resources.physical.keys()
    watched = (vantage.seen & resources.physical.keys()) | lost
    if not vantage.held or len(lost) <= rules.share * len(watched):
        return False
    witnesses = [*_witnesses(vantage, rules, now)]
    if witnesses:
        return all(since is not None for since in witnesses)
    return len(watched) >= rules.hosts and _is_everywhere(watched, lost, resources, rules.share)


def sees_again(vantage: Vantage, rules: SelfIsolation) -> bool:
    """Tell whether a vantage that was blind sees: a canary, or hosts enough."""
    if any(since is None for since in vantage.canaries.values()):
        return True
    watched = len(vantage.seen) + len(vantage.held)
    return watched > 0 and len(vantage.held) <= rules.share * watched


def _witnesses(vantage: Vantage, rules: SelfIsolation, now: datetime) -> Iterator[datetime | None]:
    """Return since when those canaries are silent that have something to say (None: they are seen).

    One that was silent long before the hosts says nothing of them.
    """
    first = min((held.since for held in vantage.held.values()), default=now)
    return (since for since in vantage.canaries.values() if since is None or first - since <= rules.within)


def _is_everywhere(
    watched: Collection[str], lost: Collection[str], resources: ResourceMap, share: float
) -> bool:
    """Tell whether most of the unrelated groups of hosts are dark."""
    groups = unrelated(watched, resources)
    dark = [group for group in groups if sum(host in lost for host in group) > share * len(group)]
    return len(groups) > 1 and len(dark) > 1 and len(dark) > share * len(groups)


def unrelated(hosts: Collection[str], resources: ResourceMap) -> list[set[str]]:
    """Return hosts in groups that have no failure domain in common.

    What contains all of them, such as the site, makes no group of them, unless nothing smaller does.
    """
    nearest: set[str] = set()
    by_domain: dict[str, set[str]] = {}
    for host in hosts:
        nearest.update(one.supplier for one in resources.suppliers(host) if one.kind in JOINS)
        for domain in resources.domains_of(host):
            by_domain.setdefault(domain, set()).add(host)
    groups = {host: {host} for host in hosts}
    for domain, members in by_domain.items():
        if len(members) == len(hosts) and domain not in nearest:
            continue
        joined = set().union(*(groups[host] for host in members))
        for host in joined:
            groups[host] = joined
    return list({id(group): group for group in groups.values()}.values())


def fault_of(vantage: Vantage, *, fault_key: str, now: datetime) -> Fault:
    """Return the fault that a vantage sees nothing. It is of the vantage, and takes nothing down."""
    first = min(vantage.held.values(), key=lambda held: held.since)
    return Fault(
        fault_key=fault_key,
        resource_id=vantage.name,
        resource_type=VANTAGE,
        fault_type=MONITOR_ISOLATED,
        rule=SELF_ISOLATION,
        severity=Severity.CRITICAL,
        state=ResourceState.NORMAL,
        event_type=EventType.COMMUNICATIONS,
        probable_cause="the monitor itself is cut off",
        recommended_action=RecommendedAction.INFORM_OAM,
        raised_by=first.event_id,
        event_time=first.event.time,
        raised_time=now,
        details={
            "silent_hosts": len(vantage.held),
            "seen_hosts": len(vantage.seen),
            "silent_canaries": sorted(name for name, since in vantage.canaries.items() if since is not None),
        },
        is_derived=True,
    )
