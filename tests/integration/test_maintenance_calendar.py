"""The calendar of maintenance over HTTP and by command: for programs, and for the calendars of people."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from urllib.parse import quote
from urllib.request import Request, urlopen

import icalendar
import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door
from tests.integration.test_maintenance_doors import MAP, STATE, empty, session_when
from tests.integration.test_policy_commands import Shell

CALENDAR = "/v1/maintenance/calendar"
NIGHT = datetime.now(UTC).replace(microsecond=0) + timedelta(days=7)
TEXT = "Firmware, kernel; \\ and: ä 漢字 " + "long " * 29 + "long"


@pytest.fixture(scope="module")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    with RunningDoctor(tmp_path_factory.mktemp("doctor"), public_url="http://doctor.example/") as doctor:
        assert Door(doctor).ask("PUT", "/v1/resource-map", MAP)[0] == 200
        yield doctor


@pytest.fixture
def planned(doctor: RunningDoctor) -> Iterator[list[str]]:
    door = Door(doctor)
    ids = []
    for host, hours in (("compute-2", 0.5), ("compute-1", 0.0), ("compute-3", 30.0)):
        at = (NIGHT + timedelta(hours=hours)).isoformat()
        status, made = door.ask("POST", STATE, empty(host, starts_at=at, timeout="PT1H", reason=TEXT))
        assert status == 202, made
        session_when(door, made["session_id"], **{f"vm_{host[-1]}": "asked"})
        ids.append(made["session_id"])
    yield ids
    for one in ids:
        door.ask("DELETE", f"/v1/maintenance/{one}")


def when(hours: float) -> str:
    """Return a time as it is written in a query."""
    return quote((NIGHT + timedelta(hours=hours)).isoformat())


def test_what_is_planned_is_listed_with_what_it_meets(doctor: RunningDoctor, planned: list[str]) -> None:
    door = Door(doctor)
    status, page = door.ask("GET", CALENDAR)
    assert status == 200
    second, first, third = planned
    assert [one["session_id"] for one in page["items"]] == [first, second, third]
    one = page["items"][0]
    assert (one["hosts"], one["zones"], one["machines"]) == (["compute-1"], ["az1"], 2)
    assert (one["overlaps"], page["items"][2]["overlaps"]) == ([second], [])
    ends = datetime.fromisoformat(one["ends_at"]) - datetime.fromisoformat(one["starts_at"])
    assert ends == timedelta(hours=1)
    _, night = door.ask("GET", f"{CALENDAR}?since={when(1.2)}&until={when(20)}")
    assert [one["session_id"] for one in night["items"]] == [second]
    _, some = door.ask("GET", f"{CALENDAR}?limit=2")
    _, rest = door.ask("GET", f"{CALENDAR}?limit=2&cursor={some['next']}")
    assert [one["session_id"] for one in some["items"] + rest["items"]] == [first, second, third]


def test_an_owner_sees_what_is_about_machines_of_his(doctor: RunningDoctor, planned: list[str]) -> None:
    door = Door(doctor)
    blue = door.token(Role.CONSUMER, "blue")
    (one,) = door.ask("GET", CALENDAR, token=blue)[1]["items"]
    assert (one["session_id"], one["hosts"], one["zones"]) == (planned[1], [], [])
    assert (one["machines"], one["overlaps"]) == (1, [])  # the other one is none of his affair
    assert door.ask("GET", CALENDAR, token=door.token(Role.CONSUMER, "green"))[1]["items"] == []


def test_calendars_of_people_read_it(doctor: RunningDoctor, planned: list[str], tmp_path: Path) -> None:
    request = Request(f"{doctor.url}{CALENDAR}.ics", headers=doctor.headers)  # noqa: S310 - ourselves
    with urlopen(request, timeout=10) as answer:  # noqa: S310
        assert answer.headers["content-type"].startswith("text/calendar")
        content = answer.read()
    assert max(len(line) for line in content.split(b"\r\n")) <= 75
    read = icalendar.Calendar.from_ical(content)
    events = read.walk("VEVENT")
    assert [str(one["uid"]) for one in events] == [f"{planned[n]}@doctor" for n in (1, 0, 2)]
    assert str(events[0]["summary"]) == f"Maintenance: compute-1 ({TEXT})"
    assert events[0].decoded("dtstart") == NIGHT
    assert events[0].decoded("dtend") == NIGHT + timedelta(hours=1)
    assert str(events[0]["status"]) == "CONFIRMED"
    assert str(events[0]["url"]) == f"http://doctor.example/v1/maintenance/{planned[1]}"
    assert f"At the same time: session {planned[0]}" in str(events[0]["description"])
    shell = Shell(doctor, tmp_path)
    by_command = shell.run("maintenance", "calendar", "--ical").stdout
    assert [str(one["uid"]) for one in icalendar.Calendar.from_ical(by_command).walk("VEVENT")] == [
        str(one["uid"]) for one in events
    ]


def test_it_is_shown_by_command(doctor: RunningDoctor, planned: list[str], tmp_path: Path) -> None:
    shell = Shell(doctor, tmp_path)
    listed = json.loads(shell.run("maintenance", "calendar", "--json").stdout)["items"]
    assert [one["session_id"] for one in listed] == [planned[1], planned[0], planned[2]]
    shown = shell.run("maintenance", "calendar").stdout
    assert "compute-1" in shown
    until = datetime.now(UTC) + timedelta(days=1)
    nothing = shell.run("maintenance", "calendar", "--until", until.isoformat())
    assert (nothing.returncode, nothing.stderr.strip()) == (0, "nothing is planned")
    assert shell.run("maintenance", "calendar", "--ical", "--json").returncode == 2


@pytest.mark.parametrize(
    ("query", "pointer"),
    [
        pytest.param("since=tomorrow", "/since", id="no-time"),
        pytest.param(f"since={when(2)}&until={when(1)}", "/since", id="turned-round"),
        pytest.param("until=2020-01-01T00:00:00Z", "/until", id="over"),
        pytest.param("from=2020-01-01T00:00:00Z", "/from", id="unknown"),
    ],
)
@pytest.mark.parametrize("path", [CALENDAR, f"{CALENDAR}.ics"])
def test_what_is_wrong_with_a_window_is_said(
    doctor: RunningDoctor, path: str, query: str, pointer: str
) -> None:
    status, problem = Door(doctor).ask("GET", f"{path}?{query}")
    assert status in (400, 422)
    assert problem["errors"][0]["pointer"] == pointer
