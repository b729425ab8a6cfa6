"""Notifications in the words of the bus: the envelope of oslo.messaging 2.0, one message for each alarm.

What listens there makes flat traits of a payload, so that what concerns ten machines is ten messages. Ids come from
content: a message that is sent again is the same, and oslo.messaging drops it.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import msgspec

from doctor.drivers.channels import fenix
from doctor.kit.ids import stable_id
from doctor.model.notification import StoredNotification

VERSION = "2.0"
PRIORITY = "INFO"  # as Nova sends its own: one queue, so that the order is kept

_encode = msgspec.json.Encoder().encode


class OsloMessage(NamedTuple):
    """A message for the bus."""

    message_id: str
    event_type: str
    body: bytes


class _Body(msgspec.Struct):
    """A notification as far as it is told apart here."""

    notification_type: str
    event_time: str
    sent_time: str
    physical_resource_info: list[dict[str, Any]] = []
    virtual_resource_info: list[dict[str, Any]] = []


_read = msgspec.json.Decoder(_Body).decode


def messages(notification: StoredNotification, publisher_id: str) -> Iterator[OsloMessage]:
    """Return what the bus is told of a notification: each alarm for itself, anything else as it is.

    Written as they are taken, so that a long one can be sent in parts.
    """
    body = _read(notification.body)
    event_type = f"doctor.{body.notification_type}"
    same = {
        "notification_id": notification.notification_id,
        "notification_type": body.notification_type,
        "event_time": body.event_time,
        "sent_time": body.sent_time,
    }
    for key, payload in _alarms(body) or [("", msgspec.json.decode(notification.body))]:
        message_id = stable_id("bus", notification.notification_id, key)
        yield _message(message_id, event_type, {**same, **payload}, publisher_id, body.sent_time)


def fenix_messages(notification: StoredNotification, publisher_id: str) -> Iterator[OsloMessage]:
    """Return what the bus is told of maintenance, as Fenix tells it."""
    for one in fenix.events(notification):
        yield _message(one.message_id, one.event_type, one.payload, publisher_id, one.generated)


def _alarms(body: _Body) -> list[tuple[str, dict[str, Any]]]:
    """Return each alarm with what it is on, under a key that no other alarm of the notification has."""
    described = [
        *((_described("physical", one), one["faults"]) for one in body.physical_resource_info),
        *((_described("virtual", one), one["faults"]) for one in body.virtual_resource_info),
    ]
    return [
        (f"{resource['resource_id']} {fault['alarm_id']}", {**resource, **fault})
        for resource, faults in described
        for fault in faults
    ]


def _described(kind: str, resource: dict[str, Any]) -> dict[str, Any]:
    """Return a resource under names that are the same for physical and virtual ones.

    ``tenant_id`` is the name by which Ceilometer looks for the owner.
    """
    described: dict[str, Any] = {
        "resource_id": resource[f"{kind}_resource_id"],
        "resource_type": resource[f"{kind}_resource_type"],
        "resource_state": resource[f"{kind}_resource_state"],
        "isolation": resource["isolation"],
    }
    if kind == "physical":
        return {**described, "zone_id": resource["zone_id"], "metadata": resource["metadata"]}
    location, project = resource["location"], resource.get("project_id")
    return {
        **described,
        "project_id": project,
        "tenant_id": project,
        "host_status": resource["host_status"],
        "host": location.get("physical_resource_id"),
        "zone_id": location.get("zone_id"),
    }


def _message(
    message_id: str, event_type: str, payload: dict[str, Any], publisher_id: str, sent_time: str
) -> OsloMessage:
    """Put a payload into the envelope: a text of JSON within JSON."""
    message = {
        "message_id": message_id,
        "publisher_id": publisher_id,
        "event_type": event_type,
        "priority": PRIORITY,
        "payload": payload,
        "timestamp": sent_time.replace("T", " ").removesuffix("Z").removesuffix("+00:00"),
        "_unique_id": message_id.replace("-", ""),
    }
    body = {"oslo.version": VERSION, "oslo.message": _encode(message).decode()}
    return OsloMessage(message_id, event_type, _encode(body))
