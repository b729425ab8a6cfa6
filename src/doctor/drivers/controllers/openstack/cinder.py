"""Cinder: the names, owners and states of volumes. A cloud may have none."""

from collections.abc import AsyncIterator, Sequence

import msgspec

from doctor.drivers.controllers.openstack.session import VOLUME, CloudSession
from doctor.model.marking import Mark, Standing


class VolumeIn(msgspec.Struct, rename={"project": "os-vol-tenant-attr:tenant_id"}):
    """A volume."""

    id: str
    name: str | None = None
    status: str | None = None
    project: str = ""


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
        answer = await self._session.get(VOLUME, f"/volumes/{mark.resource_id}", _OneVolume, urgent=True)
        return Standing(answer.volume.status or "unknown")

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it."""
        body = {"os-reset_status": {"status": standing.state}}
        await self._session.act(VOLUME, f"/volumes/{mark.resource_id}/action", body)
