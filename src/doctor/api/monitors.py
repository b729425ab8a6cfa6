"""The doors to who reports: every source that was heard, and every monitor of Doctor's own."""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.roles import ADMINISTRATORS, OVERSEERS
from doctor.flows.source_test import SourceTest
from doctor.flows.sources import Sources
from doctor.flows.standing import Standing
from doctor.inspector.source import Source
from doctor.model.errors import Reason, RejectedError


class MonitorState(StrEnum):
    """Whether a source speaks. `unheard`: it has said nothing since Doctor began, and nobody has promised that it would."""

    SPEAKS = "speaks"
    SILENT = "silent"
    UNHEARD = "unheard"


class MonitorOut(msgspec.Struct, frozen=True, kw_only=True):
    """A source of events: the bearer of a token, by its name, or a monitor of Doctor's own.

    ``kind`` is the form in which it speaks, or its driver. Everything is counted since ``counted_since``: `events`, of them
    the `duplicates` that were known, what was `rejected`, what the source itself knows to be `lost`. ``lag_ms`` is by how
    much later than it says the newest event came; both clocks are in it. ``last_test_time`` is when an event of the type
    `monitor.test` came. ``standing`` things are wrong there now, of
    those that it says again and again. It is missed when it says nothing for ``silent_after`` seconds; null: never.
    """

    name: str
    kind: str
    state: MonitorState
    counted_since: datetime
    last_heard_time: datetime | None
    last_event_time: datetime | None
    last_test_time: datetime | None
    lag_ms: float | None
    events: int
    events_per_minute: float
    duplicates: int
    rejected: int
    lost: int
    standing: int
    silent_after: float | None
    alarm_id: str | None


class TestOut(msgspec.Struct, frozen=True, kw_only=True):
    """A trial event that has arrived: it was judged and is durable after ``took_ms``, and nobody was told."""

    event_id: str
    received_time: datetime
    took_ms: float


class MonitorsDoor:
    """The operations on sources."""

    def __init__(self, sources: Sources, standing: Standing, test: SourceTest) -> None:
        self._sources = sources
        self._standing = standing
        self._test = test

    @operation("GET", "/v1/monitors", tag="Monitors", roles=OVERSEERS)
    async def list_monitors(self, call: Call[None, PageQuery]) -> Answer[Page[MonitorOut]]:
        """List who reports, by name: how much, how late, and whether he still speaks."""
        after = position_in(call.query.cursor, str) or ""
        rows = [one for one in self._sources.all if one.name > after][: call.query.limit + 1]
        return Answer(page_of(rows, call.query.limit, self._shown, lambda one: one.name))

    @operation("GET", "/v1/monitors/{name}", tag="Monitors", roles=OVERSEERS)
    async def get_monitor(self, call: Call[None, None]) -> Answer[MonitorOut]:
        """Show who reports by this name."""
        source = self._sources.get(call.path["name"])
        if source is None:
            raise RejectedError("nobody has reported by this name", reason=Reason.NOT_FOUND)
        return Answer(self._shown(source))

    @operation(
        "POST",
        "/v1/monitors/{name}/test",
        tag="Monitors",
        roles=ADMINISTRATORS,
        answers={200: "The event has arrived.", 409: "The failure policy would make something of it."},
    )
    async def test_monitor(self, call: Call[None, None]) -> Answer[TestOut]:
        """Send an event of the type `monitor.test` as if from this source: it takes the whole way, and nobody is told."""
        tested = await self._test.run(call.path["name"])
        took = (tested.durable - tested.received).total_seconds() * 1000
        return Answer(
            TestOut(event_id=tested.event_id, received_time=tested.received, took_ms=round(took, 3))
        )

    def _shown(self, source: Source) -> MonitorOut:
        counts = self._sources.counts_of(source.name)
        silence = self._sources.silence_of(source.name)
        own = silence.alarms.get(source.name) if silence else None
        return MonitorOut(
            name=source.name,
            kind=source.kind,
            state=_state(source),
            counted_since=self._sources.since,
            last_heard_time=source.last_heard,
            last_event_time=source.last_event,
            last_test_time=source.last_test,
            lag_ms=None if source.lag is None else round(source.lag.total_seconds() * 1000, 1),
            events=source.events,
            events_per_minute=round(source.per_minute, 1),
            duplicates=source.duplicates,
            rejected=source.rejected + counts.get("rejected", 0),
            lost=counts.get("lost", 0),
            standing=self._standing.count(source.name),
            silent_after=source.silent_after.total_seconds() if source.silent_after else None,
            alarm_id=own.alarm_id if own else None,
        )


def _state(source: Source) -> MonitorState:
    if source.is_silent:
        return MonitorState.SILENT
    return MonitorState.UNHEARD if source.last_heard is None else MonitorState.SPEAKS
