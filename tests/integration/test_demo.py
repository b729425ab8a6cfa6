"""`doctor demo` keeps its promise, with namespaces and with processes, and cleans up."""

import json
import subprocess
import sys

import pytest

from doctor.cli.demo.netns import ip


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


@pytest.mark.needs("root", "netns")
def test_nothing_is_left_behind() -> None:
    """Namespaces are gone with the demonstration."""
    with subprocess.Popen(
        [sys.executable, "-m", "doctor", "demo", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as demo:
        demo.communicate(timeout=60)
    assert f"doctor-{demo.pid}-" not in ip("netns", "list")
