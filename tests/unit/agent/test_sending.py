"""Reports reach Doctor, and wait while it is away."""

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from doctor.agent.report import Reporter
from doctor.agent.sending import Sending
from doctor.agent.spool import load, save
from doctor.client.http import Client
from tests.unit.client.fake_doctor import Answer, FakeDoctor
from tests.waiting import until

TAKEN = Answer(202, {"accepted": [], "rejected": []})
NOW = datetime(2026, 3, 4, tzinfo=UTC)
C1 = Reporter("c1")


@pytest.fixture
def doctor() -> Iterator[FakeDoctor]:
    with FakeDoctor() as fake:
        yield fake


def sending(url: str, folder: Path) -> Sending:
    made = Sending("c1", Client(url, "secret", timeout=1), folder / "events.jsonl", 1000)
    made.start()
    return made


def sent(doctor: FakeDoctor) -> list[str]:
    return [
        one["event"]["details"]["resource_id"]
        for asked in doctor.asked
        if asked.path == "/v1/events"
        for one in asked.json["events"]
    ]


def test_a_report_is_an_event_with_the_token(doctor: FakeDoctor, tmp_path: Path) -> None:
    doctor.answers("POST", "/v1/events", TAKEN)
    way = sending(doctor.url, tmp_path)
    way.say(C1.report("network.port.down", "down", "no carrier", part="eth0", resource_type="nic"))
    until(lambda: doctor.asked, 5)
    way.stop()

    (asked,) = doctor.asked
    assert asked.headers["authorization"] == "Bearer secret"
    (event,) = asked.json["events"]
    assert event["event"]["type"] == "network.port.down"
    assert event["event"]["details"] == {
        "hostname": "c1",
        "resource_id": "c1:eth0",
        "resource_type": "nic",
        "status": "down",
        "cause": "no carrier",
        "source": "agent@c1",
        "monitor_event_id": "c1 eth0",
    }
    assert not (tmp_path / "events.jsonl").exists()


@pytest.mark.parametrize("status", [401, 429, 503, 507])
def test_what_is_not_taken_is_sent_again(doctor: FakeDoctor, tmp_path: Path, status: int) -> None:
    doctor.answers("POST", "/v1/events", Answer(status), Answer(status), TAKEN)
    way = sending(doctor.url, tmp_path)
    way.say(C1.report("a", "down", "x", part="1"))
    until(lambda: len(doctor.asked) == 3, 10)
    way.stop()
    assert sent(doctor) == ["c1:1"] * 3
    assert not (tmp_path / "events.jsonl").exists()


def test_what_nobody_can_read_does_not_stand_in_the_way(doctor: FakeDoctor, tmp_path: Path) -> None:
    doctor.answers("POST", "/v1/events", Answer(400), TAKEN)
    way = sending(doctor.url, tmp_path)
    way.say(C1.report("a", "down", "x", part="1"))
    until(lambda: len(doctor.asked) == 1, 5)
    way.say(C1.report("a", "down", "x", part="2"))
    until(lambda: len(doctor.asked) == 2, 5)
    way.stop()
    assert sent(doctor) == ["c1:1", "c1:2"]


def test_while_doctor_is_away_it_is_kept_on_disk(doctor: FakeDoctor, tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    away = doctor.url
    doctor.close()
    way = sending(away, tmp_path)
    way.say(C1.report("a", "down", "x", part="1"))
    until(lambda: load(file), 5)
    way.say(C1.report("a", "down", "x", part="2"))
    way.stop()
    assert [one.details["resource_id"] for one in load(file)] == ["c1:1", "c1:2"]

    with FakeDoctor() as back:
        back.answers("POST", "/v1/events", TAKEN)
        way = sending(back.url, tmp_path)
        until(lambda: sent(back), 5)
        way.stop()
        assert sent(back) == ["c1:1", "c1:2"]
    assert not file.exists()


def test_a_disk_that_is_full_is_said_and_borne(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = tmp_path / "none"
    way = sending("http://127.0.0.1:9", folder)
    way.say(C1.report("a", "down", "x"))
    way.stop()
    assert not folder.exists()
    save(tmp_path / "fine", [])


def test_what_is_rejected_alone_is_said(doctor: FakeDoctor, tmp_path: Path) -> None:
    doctor.answers(
        "POST", "/v1/events", Answer(202, {"accepted": [], "rejected": [{"index": 0, "errors": ["no"]}]})
    )
    way = sending(doctor.url, tmp_path)
    way.say(C1.report("a", "down", "x", part="1"))
    until(lambda: doctor.asked, 5)
    way.stop()
    assert len(doctor.asked) == 1
