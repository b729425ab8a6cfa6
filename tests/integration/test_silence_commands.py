"""`doctor silence` against a running Doctor, as an operator uses it: from planned work to the end of it."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from doctor.testing.running import RunningDoctor
from tests.integration.test_alarm_doors import RESOURCES
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

REASON = ("--reason", "new memory modules")


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with RunningDoctor(tmp_path_factory.mktemp("doctor")) as doctor:
        assert Door(doctor).ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        yield Shell(doctor, tmp_path_factory.mktemp("shell"))


def listed(shell: Shell, *words: str) -> list[dict[str, Any]]:
    said = shell.run(*words, "--json")
    assert said.returncode == 0, said.stderr
    items: list[dict[str, Any]] = json.loads(said.stdout)["items"]
    return items


@pytest.mark.requirement("B19")
def test_planned_work_is_silenced_seen_prolonged_and_ended_early(shell: Shell) -> None:
    made = shell.run("silence", "add", "--resource", "compute-1", "--for", "2h", *REASON, "--owner", "alice")
    assert (made.returncode, made.stderr.split()[0]) == (0, "active")
    silence_id = made.stdout.strip()

    down = {"hostname": "compute-1", "status": "down", "source": "zabbix"}
    event = {"event": {"time": "2026-03-04T05:06:07Z", "type": "compute.host.down", "details": down}}
    assert shell.run("event", "send", "--file", "-", stdin=json.dumps(event)).returncode == 0
    (one,) = listed(shell, "silence", "list")
    assert (one["silence_id"], one["owner"], one["alarms"]) == (silence_id, "alice", 3)
    silenced = listed(shell, "alarm", "list", "--silenced")
    assert {found["resource_id"] for found in silenced} == {"compute-1", "vm-red", "vm-blue"}
    assert {found["silences"][0]["reason"] for found in silenced} == {"new memory modules"}

    assert shell.run("silence", "change", silence_id, "--for", "1d").returncode == 0
    ended = shell.run("silence", "end", silence_id, "--json")
    assert (ended.returncode, json.loads(ended.stdout)["state"]) == (0, "ended")
    assert listed(shell, "silence", "list") == []
    assert listed(shell, "alarm", "list", "--silenced") == []
    shown = json.loads(shell.run("silence", "show", silence_id, "--json").stdout)
    assert (shown["owner"], len(shown["changes"])) == ("alice", 2)


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(("add", "--resource", "compute-1", *REASON), 2, "--for 2h", id="no-end"),
        pytest.param(("add", "--resource", "compute-1", "--for", "2h"), 2, "--reason", id="no-reason"),
        pytest.param(("add", "--for", "2h", *REASON), 1, "matcher: ", id="everything"),
        pytest.param(("add", "--zone", "a", "--for", "90d", *REASON), 1, "end: ", id="too-long"),
        pytest.param(("end", "nothing"), 1, "there is no such silence", id="unknown"),
    ],
)
def test_what_is_wrong_is_said_and_how_to_do_it(
    shell: Shell, words: tuple[str, ...], code: int, says: str
) -> None:
    said = shell.run("silence", *words)
    assert (said.returncode, said.stdout) == (code, "")
    assert says in said.stderr
    assert "Traceback" not in said.stderr
