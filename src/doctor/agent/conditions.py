"""How the host is, in numbers, once a minute: kept by Doctor for trends [HA 2.1]."""

import os
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from doctor.agent.report import Report, Reporter

CONDITIONS = "host.conditions"
MEMINFO = Path("/proc/meminfo")
UPTIME = Path("/proc/uptime")
MOST = 48  # numbers in one event: Doctor takes 64 details, and the others need their place
MEMORY = {
    "MemTotal": "memory_total_kb",
    "MemAvailable": "memory_available_kb",
    "HardwareCorrupted": "memory_corrupted_kb",
}


def of_host(meminfo: Path = MEMINFO, uptime: Path = UPTIME) -> dict[str, float]:
    """Return load, memory and uptime."""
    load = os.getloadavg()
    found: dict[str, float] = {"load_1": load[0], "load_5": load[1], "cpus": float(os.cpu_count() or 1)}
    for line in meminfo.read_text().splitlines():
        name, _, rest = line.partition(":")
        if name in MEMORY and rest.split():
            found[MEMORY[name]] = float(rest.split()[0])
    found["uptime_s"] = float(uptime.read_text().split()[0])
    return found


class Conditions:
    """Puts together what all sources have measured, and says it."""

    def __init__(
        self,
        reporter: Reporter,
        say: Callable[[Report], None],
        sources: Iterable[Callable[[], Mapping[str, float]]],
    ) -> None:
        self._reporter = reporter
        self._say = say
        self._sources = list(sources)

    def look(self) -> None:
        """Say it once."""
        numbers: dict[str, float] = {}
        for source in (of_host, *self._sources):
            numbers |= source()
        kept: dict[str, Any] = dict(list(numbers.items())[:MOST])
        self._say(self._reporter.report(CONDITIONS, "measured", "running conditions", **kept))
