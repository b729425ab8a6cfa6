"""The door to subscriptions [D 5.5.1]: who wants to be told what, and where."""

from collections.abc import Callable
from itertools import islice
from typing import Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Owned, info_of
from doctor.api.paging import Page, PageQuery, page_of
from doctor.api.roles import OWNERS, READERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.subscription import (
    HeldOut,
    SubscribeRequest,
    SubscribeResponse,
    SubscriptionOut,
    SubscriptionPatch,
    TestResults,
    WaitingOut,
    filter_of,
    policy_of,
    shown,
    tested,
    warnings_of,
    wishes_of,
)
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.model.notification import VirtualResourceInfo
from doctor.model.subscription import Subscription
from doctor.notifier.matching import alarm_matches, resource_matches
from doctor.notifier.restraint import Restraint

MOST_HELD_SHOWN = 100

_KEYS: dict[str, Callable[[Subscription], Key]] = {"created": lambda one: microseconds(one.created)}


class SubscriptionQuery(PageQuery, frozen=True, kw_only=True):
    """The order of the subscriptions."""

    sort: Literal["created", "-created"] = "created"


class SubscriptionsDoor(Owned):
    """The operations on subscriptions."""

    def __init__(self, situation: Situation, subscriptions: SubscriptionFlow) -> None:
        super().__init__(situation)
        self._subscriptions = subscriptions

    @operation(
        "POST",
        "/v1/subscriptions",
        tag="Subscriptions",
        roles=OWNERS,
        answers={
            201: "The subscription, in force for the very next event, and the state of its resources now."
        },
        example={
            "subscribe_filter": {"min_severity": "warning"},
            "endpoints": [{"url": "https://vnfm.example/doctor"}],
        },
    )
    async def subscribe(self, call: Call[SubscribeRequest, None]) -> Answer[SubscribeResponse]:
        """Subscribe to faults.

        An empty filter is all that is mine. Endpoints are tested with a GET; one that does not answer is told in
        `warnings` and tried again at the first notification. SubscribeRequest of [D 5.5.1].
        """
        given = call.body
        subscription, probed = await self._subscriptions.create(
            call.identity,
            filter_of(given.subscribe_filter),
            wishes_of(given.endpoints),
            resource_ids=given.subscribe_filter.virtual_resource_id,
            policy=policy_of(given.policy),
        )
        page = self._state_of(subscription, given.subscribe_filter.virtual_resource_id)
        answer = SubscribeResponse(
            subscription_id=subscription.subscription_id,
            virtual_resource_info=page.items,
            next=page.next,
            warnings=warnings_of(probed),
        )
        return Answer(answer, 201, {"Location": f"/v1/subscriptions/{subscription.subscription_id}"})

    @operation("GET", "/v1/subscriptions", tag="Subscriptions", roles=READERS)
    async def list_subscriptions(self, call: Call[None, SubscriptionQuery]) -> Answer[Page[SubscriptionOut]]:
        """List my subscriptions, the oldest first unless asked otherwise."""
        query = call.query
        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.subscription_id)
        rows = self._subscriptions.all(call.identity)
        return Answer(await sorted_page(rows, query, order, lambda _: True, self._shown))

    @operation("GET", "/v1/subscriptions/{subscription_id}", tag="Subscriptions", roles=READERS)
    async def get_subscription(self, call: Call[None, None]) -> Answer[SubscriptionOut]:
        """Show a subscription."""
        return Answer(self._shown(self._subscriptions.get(call.identity, call.path["subscription_id"])))

    @operation("PATCH", "/v1/subscriptions/{subscription_id}", tag="Subscriptions", roles=OWNERS)
    async def change_subscription(self, call: Call[SubscriptionPatch, None]) -> Answer[SubscriptionOut]:
        """Change a subscription: what is given is replaced, what is missing stays.

        An endpoint that stays keeps its place in the sequence, and its secret unless a new one is given.
        """
        given = call.body
        asked, endpoints, policy = given.subscribe_filter, given.endpoints, given.policy
        updated = await self._subscriptions.update(
            call.identity,
            call.path["subscription_id"],
            asked=None if asked is msgspec.UNSET else filter_of(asked),
            wishes=None if endpoints is msgspec.UNSET else wishes_of(endpoints),
            resource_ids=[] if asked is msgspec.UNSET else asked.virtual_resource_id,
            policy=None if policy is msgspec.UNSET else policy_of(policy),
        )
        return Answer(self._shown(updated))

    @operation(
        "DELETE",
        "/v1/subscriptions/{subscription_id}",
        tag="Subscriptions",
        roles=OWNERS,
        answers={204: "It is gone, with its notifications."},
    )
    async def unsubscribe(self, call: Call[None, None]) -> Answer[None]:
        """Delete a subscription."""
        await self._subscriptions.delete(call.identity, call.path["subscription_id"])
        return Answer(None, 204)

    @operation("POST", "/v1/subscriptions/{subscription_id}/test", tag="Subscriptions", roles=OWNERS)
    async def test_subscription(self, call: Call[None, None]) -> Answer[TestResults]:
        """Test the endpoints of a subscription: a GET to each, any HTTP answer counts, no sequence is used."""
        subscription = self._subscriptions.get(call.identity, call.path["subscription_id"])
        return Answer(tested(await self._subscriptions.probe(subscription)))

    def _shown(self, subscription: Subscription) -> SubscriptionOut:
        situation, key = self._situation, subscription.subscription_id
        restraint = situation.restraints.get(key, Restraint())
        held = [
            HeldOut(
                alarm_id=alarm_id,
                resource_id=found[1].resource_id,
                isolation=situation.describer(subscription.project).isolation_of(host),
            )
            for alarm_id, host in islice(restraint.held.items(), MOST_HELD_SHOWN)
            if (found := situation.book.alarm(alarm_id)) is not None
        ]
        unacknowledged = sum(owner == key for owner, _ in situation.open.values())
        return shown(
            subscription,
            sequence=situation.last_sequence(key),
            waiting=WaitingOut(held=len(restraint.held), unacknowledged=unacknowledged, first_held=held),
        )

    def _state_of(self, subscription: Subscription, named: list[str]) -> Page[VirtualResourceInfo]:
        """Return the subscribed resources now: named ones always, others when something is wrong with them."""
        asked = subscription.filter
        describer = self._situation.describer(subscription.project)
        resources = self._situation.resources.virtual
        ids = dict.fromkeys(named) if named else self._troubled(subscription.project)
        rows = []
        for resource_id in ids:
            kind = resources[resource_id].type if resource_id in resources else ""
            told = [
                pair for pair in self._alarms_on(resource_id) if alarm_matches(asked, pair[0].fault, pair[1])
            ]
            if named or (told and resource_matches(asked, resource_id, kind)):
                rows.append((resource_id, told, kind))
        limit = len(rows) if named else PageQuery().limit
        return page_of(rows, max(limit, 1), lambda row: info_of(describer, *row), lambda row: row[0])
