"""Maintenance as Fenix tells it: which events a notification becomes, in the shapes that its clients read."""

import ast
from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from doctor.drivers.channels.fenix import alarms, events, requests
from doctor.drivers.channels.oslo.envelope import fenix_messages
from doctor.model.notification import StoredNotification

URL = "http://doctor:1/maintenance/v1/maintenance/s-1/red"


def machine(name: str = "vm-1", state: str = "asked", *actions: str) -> dict[str, Any]:
    return {
        "virtual_resource_id": name,
        "state": state,
        "allowed_actions": list(actions or ("migrate", "live_migrate", "stop", "own_action", "leave")),
    }


def stored(phase: str = "started", *machines: dict[str, Any], **more: Any) -> StoredNotification:
    work = {
        "session_id": "s-1",
        "phase": phase,
        "starts_at": "2026-03-04T05:06:07Z",
        "reply_by": "2026-03-04T05:20:00Z",
        "deadline": "2026-03-04T05:36:07Z",
        "metadata": {"openstack_version": "Queens"},
        "project_id": "red",
        "machines": list(machines),
        **more,
    }
    hosts = [{"physical_resource_id": name} for name in more.pop("hosts", ())]
    body = {
        "notification_type": "maintenance",
        "event_time": more.pop("now", "2026-03-04T05:06:07Z"),
        "physical_resource_info": hosts,
        "maintenance": work,
        "links": {"fenix": URL},
    }
    return StoredNotification(
        notification_id="n-1",
        subscription_id="sub-1",
        sequence=1,
        fault_key="",
        created=datetime(2026, 3, 4, tzinfo=UTC),
        body=msgspec.json.encode(body),
    )


def told(notification: StoredNotification) -> list[dict[str, Any]]:
    return [one.payload for one in events(notification)]


def test_the_first_word_is_of_the_whole_and_has_an_address_for_the_machines() -> None:
    (one,) = told(stored("planned", machine(), machine("vm-2"), now="2026-03-04T04:00:00Z"))
    assert one == {
        "service": "fenix",
        "allowed_actions": [],
        "instance_ids": URL,
        "reply_url": URL,
        "state": "MAINTENANCE",
        "session_id": "s-1",
        "reply_at": "2026-03-04 05:06:07",
        "actions_at": "2026-03-04 05:06:07",
        "project_id": "red",
        "metadata": {"openstack_version": "Queens"},
    }


def test_each_machine_that_is_in_the_way_is_asked_for_by_itself() -> None:
    notification = stored(
        "started", machine("vm 1"), machine("vm-2", "agreed", "migrate"), machine("vm-3", "away")
    )
    first, second = told(notification)
    assert (first["state"], first["instance_ids"], first["reply_url"]) == (
        "PLANNED_MAINTENANCE",
        ["vm 1"],
        f"{URL}/vm%201",
    )
    assert (first["allowed_actions"], first["reply_at"], first["actions_at"]) == (
        ["MIGRATE", "LIVE_MIGRATE", "OWN_ACTION"],
        "2026-03-04 05:20:00",
        "2026-03-04 05:36:07",
    )
    assert (second["instance_ids"], second["allowed_actions"]) == (["vm-2"], ["MIGRATE"])
    ids = [one.message_id for one in events(notification)]
    assert len(set(ids)) == 2
    assert ids == [one.message_id for one in events(notification)]


@pytest.mark.parametrize(
    ("notification", "states"),
    [
        pytest.param(stored("started", machine(), moves_again=True), ["PREPARE_MAINTENANCE"], id="prepared"),
        pytest.param(stored("planned", machine()), ["PLANNED_MAINTENANCE"], id="newcomer"),
        pytest.param(stored("scale_in"), ["SCALE_IN"], id="no-room"),
        pytest.param(stored("reminder", machine()), ["PLANNED_MAINTENANCE"], id="reminded"),
        pytest.param(
            stored("reminder", machine(), now="2026-03-04T04:00:00Z"), ["MAINTENANCE"], id="reminded-before"
        ),
        pytest.param(
            stored("moved", machine("a", "away"), machine("b", "stopped")), ["INSTANCE_ACTION_DONE"] * 2, id="moved"
        ),
        pytest.param(stored("over", machine("a", "away"), ends=True), ["MAINTENANCE_COMPLETE"], id="end"),
        pytest.param(stored("failed", machine("a", "stays"), ends=True), ["MAINTENANCE_COMPLETE"], id="failed"),
        pytest.param(stored("over", machine("a", "away")), [], id="others-go-on"),
        pytest.param(stored("emptied", project_id="", hosts=["h"]), ["IN_MAINTENANCE"], id="empty"),
        pytest.param(
            stored("over", project_id="", hosts=["h"], emptied=["h"]), ["MAINTENANCE_COMPLETE"], id="back"
        ),
        pytest.param(
            stored("cancelled", project_id="", hosts=["h", "g"], emptied=["g"]),
            ["MAINTENANCE_COMPLETE"],
            id="only-what-was-in-maintenance-ends",
        ),
        pytest.param(stored("started", project_id="", hosts=["h"]), [], id="host-begins"),
        pytest.param(stored("failed", project_id="", hosts=["h"]), [], id="host-given-up"),
    ],
)  # fmt: skip
def test_what_becomes_of_a_phase(notification: StoredNotification, states: list[str]) -> None:
    assert [one["state"] for one in told(notification)] == states


def test_of_faults_and_all_else_fenix_says_nothing() -> None:
    body = {"notification_type": "fault", "event_time": "2026-03-04T05:06:07Z"}
    notification = msgspec.structs.replace(stored(), body=msgspec.json.encode(body))
    assert (events(notification), alarms(notification), requests(notification)) == ([], [], [])


def test_an_alarm_of_aodh_has_traits_that_are_read_back_as_text() -> None:
    (action,) = alarms(stored("started", machine()))
    document = msgspec.json.decode(action.body)
    event = document["reason_data"]["event"]
    assert (document["current"], document["alarm_name"], event["event_type"], event["message_id"]) == (
        "alarm",
        "maintenance.scheduled",
        "maintenance.scheduled",
        action.action_id,
    )
    traits = {name: (kind, value) for name, kind, value in event["traits"]}
    assert traits["reply_at"] == (4, "2026-03-04T05:20:00")
    assert {kind for name, (kind, _) in traits.items() if not name.endswith("_at")} == {1}
    assert ast.literal_eval(traits["instance_ids"][1]) == ["vm-1"]
    assert ast.literal_eval(traits["metadata"][1]) == {"openstack_version": "Queens"}
    (moved,) = alarms(stored("moved", machine("vm-1", "away")))
    names = [name for name, _, _ in msgspec.json.decode(moved.body)["reason_data"]["event"]["traits"]]
    assert "reply_at" not in names


def test_by_plain_http_and_on_the_bus_it_is_the_same_event() -> None:
    notification = stored("started", machine())
    (plain,) = requests(notification)
    (message,) = fenix_messages(notification, "fenix")
    envelope = msgspec.json.decode(message.body)
    assert envelope["oslo.version"] == "2.0"
    inner = msgspec.json.decode(envelope["oslo.message"])
    assert {key: inner[key] for key in inner if key != "_unique_id"} == msgspec.json.decode(plain.body)
    assert (inner["publisher_id"], inner["event_type"], inner["timestamp"]) == (
        "fenix",
        "maintenance.scheduled",
        "2026-03-04 05:06:07",
    )
