"""When devices are asked, and what is said of what they answer."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.drivers.monitors.snmp import polling
from doctor.drivers.monitors.snmp.client import Target, Unanswered
from doctor.drivers.monitors.snmp.devices import Devices
from doctor.drivers.monitors.snmp.facts import IF_NAME, PortNames
from doctor.drivers.monitors.snmp.looks import IF_ADMIN, IF_OPER, Walked
from doctor.drivers.monitors.snmp.mapping import Meanings, TableRule, Traps
from doctor.drivers.monitors.snmp.polling import Poller
from doctor.drivers.monitors.snmp.settings import PollSettings, SnmpSettings, UserSettings
from doctor.kit.clock import SystemClock
from doctor.kit.secret import Secret
from doctor.model.resource import PhysicalResource
from doctor.ports.payload import Listing, Stated

TABLE = TableRule(name="raid", column="1.3.6.1.9", type="storage.backend.degraded", key="raid", down=(2,))
RESOURCES = [
    PhysicalResource(id="leaf-1", type="switch", address=("192.0.2.1",)),
    PhysicalResource(id="array-1", type="storage", address=("192.0.2.2",)),
    PhysicalResource(id="compute-1", address=("192.0.2.3",)),
    PhysicalResource(id="nameless", type="switch"),
]


class Answers:
    """A client whose answers a test sets."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.ports: dict[str, int] = {"Eth1": 1}
        self.raid = 1
        self.why: BaseException | None = None
        self.kept: set[str] = set()

    def keep(self, devices: Any) -> None:
        self.kept = set(devices)

    async def walk(self, target: Target, columns: Sequence[str]) -> Walked:
        if columns[0] == IF_ADMIN:
            self.asked.append(target.device)
        await asyncio.sleep(0)
        if self.why is not None:
            raise self.why
        numbered = {str(number): name for number, name in enumerate(self.ports, 1)}
        everything: dict[str, dict[str, Any]] = {
            IF_ADMIN: dict.fromkeys(numbered, 1),
            IF_OPER: {number: self.ports[name] for number, name in numbered.items()},
            IF_NAME: {number: name.encode() for number, name in numbered.items()},
            TABLE.column: {"0": self.raid},
        }
        return {column: everything.get(column, {}) for column in columns}


class Desk:
    """A poller with all that it gives."""

    def __init__(self, *polls: PollSettings, communities: Sequence[Secret | None] = (None,)) -> None:
        self.client = Answers()
        self.given: list[Listing] = []
        self.news = asyncio.Event()
        settings = SnmpSettings(poll=polls or (PollSettings(user="doctor", every=polls_every()),))
        client: Any = self.client
        self.names = PortNames()
        self.poller = Poller(
            settings,
            communities,
            Meanings(Traps([]), (TABLE,), ()),
            client,
            self.names,
            SystemClock(),
            self.give,
        )

    def give(self, listing: Listing) -> None:
        self.given.append(listing)
        self.news.set()

    def said(self, source: str = "snmp") -> dict[str, list[str]]:
        """Return what stands by the last listings of a source, by what they are about."""
        return {
            one.within: [read.event.monitor_event_id for read in one.readings if isinstance(read, Stated)]
            for one in self.given
            if one.told.source == source
        }

    async def until(self, what: Callable[[], Any]) -> None:
        async with asyncio.timeout(10):
            while not what():
                self.news.clear()
                await self.news.wait()


def polls_every(seconds: float = 0.02) -> timedelta:
    return timedelta(seconds=seconds)


@asynccontextmanager
async def asking(*polls: PollSettings, **how: Any) -> AsyncIterator[Desk]:
    desk = Desk(*polls, **how)
    desk.poller.load(Devices(RESOURCES), ())
    yield desk
    await desk.poller.stop()


async def test_all_that_have_an_address_are_asked_but_hosts() -> None:
    async with asking() as desk:
        await desk.until(lambda: {"leaf-1", "array-1"} <= set(desk.client.asked))
        assert set(desk.client.asked) == desk.client.kept == {"leaf-1", "array-1"}


async def test_who_is_named_is_asked_as_the_first_entry_says() -> None:
    polls = [
        PollSettings(only=("compute-*",), community_file=None, user=None, every=polls_every()),
        PollSettings(only=("leaf-*", "compute-1"), user="doctor", every=polls_every()),
    ]
    async with asking(*polls, communities=[Secret("public"), None]) as desk:
        await desk.until(lambda: {"leaf-1", "compute-1"} <= set(desk.client.asked))
        await desk.until(lambda: "compute-1 port:" in desk.said("snmp.hints") and desk.said())
        assert set(desk.client.asked) == {"leaf-1", "compute-1"}
        assert not any(key.startswith("compute-1") for key in desk.said())


async def test_what_stands_is_said_with_the_time_at_which_it_began() -> None:
    """Said again it is no news; when a trap has said something else it is said anew."""
    async with asking() as desk:
        desk.client.raid = 2
        await desk.until(lambda: desk.said().get("array-1 raid:") == ["array-1 raid:"])
        times = []
        for _ in range(3):
            desk.given.clear()
            await desk.until(lambda: "array-1 raid:" in desk.said())
            listing = next(one for one in desk.given if one.within == "array-1 raid:" and one.readings)
            (reading,) = listing.readings
            assert isinstance(reading, Stated)
            times.append(reading.event.time)
        assert len(set(times)) == 1
        desk.poller.soon("array-1", "array-1 raid:")
        desk.given.clear()
        await desk.until(
            lambda: any(
                isinstance(read, Stated) and read.event.time > times[0]
                for one in desk.given
                for read in one.readings
                if one.within == "array-1 raid:"
            )
        )


async def test_what_hints_have_said_is_put_right_by_what_is_proven() -> None:
    async with asking() as desk:
        desk.client.raid = 2
        await desk.until(lambda: desk.said().get("array-1 raid:"))
        hints = [
            one for one in desk.given if one.told.source == "snmp.hints" and one.within == "array-1 raid:"
        ]
        assert all(not one.readings for one in hints)
        assert hints[-1].kept


async def test_no_answer_is_the_end_of_nothing_and_a_fact_of_its_own() -> None:
    async with asking() as desk:
        desk.client.raid = 2
        await desk.until(lambda: desk.said().get("array-1 raid:"))
        desk.client.why = Unanswered("no answer")
        desk.given.clear()
        await desk.until(lambda: desk.said().get("array-1 silence:") and desk.said().get("leaf-1 silence:"))
        assert all(one.within.endswith("silence:") for one in desk.given[4:])
        last = [one for one in desk.given if one.within == "array-1 silence:"][-1]
        (reading,) = last.readings
        assert isinstance(reading, Stated)
        event = reading.event
        assert (event.type, event.resource, event.resource_type) == (
            "monitor.silent",
            "snmp@array-1",
            "monitor",
        )
        assert event.details["cause"] == "no answer"
        desk.client.why = None
        desk.given.clear()
        await desk.until(lambda: desk.said().get("array-1 silence:") == [])


async def test_what_goes_wrong_with_one_device_is_no_matter_of_others() -> None:
    async with asking() as desk:
        desk.client.why = ValueError("something that nobody has thought of")
        await desk.until(lambda: len([key for key, said in desk.said().items() if said]) == 2)
        assert {key: len(said) for key, said in desk.said().items() if said} == {
            "leaf-1 silence:": 1,
            "array-1 silence:": 1,
        }
        desk.client.why = None
        await desk.until(lambda: "leaf-1 port:" in desk.said() and desk.said()["leaf-1 silence:"] == [])


async def test_what_is_in_the_map_no_more_is_asked_no_more() -> None:
    async with asking() as desk:
        await desk.until(lambda: desk.said())
        desk.poller.load(Devices(RESOURCES[1:]), ())
        await asyncio.sleep(0.05)
        desk.client.asked.clear()
        await asyncio.sleep(0.1)
        assert set(desk.client.asked) == {"array-1"}


async def test_a_trap_has_a_device_asked_soon_and_not_for_each_trap(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(polling, "LEAST_BETWEEN", 0.2)
    async with asking(PollSettings(user="doctor", every=polls_every(60))) as desk:
        await desk.until(lambda: len(set(desk.client.asked)) == 2 and len(desk.given) > 8)
        desk.client.asked.clear()
        for _ in range(100):
            desk.poller.soon("leaf-1")
        desk.poller.soon("nobody")
        await asyncio.sleep(0.5)
        assert desk.client.asked == ["leaf-1"]
        desk.poller.all_soon()
        await asyncio.sleep(0.5)
        assert sorted(desk.client.asked) == ["array-1", "leaf-1", "leaf-1"]


async def test_names_of_ports_are_learned() -> None:
    async with asking() as desk:
        await desk.until(lambda: desk.said())
        assert desk.names.name("leaf-1", 1) == "Eth1"


async def test_a_port_that_was_up_is_missed() -> None:
    async with asking() as desk:
        await desk.until(lambda: "leaf-1 port:" in desk.said())
        desk.client.ports = {"Eth1": 2, "Eth2": 2}
        desk.given.clear()
        await desk.until(lambda: desk.said().get("leaf-1 port:") == ["leaf-1 port: Eth1"])
        await desk.until(
            lambda: any(len(one.kept) == 1 for one in desk.given if one.within == "leaf-1 port:")
        )


def test_users_that_poll_have_to_be_there(tmp_path: Path) -> None:
    given = {"communities": ["public"], "poll": {"user": "nobody"}}
    with pytest.raises(ValueError, match=r"^poll\[0\].user: 'nobody' is none of users"):
        SnmpSettings.parse(given)
    for poll, place in (
        ({}, r"poll\[0\].user: required"),
        ({"user": "x", "community_file": "y"}, r"poll\[0\].user"),
        ({"user": "x", "every": 0}, r"poll\[0\].every"),
        ({"user": "x", "colour": 1}, r"poll\[0\].colour|colour"),
        ("x", r"poll\[0\]"),
    ):
        with pytest.raises(ValueError, match=place):
            SnmpSettings.parse({"communities": ["public"], "poll": [poll]})
    user = {"name": "doctor", "auth_file": str(tmp_path), "privacy_file": str(tmp_path)}
    read = SnmpSettings.parse({"users": [user], "poll": {"user": "doctor"}})
    assert read.poll[0].every == polls_every(30)
    assert isinstance(read.users[0], UserSettings)
