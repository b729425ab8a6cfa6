"""A store on a disk that is slow, fails, and may not say what became of a change.

It keeps what the in-memory store keeps. A commit takes time and shares it with others; it can fail, and then either
nothing of it was kept or all of it (`outcome unknown`). When the process dies, what was being written is there or is not,
and what was only handed in is lost. ``later`` is what its port says: written within 50 ms, and lost in a crash.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from doctor.drivers.stores.memory import MemoryStore
from doctor.model.errors import StoreError
from doctor.model.event import EventBatch
from doctor.model.notification import StoredNotification
from doctor.ports.store import Change, Snapshot
from doctor.testing.simulation.trace import Trace

Work = tuple[Change, "asyncio.Future[None] | None"]
LATER = 0.05


@dataclass
class Weather:
    """How likely what goes wrong is; nothing does once it is `calm`."""

    commit_fails: float = 0.0
    outcome_unknown: float = 0.0
    load_fails: float = 0.0
    read_fails: float = 0.0
    slow: float = 0.0

    def calm(self) -> None:
        """Let nothing go wrong any more."""
        self.commit_fails = self.outcome_unknown = self.load_fails = self.read_fails = self.slow = 0.0


class SimStore(MemoryStore):
    """What is in the dicts of `MemoryStore` is on the disk; what is in ``_gathering`` and ``_writing`` is not."""

    def __init__(self, rng: random.Random, trace: Trace, weather: Weather) -> None:
        super().__init__()
        self._secret = rng.randbytes(32)
        self._rng = rng
        self._trace = trace
        self.weather = weather
        self.journal: list[tuple[int, EventBatch]] = []
        self.maps: list[tuple[int, bytes]] = []
        self.on_kept: Callable[[int, Change], None] = lambda tick, change: None
        self.failures = 0
        self.refused: list[str] = []
        self._is_behind = False
        self._gathering: list[Work] = []
        self._writing: list[Work] = []
        self._timer: asyncio.TimerHandle | None = None

    async def commit(self, change: Change) -> None:
        """Keep the change with its group, or fail with it."""
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._gathering.append((change, future))
        if not self._writing:
            self._begin()
        await future

    def later(self, change: Change) -> None:
        """Keep the change with the next group, within 50 ms."""
        self._gathering.append((change, None))
        if not self._writing and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(LATER, self._begin)

    def die(self) -> None:
        """Be what is on the disk after the process died: what was being written is there or not, the rest is lost.

        What comes behind a failure is not being written but refused.
        """
        writing = [change for change, future in self._writing if future is None or not self._is_behind]
        if writing and self._rng.random() < 0.5:
            self._trace.note("store", "kept before the crash", len(writing))
            for change in writing:
                self._try(change)
        self._writing, self._gathering = [], []
        self._timer = None
        self._is_behind = False

    def _begin(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._writing, self._gathering = self._gathering, []
        if self._writing:
            seconds = self._rng.choice([0.0002, 0.001, 0.004])
            if self._rng.random() < self.weather.slow:
                seconds = self._rng.choice([0.05, 0.5, 3.0])
            self._timer = asyncio.get_running_loop().call_later(seconds, self._finish)

    def _finish(self) -> None:
        self._timer = None
        writing, self._writing = self._writing, []
        awaited = any(future is not None for _, future in writing)
        chance = self._rng.random()
        fails = awaited and not self._is_behind and chance < self.weather.commit_fails
        is_unknown = fails and self._rng.random() < self.weather.outcome_unknown
        again: list[Work] = []
        for change, future in writing:
            error: StoreError | None = None
            if future is None and fails:
                again.append((change, None))
                continue
            if future is not None and self._is_behind:
                error = StoreError("a change before this one was lost")
            elif fails:
                error = StoreError("input/output error")
                if is_unknown:
                    self._try(change)
            else:
                error = self._try(change)
            self._answer(future, error)
        if fails:
            self.failures += 1
            self._is_behind = True
            self._trace.note("store", "fails", "outcome unknown: kept" if is_unknown else "nothing kept")
        self._gathering = again + self._gathering
        if self._gathering:
            self._begin()

    def _answer(self, future: "asyncio.Future[None] | None", error: StoreError | None) -> None:
        if future is None or future.done():
            return
        if error is None:
            future.set_result(None)
        else:
            future.set_exception(error)

    def _try(self, change: Change) -> StoreError | None:
        try:
            self._keep(change)
        except StoreError as error:
            self._trace.note("store", "refuses", str(error))
            self.refused.append(str(error))
            return error
        tick = self._trace.note("store", "keeps", _summary(change))
        self.journal += [(tick, batch) for batch in change.batches]
        if change.resource_map is not None:
            self.maps.append((tick, change.resource_map))
        self.on_kept(tick, change)
        return None

    async def load(self, *, recent_events: int) -> Snapshot:
        """Return what is kept, after all that was handed in before."""
        while self._gathering or self._writing:
            if not self._writing:
                self._begin()
            if self._timer is not None:
                self._timer.cancel()
            self._finish()
        await asyncio.sleep(self._rng.choice([0.0, 0.001, 0.02]))
        if self._rng.random() < self.weather.load_fails:
            self._trace.note("store", "cannot be read")
            raise StoreError("input/output error")
        self._is_behind = False
        return await super().load(recent_events=recent_events)

    async def pending(
        self, subscription_id: str, endpoint_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return what was there when the question was asked, some time later."""
        if self._rng.random() < self.weather.read_fails:
            raise StoreError("input/output error")
        found = await super().pending(subscription_id, endpoint_id, after=after, limit=limit)
        await asyncio.sleep(self._rng.choice([0.0, 0.0005, 0.01]))
        return found


def _summary(change: Change) -> str:
    parts = [
        f"{len(rows)} {name}"
        for name, rows in (
            ("batches", change.batches),
            ("faults", change.faults),
            ("notifications", change.notifications),
            ("deliveries", change.deliveries),
            ("subscriptions", change.subscriptions),
            ("forgotten", change.forget_subscriptions),
            ("policies", change.policies),
        )
        if rows
    ]
    if change.fencing is not None:
        parts += [f"{one.host} is {one.state}" for one in change.fencing.jobs]
    return ", ".join(parts) + (" map" if change.resource_map is not None else "")
