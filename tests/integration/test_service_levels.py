"""The promises of service availability levels through the doors and the command line of a running Doctor."""

import time
from collections.abc import Iterator
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

RESOURCES = {
    "physical_resources": [{"id": "compute-1"}],
    "virtual_resources": [
        {"id": "vm-1", "host": "compute-1", "owner": "red", "group": "web", "sal": "gold"},
        {"id": "vm-2", "host": "compute-1", "owner": "blue"},
    ],
}
LEVELS = {"gold": {"detection": 1, "recovery": 1, "availability": 0.9999999, "impact": 0.5}}
PATIENCE = 30.0  # seconds: the machine may be busy


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    folder = tmp_path_factory.mktemp("levels")
    with RunningDoctor(folder, service_availability_levels=LEVELS) as doctor:
        assert Door(doctor).ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        yield doctor


def wait_for(door: Door, fault_types: set[str], token: str) -> list[Any]:
    """Return the faults of the VNF when they are these."""
    deadline = time.monotonic() + PATIENCE
    while True:
        _, page = door.ask("GET", "/v1/faults?virtual_resource_type=vnf", token=token)
        faults = [fault for one in page["items"] for fault in one["faults"]]
        if {fault["fault_type"] for fault in faults} == fault_types:
            return faults
        assert time.monotonic() < deadline, page
        time.sleep(0.1)


@pytest.mark.requirement("G54")
def test_a_promise_that_is_not_kept_is_an_alarm_of_the_vnf(running: RunningDoctor) -> None:
    door, shell = Door(running), Shell(running, running.folder)
    red, blue = (door.token(Role.CONSUMER, project) for project in ("red", "blue"))
    sent = shell.run("event", "send", "compute.host.down", "--host", "compute-1", "--status", "down")
    assert sent.returncode == 0, sent.stderr
    recovery, impact = "service recovery overdue", "service impact too large"
    budget = "service availability not kept"
    faults = wait_for(door, {recovery, impact, budget}, red)
    [overdue] = [fault for fault in faults if fault["fault_type"] == recovery]
    assert overdue["fault_details"]["recovery_seconds"] == 1

    assert door.ask("GET", "/v1/faults?virtual_resource_type=vnf", token=blue)[1]["items"] == []
    _, page = door.ask("GET", "/v1/faults?virtual_resource_type=vnf")
    assert [one["virtual_resource_id"] for one in page["items"]] == ["vnf:red:web"]
    _, page = door.ask("GET", "/v1/physical-resources")
    assert [one["physical_resource_id"] for one in page["items"]] == ["compute-1"]
    _, page = door.ask("GET", f"/v1/alarms?fault_type={recovery.replace(' ', '%20')}", token=red)
    assert [(one["resource_type"], one["project"], one["event_type"]) for one in page["items"]] == [
        ("vnf", "red", "qos_alarm")
    ]
    reported = shell.run("report", "--breached")
    assert "99.9999" in reported.stdout
    _, page = door.ask("GET", "/v1/availability?breached=true", token=red)
    [vnf] = page["items"]
    assert (vnf["vnf_id"], vnf["target"]) == ("vnf:red:web", 0.9999999)
    assert {one["promise"] for one in vnf["breaches"]} >= {"availability", "impact", "recovery"}

    shell.run("event", "send", "compute.host.down", "--host", "compute-1", "--status", "up")
    wait_for(door, {budget}, red)
    running.stop()
    running.start()
    wait_for(Door(running), {budget}, red)
