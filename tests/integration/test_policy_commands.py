"""The commands on failure policies against a running Doctor, as an operator uses them one after the other."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor.testing.running import RunningDoctor

DOWN = {"type": "compute.host.down", "details": {"hostname": "compute-1", "status": "down"}}


class Shell:
    """A shell with a running Doctor and a working directory."""

    def __init__(self, doctor: RunningDoctor, folder: Path) -> None:
        self.folder = folder
        self.doctor = doctor
        self._environment = {"DOCTOR_URL": doctor.url, "DOCTOR_TOKEN": doctor.token, "PATH": "/usr/bin:/bin"}
        self._environment |= {"PYTHONPATH": ":".join(sys.path)}

    def run(self, *words: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "doctor", *words],
            cwd=self.folder,
            env=self._environment,
            input=stdin,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )

    def begin(self, *words: str) -> subprocess.Popen[str]:
        return subprocess.Popen(
            [sys.executable, "-m", "doctor", *words],
            cwd=self.folder,
            env=self._environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def write(self, name: str, text: str) -> None:
        (self.folder / name).write_text(text)


@pytest.fixture(scope="module")
def shell(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Shell]:
    with RunningDoctor(tmp_path_factory.mktemp("doctor")) as doctor:
        yield Shell(doctor, tmp_path_factory.mktemp("shell"))


def test_a_policy_is_changed_step_by_step_and_taken_back(shell: Shell) -> None:
    shipped = shell.run("policy", "show").stdout
    shell.write(
        "policy.yaml",
        shipped.replace("{type: compute.host.down}}", "{type: compute.host.down}, severity: minor}"),
    )
    for number, status in enumerate(("down", "up", "down")):
        said = {
            **DOWN,
            "time": f"2026-03-04T05:06:0{number}Z",
            "details": {"hostname": "c-1", "status": status},
        }
        sent = shell.run("event", "send", "--file", "-", stdin=json.dumps({"event": said}))
        assert sent.returncode == 0, sent.stderr

    # What did I change?
    changed = shell.run("policy", "diff", "policy.yaml")
    assert changed.returncode == 1
    assert changed.stdout.splitlines()[:2] == ["--- version 0 (in force)", "+++ policy.yaml"]
    assert [line for line in changed.stdout.splitlines()[2:] if line.startswith(("+", "-"))] == [
        "-  - {name: host-down, when: {type: compute.host.down}}",
        "+  - {name: host-down, when: {type: compute.host.down}, severity: minor}",
    ]

    # What would it have done? None of it is logged, since nothing of it happens.
    logged = shell.doctor.log.read_text().count("fault.raised")
    assert logged == 2
    tried = shell.run("policy", "dry-run", "policy.yaml", "--since", "1h")
    assert tried.returncode == 1, tried.stderr
    assert "raised critical, down by host-down" in tried.stdout
    assert "raised minor, down by host-down" in tried.stdout
    assert tried.stdout.splitlines()[-1] == "2 differences: 2 changed"
    same = shell.run("policy", "dry-run", "-", stdin=shipped)
    assert (same.returncode, same.stdout.splitlines()[-1]) == (0, "both policies do the same")
    assert shell.doctor.log.read_text().count("fault.raised") == logged

    # Into force, and back.
    assert shell.run("policy", "apply", "policy.yaml", "--expect", "0").stderr == "version 1 is in force\n"
    late = shell.run("policy", "apply", "policy.yaml", "--expect", "0")
    assert (late.returncode, "version 1 is in force" in late.stderr) == (1, True)
    assert shell.run("policy", "diff", "policy.yaml").returncode == 0
    assert shell.run("policy", "rollback").stderr == "version 2 is in force\n"
    assert shell.run("policy", "show").stdout == shipped
    listed = json.loads(shell.run("policy", "list", "--json").stdout)["items"]
    assert [(one["version"], one["restores"]) for one in listed] == [(2, 0), (1, None), (0, None)]
    assert shell.run("policy", "list").stdout.splitlines()[1].split()[0] == "2"
    assert shell.run("policy", "diff", "0").returncode == 0
    assert shell.run("policy", "diff", "0", "1").returncode == 1


@pytest.mark.parametrize(
    ("words", "code", "says"),
    [
        pytest.param(["diff", "99"], 1, "there is no such version", id="no-version"),
        pytest.param(["diff", "nowhere.yaml"], 1, "cannot read nowhere.yaml", id="no-file"),
        pytest.param(["rollback", "99"], 1, "there is no version 99", id="no-version-to-go-back-to"),
        pytest.param(["rollback", "x"], 2, "not a valid integer", id="no-number"),
        pytest.param(["show", "--version", "99"], 1, "there is no such version", id="nothing-to-show"),
        pytest.param(["dry-run", "broken.yaml"], 1, "/faults/0/severity", id="broken"),
        pytest.param(["dry-run", "broken.yaml", "--since", "soon"], 2, "no time", id="no-time"),
        pytest.param(["dry-run", "nowhere.yaml"], 2, "does not exist", id="nothing-to-try"),
    ],
)
def test_what_cannot_be_done_is_said(shell: Shell, words: list[str], code: int, says: str) -> None:
    shell.write(
        "broken.yaml",
        "version: 1\nfaults:\n  - {name: x, when: {type: compute.host.down}, severity: awful}\n",
    )
    done = shell.run("policy", *words)
    assert done.returncode == code
    assert says in done.stderr
    assert "Traceback" not in done.stderr
