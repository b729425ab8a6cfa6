"""Hosts of a session, their machines and owners in any order of events: what holds for the deciders together [I-26, I-28]."""

from datetime import datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule
from msgspec.structs import replace

from doctor.maintenance.guests import MOVES, Sight, decided, looked_at, opened, waits
from doctor.maintenance.stages import Trigger, may_begin, moved, outcome, verdict
from doctor.model.fault import ResourceState
from doctor.model.instruction import Task, TaskState
from doctor.model.maintenance import (
    Decider,
    Deed,
    Guest,
    GuestState,
    HostStage,
    HostWork,
    MaintenanceLimits,
    Session,
    SessionState,
)
from tests.unit.recovery.machines import NOON, facts, task

LIMITS = MaintenanceLimits(tries=2)
HOSTS = ("compute-1", "compute-2", "compute-3")
ELSEWHERE = "compute-9"
TIMEOUT = timedelta(seconds=60)
MACHINES = {f"vm-{host[-1]}{n}": host for host in HOSTS for n in range(2)}
AWAY = (HostStage.EMPTYING, HostStage.EMPTY)
NAMES = st.sampled_from(sorted(MACHINES))
DEEDS = st.sampled_from([Deed.MIGRATE, Deed.STOP, Deed.OWN_ACTION, Deed.LEAVE])


class Emptying(RuleBasedStateMachine):
    """One session; whatever is told to a machine is done, fails or is left undone."""

    @initialize(at_once=st.sampled_from([None, 1, 2]))
    def ask(self, at_once: int | None) -> None:
        self.now: datetime = NOON
        self.session = Session(
            session_id="s-1",
            user="alice",
            reason="firmware",
            hosts=HOSTS,
            created=NOON,
            starts=NOON,
            timeout=TIMEOUT,
            at_once=at_once,
            state=SessionState.RUNNING,
        )
        self.works = {host: HostWork(session_id="s-1", host=host) for host in HOSTS}
        self.where = dict(MACHINES)
        self.off: set[str] = set()
        self.out: set[str] = set()
        self.tasks: dict[str, Task] = {}
        self.agreed: set[str] = set()
        self.answers: list[tuple[SessionState, str]] = []

    def sight(self, guest: Guest) -> Sight:
        name = guest.resource_id
        known: dict[str, Any] = {"vim_state": "stopped"} if name in self.off else {}
        last = self.tasks.get(guest.tries[-1]) if guest.tries else None
        return Sight(facts(id=name, host=self.where[name], **known), task=last)

    # --- what happens ---

    @rule(seconds=st.sampled_from([1, 5, 31, 61]))
    def time_passes(self, seconds: int) -> None:
        self.now += timedelta(seconds=seconds)
        self.look()

    @rule(name=NAMES, deed=DEEDS)
    def owner_answers(self, name: str, deed: Deed) -> None:
        work = self.works[MACHINES[name]]
        guest = work.guest(name)
        if guest is None or work.stage is not HostStage.EMPTYING:
            return
        if guest.state in (GuestState.MOVING, GuestState.AWAY):
            return
        if deed is not Deed.LEAVE:
            self.agreed.add(name)
        after = decided(guest, deed, Decider.OWNER, self.sight(guest), self.now)
        self.works[work.host] = work.with_guest(after)
        self.look()

    @rule(name=NAMES, is_done=st.booleans())
    def what_was_told_ends(self, name: str, is_done: bool) -> None:
        guest = self.works[MACHINES[name]].guest(name)
        last = self.tasks.get(guest.tries[-1]) if guest is not None and guest.tries else None
        if guest is None or last is None or last.state is not TaskState.RUNNING:
            return
        if is_done and guest.deed in MOVES:
            self.where[name] = ELSEWHERE
        elif is_done:
            self.off.add(name)
        state = TaskState.SUCCEEDED if is_done else TaskState.FAILED
        self.tasks[guest.tries[-1]] = replace(last, state=state, ended=self.now)
        self.look()

    @rule(name=NAMES, is_there=st.booleans(), is_off=st.booleans())
    def somebody_else_moves_it(self, name: str, is_there: bool, is_off: bool) -> None:
        self.where[name] = MACHINES[name] if is_there else ELSEWHERE
        (self.off.add if is_off else self.off.discard)(name)
        self.look()

    @rule(host=st.sampled_from(HOSTS), is_out=st.booleans())
    def host_fails_or_returns(self, host: str, is_out: bool) -> None:
        (self.out.add if is_out else self.out.discard)(host)
        self.look()

    @precondition(lambda self: any(one.stage is HostStage.EMPTY for one in self.works.values()))
    @rule()
    def work_is_done(self) -> None:
        host = next(name for name, one in self.works.items() if one.stage is HostStage.EMPTY)
        self.works[host] = moved(self.works[host], Trigger.GIVE_BACK, self.now)
        self.look()

    @rule(host=st.sampled_from(HOSTS))
    def called_off(self, host: str) -> None:
        if not self.works[host].stage.is_over:
            self.works[host] = moved(self.works[host], Trigger.ABORT, self.now, reason="called off")
        self.look()

    # --- one look, as the flow takes it ---

    def look(self) -> None:
        for work in may_begin(self.session, self.works.values(), self.now):
            guests = []
            for name, host in MACHINES.items():
                if host == work.host and self.where[name] == host:
                    guest = Guest(resource_id=name, owner="red", state=GuestState.ASKED, told=self.now)
                    machine = self.sight(guest).facts
                    assert machine is not None
                    reply_by = self.now + TIMEOUT / 2
                    guests.append(opened(machine.machine, self.sight(guest), self.now, reply_by))
            began = moved(work, Trigger.BEGIN, self.now, deadline=self.now + TIMEOUT, guests=tuple(guests))
            self.works[work.host] = began
        for work in list(self.works.values()):
            if work.stage is HostStage.EMPTYING:
                self.works[work.host] = self.looked(work)
        end = outcome(self.session, self.works.values())
        if end is not None and not self.session.state.is_over:
            self.answers.append(end)
            self.session = replace(self.session, state=end[0])

    def looked(self, work: HostWork) -> HostWork:
        guests = []
        for guest in work.guests:
            after = looked_at(guest, work.host, self.sight(guest), self.now, LIMITS)
            if after.state is GuestState.AGREED and not waits(after, self.sight(after), self.now):
                name = f"i-{len(self.tasks)}"
                assert after.resource_id in self.agreed
                self.tasks[name] = task(state=TaskState.RUNNING, resource_id=after.resource_id)
                after = replace(
                    after,
                    state=GuestState.MOVING,
                    tries=(*after.tries, name),
                    attempts=after.attempts + 1,
                )
            guests.append(after)
        work = replace(work, guests=tuple(guests))
        state = ResourceState.DOWN if work.host in self.out else ResourceState.NORMAL
        found = verdict(work, state, self.now)
        return work if found is None else moved(work, found[0], self.now, reason=found[1])

    # --- what holds ---

    @invariant()
    def nobody_is_emptied_past_the_deadline(self) -> None:
        for work in self.works.values():
            if work.stage is HostStage.EMPTYING:
                assert work.deadline is not None and self.now < work.deadline
                assert work.began is not None and work.deadline == work.began + TIMEOUT

    @invariant()
    def no_more_are_away_than_may_be(self) -> None:
        away = sum(one.stage in AWAY for one in self.works.values())
        assert self.session.at_once is None or away <= self.session.at_once

    @invariant()
    def what_is_empty_was_left_or_is_off(self) -> None:
        for work in self.works.values():
            if work.stage is HostStage.EMPTY:
                assert all(one.state.is_out_of_the_way for one in work.guests)

    @invariant()
    def nothing_is_tried_for_ever(self) -> None:
        for work in self.works.values():
            assert all(one.attempts <= LIMITS.tries for one in work.guests)

    @invariant()
    def there_is_one_answer_when_all_is_settled(self) -> None:
        is_over = all(one.stage.is_over for one in self.works.values())
        assert len(self.answers) <= 1
        assert not is_over or len(self.answers) == 1


Emptying.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestEmptying = Emptying.TestCase
