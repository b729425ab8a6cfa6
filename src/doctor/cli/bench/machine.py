"""What the figures depend on: the machine, its versions, and what else runs on it."""

import os
import platform
import resource
import sqlite3
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any, Self

from doctor import __version__

PACKAGES = ("httptools", "msgspec", "starlette", "structlog", "uvicorn", "uvloop")
TICKS = os.sysconf("SC_CLK_TCK")


def machine(folder: Path) -> dict[str, Any]:
    """Return the facts that make figures comparable, or not; ``folder`` is where the data is kept."""
    return {
        "cores": len(os.sched_getaffinity(0)),
        "processor": _processor(),
        "memory_mb": os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 2**20,
        "kernel": platform.release(),
        "python": platform.python_version(),
        "filesystem": filesystem(folder),
        "load_before": round(os.getloadavg()[0], 2),
    }


def versions() -> dict[str, str]:
    """Return the versions of Doctor and of what its hot path stands on."""
    found = {"doctor": __version__, "sqlite": sqlite3.sqlite_version}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _processor() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def filesystem(folder: Path) -> str:
    """Return the type of the filesystem that a folder is on."""
    best, kind = "", "unknown"
    for line in Path("/proc/mounts").read_text().splitlines():
        _, place, found = line.split()[:3]
        if folder.is_relative_to(place) and len(place) >= len(best):
            best, kind = place, found
    return kind


def cpu_seconds(pid: int) -> float:
    """Return the processor time of a process, all its threads, in user mode and in the kernel."""
    text = Path(f"/proc/{pid}/stat").read_text()
    fields = text.rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS


def resident_bytes(pid: int | str = "self") -> int:
    """Return how much memory a process has in use now."""
    return _status(pid, "VmRSS")


def peak_bytes(pid: int | str = "self") -> int:
    """Return how much memory a process had in use at most."""
    return _status(pid, "VmHWM")


def _status(pid: int | str, wanted: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        name, _, value = line.partition(":")
        if name == wanted:
            return int(value.split()[0]) * 1024
    raise LookupError(wanted)


class Elsewhere:
    """Sees how much of the processors others use meanwhile. All children must have ended by then."""

    def __enter__(self) -> Self:
        self._before = _busy(), _own()
        self.percent = 0.0
        return self

    def __exit__(self, *details: object) -> None:
        busy, total = (now - then for now, then in zip(_busy(), self._before[0], strict=True))
        others = busy - (_own() - self._before[1])
        self.percent = round(max(0.0, 100 * others / total), 1) if total else 0.0


def _busy() -> tuple[float, float]:
    """Return the seconds in which the processors worked, and all seconds that they had."""
    text = Path("/proc/stat").read_text()
    fields = [int(field) / TICKS for field in text[: text.index("\n")].split()[1:9]]
    return sum(fields) - fields[3] - fields[4], sum(fields)


def _own() -> float:
    usages = (resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(usage.ru_utime + usage.ru_stime for usage in usages)
