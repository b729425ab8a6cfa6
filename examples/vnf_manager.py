"""A complete VNF manager: it is told of faults, switches over and has machines healed; it is asked before hosts are emptied.

Run it beside any Doctor; it needs Doctor's client and nothing else. It speaks for the project of its token::

    DOCTOR_URL=http://127.0.0.1:12345 DOCTOR_TOKEN=... python vnf_manager.py core core-a=ACT core-b=STBY probe=own

``core`` is the redundancy group, one of its machines is active and the other ones stand by. A machine that is its ``own`` is in
no group: when its host is to be emptied the manager takes it away itself. What a real manager does to its application is in
`Vnf`, and here only noted.
"""

import argparse
import json
import queue
import secrets
import signal
import sys
import threading
from base64 import b64encode
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from doctor.client import ApiError, Client, Fresh, Inbox, SignatureError, find_access, verify

ACTIVE, STANDBY, OWN = "ACT", "STBY", "own"
BROKEN = ("error", "down")
Message = Mapping[str, Any]


class Vnf:
    """The application: which machine does the work, and which ones can. Here is where a real manager acts."""

    def __init__(self, roles: Mapping[str, str]) -> None:
        self.roles = {name: role for name, role in roles.items() if role != OWN}
        self.own = {name for name, role in roles.items() if role == OWN}

    @property
    def machines(self) -> set[str]:
        """Return all machines."""
        return self.roles.keys() | self.own

    def switch_over(self, leaving: set[str]) -> list[tuple[str, str]]:
        """Have standbys take over from the active ones among these; return who gave and who took."""
        standbys = [name for name, role in self.roles.items() if role == STANDBY and name not in leaving]
        done = []
        for name in sorted(leaving):
            if self.roles.get(name) == ACTIVE and standbys:
                taker = standbys.pop(0)
                self.roles[name], self.roles[taker] = STANDBY, ACTIVE
                done.append((name, taker))
        return done


class VnfManager:
    """Acts on what Doctor says, one message after the other, in a thread of its own."""

    def __init__(self, doctor: Client, group: str, vnf: Vnf) -> None:
        self.doctor = doctor
        self.group = group
        self.vnf = vnf
        self.secret = "whsec_" + b64encode(secrets.token_bytes(24)).decode()
        self.messages: queue.Queue[Message] = queue.Queue()
        self.subscription_id = ""
        self._inbox = Inbox()

    # --- once ---

    def introduce(self, url: str) -> None:
        """Say what holds beforehand, then subscribe: from then on nothing is missed."""
        self._say_who_is_active()
        doctor, policy = self.doctor, {"action": "ask", "if_silent": "leave", "lead_time": "PT10S"}
        doctor.put(f"/v1/maintenance-policies/group:{self.group}", policy)
        wish = {
            "subscribe_filter": {"virtual_resource_id": sorted(self.vnf.machines)},
            "endpoints": [{"url": url, "secret": self.secret}],
        }
        made = doctor.post("/v1/subscriptions", wish)
        self.subscription_id = made["subscription_id"]
        for one in made["warnings"]:
            say(f"warning: {one['detail']}")
        say(f"subscribed; told at {url}")
        for one in made["virtual_resource_info"]:  # how it is now: what broke before is not told again
            if one["virtual_resource_state"] != "normal":
                say(f"{one['virtual_resource_id']} is {one['virtual_resource_state']} already")

    def leave(self) -> None:
        """Want to hear nothing more."""
        self.doctor.delete(f"/v1/subscriptions/{self.subscription_id}")

    # --- at the door: quick, and nothing else ---

    def receive(self, headers: Mapping[str, str], body: bytes) -> int:
        """Take a notification and return the status to answer; what it asks for is done afterwards."""
        try:
            verify(headers, body, self.secret)
        except SignatureError as error:
            say(f"refused: {error}")
            return 401
        message: Message = json.loads(body)
        match self._inbox.take(message):
            case Fresh(gap=None):
                self.messages.put(message)
            case Fresh(gap=gap):  # some were parked: ask for them, in their order
                assert gap is not None
                missed = self.doctor.items(
                    "/v1/notifications", subscription_id=self.subscription_id, after=gap.after
                )
                for one in missed:
                    if one["sequence"] < gap.before:
                        self._inbox.take(one)
                        self.messages.put(one)
                self.messages.put(message)
            case _:
                pass  # a repeat: it is done, or waits for its turn
        return 204

    # --- behind it ---

    def work(self) -> None:
        """Act on messages until None comes."""
        while (message := self.messages.get()) is not None:
            try:
                self._act_on(message)
            except ApiError as error:  # a defect, or too late: say so, and go on
                say(f"Doctor refuses: {error}")

    def _act_on(self, message: Message) -> None:
        match message["notification_type"]:
            case "fault" | "fault_changed":
                self._heal(message)
            case "fault_cleared" | "correction":
                say(f"well again: {', '.join(_names(message))}")
            case "maintenance":
                self._make_way(message["maintenance"])
            case "instruction_result":
                done = message["instruction"]
                for one in done["results"]:
                    why = f": {one['reason']}" if one["reason"] else ""
                    say(f"{done['action']} {one['virtual_resource_id']}: {one['state']}{why}")
            case _:
                pass  # a kind that this manager has no use for

    def _heal(self, message: Message) -> None:
        """Switch over first; then have what failed started elsewhere."""
        failed = {
            one["virtual_resource_id"]: one
            for one in message["virtual_resource_info"]
            if one["virtual_resource_state"] in BROKEN
        }
        if not failed:
            return
        for name, one in sorted(failed.items()):
            say(f"{name} is {one['virtual_resource_state']}: {one['faults'][0]['fault_type']}")
        self._switch_over(set(failed))
        self.doctor.post(message["links"]["handled"])  # the service runs again: that stops the clock
        is_dead = any(one["host_status"] in ("DOWN", "UNKNOWN") for one in failed.values())
        self._instruct("evacuate" if is_dead else "migrate", sorted(failed), message["notification_id"])

    def _make_way(self, info: Message) -> None:
        """Answer for each machine that Doctor asks about; the others it only tells of."""
        machines = {one["virtual_resource_id"]: one for one in info["machines"]}
        match info["phase"]:
            case "planned" | "reminder":
                asked = sorted(name for name, one in machines.items() if one["state"] == "asked")
                if asked:
                    self._answer(info, {name: machines[name]["allowed_actions"] for name in asked})
            case "over" | "failed" | "cancelled":
                say(f"maintenance is {info['phase']} for {', '.join(sorted(machines))}")
            case _:
                pass  # that it begins now, and which machines are out of the way by now

    def _answer(self, info: Message, allowed: Mapping[str, list[str]]) -> None:
        say(f"asked to leave ({info['reason']}): {', '.join(allowed)}")
        self._switch_over(set(allowed))
        actions = {}
        for name, possible in allowed.items():
            wanted = "own_action" if name in self.vnf.own else "live_migrate"
            actions[name] = wanted if wanted in possible else possible[0]
        # Ready: the standby has taken over, so there is nothing to wait for.
        self.doctor.post(info["reply_to"], {"reply": "ack", "actions": actions, "ready": True})
        say("answered: " + ", ".join(f"{name} {action}" for name, action in actions.items()))
        own = [name for name, action in actions.items() if action == "own_action"]
        if own:  # a real manager may have its own ways, such as a new machine instead
            self._instruct("migrate", own)

    def _switch_over(self, leaving: set[str]) -> None:
        switched = self.vnf.switch_over(leaving)
        for name, taker in switched:
            say(f"switched over from {name} to {taker}")
        if switched:
            self._say_who_is_active()

    def _say_who_is_active(self) -> None:
        """Tell Doctor the roles: it moves standbys first, and lets one of the group be away at a time."""
        group = {
            "members": sorted(self.vnf.roles),
            "roles": self.vnf.roles,
            "max_out": 1,
            "anti_affinity": True,
        }
        self.doctor.put(f"/v1/groups/{self.group}", group)

    def _instruct(self, action: str, machines: list[str], about: str | None = None) -> None:
        wish: dict[str, Any] = {"action": action, "virtual_resource_id": machines}
        if about is not None:
            wish["notification_id"] = about
        taken = self.doctor.post("/v1/instructions", wish)
        for one in taken["resources"]:
            why = f": {one['reason']}" if one["reason"] else ""
            say(f"instructed: {action} {one['virtual_resource_id']} ({one['state']}{why})")


def _names(message: Message) -> list[str]:
    return sorted(one["virtual_resource_id"] for one in message["virtual_resource_info"])


def say(line: str) -> None:
    """Write a line for who watches."""
    print(line, flush=True)


def door_of(manager: VnfManager) -> type[BaseHTTPRequestHandler]:
    """Return what answers Doctor; any web server will do."""

    class Door(BaseHTTPRequestHandler):
        def do_GET(self) -> None:  # Doctor asks whether somebody is here
            self._answer(204)

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["content-length"]))
            self._answer(manager.receive(dict(self.headers), body))

        def _answer(self, status: int) -> None:
            self.send_response(status)
            self.end_headers()

        def log_message(self, *args: object) -> None:
            pass

    return Door


def main() -> None:
    """Serve until somebody ends it (Ctrl-C)."""
    parser = argparse.ArgumentParser(description="A complete VNF manager, for reading and trying.")
    parser.add_argument("group", help="the name of the redundancy group")
    parser.add_argument("machines", nargs="+", metavar="MACHINE=ROLE", help="ROLE: ACT, STBY or own")
    parser.add_argument("--port", type=int, default=0, help="where to listen on loopback [default: any]")
    given = parser.parse_args()
    roles = dict(one.rpartition("=")[::2] for one in given.machines)
    if unknown := [role for role in roles.values() if role not in (ACTIVE, STANDBY, OWN)]:
        parser.error(f"{unknown[0]}: a role is {ACTIVE}, {STANDBY} or {OWN}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    access = find_access()
    with Client(access.url, access.token) as doctor:
        manager = VnfManager(doctor, given.group, Vnf(roles))
        server = ThreadingHTTPServer(("127.0.0.1", given.port), door_of(manager))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        manager.introduce(f"http://127.0.0.1:{server.server_port}/doctor")
        try:
            manager.work()
        except (KeyboardInterrupt, SystemExit):
            manager.leave()
            say("unsubscribed")


if __name__ == "__main__":
    main()
