"""`doctor bench` from beginning to end, with little to do: nothing may be lost, and times do not matter."""

import json
import subprocess
import sys
from typing import Any

import pytest

from doctor.cli.bench.command import MEASUREMENTS

FIGURE = {"name", "title", "value", "unit", "better", "floor", "times_floor", "target", "verdict"}


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("bench")
    file = folder / "result.json"
    place = folder / "place"
    place.mkdir()
    words = [
        sys.executable,
        "-m",
        "doctor",
        "bench",
        "--quick",
        "--json",
        "--output",
        str(file),
        "--folder",
        str(place),
    ]
    ended = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stdout + ended.stderr
    document: dict[str, Any] = json.loads(ended.stdout)
    assert json.loads(file.read_text()) == document
    assert all(f"[{number}/9]" in ended.stderr for number in range(1, 10))
    assert not list(place.iterdir()), "something was left behind"
    return document


@pytest.mark.requirement("C5", "C11")
def test_everything_is_measured_and_nothing_is_lost(outcome: dict[str, Any]) -> None:
    assert outcome["complete"] is True
    assert outcome["errors"] == []
    assert tuple(outcome["measured"]) == MEASUREMENTS
    for measured in outcome["measured"].values():
        assert measured["counts"], "a measurement without counts shows nothing"
        assert all(count["wanted"] == count["got"] > 0 for count in measured["counts"].values())


def test_what_was_sent_is_what_was_ordered(outcome: dict[str, Any]) -> None:
    def count(measurement: str, name: str) -> int:
        got: int = outcome["measured"][measurement]["counts"][name]["got"]
        return got

    assert count("single", "events accepted") == 2_000
    assert count("bulk", "events accepted") == 10_000
    assert count("latency", "notifications at 1000/s") == 8 * 10  # outages and returns, to ten owners
    assert count("storm", "switch: owners told") == 2 * 2 * 5
    assert count("map", "machines") == 20_000


def test_every_figure_has_its_shape(outcome: dict[str, Any]) -> None:
    figures = [one for measured in outcome["measured"].values() for one in measured["figures"]]
    assert len({figure["name"] for figure in figures}) == len(figures)
    for figure in figures:
        assert set(figure) == FIGURE
        assert figure["value"] >= 0
        assert figure["verdict"] is None  # a quick run is not judged


def test_the_result_says_what_it_was_measured_on(outcome: dict[str, Any]) -> None:
    assert {"cores", "processor", "kernel", "python", "filesystem"} <= outcome["machine"].keys()
    assert {"doctor", "sqlite", "uvicorn", "msgspec"} <= outcome["versions"].keys()
