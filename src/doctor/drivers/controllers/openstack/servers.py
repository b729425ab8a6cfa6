"""Nova: what is done to servers on the order of their owners, and how it is found out what has become of it.

Nova writes each action that it takes into the list of the server's actions before it answers, newest first, each by the
id of its request. What was the newest before a command tells afterwards whether the command arrived, whoever asks. How it
ended is read from the server: Nova sets ``task_state`` together with the action, and takes it away at the end.
"""

import asyncio
from collections.abc import Mapping
from itertools import takewhile
from typing import Any

import msgspec

from doctor.drivers.controllers.openstack.migrations import open_of
from doctor.drivers.controllers.openstack.session import COMPUTE, IMAGE, CloudSession
from doctor.model.errors import Flaw, PermanentError, Reason, RejectedError, TransientError
from doctor.model.instruction import Action, Command, Progress, Stage

# Evacuations and live migrations that the scheduler checks, without `force`; before 2.95, from which on Nova leaves what
# it has evacuated stopped.
VERSION = "2.69"
NOTHING = "-"  # what the newest action is called where there is none

_NAMES = {
    Action.EVACUATE: "evacuate",
    Action.MIGRATE: "migrate",
    Action.LIVE_MIGRATE: "live-migration",
    Action.REBUILD: "rebuild",
    Action.REBOOT: "reboot",
    Action.STOP: "stop",
    Action.START: "start",
    Action.TERMINATE: "delete",
}
_MOVES = (Action.EVACUATE, Action.MIGRATE, Action.LIVE_MIGRATE)
FORCED_DOWN_WITHIN = 1.0  # seconds for which an evacuation waits for its host to be forced down, beside it
LOOK_EVERY = 0.05
BEING_MOVED = Flaw("", "it is being moved already, not by this instruction: that has to end first")
_SETTLED = {
    Action.STOP: "stopped",
    Action.START: "active",
}  # how it is afterwards; if it is so already it is done


class _Fault(msgspec.Struct):
    message: str = ""


class _Image(msgspec.Struct):
    id: str


class _Server(
    msgspec.Struct,
    rename={
        "host": "OS-EXT-SRV-ATTR:host",
        "vm_state": "OS-EXT-STS:vm_state",
        "task_state": "OS-EXT-STS:task_state",
    },
):
    id: str
    name: str = ""
    host: str | None = None
    vm_state: str | None = None
    task_state: str | None = None
    metadata: dict[str, str] = {}
    image: _Image | str = ""
    fault: _Fault | None = None


class _OneServer(msgspec.Struct):
    server: _Server


class _Action(msgspec.Struct):
    action: str
    request_id: str
    message: str | None = None


class _Actions(msgspec.Struct, rename={"actions": "instanceActions"}):
    actions: list[_Action]


class _Service(msgspec.Struct):
    state: str = "up"
    status: str = "enabled"
    forced_down: bool = False

    @property
    def is_down(self) -> bool:
        return self.state != "up" or self.forced_down


class _Services(msgspec.Struct):
    services: list[_Service]


class Servers:
    """The servers of one region, as they can be commanded."""

    def __init__(self, session: CloudSession) -> None:
        self._session = session

    async def look(self, command: Command) -> Progress:
        """Return what has become of a command. It names the host as Nova does."""
        try:
            actions = await self._actions(command)
            server = await self._server(command)  # after them: by then it shows what they have begun
        except RejectedError as error:
            if command.action is Action.TERMINATE and error.reason is Reason.NOT_FOUND:
                return Progress(Stage.SUCCEEDED)
            raise
        seen = actions[0].request_id if actions else NOTHING
        if command.since is None:
            return Progress(Stage.UNTOUCHED, seen)
        if command.action is Action.UPDATE:
            return Progress(Stage.SUCCEEDED if _is_updated(server, command) else Stage.UNTOUCHED, seen)
        since = _since(command, actions)
        taken = next((one for one in since if one.action == _NAMES[command.action]), None)
        if taken is not None and _is_being_confirmed(server, since):
            return Progress(Stage.RUNNING, seen, "being confirmed")
        return _progress(command, server, taken, seen)

    async def tell(self, command: Command) -> None:
        """Give the command that comes next."""
        match command.action:
            case Action.EVACUATE:
                await self._check_move(command)
                await self._evacuate(command)
            case Action.MIGRATE if await self._is_halted(command):
                await self._act(command, {"confirmResize": None})
            case Action.MIGRATE:
                await self._check_move(command)
                await self._act(command, {"migrate": {"host": command.target} if command.target else None})
            case Action.LIVE_MIGRATE:
                await self._check_move(command)
                await self._act(
                    command, {"os-migrateLive": {"host": command.target, "block_migration": "auto"}}
                )
            case Action.REBUILD:
                await self._rebuild(command, await self._image(command))
            case Action.REBOOT:
                await self._act(command, {"reboot": {"type": command.parameters.get("type", "soft").upper()}})
            case Action.STOP:
                await self._act(command, {"os-stop": None})
            case Action.START:
                await self._act(command, {"os-start": None})
            case Action.TERMINATE:
                await self._session.change(COMPUTE, "DELETE", _path(command), None, version=VERSION)
            case Action.UPDATE:
                await self._update(command)
            case Action.LEAVE | Action.SWITCHED_OVER | Action.REPAIR:
                raise RejectedError(f"Nova knows no {command.action}")

    async def _act(self, command: Command, body: Mapping[str, Any]) -> None:
        await self._session.change(COMPUTE, "POST", f"{_path(command)}/action", body, version=VERSION)

    async def _update(self, command: Command) -> None:
        if "name" in command.parameters:
            body: dict[str, Any] = {"server": {"name": command.parameters["name"]}}
            await self._session.change(COMPUTE, "PUT", _path(command), body, version=VERSION)
        if "metadata" in command.parameters:
            body = {"metadata": command.parameters["metadata"]}
            await self._session.change(COMPUTE, "POST", f"{_path(command)}/metadata", body, version=VERSION)

    async def _is_halted(self, command: Command) -> bool:
        """Tell whether a migration of ours waits to be confirmed; a resize of the owner does so for the owner."""
        return (await self.look(command)).stage is Stage.HALTED

    async def _check_move(self, command: Command) -> None:
        """See, side by side, whether a server may be moved now, and to the host that is named."""
        await asyncio.gather(self._check_alone(command), self._check_target(command))

    async def _evacuate(self, command: Command) -> None:
        """Evacuate a server. Nova refuses that while it takes the host for alive.

        Doctor forces the host down when it is isolated, beside this, which takes a moment: so that is waited for.
        """
        body = {"evacuate": {"host": command.target} if command.target else {}}
        try:
            await self._act(command, body)
        except RejectedError as error:
            if error.reason is not Reason.CONFLICT:
                raise
            await self._until_down(command)
            await self._check_alone(command)
            await self._act(command, body)

    async def _until_down(self, command: Command) -> None:
        """Wait a moment for Nova to take the host for down; it refuses in words that help nobody."""
        for _ in range(round(FORCED_DOWN_WITHIN / LOOK_EVERY)):
            if all(one.is_down for one in await self._services(command.host)):
                return
            await asyncio.sleep(LOOK_EVERY)
        raise RejectedError(
            f"Nova still takes nova-compute on {command.host} for alive: it has to be forced down first",
            reason=Reason.CONFLICT,
        )

    async def _check_alone(self, command: Command) -> None:
        """See that nobody else is moving the server: Nova would begin a second evacuation beside the first.

        What this instruction has begun is not asked for here: then it is looked at, and not told. What was to end on a host
        that is forced down, and so fenced, will not end any more.
        """
        for one in await open_of(self._session, command.resource_id):
            goal = await self._services(one.dest_compute) if one.dest_compute else []
            if not any(service.forced_down for service in goal):
                raise RejectedError(f"under way: {one}", reason=Reason.CONFLICT, flaws=[BEING_MOVED])

    async def _check_target(self, command: Command) -> None:
        """See that the host that is named can take a server: Nova says nothing of that but that no valid host was found."""
        if command.target is None:
            return
        services = await self._services(command.target)
        if not services:
            raise RejectedError(f"Nova has no compute host {command.target}")
        for one in services:
            if one.is_down or one.status == "disabled":
                how = "down" if one.is_down else "disabled"
                raise RejectedError(f"{command.target} is {how} in Nova: it takes no machine")

    async def _services(self, host: str | None) -> list[_Service]:
        path = f"/os-services?binary=nova-compute&host={host}"
        return (await self._session.get(COMPUTE, path, _Services, version=VERSION, urgent=True)).services

    async def _rebuild(self, command: Command, image: str) -> None:
        """Rebuild a server; Nova asks Glance for the image as Doctor, who may not see what is private to a project."""
        try:
            await self._act(command, {"rebuild": {"imageRef": image}})
        except RejectedError as error:
            if error.reason is Reason.CONFLICT:
                await self._check_image(image)
            raise

    async def _check_image(self, image: str) -> None:
        """Say what is to be done about an image that Doctor may not use. Where Glance says nothing Nova has said enough."""
        try:
            await self._session.get(IMAGE, f"/v2/images/{image}", _Image, urgent=True)
        except RejectedError as error:
            says = (
                f"Doctor may not use the image {image}: share it with its project in the cloud"
                f" ({await self._session.project()}), or ask the operator"
            )
            raise RejectedError(
                f"Glance shows Doctor no image {image}", flaws=[Flaw("/parameters/image", says)]
            ) from error
        except (TransientError, PermanentError):
            return

    async def _image(self, command: Command) -> str:
        wanted = command.parameters.get("image")
        if wanted:
            return str(wanted)
        image = (await self._server(command)).image
        if isinstance(image, str):
            raise RejectedError("it starts from a volume: say from which image it is to be rebuilt")
        return image.id

    async def _server(self, command: Command) -> _Server:
        answer = await self._session.get(COMPUTE, _path(command), _OneServer, version=VERSION, urgent=True)
        return answer.server

    async def _actions(self, command: Command) -> list[_Action]:
        path = f"{_path(command)}/os-instance-actions"
        return (await self._session.get(COMPUTE, path, _Actions, version=VERSION, urgent=True)).actions


def _path(command: Command) -> str:
    return f"/servers/{command.resource_id}"


def _since(command: Command, actions: list[_Action]) -> list[_Action]:
    """Return what has been done since the command was first to be given, newest first."""
    return list(takewhile(lambda one: one.request_id != command.since, actions))


def _is_being_confirmed(server: _Server, since: list[_Action]) -> bool:
    """Tell whether the end of a migration is under way, of which Nova says nothing in the server."""
    is_confirmed = bool(since) and since[0].action == "confirmResize" and not since[0].message
    return server.vm_state == "resized" and is_confirmed


def _progress(command: Command, server: _Server, taken: _Action | None, seen: str) -> Progress:
    action = command.action
    settled = _SETTLED.get(action)
    if taken is None:
        is_so = server.task_state is None and settled is not None and server.vm_state == settled
        return Progress(Stage.SUCCEEDED if is_so else Stage.UNTOUCHED, seen)
    if server.task_state is not None:
        return Progress(Stage.RUNNING, seen, server.task_state)
    if action is Action.TERMINATE and server.vm_state != "error":
        return Progress(Stage.RUNNING, seen, "being deleted")
    if action is Action.MIGRATE and server.vm_state == "resized":
        return Progress(Stage.HALTED, seen)
    if action is Action.EVACUATE and _is_arriving(command, server, taken):
        return Progress(Stage.RUNNING, seen, "about to be on its new host")
    if action in _MOVES:
        is_done = server.host != command.host and server.vm_state != "error"
    else:
        is_done = server.vm_state in ((settled,) if settled else ("active", "stopped")) and not taken.message
    if is_done:
        return Progress(Stage.SUCCEEDED, seen)
    why = server.fault.message if server.fault is not None else ""
    return Progress(Stage.FAILED, seen, why or taken.message or f"it is {server.vm_state} afterwards")


def _is_arriving(command: Command, server: _Server, taken: _Action) -> bool:
    """Tell whether an evacuation has come to the moment in which the server runs, and Nova still names its old host.

    One that failed has left the server in error, or said so.
    """
    return server.host == command.host and server.vm_state != "error" and not taken.message


def _is_updated(server: _Server, command: Command) -> bool:
    wanted = command.parameters.get("metadata", {})
    has_name = server.name == command.parameters.get("name", server.name)
    return has_name and all(server.metadata.get(key) == text for key, text in wanted.items())
