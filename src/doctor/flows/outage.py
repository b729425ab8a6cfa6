"""The Administrator hears of Consumers that cannot be reached [I-18].

An endpoint that has not answered for some seconds becomes a fault like any other, `consumer.unreachable`, whose
resource is the subscription; it ends when all endpoints of the subscription answer again. The delivery flow says what
it meets, and does not wait: reporting is done here, one after the other.
"""

import asyncio
from collections import deque

import msgspec
import structlog

from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow, Reported
from doctor.flows.judgement import OWN
from doctor.flows.situation import Situation
from doctor.kit import retry
from doctor.kit.clock import Clock
from doctor.model.errors import StoreError
from doctor.model.event import RawEvent
from doctor.model.subscription import Endpoint

log = structlog.get_logger(__name__)

UNREACHABLE = "consumer.unreachable"
CONSUMER = "consumer"


class OutageFlow:
    """Turns what the delivery flow meets into events. `run` reports them."""

    def __init__(self, situation: Situation, delivery: DeliveryFlow, faults: FaultFlow, clock: Clock) -> None:
        self._situation = situation
        self._delivery = delivery
        self._faults = faults
        self._clock = clock
        self._failing: dict[str, set[str]] = {}
        self._events: deque[RawEvent] = deque()
        self._more = asyncio.Event()
        delivery.on_outage = self

    async def run(self) -> None:
        """Report until cancelled; nothing is lost while the store is away."""
        self._take_over()
        attempt = 1
        while True:
            if not self._events:
                self._more.clear()
                await self._more.wait()
            event = self._events[0]
            try:
                body = msgspec.json.encode(event)
                await self._faults.accept([Reported([event], OWN, body, self._clock.now())])
            except StoreError:
                attempt += 1
                await asyncio.sleep(retry.delay_before(attempt))
            else:
                attempt = 1
                self._events.popleft()

    def unreachable(self, subscription_id: str, endpoint: Endpoint, error: str) -> None:
        """Report that an endpoint does not answer."""
        self._failing.setdefault(subscription_id, set()).add(endpoint.endpoint_id)
        self._say(
            subscription_id,
            "down",
            {"endpoint_id": endpoint.endpoint_id, "url": endpoint.url, "cause": error},
        )

    def back(self, subscription_id: str, endpoint: Endpoint) -> None:
        """Report that a Consumer can be reached, when the last of its endpoints can."""
        failing = self._failing.get(subscription_id, set())
        failing.discard(endpoint.endpoint_id)
        if not failing:
            self._failing.pop(subscription_id, None)
            self._say(subscription_id, "up", {"endpoint_id": endpoint.endpoint_id, "url": endpoint.url})

    def _take_over(self) -> None:
        """Go on with the faults that were open before a restart; end those of Consumers that are gone."""
        for record in list(self._situation.book):
            fault = record.fault
            if fault.resource_type == CONSUMER:
                endpoint_id = str(fault.details.get("endpoint_id", ""))
                if self._delivery.remember_outage(fault.resource_id, endpoint_id):
                    self._failing.setdefault(fault.resource_id, set()).add(endpoint_id)
                else:
                    self._say(fault.resource_id, "up", {})

    def _say(self, subscription_id: str, status: str, details: dict[str, str]) -> None:
        subscription = self._situation.subscriptions.get(subscription_id)
        project = {"project": subscription.project} if subscription and subscription.project else {}
        self._events.append(
            RawEvent(
                time=self._clock.now(),
                type=UNREACHABLE,
                resource=subscription_id,
                resource_type=CONSUMER,
                source=OWN,
                status=status,
                raw_details=msgspec.json.encode({"status": status, **details, **project}),
            )
        )
        self._more.set()
