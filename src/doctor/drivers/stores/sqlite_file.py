"""The database file: who may open it, how connections are set up, and how its schema gets to today's version.

The number in the name of a migration is the schema version it leads to; `PRAGMA user_version` keeps it.
"""

import fcntl
import os
import secrets
import sqlite3
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

import msgspec

from doctor.model.errors import PermanentError

APPLICATION_ID = 0x446F6374  # "Doct": tells a database of Doctor from any other
PAGE_SIZE = 8192  # with bodies of tens of kilobytes a quarter faster than 4096; a small commit costs the same


def migrations() -> Sequence[str]:
    """Return the SQL scripts that lead from each version to the next, the first from an empty file to version 1."""
    folder = resources.files("doctor.drivers.stores") / "migrations"
    scripts = sorted((script.name, script.read_text()) for script in folder.iterdir())
    return [text for _, text in scripts]


class Lock:
    """Keeps other Doctors away from the same file for as long as this process lives.

    The lock is the kernel's, on a file beside the database: a crash lets go of it, and nothing is left to clean up.
    """

    def __init__(self, path: Path) -> None:
        """Take the lock.

        Raises:
            PermanentError: another process has it.
        """
        self._file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pid = os.read(self._file, 20).decode(errors="replace").strip() or "unknown"
            os.close(self._file)
            raise PermanentError(
                f"another Doctor (pid {pid}) uses {path.parent}: stop it, or start this one with other data"
            ) from None
        os.truncate(self._file, 0)
        os.pwrite(self._file, b"%d\n" % os.getpid(), 0)

    def release(self) -> None:
        """Let others have the file."""
        os.close(self._file)


def open_database(path: Path, scripts: Sequence[str]) -> sqlite3.Connection:
    """Return the connection to write with; the file is made, or brought to the newest schema, as needed.

    Raises:
        PermanentError: the file cannot be used; the message says what to do.
    """
    try:
        connection = _open(path, scripts)
    except (OSError, sqlite3.Error) as error:
        raise unusable(path, error) from error
    return connection


def _open(path: Path, scripts: Sequence[str]) -> sqlite3.Connection:
    if not path.exists():
        _make(path)
    connection = sqlite3.connect(
        path, timeout=5, isolation_level=None, cached_statements=512, check_same_thread=False
    )
    try:
        connection.execute(f"PRAGMA page_size = {PAGE_SIZE}")
        _check_owner(path, connection)
        (mode,) = connection.execute("PRAGMA journal_mode = WAL").fetchone()
        if mode != "wal":
            raise PermanentError(
                f"{path} cannot have a WAL: keep it on a local disk, not on a network file system"
            )
        set_up_writer(connection)
        migrate(path, connection, scripts)
        if connection.execute("SELECT 1 FROM instance").fetchone() is None:
            connection.execute("INSERT INTO instance VALUES (1, ?)", (secrets.token_bytes(32),))
    except BaseException:
        connection.close()
        raise
    return connection


def _make(path: Path) -> None:
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))  # SQLite gives its other files the same mode
    folder = os.open(path.parent, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)


def set_up_writer(connection: sqlite3.Connection) -> None:
    """Make commits durable, and leave it to a thread of its own to move them from the WAL to the database."""
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA foreign_keys = ON")
    connection.execute("PRAGMA wal_autocheckpoint = 0")
    connection.execute("PRAGMA secure_delete = FAST")  # zeroing freed pages would double the work of pruning
    connection.execute("PRAGMA temp_store = MEMORY")
    # A storm of 100 notifications stays in memory until its commit.
    connection.execute("PRAGMA cache_size = -8000")


def connect_reader(path: Path) -> sqlite3.Connection:
    """Return a connection that can only read."""
    return sqlite3.connect(
        f"{path.absolute().as_uri()}?mode=ro",
        uri=True,
        timeout=5,
        isolation_level=None,
        check_same_thread=False,
    )


def _check_owner(path: Path, connection: sqlite3.Connection) -> None:
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    if owner != APPLICATION_ID and (owner or tables):
        raise PermanentError(f"{path} is a database of another program: give Doctor a folder of its own")


def migrate(path: Path, connection: sqlite3.Connection, scripts: Sequence[str]) -> None:
    """Bring the schema to the newest version, in one transaction.

    Raises:
        PermanentError: a newer Doctor made this database.
    """
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if version > len(scripts):
        raise PermanentError(
            f"{path} has schema {version}, made by a newer Doctor; this one knows schema {len(scripts)}:"
            " install the newer version again, or restore the backup from before the upgrade"
        )
    if version == len(scripts):
        return
    try:
        connection.executescript(
            "\n".join(
                (
                    "BEGIN IMMEDIATE;",
                    *scripts[version:],
                    f"PRAGMA application_id = {APPLICATION_ID};",
                    f"PRAGMA user_version = {len(scripts)};",
                    "COMMIT;",
                )
            )
        )
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def is_damage(error: BaseException) -> bool:
    """Tell whether SQLite says that the file itself is broken."""
    return isinstance(error, sqlite3.Error) and getattr(error, "sqlite_errorcode", 0) & 0xFF in (
        sqlite3.SQLITE_CORRUPT,
        sqlite3.SQLITE_NOTADB,
    )


def unusable(path: Path, error: BaseException) -> PermanentError:
    """Return the error that tells the operator what is wrong with the file, and what to do."""
    if is_damage(error):
        return PermanentError(
            f"{path} is damaged or no database ({error}): restore the newest backup, save what is left with"
            f" `sqlite3 {path} .recover`, or move the file away to start empty"
        )
    if isinstance(error, msgspec.MsgspecError):
        return PermanentError(
            f"{path} has a record that this Doctor cannot read ({error}): install the version that wrote it,"
            " or restore the newest backup"
        )
    return PermanentError(f"cannot use {path}: {error}: check the folder, its owner and its free space")
