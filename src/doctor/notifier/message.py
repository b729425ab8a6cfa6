"""What a notification says.

In comes which alarms somebody is to be told of, with what is known of the resources; out goes the `Notification`
as the Consumer reads it. Owners get an abstraction (no host names, no details of the hardware), the Administrator
everything [D 3.3.4].
"""

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from hashlib import blake2b
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from doctor.kit.ids import stable_id
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault, ResourceState, Severity
from doctor.model.notification import (
    FaultInfo,
    Location,
    Notification,
    NotificationType,
    PhysicalResourceInfo,
    VimInfo,
    VirtualResourceInfo,
)
from doctor.model.resource import HOST, HostStatus, Isolation, MaintenanceState, PhysicalResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Acknowledge, Subscription

encode = msgspec.json.Encoder().encode

CORRECTED = "the resource map was wrong or is another one now: this fault does not concern you"
MEANING = (
    "As long as it lasts, its part of the cloud may not start, move or heal machines, and may be late in telling of"
    " faults. What runs goes on running."
)

_SERVICE = re.compile(
    r"[a-z][a-z0-9]*([-_ ][a-z0-9]+){0,4}"
)  # nova-compute, and not nova-compute@host.example
_PLACE = "\x1fhere\x1f"  # no id has control characters
_PLACE_WRITTEN = encode(_PLACE)
_LOCATION = b'"location":'  # of no text, where the quotes would be escaped


class Outlook(NamedTuple):
    """How a host is, whoever asks; of a machine without a host, how nowhere is."""

    zone_id: str | None
    host_status: HostStatus
    isolation: Isolation


Outlooks = dict[str, Outlook]
Isolations = Mapping[str, Isolation]  # of the hosts whose isolation is known, by id
Place = tuple[
    Outlook, bytes
]  # how the host of a machine is, and the location in JSON as one viewer may know it

NOWHERE = Outlook(None, HostStatus.NONE, Isolation.NOT_REQUIRED)


class _Written(Notification, frozen=True, kw_only=True, omit_defaults=True):
    """A notification whose virtual side is JSON already."""

    virtual_resource_info: msgspec.Raw | tuple[()] = ()  # type: ignore[assignment]


class Describer:
    """Describes resources and faults as one project, or the Administrator (None), may see them.

    Made for one answer or one step of a flow: it remembers each host that it has described. Links begin with
    ``public_url``; without one they are paths. ``outlooks`` is what the describers for several viewers remember
    together; ``isolations`` is how far the isolation of faulty hosts got.
    """

    def __init__(
        self,
        viewer: str | None,
        resources: ResourceMap,
        book: AlarmBook,
        secret: bytes,
        *,
        public_url: str = "",
        outlooks: Outlooks | None = None,
        isolations: Isolations | None = None,
    ) -> None:
        self.public_url = public_url
        self._viewer = viewer
        self.resources = resources
        self.book = book
        self._digest = _digest_for(viewer, secret)
        self._outlooks: Outlooks = {} if outlooks is None else outlooks
        self._isolations: Isolations = {} if isolations is None else isolations
        self._places: dict[str | None, Place] = {}

    def virtual(
        self, resource_id: str, resource_type: str, faults: tuple[FaultInfo, ...]
    ) -> VirtualResourceInfo:
        """Return VirtualResourceInfoClass of a resource as it is now."""
        machine = self.resources.virtual.get(resource_id)
        host = None if machine is None else machine.host
        outlook = self._outlook(host)
        return VirtualResourceInfo(
            virtual_resource_id=resource_id,
            virtual_resource_type=resource_type,
            virtual_resource_state=self.book.state_of(resource_id),
            host_status=outlook.host_status,
            location=self._location(host, outlook),
            isolation=outlook.isolation,
            faults=faults,
        )

    def former(
        self, resource_id: str, resource_type: str, faults: tuple[FaultInfo, ...]
    ) -> VirtualResourceInfo:
        """Return a resource that may have been the viewer's once: how it is now, and where, is then its own affair."""
        machine = self.resources.virtual.get(resource_id)
        if self._viewer is None or (machine is not None and machine.owner == self._viewer):
            return self.virtual(resource_id, resource_type, faults)
        return VirtualResourceInfo(
            virtual_resource_id=resource_id,
            virtual_resource_type=resource_type,
            virtual_resource_state=ResourceState.NORMAL,
            host_status=NOWHERE.host_status,
            location=self._location(None, NOWHERE),
            isolation=NOWHERE.isolation,
            faults=faults,
        )

    def physical(
        self, resource_id: str, resource_type: str, faults: tuple[FaultInfo, ...]
    ) -> PhysicalResourceInfo:
        """Return PhysicalResourceInfoClass of a resource as it is now; also of one that no map knows."""
        resource = self.resources.physical.get(resource_id) or PhysicalResource(
            id=resource_id, type=resource_type
        )
        state = self.book.state_of(resource_id)
        return PhysicalResourceInfo(
            physical_resource_id=resource_id,
            physical_resource_type=resource.type,
            physical_resource_state=state,
            maintenance_state=MaintenanceState.ENABLED,
            zone_id=resource.zone_id,
            firmware_version=resource.firmware_version,
            hypervisor_version=resource.hypervisor_version,
            update_status=resource.update_status,
            isolation=self.isolation_of(resource_id),
            metadata=resource.metadata,
            faults=faults,
        )

    def fault(self, record: AlarmedFault, alarm: Alarm) -> FaultInfo:
        """Return FaultClass of one alarm."""
        fault = record.fault
        is_open = alarm.cleared_time is None
        severity = alarm.severity if is_open else Severity.CLEARED
        everything = self._viewer is None
        return FaultInfo(
            alarm_id=alarm.alarm_id,
            fault_id=alarm.fault_id,
            fault_type=fault.fault_type,
            alarm_state=alarm.alarm_state,
            severity=int(severity),
            perceived_severity=severity.perceived,
            event_time=fault.event_time,
            raised_time=alarm.raised_time,
            changed_time=alarm.changed_time,
            cleared_time=alarm.cleared_time,
            probable_cause=fault.probable_cause,
            is_root_cause=alarm.is_root_cause,
            correlated_fault_id=_correlated(record, alarm) if everything else (),
            recommended_action=fault.recommended_action,
            fault_details=fault.details if everything and alarm.is_root_cause else {},
        )

    def isolation_of(self, resource_id: str | None) -> Isolation:
        """Return whether a host can still do harm; of whatever is no host nobody cuts off anything."""
        if resource_id is None or not is_out(self.book.state_of(resource_id)):
            return Isolation.NOT_REQUIRED
        resource = self.resources.physical.get(resource_id)
        if resource is not None and resource.type != HOST:
            return Isolation.NOT_REQUIRED
        return self._isolations.get(resource_id, Isolation.PENDING)

    def place(self, host: str | None) -> Place:
        """Return where a machine on this host is."""
        place = self._places.get(host)
        if place is None:
            outlook = self._outlook(host)
            self._places[host] = place = outlook, encode(self._location(host, outlook))
        return place

    def _location(self, host: str | None, outlook: Outlook) -> Location:
        return Location(
            zone_id=outlook.zone_id,
            host_ref=None if host is None else _ref(self._digest, host),
            physical_resource_id=host if self._viewer is None else None,
        )

    def _outlook(self, host: str | None) -> Outlook:
        if host is None:
            return NOWHERE
        outlook = self._outlooks.get(host)
        if outlook is None:
            resource = self.resources.physical.get(host)
            state = self.book.state_of(host)
            zone_id = resource.zone_id if resource else None
            isolation = self.isolation_of(host)
            outlook = _shared(Outlook(zone_id, host_status(state, isolation), isolation))
            self._outlooks[host] = outlook
        return outlook


class MachineWriter:
    """Writes, quickly, the JSON of `Describer.virtual` with the alarm of one fault, machine after machine.

    Thousands of machines differ in little but their ids and places. The first is encoded whole; those after it that
    are like it are made from its JSON, by putting in their ids and places. What makes them alike is compared by
    identity: unlike ones are only encoded anew.
    """

    def __init__(self, describer: Describer, record: AlarmedFault) -> None:
        self._describer = describer
        self._record = record
        self._machine_of = describer.resources.virtual.get
        self._state_of = describer.book.state_of
        self._like: tuple[Alarm, ResourceState, Outlook] | None = None
        self._parts = (b"", b"", b"", b"")

    def write(self, alarm: Alarm) -> bytes:
        """Return the JSON of one machine."""
        resource_id = alarm.resource_id
        machine = self._machine_of(resource_id)
        outlook, location = self._describer.place(None if machine is None else machine.host)
        state = self._state_of(resource_id)
        if not self._is_alike(alarm, state, outlook):
            self._parts = self._split(alarm, location)
            self._like = alarm, state, outlook
        head, middle, end, tail = self._parts
        return b"%b%b%b%b%b%b%b" % (
            head,
            encode(resource_id),
            middle,
            location,
            end,
            encode(alarm.alarm_id),
            tail,
        )

    def _is_alike(self, alarm: Alarm, state: ResourceState, outlook: Outlook) -> bool:
        if self._like is None:
            return False
        other, other_state, other_outlook = self._like
        return (
            outlook is other_outlook
            and state is other_state
            and alarm.severity is other.severity
            and alarm.changed_time is other.changed_time
            and alarm.raised_time is other.raised_time
            and alarm.is_root_cause is other.is_root_cause
            and alarm.fault_id == other.fault_id
            and alarm.resource_type == other.resource_type
        )

    def _split(self, alarm: Alarm, location: bytes) -> tuple[bytes, bytes, bytes, bytes]:
        told = self._describer.fault(self._record, replace(alarm, alarm_id=_PLACE))
        info = self._describer.virtual(alarm.resource_id, alarm.resource_type, (told,))
        head, rest = encode(replace(info, virtual_resource_id=_PLACE)).split(_PLACE_WRITTEN, 1)
        middle, rest = rest.split(_LOCATION + location, 1)
        end, tail = rest.split(_PLACE_WRITTEN, 1)  # what comes behind may say what it likes
        return head, middle + _LOCATION, end, tail


def write(
    subscription: Subscription,
    kind: NotificationType,
    alarms: Iterable[Alarm],
    record: AlarmedFault,
    describer: Describer,
    *,
    sequence: int,
    now: datetime,
    others: Iterable[tuple[AlarmedFault, Alarm]] = (),
    occasion: str = "",
) -> tuple[str, bytes]:
    """Return id and body of the FaultNotification [D 5.5.1]: what one cause did to the resources of a subscription.

    ``others`` are alarms of other faults that are told with it. ``occasion`` is what it is told for when that is not a
    transition of the fault.
    """
    fault = record.fault
    virtual: list[bytes] = []
    physical: list[PhysicalResourceInfo] = []
    writer = MachineWriter(describer, record)
    fault_id = fault.fault_key
    alarms = tuple(alarms)
    if others or kind is NotificationType.CORRECTION:
        pairs = [*((record, alarm) for alarm in alarms), *others]
        virtual, physical = _together(pairs, describer)
        if subscription.project is not None and pairs:
            fault_id = (alarms or [alarm for _, alarm in pairs])[-1].fault_id
        alarms = ()
    for alarm in alarms:
        if alarm.project is None:
            told = (describer.fault(record, alarm),)
            physical.append(describer.physical(alarm.resource_id, alarm.resource_type, told))
        else:
            virtual.append(writer.write(alarm))
            if subscription.project is not None:
                fault_id = alarm.fault_id
    notification_id = notification_id_of(subscription.subscription_id, fault, kind, occasion)
    message = _Written(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=kind,
        event_time=fault.event_time,
        sent_time=now,
        physical_resource_info=tuple(physical),
        virtual_resource_info=msgspec.Raw(b"[%b]" % b",".join(virtual)) if virtual else (),
        reason=CORRECTED if kind is NotificationType.CORRECTION else "",
        links=_links(subscription, notification_id, fault_id, describer),
    )
    return notification_id, encode(message)


def write_vim(
    subscription: Subscription,
    alarm: Alarm,
    record: AlarmedFault,
    describer: Describer,
    *,
    sequence: int,
    now: datetime,
) -> tuple[str, bytes]:
    """Return id and body of the notice that a control node or a service of the VIM failed, or is back [HA 5.2].

    It goes to whoever asked for it, so that it says nothing of hosts and addresses.
    """
    fault = record.fault
    severity = alarm.severity if alarm.cleared_time is None else Severity.CLEARED
    fault_id = stable_id("project-fault", fault.fault_key, subscription.project or "")
    notification_id = notification_id_of(subscription.subscription_id, fault, NotificationType.VIM)
    message = Notification(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=NotificationType.VIM,
        event_time=fault.event_time,
        sent_time=now,
        vim=VimInfo(
            alarm_id=stable_id("vim-alarm", alarm.alarm_id, subscription.project or ""),
            fault_id=fault_id,
            service=service_name(fault, describer.resources),
            service_type="control_node" if fault.resource_type == "control_node" else "vim_service",
            meaning=MEANING,
            alarm_state=alarm.alarm_state,
            severity=int(severity),
            perceived_severity=severity.perceived,
            probable_cause=fault.probable_cause,
            recommended_action=fault.recommended_action,
            since=alarm.raised_time,
            changed_time=alarm.changed_time,
            cleared_time=alarm.cleared_time,
        ),
        links=_links(subscription, notification_id, fault_id, describer),
    )
    return notification_id, encode(message)


def write_heartbeat(subscription_id: str, *, sequence: int, now: datetime) -> tuple[str, bytes]:
    """Return id and body of the notice that there was nothing to tell since the notification of this sequence."""
    notification_id = stable_id("heartbeat", subscription_id, str(sequence), now.isoformat())
    message = Notification(
        notification_id=notification_id,
        subscription_id=subscription_id,
        sequence=sequence,
        notification_type=NotificationType.HEARTBEAT,
        event_time=now,
        sent_time=now,
    )
    return notification_id, encode(message)


def service_name(fault: Fault, resources: ResourceMap) -> str:
    """Return what failed as everybody may know it: what a Monitor calls the service, unless that names a place."""
    said = fault.details.get("service")
    if isinstance(said, str) and _SERVICE.fullmatch(said) and resources.find(said) is None:
        return said
    return "control node" if fault.resource_type == "control_node" else "VIM service"


def _together(
    pairs: Iterable[tuple[AlarmedFault, Alarm]], describer: Describer
) -> tuple[list[bytes], list[PhysicalResourceInfo]]:
    """Describe resources with alarms of several faults, each resource once."""
    told: dict[str, tuple[Alarm, list[FaultInfo]]] = {}
    for record, alarm in pairs:
        told.setdefault(alarm.resource_id, (alarm, []))[1].append(describer.fault(record, alarm))
    virtual: list[bytes] = []
    physical: list[PhysicalResourceInfo] = []
    for resource_id, (alarm, faults) in told.items():
        if alarm.project is None:
            physical.append(describer.physical(resource_id, alarm.resource_type, tuple(faults)))
        else:
            virtual.append(encode(describer.former(resource_id, alarm.resource_type, tuple(faults))))
    return virtual, physical


def _links(
    subscription: Subscription, notification_id: str, fault_id: str, describer: Describer
) -> dict[str, str]:
    doors = f"{describer.public_url}/v1"
    links = {
        "instructions": f"{doors}/instructions",
        "faults": f"{doors}/faults?fault_id={fault_id}",
        "handled": f"{doors}/notifications/{notification_id}/handled",
    }
    if subscription.acknowledge is Acknowledge.EXPLICIT:
        links["acknowledge"] = f"{doors}/notifications/{notification_id}/acknowledge"
    return links


def notification_id_of(subscription_id: str, fault: Fault, kind: NotificationType, occasion: str = "") -> str:
    """Return the id that every repeat of this notification carries: it is made from what is told."""
    more = (occasion,) if occasion else ()
    return stable_id("notification", subscription_id, fault.fault_key, str(fault.transition), kind, *more)


def host_ref(secret: bytes, viewer: str | None, host: str) -> str:
    """Return the name by which a project knows a host: stable, and meaning nothing to any other project."""
    return _ref(_digest_for(viewer, secret), host)


def _digest_for(viewer: str | None, secret: bytes) -> blake2b:
    person = blake2b((viewer or "").encode(), digest_size=16).digest()
    return blake2b(key=secret, person=person, digest_size=6)


def _ref(digest: blake2b, host: str) -> str:
    digest = digest.copy()
    digest.update(host.encode())
    return "h-" + digest.hexdigest()


@lru_cache(4096)
def _shared(outlook: Outlook) -> Outlook:
    """Return the same object for all that are equal."""
    return outlook


def host_status(state: ResourceState, isolation: Isolation = Isolation.PENDING) -> HostStatus:
    """Return what an owner may know of a host in this state: a dead host is UNKNOWN until it is isolated."""
    return HostStatus.DOWN if is_out(state) and isolation is Isolation.ISOLATED else _HOST_STATUS[state]


_HOST_STATUS = {
    ResourceState.NORMAL: HostStatus.UP,
    ResourceState.MAINTENANCE: HostStatus.MAINTENANCE,
    ResourceState.ERROR: HostStatus.UNKNOWN,
    ResourceState.DOWN: HostStatus.UNKNOWN,
}


def is_out(state: ResourceState) -> bool:
    """Tell whether something in this state serves nobody."""
    return state is ResourceState.DOWN or state is ResourceState.ERROR


def _correlated(record: AlarmedFault, alarm: Alarm) -> tuple[str, ...]:
    """Return the Administrator's way from the root cause to the owners' faults and back."""
    if not alarm.is_root_cause:
        return (record.fault.fault_key,) if alarm.fault_id != record.fault.fault_key else ()
    others = {other.fault_id: None for other in record.alarms.values() if other.fault_id != alarm.fault_id}
    return tuple(others)
