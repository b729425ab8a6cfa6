"""Neutron: networks and the ports of servers; the data plane status of a port, and what its owner wants of it."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from doctor.drivers.controllers.openstack.resources import Port
from doctor.drivers.controllers.openstack.session import NETWORK, CloudSession
from doctor.model.errors import RejectedError, TransientError
from doctor.model.instruction import Action, Command, Progress, Stage
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


class _Switch(msgspec.Struct):
    name: str = ""
    admin_state_up: bool = True
    revision_number: int = 0


class _OneSwitch(msgspec.Struct):
    port: _Switch


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

    async def look(self, command: Command) -> Progress:
        """Return whether a port is as a command wants it; what was not asked for yet is not done."""
        fields = "".join(f"&fields={name}" for name in _Switch.__struct_encode_fields__)
        path = f"/v2.0/ports/{command.resource_id}?fields=id{fields}"
        port = (await self._session.get(NETWORK, path, _OneSwitch, urgent=True)).port
        is_so = all(getattr(port, name) == value for name, value in _wanted(command).items())
        is_done = is_so and command.since is not None
        return Progress(Stage.SUCCEEDED if is_done else Stage.UNTOUCHED, str(port.revision_number))

    async def tell(self, command: Command) -> None:
        """Cut a port off or give it back, or call it otherwise."""
        body = {"port": _wanted(command)}
        await self._session.change(NETWORK, "PUT", f"/v2.0/ports/{command.resource_id}", body)


def _wanted(command: Command) -> dict[str, Any]:
    match command.action:
        case Action.STOP | Action.START:
            return {"admin_state_up": command.action is Action.START}
        case Action.UPDATE:
            return {"name": command.parameters["name"]}
        case _:
            raise RejectedError(f"Neutron cannot {command.action} a port")


def _standing(answer: _OnePort) -> Standing:
    return Standing((answer.port.data_plane_status or HEALTHY[MarkKind.PORT_DOWN]).lower())
