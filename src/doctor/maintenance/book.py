"""All sessions, found by what they are about."""

from collections import Counter
from collections.abc import Container, Iterable, Iterator, Mapping
from datetime import datetime

from doctor.model.maintenance import GuestState, HostStage, HostWork, Session
from doctor.model.resource import MaintenanceState


class MaintenanceBook:
    """The present; `put` and `put_host` keep it in step with what is kept. A host is in one open session at most."""

    def __init__(self, sessions: Iterable[Session] = (), works: Iterable[HostWork] = ()) -> None:
        self._sessions: dict[str, Session] = {}
        self._works: dict[str, dict[str, HostWork]] = {}
        self._open: dict[str, str] = {}
        self._away: Counter[str] = Counter()
        self._unsettled: dict[tuple[str, str], None] = {}
        self._going: set[str] = set()
        self._watched: dict[str, HostWork] = {}
        for session in sessions:
            self.put(session)
        for work in works:
            self.put_host(work)

    def __len__(self) -> int:
        return len(self._sessions)

    def __iter__(self) -> Iterator[Session]:
        return iter(self._sessions.values())

    def get(self, session_id: str) -> Session | None:
        """Return a session, or None."""
        return self._sessions.get(session_id)

    def put(self, session: Session) -> None:
        """Take over a session as it is now."""
        self._sessions[session.session_id] = session
        self._works.setdefault(session.session_id, {})
        if session.state.is_over:
            self._going.discard(session.session_id)
        else:
            self._going.add(session.session_id)

    def put_host(self, work: HostWork) -> None:
        """Take over one host of a session as it is now."""
        works = self._works.setdefault(work.session_id, {})
        self._leave(works.get(work.host))
        works[work.host] = work
        self._away.update(_away(work))
        if not work.stage.is_over:
            self._open[work.host] = work.session_id
        elif any(one.state is GuestState.MOVING for one in work.guests):
            self._unsettled[work.session_id, work.host] = None
        if work.watched_until is not None:
            self._watched[work.host] = work

    def forget(self, session_id: str) -> None:
        """Have no such session any more."""
        self._sessions.pop(session_id, None)
        self._going.discard(session_id)
        for work in self._works.pop(session_id, {}).values():
            self._leave(work)

    def _leave(self, work: HostWork | None) -> None:
        if work is None:
            return
        self._unsettled.pop((work.session_id, work.host), None)
        if (watched := self._watched.get(work.host)) is not None and watched.session_id == work.session_id:
            del self._watched[work.host]
        for one in _away(work):
            self._away[one] -= 1
            if not self._away[one]:
                del self._away[one]
        if self._open.get(work.host) == work.session_id:
            del self._open[work.host]

    @property
    def away(self) -> Container[str]:
        """Return what is in maintenance: the hosts that are being emptied or are empty, and the machines on them."""
        return self._away

    @property
    def open(self) -> Iterator[Session]:
        """Return the sessions of which something may still come."""
        return (one for one in self._sessions.values() if self.is_open(one))

    def is_open(self, session: Session) -> bool:
        """Tell whether a session goes on: one that has been answered may still have hosts that are worked on."""
        return not session.state.is_over or any(
            not one.stage.is_over for one in self._works[session.session_id].values()
        )

    def works(self, session_id: str) -> list[HostWork]:
        """Return the hosts of a session, in its order."""
        works = self._works.get(session_id, {})
        return [works[host] for host in self._sessions[session_id].hosts if host in works] if works else []

    def of_host(self, host: str) -> HostWork | None:
        """Return the open work on a host, None if no session is about it."""
        session_id = self._open.get(host)
        return None if session_id is None else self._works[session_id][host]

    @property
    def unsettled(self) -> list[HostWork]:
        """Return the hosts that were given up, or called off, while something was being done to their machines."""
        return [self._works[session_id][host] for session_id, host in self._unsettled]

    @property
    def has_work(self) -> bool:
        """Tell whether there is anything to look at."""
        return bool(self._open or self._unsettled or self._going or self._watched)

    @property
    def watched(self) -> list[HostWork]:
        """Return the hosts that were given back, and may still be on their way."""
        return list(self._watched.values())

    def expects(self, host: str, since: datetime) -> bool:
        """Tell whether it is no wonder that a host has been silent since a time: it was being worked on then, and that goes
        on, or it has just been given back and may still be on its way.
        """
        work = self.of_host(host)
        if work is not None and work.stage is HostStage.EMPTY:
            return work.emptied is not None and since >= work.emptied
        watched = self._watched.get(host)
        if watched is None or watched.emptied is None or watched.ended is None or watched.back is not None:
            return False
        return watched.emptied <= since <= watched.ended

    @property
    def hosts(self) -> Mapping[str, str]:
        """Return the hosts that open sessions are about, with the ids of those."""
        return self._open

    def state_of(self, host: str) -> MaintenanceState:
        """Return where a host stands [D 3.4.2]."""
        work = self.of_host(host)
        return MaintenanceState.ENABLED if work is None else work.stage.maintenance_state


def _away(work: HostWork) -> tuple[str, ...]:
    if work.stage not in (HostStage.EMPTYING, HostStage.EMPTY):
        return ()
    return (work.host, *(one.resource_id for one in work.guests if one.state is not GuestState.AWAY))
