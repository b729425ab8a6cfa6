"""A store that takes its time and fails when it is told to, as a full disk does."""

import asyncio
from collections.abc import Sequence

from doctor.drivers.stores.memory import MemoryStore
from doctor.model.errors import StoreError
from doctor.model.notification import StoredNotification
from doctor.ports.store import Change, Snapshot


class FallibleStore(MemoryStore):
    """Commits in groups, ``seconds`` after they were handed in; a read takes as long.

    After a failed commit every later one fails until `load` was called: what was decided meanwhile builds on what was
    never kept. ``breaks`` is how many groups (or loads) fail from now on.
    """

    def __init__(self, *, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.breaks = 0
        self.loads_break = 0
        self.reads_break = 0
        self.commits_refused = 0
        self._is_behind = False
        self._group: list[tuple[Change, asyncio.Future[None] | None]] = []

    async def commit(self, change: Change) -> None:
        """Keep the change with its group, or fail with it."""
        loop = asyncio.get_running_loop()
        future: asyncio.Future[None] = loop.create_future()
        if not self._group:
            loop.call_later(self.seconds, self._write)
        self._group.append((change, future))
        await future

    def later(self, change: Change) -> None:
        """Keep the change with the group that is waiting, or now."""
        if self._group:
            self._group.append((change, None))
        else:
            super().later(change)

    def _write(self) -> None:
        group, self._group = self._group, []
        if not group:
            return
        if self.breaks:
            self.breaks -= 1
            self._is_behind = True
        for change, future in group:
            if self._is_behind:
                self.commits_refused += 1
                if future is not None and not future.done():
                    future.set_exception(StoreError("no space left on device"))
                continue
            self._keep(change)
            if future is not None and not future.done():
                future.set_result(None)

    async def load(self, *, recent_events: int) -> Snapshot:
        """Return what is kept, after all that was handed in before."""
        self._write()
        await asyncio.sleep(self.seconds)
        if self.loads_break:
            self.loads_break -= 1
            raise StoreError("input/output error")
        self._is_behind = False
        return await super().load(recent_events=recent_events)

    async def pending(
        self, subscription_id: str, endpoint_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return what was there when the question was asked, some time later."""
        if self.reads_break:
            self.reads_break -= 1
            raise StoreError("input/output error")
        found = await super().pending(subscription_id, endpoint_id, after=after, limit=limit)
        await asyncio.sleep(self.seconds)
        return found
