"""Nova: compute hosts, servers and their groups; forcing hosts down, disabling them, the state of servers."""

from collections.abc import AsyncIterator

import msgspec

from doctor.drivers.controllers.openstack.migrations import open_evacuations_from
from doctor.drivers.controllers.openstack.resources import Host, Server
from doctor.drivers.controllers.openstack.session import COMPUTE, CloudSession, LateError
from doctor.model.errors import Reason, RejectedError, TransientError
from doctor.model.marking import HEALTHY, MARKED, Mark, MarkKind, Standing

# Services by uuid and hypervisors that still tell their size; servers with their flavors and those of a cell that is
# down; groups with all their projects. All of it since Stein (2019).
HOSTS_VERSION, SERVERS_VERSION = "2.53", "2.69"
GROUP_PAGE = 500
# Seconds for which an answer is waited for when a host is disabled or enabled: Nova writes that down, and then asks its
# nova-compute to know it too, for a minute where that is dead and nobody has said so yet.
PATIENCE = 3.0


class _Service(msgspec.Struct):
    id: str
    host: str
    zone: str | None = None
    status: str = "enabled"
    state: str = "up"
    disabled_reason: str | None = None
    forced_down: bool = False


class _Services(msgspec.Struct):
    services: list[_Service]


class _OneService(msgspec.Struct):
    service: _Service


class _HypervisorService(msgspec.Struct):
    host: str


class _Hypervisor(msgspec.Struct):
    id: str
    service: _HypervisorService
    hypervisor_hostname: str = ""
    host_ip: str | None = None
    vcpus: int | None = None
    memory_mb: int | None = None
    hypervisor_type: str | None = None
    hypervisor_version: int | None = None


class _Hypervisors(msgspec.Struct):
    hypervisors: list[_Hypervisor]


class _Aggregate(msgspec.Struct):
    name: str
    hosts: list[str] = []


class _Aggregates(msgspec.Struct):
    aggregates: list[_Aggregate]


class _Flavor(msgspec.Struct):
    vcpus: int | None = None
    ram: int | None = None
    extra_specs: dict[str, str] = {}


class _Attachment(msgspec.Struct):
    id: str


class _Server(
    msgspec.Struct,
    rename={
        "host": "OS-EXT-SRV-ATTR:host",
        "vm_state": "OS-EXT-STS:vm_state",
        "task_state": "OS-EXT-STS:task_state",
        "volumes": "os-extended-volumes:volumes_attached",
    },
):
    id: str
    tenant_id: str
    name: str = ""
    user_id: str | None = None
    host: str | None = None
    vm_state: str | None = None  # missing where the cell of the server does not answer
    task_state: str | None = None
    flavor: _Flavor = msgspec.field(default_factory=_Flavor)
    metadata: dict[str, str] = {}
    tags: list[str] = []
    volumes: list[_Attachment] = []
    updated: str = ""


class _Servers(msgspec.Struct):
    servers: list[_Server]


class _OneServer(msgspec.Struct):
    server: _Server


class _Group(msgspec.Struct):
    id: str
    name: str
    members: list[str] = []


class _Groups(msgspec.Struct):
    server_groups: list[_Group]


class Nova:
    """The compute service of one region."""

    def __init__(self, session: CloudSession, page: int) -> None:
        self._session = session
        self._page = page
        self._services: dict[str, str] = {}  # host -> uuid of its compute service

    async def hosts(self) -> list[Host]:
        """Return all compute hosts, with aggregates and zones."""
        services = await self._session.get(
            COMPUTE, "/os-services?binary=nova-compute", _Services, version=HOSTS_VERSION
        )
        machines = {one.service.host: one for one in await self._hypervisors()}
        answer = await self._session.get(COMPUTE, "/os-aggregates", _Aggregates, version=HOSTS_VERSION)
        aggregates: dict[str, list[str]] = {}
        for aggregate in answer.aggregates:
            for host in aggregate.hosts:
                aggregates.setdefault(host, []).append(aggregate.name)
        self._services = {one.host: one.id for one in services.services}
        return [
            _host(one, machines.get(one.host), sorted(aggregates.get(one.host, ())))
            for one in services.services
        ]

    async def alive(self) -> list[tuple[str, bool]]:
        """Return which compute services report; one that was forced down need not."""
        answer = await self._session.get(
            COMPUTE, "/os-services?binary=nova-compute", _Services, version=HOSTS_VERSION
        )
        return [(one.host, one.state == "up" or one.forced_down) for one in answer.services]

    async def _hypervisors(self) -> list[_Hypervisor]:
        path = f"/os-hypervisors/detail?limit={self._page}"
        pages = self._session.pages(
            COMPUTE, path, _Hypervisors, lambda answer: answer.hypervisors, version=HOSTS_VERSION
        )
        return [one async for page in pages for one in page]

    async def servers(self) -> AsyncIterator[list[Server | str]]:
        """Return all servers, page by page; of one whose cell does not answer only the id."""
        path = f"/servers/detail?all_tenants=1&sort_key=uuid&sort_dir=asc&limit={self._page}"
        pages = self._session.pages(
            COMPUTE, path, _Servers, lambda answer: answer.servers, version=SERVERS_VERSION
        )
        async for page in pages:
            yield [_server_of(one) for one in page]

    async def groups(self) -> list[tuple[str, list[str]]]:
        """Return the server groups of all projects: their names, and the ids of their members."""
        found: dict[str, tuple[str, list[str]]] = {}
        while True:
            path = f"/os-server-groups?all_projects=True&limit={GROUP_PAGE}&offset={len(found)}"
            answer = await self._session.get(COMPUTE, path, _Groups, version=HOSTS_VERSION)
            fresh = {one.id: (one.name, one.members) for one in answer.server_groups if one.id not in found}
            if not fresh:
                return list(found.values())
            found |= fresh

    async def read(self, mark: Mark, host: str) -> Standing:
        """Return how a host or a server is now; ``host`` is Nova's name of it, if it is one."""
        if mark.kind is MarkKind.SERVER_ERROR:
            answer = await self._session.get(
                COMPUTE, f"/servers/{mark.resource_id}", _OneServer, version=SERVERS_VERSION, urgent=True
            )
            server = answer.server
            state = server.vm_state or "unknown"
            return Standing(f"{state} ({server.task_state})" if server.task_state else state)
        path = f"/os-services?binary=nova-compute&host={host}"
        answers = await self._session.get(COMPUTE, path, _Services, version=HOSTS_VERSION, urgent=True)
        for service in answers.services:
            self._services[service.host] = service.id
            return _standing(mark.kind, service)
        raise RejectedError(f"Nova has no compute host {host}", reason=Reason.NOT_FOUND)

    async def write(self, mark: Mark, host: str, standing: Standing) -> None:
        """Set it."""
        if mark.kind is MarkKind.SERVER_ERROR:
            body: dict[str, object] = {"os-resetState": {"state": standing.state}}
            await self._session.act(
                COMPUTE, f"/servers/{mark.resource_id}/action", body, version=HOSTS_VERSION
            )
            return
        if host not in self._services:
            await self.read(mark, host)
        is_marked = standing.state == MARKED[mark.kind]
        patience = None
        if mark.kind is MarkKind.FORCED_DOWN:
            if not is_marked:
                await self._check_left(host)
            body = {"forced_down": is_marked}
        else:
            patience = PATIENCE
            reason = {"disabled_reason": standing.reason[:255]} if is_marked else {}
            body = {"status": standing.state, **reason}
        path = f"/os-services/{self._services[host]}"
        try:
            answer = await self._session.put(
                COMPUTE, path, body, _OneService, version=HOSTS_VERSION, patience=patience
            )
            now = _standing(mark.kind, answer.service).state
        except LateError:
            now = (await self.read(mark, host)).state
        if now != standing.state:
            raise TransientError(f"Nova took it, and has it {now} all the same")

    async def _check_left(self, host: str) -> None:
        """See that nothing is on its way from a host, whoever has asked for it: a machine could run twice [I-15].

        Nova itself asks for evacuations that are done only, and would take the host for up in the middle of one.
        """
        for one in await self.leaving(host):
            raise RejectedError(f"it may not be up again yet: {one}", reason=Reason.CONFLICT)

    async def leaving(self, host: str) -> list[str]:
        """Return, in words, which evacuations from a host are under way."""
        return [str(one) for one in await open_evacuations_from(self._session, host)]


def _standing(kind: MarkKind, service: _Service) -> Standing:
    if kind is MarkKind.FORCED_DOWN:
        return Standing(MARKED[kind] if service.forced_down else HEALTHY[kind])
    return Standing(service.status, service.disabled_reason or "")


def _host(service: _Service, machine: _Hypervisor | None, aggregates: list[str]) -> Host:
    known = machine or _Hypervisor(id="", service=_HypervisorService(service.host))
    version = known.hypervisor_version
    return Host(
        service_id=service.id,
        name=service.host,
        zone=service.zone,
        disabled=service.status == "disabled",
        disabled_reason=service.disabled_reason,
        forced_down=service.forced_down,
        address=known.host_ip,
        vcpus=known.vcpus,
        memory_mb=known.memory_mb,
        hypervisor=f"{known.hypervisor_type or ''} {version or ''}".strip() or None,
        aliases=(known.hypervisor_hostname,) if known.hypervisor_hostname else (),
        aggregates=tuple(aggregates),
    )


def _server_of(given: _Server) -> Server | str:
    if given.vm_state is None:
        return given.id
    return Server(
        id=given.id,
        name=given.name,
        project=given.tenant_id,
        user=given.user_id,
        host=given.host,
        vm_state=given.vm_state,
        task_state=given.task_state,
        vcpus=given.flavor.vcpus,
        memory_mb=given.flavor.ram,
        extra_specs=given.flavor.extra_specs,
        metadata=given.metadata,
        tags=tuple(given.tags),
        volumes=tuple(one.id for one in given.volumes),
        updated=given.updated,
    )
