"""One Doctor from its start to its death, wired and started as the service does it."""

import asyncio
from collections.abc import Callable, Coroutine, Iterable
from typing import Any

from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.agenda import Agenda
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.fault import FaultFlow
from doctor.flows.heartbeat import Heartbeats
from doctor.flows.policy import PolicyFlow
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.inspector.catalogue import default_catalogue
from doctor.kit.clock import Clock
from doctor.model.notification import Delivery, StoredNotification
from doctor.model.resource_map import ResourceMap
from doctor.ports.channel import Channel
from doctor.ports.store import Store
from doctor.testing.simulation.loop import Process, SimLoop
from doctor.testing.simulation.nfvi import map_of

FLUSH_EVERY = 2.0

Work = Callable[["Doctor"], Coroutine[Any, Any, Any]]


class NoAnswerError(Exception):
    """Nobody knows what became of a request."""


class Doctor:
    """The flows of one process. What was asked of it and is not answered when it dies never will be."""

    def __init__(
        self,
        name: str,
        loop: SimLoop,
        store: Store,
        channel: Channel,
        clock: Clock,
        clouds: Iterable[str] = (),
    ) -> None:
        self.process = Process(name)
        self.tasks: list[asyncio.Task[Any]] = []
        self.open_requests: dict[asyncio.Future[Any], None] = {}
        self._loop = loop
        self.policies = PolicyFlow(default_catalogue(), clock)
        self.situation = Situation(store, self.policies.default(), clouds=clouds)
        self.timelines = Timelines(store)
        self.delivery = DeliveryFlow(
            store, channel, clock, self._on_delivered, heartbeat_of=Heartbeats(self.situation, clock).of
        )
        self.acknowledgements = AcknowledgementFlow(self.situation, self.delivery, clock)
        self.agenda = Agenda(clock)
        self.faults = FaultFlow(self.situation, self.delivery, self.timelines, self.agenda, clock)
        self.subscriptions = SubscriptionFlow(
            self.situation, self.delivery, self.acknowledgements, channel, clock
        )

    async def start(self) -> None:
        """Take over what the store has."""
        snapshot = await self.situation.load()
        if snapshot.resource_map is not None:
            self.situation.resources = self._read(snapshot.resource_map)
        await self.policies.start(self.situation, None)
        for subscription in self.situation.subscriptions:
            self.delivery.follow(subscription)
        self.faults.start()

    async def run(self, on_started: Callable[[], None]) -> None:
        """Start, and run until it dies."""
        await self.start()
        async with asyncio.TaskGroup() as tasks:
            for work in self.works():
                tasks.create_task(work)
            on_started()

    def works(self) -> list[Coroutine[Any, Any, None]]:
        """Return what runs side by side."""
        return [
            self.delivery.run(),
            self.situation.stay_ready(),
            self.agenda.run(),
            self.acknowledgements.run(),
            self._flush(),
        ]

    def _read(self, document: bytes) -> ResourceMap:
        """Return the map from before."""
        return map_of(document)

    async def _flush(self) -> None:
        while True:
            await asyncio.sleep(FLUSH_EVERY)
            self.timelines.flush()

    def _on_delivered(self, notification: StoredNotification, delivery: Delivery) -> None:
        if delivery.told and delivery.received:
            self.timelines.told(
                notification.fault_key,
                notification.subscription_id,
                notification.notification_id,
                delivery.told,
                delivery.received,
            )
        self.acknowledgements.delivered(notification, delivery)

    def begin(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Do something in this process."""
        task = self._loop.create_task(work, context=self.process.context)
        self.tasks.append(task)
        return task

    def ask(self, work: Work, way_back: float, *, answer_is_lost: bool) -> asyncio.Future[Any]:
        """Take a request; its answer comes a while after it is done, or never."""
        answer: asyncio.Future[Any] = self._loop.create_future()
        self.open_requests[answer] = None
        task = self.begin(work(self))

        def done(task: asyncio.Task[Any]) -> None:
            self.open_requests.pop(answer, None)
            failed = asyncio.CancelledError() if task.cancelled() else task.exception()
            if not answer_is_lost:
                self._loop.outside(
                    way_back, _answer, answer, failed, None if failed is not None else task.result()
                )

        task.add_done_callback(done)
        return answer

    def die(self) -> None:
        """Stop for good, in the middle of whatever is under way."""
        self.process.freeze()
        for answer in self.open_requests:
            _answer(answer, NoAnswerError("connection reset"), None)


def _answer(answer: asyncio.Future[Any], failed: BaseException | None, result: Any) -> None:
    if answer.done():
        return
    if failed is not None:
        answer.set_exception(failed)
        answer.exception()  # whoever asked may have gone
    else:
        answer.set_result(result)
