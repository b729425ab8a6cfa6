"""Notifications as Aodh's alarming tells them: an alarm at a time, in the shapes that its Consumers expect."""

from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest

from doctor.drivers.channels.aodh import actions
from doctor.model.notification import NotificationType, StoredNotification


def fault(**changes: Any) -> dict[str, Any]:
    return {
        "alarm_id": "a-1",
        "fault_id": "f-1",
        "fault_type": "host down",
        "alarm_state": "raised",
        "severity": 5,
        "perceived_severity": "critical",
        "event_time": "2026-03-04T05:06:07Z",
        "probable_cause": "underlying resource unavailable",
        "recommended_action": "switch_to_hot_standby",
        **changes,
    }


def virtual(name: str = "vm-1", *faults: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "virtual_resource_id": name,
        "virtual_resource_type": "virtual machine",
        "virtual_resource_state": "error",
        "faults": list(faults or (fault(),)),
        **changes,
    }


def stored(kind: str = "fault", **body: Any) -> StoredNotification:
    return StoredNotification(
        notification_id="n-1",
        subscription_id="s-1",
        sequence=1,
        fault_key="f",
        created=datetime(2026, 3, 4, tzinfo=UTC),
        body=msgspec.json.encode({"notification_type": kind, **body}),
    )


def told(notification: StoredNotification) -> list[dict[str, Any]]:
    return [msgspec.json.decode(action.body) for action in actions(notification)]


def traits(document: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, _, value in document["reason_data"]["event"]["traits"]}


def test_an_alarm_as_the_opnfv_consumer_knows_it() -> None:
    """The fields of Aodh's REST notifier, and the event alarm of OPNFV: an instance whose state is error."""
    (action,) = actions(stored(virtual_resource_info=[virtual()]))
    document = msgspec.json.decode(action.body)
    event = document["reason_data"].pop("event")
    assert document == {
        "alarm_name": "host down: vm-1",
        "alarm_id": "a-1",
        "severity": "critical",
        "previous": "ok",
        "current": "alarm",
        "reason": "virtual machine vm-1 is error: host down, underlying resource unavailable",
        "reason_data": {"type": "event"},
    }
    assert event["traits"][:2] == [["instance_id", 1, "vm-1"], ["state", 1, "error"]]
    assert ["fault_severity", 2, 5] in event["traits"]
    assert ["event_time", 4, "2026-03-04T05:06:07"] in event["traits"]
    assert (event["message_id"], event["event_type"], event["generated"]) == (
        action.action_id,
        "compute.instance.update",
        "2026-03-04T05:06:07",
    )


def test_what_hit_several_is_told_of_each() -> None:
    """And each has an id of its own, the same for every repeat."""
    both = [virtual("vm-1"), virtual("vm-2", fault(), fault(alarm_id="a-2", fault_type="disk aging"))]
    sent = actions(stored(virtual_resource_info=both))
    assert [msgspec.json.decode(one.body)["alarm_name"] for one in sent] == [
        "host down: vm-1",
        "host down: vm-2",
        "disk aging: vm-2",
    ]
    assert len({one.action_id for one in sent}) == 3
    assert sent == actions(stored(virtual_resource_info=both))


@pytest.mark.parametrize(
    ("kind", "alarm_state", "states"),
    [
        ("fault", "raised", ("ok", "alarm")),
        ("fault_changed", "changed", ("alarm", "alarm")),
        ("fault_cleared", "cleared", ("alarm", "ok")),
        ("correction", "cleared", ("alarm", "ok")),
    ],
)
def test_what_happened_to_an_alarm_is_a_change_of_its_state(
    kind: str, alarm_state: str, states: tuple[str, str]
) -> None:
    (document,) = told(stored(kind, virtual_resource_info=[virtual("vm-1", fault(alarm_state=alarm_state))]))
    assert (document["previous"], document["current"]) == states


@pytest.mark.parametrize(
    ("perceived", "severity"),
    [
        ("critical", "critical"),
        ("major", "moderate"),
        ("minor", "moderate"),
        ("warning", "low"),
        ("indeterminate", "low"),
        ("cleared", "low"),
    ],
)
def test_the_severities_of_aodh_are_three(perceived: str, severity: str) -> None:
    (document,) = told(stored(virtual_resource_info=[virtual("vm-1", fault(perceived_severity=perceived))]))
    assert document["severity"] == severity
    assert traits(document)["perceived_severity"] == perceived


@pytest.mark.parametrize(
    ("state", "of_nova"),
    [("normal", "active"), ("error", "error"), ("down", "error"), ("maintenance", "maintenance")],
)
def test_a_machine_is_in_a_state_of_nova(state: str, of_nova: str) -> None:
    (document,) = told(stored(virtual_resource_info=[virtual(virtual_resource_state=state)]))
    assert traits(document)["state"] == of_nova


@pytest.mark.parametrize(
    "resource",
    [
        pytest.param(
            {"virtual_resource_info": [virtual("net-1", virtual_resource_type="virtual network")]},
            id="no-machine",
        ),
        pytest.param(
            {
                "physical_resource_info": [
                    {
                        "physical_resource_id": "net-1",
                        "physical_resource_type": "virtual network",
                        "physical_resource_state": "error",
                        "faults": [fault()],
                    }
                ]
            },
            id="physical",
        ),
    ],
)
def test_what_is_no_machine_is_an_event_of_doctor(resource: dict[str, Any]) -> None:
    (document,) = told(stored(**resource))
    assert document["reason_data"]["event"]["event_type"] == "doctor.fault"
    found = traits(document)
    assert (found["resource_id"], found["resource_type"], found["state"]) == (
        "net-1",
        "virtual network",
        "error",
    )
    assert "instance_id" not in found


@pytest.mark.parametrize(
    "kind",
    sorted(
        set(NotificationType)
        - {
            NotificationType.FAULT,
            NotificationType.FAULT_CHANGED,
            NotificationType.FAULT_CLEARED,
            NotificationType.CORRECTION,
        }
    ),
)
def test_what_aodh_has_no_word_for_is_not_told(kind: str) -> None:
    """Its Consumers take whatever comes for an alarm, and would switch over at a heartbeat."""
    assert actions(stored(kind, virtual_resource_info=[virtual()])) == []


def test_traits_are_no_longer_than_receivers_can_take() -> None:
    (document,) = told(stored(virtual_resource_info=[virtual("v" * 300, fault(probable_cause="c" * 400))]))
    assert {len(traits(document)[name]) for name in ("instance_id", "probable_cause")} == {255}
    assert len(document["alarm_name"]) == 255
