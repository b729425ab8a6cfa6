"""What Doctor's own monitors see, over HTTP."""

import time
from pathlib import Path
from typing import Any

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door

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
