"""The VNF manager of the manual, run as its page says beside a real Doctor: it prints what the page shows."""

import re
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Thread

import pytest
import urllib3

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor, free_port
from tests.integration.test_doors import Door
from tests.integration.test_policy_commands import Shell

ROOT = Path(__file__).parents[2]
PAGE = (ROOT / "docs" / "how-to" / "write-a-vnf-manager.md").read_text()
PATIENCE = 30.0


def blocks(kind: str) -> list[str]:
    """Return the fenced blocks of a kind in the page."""
    return re.findall(rf"^```{kind}\n(.*?)^```", PAGE, re.DOTALL | re.MULTILINE)


class Manager:
    """The example, as a process, with what it has said."""

    def __init__(self, doctor: RunningDoctor, words: list[str]) -> None:
        token = Door(doctor).token(Role.CONSUMER, "red")
        self.lines: list[str] = []
        self.process = subprocess.Popen(
            [sys.executable, str(ROOT / "examples" / "vnf_manager.py"), *words],
            env={"DOCTOR_URL": doctor.url, "DOCTOR_TOKEN": token, "PYTHONPATH": ":".join(sys.path)},
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self._reader = Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line.rstrip())

    def has_said(self, *wanted: str) -> None:
        """Wait until it has said these lines, and no others: of two that came at once either may be first."""
        end = time.monotonic() + PATIENCE
        while Counter(self.lines) != Counter(wanted):
            assert time.monotonic() < end, "\n".join(self.lines)
            assert self.process.poll() is None, self.lines
            time.sleep(0.02)

    def end(self) -> int:
        """End it in good order."""
        self.process.terminate()
        status = self.process.wait(10)
        self._reader.join(5)
        assert self.process.stdout is not None
        self.process.stdout.close()
        return status


@contextmanager
def managing(doctor: RunningDoctor, words: list[str]) -> Iterator[Manager]:
    """Run the example, and leave nothing of it behind."""
    manager = Manager(doctor, words)
    try:
        yield manager
    finally:
        if manager.process.stdout is not None and not manager.process.stdout.closed:
            manager.end()


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[RunningDoctor]:
    with RunningDoctor(tmp_path / "doctor") as doctor:
        yield doctor


@pytest.mark.requirement("B30", "C2", "D9")
def test_the_page_shows_what_the_manager_says_also_when_doctor_is_killed_in_between(
    doctor: RunningDoctor,
) -> None:
    shell, port = Shell(doctor, ROOT), free_port()
    set_up, operator = ([line[2:] for line in each.splitlines()] for each in blocks("console"))
    (said,) = blocks("text")
    groups = [each.splitlines() for each in said.replace(":9000/", f":{port}/").split("\n\n")]
    assert len(operator) == len(groups) - 1
    assert shell.run(*set_up[1].split()[1:]).returncode == 0
    words = set_up[-1].partition("vnf_manager.py ")[2].removesuffix(" &").replace("9000", str(port))
    with managing(doctor, words.split()) as manager:
        expected = list(groups[0])
        manager.has_said(*expected)
        for command, lines in zip(operator, groups[1:], strict=True):
            if "request" in command:
                doctor.kill()
                doctor.start()
            done = shell.run(*command.split()[1:])
            assert done.returncode == 0, done.stderr
            expected += lines
            manager.has_said(*expected)
        door = Door(doctor)
        _, document = door.ask("GET", "/v1/resource-map")
        hosts = {one["id"]: one["host"] for one in document["virtual_resources"]}
        assert "compute-2" not in hosts.values()
        assert hosts["core-a"] != hosts["core-b"]
        assert manager.end() == 0
    assert manager.lines[-1] == "unsubscribed"
    assert door.ask("GET", "/v1/subscriptions")[1]["items"] == []


def test_the_manager_takes_nothing_from_strangers_and_acts_once_on_what_comes_twice(
    doctor: RunningDoctor,
) -> None:
    shell, port = Shell(doctor, ROOT), free_port()
    shell.run("resource", "load", "examples/site.json")
    words = ["core", "core-a=ACT", "core-b=STBY", "--port", str(port)]
    with managing(doctor, words) as manager:
        said = [f"subscribed; told at http://127.0.0.1:{port}/doctor"]
        manager.has_said(*said)
        answer = urllib3.request("POST", f"http://127.0.0.1:{port}/doctor", body=b"{}", timeout=5)
        assert answer.status == 401
        said.append("refused: the headers webhook-id, webhook-timestamp and webhook-signature are needed")
        manager.has_said(*said)
        event = ("compute.instance.error", "--detail", "resource_id=core-a", "--severity", "critical")
        shell.run("event", "send", *event)
        said += [
            "core-a is error: instance error",
            "switched over from core-a to core-b",
            "instructed: migrate core-a (queued)",
            "migrate core-a: succeeded",
        ]
        manager.has_said(*said)
        door = Door(doctor)
        (subscription,) = door.ask("GET", "/v1/subscriptions")[1]["items"]
        again = {"from": 1, "to": 1, "parked_only": False}
        path = f"/v1/subscriptions/{subscription['subscription_id']}/replay"
        status, sent = door.ask("POST", path, again)
        assert (status, sent["deliveries"]) == (202, 1)
        time.sleep(1)
        manager.has_said(*said)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        pytest.param(["core"], "required: MACHINE=ROLE", id="no-machines"),
        pytest.param(["core", "core-a=BOSS"], "BOSS: a role is ACT, STBY or own", id="no-role"),
    ],
)
def test_what_is_wrong_with_its_words_is_said(doctor: RunningDoctor, words: list[str], says: str) -> None:
    with managing(doctor, words) as manager:
        assert manager.process.wait(20) == 2
        manager.end()
        assert says in "\n".join(manager.lines)
