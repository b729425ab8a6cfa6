"""What is known of the isolation of hosts: jobs, what was said of them, and what Doctor may do where."""

from collections.abc import Iterable, Mapping

from msgspec.structs import replace

from doctor.fencing.brakes import Spent
from doctor.fencing.machine import RESTING, UNDER_WAY
from doctor.model.fence_job import FenceDecision, FenceJob, Statement, ZoneMode, ZoneSetting

EVERYWHERE = ""  # the zone of the hold switch


class FenceBook:
    """The present. `take` and `hear` keep it in step with what is kept.

    ``epoch`` is the office that was taken last, ``authorised`` how many hosts were ever authorised to be cut off,
    ``digest`` the end of the chain of decisions.
    """

    def __init__(
        self,
        jobs: Iterable[FenceJob] = (),
        statements: Iterable[Statement] = (),
        zones: Mapping[str, ZoneSetting] | None = None,
        *,
        epoch: int = 0,
        authorised: int = 0,
        digest: str = "",
    ) -> None:
        self.jobs = {job.host: job for job in jobs}
        self.statements: dict[str, dict[str, Statement]] = {}
        self.zones = dict(zones or {})
        self.epoch = epoch
        self.authorised = authorised
        self.digest = digest
        for one in statements:
            self.statements.setdefault(one.host, {})[one.reporter] = one

    def hear(self, statement: Statement) -> Statement:
        """Take note of what somebody says, and return it: whoever repeats himself has said so since the first time."""
        said = self.statements.setdefault(statement.host, {})
        before = said.get(statement.reporter)
        if before is not None and before.says is statement.says:
            statement = replace(statement, since=before.since)
        said[statement.reporter] = statement
        return statement

    def forget(self, statement: Statement) -> None:
        """Have it not said any more."""
        self.statements.get(statement.host, {}).pop(statement.reporter, None)

    def take(
        self,
        jobs: Iterable[FenceJob] = (),
        decisions: Iterable[FenceDecision] = (),
        *,
        authorised: bool = False,
    ) -> None:
        """Take over what is kept."""
        self.jobs.update((job.host, job) for job in jobs)
        self.authorised += authorised
        for decision in decisions:
            self.digest = decision.digest

    @property
    def hold(self) -> ZoneSetting | None:
        """Return who has pulled the hold switch, None if nobody has."""
        setting = self.zones.get(EVERYWHERE)
        return setting if setting is not None and setting.mode is ZoneMode.HOLD else None

    def mode(self, zone: str) -> ZoneMode:
        """Return what Doctor may do in a zone: until somebody arms it, say what it would do."""
        setting = self.zones.get(zone)
        return ZoneMode.ADVISE if setting is None else setting.mode

    @property
    def spent(self) -> list[Spent]:
        """Return all that was begun within the last day."""
        return [Spent(job.host, job.zone, time) for job in self.jobs.values() for time in job.fences]

    @property
    def active(self) -> list[FenceJob]:
        """Return the jobs that are not over."""
        return [job for job in self.jobs.values() if job.state not in RESTING]

    def running(self, host: str) -> int:
        """Return how many other hosts are being cut off now."""
        return sum(job.state in UNDER_WAY and job.host != host for job in self.jobs.values())
