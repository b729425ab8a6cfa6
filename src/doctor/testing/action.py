"""An action of maintenance that does nothing, for tests: it writes down what it is told, and answers as it is told to."""

import asyncio
from dataclasses import dataclass, field

from doctor.kit.deadline import Deadline
from doctor.model.maintenance_action import Done, Job, NotDone, RunOutcome


@dataclass
class FakeAction:
    """``jobs`` are those that it was given, ``lasts`` is how many seconds one takes, ``fails`` on which hosts it fails."""

    kind: str = "fake"
    lasts: float = 0.0
    fails: set[str | None] = field(default_factory=set)
    jobs: list[Job] = field(default_factory=list)
    ended: list[Job] = field(default_factory=list)
    closed: bool = False

    async def run(self, job: Job, deadline: Deadline) -> RunOutcome:
        """Do nothing for as long as it lasts."""
        self.jobs.append(job)
        if self.closed:
            return NotDone("it is closed")
        if self.lasts > deadline.left:
            await asyncio.sleep(deadline.left)
            return NotDone("it had not ended in time")
        await asyncio.sleep(self.lasts)
        self.ended.append(job)
        return NotDone("it was told to fail") if job.host in self.fails else Done("it is as it should be")

    async def close(self) -> None:
        """Do nothing more."""
        self.closed = True
