"""What the page on writing a monitor shows works as it stands there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "write-a-monitor.md"
BLOCK = re.compile(r"^```python\n# (\w+\.py)\n(.*?)^```", re.DOTALL | re.MULTILINE)
SETTINGS = """\
[pytest]
asyncio_mode = auto
asyncio_default_fixture_loop_scope = function
addopts = -p no:cacheprovider -p no:randomly -p no:xdist
"""


@pytest.fixture
def written(tmp_path: Path) -> Path:
    """The files of the page, in a folder."""
    files = dict(BLOCK.findall(PAGE.read_text()))
    assert files.keys() == {"lamps.py", "test_lamps.py", "lamp_file.py", "test_lamp_file.py"}
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text(SETTINGS)
    return tmp_path


def run(written: Path, *words: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", *words, str(written)],
        cwd=written,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )


def test_the_examples_keep_their_contracts(written: Path) -> None:
    done = run(written)
    assert done.returncode == 0, done.stdout[-3000:]
    passed = re.search(r"(\d+) passed", done.stdout)
    assert passed is not None
    assert int(passed[1]) >= 14


def test_a_contract_finds_what_is_wrong(written: Path) -> None:
    """A monitor that takes an absent source for the end of everything, and a payload that has no ids."""
    for name, right, wrong in (
        ("lamp_file.py", "pass  #", 'yield Listing("lamps", told, [])  #'),
        ("lamps.py", "monitor_event_id=lamp.id", "monitor_event_id=str(told.received) + status"),
    ):
        text = (written / name).read_text()
        assert right in text
        (written / name).write_text(text.replace(right, wrong))
    wanted = (
        "test_that_its_source_is_away_is_the_end_of_nothing",
        "test_what_begins_and_ends_is_one_thing",
        "test_what_is_open_is_known_again_after_a_start",
    )
    done = run(written, "-k", " or ".join(wanted))
    for name in wanted:
        assert re.search(rf"FAILED .*::{name}", done.stdout), done.stdout[-3000:]
