"""The doors to what became of notifications: acknowledged or not, parked, sent once more [I-18, I-20]."""

from datetime import datetime
from typing import Annotated

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import OWNERS, READERS
from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.replay import Replay, ReplayFlow
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.model.errors import Reason, RejectedError
from doctor.model.identity import Identity
from doctor.model.notification import Delivery, DeliveryState, Notification, StoredNotification
from doctor.model.subscription import Acknowledge, Subscription

Sequence = Annotated[int, msgspec.Meta(ge=1, le=2**53 - 1)]


class DeliveryOut(msgspec.Struct, frozen=True, kw_only=True):
    """How a notification ended at one endpoint. ``url`` is null when the subscription has it no more."""

    sequence: int
    endpoint_id: str
    url: str | None
    state: DeliveryState
    attempts: int
    told: datetime | None
    received: datetime | None
    error: str


class NotificationState(msgspec.Struct, frozen=True, kw_only=True):
    """A notification, and how it stands. ``open`` is whether its acknowledgement is awaited.

    An endpoint that is not in ``deliveries`` is still to be told.
    """

    notification_id: str
    subscription_id: str
    sequence: int
    acknowledge: Acknowledge
    open: bool
    deliveries: list[DeliveryOut]
    notification: Notification


class ReplayRequest(
    msgspec.Struct, forbid_unknown_fields=True, kw_only=True, rename={"first": "from", "last": "to"}
):
    """What to send once more: sequences from ``from`` to ``to``, 1,000 at most.

    With ``parked_only`` only what was given up; without an ``endpoint_id`` to all endpoints.
    """

    first: Sequence
    last: Sequence
    parked_only: bool = True
    endpoint_id: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None


class ReplayAnswer(msgspec.Struct, frozen=True, kw_only=True):
    """How many deliveries will be made."""

    deliveries: int


class DeliveriesDoor:
    """The operations on what is told and was told."""

    def __init__(
        self,
        situation: Situation,
        subscriptions: SubscriptionFlow,
        acknowledgements: AcknowledgementFlow,
        replays: ReplayFlow,
    ) -> None:
        self._situation = situation
        self._subscriptions = subscriptions
        self._acknowledgements = acknowledgements
        self._replays = replays

    @operation(
        "GET",
        "/v1/notifications/{notification_id}",
        tag="Notifications",
        roles=READERS,
        answers={404: "There is no such notification."},
    )
    async def get_notification(self, call: Call[None, None]) -> Answer[NotificationState]:
        """Show a notification, who received it, and whether it is still to be acknowledged."""
        found, subscription = await self._find(call.identity, call.path["notification_id"])
        rows = await self._situation.store.deliveries(
            found.subscription_id, after=found.sequence - 1, limit=1
        )
        return Answer(
            NotificationState(
                notification_id=found.notification_id,
                subscription_id=found.subscription_id,
                sequence=found.sequence,
                acknowledge=subscription.acknowledge,
                open=found.notification_id in self._situation.open,
                deliveries=[_shown(row, subscription) for row in rows if row.sequence == found.sequence],
                notification=msgspec.json.decode(found.body, type=Notification),
            )
        )

    @operation(
        "POST",
        "/v1/notifications/{notification_id}/acknowledge",
        tag="Notifications",
        roles=OWNERS,
        answers={204: "It is not sent again."},
    )
    async def acknowledge(self, call: Call[None, None]) -> Answer[None]:
        """Acknowledge a notification of a subscription with `acknowledge: explicit`. Twice is not an error."""
        found, _ = await self._find(call.identity, call.path["notification_id"])
        await self._acknowledgements.acknowledge(found)
        return Answer(None, 204)

    @operation(
        "GET",
        "/v1/subscriptions/{subscription_id}/parked",
        tag="Subscriptions",
        roles=READERS,
        answers={404: "There is no such subscription."},
    )
    async def list_parked(self, call: Call[None, PageQuery]) -> Answer[Page[DeliveryOut]]:
        """List what an endpoint did not take and was given up, in sequence."""
        subscription = self._subscriptions.get(call.identity, call.path["subscription_id"])
        position = position_in(call.query.cursor, tuple[int, str]) or (0, "")
        rows = await self._replays.parked(
            subscription, after=max(position[0] - 1, 0), limit=call.query.limit + 2
        )
        left = [row for row in rows if _position(row) > position]
        return Answer(page_of(left, call.query.limit, lambda row: _shown(row, subscription), _position))

    @operation(
        "POST",
        "/v1/subscriptions/{subscription_id}/replay",
        tag="Subscriptions",
        roles=OWNERS,
        answers={202: "They are sent again, when nothing new waits for the endpoint."},
        example={"from": 17, "to": 19, "parked_only": True},
    )
    async def replay(self, call: Call[ReplayRequest, None]) -> Answer[ReplayAnswer]:
        """Send notifications once more: the same bytes under the same ids, with the header `doctor-replay`.

        What is still on its way is not sent twice. What is not taken this time stays parked.
        """
        subscription = self._subscriptions.get(call.identity, call.path["subscription_id"])
        given = call.body
        wish = Replay(given.first, given.last, given.parked_only, given.endpoint_id)
        return Answer(ReplayAnswer(deliveries=await self._replays.replay(subscription, wish)), 202)

    async def _find(
        self, identity: Identity, notification_id: str
    ) -> tuple[StoredNotification, Subscription]:
        found = await self._situation.store.notification(notification_id)
        if found is not None:
            try:
                return found, self._subscriptions.get(identity, found.subscription_id)
            except RejectedError:
                pass  # somebody else's: the same answer as for none
        raise RejectedError("there is no such notification", reason=Reason.NOT_FOUND)


def _shown(row: Delivery, subscription: Subscription) -> DeliveryOut:
    urls = {endpoint.endpoint_id: endpoint.url for endpoint in subscription.endpoints}
    return DeliveryOut(
        sequence=row.sequence,
        endpoint_id=row.endpoint_id,
        url=urls.get(row.endpoint_id),
        state=row.state,
        attempts=row.attempts,
        told=row.told,
        received=row.received,
        error=row.error,
    )


def _position(row: Delivery) -> tuple[int, str]:
    return row.sequence, row.endpoint_id
