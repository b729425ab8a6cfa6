"""One run: what happens to a Doctor in a bad week, told from the seed.

Monitors report outages and returns and repeat themselves until they are answered 202; consumers subscribe, add endpoints
and leave; the operator loads maps and policies; the store fails, endpoints misbehave, Doctor dies and comes back. Then it
all calms down, everybody gets what is still owed, and the books are compared.
"""

import asyncio
import random
from collections.abc import Callable, Coroutine, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Generic, TypeVar

import msgspec

from doctor.flows.fault import Accepted, Reported
from doctor.flows.resource_map import replace_map
from doctor.flows.situation import Situation
from doctor.flows.subscription import EndpointWish
from doctor.model.errors import DoctorError
from doctor.model.event import RawEvent
from doctor.model.fault import Severity
from doctor.model.identity import Identity, Role
from doctor.model.notification import StoredNotification
from doctor.model.subscription import Acknowledge, EventKind, SubscribeFilter, Subscription, TellingPolicy
from doctor.testing.clock import LoopClock
from doctor.testing.simulation import oracles
from doctor.testing.simulation.loop import SimLoop, StuckError
from doctor.testing.simulation.network import SimChannel
from doctor.testing.simulation.nfvi import DISK_SEVERITIES, OWNERS, Nfvi, map_of, policy_text, some_nfvi
from doctor.testing.simulation.process import Doctor, NoAnswerError, Work
from doctor.testing.simulation.second import FAULT_TYPES, Said
from doctor.testing.simulation.store import SimStore, Weather
from doctor.testing.simulation.trace import Trace

MONITOR = "monitor"
PATIENCE = 10.0
TO_FINISH = 600.0
TO_DELIVER = 100.0
TO_REST = 10.0
NEVER = 10**9

T = TypeVar("T")


@dataclass
class Changing(Generic[T]):
    """A setting of the operator, from the first try to the answer that it is in force."""

    value: T
    begun: int
    accepted: int = NEVER


@dataclass
class Held:
    """A subscription as its consumer knows it: in force from the answer, until its end was asked for."""

    subscription: Subscription
    answered: int
    second: float
    end_asked: int = NEVER
    end_answered: int = NEVER


@dataclass
class Push:
    """One request of a monitor."""

    events: tuple[Said, ...]
    body: bytes
    raw: tuple[RawEvent, ...]
    begun: int
    reporter: str
    accepted: int = NEVER


@dataclass
class Books:
    """What the world around Doctor knows at the end."""

    pushes: list[Push] = field(default_factory=list)
    maps: list[Changing[Nfvi]] = field(default_factory=list)
    disks: list[Changing[str]] = field(default_factory=list)
    subscriptions: dict[str, Held] = field(default_factory=dict)
    most_in_lane: int = 0
    crashes: int = 0
    unfinished: list[str] = field(default_factory=list)
    starts_failed: int = 0
    wrong: list[str] = field(default_factory=list)


FAULTS = frozenset({EventKind.FAULT})
KINDS = ["all", "all", "all", "severe", "one type", "no clear", "no change", "silent"]


class World:
    """Everything around Doctor, and Doctor."""

    def __init__(self, seed: int, loop: SimLoop) -> None:
        self.seed = seed
        self.loop = loop
        self.trace = Trace(loop.time)
        self.clock = LoopClock()
        self.books = Books()
        rng = self.chance("climate")
        self.badness = rng.choice([0.0, 0.15, 0.4, 0.7])
        self.crash_every = rng.choice([0.0, 4.0, 10.0, 30.0])
        self.crash_in_step = rng.choice([0.0, 0.01, 0.05])
        self.answers_lost = rng.choice([0.0, 0.05, 0.2])
        weather = Weather(
            commit_fails=rng.choice([0.0, 0.0, 0.05, 0.2, 0.5]),
            outcome_unknown=rng.choice([0.0, 0.5, 1.0]),
            load_fails=rng.choice([0.0, 0.2]),
            read_fails=rng.choice([0.0, 0.1]),
            slow=rng.choice([0.0, 0.1, 0.4]),
        )
        self.length = rng.choice([10.0, 20.0, 30.0])
        self.paces = [0.02, 0.3, 1.0]  # seconds between two reports of a monitor
        self.is_stormy = rng.random() < 0.1
        self.nfvi = some_nfvi(self.chance("nfvi"))
        self.store = SimStore(self.chance("store"), self.trace, weather)
        self.channel = SimChannel(self.chance("network"), loop, self.clock, self.trace, self._is_kept)
        self.channel.on_refused = self._may_crash_soon
        self.doctor: Doctor | None = None
        self.doctors: list[Doctor] = []
        self.is_calm = False
        self.stuck: StuckError | None = None
        self._chance = self.chance("world")
        self._died: asyncio.Event = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def chance(self, name: str) -> random.Random:
        """Return a source of chance of its own, so that one who asks more often changes nothing for the others."""
        return random.Random(f"{self.seed}/{name}")

    def _is_kept(self, notification: StoredNotification) -> bool:
        self.may_crash()
        return self.store._by_id.get(notification.notification_id) == notification

    # --- Doctor lives and dies ---

    def make_doctor(self, name: str) -> Doctor:
        """Make another process of Doctor."""
        return Doctor(name, self.loop, self.store, self.channel, self.clock)

    async def supervise(self) -> None:
        """Start Doctor, and again whenever it died."""
        while True:
            name = f"doctor-{len(self.doctors)}"
            doctor = self.make_doctor(name)
            self.doctors.append(doctor)
            self._died.clear()
            self.trace.note(name, "starts")

            def started(doctor: Doctor = doctor) -> None:
                self.trace.note(doctor.process.name, "is ready")
                self.doctor = doctor

            running = doctor.begin(doctor.run(started))
            running.add_done_callback(self._ended, context=self.loop.world.copy())
            await self._died.wait()
            await asyncio.sleep(self._chance.choice([0.01, 0.5, 3.0]))

    def _ended(self, running: "asyncio.Task[None]") -> None:
        """Take note that a Doctor could not start, or broke down."""
        doctor = self.doctors[-1]
        if doctor.process.is_alive and not running.cancelled():
            error = running.exception()
            self.trace.note(doctor.process.name, "ended", repr(error))
            if isinstance(error, DoctorError):
                self.books.starts_failed += 1
            else:
                self.books.unfinished.append(f"{doctor.process.name} ended: {error!r}")
            self.crash()

    def crash(self) -> None:
        """Let Doctor die at once."""
        doctor = self.doctors[-1]
        if not doctor.process.is_alive:
            return
        self.look()
        self.trace.note(doctor.process.name, "dies")
        self.books.crashes += 1
        doctor.die()
        self.store.die()
        self.doctor = None
        self._died.set()

    def look(self) -> None:
        """Note how much the lanes of Doctor hold in memory."""
        for lanes in self.doctors[-1].delivery._lanes.values():
            for lane in lanes.values():
                self.books.most_in_lane = max(self.books.most_in_lane, len(lane._waiting))

    def may_crash(self) -> None:
        """Perhaps die just after what happens now, among all that is ready."""
        if not self.is_calm and self._chance.random() < self.crash_in_step:
            self.loop.call_soon(self.crash, context=self.loop.world.copy())

    def _may_crash_soon(self) -> None:
        """Perhaps die while what can wait is not written yet."""
        if not self.is_calm and self.crash_in_step and self._chance.random() < 0.1:
            self.loop.outside(self._chance.uniform(0.001, 0.04), self._crash_unless_calm)

    def _crash_unless_calm(self) -> None:
        if not self.is_calm:
            self.crash()

    async def crashes(self) -> None:
        """Die now and then."""
        rng = self.chance("crashes")
        while self.crash_every and not self.is_calm:
            await asyncio.sleep(rng.expovariate(1 / self.crash_every))
            if not self.is_calm:
                self.crash()

    # --- asking Doctor, over a network that loses answers ---

    async def ask(self, work: Work) -> Any:
        """Send a request and wait for the answer.

        Raises:
            NoAnswerError: nobody knows what became of it.
            DoctorError: Doctor says that it was not done.
        """
        await asyncio.sleep(self._chance.choice([0.0, 0.0005, 0.005]))
        doctor = self.doctor
        if doctor is None:
            raise NoAnswerError("connection refused")
        is_lost = not self.is_calm and self._chance.random() < self.answers_lost
        answer = doctor.ask(work, self._chance.choice([0.0, 0.0005, 0.005]), answer_is_lost=is_lost)
        self.may_crash()
        patience = PATIENCE if self.is_calm else self._chance.choice([0.5, 3.0, PATIENCE])
        try:
            async with asyncio.timeout(patience):
                return await asyncio.shield(answer)
        except TimeoutError:
            raise NoAnswerError("timeout") from None

    async def insist(
        self, who: str, what: str, work: Work, *, refusals: tuple[type[Exception], ...] = ()
    ) -> Any:
        """Ask until it is answered with success; ``refusals`` are answers too, and raised."""
        pause = 0.1
        until = self.loop.time() + TO_FINISH
        while True:
            if self.loop.time() > until:
                raise StuckError(f"{who} never got its answer: {what}")
            try:
                answer = await self.ask(work)
            except (NoAnswerError, DoctorError) as error:
                if isinstance(error, refusals):
                    raise
                self.trace.note(who, f"{what}: no success", f"{type(error).__name__}: {error}")
                await asyncio.sleep(pause)
                pause = min(pause * 2, 5.0)
            else:
                return answer

    # --- monitors ---

    def write(self, who: str, *events: Said, reporter: str = MONITOR, source: str = "") -> Push:
        """Write a report; ``reporter`` is who it really is, ``source`` whom he names if that is somebody else."""
        now = self.clock.now()
        raw = tuple(
            RawEvent(
                time=now,
                type=said.type,
                resource=said.resource,
                source=source or who,
                status=said.status,
                monitor_event_id=said.number,
                raw_details=msgspec.json.encode({"hostname": said.resource, "status": said.status}),
            )
            for said in events
        )
        sentence = ", ".join(f"{said.resource} {said.type} {said.status}" for said in events)
        tick = self.trace.note(who, "reports", sentence)
        push = Push(events, msgspec.json.encode(events), raw, tick, reporter)
        self.books.pushes.append(push)
        return push

    async def push(self, who: str, *events: Said, reporter: str = MONITOR, source: str = "") -> Push:
        """Report, and repeat it until it is accepted."""
        push = self.write(who, *events, reporter=reporter, source=source)
        await self.send(who, push)
        return push

    async def send(self, who: str, push: Push) -> None:
        """Send a report until it is accepted."""
        accepted: Accepted = await self.insist(who, "report", lambda doctor: self._accept(doctor, push))
        tick = self.trace.note(who, "is answered 202", *accepted.news)
        push.accepted = min(push.accepted, tick)

    async def _accept(self, doctor: Doctor, push: Push) -> Accepted:
        (accepted,) = await doctor.faults.accept(
            [Reported(push.raw, push.reporter, push.body, self.clock.now())]
        )
        return accepted

    async def monitor(self, who: str) -> None:
        """Watch some things, report what becomes of them, and say things twice."""
        rng = self.chance(who)
        subjects = rng.sample(self.subjects(), min(len(self.subjects()), rng.randint(1, 5)))
        is_down = dict.fromkeys(subjects, False)
        pushed: list[Push] = []
        number = 0
        pace = rng.choice(self.paces)
        while not self.is_calm:
            await asyncio.sleep(rng.expovariate(1 / pace))
            if pushed and rng.random() < 0.15:
                await self.send(who, rng.choice(pushed))
                continue
            events = []
            for subject in rng.sample(subjects, min(len(subjects), rng.choice([1, 1, 2]))):
                if rng.random() > 0.2:  # else it says the same again
                    is_down[subject] = not is_down[subject]
                status = "down" if is_down[subject] else "up"
                events.append(Said(subject[1], subject[0], status, f"{who}/{number}"))
                number += 1
            if self.is_stormy and rng.random() < 0.1:
                events += self._storm(rng, subjects[0], f"{who}/{number}")
            if rng.random() < 0.1:
                pushed.append(await self._twice_at_once(who, *events))
            else:
                pushed.append(await self.push(who, *events))
            if len(pushed) > 40:
                return

    async def _twice_at_once(self, who: str, *events: Said) -> Push:
        """Send one report over two ways at the same time."""
        push = self.write(who, *events)
        other_way = asyncio.create_task(self.send(f"{who} (2)", push))
        await self.send(who, push)
        await other_way
        return push

    def _storm(self, rng: random.Random, subject: tuple[str, str], number: str) -> Iterator[Said]:
        for index in range(rng.randint(50, 90)):
            yield Said(subject[1], subject[0], "down" if index % 2 else "up", f"{number}/{index}")

    def subjects(self) -> list[tuple[str, str]]:
        """Return what can break: resources and types of events."""
        found = [
            (host, kind)
            for host in self.nfvi.hosts
            for kind in ("compute.host.down", "compute.memory.failure", "compute.disk.crash")
        ]
        found += [(switch, "network.switch.down") for switch in self.nfvi.switches]
        found += [(rack, "compute.power.failure") for rack in self.nfvi.racks]
        found += [(machine, "compute.instance.down") for machine in list(self.nfvi.machines)[:3]]
        return found

    # --- the operator ---

    async def load_map(self, nfvi: Nfvi, *, insists: bool = True) -> None:
        """Load a map, until that is accepted or once."""
        changing = Changing(nfvi, self.trace.note("operator", "loads a map", nfvi.machines))
        self.books.maps.append(changing)
        document = nfvi.document()
        resources = map_of(document)

        async def replace(doctor: Doctor) -> None:
            await replace_map(doctor.faults, resources, document)

        if await self._set("map", replace, insists):
            changing.accepted = self.trace.note("operator", "has the map loaded")

    async def _set(self, what: str, work: Work, insists: bool) -> bool:
        """Ask for a change of the settings; tell whether it is known to be in force."""
        if insists:
            await self.insist("operator", what, work)
            return True
        try:
            await self.ask(work)
        except (NoAnswerError, DoctorError) as error:
            self.trace.note("operator", f"{what}: gives up", f"{type(error).__name__}: {error}")
            return False
        return True

    async def _two_maps_at_once(self, rng: random.Random) -> None:
        """Have two people load different maps, and then one of them another; which one was between nobody knows."""
        first = len(self.books.maps)
        here = self.books.maps[-1].value
        await asyncio.gather(*(self.load_map(here.changed(rng)) for _ in range(2)))
        self._look_at_settings()
        await asyncio.sleep(rng.choice([0.0, 1.0]))
        await self.load_map(here.changed(rng))
        for loaded in self.books.maps[first:]:
            loaded.accepted = self.books.maps[-1].accepted

    async def _two_policies_at_once(self, rng: random.Random) -> None:
        """Have two people apply different policies, and then one of them another."""
        first = len(self.books.disks)
        await asyncio.gather(*(self.apply_policy(disks) for disks in rng.sample(DISK_SEVERITIES, 2)))
        self._look_at_settings()
        await asyncio.sleep(rng.choice([0.0, 1.0]))
        await self.apply_policy(rng.choice(DISK_SEVERITIES))
        for applied in self.books.disks[first:]:
            applied.accepted = self.books.disks[-1].accepted

    async def apply_policy(self, disks: str, *, insists: bool = True) -> None:
        """Apply a policy, until that is accepted or once."""
        changing = Changing(disks, self.trace.note("operator", "applies a policy", disks))
        self.books.disks.append(changing)
        text = policy_text(disks)
        if await self._set(
            "policy", lambda doctor: doctor.policies.apply(doctor.situation, text, user="operator"), insists
        ):
            changing.accepted = self.trace.note("operator", "has the policy applied")

    async def operator(self) -> None:
        """Change the map and the policy now and then."""
        rng = self.chance("operator")
        pace = rng.choice([1.0, 4.0, 60.0])
        while not self.is_calm:
            self._look_at_settings()
            insists = rng.random() < 0.5
            if rng.random() < 0.25:
                await rng.choice([self._two_maps_at_once, self._two_policies_at_once])(rng)
                continue
            if rng.random() < 0.6:
                await self.load_map(self.books.maps[-1].value.changed(rng), insists=insists)
            else:
                await self.apply_policy(rng.choice(DISK_SEVERITIES), insists=insists)
            await asyncio.sleep(rng.expovariate(1 / pace))

    def _look_at_settings(self) -> None:
        """Compare what is in force with what is kept, at a moment when nobody changes it."""
        situation = None if self.doctor is None else self.doctor.situation
        if situation is not None and situation.is_ready and not situation.setting.locked():
            self.books.wrong += self.wrong_settings(situation)

    def wrong_settings(self, situation: Situation) -> Iterable[str]:
        """Say which settings in force are not those that are kept."""
        return oracles.settings(situation, self.store)

    @property
    def machines(self) -> dict[str, str]:
        """Return all machines with their hosts, as they are by the map that is kept."""
        return dict(_machines(self.store.maps[-1][1])) if self.store.maps else {}

    def maps_between(self, start: int, end: int) -> list[Nfvi]:
        """Return the maps that may have been in force between two ticks."""
        return in_force_between(self.books.maps, start, end)

    @property
    def maps_kept(self) -> list[tuple[int, list[str]]]:
        """Return the machines of each map that was kept, with the tick at which it was."""
        return [(tick, [one for one, _ in _machines(document)]) for tick, document in self.store.maps]

    # --- consumers ---

    async def consumer(self, who: str, *, stays: bool = False) -> None:
        """Subscribe, change endpoints, leave, come back."""
        rng = self.chance(who)
        project = rng.choice([*OWNERS, None])
        identity = Identity(name=who, role=Role.ADMIN if project is None else Role.CONSUMER, project=project)
        while True:
            endpoints = rng.randint(1, 2)
            held = await self._subscribe(who, rng, identity, endpoints)
            while not self.is_calm and (stays or rng.random() < 0.7):
                await asyncio.sleep(rng.expovariate(1 / 6.0))
                if rng.random() < 0.4:
                    endpoints = rng.randint(1, 3)
                    await self._change(who, identity, held, endpoints)
            if self.is_calm:
                return
            await self._leave(who, identity, held)

    async def _subscribe(
        self, who: str, rng: random.Random, identity: Identity, endpoints: int, kind: str = ""
    ) -> Held:
        kind = kind or rng.choice(KINDS)
        asked = SubscribeFilter(event=FAULTS)
        if kind == "severe":
            asked = SubscribeFilter(event=FAULTS, min_severity=Severity.MAJOR)
        if kind == "one type":
            asked = SubscribeFilter(
                event=FAULTS, fault_type=frozenset({rng.choice(list(FAULT_TYPES.values()))})
            )
        name = f"{who}.{len(self.books.subscriptions)}"
        subscription, _ = await self.insist(
            who,
            "subscribing",
            lambda doctor: doctor.subscriptions.create(
                identity,
                asked,
                wishes_for(name, endpoints),
                resource_ids=[],
                policy=TellingPolicy(
                    clear=kind != "no clear",
                    change=kind != "no change",
                    acknowledge=Acknowledge.EXPLICIT if kind == "silent" else Acknowledge.HTTP,
                ),
            ),
        )
        tick = self.trace.note(
            who, "has subscribed", name, identity.project or "administrator", kind, endpoints
        )
        held = Held(subscription, tick, self.loop.time())
        self.books.subscriptions[subscription.subscription_id] = held
        self._names[subscription.subscription_id] = name
        return held

    async def _change(self, who: str, identity: Identity, held: Held, endpoints: int) -> None:
        subscription_id = held.subscription.subscription_id
        held.subscription = await self.insist(
            who,
            "changing",
            lambda doctor: doctor.subscriptions.update(
                identity,
                subscription_id,
                asked=None,
                wishes=wishes_for(self._names[subscription_id], endpoints),
                resource_ids=[],
            ),
        )
        self.trace.note(who, "has now", endpoints, "endpoints")

    async def _leave(self, who: str, identity: Identity, held: Held) -> None:
        held.end_asked = self.trace.note(who, "leaves")

        async def delete(doctor: Doctor) -> None:
            try:
                await doctor.subscriptions.delete(identity, held.subscription.subscription_id)
            except DoctorError as error:
                if "no such subscription" not in str(error):
                    raise

        await self.insist(who, "leaving", delete)
        held.end_answered = self.trace.note(who, "has left")

    # --- the story ---

    async def play(self, check: Callable[[str], None]) -> None:
        """Live through the bad week, then a quiet day; ``check`` is called when the books should be right."""
        self._names: dict[str, str] = {}
        supervisor = self._background(self.supervise())
        await self.set_up()
        self.channel.badness = self.badness
        actors = self.cast()
        crashes = self._background(self.crashes())
        await asyncio.sleep(self.length)
        self.calm_down()
        await self._finish(actors)
        crashes.cancel()
        await asyncio.sleep(TO_DELIVER)
        self.look()
        check("after the bad week")
        if self._chance.random() < 0.7:
            self.crash()
        await self._quiet_day(check)
        supervisor.cancel()

    async def set_up(self) -> None:
        """Load what Doctor has to know in the beginning."""
        await self.load_map(self.nfvi)
        await self.apply_policy("warning")

    def cast(self) -> "list[asyncio.Task[None]]":
        """Let everybody begin who has a part in the bad week, and ends it by himself when it is calm."""
        rng = self.chance("cast")
        actors = [self._act(f"monitor-{number}", self.monitor) for number in range(rng.randint(1, 4))]
        actors += [self._act(f"vnfm-{number}", self.consumer) for number in range(rng.randint(1, 4))]
        actors.append(asyncio.create_task(self.consumer("vnfm-loyal", stays=True)))
        actors.append(asyncio.create_task(self.operator()))
        return actors

    def _act(self, who: str, part: Callable[[str], Any]) -> "asyncio.Task[None]":
        return asyncio.create_task(part(who), name=who)

    def _background(self, part: Coroutine[Any, Any, None]) -> "asyncio.Task[None]":
        """Do something for as long as the story lasts; who never gets his answer ends it, and so does a defect of ours."""

        def ended(task: "asyncio.Task[None]") -> None:
            error = None if task.cancelled() else task.exception()
            if error is None:
                return
            self.loop.stop()
            if not isinstance(error, StuckError):
                raise RuntimeError("the simulation itself is broken") from error
            self.stuck = error

        task = asyncio.create_task(part)
        task.add_done_callback(ended)
        return task

    def calm_down(self) -> None:
        """Let nothing go wrong any more."""
        self.trace.note("world", "calms down")
        self.is_calm = True
        self.store.weather.calm()
        self.channel.badness = 0.0

    async def _finish(self, actors: "list[asyncio.Task[None]]") -> None:
        """Wait until everybody has got the answers that they insist on."""
        until = self.loop.time() + TO_FINISH
        for actor in actors:
            await asyncio.wait({actor}, timeout=max(0.0, until - self.loop.time()))
            if not actor.done():
                raise StuckError(f"{actor.get_name()} never got its answer")
            actor.result()

    async def _quiet_day(self, check: Callable[[str], None]) -> None:
        """Let everything return, and then some of it break once more on what is there now."""
        rng = self.chance("quiet day")
        await self._settle_settings()
        await self.mend()
        await asyncio.sleep(TO_REST)
        check("when all is well again")
        subjects = self.subjects()
        for name, kind in rng.sample(subjects, min(len(subjects), rng.randint(1, 5))):
            await self._final(Said(kind, name, "down", "last"))
        await asyncio.sleep(TO_REST)
        check("at the end")

    async def mend(self) -> None:
        """Let everything return."""
        everything = [Said(kind, name, "up", "quiet") for name, kind in self.subjects()]
        for said in everything:
            await self._final(said)

    async def _settle_settings(self) -> None:
        """Ask once more for what nobody knows whether it is in force."""
        if self.books.maps[-1].accepted == NEVER:
            await self.load_map(self.books.maps[-1].value)
        if self.books.disks[-1].accepted == NEVER:
            await self.apply_policy(self.books.disks[-1].value)

    async def _final(self, said: Said) -> None:
        await self.push("monitor-final", said)


def in_force_between(changes: Iterable[Changing[T]], start: int, end: int) -> list[T]:
    """Return which settings may have been in force between two ticks."""
    return oracles.in_force_at([(one.begun, one.accepted, one.value) for one in changes], start, end)


def _machines(document: bytes) -> list[tuple[str, str]]:
    return [(one["id"], one["host"]) for one in msgspec.json.decode(document)["virtual_resources"]]


def wishes_for(name: str, endpoints: int) -> list[EndpointWish]:
    """Return endpoints of a consumer of this name."""
    return [EndpointWish(f"http://{name}/{index}", "doctor", None) for index in range(endpoints)]


@contextmanager
def tidy(world: World) -> Iterator[None]:
    """Let nothing be left of a run: what is dead or waits is cancelled."""
    loop = world.loop
    try:
        yield
    finally:
        loop.thaw(doctor.process for doctor in world.doctors)
        for _ in range(5):
            left = [task for task in asyncio.all_tasks(loop) if not task.done()]
            if not left:
                break
            for task in left:
                task.cancel()
            loop.steps = 0
            loop.run_until_complete(asyncio.wait(left, timeout=100.0))
        loop.close()
