"""What sources say, kept for a test to read."""

import asyncio
from collections.abc import Callable

from doctor.agent.report import Report, Reporter
from doctor.agent.states import States


class Said:
    """Collects reports of the host ``c1``."""

    def __init__(self) -> None:
        self.reports: list[Report] = []
        self.reporter = Reporter("c1")
        self.states = States(self.reporter, self.reports.append)

    def take(self) -> list[tuple[str, str, str]]:
        """Return what was said since the last time: the type, the resource and the status."""
        found = [
            (one.type, str(one.details.get("resource_id", one.details["hostname"])), one.details["status"])
            for one in self.reports
        ]
        self.reports.clear()
        return found

    async def until(self, count: int, within: float = 10.0) -> list[tuple[str, str, str]]:
        """Wait until so much was said, and return it."""
        await until(lambda: len(self.reports) >= count, within)
        return self.take()


async def until(happened: Callable[[], bool], within: float = 10.0) -> None:
    """Wait for what the world does; the event loop goes on meanwhile."""
    for _ in range(int(within / 0.002)):
        if happened():
            return
        await asyncio.sleep(0.002)
    raise AssertionError("it did not happen")
