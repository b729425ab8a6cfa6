"""Nothing is left of a site, however its end came: no folder and no process, not even a frozen one."""

import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from doctor.cli.demo.guard import MARK
from tests.waiting import until

# A site with a child, and with a process that has left its parent and its session and is frozen.
SITE = """
import subprocess, sys, time
from doctor.cli.demo.guard import guarded_folder
with guarded_folder("doctor-test-") as folder:
    subprocess.Popen(["sleep", "600"])
    lonely = f"setsid sh -c 'touch {folder}/frozen; kill -STOP $$; sleep 600' &"
    subprocess.run(["sh", "-c", lonely], stdout=subprocess.DEVNULL)
    while not (folder / "frozen").exists():
        time.sleep(0.01)
    print(folder, flush=True)
    if sys.stdin.readline() == "fail":
        raise RuntimeError
"""
Site = subprocess.Popen[str]
End = Callable[[Site], object]


def marked(site: Site) -> list[str]:
    """Return the processes that a site has started."""
    mark = f"{MARK}{site.pid}_".encode()
    found = []
    for process in Path("/proc").iterdir():
        with suppress(OSError):
            if process.name.isdecimal() and mark in (process / "environ").read_bytes():
                found.append((process / "cmdline").read_text())
    return found


@pytest.fixture
def site() -> Iterator[Site]:
    with subprocess.Popen(
        [sys.executable, "-c", SITE],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
        start_new_session=True,
    ) as started:
        yield started


@pytest.mark.parametrize(
    "end",
    [
        pytest.param(lambda site: site.communicate("end"), id="as-meant"),
        pytest.param(lambda site: site.communicate("fail"), id="a-failure"),
        pytest.param(lambda site: os.killpg(site.pid, signal.SIGINT), id="ctrl-C"),
        pytest.param(lambda site: site.terminate(), id="SIGTERM"),
        pytest.param(lambda site: os.killpg(site.pid, signal.SIGKILL), id="SIGKILL-to-its-group"),
    ],
)
def test_nothing_is_left_of_a_site(site: Site, end: End) -> None:
    assert site.stdout is not None
    folder = Path(site.stdout.readline().strip())
    until(lambda: len(marked(site)) == 2)  # what has made the file may still be there
    end(site)
    until(lambda: not folder.exists())
    assert marked(site) == []


def test_what_others_have_started_goes_on(site: Site) -> None:
    with subprocess.Popen(["sleep", "600"], env={**os.environ, f"{MARK}{site.pid}": "1"}) as other:
        assert site.stdout is not None
        site.stdout.readline()
        site.communicate("end")
        assert other.poll() is None
        other.kill()
