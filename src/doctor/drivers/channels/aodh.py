"""The Aodh format: what Aodh's alarming POSTs to an ``alarm_action``, so that its Consumers can be Doctor's.

Aodh tells of one alarm at a time: a notification becomes one request for each. What Aodh has no word for (capacity,
heartbeats and the like) is not told, since these Consumers take whatever comes for an alarm.
"""

from typing import Any, NamedTuple

import msgspec

from doctor.kit.ids import stable_id
from doctor.model.notification import NotificationType, StoredNotification

TOLD = frozenset(
    {
        NotificationType.FAULT,
        NotificationType.FAULT_CHANGED,
        NotificationType.FAULT_CLEARED,
        NotificationType.CORRECTION,
    }
)
STRING, INTEGER, DATETIME = 1, 2, 4  # the types of traits
LONGEST_TRAIT = 255  # longer ones broke receivers
MACHINE = "virtual machine"
INSTANCE_EVENT = "compute.instance.update"  # what event alarms on Nova's machines are made for

# (previous, current) state of the alarm, by what happened to it.
STATES = {"raised": ("ok", "alarm"), "changed": ("alarm", "alarm"), "cleared": ("alarm", "ok")}
SEVERITIES = {"critical": "critical", "major": "moderate", "minor": "moderate"}  # all others are low
INSTANCE_STATES = {"normal": "active", "down": "error"}  # as Nova calls them; the others are called the same

Trait = tuple[str, int, Any]


class Action(NamedTuple):
    """One request: ``action_id`` is the same for every repeat."""

    action_id: str
    body: bytes


class _Fault(msgspec.Struct):
    alarm_id: str
    fault_id: str
    fault_type: str
    alarm_state: str
    severity: int
    perceived_severity: str
    event_time: str
    probable_cause: str
    recommended_action: str


class _Physical(
    msgspec.Struct, rename=lambda name: name if name == "faults" else f"physical_resource_{name}"
):
    id: str
    type: str
    state: str
    faults: list[_Fault] = []


class _Virtual(msgspec.Struct, rename=lambda name: name if name == "faults" else f"virtual_resource_{name}"):
    id: str
    type: str
    state: str
    faults: list[_Fault] = []


class _Body(msgspec.Struct):
    """As much of a notification as Aodh tells."""

    notification_type: str
    physical_resource_info: list[_Physical] = []
    virtual_resource_info: list[_Virtual] = []


_read = msgspec.json.Decoder(_Body).decode
_encode = msgspec.json.Encoder().encode


def actions(notification: StoredNotification) -> list[Action]:
    """Return the requests that tell a notification; none, if there is nothing for Aodh in it."""
    body = _read(notification.body)
    if body.notification_type not in TOLD:
        return []
    resources: list[_Physical | _Virtual] = [*body.virtual_resource_info, *body.physical_resource_info]
    return [
        _action(notification.notification_id, body.notification_type, resource, fault)
        for resource in resources
        for fault in resource.faults
    ]


def _action(notification_id: str, kind: str, resource: _Physical | _Virtual, fault: _Fault) -> Action:
    action_id = stable_id("aodh", notification_id, resource.id, fault.alarm_id)
    previous, current = STATES[fault.alarm_state]
    document = {
        "alarm_name": f"{fault.fault_type}: {resource.id}"[:LONGEST_TRAIT],
        "alarm_id": fault.alarm_id,
        "severity": SEVERITIES.get(fault.perceived_severity, "low"),
        "previous": previous,
        "current": current,
        "reason": f"{resource.type} {resource.id} is {resource.state}: {fault.fault_type}, {fault.probable_cause}",
        "reason_data": {
            "type": "event",
            "event": {
                "message_id": action_id,
                "event_type": INSTANCE_EVENT if resource.type == MACHINE else f"doctor.{kind}",
                "generated": fault.event_time.removesuffix("Z"),
                "traits": [*_traits_of(resource), *_traits_of_fault(notification_id, fault)],
            },
        },
    }
    return Action(action_id, _encode(document))


def _traits_of(resource: _Physical | _Virtual) -> list[Trait]:
    if resource.type == MACHINE:
        state = INSTANCE_STATES.get(resource.state, resource.state)
        return [_text("instance_id", resource.id), _text("state", state)]
    return [
        _text("resource_id", resource.id),
        _text("resource_type", resource.type),
        _text("state", resource.state),
    ]


def _traits_of_fault(notification_id: str, fault: _Fault) -> list[Trait]:
    return [
        _text("notification_id", notification_id),
        _text("fault_id", fault.fault_id),
        _text("fault_type", fault.fault_type),
        _text("perceived_severity", fault.perceived_severity),
        ("fault_severity", INTEGER, fault.severity),
        _text("probable_cause", fault.probable_cause),
        _text("recommended_action", fault.recommended_action),
        ("event_time", DATETIME, fault.event_time.removesuffix("Z")),
    ]


def _text(name: str, value: str) -> Trait:
    return name, STRING, value[:LONGEST_TRAIT]
