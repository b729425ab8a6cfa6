"""The doors to the calendar of maintenance: what is planned, for programs and for the calendars of people."""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from doctor.api.maintenance import TAG
from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery
from doctor.api.roles import READERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.api.wire.maintenance_calendar import EntryOut, as_icalendar, entry_out
from doctor.flows.maintenance_desk import MaintenanceDesk
from doctor.kit.clock import Clock
from doctor.kit.times import in_utc
from doctor.maintenance.calendar import Entry, Span
from doctor.model.errors import Flaw, RejectedError
from doctor.model.identity import Identity

ICALENDAR = "text/calendar"
LATEST = datetime.max.replace(microsecond=0)

_KEYS: dict[str, Callable[[Entry], Key]] = {"starts_at": lambda one: microseconds(one.span.starts)}


class WindowQuery(msgspec.Struct, frozen=True, kw_only=True):
    """From when to when: from now on unless said otherwise."""

    since: datetime | None = None
    until: datetime | None = None


class CalendarQuery(PageQuery, frozen=True, kw_only=True):
    """From when to when: from now on unless said otherwise."""

    since: datetime | None = None
    until: datetime | None = None
    sort: Literal["starts_at", "-starts_at"] = "starts_at"


class MaintenanceCalendarDoor:
    """The operations on the calendar."""

    def __init__(self, maintenance: MaintenanceDesk, clock: Clock, public_url: str) -> None:
        self._maintenance = maintenance
        self._clock = clock
        self._link = f"{public_url}/v1/maintenance"

    @operation("GET", "/v1/maintenance/calendar", tag=TAG, roles=READERS)
    async def get_maintenance_calendar(self, call: Call[None, CalendarQuery]) -> Answer[Page[EntryOut]]:
        """Ask when hosts will be away: sessions that are at some time between `since` and `until`, and which of them meet.

        An owner sees those in which machines of his are.
        """
        query = call.query
        wanted = self._wanted(query.since, query.until)
        order = Order(query.sort, query.cursor, _KEYS, lambda one: one.session.session_id)
        rows = self._maintenance.calendar(call.identity)
        page = await sorted_page(rows, query, order, wanted, lambda one: self._shown(one, call.identity))
        return Answer(page)

    @operation("GET", "/v1/maintenance/calendar.ics", tag=TAG, roles=READERS, produces=ICALENDAR)
    async def get_maintenance_icalendar(self, call: Call[None, WindowQuery]) -> Answer[bytes]:
        """Return the calendar as iCalendar (RFC 5545), for the calendars of people."""
        wanted = self._wanted(call.query.since, call.query.until)
        rows = [one for one in self._maintenance.calendar(call.identity) if wanted(one)]
        entries = (self._shown(one, call.identity) for one in rows)
        return Answer(as_icalendar(entries, self._link, self._clock.now()))

    def _wanted(self, since: datetime | None, until: datetime | None) -> Callable[[Entry], bool]:
        begin = self._clock.now() if since is None else in_utc(since)
        end = LATEST.replace(tzinfo=begin.tzinfo) if until is None else in_utc(until)
        if begin >= end:
            pointer = "/until" if since is None else "/since"
            raise RejectedError(
                "the window is empty", flaws=[Flaw(pointer, "begins when it is over, or later")]
            )
        window = Span(begin, end)
        return lambda one: one.span.meets(window)

    def _shown(self, entry: Entry, identity: Identity) -> EntryOut:
        return entry_out(entry, self._maintenance.works(entry.session), identity.scope)
