"""The life of a subscription, whatever its owner, monitors, operators and maps do in whatever order [D 5.5.1].

Held against a simple model of who has to know what. It takes from Doctor which alarms are open, and nothing else.
"""

import asyncio
import os
from collections.abc import Coroutine
from typing import Any, NamedTuple, TypeVar

import msgspec
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.agenda import Agenda
from doctor.flows.alarm_list import AlarmListFlow
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.resource_map import replace_map
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.model.errors import RejectedError
from doctor.model.identity import Identity, Role
from doctor.model.notification import Notification, NotificationType, StoredNotification
from doctor.model.resource import Isolation, PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import (
    Acknowledge,
    Aggregate,
    SubscribeFilter,
    Subscription,
    TellingPolicy,
    When,
)
from doctor.testing.channel import FakeChannel
from doctor.testing.clock import START, LoopClock, ManualClock
from doctor.testing.scenario import Report

T = TypeVar("T")

RED = Identity(name="vnfm-red", role=Role.CONSUMER, project="red")
BLUE = Identity(name="vnfm-blue", role=Role.CONSUMER, project="blue")
OPERATOR = Identity(name="operator", role=Role.OPERATOR)
HOSTS = ("compute-1", "compute-2", "compute-3")
# Red's machines, with their groups; one of each group is on each of two hosts, and blue is everywhere.
MACHINES = {
    "vm-a1": ("compute-1", "a"),
    "vm-a2": ("compute-2", "a"),
    "vm-b1": ("compute-1", "b"),
    "vm-b2": ("compute-3", "b"),
    "vm-loner": ("compute-2", None),
}
POLICY = """
version: 1
damping: off
faults:
  - {name: host-down, when: {type: compute.host.down}}
  - {name: disk, when: {type: compute.disk.aging}, severity: warning, state: normal}
  - {name: instance-down, when: {type: compute.instance.down}}
propagate:
  - {from: host, kind: hosts, state: down, to_state: error, severity: same}
  - {from: host, kind: hosts, state: normal, to_state: normal, severity: same}
"""
POLICIES = st.builds(
    TellingPolicy,
    clear=st.sampled_from([True, True, False]),
    when=st.sampled_from(When),
    aggregate=st.none()
    | st.builds(Aggregate, group=st.sampled_from(["a", "b"]), more_than=st.sampled_from([0, 1, 1])),
    acknowledge=st.sampled_from(Acknowledge),
)
TROUBLES = st.sampled_from(
    [
        *((host, "compute.host.down") for host in HOSTS),
        ("compute-1", "compute.disk.aging"),
        ("vm-a1", "compute.instance.down"),
        ("vm-loner", "compute.instance.down"),
    ]
)
EXAMPLES = 400 if os.environ.get("DOCTOR_SOAK") else 80


class Open(NamedTuple):
    """An open alarm of red, as far as it matters to who is told."""

    machine: str
    is_out: bool


class Told(NamedTuple):
    """What a notification said of one alarm."""

    kind: NotificationType
    machine: str
    alarm_id: str


class Model:
    """Who has to know what, counted from nothing after everything that happens."""

    def __init__(self, policy: TellingPolicy, groups: dict[str, str | None], alarms: dict[str, Open]) -> None:
        self.policy = policy
        self.knows = {key for key, one in alarms.items() if not self.is_member(one, groups)}
        self.promised = set(self.knows)
        self.exceeded = False

    def is_member(self, alarm: Open, groups: dict[str, str | None]) -> bool:
        wish = self.policy.aggregate
        return wish is not None and groups.get(alarm.machine) == wish.group

    def look(
        self,
        alarms: dict[str, Open],
        groups: dict[str, str | None],
        dangerous: set[str],
        *,
        counts: bool = True,
    ) -> tuple[set[str], set[str]]:
        """Return which alarms are to be told as new, and of which the end is."""
        over = self.knows - alarms.keys()
        self.knows -= over
        self.promised &= alarms.keys()
        members = {key: one for key, one in alarms.items() if self.is_member(one, groups)}
        wish = self.policy.aggregate
        limit = 0 if wish is None else wish.more_than
        too_many = counts and len({one.machine for one in members.values() if one.is_out}) > limit
        self.promised |= alarms.keys() - members.keys()
        self.promised |= {key for key, one in members.items() if one.is_out and too_many}
        waits = dangerous if self.policy.when is When.ISOLATED else set()
        news = {key for key in self.promised - self.knows if alarms[key].machine not in waits}
        self.knows |= news
        return news, over


class SubscriptionLife(RuleBasedStateMachine):
    """Hosts and machines that fail and move, an owner who changes his mind, and Doctor restarts."""

    @initialize(policy=POLICIES)
    def begin(self, policy: TellingPolicy) -> None:
        self.loop = asyncio.new_event_loop()
        self.clock = ManualClock()
        self.store = MemoryStore()
        self.places = {name: host for name, (host, _) in MACHINES.items()}
        self.resources = self.map()
        self.isolated: set[str] = set()
        self.read = 0
        self.unacknowledged: dict[str, StoredNotification] = {}
        self.subscription: Subscription | None = None
        self.restart()
        self.subscribe(policy)

    def do(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    def teardown(self) -> None:
        if hasattr(self, "loop"):
            self.loop.close()

    def map(self) -> ResourceMap:
        machines = [
            VirtualResource(id=name, host=self.places[name], owner="red", group=group)
            for name, (_, group) in MACHINES.items()
            if name in self.places
        ]
        blue = [VirtualResource(id=f"blue-{host}", host=host, owner="blue", group="a") for host in HOSTS]
        return ResourceMap([PhysicalResource(id=host) for host in HOSTS], [*machines, *blue])

    # --- what happens ---

    @rule()
    def restart(self) -> None:
        """Forget all that was only in memory."""
        clock = self.clock
        channel = FakeChannel(LoopClock())
        selector = Selector(parse_policy(POLICY, default_catalogue()).policy)
        self.situation = Situation(self.store, selector, resources=self.resources)
        delivery = DeliveryFlow(self.store, channel, clock, lambda *_: None)
        self.acknowledgements = AcknowledgementFlow(self.situation, delivery, clock)
        self.faults = FaultFlow(self.situation, delivery, Timelines(self.store), Agenda(clock), clock)
        self.subscriptions = SubscriptionFlow(self.situation, delivery, self.acknowledgements, channel, clock)
        self.lists = AlarmListFlow(self.situation, delivery, clock)
        self.do(self.situation.load())

    @rule(trouble=TROUBLES, status=st.sampled_from(["down", "down", "up"]))
    def monitor(self, trouble: tuple[str, str], status: str) -> None:
        resource, kind = trouble
        self.clock.advance(1.0)
        event = Report(kind, resource, status=status).event((self.clock.now() - START).total_seconds())
        self.do(self.faults.accept([Reported([event], "m", b"{}", self.clock.now())]))
        self.isolated -= {host for host in HOSTS if not self.situation.book.state_of(host).is_out}
        self.look()

    @rule(host=st.sampled_from(HOSTS), isolation=st.sampled_from([Isolation.ISOLATED, Isolation.FAILED]))
    def isolate(self, host: str, isolation: Isolation) -> None:
        if self.situation.book.state_of(host).is_out:
            self.do(self.faults.isolation_changed(host, isolation))
            if isolation is Isolation.ISOLATED:
                self.isolated.add(host)
            else:
                self.isolated.discard(host)
            self.look(counts=False)

    @rule(name=st.sampled_from(sorted(MACHINES)), host=st.sampled_from([*HOSTS, None]))
    def load_map(self, name: str, host: str | None) -> None:
        """Find out that a machine is somewhere else, or gone."""
        self.places.pop(name, None)
        if host is not None:
            self.places[name] = host
        self.clock.advance(1.0)
        self.do(replace_map(self.faults, self.map(), b"{}"))
        self.resources = self.situation.resources
        self.look()

    @rule(policy=POLICIES)
    def subscribe(self, policy: TellingPolicy) -> None:
        """Subscribe, or subscribe anew."""
        if self.subscription is not None:
            self.do(self.subscriptions.delete(RED, self.subscription.subscription_id))
            self.unacknowledged.clear()
            self.subscription = None
        self.clock.advance(1.0)
        asked = self.subscriptions.create(RED, SubscribeFilter(), [], resource_ids=[], policy=policy)
        if not self.has_group(policy):
            with pytest.raises(RejectedError):
                self.do(asked)
            return
        self.subscription, _ = self.do(asked)
        self.read = 0
        self.model = Model(policy, self.groups(), self.alarms())
        self.look()

    @precondition(lambda self: self.subscription is not None)
    @rule(policy=POLICIES)
    def change_policy(self, policy: TellingPolicy) -> None:
        assert self.subscription is not None
        asked = self.subscriptions.update(
            RED,
            self.subscription.subscription_id,
            asked=None,
            wishes=None,
            resource_ids=[],
            policy=policy,
        )
        if not self.has_group(policy):
            with pytest.raises(RejectedError):
                self.do(asked)
            return
        self.subscription = self.do(asked)
        if policy.acknowledge is Acknowledge.HTTP:
            self.unacknowledged.clear()
        self.model.policy = policy
        self.look()

    @precondition(lambda self: self.unacknowledged)
    @rule(data=st.data())
    def acknowledge(self, data: st.DataObject) -> None:
        key = data.draw(st.sampled_from(sorted(self.unacknowledged)))
        self.do(self.acknowledgements.acknowledge(self.unacknowledged.pop(key)))

    @precondition(lambda self: self.subscription is not None)
    @rule()
    def rebuild_the_list(self) -> None:
        """It says what the owner may know by now, and nothing that is held back from him."""
        self.clock.advance(1.0)
        self.do(self.lists.rebuild(user="operator"))
        (row,) = self.news()
        message = msgspec.json.decode(row.body, type=Notification)
        assert message.notification_type is NotificationType.ALARM_LIST_REBUILT
        said = {fault.alarm_id for info in message.virtual_resource_info for fault in info.faults}
        waiting = self.situation.restraints.get(row.subscription_id)
        held = set() if waiting is None else set(waiting.held)
        assert said <= self.alarms().keys() - held
        assert said == self.model.knows & self.alarms().keys()

    @precondition(lambda self: self.subscription is not None)
    @rule(who=st.sampled_from([BLUE, OPERATOR]))
    def be_looked_at(self, who: Identity) -> None:
        """Others of the owner's kind cannot see it; nobody but him and the Administrator can."""
        assert self.subscription is not None
        key = self.subscription.subscription_id
        if who is BLUE:
            with pytest.raises(RejectedError):
                self.subscriptions.get(who, key)
            with pytest.raises(RejectedError):
                self.do(self.subscriptions.delete(who, key))
        else:
            assert self.subscriptions.get(who, key) == self.subscription

    # --- what the owner has to know ---

    def has_group(self, policy: TellingPolicy) -> bool:
        wish = policy.aggregate
        return wish is None or wish.group in self.groups().values()

    def groups(self) -> dict[str, str | None]:
        return {name: MACHINES[name][1] for name in self.places}

    def alarms(self) -> dict[str, Open]:
        return {
            alarm.alarm_id: Open(alarm.resource_id, alarm.resource_state.is_out)
            for record in self.situation.book
            for alarm in record.alarms.values()
            if alarm.project == "red"
        }

    def news(self) -> list[StoredNotification]:
        assert self.subscription is not None
        key = self.subscription.subscription_id
        rows = list(self.do(self.store.notifications(key, after=self.read, limit=100)))
        assert [row.sequence for row in rows] == list(range(self.read + 1, self.read + 1 + len(rows)))
        self.read += len(rows)
        if self.subscription.acknowledge is Acknowledge.EXPLICIT:
            self.unacknowledged |= {row.notification_id: row for row in rows}
        return rows

    def look(self, *, counts: bool = True) -> None:
        """Hold what was told against what had to be."""
        if self.subscription is None:
            return
        book = self.situation.book
        dangerous = {
            name
            for name, host in self.places.items()
            if book.state_of(host).is_out and host not in self.isolated
        }
        news, over = self.model.look(self.alarms(), self.groups(), dangerous, counts=counts)
        told = [one for row in self.news() for one in _told(row)]
        began = [one.alarm_id for one in told if one.kind is NotificationType.FAULT]
        assert sorted(began) == sorted(news)
        corrected = {one.alarm_id for one in told if one.kind is NotificationType.CORRECTION}
        ended = corrected | {one.alarm_id for one in told if one.kind is NotificationType.FAULT_CLEARED}
        assert ended == (over if self.subscription.clear else over & corrected)
        assert {one.alarm_id for one in told} <= self.model.knows | over
        assert all(one.machine in MACHINES for one in told)

    @invariant()
    def nothing_is_forgotten_that_waits(self) -> None:
        if getattr(self, "subscription", None) is None:
            return
        assert self.situation.open.keys() == self.unacknowledged.keys()
        held = {key for one in self.situation.restraints.values() for key in one.held}
        assert held == self.model.promised - self.model.knows


def _told(row: StoredNotification) -> list[Told]:
    message = msgspec.json.decode(row.body, type=Notification)
    return [
        Told(message.notification_type, info.virtual_resource_id, fault.alarm_id)
        for info in message.virtual_resource_info
        for fault in info.faults
    ]


TestSubscriptionLife = pytest.mark.requirement("B12", "B20", "B27", "D4", "D5")(SubscriptionLife.TestCase)
TestSubscriptionLife.settings = settings(max_examples=EXAMPLES, stateful_step_count=30, deadline=None)
