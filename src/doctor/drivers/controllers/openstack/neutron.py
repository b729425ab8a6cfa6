"""Neutron: networks and the ports of servers; the data plane status of a port."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from doctor.drivers.controllers.openstack.resources import Port
from doctor.drivers.controllers.openstack.session import NETWORK, CloudSession
from doctor.model.errors import TransientError
from doctor.model.marking import HEALTHY, Mark, MarkKind, Standing

OF_SERVERS = "compute:"  # how the owner of a server's port begins


class PortIn(msgspec.Struct, rename={"host": "binding:host_id"}):
    """A port, as an answer and a notification have it."""

    id: str
    network_id: str = ""
    project_id: str = ""
    device_id: str = ""
    device_owner: str = ""
    host: str | None = None
    data_plane_status: str | None = None
    revision_number: int = 0

    @property
    def of_server(self) -> Port | None:
        """Return the port, if a server has it."""
        if not self.device_owner.startswith(OF_SERVERS) or not self.device_id:
            return None
        return Port(
            id=self.id,
            project=self.project_id,
            network=self.network_id,
            server=self.device_id,
            host=self.host or None,
            data_plane_status=self.data_plane_status,
            revision=self.revision_number,
        )


class NetworkIn(msgspec.Struct):
    """A network, as an answer and a notification have it."""

    id: str
    name: str = ""
    project_id: str = ""


class _Ports(msgspec.Struct):
    ports: list[PortIn]


class _OnePort(msgspec.Struct):
    port: PortIn


class _Networks(msgspec.Struct):
    networks: list[NetworkIn]


_PORT_FIELDS = "".join(f"&fields={name}" for name in PortIn.__struct_encode_fields__)
_NETWORK_FIELDS = "".join(f"&fields={name}" for name in NetworkIn.__struct_encode_fields__)


class Neutron:
    """The network service of one region."""

    def __init__(self, session: CloudSession, page: int) -> None:
        self._session = session
        self._page = page

    def networks(self) -> AsyncIterator[Sequence[NetworkIn]]:
        """Return all networks, page by page."""
        path = f"/v2.0/networks?limit={self._page}&sort_key=id&sort_dir=asc{_NETWORK_FIELDS}"
        return self._session.pages(NETWORK, path, _Networks, lambda answer: answer.networks)

    async def ports(self) -> AsyncIterator[list[Port]]:
        """Return the ports of all servers, page by page."""
        path = f"/v2.0/ports?limit={self._page}&sort_key=id&sort_dir=asc{_PORT_FIELDS}"
        async for page in self._session.pages(NETWORK, path, _Ports, lambda answer: answer.ports):
            yield [port for one in page if (port := one.of_server) is not None]

    async def read(self, mark: Mark) -> Standing:
        """Return what is known of the data plane of a port; nothing known counts as active."""
        path = f"/v2.0/ports/{mark.resource_id}?fields=id&fields=data_plane_status"
        return _standing(await self._session.get(NETWORK, path, _OnePort, urgent=True))

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it. What was unknown before becomes active in the end: Neutron fails where one wants it unknown again."""
        body = {"port": {"data_plane_status": standing.state.upper()}}
        answer = await self._session.put(NETWORK, f"/v2.0/ports/{mark.resource_id}", body, _OnePort)
        if (now := _standing(answer).state) != standing.state:
            raise TransientError(f"Neutron took it, and has it {now} all the same")


def _standing(answer: _OnePort) -> Standing:
    return Standing((answer.port.data_plane_status or HEALTHY[MarkKind.PORT_DOWN]).lower())
