"""Nova's records of machines that are moved, whoever has asked for it: what is still on its way."""

import msgspec

from doctor.drivers.controllers.openstack.session import COMPUTE, CloudSession

VERSION = "2.59"  # the newest first, and a page at a time
# States of which nothing more is to come. `finished` waits for a word of the owner, `done` for the old host to start anew,
# and for that Nova itself keeps it down.
_ENDED = frozenset(("done", "completed", "finished", "confirmed", "reverted", "error", "failed", "cancelled"))


class Migration(msgspec.Struct):
    """A machine on its way; where it goes may not have been chosen yet."""

    status: str
    instance_uuid: str = ""
    migration_type: str | None = None
    source_compute: str | None = None
    dest_compute: str | None = None

    def __str__(self) -> str:
        """Say it to an administrator."""
        goal = self.dest_compute or "a host not chosen yet"
        return f"{self.migration_type or 'migration'} of {self.instance_uuid} from {self.source_compute} to {goal} ({self.status})"


class _Migrations(msgspec.Struct):
    migrations: list[Migration]


async def open_of(session: CloudSession, server: str) -> list[Migration]:
    """Return what is under way for a server; raises as `CloudSession.get` does."""
    return await _open(session, f"instance_uuid={server}")


async def open_evacuations_from(session: CloudSession, host: str) -> list[Migration]:
    """Return which evacuations from a host are under way; raises as `CloudSession.get` does."""
    return await _open(session, f"source_compute={host}&migration_type=evacuation")


async def _open(session: CloudSession, query: str) -> list[Migration]:
    path = f"/os-migrations?{query}"
    answer = await session.get(COMPUTE, path, _Migrations, version=VERSION, urgent=True)
    return [one for one in answer.migrations if one.status not in _ENDED]
