"""The one place where names in the settings become objects, and objects meet."""

from typing import NamedTuple

from doctor.api.doors import make_doors
from doctor.api.southbound import App
from doctor.app import plugins
from doctor.app.settings import Settings
from doctor.drivers.channels.guard import Guard, parse_endpoint_settings
from doctor.drivers.channels.webhook import WebhookChannel, WebhookSettings
from doctor.drivers.stores.sqlite import SqliteStore
from doctor.flows.ageing import AgeingFlow
from doctor.flows.agenda import Agenda
from doctor.flows.alarm import AlarmFlow
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow
from doctor.flows.policy import PolicyFlow
from doctor.flows.service_levels import ServiceLevels
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.flows.tokens import TokenFlow
from doctor.inspector.catalogue import default_catalogue
from doctor.kit.clock import Clock, SystemClock
from doctor.model.errors import Flaw, RejectedError
from doctor.model.notification import Delivery, DeliveryState, StoredNotification
from doctor.model.subscription import Endpoint, Subscription
from doctor.ports.channel import Channel
from doctor.ports.controller import Controller
from doctor.ports.monitor import Monitor
from doctor.ports.store import Store

ADMINISTRATOR = "admin"
STORE_FILE = "doctor.db"


class Parts(NamedTuple):
    """Everything of a running Doctor."""

    settings: Settings
    clock: Clock
    store: Store
    channel: Channel
    situation: Situation
    delivery: DeliveryFlow
    timelines: Timelines
    faults: FaultFlow
    subscriptions: SubscriptionFlow
    tokens: TokenFlow
    policies: PolicyFlow
    agenda: Agenda
    alarms: AlarmFlow
    service_levels: ServiceLevels
    ageing: AgeingFlow
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
    channel = _channel(settings, clock, address or settings.address)
    timelines = Timelines(store)

    def on_delivered(notification: StoredNotification, delivery: Delivery) -> None:
        if delivery.state is DeliveryState.DELIVERED and delivery.told and delivery.received:
            timelines.told(
                notification.fault_key,
                notification.subscription_id,
                notification.notification_id,
                delivery.told,
                delivery.received,
            )

    delivery = DeliveryFlow(store, channel, clock, on_delivered)
    policies = PolicyFlow(default_catalogue(), clock)
    situation = Situation(
        store, _controller(settings), policies.default(), public_url=(settings.public_url or "").rstrip("/")
    )
    agenda = Agenda(clock)
    faults = FaultFlow(situation, delivery, timelines, agenda, clock)
    subscriptions = SubscriptionFlow(situation, delivery, channel, clock)
    tokens = TokenFlow(situation, clock)
    alarms = AlarmFlow(situation, faults, delivery, agenda, clock)
    service_levels = ServiceLevels(situation, faults, agenda, clock, settings.levels)
    ageing = AgeingFlow(situation, clock, days=settings.retention.days)
    doors = make_doors(
        situation=situation,
        faults=faults,
        delivery=delivery,
        subscriptions=subscriptions,
        tokens=tokens,
        timelines=timelines,
        policies=policies,
        alarms=alarms,
        ageing=ageing,
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
        situation=situation,
        delivery=delivery,
        timelines=timelines,
        faults=faults,
        subscriptions=subscriptions,
        tokens=tokens,
        policies=policies,
        agenda=agenda,
        alarms=alarms,
        service_levels=service_levels,
        ageing=ageing,
        monitors=_monitors(settings),
        doors=doors,
    )


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


def _channel(settings: Settings, clock: Clock, address: tuple[str, int]) -> Channel:
    try:
        endpoint_settings = parse_endpoint_settings(settings.endpoints)
    except ValueError as error:
        raise RejectedError("the settings are wrong", flaws=[flaw_in(str(error))]) from None
    return WebhookChannel(WebhookSettings(), Guard(endpoint_settings, listen=[address]), clock)


def flaw_in(message: str) -> Flaw:
    """Return the flaw of a message that begins with the path of what is wrong."""
    path, _, detail = message.partition(": ")
    return Flaw(path, detail)


def _controller(settings: Settings) -> Controller:
    wishes = settings.controllers or [{"driver": "embedded"}]
    if len(wishes) > 1:
        flaw = Flaw("controllers[1]", "one controller at a time is supported by this version")
        raise RejectedError("the settings are wrong", flaws=[flaw])
    controller: Controller = plugins.make(plugins.CONTROLLERS, wishes[0], path="controllers[0]")
    return controller


def _monitors(settings: Settings) -> list[Monitor]:
    return [
        plugins.make(plugins.MONITORS, wish, path=f"monitors[{index}]")
        for index, wish in enumerate(settings.monitors)
    ]
