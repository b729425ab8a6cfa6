# ruff: noqa: ASYNC240 - the files of a test are small
"""The SQLite store on real disks: killed, filled up, opened twice, damaged, and brought up from an older version."""

import asyncio
import os
import random
import signal
import sqlite3
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing
from itertools import count
from pathlib import Path

import pytest
from msgspec import structs

from doctor.drivers.stores.sqlite import SqliteStore
from doctor.drivers.stores.sqlite_file import Lock, migrations, open_database
from doctor.model.errors import PermanentError, StoreError, UnreadableError
from doctor.ports.store import Change, Snapshot
from doctor.testing.contracts.store import (
    OWNER,
    batch,
    delivery,
    notification,
    record,
    timeline,
)

KILLS = 200 if os.environ.get("DOCTOR_SOAK") else 10
MEGABYTE = 1 << 20

# Commits from eight sides and prints the number of each change as soon as it is acknowledged.
WRITER = """
import asyncio, os, sys
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from doctor.drivers.stores.sqlite import SqliteStore
from doctor.model.event import EventBatch
from doctor.model.notification import StoredNotification
from doctor.ports.store import Change

NOW = datetime.now(UTC)

def change(number):
    event = EventBatch(received_time=NOW, source="ping", event_ids=number.to_bytes(16), body=b"{}")
    notification = StoredNotification(
        notification_id=str(number), subscription_id="s", sequence=number, fault_key="f", created=NOW,
        body=b"x" * (60_000 if number % 50 == 0 else 300),
    )
    return Change(batches=[event], notifications=[notification])

async def write(store, numbers):
    for number in numbers:
        await store.commit(change(number))
        os.write(1, b"%d\\n" % number)

async def main():
    store = SqliteStore(Path(sys.argv[1]))
    await store.load(recent_events=0)
    numbers = count(int(sys.argv[2]))
    await asyncio.gather(*(write(store, numbers) for _ in range(8)))

asyncio.run(main())
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "data" / "doctor.db"


@asynccontextmanager
async def opened(path: Path, scripts: list[str] | None = None) -> AsyncIterator[SqliteStore]:
    store = SqliteStore(path, scripts=scripts)
    await store.load(recent_events=0)
    try:
        yield store
    finally:
        await store.close()


@pytest.fixture
async def store(path: Path) -> AsyncIterator[SqliteStore]:
    async with opened(path) as store:
        yield store


def numbers_in(snapshot: Snapshot) -> set[int]:
    return {int.from_bytes(snapshot.event_ids[i : i + 16]) for i in range(0, len(snapshot.event_ids), 16)}


async def kept(store: SqliteStore) -> set[int]:
    return numbers_in(await store.load(recent_events=1_000_000))


# --- durability ---


async def test_what_was_acknowledged_survives_kill_9(path: Path) -> None:
    acknowledged: set[int] = set()
    first = 1
    for _ in range(KILLS):
        acknowledged |= await asyncio.to_thread(write_until_killed, path, first)
        async with opened(path) as store:
            found = await kept(store)
            assert acknowledged <= found
            told = await store.notifications("s", after=0, limit=1_000_000)
            assert {one.sequence for one in told} == found, "half of a change was kept"
        first = max(found) + 1
    async with opened(path) as store:
        assert await store.check() == []
    assert len(acknowledged) > KILLS


def write_until_killed(path: Path, first: int) -> set[int]:
    process = subprocess.Popen([sys.executable, "-c", WRITER, str(path), str(first)], stdout=subprocess.PIPE)
    assert process.stdout is not None
    with process.stdout as output:
        lines = [output.readline()]
        pause = random.uniform(0.0, 0.15)
        try:
            process.wait(pause)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        lines += output.readlines()
    assert process.wait() == -signal.SIGKILL
    # The last line may have been cut off in the middle of a number.
    return {int(line) for line in lines if line.endswith(b"\n")}


def test_every_commit_is_synced(path: Path) -> None:
    """NORMAL would lose acknowledged changes in a power cut, OFF would lose the database."""
    path.parent.mkdir()
    connection = open_database(path, migrations())
    (synchronous,) = connection.execute("PRAGMA synchronous").fetchone()
    (journal,) = connection.execute("PRAGMA journal_mode").fetchone()
    (foreign_keys,) = connection.execute("PRAGMA foreign_keys").fetchone()
    connection.close()
    assert (synchronous, journal, foreign_keys) == (2, "wal", 1)


@pytest.mark.needs("root")
async def test_a_full_disk_refuses_and_recovers(small_disk: Path) -> None:
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_200_000))  # more than the log has that the database has not
    async with opened(small_disk / "doctor.db") as store:
        acknowledged = set()
        with pytest.raises(StoreError, match="full"):
            for number in range(1, 1000):
                await store.commit(change_of_20_kb(number))
                acknowledged.add(number)
        store.later(Change(deliveries=[delivery(1)], timelines=[timeline("f-1")]))
        with pytest.raises(StoreError):
            await store.commit(change_of_20_kb(2000))
        with pytest.raises(StoreError):
            await store.commit(Change(faults=[record("large", alarms=1000)], batches=[batch(2001)]))

        ballast.unlink()
        with pytest.raises(StoreError, match="before this one was lost"):
            await store.commit(change_of_20_kb(2002))  # may have been decided on what was lost
        assert await kept(store) == acknowledged
        assert await sequences(store) == acknowledged
        assert (await store.load(recent_events=0)).faults == []
        await insist(store, change_of_20_kb(3000))
        assert await store.deliveries(OWNER, after=0, limit=9) == [delivery(1)], "what could wait was lost"
        assert await store.timeline("f-1") == timeline("f-1")
        acknowledged.add(3000)
    async with opened(small_disk / "doctor.db") as store:
        assert await kept(store) == acknowledged
        assert await sequences(store) == acknowledged
        assert await store.check() == []


async def insist(store: SqliteStore, change: Change) -> None:
    """Commit as the flows do: after a failure the state is read anew, and the Monitor sends again."""
    for _ in range(50):
        try:
            await store.commit(change)
        except StoreError:  # the log may still be on its way into the database, which takes space too
            await asyncio.sleep(0.1)
            await store.load(recent_events=0)
        else:
            return
    raise AssertionError("the store did not recover")


@pytest.mark.needs("root")
async def test_what_could_wait_is_written_when_there_is_space(small_disk: Path) -> None:
    async with opened(small_disk / "doctor.db") as store:
        with pytest.raises(StoreError):
            for number in count(1):
                await store.commit(change_of_20_kb(number))
        store.later(Change(timelines=[timeline("f-1" + "x" * 100_000)]))
        await asyncio.sleep(0.2)
        await asyncio.to_thread(enlarge, small_disk)
        await until_there(store, "f-1" + "x" * 100_000)


async def until_there(store: SqliteStore, fault_id: str) -> None:
    async with asyncio.timeout(5.0):
        while await store.timeline(fault_id) is None:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.02)


def change_of_20_kb(number: int) -> Change:
    return Change(batches=[batch(number)], notifications=[notification(number, body=b"x" * 20_000)])


async def sequences(store: SqliteStore) -> set[int]:
    return {one.sequence for one in await store.notifications(OWNER, after=0, limit=10_000)}


def enlarge(disk: Path) -> None:
    subprocess.run(["mount", "-o", "remount,size=4m", disk], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    place = tmp_path / "small"
    place.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", place], check=True)
    yield place
    subprocess.run(["umount", place], check=True)


# --- group commit ---


async def test_concurrent_changes_share_commits(store: SqliteStore) -> None:
    numbers = iter(range(1, 2001))

    async def write() -> None:
        for number in numbers:
            await store.commit(Change(batches=[batch(number)]))

    before = store.groups
    await asyncio.gather(*(write() for _ in range(64)))
    assert store.groups - before <= 2000 / 20
    assert await kept(store) == set(range(1, 2001))


async def test_a_contradiction_fails_alone(store: SqliteStore) -> None:
    """Two of a hundred changes in one group are wrong, after some of their rows were written already."""
    changes = [Change(batches=[batch(n)], notifications=[notification(n)]) for n in range(1, 101)]
    changes[39].notifications.append(structs.replace(notification(31), notification_id="another id"))
    changes[69].deliveries.append(delivery(2**63))  # more than a column can hold
    before = store.groups
    outcomes = await asyncio.gather(*map(store.commit, changes), return_exceptions=True)
    assert store.groups - before == 1
    assert [n for n, outcome in enumerate(outcomes, 1) if isinstance(outcome, StoreError)] == [40, 70]
    assert await kept(store) == set(range(1, 101)) - {40, 70}
    assert await sequences(store) == set(range(1, 101)) - {40, 70}


async def test_what_may_be_later_does_not_wait_for_a_commit(store: SqliteStore) -> None:
    store.later(Change(timelines=[timeline("f-1")]))
    await until_there(store, "f-1")


async def test_a_later_contradiction_is_dropped(store: SqliteStore) -> None:
    store.later(Change(timelines=[timeline("\ud800")]))
    store.later(Change(timelines=[timeline("f-1")]))
    await until_there(store, "f-1")


async def test_nothing_is_taken_once_it_is_closed(store: SqliteStore) -> None:
    await store.close()
    with pytest.raises(StoreError, match="closed"):
        await store.commit(Change(batches=[batch(1)]))
    with pytest.raises(StoreError, match="closed"):
        await store.policies()


# --- the files ---


async def test_the_wal_stays_small_under_load(store: SqliteStore, path: Path) -> None:
    large = batch(1)
    for number in range(1, 401):
        body = notification(number, body=bytes(100_000))
        await store.commit(Change(batches=[large], notifications=[body]))
    assert wal_of(path).stat().st_size < 20 * MEGABYTE
    assert path.stat().st_size > 20 * MEGABYTE


async def test_an_idle_store_makes_room_for_a_storm(store: SqliteStore, path: Path) -> None:
    await store.commit(Change(batches=[batch(1)]))
    size = path.stat().st_size
    async with asyncio.timeout(5.0):
        while wal_of(path).stat().st_size < 16 * MEGABYTE:  # noqa: ASYNC110 - the store tells nobody
            await asyncio.sleep(0.05)
    await store.commit(Change(batches=[batch(2)]))
    assert path.stat().st_size == size
    assert await kept(store) == {1, 2}
    assert await store.check() == []


def wal_of(path: Path) -> Path:
    return path.with_name(path.name + "-wal")


async def test_others_may_not_read_the_files(store: SqliteStore, path: Path) -> None:
    """Tokens, secrets of endpoints and what owners are told are in there."""
    await store.commit(Change(batches=[batch(1)]))
    assert path.parent.stat().st_mode & 0o777 == 0o700
    files = sorted(path.parent.iterdir())
    assert [file.name for file in files] == ["doctor.db", "doctor.db-shm", "doctor.db-wal", "doctor.db.lock"]
    assert {file.stat().st_mode & 0o777 for file in files} == {0o600}


async def test_a_second_doctor_is_refused(store: SqliteStore, path: Path) -> None:
    with pytest.raises(PermanentError, match=f"pid {os.getpid()}"):
        await SqliteStore(path).load(recent_events=0)
    other = await asyncio.to_thread(
        subprocess.run, [sys.executable, "-c", WRITER, str(path), "1"], capture_output=True, text=True
    )
    assert other.returncode == 1
    assert f"another Doctor (pid {os.getpid()}) uses" in other.stderr
    await store.close()
    async with opened(path):
        pass


def test_the_lock_of_a_dead_process_is_gone(tmp_path: Path) -> None:
    lock = tmp_path / "doctor.db.lock"
    lock.write_text("4194304999\n")
    Lock(lock).release()
    assert lock.read_text() == f"{os.getpid()}\n"


# --- versions ---


async def test_an_older_database_is_brought_up(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(Change(batches=[batch(1)], faults=[record("f-1")]))
        before = await store.load(recent_events=9)
    scripts = [*migrations(), "ALTER TABLE batches ADD COLUMN city TEXT; CREATE TABLE cities (name TEXT);"]
    async with opened(path, scripts) as store:
        assert await store.load(recent_events=9) == before
        await store.commit(Change(batches=[batch(2)]))
    assert query(path, "PRAGMA user_version") == len(scripts)
    assert query(path, "SELECT count(city) FROM batches") == 0
    async with opened(path, scripts) as store:
        assert await kept(store) == {1, 2}


async def test_a_migration_that_fails_changes_nothing(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(Change(batches=[batch(1)]))
    scripts = [*migrations(), "CREATE TABLE cities (name TEXT); DROP TABLE batches; SELECT nonsense;"]
    with pytest.raises(PermanentError, match="nonsense"):
        await SqliteStore(path, scripts=scripts).load(recent_events=0)
    async with opened(path) as store:
        assert await kept(store) == {1}
    assert query(path, "SELECT count(*) FROM sqlite_schema WHERE name = 'cities'") == 0


async def test_a_newer_database_is_refused(path: Path) -> None:
    scripts = [*migrations(), "CREATE TABLE cities (name TEXT);"]
    async with opened(path, scripts):
        pass
    with pytest.raises(PermanentError, match="install the newer version"):
        await SqliteStore(path).load(recent_events=0)
    async with opened(path, scripts):
        pass


async def test_the_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    connection = sqlite3.connect(path)
    connection.execute("CREATE TABLE theirs (thing TEXT)")
    connection.close()
    content = path.read_bytes()
    with pytest.raises(PermanentError, match="another program"):
        await SqliteStore(path).load(recent_events=0)
    assert path.read_bytes() == content


async def test_a_file_that_is_no_database_is_refused(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"Dear diary, " * 1000)
    with pytest.raises(PermanentError, match="move the file away"):
        await SqliteStore(path).load(recent_events=0)


async def test_an_empty_file_is_as_good_as_none(path: Path) -> None:
    """A crash right at the first start leaves one."""
    path.parent.mkdir()
    path.touch()
    async with opened(path) as store:
        await store.commit(Change(batches=[batch(1)]))
        assert await kept(store) == {1}


async def test_a_damaged_database_is_refused(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(Change(faults=[record(f"f-{n}", alarms=50) for n in range(100)]))
    damaged = bytearray(path.read_bytes())
    damaged[20_000:-8192] = bytes(len(damaged) - 20_000 - 8192)
    path.write_bytes(damaged)
    with pytest.raises(PermanentError, match="damaged"):
        await SqliteStore(path).load(recent_events=9)
    Lock(path.with_name(path.name + ".lock")).release()  # nothing holds it any more


async def test_a_record_of_another_version_is_refused_with_advice(path: Path) -> None:
    async with opened(path) as store:
        await store.commit(Change(faults=[record("f-1")]))
    connection = sqlite3.connect(path)
    connection.execute("UPDATE faults SET record = x'80'")
    connection.commit()
    connection.close()
    with pytest.raises(PermanentError, match="install the version that wrote it"):
        await SqliteStore(path).load(recent_events=0)


async def test_what_cannot_be_read_is_told_from_what_cannot_be_kept(path: Path) -> None:
    async with opened(path) as store:
        with closing(sqlite3.connect(path)) as connection:
            connection.execute("DROP TABLE timelines")
            connection.commit()
        with pytest.raises(UnreadableError):
            await store.timelines(before=None, limit=1)
        await store.commit(Change(batches=[batch(1)]))


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(PermanentError, match="check the folder"):
        await SqliteStore(tmp_path / "file" / "doctor.db").load(recent_events=0)


def query(path: Path, text: str) -> object:
    connection = sqlite3.connect(path)
    (value,) = connection.execute(text).fetchone()
    connection.close()
    return value
