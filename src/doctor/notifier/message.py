"""What a notification says.

In comes which alarms somebody is to be told of, with what is known of the resources; out goes the `Notification`
as the Consumer reads it. Owners get an abstraction (no host names, no details of the hardware), the Administrator
everything [D 3.3.4].
"""

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from hashlib import blake2b
from typing import Any, NamedTuple

import msgspec
from msgspec import UNSET
from msgspec.structs import replace

from doctor.kit.ids import stable_id
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault, Prediction, ResourceState, Severity
from doctor.model.maintenance import HostStage, HostWork
from doctor.model.notification import (
    FaultInfo,
    HostMaintenance,
    Location,
    Notification,
    NotificationType,
    PhysicalResourceInfo,
    PredictionInfo,
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

_SERVICE = re.compile(r"[a-z][a-z0-9]*([-_ ][a-z0-9]+){0,4}")  # nova-compute, not nova-compute@host.example
_GAP = "\x1fhere\x1f"  # no id has control characters
_GAP_WRITTEN = encode(_GAP)
PROMISE = (
    "promise"  # the detail by which a fault is known that is about a promise of a service availability level
)
FIGURES = frozenset(
    {
        *(
            PROMISE,
            "kept",
            "sal",
            "target",
            "availability",
            "window_seconds",
            "budget_seconds",
            "used_seconds",
        ),
        *(
            "burn_rate",
            "used_up_in_seconds",
            "recovery_seconds",
            "out_for_seconds",
            "machines",
            "limit",
            "impact",
        ),
        *("limit_per_day", "failures"),
    }
)
_HOST_REF = b'"host_ref":'  # of no text, where the quotes would be escaped


class Outlook(NamedTuple):
    """How a host is, whoever asks; of a machine without a host, how nowhere is."""

    zone_id: str | None
    host_status: HostStatus
    isolation: Isolation


Outlooks = dict[str, Outlook]
Isolations = Mapping[str, Isolation]  # of the hosts whose isolation is known, by id
WorkOn = Callable[[str], HostWork | None]  # what a session of maintenance does with a host
FORCED_DOWN = "host forced down"  # the type of the fault that the cloud itself has announced
NOWHERE = Outlook(None, HostStatus.NONE, Isolation.NOT_REQUIRED)


class _Written(Notification, frozen=True, kw_only=True, omit_defaults=True):
    """A notification whose virtual side is JSON already."""

    virtual_resource_info: msgspec.Raw | tuple[()] = ()  # type: ignore[assignment]


class Describer:
    """Describes resources and faults as one project, or the Administrator (None), may see them.

    Made for one answer or one step of a flow: it remembers each host that it has described. Links begin with
    ``public_url``; without one they are paths. ``own_url`` is for those who can do nothing with a path. ``outlooks`` is
    what the describers for several viewers remember together; ``isolations`` is how far the isolation of faulty hosts got,
    ``work_on`` tells of maintenance.
    """

    def __init__(
        self,
        viewer: str | None,
        resources: ResourceMap,
        book: AlarmBook,
        secret: bytes,
        *,
        public_url: str = "",
        own_url: str = "",
        outlooks: Outlooks | None = None,
        isolations: Isolations | None = None,
        work_on: WorkOn = lambda host: None,
    ) -> None:
        self._work_on = work_on
        self.public_url = public_url
        self.own_url = own_url or public_url
        self.viewer = viewer
        self.resources = resources
        self.book = book
        self._digest = _digest_for(viewer, secret)
        self._outlooks: Outlooks = {} if outlooks is None else outlooks
        self._isolations: Isolations = {} if isolations is None else isolations
        self._places: dict[str | None, bytes] = {}

    def virtual(
        self, resource_id: str, resource_type: str, faults: tuple[FaultInfo, ...], project: str | None = None
    ) -> VirtualResourceInfo:
        """Return VirtualResourceInfoClass of a resource as it is now; ``project`` is whose, if not as in the map."""
        machine = self.resources.virtual.get(resource_id)
        host = None if machine is None else machine.host
        if project is None and machine is not None:
            project = machine.owner
        outlook = self.outlook(host)
        return VirtualResourceInfo(
            virtual_resource_id=resource_id,
            virtual_resource_type=resource_type,
            project_id=UNSET if project is None or self.viewer is not None else project,
            virtual_resource_state=self.book.state_of(resource_id),
            host_status=outlook.host_status,
            location=self._location(host, outlook),
            isolation=outlook.isolation,
            faults=faults,
        )

    def former(
        self, resource_id: str, resource_type: str, faults: tuple[FaultInfo, ...], project: str | None = None
    ) -> VirtualResourceInfo:
        """Return a resource that may have been the viewer's once: how it is now, and where, is then its own affair."""
        machine = self.resources.virtual.get(resource_id)
        if self.viewer is None or (machine is not None and machine.owner == self.viewer):
            return self.virtual(resource_id, resource_type, faults, project)
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
        state, work = self.book.state_of(resource_id), self._work_on(resource_id)
        return PhysicalResourceInfo(
            physical_resource_id=resource_id,
            physical_resource_type=resource.type,
            physical_resource_state=state,
            maintenance_state=MaintenanceState.ENABLED if work is None else work.stage.maintenance_state,
            zone_id=resource.zone_id,
            firmware_version=resource.firmware_version,
            hypervisor_version=resource.hypervisor_version,
            update_status=resource.update_status,
            isolation=self.isolation_of(resource_id),
            metadata=resource.metadata,
            faults=faults,
            maintenance=UNSET if work is None else _maintained(work),
        )

    def fault(self, record: AlarmedFault, alarm: Alarm) -> FaultInfo:
        """Return FaultClass of one alarm."""
        fault = record.fault
        is_open = alarm.cleared_time is None
        severity = alarm.severity if is_open else Severity.CLEARED
        everything = self.viewer is None
        is_own = alarm.resource_id == fault.resource_id
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
            correlated_fault_id=self._correlated(record, alarm),
            recommended_action=fault.recommended_action,
            fault_details=fault.details if everything and is_own else _figures(fault, alarm),
            prediction=None if fault.prediction is None else _foreseen(fault.prediction),
        )

    def _correlated(self, record: AlarmedFault, alarm: Alarm) -> tuple[str, ...]:
        """Return the faults that belong to an alarm: its root cause, as far as the viewer knows of it."""
        root = self.book.root_cause(record.fault)
        if self.viewer is None:
            above = () if root is None else (root.fault.fault_key,)
            return above + _own_and_derived(record, alarm)
        known = None if root is None else root.alarms.get(alarm.resource_id)
        return () if known is None else (known.fault_id,)

    def isolation_of(self, resource_id: str | None) -> Isolation:
        """Return whether a host can still do harm; of whatever is no host nobody cuts off anything."""
        if resource_id is None or not self.book.state_of(resource_id).is_out:
            return Isolation.NOT_REQUIRED
        resource = self.resources.physical.get(resource_id)
        if resource is not None and resource.type != HOST:
            return Isolation.NOT_REQUIRED
        return self._isolations.get(resource_id, Isolation.PENDING)

    def place(self, host: str | None) -> bytes:
        """Return, as JSON, what this viewer is told of which host it is: the value of ``host_ref``, and what follows."""
        place = self._places.get(host)
        if place is None:
            place = self._places[host] = self._place(host)
        return place

    def _place(self, host: str | None) -> bytes:
        if host is None:
            return b"null"
        ref = encode(_ref(self._digest, host))
        return ref if self.viewer is not None else b'%b,"physical_resource_id":%b' % (ref, encode(host))

    def _location(self, host: str | None, outlook: Outlook) -> Location:
        return Location(
            zone_id=outlook.zone_id,
            host_ref=None if host is None else _ref(self._digest, host),
            physical_resource_id=host if self.viewer is None else None,
        )

    def outlook(self, host: str | None) -> Outlook:
        """Return how a host is."""
        if host is None:
            return NOWHERE
        outlook = self._outlooks.get(host)
        if outlook is None:
            resource = self.resources.physical.get(host)
            state = self.book.state_of(host)
            zone_id = resource.zone_id if resource else None
            isolation = self.isolation_of(host)
            if isolation is not Isolation.NOT_REQUIRED and self._is_worked_on(host):
                isolation, state = Isolation.NOT_REQUIRED, ResourceState.MAINTENANCE
            status = HostStatus.DOWN if self._is_forced_down(host) else host_status(state, isolation)
            outlook = Outlook(zone_id, status, isolation)
            self._outlooks[host] = outlook
        return outlook

    def _is_worked_on(self, host: str) -> bool:
        """Tell whether a host is in maintenance: that it is silent then is no wonder, and nobody cuts it off."""
        work = self._work_on(host)
        return work is not None and work.stage is HostStage.EMPTY

    def _is_forced_down(self, host: str) -> bool:
        """Tell whether somebody has vouched in the cloud that a host is down; that is not Doctor's own proof."""
        return any(one.fault.fault_type == FORCED_DOWN for one in self.book.rooted_in(host))


class MachineWriter:
    """Writes, quickly, the JSON of `Describer.virtual` with the alarm of one fault, for many machines.

    Thousands of machines differ in little but their ids and hosts. The first is encoded whole; those after it that
    have the same traits are made from its JSON, by putting in their ids and what is told of their hosts.
    """

    def __init__(self, describer: Describer, record: AlarmedFault) -> None:
        self._describer = describer
        self._record = record
        root = describer.book.root_cause(record.fault)
        self._explained = {} if root is None else root.alarms

    def write(self, alarms: Iterable[Alarm]) -> bytes:
        """Return the JSON of the machines that have these alarms, as an array."""
        describer = self._describer
        machine_of, state_of = describer.resources.virtual.get, describer.book.state_of
        outlook_of, place_of = describer.outlook, describer.place
        parts: list[bytes] = []
        like: tuple[Any, ...] | None = None
        head = middle = end = tail = b""
        for alarm in alarms:
            resource_id = alarm.resource_id
            machine = machine_of(resource_id)
            host = None if machine is None else machine.host
            place = place_of(host)
            traits = (
                alarm.severity,
                alarm.raised_time,
                alarm.changed_time,
                alarm.cleared_time,
                alarm.fault_id,
                alarm.is_root_cause,
                alarm.resource_type,
                alarm.project,
                state_of(resource_id),
                outlook_of(host),
                resource_id in self._explained,
            )
            if traits != like:
                like = traits
                head, middle, end, tail = self._split(alarm, place)
            parts += (head, encode(resource_id), middle, place, end, encode(alarm.alarm_id), tail)
        return b"[%b]" % b"".join(parts)[1:]

    def _split(self, alarm: Alarm, place: bytes) -> tuple[bytes, bytes, bytes, bytes]:
        """Return the JSON of a machine, after a comma, without its id, its host and the id of the alarm."""
        told = self._describer.fault(self._record, replace(alarm, alarm_id=_GAP))
        info = self._describer.virtual(alarm.resource_id, alarm.resource_type, (told,), alarm.project)
        head, rest = encode(replace(info, virtual_resource_id=_GAP)).split(_GAP_WRITTEN, 1)
        middle, rest = rest.split(_HOST_REF + place, 1)
        end, tail = rest.split(_GAP_WRITTEN, 1)  # what comes behind may say what it likes
        return b"," + head, middle + _HOST_REF, end, tail


def write(
    subscription: Subscription,
    kind: NotificationType,
    alarms: Sequence[Alarm],
    record: AlarmedFault,
    describer: Describer,
    *,
    sequence: int,
    now: datetime,
    others: Sequence[tuple[AlarmedFault, Alarm]] = (),
    occasion: str = "",
) -> tuple[str, bytes]:
    """Return id and body of the FaultNotification [D 5.5.1]: what one cause did to the resources of a subscription.

    ``others`` are alarms of other faults that are told with it. ``occasion`` is why it is told when it is not the step
    of the fault itself.
    """
    fault = record.fault
    told = [*alarms, *(alarm for _, alarm in others)]
    if others or kind is NotificationType.CORRECTION:
        physical, machines = _together([*((record, alarm) for alarm in alarms), *others], describer)
    else:
        physical, machines = _of_one_cause(alarms, record, describer)
    fault_id = fault.fault_key
    if subscription.project is not None and told:
        fault_id = (alarms or told)[-1].fault_id
    notification_id = notification_id_of(subscription.subscription_id, fault, kind, occasion)
    message = _Written(
        notification_id=notification_id,
        subscription_id=subscription.subscription_id,
        sequence=sequence,
        notification_type=kind,
        event_time=fault.event_time,
        sent_time=now,
        physical_resource_info=physical,
        virtual_resource_info=machines,
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
    occasion: str = "",
) -> tuple[str, bytes]:
    """Return id and body of the notice that a control node or a service of the VIM failed, or is back [HA 5.2].

    It goes to whoever asked for it, so that it says nothing of hosts and addresses.
    """
    fault = record.fault
    severity = alarm.severity if alarm.cleared_time is None else Severity.CLEARED
    fault_id = stable_id("project-fault", fault.fault_key, subscription.project or "")
    notification_id = notification_id_of(subscription.subscription_id, fault, NotificationType.VIM, occasion)
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


_Info = tuple[tuple[PhysicalResourceInfo, ...], msgspec.Raw | tuple[()]]


def _of_one_cause(alarms: Sequence[Alarm], record: AlarmedFault, describer: Describer) -> _Info:
    """Describe resources with the alarm that one fault put on each."""
    machines = [alarm for alarm in alarms if alarm.project is not None]
    physical = tuple(
        describer.physical(alarm.resource_id, alarm.resource_type, (describer.fault(record, alarm),))
        for alarm in alarms
        if alarm.project is None
    )
    return physical, msgspec.Raw(MachineWriter(describer, record).write(machines)) if machines else ()


def _together(pairs: Iterable[tuple[AlarmedFault, Alarm]], describer: Describer) -> _Info:
    """Describe resources with alarms of several faults, each resource once."""
    told: dict[str, tuple[Alarm, list[FaultInfo]]] = {}
    for record, alarm in pairs:
        told.setdefault(alarm.resource_id, (alarm, []))[1].append(describer.fault(record, alarm))
    physical: list[PhysicalResourceInfo] = []
    machines: list[VirtualResourceInfo] = []
    for resource_id, (alarm, faults) in told.items():
        if alarm.project is None:
            physical.append(describer.physical(resource_id, alarm.resource_type, tuple(faults)))
        else:
            machines.append(describer.former(resource_id, alarm.resource_type, tuple(faults), alarm.project))
    return tuple(physical), msgspec.Raw(encode(machines)) if machines else ()


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
    """Return the id that every repeat of this notification carries: it is made from what is told, or on what occasion."""
    step = occasion or str(fault.transition)
    return stable_id("notification", subscription_id, fault.fault_key, step, kind)


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


def host_status(state: ResourceState, isolation: Isolation = Isolation.PENDING) -> HostStatus:
    """Return what an owner may know of a host in this state: a dead host is UNKNOWN until it is isolated."""
    return HostStatus.DOWN if state.is_out and isolation is Isolation.ISOLATED else _HOST_STATUS[state]


_HOST_STATUS = {
    ResourceState.NORMAL: HostStatus.UP,
    ResourceState.MAINTENANCE: HostStatus.MAINTENANCE,
    ResourceState.ERROR: HostStatus.UNKNOWN,
    ResourceState.DOWN: HostStatus.UNKNOWN,
}


def _maintained(work: HostWork) -> HostMaintenance:
    return HostMaintenance(
        session_id=work.session_id,
        state=work.stage.maintenance_state,
        deadline=work.deadline,
        progress=work.progress,
    )


def _figures(fault: Fault, alarm: Alarm) -> dict[str, Any]:
    """Return what Doctor has measured of somebody's own VNF: it says nothing of what is below it."""
    if PROMISE not in fault.details or alarm.project is None or alarm.resource_id != fault.resource_id:
        return {}
    return {name: value for name, value in fault.details.items() if name in FIGURES}


def _foreseen(prediction: Prediction) -> PredictionInfo:
    return PredictionInfo(
        fault_type=prediction.fault_type,
        predicted_time=prediction.predicted_time,
        confidence=prediction.confidence,
        outcome=prediction.outcome,
    )


def _own_and_derived(record: AlarmedFault, alarm: Alarm) -> tuple[str, ...]:
    """Return the Administrator's way from a fault to what owners know it by, and back."""
    if alarm.resource_id != record.fault.resource_id:
        return (record.fault.fault_key,) if alarm.fault_id != record.fault.fault_key else ()
    others = {other.fault_id: None for other in record.alarms.values() if other.fault_id != alarm.fault_id}
    return tuple(others)
