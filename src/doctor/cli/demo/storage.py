"""The storage that all hosts share: who of them lives, where each machine is placed, and who wrote to which disk.

What is written there is the truth that everything Doctor says is held against: it is no part of Doctor.
"""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple


class Writer(NamedTuple):
    """A process that wrote to a disk. ``is_second``: another one lived when it began, or wrote after it had begun."""

    host: str
    process: int
    first: datetime
    last: datetime
    is_second: bool = False


class SharedStorage:
    """A folder with the signs of life of hosts, the placements of machines, and their disks."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "hosts").mkdir(parents=True)
        (folder / "machines").mkdir()
        self.place({})

    def place(self, placements: Mapping[str, str]) -> None:
        """Say on which host each machine is to run."""
        new = self.folder / "placements.new"
        new.write_text(json.dumps(placements))
        new.rename(self.folder / "placements")

    def silent_for(self, host: str) -> float:
        """Return the seconds since a host has shown that it lives; infinite if it never did."""
        try:
            return time.time() - (self.folder / "hosts" / host).stat().st_mtime
        except FileNotFoundError:
            return float("inf")

    def writers(self, machine: str) -> list[Writer]:
        """Return who wrote to the disk of a machine, in the order in which they began."""
        disk = self.folder / "machines" / machine
        return writers(disk.read_text() if disk.exists() else "")

    def double(self) -> list[str]:
        """Return the machines that ran twice at any time."""
        machines = sorted(disk.name for disk in (self.folder / "machines").iterdir())
        return [machine for machine in machines if any(one.is_second for one in self.writers(machine))]


def writers(disk: str) -> list[Writer]:
    """Read who wrote to a disk."""
    found: dict[tuple[str, int], Writer] = {}
    latest: tuple[str, int] | None = None
    for line in disk.splitlines(keepends=True):
        if not line.endswith("\n"):
            break  # it is being written
        stamp, host, process, beside = line.split()
        time_, key = datetime.fromtimestamp(float(stamp), UTC), (host, int(process))
        known = found.get(key)
        if known is None:
            found[key] = Writer(host, int(process), time_, time_, beside == "beside")
        else:
            found[key] = known._replace(last=time_)
            if latest is not None and latest != key:  # it goes on although another one has taken over
                found[latest] = found[latest]._replace(is_second=True)
        latest = key
    return list(found.values())
