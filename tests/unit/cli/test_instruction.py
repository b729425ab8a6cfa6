"""What `doctor instruction` asks, and what it prints."""

import json
from typing import Any

import pytest

from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor

INSTRUCTION: dict[str, Any] = {
    "instruction_id": "i/1",
    "action": "evacuate",
    "user": "vnfm",
    "created": "2026-03-04T10:00:00Z",
    "deadline": "2026-03-04T10:01:00Z",
    "ended": None,
    "acknowledged": None,
    "notification_id": "n-1",
    "resources": [
        {"virtual_resource_id": "vm-1", "state": "waiting_for_isolation", "reason": "being isolated"},
        {"virtual_resource_id": "vm-2", "state": "running", "reason": None},
    ],
}
PATH = "/v1/instructions/i%2F1"


def test_what_is_asked_for_and_its_id_alone_is_on_stdout(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("POST", "/v1/instructions", Answer(202, body=INSTRUCTION))
    words = ["--answer", "n-1", "--within", "60s", "--key", "k"]
    result = run("instruction", "send", "evacuate", "vm-1", "vm-2", *words)
    assert (result.exit_code, result.stdout) == (0, "i/1\n")
    assert result.stderr.splitlines() == ["vm-1: waiting_for_isolation (being isolated)", "vm-2: running"]
    assert doctor.asked[-1].json == {
        "action": "evacuate",
        "virtual_resource_id": ["vm-1", "vm-2"],
        "parameters": {},
        "notification_id": "n-1",
        "deadline": 60.0,
        "idempotency_key": "k",
    }


@pytest.mark.parametrize(
    ("words", "parameters"),
    [
        (("rebuild", "vm-1", "--image", "newer"), {"image": "newer"}),
        (("reboot", "vm-1", "--type", "hard"), {"type": "hard"}),
        (("repair", "vm-1", "--cause", "silent"), {"cause": "silent"}),
        (
            ("update", "vm-1", "--name", "a", "--metadata", "doctor:role=ACT"),
            {"name": "a", "metadata": {"doctor:role": "ACT"}},
        ),
    ],
)
def test_what_is_said_with_it(
    run: Run, doctor: FakeDoctor, words: tuple[str, ...], parameters: dict[str, Any]
) -> None:
    doctor.answers("POST", "/v1/instructions", Answer(202, body=INSTRUCTION))
    result = run("instruction", "send", *words, "--json")
    assert json.loads(result.stdout) == INSTRUCTION
    assert doctor.asked[-1].json["parameters"] == parameters


def test_what_is_refused_is_a_failure(run: Run, doctor: FakeDoctor) -> None:
    refused = {"virtual_resource_id": "vm-1", "state": "refused", "reason": "its host works: migrate it"}
    doctor.answers("POST", "/v1/instructions", Answer(202, body={**INSTRUCTION, "resources": [refused]}))
    result = run("instruction", "send", "evacuate", "vm-1")
    assert result.exit_code == 1
    assert "its host works" in result.stderr
    assert run("instruction", "send", "update", "vm-1", "--metadata", "role").exit_code == 2


def test_instructions_are_listed_shown_and_cancelled(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/v1/instructions", Answer(200, body={"items": [INSTRUCTION], "next": None}))
    result = run("instruction", "list", "--state", "open", "--machine", "vm-1")
    assert "1 waiting_for_isolation, 1 running" in " ".join(result.stdout.split())
    assert json.loads(run("instruction", "list", "--json").stdout)["items"] == [INSTRUCTION]
    doctor.answers("GET", "/v1/instructions", Answer(200, body={"items": [], "next": None}))
    assert "no instructions" in run("instruction", "list").stderr
    doctor.answers("GET", PATH, Answer(200, body={**INSTRUCTION, "acknowledged": False}))
    shown = run("instruction", "show", "i/1").stdout
    assert "NACK" in shown
    assert "waiting_for_isolation (being isolated)" in shown
    assert json.loads(run("instruction", "show", "i/1", "--json").stdout)["user"] == "vnfm"
    doctor.answers("DELETE", PATH, Answer(200, body=INSTRUCTION))
    assert "1 running" in run("instruction", "cancel", "i/1").stderr
    assert json.loads(run("instruction", "cancel", "i/1", "--json").stdout) == INSTRUCTION
