"""Software RAID: what /proc/mdstat says of each array."""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from doctor.agent.states import States

MDSTAT = Path("/proc/mdstat")
DISK_CRASH = "compute.disk.crash"
ARRAY = re.compile(
    r"^(?P<name>md\S+) : (?P<state>\w+)(?: \([\w-]+\))*(?: (?P<level>raid\d+|linear))? ?(?P<members>.*)$"
)
COUNT = re.compile(r"\[(?P<wanted>\d+)/(?P<there>\d+)\]")
PROGRESS = re.compile(r"(?P<what>recovery|resync|reshape|check)\s*=\s*(?P<percent>[\d.]+)%")
FAILED = re.compile(r"(?P<disk>[\w-]+)\[\d+\]\(F\)")


class Array(NamedTuple):
    """An array: how many disks it should have and has, which have failed, and what it is doing about it."""

    name: str
    state: str
    wanted: int = 0
    there: int = 0
    failed: tuple[str, ...] = ()
    progress: str = ""

    @property
    def trouble(self) -> str | None:
        """Return what is wrong with it, None if nothing is."""
        if self.state != "active":
            return f"the array is {self.state}"
        if self.there < self.wanted:
            lost = f", failed: {', '.join(self.failed)}" if self.failed else ""
            doing = f", {self.progress}" if self.progress else ""
            return f"{self.there} of {self.wanted} disks{lost}{doing}"
        return None


def parse(text: str) -> Iterator[Array]:
    """Read /proc/mdstat; lines of a form that is not known are left out."""
    array: Array | None = None
    for line in text.splitlines():
        if (match := ARRAY.match(line)) is not None:
            if array is not None:
                yield array
            failed = tuple(found["disk"] for found in FAILED.finditer(match["members"]))
            array = Array(match["name"], match["state"], failed=failed)
        elif array is not None and (match := COUNT.search(line)) is not None:
            array = array._replace(wanted=int(match["wanted"]), there=int(match["there"]))
        elif array is not None and (match := PROGRESS.search(line)) is not None:
            array = array._replace(progress=f"{match['what']} {match['percent']} %")
    if array is not None:
        yield array


class Raid:
    """Looks at the arrays, and says what changes. One that is there no more is said to be gone."""

    def __init__(self, states: States, file: Path = MDSTAT) -> None:
        self._states = states
        self._file = file
        self._known: set[str] = set()

    def look(self) -> None:
        """Look once.

        Raises:
            OSError: there is no RAID in this kernel.
        """
        arrays = list(parse(self._file.read_text()))
        for array in arrays:
            failed = list(array.failed)
            self._states.tell(
                DISK_CRASH, array.name, array.trouble, resource_type="disk", failed_disks=failed
            )
        names = {array.name for array in arrays}
        for gone in self._known - names:
            self._states.tell(DISK_CRASH, gone, "the array is gone", resource_type="disk")
        self._known = self._known | names
