"""The doors of the Consumers [D 5.5.1]: subscriptions, notifications by pulling, faults, alarms, their resources.

Every answer is kept to the scope of the one who asks: a project sees its own resources and nothing else, the
Administrator sees all. What is somebody else's is answered like what does not exist.
"""

from collections.abc import AsyncIterator, Iterator, Sequence
from datetime import datetime
from itertools import islice
from typing import Annotated, Any, Literal, cast

import msgspec

from doctor.api.operation import EVENT_STREAM, Answer, Call, ServerSentEvent, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import OWNERS, READERS
from doctor.api.wire.alarm import AlarmOut, alarm_out
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
from doctor.flows.delivery import DeliveryFlow
from doctor.flows.situation import Situation
from doctor.flows.subscription import SubscriptionFlow
from doctor.flows.timelines import Timelines
from doctor.kit.clock import Clock
from doctor.kit.times import in_utc
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.fault import ResourceState, Severity, severity_of
from doctor.model.identity import Identity
from doctor.model.notification import Notification, VirtualResourceInfo
from doctor.model.resource import VirtualResource
from doctor.model.subscription import Subscription
from doctor.notifier.matching import alarm_matches, resource_matches
from doctor.notifier.message import Describer
from doctor.notifier.restraint import Restraint

STORE_PAGE = 100
STREAM_PAGE = 100
MOST_HELD_SHOWN = 100
Described = Annotated[str, msgspec.Meta(max_length=255)]


class FaultQuery(PageQuery, frozen=True, kw_only=True):
    """FaultQueryFilterClass [D 5.4]. ``min_severity`` (a name or 0 to 5) is inclusive."""

    virtual_resource_type: list[Described] = []
    virtual_resource_id: list[Described] = []
    physical_resource_id: list[Described] = []
    zone_id: list[Described] = []
    fault_type: list[Described] = []
    fault_id: list[Described] = []
    probable_cause: list[Described] = []
    min_severity: str | None = None
    event_start_time: datetime | None = None
    event_end_time: datetime | None = None
    state: Literal["active"] = "active"


class AlarmQuery(PageQuery, frozen=True, kw_only=True):
    """Which alarms: active ones unless asked otherwise; cleared ones come newest first."""

    state: Literal["active", "cleared", "all"] = "active"
    min_severity: str | None = None
    resource_id: list[Described] = []
    fault_type: list[Described] = []
    fault_id: list[Described] = []


class NotificationQuery(PageQuery, frozen=True, kw_only=True):
    """Notifications of one subscription with a sequence above ``after``."""

    subscription_id: Described
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] = 0


class StreamQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The stream of one subscription, from the notification behind ``after`` on; without it, only what is new."""

    subscription_id: Described
    after: Annotated[int, msgspec.Meta(ge=0, le=2**53 - 1)] | None = None


class VirtualResourceQuery(PageQuery, frozen=True, kw_only=True):
    """Which virtual resources; ``owner`` is for the Administrator."""

    virtual_resource_id: list[Described] = []
    virtual_resource_type: list[Described] = []
    virtual_resource_state: list[ResourceState] = []
    owner: Described | None = None


class VirtualResourceOut(VirtualResourceInfo, frozen=True, gc=False, kw_only=True):
    """A virtual resource with what its owner gave it."""

    owner: str
    group: str | None
    role: str | None
    sal: int | str | None


class Northbound:
    """The operations of the Consumers."""

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

    # --- subscriptions ---

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
    async def list_subscriptions(self, call: Call[None, PageQuery]) -> Answer[Page[SubscriptionOut]]:
        """List my subscriptions, the oldest first."""
        after = position_in(call.query.cursor, tuple[datetime, str])
        rows = [
            one
            for one in self._subscriptions.all(call.identity)
            if after is None or (one.created, one.subscription_id) > after
        ]
        return Answer(
            page_of(rows, call.query.limit, self._shown, lambda one: (one.created, one.subscription_id))
        )

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

    # --- notifications ---

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

    # --- faults and alarms ---

    @operation("GET", "/v1/faults", tag="Faults", roles=READERS)
    async def query_faults(self, call: Call[None, FaultQuery]) -> Answer[Page[VirtualResourceInfo]]:
        """Ask which of my resources are hit by a fault now.

        FaultQuery of [D 5.5.1]: each resource with all its active faults. The Administrator may also ask by
        `physical_resource_id` and `zone_id`.
        """
        query = call.query
        wanted = _AlarmTest(query, call.identity.scope, self._situation)
        after = position_in(query.cursor, str)
        rows = []
        for resource_id in self._troubled(call.identity.scope):
            if after is not None and resource_id <= after:
                continue
            told = [pair for pair in self._alarms_on(resource_id) if wanted(*pair)]
            if told:
                rows.append((resource_id, told))
            if len(rows) > query.limit:
                break
        describer = self._situation.describer(call.identity.scope)
        return Answer(
            page_of(rows, query.limit, lambda row: _info(describer, row[0], row[1]), lambda row: row[0])
        )

    @operation("GET", "/v1/alarms", tag="Faults", roles=READERS)
    async def list_alarms(self, call: Call[None, AlarmQuery]) -> Answer[Page[AlarmOut]]:
        """List alarms: active ones, oldest first; with `state=cleared` those of the past, last cleared first."""
        query, scope = call.query, call.identity.scope
        floor = _severity(query.min_severity)
        position = position_in(query.cursor, _AlarmPosition) or _AlarmPosition(
            phase="cleared" if query.state == "cleared" else "active"
        )

        def wanted(record: AlarmedFault, alarm: Alarm) -> bool:
            return (
                (scope is None or alarm.project == scope)
                and alarm.severity >= floor
                and (not query.resource_id or alarm.resource_id in query.resource_id)
                and (not query.fault_type or record.fault.fault_type in query.fault_type)
                and (not query.fault_id or alarm.fault_id in query.fault_id)
            )

        rows: list[tuple[_AlarmPosition, AlarmedFault, Alarm]] = []
        if position.phase == "active":
            rows += self._active(position, wanted, query.limit + 1)
        if query.state != "active" and len(rows) <= query.limit:
            start = position if position.phase == "cleared" else _AlarmPosition(phase="cleared")
            rows += await self._cleared(start, wanted, query.limit + 1 - len(rows))
        describer = self._situation.describer(scope)
        return Answer(
            page_of(rows, query.limit, lambda row: alarm_out(row[1], row[2], describer), lambda row: row[0])
        )

    @operation("GET", "/v1/alarms/{alarm_id}", tag="Faults", roles=READERS)
    async def get_alarm(self, call: Call[None, None]) -> Answer[AlarmOut]:
        """Show an alarm, active or cleared."""
        scope, alarm_id = call.identity.scope, call.path["alarm_id"]
        found = self._situation.book.alarm(alarm_id)
        if found is None:
            record = await self._situation.store.fault_of_alarm(alarm_id)
            alarms = record.alarms.values() if record else ()
            found = next(((record, alarm) for alarm in alarms if record and alarm.alarm_id == alarm_id), None)
        if found is None or (scope is not None and found[1].project != scope):
            raise RejectedError("there is no such alarm", reason=Reason.NOT_FOUND)
        return Answer(alarm_out(found[0], found[1], self._situation.describer(scope)))

    # --- virtual resources ---

    @operation("GET", "/v1/virtual-resources", tag="Resources", roles=READERS)
    async def list_virtual_resources(
        self, call: Call[None, VirtualResourceQuery]
    ) -> Answer[Page[VirtualResourceOut]]:
        """List virtual resources with their state and the faults on them."""
        query, scope = call.query, call.identity.scope
        resources = self._situation.resources
        owner = query.owner if scope is None else scope
        ids = resources.virtual_ids if owner is None else resources.owned_by(owner)
        if scope is not None and query.owner not in (None, scope):
            ids = ()
        start = position_in(query.cursor, tuple[int, str])
        first = 0 if start is None else _resume(ids, *start)
        rows: list[tuple[int, VirtualResource]] = []
        for index in range(first, len(ids)):
            resource = resources.virtual[ids[index]]
            if (
                (not query.virtual_resource_id or resource.id in query.virtual_resource_id)
                and (not query.virtual_resource_type or resource.type in query.virtual_resource_type)
                and (
                    not query.virtual_resource_state
                    or self._situation.book.state_of(resource.id) in query.virtual_resource_state
                )
            ):
                rows.append((index, resource))
            if len(rows) > query.limit:
                break
        describer = self._situation.describer(scope)
        return Answer(
            page_of(
                rows,
                query.limit,
                lambda row: self._resource(row[1], describer),
                lambda row: (row[0], row[1].id),
            )
        )

    @operation("GET", "/v1/virtual-resources/{virtual_resource_id}", tag="Resources", roles=READERS)
    async def get_virtual_resource(self, call: Call[None, None]) -> Answer[VirtualResourceOut]:
        """Show a virtual resource with its state and the faults on it."""
        scope = call.identity.scope
        resource = self._situation.resources.virtual.get(call.path["virtual_resource_id"])
        if resource is None or (scope is not None and resource.owner != scope):
            raise RejectedError("there is no such virtual resource", reason=Reason.NOT_FOUND)
        return Answer(self._resource(resource, self._situation.describer(scope)))

    # --- what they share ---

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

    def _resource(self, resource: VirtualResource, describer: Describer) -> VirtualResourceOut:
        info = _info(describer, resource.id, self._alarms_on(resource.id), resource.type)
        return VirtualResourceOut(
            **msgspec.structs.asdict(info),
            owner=resource.owner,
            group=resource.group,
            role=resource.role,
            sal=resource.sal,
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
        return page_of(rows, max(limit, 1), lambda row: _info(describer, *row), lambda row: row[0])

    def _troubled(self, scope: str | None) -> Iterator[str]:
        """Return the ids of virtual resources in scope with an open alarm, in order."""
        resources = self._situation.resources
        troubled = self._situation.book.troubled
        if scope is None:
            found = [resource_id for resource_id in troubled() if resource_id in resources.virtual]
        else:
            on = self._situation.book.is_troubled
            found = [resource_id for resource_id in resources.owned_by(scope) if on(resource_id)]
        return iter(sorted(found))

    def _alarms_on(self, resource_id: str) -> list[tuple[AlarmedFault, Alarm]]:
        found = [(record, record.alarms[resource_id]) for record in self._situation.book.on(resource_id)]
        return sorted(found, key=lambda pair: (-pair[1].severity, pair[1].raised_time))

    def _active(
        self, start: "_AlarmPosition", wanted: Any, limit: int
    ) -> list[tuple["_AlarmPosition", AlarmedFault, Alarm]]:
        rows = []
        for record in self._situation.book:
            fault = record.fault
            if start.time is not None and (fault.raised_time, fault.fault_key) < (
                start.time,
                start.fault_key,
            ):
                continue
            inside = start.resource_id if fault.fault_key == start.fault_key else ""
            for resource_id, alarm in sorted(record.alarms.items()):
                if resource_id > inside and wanted(record, alarm):
                    where = _AlarmPosition("active", fault.raised_time, fault.fault_key, resource_id)
                    rows.append((where, record, alarm))
                    if len(rows) >= limit:
                        return rows
        return rows

    async def _cleared(
        self, start: "_AlarmPosition", wanted: Any, limit: int
    ) -> list[tuple["_AlarmPosition", AlarmedFault, Alarm]]:
        rows: list[tuple[_AlarmPosition, AlarmedFault, Alarm]] = []
        before = None if start.time is None else (start.time, start.fault_key + _BEHIND)
        while True:
            records = await self._situation.store.closed_faults(before=before, limit=STORE_PAGE)
            for record in records:
                fault = record.fault
                inside = start.resource_id if fault.fault_key == start.fault_key else ""
                for resource_id, alarm in sorted(record.alarms.items()):
                    if resource_id > inside and wanted(record, alarm):
                        where = _AlarmPosition("cleared", fault.cleared_time, fault.fault_key, resource_id)
                        rows.append((where, record, alarm))
                        if len(rows) >= limit:
                            return rows
            if len(records) < STORE_PAGE:
                return rows
            last = records[-1].fault
            assert last.cleared_time is not None
            before = (last.cleared_time, last.fault_key)


_BEHIND = "~"  # sorts behind every id, so that the fault itself is looked at once more


class _AlarmPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list of alarms goes on: behind this resource of this fault."""

    phase: Literal["active", "cleared"]
    time: datetime | None = None
    fault_key: str = ""
    resource_id: str = ""


class _AlarmTest:
    """Tells whether an alarm is asked for."""

    def __init__(self, query: FaultQuery, scope: str | None, situation: Situation) -> None:
        if scope is not None and (query.physical_resource_id or query.zone_id):
            pointer = "/physical_resource_id" if query.physical_resource_id else "/zone_id"
            raise RejectedError(
                "only the Administrator asks by physical resource or zone",
                flaws=[Flaw(pointer, "only for the Administrator")],
            )
        self._query = query
        self._scope = scope
        self._floor = _severity(query.min_severity)
        self._resources = situation.resources

    def __call__(self, record: AlarmedFault, alarm: Alarm) -> bool:
        query, fault = self._query, record.fault
        return (
            (self._scope is None or alarm.project == self._scope)
            and alarm.severity >= self._floor
            and _is_in(alarm.resource_id, query.virtual_resource_id)
            and _is_in(alarm.resource_type, query.virtual_resource_type)
            and _is_in(fault.fault_type, query.fault_type)
            and _is_in(fault.probable_cause, query.probable_cause)
            and (not query.fault_id or alarm.fault_id in query.fault_id or self._is_mine(fault.fault_key))
            and (query.event_start_time is None or fault.event_time >= in_utc(query.event_start_time))
            and (query.event_end_time is None or fault.event_time <= in_utc(query.event_end_time))
            and (not query.physical_resource_id or self._is_near(fault.resource_id, alarm.resource_id))
            and (not query.zone_id or self._zone(alarm.resource_id) in query.zone_id)
        )

    def _is_mine(self, fault_key: str) -> bool:
        return self._scope is None and fault_key in self._query.fault_id

    def _is_near(self, root: str, resource_id: str) -> bool:
        return (
            root in self._query.physical_resource_id
            or self._host(resource_id) in self._query.physical_resource_id
        )

    def _host(self, resource_id: str) -> str | None:
        machine = self._resources.virtual.get(resource_id)
        return machine.host if machine else None

    def _zone(self, resource_id: str) -> str | None:
        host = self._resources.physical.get(self._host(resource_id) or "")
        return host.zone_id if host else None


def _is_in(value: str, wanted: list[str]) -> bool:
    return not wanted or value in wanted


def _severity(word: str | None) -> Severity:
    if word is None:
        return Severity.CLEARED
    try:
        return severity_of(word)
    except ValueError as error:
        raise RejectedError("the query is wrong", flaws=[Flaw("/min_severity", str(error))]) from None


def _info(
    describer: Describer, resource_id: str, told: list[tuple[AlarmedFault, Alarm]], kind: str = ""
) -> VirtualResourceInfo:
    faults = tuple(describer.fault(*pair) for pair in told)
    return describer.virtual(resource_id, kind or told[0][1].resource_type, faults)


def _resume(ids: Sequence[str], index: int, last: str) -> int:
    """Return where to go on behind the last row, also if the list is another one by now."""
    if 0 <= index < len(ids) and ids[index] == last:
        return index + 1
    return next((at + 1 for at, one in enumerate(ids) if one == last), len(ids))


class _Kind(msgspec.Struct):
    notification_type: str
