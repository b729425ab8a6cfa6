"""The one place where names in the settings become objects, and objects meet."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import timedelta
from socket import gethostname
from typing import NamedTuple

from doctor.api.doors import make_doors
from doctor.api.southbound import App
from doctor.app import plugins
from doctor.app.fencing import read_fencing
from doctor.app.maintenance import read_actions
from doctor.app.settings import Settings
from doctor.drivers.channels.guard import Guard, parse_endpoint_settings
from doctor.drivers.channels.switch import SwitchChannel
from doctor.drivers.channels.webhook import WebhookChannel, WebhookSettings
from doctor.drivers.controllers.embedded import EmbeddedController
from doctor.drivers.identities.keystone import Keystone, KeystoneSettings
from doctor.drivers.monitors.heartbeat.monitor import HeartbeatMonitor
from doctor.drivers.stores.sqlite import SqliteStore
from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.ageing import AgeingFlow
from doctor.flows.agenda import Agenda
from doctor.flows.alarm import AlarmFlow
from doctor.flows.cloud import CloudFlow
from doctor.flows.coupling import couple
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow
from doctor.flows.fence_readiness import NAME as FENCE_READINESS
from doctor.flows.fence_readiness import FenceReadiness
from doctor.flows.fences import Fences
from doctor.flows.fencing_desk import FencingDesk
from doctor.flows.grants import GrantFlow
from doctor.flows.group import GroupFlow
from doctor.flows.hand_map import HandMap
from doctor.flows.heartbeat import Heartbeats
from doctor.flows.instruction import InstructionFlow
from doctor.flows.isolation import IsolationFlow
from doctor.flows.maintenance import MaintenanceFlow
from doctor.flows.maintenance_desk import MaintenanceDesk
from doctor.flows.maintenance_opening import DisabledHosts
from doctor.flows.maintenance_policy import MaintenancePolicyFlow
from doctor.flows.maintenance_session import NamedAction, SessionKeeper
from doctor.flows.marking import MarkingFlow
from doctor.flows.outage import OutageFlow
from doctor.flows.overlay import Overlay
from doctor.flows.policy import PolicyFlow
from doctor.flows.recovery import RecoveryFlow
from doctor.flows.recovery_policy import RecoveryPolicyFlow
from doctor.flows.replay import ReplayFlow
from doctor.flows.service_levels import ServiceLevels
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import Situation
from doctor.flows.sources import Sources
from doctor.flows.standing import Standing
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.flows.tokens import TokenFlow
from doctor.inspector.catalogue import default_catalogue
from doctor.kit.clock import Clock, SystemClock
from doctor.model.errors import Flaw, PermanentError, RejectedError
from doctor.model.fault import ResourceState
from doctor.model.fencing import Vantage
from doctor.model.marking import ForceDown
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.resource import PhysicalResource
from doctor.model.subscription import FENIX, Endpoint, EventKind, SubscribeFilter, Subscription
from doctor.ports.channel import Channel, FixedChannel
from doctor.ports.controller import Controller
from doctor.ports.monitor import Doubtful, Monitor
from doctor.ports.store import Store

ADMINISTRATOR = "admin"
STORE_FILE = "doctor.db"
EMBEDDED = "embedded"
PEERS = "peers"  # what agents say of the hosts beside theirs: no driver of its own
SEES = {"heartbeat": Vantage.IN_BAND, "ping": Vantage.IN_BAND, PEERS: Vantage.PEER}  # from where, by driver
FORCE_DOWN = "force_down"  # of a controller: not for its driver, but for what Doctor does with it


class Parts(NamedTuple):
    """Everything of a running Doctor."""

    settings: Settings
    clock: Clock
    store: Store
    channel: Channel
    fixed_channels: list[FixedChannel]
    situation: Situation
    delivery: DeliveryFlow
    timelines: Timelines
    faults: FaultFlow
    sources: Sources
    standing: Standing
    subscriptions: SubscriptionFlow
    acknowledgements: AcknowledgementFlow
    outages: OutageFlow
    tokens: TokenFlow
    grants: GrantFlow | None
    policies: PolicyFlow
    agenda: Agenda
    alarms: AlarmFlow
    silences: SilenceFlow
    service_levels: ServiceLevels
    ageing: AgeingFlow
    fences: Fences
    fence_readiness: FenceReadiness
    isolation: IsolationFlow
    controllers: list[Controller]
    marks: MarkingFlow
    cloud: CloudFlow
    hand_map: HandMap | None
    instructions: InstructionFlow
    recoveries: RecoveryFlow
    maintenance: MaintenanceFlow
    disabled: DisabledHosts
    actions: dict[str, NamedAction]
    monitors: list[Monitor]
    doors: App


def wire(settings: Settings, address: tuple[str, int] | None = None) -> Parts:
    """Make all parts by the settings. Nothing runs yet and no file is opened.

    ``address`` is where Doctor really listens, if the settings leave the port open.

    Raises:
        RejectedError: a driver is unknown or its settings are wrong.
    """
    clock = SystemClock()
    store = SqliteStore(settings.data_folder / STORE_FILE)
    fixed = _fixed_channels(settings)
    channel = _channel(settings, clock, address or settings.address, fixed)
    timelines = Timelines(store)

    policies = PolicyFlow(default_catalogue(), clock)
    clouds = _clouds(settings)
    public_url = (settings.public_url or "").rstrip("/")
    situation = Situation(
        store,
        policies.default(),
        clouds=clouds,
        public_url=public_url,
        own_url=public_url or _own_url(settings, address or settings.address),
    )

    def on_delivered(notification: StoredNotification, delivery: Delivery) -> None:
        if delivery.state is DeliveryState.DELIVERED and delivery.told and delivery.received:
            timelines.told(
                notification.fault_key,
                notification.subscription_id,
                notification.notification_id,
                delivery.told,
                delivery.received,
            )
            if situation.open:
                acknowledgements.delivered(notification, delivery)

    delivery = DeliveryFlow(store, channel, clock, on_delivered, heartbeat_of=Heartbeats(situation, clock).of)
    acknowledgements = AcknowledgementFlow(situation, delivery, clock)
    agenda = Agenda(clock)
    faults = FaultFlow(situation, delivery, timelines, agenda, clock)
    monitors = _monitors(settings)
    hints = [monitor.hints for _, monitor in monitors if isinstance(monitor, Doubtful)]
    fencing = read_fencing(settings.fencing, _own_witnesses(monitors), hints)
    sources = Sources(situation, faults, clock, settings.promised)
    for driver, monitor in monitors:
        sources.has(monitor.name, driver, monitor)
    if fencing.plans:
        sources.has(FENCE_READINESS, "fencing")
    standing = Standing(situation, faults, sources, clock)
    fences = Fences(fencing.devices, fencing.plans, clock)
    isolation = IsolationFlow(situation, faults, fences, timelines, clock, fencing.rules)
    force_down = _force_down(settings, clouds)
    marks = MarkingFlow(
        situation, clouds, timelines, clock, force_down, isolation.lookup.can_isolate, isolation.keeps_down
    )
    overlay = Overlay(situation, faults)
    hand_map = _hand_map(situation, faults, delivery, clock) if not clouds else None
    commanded: dict[str | None, Controller] = {}
    commanded.update(clouds if hand_map is None else ((None, hand_map.controller),))
    instructions = InstructionFlow(
        situation,
        commanded,
        isolation,
        faults,
        delivery,
        timelines,
        clock,
        settings.instructions.rules,
        public_url=public_url,
    )
    recoveries = RecoveryFlow(situation, instructions, isolation, clock, settings.recovery.limits)
    actions = read_actions(settings.maintenance.actions)
    keeper = SessionKeeper(situation, instructions, delivery, actions)
    keeper.on_changed(marks.look_at)
    keeper.on_changed(isolation.heard)
    limits = settings.maintenance.limits
    maintenance = MaintenanceFlow(situation, keeper, instructions, delivery, isolation, clock, limits)
    couple(faults, isolation, marks, instructions, recoveries)
    faults.on_settled(maintenance.settled)
    maintenance_desk = MaintenanceDesk(
        situation, keeper, faults, delivery, channel, clock, maintenance.ring, limits, settings.levels
    )
    disabled = DisabledHosts(situation, keeper, maintenance_desk, settings.maintenance.open_on_disabled)
    faults.on_settled(disabled.settled)
    cloud = CloudFlow(situation, clouds, faults, marks, delivery, clock, overlay)
    subscriptions = SubscriptionFlow(
        situation, delivery, acknowledgements, channel, clock, settings.limits.of_subscriptions
    )
    replays = ReplayFlow(store, delivery)
    outages = OutageFlow(situation, delivery, faults, clock)
    tokens = TokenFlow(situation, clock)
    grants = _grants(settings.auth.keystone, clock)
    alarms = AlarmFlow(situation, faults, delivery, agenda, clock)
    silences = SilenceFlow(situation, delivery, agenda, clock, settings.limits.of_silences)
    ageing = AgeingFlow(situation, clock, silences, days=settings.retention.days)
    service_levels = ServiceLevels(situation, faults, agenda, clock, settings.levels)
    fence_readiness = FenceReadiness(situation, fences, clock, every=fencing.check_every)

    def groups_changed(machines: Iterable[str]) -> None:
        instructions.ring()
        recoveries.ring()
        maintenance.ring()

    doors = make_doors(
        situation=situation,
        faults=faults,
        sources=sources,
        standing=standing,
        payloads=plugins.payloads(),
        delivery=delivery,
        subscriptions=subscriptions,
        acknowledgements=acknowledgements,
        replays=replays,
        tokens=tokens,
        grants=grants,
        timelines=timelines,
        policies=policies,
        alarms=alarms,
        ageing=ageing,
        silences=silences,
        fences=fences,
        fence_readiness=fence_readiness,
        fencing_desk=FencingDesk(situation, isolation, clock, instructions.leaving),
        marks=marks,
        overlay=overlay,
        instructions=instructions,
        recoveries=recoveries,
        maintenance=maintenance_desk,
        groups=GroupFlow(situation, faults, clock, groups_changed),
        maintenance_policies=MaintenancePolicyFlow(situation, clock, lambda machines: maintenance.ring()),
        recovery_policies=RecoveryPolicyFlow(situation, clock, recoveries.look_at),
        clock=clock,
        levels=settings.levels,
        anonymous_from=settings.anonymous_networks,
        anonymous_zone=settings.anonymous_zone,
    )
    return Parts(
        settings=settings,
        clock=clock,
        store=store,
        channel=channel,
        fixed_channels=fixed,
        situation=situation,
        delivery=delivery,
        timelines=timelines,
        faults=faults,
        sources=sources,
        standing=standing,
        subscriptions=subscriptions,
        acknowledgements=acknowledgements,
        outages=outages,
        tokens=tokens,
        grants=grants,
        policies=policies,
        agenda=agenda,
        alarms=alarms,
        silences=silences,
        service_levels=service_levels,
        ageing=ageing,
        fences=fences,
        fence_readiness=fence_readiness,
        isolation=isolation,
        monitors=[*(monitor for _, monitor in monitors), *([fence_readiness] if fencing.plans else [])],
        controllers=list(clouds.values()),
        marks=marks,
        cloud=cloud,
        hand_map=hand_map,
        instructions=instructions,
        recoveries=recoveries,
        maintenance=maintenance,
        disabled=disabled,
        actions=actions,
        doors=doors,
    )


def _own_url(settings: Settings, address: tuple[str, int]) -> str:
    """Return where Doctor can be asked, as far as it knows that itself."""
    host, port = address
    if host in ("", "0.0.0.0", "::"):  # noqa: S104 - it is not listened to
        host = gethostname()
    shown = f"[{host}]" if ":" in host else host
    return f"{'https' if settings.tls else 'http'}://{shown}:{port}"


def _hand_map(situation: Situation, faults: FaultFlow, delivery: DeliveryFlow, clock: Clock) -> HandMap:
    """Return what keeps a map that is loaded by hand, with the embedded controller, which starts machines on hosts that serve."""

    def is_well(host: PhysicalResource) -> bool:
        return situation.book.state_of(host.id) is ResourceState.NORMAL

    controller = EmbeddedController(lambda: situation.resources, is_well)
    return HandMap(situation, faults, delivery, controller, clock)


def administrator(settings: Settings, channel: Channel, clock: Clock) -> Subscription | None:
    """Return the subscription that the settings give the Administrator, who need not subscribe [D 3.3.4]."""
    wishes = settings.administrator.endpoints
    if not wishes:
        return None
    endpoints, flaws = [], []
    for index, wish in enumerate(wishes):
        secret = wish.secret_file.read_text().strip() if wish.secret_file else None
        endpoint = Endpoint(
            endpoint_id=f"{ADMINISTRATOR}-{index}", url=wish.url, format=wish.format, secret=secret
        )
        refusal = channel.check(endpoint)
        if refusal:
            flaws.append(Flaw(f"administrator.endpoints[{index}].url", refusal))
        endpoints.append(endpoint)
    if flaws:
        raise RejectedError("the settings are wrong", flaws=flaws)
    return Subscription(
        subscription_id=ADMINISTRATOR, project=None, endpoints=tuple(endpoints), created=clock.now()
    )


def of_channels(channels: Sequence[FixedChannel], clock: Clock) -> Iterator[Subscription]:
    """Return the subscriptions of the channels that the settings name: each tells what the Administrator may know.

    Each has one of its own, so that a channel that is new hears nothing of what was before it.
    """
    for channel in channels:
        endpoint = channel.endpoint
        kinds = {EventKind.MAINTENANCE} if endpoint.format == FENIX else ()
        yield Subscription(
            subscription_id=f"channel-{endpoint.endpoint_id}",
            project=None,
            filter=SubscribeFilter(event=frozenset(kinds)),
            endpoints=(endpoint,),
            created=clock.now(),
        )


def _fixed_channels(settings: Settings) -> list[FixedChannel]:
    channels = [
        plugins.make(plugins.CHANNELS, wish, path=f"channels[{index}]")
        for index, wish in enumerate(settings.channels)
    ]
    known: set[str] = set()
    for index, channel in enumerate(channels):
        if channel.endpoint.endpoint_id in known:
            flaw = Flaw(f"channels[{index}]", f"is there twice: {channel.endpoint.url}")
            raise RejectedError("the settings are wrong", flaws=[flaw])
        known.add(channel.endpoint.endpoint_id)
    return channels


def _channel(
    settings: Settings, clock: Clock, address: tuple[str, int], fixed: Sequence[FixedChannel]
) -> Channel:
    try:
        endpoint_settings = parse_endpoint_settings(settings.endpoints)
    except ValueError as error:
        raise RejectedError("the settings are wrong", flaws=[flaw_in(str(error))]) from None
    webhook = WebhookChannel(
        WebhookSettings(),
        Guard(endpoint_settings, listen=[address]),
        clock,
        source=(settings.public_url or "").rstrip("/"),
    )
    return SwitchChannel(webhook, fixed) if fixed else webhook


def _grants(settings: KeystoneSettings | None, clock: Clock) -> GrantFlow | None:
    if settings is None:
        return None
    try:
        keystone = Keystone(settings)
    except PermanentError as error:
        flaw = Flaw("auth.keystone.cloud", str(error))
        raise RejectedError("the settings are wrong", flaws=[flaw]) from None
    timeout = timedelta(seconds=settings.timeout)
    return GrantFlow(keystone, settings.rules, clock, kept_for=settings.kept_for, timeout=timeout)


def flaw_in(message: str) -> Flaw:
    """Return the flaw of a message that begins with the path of what is wrong."""
    path, _, detail = message.partition(": ")
    return Flaw(path, detail)


def _clouds(settings: Settings) -> dict[str, Controller]:
    """Return the controllers that keep the resource map, by name; none where it is loaded by hand."""
    found: dict[str, Controller] = {}
    for index, wish in enumerate(settings.controllers):
        path = f"controllers[{index}]"
        own = {name: value for name, value in wish.items() if name != FORCE_DOWN}
        controller: Controller = plugins.make(plugins.CONTROLLERS, own, path=path)
        if controller.name == EMBEDDED and len(settings.controllers) == 1:
            return {}
        if controller.name == EMBEDDED:
            flaw = Flaw(
                path, "the embedded controller stands alone: the map is loaded by hand or kept by a cloud"
            )
            raise RejectedError("the settings are wrong", flaws=[flaw])
        if controller.name in found:
            flaw = Flaw(
                f"{path}.name", f"{controller.name!r} is there twice: give each region a name of its own"
            )
            raise RejectedError("the settings are wrong", flaws=[flaw])
        found[controller.name] = controller
    return found


def _force_down(settings: Settings, clouds: dict[str, Controller]) -> dict[str, ForceDown]:
    wishes = zip(clouds, settings.controllers, strict=True) if clouds else ()
    return {name: ForceDown(wish.get(FORCE_DOWN, ForceDown.AUTO)) for name, wish in wishes}


def _own_witnesses(monitors: Iterable[tuple[str, Monitor]]) -> dict[str, Vantage]:
    """Return from where Doctor's own monitors see hosts: by what the host itself says, or by what those beside it say."""
    return {monitor.name: SEES[driver] for driver, monitor in monitors if driver in SEES}


def _monitors(settings: Settings) -> list[tuple[str, Monitor]]:
    """Make the monitors, with their drivers. What two of the same name report could not be told apart."""
    made: dict[str, tuple[str, Monitor]] = {}
    for index, wish in enumerate(settings.monitors):
        monitor: Monitor = plugins.make(plugins.MONITORS, wish, path=f"monitors[{index}]")
        if monitor.name in made:
            flaw = Flaw(f"monitors[{index}]", f"another one is called {monitor.name!r}: set its vantage")
            raise RejectedError("the settings are wrong", flaws=[flaw])
        made[monitor.name] = wish["driver"], monitor
        if isinstance(monitor, HeartbeatMonitor):
            made[monitor.peers.name] = PEERS, monitor.peers
    return list(made.values())
