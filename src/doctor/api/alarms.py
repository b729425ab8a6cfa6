"""The door to the list of alarms [D 5.5.3]: which there are, active or of the past, and how many."""

import heapq
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Generic, Literal, TypeVar

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.owned import Owned, Several, is_in, severity_floor
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import READERS
from doctor.api.sorting import in_chunks
from doctor.api.wire.alarm import AlarmOut, AlarmSummary, Tally, alarm_out
from doctor.flows.alarm import AlarmFlow
from doctor.flows.silence import SilenceFlow
from doctor.flows.situation import Situation
from doctor.kit.times import in_utc
from doctor.model.alarm import Alarm, AlarmedFault
from doctor.model.alarm_note import AckState, AlarmNote
from doctor.notifier.message import Describer

STORE_PAGE = 100
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

Found = tuple[AlarmedFault, Alarm]
Place = TypeVar("Place", tuple[int, str], tuple[datetime, str, str])
Wanted = Callable[[AlarmedFault, Alarm], bool]


class AlarmQuery(PageQuery, frozen=True, kw_only=True):
    """Which alarms: active ones unless asked otherwise; cleared ones come newest first.

    `raised` and `changed` are active ones that did not or did change since; ``predicted`` ones have not happened yet. ``min_severity`` (a name or 0 to 5) is
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
    silenced: bool | None = None
    predicted: bool | None = None
    event_start_time: datetime | None = None
    event_end_time: datetime | None = None
    sort: Literal["raised_time", "-raised_time", "severity", "-severity"] | None = None


class AlarmsDoor(Owned):
    """The operations on the list of alarms."""

    def __init__(self, situation: Situation, alarms: AlarmFlow, silences: SilenceFlow) -> None:
        super().__init__(situation)
        self._alarms = alarms
        self._silences = silences

    @operation("GET", "/v1/alarms", tag="Alarms", roles=READERS)
    async def list_alarms(self, call: Call[None, AlarmQuery]) -> Answer[Page[AlarmOut]]:
        """List alarms: active ones, oldest first; with `state=cleared` those of the past, last cleared first."""
        query, scope = call.query, call.identity.scope
        wanted = self._test(query, scope)
        if query.sort is not None:
            return Answer(await self._sorted(query, query.sort, wanted, scope))
        position = position_in(query.cursor, _AlarmPosition) or _AlarmPosition(
            phase="cleared" if query.state == "cleared" else "active"
        )
        rows: list[tuple[_AlarmPosition, AlarmedFault, Alarm]] = []
        if position.phase == "active":
            rows += await self._active(position, wanted, scope, query.limit + 1)
        if query.state in ("cleared", "all") and len(rows) <= query.limit:
            start = position if position.phase == "cleared" else _AlarmPosition(phase="cleared")
            rows += await self._cleared(start, wanted, query.limit + 1 - len(rows))
        describer = self._situation.describer(scope)
        return Answer(
            page_of(rows, query.limit, lambda row: self._out(row[1], row[2], describer), lambda row: row[0])
        )

    @operation("GET", "/v1/alarms/summary", tag="Alarms", roles=READERS)
    async def summarise_alarms(self, call: Call[None, None]) -> Answer[AlarmSummary]:
        """Count the active alarms: by severity, by state, by whether somebody has acknowledged them."""
        scope, notes = call.identity.scope, self._situation.notes
        tally = Tally()
        async for records in in_chunks(self._open_to(scope)):
            for record, alarm in ((one, alarm) for one in records for alarm in one.alarms.values()):
                if scope is None or alarm.project == scope:
                    is_silenced = bool(self._silences.over(record, alarm, scope))
                    tally.add(alarm, notes.of(alarm.alarm_id), is_silenced=is_silenced)
        return Answer(tally.summary)

    @operation("GET", "/v1/alarms/{alarm_id}", tag="Alarms", roles=READERS)
    async def get_alarm(self, call: Call[None, None]) -> Answer[AlarmOut]:
        """Show an alarm, active or cleared."""
        found = await self._alarms.find(call.identity, call.path["alarm_id"])
        return Answer(self._out(*found, self._situation.describer(call.identity.scope)))

    def _out(self, record: AlarmedFault, alarm: Alarm, describer: Describer) -> AlarmOut:
        note = self._situation.notes.of(alarm.alarm_id)
        silences = self._silences.over(record, alarm, describer.viewer)
        return alarm_out(record, alarm, describer, note, silences)

    def _test(self, query: AlarmQuery, scope: str | None) -> Wanted:
        """Return what tells whether an alarm is asked for."""
        floor = severity_floor(query.min_severity)
        note_of = self._situation.notes.of
        over = self._silences.over
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
                and query.predicted in (None, fault.prediction is not None)
                and (query.event_start_time is None or fault.event_time >= in_utc(query.event_start_time))
                and (query.event_end_time is None or fault.event_time <= in_utc(query.event_end_time))
                and (not asks_for_notes or _has(note_of(alarm.alarm_id), alarm, query))
                and (query.silenced is None or query.silenced is bool(over(record, alarm, scope)))
            )

        return wanted

    def _open_to(self, scope: str | None) -> list[AlarmedFault]:
        """Return the open faults of which this project has alarms; None is everybody."""
        book = self._situation.book
        return list(book if scope is None else book.of_project(scope))

    async def _sorted(
        self, query: AlarmQuery, sort: str, wanted: Wanted, scope: str | None
    ) -> Page[AlarmOut]:
        """Return a page of what is asked for, in order; of all that is looked at no more is kept in mind."""
        place = PLACES[sort]
        first = _First(
            lambda _, alarm: place(alarm), wanted, position_in(query.cursor, tuple[int, str]), query.limit + 1
        )
        if query.state != "cleared":
            async for records in in_chunks(self._open_to(scope)):
                first.look_at(records)
        if query.state in ("cleared", "all"):
            async for records in self._past():
                first.look_at(records)
        describer = self._situation.describer(scope)
        return page_of(
            first.found, query.limit, lambda row: self._out(*row[1], describer), lambda row: row[0]
        )

    async def _active(
        self, start: "_AlarmPosition", wanted: Wanted, scope: str | None, limit: int
    ) -> list[tuple["_AlarmPosition", AlarmedFault, Alarm]]:
        after = None if start.time is None else (start.time, start.fault_key, start.resource_id)
        first = _First(_oldest_first, wanted, after, limit)
        async for records in in_chunks(self._open_to(scope)):
            first.look_at(records)
        return [(_AlarmPosition("active", *place), *found) for place, found in first.found]

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


class _First(Generic[Place]):
    """The first alarms of many in some order, behind a place."""

    def __init__(
        self, place: Callable[[AlarmedFault, Alarm], Place], wanted: Wanted, after: Place | None, limit: int
    ) -> None:
        self.found: list[tuple[Place, Found]] = []
        self._place: Callable[[AlarmedFault, Alarm], Place] = place
        self._wanted = wanted
        self._after: Place | None = after
        self._limit = limit

    def look_at(self, records: Iterable[AlarmedFault]) -> None:
        """Take what belongs among the first."""
        after = self._after
        fresh = (
            (self._place(record, alarm), (record, alarm))
            for record in records
            for alarm in record.alarms.values()
            if self._wanted(record, alarm)
        )
        behind = (row for row in fresh if after is None or row[0] > after)
        self.found = heapq.nsmallest(self._limit, chain(self.found, behind), key=lambda row: row[0])


def _oldest_first(record: AlarmedFault, alarm: Alarm) -> tuple[datetime, str, str]:
    return record.fault.raised_time, record.fault.fault_key, alarm.resource_id


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
