"""What goes to a Consumer. Field names and nesting are the contract (design part 5)."""

from datetime import datetime
from enum import StrEnum
from typing import Any

import msgspec

from doctor.model.alarm import AlarmState
from doctor.model.fault import Outcome, ResourceState
from doctor.model.instruction import Action, TaskState
from doctor.model.maintenance import Decider, Deed, GuestState
from doctor.model.resource import HostStatus, Isolation, MaintenanceState


class NotificationType(StrEnum):
    """What a notification is about."""

    FAULT = "fault"
    FAULT_CHANGED = "fault_changed"
    FAULT_CLEARED = "fault_cleared"
    CAPACITY = "capacity"
    ALARM_LIST_REBUILT = "alarm_list_rebuilt"
    CORRECTION = "correction"
    MAINTENANCE = "maintenance"
    VIM = "vim"
    INSTRUCTION_RESULT = "instruction_result"
    HEARTBEAT = "heartbeat"


class PredictionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """What is foreseen [D 2.1.2]: a fault of the type ``fault_type``. ``confidence`` null: the predictor does not say."""

    fault_type: str
    predicted_time: datetime
    confidence: float | None
    outcome: Outcome


class FaultInfo(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """FaultClass [D 5.4]: one alarm as it is told. With a ``prediction`` the fault has not happened yet."""

    alarm_id: str
    fault_id: str
    fault_type: str
    alarm_state: AlarmState
    severity: int
    perceived_severity: str
    event_time: datetime
    raised_time: datetime
    changed_time: datetime | None
    cleared_time: datetime | None
    probable_cause: str
    is_root_cause: bool
    correlated_fault_id: tuple[str, ...]
    recommended_action: str
    fault_details: dict[str, Any]
    prediction: PredictionInfo | None = None


class Location(msgspec.Struct, frozen=True, gc=False, kw_only=True, omit_defaults=True):
    """Where a virtual resource is: owners get the zone and a name of the host that means something only to them.

    The Administrator gets the host itself in ``physical_resource_id``.
    """

    zone_id: str | None
    host_ref: str | None
    physical_resource_id: str | None = None


class VirtualResourceInfo(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """VirtualResourceInfoClass [D 5.4]: a virtual resource, its state, and the faults on it.

    ``project_id`` is whose it is, which the Administrator alone is told.
    """

    virtual_resource_id: str
    virtual_resource_type: str
    project_id: str | msgspec.UnsetType = msgspec.UNSET
    virtual_resource_state: ResourceState
    host_status: HostStatus
    location: Location
    isolation: Isolation
    faults: tuple[FaultInfo, ...]


class HostMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    """How far a host is in a session; ``progress`` in percent."""

    session_id: str
    state: MaintenanceState
    deadline: datetime | None
    progress: int


class PhysicalResourceInfo(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """PhysicalResourceInfoClass [D 5.4], for the Administrator only."""

    physical_resource_id: str
    physical_resource_type: str
    physical_resource_state: ResourceState
    maintenance_state: MaintenanceState
    zone_id: str | None
    firmware_version: str | None
    hypervisor_version: str | None
    update_status: str | None
    isolation: Isolation
    metadata: dict[str, Any]
    faults: tuple[FaultInfo, ...]
    maintenance: HostMaintenance | msgspec.UnsetType = msgspec.UNSET


class Phase(StrEnum):
    """What a notification of maintenance says."""

    PLANNED = "planned"  # it is to be, and owners are asked
    SCALE_IN = "scale_in"  # there is no room for what has to leave: owners are asked to give up some
    REMINDER = "reminder"  # he who was asked has not answered
    STARTED = "started"  # hosts are being emptied now
    MOVED = "moved"  # it is done with machines: they are away, or off
    EMPTIED = "emptied"  # hosts can be worked on
    ACTION_FAILED = "action_failed"  # what was to be done on a host was not
    FAILED = "failed"  # hosts could not be emptied
    NOT_BACK = "not_back"  # hosts have not come back from the work on them
    CANCELLED = "cancelled"
    OVER = "over"  # hosts serve again
    RESULT = "result"  # of the session


class MachineMaintenance(msgspec.Struct, frozen=True, kw_only=True):
    """What becomes of a machine: ``action`` is what is to be done, by whose word, ``reason`` why it is not (yet)."""

    virtual_resource_id: str
    state: GuestState
    action: Deed | None
    decided_by: Decider | None
    allowed_actions: tuple[Deed, ...]
    reason: str | None


class WantedRoom(msgspec.Struct, frozen=True, kw_only=True):
    """How much room is missing in all; who gives up how much is between owners and their Administrator."""

    vcpus: int
    memory_mb: int


class MaintenanceInfo(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What is told of a session [D 5.5.1, 5.5.2]. ``result`` and ``outcome`` are for the Administrator, in its end.

    ``allowed_actions`` are those that are open for every machine told of that is still to be decided on. ``metadata`` is
    what the work brings. ``moves_again``: what leaves now may have to leave again, since every host is to be emptied.
    ``ends``: the session has nothing more to do with any machine of this owner, ``project_id``. ``emptied`` are hosts
    that had been empty when this came, for the Administrator. ``scale_in`` is how much room is missing, by `reply_by`.
    """

    session_id: str
    phase: Phase
    starts_at: datetime
    reply_by: datetime | None
    deadline: datetime | None
    reason: str
    allowed_actions: tuple[Deed, ...]
    reply_to: str
    machines: tuple[MachineMaintenance, ...] = ()
    metadata: dict[str, Any] = {}
    moves_again: bool = False
    ends: bool = False
    project_id: str = ""
    emptied: tuple[str, ...] = ()
    result: str = ""
    outcome: str = ""
    scale_in: WantedRoom | None = None


class VimInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A failure of a control node or of a service of the VIM, as any Consumer may know it [HA 5.2].

    ``service`` is what it does, never where it runs; ``meaning`` says what the Consumer has to reckon with.
    """

    alarm_id: str
    fault_id: str
    service: str
    service_type: str
    meaning: str
    alarm_state: AlarmState
    severity: int
    perceived_severity: str
    probable_cause: str
    recommended_action: str
    since: datetime
    changed_time: datetime | None
    cleared_time: datetime | None


class TaskResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an instruction for one resource."""

    virtual_resource_id: str
    state: TaskState
    reason: str | None


class InstructionResult(msgspec.Struct, frozen=True, kw_only=True):
    """What became of an instruction: the ACK (all of it was done) or the NACK [D 3.3.6]."""

    instruction_id: str
    action: Action
    acknowledged: bool
    results: tuple[TaskResult, ...]


class Notification(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """FaultNotification [D 5.5.1].

    ``notification_id`` is made from content: every repeat, on every endpoint, carries the same. ``sequence`` counts
    without gaps within the subscription; a heartbeat has the last one. ``reason`` is why something is corrected.
    """

    notification_id: str
    subscription_id: str
    sequence: int
    notification_type: NotificationType
    event_time: datetime
    sent_time: datetime
    physical_resource_info: tuple[PhysicalResourceInfo, ...] = ()
    virtual_resource_info: tuple[VirtualResourceInfo, ...] = ()
    capacity: tuple[dict[str, Any], ...] = ()
    vim: VimInfo | None = None
    instruction: InstructionResult | None = None
    maintenance: MaintenanceInfo | None = None
    reason: str = ""
    links: dict[str, str] = {}


class StoredNotification(msgspec.Struct, frozen=True, kw_only=True):
    """A notification as the outbox keeps it: ``body`` is the JSON that every attempt sends, to the letter [I-4]."""

    notification_id: str
    subscription_id: str
    sequence: int
    fault_key: str
    created: datetime
    body: bytes


class DeliveryState(StrEnum):
    """How a notification stands with one endpoint; without an entry it is pending."""

    DELIVERED = "delivered"
    PARKED = "parked"


class Delivery(msgspec.Struct, frozen=True, kw_only=True):
    """How one notification ended at one endpoint.

    ``told`` is the first byte out of the attempt that succeeded (T6), ``received`` its answer (T7).
    """

    subscription_id: str
    sequence: int
    endpoint_id: str
    state: DeliveryState
    attempts: int
    told: datetime | None = None
    received: datetime | None = None
    error: str = ""


class Delivered(msgspec.Struct, frozen=True):
    """The endpoint answered 2xx: it was received (T7)."""

    status: int
    told: datetime
    received: datetime


class Failed(msgspec.Struct, frozen=True):
    """The attempt failed; ``retry_after`` seconds is the endpoint's own wish, if it had one."""

    error: str
    status: int | None = None
    retry_after: float | None = None


class Refused(msgspec.Struct, frozen=True):
    """The endpoint cannot take this message (a 4xx about its content): after some tries it is parked [I-20]."""

    error: str
    status: int


class Gone(msgspec.Struct, frozen=True):
    """The endpoint said 410: it wants nothing more."""

    error: str


DeliveryOutcome = Delivered | Failed | Refused | Gone
