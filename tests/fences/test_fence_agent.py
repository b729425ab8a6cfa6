"""The wrapper of fence agents, with real agents of ClusterLabs and with some that misbehave."""

import asyncio
import os
import stat
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.demo.bmc import PASSWORD, USER
from doctor.drivers.fences.fence_agent import AgentFence, FenceAgentSettings, make
from doctor.kit.secret import Secret
from doctor.model.fencing import Cut, Doubt, NotSwitched, Seen, Supply, Switched, Unknown, Vantage
from doctor.testing.contracts.fence import FenceContract, soon
from tests.fences.bmc import Bmc, BmcRig


class IpmilanRig(BmcRig):
    """`fence_ipmilan`, which asks a BMC simulator by `ipmitool`."""

    locked_doubts = (Doubt.LOGIN, Doubt.REFUSED)  # the agent does not say why it has no status
    patience = 10.0
    short = 5.0  # each of its calls takes up to a second where others work, too

    def __init__(self, bmc: Bmc) -> None:
        super().__init__(bmc)
        self.fence = AgentFence(
            FenceAgentSettings(
                agent="fence_ipmilan",
                options={
                    "ip": "127.0.0.1",
                    "ipport": bmc.port,
                    "username": USER,
                    "lanplus": True,
                    "cipher": 3,
                    "privlvl": "operator",
                },
            ),
            {"password": Secret(PASSWORD)},
        )


@pytest.mark.needs("ipmi_sim", "fence_agents", "ipmitool")
class TestFenceIpmilan(FenceContract):
    @pytest.fixture
    async def rig(self, tmp_path: Path) -> AsyncIterator[IpmilanRig]:
        with Bmc(tmp_path / "bmc") as bmc:
            made = IpmilanRig(bmc)
            yield made
            await made.fence.close()


@pytest.mark.needs("fence_agents")
async def test_an_agent_that_has_only_to_write_a_file(tmp_path: Path) -> None:
    """`fence_dummy` keeps the power in a file."""
    file = tmp_path / "power"
    file.write_text("on")
    fence = make({"agent": "fence_dummy", "options": {"type": "file", "status_file": str(file)}})
    for _ in range(2):
        assert isinstance(await fence.off("", soon(10)), Switched)
        assert file.read_text() == "off"
    reading = await fence.status("", soon(10))
    assert isinstance(reading, Seen)
    assert reading.supply is Supply.OFF
    assert isinstance(await fence.on("", soon(10)), Switched)


@pytest.mark.needs("fence_agents")
async def test_an_agent_that_can_only_listen_is_no_fence() -> None:
    """`fence_kdump` has no command for on, and cannot read a state back."""
    identity = await make({"agent": "fence_kdump"}).identify("", soon(10))
    assert isinstance(identity, Unknown)
    assert identity.doubt is Doubt.REFUSED
    assert "no action" in identity.detail


# --- agents that misbehave: shell scripts ---


class Script:
    """An agent made for the occasion."""

    def __init__(self, folder: Path, body: str, **settings: Any) -> None:
        self.folder = folder
        self.path = folder / "fence_script"
        self.path.write_text(f"#!/bin/bash\ncd {folder}\ncat > told\necho $$ >> pids\n{body}\n")
        self.path.chmod(0o755)
        self.fence = AgentFence(
            FenceAgentSettings(agent=str(self.path), **settings), {"password": Secret("hush-hush")}
        )

    def alive(self) -> list[int]:
        """Return which of the processes still run."""
        pids = (
            [int(pid) for pid in (self.folder / "pids").read_text().split()]
            if (self.folder / "pids").exists()
            else []
        )
        return [pid for pid in pids if _runs(pid)]


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


async def test_secrets_and_options_go_in_by_standard_input_only(tmp_path: Path) -> None:
    """Arguments and environment can be read by others."""
    os.environ["DOCTOR_TOKEN"] = "doctor_secret"
    try:
        script = Script(
            tmp_path,
            "tr '\\0' '\\n' < /proc/$$/cmdline > cmdline; env > environment; echo Status: ON",
            options={"ip": "192.0.2.1", "ssl": True},
        )
        assert isinstance(await script.fence.status("7", soon(5)), Seen)
    finally:
        del os.environ["DOCTOR_TOKEN"]
    told = (tmp_path / "told").read_text().splitlines()
    assert {"action=status", "plug=7", "ip=192.0.2.1", "ssl=1", "password=hush-hush", "power_wait=0"} <= set(
        told
    )
    for public in ("cmdline", "environment"):
        text = (tmp_path / public).read_text()
        assert "hush-hush" not in text
        assert "doctor_secret" not in text


@pytest.mark.parametrize(
    ("body", "supply"),
    [
        pytest.param("echo 'Status: ON'; exit 0", Supply.ON, id="on"),
        pytest.param("echo 'Status: OFF'; exit 2", Supply.OFF, id="off"),
        pytest.param("exit 2", None, id="a-2-that-says-nothing"),
        pytest.param("exec bash -c 'exit 2' --", None, id="a-shell-that-gives-up"),
        pytest.param("echo offline; exit 2", None, id="a-2-with-another-word"),
        pytest.param("echo 'Status: OFF'; exit 1", None, id="off-and-a-failure"),
        pytest.param("kill -9 $$", None, id="killed"),
        pytest.param("head -c 50000000 /dev/zero | tr '\\0' x; exit 0", Supply.ON, id="far-too-much-to-say"),
        pytest.param("printf '\\xff\\xfe\\n'; echo 'Status: OFF'; exit 2", Supply.OFF, id="not-only-text"),
    ],
)
async def test_a_state_is_a_code_and_its_word(tmp_path: Path, body: str, supply: Supply | None) -> None:
    """2 alone is also what an interpreter says that finds no script: that must never be off."""
    reading = await Script(tmp_path, body).fence.status("", soon(10))
    if supply is None:
        assert isinstance(reading, Unknown), reading
    else:
        assert isinstance(reading, Seen), reading
        assert reading.supply is supply


async def test_success_is_read_back(tmp_path: Path) -> None:
    """An agent that says 0 and whose device stays on has not fenced."""
    script = Script(
        tmp_path, 'grep -q action=off told && { echo "Success: Powered OFF"; exit 0; }; echo Status: ON'
    )
    outcome = await script.fence.off("", soon(1))
    assert isinstance(outcome, NotSwitched)


STUBBORN = """\
trap '' TERM INT HUP
(trap '' TERM; echo $BASHPID >> pids; while :; do sleep 0.1; done) &
setsid bash -c "trap '' TERM; echo \\$\\$ >> pids; while :; do sleep 0.1; done" &
while :; do sleep 0.1; done
"""


@pytest.mark.parametrize("way", ["deadline", "cancelled"])
async def test_an_agent_that_will_not_end_is_killed_with_all_its_children(tmp_path: Path, way: str) -> None:
    """Also those that ignore signals and left for a session of their own."""
    script = Script(tmp_path, STUBBORN)
    began = time.monotonic()
    if way == "deadline":
        reading = await script.fence.status("", soon(1))
        assert isinstance(reading, Unknown)
        assert reading.doubt is Doubt.LATE
    else:
        asking = asyncio.create_task(script.fence.status("", soon(60)))
        await asyncio.sleep(0.8)
        assert len(script.alive()) == 3
        asking.cancel()
        with pytest.raises(asyncio.CancelledError):
            await asking
    assert time.monotonic() - began < 2
    await asyncio.sleep(0.1)
    assert (tmp_path / "pids").read_text().count("\n") == 3
    assert script.alive() == []


async def test_a_child_that_keeps_the_output_open_is_not_waited_for(tmp_path: Path) -> None:
    script = Script(tmp_path, "sleep 3 & echo 'Status: ON'; exit 0")
    began = time.monotonic()
    assert isinstance(await script.fence.status("", soon(5)), Seen)
    assert time.monotonic() - began < 2


async def test_the_reason_is_the_last_line_and_hides_the_secret(tmp_path: Path) -> None:
    script = Script(tmp_path, "echo first >&2; echo 'ERROR: hush-hush does not work' >&2; exit 1")
    reading = await script.fence.status("", soon(5))
    assert isinstance(reading, Unknown)
    assert reading.detail.endswith("ERROR: *** does not work")


@pytest.mark.parametrize("agent", ["fence_nothing_at_all", "/nowhere/fence"])
async def test_an_agent_that_is_not_there(agent: str) -> None:
    fence = make({"agent": agent})
    for outcome in (await fence.status("", soon(5)), await fence.off("", soon(5))):
        assert isinstance(outcome, Unknown)
        assert outcome.doubt is Doubt.NOT_INSTALLED


async def test_a_file_that_is_no_program(tmp_path: Path) -> None:
    file = tmp_path / "fence_text"
    file.write_text("no program at all")
    file.chmod(0o755)
    outcome = await make({"agent": str(file)}).off("", soon(5))
    assert isinstance(outcome, Unknown)
    assert outcome.doubt is Doubt.NOT_INSTALLED


def test_what_an_agent_cuts_says_from_where_it_sees() -> None:
    """A fence of the storage is no second opinion on the power."""
    fence = make({"agent": "fence_scsi", "cuts": "storage"})
    assert (fence.cuts, fence.vantage) == (Cut.STORAGE, Vantage.STORAGE)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        pytest.param({}, "agent", id="no-agent"),
        pytest.param({"agent": "fence_x", "options": {"action": "on"}}, "options.action", id="our-option"),
        pytest.param(
            {"agent": "fence_x", "options": {"a=b\nc": 1}}, "no option", id="an-option-that-is-none"
        ),
        pytest.param({"agent": "fence_x", "options": {"ip": "a\nplug=9"}}, "one line", id="a-line-break"),
        pytest.param(
            {"agent": "fence_x", "options": {"password": "x"}},
            "secret_files.password",
            id="a-password-in-clear",
        ),
        pytest.param(
            {"agent": "fence_x", "options": {"community": "x"}}, "secret_files", id="a-community-in-clear"
        ),
        pytest.param({"agent": "fence_x", "cuts": "hair"}, "cuts", id="cuts-what"),
        pytest.param(
            {"agent": "fence_x", "secret_files": {"password": "/nowhere"}}, "No such file", id="no-file"
        ),
        pytest.param(
            {"agent": "fence_x", "secret_files": {"plug": "/nowhere"}}, "for Doctor", id="a-secret-plug"
        ),
    ],
)
def test_wrong_settings_are_named(settings: dict[str, Any], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        make(settings)


@pytest.mark.parametrize(
    ("content", "mode", "words"),
    [
        pytest.param(b"secret\n", 0o640, "chmod 600", id="others-may-read-it"),
        pytest.param(b"\n", 0o600, "one line", id="empty"),
        pytest.param(b"a\nb\n", 0o600, "one line", id="two-lines"),
        pytest.param(b"x" * 5000, 0o600, "one line", id="far-too-long"),
        pytest.param(b"\xff", 0o600, "no text", id="no-text"),
    ],
)
def test_a_secret_is_a_file_of_its_own(tmp_path: Path, content: bytes, mode: int, words: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(content)
    file.chmod(mode)
    with pytest.raises(ValueError, match=words) as refused:
        make({"agent": "fence_x", "secret_files": {"password": str(file)}})
    assert "secret_files.password" in str(refused.value)
    assert stat.S_IMODE(file.stat().st_mode) == mode


def test_a_plug_is_asked_for_where_there_are_several() -> None:
    fence = make({"agent": "fence_x", "needs_plug": True})
    assert fence.check("7") is None
    assert fence.check("")
    assert fence.check("7\naction=on")
