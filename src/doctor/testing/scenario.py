"""Tell a story to the production flows, and say who must hear what, and when::

    story = Scenario(resources)
    story.at(0.0).subscribe("vnfm-a", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-a").between(1.0, 2.0).gets("vm-1 is error")
    story.play()

Time is virtual: hours of repeated attempts take milliseconds, and what happens when is exact. The flows, the Situation
and the timelines are those of a running Doctor; the network is a `FakeChannel`, and state is in memory unless the
story brings a store of its own. What a consumer gets that nobody wanted is as wrong as what it misses. Beyond that,
every story is held to the promises that no story may break; see `_Promises`.

Consumers are called by the name they subscribed with, ``vnfm-a``; that is all its endpoints, ``vnfm-a/1`` the second.
"""

import asyncio
from collections import defaultdict
from collections.abc import Awaitable, Callable, Coroutine, Iterator
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import looptime
import msgspec

from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.agenda import Agenda
from doctor.flows.alarm import AlarmAction, AlarmFlow
from doctor.flows.alarm_history import AlarmHistory
from doctor.flows.alarm_list import AlarmListFlow
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import Accepted, FaultFlow, Reported
from doctor.flows.heartbeat import Heartbeats
from doctor.flows.outage import OutageFlow
from doctor.flows.policy import PolicyFlow
from doctor.flows.replay import Replay, ReplayFlow
from doctor.flows.resource_map import replace_map
from doctor.flows.service_levels import ServiceLevels
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import Situation
from doctor.flows.subscription import EndpointWish, SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue, default_policy_text
from doctor.inspector.escalation import Move
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.model.errors import RejectedError, StoreError
from doctor.model.event import RawEvent
from doctor.model.identity import Identity, Role
from doctor.model.map_news import MapDelta
from doctor.model.notification import (
    Delivered,
    Delivery,
    DeliveryState,
    NotificationType,
    StoredNotification,
)
from doctor.model.resource import Isolation
from doctor.model.resource_map import ResourceMap
from doctor.model.silence import Audience, Silence, SilenceMatcher
from doctor.model.subscription import SubscribeFilter, Subscription, TellingPolicy
from doctor.notifier.silence_life import SilenceOrder
from doctor.ports.store import Store
from doctor.profiler.availability import SHIPPED, Levels
from doctor.testing.channel import Answer, Attempt, FakeChannel
from doctor.testing.clock import START, LoopClock

LINGER = 1.0
EVERYTHING = 1_000_000
EVERYTHING_OF_MINE = SubscribeFilter()

Action = Callable[[], Awaitable[None] | None]


# --- what monitors say ---


@dataclass(frozen=True)
class Report:
    """An event to be. Without ``seen`` (a second of the story) it was seen when it is pushed."""

    type: str
    resource: str
    status: str = "down"
    severity: str = ""
    source: str = "monitor"
    monitor_event_id: str = ""
    resource_type: str = ""
    seen: float | None = None
    details: dict[str, Any] = field(default_factory=dict)

    def event(self, second: float) -> RawEvent:
        """Return the raw event as it is reported in this second of the story."""
        said = {"hostname": self.resource, "status": self.status, **self.details}
        return RawEvent(
            time=START + timedelta(seconds=second if self.seen is None else self.seen),
            type=self.type,
            resource=self.resource,
            resource_type=self.resource_type,
            source=self.source,
            status=self.status,
            severity=self.severity,
            monitor_event_id=self.monitor_event_id,
            raw_details=msgspec.json.encode(said),
        )


def down(event_type: str, resource: str, **said: Any) -> Report:
    """Say that something broke: a type of the fault catalogue, and where."""
    return Report(event_type, resource, **said)


def up(event_type: str, resource: str, **said: Any) -> Report:
    """Say that it works again."""
    return Report(event_type, resource, status="up", **said)


def host_down(host: str, **said: Any) -> Report:
    """Say that a host died."""
    return down("compute.host.down", host, **said)


def host_up(host: str, **said: Any) -> Report:
    """Say that a host is back."""
    return up("compute.host.down", host, **said)


def foreseen(
    event_type: str, resource: str, *, lead: float, sure: float | None = None, **said: Any
) -> Report:
    """Say that something will break in so many seconds, and how surely."""
    details = {"predicted_in": lead, **({} if sure is None else {"confidence": sure})}
    return Report(f"{event_type}.predicted", resource, status="", details=details, **said)


def taken_back(event_type: str, resource: str, **said: Any) -> Report:
    """Say that it will not break after all."""
    return Report(f"{event_type}.predicted", resource, status="withdrawn", **said)


def switch_down(switch: str, **said: Any) -> Report:
    """Say that a switch died."""
    return down("network.switch.down", switch, **said)


def switch_up(switch: str, **said: Any) -> Report:
    """Say that a switch is back."""
    return up("network.switch.down", switch, **said)


# --- what consumers hear ---


@dataclass(frozen=True)
class Heard:
    """A notification as an endpoint received it, ``at`` a second of the story."""

    at: float
    sequence: int
    kind: NotificationType
    says: frozenset[str]
    notification: StoredNotification

    @property
    def message(self) -> Any:
        """Return the body, decoded."""
        return msgspec.json.decode(self.notification.body)

    def __str__(self) -> str:
        return f"{self.at:9.3f}  {self.kind} #{self.sequence}: {'; '.join(sorted(self.says))}"


def sentences(message: Any) -> frozenset[str]:
    """Put a FaultNotification into words: ``vm-1 is error``, with the severity when that is not critical.

    What is over is of no severity: ``vm-1 is normal``, or ``vm-1 is error`` as long as another fault keeps it so.
    """
    said = set()
    for info in (*message.get("virtual_resource_info", ()), *message.get("physical_resource_info", ())):
        side = "virtual" if "virtual_resource_id" in info else "physical"
        told = {fault["perceived_severity"] for fault in info["faults"]} - {"critical", "cleared"}
        graded = "".join(f" ({severity})" for severity in sorted(told))
        said.add(f"{info[f'{side}_resource_id']} is {info[f'{side}_resource_state']}{graded}")
    for zone in message.get("capacity", ()):
        hosts, vcpus = zone.get("hosts"), zone["vcpus"]
        counted = f"{hosts['available']} of {hosts['total']} hosts, " if hosts else ""
        said.add(f"{zone['zone_id']} has {counted}{vcpus['available']} of {vcpus['total']} vcpus")
    if "vim" in message:
        said.add(f"{message['vim']['service']} is {message['vim']['perceived_severity']}")
    return frozenset(said)


@dataclass(frozen=True)
class _Wanted:
    start: float
    end: float
    kind: NotificationType
    says: frozenset[str]

    def is_met_by(self, heard: Heard) -> bool:
        in_time = self.start - 1e-6 <= heard.at <= self.end + 1e-6
        return in_time and heard.kind is self.kind and heard.says == self.says

    def __str__(self) -> str:
        return f"{self.start:9.3f} to {self.end:.3f}  {self.kind}: {'; '.join(sorted(self.says))}"


# --- one Doctor ---


class RunningFlows:
    """One Doctor from its start to its end, wired as the service does it: what is lost when the process dies."""

    def __init__(
        self,
        store: Store,
        channel: FakeChannel,
        clock: LoopClock,
        resources: ResourceMap,
        selector: Selector,
        levels: Levels = SHIPPED,
    ) -> None:
        self.situation = Situation(store, selector, resources=resources)
        self.timelines = Timelines(store)
        self.delivery = DeliveryFlow(
            store, channel, clock, self._on_delivered, heartbeat_of=Heartbeats(self.situation, clock).of
        )
        self.acknowledgements = AcknowledgementFlow(self.situation, self.delivery, clock)
        self.agenda = Agenda(clock)
        self.faults = FaultFlow(self.situation, self.delivery, self.timelines, self.agenda, clock)
        self.subscriptions = SubscriptionFlow(
            self.situation, self.delivery, self.acknowledgements, channel, clock
        )
        self.replays = ReplayFlow(store, self.delivery)
        self.outages = OutageFlow(self.situation, self.delivery, self.faults, clock)
        self.alarms = AlarmFlow(self.situation, self.faults, self.delivery, self.agenda, clock)
        self.silences = SilenceFlow(self.situation, self.delivery, self.agenda, clock)
        self.service_levels = ServiceLevels(self.situation, self.faults, self.agenda, clock, levels)
        self.alarm_history = AlarmHistory(self.situation, self.timelines)
        self.alarm_list = AlarmListFlow(self.situation, self.delivery, clock)
        self._tasks: set[asyncio.Task[None]] = set()

    def _on_delivered(self, notification: StoredNotification, delivery: Delivery) -> None:
        if delivery.state is DeliveryState.DELIVERED and delivery.told and delivery.received:
            self.timelines.told(
                notification.fault_key,
                notification.subscription_id,
                notification.notification_id,
                delivery.told,
                delivery.received,
            )
            self.acknowledgements.delivered(notification, delivery)

    async def start(self, tasks: asyncio.TaskGroup) -> None:
        """Take over what the store has, and begin to deliver."""
        await self.situation.load()
        for subscription in self.situation.subscriptions:
            self.delivery.follow(subscription)
        self.alarms.start()
        self.silences.start()
        self.do(tasks, self.delivery.run())
        self.faults.start()
        self.service_levels.start()
        self.do(tasks, self.agenda.run())
        self.do(tasks, self.acknowledgements.run())
        self.do(tasks, self.outages.run())

    def do(self, tasks: asyncio.TaskGroup, work: Coroutine[Any, Any, None]) -> None:
        """Do something beside all else, until it is done or this Doctor dies."""
        task = tasks.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def die(self) -> None:
        """Stop in the middle of whatever is under way."""
        doing = list(self._tasks)
        for task in doing:
            task.cancel()
        if doing:
            await asyncio.wait(doing)


# --- the story ---


class Scenario:
    """A story: first it is told (`at`, `want`), then played, then it can be looked at (`heard`, `attempts`, `store`)."""

    def __init__(
        self,
        resources: ResourceMap,
        *,
        store: Store | None = None,
        policy: str | None = None,
        levels: Levels = SHIPPED,
    ) -> None:
        """Take the infrastructure; ``policy`` is a failure policy (YAML) and ``levels`` are those of service availability,
        if not what ships.
        """
        self.levels = levels
        self.store: Store = MemoryStore() if store is None else store
        self.clock = LoopClock()
        self.channel = FakeChannel(self.clock)
        self.resources = resources
        self.subscriptions: dict[str, Subscription] = {}
        self.silences: dict[str, Silence] = {}
        self.answers: list[Accepted] = []
        self.selector = _selector(policy, self.clock)
        self._doctor: RunningFlows | None = None
        self._acts: list[tuple[float, Action]] = []
        self._pushes: dict[Push, None] = {}
        self._wanted: defaultdict[str, list[_Wanted]] = defaultdict(list)
        self._tasks: asyncio.TaskGroup | None = None

    def at(self, second: float) -> "Moment":
        """Begin to say what happens in this second; in the same second what is said first happens first."""
        return Moment(self, second)

    def want(self, name: str) -> "Wish":
        """Begin to say what a consumer must hear, in the order in which it must hear it."""
        return Wish(self._wanted[name])

    @property
    def doctor(self) -> RunningFlows:
        """Return the Doctor that runs now."""
        if self._doctor is None:
            raise RuntimeError("Doctor is not running in this part of the story")
        return self._doctor

    def play(self, *, until: float | None = None) -> None:
        """Let it all happen, and compare what was heard with what was wanted.

        Raises:
            AssertionError: something else was heard, an answer was another one, or a promise was broken.
        """
        self.run(until=until)
        for name, subscription in self.subscriptions.items():
            for index in range(len(subscription.endpoints)):
                self._compare(name, index)
        unknown = {name.partition("/")[0] for name in self._wanted} - self.subscriptions.keys()
        if unknown:
            raise AssertionError(f"nobody of this name ever subscribed: {', '.join(sorted(unknown))}")

    def run(self, *, until: float | None = None) -> None:
        """Let it all happen and keep nothing but the promises in view: for stories made by chance."""
        with asyncio.Runner(loop_factory=looptime.new_event_loop) as runner:
            runner.run(self._run(until))
        for push in self._pushes:
            push.judge()

    def heard(self, name: str) -> list[Heard]:
        """Return what an endpoint received, in order."""
        return [_heard(attempt) for attempt in self.attempts(name) if isinstance(attempt.outcome, Delivered)]

    def attempts(self, name: str) -> list[Attempt]:
        """Return every attempt at an endpoint, in order."""
        wanted = self.endpoint_ids(name)[0]
        return [attempt for attempt in self.channel.attempts if attempt.endpoint_id == wanted]

    def attempted_at(self, name: str) -> list[float]:
        """Return the seconds of the story in which an endpoint was tried."""
        return [round((attempt.told - START).total_seconds(), 6) for attempt in self.attempts(name)]

    def endpoint_ids(self, name: str) -> list[str]:
        """Return the ids of the endpoints of a consumer, or of the one that is meant."""
        owner, _, index = name.partition("/")
        ids = [endpoint.endpoint_id for endpoint in self.subscriptions[owner].endpoints]
        return [ids[int(index)]] if index else ids

    def note(self, second: float, action: Action) -> None:
        """Let this happen in this second."""
        self._acts.append((second, action))

    def note_push(self, second: float, push: "Push") -> None:
        """Let this be reported in this second, beside whatever else is under way."""

        async def send() -> None:
            if self._doctor is None or self._tasks is None:
                push.fail(ConnectionRefusedError("Doctor is not running"))
            elif not push.was_accepted:
                self._doctor.do(self._tasks, push.send(self._doctor, self))
                await asyncio.sleep(0)

        self._pushes[push] = None
        self.note(second, send)

    async def begin(self) -> None:
        """Start a Doctor on what the store has."""
        if self._tasks is None or self._doctor is not None:
            raise RuntimeError("one Doctor at a time, and only while the story is played")
        doctor = RunningFlows(
            self.store, self.channel, self.clock, self.resources, self.selector, self.levels
        )
        await doctor.start(self._tasks)
        self._doctor = doctor

    async def end(self) -> None:
        """Let Doctor die."""
        if self._doctor is not None:
            doctor, self._doctor = self._doctor, None
            await doctor.die()

    async def _run(self, until: float | None) -> None:
        ends = [wanted.end for wishes in self._wanted.values() for wanted in wishes]
        last = max([0.0, *ends, *(second for second, _ in self._acts)]) + LINGER
        async with asyncio.TaskGroup() as tasks:
            self._tasks = tasks
            await self.begin()
            for second, action in sorted(self._acts, key=lambda act: act[0]):
                await _sleep_until(second)
                if (doing := action()) is not None:
                    await doing
            await _sleep_until(last if until is None else until)
            await self.end()
        self._tasks = None
        await _Promises(self).check()

    def _compare(self, name: str, index: int) -> None:
        endpoint = f"{name}/{index}"
        heard = self.heard(endpoint)
        wanted = sorted((*self._wanted[name], *self._wanted[endpoint]), key=lambda one: one.start)
        if len(heard) == len(wanted) and all(
            one.is_met_by(it) for one, it in zip(wanted, heard, strict=True)
        ):
            return
        lines = [
            f"{endpoint} was to hear",
            *(map(str, wanted) if wanted else ["  nothing"]),
            "and heard",
            *(map(str, heard) if heard else ["  nothing"]),
        ]
        raise AssertionError("\n".join(lines))


class Moment:
    """Says what happens in one second."""

    def __init__(self, story: Scenario, second: float) -> None:
        self._story = story
        self._second = second

    def subscribe(
        self,
        name: str,
        *,
        project: str | None,
        asked: SubscribeFilter = EVERYTHING_OF_MINE,
        endpoints: int = 1,
        **policy: Any,
    ) -> None:
        """Let a consumer of this project subscribe; without a project it is the Administrator.

        ``policy`` are fields of `TellingPolicy`: how it wants to be told.
        """
        story = self._story

        async def act() -> None:
            if name in story.subscriptions:
                raise ValueError(f"{name} subscribed before: give each subscription a name of its own")
            story.subscriptions[name], _ = await story.doctor.subscriptions.create(
                _identity(name, project),
                asked,
                _wishes(name, endpoints),
                resource_ids=sorted(asked.virtual_resource_id),
                policy=TellingPolicy(**policy),
            )

        story.note(self._second, act)

    def update(
        self,
        name: str,
        *,
        endpoints: int | None = None,
        asked: SubscribeFilter | None = None,
        policy: TellingPolicy | None = None,
    ) -> None:
        """Let a consumer change its subscription: how many endpoints it has, what it asks for, how it is told."""
        story = self._story

        async def act() -> None:
            known = story.subscriptions[name]
            story.subscriptions[name] = await story.doctor.subscriptions.update(
                _identity(name, known.project),
                known.subscription_id,
                asked=asked,
                wishes=None if endpoints is None else _wishes(name, endpoints),
                resource_ids=[],
                policy=policy,
            )

        story.note(self._second, act)

    def unsubscribe(self, name: str) -> None:
        """Let a consumer delete its subscription."""
        story = self._story

        async def act() -> None:
            known = story.subscriptions[name]
            await story.doctor.subscriptions.delete(_identity(name, known.project), known.subscription_id)

        story.note(self._second, act)

    def acknowledge(self, name: str, sequence: int) -> None:
        """Let a consumer acknowledge a notification."""
        story = self._story

        async def act() -> None:
            known = story.subscriptions[name].subscription_id
            (row,) = await story.store.notifications(known, after=sequence - 1, limit=1)
            await story.doctor.acknowledgements.acknowledge(row)

        story.note(self._second, act)

    def replay(self, name: str, first: int, last: int, *, parked_only: bool = True) -> None:
        """Let a consumer ask for notifications once more."""
        story = self._story

        async def act() -> None:
            await story.doctor.replays.replay(story.subscriptions[name], Replay(first, last, parked_only))

        story.note(self._second, act)

    def change(self, delta: MapDelta) -> None:
        """Let a cloud change the resource map where it stands."""
        story = self._story
        story.note(self._second, lambda: story.doctor.faults.change_map(delta))

    def isolate(self, host: str, isolation: Isolation = Isolation.ISOLATED) -> None:
        """Let whoever fences say how far the isolation of a host got."""
        story = self._story
        story.note(self._second, lambda: story.doctor.faults.isolation_changed(host, isolation))

    def push(self, *reports: Report) -> "Push":
        """Let a monitor report these in one request."""
        push = Push(self._second, reports)
        self._story.note_push(self._second, push)
        return push

    def push_again(self, push: "Push") -> None:
        """Let a monitor send the same once more, unless it was accepted by now."""
        self._story.note_push(self._second, push)

    def answer(self, name: str, *answers: Answer) -> None:
        """Let endpoints answer the next attempts like this; None takes the notification."""
        self._at_endpoints(name, lambda one: self._story.channel.answer(one, *answers))

    def always_answer(self, name: str, answer: Answer) -> None:
        """Let endpoints answer like this from now on; None takes notifications again."""
        self._at_endpoints(name, lambda one: self._story.channel.always_answer(one, answer))

    def hold(self, name: str) -> None:
        """Let endpoints hang."""
        self._at_endpoints(name, self._story.channel.hold)

    def release(self, name: str) -> None:
        """Let endpoints that hang go on."""
        self._at_endpoints(name, self._story.channel.release)

    def _at_endpoints(self, name: str, action: Callable[[str], None]) -> None:
        def act() -> None:
            for endpoint_id in self._story.endpoint_ids(name):
                action(endpoint_id)

        self._story.note(self._second, act)

    def act(
        self,
        action: AlarmAction,
        resource_id: str,
        *,
        project: str | None = None,
        until: float | None = None,
    ) -> None:
        """Let somebody of a project (the Administrator without one) act on the open alarm of a resource."""
        story = self._story

        async def act() -> None:
            ((_, alarm),) = [
                (record, record.alarms[resource_id]) for record in story.doctor.situation.book.on(resource_id)
            ]
            end = None if until is None else START + timedelta(seconds=until)
            await story.doctor.alarms.act(_identity("somebody", project), alarm.alarm_id, action, until=end)

        story.note(self._second, act)

    def silence(
        self,
        *resource_id: str,
        project: str | None = None,
        audience: Audience | None = None,
        start: float | None = None,
        until: float,
        name: str = "",
        everything: bool = False,
        matcher: SilenceMatcher | None = None,
    ) -> None:
        """Let somebody of a project (the Administrator without one) ask not to be told of resources.

        ``matcher`` says more of what is meant. It begins in the second ``start``, or now. The story finds it by ``name`` in
        `Scenario.silences`.
        """
        story = self._story
        order = SilenceOrder(
            matcher=matcher or SilenceMatcher(resource_id=resource_id),
            audience=audience,
            owner=name or "somebody",
            reason="planned work",
            start=None if start is None else START + timedelta(seconds=start),
            end=START + timedelta(seconds=until),
            duration=None,
            everything=everything,
        )

        async def act() -> None:
            made, _ = await story.doctor.silences.create(_identity("somebody", project), order)
            story.silences[name] = made

        story.note(self._second, act)

    def end_silence(self, name: str = "") -> None:
        """Let its author end a silence."""
        story = self._story

        async def act() -> None:
            silence = story.silences[name]
            await story.doctor.silences.end(_identity("somebody", silence.project), silence.silence_id)

        story.note(self._second, act)

    def decide(self, move: Move, zone: str, *, user: str = "somebody") -> None:
        """Let the Administrator decide whether a zone has failed."""
        story = self._story

        async def act() -> None:
            asked = story.doctor.situation.zones.active(zone)
            assert asked is not None
            await story.doctor.faults.decide(asked.escalation_id, move, user=user)

        story.note(self._second, act)

    def rebuild_list(self) -> None:
        """Let the Administrator tell everybody what is open."""

        async def act() -> None:
            await self._story.doctor.alarm_list.rebuild(user="somebody")

        self._story.note(self._second, act)

    def crash(self) -> None:
        """Let Doctor die."""
        self._story.note(self._second, self._story.end)

    def start(self) -> None:
        """Start Doctor again, on what it had kept."""
        self._story.note(self._second, self._story.begin)

    def load(self, resources: ResourceMap) -> None:
        """Let the operator load another resource map."""
        story = self._story
        story.note(self._second, lambda: _load(story, resources))

    def apply_policy(self, text: str, *, refused: list[Exception] | None = None) -> None:
        """Let the operator apply a failure policy; one that may be refused says so in a list."""
        story = self._story

        async def act() -> None:
            policies = PolicyFlow(default_catalogue(), story.clock)
            try:
                await policies.apply(story.doctor.situation, text, user="operator")
            except (RejectedError, StoreError) as error:
                if refused is None:
                    raise
                refused.append(error)

        story.note(self._second, act)

    def mend(self) -> None:
        """Let Doctor read the store anew by itself after a failure, as the service does."""
        story = self._story

        def act() -> None:
            assert story._tasks is not None
            story.doctor.do(story._tasks, story.doctor.situation.stay_ready())

        story.note(self._second, act)

    def do(self, action: Callable[[], object]) -> None:
        """Let anything else happen, at once."""

        def act() -> None:
            action()

        self._story.note(self._second, act)


class Push:
    """One request of a monitor. Unless the story says otherwise it must be accepted, and each event be news."""

    def __init__(self, second: float, reports: tuple[Report, ...]) -> None:
        self._second = second
        self._reports = reports
        self._fails = False
        self._duplicates: list[bool] = [False] * len(reports)
        self._happened: Accepted | Exception | None = None

    def fails(self) -> None:
        """Want it answered with an error, so that the monitor sends it again."""
        self._fails = True

    def is_duplicate(self) -> None:
        """Want it answered as known, every event of it."""
        self._duplicates = [True] * len(self._reports)

    def may_be_anything(self) -> None:
        """Want nothing of the answer: for stories made by chance."""
        self._duplicates = []

    async def send(self, doctor: RunningFlows, story: Scenario) -> None:
        """Hand it to the flow, as a door does."""
        events = [report.event(self._second) for report in self._reports]
        try:
            body = msgspec.json.encode(events)
            (answer,) = await doctor.faults.accept([Reported(events, "monitor", body, story.clock.now())])
        except StoreError as error:
            self.fail(error)
        except asyncio.CancelledError:
            self.fail(ConnectionResetError("Doctor died"))
            raise
        else:
            self._happened = answer
            story.answers.append(answer)

    def fail(self, error: Exception) -> None:
        """Note that the monitor was not answered 202."""
        self._happened = error

    @property
    def was_accepted(self) -> bool:
        """Tell whether the answer was 202."""
        return isinstance(self._happened, Accepted)

    def judge(self) -> None:
        """Compare the answer with what the story said."""
        if not self._duplicates:
            return
        what = f"what was pushed at {self._second}"
        if self._happened is None:
            raise AssertionError(f"{what} was never answered")
        if isinstance(self._happened, Exception):
            if not self._fails:
                raise AssertionError(f"{what} failed: {self._happened}")
        elif self._fails:
            raise AssertionError(f"{what} was accepted, and should have failed")
        elif [not new for new in self._happened.news] != self._duplicates:
            raise AssertionError(f"{what} was answered {self._happened}")


class Wish:
    """Says what one consumer must hear."""

    def __init__(self, wanted: list[_Wanted]) -> None:
        self._wanted = wanted

    def between(self, start: float, end: float) -> "Window":
        """Say between which seconds."""
        return Window(self._wanted, start, end)

    def hears_nothing(self) -> None:
        """Say that it hears nothing at all, which is what holds when nothing is said."""
        self._wanted.clear()


class Window:
    """Says what one consumer must hear between two seconds: one notification with exactly these sentences."""

    def __init__(self, wanted: list[_Wanted], start: float, end: float) -> None:
        self._wanted = wanted
        self._start = start
        self._end = end

    def gets(self, *says: str) -> None:
        """Want to hear of a fault."""
        self._want(NotificationType.FAULT, says)

    def gets_change(self, *says: str) -> None:
        """Want to hear of a change."""
        self._want(NotificationType.FAULT_CHANGED, says)

    def gets_clear(self, *says: str) -> None:
        """Want to hear of the end."""
        self._want(NotificationType.FAULT_CLEARED, says)

    def gets_capacity(self, *says: str) -> None:
        """Want to hear of the capacity of zones."""
        self._want(NotificationType.CAPACITY, says)

    def gets_list(self, *says: str) -> None:
        """Want to hear of all that is open."""
        self._want(NotificationType.ALARM_LIST_REBUILT, says)

    def gets_correction(self, *says: str) -> None:
        """Want to hear that something was wrong."""
        self._want(NotificationType.CORRECTION, says)

    def gets_vim(self, *says: str) -> None:
        """Want to hear of the VIM itself."""
        self._want(NotificationType.VIM, says)

    def gets_heartbeat(self) -> None:
        """Want to hear that there was nothing to hear of."""
        self._want(NotificationType.HEARTBEAT, ())

    def _want(self, kind: NotificationType, says: tuple[str, ...]) -> None:
        self._wanted.append(_Wanted(self._start, self._end, kind, frozenset(says)))


# --- what holds in every story ---


class _Promises:
    """Holds a story to what no story may break.

    - a repeat is the same message: one body and one sequence for one id, at every endpoint and after every restart [I-4]
    - what is told was kept before [I-1]
    - a subscription's sequence has no gaps [I-5]
    - an endpoint is told in sequence, one request at a time [I-5, I-18]
    - an alarm is raised, then changed, then cleared, and after that its id is never used again [I-5]
    """

    def __init__(self, story: Scenario) -> None:
        self._story = story

    async def check(self) -> None:
        story = self._story
        kept: dict[str, StoredNotification] = {}
        for name, subscription in story.subscriptions.items():
            rows = await story.store.notifications(subscription.subscription_id, after=0, limit=EVERYTHING)
            sequences = [row.sequence for row in rows]
            _promise(sequences == list(range(1, len(rows) + 1)), f"{name}: gaps in the sequence {sequences}")
            _promise(len({row.notification_id for row in rows}) == len(rows), f"{name}: an id is used twice")
            _check_lives(name, [msgspec.json.decode(row.body) for row in rows])
            kept.update((row.notification_id, row) for row in rows)
        first: defaultdict[str, list[int]] = defaultdict(list)
        for attempt in story.channel.attempts:
            told = attempt.notification
            if _is_heartbeat(told) or attempt.replay:
                continue
            _promise(kept.get(told.notification_id) == told, f"told and not kept like this: {told}")
            if attempt.attempt == 1 and told.sequence not in first[attempt.endpoint_id]:
                first[attempt.endpoint_id].append(told.sequence)
        for endpoint_id, sequences in first.items():
            _promise(sequences == sorted(sequences), f"out of order at {endpoint_id}: {sequences}")
        for endpoint_id, most in story.channel.most_under_way.items():
            _promise(most == 1, f"{most} requests at once at {endpoint_id}")


def _is_heartbeat(notification: StoredNotification) -> bool:
    return bool(msgspec.json.decode(notification.body)["notification_type"] == NotificationType.HEARTBEAT)


def _check_lives(name: str, messages: list[Any]) -> None:
    """Hold every alarm to its one life. A list of what is open says it once more, and never of what is over."""
    states: dict[str, str] = {}
    order = {"raised": 0, "changed": 1, "cleared": 2}
    for is_list, fault in (
        (message["notification_type"] == NotificationType.ALARM_LIST_REBUILT, fault)
        for message in messages
        for fault in _faults(message)
    ):
        alarm_id, state = fault["alarm_id"], fault["alarm_state"]
        known = states.get(alarm_id)
        is_said_again = is_list and known != "cleared"
        is_next = (
            known is None
            or is_said_again
            or (order[known] <= order[state] and known != "cleared" and state != "raised")
        )
        _promise(is_next, f"{name}: alarm {alarm_id} was {known} and then {state}")
        states[alarm_id] = state
        said = [fault[f"{one}_time"] for one in order]
        times = [datetime.fromisoformat(time) for time in said if time is not None]
        _promise(times == sorted(times), f"{name}: the times of alarm {alarm_id} are out of order: {times}")


def _faults(message: Any) -> Iterator[Any]:
    for info in (*message.get("virtual_resource_info", ()), *message.get("physical_resource_info", ())):
        yield from info["faults"]


def _promise(holds: bool, broken: str) -> None:
    if not holds:
        raise AssertionError(broken)


# --- small parts ---


def without_damping() -> str:
    """Return the policy that ships, by which every change is told however often a fault comes and goes."""
    return default_policy_text(damping=False)


def _selector(policy: str | None, clock: LoopClock) -> Selector:
    catalogue = default_catalogue()
    if policy is None:
        return PolicyFlow(catalogue, clock).default()
    return Selector(parse_policy(policy, catalogue).policy)


def _identity(name: str, project: str | None) -> Identity:
    role = Role.ADMIN if project is None else Role.CONSUMER
    return Identity(name=name, role=role, project=project)


def _wishes(name: str, endpoints: int) -> list[EndpointWish]:
    return [EndpointWish(f"http://{name}/{index}", "doctor", None) for index in range(endpoints)]


async def _load(story: Scenario, resources: ResourceMap) -> None:
    await replace_map(story.doctor.faults, resources, b"{}")
    story.resources = resources


def _heard(attempt: Attempt) -> Heard:
    message = msgspec.json.decode(attempt.notification.body)
    return Heard(
        at=(attempt.told - START).total_seconds(),
        sequence=attempt.notification.sequence,
        kind=NotificationType(message["notification_type"]),
        says=sentences(message),
        notification=attempt.notification,
    )


async def _sleep_until(second: float) -> None:
    await asyncio.sleep(max(0.0, second - asyncio.get_running_loop().time()))
