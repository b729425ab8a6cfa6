"""`doctor demo` keeps its promise, with namespaces and with processes, and cleans up."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from doctor.cli.demo.netns import ip, is_alive
from doctor.cli.demo.storage import writers
from tests.waiting import until


@pytest.mark.requirement("A1", "A12", "B5", "B15", "C1", "D8", "F28", "G9")
@pytest.mark.parametrize(
    "options",
    [
        pytest.param([], id="as-allowed-here", marks=pytest.mark.needs("root", "netns")),
        pytest.param(["--processes"], id="processes"),
    ],
)
def test_the_owner_is_told_within_a_second_and_the_stranger_not_at_all(options: list[str]) -> None:
    """The main job, end to end [D 3.3.4; F28]."""
    done = subprocess.run(
        [sys.executable, "-m", "doctor", "demo", "--json", *options],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout)
    assert result["told"] == {"red": 1, "blue": 0}
    assert result["switched_over"] is True
    assert result["cleared"] is True
    assert 0 < result["detected_to_received_ms"] < 1000
    assert result["detected_to_received_ms"] < result["detected_to_handled_ms"] < 1000
    assert 0 < result["occurred_to_detected_ms"] < 5000


@pytest.mark.requirement("A3", "A17", "A19", "B30", "B32", "D37", "D38")
def test_hosts_are_emptied_in_turns_as_their_owners_agree() -> None:
    """[D 2.2.1, 3.4.2] One is asked and switches over first, the other one has said it beforehand; one answer."""
    done = subprocess.run(
        [sys.executable, "-m", "doctor", "demo", "--scenario", "maintenance", "--json"],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    result = json.loads(done.stdout)
    assert result["tries"] == {"red-act": 1, "blue-1": 1, "red-stby": 1, "blue-2": 1}
    assert result["switched_before_leaving"] is True
    assert result["started_again"] is True
    assert result["places"]["red-act"] != result["places"]["red-stby"]
    assert result["places"]["blue-2"] == "compute-2"
    assert result["update_status"] == dict.fromkeys(("compute-1", "compute-2"), "firmware 1.0 -> 1.1")
    assert result["heard_of_others"] == 0
    assert result["answers"] == ["done"]
    assert result["enabled"] is True
    assert 0 < max(result["begun_to_asked_ms"]) < 1000


@pytest.mark.needs("root", "netns")
def test_nothing_is_left_behind() -> None:
    """Namespaces are gone with the demonstration."""
    with subprocess.Popen(
        [sys.executable, "-m", "doctor", "demo", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        demo.communicate(timeout=60)
    assert f"doctor-{demo.pid}-" not in ip("netns", "list")


@pytest.mark.needs("ipmi_sim")
@pytest.mark.requirement("B22", "D8")
def test_a_frozen_host_is_dead_before_its_machine_starts_elsewhere() -> None:
    """[I-15] The disk of the machine says so, and not Doctor."""
    done = subprocess.run(
        [sys.executable, "-m", "doctor", "demo", "--scenario", "fencing", "--json"],
        capture_output=True,
        text=True,
        timeout=240,
    )
    assert done.returncode == 0, done.stderr + done.stdout
    result = json.loads(done.stdout)
    assert result["writers"][0] == "compute-1" != result["writers"][1]
    assert len(result["writers"]) == 2
    assert result["ran_twice"] == []
    assert result["moved_after_isolation"] is True
    assert result["returned"] is True
    assert result["told"]["blue"] == 0
    assert result["detected_to_instructed_ms"] < 1000
    assert 2000 < result["detected_to_isolated_ms"] < result["detected_to_running_ms"]


@pytest.mark.needs("ipmi_sim")
@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda demo: demo.communicate("\n", timeout=60), id="enter"),
        pytest.param(lambda demo: demo.terminate(), id="SIGTERM"),
        pytest.param(lambda demo: demo.kill(), id="SIGKILL"),
    ],
)
def test_hands_on_the_site_stays_until_its_end_and_nothing_of_it_longer(
    end: Callable[[subprocess.Popen[str]], object],
) -> None:
    """Not even a frozen host, with the machine on it."""
    with subprocess.Popen(
        [sys.executable, "-m", "doctor", "demo", "--scenario", "fencing", "--hands-on"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as demo:
        assert demo.stdout is not None
        told = next(line for line in demo.stdout if line.startswith("export "))
        site = Path(told.split("SITE=")[1].strip())
        host = int((site / "compute-1" / "pid").read_text())
        machine = writers((site / "storage" / "machines" / "red-act").read_text())[0].process
        subprocess.run([site / "compute-1" / "freeze"], check=True)
        assert is_alive(host) and is_alive(machine)
        end(demo)
    until(lambda: not site.exists())
    assert not is_alive(host) and not is_alive(machine)


def test_a_missing_simulator_is_named_with_its_package(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "doctor", "demo", "--scenario", "fencing"],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 1
    assert "ipmi_sim is missing; install the Debian package openipmi" in done.stderr
    assert len(done.stderr.splitlines()) == 1
