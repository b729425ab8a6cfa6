"""Which host this is, since when it runs, and since when the agent does. None of it needs a clock that is right."""

import time
from pathlib import Path
from typing import NamedTuple, Self
from uuid import UUID

BOOT_ID = Path("/proc/sys/kernel/random/boot_id")


class Identity(NamedTuple):
    """``boot`` is new with each start of the host, ``session`` greater with each start of the agent."""

    host: str
    boot: bytes
    session: int

    @classmethod
    def of(cls, host: str, boot_file: Path = BOOT_ID) -> Self:
        """Return the identity of this run."""
        boot = UUID(boot_file.read_text().strip()).bytes
        return cls(host, boot, time.clock_gettime_ns(time.CLOCK_BOOTTIME))
