"""Silences of everybody, whatever monitors do and whenever Doctor restarts, against a simple model [I-8]."""

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
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.model.identity import Identity, Role
from doctor.model.silence import Audience, Silence, SilenceMatcher
from doctor.model.subscription import Subscription
from doctor.notifier.silence_life import SilenceEdit, SilenceOrder
from doctor.testing.channel import FakeChannel
from doctor.testing.clock import START, LoopClock, ManualClock
from doctor.testing.scenario import Report
from tests.scenarios.nfvi import FAULTS, small_nfvi
from tests.scenarios.test_alarms import GRADED

T = TypeVar("T")

PEOPLE = {
    "red": Identity(name="red", role=Role.CONSUMER, project="red"),
    "blue": Identity(name="blue", role=Role.CONSUMER, project="blue"),
    "noc": Identity(name="noc", role=Role.OPERATOR),
}
HOST_OF = {"vm-1": "compute-1", "vm-2": "compute-2", "vm-3": "compute-1"}
OWNER_OF = {"vm-1": "red", "vm-2": "red", "vm-3": "blue"}
WHICH = st.integers(0, 9)
SAID = st.tuples(
    st.sampled_from(["compute-1", "compute-1", "compute-2"]), st.sampled_from(["critical", "minor", "up"])
)
EXAMPLES = 300 if os.environ.get("DOCTOR_SOAK") else 100


class SilenceLife(RuleBasedStateMachine):
    """Two hosts with three machines of two owners, who hear of them, as the Administrator does, unless silenced."""

    @initialize()
    def begin(self) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.resources = small_nfvi()
        self.reports = 0
        self.severity: dict[str, str] = {}  # of the open faults, by host
        self.silences: dict[str, Silence] = {}
        self.believed: dict[str, dict[str, str]] = {name: {} for name in PEOPLE}  # by resource
        self.restart()
        self.subscribed: dict[str, Subscription] = {}
        for name, identity in PEOPLE.items():
            asked = self.subscriptions.create(identity, FAULTS, [], resource_ids=[])
            self.subscribed[name] = self.do(asked)[0]

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
        self.situation = Situation(self.store, selector, resources=self.resources)
        delivery = DeliveryFlow(self.store, channel, clock, lambda *_: None)
        self.agenda = Agenda(clock)
        self.faults = FaultFlow(self.situation, delivery, Timelines(self.store), self.agenda, clock)
        acknowledgements = AcknowledgementFlow(self.situation, delivery, clock)
        self.subscriptions = SubscriptionFlow(self.situation, delivery, acknowledgements, channel, clock)
        self.flow = SilenceFlow(self.situation, delivery, self.agenda, clock)
        self.do(self.situation.load())
        self.flow.start()
        self.do(self.agenda.due(clock.now()))

    @rule(said=SAID)
    def monitor_says(self, said: tuple[str, str]) -> None:
        self.monitor(*said)

    def monitor(self, host: str, said: str) -> None:
        """Let the monitor say how a host is."""
        self.reports += 1
        self.clock.advance(0.001)
        status, severity = ("up", "") if said == "up" else ("down", "minor" if said == "minor" else "")
        second = (self.clock.now() - START).total_seconds()
        event = Report("compute.host.down", host, status=status, severity=severity).event(second)
        self.do(self.faults.accept([Reported([event], "m", b"{}", self.clock.now())]))
        if said == "up":
            self.severity.pop(host, None)
        else:
            self.severity[host] = said
        self.settle()

    @rule(
        who=st.sampled_from(sorted(PEOPLE)),
        name=st.sampled_from(["vm-1", "vm-*", "compute-1", "compute-*"]),
        audience=st.sampled_from([Audience.ADMINISTRATOR, Audience.EVERYBODY]),
        delay=st.sampled_from([0, 0, 30]),
        seconds=st.integers(1, 90),
    )
    def silence(self, who: str, name: str, audience: Audience, delay: int, seconds: int) -> None:
        now = self.clock.now()
        order = SilenceOrder(
            matcher=SilenceMatcher(resource_id=(name,)),
            audience=audience if who == "noc" else None,
            owner=who,
            reason="work",
            start=now + timedelta(seconds=delay),
            end=now + timedelta(seconds=delay + seconds),
            duration=None,
            everything=True,
        )
        made, _ = self.do(self.flow.create(PEOPLE[who], order))
        self.silences[made.silence_id] = made

    @rule(
        who=st.sampled_from(sorted(PEOPLE)),
        audience=st.sampled_from([Audience.ADMINISTRATOR, Audience.EVERYBODY]),
        before=st.lists(SAID, max_size=2),
        within=st.lists(SAID, min_size=2, max_size=4),
        then=st.sampled_from(["wait", "end", "restart", "go on"]),
    )
    def planned_work(
        self,
        who: str,
        audience: Audience,
        before: list[tuple[str, str]],
        within: list[tuple[str, str]],
        then: str,
    ) -> None:
        """What else would take chance too long to find."""
        for said in before:
            self.monitor(*said)
        self.silence(who, "vm-*" if who != "noc" else "compute-*", audience, 0, 50)
        for said in within:
            self.monitor(*said)
        if then == "wait":
            self.wait(60)
        elif then == "end":
            self.end(len(self.silences) - 1)
        elif then == "restart":
            self.restart()

    @precondition(lambda self: self.silences)
    @rule(which=WHICH)
    def end(self, which: int) -> None:
        silence_id = list(self.silences)[which % len(self.silences)]
        self.silences[silence_id] = self.do(self.flow.end(PEOPLE["noc"], silence_id))
        self.settle()

    @precondition(lambda self: any(one.until > self.clock.now() for one in self.silences.values()))
    @rule(which=WHICH, seconds=st.integers(1, 60))
    def change(self, which: int, seconds: int) -> None:
        now = self.clock.now()
        lasting = [key for key, one in self.silences.items() if one.until > now]
        silence_id = lasting[which % len(lasting)]
        start = self.silences[silence_id].start
        edit = SilenceEdit(end=max(now, start) + timedelta(seconds=seconds))
        self.silences[silence_id] = self.do(self.flow.change(PEOPLE["noc"], silence_id, edit))
        self.settle()

    @rule(seconds=st.integers(1, 60))
    def wait(self, seconds: int) -> None:
        """Let time go by as it does: to each turn of a silence, one after the other."""
        end = self.clock.now() + timedelta(seconds=seconds)
        while True:
            turns = [turn for one in self.silences.values() for turn in (one.start, one.until)]
            now = self.clock.now()
            turn = min((turn for turn in turns if now < turn <= end), default=end)
            self.clock.advance((turn - now).total_seconds())
            self.do(self.agenda.due(self.clock.now()))
            self.settle()
            if turn == end:
                return

    # --- the simple model: one believes what is so, unless one is silenced; an end is believed if the fault was ---

    def settle(self) -> None:
        now = self.clock.now()
        for name in PEOPLE:
            believed = self.believed[name]
            for resource_id in ("compute-1", "compute-2", *HOST_OF):
                if name not in ("noc", OWNER_OF.get(resource_id)):
                    continue
                severity = self.severity.get(HOST_OF.get(resource_id, resource_id))
                if severity is None:
                    believed.pop(resource_id, None)
                elif not self.is_silenced(name, resource_id, now):
                    believed[resource_id] = severity

    def is_silenced(self, listener: str, resource_id: str, now: datetime) -> bool:
        for one in self.silences.values():
            if not one.start <= now < one.until:
                continue
            pattern = one.matcher.resource_id[0]
            above = HOST_OF.get(resource_id, resource_id)
            if one.project is not None:
                reaches = one.project == listener and matches(pattern, resource_id)
            else:
                hears = listener == "noc" or one.audience is Audience.EVERYBODY
                reaches = hears and (matches(pattern, resource_id) or matches(pattern, above))
            if reaches:
                return True
        return False

    @invariant()
    def everybody_believes_what_he_should(self) -> None:
        """Read out of all that was ever told to each, in order; no end of what was never begun, no beginning twice."""
        for name, subscription in getattr(self, "subscribed", {}).items():
            rows = self.do(self.store.notifications(subscription.subscription_id, after=0, limit=10**6))
            alarms: dict[str, tuple[str, str]] = {}
            for row in rows:
                message = msgspec.json.decode(row.body)
                for side in ("virtual", "physical"):
                    for info in message.get(f"{side}_resource_info", ()):
                        (fault,) = info["faults"]
                        key = fault["alarm_id"]
                        kind = message["notification_type"]
                        assert (kind == "fault") is (key not in alarms), (name, message)
                        alarms[key] = (info[f"{side}_resource_id"], fault["perceived_severity"])
            told = {
                resource_id: severity for resource_id, severity in alarms.values() if severity != "cleared"
            }
            assert told == self.believed[name]

    @invariant()
    def nothing_is_owed_for_what_is_over(self) -> None:
        if hasattr(self, "situation"):
            book = self.situation.book
            for fault_key, unheard in self.situation.unheard.items():
                record = book.fault(fault_key)
                assert record is not None
                open_ids = {alarm.alarm_id for alarm in record.alarms.values()}
                assert unheard.owners.keys() | unheard.administrator.keys() <= open_ids


def matches(pattern: str, resource_id: str) -> bool:
    return resource_id.startswith(pattern[:-1]) if pattern.endswith("*") else resource_id == pattern


TestSilenceLife = SilenceLife.TestCase
TestSilenceLife.settings = settings(max_examples=EXAMPLES, stateful_step_count=20, deadline=None)
