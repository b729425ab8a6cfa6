"""The door to faults [D 5.5.1]: which resources are hit by what, now and in the past."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from doctor.api.history import PastAlarm, PastPosition, past_alarms
from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Owned, Several, administrators_only, ids_named, info_of, is_in, severity_floor
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import READERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.flows.situation import Situation
from doctor.kit.times import in_utc
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.errors import Flaw, RejectedError
from doctor.model.fault import ResourceState
from doctor.model.notification import Location, VirtualResourceInfo
from doctor.model.resource import HostStatus, Isolation
from doctor.notifier.message import Describer

FaultSort = Literal[
    "virtual_resource_id",
    "-virtual_resource_id",
    "virtual_resource_type",
    "-virtual_resource_type",
    "severity",
    "-severity",
    "event_time",
    "-event_time",
]


class FaultQuery(PageQuery, frozen=True, kw_only=True):
    """FaultQueryFilterClass [D 5.4]. ``min_severity`` (a name or 0 to 5) is inclusive, as are both times.

    ``predicted`` true finds faults that have not happened yet, false those that have.

    ``physical_resource_id`` and ``zone_id`` are for the Administrator. ``sort`` goes with active faults, by the worst
    severity or the latest event on a resource, say; those of the past come as they ended, the last first.
    """

    virtual_resource_type: Several = frozenset()
    virtual_resource_id: Several = frozenset()
    physical_resource_id: Several = frozenset()
    zone_id: Several = frozenset()
    fault_type: Several = frozenset()
    fault_id: Several = frozenset()
    probable_cause: Several = frozenset()
    min_severity: str | None = None
    predicted: bool | None = None
    event_start_time: datetime | None = None
    event_end_time: datetime | None = None
    state: Literal["active", "cleared", "all"] = "active"
    sort: FaultSort | None = None


class _Hit(msgspec.Struct, frozen=True):
    """A resource with the alarms on it that are asked for."""

    resource_id: str
    told: list[tuple[AlarmedFault, Alarm]]


_KEYS: dict[str, Callable[[_Hit], Key]] = {
    "virtual_resource_id": lambda hit: hit.resource_id,
    "virtual_resource_type": lambda hit: hit.told[0][1].resource_type,
    "severity": lambda hit: max(int(alarm.severity) for _, alarm in hit.told),
    "event_time": lambda hit: max(microseconds(record.fault.event_time) for record, _ in hit.told),
}


class FaultsDoor(Owned):
    """The operations on faults."""

    @operation("GET", "/v1/faults", tag="Faults", roles=READERS)
    async def query_faults(self, call: Call[None, FaultQuery]) -> Answer[Page[VirtualResourceInfo]]:
        """Ask which of my resources are hit by a fault.

        FaultQuery of [D 5.5.1]: each resource with all its active faults. With `state=cleared` those that are over,
        the last to end first, each resource once on a page; with `state=all` the active ones, then the others. The
        Administrator may also ask by `physical_resource_id` and `zone_id`.
        """
        query, scope = call.query, call.identity.scope
        wanted = _AlarmTest(query, scope, self._situation)
        if query.state != "active" and query.sort is not None:
            raise RejectedError(
                "faults of the past have one order", flaws=[Flaw("/sort", "goes with state=active only")]
            )
        past = query.state == "cleared" or (query.state == "all" and (query.cursor or "").startswith(_PAST))
        if past:
            return Answer(await self._past(query, wanted, scope))
        page = await self._active(query, wanted, scope)
        if query.state == "all" and page.next is None:
            return Answer(msgspec.structs.replace(page, next=_PAST))
        return Answer(page)

    async def _active(
        self, query: FaultQuery, wanted: "_AlarmTest", scope: str | None
    ) -> Page[VirtualResourceInfo]:
        hits: list[_Hit] = []
        order = Order(query.sort or "virtual_resource_id", query.cursor, _KEYS, lambda hit: hit.resource_id)
        for resource_id in self._troubled(scope):
            told = [pair for pair in self._alarms_on(resource_id) if wanted(*pair)]
            if told:
                hits.append(_Hit(resource_id, told))
        describer = self._situation.describer(scope)
        return await sorted_page(
            hits, query, order, lambda _: True, lambda hit: info_of(describer, hit.resource_id, hit.told)
        )

    async def _past(
        self, query: FaultQuery, wanted: "_AlarmTest", scope: str | None
    ) -> Page[VirtualResourceInfo]:
        cursor = (query.cursor or "").removeprefix(_PAST) or None
        start = position_in(cursor, PastPosition) or PastPosition()
        virtual = self._situation.resources.virtual

        def is_asked_for(record: AlarmedFault, alarm: Alarm) -> bool:
            is_virtual = alarm.project is not None or alarm.resource_id in virtual
            return is_virtual and wanted(record, alarm)

        rows = await past_alarms(self._situation.store, start, is_asked_for, query.limit + 1)
        page = page_of(rows, query.limit, lambda row: row, lambda row: row.position)
        found: dict[str, list[PastAlarm]] = {}
        for row in page.items:
            found.setdefault(row.alarm.resource_id, []).append(row)
        describer = self._situation.describer(scope)
        items = [self._former(describer, scope, told) for told in found.values()]
        return Page(items, page.next and _PAST + page.next if query.state == "all" else page.next)

    def _former(self, describer: Describer, scope: str | None, told: list[PastAlarm]) -> VirtualResourceInfo:
        """Describe a resource as it is now, with what was. How one is that is somebody else's by now is not told."""
        alarm = told[0].alarm
        info = info_of(describer, alarm.resource_id, [(one.record, one.alarm) for one in told])
        resource = self._situation.resources.virtual.get(alarm.resource_id)
        if scope is None or (resource is not None and resource.owner == scope):
            return info
        return msgspec.structs.replace(
            info,
            virtual_resource_state=ResourceState.NORMAL,
            host_status=HostStatus.NONE,
            location=Location(zone_id=None, host_ref=None),
            isolation=Isolation.NOT_REQUIRED,
        )


_PAST = "past."  # begins the cursors of state=all behind the active faults; no other cursor has a dot


class _AlarmTest:
    """Tells whether an alarm is asked for."""

    def __init__(self, query: FaultQuery, scope: str | None, situation: Situation) -> None:
        administrators_only(
            scope, {"physical_resource_id": query.physical_resource_id, "zone_id": query.zone_id}
        )
        self._query = query
        self._scope = scope
        self._floor = severity_floor(query.min_severity)
        self._resources = situation.resources
        self._near = ids_named(query.physical_resource_id, situation.resources)

    def __call__(self, record: AlarmedFault, alarm: Alarm) -> bool:
        query, fault = self._query, record.fault
        severity = alarm.severity if alarm.cleared_time is None else alarm.worst_severity
        return (
            (self._scope is None or alarm.project == self._scope)
            and severity >= self._floor
            and is_in(alarm.resource_id, query.virtual_resource_id)
            and is_in(alarm.resource_type, query.virtual_resource_type)
            and is_in(fault.fault_type, query.fault_type)
            and is_in(fault.probable_cause, query.probable_cause)
            and query.predicted in (None, fault.prediction is not None)
            and (not query.fault_id or alarm.fault_id in query.fault_id or self._is_mine(fault.fault_key))
            and (query.event_start_time is None or fault.event_time >= in_utc(query.event_start_time))
            and (query.event_end_time is None or fault.event_time <= in_utc(query.event_end_time))
            and (not self._near or self._is_near(fault.resource_id, alarm.resource_id))
            and (not query.zone_id or self._zone(alarm.resource_id) in query.zone_id)
        )

    def _is_mine(self, fault_key: str) -> bool:
        return self._scope is None and fault_key in self._query.fault_id

    def _is_near(self, root: str, resource_id: str) -> bool:
        return root in self._near or self._host(resource_id) in self._near

    def _host(self, resource_id: str) -> str | None:
        machine = self._resources.virtual.get(resource_id)
        return machine.host if machine else None

    def _zone(self, resource_id: str) -> str | None:
        host = self._resources.physical.get(self._host(resource_id) or "")
        return host.zone_id if host else None
