"""The Redfish monitor is told when there is something to see, and reads what BMCs write into their logs."""

import asyncio
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog.testing

from doctor.drivers.monitors.redfish.hints import MOST_CONNECTIONS
from doctor.model.errors import PermanentError
from doctor.ports.monitor import Counts
from doctor.testing.contracts.monitor import Watching
from doctor.testing.running import free_port
from tests.monitors.redfish_service import ENTRIES, EVENTS, SUBSCRIPTIONS, post
from tests.monitors.test_redfish import HOST, RedfishRig, seen


class EventRig(RedfishRig):
    """Its BMC is asked once an hour: what is seen before that is seen because an event came."""

    def __init__(self, folder: Path, **more: Any) -> None:
        super().__init__(folder)
        self.port = free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        events = {"listen": f"127.0.0.1:{self.port}", "url": self.base}
        self.settings = {**self.settings, "every": 3600, "events": events, **more}
        self.monitor = self.make(self.settings)

    def counts(self) -> dict[str, int]:
        assert isinstance(self.monitor, Counts)
        return dict(self.monitor.counts())


def connections(port: int, number: int) -> list[socket.socket]:
    return [socket.create_connection(("127.0.0.1", port), 10) for _ in range(number)]


@pytest.fixture
def rig(tmp_path: Path) -> Iterator[EventRig]:
    made = EventRig(tmp_path)
    yield made
    made.service.vanish()


@pytest.mark.requirement("C7")
async def test_an_event_makes_doctor_look(rig: EventRig) -> None:
    """What the event says is not even read: the BMC itself is."""
    async with Watching(rig) as watching:
        await seen(lambda: rig.service.subscriptions and watching.events)
        for number in (1, 0, 2):
            rig.put_wrong(number)
            said = {
                "MessageId": "Lies.1.0.AllIsWell",
                "Severity": "OK",
                "EventTimestamp": "1970-01-01T00:00:00Z",
            }
            assert await asyncio.to_thread(rig.service.send, said) == [204]
            await watching.until(number)
        assert rig.counts()["hints"] == 3
    await seen(lambda: not rig.service.subscriptions)


@pytest.mark.shows("monitor redfish", "restart")
async def test_a_subscription_that_was_forgotten_or_suspended_is_made_anew(rig: EventRig) -> None:
    rig.settings = {**rig.settings, "every": 0.2}
    rig.monitor = rig.make(rig.settings)
    async with Watching(rig):
        await seen(lambda: rig.service.subscriptions)
        first = list(rig.service.subscriptions)
        rig.service.forget()
        await seen(lambda: list(rig.service.subscriptions) not in ([], first))
        (where,) = rig.service.subscriptions
        rig.service.subscriptions[where]["Status"] = {"State": "Disabled"}
        await seen(lambda: list(rig.service.subscriptions) not in ([], [where]))
        await asyncio.sleep(1)
        assert len(rig.service.subscriptions) == 1


async def test_what_a_doctor_that_was_killed_has_left_is_taken_away_and_nothing_of_others(
    rig: EventRig,
) -> None:
    """A BMC takes few subscriptions."""
    left = {"Context": f"doctor redfish {HOST}", "Destination": "http://127.0.0.1:1/old"}
    foreign = {"Context": "somebody else", "Destination": "http://127.0.0.1:1/theirs"}
    rig.service.subscriptions = {f"{SUBSCRIPTIONS}/9{one}": dict(left) for one in range(3)}
    rig.service.subscriptions[f"{SUBSCRIPTIONS}/99"] = foreign
    async with Watching(rig):
        await seen(lambda: rig.base in str(rig.service.subscriptions))
        assert len(rig.service.subscriptions) == 2
        assert foreign in rig.service.subscriptions.values()


@pytest.mark.parametrize("is_offered", [False, True], ids=["no-event-service", "no-place-left"])
async def test_who_takes_no_subscription_is_only_asked(rig: EventRig, *, is_offered: bool) -> None:
    rig.settings = {**rig.settings, "every": 0.2}
    rig.monitor = rig.make(rig.settings)
    if is_offered:
        rig.service.most_subscriptions = 0
    else:
        del rig.service.documents[EVENTS]
    rig.put_wrong(1)
    async with Watching(rig) as watching:
        with structlog.testing.capture_logs() as logs:
            await watching.until(1)
            await asyncio.sleep(1)
        asked = [one for one in rig.service.asked if EVENTS in one]
        assert len(asked) < 6, "it is not asked for at each look"
        assert [one["event"] for one in logs].count("redfish.events") <= 1


@pytest.mark.shows("monitor redfish", "bad input")
async def test_whoever_does_not_know_the_path_is_refused(rig: EventRig) -> None:
    async with Watching(rig):
        await seen(lambda: rig.service.subscriptions)
        (one,) = rig.service.subscriptions.values()
        for url, method in [
            (rig.base + "/", "POST"),
            (rig.base + "/x" * 4000, "POST"),
            (one["Destination"], "GET"),
            (one["Destination"], "PUT"),
        ]:
            assert await asyncio.to_thread(post, url, b"{}", method=method) == 404
        assert rig.counts() == {"hints": 0, "rejected": 4, "lost": 0}


@pytest.mark.shows("monitor redfish", "bad input")
@pytest.mark.parametrize(
    "raw",
    [
        pytest.param(b"\x16\x03\x01\x02\x00\x01", id="tls"),
        pytest.param(b"POST\r\n\r\n", id="no-request"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", id="negative"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: x\r\n\r\n", id="no-number"),
        pytest.param(b"POST / HTTP/1.1\r\nContent-Length: 99999999999\r\n\r\n", id="endless"),
        pytest.param(b"A" * 100_000, id="flood"),
        pytest.param(b"", id="silence"),
    ],
)
async def test_what_is_no_request_is_counted_and_hurts_nobody(rig: EventRig, raw: bytes) -> None:
    async with Watching(rig) as watching:
        await seen(lambda: rig.service.subscriptions and watching.events)
        with structlog.testing.capture_logs() as logs:
            half_open = [
                socket.create_connection(("127.0.0.1", rig.port)) for _ in range(MOST_CONNECTIONS // 2)
            ]
            for one in half_open:
                one.sendall(raw)
                one.shutdown(socket.SHUT_WR)
            await seen(lambda: rig.counts()["rejected"] >= len(half_open))
            assert [one["event"] for one in logs].count("redfish.event_refused") == 1
            rig.put_wrong(1)
            assert await asyncio.to_thread(rig.service.send, {}) == [204]
            await watching.until(1)
        for one in half_open:
            one.close()


async def test_connections_that_say_nothing_are_not_kept(rig: EventRig) -> None:
    """There are so many at most, and they end; those beyond are refused at once."""
    async with Watching(rig):
        await seen(lambda: rig.service.subscriptions)
        silent = await asyncio.to_thread(connections, rig.port, MOST_CONNECTIONS + 20)
        await seen(lambda: rig.counts()["rejected"] >= 20)
        await seen(lambda: rig.counts()["rejected"] >= MOST_CONNECTIONS + 20)
        assert await asyncio.to_thread(rig.service.send, {}) == [204]
        for one in silent:
            one.close()


async def test_an_address_that_is_taken_is_told_when_it_begins(rig: EventRig) -> None:
    with socket.create_server(("127.0.0.1", rig.port)), pytest.raises(PermanentError, match="listen: "):
        await anext(rig.monitor.watch(rig.targets))


@pytest.mark.parametrize(
    ("change", "place"),
    [
        pytest.param({"listen": "doctor:80"}, "events.listen", id="a-name"),
        pytest.param({"listen": "127.0.0.1:99999"}, "events.listen", id="port"),
        pytest.param({"listen": "192.0.2.1:1"}, "events.certificate", id="without-tls"),
        pytest.param({"url": "https://127.0.0.1"}, "events.url", id="tls-for-nobody"),
        pytest.param({"certificate": "/none", "key": "/none"}, "events.certificate", id="no-certificate"),
    ],
)
def test_settings_that_cannot_be_are_told(rig: EventRig, change: dict[str, Any], place: str) -> None:
    with pytest.raises(ValueError, match=f"^{place}: "):
        rig.make({**rig.settings, "events": {**rig.settings["events"], **change}})


async def test_events_come_over_tls(rig: EventRig) -> None:
    certificate = rig.service.certificate
    tls = {"certificate": str(certificate), "key": str(certificate.parent / "key.pem")}
    events = {**rig.settings["events"], **tls, "url": rig.base.replace("http:", "https:")}
    rig.settings = {**rig.settings, "events": events}
    rig.monitor = rig.make(rig.settings)
    async with Watching(rig) as watching:
        await seen(lambda: rig.service.subscriptions and watching.events)
        rig.put_wrong(1)
        assert await asyncio.to_thread(rig.service.send, {}) == [204]
        await watching.until(1)


# --- logs ---


def logged(watching: Watching) -> list[tuple[str, str, str]]:
    return [
        (one.type, one.status, one.monitor_event_id) for one in watching.events if "is_of_log" in one.details
    ]


@pytest.mark.requirement("C7")
async def test_what_only_the_log_shows_is_told_at_our_own_time(rig: EventRig) -> None:
    """What was in it when Doctor began is history. Times of 1970 are nobody's."""
    rig.service.write(SensorType="Memory", SensorNumber=8)
    memory = {"SensorType": "Memory", "SensorNumber": 9, "Message": "uncorrectable ECC\x07 error"}
    async with Watching(rig) as watching:
        await seen(lambda: rig.service.subscriptions and watching.events)
        rig.service.write(**memory)
        rig.service.write(SensorType="Fan", Severity="Warning")
        await asyncio.to_thread(rig.service.send, {})
        await seen(lambda: len(logged(watching)) == 2)
        rig.service.clear_log()
        rig.service.write(**memory, EntryCode="Deassert", Severity="OK")
        await asyncio.to_thread(rig.service.send, {})
        await seen(lambda: len(logged(watching)) == 3)
    assert logged(watching) == [
        ("compute.memory.failure", "down", "log Memory 9"),
        ("bmc.log", "down", "log Fan"),
        ("compute.memory.failure", "up", "log Memory 9"),
    ]
    assert all(one.time.year > 2000 for one in watching.events)


@pytest.mark.parametrize("entries", [{"Members": 7}, {"Members": [3, {}]}, [], "x" * 2_000_000])
async def test_a_log_that_cannot_be_read_hurts_nothing_else(rig: EventRig, entries: Any) -> None:
    rig.service.documents[ENTRIES] = entries if isinstance(entries, dict) else {"Members": entries}
    rig.put_wrong(1)
    async with Watching(rig) as watching:
        await watching.until(1)
        assert logged(watching) == []
