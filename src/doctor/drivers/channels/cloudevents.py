"""The CloudEvents format (1.0, structured mode): the notification is the ``data`` of an event.

The stored body stays what it is; it is wrapped when it is sent, so that every repeat is the same bytes.
"""

import msgspec

from doctor.model.notification import StoredNotification

CONTENT_TYPE = "application/cloudevents+json"


class _Resource(msgspec.Struct):
    virtual_resource_id: str = ""
    physical_resource_id: str = ""


class _Body(msgspec.Struct):
    """As much of a notification as the envelope repeats."""

    notification_type: str
    sent_time: str
    virtual_resource_info: list[_Resource] = []
    physical_resource_info: list[_Resource] = []


class CloudEvent(msgspec.Struct, kw_only=True):
    """The envelope. ``subject`` is the resource if it is one, else the subscription."""

    specversion: str = "1.0"
    id: str
    source: str
    type: str
    subject: str
    time: str
    datacontenttype: str = "application/json"
    data: msgspec.Raw


_read = msgspec.json.Decoder(_Body).decode
_write = msgspec.json.Encoder().encode


def wrap(notification: StoredNotification, source: str) -> bytes:
    """Return the event that carries a notification; ``source`` is the address of this Doctor, or empty."""
    body = _read(notification.body)
    resources = [*body.virtual_resource_info, *body.physical_resource_info]
    subject = notification.subscription_id
    if len(resources) == 1:
        subject = resources[0].virtual_resource_id or resources[0].physical_resource_id
    return _write(
        CloudEvent(
            id=notification.notification_id,
            source=f"{source}/v1/subscriptions/{notification.subscription_id}",
            type=f"org.doctor.{body.notification_type}",
            subject=subject,
            time=body.sent_time,
            data=msgspec.Raw(notification.body),
        )
    )
