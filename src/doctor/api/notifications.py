"""The door to notifications by pulling [D 5.5.1]: the same messages as the endpoints get."""

from collections.abc import AsyncIterator
from typing import Annotated, cast

import msgspec

from doctor.api.operation import EVENT_STREAM, Answer, Call, ServerSentEvent, operation
from doctor.api.owned import Described
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import OWNERS, READERS
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.kit.clock import Clock
from doctor.model.errors import Reason, RejectedError
from doctor.model.identity import Identity
from doctor.model.notification import Notification

STREAM_PAGE = 100


class NotificationQuery(PageQuery, frozen=True, kw_only=True):
    """Notifications of one subscription with a sequence above ``after``."""

    subscription_id: Described
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The stream of one subscription, from the notification behind ``after`` on; without it, only what is new."""

    subscription_id: Described
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None


class NotificationsDoor:
    """The operations on notifications."""

    def __init__(
        self,
        situation: Situation,
        delivery: DeliveryFlow,
        subscriptions: SubscriptionFlow,
        timelines: Timelines,
        clock: Clock,
    ) -> None:
        self._situation = situation
        self._delivery = delivery
        self._subscriptions = subscriptions
        self._timelines = timelines
        self._clock = clock

    @operation(
        "GET",
        "/v1/notifications",
        tag="Notifications",
        roles=READERS,
        answers={200: "A page of messages.", 404: "There is no such subscription."},
    )
    async def list_notifications(self, call: Call[None, NotificationQuery]) -> Answer[Page[Notification]]:
        """Pull notifications: the same messages as the endpoints get, in sequence."""
        query = call.query
        subscription = self._subscriptions.get(call.identity, query.subscription_id)
        after = position_in(query.cursor, int)
        rows = await self._situation.store.notifications(
            subscription.subscription_id, after=query.after if after is None else after, limit=query.limit + 1
        )
        page = page_of(rows, query.limit, lambda row: msgspec.Raw(row.body), lambda row: row.sequence)
        return Answer(cast("Page[Notification]", page))

    @operation(
        "GET",
        "/v1/notifications/stream",
        tag="Notifications",
        roles=READERS,
        produces=EVENT_STREAM,
        answers={
            404: "There is no such subscription.",
            200: "Server-sent events: the id is the sequence, the event the notification_type, the data the message.",
        },
    )
    async def stream_notifications(
        self, call: Call[None, StreamQuery]
    ) -> Answer[AsyncIterator[ServerSentEvent]]:
        """Follow the notifications of a subscription.

        With `after` (or the header `Last-Event-ID`) it begins behind that sequence, so that nothing is missed over a
        broken connection.
        """
        subscription = self._subscriptions.get(call.identity, call.query.subscription_id)
        after = call.query.after
        last = call.headers.get("last-event-id", "")
        if after is None and last.isdigit() and len(last) < 16:
            after = int(last)
        if after is None:
            after = self._situation.last_sequence(subscription.subscription_id)
        return Answer(self._stream(call.identity, subscription.subscription_id, after))

    async def _stream(
        self, identity: Identity, subscription_id: str, after: int
    ) -> AsyncIterator[ServerSentEvent]:
        while True:
            watcher = self._delivery.watcher(subscription_id)
            rows = await self._situation.store.notifications(subscription_id, after=after, limit=STREAM_PAGE)
            for row in rows:
                after = row.sequence
                kind = msgspec.json.decode(row.body, type=_Kind).notification_type
                yield ServerSentEvent(id=str(row.sequence), event=kind, data=row.body.decode())
            if rows:
                continue
            await watcher.wait()
            try:
                self._subscriptions.get(identity, subscription_id)
            except RejectedError:
                return

    @operation(
        "POST",
        "/v1/notifications/{notification_id}/handled",
        tag="Notifications",
        roles=OWNERS,
        answers={204: "Noted."},
    )
    async def handled(self, call: Call[None, None]) -> Answer[None]:
        """Say that the fault is handled (checkpoint T8): the standby is active, say. Twice is not an error."""
        now = self._clock.now()
        found = await self._situation.store.notification(call.path["notification_id"])
        if found is None:
            raise RejectedError("there is no such notification", reason=Reason.NOT_FOUND)
        self._subscriptions.get(call.identity, found.subscription_id)
        await self._timelines.recall(found.fault_key)
        self._timelines.handled(found.fault_key, found.subscription_id, found.notification_id, now)
        return Answer(None, 204)


class _Kind(msgspec.Struct):
    notification_type: str
