"""A real Doctor that asks real devices: what it finds at its doors, on the command line, and as an alarm."""

import json
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doctor.cli.demo.bmc import GUID, PASSWORD, USER
from doctor.cli.main import main
from doctor.client import Client
from doctor.testing.fence import Mode
from doctor.testing.running import RunningDoctor
from tests.fences.bmc import Bmc
from tests.waiting import until

CANARY = PASSWORD


needs_bmc = pytest.mark.needs("ipmi_sim")


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[Bmc]:
    with Bmc(tmp_path / "bmc") as running:
        yield running


@pytest.fixture
def doctor(tmp_path: Path, bmc: Bmc) -> Iterator[RunningDoctor]:
    folder = tmp_path / "doctor"
    folder.mkdir()
    (folder / "bmc.secret").write_text(PASSWORD + "\n")
    (folder / "bmc.secret").chmod(0o600)
    device = {"driver": "ipmi", "address": "127.0.0.1", "port": bmc.port, "user": USER}
    fencing = {
        "check_every": 10,
        "devices": {
            "bmc-1": {**device, "password_file": "bmc.secret", "identity": str(GUID)},
            "people": {"driver": "manual"},
        },
        "hosts": {"compute-1": {"levels": ["bmc-1", "people"]}},
    }
    with RunningDoctor(folder, fencing=fencing) as running:
        with Client(running.url, running.token) as client:
            client.put("/v1/resource-map", {"physical_resources": [{"id": "compute-1"}]})
        yield running


def listed(doctor: RunningDoctor, path: str) -> list[Any]:
    with Client(doctor.url, doctor.token) as client:
        return list(client.items(path))


def command(doctor: RunningDoctor, *words: str) -> Result:
    environment = {"DOCTOR_URL": doctor.url, "DOCTOR_TOKEN": doctor.token}
    return CliRunner().invoke(main, ["fencing", *words], env=environment)


def host(doctor: RunningDoctor) -> dict[str, Any]:
    (found,) = listed(doctor, "/v1/fenced-hosts")
    return dict(found)


@needs_bmc
def test_a_fence_that_would_not_work_is_an_alarm_before_it_is_needed(doctor: RunningDoctor, bmc: Bmc) -> None:
    """[I-16] Login, identity and state are asked for by itself; a BMC that hangs is told to the Administrator."""
    found = until(lambda: (one := host(doctor))["readiness"] == "ready" and one)
    (level, people) = found["levels"]
    assert level["steps"][0]["supply"] == "on"
    assert str(GUID) in level["steps"][0]["names"]
    assert (level["automatic"], people["automatic"]) == (True, False)

    bmc.behave(Mode.DEAF)
    alarms = until(lambda: listed(doctor, "/v1/alarms"), 60)
    assert [(one["fault_type"], one["perceived_severity"]) for one in alarms] == [
        ("fencing not ready", "major")
    ]
    assert host(doctor)["readiness"] == "unready"
    (device, _) = listed(doctor, "/v1/fence-devices")
    assert (device["device"], device["driver"], device["works"], device["hosts"]) == (
        "bmc-1",
        "ipmi",
        False,
        1,
    )

    bmc.behave(Mode.HONEST)
    until(lambda: not listed(doctor, "/v1/alarms"), 60)
    assert bmc.commands == []
    assert CANARY not in doctor.log.read_text()


@needs_bmc
def test_it_can_be_tested_by_hand(doctor: RunningDoctor, bmc: Bmc) -> None:
    """The command answers what is now, and ends with 1 when that is not well."""
    bmc.put(on=False)
    tested = command(doctor, "test", "compute-1")
    assert tested.exit_code == 1
    assert "is it the right one?" in tested.output
    bmc.put(on=True)
    tested = command(doctor, "test", "compute-1", "--json")
    assert tested.exit_code == 0
    assert json.loads(tested.output)["readiness"] == "ready"
    shown = command(doctor, "status")
    assert shown.exit_code == 0
    assert "bmc-1 > people:compute-1" in shown.output
    assert json.loads(command(doctor, "status", "--readiness", "unready", "--json").output)["items"] == []
    assert "no such hosts" in command(doctor, "status", "compute-9").output
    listed = command(doctor, "devices")
    assert "out_of_band" in listed.output
    assert len(json.loads(command(doctor, "devices", "--json").output)["items"]) == 2
    assert command(doctor, "test", "compute-9").exit_code == 1
    assert bmc.commands == []


@needs_bmc
def test_a_bmc_that_hangs_does_not_keep_doctor_from_ending(doctor: RunningDoctor, bmc: Bmc) -> None:
    bmc.behave(Mode.DEAF)
    time.sleep(2.5)  # the first check is under way
    began = time.monotonic()
    doctor.stop()
    assert time.monotonic() - began < 5


def test_agents_run_and_end_under_the_event_loop_of_the_service(tmp_path: Path) -> None:
    """Doctor runs with uvloop, which starts processes in a way of its own."""
    good, stubborn = tmp_path / "fence_good", tmp_path / "fence_stubborn"
    good.write_text(
        "#!/bin/bash\ngrep -q action=metadata || { echo Status: ON; exit 0; }\n"
        'for name in on off status; do echo "<action name=\\"$name\\"/>"; done\n'
    )
    stubborn.write_text(
        f"#!/bin/bash\ntrap '' TERM\necho $$ >> {tmp_path}/pids\nwhile :; do sleep 0.1; done\n"
    )
    for agent in (good, stubborn):
        agent.chmod(0o755)
    fencing = {
        "devices": {agent.name: {"driver": "fence_agent", "agent": str(agent)} for agent in (good, stubborn)},
        "hosts": {"compute-1": {"levels": [good.name]}, "compute-2": {"levels": [stubborn.name]}},
    }
    with RunningDoctor(tmp_path / "doctor", fencing=fencing) as doctor:
        assert command(doctor, "test", "compute-1").exit_code == 0
        tested = command(doctor, "test", "compute-2", "--json")
        assert tested.exit_code == 1
        assert json.loads(tested.output)["levels"][0]["steps"][0]["doubt"] == "late"
        pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
        assert pids
    assert not any(Path(f"/proc/{pid}").exists() for pid in pids)
