"""A small VNF manager, run as a process of its own: what the owner of machines does when Doctor calls.

It takes notifications on loopback, checks their signature, drops repeats, switches over to the standby when the active
machine of a group fails, and says handled; one that ``evacuates`` asks for the failed machine to be started elsewhere. When
it is asked because a host is to be emptied it lets its machines be moved, and switches over before the active one goes.
Each step is one line of JSON on standard output, for whoever started it.
Secrets come by the environment: DOCTOR_URL, DOCTOR_TOKEN, ENDPOINT_SECRET.
"""

import asyncio
import json
import os
import socket
import sys
from datetime import UTC, datetime
from typing import Any

import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from doctor.client.consumer import Fresh, Inbox, SignatureError, verify
from doctor.client.http import Client

MOVE = "live_migrate"


class VnfManager:
    """Knows the machines of one tenant by role, and which of them does the work now."""

    def __init__(self, roles: dict[str, str], doctor: Client, *, evacuates: bool) -> None:
        self._roles = roles
        self._evacuates = evacuates
        self._doctor = doctor
        self._secret = os.environ["ENDPOINT_SECRET"]
        self._inbox = Inbox()
        self._tasks: set[asyncio.Task[None]] = set()

    async def receive(self, request: Request) -> Response:
        """Take one notification; anything but a genuine one is refused."""
        if request.method == "GET":  # Doctor asks whether somebody is here
            return Response(status_code=204)
        body = await request.body()
        received = datetime.now(UTC)
        try:
            verify(request.headers, body, self._secret)
        except SignatureError as error:
            return PlainTextResponse(str(error), status_code=401)
        message = json.loads(body)
        if isinstance(self._inbox.take(message), Fresh):
            say("received", message, received_time=received.isoformat())
            task = asyncio.create_task(self._handle(message))  # the answer does not wait for the switch-over
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return Response(status_code=204)

    async def _handle(self, message: dict[str, Any]) -> None:
        if message["notification_type"] == "fault":
            await self._heal(message)
        elif message["notification_type"] == "maintenance":
            await self._agree(message)

    async def _heal(self, message: dict[str, Any]) -> None:
        """Switch over, if the machine that does the work is the one that failed."""
        failed = {
            info["virtual_resource_id"]
            for info in message["virtual_resource_info"]
            if info["virtual_resource_state"] in ("error", "down")
        }
        for name, active in self._switch_over(failed):
            say("switched_over", message, active=active, failed=name)
        await asyncio.to_thread(self._doctor.post, message["links"]["handled"])
        say("handled", message, handled_time=datetime.now(UTC).isoformat())
        if self._evacuates and failed:
            await self._evacuate(sorted(failed), message)

    def _switch_over(self, leaving: set[str]) -> list[tuple[str, str]]:
        """Have standbys take over from what leaves; returns the pairs of who was active and who is."""
        standby = [name for name, role in self._roles.items() if role == "STBY" and name not in leaving]
        switched = []
        for name in leaving:
            if self._roles.get(name) == "ACT" and standby:
                self._roles[name], self._roles[standby[0]] = "STBY", "ACT"
                switched.append((name, standby.pop(0)))
        return switched

    async def _agree(self, message: dict[str, Any]) -> None:
        """Let what Doctor asks for be moved; when it has left, Doctor hears which roles the machines have now."""
        info = message["maintenance"]
        told = {one["virtual_resource_id"]: one["state"] for one in info["machines"]}
        asked = {name for name, state in told.items() if state == "asked"}
        if info["phase"] == "planned" and asked:
            reply = {"reply": "ack", "actions": dict.fromkeys(sorted(asked), MOVE)}
            await asyncio.to_thread(self._doctor.post, info["reply_to"], reply)
            say("replied", message, replied_time=datetime.now(UTC).isoformat())
            for name, active in self._switch_over(asked):
                await self._instruct("switched_over", name)
                now = datetime.now(UTC).isoformat()
                say("switched_over", message, active=active, leaving=name, switched_time=now)
        elif info["phase"] == "moved" and told.keys() & self._roles.keys():
            for name, role in self._roles.items():
                await self._instruct("update", name, parameters={"metadata": {"doctor:role": role}})

    async def _instruct(self, action: str, machine: str, **more: object) -> None:
        wish = {"action": action, "virtual_resource_id": [machine], **more}
        await asyncio.to_thread(self._doctor.post, "/v1/instructions", wish)

    async def _evacuate(self, machines: list[str], message: dict[str, Any]) -> None:
        """Ask for machines to be started elsewhere; Doctor waits with that until their host is isolated."""
        wish = {
            "action": "evacuate",
            "virtual_resource_id": machines,
            "notification_id": message["notification_id"],
        }
        taken = await asyncio.to_thread(self._doctor.post, "/v1/instructions", wish)
        states = [one["state"] for one in taken["resources"]]
        say("instructed", message, instructed_time=datetime.now(UTC).isoformat(), states=states)


def say(what: str, message: dict[str, Any], **more: object) -> None:
    """Write one line for the one who started this process."""
    told = {key: message[key] for key in ("notification_id", "notification_type", "sequence")}
    infos = message.get("virtual_resource_info", [])
    about: dict[str, Any] = {"resources": [info["virtual_resource_id"] for info in infos]}
    about["isolation"] = [info["isolation"] for info in infos]
    about["phase"] = (message.get("maintenance") or {}).get("phase")
    print(json.dumps({"what": what, **told, **about, **more}), flush=True)


async def main(roles: dict[str, str], *, evacuates: bool) -> None:
    """Serve until standard input ends: then the one who started it is gone."""
    with Client(os.environ["DOCTOR_URL"], os.environ["DOCTOR_TOKEN"]) as doctor:
        manager = VnfManager(roles, doctor, evacuates=evacuates)
        application = Starlette(routes=[Route("/doctor", manager.receive, methods=["GET", "POST"])])
        server = uvicorn.Server(
            uvicorn.Config(application, lifespan="off", log_config=None, access_log=False)
        )
        listener = socket.create_server(("127.0.0.1", 0))
        port = listener.getsockname()[1]
        print(json.dumps({"what": "listening", "url": f"http://127.0.0.1:{port}/doctor"}), flush=True)
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(server.serve(sockets=[listener]))
            await asyncio.to_thread(sys.stdin.read)
            server.should_exit = True


if __name__ == "__main__":
    asyncio.run(main(json.loads(sys.argv[1]), evacuates="evacuates" in sys.argv[2:]))
