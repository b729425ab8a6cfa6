"""Alarms over HTTP: who may do what, what is refused and how, lists in order [D 5.5.3]."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.test_doors import Door

RESOURCES = {
    "physical_resources": [{"id": f"compute-{n}"} for n in range(1, 4)],
    "virtual_resources": [
        {"id": "vm-red", "host": "compute-1", "owner": "red"},
        {"id": "vm-blue", "host": "compute-1", "owner": "blue"},
        {"id": "vm-3", "host": "compute-3", "owner": "red"},
    ],
}
SOON = (datetime.now(UTC) + timedelta(hours=1)).isoformat()


def event(type_: str, host: str, second: int, status: str = "down") -> dict[str, Any]:
    return {
        "time": f"2026-03-04T05:06:{second:02}Z",
        "type": type_,
        "details": {"hostname": host, "status": status},
    }


@pytest.fixture(scope="module")
def door(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A Doctor with a dead host, a host whose disk ages, and one that was dead."""
    with RunningDoctor(tmp_path_factory.mktemp("alarms")) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", RESOURCES)[0] == 200
        events = [
            event("compute.host.down", "compute-1", 1),
            event("compute.disk.aging", "compute-2", 2),
            event("compute.host.down", "compute-3", 3),
            event("compute.host.down", "compute-3", 4, "up"),
        ]
        assert door.ask("POST", "/v1/events", events)[0] == 202
        yield door


@pytest.fixture
def red(door: Door) -> str:
    return door.token(Role.CONSUMER, "red")


def alarm_of(door: Door, resource_id: str, state: str = "active") -> dict[str, Any]:
    _, page = door.ask("GET", f"/v1/alarms?state={state}&resource_id={resource_id}")
    found: dict[str, Any] = page["items"][0]
    return found


@pytest.mark.requirement("A4")
def test_an_alarm_says_what_etsi_wants_to_know(door: Door) -> None:
    """IFA 005: the managed object, the kind of alarm of X.733, the times, whether it is acknowledged."""
    alarm = alarm_of(door, "vm-blue")
    assert alarm["managed_object_id"] == alarm["resource_id"] == "vm-blue"
    assert alarm["event_type"] in ("equipment_alarm", "communications_alarm")
    assert alarm["project"] == "blue"
    assert alarm["raised_time"]
    assert (alarm["changed_time"], alarm["cleared_time"]) == (None, None)
    assert (alarm["ack_state"], alarm["shelved"], alarm["comments"]) == ("unacknowledged", False, [])
    _, mine = door.ask("GET", f"/v1/alarms/{alarm['alarm_id']}", token=door.token(Role.CONSUMER, "blue"))
    assert "compute-1" not in str(mine)


def test_an_owner_acknowledges_comments_and_shelves_his_own(door: Door, red: str) -> None:
    path = f"/v1/alarms/{alarm_of(door, 'vm-red')['alarm_id']}"
    status, alarm = door.ask("PATCH", path, {"action": "acknowledge", "user": "ann"}, token=red)
    assert (status, alarm["ack_state"], alarm["user"]) == (200, "acknowledged", "ann")
    first = alarm["acknowledged_time"]
    assert door.ask("PATCH", path, {"action": "acknowledge"}, token=red)[1] == alarm
    assert door.ask("PATCH", path, {"action": "acknowledge"})[1]["acknowledged_time"] == first
    status, alarm = door.ask("POST", f"{path}/comments", {"text": "on it", "user": "ann"}, token=red)
    assert (status, [one["text"] for one in alarm["comments"]]) == (201, ["on it"])
    status, alarm = door.ask("PATCH", path, {"action": "shelve", "until": SOON}, token=red)
    assert (status, alarm["shelved"]) == (200, True)
    for query, found in (("shelved=true", 1), ("ack_state=acknowledged", 1), ("shelved=false", 0)):
        _, page = door.ask("GET", f"/v1/alarms?{query}", token=red)
        assert len(page["items"]) == found, query
    _, counted = door.ask("GET", "/v1/alarms/summary", token=red)
    assert (counted["total"], counted["shelved"], counted["ack_state"]["acknowledged"]) == (1, 1, 1)
    assert door.ask("GET", "/v1/alarms/summary")[1]["total"] == 4
    _, past = door.ask("GET", f"{path}/history?limit=2", token=red)
    assert [one["what"] for one in past["items"]] == ["raised", "not_told"]
    _, rest = door.ask("GET", f"{path}/history?cursor={past['next']}", token=red)
    assert [one["what"] for one in rest["items"]] == ["acknowledged", "commented", "shelved"]
    assert door.ask("PATCH", path, {"action": "unshelve"}, token=red)[1]["shelved"] is False


@pytest.mark.parametrize("resource_id", ["vm-blue", "compute-1", "nobody's"])
def test_somebody_elses_alarm_is_not_there(door: Door, red: str, resource_id: str) -> None:
    """Whatever one wants of it, and whether it exists or not: the same answer."""
    alarm_id = "unknown" if resource_id == "nobody's" else alarm_of(door, resource_id)["alarm_id"]
    path = f"/v1/alarms/{alarm_id}"
    for method, end, body in (
        ("GET", "", None),
        ("GET", "/history", None),
        ("POST", "/comments", {"text": "x"}),
        *(("PATCH", "", {"action": action}) for action in ("acknowledge", "clear", "unshelve")),
        ("PATCH", "", {"action": "shelve", "until": SOON}),
    ):
        status, problem = door.ask(method, path + end, body, token=red)
        assert (status, problem["detail"]) == (404, "there is no such alarm"), (method, end, body)


@pytest.mark.parametrize(
    ("end", "body", "pointer"),
    [
        pytest.param("", {"action": "ignore"}, "/action", id="action"),
        pytest.param("", {}, "/action", id="nothing"),
        pytest.param("", {"action": "shelve"}, "/until", id="no-end"),
        pytest.param("", {"action": "shelve", "until": "2020-01-01T00:00:00Z"}, "/until", id="past"),
        pytest.param("", {"action": "shelve", "until": "9999-01-01T00:00:00Z"}, "/until", id="never"),
        pytest.param("", {"action": "shelve", "until": "0001-01-01T00:00:00+14:00"}, "/until", id="no-utc"),
        pytest.param("", {"action": "acknowledge", "until": SOON}, "/until", id="needless-end"),
        pytest.param("", {"action": "acknowledge", "user": "a\nb"}, "/user", id="user"),
        pytest.param("", {"action": "acknowledge", "who": "a"}, "/who", id="unknown-field"),
        pytest.param("/comments", {"text": ""}, "/text", id="empty"),
        pytest.param("/comments", {"text": "x" * 1001}, "/text", id="long"),
    ],
)
def test_what_is_wrong_is_named_and_changes_nothing(door: Door, end: str, body: Any, pointer: str) -> None:
    alarm = alarm_of(door, "vm-blue")
    path = f"/v1/alarms/{alarm['alarm_id']}"
    status, problem = door.ask("POST" if end else "PATCH", path + end, body)
    assert status == 422
    assert pointer in [flaw["pointer"] for flaw in problem["errors"]]
    assert door.ask("GET", path)[1] == alarm


def test_only_the_administrator_clears_and_only_the_root(door: Door, red: str) -> None:
    root = alarm_of(door, "compute-1")
    derived = f"/v1/alarms/{alarm_of(door, 'vm-red')['alarm_id']}"
    assert door.ask("PATCH", derived, {"action": "clear"}, token=red)[0] == 403
    status, problem = door.ask("PATCH", derived, {"action": "clear"})
    assert status == 422
    assert root["alarm_id"] in problem["detail"]


def test_lists_are_filtered_sorted_and_paged(door: Door) -> None:
    def ids(query: str) -> list[str]:
        found, path = [], f"/v1/alarms?{query}&limit=1"
        while path:
            _, page = door.ask("GET", path)
            found += [one["resource_id"] for one in page["items"]]
            path = page["next"] and f"/v1/alarms?{query}&limit=1&cursor={page['next']}"
        return found

    assert ids("sort=severity")[0] == "compute-2"
    assert ids("sort=-severity")[-1] == "compute-2"
    assert set(ids("sort=raised_time&state=all")) == set(ids("state=all"))
    assert len(ids("state=all")) == len(set(ids("state=all"))) == 6
    assert set(ids("sort=-raised_time&state=cleared")) == {"compute-3", "vm-3"}
    assert ids("state=changed") == []
    assert len(ids("state=raised")) == 4
    assert ids("event_start_time=2026-03-04T05:06:02Z") == ["compute-2"]
    assert ids("event_end_time=2026-03-04T05:06:00Z") == []
    assert ids("probable_cause=nothing") == []
    assert door.ask("GET", "/v1/alarms?sort=colour")[0] == 422
    assert door.ask("GET", "/v1/alarms?sort=severity&cursor=abc")[0] == 400


def test_a_past_alarm_can_still_be_acknowledged_but_not_shelved(door: Door) -> None:
    """X.733: what nobody has taken notice of is not done with."""
    path = f"/v1/alarms/{alarm_of(door, 'vm-3', 'cleared')['alarm_id']}"
    assert door.ask("PATCH", path, {"action": "acknowledge"})[1]["ack_state"] == "acknowledged"
    assert door.ask("PATCH", path, {"action": "shelve", "until": SOON})[0] == 422
    assert door.ask("PATCH", path, {"action": "clear"})[0] == 200


def test_ageing_can_be_said_and_taken_back(door: Door) -> None:
    usual = {"days": 30.0, "count": None}
    _, before = door.ask("GET", "/v1/settings/ageing")
    assert before == dict.fromkeys(("critical", "major", "minor", "warning", "indeterminate"), usual)
    given = {"critical": {"days": 90, "count": 10_000}}
    status, after = door.ask("PUT", "/v1/settings/ageing", given)
    assert (status, after["critical"], after["minor"]) == (200, {"days": 90.0, "count": 10_000}, usual)
    for wrong, pointer in (
        ({"critical": {"days": 0}}, "/critical/days"),
        ({"cleared": {}}, "/cleared"),
        ({"minor": {"count": -1}}, "/minor/count"),
    ):
        status, problem = door.ask("PUT", "/v1/settings/ageing", wrong)
        assert status == 422
        assert [flaw["pointer"] for flaw in problem["errors"]] == [pointer]
    assert door.ask("GET", "/v1/settings/ageing")[1] == after
    assert door.ask("PUT", "/v1/settings/ageing", {})[1] == before


def test_the_list_is_told_anew_to_those_who_subscribed(door: Door, red: str) -> None:
    _, made = door.ask("POST", "/v1/subscriptions", {}, token=red)
    status, answer = door.ask("POST", "/v1/alarms/rebuild")
    assert (status, answer) == (202, {"subscriptions": 1})
    path = f"/v1/notifications?subscription_id={made['subscription_id']}"
    (told,) = door.ask("GET", path, token=red)[1]["items"]
    assert (told["notification_type"], told["sequence"]) == ("alarm_list_rebuilt", 1)
    assert [one["virtual_resource_id"] for one in told["virtual_resource_info"]] == ["vm-red"]
