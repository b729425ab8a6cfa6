"""How a Consumer subscribes [D 5.5.1]: checked, tried out, kept, and in force for the very next event."""

import asyncio
from collections.abc import Sequence
from typing import NamedTuple
from uuid import uuid4

from msgspec.structs import asdict, replace

from doctor.flows.acknowledgement import AcknowledgementFlow
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.notices import Notices
from doctor.flows.situation import RESTRAINT_MEMO, Situation
from doctor.flows.step import Draft
from doctor.kit.clock import Clock
from doctor.kit.ids import stable_id
from doctor.model.errors import Flaw, Reason, RejectedError, StoreError
from doctor.model.identity import Identity
from doctor.model.subscription import (
    Acknowledge,
    Aggregate,
    Endpoint,
    SubscribeFilter,
    Subscription,
    TellingPolicy,
)
from doctor.notifier.aggregate import is_member
from doctor.ports.channel import Channel
from doctor.ports.store import Change, Memo

AS_SHIPPED = TellingPolicy()


class SubscriptionLimits(NamedTuple):
    """How many subscriptions a project may have, and how many endpoints a subscription."""

    per_project: int = 100
    endpoints: int = 10


LIMITS = SubscriptionLimits()


class EndpointWish(NamedTuple):
    """An endpoint as it was asked for; without a secret an endpoint that stays keeps its own."""

    url: str
    format: str
    secret: str | None


class Probed(NamedTuple):
    """How the test of an endpoint went: ``remark`` is None if it answered."""

    endpoint: Endpoint
    remark: str | None


class SubscriptionFlow:
    """Creates, changes and deletes subscriptions. The scope of an identity is a required argument everywhere."""

    def __init__(
        self,
        situation: Situation,
        delivery: DeliveryFlow,
        acknowledgements: AcknowledgementFlow,
        channel: Channel,
        clock: Clock,
        limits: SubscriptionLimits = LIMITS,
    ) -> None:
        self._situation = situation
        self._delivery = delivery
        self._acknowledgements = acknowledgements
        self._channel = channel
        self._clock = clock
        self.limits = limits
        self._notices = Notices(situation)
        self._changing = asyncio.Lock()  # two who change one subscription do it one after the other

    async def create(
        self,
        identity: Identity,
        asked: SubscribeFilter,
        wishes: Sequence[EndpointWish],
        *,
        resource_ids: Sequence[str],
        policy: TellingPolicy = AS_SHIPPED,
    ) -> tuple[Subscription, list[Probed]]:
        """Subscribe; returns the subscription and how its endpoints answered their test.

        ``resource_ids`` are the named ids in the order of the request, for pointing at the wrong ones.

        Raises:
            RejectedError: somebody else's or unknown resources, an endpoint that may not be used, too many.
        """
        scope = identity.scope
        self._check_resources(scope, resource_ids)
        self._check_group(scope, policy.aggregate)
        self._check_room(scope)
        subscription_id = str(uuid4())
        subscription = Subscription(
            subscription_id=subscription_id,
            project=scope,
            filter=asked,
            endpoints=self._endpoints(subscription_id, wishes),
            created=self._clock.now(),
            **asdict(policy),
        )
        probed = await self.probe(subscription)
        async with self._changing:
            self._check_room(scope)
            await self._put(subscription, None)
        return subscription, probed

    async def update(
        self,
        identity: Identity,
        subscription_id: str,
        *,
        asked: SubscribeFilter | None,
        wishes: Sequence[EndpointWish] | None,
        resource_ids: Sequence[str],
        policy: TellingPolicy | None = None,
    ) -> Subscription:
        """Change what is given and leave the rest.

        Raises:
            RejectedError: as for `create`, or there is no such subscription.
        """
        async with self._changing:
            await self._situation.ready()  # a new endpoint begins behind the last sequence that was kept
            known = self.get(identity, subscription_id)
            self._check_resources(known.project, resource_ids)
            if policy is not None:
                self._check_group(known.project, policy.aggregate)
            updated = replace(
                known,
                filter=known.filter if asked is None else asked,
                endpoints=known.endpoints
                if wishes is None
                else self._endpoints(subscription_id, wishes, known),
                **({} if policy is None else asdict(policy)),
            )
            await self._put(updated, known)
            return updated

    async def delete(self, identity: Identity, subscription_id: str) -> None:
        """Tell nothing more, and forget what was told."""
        async with self._changing:
            self.get(identity, subscription_id)
            await self._situation.ready()
            memos = [Memo(kind=RESTRAINT_MEMO, key=subscription_id, record=None)]
            await self._situation.keep(Change(forget_subscriptions=[subscription_id], memos=memos))
            self._situation.subscriptions.remove(subscription_id)
            self._situation.restraints.pop(subscription_id, None)
            self._acknowledgements.forget(subscription_id)
            self._delivery.forget(subscription_id)

    def get(self, identity: Identity, subscription_id: str) -> Subscription:
        """Return a subscription of the identity's scope.

        Raises:
            RejectedError: there is none, or it is somebody else's: the same answer for both.
        """
        found = self._situation.subscriptions.get(subscription_id)
        if found is None or (identity.scope is not None and found.project != identity.scope):
            raise RejectedError("there is no such subscription", reason=Reason.NOT_FOUND)
        return found

    def all(self, identity: Identity) -> list[Subscription]:
        """Return the subscriptions that the identity may see, the oldest first."""
        scope = identity.scope
        subscriptions = self._situation.subscriptions
        found = subscriptions if scope is None else subscriptions.of(scope)
        return sorted(found, key=lambda one: (one.created, one.subscription_id))

    async def probe(self, subscription: Subscription) -> list[Probed]:
        """Ask each endpoint whether it is there, all at once; no sequence is used."""
        remarks = await asyncio.gather(
            *(self._channel.probe(endpoint) for endpoint in subscription.endpoints)
        )
        return [Probed(*pair) for pair in zip(subscription.endpoints, remarks, strict=True)]

    async def _put(self, subscription: Subscription, former: Subscription | None) -> None:
        """Put a subscription in force, and with it, or not at all, what it changes for what was held back before."""
        situation, subscription_id = self._situation, subscription.subscription_id
        await situation.ready()
        draft = Draft(self._clock.now())
        draft.change.subscriptions.append(subscription)
        situation.subscriptions.put(subscription)
        if subscription.is_patient or (former is not None and former.is_patient):
            self._notices.regroup(subscription, draft, former=former)
            self._notices.settle(subscription, draft)
        try:
            await situation.keep(draft.change)
        except StoreError:
            if situation.subscriptions.get(subscription_id) is subscription:  # else a reading has decided
                situation.subscriptions.remove(subscription_id)
                if former is not None:
                    situation.subscriptions.put(former)
            raise
        self._delivery.follow(subscription)
        self._delivery.dispatch(draft.change.notifications)
        if subscription.acknowledge is Acknowledge.HTTP:
            self._acknowledgements.forget(subscription_id)

    def _check_room(self, scope: str | None) -> None:
        most = self.limits.per_project
        if len(self._situation.subscriptions.of(scope)) >= most:
            raise RejectedError(
                f"a project has {most} subscriptions at most: delete some, or ask the operator for more"
                " (limits.subscriptions_per_project)",
                reason=Reason.TOO_MANY,
            )

    def _check_group(self, scope: str | None, wish: Aggregate | None) -> None:
        if wish is None:
            return
        resources = self._situation.resources
        owned = resources.owned_by(scope) if scope is not None else ()
        machines = [resources.virtual[resource_id] for resource_id in owned]
        if any(is_member(wish, scope, machine) for machine in machines):
            return
        whole = replace(wish, role=None)
        if any(is_member(whole, scope, machine) for machine in machines):
            flaw = Flaw("/policy/aggregate/role", f"nobody in your group {wish.group!r} has this role")
        elif scope is None:
            flaw = Flaw("/policy/aggregate/group", "a group is its owner's: the Administrator has none")
        else:
            flaw = Flaw("/policy/aggregate/group", "none of your resources is in a group of this name")
        raise RejectedError("there is no such redundancy group", flaws=[flaw])

    def _check_resources(self, scope: str | None, resource_ids: Sequence[str]) -> None:
        resources = self._situation.resources
        flaws = []
        for index, resource_id in enumerate(resource_ids):
            found = resources.virtual.get(resource_id)
            if found is None or (scope is not None and found.owner != scope):
                pointer = f"/subscribe_filter/virtual_resource_id/{index}"
                flaws.append(Flaw(pointer, "not yours or unknown"))
        if flaws:
            raise RejectedError(
                f"{len(flaws)} of {len(resource_ids)} resources are not yours or do not exist", flaws=flaws
            )

    def _endpoints(
        self, subscription_id: str, wishes: Sequence[EndpointWish], known: Subscription | None = None
    ) -> tuple[Endpoint, ...]:
        if len(wishes) > self.limits.endpoints:
            flaw = Flaw("/endpoints", f"{len(wishes)} endpoints; {self.limits.endpoints} is the most")
            raise RejectedError("a subscription has too many endpoints", flaws=[flaw])
        former = {endpoint.endpoint_id: endpoint for endpoint in known.endpoints} if known else {}
        endpoints: dict[str, Endpoint] = {}
        flaws = []
        for index, wish in enumerate(wishes):
            endpoint_id = stable_id("endpoint", subscription_id, wish.url, wish.format)
            before = former.get(endpoint_id)
            endpoint = Endpoint(
                endpoint_id=endpoint_id,
                url=wish.url,
                format=wish.format,
                secret=wish.secret or (before.secret if before else None),
                since=before.since if before else self._situation.last_sequence(subscription_id),
            )
            refusal = self._channel.check(endpoint)
            if refusal is not None:
                flaws.append(Flaw(f"/endpoints/{index}/url", refusal))
            elif endpoint_id in endpoints:
                flaws.append(Flaw(f"/endpoints/{index}/url", "is there twice"))
            endpoints[endpoint_id] = endpoint
        if flaws:
            raise RejectedError(f"{len(flaws)} of {len(wishes)} endpoints cannot be used", flaws=flaws)
        return tuple(endpoints.values())
