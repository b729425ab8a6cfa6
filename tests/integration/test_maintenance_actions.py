"""What is done around the work on hosts, with real programs and a real Doctor that is killed in the middle."""

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from doctor.app.maintenance import read_actions
from doctor.app.settings import load_settings
from doctor.model.errors import RejectedError
from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_maintenance_doors import MAP, SESSIONS, STATE, empty
from tests.integration.test_policy_commands import Shell
from tests.waiting import until

ACT = """#!{python}
# Writes down the facts of its run, and is held up as long as somebody wants it to be.
import json, os, pathlib, sys, time
facts, folder = json.load(sys.stdin), pathlib.Path(os.environ["BOOK"])
with (folder / "book").open("a") as book:
    book.write(json.dumps({{**facts, "pid": os.getpid()}}) + "\\n")
while (folder / "hold").exists():
    time.sleep(0.02)
if (folder / "broken").exists():
    sys.exit("the image is broken")
print("flashed " + str(facts["host"]))
"""


class Shop:
    """Where the actions of a site are: a folder with the program, and what it has written down."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        program = folder / "act"
        program.write_text(ACT.format(python=sys.executable))
        program.chmod(0o755)

    @property
    def settings(self) -> dict[str, Any]:
        """Return the settings of Doctor."""
        act: dict[str, Any] = {"driver": "command", "command": [str(self.folder / "act")]}
        act["environment"] = {"BOOK": str(self.folder)}
        return {"maintenance": {"actions": {"flash": {**act, "timeout": "PT1M"}, "tell": act}}}

    def runs(self) -> list[dict[str, Any]]:
        """Return what was begun, in its order."""
        book = self.folder / "book"
        return [json.loads(line) for line in book.read_text().splitlines()] if book.exists() else []


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    folder = tmp_path / "shop"
    folder.mkdir()
    return Shop(folder)


@pytest.fixture
def doctor(tmp_path: Path, shop: Shop) -> Iterator[RunningDoctor]:
    with RunningDoctor(tmp_path / "doctor", **shop.settings) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", MAP)[0] == 200
        for machine in ("vm-1", "vm-2", "vm-blue"):
            policy = f"/v1/maintenance-policies/machine:{machine}"
            project = "blue" if machine == "vm-blue" else "red"
            assert door.ask("PUT", f"{policy}?project={project}", {"action": "live_migrate"})[0] == 200
        yield doctor


def ended(door: Door, session_id: str) -> Any:
    """Return a session when it is over."""

    def look() -> Any:
        found = door.ask("GET", f"{SESSIONS}/{session_id}")[1]
        return found if found["state"] in ("done", "failed", "aborted") else None

    return until(look)


def runs(pid: int) -> bool:
    """Tell whether a process runs: one that nobody has buried does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


ACTIONS = [
    {"moment": "pre", "name": "tell"},
    {"moment": "host", "name": "flash"},
    {"moment": "post", "name": "tell"},
]


def test_a_run_goes_on_under_its_id_when_doctor_was_killed(doctor: RunningDoctor, shop: Shop) -> None:
    door = Door(doctor)
    hold = shop.folder / "hold"
    status, taken = door.ask("POST", STATE, empty("compute-1", "compute-2", at_once=1, actions=ACTIONS))
    assert status == 202, taken
    until(lambda: shop.runs())
    hold.touch()  # the first host is held up
    until(lambda: any(one["host"] for one in shop.runs()))
    doctor.kill()
    orphan = shop.runs()[-1]["pid"]
    assert runs(orphan)  # it outlives Doctor
    doctor.start()
    door = Door(doctor)
    until(lambda: len(shop.runs()) == 3)
    assert not runs(orphan)
    hold.unlink()
    found = ended(door, taken["session_id"])
    assert (found["state"], found["outcome"]) == ("done", None)
    assert [(one["moment"], one["host"]) for one in shop.runs()] == [
        ("pre", None),
        ("host", "compute-1"),
        ("host", "compute-1"),
        ("host", "compute-2"),
        ("post", None),
    ]
    _, first, again, _, _ = (one["run_id"] for one in shop.runs())
    assert first == again
    assert [one["stage"] for one in found["hosts"]] == ["returned", "returned"]
    (run,) = found["hosts"][0]["runs"]
    assert (run["action"], run["state"], run["detail"]) == ("flash", "succeeded", "flashed compute-1")
    assert [(one["moment"], one["state"]) for one in found["runs"]] == [
        ("pre", "succeeded"),
        ("post", "succeeded"),
    ]


def test_what_fails_is_seen_and_tried_again_by_command(
    doctor: RunningDoctor, shop: Shop, tmp_path: Path
) -> None:
    shell = Shell(doctor, tmp_path)
    (shop.folder / "broken").touch()
    assert json.loads(shell.run("maintenance", "actions", "--json").stdout)["items"] == [
        {"name": "flash", "driver": "command", "timeout": 60.0},
        {"name": "tell", "driver": "command", "timeout": 1800.0},
    ]
    assert "flash" in shell.run("maintenance", "actions").stdout
    made = shell.run("maintenance", "request", "compute-1", "--action", "host:flash", "--timeout", "1m")
    assert made.returncode == 0, made.stderr
    session_id = made.stdout.strip()
    door = Door(doctor)
    until(lambda: door.ask("GET", f"{SESSIONS}/{session_id}")[1]["state"] == "paused")
    shown = shell.run("maintenance", "status", session_id).stdout
    assert "host:flash" in shown
    assert "the image is broken" in shown
    assert door.ask("GET", "/v1/physical-resources/compute-1")[1]["maintenance_state"] == "in-maintenance"
    (shop.folder / "broken").unlink()
    again = shell.run("maintenance", "retry", session_id)
    assert (again.returncode, again.stderr.strip()) == (0, "is tried again")
    watched = shell.run("maintenance", "watch", session_id)
    assert watched.returncode == 0
    assert "compute-1 flash: succeeded: flashed compute-1" in watched.stderr
    assert shell.run("maintenance", "retry", session_id).returncode == 1


def test_a_doctor_that_is_stopped_leaves_nothing_running(doctor: RunningDoctor, shop: Shop) -> None:
    door = Door(doctor)
    (shop.folder / "hold").touch()
    door.ask("POST", STATE, empty("compute-1", actions=[{"moment": "pre", "name": "tell"}]))
    until(shop.runs)
    pid = shop.runs()[0]["pid"]
    began = time.monotonic()
    doctor.stop()
    assert time.monotonic() - began < 9
    assert not runs(pid)


@pytest.mark.parametrize(
    ("more", "pointer"),
    [
        pytest.param({"actions": [{"moment": "host", "name": "flsh"}]}, "/actions/0/name", id="unknown"),
        pytest.param({"actions": [{"moment": "now", "name": "flash"}]}, "/actions/0/moment", id="moment"),
        pytest.param({"actions": ["flash"]}, "/actions/0", id="a-word"),
        pytest.param({"auto_return": True}, "/auto_return", id="nothing-to-do"),
        pytest.param({"auto_return": "yes"}, "/auto_return", id="no-yes"),
    ],
)
def test_what_is_wrong_with_wishes_is_said(doctor: RunningDoctor, more: dict[str, Any], pointer: str) -> None:
    door = Door(doctor)
    status, problem = door.ask("POST", STATE, empty("compute-1", **more))
    assert status in (400, 422)
    assert problem["errors"][0]["pointer"] == pointer
    assert door.ask("GET", SESSIONS)[1]["items"] == []


def test_only_the_administrator_sees_and_does_it(doctor: RunningDoctor, tmp_path: Path) -> None:
    door = Door(doctor)
    red = door.token(Role.CONSUMER, "red")
    _, taken = door.ask("POST", STATE, empty("compute-1", actions=ACTIONS))
    until(lambda: door.ask("GET", f"{SESSIONS}/{taken['session_id']}", token=red)[0] == 200)
    found = door.ask("GET", f"{SESSIONS}/{taken['session_id']}", token=red)[1]
    assert (found["actions"], found["runs"], found["hosts"]) == ([], [], [])
    assert door.ask("GET", f"{SESSIONS}/actions", token=red)[0] == 403
    assert door.ask("POST", f"{SESSIONS}/{taken['session_id']}/retry", None, token=red)[0] == 403
    wrong = Shell(doctor, tmp_path).run("maintenance", "request", "compute-2", "--action", "flash")
    assert wrong.returncode == 2
    assert "write MOMENT:NAME; moments: pre, host, post" in wrong.stderr


@pytest.mark.parametrize(
    ("actions", "pointer", "said"),
    [
        pytest.param({"a b": {"driver": "command"}}, "maintenance.actions.a b", "is no name", id="name"),
        pytest.param({"a": {}}, "maintenance.actions.a.driver", "name the driver", id="no-driver"),
        pytest.param({"a": {"driver": "comand"}}, "maintenance.actions.a.driver", "'command'", id="slip"),
        pytest.param(
            {"a": {"driver": "command", "command": ["true"], "timeout": "soon"}},
            "maintenance.actions.a.timeout",
            "no duration",
            id="timeout",
        ),
        pytest.param(
            {"a": {"driver": "command", "command": ["true"], "timeout": "P8D"}},
            "maintenance.actions.a.timeout",
            "at most 7 days",
            id="too-long",
        ),
        pytest.param(
            {"a": {"driver": "http", "url": "x"}}, "maintenance.actions.a", "no web address", id="its-own"
        ),
    ],
)
def test_what_is_wrong_with_settings_is_said(
    tmp_path: Path, actions: dict[str, Any], pointer: str, said: str
) -> None:
    (tmp_path / "doctor.yaml").write_text(yaml.safe_dump({"maintenance": {"actions": actions}}))
    with pytest.raises(RejectedError) as wrong:
        read_actions(load_settings(tmp_path / "doctor.yaml").maintenance.actions)
    (flaw,) = wrong.value.flaws
    assert flaw.pointer == pointer
    assert said in flaw.detail


def test_files_of_actions_start_where_the_settings_are(tmp_path: Path) -> None:
    (tmp_path / "play.yaml").touch()
    (tmp_path / "inventory").touch()
    given = {"driver": "ansible", "playbook_file": "play.yaml", "inventory_file": "inventory", "timeout": 60}
    (tmp_path / "doctor.yaml").write_text(yaml.safe_dump({"maintenance": {"actions": {"a": given}}}))
    made = read_actions(load_settings(tmp_path / "doctor.yaml").maintenance.actions)
    assert (made["a"].action.kind, made["a"].timeout.total_seconds()) == ("ansible", 60.0)
