"""What a notification says of maintenance, and who is told [D 3.4.2, 5.5.1; figures 3.4, 3.5].

Owners hear of their own machines and of no host; the Administrator hears of his hosts. Where somebody listens as Fenix'
clients do, a subscription of the Administrator hears of the machines of each owner as well: it stands for a message bus.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from urllib.parse import quote

import msgspec
from msgspec.structs import replace

from doctor.kit.ids import stable_id
from doctor.model.maintenance import Deed, Guest, GuestState, HostWork, Session, SessionState
from doctor.model.notification import (
    MachineMaintenance,
    MaintenanceInfo,
    Notification,
    NotificationType,
    Phase,
    PhysicalResourceInfo,
    WantedRoom,
)
from doctor.model.resource import HOST, VIRTUAL_MACHINE
from doctor.model.subscription import EventKind, Subscription
from doctor.notifier.matching import resource_matches
from doctor.notifier.message import Describer

encode = msgspec.json.Encoder().encode

Allowed = Mapping[str, tuple[Deed, ...]]  # what may be answered for which machines


FENIX_DOORS = "/maintenance/v1"  # where Doctor answers as Fenix does


def hear_for_owners(
    subscriptions: Iterable[Subscription], administrators: Iterable[Subscription]
) -> Iterator[Subscription]:
    """Return which subscriptions hear what is said to an owner, whose ``subscriptions`` these are."""
    for one in (*subscriptions, *(one for one in administrators if one.speaks_fenix)):
        if one.filter.asks_for(EventKind.MAINTENANCE, one.project):
            yield one


def owners_told(
    guests: Sequence[Guest], subscriptions: Iterable[Subscription], administrators: Iterable[Subscription]
) -> Iterator[tuple[Subscription, tuple[Guest, ...]]]:
    """Return which subscriptions hear of machines of an owner, and of which."""
    for one in hear_for_owners(subscriptions, administrators):
        own = tuple(
            guest for guest in guests if resource_matches(one.filter, guest.resource_id, VIRTUAL_MACHINE)
        )
        if own:
            yield one, own


def administrators_told(subscriptions: Iterable[Subscription]) -> Iterator[Subscription]:
    """Return which subscriptions of the Administrator hear of maintenance."""
    return (one for one in subscriptions if one.filter.asks_for(EventKind.MAINTENANCE, one.project))


def write_maintenance(
    subscription: Subscription,
    session: Session,
    phase: Phase,
    describer: Describer,
    *,
    sequence: int,
    now: datetime,
    occasion: str,
    owner: str | None = None,
    guests: Sequence[Guest] = (),
    works: Sequence[HostWork] = (),
    allowed: Allowed | None = None,
    moves_again: bool = False,
    ends: bool = False,
) -> tuple[str, bytes]:
    """Return id and body of a MaintenanceNotification: of machines of an ``owner``, of hosts where there is none.

    ``occasion`` tells apart what a phase says more than once. ``moves_again`` and ``ends`` are as of a `MaintenanceInfo`.
    """
    is_owner = owner is not None
    whose = (owner,) if is_owner and subscription.project is None else ()
    notification_id = stable_id(
        "notification", subscription.subscription_id, session.session_id, phase, occasion, *whose
    )
    doors = f"{describer.public_url}/v1"
    replies = f"{doors}/maintenance/{session.session_id}/replies"
    links = {
        "maintenance": f"{doors}/maintenance/{session.session_id}",
        "instructions": f"{doors}/instructions",
        "handled": f"{doors}/notifications/{notification_id}/handled",
    }
    if owner is not None and subscription.speaks_fenix:
        of_owner = f"{session.session_id}/{quote(owner, safe='')}"
        links["fenix"] = f"{describer.own_url}{FENIX_DOORS}/maintenance/{of_owner}"
    info = _info(session, phase, guests, works, allowed or {}, replies, is_owner=is_owner)
    message = Notification(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=NotificationType.MAINTENANCE,
        event_time=now,
        sent_time=now,
        physical_resource_info=() if is_owner else hosts_of(works, describer),
        virtual_resource_info=tuple(
            describer.former(one.resource_id, VIRTUAL_MACHINE, (), one.owner) for one in guests
        ),
        maintenance=replace(info, moves_again=moves_again, ends=ends, project_id=owner or ""),
        links=links,
    )
    return notification_id, encode(message)


def write_response(session: Session, works: Sequence[HostWork], describer: Describer) -> tuple[str, bytes]:
    """Return id and body of the StateChangeResponse, the one answer that a session gives [D 5.5.2]."""
    body = {
        "session_id": session.session_id,
        "result": "done" if session.state is SessionState.DONE else "failed",
        "reason": session.outcome or None,
        "physical_resource_info": hosts_of(works, describer),
    }
    return stable_id("state change response", session.session_id), encode(body)


def hosts_of(works: Iterable[HostWork], describer: Describer) -> tuple[PhysicalResourceInfo, ...]:
    """Return the hosts of a session as they are now, for the Administrator."""
    return tuple(describer.physical(one.host, HOST, ()) for one in works)


def _info(
    session: Session,
    phase: Phase,
    guests: Sequence[Guest],
    works: Sequence[HostWork],
    allowed: Allowed,
    replies: str,
    *,
    is_owner: bool,
) -> MaintenanceInfo:
    open_ = [one for one in guests if not one.state.is_out_of_the_way]
    common = [
        deed for deed in Deed if open_ and all(deed in allowed.get(one.resource_id, ()) for one in open_)
    ]
    wanted = session.scale_in if phase is Phase.SCALE_IN else None
    asked = [] if wanted is None else [wanted.until]
    asked += [one.reply_by for one in guests if one.state is GuestState.ASKED and one.reply_by is not None]
    deadlines = [one.deadline for one in works if one.deadline is not None]
    return MaintenanceInfo(
        session_id=session.session_id,
        phase=phase,
        starts_at=session.starts,
        reply_by=min(asked, default=None),
        deadline=min(deadlines, default=session.starts + session.timeout),
        reason=session.reason,
        allowed_actions=tuple(common),
        reply_to=replies,
        machines=tuple(
            MachineMaintenance(
                virtual_resource_id=one.resource_id,
                state=one.state,
                action=one.deed,
                decided_by=one.decided_by,
                allowed_actions=allowed.get(one.resource_id, ()),
                reason=one.reason or None,
            )
            for one in guests
        ),
        metadata=session.metadata,
        emptied=() if is_owner else tuple(one.host for one in works if one.emptied is not None),
        result="" if is_owner or phase is not Phase.RESULT else session.state,
        outcome="" if is_owner else session.outcome,
        scale_in=None if wanted is None else WantedRoom(vcpus=wanted.vcpus, memory_mb=wanted.memory_mb),
    )
