"""What an endpoint did not take, or lost, is sent again when somebody asks for it [I-18, I-20]."""

from collections.abc import Sequence
from typing import NamedTuple

from doctor.flows.delivery import DeliveryFlow
from doctor.model.errors import Flaw, RejectedError
from doctor.model.notification import Delivery, DeliveryState
from doctor.model.subscription import Subscription
from doctor.ports.store import Store

MOST_AT_ONCE = 1_000


class Replay(NamedTuple):
    """What to send again: the sequences from ``first`` to ``last``, to one endpoint or (None) to all."""

    first: int
    last: int
    parked_only: bool = True
    endpoint_id: str | None = None


class ReplayFlow:
    """Lists what is parked, and sends again."""

    def __init__(self, store: Store, delivery: DeliveryFlow) -> None:
        self._store = store
        self._delivery = delivery

    async def parked(self, subscription: Subscription, *, after: int, limit: int) -> Sequence[Delivery]:
        """Return what was given up, in order of sequence; ``limit`` counts notifications."""
        return await self._store.deliveries(
            subscription.subscription_id, after=after, limit=limit, state=DeliveryState.PARKED
        )

    async def replay(self, subscription: Subscription, wish: Replay) -> int:
        """Send notifications again, the same bytes under the same ids; return how many deliveries that makes.

        What is still on its way is not sent twice. They go out in sequence, when nothing new waits for the endpoint.

        Raises:
            RejectedError: an endpoint that the subscription does not have, a range that is none or too long.
        """
        endpoints = [one for one in subscription.endpoints if wish.endpoint_id in (None, one.endpoint_id)]
        if not endpoints:
            flaw = (
                Flaw("/endpoint_id", "the subscription has no such endpoint")
                if wish.endpoint_id
                else Flaw("", "the subscription has no endpoints: pull its notifications")
            )
            raise RejectedError("there is nowhere to send it", flaws=[flaw])
        if wish.last < wish.first:
            raise RejectedError("the range is empty", flaws=[Flaw("/to", "must not be before `from`")])
        if wish.last - wish.first >= MOST_AT_ONCE:
            flaw = Flaw("/to", f"{MOST_AT_ONCE} notifications at once are the most: ask in pieces")
            raise RejectedError("the range is too long", flaws=[flaw])
        before, key = wish.first - 1, subscription.subscription_id
        ended = {
            (one.sequence, one.endpoint_id): one
            for one in await self._store.deliveries(key, after=before, limit=MOST_AT_ONCE)
        }
        sent = 0
        for notification in await self._store.notifications(key, after=before, limit=MOST_AT_ONCE):
            for endpoint in endpoints if notification.sequence <= wish.last else ():
                known = ended.get((notification.sequence, endpoint.endpoint_id))
                is_parked = known is not None and known.state is DeliveryState.PARKED
                is_settled = known is not None or notification.sequence <= endpoint.since
                if is_parked or (is_settled and not wish.parked_only):
                    attempt = 1 if known is None else known.attempts + 1
                    sent += self._delivery.repeat(
                        notification, endpoint.endpoint_id, attempt=attempt, replay=True
                    )
        return sent
