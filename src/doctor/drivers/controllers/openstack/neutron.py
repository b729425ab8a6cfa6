"""Neutron: networks and the ports of servers; the data plane status of a port."""

from collections.abc import AsyncIterator

import msgspec

from doctor.drivers.controllers.openstack.resources import Port
from doctor.drivers.controllers.openstack.session import NETWORK, CloudSession
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

    async def networks(self) -> AsyncIterator[list[NetworkIn]]:
        """Return all networks, page by page."""
        marker = ""
        while True:
            path = f"/v2.0/networks?limit={self._page}&sort_key=id&sort_dir=asc{_NETWORK_FIELDS}{marker}"
            answer = await self._session.get(NETWORK, path, _Networks)
            if not answer.networks:
                return
            yield answer.networks
            marker = f"&marker={answer.networks[-1].id}"

    async def ports(self) -> AsyncIterator[list[Port]]:
        """Return the ports of all servers, page by page."""
        marker = ""
        while True:
            path = f"/v2.0/ports?limit={self._page}&sort_key=id&sort_dir=asc{_PORT_FIELDS}{marker}"
            answer = await self._session.get(NETWORK, path, _Ports)
            if not answer.ports:
                return
            yield [port for one in answer.ports if (port := one.of_server) is not None]
            marker = f"&marker={answer.ports[-1].id}"

    async def read(self, mark: Mark) -> Standing:
        """Return what is known of the data plane of a port; nothing known counts as active."""
        path = f"/v2.0/ports/{mark.resource_id}?fields=id&fields=data_plane_status"
        answer = await self._session.get(NETWORK, path, _OnePort, urgent=True)
        return Standing((answer.port.data_plane_status or HEALTHY[MarkKind.PORT_DOWN]).lower())

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it. What was unknown before becomes active in the end: Neutron fails where one wants it unknown again."""
        body = {"port": {"data_plane_status": standing.state.upper()}}
        await self._session.change(NETWORK, "PUT", f"/v2.0/ports/{mark.resource_id}", body)
