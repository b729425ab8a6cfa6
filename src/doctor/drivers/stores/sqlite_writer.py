"""The one thread that writes: it takes whatever has gathered, commits it as one group, and reports.

An fsync costs as much as hundreds of rows, so the speed of the store is the size of its groups. Nothing waits for a
group to grow: while one is being committed the next gathers by itself.
"""

import asyncio
import os
import sqlite3
import threading
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue

import structlog

from doctor.drivers.stores.sqlite_file import PAGE_SIZE, set_up_writer
from doctor.drivers.stores.sqlite_statements import Step, execute, in_order, run
from doctor.model.errors import StoreError

log = structlog.get_logger()

MEGABYTE = 1 << 20
CHECKPOINT_AFTER = 4 * MEGABYTE
ROOM = 16 * MEGABYTE
NEEDED_TO_MAKE_ROOM = 20 * ROOM
PAGES_PER_COMMIT = 3  # the least that a commit writes: a row, its index, now and then a page above

RETRY_AFTER = 1.0
KEPT_FOR_RETRY = 10_000


class Work:
    """The steps of one change, and who waits for it; nobody does for what may be written later.

    ``anew``: what comes behind was decided on what is kept, and no longer on a change that failed.
    """

    __slots__ = ("anew", "future", "steps")

    def __init__(
        self, steps: list[Step], future: asyncio.Future[None] | None = None, *, anew: bool = False
    ) -> None:
        self.steps = steps
        self.future = future
        self.anew = anew


Failures = dict[Work, StoreError]


def is_of_medium(error: Exception) -> bool:
    """Tell whether it is the disk or the memory that fails; all other errors are the change's own."""
    return isinstance(error, sqlite3.OperationalError | MemoryError) or type(error) is sqlite3.DatabaseError


def resolve(works: Sequence[Work], failures: Failures) -> None:
    """Tell those who wait how it went; runs in their event loop, once per group."""
    for work in works:
        if work.future is not None and not work.future.done():
            if error := failures.get(work):
                work.future.set_exception(error)
            else:
                work.future.set_result(None)


class Writer:
    """Owns the connection that writes, and closes it in the end.

    A group that fails because of one bad change is written again change by change, so that only the bad one fails.
    If the disk is full or broken, all of it fails and nothing of it is kept, and so does all that comes behind until
    somebody reads anew: it may have been decided on what was lost, and an alarm must not be cleared that was never
    raised. What nobody waits for is then tried again for as long as there is memory to spare for it.
    """

    def __init__(self, connection: sqlite3.Connection, path: Path) -> None:
        self.groups = 0
        self._connection = connection
        self._wal = path.with_name(path.name + "-wal")
        self._checkpointer = Checkpointer(path)
        self._queue: SimpleQueue[list[Work] | None] = SimpleQueue()
        self._again: list[Work] = []
        self._has_room = False
        self._is_failing = False
        self._refusing: str | None = None
        self._thread = threading.Thread(target=self._run, name="doctor-store-writer", daemon=True)
        self._thread.start()

    def put(self, works: list[Work]) -> None:
        """Have these written, in this order, after all that were put before."""
        self._queue.put(works)

    def stop(self) -> None:
        """Write what is waiting, then end. Blocks."""
        self._queue.put(None)
        self._thread.join()
        self._checkpointer.stop()
        self._connection.close()

    def _run(self) -> None:
        while True:
            group, is_last = self._next_group()
            if group:
                try:
                    self._write(group)
                except Exception as error:  # a defect of ours: nobody shall wait for ever
                    self._roll_back()
                    self._report(group, dict.fromkeys(group, StoreError(f"the store is broken: {error!r}")))
            if is_last:
                break
        if self._again:
            log.error("store.changes_lost", changes=len(self._again))

    def _next_group(self) -> tuple[list[Work], bool]:
        """Wait for work and take all there is; say whether it is the last."""
        group, self._again = self._again, []
        try:
            idle = RETRY_AFTER if group or not self._has_room else None
            works = self._queue.get(timeout=idle)
            while works is not None:
                group += works
                works = self._queue.get_nowait()
        except Empty:
            if not group:
                self._make_room()
            return group, False
        return group, True

    def _admitted(self, group: list[Work]) -> list[Work]:
        """Refuse what comes behind a failure, and return the rest."""
        admitted: list[Work] = []
        refused: list[Work] = []
        for work in group:
            if work.anew:
                self._refusing = None
            (refused if self._refusing is not None and work.future is not None else admitted).append(work)
        if refused:
            reason = f"a change before this one was lost: {self._refusing}"
            self._report(refused, {work: StoreError(reason) for work in refused})
        return admitted

    def _write(self, group: list[Work]) -> None:
        group = self._admitted(group)
        failures: Failures = {}
        size = 0
        try:
            size = execute(self._connection, in_order([work.steps for work in group]))
        except Exception as error:
            self._roll_back()
            if is_of_medium(error):
                self._fail(group, error, failures)
            else:
                size = self._write_singly(group, failures)
        if self._is_failing and size and not failures:  # writing nothing proves nothing
            self._is_failing = False
            log.info("store.works_again")
        self.groups += 1
        self._report(group, failures)
        self._checkpointer.note(PAGES_PER_COMMIT * PAGE_SIZE + size)
        if self._checkpointer.is_behind:
            self._checkpointer.catch_up(self._connection)

    def _write_singly(self, group: list[Work], failures: Failures) -> int:
        """Write each change behind a savepoint of its own, still with one commit for all."""
        size = 0
        try:
            self._connection.execute("BEGIN IMMEDIATE")
            for work in group:
                self._connection.execute("SAVEPOINT one")
                try:
                    size += run(self._connection, work.steps)
                except Exception as error:
                    if is_of_medium(error):
                        raise
                    self._connection.execute("ROLLBACK TO one")
                    self._refuse(work, error, failures)
                self._connection.execute("RELEASE one")
            self._connection.execute("COMMIT")
        except Exception as error:
            self._roll_back()
            self._fail([work for work in group if work not in failures], error, failures)
        return size

    def _roll_back(self) -> None:
        if self._connection.in_transaction:
            with suppress(sqlite3.Error):
                self._connection.execute("ROLLBACK")

    def _refuse(self, work: Work, error: Exception, failures: Failures) -> None:
        failures[work] = StoreError(f"this change contradicts what is kept: {error}")
        failures[work].__cause__ = error
        if work.future is None:
            log.error("store.change_dropped", error=str(error))

    def _fail(self, group: list[Work], error: Exception, failures: Failures) -> None:
        if not self._is_failing:
            self._is_failing = True
            log.error("store.fails", error=str(error), changes=len(group))
        for work in group:
            failures[work] = StoreError(f"the store cannot write: {error}")
            failures[work].__cause__ = error
        if any(work.future is not None for work in group):
            self._refusing = str(error)
        self._again = [work for work in group if work.future is None]
        if len(self._again) > KEPT_FOR_RETRY:
            log.error("store.changes_lost", changes=len(self._again) - KEPT_FOR_RETRY)
            del self._again[:-KEPT_FOR_RETRY]
        self._checkpointer.start()  # the WAL may be full of what could be in the database

    def _report(self, group: list[Work], failures: Failures) -> None:
        waiting = next((work.future for work in group if work.future is not None), None)
        if waiting is not None:
            with suppress(RuntimeError):  # the event loop is closed: nobody waits any more
                waiting.get_loop().call_soon_threadsafe(resolve, group, failures)

    def _make_room(self) -> None:
        """Let the WAL grow while there is nothing to do: writing over old content syncs in half the time or less.

        What fills it is rolled back, so that nothing but its size remains. Work that comes meanwhile goes first.
        """
        self._has_room = True
        with suppress(OSError, sqlite3.Error):
            folder = os.statvfs(self._wal.parent)
            if folder.f_bavail * folder.f_frsize < NEEDED_TO_MAKE_ROOM or self._wal.stat().st_size >= ROOM:
                return
            self._has_room = self._fill()
            if self._has_room:
                with self._wal.open("rb") as wal:
                    os.fsync(wal.fileno())

    def _fill(self) -> bool:
        execute = self._connection.execute
        (cache_size,) = execute("PRAGMA cache_size").fetchone()
        execute("PRAGMA cache_size = 10")  # so that it goes to the file and not to memory
        execute("BEGIN IMMEDIATE")
        try:
            execute("CREATE TABLE room (content BLOB)")
            for _ in range(ROOM // MEGABYTE):
                if not self._queue.empty():
                    return False
                execute("INSERT INTO room VALUES (zeroblob(?))", (MEGABYTE,))
            return True
        finally:
            self._roll_back()
            execute(f"PRAGMA cache_size = {cache_size}")


class Checkpointer:
    """Moves what was committed from the WAL into the database, in a thread of its own so that no commit waits for it.

    The WAL starts over only when all of it was moved at a moment without commits: hence the writer itself moves the
    rest, which is what was committed meanwhile and little.
    """

    def __init__(self, path: Path) -> None:
        self.is_behind = False
        self._written = 0
        self._is_due = threading.Event()
        self._is_stopping = False
        self._connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
        set_up_writer(self._connection)
        self._thread = threading.Thread(target=self._run, name="doctor-store-checkpointer", daemon=True)
        self._thread.start()

    def note(self, size: int) -> None:
        """Count what was written to the WAL."""
        self._written += size
        if self._written >= CHECKPOINT_AFTER:
            self.start()

    def start(self) -> None:
        """Begin to move."""
        self._written = 0
        self._is_due.set()

    def catch_up(self, connection: sqlite3.Connection) -> None:
        """Move the rest; for the thread of the writer."""
        self.is_behind = False
        _checkpoint(connection)

    def stop(self) -> None:
        """End the thread. Blocks."""
        self._is_stopping = True
        self._is_due.set()
        self._thread.join()
        self._connection.close()

    def _run(self) -> None:
        while self._is_due.wait() and not self._is_stopping:
            self._is_due.clear()
            _checkpoint(self._connection)
            self.is_behind = True


def _checkpoint(connection: sqlite3.Connection) -> None:
    """Move what can be moved without making anybody wait."""
    with suppress(sqlite3.Error):  # the disk is full: it is the commits that report it
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchone()
