"""Gathers what the evidence and the brakes look at, from what is known now."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import NamedTuple

from doctor.fencing.brakes import Scene
from doctor.fencing.evidence import Judgement, Witness, Witnesses, judge, signs_of_life, silent_since
from doctor.fencing.levels import automatic, unnamed
from doctor.fencing.limits import Limits
from doctor.fencing.room import shortage
from doctor.flows.fences import Fences
from doctor.flows.lookout import Lookout
from doctor.flows.situation import Situation
from doctor.inspector.suspicion import DOMAIN_FAULT
from doctor.model.alarm import AlarmedFault
from doctor.model.fault import ResourceState
from doctor.model.fence_job import FenceJob, Statement
from doctor.model.fence_plan import FencePlan, Level
from doctor.model.map_news import Phase
from doctor.model.resource import HOST, VIRTUAL_MACHINE, PhysicalResource

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
        return self._fences.plan_of(host, self._situation.resources)

    def can_isolate(self, host: PhysicalResource) -> bool:
        """Tell whether somebody will say how far the isolation of a host got."""
        return self.plan_of(host.id) is not None

    def failed(self) -> list[str]:
        """Return the hosts that are down and could be cut off."""
        resources = self._situation.resources
        found = [resources.physical.get(self._situation.id_of(name)) for name in self._fences.plans]
        return [one.id for one in found if one is not None and self.failure_of(one.id) is not None]

    def levels(self, host: str) -> tuple[Level, ...]:
        """Return the levels of a host that need no person."""
        plan = self.plan_of(host)
        return () if plan is None else automatic(plan, self._fences.facts)

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

    def judgement(self, host: str, now: datetime) -> Judgement:
        """Weigh what was said of a host."""
        hosts = [one.id for one in self._situation.resources.hosts()]
        statements = self._situation.fence_book.statements
        blind = self._lookout.troubles()
        return judge(host, statements, self.witnesses, hosts, self._limits, now, blind=blind)

    def life(self, host: str, since: datetime) -> list[Statement]:
        """Return who has seen a host alive since a moment."""
        return list(signs_of_life(host, self._situation.fence_book.statements, self.witnesses, since))

    def silent(self) -> dict[str, datetime]:
        """Return which hosts a witness takes for dead, and since when."""
        return silent_since(self._situation.fence_book.statements, self.witnesses)

    def fallen(self, job: FenceJob) -> list[str]:
        """Return the other hosts that went silent since the command [I-16]."""
        known = {job.host, *job.silent}
        return sorted(host for host in self.silent() if host not in known)

    def scene(self, job: FenceJob, now: datetime, up_for: timedelta) -> Scene:
        """Return all that the brakes look at."""
        situation = self._situation
        resources, book, jobs = situation.resources, situation.book, situation.fence_book
        hosts = frozenset(host.id for host in resources.hosts())
        zone_hosts = self.hosts_of(job.zone)
        levels = self.levels(job.host)
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
            silent=self.silent(),
            domains=self._domains(job.host) or {job.zone: zone_hosts},
            cause=self._cause(job.host),
            spent=jobs.spent,
            running=jobs.running(job.host),
            shortage=self._shortage(job.host),
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
            return "planned work: a silence of the Administrator covered it when it began"
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

    def _shortage(self, host: str) -> str | None:
        resources = self._situation.resources
        machines = [resources.virtual[name] for name in resources.machines_on(host)]
        zones = self._situation.pool.zones()
        if not any(one.vcpus.total or one.memory_mb.total for one in zones):
            return None  # nobody has said how large the hosts are
        return shortage(
            [one for one in machines if one.type == VIRTUAL_MACHINE],
            sum(one.vcpus.available for one in zones),
            sum(one.memory_mb.available for one in zones),
        )

    def _exclusion(self, host: str) -> str | None:
        resource = self._situation.resources.physical.get(host)
        if resource is None or resource.type != HOST:
            return "the resource map has no such host"
        name = self._situation.resources.name_among(host, self._excluded)
        if name is not None:
            return f"fencing.exclude names it: {self._excluded[name]}"
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
