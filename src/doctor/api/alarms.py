"""The door to the list of alarms [D 5.5.3]: which there are, active or of the past, and how many."""

import heapq
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Owned, Several, is_in, severity_floor
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import READERS
from doctor.api.wire.alarm import AlarmOut, AlarmSummary, alarm_out, summary_of
from doctor.flows.alarm import AlarmFlow
from doctor.flows.situation import Situation
from doctor.kit.times import in_utc
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_note import AckState, AlarmNote
from doctor.notifier.message import Describer

STORE_PAGE = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Found = tuple[AlarmedFault, Alarm]
Wanted = Callable[[AlarmedFault, Alarm], bool]


class AlarmQuery(PageQuery, frozen=True, kw_only=True):
    """Which alarms: active ones unless asked otherwise; cleared ones come newest first.

    `raised` and `changed` are active ones that did not or did change since. ``min_severity`` (a name or 0 to 5) is
    inclusive. With ``sort`` those of the past are sorted among the others; a minus is descending.
    """

    state: Literal["active", "raised", "changed", "cleared", "all"] = "active"
    min_severity: str | None = None
    resource_id: Several = frozenset()
    fault_type: Several = frozenset()
    fault_id: Several = frozenset()
    probable_cause: Several = frozenset()
    ack_state: AckState | None = None
    shelved: bool | None = None
    event_start_time: datetime | None = None
    event_end_time: datetime | None = None
    sort: Literal["raised_time", "-raised_time", "severity", "-severity"] | None = None


class AlarmsDoor(Owned):
    """The operations on the list of alarms."""

    def __init__(self, situation: Situation, alarms: AlarmFlow) -> None:
        super().__init__(situation)
        self._alarms = alarms

    @operation("GET", "/v1/alarms", tag="Alarms", roles=READERS)
    async def list_alarms(self, call: Call[None, AlarmQuery]) -> Answer[Page[AlarmOut]]:
        """List alarms: active ones, oldest first; with `state=cleared` those of the past, last cleared first."""
        query, scope = call.query, call.identity.scope
        wanted = self._test(query, scope)
        describer = self._situation.describer(scope)
        if query.sort is not None:
            return Answer(await self._sorted(query, query.sort, wanted, describer))
        position = position_in(query.cursor, _AlarmPosition) or _AlarmPosition(
            phase="cleared" if query.state == "cleared" else "active"
        )
        rows: list[tuple[_AlarmPosition, AlarmedFault, Alarm]] = []
        if position.phase == "active":
            rows += self._active(position, wanted, query.limit + 1)
        if query.state in ("cleared", "all") and len(rows) <= query.limit:
            start = position if position.phase == "cleared" else _AlarmPosition(phase="cleared")
            rows += await self._cleared(start, wanted, query.limit + 1 - len(rows))
        return Answer(
            page_of(rows, query.limit, lambda row: self._out(row[1], row[2], describer), lambda row: row[0])
        )

    @operation("GET", "/v1/alarms/summary", tag="Alarms", roles=READERS)
    async def summarise_alarms(self, call: Call[None, None]) -> Answer[AlarmSummary]:
        """Count the active alarms: by severity, by state, by whether somebody has acknowledged them."""
        scope, notes = call.identity.scope, self._situation.notes
        alarms = [
            (alarm, notes.of(alarm.alarm_id))
            for record in self._situation.book
            for alarm in record.alarms.values()
            if scope is None or alarm.project == scope
        ]
        return Answer(summary_of(alarms))

    @operation("GET", "/v1/alarms/{alarm_id}", tag="Alarms", roles=READERS)
    async def get_alarm(self, call: Call[None, None]) -> Answer[AlarmOut]:
        """Show an alarm, active or cleared."""
        found = await self._alarms.find(call.identity, call.path["alarm_id"])
        return Answer(self._out(*found, self._situation.describer(call.identity.scope)))

    def _out(self, record: AlarmedFault, alarm: Alarm, describer: Describer) -> AlarmOut:
        return alarm_out(record, alarm, describer, self._situation.notes.of(alarm.alarm_id))

    def _test(self, query: AlarmQuery, scope: str | None) -> Wanted:
        """Return what tells whether an alarm is asked for."""
        floor = severity_floor(query.min_severity)
        note_of = self._situation.notes.of
        asks_for_notes = query.ack_state is not None or query.shelved is not None

        def wanted(record: AlarmedFault, alarm: Alarm) -> bool:
            fault = record.fault
            return (
                (scope is None or alarm.project == scope)
                and alarm.severity >= floor
                and (query.state not in ("raised", "changed") or alarm.alarm_state == query.state)
                and is_in(alarm.resource_id, query.resource_id)
                and is_in(fault.fault_type, query.fault_type)
                and is_in(fault.probable_cause, query.probable_cause)
                and is_in(alarm.fault_id, query.fault_id)
                and (query.event_start_time is None or fault.event_time >= in_utc(query.event_start_time))
                and (query.event_end_time is None or fault.event_time <= in_utc(query.event_end_time))
                and (not asks_for_notes or _has(note_of(alarm.alarm_id), alarm, query))
            )

        return wanted

    async def _sorted(
        self, query: AlarmQuery, sort: str, wanted: Wanted, describer: Describer
    ) -> Page[AlarmOut]:
        """Return a page of what is asked for, in order; of all that is looked at no more is kept in mind."""
        after = position_in(query.cursor, tuple[int, str])
        place = PLACES[sort]
        best: list[tuple[tuple[int, str], Found]] = []

        def sift(records: Iterable[AlarmedFault]) -> list[tuple[tuple[int, str], Found]]:
            fresh = (
                (place(alarm), (record, alarm))
                for record in records
                for alarm in record.alarms.values()
                if wanted(record, alarm) and (after is None or place(alarm) > after)
            )
            return heapq.nsmallest(query.limit + 1, chain(best, fresh), key=lambda row: row[0])

        if query.state != "cleared":
            best = sift(self._situation.book)
        if query.state in ("cleared", "all"):
            async for records in self._past():
                best = sift(records)
        return page_of(best, query.limit, lambda row: self._out(*row[1], describer), lambda row: row[0])

    def _active(
        self, start: "_AlarmPosition", wanted: Wanted, limit: int
    ) -> list[tuple["_AlarmPosition", AlarmedFault, Alarm]]:
        rows = []
        in_order = sorted(self._situation.book, key=lambda one: (one.fault.raised_time, one.fault.fault_key))
        for record in in_order:
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
        self, start: "_AlarmPosition", wanted: Wanted, limit: int
    ) -> list[tuple["_AlarmPosition", AlarmedFault, Alarm]]:
        rows: list[tuple[_AlarmPosition, AlarmedFault, Alarm]] = []
        before = None if start.time is None else (start.time, start.fault_key + _BEHIND)
        async for records in self._past(before):
            for record in records:
                fault = record.fault
                inside = start.resource_id if fault.fault_key == start.fault_key else ""
                for resource_id, alarm in sorted(record.alarms.items()):
                    if resource_id > inside and wanted(record, alarm):
                        where = _AlarmPosition("cleared", fault.cleared_time, fault.fault_key, resource_id)
                        rows.append((where, record, alarm))
                        if len(rows) >= limit:
                            return rows
        return rows

    async def _past(
        self, before: tuple[datetime, str] | None = None
    ) -> AsyncIterator[Sequence[AlarmedFault]]:
        """Return the cleared faults in pages, the last cleared first."""
        while True:
            records = await self._situation.store.closed_faults(before=before, limit=STORE_PAGE)
            yield records
            if len(records) < STORE_PAGE:
                return
            last = records[-1].fault
            assert last.cleared_time is not None
            before = (last.cleared_time, last.fault_key)


def _has(note: AlarmNote | None, alarm: Alarm, query: AlarmQuery) -> bool:
    """Tell whether people have done to an alarm what is asked for."""
    ack_state = note.ack_state if note else AckState.UNACKNOWLEDGED
    is_shelved = note is not None and note.shelving is not None and alarm.cleared_time is None
    return query.ack_state in (None, ack_state) and query.shelved in (None, is_shelved)


def _raised(alarm: Alarm) -> int:
    return (alarm.raised_time - EPOCH) // MICROSECOND


# Where an alarm stands in a sorted list; the id decides between those that are equal.
PLACES: dict[str, Callable[[Alarm], tuple[int, str]]] = {
    "raised_time": lambda alarm: (_raised(alarm), alarm.alarm_id),
    "-raised_time": lambda alarm: (-_raised(alarm), alarm.alarm_id),
    "severity": lambda alarm: (int(alarm.severity), alarm.alarm_id),
    "-severity": lambda alarm: (-int(alarm.severity), alarm.alarm_id),
}

_BEHIND = "~"  # sorts behind every id, so that the fault itself is looked at once more


class _AlarmPosition(msgspec.Struct, frozen=True, array_like=True):
    """Where a list of alarms goes on: behind this resource of this fault."""

    phase: Literal["active", "cleared"]
    time: datetime | None = None
    fault_key: str = ""
    resource_id: str = ""
