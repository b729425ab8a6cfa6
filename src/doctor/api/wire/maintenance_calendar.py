"""The calendar of maintenance as it is read: by programs, and by the calendars of people (RFC 5545)."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

import msgspec

from doctor.maintenance.calendar import Entry
from doctor.model.maintenance import HostWork, SessionState

MOST_NAMED = 5  # hosts in a title
_STATUS = {
    SessionState.PROPOSED: "TENTATIVE",
    SessionState.FAILED: "CANCELLED",
    SessionState.ABORTED: "CANCELLED",
}


class EntryOut(msgspec.Struct, frozen=True, kw_only=True):
    """A session of the calendar. ``ends_at`` is the latest that Doctor needs; what is done by hand comes on top of it.

    ``hosts`` and ``zones`` are for the Administrator; ``machines`` counts those that were told of, an owner's own.
    ``overlaps`` are the sessions that are at the same time in one of its zones.
    """

    session_id: str
    state: SessionState
    reason: str
    starts_at: datetime
    ends_at: datetime
    hosts: tuple[str, ...]
    zones: tuple[str | None, ...]
    machines: int
    overlaps: tuple[str, ...]


def entry_out(entry: Entry, works: Iterable[HostWork], viewer: str | None) -> EntryOut:
    """Return a session as somebody may see it."""
    everything = viewer is None
    return EntryOut(
        session_id=entry.session.session_id,
        state=entry.session.state,
        reason=entry.session.reason,
        starts_at=entry.span.starts,
        ends_at=entry.span.ends,
        hosts=entry.session.hosts if everything else (),
        zones=tuple(sorted(entry.zones, key=lambda one: one or "")) if everything else (),
        machines=sum(guest.owner == viewer or everything for work in works for guest in work.guests),
        overlaps=entry.overlaps,
    )


def as_icalendar(entries: Iterable[EntryOut], link: str, now: datetime) -> bytes:
    """Return entries as a calendar that programs for people can subscribe to; ``link`` is where sessions are shown."""
    import icalendar  # only who wants such a calendar waits for it

    made = icalendar.Calendar()
    made.add("prodid", "-//Doctor//maintenance//EN")
    made.add("version", "2.0")
    for one in entries:
        event = icalendar.Event()
        event.add("uid", f"{one.session_id}@doctor")
        event.add("dtstamp", now.replace(microsecond=0))
        event.add("dtstart", one.starts_at.replace(microsecond=0))
        event.add("dtend", one.ends_at.replace(microsecond=0))
        event.add("summary", _title(one))
        event.add("description", _description(one))
        event.add("status", _STATUS.get(one.state, "CONFIRMED"))
        event.add("url", f"{link}/{one.session_id}")
        made.add_component(event)
    content: Any = made.to_ical()
    return bytes(content)


def _title(entry: EntryOut) -> str:
    more = len(entry.hosts) - MOST_NAMED
    named = ", ".join(entry.hosts[:MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
    what = named or f"{entry.machines} machines"
    return f"Maintenance: {what}" + (f" ({entry.reason})" if entry.reason else "")


def _description(entry: EntryOut) -> str:
    lines = [f"Session {entry.session_id} is {entry.state}.", f"Machines: {entry.machines}"]
    lines += [f"At the same time: session {one}" for one in entry.overlaps]
    return "\n".join(lines)
