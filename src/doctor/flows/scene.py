"""Gathers what the evidence and the brakes look at, from what is known now."""

from collections.abc import Mapping, Set
from datetime import datetime, timedelta
from typing import NamedTuple

from doctor.fencing.brakes import Scene
from doctor.fencing.evidence import Judgement, Witness, Witnesses, judge, signs_of_life, silent_since
from doctor.fencing.levels import automatic, unnamed
from doctor.fencing.limits import Limits
from doctor.fencing.room import shortage
from doctor.fencing.widening import Widening
from doctor.flows.fences import Fences
from doctor.flows.lookout import Lookout
from doctor.flows.situation import Situation
from doctor.inspector.suspicion import DOMAIN_FAULT
from doctor.inspector.zones import next_zones
from doctor.model.alarm import AlarmedFault
from doctor.model.fault import ResourceState
from doctor.model.fence_job import FenceJob, FenceState, Statement, ZoneMode
from doctor.model.fence_plan import FencePlan, Level
from doctor.model.map_news import Phase
from doctor.model.policy import Escalate, IsolationPolicy
from doctor.model.resource import HOST, VIRTUAL_MACHINE, MaintenanceState, PhysicalResource

NO_ZONE = "default"  # the zone of hosts that the map has in none
DEVICE = "device:"  # before the name of a device that is a witness
READING_FRESH_FOR = timedelta(seconds=10)


class FencingRules(NamedTuple):
    """What the settings say: the limits, whose word counts, and which hosts are never cut off, for a reason."""

    limits: Limits = Limits()
    witnesses: Witnesses = {}
    excluded: Mapping[str, str] = {}


class Lookup:
    """Answers what the flow asks of the present."""

    def __init__(self, situation: Situation, fences: Fences, rules: FencingRules, lookout: Lookout) -> None:
        self._situation = situation
        self._fences = fences
        self._limits = rules.limits
        self._excluded = rules.excluded
        self._lookout = lookout
        readings = {
            f"{DEVICE}{name}": Witness(facts.vantage, READING_FRESH_FOR, device=True)
            for name, facts in fences.facts.items()
        }
        self.witnesses: Witnesses = {**rules.witnesses, **readings}

    def plan_of(self, host: str) -> FencePlan | None:
        """Return how a host is cut off, None if nobody has said so."""
        resource = self._situation.resources.physical.get(host)
        is_zone = resource is not None and resource.type != HOST
        return None if is_zone else self._fences.plan_of(host, self._situation.resources)

    def can_isolate(self, host: PhysicalResource) -> bool:
        """Tell whether somebody will say how far the isolation of a host got."""
        return self.plan_of(host.id) is not None

    def failed(self) -> list[str]:
        """Return the hosts that are down and could be cut off."""
        resources = self._situation.resources
        found = [resources.physical.get(self._situation.id_of(name)) for name in self._fences.plans]
        return [one.id for one in found if one is not None and self.failure_of(one.id) is not None]

    def own_levels(self, host: str) -> tuple[Level, ...]:
        """Return the levels of a host that need no person."""
        plan = self.plan_of(host)
        return () if plan is None else automatic(plan, self._fences.facts)

    def levels(self, job: FenceJob) -> tuple[Level, ...]:
        """Return the levels of a host that need no person, and behind them those of the zone that may go in its place."""
        return self.own_levels(job.host) + self._levels_of_zone(job.widened or self._zone_by_policy(job.host))

    def zone_of_level(self, job: FenceJob, level: int) -> str:
        """Return the zone that a level cuts off, nothing if it is the host alone."""
        is_own = level < len(self.own_levels(job.host))
        return "" if is_own else job.widened or self._zone_by_policy(job.host)

    def zones_around(self, host: str) -> list[str]:
        """Return the next zones that a host is in, and for which somebody has said how they are cut off."""
        resource = self._situation.resources.physical.get(host)
        levels = self._situation.selector.zones
        if resource is None:
            return []
        found = next_zones(host, resource.type, levels, self._situation.resources)
        return [zone for zone in found if self._levels_of_zone(zone)]

    def _zone_by_policy(self, host: str) -> str:
        """Return the zone that goes in place of a host without a question, by the failure policy [HA 6.1.2.2]."""
        levels, resources = self._situation.selector.zones, self._situation.resources
        for zone in self.zones_around(host):
            level = levels[resources.physical[zone].type]
            if level.escalate is Escalate.AUTOMATIC and level.isolation is IsolationPolicy.FENCE:
                return zone
        return ""

    def _levels_of_zone(self, zone: str) -> tuple[Level, ...]:
        resource = self._situation.resources.physical.get(zone)
        if resource is None or resource.type == HOST:
            return ()
        plan = self._fences.plan_of(zone, self._situation.resources)
        return () if plan is None else automatic(plan, self._fences.facts)

    def hosts_within(self, zone: str) -> frozenset[str]:
        """Return the hosts that go off with a zone, none without one."""
        return self._situation.resources.hosts_by_domain.get(zone, frozenset())

    def is_cut_off_with(self, job: FenceJob, host: str) -> bool:
        """Tell whether a host went off, or is going off, with the zone that is cut off in place of the host of a job."""
        is_going = job.state in (FenceState.ATTEMPT, FenceState.CONFIRMING, FenceState.FENCED)
        zone = self.zone_of_level(job, job.reach) if job.widened and is_going else ""
        return bool(zone) and host in self.hosts_within(zone)

    def went_with_a_zone(self, host: str) -> bool:
        """Tell whether a host went off with a zone, in place of another one."""
        jobs = self._situation.fence_book.active
        return any(job.host != host and self.is_cut_off_with(job, host) for job in jobs)

    def returning(self, host: str) -> str:
        """Return the zone that is being given back around a host, in which another one was cut off; nothing if none is."""
        for job in self._situation.fence_book.active:
            zone = self.zone_of_level(job, job.reach) if job.widened else ""
            if job.state is FenceState.UNFENCING and job.host != host and host in self.hosts_within(zone):
                return zone
        return ""

    def widening(self, job: FenceJob, zone: str, now: datetime) -> Widening:
        """Return what it means to cut a zone off in place of a host."""
        situation = self._situation
        book, state_of = situation.fence_book, situation.book.state_of
        hosts = self.hosts_within(zone)
        zones = sorted({self.zone_of(host) for host in hosts})
        off = [one for one in book.active if one.host != job.host and self.is_cut_off_with(one, one.host)]
        silent = self.silent(now)
        left = {}
        for name in zones:
            all_ = self.hosts_of(name)
            well = [
                one for one in all_ - hosts if state_of(one) is ResourceState.NORMAL and one not in silent
            ]
            left[name] = len(well), len(all_)
        others = hosts - {job.host}
        excluded = {host: why for host in sorted(others) if (why := self._exclusion(host)) is not None}
        return Widening(
            zone=zone,
            excluded=excluded,
            unarmed=[name for name in zones if book.mode(name) is not ZoneMode.ARMED],
            left=left,
            shortage=self._shortage(hosts),
            other=next((one.widened for one in off if one.widened != zone), None),
            unnamed=unnamed(self._levels_of_zone(zone)),
            is_off=any(one.widened == zone for one in off),
        )

    def zone_of(self, host: str) -> str:
        """Return the zone by which hosts are armed and counted."""
        resource = self._situation.resources.physical.get(host)
        return NO_ZONE if resource is None else resource.zone_id or NO_ZONE

    def hosts_of(self, zone: str) -> frozenset[str]:
        """Return the hosts of a zone."""
        return frozenset(
            host.id for host in self._situation.resources.hosts() if (host.zone_id or NO_ZONE) == zone
        )

    @property
    def zones(self) -> list[str]:
        """Return all zones that have hosts."""
        return sorted({host.zone_id or NO_ZONE for host in self._situation.resources.hosts()})

    def failure_of(self, host: str) -> AlarmedFault | None:
        """Return the fault by which a host is down, None if it is not: of several its own, and the oldest of those."""
        found = [
            record
            for record in self._situation.book.on(host)
            if record.alarms[host].resource_state is ResourceState.DOWN
        ]
        return min(
            found, key=lambda one: (one.fault.resource_id != host, one.fault.raised_time), default=None
        )

    def is_expected(self, host: str) -> bool:
        """Tell whether a host is down because somebody works on it: then there is nothing to prove, and nobody is called."""
        failure = self.failure_of(host)
        return failure is not None and self._situation.maintenance.expects(host, failure.fault.raised_time)

    def judgement(self, host: str, now: datetime, *, ever: bool = False) -> Judgement:
        """Weigh what was said of a host since it was given back, or ever."""
        hosts = [one.id for one in self._situation.resources.hosts()]
        book, limits = self._situation.fence_book, self._limits
        job = None if ever else book.jobs.get(host)
        returned = None if job is None else job.returned
        blind = self._lookout.troubles()
        return judge(
            host, book.statements, self.witnesses, hosts, limits, now, blind=blind, returned=returned
        )

    def life(self, host: str, since: datetime) -> list[Statement]:
        """Return who has seen a host alive since a moment."""
        return list(signs_of_life(host, self._situation.fence_book.statements, self.witnesses, since))

    def silent(self, now: datetime) -> dict[str, datetime]:
        """Return which hosts a witness takes for dead, and since when."""
        return silent_since(self._situation.fence_book.statements, self.witnesses, now)

    def fallen(self, job: FenceJob, now: datetime) -> list[str]:
        """Return the other hosts that went silent since the command [I-16]."""
        known = {job.host, *job.silent}
        known |= self.hosts_within(self.zone_of_level(job, job.reach))
        return sorted(host for host in self.silent(now) if host not in known)

    def scene(self, job: FenceJob, now: datetime, up_for: timedelta) -> Scene:
        """Return all that the brakes look at."""
        situation = self._situation
        resources, book, jobs = situation.resources, situation.book, situation.fence_book
        hosts = frozenset(host.id for host in resources.hosts())
        zone_hosts = self.hosts_of(job.zone)
        levels = self.own_levels(job.host)
        return Scene(
            host=job.host,
            zone=job.zone,
            now=now,
            judgement=self.judgement(job.host, now),
            mode=jobs.mode(job.zone),
            hold=None if jobs.hold is None else f"{jobs.hold.user}: {jobs.hold.reason}",
            hosts=hosts,
            zone_hosts=zone_hosts,
            out=frozenset(host for host in hosts if book.state_of(host) is not ResourceState.NORMAL),
            silent=self.silent(now),
            domains=self._domains(job.host) or {job.zone: zone_hosts},
            cause=self._cause(job.host),
            spent=jobs.spent,
            running=jobs.running(job.host),
            shortage=self._shortage({job.host}),
            excluded=self._exclusion(job.host),
            levels=len(levels),
            unnamed=unnamed(levels),
            troubles=self._troubles(job.host),
            up_for=up_for,
            map_age=self._map_age(job.host, now),
        )

    def _domains(self, host: str) -> dict[str, frozenset[str]]:
        resources = self._situation.resources
        return {name: resources.hosts_by_domain.get(name, frozenset()) for name in resources.domains_of(host)}

    def _cause(self, host: str) -> str | None:
        """Return what a host's failure is the symptom of, or a failure of a domain that it is in."""
        book = self._situation.book
        record = self.failure_of(host)
        if record is not None and self._situation.is_planned(record):
            return (
                "planned work: it was worked on when it began, or a silence of the Administrator covered it"
            )
        if record is not None and record.fault.resource_id != host:
            return f"{record.fault.fault_type} on {record.fault.resource_id}"
        root = None if record is None else book.root_cause(record.fault)
        if root is not None and root.fault.resource_id != host:
            return f"{root.fault.fault_type} on {root.fault.resource_id}"
        for domain in self._situation.resources.domains_of(host):
            if book.state_of(domain).is_out:
                return f"{domain} is {book.state_of(domain)}"
            if book.open_fault(domain, DOMAIN_FAULT) is not None:
                return f"{DOMAIN_FAULT} {domain}"
        return None

    def _shortage(self, hosts: Set[str]) -> str | None:
        """Say what the machines of hosts would miss on the others, None if they would fit."""
        resources = self._situation.resources
        machines = [resources.virtual[name] for host in hosts for name in resources.machines_on(host)]
        lost = [self._situation.pool.left_on(host) for host in hosts]
        zones = self._situation.pool.zones()
        if not any(one.vcpus.total or one.memory_mb.total for one in zones):
            return None  # nobody has said how large the hosts are
        return shortage(
            [one for one in machines if one.type == VIRTUAL_MACHINE],
            sum(one.vcpus.available for one in zones) - sum(vcpus for vcpus, _ in lost),
            sum(one.memory_mb.available for one in zones) - sum(memory_mb for _, memory_mb in lost),
        )

    def _exclusion(self, host: str) -> str | None:
        resource = self._situation.resources.physical.get(host)
        if resource is None or resource.type != HOST:
            return "the resource map has no such host"
        name = self._situation.resources.name_among(host, self._excluded)
        if name is not None:
            return f"fencing.exclude names it: {self._excluded[name]}"
        if self._situation.maintenance.state_of(host) is not MaintenanceState.ENABLED:
            return "it is in maintenance"
        if self.is_expected(host):
            return "it has just been given back from maintenance, and may still be on its way"
        states = {record.alarms[host].resource_state for record in self._situation.book.on(host)}
        return "it is in maintenance" if ResourceState.MAINTENANCE in states else None

    def _troubles(self, host: str) -> list[str]:
        found = [*self._lookout.troubles().values()]
        if not self._situation.is_ready:
            found.append("the store does not answer")
        found += [
            f"the map of {name} is {status.phase}"
            for name, status in self._situation.clouds.items()
            if status.phase is not Phase.CURRENT
        ]
        return found

    def _map_age(self, host: str, now: datetime) -> timedelta | None:
        resource = self._situation.resources.physical.get(host)
        status = self._situation.clouds.get(resource.cloud or "") if resource is not None else None
        if status is None or status.as_of is None:
            return None
        # What a cloud announces is heard as it happens; only without that does the map grow old.
        return timedelta(0) if status.listening else now - status.as_of
