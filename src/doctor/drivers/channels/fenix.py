"""What Fenix tells VNF managers and infrastructure of maintenance, so that its clients can be Doctor's.

Two events: ``maintenance.scheduled`` to the manager of a project, in the steps of Fenix' workflow, and ``maintenance.host``
for who looks after hosts. A notification becomes as many of them as Fenix would send: one for each machine that is asked
for, one for the whole otherwise. What Fenix has no word for is not told: its clients take an unknown state for a failure.

    planned            MAINTENANCE, answered by ACK_MAINTENANCE
    no room            SCALE_IN, answered by ACK_SCALE_IN
    started, asked     PREPARE_MAINTENANCE or PLANNED_MAINTENANCE for each machine, answered by its action
    moved              INSTANCE_ACTION_DONE
    the end            MAINTENANCE_COMPLETE
    a host is empty    IN_MAINTENANCE, and MAINTENANCE_COMPLETE when it serves again

They go out as messages on the bus (`doctor.drivers.channels.oslo`), as what Aodh's event alarms POST, or as they are.
"""

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple
from urllib.parse import quote

import msgspec

from doctor.drivers.channels.aodh import DATETIME, LONGEST_TRAIT, STRING, Action, Trait
from doctor.kit.ids import stable_id
from doctor.model.fenix import ACTIONS, SERVICE, Step, step_asking
from doctor.model.maintenance import Deed, GuestState
from doctor.model.notification import NotificationType, Phase, StoredNotification

SCHEDULED, HOST = "maintenance.scheduled", "maintenance.host"
ADMIN = "admin"  # the project that hosts are told to, in Fenix' words
TIME = "%Y-%m-%d %H:%M:%S"


class FenixEvent(NamedTuple):
    """One event; ``message_id`` is the same for every repeat."""

    message_id: str
    event_type: str
    generated: str
    payload: dict[str, Any]


class _Machine(msgspec.Struct):
    virtual_resource_id: str
    state: GuestState
    allowed_actions: list[Deed]


class _Maintenance(msgspec.Struct):
    session_id: str
    phase: Phase
    starts_at: datetime
    reply_by: datetime | None
    deadline: datetime | None
    machines: list[_Machine] = []
    metadata: dict[str, Any] = {}
    moves_again: bool = False
    ends: bool = False
    project_id: str = ""
    emptied: list[str] = []


class _Host(msgspec.Struct):
    physical_resource_id: str


class _Body(msgspec.Struct):
    """As much of a notification as Fenix tells."""

    notification_type: str
    event_time: datetime
    physical_resource_info: list[_Host] = []
    maintenance: _Maintenance | None = None
    links: dict[str, str] = {}


_read = msgspec.json.Decoder(_Body).decode
_encode = msgspec.json.Encoder().encode


def events(notification: StoredNotification) -> list[FenixEvent]:
    """Return the events that tell a notification; none, if there is nothing for Fenix' clients in it."""
    body = _read(notification.body)
    work = body.maintenance
    if body.notification_type != NotificationType.MAINTENANCE or work is None:
        return []
    payloads = _of_hosts(body, work) if not work.project_id else _of_machines(body, work)
    return [
        FenixEvent(
            stable_id("fenix", notification.notification_id, str(index)),
            event_type,
            body.event_time.isoformat(),
            payload,
        )
        for index, (event_type, payload) in enumerate(payloads)
    ]


def _of_machines(body: _Body, work: _Maintenance) -> Iterator[tuple[str, dict[str, Any]]]:
    url = body.links.get("fenix", "")
    in_the_way = [one for one in work.machines if not one.state.is_out_of_the_way]
    has_begun = body.event_time >= work.starts_at
    match work.phase:
        case Phase.SCALE_IN:
            yield _scheduled(work, Step.SCALE_IN, url, url, at=work.reply_by, by=work.reply_by)
        case Phase.PLANNED | Phase.REMINDER if not has_begun:
            yield _scheduled(work, Step.MAINTENANCE, url, url, at=work.starts_at, by=work.starts_at)
        case Phase.PLANNED | Phase.REMINDER | Phase.STARTED:
            state = step_asking(moves_again=work.moves_again)
            for one in in_the_way:
                actions = [ACTIONS[each] for each in one.allowed_actions if each in ACTIONS]
                by = work.reply_by or work.deadline
                yield _scheduled(
                    work, state, [one.virtual_resource_id], _for_one(url, one), at=work.deadline, by=by,
                    actions=actions,
                )  # fmt: skip
        case Phase.MOVED:
            for one in work.machines:
                yield _scheduled(
                    work, Step.INSTANCE_ACTION_DONE, [one.virtual_resource_id], _for_one(url, one)
                )
        case _:
            if work.ends:
                now = body.event_time
                yield _scheduled(work, Step.MAINTENANCE_COMPLETE, url, url, at=now, by=now)


def _for_one(url: str, machine: _Machine) -> str:
    return f"{url}/{quote(machine.virtual_resource_id, safe='')}"


def _scheduled(
    work: _Maintenance,
    state: Step,
    instance_ids: str | list[str],
    reply_url: str,
    *,
    at: datetime | None = None,
    by: datetime | None = None,
    actions: Sequence[str] = (),
) -> tuple[str, dict[str, Any]]:
    return SCHEDULED, {
        "service": SERVICE,
        "allowed_actions": list(actions),
        "instance_ids": instance_ids,
        "reply_url": reply_url,
        "state": state,
        "session_id": work.session_id,
        "reply_at": _shown(by),
        "actions_at": _shown(at),
        "project_id": work.project_id,
        "metadata": work.metadata,
    }


def _of_hosts(body: _Body, work: _Maintenance) -> Iterator[tuple[str, dict[str, Any]]]:
    hosts = [one.physical_resource_id for one in body.physical_resource_info]
    state = Step.IN_MAINTENANCE
    if work.phase in (Phase.OVER, Phase.CANCELLED):
        state, hosts = Step.MAINTENANCE_COMPLETE, [one for one in hosts if one in work.emptied]
    elif work.phase != Phase.EMPTIED:
        return
    for host in hosts:
        yield (
            HOST,
            {
                "service": SERVICE,
                "state": state,
                "session_id": work.session_id,
                "host": host,
                "project_id": ADMIN,
            },
        )


def _shown(moment: datetime | None) -> str | None:
    return None if moment is None else moment.strftime(TIME)


# --- over HTTP ---


def requests(notification: StoredNotification) -> list[Action]:
    """Return the requests that tell a notification by plain HTTP: the events as they are on the bus."""
    return [
        Action(
            one.message_id,
            _encode(
                {
                    "message_id": one.message_id,
                    "publisher_id": SERVICE,
                    "event_type": one.event_type,
                    "priority": "INFO",
                    "timestamp": _blank(one.generated),
                    "payload": one.payload,
                }
            ),
        )
        for one in events(notification)
    ]


def alarms(notification: StoredNotification) -> list[Action]:
    """Return the requests that tell a notification as Aodh's event alarms do."""
    return [_alarm(notification.subscription_id, one) for one in events(notification)]


def _alarm(subscription_id: str, event: FenixEvent) -> Action:
    alarm_id = stable_id("fenix alarm", subscription_id, event.event_type)
    document = {
        "alarm_name": event.event_type,
        "alarm_id": alarm_id,
        "severity": "low",
        "previous": "insufficient data",
        "current": "alarm",
        "reason": f"Event <id={event.message_id},event_type='{event.event_type}'> hits the query <query=[]>.",
        "reason_data": {
            "type": "event",
            "event": {
                "message_id": event.message_id,
                "event_type": event.event_type,
                "generated": _plain(event.generated),
                "traits": [_trait(name, value) for name, value in event.payload.items() if value is not None],
            },
        },
    }
    return Action(event.message_id, _encode(document))


def _trait(name: str, value: Any) -> Trait:
    """Return a trait. Lists and objects are written as Ceilometer does, in the words of Python: so they are read back."""
    if name.endswith("_at"):
        return name, DATETIME, value.replace(" ", "T")
    return name, STRING, str(value)[:LONGEST_TRAIT]


def _plain(moment: str) -> str:
    return moment.partition("+")[0]


def _blank(moment: str) -> str:
    return _plain(moment).replace("T", " ")
