"""The message bus: what is said there in which envelope, and what becomes of a bus that fails."""

import asyncio
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import msgspec
import pytest
from msgspec.structs import replace

from doctor.drivers.channels.oslo import make
from doctor.drivers.channels.oslo.channel import OsloChannel, OsloSettings, read_urls
from doctor.drivers.channels.oslo.envelope import OsloMessage, messages
from doctor.kit.clock import SystemClock
from doctor.model.errors import TransientError
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, StoredNotification

URLS = ["amqp://doctor:hush@rabbit-1/cloud", "amqps://doctor:hush@rabbit-2:5999/cloud"]


def stored(**body: Any) -> StoredNotification:
    said = {
        "notification_type": "fault",
        "event_time": "2026-03-04T05:06:07Z",
        "sent_time": "2026-03-04T05:06:07.5Z",
        **body,
    }
    return StoredNotification(
        notification_id="n-1",
        subscription_id="s-1",
        sequence=1,
        fault_key="f",
        created=datetime(2026, 3, 4, tzinfo=UTC),
        body=msgspec.json.encode(said),
    )


HOST = {
    "physical_resource_id": "compute-1",
    "physical_resource_type": "host",
    "physical_resource_state": "down",
    "isolation": "pending",
    "zone_id": "az1",
    "metadata": {"serial": "x"},
    "faults": [{"alarm_id": "a-0", "fault_type": "host down", "severity": 5}],
}
MACHINE = {
    "virtual_resource_id": "vm-1",
    "virtual_resource_type": "virtual machine",
    "project_id": "red",
    "virtual_resource_state": "error",
    "host_status": "UNKNOWN",
    "location": {"zone_id": "az1", "host_ref": "h-1", "physical_resource_id": "compute-1"},
    "isolation": "pending",
    "faults": [
        {"alarm_id": "a-1", "fault_type": "host down", "severity": 5},
        {"alarm_id": "a-2", "fault_type": "disk aging", "severity": 2},
    ],
}


def opened(message: OsloMessage) -> dict[str, Any]:
    envelope = msgspec.json.decode(message.body)
    assert envelope.keys() == {"oslo.version", "oslo.message"}
    assert envelope["oslo.version"] == "2.0"
    content: dict[str, Any] = msgspec.json.decode(envelope["oslo.message"])
    return content


def test_the_envelope_is_that_of_oslo_messaging() -> None:
    """A text of JSON within JSON, with the fields of a notification, and an id by which repeats are dropped."""
    sent = list(messages(stored(physical_resource_info=[HOST]), "doctor.x"))
    assert sent == list(messages(stored(physical_resource_info=[HOST]), "doctor.x"))
    content = opened(sent[0])
    assert content.pop("payload")
    message_id = sent[0].message_id
    assert content == {
        "message_id": message_id,
        "publisher_id": "doctor.x",
        "event_type": "doctor.fault",
        "priority": "INFO",
        "timestamp": "2026-03-04 05:06:07.5",
        "_unique_id": message_id.replace("-", ""),
    }


@pytest.mark.requirement("A10")
def test_each_alarm_is_a_message_with_its_owner() -> None:
    """Flat, since listeners make traits of it; ``tenant_id`` is where Ceilometer looks for the owner."""
    sent = list(messages(stored(physical_resource_info=[HOST], virtual_resource_info=[MACHINE]), "doctor.x"))
    assert len({one.message_id for one in sent}) == 3
    host, first, second = (opened(one)["payload"] for one in sent)
    assert (host["resource_id"], host["resource_state"], host["metadata"]) == (
        "compute-1",
        "down",
        {"serial": "x"},
    )
    assert "project_id" not in host
    assert (second["alarm_id"], second["fault_type"]) == ("a-2", "disk aging")
    assert first == {
        "notification_id": "n-1",
        "notification_type": "fault",
        "event_time": "2026-03-04T05:06:07Z",
        "sent_time": "2026-03-04T05:06:07.5Z",
        "resource_id": "vm-1",
        "resource_type": "virtual machine",
        "resource_state": "error",
        "project_id": "red",
        "tenant_id": "red",
        "host_status": "UNKNOWN",
        "host": "compute-1",
        "zone_id": "az1",
        "isolation": "pending",
        "alarm_id": "a-1",
        "fault_type": "host down",
        "severity": 5,
    }


def test_what_is_about_no_alarm_is_told_as_it_is() -> None:
    (message,) = messages(stored(notification_type="capacity", capacity=[{"zone_id": "az1"}]), "doctor.x")
    content = opened(message)
    assert content["event_type"] == "doctor.capacity"
    assert content["payload"]["capacity"] == [{"zone_id": "az1"}]


# --- the channel ---


class FakeBus:
    """A bus that does as it was told."""

    def __init__(self, buses: "FakeBuses", url: str) -> None:
        self._buses = buses
        self.url = url
        self.is_open = True

    async def publish(self, messages: Iterable[OsloMessage]) -> int:
        assert self.is_open
        await asyncio.sleep(self._buses.slow)
        if self._buses.error is not None:
            raise self._buses.error
        self._buses.published += [one.event_type for one in messages]
        return self._buses.unheard

    async def close(self) -> None:
        assert self.is_open
        self.is_open = False


class FakeBuses:
    """The nodes of a cluster, and what they heard."""

    def __init__(self) -> None:
        self.made: list[FakeBus] = []
        self.tried: list[str] = []
        self.published: list[str] = []
        self.absent: set[str] = set()
        self.error: Exception | None = None
        self.slow = 0.0
        self.unheard = 0

    async def connect(self, url: str, exchange: str, topic: str) -> FakeBus:
        self.tried.append(url)
        assert (exchange, topic) == ("doctor", "notifications")
        await asyncio.sleep(self.slow)
        if url in self.absent:
            raise TransientError("AMQPConnectionError")
        self.made.append(FakeBus(self, url))
        return self.made[-1]

    def channel(self, timeout: float = 5.0) -> OsloChannel:
        settings = OsloSettings(url_file=Path("/nowhere"), timeout=timeout)
        return OsloChannel(settings, list(URLS), SystemClock(), connect=self.connect)


async def tell(channel: OsloChannel, attempt: int = 1) -> DeliveryOutcome:
    return await channel.deliver(channel.endpoint, stored(), attempt=attempt)


async def test_what_the_bus_has_confirmed_is_delivered() -> None:
    """By one connection, which is kept."""
    buses = FakeBuses()
    channel = buses.channel()
    assert await channel.probe(channel.endpoint) is None
    for _ in range(2):
        outcome = await tell(channel)
        assert isinstance(outcome, Delivered)
        assert outcome.told <= outcome.received
    assert buses.published == ["doctor.fault"] * 2
    assert len(buses.made) == 1
    await channel.close()
    assert not buses.made[0].is_open
    assert await tell(channel) == Failed("the channel is closed")
    assert await channel.probe(channel.endpoint) == "the channel is closed"


async def test_a_node_that_is_away_gives_way_to_the_next() -> None:
    """One attempt asks one node; which one answered is remembered."""
    buses = FakeBuses()
    buses.absent = {URLS[0]}
    channel = buses.channel()
    assert await tell(channel) == Failed("AMQPConnectionError")
    assert isinstance(await tell(channel, 2), Delivered)
    assert isinstance(await tell(channel), Delivered)
    assert buses.tried == URLS


async def test_a_node_that_hangs_gives_way_to_the_next() -> None:
    buses = FakeBuses()
    buses.slow = 60.0
    channel = buses.channel(timeout=0.02)
    assert await tell(channel) == Failed("the bus did not confirm within 0.02 s")
    assert await channel.probe(channel.endpoint) == "no answer within 0.02 s"
    assert buses.tried == URLS


@pytest.mark.parametrize(
    ("error", "told"),
    [
        pytest.param(TransientError("the bus did not take a message"), "the bus did not take", id="refused"),
        pytest.param(RuntimeError("what state is this"), "failed inside Doctor (RuntimeError)", id="broken"),
    ],
)
async def test_after_a_failure_the_next_attempt_begins_anew(error: Exception, told: str) -> None:
    buses = FakeBuses()
    channel = buses.channel()
    buses.error = error
    outcome = await tell(channel)
    assert isinstance(outcome, Failed)
    assert outcome.error.startswith(told)
    buses.error = None
    assert isinstance(await tell(channel, 2), Delivered)
    assert [bus.is_open for bus in buses.made] == [False, True]


async def test_a_bus_that_does_not_confirm_is_not_waited_for() -> None:
    """A broker that is out of memory takes what is sent and says nothing."""
    buses = FakeBuses()
    channel = buses.channel(timeout=0.05)
    assert await channel.probe(channel.endpoint) is None
    buses.slow = 60.0
    assert await tell(channel) == Failed("the bus did not confirm within 0.05 s")
    assert not buses.made[0].is_open


async def test_a_connection_that_was_lost_meanwhile_is_not_used() -> None:
    """A restart of the broker in a quiet hour costs no attempt."""
    buses = FakeBuses()
    channel = buses.channel()
    await tell(channel)
    lost = buses.made[0]
    lost.is_open = False
    assert isinstance(await tell(channel), Delivered)
    assert len(buses.made) == 2


async def test_an_attempt_that_is_cancelled_leaves_no_half_used_connection() -> None:
    buses = FakeBuses()
    channel = buses.channel()
    await tell(channel)
    buses.slow = 60.0
    attempt = asyncio.create_task(tell(channel))
    await asyncio.sleep(0.01)
    attempt.cancel()
    with pytest.raises(asyncio.CancelledError):
        await attempt
    buses.slow = 0.0
    assert isinstance(await tell(channel, 2), Delivered)
    assert [bus.is_open for bus in buses.made] == [False, True]


async def test_that_nobody_listens_is_no_failure() -> None:
    buses = FakeBuses()
    buses.unheard = 1
    assert isinstance(await tell(buses.channel()), Delivered)


def test_the_endpoint_shows_no_password() -> None:
    """It is in the log, and told to the Administrator when the bus is away."""
    endpoint = FakeBuses().channel().endpoint
    assert endpoint.url == "amqp://rabbit-1:5672/cloud#doctor/notifications"
    assert endpoint.secret is None
    assert endpoint.endpoint_id == FakeBuses().channel().endpoint.endpoint_id


def test_only_its_own_endpoint_may_be_used() -> None:
    channel = FakeBuses().channel()
    assert channel.check(channel.endpoint) is None
    assert channel.check(replace(channel.endpoint, url="amqp://elsewhere/"))


# --- settings ---


def test_the_address_is_read_from_its_file(tmp_path: Path) -> None:
    file = tmp_path / "bus"
    file.write_text(f"\n{URLS[0]}\n  {URLS[1]}\n")
    assert read_urls(file) == URLS
    assert make({"url_file": str(file), "exchange": "nova"}).endpoint.url.endswith("#nova/notifications")


@pytest.mark.parametrize(
    ("settings", "content", "words"),
    [
        pytest.param({}, "", "url_file", id="no-address"),
        pytest.param({"url_file": "FILE"}, "", "url_file: .* should hold amqp://", id="an-empty-file"),
        pytest.param({"url_file": "FILE"}, "http://rabbit/", "amqp://", id="another-scheme"),
        pytest.param({"url_file": "FILE"}, "amqp://:5672/", "amqp://", id="no-host"),
        pytest.param({"url_file": "FILE"}, "amqp://[a/", "amqp://", id="no-url"),
        pytest.param({"url_file": "/nowhere/bus"}, "", "url_file: .* cannot be read", id="no-file"),
        pytest.param({"url_file": "FILE", "exchange": ""}, URLS[0], "exchange: ", id="no-exchange"),
        pytest.param({"url_file": "FILE", "topic": "a b"}, URLS[0], "topic: ", id="no-topic"),
        pytest.param({"url_file": "FILE", "timeout": 0}, URLS[0], "timeout: ", id="no-time"),
        pytest.param({"url_file": "FILE", "queue": "x"}, URLS[0], "unknown field `queue`", id="unknown"),
    ],
)
def test_wrong_settings_are_named_without_their_secrets(
    settings: dict[str, Any], content: str, words: str, tmp_path: Path
) -> None:
    file = tmp_path / "bus"
    file.write_text(content)
    with pytest.raises(ValueError, match=words) as refused:
        make({name: str(file) if value == "FILE" else value for name, value in settings.items()})
    assert "hush" not in str(refused.value)


async def test_a_channel_in_the_words_of_fenix_is_another_one_and_says_nothing_of_faults() -> None:
    usual = OsloSettings(url_file=Path("x"))
    fenix = OsloSettings(url_file=Path("x"), messages="fenix")
    sent: list[OsloMessage] = []

    class Listening:
        is_open = True

        async def publish(self, some: Iterable[OsloMessage]) -> int:
            sent.extend(some)
            return 0

        async def close(self) -> None:
            pass

    async def connect(url: str, exchange: str, topic: str) -> Listening:
        return Listening()

    plain, other = (OsloChannel(one, list(URLS), SystemClock(), connect=connect) for one in (usual, fenix))
    assert plain.endpoint.endpoint_id != other.endpoint.endpoint_id
    assert (plain.endpoint.format, other.endpoint.format) == ("oslo", "fenix")
    assert isinstance(await other.deliver(other.endpoint, stored(), attempt=1), Delivered)
    assert sent == []
    work = {
        "session_id": "s-1",
        "phase": "moved",
        "starts_at": "2026-03-04T05:06:07Z",
        "reply_by": None,
        "deadline": None,
        "project_id": "red",
        "machines": [{"virtual_resource_id": "vm-1", "state": "away", "allowed_actions": []}],
    }
    told = stored(notification_type="maintenance", maintenance=work)
    assert isinstance(await other.deliver(other.endpoint, told, attempt=1), Delivered)
    (message,) = sent
    inner = msgspec.json.decode(msgspec.json.decode(message.body)["oslo.message"])
    assert (inner["publisher_id"], inner["event_type"]) == ("fenix", "maintenance.scheduled")
    assert inner["payload"]["state"] == "INSTANCE_ACTION_DONE"
