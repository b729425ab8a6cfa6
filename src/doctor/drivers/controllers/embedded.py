"""The controller that needs no cloud: its map is what the operator loads, its states are what was set last.

What it is commanded it does in the map, at once: a machine is on another host then, is stopped, or is gone.
"""

import asyncio
from collections.abc import Callable, Sequence
from typing import Any

from msgspec.structs import replace

from doctor.model.errors import Reason, RejectedError, TransientError
from doctor.model.instruction import Action, Command, Progress, Stage
from doctor.model.map_news import MapDelta
from doctor.model.marking import HEALTHY, Mark, Standing
from doctor.model.resource import STORAGE, PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.controller import Tell

ACTIVE, STOPPED = "active", "stopped"
SERVES = {STORAGE: "available"}  # what is in service is called so; all else is active
VCPUS, MEMORY_MB = "vcpus", "memory_mb"
_WISHES = {"doctor:group": "group", "doctor:role": "role", "doctor:recovery": "recovery"}
_MOVES = (Action.EVACUATE, Action.MIGRATE, Action.LIVE_MIGRATE)


class EmbeddedController:
    """Knows of no change by itself, remembers states, and does what it is told in its map.

    ``resources`` is asked for the map of the moment, where it is replaced as a whole; without it the map is the one that
    `watch` began with. ``is_well`` tells on which hosts a machine may be started.
    """

    name = "embedded"

    def __init__(
        self,
        resources: Callable[[], ResourceMap] | None = None,
        is_well: Callable[[PhysicalResource], bool] = lambda host: True,
    ) -> None:
        self._map = ResourceMap()
        self._given = resources
        self._is_well = is_well
        self._tell: Tell | None = None
        self._standings: dict[Mark, Standing] = {}
        self._done: dict[str, tuple[int, Command | None]] = {}

    async def watch(self, known: ResourceMap, tell: Tell) -> None:
        """Tell what commands have changed, and nothing else: the map is what was loaded."""
        self._map, self._tell = known, tell
        try:
            await asyncio.Event().wait()
        finally:
            self._tell = None

    async def read(self, mark: Mark) -> Standing:
        """Return what was set last."""
        if self._resources.get(mark.resource_id) is None:
            raise RejectedError(f"there is no {mark.resource_id}", reason=Reason.NOT_FOUND)
        return self._standings.get(mark) or Standing(HEALTHY[mark.kind])

    async def write(self, mark: Mark, standing: Standing) -> None:
        """Remember it."""
        await self.read(mark)
        self._standings[mark] = standing

    async def look(self, command: Command) -> Progress:
        """Return whether it was done, which is at once or not at all. A successor sees it by the map alone.

        A reboot leaves no trace there: it may be done again after a crash.
        """
        count, last = self._done.get(command.resource_id, (0, None))
        machine = self._resources.virtual.get(command.resource_id)
        if machine is None and command.action is not Action.TERMINATE:
            raise RejectedError(f"there is no {command.resource_id}", reason=Reason.NOT_FOUND)
        is_done = machine is None or (
            command.since is not None and (last == command or _shows(command, machine))
        )
        return Progress(Stage.SUCCEEDED if is_done else Stage.UNTOUCHED, str(count))

    async def tell(self, command: Command) -> None:
        """Change the map."""
        machine = self._resources.virtual.get(command.resource_id)
        if machine is None:
            raise RejectedError(f"there is no {command.resource_id}", reason=Reason.NOT_FOUND)
        if self._tell is None:
            raise TransientError("the embedded controller has not started")
        await self._tell(self._changed(command, machine))
        count, _ = self._done.get(machine.id, (0, None))
        self._done[machine.id] = count + 1, command

    async def leaving(self, host: str) -> Sequence[str]:
        """Return nothing: what is done is done at once."""
        return ()

    async def close(self) -> None:
        """Do nothing."""

    @property
    def _resources(self) -> ResourceMap:
        return self._map if self._given is None else self._given()

    def _changed(self, command: Command, machine: VirtualResource) -> MapDelta:
        match command.action:
            case Action.TERMINATE:
                return MapDelta(gone=(machine.id,))
            case Action.STOP:
                after = replace(machine, vim_state=STOPPED)
            case Action.UPDATE:
                after = replace(machine, **_update(command))
            case action if action in _MOVES:
                after = replace(machine, host=self._host_for(machine, command.target), vim_state=ACTIVE)
            case _:
                after = replace(machine, vim_state=SERVES.get(machine.type, ACTIVE))
        return MapDelta(virtual=(after,))

    def _host_for(self, machine: VirtualResource, target: str | None) -> str:
        """Return the target if it will do; without one, the host with the most room that is well, of the same zone if there is one."""
        resources = self._resources
        here = resources.physical.get(machine.host or "")
        fitting = [
            (host.zone_id == (here and here.zone_id), *room, host.id)
            for host in resources.hosts()
            if host.id != machine.host and target in (None, host.id) and self._is_well(host)
            if (room := _room(host, machine, resources)) is not None
        ]
        if not fitting:
            where = "no other host has" if target is None else f"{target} has no"
            raise RejectedError(f"{where} room for {machine.id}", reason=Reason.CONFLICT)
        return max(fitting)[-1]


def _shows(command: Command, machine: VirtualResource) -> bool:
    """Tell whether it can be seen in the map that a command was done."""
    match command.action:
        case Action.STOP:
            return machine.vim_state == STOPPED
        case Action.START:
            return machine.vim_state in (None, SERVES.get(machine.type, ACTIVE))
        case Action.UPDATE:
            return replace(machine, **_update(command)) == machine
        case action:
            return action in _MOVES and machine.host != command.host


def _update(command: Command) -> dict[str, Any]:
    """Return the fields of a machine that an update changes; the map has no place for other metadata."""
    metadata = command.parameters.get("metadata", {})
    if unknown := metadata.keys() - _WISHES.keys():
        raise RejectedError(f"the map has no place for {min(unknown)!r}: it takes {', '.join(_WISHES)}")
    named = {"name": command.parameters["name"]} if "name" in command.parameters else {}
    return named | {_WISHES[key]: text for key, text in metadata.items()}


def _room(
    host: PhysicalResource, machine: VirtualResource, resources: ResourceMap
) -> tuple[float, float] | None:
    """Return what is left of a host that has room for a machine; one that does not say what it has takes any."""
    left = []
    for word, needed, taken in zip(
        (VCPUS, MEMORY_MB), (machine.vcpus, machine.memory_mb), resources.taken_on(host.id), strict=True
    ):
        has = host.metadata.get(word)
        free = float("inf") if not isinstance(has, int | float) else has - taken
        if free < (needed or 0):
            return None
        left.append(free)
    return left[0], left[1]


def make(settings: dict[str, Any]) -> EmbeddedController:
    """Make the controller from its part of the settings.

    Raises:
        ValueError: there are settings; it has none.
    """
    if settings:
        raise ValueError(f"unknown setting {next(iter(settings))!r}: the embedded controller has none")
    return EmbeddedController()
