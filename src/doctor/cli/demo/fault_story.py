"""The story of a fault: a host fails, its owner is told and switches over, the host returns.

Everything is real: a Doctor with its store and its ping monitor, hosts that fail, two tenants as processes of their own.
"""

import time
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple

from doctor.cli.demo.guard import guarded_folder
from doctor.cli.demo.hosts import Hosts
from doctor.cli.demo.processes import Talker
from doctor.cli.demo.site import (
    BUDGET,
    PATIENCE,
    Tell,
    heard,
    milliseconds,
    of_type,
    resource_map,
    running_doctor,
    tenant,
    time_of,
    timeline_of,
    wait_until_watched,
)
from doctor.cli.drawing import render
from doctor.client.http import Client
from doctor.model.checkpoint import Checkpoint, Timeline

if TYPE_CHECKING:
    from rich.text import Text

HOSTS = ("compute-1", "compute-2")
OWNER, STRANGER = "red", "blue"
ROLES = {OWNER: {"red-act": "ACT", "red-stby": "STBY"}, STRANGER: {"blue-1": "ACT"}}
PLACES = {"red-act": "compute-1", "red-stby": "compute-2", "blue-1": "compute-2"}


class FaultOutcome(NamedTuple):
    """What was seen."""

    timeline: Timeline
    detected_to_received: timedelta
    detected_to_handled: timedelta
    occurred_to_detected: timedelta
    told: dict[str, int]
    switched_over: bool
    cleared: bool

    def drawing(self, width: int, *, unicode: bool) -> "Text":
        """Draw where the time went."""
        return render(self.timeline, width, unicode=unicode)

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

    @property
    def verdict(self) -> str:
        """Say what was promised, and how it was kept, if it was."""
        if not self.is_good:
            return f"The promise was BROKEN: {self.as_json()}"
        return (
            f"The promise was kept: the owner was told {milliseconds(self.detected_to_received):.1f} ms after detection"
            f" and had switched over after {milliseconds(self.detected_to_handled):.1f} ms; nobody else was told."
        )

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a program."""
        return {
            "detected_to_received_ms": milliseconds(self.detected_to_received),
            "detected_to_handled_ms": milliseconds(self.detected_to_handled),
            "occurred_to_detected_ms": milliseconds(self.occurred_to_detected),
            "told": self.told,
            "switched_over": self.switched_over,
            "cleared": self.cleared,
        }


def play(hosts: Hosts, tell: Tell) -> FaultOutcome:
    """Play the story once, and clean up after it.

    Raises:
        DemoError: something that should have happened did not.
    """
    with ExitStack() as stack:
        folder = stack.enter_context(guarded_folder("doctor-demo-"))
        stack.enter_context(hosts)
        addresses = {name: hosts.address(name) for name in HOSTS}
        tell(
            f"{len(HOSTS)} hosts as {hosts.kind}: "
            + ", ".join(f"{name} {address}" for name, address in addresses.items())
        )
        client = stack.enter_context(running_doctor(folder, monitors=[hosts.ping_settings()]))
        tell(f"Doctor listens on {client.url} and pings them every 100 ms; 3 misses in a row are a failure")
        client.put("/v1/resource-map", resource_map(addresses, ROLES, PLACES))
        tenants = {
            project: stack.enter_context(tenant(client, project, ROLES[project], folder))
            for project in (OWNER, STRANGER)
        }
        machines = ", ".join(f"{name} ({ROLES[OWNER][name]}) on {PLACES[name]}" for name in ROLES[OWNER])
        tell(f"tenant {OWNER}: {machines}; its VNF manager has subscribed")
        tell(f"tenant {STRANGER}: blue-1 on compute-2; it has subscribed too, and must hear nothing")
        wait_until_watched(client)
        return _fail_and_recover(hosts, client, tenants, tell)


def _fail_and_recover(hosts: Hosts, client: Client, tenants: dict[str, Talker], tell: Tell) -> FaultOutcome:
    owner = tenants[OWNER]
    tell("")
    occurred = datetime.now(UTC)
    hosts.fail("compute-1")
    tell(f"compute-1 fails: {hosts.failure}")
    received = owner.wait_for("received", of_type("fault"), seconds=PATIENCE)
    switched = owner.wait_for("switched_over", seconds=PATIENCE)
    handled = owner.wait_for("handled", seconds=PATIENCE)
    timeline = timeline_of(client, "compute-1", occurred)
    detected = timeline.checkpoints[Checkpoint.DETECTED]
    told_after = time_of(received, "received_time") - detected
    tell(f"  detected after {milliseconds(detected - occurred):.0f} ms")
    tell(f"  the owner was told {milliseconds(told_after):.1f} ms later: red-act is in error")
    tell(f"  its VNF manager made {switched['active']} active and said handled")
    hosts.recover("compute-1")
    tell(f"compute-1 returns: {hosts.recovery}")
    owner.wait_for("received", of_type("fault_cleared"), seconds=PATIENCE)
    tell("  the alarm is cleared, and the owner was told")
    time.sleep(0.3)  # a notification that must not come would have come by now
    told = {OWNER: heard(owner, "fault"), STRANGER: heard(tenants[STRANGER])}
    tell(f"tenant {STRANGER} heard {'nothing' if not told[STRANGER] else 'what it must not hear'}")
    return FaultOutcome(
        timeline=timeline_of(client, "compute-1", occurred),
        detected_to_received=told_after,
        detected_to_handled=time_of(handled, "handled_time") - detected,
        occurred_to_detected=detected - occurred,
        told=told,
        switched_over=switched["active"] == "red-stby",
        cleared=not list(client.items("/v1/alarms", state="active")),
    )
