"""The files of the keys that agents sign with: one key in a file, or one line for each host."""

import os
import secrets
from pathlib import Path

from doctor.kit.beat import KEY_BYTES
from doctor.kit.secret import OTHERS, read_secret

MOST_BYTES = 16 * 1024 * 1024


def new_key() -> bytes:
    """Return a key that nobody can guess."""
    return secrets.token_bytes(KEY_BYTES)


def write_key(path: Path, key: bytes) -> None:
    """Write a key to a new file that its owner alone may read.

    Raises:
        FileExistsError: there is such a file; a key that is in use is not written over.
        OSError: it cannot be written.
    """
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(key.hex() + "\n")


def read_key(path: Path, place: str) -> bytes:
    """Read one key; ``place`` is the setting that names the file.

    Raises:
        ValueError: there is none in it, or others may read it.
    """
    return _key(read_secret(path, place).reveal(), f"{place}: {path}")


def read_keys(path: Path, place: str) -> dict[str, bytes]:
    """Read the keys of hosts: lines of a name and a key; empty ones and those that begin with # say nothing.

    Raises:
        ValueError: something is wrong with the file or a line; the message does not repeat a key.
    """
    try:
        if path.stat().st_mode & OTHERS:
            raise ValueError(f"{place}: {path} can be read by others than its owner: chmod 600 it")
        with path.open("rb") as file:
            text = file.read(MOST_BYTES).decode()
    except OSError as error:
        raise ValueError(f"{place}: {path}: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ValueError(f"{place}: {path} is no text") from None
    keys: dict[str, bytes] = {}
    for number, line in enumerate(text.splitlines(), 1):
        words = line.split()
        if not words or words[0].startswith("#"):
            continue
        where = f"{place}: {path} line {number}"
        if len(words) != 2:
            raise ValueError(f"{where}: write a host and its key")
        if words[0] in keys:
            raise ValueError(f"{where}: {words[0]} is there twice")
        keys[words[0]] = _key(words[1], where)
    return keys


def _key(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise ValueError(
            f"{where}: a key is {2 * KEY_BYTES} hexadecimal digits, as doctor agent key makes them"
        )
    return key
