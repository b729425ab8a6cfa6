"""Keep state in one SQLite file: the store for a Doctor on one machine.

Writes go through one thread that commits in groups (`sqlite_writer`); reads have threads and connections of their own
and wait for nobody. What was acknowledged is on the disk: ``synchronous = FULL``, one fsync per group.
"""

import asyncio
import sqlite3
import threading
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from pathlib import Path
from typing import Concatenate, ParamSpec, TypeVar

import msgspec
import structlog

from doctor.drivers.stores import sqlite_queries as queries
from doctor.drivers.stores.sqlite_file import (
    Lock,
    connect_reader,
    migrations,
    open_database,
    unusable,
)
from doctor.drivers.stores.sqlite_pruning import START, Place, finders
from doctor.drivers.stores.sqlite_statements import Step, micros, steps_of
from doctor.drivers.stores.sqlite_writer import Work, Writer
from doctor.model.ageing import Limit, all_of
from doctor.model.alarm import AlarmedFault
from doctor.model.checkpoint import Timeline
from doctor.model.errors import StoreError, UnreadableError
from doctor.model.event import EventBatch
from doctor.model.fault import Severity
from doctor.model.fence_job import FenceDecision
from doctor.model.history import FaultHistory
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.ports.store import Change, Outgoing, Snapshot, StoredPolicy

log = structlog.get_logger()

P = ParamSpec("P")
T = TypeVar("T")

LATER = 0.05
READERS = 2


class SqliteStore:
    """The store in a file; see `doctor.ports.store.Store` for what is promised.

    The file is opened by `load`, or made. All changes of one turn of the event loop are handed to the writer together:
    it is woken once for all of them. A change that contradicts what is kept (a sequence used twice ...) fails alone.
    """

    def __init__(self, path: Path, *, scripts: Sequence[str] | None = None) -> None:
        """Take the path of the database; ``scripts`` are the migrations, if not Doctor's own."""
        self._path = path
        self._scripts = scripts
        self._file: OpenFile | None = None
        self._gathered: list[Work] = []
        self._hand_over_at: asyncio.Handle | None = None
        self._is_hurried = False

    @property
    def groups(self) -> int:
        """Return how many groups were written since the file was opened: far fewer than changes under load."""
        return self._opened.writer.groups

    @property
    def _opened(self) -> "OpenFile":
        if self._file is None:
            raise StoreError("the store is closed")
        return self._file

    async def load(self, *, recent_events: int) -> Snapshot:
        """Return the state to start from.

        Raises:
            PermanentError: another Doctor uses the file, or it cannot be used; the message says what to do.
        """
        is_opening = self._file is None
        if self._file is None:
            # Some milliseconds, once, before there is anything to do beside it: no need for a thread.
            self._file = OpenFile(self._path, migrations() if self._scripts is None else self._scripts)
        else:
            await self._begin_anew()
        try:
            return await self._read(queries.load, recent_events)
        except StoreError as error:
            if not is_opening:
                raise
            await self.close()
            raise unusable(self._path, error.__cause__ or error) from error

    async def _read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        return await self._opened.readers.read(query, *args, **kwargs)

    async def commit(self, change: Change) -> None:
        """Make the change durable. Who stops waiting does not take it back."""
        await self._commit(steps_of(change))

    async def _begin_anew(self) -> None:
        """Have everything written or refused that was handed in so far, and go on after a failure."""
        await self._commit([], anew=True)

    async def _commit(self, steps: list[Step], *, anew: bool = False) -> None:
        _ = self._opened
        loop = asyncio.get_running_loop()
        future = loop.create_future()
        self._gathered.append(Work(steps, future, anew=anew))
        if not self._is_hurried:
            self._is_hurried = True
            if self._hand_over_at is not None:
                self._hand_over_at.cancel()
            self._hand_over_at = loop.call_soon(self._hand_over)
        await future

    def later(self, change: Change) -> None:
        """Keep the change with the next commit, or within 50 ms."""
        _ = self._opened
        try:
            self._gathered.append(Work(steps_of(change)))
        except StoreError as error:
            log.error("store.change_dropped", error=str(error))
            return
        if self._hand_over_at is None:
            self._hand_over_at = asyncio.get_running_loop().call_later(LATER, self._hand_over)

    def _hand_over(self) -> None:
        self._hand_over_at = None
        self._is_hurried = False
        if self._gathered:
            self._opened.writer.put(self._gathered)
            self._gathered = []

    async def pending(
        self, subscription_id: str, endpoint_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return undelivered notifications of an endpoint."""
        return await self._read(queries.pending, subscription_id, endpoint_id, after, limit)

    async def notifications(
        self, subscription_id: str, *, after: int, limit: int
    ) -> Sequence[StoredNotification]:
        """Return notifications of a subscription."""
        return await self._read(queries.notifications, subscription_id, after, limit)

    async def notification(self, notification_id: str) -> StoredNotification | None:
        """Return one notification, or None."""
        return await self._read(queries.notification, notification_id)

    async def deliveries(
        self, subscription_id: str, *, after: int, limit: int, state: DeliveryState | None = None
    ) -> Sequence[Delivery]:
        """Return how notifications ended; those of one sequence are never torn apart by the limit."""
        return await self._read(queries.deliveries, subscription_id, after, limit, state)

    async def closed_faults(
        self, *, before: tuple[datetime, str] | None, limit: int
    ) -> Sequence[AlarmedFault]:
        """Return cleared faults, the last cleared first."""
        return await self._read(queries.closed_faults, before, limit)

    async def fault_of_alarm(self, alarm_id: str) -> AlarmedFault | None:
        """Return the fault that this cleared alarm belonged to, or None."""
        return await self._read(queries.fault_of_alarm, alarm_id)

    async def fault_history(self, fault_key: str) -> FaultHistory:
        """Return the past of a fault."""
        return await self._read(queries.fault_history, fault_key)

    async def kept_faults(self, fault_keys: Sequence[str]) -> set[str]:
        """Return which of these faults are kept."""
        return await self._read(queries.kept_faults, fault_keys)

    async def outgoing(self, notification_ids: Sequence[str], *, naming: str) -> Sequence[Outgoing]:
        """Return notifications that name something, and how each ended."""
        return await self._read(queries.outgoing, notification_ids, naming)

    async def timelines(self, *, before: str | None, limit: int) -> Sequence[Timeline]:
        """Return timelines, newest fault first."""
        return await self._read(queries.timelines, before, limit)

    async def timeline(self, fault_id: str) -> Timeline | None:
        """Return the timeline of one fault, or None."""
        return await self._read(queries.timeline, fault_id)

    async def batches(self, *, since: datetime, after: int, limit: int) -> Sequence[tuple[int, EventBatch]]:
        """Return a page of the journal."""
        return await self._read(queries.batches, since, after, limit)

    async def fence_decisions(
        self, *, host: str | None = None, before: int | None = None, limit: int = 100
    ) -> Sequence[tuple[int, FenceDecision]]:
        """Return a page of the decisions on fencing."""
        return await self._read(queries.fence_decisions, host, before, limit)

    async def policies(self, *, before: int | None = None, limit: int = 1000) -> Sequence[StoredPolicy]:
        """Return policies that were applied, newest first."""
        return await self._read(queries.policies, before, limit)

    async def prune(self, *, before: datetime, faults: Mapping[Severity, Limit] | None = None) -> int:
        """Forget what is older, piece by piece between the groups of others."""
        limit = micros(before)
        forgotten = 0
        for find in finders(all_of(before) if faults is None else faults):
            place: Place | None = START
            while place is not None:
                findings = await self._read(find, limit, place)
                for piece in findings.pieces:
                    await self._commit(piece)
                forgotten += findings.count
                place = findings.last
        return forgotten

    async def check(self) -> Sequence[str]:
        """Read the whole file and return what is wrong with it; takes seconds per gigabyte."""
        return await self._read(queries.damage)

    async def close(self) -> None:
        """Write what is waiting and let go of the files; `load` opens them again."""
        if self._file is None:
            return
        if self._hand_over_at is not None:
            self._hand_over_at.cancel()
        self._hand_over()
        file, self._file = self._file, None
        await asyncio.get_running_loop().run_in_executor(None, file.close)


class OpenFile:
    """The locked file with the threads that work on it."""

    def __init__(self, path: Path, scripts: Sequence[str]) -> None:
        try:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            self._lock = Lock(path.with_name(path.name + ".lock"))
        except OSError as error:
            raise unusable(path, error) from error
        try:
            self.writer = Writer(open_database(path, scripts), path)
        except BaseException:
            self._lock.release()
            raise
        self.readers = Readers(path)

    def close(self) -> None:
        """End the threads, the writer when it has written everything. Blocks."""
        self.readers.stop()
        self.writer.stop()
        self._lock.release()


class Readers:
    """A few threads that read, each with a connection of its own."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connections: list[sqlite3.Connection] = []
        self._own = threading.local()
        self._threads = ThreadPoolExecutor(READERS, thread_name_prefix="doctor-store-reader")

    async def read(
        self, query: Callable[Concatenate[sqlite3.Connection, P], T], *args: P.args, **kwargs: P.kwargs
    ) -> T:
        """Run the query in one of the threads."""

        def run() -> T:
            try:
                return query(self._connection(), *args, **kwargs)
            except (sqlite3.Error, msgspec.MsgspecError) as error:
                raise UnreadableError(f"the store cannot read: {error}") from error

        return await asyncio.get_running_loop().run_in_executor(self._threads, run)

    def _connection(self) -> sqlite3.Connection:
        connection: sqlite3.Connection | None = getattr(self._own, "connection", None)
        if connection is None:
            connection = self._own.connection = connect_reader(self._path)
            self._connections.append(connection)
        return connection

    def stop(self) -> None:
        """End the threads and close their connections. Blocks."""
        self._threads.shutdown()
        for connection in self._connections:
            connection.close()
