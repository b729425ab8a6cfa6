"""Judges all that was done to hosts and machines, step by step, by what was known and what was so at that moment.

It goes through what was kept, what devices and the cloud were told, and how the hosts were, in the order in which it
happened. It shares no code with the deciders: what evidence is, when a brake holds and which state may follow which is
said once more here, as simply as can be.
"""

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any, NamedTuple

import msgspec

from doctor.flows.situation import FENCE_ZONE_MEMO, INSTRUCTION_MEMO
from doctor.model.fence_job import FenceJob, FenceState, ZoneMode, ZoneSetting
from doctor.model.fence_plan import Level
from doctor.model.instruction import Action, Instruction, TaskState
from doctor.model.notification import StoredNotification
from doctor.testing.clock import START
from doctor.testing.simulation.deeds import Ended, Forced, Kept, Moment, Read, Sent, Taken, Truth
from doctor.testing.simulation.powered_world import PoweredWorld
from doctor.testing.simulation.second import Said
from doctor.testing.simulation.witnesses import HOST_DOWN

S = FenceState
AFTER: dict[FenceState | None, set[FenceState]] = {
    None: {S.SUSPECT},
    S.SUSPECT: {S.AUTHORISED, S.CANCELLED, S.NEEDS_HUMAN, S.FENCED},
    S.AUTHORISED: {S.ATTEMPT, S.SUSPECT, S.CANCELLED},
    S.ATTEMPT: {S.ATTEMPT, S.CONFIRMING, S.EXHAUSTED, S.CONTRADICTED},
    S.CONFIRMING: {S.FENCED, S.ATTEMPT, S.EXHAUSTED, S.CONTRADICTED},
    S.FENCED: {S.CONTRADICTED, S.UNFENCING},
    S.CONTRADICTED: {S.ATTEMPT, S.NEEDS_HUMAN},
    S.EXHAUSTED: {S.NEEDS_HUMAN},
    S.NEEDS_HUMAN: {S.CANCELLED, S.FENCED, S.SUSPECT, S.UNFENCING},
    S.UNFENCING: {S.OBSERVED, S.NEEDS_HUMAN},
    S.OBSERVED: {S.NORMAL, S.SUSPECT},
    S.CANCELLED: {S.SUSPECT},
    S.NORMAL: {S.SUSPECT},
}
SERVES = frozenset((S.CANCELLED, S.OBSERVED, S.NORMAL))
BEING_CUT = frozenset((S.AUTHORISED, S.ATTEMPT, S.CONFIRMING))
EVERYWHERE = ""
READ_APART = 0.99
READING_LASTS = 10.0
QUIET = 1.999
LEAVES = frozenset((Action.EVACUATE, Action.TERMINATE))
AT_THE_SAME_MOMENT = 1e-6


class Word(NamedTuple):
    """What a witness said of a host last, at ``last``; ``began`` is when he began to say so, ``tick`` when it was kept."""

    is_alive: bool
    tick: int
    began: float
    last: float


class Step(NamedTuple):
    """A job as it was kept."""

    tick: int
    second: float
    job: FenceJob


class Figures(NamedTuple):
    """What has happened in a run."""

    fence_commands: int = 0
    isolated: int = 0
    lies: int = 0
    evacuations: int = 0
    returns: int = 0
    crashes_in_isolation: int = 0
    pauses: int = 0


class Referee:
    """Goes through one run; `broken` are the sentences on what should not have happened."""

    def __init__(self, world: PoweredWorld) -> None:
        self.broken: list[str] = []
        self.jobs: dict[str, list[Step]] = {host: [] for host in world.nfvi.hosts}
        self.words: dict[str, dict[str, Word]] = {host: {} for host in world.nfvi.hosts}
        self.lies = 0
        self.isolated = 0
        self.instructions: dict[str, Instruction] = {}
        self._world = world
        self._site = world.site
        self._limits = world.site.limits
        self._reports = {push.body: push for push in world.books.pushes}
        self._heard: set[Said] = set()
        self._modes: dict[str, ZoneMode] = {}
        self._authorised: list[tuple[float, str]] = []
        self._silent_when_authorised: dict[str, set[str]] = {}
        self._reads: dict[tuple[str, str], list[Read]] = {}
        self._truth: dict[str, Truth] = {}
        self._moving: dict[str, str] = {}  # machines that the cloud is evacuating, with where they were
        self._deceived: set[str] = set()
        self._machine_hosts: dict[str, set[str]] = {
            machine: {host} for machine, host in world.nfvi.machines.items()
        }
        self._started = [
            line.second for line in world.trace.lines if line.what == "starts" and "doctor" in line.who
        ]

    def judge(self) -> "Referee":
        """Go through all of it."""
        twice = iter([*self._world.plant.twice, None])
        following = next(twice)
        for row in self._world.deeds.rows:
            while following is not None and following.tick <= row.tick:
                self._ran_twice(following.machine, following.hosts)
                following = next(twice)
            match row:
                case Kept():
                    self._kept(row)
                case Sent():
                    self._sent(row)
                case Read():
                    self._reads.setdefault((row.device, row.plug), []).append(row)
                case Taken():
                    self._taken(row)
                case Ended():
                    if row.command.action is Action.EVACUATE:
                        self._moving.pop(row.command.resource_id, None)
                case Forced():
                    self._forced(row)
                case Truth():
                    self._truth[row.host] = row
                    if row.is_off:
                        self._deceived.discard(row.host)
        return self

    @property
    def figures(self) -> Figures:
        """Return what has happened."""
        rows = self._world.deeds.rows
        return Figures(
            fence_commands=sum(isinstance(row, Sent) and not row.is_on for row in rows),
            isolated=self.isolated,
            lies=self.lies,
            evacuations=sum(
                isinstance(row, Ended) and row.is_done and row.command.action is Action.EVACUATE
                for row in rows
            ),
            returns=sum(step.job.state is S.OBSERVED for steps in self.jobs.values() for step in steps),
            crashes_in_isolation=self._world.logbook.crashes_in_isolation,
            pauses=self._world.logbook.pauses,
        )

    def job(self, host: str) -> FenceJob | None:
        """Return the job of a host as it is kept now."""
        return self.jobs[host][-1].job if self.jobs[host] else None

    def _says(self, second: float, sentence: str) -> None:
        self.broken.append(f"{sentence} ({second:.3f} s)")

    # --- what was kept ---

    def _kept(self, kept: Kept) -> None:
        for batch in kept.change.batches:
            self._hear(batch.body, (batch.received_time - START).total_seconds(), kept.tick)
        for memo in kept.change.memos:
            if memo.kind == FENCE_ZONE_MEMO and memo.record is not None:
                self._modes[memo.key] = msgspec.msgpack.decode(memo.record, type=ZoneSetting).mode
            if memo.kind == INSTRUCTION_MEMO and memo.record is not None:
                self.instructions[memo.key] = msgspec.msgpack.decode(memo.record, type=Instruction)
        if kept.change.fencing is not None:
            for job in kept.change.fencing.jobs:
                self._moved(job, kept)
        for notification in kept.change.notifications:
            self._told(notification, kept.second)

    def _hear(self, body: bytes, received: float, tick: int) -> None:
        push = self._reports.get(body)
        if push is None or push.reporter not in self._site.watchers:
            return
        for said in push.events:
            if said.type != HOST_DOWN or said in self._heard:
                continue
            self._heard.add(said)
            is_alive = said.status == "up"
            before = self.words[said.resource].get(push.reporter)
            began = before.began if before is not None and before.is_alive is is_alive else received
            self.words[said.resource][push.reporter] = Word(is_alive, tick, began, received)

    def _moved(self, job: FenceJob, kept: Kept) -> None:
        host, before = job.host, self.job(job.host)
        state = None if before is None else before.state
        second = kept.second
        if job.revision != (1 if before is None else before.revision + 1):
            self._says(
                second, f"I-14: {host} goes from revision {before and before.revision} to {job.revision}"
            )
        is_note = before is not None and before.state is job.state and before.changed == job.changed
        if not is_note and job.state not in AFTER[state]:
            self._says(second, f"I-14: {host} was {state} and is {job.state}")
        if not is_note or job.cut != (before and before.cut):
            self._check(host, before, job, kept)
        self.jobs[host].append(Step(kept.tick, second, job))

    def _check(self, host: str, before: FenceJob | None, job: FenceJob, kept: Kept) -> None:
        """See whether what allows a step was there."""
        match job.state:
            case S.AUTHORISED:
                self._may_be_cut(host, job, kept, first=True)
                self._silent_when_authorised[host] = (
                    self._silent()
                    if before is None or before.cut is None
                    else (self._silent_when_authorised.get(host, set()))
                )
                self._authorised.append((_seconds(job), host))
            case S.ATTEMPT:
                self._may_be_cut(host, job, kept, first=False)
                self._was_given_time(host, job, kept)
            case S.FENCED if before is not None and before.state is S.CONFIRMING:
                self._is_proven(host, before, job, kept)
            case S.FENCED:
                persons = {word.by for word in job.words}
                if len(persons) < (2 if self._limits.second_person else 1):
                    self._says(kept.second, f"I-16: {host} counts as isolated on the word of {len(persons)}")
                self._is_off(host, kept.second)
            case _:
                pass

    # --- may it be cut off? ---

    def _may_be_cut(self, host: str, job: FenceJob, kept: Kept, *, first: bool) -> None:
        decided = (job.changed if first or job.cut is None else job.cut) - START
        second = decided.total_seconds()
        words = self.words[host]
        alive = [name for name, word in words.items() if word.is_alive]
        if alive:
            self._says(kept.second, f"I-12: {host} is {job.state} although {alive[0]} says that it lives")
        vantages = self._vantages(host, second)
        if len(vantages) < 2:
            self._says(kept.second, f"I-12: {host} is {job.state} on the word of {sorted(vantages)}")
        zone = self._world.nfvi.zones[host]
        if self._modes.get(zone, ZoneMode.ADVISE) is not ZoneMode.ARMED:
            self._says(kept.second, f"I-13: {host} is {job.state}, and {zone} is not armed")
        if self._modes.get(EVERYWHERE) is ZoneMode.HOLD:
            self._says(kept.second, f"I-13: {host} is {job.state}, and the hold switch is on")
        if storm := self._storm(host, second):
            self._says(kept.second, f"I-11: {host} is {job.state} in a storm: {storm}")
        if first:
            self._brakes(host, zone, second)

    def _was_given_time(self, host: str, job: FenceJob, kept: Kept) -> None:
        """See that who takes an attempt over hears first how it is."""
        begun = max(one for one in self._started if one <= kept.second)
        is_taken_over = self.jobs[host][-1].second < begun
        if (
            is_taken_over
            and job.cut
            and (job.cut - START).total_seconds() - begun < self._limits.start_up.total_seconds()
        ):
            self._says(kept.second, f"I-17: the attempt on {host} is repeated right after a start")

    def _vantages(self, host: str, second: float) -> set[str]:
        """Return the classes of those who say that a host is dead, and can be believed."""
        others = [one for one in self._world.nfvi.hosts if one != host]
        returned = max((step.second for step in self.jobs[host] if step.job.state is S.OBSERVED), default=0.0)
        found = set()
        for name in self._site.watchers:
            word = self.words[host].get(name)
            if word is None or word.is_alive or word.last < returned:
                continue
            missed = sum(name in self.words[one] and not self.words[one][name].is_alive for one in others)
            if len(others) - missed >= 0.5 * len(others):
                found.add(name)
        for device, plug in self._site.devices_of(host):
            reads = self._reads.get((device.name, plug), ())
            if any(read.says_off and second - read.second <= READING_LASTS for read in reads):
                found.add("device")
        return found

    def _silent(self) -> set[str]:
        return {
            host for host, words in self.words.items() if any(not word.is_alive for word in words.values())
        }

    def _storm(self, host: str, second: float) -> str:
        for rack, hosts in self._world.nfvi.racks.items():
            if host not in hosts:
                continue
            times = sorted(
                min(word.began for word in self.words[one].values() if not word.is_alive)
                for one in hosts
                if one in self._silent()
            )
            together = any(
                later - earlier <= self._limits.storm_within.total_seconds()
                for earlier, later in pairwise(times)
            )
            if together and second - times[-1] < self._limits.storm_calm.total_seconds():
                return f"{len(times)} hosts of {rack}"
        return ""

    def _brakes(self, host: str, zone: str, second: float) -> None:
        limits, nfvi = self._limits, self._world.nfvi
        in_zone = [one for one, where in nfvi.zones.items() if where == zone]
        lately = {
            one
            for when, one in self._authorised
            if one != host and one in in_zone and second - when < limits.zone_within.total_seconds()
        }
        if len(lately) >= max(1, int(limits.zone_share * len(in_zone))):
            self._says(second, f"I-11: {host} is one too many in {zone}, after {sorted(lately)}")
        for when, _ in self._authorised:
            since = [one for one, _ in self._authorised if one >= when]
            most = limits.site_burst + (second - when) / limits.site_every.total_seconds() + 1e-3
            if len(since) + 1 > most:
                self._says(second, f"I-11: {host} is one too many within {second - when:.1f} s")
                break
        running = [
            one for one in nfvi.hosts if one != host and (job := self.job(one)) and job.state in BEING_CUT
        ]
        if len(running) >= limits.at_once:
            self._says(second, f"I-11: {host} beside {running}")
        well = [one for one in in_zone if one != host and one not in self._silent()]
        if len(well) < limits.floor * len(in_zone):
            self._says(second, f"I-11: {host}, and only {len(well)} hosts of {zone} are well")
        own = [when for when, one in self._authorised if one == host]
        lately_own = sum(second - when < limits.probation.total_seconds() for when in own)
        if lately_own >= limits.in_probation or len(own) >= limits.in_a_day:
            self._says(second, f"I-11: {host} was cut off {len(own)} times already")
        begun = max(one for one in self._started if one <= second)
        if second - begun < limits.start_up.total_seconds():
            self._says(second, f"I-11: {host}, {second - begun:.1f} s after a start")

    # --- is it off? ---

    def _level(self, job: FenceJob) -> Level | None:
        levels = self._site.plans[job.host].levels
        return levels[job.level] if job.level < len(levels) else None

    def _is_proven(self, host: str, before: FenceJob, job: FenceJob, kept: Kept) -> None:
        self.isolated += 1
        began, second = _seconds(before), _seconds(job)
        since = next(step.tick for step in self.jobs[host] if step.job.changed == before.changed)
        if second - began < QUIET:
            self._says(second, f"I-16: {host} counts as isolated after {second - began:.2f} s of silence")
        for name, word in self.words[host].items():
            if word.is_alive and word.tick > since:
                self._says(second, f"I-16: {host} counts as isolated although {name} has seen it since")
        if not self._vantages(host, second) - {"device"}:
            self._says(second, f"I-16: {host} counts as isolated, and nobody would see a sign of life")
        fallen = self._silent() - self._silent_when_authorised.get(host, set()) - {host}
        if fallen:
            self._says(second, f"I-16: {host} counts as isolated although {sorted(fallen)} fell silent by it")
        level = self._level(job)
        is_lie = False
        for step in () if level is None else level.steps:
            reads = [
                read
                for read in self._reads.get((step.device, step.plug), ())
                if read.fresh and read.second >= began and read.tick < kept.tick
            ]
            off = [read for read in reads if read.says_off]
            if len(off) < 2 or off[-1].second - off[0].second < READ_APART or len(off) < len(reads):
                self._says(
                    second, f"I-16: {host} counts as isolated, and {step.device} read off {len(off)} times"
                )
            is_lie = is_lie or any(not read.is_true for read in off)
        truth = self._truth.get(host)
        if is_lie and (truth is None or not truth.is_off):
            self.lies += 1
            self._deceived.add(host)
        else:
            self._is_off(host, second)

    def _is_off(self, host: str, second: float) -> None:
        truth = self._truth.get(host)
        if truth is None or not truth.is_off:
            self._says(second, f"I-16: {host} counts as isolated and is not off")

    # --- commands ---

    def _sent(self, sent: Sent) -> None:
        hosts = [
            host
            for host, plan in self._site.plans.items()
            if any(
                (step.device, step.plug) == (sent.device, sent.plug)
                for one in plan.levels
                for step in one.steps
            )
        ]
        for host in hosts:
            (self._given_back if sent.is_on else self._cut)(host, sent)

    def _cut(self, host: str, sent: Sent) -> None:
        job = self.job(host)
        level = None if job is None else self._level(job)
        is_meant = level is not None and any(step.device == sent.device for step in level.steps)
        if job is None or job.state is not S.ATTEMPT or job.cut is None or not is_meant:
            state = None if job is None else f"{job.state}, level {job.level + 1}"
            self._says(sent.second, f"I-17: {sent.device} is told to cut off {host}, which is {state}")
            return
        late = sent.second - (job.cut - START).total_seconds()
        if late > self._limits.attempt.total_seconds() + AT_THE_SAME_MOMENT:
            self._says(
                sent.second, f"I-14: {sent.device} is told to cut off {host} {late:.1f} s after the record"
            )
        names = self._site.devices[sent.device].wired(sent.plug).names
        if sent.victim != host and host not in names:
            self._says(
                sent.second, f"I-16: {sent.device} says that it is behind {names}, and is used for {host}"
            )
        truth = self._truth.get(sent.victim)
        if sent.victim == host and (truth is None or not truth.was_unwell):
            self._says(sent.second, f"I-12: {host} was always well, and is cut off")

    def _given_back(self, host: str, sent: Sent) -> None:
        job = self.job(host)
        if job is None or job.state is not S.UNFENCING:
            self._says(
                sent.second, f"I-15: {sent.device} is told to give back {host}, which is {job and job.state}"
            )
            return
        cuts = [step.job.cut for step in self.jobs[host] if step.job.state is S.ATTEMPT and step.job.cut]
        longest = (self._limits.attempt + self._limits.confirm).total_seconds()
        if cuts and sent.second < (cuts[-1] - START).total_seconds() + longest - AT_THE_SAME_MOMENT:
            self._says(sent.second, f"I-14: {host} is given back while a command may be on its way to it")
        self._nothing_leaves(host, sent.second, "is given back")

    def _nothing_leaves(self, host: str, second: float, what: str) -> None:
        moving = [machine for machine, source in self._moving.items() if source == host]
        moving += [
            task.resource_id
            for one in self.instructions.values()
            for task in one.tasks
            if task.state is TaskState.RUNNING and task.host == host and task.command in LEAVES
        ]
        if moving:
            self._says(second, f"I-15: {host} {what} while {moving[0]} is on its way elsewhere")

    # --- the cloud ---

    def _was(self, host: str, states: Iterable[FenceState | None], moment: Moment) -> bool:
        """Tell whether a host was in one of these states at a moment, or a change at that very moment made it so no more."""
        steps = [step for step in self.jobs[host] if step.tick <= moment.tick]
        last = steps[-1].job.state if steps else None
        if last in states:
            return True
        just = [step for step in steps if step.second >= moment.second - AT_THE_SAME_MOMENT]
        earlier = steps[: len(steps) - len(just)]
        before = [earlier[-1].job.state if earlier else None, *(step.job.state for step in just)]
        return bool(just) and any(state in states for state in before)

    def _taken(self, taken: Taken) -> None:
        machine, source = taken.command.resource_id, taken.source
        if taken.command.action is not Action.EVACUATE or source is None:
            return
        self._moving[machine] = source
        if taken.command.target is not None:
            self._machine_hosts.setdefault(machine, set()).add(taken.command.target)
        if not self._was(source, (S.FENCED,), taken.told):
            job = self.job(source)
            self._says(
                taken.second, f"I-15: {machine} is evacuated from {source}, which is {job and job.state}"
            )

    def _forced(self, forced: Forced) -> None:
        host = forced.host
        if forced.is_down and not self._was(host, (S.FENCED,), forced.told):
            job = self.job(host)
            self._says(forced.second, f"I-15: the cloud takes {host} for off, and it is {job and job.state}")
        if not forced.is_down:
            if not self._was(host, (None, *SERVES), forced.told):
                job = self.job(host)
                self._says(
                    forced.second, f"I-15: the cloud takes {host} for up, and it is {job and job.state}"
                )
            self._nothing_leaves(host, forced.second, "is up to the cloud")

    def _ran_twice(self, machine: str, hosts: tuple[str, ...]) -> None:
        if not self._deceived & set(hosts):
            self.broken.append(f"I-15: {machine} writes on {' and '.join(hosts)}")

    # --- what was told ---

    def _told(self, notification: StoredNotification, second: float) -> None:
        if b'"isolated"' not in notification.body:
            return
        for name, is_physical in _isolated(notification.body):
            hosts = {name} if is_physical else set(self._world.nfvi.hosts)
            if not any((job := self.job(host)) and job.state is S.FENCED for host in hosts):
                self._says(second, f"I-16: {name} is told to be isolated")


def _seconds(job: FenceJob) -> float:
    return (job.changed - START).total_seconds()


def _isolated(body: bytes) -> Iterator[tuple[str, bool]]:
    message: Any = msgspec.json.decode(body)
    for info in message.get("physical_resource_info", ()):
        if info["isolation"] == "isolated":
            yield info["physical_resource_id"], True
    for info in message.get("virtual_resource_info", ()):
        if info["isolation"] == "isolated":
            yield info["virtual_resource_id"], False
