"""Cinder: the names, owners and states of volumes. A cloud may have none."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import msgspec

from doctor.drivers.controllers.openstack.session import VOLUME, CloudSession
from doctor.model.errors import RejectedError
from doctor.model.instruction import Action, Command, Progress, Stage
from doctor.model.marking import Mark, MarkKind, Standing

BROKEN = "error"  # how the states begin in which a volume cannot be used: error, error_attaching ...
NOTHING = "-"


class VolumeIn(msgspec.Struct, rename={"project": "os-vol-tenant-attr:tenant_id"}):
    """A volume."""

    id: str
    name: str | None = None
    status: str | None = None
    project: str = ""
    attachments: list[Any] = []


class _Volumes(msgspec.Struct):
    volumes: list[VolumeIn]


class _OneVolume(msgspec.Struct):
    volume: VolumeIn


class Cinder:
    """The block storage service of one region."""

    def __init__(self, session: CloudSession, page: int) -> None:
        self._session = session
        self._page = page

    def volumes(self) -> AsyncIterator[Sequence[VolumeIn]]:
        """Return all volumes, page by page."""
        path = f"/volumes/detail?all_tenants=1&sort=id:asc&limit={self._page}"
        return self._session.pages(VOLUME, path, _Volumes, lambda answer: answer.volumes)

    async def read(self, mark: Mark) -> Standing:
        """Return the state of a volume."""
        return Standing((await self._volume(mark.resource_id)).status or "unknown")

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it."""
        body = {"os-reset_status": {"status": standing.state}}
        await self._session.act(VOLUME, f"/volumes/{mark.resource_id}/action", body)

    async def look(self, command: Command) -> Progress:
        """Return whether a volume is as a command wants it; what was not asked for yet is not done."""
        volume = await self._volume(command.resource_id)
        is_done = command.since is not None and _is_so(volume, command)
        return Progress(Stage.SUCCEEDED if is_done else Stage.UNTOUCHED, volume.status or NOTHING)

    async def tell(self, command: Command) -> None:
        """Put a volume that is in error into service again, or call it otherwise."""
        volume = await self._volume(command.resource_id)
        if _is_so(volume, command):
            return
        if command.action is Action.UPDATE:
            body = {"volume": {"name": command.parameters["name"]}}
            await self._session.change(VOLUME, "PUT", f"/volumes/{volume.id}", body)
        else:
            status = "in-use" if volume.attachments else "available"
            await self.write(Mark(MarkKind.VOLUME_ERROR, volume.id), Standing(status))

    async def _volume(self, volume_id: str) -> VolumeIn:
        return (await self._session.get(VOLUME, f"/volumes/{volume_id}", _OneVolume, urgent=True)).volume


def _is_so(volume: VolumeIn, command: Command) -> bool:
    match command.action:
        case Action.START:
            return not (volume.status or "").startswith(BROKEN)
        case Action.UPDATE:
            return bool(volume.name == command.parameters["name"])
        case _:
            raise RejectedError(f"Cinder cannot {command.action} a volume")
