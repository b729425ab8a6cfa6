"""The door to faults [D 5.5.1]: which resources are hit by what, now."""

from datetime import datetime
from typing import Literal

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Described, Owned, info_of, is_in, severity_floor
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import READERS
from doctor.flows.situation import Situation
from doctor.kit.times import in_utc
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.errors import Flaw, RejectedError
from doctor.model.notification import VirtualResourceInfo


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


class FaultsDoor(Owned):
    """The operations on faults."""

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
            page_of(rows, query.limit, lambda row: info_of(describer, row[0], row[1]), lambda row: row[0])
        )


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
        self._floor = severity_floor(query.min_severity)
        self._resources = situation.resources

    def __call__(self, record: AlarmedFault, alarm: Alarm) -> bool:
        query, fault = self._query, record.fault
        return (
            (self._scope is None or alarm.project == self._scope)
            and alarm.severity >= self._floor
            and is_in(alarm.resource_id, query.virtual_resource_id)
            and is_in(alarm.resource_type, query.virtual_resource_type)
            and is_in(fault.fault_type, query.fault_type)
            and is_in(fault.probable_cause, query.probable_cause)
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
