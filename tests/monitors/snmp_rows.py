"""What snmpd asks, by its pass_persist protocol: ``python snmp_rows.py FILE``. Each line of the file is an OID, a type and a value."""

import bisect
import sys
from pathlib import Path


class Rows:
    """The file, read anew when it has changed."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._stamp = 0
        self._keys: list[list[int]] = []
        self._values: dict[str, tuple[str, str]] = {}

    def _load(self) -> None:
        stamp = self._path.stat().st_mtime_ns
        if stamp != self._stamp:
            lines = [line.split(" ", 2) for line in self._path.read_text().splitlines()]
            self._values = {name: (kind, value) for name, kind, value in lines}
            self._keys = sorted([int(part) for part in name.split(".")] for name in self._values)
            self._stamp = stamp

    def find(self, name: str, *, is_next: bool) -> tuple[str, str, str] | None:
        self._load()
        name = name.lstrip(".")
        if is_next:
            at = bisect.bisect_right(self._keys, [int(part) for part in name.split(".")])
            if at == len(self._keys):
                return None
            name = ".".join(map(str, self._keys[at]))
        found = self._values.get(name)
        return None if found is None else (name, *found)


def serve(path: Path) -> None:
    rows = Rows(path)
    while line := sys.stdin.readline():
        asked = line.strip()
        if asked == "PING":
            print("PONG", flush=True)
        elif asked in ("get", "getnext"):
            found = rows.find(sys.stdin.readline().strip(), is_next=asked == "getnext")
            print("NONE" if found is None else f".{found[0]}\n{found[1]}\n{found[2]}", flush=True)
        else:
            print("NONE", flush=True)


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
