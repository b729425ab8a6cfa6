"""What a notification says.

In comes which alarms somebody is to be told of, with what is known of the resources; out goes the `Notification`
as the Consumer reads it. Owners get an abstraction (no host names, no details of the hardware), the Administrator
everything [D 3.3.4].
"""

from collections.abc import Iterable
from datetime import datetime
from hashlib import blake2b

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
    VirtualResourceInfo,
)
from doctor.model.resource import HostStatus, Isolation, MaintenanceState, PhysicalResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import Subscription

_PLACE = "\x1fhere\x1f"  # no id has control characters
encode = msgspec.json.Encoder().encode

Templates = dict[object, tuple[bytes, bytes, bytes]]

NOWHERE = (Location(zone_id=None, host_ref=None), HostStatus.NONE, Isolation.NOT_REQUIRED)


class _Written(Notification, frozen=True, kw_only=True, omit_defaults=True):
    """A notification whose virtual side is JSON already."""

    virtual_resource_info: msgspec.Raw | tuple[()] = ()  # type: ignore[assignment]


class Describer:
    """Describes resources and faults as one project, or the Administrator (None), may see them.

    Made for one answer or one step of a flow: it remembers each host that it has described. Links begin with
    ``public_url``; without one they are paths.
    """

    def __init__(
        self,
        viewer: str | None,
        resources: ResourceMap,
        book: AlarmBook,
        secret: bytes,
        *,
        public_url: str = "",
    ) -> None:
        self.public_url = public_url
        self._viewer = viewer
        self._resources = resources
        self._book = book
        self._secret = secret
        self._places: dict[str, tuple[Location, HostStatus, Isolation]] = {}

    def virtual(
        self, resource_id: str, resource_type: str, faults: tuple[FaultInfo, ...]
    ) -> VirtualResourceInfo:
        """Return VirtualResourceInfoClass of a resource as it is now."""
        machine = self._resources.virtual.get(resource_id)
        host = None if machine is None else machine.host
        place = NOWHERE if host is None else self._places.get(host) or self._place(host)
        return VirtualResourceInfo(
            virtual_resource_id=resource_id,
            virtual_resource_type=resource_type,
            virtual_resource_state=self._book.state_of(resource_id),
            host_status=place[1],
            location=place[0],
            isolation=place[2],
            faults=faults,
        )

    def physical(
        self, resource_id: str, resource_type: str, faults: tuple[FaultInfo, ...]
    ) -> PhysicalResourceInfo:
        """Return PhysicalResourceInfoClass of a resource as it is now; also of one that no map knows."""
        resource = self._resources.physical.get(resource_id) or PhysicalResource(
            id=resource_id, type=resource_type
        )
        state = self._book.state_of(resource_id)
        return PhysicalResourceInfo(
            physical_resource_id=resource_id,
            physical_resource_type=resource.type,
            physical_resource_state=state,
            maintenance_state=MaintenanceState.ENABLED,
            zone_id=resource.zone_id,
            firmware_version=resource.firmware_version,
            hypervisor_version=resource.hypervisor_version,
            update_status=resource.update_status,
            isolation=_isolation(state),
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

    def written(self, record: AlarmedFault, alarm: Alarm, templates: Templates) -> bytes:
        """Return the JSON of `virtual` with `fault`, quickly: thousands of machines differ in little but their ids.

        The first of a kind is encoded, the others are made from it by putting in their ids. ``templates`` belongs to
        one call of `write`: what makes a kind is compared by identity, which is quick and holds while it lasts.
        """
        machine = self._resources.virtual.get(alarm.resource_id)
        kind = (
            machine and machine.host,
            alarm.resource_type,
            alarm.fault_id,
            alarm.is_root_cause,
            id(self._book.state_of(alarm.resource_id)),
            id(alarm.severity),
            id(alarm.raised_time),
            id(alarm.changed_time),
        )
        parts = templates.get(kind)
        if parts is None:
            told = self.fault(record, replace(alarm, alarm_id=_PLACE))
            sample = replace(
                self.virtual(alarm.resource_id, alarm.resource_type, (told,)), virtual_resource_id=_PLACE
            )
            head, middle, tail = encode(sample).split(encode(_PLACE), 2)  # details may say what they like
            parts = templates[kind] = head, middle, tail
        return b"%b%b%b%b%b" % (
            parts[0],
            encode(alarm.resource_id),
            parts[1],
            encode(alarm.alarm_id),
            parts[2],
        )

    def _place(self, host: str) -> tuple[Location, HostStatus, Isolation]:
        resource = self._resources.physical.get(host)
        state = self._book.state_of(host)
        location = Location(
            zone_id=resource.zone_id if resource else None,
            host_ref=host_ref(self._secret, self._viewer, host),
            physical_resource_id=host if self._viewer is None else None,
        )
        self._places[host] = place = (location, host_status(state), _isolation(state))
        return place


def write(
    subscription: Subscription,
    kind: NotificationType,
    alarms: Iterable[Alarm],
    record: AlarmedFault,
    describer: Describer,
    *,
    sequence: int,
    now: datetime,
) -> tuple[str, bytes]:
    """Return id and body of the FaultNotification [D 5.5.1]: what one cause did to the resources of a subscription."""
    fault = record.fault
    virtual: list[bytes] = []
    physical: list[PhysicalResourceInfo] = []
    templates: Templates = {}
    fault_id = fault.fault_key
    for alarm in alarms:
        if alarm.project is None:
            told = (describer.fault(record, alarm),)
            physical.append(describer.physical(alarm.resource_id, alarm.resource_type, told))
        else:
            virtual.append(describer.written(record, alarm, templates))
            if subscription.project is not None:
                fault_id = alarm.fault_id
    notification_id = notification_id_of(subscription.subscription_id, fault, kind)
    doors = f"{describer.public_url}/v1"
    message = _Written(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=kind,
        event_time=fault.event_time,
        sent_time=now,
        physical_resource_info=tuple(physical),
        virtual_resource_info=msgspec.Raw(b"[%b]" % b",".join(virtual)) if virtual else (),
        links={
            "instructions": f"{doors}/instructions",
            "faults": f"{doors}/faults?fault_id={fault_id}",
            "handled": f"{doors}/notifications/{notification_id}/handled",
        },
    )
    return notification_id, encode(message)


def notification_id_of(subscription_id: str, fault: Fault, kind: NotificationType) -> str:
    """Return the id that every repeat of this notification carries: it is made from what is told."""
    return stable_id("notification", subscription_id, fault.fault_key, str(fault.transition), kind)


def host_ref(secret: bytes, viewer: str | None, host: str) -> str:
    """Return the name by which a project knows a host: stable, and meaning nothing to any other project."""
    digest = blake2b(
        host.encode(), key=secret, person=blake2b((viewer or "").encode(), digest_size=16).digest()
    )
    return f"h-{digest.hexdigest()[:12]}"


def host_status(state: ResourceState) -> HostStatus:
    """Return what an owner may know of a host in this state: a dead host is UNKNOWN until it is isolated."""
    return _HOST_STATUS[state]


_HOST_STATUS = {
    ResourceState.NORMAL: HostStatus.UP,
    ResourceState.MAINTENANCE: HostStatus.MAINTENANCE,
    ResourceState.ERROR: HostStatus.UNKNOWN,
    ResourceState.DOWN: HostStatus.UNKNOWN,
}


def _isolation(state: ResourceState) -> Isolation:
    out = state is ResourceState.DOWN or state is ResourceState.ERROR
    return Isolation.PENDING if out else Isolation.NOT_REQUIRED


def _correlated(record: AlarmedFault, alarm: Alarm) -> tuple[str, ...]:
    """Return the Administrator's way from the root cause to the owners' faults and back."""
    if not alarm.is_root_cause:
        return (record.fault.fault_key,) if alarm.fault_id != record.fault.fault_key else ()
    others = {other.fault_id: None for other in record.alarms.values() if other.fault_id != alarm.fault_id}
    return tuple(others)
