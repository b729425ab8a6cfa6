"""What Doctor's own monitors see, over HTTP."""

import json
import socket
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

HOSTS = {
    "physical_resources": [{"id": f"compute-{n}", "address": [f"127.7.0.{n}"]} for n in (1, 2)],
    "virtual_resources": [],
}
PING = {
    "driver": "ping",
    "method": "tcp",
    "tcp_port": 9,
    "interval": 0.2,
}  # refused is an answer, and needs no rights


def vantages(door: Door, *, seen: int) -> list[dict[str, Any]]:
    """Return the vantages when so many hosts, and all canaries, have been looked at."""
    deadline = time.monotonic() + 20
    while True:
        found: list[dict[str, Any]] = door.ask("GET", "/v1/vantages")[1]["items"]
        if any(one["seen_hosts"] == seen and len(one["canaries"]) == 2 for one in found):
            return found
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def test_the_administrator_sees_what_a_monitor_sees(tmp_path: Path) -> None:
    canaries = ["127.7.1.1", "tcp://127.7.1.2:9"]
    monitors = [{**PING, "canaries": canaries}, {**PING, "vantage": "other", "only": ["nobody"]}]
    with RunningDoctor(tmp_path, monitors=monitors) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", HOSTS)[0] == 200
        (ping,) = vantages(door, seen=2)
        assert ping == {
            "name": "ping",
            "state": "sees",
            "since": None,
            "seen_hosts": 2,
            "dead_hosts": 0,
            "waiting_hosts": [],
            "canaries": [{"name": name, "seen": True, "silent_since": None} for name in canaries],
            "alarm_id": None,
        }
        for role, status in ((Role.AUDITOR, 200), (Role.MONITOR, 403)):
            assert door.ask("GET", "/v1/vantages", token=door.token(role))[0] == status
        assert door.ask("GET", "/v1/vantages", token=door.token(Role.CONSUMER, "red"))[0] == 403
        assert door.ask("GET", "/v1/vantages?limit=1")[1] == {"items": [ping], "next": None}
        assert door.ask("GET", "/v1/vantages?cursor=x")[0] == 400


def eventually(ask: Callable[[], Any], wanted: Any) -> None:
    deadline = time.monotonic() + 20
    while (found := ask()) != wanted:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)


def listening(*addresses: str, port: int = 0) -> tuple[ExitStack, int]:
    """Return what listens at addresses until it is closed, and the port of all of them."""
    with ExitStack() as made:
        for address in addresses:
            server = made.enter_context(socket.create_server((address, port)))
            port = server.getsockname()[1]
        return made.pop_all(), port


def test_doctor_says_that_it_cannot_see_and_reports_no_host(tmp_path: Path) -> None:
    """What answers nobody at all, hosts and canary alike, is not taken for dead."""
    hosts, canary = ("127.7.0.1", "127.7.0.2"), "127.7.1.1"
    network, port = listening(*hosts, canary)
    ping = {**PING, "interval": 0.1, "tcp_port": port, "tcp_refused": "down", "canaries": [canary]}
    with RunningDoctor(tmp_path, monitors=[ping]) as doctor, ExitStack() as later:
        door, shell = Door(doctor), Shell(doctor, tmp_path)
        assert door.ask("PUT", "/v1/resource-map", HOSTS)[0] == 200

        def state() -> tuple[str, int, list[str]]:
            said = json.loads(shell.run("vantage", "list", "--json").stdout)["items"]
            (seen,) = said or [{"state": "", "seen_hosts": 0, "waiting_hosts": []}]
            return seen["state"], seen["seen_hosts"], seen["waiting_hosts"]

        def alarms() -> list[tuple[str, str]]:
            return [
                (one["resource_id"], one["fault_type"]) for one in door.ask("GET", "/v1/alarms")[1]["items"]
            ]

        eventually(state, ("sees", 2, []))
        network.close()
        eventually(state, ("isolated", 0, ["compute-1", "compute-2"]))
        assert alarms() == [("ping", "monitor isolated")]
        again, _ = listening(hosts[0], canary, port=port)
        later.callback(again.close)
        eventually(alarms, [("compute-2", "host down")])
        assert state() == ("sees", 1, [])
