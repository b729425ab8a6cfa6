"""The keys of the hosts: derived from one master key, or from a file with a line for each host, which may grow."""

from pathlib import Path

import structlog

from doctor.kit.beat import Key, derived
from doctor.kit.key_file import read_key, read_keys

LOOK_AGAIN = 5.0  # seconds after which a file is looked at again for a host that is not in it
MOST_HOSTS = 100_000  # with keys that were made from the master key; a name is anybody's to invent

log = structlog.get_logger()


class Keyring:
    """Finds the key of a host."""

    def __init__(self, master_file: Path | None, keys_file: Path | None) -> None:
        """Read the files.

        Raises:
            ValueError: something is wrong with one; the message names the setting.
        """
        self._master = read_key(master_file, "master_key_file") if master_file else None
        self._file = keys_file
        self._stamp: object = None
        self._looked = 0.0
        self._keys: dict[str, Key] = {}
        if keys_file is not None:
            self._stamp = _stamp(keys_file)
            self._take(read_keys(keys_file, "keys_file"))

    def find(self, host: str, *, is_known: bool, now: float) -> Key | None:
        """Return the key of a host. From the master key it is made for hosts that are known only."""
        key = self._keys.get(host)
        if key is None and self._master is not None and is_known and len(self._keys) < MOST_HOSTS:
            key = self._keys[host] = Key(derived(self._master, host))
        if key is None and self._file is not None and now >= self._looked + LOOK_AGAIN:
            self._looked = now
            self._read_again(self._file)
            key = self._keys.get(host)
        return key

    def _read_again(self, path: Path) -> None:
        stamp = _stamp(path)
        if stamp == self._stamp:
            return
        self._stamp = stamp
        try:
            self._take(read_keys(path, "keys_file"))
        except ValueError as error:
            log.warning("heartbeat.keys_kept", error=str(error))

    def _take(self, keys: dict[str, bytes]) -> None:
        self._keys = {host: Key(key) for host, key in keys.items()}


def _stamp(path: Path) -> object:
    try:
        found = path.stat()
    except OSError:
        return None
    return (found.st_mtime_ns, found.st_size, found.st_ino)
