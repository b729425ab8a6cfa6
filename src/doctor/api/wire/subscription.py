"""The shapes of subscriptions [D 5.5.1]."""

from datetime import datetime, timedelta
from typing import Annotated, Literal

import msgspec

from doctor.flows.subscription import EndpointWish, Probed
from doctor.kit.signature import parse_secret
from doctor.kit.times import parse_duration
from doctor.model.errors import Flaw, RejectedError
from doctor.model.fault import Severity, severity_of
from doctor.model.notification import VirtualResourceInfo
from doctor.model.resource import VIRTUAL_RESOURCE_TYPES, Isolation
from doctor.model.subscription import (
    Acknowledge,
    Aggregate,
    EventKind,
    SubscribeFilter,
    Subscription,
    TellingPolicy,
    When,
)

MOST_ENDPOINTS = 100  # of which the settings allow as many as they like
SHORTEST_HEARTBEAT = timedelta(seconds=1)
SHORTEST_DETECTION = timedelta(milliseconds=10)
LONGEST_HEARTBEAT = timedelta(hours=1)

Duration = Annotated[str, msgspec.Meta(max_length=64)] | float | int
Word = Annotated[str, msgspec.Meta(min_length=1, max_length=255)]
Words = Annotated[list[Word], msgspec.Meta(max_length=1000)]


class SubscribeFilterIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """SubscribeFilterClass [D 5.4]. An empty or missing list is no restriction; an empty filter is all that is mine.

    The services of the VIM are nobody's: `vim` is told to those who name it in ``event``.
    """

    virtual_resource_type: Words = []
    virtual_resource_id: Words = []
    fault_type: Words = []
    probable_cause: Words = []
    min_severity: str | int | None = None
    event: Annotated[list[EventKind], msgspec.Meta(max_length=4)] = []


class AggregateIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Tell of a redundancy group only when more than ``more_than`` of it (of the role) are out at the same time.

    ``group`` is one of mine. ``within`` (ISO 8601 or seconds) lets only failures count that began within it.
    """

    group: Word
    role: Word | None = None
    more_than: Annotated[int, msgspec.Meta(ge=0, le=1_000_000)] = 2
    within: Duration | None = None


class EndpointIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """Where to tell. ``secret`` (``whsec_`` and base64) makes Doctor sign as Standard Webhooks do."""

    url: Annotated[str, msgspec.Meta(min_length=1, max_length=2048)]
    format: Literal["doctor", "cloudevents", "aodh", "fenix", "fenix-aodh"] = "doctor"
    secret: Annotated[str, msgspec.Meta(max_length=255)] | None = None


class PolicyIn(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """How to tell.

    ``when: isolated`` waits until a dead host can do no more harm. ``clear`` and ``change`` are whether of ends and of
    changes; ``batch`` is one notification for all that one cause did. With ``acknowledge: explicit`` a notification is
    sent again until it is acknowledged. ``heartbeat`` (``PT1S`` to ``PT1H``) is after how much silence to say so.
    ``detection`` (``PT0.01S`` to ``PT1H``) is how often the hosts of one's machines should be looked at; the operator says how
    much of that is heeded.
    """

    when: When = When.DETECTED
    clear: bool = True
    change: bool = True
    batch: Literal[True] = True
    aggregate: AggregateIn | None = None
    acknowledge: Acknowledge = Acknowledge.HTTP
    heartbeat: Duration | None = None
    detection: Duration | None = None


class SubscribeRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """SubscribeRequest [D 5.5.1]. Without endpoints the notifications wait to be pulled."""

    subscribe_filter: SubscribeFilterIn = msgspec.field(default_factory=SubscribeFilterIn)
    endpoints: Annotated[list[EndpointIn], msgspec.Meta(max_length=MOST_ENDPOINTS)] = []
    policy: PolicyIn = msgspec.field(default_factory=PolicyIn)


class SubscriptionPatch(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """What to change; what is missing stays."""

    subscribe_filter: SubscribeFilterIn | msgspec.UnsetType = msgspec.UNSET
    endpoints: Annotated[list[EndpointIn], msgspec.Meta(max_length=MOST_ENDPOINTS)] | msgspec.UnsetType = (
        msgspec.UNSET
    )
    policy: PolicyIn | msgspec.UnsetType = msgspec.UNSET


class Warned(msgspec.Struct, frozen=True):
    """Something to mind that did not stop the request."""

    pointer: str
    detail: str


class SubscribeResponse(msgspec.Struct, frozen=True, kw_only=True):
    """SubscribeResponse [D 5.5.1]: the state of the subscribed resources now.

    Named resources are there always, others when they are not normal; ``next`` continues at `GET /v1/faults`.
    """

    subscription_id: str
    virtual_resource_info: list[VirtualResourceInfo]
    next: str | None
    warnings: list[Warned]


class EndpointOut(msgspec.Struct, frozen=True, kw_only=True):
    """An endpoint; its secret is never shown."""

    endpoint_id: str
    url: str
    format: str
    signed: bool


class SubscribeFilterOut(msgspec.Struct, frozen=True, kw_only=True):
    """SubscribeFilterClass as it is in force."""

    virtual_resource_type: list[str]
    virtual_resource_id: list[str]
    fault_type: list[str]
    probable_cause: list[str]
    min_severity: str | None
    event: list[EventKind]


class AggregateOut(msgspec.Struct, frozen=True, kw_only=True):
    """The redundancy group that is told of as a whole."""

    group: str
    role: str | None
    more_than: int
    within: timedelta | None


class PolicyOut(msgspec.Struct, frozen=True, kw_only=True):
    """How the subscriber is told."""

    when: When
    clear: bool
    change: bool
    batch: bool = True
    aggregate: AggregateOut | None
    acknowledge: Acknowledge
    heartbeat: timedelta | None
    detection: timedelta | None = None


class HeldOut(msgspec.Struct, frozen=True, kw_only=True):
    """An alarm that is not told before its host is isolated."""

    alarm_id: str
    resource_id: str
    isolation: Isolation


class WaitingOut(msgspec.Struct, frozen=True, kw_only=True):
    """What waits: alarms for isolation (``first_held`` has 100 of them), notifications for their acknowledgement."""

    held: int
    unacknowledged: int
    first_held: list[HeldOut]


class SubscriptionOut(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription. ``project`` is null for the Administrator's; ``sequence`` is that of the last notification."""

    subscription_id: str
    project: str | None
    subscribe_filter: SubscribeFilterOut
    endpoints: list[EndpointOut]
    policy: PolicyOut
    created: datetime
    sequence: int
    waiting: WaitingOut


class TestResult(msgspec.Struct, frozen=True, kw_only=True):
    """Whether an endpoint answered its test."""

    __test__ = False

    endpoint_id: str
    url: str
    ok: bool
    detail: str | None


class TestResults(msgspec.Struct, frozen=True, kw_only=True):
    """How the endpoints of a subscription answered."""

    __test__ = False

    results: list[TestResult]


def filter_of(given: SubscribeFilterIn) -> SubscribeFilter:
    """Read a filter.

    Raises:
        RejectedError: a severity or a type of resource that does not exist.
    """
    flaws = [
        Flaw(
            f"/subscribe_filter/virtual_resource_type/{index}",
            f"use one of: {', '.join(VIRTUAL_RESOURCE_TYPES)}",
        )
        for index, name in enumerate(given.virtual_resource_type)
        if name not in VIRTUAL_RESOURCE_TYPES
    ]
    min_severity = Severity.CLEARED
    if given.min_severity is not None:
        try:
            min_severity = severity_of(given.min_severity)
        except ValueError as error:
            flaws.append(Flaw("/subscribe_filter/min_severity", str(error)))
    if flaws:
        raise RejectedError("the filter is wrong", flaws=flaws)
    return SubscribeFilter(
        virtual_resource_type=frozenset(given.virtual_resource_type),
        virtual_resource_id=frozenset(given.virtual_resource_id),
        fault_type=frozenset(given.fault_type),
        probable_cause=frozenset(given.probable_cause),
        min_severity=min_severity,
        event=frozenset(given.event),
    )


def policy_of(given: PolicyIn) -> TellingPolicy:
    """Read how somebody wants to be told.

    Raises:
        RejectedError: a duration that is none, or too short or too long.
    """
    flaws: list[Flaw] = []
    heartbeat = _duration(given.heartbeat, "/policy/heartbeat", flaws)
    if heartbeat is not None and not SHORTEST_HEARTBEAT <= heartbeat <= LONGEST_HEARTBEAT:
        flaws.append(Flaw("/policy/heartbeat", "must be from 1 second (PT1S) to 1 hour (PT1H)"))
    detection = _duration(given.detection, "/policy/detection", flaws)
    if detection is not None and not SHORTEST_DETECTION <= detection <= LONGEST_HEARTBEAT:
        flaws.append(Flaw("/policy/detection", "must be from 10 milliseconds (PT0.01S) to 1 hour (PT1H)"))
    aggregate = None
    if given.aggregate is not None:
        wish = given.aggregate
        within = _duration(wish.within, "/policy/aggregate/within", flaws)
        if within is not None and not within:
            flaws.append(Flaw("/policy/aggregate/within", "must be more than nothing; leave it out for ever"))
        aggregate = Aggregate(group=wish.group, role=wish.role, more_than=wish.more_than, within=within)
    if flaws:
        raise RejectedError("the policy is wrong", flaws=flaws)
    return TellingPolicy(
        clear=given.clear,
        change=given.change,
        when=given.when,
        aggregate=aggregate,
        acknowledge=given.acknowledge,
        heartbeat=heartbeat,
        detection=detection,
    )


def _duration(given: str | float | int | None, pointer: str, flaws: list[Flaw]) -> timedelta | None:
    if given is None:
        return None
    try:
        return parse_duration(given)
    except ValueError as error:
        flaws.append(Flaw(pointer, str(error)))
        return None


def wishes_of(given: list[EndpointIn]) -> list[EndpointWish]:
    """Read endpoints.

    Raises:
        RejectedError: a secret that is none.
    """
    flaws = []
    for index, endpoint in enumerate(given):
        if endpoint.secret is not None:
            try:
                parse_secret(endpoint.secret)
            except ValueError as error:
                flaws.append(Flaw(f"/endpoints/{index}/secret", str(error)))
    if flaws:
        raise RejectedError("a secret is wrong", flaws=flaws)
    return [EndpointWish(endpoint.url, endpoint.format, endpoint.secret) for endpoint in given]


def warnings_of(probed: list[Probed]) -> list[Warned]:
    """Say which endpoints did not answer their test."""
    return [
        Warned(f"/endpoints/{index}/url", f"{one.endpoint.url}: {one.remark}")
        for index, one in enumerate(probed)
        if one.remark is not None
    ]


def shown(subscription: Subscription, *, sequence: int, waiting: WaitingOut) -> SubscriptionOut:
    """Return a subscription as its owner sees it."""
    asked = subscription.filter
    return SubscriptionOut(
        subscription_id=subscription.subscription_id,
        project=subscription.project,
        subscribe_filter=SubscribeFilterOut(
            virtual_resource_type=sorted(asked.virtual_resource_type),
            virtual_resource_id=sorted(asked.virtual_resource_id),
            fault_type=sorted(asked.fault_type),
            probable_cause=sorted(asked.probable_cause),
            min_severity=asked.min_severity.perceived if asked.min_severity else None,
            event=[kind for kind in sorted(EventKind) if asked.asks_for(kind, subscription.project)],
        ),
        endpoints=[
            EndpointOut(
                endpoint_id=endpoint.endpoint_id,
                url=endpoint.url,
                format=endpoint.format,
                signed=endpoint.secret is not None,
            )
            for endpoint in subscription.endpoints
        ],
        policy=PolicyOut(
            when=subscription.when,
            clear=subscription.clear,
            change=subscription.change,
            aggregate=_aggregate_out(subscription.aggregate),
            acknowledge=subscription.acknowledge,
            heartbeat=subscription.heartbeat,
            detection=subscription.detection,
        ),
        created=subscription.created,
        sequence=sequence,
        waiting=waiting,
    )


def _aggregate_out(wish: Aggregate | None) -> AggregateOut | None:
    if wish is None:
        return None
    return AggregateOut(group=wish.group, role=wish.role, more_than=wish.more_than, within=wish.within)


def tested(probed: list[Probed]) -> TestResults:
    """Return how endpoints answered."""
    return TestResults(
        results=[
            TestResult(
                endpoint_id=one.endpoint.endpoint_id,
                url=one.endpoint.url,
                ok=one.remark is None,
                detail=one.remark,
            )
            for one in probed
        ]
    )
