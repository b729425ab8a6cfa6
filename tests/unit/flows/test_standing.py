"""What sources say again and again, when the store cannot keep it, and when a list and a message cross."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any

import pytest

from doctor.flows.fault import Accepted, Reported
from doctor.flows.sources import Sources
from doctor.flows.standing import Standing
from doctor.inspector.intake import Intake
from doctor.kit.ids import stable_ids
from doctor.model.errors import StoreError
from doctor.model.event import RawEvent
from doctor.ports.payload import Alive, Happened, Listing, Saying, Stated, Told
from doctor.testing.clock import ManualClock

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)


class Faults:
    """A fault flow that keeps what it judges, and drops repeats."""

    def __init__(self) -> None:
        self.judged: list[RawEvent] = []
        self.is_full = False
        self._intake = Intake()

    def on_reported(self, reported: object) -> None:
        """Nobody is counted here."""

    async def accept(self, reports: Sequence[Reported]) -> list[Accepted]:
        if self.is_full:
            raise StoreError("the disk is full")
        (report,) = reports
        ids = stable_ids("event", [event.identity for event in report.events])
        news = [self._intake.is_news(one) for one in ids]
        self.judged += [event for event, new in zip(report.events, news, strict=True) if new]
        return [Accepted(ids, news)]


class Desk:
    """A `Standing` with what it needs."""

    def __init__(self, *open_faults: dict[str, Any]) -> None:
        self.faults = Faults()
        self.clock = ManualClock(NOON)
        book = [
            SimpleNamespace(
                fault=SimpleNamespace(
                    details=details,
                    event_time=NOON,
                    severity=SimpleNamespace(perceived="critical"),
                    fault_type="host down",
                    resource_id="h",
                )
            )
            for details in open_faults
        ]
        situation: Any = SimpleNamespace(book=book)
        self.sources = Sources(situation, self.faults, self.clock, {})  # type: ignore[arg-type]
        self.standing = Standing(situation, self.faults, self.sources, self.clock)  # type: ignore[arg-type]
        self.standing.start()

    async def say(self, *events: RawEvent, second: float = 0) -> list[bool]:
        told = Told("s", NOON + timedelta(seconds=second))
        taken = await self.standing.take("alertmanager", told, [Stated(event) for event in events])
        return [one.is_duplicate for one in taken]

    async def lists(self, *events: RawEvent, asked: float = 0, kept: Sequence[RawEvent] = ()) -> None:
        told = Told("s", NOON + timedelta(seconds=asked))
        stated, silenced = [Stated(event) for event in events], [Stated(event) for event in kept]
        await self.standing.compare(Listing("alertmanager", told, [Alive(), *stated], silenced))

    async def hears(self, *events: RawEvent, second: float = 0) -> None:
        """What a monitor has heard a source say; what has no status has just happened."""
        told = Told("s", NOON + timedelta(seconds=second))
        said = [Stated(event) if event.status else Happened(event) for event in events]
        await self.standing.hear(Saying("snmp", told, said))

    def took(self) -> list[tuple[str, str]]:
        """Return what was judged since the last time."""
        judged, self.faults.judged = self.faults.judged, []
        return [(one.monitor_event_id, one.status) for one in judged]


def event(mark: str, status: str = "down", *, second: float = 0, host: str = "h") -> RawEvent:
    return RawEvent(
        time=NOON + timedelta(seconds=second),
        type="x",
        resource=host,
        source="s",
        status=status,
        monitor_event_id=mark,
    )


async def test_what_could_not_be_kept_is_news_when_it_is_sent_again() -> None:
    desk = Desk()
    desk.faults.is_full = True
    with pytest.raises(StoreError):
        await desk.say(event("a"))
    desk.faults.is_full = False
    assert desk.standing.count("s") == 0
    assert await desk.say(event("a"), event("a")) == [False, True]
    assert desk.took() == [("a", "down")]


async def test_an_end_that_could_not_be_kept_is_found_again() -> None:
    """By the next list; nobody would say it again."""
    desk = Desk()
    await desk.say(event("a"))
    desk.took()
    desk.faults.is_full = True
    with pytest.raises(StoreError):
        await desk.lists(asked=60)
    desk.faults.is_full = False
    await desk.lists(asked=60)
    assert desk.took() == [("a", "up")]


async def test_a_list_finds_what_was_lost_both_ways() -> None:
    desk = Desk()
    await desk.say(event("old"), event("quiet", host="g"))
    desk.took()
    await desk.lists(
        event("new", host="f"), asked=30, kept=[event("quiet", host="g"), event("untold", host="e")]
    )
    assert sorted(desk.took()) == [("new", "down"), ("old", "up")]
    assert desk.standing.count("s") == 2


async def test_a_message_that_is_newer_than_the_list_counts() -> None:
    desk = Desk()
    await desk.say(event("a"), second=1)
    await desk.say(event("a", "up", second=8), event("b", second=9), second=10)
    desk.took()
    await desk.lists(event("a"), asked=5)
    assert desk.took() == []
    assert desk.standing.count("s") == 1


async def test_what_was_known_before_a_start_and_stands_no_more_is_said_anew() -> None:
    """Somebody has ended it by hand; it is there."""
    desk = Desk()
    await desk.say(event("a"))
    desk.took()
    desk.standing._ledgers.clear()
    assert await desk.say(event("a"), second=60) == [True]
    (again,) = desk.faults.judged
    assert again.time == NOON + timedelta(seconds=60)


async def test_what_is_open_at_a_start_stands_and_can_be_missed() -> None:
    said = {
        "source": "s",
        "monitor_id": "alertmanager",
        "monitor_event_id": "a",
        "type": "x",
        "hostname": "h",
    }
    desk = Desk(said, {"source": "s"}, {**said, "monitor_event_id": 7})
    assert desk.standing.count("s") == 1
    assert [stand.event.monitor_event_id for stand in desk.standing.at("alertmanager")] == ["a"]
    assert await desk.say(event("a")) == [True]
    await desk.lists(asked=60)
    assert desk.took() == [("a", "up")]


async def test_what_was_heard_can_be_missed_in_a_list_of_its_part_only() -> None:
    """What only happened stands nowhere."""
    desk = Desk()
    await desk.hears(event("leaf-1 a"), event("leaf-10 a", host="g"), event("leaf-1 start", ""))
    assert desk.took() == [("leaf-1 a", "down"), ("leaf-10 a", "down"), ("leaf-1 start", "")]
    told = Told("s", NOON + timedelta(seconds=5))
    await desk.standing.compare(Listing("snmp", told, [], within="leaf-1 "))
    assert desk.took() == [("leaf-1 a", "up")]
    assert desk.standing.count("s") == 1


async def test_what_is_heard_keeps_its_order_and_is_counted() -> None:
    desk = Desk()
    await desk.hears(event("a"), event("a", "up", second=1), event("a", second=2), event("a", second=2))
    assert desk.took() == [("a", "down"), ("a", "up"), ("a", "down")]
    source = desk.sources.get("s")
    assert source is not None
    assert (source.kind, source.duplicates) == ("snmp", 1)


async def test_what_was_heard_and_could_not_be_kept_is_said_again() -> None:
    desk = Desk()
    desk.faults.is_full = True
    with pytest.raises(StoreError):
        await desk.hears(event("a"))
    desk.faults.is_full = False
    await desk.hears(event("a"))
    assert desk.took() == [("a", "down")]
