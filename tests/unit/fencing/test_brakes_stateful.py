"""Many hosts fail and return in any order and at any time: the brakes are held against a simple second version of each."""

from datetime import datetime, timedelta

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from doctor.fencing.book import FenceBook
from doctor.fencing.brakes import Scene
from doctor.fencing.brakes import rule as ask
from doctor.fencing.evidence import Witness, judge, signs_of_life, silent_since
from doctor.fencing.limits import Limits
from doctor.fencing.machine import RESTING, UNDER_WAY, Trigger, begins_anew, moved, suspected
from doctor.model.fence_job import FenceState, Says, Statement
from doctor.model.fencing import Vantage
from doctor.testing.clock import START

ZONES = {f"{zone}{n}": zone for zone, count in (("a", 25), ("b", 5)) for n in range(count)}
RACKS = {host: f"rack-{zone}{int(host[1:]) // (5 if zone == 'a' else 1)}" for host, zone in ZONES.items()}
WITNESSES = {
    "ping": Witness(Vantage.IN_BAND, None),
    "agent": Witness(Vantage.IN_BAND),
    "peers": Witness(Vantage.PEER),
    "switch": Witness(Vantage.SWITCH_PORT, only=("a*",)),
}
REPORTERS = (*WITNESSES, "stranger")
LIMITS = Limits()
hosts = st.sampled_from(sorted(ZONES))
few = st.sampled_from(("b0", "b1", "b2", "a0", "a5", "a10"))  # so that the same ones come again


class Site(RuleBasedStateMachine):
    """One zone of twenty-five hosts and one of five."""

    @initialize()
    def begin(self) -> None:
        self.now = START
        self.book = FenceBook()
        self.cut: list[tuple[datetime, str]] = []

    @rule(host=hosts, reporter=st.sampled_from(REPORTERS), says=st.sampled_from(Says))
    def say(self, host: str, reporter: str, says: Says) -> None:
        self._hear(host, reporter, says)

    @rule(host=hosts, reporters=st.sets(st.sampled_from(REPORTERS), min_size=2))
    def lose(self, host: str, reporters: set[str]) -> None:
        for reporter in sorted(reporters):
            self._hear(host, reporter, Says.DEAD)

    @rule(host=few)
    def end(self, host: str) -> None:
        """A host returns, and its job is over: it may fail again."""
        self.find(host)
        job = self.book.jobs.get(host)
        if job is not None and job.state not in RESTING:
            self.book.take([replace(job, state=FenceState.NORMAL, revision=job.revision + 1)])

    @rule(host=hosts)
    def find(self, host: str) -> None:
        for reporter in REPORTERS:
            self._hear(host, reporter, Says.ALIVE)

    def _hear(self, host: str, reporter: str, says: Says) -> None:
        self.book.hear(Statement(host=host, reporter=reporter, says=says, time=self.now, since=self.now))

    @rule(seconds=st.one_of(st.floats(0.1, 15), st.sampled_from((61.0, 601.0, 3600.0))))
    def wait(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)

    @rule(host=hosts)
    def suspect(self, host: str) -> None:
        job = self.book.jobs.get(host)
        if begins_anew(job, "fault"):
            fresh = suspected(host, ZONES[host], "fault", job, epoch=1, now=self.now)
            self.book.take([fresh])

    @rule(host=few, seconds=st.sampled_from((0.5, 4.0, 11.0, 200.0)))
    def fail(self, host: str, seconds: float) -> None:
        """A host is lost for sure, and is to be cut off."""
        self.wait(seconds)
        for reporter in ("ping", "peers"):
            self._hear(host, reporter, Says.DEAD)
        self.suspect(host)
        self._weigh(host)

    @precondition(lambda self: any(job.state is FenceState.SUSPECT for job in self.book.jobs.values()))
    @rule(data=st.data())
    def weigh(self, data: st.DataObject) -> None:
        waiting = sorted(host for host, job in self.book.jobs.items() if job.state is FenceState.SUSPECT)
        self._weigh(data.draw(st.sampled_from(waiting)))

    def _weigh(self, host: str) -> None:
        if self.book.jobs[host].state is not FenceState.SUSPECT:
            return
        ruling = ask(self._scene(host), LIMITS)
        if not ruling.objections:
            self._check(host)
            after = moved(self.book.jobs[host], Trigger.AUTHORISE, epoch=1, now=self.now)
            self.book.take([after])
            self.cut.append((self.now, host))

    @precondition(lambda self: any(job.state not in RESTING for job in self.book.jobs.values()))
    @rule(data=st.data())
    def go_on(self, data: st.DataObject) -> None:
        """Whatever may follow, follows."""
        active = sorted(host for host, job in self.book.jobs.items() if job.state not in RESTING)
        job = self.book.jobs[data.draw(st.sampled_from(active))]
        trigger = data.draw(st.sampled_from([one for one in Trigger if one is not Trigger.AUTHORISE]))
        try:
            after = moved(job, trigger, epoch=1, now=self.now)
        except LookupError:
            return
        assert after.revision == job.revision + 1
        self.book.take([after])

    def _scene(self, host: str) -> Scene:
        zone = ZONES[host]
        rack = frozenset(one for one, name in RACKS.items() if name == RACKS[host])
        silent = silent_since(self.book.statements, WITNESSES, self.now)
        return Scene(
            host=host,
            zone=zone,
            now=self.now,
            judgement=judge(host, self.book.statements, WITNESSES, ZONES, LIMITS, self.now),
            hosts=frozenset(ZONES),
            zone_hosts=frozenset(one for one, name in ZONES.items() if name == zone),
            out=frozenset(silent),
            silent=silent,
            domains={RACKS[host]: rack},
            spent=self.book.spent,
            running=self.book.running(host),
        )

    # --- the simple second version ---

    def _check(self, host: str) -> None:
        said = self.book.statements.get(host, {})
        fresh = {
            name: one
            for name, one in said.items()
            if name in WITNESSES
            and (name == "ping" or self.now - one.time <= timedelta(seconds=60))
            and (name != "switch" or host.startswith("a"))
        }
        classes = {WITNESSES[name].vantage for name, one in fresh.items() if one.says is Says.DEAD}
        assert len(classes) >= 2, "one kind of evidence [I-12]"
        assert not any(one.says is Says.ALIVE for one in fresh.values()), "somebody sees it"
        lately = [(time, one) for time, one in self.cut if self.now - time < timedelta(minutes=10)]
        in_zone = {one for _, one in lately if ZONES[one] == ZONES[host] and one != host}
        assert len(in_zone) < max(1, sum(zone == ZONES[host] for zone in ZONES.values()) // 10)
        assert sum(time > self.now - timedelta(seconds=10) for time, _ in self.cut) < 2, "too quick"
        own = [time for time, one in self.cut if one == host]
        assert sum(self.now - time < timedelta(minutes=15) for time in own) < 2
        assert sum(self.now - time < timedelta(hours=24) for time in own) < 3
        others = [one for one in self.book.jobs.values() if one.state in UNDER_WAY and one.host != host]
        assert len(others) < 3

    @invariant()
    def a_sign_of_life_is_never_older_than_asked_for(self) -> None:
        for host in ("a0", "b0"):
            found = signs_of_life(host, self.book.statements, WITNESSES, self.now)
            assert all(one.time >= self.now and one.says is Says.ALIVE for one in found)


TestBrakes = Site.TestCase
TestBrakes.settings = settings(max_examples=60, stateful_step_count=60, deadline=None)
