"""The story of the demonstration: a host fails, its owner is told and switches over, the host returns.

Everything is real: a Doctor with its store and its ping monitor, hosts that fail, two tenants as processes of their own.
"""

import json
import secrets
import tempfile
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from doctor.cli.demo.hosts import Hosts, free_port
from doctor.cli.demo.processes import DemoError, Line, Talker, start_doctor, stop, tail
from doctor.client.errors import Unreachable
from doctor.client.http import Client
from doctor.model.checkpoint import Checkpoint, Timeline

HOSTS = ("compute-1", "compute-2")
OWNER, STRANGER = "red", "blue"
ROLES = {OWNER: {"red-act": "ACT", "red-stby": "STBY"}, STRANGER: {"blue-1": "ACT"}}
PLACES = {"red-act": "compute-1", "red-stby": "compute-2", "blue-1": "compute-2"}
PATIENCE = 15.0  # seconds for any step; none takes one when all is well
BUDGET = timedelta(seconds=1)

Tell = Callable[[str], None]


class Outcome(NamedTuple):
    """What was seen."""

    timeline: Timeline
    detected_to_received: timedelta
    detected_to_handled: timedelta
    occurred_to_detected: timedelta
    told: dict[str, int]
    switched_over: bool
    cleared: bool

    @property
    def is_good(self) -> bool:
        """Tell whether the promise was kept: the owner within a second, nobody else at all."""
        return (
            self.detected_to_received < BUDGET
            and self.told[OWNER] > 0
            and self.told[STRANGER] == 0
            and self.switched_over
            and self.cleared
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a program."""
        return {
            "detected_to_received_ms": _ms(self.detected_to_received),
            "detected_to_handled_ms": _ms(self.detected_to_handled),
            "occurred_to_detected_ms": _ms(self.occurred_to_detected),
            "told": self.told,
            "switched_over": self.switched_over,
            "cleared": self.cleared,
        }


def play(hosts: Hosts, tell: Tell) -> Outcome:
    """Play the story once, and clean up after it.

    Raises:
        DemoError: something that should have happened did not.
    """
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="doctor-demo-")))
        stack.enter_context(hosts)
        tell(
            f"{len(HOSTS)} hosts as {hosts.kind}: "
            + ", ".join(f"{name} {hosts.address(name)}" for name in HOSTS)
        )
        client = stack.enter_context(_doctor(hosts, folder))
        tell(f"Doctor listens on {client.url} and pings them every 100 ms; 3 misses in a row are a failure")
        client.put("/v1/resource-map", _resource_map(hosts))
        tenants = {}
        for project in (OWNER, STRANGER):
            tenants[project] = stack.enter_context(_tenant(client, project, folder))
        machines = ", ".join(f"{name} ({ROLES[OWNER][name]}) on {PLACES[name]}" for name in ROLES[OWNER])
        tell(f"tenant {OWNER}: {machines}; its VNF manager has subscribed")
        tell(f"tenant {STRANGER}: blue-1 on compute-2; it has subscribed too, and must hear nothing")
        _wait_until_watched(client)
        return _fail_and_recover(hosts, client, tenants, tell)


def _fail_and_recover(hosts: Hosts, client: Client, tenants: dict[str, Talker], tell: Tell) -> Outcome:
    owner = tenants[OWNER]
    tell("")
    occurred = datetime.now(UTC)
    hosts.fail("compute-1")
    tell(f"compute-1 fails: {hosts.failure}")
    received = owner.wait_for("received", _is("fault"), seconds=PATIENCE)
    switched = owner.wait_for("switched_over", seconds=PATIENCE)
    handled = owner.wait_for("handled", seconds=PATIENCE)
    timeline = _timeline(client, occurred)
    detected = timeline.checkpoints[Checkpoint.DETECTED]
    told_after = _time(received, "received_time") - detected
    tell(f"  detected after {_ms(detected - occurred):.0f} ms")
    tell(f"  the owner was told {_ms(told_after):.1f} ms later: red-act is in error")
    tell(f"  its VNF manager made {switched['active']} active and said handled")
    hosts.recover("compute-1")
    tell(f"compute-1 returns: {hosts.recovery}")
    owner.wait_for("received", _is("fault_cleared"), seconds=PATIENCE)
    tell("  the alarm is cleared, and the owner was told")
    time.sleep(0.3)  # a notification that must not come would have come by now
    told = {
        project: sum(
            line["what"] == "received" and line["notification_type"] == "fault" for line in tenant.lines
        )
        for project, tenant in tenants.items()
    }
    told[STRANGER] = sum(line["what"] == "received" for line in tenants[STRANGER].lines)
    tell(f"tenant {STRANGER} heard {'nothing' if not told[STRANGER] else 'what it must not hear'}")
    return Outcome(
        timeline=_timeline(client, occurred),
        detected_to_received=told_after,
        detected_to_handled=_time(handled, "handled_time") - detected,
        occurred_to_detected=detected - occurred,
        told=told,
        switched_over=switched["active"] == "red-stby",
        cleared=not list(client.items("/v1/alarms", state="active")),
    )


@contextmanager
def _doctor(hosts: Hosts, folder: Path) -> Iterator[Client]:
    """Run a Doctor of its own, with its state in the folder."""
    port = free_port()
    settings = folder / "doctor.yaml"
    document = {
        "listen": f"127.0.0.1:{port}",
        "data": str(folder / "state"),
        "monitors": [hosts.ping_settings()],
        "log": {"format": "json"},
    }
    settings.write_text(json.dumps(document))  # JSON is YAML
    log = folder / "doctor.log"
    process = start_doctor(settings, log)
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with Client(url) as anybody:
                    anybody.get("/healthz")
                break
            except Unreachable as error:
                if process.poll() is not None:
                    raise DemoError(f"Doctor did not start: {tail(log)}") from None
                if time.monotonic() > end:
                    raise DemoError(str(error)) from None
                time.sleep(0.02)
        with Client(url, (folder / "state" / "admin.token").read_text().strip()) as client:
            yield client
    finally:
        stop(process)


@contextmanager
def _tenant(client: Client, project: str, folder: Path) -> Iterator[Talker]:
    """Run the VNF manager of a tenant, with a token of its own, subscribed to all that is its own."""
    token = client.post(
        "/v1/tokens", {"role": "consumer", "project": project, "name": f"{project}'s VNF manager"}
    )
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    environment = {"DOCTOR_URL": client.url, "DOCTOR_TOKEN": token["token"], "ENDPOINT_SECRET": secret}
    words = ["-m", "doctor.cli.demo.vnf_manager", json.dumps(ROLES[project])]
    manager = Talker(words, environment, folder / f"{project}.log")
    try:
        url = manager.wait_for("listening", seconds=PATIENCE)["url"]
        with Client(client.url, token["token"]) as own:
            answer = own.post("/v1/subscriptions", {"endpoints": [{"url": url, "secret": secret}]})
        if answer["warnings"]:
            raise DemoError(f"the endpoint of {project} does not answer: {answer['warnings']}")
        yield manager
    finally:
        manager.stop()


def _resource_map(hosts: Hosts) -> dict[str, Any]:
    return {
        "physical_resources": [
            {"id": name, "type": "host", "zone_id": "az1", "address": hosts.address(name)} for name in HOSTS
        ],
        "virtual_resources": [
            {"id": name, "host": PLACES[name], "owner": project, "group": "vnf", "role": role}
            for project, roles in ROLES.items()
            for name, role in roles.items()
        ],
        "relations": [],
    }


def _wait_until_watched(client: Client) -> None:
    """Give the monitor the time to see every host once: only then can it see one fail."""
    time.sleep(0.6)
    left = [alarm["resource_id"] for alarm in client.items("/v1/alarms")]
    if left:
        raise DemoError(f"{', '.join(left)} cannot be reached on this machine before anything has failed")


def _timeline(client: Client, occurred: datetime) -> Timeline:
    """Return the timeline of the fault, with the moment of the failure as we know it ourselves."""
    timeline = msgspec.convert(client.get("/v1/timelines", limit=1)["items"][0], Timeline)
    timeline.checkpoints[Checkpoint.OCCURRED] = occurred
    return timeline


def _is(kind: str) -> Callable[[Line], bool]:
    return lambda line: line["notification_type"] == kind


def _time(line: Line, key: str) -> datetime:
    return datetime.fromisoformat(line[key])


def _ms(duration: timedelta) -> float:
    return round(duration / timedelta(milliseconds=1), 3)
