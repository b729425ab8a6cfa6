"""The door to alarms [D 5.5.3]: one by one, active or of the past."""

from datetime import datetime
from typing import Any, Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Described, Owned, severity_floor
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import READERS
from doctor.api.wire.alarm import AlarmOut, alarm_out
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.errors import Reason, RejectedError

STORE_PAGE = 100


class AlarmQuery(PageQuery, frozen=True, kw_only=True):
    """Which alarms: active ones unless asked otherwise; cleared ones come newest first."""

    state: Literal["active", "cleared", "all"] = "active"
    min_severity: str | None = None
    resource_id: list[Described] = []
    fault_type: list[Described] = []
    fault_id: list[Described] = []


class AlarmsDoor(Owned):
    """The operations on alarms."""

    @operation("GET", "/v1/alarms", tag="Faults", roles=READERS)
    async def list_alarms(self, call: Call[None, AlarmQuery]) -> Answer[Page[AlarmOut]]:
        """List alarms: active ones, oldest first; with `state=cleared` those of the past, last cleared first."""
        query, scope = call.query, call.identity.scope
        floor = severity_floor(query.min_severity)
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
