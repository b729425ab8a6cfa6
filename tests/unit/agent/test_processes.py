"""Programs that have to run: real ones, which are killed."""

import asyncio
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from doctor.agent.processes import Restarts, Watched, find
from doctor.agent.settings import ProcessSettings
from tests.unit.agent.reports import Said

SLEEP = "import time; time.sleep(60)"


def start(name: str) -> subprocess.Popen[bytes]:
    return subprocess.Popen([sys.executable, "-c", SLEEP, name])


@asynccontextmanager
async def watching(said: Said, **settings: Any) -> AsyncIterator[None]:
    given = {"name": "vswitch", "pattern": f"{settings.pop('marker')}$", **settings}
    task = asyncio.create_task(Watched(ProcessSettings(**given), said.states).run())
    yield
    task.cancel()


@pytest.mark.requirement("G21", "G25")
async def test_its_end_is_told_at_once(tmp_path: Path) -> None:
    said, marker = Said(), f"{tmp_path}-a"
    process = start(marker)
    async with watching(said, marker=marker, event="vim.service.failure", resource_id="nova-c1"):
        assert await said.until(1) == [("vim.service.failure", "nova-c1", "up")]
        begin = time.monotonic()
        process.kill()
        assert await said.until(1) == [("vim.service.failure", "nova-c1", "down")]
        assert time.monotonic() - begin < 0.5
        process.wait()
        process = start(marker)
        assert await said.until(1) == [("vim.service.failure", "nova-c1", "up")]
    process.kill()
    process.wait()


@pytest.mark.requirement("G26")
async def test_it_is_started_anew_as_often_as_is_allowed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said, marker = Said(), f"{tmp_path}-b"
    command = (sys.executable, "-c", SLEEP, marker)
    pattern = re.compile(f"{marker}$")
    async with watching(said, marker=marker, restart=command, restarts=2):
        for restarted in (1, 2):
            reports = [] if restarted > 1 else await said.until(2)
            reports += [] if restarted == 1 else await said.until(2)
            assert [status for _, _, status in reports] == ["down", "up"]
            number = find(pattern, None)
            assert number is not None
            os.kill(number, signal.SIGKILL)
        assert [status for _, _, status in await said.until(1)] == ["down"]
        await asyncio.sleep(1)
        assert said.take() == []
    assert "process.given_up" in capsys.readouterr().err


async def test_a_command_that_is_not_there_is_said(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    said = Said()
    async with watching(said, marker=f"{tmp_path}-c", restart=(str(tmp_path / "none"),)):
        assert [status for _, _, status in await said.until(1)] == ["down"]
        await asyncio.sleep(0.3)
    assert "process.not_started" in capsys.readouterr().err


def test_a_pid_file_may_say_which_it_is(tmp_path: Path) -> None:
    marker = f"{tmp_path}-d"
    process = start(marker)
    file, pattern = tmp_path / "pid", re.compile(f"{marker}$")
    time.sleep(0.2)
    assert find(pattern, file) is None
    file.write_text(f"{process.pid}\n")
    assert find(pattern, file) == process.pid == find(pattern, None)
    file.write_text("1")
    assert find(pattern, file) is None, "the number belongs to somebody else by now"
    file.write_text("nonsense")
    assert find(pattern, file) is None
    process.kill()
    process.wait()


def test_restarts_come_back_with_time() -> None:
    restarts = Restarts(2, within=60.0)
    assert [restarts.take(now) for now in (0.0, 1.0, 2.0, 59.0, 60.0, 60.5, 61.5)] == [
        *(True, True, False, False),
        *(True, False, True),
    ]
