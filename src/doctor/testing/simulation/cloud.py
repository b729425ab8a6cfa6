"""A cloud that runs the guests of the plant, and outlives Doctor: it takes its time, refuses, and loses answers.

It is as Nova is where that matters: it starts a machine elsewhere on request once its host is forced down, or is not heard
of; it does not ask what the machine does on the old one. A host that starts runs what the cloud has there at that moment.
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from msgspec.structs import replace

from doctor.model.errors import Reason, RejectedError, TransientError
from doctor.model.instruction import Action, Command, Stage
from doctor.model.map_news import MapDelta, MapNews, MapStatus, Phase
from doctor.model.marking import HEALTHY, MARKED, Mark, MarkKind, Standing
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Tell
from doctor.testing.cloud import FakeCloud
from doctor.testing.simulation.deeds import Ended, Forced, Moment, Taken
from doctor.testing.simulation.devices import Hall
from doctor.testing.simulation.nfvi import Nfvi, owner_of

NAME = "cloud"
SILENT_AFTER = 10.0  # seconds until a compute service that does not report counts as down
RECONCILED_EVERY = 20.0
MOVES = (Action.EVACUATE, Action.MIGRATE, Action.LIVE_MIGRATE)
OF_HOST = (MarkKind.FORCED_DOWN, MarkKind.DISABLED)


class Moods(NamedTuple):
    """How likely it refuses a request, or loses its answer; how long a request and a move take at most."""

    refuses: float = 0.0
    loses_answers: float = 0.0
    way: float = 0.02
    move: float = 1.0


class SimCloud(FakeCloud):
    """The cloud. Whoever is told what he asked for while an answer is lost has to look what became of it."""

    def __init__(
        self, nfvi: Nfvi, hall: Hall, rng: random.Random, moods: Moods, on_told: Callable[[], None]
    ) -> None:
        super().__init__(NAME)
        self.moods = moods
        self.on_moved: Callable[[], None] = lambda: None
        self._plant = hall.plant
        self._loop = hall.loop
        self._clock = hall.clock
        self._trace = hall.trace
        self._deeds = hall.deeds
        self._rng = rng
        self._on_told = on_told
        self._unheard: dict[str, float] = {}
        self._left: dict[str, list[str]] = {}  # by host: what was evacuated from it since it was started
        self._lives = dict.fromkeys(nfvi.hosts, 1)
        self._dirty: dict[str, None] = {}
        self._changed = asyncio.Event()
        hosts = (
            PhysicalResource(id=host, zone_id=zone, cloud=NAME, vim_state="enabled up")
            for host, zone in nfvi.zones.items()
        )
        machines = (
            VirtualResource(id=one, host=host, owner=owner_of(one), cloud=NAME, vim_state="active")
            for one, host in nfvi.machines.items()
        )
        self._map.apply(MapDelta(physical=tuple(hosts), virtual=tuple(machines)))
        for machine, host in nfvi.machines.items():
            self._plant.start(machine, host)
        self._plant.machines_of = self._to_run_on
        self._plant.on_changed = self._look_at_hosts

    # --- what there is ---

    def set_up(self, delta: MapDelta) -> None:
        """Have it otherwise from the beginning: nobody has seen it yet."""
        self._map.apply(delta)

    @property
    def machines(self) -> dict[str, str]:
        """Return all machines, with their hosts."""
        return {one.id: one.host or "" for one in self._map.virtual.values()}

    def _to_run_on(self, host: str) -> Iterator[str]:
        for machine in self._map.virtual.values():
            if machine.host == host and machine.vim_state != "stopped":
                yield machine.id

    def _look_at_hosts(self) -> None:
        for name, host in self._plant.hosts.items():
            if host.runs and host.is_on_network:
                self._unheard.pop(name, None)
                if host.lives != self._lives[name]:  # its compute service has started anew
                    self._lives[name] = host.lives
                    self._left.pop(name, None)
            else:
                self._unheard.setdefault(name, self._loop.time())

    def _is_up(self, host: str) -> bool:
        silent = self._loop.time() - self._unheard.get(host, self._loop.time()) >= SILENT_AFTER
        return not silent and self._word(Mark(MarkKind.FORCED_DOWN, host)) != MARKED[MarkKind.FORCED_DOWN]

    def say(self, news: MapNews) -> None:
        """Let the cloud change, and announce it."""
        if isinstance(news, MapDelta):
            self._map.apply(news)
            self.on_moved()
            self._loop.outside(self._rng.choice([0.001, 0.02, 0.5]), self._announce, tuple(news.ids))

    def _announce(self, ids: Iterable[str]) -> None:
        self._dirty.update(dict.fromkeys(ids))
        self._changed.set()

    async def watch(self, known: ResourceMap, tell: Tell) -> None:
        """Tell all there is, then what changes."""
        self._dirty, self._changed = {}, asyncio.Event()
        await asyncio.sleep(self._rng.choice([0.001, 0.1, 1.0]))
        gone = tuple(one for one in known.virtual if one not in self._map.virtual)
        await tell(replace(self.content, gone=gone))
        while True:
            await tell(self._status())
            until = self._loop.time() + RECONCILED_EVERY
            while await self._is_changed(until - self._loop.time()):
                await self._tell_changes(tell)

    async def _is_changed(self, seconds: float) -> bool:
        """Wait for news, no longer than this."""
        try:
            async with asyncio.timeout(seconds):
                await self._changed.wait()
        except TimeoutError:
            return False
        return True

    def _status(self) -> MapStatus:
        now = self._clock.now()
        return MapStatus(phase=Phase.CURRENT, as_of=now, reconciled=now, listening=True)

    async def _tell_changes(self, tell: Tell) -> None:
        self._changed.clear()
        dirty, self._dirty = list(self._dirty), {}
        physical, virtual = self._map.physical, self._map.virtual
        await tell(
            MapDelta(
                physical=tuple(physical[one] for one in dirty if one in physical),
                virtual=tuple(virtual[one] for one in dirty if one in virtual),
                gone=tuple(one for one in dirty if one not in physical and one not in virtual),
            )
        )

    # --- marks ---

    def _word(self, mark: Mark) -> str:
        """Return how a resource is, of the side that a mark is about."""
        kind, resource = mark.kind, self._map.get(mark.resource_id)
        assert resource is not None
        if kind in OF_HOST:
            return MARKED[kind] if MARKED[kind] in (resource.vim_state or "").split() else HEALTHY[kind]
        return resource.vim_state or HEALTHY[kind]

    async def read(self, mark: Mark) -> Standing:
        """Return how it is."""
        await self._meet("read", mark)
        resource = self._map.get(mark.resource_id)
        if resource is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        reason = ""
        if isinstance(resource, PhysicalResource):
            reason = str(resource.metadata.get("disabled_reason") or "")
        return Standing(self._word(mark), reason if mark.kind is MarkKind.DISABLED else "")

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Set it."""
        told = self._asked(mark.kind, mark.resource_id)
        await self._meet("write", mark)
        await self._request(lambda: self._set(mark, standing, told))

    def _set(self, mark: Mark, standing: Standing, told: Moment) -> None:
        resource = self._map.get(mark.resource_id)
        if resource is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        if isinstance(resource, VirtualResource):
            self.say(MapDelta(virtual=(replace(resource, vim_state=standing.state),)))
            return
        host = resource.id
        is_down = self._word(Mark(MarkKind.FORCED_DOWN, host)) == MARKED[MarkKind.FORCED_DOWN]
        is_disabled = self._word(Mark(MarkKind.DISABLED, host)) == MARKED[MarkKind.DISABLED]
        metadata = dict(resource.metadata)
        if mark.kind is MarkKind.FORCED_DOWN:
            is_down = standing.state == MARKED[mark.kind]
            if not is_down and self._left.get(host):
                raise RejectedError(
                    f"{host} has been evacuated, and not started since", reason=Reason.CONFLICT
                )
            tick = self._trace.note(NAME, "takes for", host, standing.state)
            self._deeds.note(Forced(tick, self._loop.time(), told, host, is_down))
        else:
            is_disabled = standing.state == MARKED[mark.kind]
            self._trace.note(NAME, "takes for", host, standing.state)
            metadata = {"disabled_reason": standing.reason} if is_disabled else {}
        words = f"{'disabled' if is_disabled else 'enabled'} {'down' if is_down else 'up'}"
        self.say(MapDelta(physical=(replace(resource, vim_state=words, metadata=metadata),)))

    # --- commands ---

    async def tell(self, command: Command) -> None:
        """Take it, and do it in its time."""
        told = self._asked(command.action, command.resource_id)
        await self._face()
        await self._request(lambda: self._take_over(command, told))

    def _asked(self, *what: str) -> Moment:
        return Moment(self._trace.note(NAME, "is asked", *what), self._loop.time())

    async def _face(self, mark: Mark | None = None) -> None:
        """Take a while, and refuse now and then."""
        await asyncio.sleep(self._rng.uniform(0.0005, self.moods.way))
        if self._rng.random() < self.moods.refuses:
            raise TransientError("503")

    async def _request(self, take: Callable[[], None]) -> None:
        """Have a request arrive, whatever becomes of Doctor meanwhile."""
        rng = self._rng
        answer: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        loses = rng.random() < self.moods.loses_answers

        def arrive() -> None:
            error: Exception | None = None
            try:
                take()
            except RejectedError as refusal:
                error = refusal
            if loses:
                error = TransientError("the connection was reset")
            if answer.done():
                return
            if error is None:
                answer.set_result(None)
            else:
                answer.set_exception(error)
                answer.exception()  # whoever asked may have gone

        self._loop.outside(rng.uniform(0.0005, self.moods.way), arrive)
        self._on_told()
        await answer

    def _take_over(self, command: Command, told: Moment) -> None:
        machine = self._map.virtual.get(command.resource_id)
        if machine is not None:
            self._check(command, machine)
        self.takes = self._rng.uniform(0.1, self.moods.move) if command.action in MOVES else 0.05
        self._take(command)
        tick = self._trace.note(NAME, "takes", command.action, command.resource_id, command.target)
        source = None if machine is None else machine.host
        self._deeds.note(Taken(tick, self._loop.time(), told, command, source))

    def _check(self, command: Command, machine: VirtualResource) -> None:
        """Refuse what cannot be done as things are."""
        host = machine.host or ""
        if command.action is Action.EVACUATE and self._is_up(host):
            raise RejectedError(f"{host} is in use", reason=Reason.CONFLICT)
        needs_host = command.action not in (Action.EVACUATE, Action.TERMINATE, Action.UPDATE)
        if needs_host and not (self._is_up(host) and self._plant.hosts[host].is_well):
            raise RejectedError(f"{host} is down", reason=Reason.CONFLICT)

    def _later(self, seconds: float, action: Callable[..., None], *parts: Any) -> None:
        self._loop.outside(seconds, action, *parts)

    def _end(self, command: Command, is_end: bool) -> None:
        """End a command: it was done, or could not be."""
        machine = self._map.virtual.get(command.resource_id)
        source = None if machine is None else machine.host
        is_done = machine is not None and self._does(command, machine)
        stage = Stage.SUCCEEDED if is_done else Stage.FAILED
        self._done[command.resource_id][-1] = (command.action, stage)
        tick = self._trace.note(
            NAME, "has done" if is_done else "could not", command.action, command.resource_id
        )
        self._deeds.note(Ended(tick, self._loop.time(), command, source, is_done))

    def _does(self, command: Command, machine: VirtualResource) -> bool:
        host = machine.host or ""
        match command.action:
            case action if action in MOVES:
                target = command.target or self._place(host)
                if target is None or target == host or not self._is_up(target):
                    return False
                if action is not Action.EVACUATE:
                    if not self._plant.hosts[host].is_well:
                        return False
                    self._plant.stop(machine.id, host)
                if not self._plant.start(machine.id, target):
                    if action is not Action.EVACUATE:
                        self._plant.start(machine.id, host)  # it goes on where it was
                    return False
                if action is Action.EVACUATE:
                    self._left.setdefault(host, []).append(machine.id)
                self.say(MapDelta(virtual=(replace(machine, host=target, vim_state="active"),)))
            case Action.STOP | Action.TERMINATE:
                self._plant.stop(machine.id, host)
                gone = command.action is Action.TERMINATE
                after = MapDelta(gone=(machine.id,)) if gone else MapDelta(virtual=(_stopped(machine),))
                self.say(after)
            case _:
                if not self._plant.start(machine.id, host):
                    return False
                self.say(MapDelta(virtual=(replace(machine, vim_state="active"),)))
        return True

    def _place(self, source: str) -> str | None:
        """Return a host for a machine, as a scheduler chooses."""
        fitting = [
            one.id
            for one in self._map.hosts()
            if one.id != source and self._is_up(one.id) and "disabled" not in (one.vim_state or "")
        ]
        return self._rng.choice(fitting) if fitting else None


def _stopped(machine: VirtualResource) -> VirtualResource:
    return replace(machine, vim_state="stopped")
