"""Notifications as CloudEvents 1.0 (structured mode)."""

from datetime import UTC, datetime

import msgspec
import pytest

from doctor.drivers.channels.cloudevents import wrap
from doctor.model.notification import StoredNotification


def stored(**body: object) -> StoredNotification:
    said = {"notification_type": "fault", "sent_time": "2026-03-04T05:06:07.1Z", **body}
    return StoredNotification(
        notification_id="n-1",
        subscription_id="s-1",
        sequence=1,
        fault_key="f",
        created=datetime(2026, 3, 4, tzinfo=UTC),
        body=msgspec.json.encode(said),
    )


@pytest.mark.requirement("E26")
def test_the_stored_body_is_the_data_to_the_letter() -> None:
    """[I-4] And every repeat is the same bytes."""
    notification = stored(virtual_resource_info=[{"virtual_resource_id": "vm-1", "faults": []}])
    event = wrap(notification, "https://doctor.example")
    assert event == wrap(notification, "https://doctor.example")
    assert notification.body in event
    assert {name: value for name, value in msgspec.json.decode(event).items() if name != "data"} == {
        "specversion": "1.0",
        "id": "n-1",
        "source": "https://doctor.example/v1/subscriptions/s-1",
        "type": "org.doctor.fault",
        "subject": "vm-1",
        "time": "2026-03-04T05:06:07.1Z",
        "datacontenttype": "application/json",
    }


@pytest.mark.parametrize(
    ("body", "subject"),
    [
        pytest.param(
            {"physical_resource_info": [{"physical_resource_id": "compute-1"}]}, "compute-1", id="host"
        ),
        pytest.param(
            {"virtual_resource_info": [{"virtual_resource_id": "a"}, {"virtual_resource_id": "b"}]},
            "s-1",
            id="several",
        ),
        pytest.param({}, "s-1", id="heartbeat"),
    ],
)
def test_the_subject_is_the_resource_if_it_is_one(body: dict[str, object], subject: str) -> None:
    event = msgspec.json.decode(wrap(stored(**body), ""))
    assert (event["subject"], event["source"]) == (subject, "/v1/subscriptions/s-1")
