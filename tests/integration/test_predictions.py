"""Predictions through the doors and the command line of a running Doctor."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

RESOURCES = {
    "physical_resources": [{"id": "compute-1"}, {"id": "compute-2"}],
    "virtual_resources": [
        {"id": "vm-red", "host": "compute-1", "owner": "red"},
        {"id": "vm-blue", "host": "compute-2", "owner": "blue"},
    ],
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    """A Doctor with a dead host, and another that is going to die."""
    with RunningDoctor(tmp_path_factory.mktemp("predictions")) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        told = Shell(doctor, doctor.folder)
        for words in (
            ["compute.host.down", "--host", "compute-2", "--status", "down"],
            [
                *("compute.host.down.predicted", "--host", "compute-1", "--source", "smart"),
                *("--detail", "predicted_in:=7200", "--detail", "confidence:=0.75"),
            ],
        ):
            sent = told.run("event", "send", *words)
            assert sent.returncode == 0, sent.stderr
        yield doctor


@pytest.fixture
def door(running: RunningDoctor) -> Door:
    return Door(running)


@pytest.fixture
def shell(running: RunningDoctor, tmp_path: Path) -> Shell:
    return Shell(running, tmp_path)


@pytest.mark.requirement("A16", "B9")
@pytest.mark.parametrize(
    ("predicted", "found"),
    [
        pytest.param("", ["host down", "host down", "predicted host down", "predicted host down"], id="both"),
        pytest.param("predicted=true", ["predicted host down"] * 2, id="foreseen"),
        pytest.param("predicted=false", ["host down"] * 2, id="happened"),
    ],
)
def test_alarms_are_found_by_whether_they_have_happened(door: Door, predicted: str, found: list[str]) -> None:
    _, page = door.ask("GET", f"/v1/alarms?{predicted}")
    assert sorted(one["fault_type"] for one in page["items"]) == found
    assert all(("prediction" in one) is one["fault_type"].startswith("predicted") for one in page["items"])


def test_an_owner_asks_for_what_is_foreseen_of_his_own(door: Door) -> None:
    """And is told no more than that: nothing of the host."""
    red, blue = (door.token(Role.CONSUMER, project) for project in ("red", "blue"))
    _, page = door.ask("GET", "/v1/faults?predicted=true", token=red)
    [machine] = page["items"]
    assert (machine["virtual_resource_id"], machine["virtual_resource_state"]) == ("vm-red", "normal")
    [fault] = machine["faults"]
    assert fault["prediction"]["confidence"] == 0.75
    assert (fault["fault_details"], "compute-1" in json.dumps(page)) == ({}, False)
    assert door.ask("GET", "/v1/faults?predicted=true", token=blue)[1]["items"] == []
    assert len(door.ask("GET", "/v1/faults?predicted=false", token=blue)[1]["items"]) == 1


@pytest.mark.parametrize("path", ["/v1/alarms", "/v1/faults"])
def test_what_is_neither_true_nor_false_is_refused(door: Door, path: str) -> None:
    status, problem = door.ask("GET", f"{path}?predicted=perhaps")
    assert (status, [flaw["pointer"] for flaw in problem["errors"]]) == (422, ["/predicted"])


def test_the_command_line_lists_them_with_their_time(door: Door, shell: Shell) -> None:
    listed = shell.run("alarm", "list", "--predicted").stdout.splitlines()
    assert "EXPECTED" in listed[0]
    assert len(listed) == 3
    found: Any = json.loads(shell.run("alarm", "list", "--not-predicted", "--json").stdout)
    assert {one["fault_type"] for one in found["items"]} == {"host down"}
    assert "predicted host down" in shell.run("fault", "list", "--predicted").stdout
    assert "predicted host down" not in shell.run("fault", "list", "--not-predicted").stdout
    [alarm] = door.ask("GET", "/v1/alarms?predicted=true&resource_id=vm-red")[1]["items"]
    history = shell.run("alarm", "history", alarm["alarm_id"]).stdout
    assert "predicted_time=" in history
    assert "recommended_action=live_migrate" in history


def test_without_any_that_is_said(tmp_path: Path) -> None:
    with RunningDoctor(tmp_path) as doctor:
        shell = Shell(doctor, tmp_path)
        assert shell.run("alarm", "list", "--predicted").stderr == "no predictions\n"
