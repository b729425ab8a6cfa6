"""Who is missed, and when: in virtual time, with a fault flow that can be full."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from doctor.flows import sources
from doctor.flows.fault import Accepted, OnReported, Reported
from doctor.flows.sources import FAULT_TYPE, PROMISED, Sources
from doctor.model.errors import StoreError
from doctor.model.event import RawEvent
from doctor.testing.clock import LoopClock

pytestmark = pytest.mark.looptime


class Faults:
    """A fault flow that keeps what Doctor says of sources, with the second."""

    def __init__(self, clock: LoopClock) -> None:
        self._clock = clock
        self.said: list[tuple[str, str]] = []
        self.is_full = False
        self.cut_off: datetime | None = None
        self.lookout = SimpleNamespace(cut_off_until=self._cut_off_until)
        self._reported: OnReported = lambda reports, accepted: None

    def on_reported(self, reported: OnReported) -> None:
        self._reported = reported

    def _cut_off_until(self, now: datetime) -> datetime | None:
        return None if self.cut_off is None else now

    def report(self, name: str) -> None:
        now = self._clock.now()
        event = RawEvent(time=now, type="x")
        self._reported([Reported([event], name, b"", now)], [Accepted(["id"], [True])])

    async def accept(self, reports: Sequence[Reported]) -> list[Accepted]:
        if self.is_full:
            raise StoreError("the disk is full")
        self.said += [(event.resource, event.status) for report in reports for event in report.events]
        return []


class Desk:
    """Sources with what they need."""

    def __init__(self, promised: dict[str, float], open_faults: dict[str, str] | None = None) -> None:
        self.clock = LoopClock()
        self.faults = Faults(self.clock)
        book = [
            SimpleNamespace(
                fault=SimpleNamespace(
                    resource_id=name,
                    fault_type=FAULT_TYPE,
                    details={PROMISED: by, "silent_after": 5.0} if by else {},
                )
            )
            for name, by in (open_faults or {}).items()
        ]
        situation: Any = SimpleNamespace(book=book)
        given = {name: timedelta(seconds=after) for name, after in promised.items()}
        self.sources = Sources(situation, self.faults, self.clock, given)  # type: ignore[arg-type]
        self.sources.start()

    def said(self) -> list[tuple[str, str]]:
        said, self.faults.said = self.faults.said, []
        return said


@asynccontextmanager
async def running(desk: Desk) -> AsyncIterator[None]:
    task = asyncio.create_task(desk.sources.run())
    try:
        yield
    finally:
        task.cancel()
        await asyncio.wait([task])


async def test_who_promised_is_missed_and_heard_again() -> None:
    desk = Desk({"a": 5})
    async with running(desk):
        await asyncio.sleep(4)
        assert desk.said() == []
        await asyncio.sleep(2)
        assert desk.said() == [("a", "down")]
        desk.faults.report("a")
        desk.faults.report("doctor")  # Doctor itself is nobody's source
        await asyncio.sleep(1)
        assert desk.said() == [("a", "up")]
        assert [one.name for one in desk.sources.all] == ["a"]
        await asyncio.sleep(5.5)
        assert desk.said() == [("a", "down")]


async def test_what_could_not_be_kept_is_said_later() -> None:
    desk = Desk({"a": 5})
    desk.faults.is_full = True
    async with running(desk):
        await asyncio.sleep(10)
        assert desk.said() == []
        desk.faults.is_full = False
        await asyncio.sleep(1)
        assert desk.said() == [("a", "down")]


async def test_a_heartbeat_promises_the_next() -> None:
    desk = Desk({})
    now = desk.clock.now()
    desk.sources.hears("a", "alertmanager", now, now + timedelta(seconds=3))
    async with running(desk):
        await asyncio.sleep(4)
        assert desk.said() == [("a", "down")]


async def test_nobody_is_missed_while_doctor_hears_nobody() -> None:
    desk = Desk({"a": 5})
    desk.faults.cut_off = desk.clock.now()
    async with running(desk):
        await asyncio.sleep(60)
        desk.faults.cut_off = None
        await asyncio.sleep(4)
        assert desk.said() == []
        await asyncio.sleep(2)
        assert desk.said() == [("a", "down")]


async def test_after_a_start_he_who_was_silent_stays_so_until_he_speaks() -> None:
    """But who is expected by nobody any more is not, and what the failure policy has found is its own."""
    desk = Desk({"a": 5}, {"a": "settings", "b": "heartbeat", "gone": "settings", "policy": ""})
    async with running(desk):
        await asyncio.sleep(20)
        assert desk.said() == [("gone", "up")]
        for name in ("a", "b"):
            desk.faults.report(name)
        await asyncio.sleep(1)
        assert desk.said() == [("a", "up"), ("b", "up")]


async def test_there_is_an_end_to_who_is_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sources, "MOST", 2)
    desk = Desk({})
    for name in ("a", "b", "c"):
        desk.faults.report(name)
    assert [one.name for one in desk.sources.all] == ["a", "b"]
