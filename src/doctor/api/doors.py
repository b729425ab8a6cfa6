"""All doors together: the event doors in front, the application with every other operation behind them."""

from collections.abc import Mapping, Sequence
from datetime import tzinfo
from ipaddress import IPv4Network, IPv6Network
from typing import Any

import msgspec

from doctor import __version__
from doctor.api.admin import Admin
from doctor.api.ageing import AgeingDoor
from doctor.api.alarm_life import AlarmLifeDoor
from doctor.api.alarms import AlarmsDoor
from doctor.api.application import make_application
from doctor.api.availability import AvailabilityDoor
from doctor.api.capacity import CapacityDoor
from doctor.api.controllers import ControllersDoor
from doctor.api.deliveries import DeliveriesDoor
from doctor.api.docs import Documentation
from doctor.api.escalations import EscalationsDoor
from doctor.api.facades.fenix import FenixDoor
from doctor.api.facades.masakari import MasakariDoor
from doctor.api.facades.vitrage import VitrageDoor
from doctor.api.faults import FaultsDoor
from doctor.api.fences import FencesDoor
from doctor.api.fencing import FencingDoor
from doctor.api.groups import GroupsDoor
from doctor.api.identification import challenge_of, make_identify
from doctor.api.instructions import InstructionsDoor
from doctor.api.maintenance import MaintenanceDoor
from doctor.api.maintenance_calendar import MaintenanceCalendarDoor
from doctor.api.metrics import MetricsDoor
from doctor.api.monitors import MonitorsDoor
from doctor.api.notifications import NotificationsDoor
from doctor.api.openapi import openapi_document
from doctor.api.operation import Answer, Call, Operation, operation, operations_of
from doctor.api.payloads import PayloadsDoor
from doctor.api.physical_resources import PhysicalResourcesDoor
from doctor.api.policies import Policies
from doctor.api.recoveries import RecoveriesDoor
from doctor.api.resource_map import ResourceMapDoor
from doctor.api.roles import REPORTERS
from doctor.api.silences import SilencesDoor
from doctor.api.southbound import App, EventsAnswer, SouthboundDoor
from doctor.api.subscriptions import SubscriptionsDoor
from doctor.api.vantages import VantagesDoor
from doctor.api.virtual_resources import VirtualResourcesDoor
from doctor.api.wire.event import AnyEvents
from doctor.api.wire.journal import recorded_events
from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.ageing import AgeingFlow
from doctor.flows.alarm import AlarmFlow
from doctor.flows.alarm_history import AlarmHistory
from doctor.flows.alarm_list import AlarmListFlow
from doctor.flows.availability import AvailabilityFlow
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.dry_run import DryRunFlow
from doctor.flows.escalation import EscalationFlow
from doctor.flows.fault import FaultFlow
from doctor.flows.fence_readiness import FenceReadiness
from doctor.flows.fences import Fences
from doctor.flows.fencing_desk import FencingDesk
from doctor.flows.grants import GrantFlow
from doctor.flows.group import GroupFlow
from doctor.flows.instruction import InstructionFlow
from doctor.flows.maintenance_desk import MaintenanceDesk
from doctor.flows.maintenance_policy import MaintenancePolicyFlow
from doctor.flows.marking import MarkingFlow
from doctor.flows.overlay import Overlay
from doctor.flows.policy import PolicyFlow
from doctor.flows.recovery import RecoveryFlow
from doctor.flows.recovery_policy import RecoveryPolicyFlow
from doctor.flows.replay import ReplayFlow
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import Situation
from doctor.flows.source_test import SourceTest
from doctor.flows.sources import Sources
from doctor.flows.standing import Standing
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.flows.tokens import TokenFlow
from doctor.inspector.firing import Recorded
from doctor.kit.clock import Clock
from doctor.model.errors import StoreError, TransientError
from doctor.model.event import EventBatch
from doctor.ports.payload import Payload
from doctor.profiler.availability import SHIPPED, Levels


class Health(msgspec.Struct, frozen=True, kw_only=True):
    """How Doctor is."""

    status: str


class Basics:
    """What any service answers."""

    def __init__(self, situation: Situation) -> None:
        self._situation = situation

    @operation("GET", "/healthz", tag="Service", roles=None, lenient=True)
    async def healthz(self, call: Call[None, None]) -> Answer[Health]:
        """Tell that the process is alive."""
        return Answer(Health(status="ok"))

    @operation(
        "GET", "/readyz", tag="Service", roles=None, lenient=True, answers={200: "Events are taken and told."}
    )
    async def readyz(self, call: Call[None, None]) -> Answer[Health]:
        """Tell whether events can be taken: the store works. 503 while it does not."""
        try:
            await self._situation.ready()
        except StoreError:
            raise TransientError("the store cannot be used") from None
        return Answer(Health(status="ready"))

    @operation(
        "GET",
        "/",
        tag="Service",
        roles=None,
        lenient=True,
        produces="text/plain",
        answers={307: "The documentation is at `/docs`."},
    )
    async def front(self, call: Call[None, None]) -> Answer[str]:
        """Show the way to the documentation."""
        return Answer("The documentation is at /docs\n", 307, {"Location": "/docs"})


class EventDoors:
    """The event doors, for the document: `doctor.api.southbound` answers them."""

    @operation(
        "POST",
        "/v1/events",
        tag="Events",
        roles=REPORTERS,
        answers={202: "The accepted events are durable."},
        example={
            "event": {
                "time": "2026-03-04T05:06:07Z",
                "type": "compute.host.down",
                "details": {"hostname": "compute-1", "status": "down", "source": "sample_monitor"},
            }
        },
    )
    async def report_events(self, call: Call[AnyEvents, None]) -> Answer[EventsAnswer]:
        """Report events [D 5.6].

        One event, several (`events`), a bare event, or a bare list; 1,000 at most. What is wrong with one does not
        harm the others: it is told in `rejected`. 400 if none can be accepted.
        """
        raise LookupError("answered by the event door")

    @operation(
        "PUT",
        "/events",
        tag="Events",
        roles=REPORTERS,
        produces="text/plain",
        answers={200: "`OK`: the events are durable."},
    )
    async def put_opnfv_events(self, call: Call[AnyEvents, None]) -> Answer[str]:
        """Report events as the OPNFV sample monitor does: a bare list.

        Without a token from the addresses in `auth.anonymous_events_from` only.
        """
        raise LookupError("answered by the event door")

    @operation(
        "POST",
        "/events",
        tag="Events",
        roles=REPORTERS,
        produces="text/plain",
        answers={200: "`OK`: the events are durable."},
    )
    async def post_opnfv_events(self, call: Call[AnyEvents, None]) -> Answer[str]:
        """Report events as the OPNFV plug-in of collectd does: a bare list.

        Without a token from the addresses in `auth.anonymous_events_from` only.
        """
        raise LookupError("answered by the event door")


def all_operations() -> tuple[Operation, ...]:
    """Return the operations of all doors, without a running Doctor: only to be looked at."""
    return operations_of(
        EventDoors,
        SubscriptionsDoor,
        NotificationsDoor,
        DeliveriesDoor,
        FaultsDoor,
        AlarmsDoor,
        AlarmLifeDoor,
        EscalationsDoor,
        AgeingDoor,
        SilencesDoor,
        InstructionsDoor,
        RecoveriesDoor,
        MaintenanceDoor,
        GroupsDoor,
        FenixDoor,
        MonitorsDoor,
        PayloadsDoor,
        MasakariDoor,
        VitrageDoor,
        VantagesDoor,
        VirtualResourcesDoor,
        PhysicalResourcesDoor,
        ResourceMapDoor,
        ControllersDoor,
        CapacityDoor,
        AvailabilityDoor,
        FencesDoor,
        FencingDoor,
        Admin,
        Policies,
        MetricsDoor,
        Basics,
        Documentation,
    )


def document() -> dict[str, Any]:
    """Return the OpenAPI document of all doors."""
    return openapi_document(all_operations(), version=__version__)


def make_doors(
    *,
    situation: Situation,
    faults: FaultFlow,
    sources: Sources,
    standing: Standing,
    payloads: Mapping[str, Payload],
    delivery: DeliveryFlow,
    subscriptions: SubscriptionFlow,
    acknowledgements: AcknowledgementFlow,
    replays: ReplayFlow,
    tokens: TokenFlow,
    grants: GrantFlow | None = None,
    timelines: Timelines,
    policies: PolicyFlow,
    alarms: AlarmFlow,
    ageing: AgeingFlow,
    silences: SilenceFlow,
    fences: Fences,
    fence_readiness: FenceReadiness,
    fencing_desk: FencingDesk,
    marks: MarkingFlow,
    overlay: Overlay,
    instructions: InstructionFlow,
    recoveries: RecoveryFlow,
    maintenance: MaintenanceDesk,
    maintenance_policies: MaintenancePolicyFlow,
    groups: GroupFlow,
    recovery_policies: RecoveryPolicyFlow,
    clock: Clock,
    levels: Levels = SHIPPED,
    anonymous_from: Sequence[IPv4Network | IPv6Network],
    anonymous_zone: tzinfo | None,
) -> App:
    """Return the ASGI application of a Doctor."""
    identify, challenge = make_identify(tokens, grants), challenge_of(grants)
    pushed = PayloadsDoor(payloads, standing, sources, clock)

    def reader(batch: EventBatch) -> list[Recorded]:
        zone = anonymous_zone or batch.received_time.astimezone().tzinfo
        return recorded_events(batch, zones=[zone] if zone else [])

    application = make_application(
        operations_of(
            EventDoors(),
            SubscriptionsDoor(situation, subscriptions),
            NotificationsDoor(situation, delivery, subscriptions, timelines, clock),
            DeliveriesDoor(situation, subscriptions, acknowledgements, replays),
            FaultsDoor(situation),
            AlarmsDoor(situation, alarms, silences),
            AlarmLifeDoor(
                situation,
                alarms,
                silences,
                AlarmHistory(situation, timelines),
                AlarmListFlow(situation, delivery, clock),
            ),
            EscalationsDoor(EscalationFlow(situation, faults)),
            AgeingDoor(ageing),
            SilencesDoor(situation, silences, clock),
            InstructionsDoor(instructions),
            RecoveriesDoor(recoveries, recovery_policies),
            MaintenanceDoor(maintenance, maintenance_policies),
            MaintenanceCalendarDoor(maintenance, clock, situation.describer(None).public_url),
            GroupsDoor(groups),
            FenixDoor(situation, maintenance, maintenance_policies, groups),
            MonitorsDoor(sources, standing, SourceTest(situation, faults, sources, clock)),
            pushed,
            MasakariDoor(pushed, clock),
            VitrageDoor(faults, sources, clock, anonymous_zone),
            VantagesDoor(faults.lookout),
            VirtualResourcesDoor(situation),
            PhysicalResourcesDoor(situation),
            ResourceMapDoor(situation, faults, overlay),
            ControllersDoor(situation, marks, clock),
            CapacityDoor(situation),
            AvailabilityDoor(AvailabilityFlow(situation, levels), clock),
            FencesDoor(fences, fence_readiness),
            FencingDoor(situation, fencing_desk, fence_readiness),
            Admin(situation, timelines, tokens),
            Policies(situation, policies, DryRunFlow(situation, policies, clock, reader), clock),
            MetricsDoor(sources, standing),
            Basics(situation),
        ),
        authenticate=identify,
        challenge=challenge,
        version=__version__,
    )
    return SouthboundDoor(
        application,
        faults,
        identify,
        clock,
        anonymous_from=anonymous_from,
        anonymous_zone=anonymous_zone,
        challenge=challenge,
        on_refused=sources.refuses,
    )
