"""A store that takes its time and fails when it is told to, as a full disk does."""

import asyncio
from collections.abc import Sequence

from doctor.drivers.stores.memory import MemoryStore
from doctor.model.errors import StoreError
from doctor.model.notification import StoredNotification
from doctor.ports.store import Change, Snapshot

Work = tuple[Change, asyncio.Future[None] | None]


class FallibleStore(MemoryStore):
    """Commits in groups: while one is being written, which takes ``seconds``, the next gathers. A read takes as long.

    After a failed commit every later one fails until `load` was called: what was decided meanwhile builds on what was
    never kept. ``breaks``, ``loads_break`` and ``reads_break`` are how many groups, loads and reads fail from now on;
    ``unsure`` is how many groups are kept and answered with an error, and ``refused`` counts the changes that were not
    kept.
    """

    def __init__(self, *, seconds: float = 0.0) -> None:
        super().__init__()
        self.seconds = seconds
        self.breaks = self.loads_break = self.reads_break = 0
        self.refused = self.unsure = 0
        self._is_behind = False
        self._gathering: list[Work] = []
        self._writing: list[Work] = []
        self._end: asyncio.TimerHandle | None = None

    async def commit(self, change: Change) -> None:
        """Keep the change with its group, or fail with it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathering.append((change, future))
        if not self._writing:
            self._begin()
        await future

    def later(self, change: Change) -> None:
        """Keep the change with the next group, or now."""
        if self._writing:
            self._gathering.append((change, None))
        else:
            super().later(change)

    def _begin(self) -> None:
        self._writing, self._gathering = self._gathering, []
        if self._writing:
            self._end = asyncio.get_running_loop().call_later(self.seconds, self._finish)

    def _finish(self) -> None:
        if self.breaks:
            self.breaks -= 1
            self._is_behind = True
        is_kept = not self._is_behind
        if self.unsure and is_kept:
            self.unsure -= 1
            self._is_behind = True
        for change, future in self._writing:
            if not is_kept:
                self.refused += 1
            else:
                self._keep(change)
            if future is not None and not future.done():
                if self._is_behind:
                    future.set_exception(StoreError("no space left on device"))
                else:
                    future.set_result(None)
        self._begin()

    async def load(self, *, recent_events: int) -> Snapshot:
        """Return what is kept, after all that was handed in before."""
        while self._writing and self._end is not None:
            self._end.cancel()
            self._finish()
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
