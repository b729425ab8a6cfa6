"""The life of alarms, whatever people and monitors do in whatever order, against a simple model [D 5.5.3]."""

import asyncio
import os
from collections.abc import Coroutine
from datetime import datetime, timedelta
from typing import Any, TypeVar

import msgspec
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.agenda import Agenda
from doctor.flows.alarm import AlarmAction, AlarmFlow
from doctor.flows.alarm_history import AlarmHistory
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.model.alarm_note import AckState
from doctor.model.errors import Reason, RejectedError
from doctor.model.history import Happening
from doctor.model.identity import Identity, Role
from doctor.model.subscription import SubscribeFilter
from doctor.testing.channel import FakeChannel
from doctor.testing.clock import START, LoopClock, ManualClock
from doctor.testing.scenario import Report
from tests.scenarios.nfvi import small_nfvi
from tests.scenarios.test_alarms import GRADED

T = TypeVar("T")

PEOPLE = {
    "owner": Identity(name="owner", role=Role.CONSUMER, project="red"),
    "stranger": Identity(name="stranger", role=Role.CONSUMER, project="blue"),
    "operator": Identity(name="operator", role=Role.OPERATOR),
}
WHO = st.sampled_from(sorted(PEOPLE))
WHOSE = {"compute-1": ("operator",), "vm-1": ("owner", "operator")}
WHAT = st.sampled_from(sorted(WHOSE))
EXAMPLES = 300 if os.environ.get("DOCTOR_SOAK") else 60


class Believed:
    """One alarm in the simple model."""

    def __init__(self, alarm_id: str, severity: str) -> None:
        self.alarm_id = alarm_id
        self.severity = severity
        self.told = severity  # what its owner was told last
        self.is_open = True
        self.acknowledged_by: str | None = None
        self.until: datetime | None = None
        self.comments: list[str] = []


class AlarmLife(RuleBasedStateMachine):
    """A host with a machine, a monitor, an owner, a stranger and an operator; time goes on, and Doctor restarts."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.believed: dict[str, Believed] = {}
        self.past: list[Believed] = []
        self.reports = 0
        self.restart()
        asked = self.subscriptions.create(PEOPLE["owner"], SubscribeFilter(), [], resource_ids=[])
        self.subscription = self.do(asked)[0]

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    @rule()
    def restart(self) -> None:
        """Forget all that was only in memory."""
        clock = self.clock
        channel = FakeChannel(LoopClock())
        selector = Selector(parse_policy(f"{GRADED}\ndamping: off\n", default_catalogue()).policy)
        self.situation = Situation(self.store, selector, resources=small_nfvi())
        timelines = Timelines(self.store)
        delivery = DeliveryFlow(self.store, channel, clock, lambda *_: None)
        self.agenda = Agenda(clock)
        self.faults = FaultFlow(self.situation, delivery, timelines, self.agenda, clock)
        acknowledgements = AcknowledgementFlow(self.situation, delivery, clock)
        self.subscriptions = SubscriptionFlow(self.situation, delivery, acknowledgements, channel, clock)
        self.alarms = AlarmFlow(self.situation, self.faults, delivery, self.agenda, clock)
        self.history = AlarmHistory(self.situation, timelines)
        self.do(self.situation.load())
        self.alarms.start()

    @rule(said=st.sampled_from(["critical", "minor", "critical", "minor", "up"]))
    def monitor(self, said: str) -> None:
        """Let the monitor say how the host is."""
        if said == "up":
            self.report("up", "")
            self.end()
            return
        self.report("down", "minor" if said == "minor" else "")
        for resource_id in WHOSE:
            known = self.believed.get(resource_id)
            if known is None:
                record = next(iter(self.situation.book))
                self.believed[resource_id] = Believed(record.alarms[resource_id].alarm_id, said)
            else:
                known.severity = said
                if known.until is None:
                    known.told = said

    def report(self, status: str, severity: str) -> None:
        self.reports += 1
        self.clock.advance(0.001)
        said = Report("compute.host.down", "compute-1", status=status, severity=severity)
        second = (self.clock.now() - START).total_seconds()
        event = said.event(second)
        self.do(self.faults.accept([Reported([event], "m", b"{}", self.clock.now())]))

    def end(self) -> None:
        for known in self.believed.values():
            known.is_open, known.until, known.told = False, None, "cleared"
            self.past.append(known)
        self.believed = {}

    def targets(self, resource_id: str) -> list[Believed]:
        known = self.believed.get(resource_id)
        past = [one for index, one in enumerate(self.past) if sorted(WHOSE)[index % 2] == resource_id]
        return [known] if known else past[-1:]

    @precondition(lambda self: self.believed or self.past)
    @rule(who=WHO, resource_id=WHAT, action=st.sampled_from(AlarmAction), minutes=st.integers(-1, 5))
    def act(self, who: str, resource_id: str, action: AlarmAction, minutes: int) -> None:
        for known in self.targets(resource_id):
            self.act_on(known, who, resource_id, action, minutes)

    @precondition(lambda self: self.believed)
    @rule(resource_id=WHAT, minutes=st.integers(1, 5))
    def shelve(self, resource_id: str, minutes: int) -> None:
        self.act(WHOSE[resource_id][0], resource_id, AlarmAction.SHELVE, minutes)

    @precondition(lambda self: any(one.until for one in self.believed.values()))
    @rule(
        said=st.sampled_from(["critical", "minor"]), action=st.sampled_from(["wait", "unshelve", "restart"])
    )
    def change_behind_the_shelf(self, said: str, action: str) -> None:
        """What else would take chance too long to find."""
        self.monitor(said)
        if action == "wait":
            self.wait(200)
        elif action == "restart":
            self.restart()
        else:
            self.act("owner", "vm-1", AlarmAction.UNSHELVE, 0)

    def act_on(self, known: Believed, who: str, resource_id: str, action: AlarmAction, minutes: int) -> None:
        now = self.clock.now()
        until = now + timedelta(minutes=minutes) if action is AlarmAction.SHELVE else None
        is_mine = who in WHOSE[resource_id]
        wrong = {
            AlarmAction.CLEAR: who != "operator" or (known.is_open and resource_id != "compute-1"),
            AlarmAction.SHELVE: not known.is_open or minutes <= 0,
        }.get(action, False)
        try:
            self.do(self.alarms.act(PEOPLE[who], known.alarm_id, action, until=until))
        except RejectedError as error:
            assert not is_mine or wrong, error
            assert (error.reason is Reason.NOT_FOUND) is not is_mine
            return
        assert is_mine
        assert not wrong
        match action:
            case AlarmAction.ACKNOWLEDGE:
                known.acknowledged_by = known.acknowledged_by or who
            case AlarmAction.UNACKNOWLEDGE:
                known.acknowledged_by = None
            case AlarmAction.SHELVE:
                known.until = until
            case AlarmAction.UNSHELVE:
                known.until = None
                known.told = known.severity if known.is_open else "cleared"
            case AlarmAction.CLEAR:
                if known.is_open:
                    self.end()

    @precondition(lambda self: self.believed)
    @rule(who=WHO, resource_id=WHAT, text=st.sampled_from(["a", "b"]))
    def comment(self, who: str, resource_id: str, text: str) -> None:
        known = self.believed[resource_id]
        try:
            self.do(self.alarms.comment(PEOPLE[who], known.alarm_id, text))
        except RejectedError:
            assert who not in WHOSE[resource_id]
        else:
            assert who in WHOSE[resource_id]
            known.comments.append(text)

    @rule(seconds=st.integers(1, 200))
    def wait(self, seconds: int) -> None:
        self.clock.advance(seconds)
        now = self.clock.now()
        self.do(self.agenda.due(now))
        for known in self.believed.values():
            if known.until is not None and known.until <= now:
                known.until, known.told = None, known.severity

    @invariant()
    def alarms_are_what_they_should_be(self) -> None:
        for known in (*getattr(self, "believed", {}).values(), *getattr(self, "past", [])[-2:]):
            record, alarm = self.do(self.alarms.find(PEOPLE["operator"], known.alarm_id))
            note = self.situation.notes.of(known.alarm_id)
            assert (alarm.cleared_time is None) is known.is_open
            assert alarm.severity.perceived == known.severity
            assert (note.user if note else None) == known.acknowledged_by
            ack_state = note.ack_state if note else AckState.UNACKNOWLEDGED
            assert (ack_state is AckState.ACKNOWLEDGED) is (known.acknowledged_by is not None)
            assert [one.text for one in (note.comments if note else ())] == known.comments
            if known.is_open:
                assert (note.shelving.until if note and note.shelving else None) == known.until
            assert record.fault.is_open is known.is_open

    @invariant()
    def the_owner_was_told_what_he_should_believe(self) -> None:
        """[I-8] What he was told last is how it stands, or how it stood when it was shelved."""
        if not hasattr(self, "subscription"):
            return
        key = self.subscription.subscription_id
        rows = self.do(self.store.notifications(key, after=0, limit=10**6))
        told: dict[str, str] = {}
        for row in rows:
            (info,) = msgspec.json.decode(row.body)["virtual_resource_info"]
            (fault,) = info["faults"]
            assert info["virtual_resource_id"] == "vm-1"
            told[fault["alarm_id"]] = fault["perceived_severity"]
        machines = [self.believed.get("vm-1"), *self.past[1::2]]
        assert told == {one.alarm_id: one.told for one in machines if one is not None}

    @precondition(lambda self: "vm-1" in self.believed)
    @rule()
    def read_history(self) -> None:
        """It is in order, ends as things stand, and the owner was told of every step or there is a reason."""
        known = self.believed["vm-1"]
        found = self.do(self.alarms.find(PEOPLE["owner"], known.alarm_id))
        items = self.do(self.history.of(*found, "red"))
        assert items[0].what is Happening.RAISED
        assert [one.time for one in items] == sorted(one.time for one in items)
        steps = [one for one in items if one.what in (Happening.RAISED, Happening.CHANGED)]
        assert steps[-1].perceived_severity == known.severity
        quiet = {one.reason for one in items if one.what is Happening.NOT_TOLD}
        assert quiet <= {"the alarm was shelved"}
        about = [one for one in items if one.notification_type is not None]
        assert len(about) >= len(steps)


TestAlarmLife = AlarmLife.TestCase
TestAlarmLife.settings = settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
