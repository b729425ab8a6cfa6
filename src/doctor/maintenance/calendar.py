"""When hosts will be away: sessions with the times between which they are, and which of them meet."""

from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from math import ceil
from typing import NamedTuple

from doctor.model.maintenance import HostStage, HostWork, Session, SessionState
from doctor.model.maintenance_action import Moment

TimeoutOf = Callable[[str], timedelta]  # of an action, by its name


class Span(NamedTuple):
    """From when to when something is, at the latest."""

    starts: datetime
    ends: datetime

    def meets(self, other: "Span") -> bool:
        """Tell whether both are at some time together."""
        return self.starts < other.ends and other.starts < self.ends


class Entry(NamedTuple):
    """A session of the calendar; ``overlaps`` are the ids of those in a zone of its own that are at the same time."""

    session: Session
    span: Span
    zones: frozenset[str | None]
    overlaps: tuple[str, ...]


def span_of(session: Session, timeout_of: TimeoutOf, now: datetime) -> Span:
    """Return the times between which a session is: at the latest, for what a person does by hand takes as long as it takes."""
    if session.ended is not None and session.state.is_over:
        return Span(min(session.starts, session.ended), session.ended)
    turns = 1 if session.at_once is None else ceil(len(session.hosts) / session.at_once)
    each = session.timeout + _in_all(session, Moment.HOST, timeout_of)
    around = _in_all(session, Moment.PRE, timeout_of) + _in_all(session, Moment.POST, timeout_of)
    return Span(session.starts, max(session.starts + turns * each + around, now))


def _in_all(session: Session, moment: Moment, timeout_of: TimeoutOf) -> timedelta:
    return sum((timeout_of(name) for name in session.asks_for(moment)), timedelta(0))


def entries(
    sessions: Iterable[Session],
    zone_of: Callable[[str], str | None],
    timeout_of: TimeoutOf,
    now: datetime,
) -> list[Entry]:
    """Return the calendar, in the order in which sessions begin. What is over meets nothing any more."""
    found = []
    for session in sessions:
        zones = frozenset(zone_of(host) for host in session.hosts)
        found.append(Entry(session, span_of(session, timeout_of, now), zones, ()))
    found.sort(key=lambda one: (one.span.starts, one.session.session_id))
    to_come = [one for one in found if not one.session.state.is_over]
    return [
        one if one.session.state.is_over else one._replace(overlaps=tuple(_meeting(one, to_come)))
        for one in found
    ]


def _meeting(entry: Entry, others: Sequence[Entry]) -> Iterator[str]:
    for one in others:
        if one is not entry and one.zones & entry.zones and one.span.meets(entry.span):
            yield one.session.session_id


def away_meanwhile(session: Session, works: Collection[HostWork]) -> list[str]:
    """Return the hosts of a session that serve now and may be away at some time together: the next whose turn it is."""
    if session.state is SessionState.PROPOSED:
        return []  # nobody knows whether it comes about
    waiting = [one.host for one in works if one.stage is HostStage.WAITING]
    if session.at_once is None:
        return waiting
    away = sum(one.stage in (HostStage.EMPTYING, HostStage.EMPTY) for one in works)
    return waiting[: max(0, session.at_once - away)]
