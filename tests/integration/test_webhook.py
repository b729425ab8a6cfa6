"""The webhook channel against consumers on real sockets: well-behaved ones, broken ones and hostile ones."""

import asyncio
import socket
import ssl
import subprocess
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
import structlog
import uvloop
from aiohttp import web
from msgspec.structs import replace
from standardwebhooks.webhooks import Webhook

from doctor import __version__
from doctor.drivers.channels.guard import AddressInfo, Guard
from doctor.drivers.channels.url import Place
from doctor.drivers.channels.webhook import WebhookChannel, WebhookSettings
from doctor.kit.clock import SystemClock
from doctor.model.notification import Delivered, DeliveryOutcome, Failed, Gone, Refused, StoredNotification
from doctor.model.subscription import Endpoint
from doctor.testing.contracts.channel import Answer, ChannelContract, ChannelRig, Received, notification
from tests.integration.consumers import (
    OK,
    QUICK,
    Consumer,
    Names,
    Script,
    Talk,
    answering,
    attempt,
    channel,
    consumer,
    endpoint,
    guard,
    nobody,
    until,
)

SECRET = "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY="

# --- the contract ---

ANSWERS = {
    Answer.TAKES: (204, {}),
    Answer.BREAKS: (500, {}),
    Answer.BUSY: (503, {"Retry-After": "7"}),
    Answer.REFUSES: (422, {}),
    Answer.GONE: (410, {}),
}


class WebhookRig(ChannelRig):
    """Consumers made with aiohttp.web, which serve as most do."""

    def __init__(self, made: WebhookChannel) -> None:
        self.channel = made
        self._answers = {"a": Answer.TAKES, "b": Answer.TAKES}
        self._received: dict[str, list[Received]] = {"a": [], "b": []}
        self._ports: dict[str, int] = {}
        self._closed = socket.socket()
        self._closed.bind(("127.0.0.1", 0))  # not listening, and nobody else can take it

    async def start(self, stack: AsyncExitStack) -> None:
        stack.callback(self._closed.close)
        for name in ("a", "b"):
            app = web.Application(client_max_size=16 * 1024**2)
            app.router.add_post("/", self._handler(name))
            runner = web.AppRunner(app, shutdown_timeout=0.01)
            await runner.setup()
            stack.push_async_callback(runner.cleanup)
            await web.TCPSite(runner, "127.0.0.1", 0).start()
            self._ports[name] = runner.addresses[0][1]

    def _handler(self, name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def take(request: web.Request) -> web.StreamResponse:
            headers, body = request.headers, await request.read()
            seen = Received(
                headers["webhook-id"], int(headers["doctor-sequence"]), int(headers["doctor-attempt"]), body
            )
            self._received[name].append(seen)
            answer = self._answers[name]
            if answer is Answer.SILENT:
                await asyncio.sleep(60)
            status, extra = ANSWERS[answer]
            return web.Response(status=status, headers=extra)

        return take

    def endpoint(self, name: str) -> Endpoint:
        return Endpoint(endpoint_id=name, url=f"http://127.0.0.1:{self._ports[name]}/", secret=SECRET)

    def behave(self, name: str, answer: Answer) -> None:
        self._answers[name] = answer

    def received(self, name: str) -> list[Received]:
        return self._received[name]

    def absent(self) -> Endpoint:
        return Endpoint(endpoint_id="absent", url=f"http://127.0.0.1:{self._closed.getsockname()[1]}/")

    def unusable(self) -> Endpoint:
        return Endpoint(endpoint_id="unusable", url="http://169.254.169.254/latest/meta-data/")


class TestWebhookChannel(ChannelContract):
    @pytest.fixture
    async def rig(self) -> AsyncIterator[WebhookRig]:
        async with AsyncExitStack() as stack:
            made = await stack.enter_async_context(channel(WebhookSettings()))
            rig = WebhookRig(made)
            await rig.start(stack)
            yield rig


# --- what is sent ---


async def test_a_replay_says_so_and_a_cloud_event_is_signed_as_it_is_sent() -> None:
    """[design 5] The stored body is the data of the event, and the signature covers the event."""
    async with consumer(answering(OK)) as this, channel() as made:
        wanted = Endpoint(endpoint_id="e", url=this.url, format="cloudevents", secret=SECRET)
        body = b'{"notification_type":"fault","sent_time":"2026-03-04T05:06:07Z"}'
        await made.deliver(wanted, replace(notification(7), body=body), attempt=4, replay=True)
    (request,) = this.requests
    assert request.headers["content-type"] == "application/cloudevents+json"
    assert request.headers["doctor-replay"] == "true"
    assert b'"data":' + body in request.body
    Webhook(SECRET).verify(request.body, dict(request.headers))


BUSY = b"HTTP/1.1 503 Busy\r\ncontent-length: 0\r\n\r\n"


def two_machines_down(sequence: int = 7) -> StoredNotification:
    fault = {
        "alarm_id": "a",
        "fault_id": "f",
        "fault_type": "host down",
        "alarm_state": "raised",
        "severity": 5,
        "perceived_severity": "critical",
        "event_time": "2026-03-04T05:06:07Z",
        "probable_cause": "c",
        "recommended_action": "r",
    }
    machines = [
        {
            "virtual_resource_id": name,
            "virtual_resource_type": "virtual machine",
            "virtual_resource_state": "error",
            "faults": [fault],
        }
        for name in ("vm-1", "vm-2")
    ]
    body = {"notification_type": "fault", "virtual_resource_info": machines}
    return replace(notification(sequence), body=msgspec.json.encode(body))


async def test_in_the_format_of_aodh_each_alarm_is_a_request() -> None:
    """One after the other, each with an id and a signature of its own; the times are those of the whole."""
    async with consumer(answering(OK)) as this, channel() as made:
        wanted = Endpoint(endpoint_id="e", url=this.url, format="aodh", secret=SECRET)
        outcome = await made.deliver(wanted, two_machines_down(), attempt=1)
    assert isinstance(outcome, Delivered)
    assert outcome.told < outcome.received
    assert [msgspec.json.decode(one.body)["alarm_name"] for one in this.requests] == [
        "host down: vm-1",
        "host down: vm-2",
    ]
    for request in this.requests:
        assert request.headers["content-type"] == "application/json"
        assert request.headers["x-openstack-request-id"] == f"req-{request.headers['webhook-id']}"
        assert request.headers["doctor-sequence"] == "7"
        Webhook(SECRET).verify(request.body, dict(request.headers))
    assert len({one.headers["webhook-id"] for one in this.requests}) == 2


async def test_a_repeat_in_the_format_of_aodh_goes_on_where_it_failed() -> None:
    """[I-4] Who was told is not told again by the repeat; a replay, and another notification, begin anew."""
    async with consumer(answering(OK, BUSY, OK)) as this, channel() as made:

        def told() -> list[str]:
            return [msgspec.json.decode(one.body)["alarm_name"][-4:] for one in this.requests]

        wanted = Endpoint(endpoint_id="e", url=this.url, format="aodh")
        assert isinstance(await made.deliver(wanted, two_machines_down(), attempt=1), Failed)
        assert isinstance(await made.deliver(wanted, two_machines_down(), attempt=2), Delivered)
        assert told() == ["vm-1", "vm-2", "vm-2"]
        await made.deliver(wanted, two_machines_down(), attempt=3, replay=True)
        await made.deliver(wanted, two_machines_down(8), attempt=1)
        assert told()[3:] == ["vm-1", "vm-2"] * 2


async def test_what_aodh_has_no_word_for_is_no_request() -> None:
    """A heartbeat must not look like an alarm; the lane goes on."""
    heartbeat = replace(notification(7), body=b'{"notification_type":"heartbeat"}')
    async with consumer(answering(OK)) as this, channel() as made:
        wanted = Endpoint(endpoint_id="e", url=this.url, format="aodh")
        assert isinstance(await made.deliver(wanted, heartbeat, attempt=1), Delivered)
    assert this.requests == []


async def test_a_request_as_it_goes_out() -> None:
    async with consumer(answering(OK)) as this, channel() as made:
        await made.deliver(endpoint(this.url + "?x=%2F", secret=SECRET), notification(7), attempt=3)
    (request,) = this.requests
    assert request.line == "POST /hook?x=%2F HTTP/1.1"
    assert request.body == notification(7).body
    timestamp = request.headers.pop("webhook-timestamp")
    assert abs(int(timestamp) - time.time()) < 5
    Webhook(SECRET).verify(
        request.body,
        {
            "webhook-id": request.headers["webhook-id"],
            "webhook-timestamp": timestamp,
            "webhook-signature": request.headers.pop("webhook-signature"),
        },
    )
    assert request.headers == {
        "host": f"127.0.0.1:{this.port}",
        "user-agent": f"doctor/{__version__}",
        "content-type": "application/json",
        "content-length": str(len(request.body)),
        "accept": "*/*",
        "accept-encoding": "identity",
        "webhook-id": notification(7).notification_id,
        "doctor-attempt": "3",
        "doctor-sequence": "7",
    }


async def test_without_a_secret_nothing_is_signed() -> None:
    _, this = await attempt(answering(OK))
    assert "webhook-signature" not in this.requests[0].headers
    assert "webhook-timestamp" in this.requests[0].headers


async def test_each_attempt_is_signed_with_its_own_time() -> None:
    class Clock(SystemClock):
        time = datetime(2026, 3, 4, 5, 6, 7, tzinfo=UTC)

        def now(self) -> datetime:
            return self.time

    clock = Clock()
    async with consumer(answering(OK)) as this:
        made = WebhookChannel(QUICK, guard(), clock)
        for number in (1, 2):
            await made.deliver(endpoint(this.url, secret=SECRET), notification(), attempt=number)
            clock.time += timedelta(hours=1)
        await made.close()
    first, second = (request.headers for request in this.requests)
    assert int(second["webhook-timestamp"]) - int(first["webhook-timestamp"]) == 3600
    assert first["webhook-signature"] != second["webhook-signature"]
    assert first["webhook-id"] == second["webhook-id"]


async def test_no_cookie_is_ever_brought_back() -> None:
    cookie = b"HTTP/1.1 200 OK\r\nset-cookie: a=b; path=/\r\ncontent-length: 0\r\n\r\n"
    async with consumer(answering(cookie)) as this, channel() as made:
        for number in (1, 2):
            await made.deliver(endpoint(this.url), notification(), attempt=number)
    assert all("cookie" not in request.headers for request in this.requests)


async def test_no_proxy_of_the_environment_is_used(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "netrc").write_text("machine 127.0.0.1 login me password secret\n")
    monkeypatch.setenv("NETRC", str(tmp_path / "netrc"))
    async with consumer(answering(OK)) as proxy, consumer(answering(OK)) as this, channel() as made:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        assert isinstance(await made.deliver(endpoint(this.url), notification(), attempt=1), Delivered)
    assert proxy.connections == 0
    assert "authorization" not in this.requests[0].headers


# --- when it was told and received ---


async def test_told_is_the_first_byte_out_and_received_the_head_of_the_answer() -> None:
    seen: list[datetime] = []

    async def slow(this: Consumer, talk: Talk) -> None:
        await talk.reader.readexactly(1)
        seen.append(datetime.now(UTC))
        await asyncio.sleep(0.05)
        seen.append(datetime.now(UTC))
        talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
        await asyncio.sleep(0.1)
        talk.say(b"hello")
        await asyncio.sleep(1)

    started = datetime.now(UTC)
    async with consumer(slow) as this, channel(names=Names({"vnfm": ["127.0.0.1"]}, takes=0.1)) as made:
        outcome = await made.deliver(endpoint(f"http://vnfm:{this.port}/"), notification(), attempt=1)
        ended = datetime.now(UTC)
    assert isinstance(outcome, Delivered)
    first_byte, answered = seen
    assert (
        started + timedelta(seconds=0.09) < outcome.told <= first_byte
    )  # looking up and connecting is not telling
    assert answered <= outcome.received <= ended
    assert ended < answered + timedelta(seconds=0.08)  # the rest of the answer is not waited for


# --- what is answered ---


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        pytest.param(OK, Delivered, id="200"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", Delivered, id="204"),
        pytest.param(b"HTTP/1.0 200 OK\r\n\r\nfine", Delivered, id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 202\r\ncontent-length: 0\r\n\r\n", Delivered, id="no reason"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhell", Delivered, id="body too short"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ncontent-encoding: gzip\r\ncontent-length: 4\r\n\r\nxxxx",
            Delivered,
            id="body that is not what it says",
        ),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + OK, Delivered, id="100 first"),
        pytest.param(b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" + OK, Delivered, id="103 first"),
        pytest.param(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n", Gone("answered 410"), id="410"),
        pytest.param(
            b"HTTP/1.1 422 No\r\ncontent-length: 6\r\n\r\nsecret", Refused("answered 422", 422), id="422"
        ),
        pytest.param(
            b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", Failed("answered 404", 404), id="404"
        ),
        pytest.param(
            b"HTTP/1.1 429 Slow\r\nretry-after: 3\r\ncontent-length: 0\r\n\r\n",
            Failed("answered 429", 429, 3.0),
            id="429",
        ),
        pytest.param(
            b"HTTP/1.1 503 Busy\r\nretry-after: Fri, 04 Mar 2044 05:06:37 GMT\r\n\r\n",
            Failed("answered 503", 503, 3600.0),
            id="503 with a date",
        ),
        pytest.param(
            b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n",
            Failed("answered 101", 101),
            id="101",
        ),
        pytest.param(b"SSH-2.0-OpenSSH_9.2\r\n", Failed("the answer is not HTTP"), id="another protocol"),
        pytest.param(b"\x00\xff" * 500, Failed("the answer is not HTTP"), id="noise"),
        pytest.param(b"HTTP/1.1 abc\r\n\r\n", Failed("the answer is not HTTP"), id="no status"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\nx: " + b"y" * 100_000 + b"\r\n\r\n",
            Failed("the answer is not HTTP"),
            id="endless header",
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 5000 + b"\r\n",
            Failed("the answer is not HTTP"),
            id="endless headers",
        ),
    ],
)
async def test_answers(answer: bytes, outcome: DeliveryOutcome | type[Delivered]) -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await talk.request()
        talk.say(answer)
        await talk.writer.drain()

    got, _ = await attempt(script)
    if outcome is Delivered:
        assert isinstance(got, Delivered)
    else:
        assert got == outcome


async def test_an_answer_whose_body_turns_out_broken_is_an_answer() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await talk.request()
        talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        await asyncio.sleep(0.05)
        talk.say(b"zz\r\n")
        await asyncio.sleep(1)

    outcome, _ = await attempt(script)
    assert isinstance(outcome, Delivered)


async def test_a_redirect_is_not_followed() -> None:
    async with consumer(answering(OK)) as internal, channel() as made:
        for status in (301, 302, 303, 307, 308):
            redirect = (
                f"HTTP/1.1 {status} Moved\r\nlocation: {internal.url}\r\ncontent-length: 0\r\n\r\n".encode()
            )
            async with consumer(answering(redirect)) as this:
                outcome = await made.deliver(endpoint(this.url), notification(), attempt=1)
                assert outcome == Failed(f"answered {status}: redirects are not followed", status)
    assert internal.connections == 0


async def test_a_huge_answer_is_not_read() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await talk.request()
        talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 100000000\r\n\r\n")
        while True:
            talk.say(b"x" * 65536)
            await talk.writer.drain()
            this.sent += 65536

    started = time.monotonic()
    async with consumer(script) as this, channel() as made:
        assert isinstance(await made.deliver(endpoint(this.url), notification(), attempt=1), Delivered)
        assert time.monotonic() - started < 1
        await asyncio.sleep(0.1)
        assert this.sent < 20_000_000  # what fits into the buffers of the two sockets, and no more
        assert isinstance(await made.deliver(endpoint(this.url), notification(), attempt=2), Delivered)
    assert this.connections == 2


async def test_an_answer_without_end_does_not_hold_up_the_next_notification() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await talk.request()
        talk.say(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            talk.say(b"1\r\nx\r\n")
            await talk.writer.drain()
            await asyncio.sleep(0.01)

    async with consumer(script) as this, channel(WebhookSettings()) as made:
        started = time.monotonic()
        assert isinstance(await made.deliver(endpoint(this.url), notification(), attempt=1), Delivered)
        assert isinstance(await made.deliver(endpoint(this.url), notification(2), attempt=1), Delivered)
        assert time.monotonic() - started < 0.15  # neither waited for
        await until(lambda: this.ended == 2)  # nor kept for long
        assert time.monotonic() - started < 1.0


async def test_an_answer_before_the_whole_request_was_read_is_an_answer() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await talk.reader.readuntil(b"\r\n\r\n")
        talk.say(b"HTTP/1.1 413 Too Large\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")
        await asyncio.sleep(1)

    async with consumer(script) as this, channel() as made:
        big = notification(1, b"x" * 20_000_000)
        assert await made.deliver(endpoint(this.url), big, attempt=1) == Refused("answered 413", 413)


# --- what is not answered ---


async def hang(this: Consumer, talk: Talk) -> None:
    this.requests.append(await talk.request())
    await asyncio.sleep(60)


async def half(this: Consumer, talk: Talk) -> None:
    await talk.request()
    talk.say(b"HTTP/1.1 200 OK\r\ncontent-le")
    await asyncio.sleep(60)


async def continue_for_ever(this: Consumer, talk: Talk) -> None:
    await talk.request()
    while True:
        talk.say(b"HTTP/1.1 100 Continue\r\n\r\n")
        await asyncio.sleep(0.01)


async def close_at_once(this: Consumer, talk: Talk) -> None:
    talk.writer.close()


async def close_after_the_request(this: Consumer, talk: Talk) -> None:
    this.requests.append(await talk.request())


async def close_in_the_head(this: Consumer, talk: Talk) -> None:
    await talk.request()
    talk.say(b"HTTP/1.1 200 OK\r\ncontent-le")


async def reset_after_the_request(this: Consumer, talk: Talk) -> None:
    await talk.request()
    talk.reset()


@pytest.mark.parametrize(
    ("script", "sentences"),
    [
        (hang, {"no answer within 0.3 s"}),
        (half, {"no answer within 0.3 s"}),
        (continue_for_ever, {"no answer within 0.3 s"}),
        (close_at_once, {"connection closed without an answer", "connection reset"}),
        (close_after_the_request, {"connection closed without an answer"}),
        (close_in_the_head, {"connection closed without an answer", "the answer is not HTTP"}),
        (reset_after_the_request, {"connection reset"}),
    ],
)
async def test_no_answer(script: Script, sentences: set[str]) -> None:
    outcome, _ = await attempt(script)
    assert isinstance(outcome, Failed)
    assert outcome.error in sentences
    assert outcome.status is None


async def test_a_later_attempt_may_take_longer() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await talk.request()
        await asyncio.sleep(0.45)
        talk.say(OK)
        await asyncio.sleep(1)

    first, _ = await attempt(script, 1)
    later, _ = await attempt(script, 2)
    assert first == Failed("no answer within 0.3 s")
    assert isinstance(later, Delivered)


async def test_nobody_there() -> None:
    async with channel() as made:
        with nobody() as url:
            outcome = await made.deliver(endpoint(url), notification(), attempt=1)
    assert outcome == Failed("connection refused")


async def test_a_connection_that_does_not_come_about() -> None:
    with socket.socket() as full, socket.socket() as filler, socket.socket() as another:
        full.bind(("127.0.0.1", 0))
        full.listen(0)
        for each in (filler, another):  # the queue is full then, and the kernel ignores further callers
            each.setblocking(False)
            with suppress(BlockingIOError):
                each.connect(full.getsockname())
        async with channel() as made:
            url = f"http://127.0.0.1:{full.getsockname()[1]}/"
            outcome = await made.deliver(endpoint(url), notification(), attempt=1)
    assert outcome == Failed("no connection within 0.3 s")


async def test_hanging_consumers_hold_up_nobody_else() -> None:
    async with consumer(hang) as bad, consumer(answering(OK)) as good, channel(WebhookSettings()) as made:
        hanging = [
            asyncio.create_task(made.deliver(endpoint(f"{bad.url}/{n}"), notification(), attempt=1))
            for n in range(40)
        ]
        await asyncio.sleep(0.1)
        started = time.monotonic()
        outcomes = await asyncio.gather(
            *(made.deliver(endpoint(f"{good.url}/{n}"), notification(), attempt=1) for n in range(160))
        )
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
        assert time.monotonic() - started < 1
        assert set(await asyncio.gather(*hanging)) == {Failed("no answer within 1.5 s")}


class Remembering(Guard):
    """Remembers the sockets that it gave out."""

    def __init__(self) -> None:
        super().__init__(listen=[("127.0.0.1", 1)])
        self.given: list[socket.socket] = []

    def socket_for(self, info: AddressInfo) -> socket.socket:
        self.given.append(super().socket_for(info))
        return self.given[-1]


async def test_a_consumer_that_does_not_read_keeps_nothing_of_ours() -> None:
    async def deaf(this: Consumer, talk: Talk) -> None:
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    big = notification(1, b"x" * 20_000_000)
    using = Remembering()
    async with consumer(deaf) as this, channel(using=using) as made:
        outcome = await made.deliver(endpoint(this.url), big, attempt=1)
        assert outcome == Failed("no answer within 0.3 s")
        await until(lambda: using.given[0].fileno() == -1)
        under_way = asyncio.create_task(made.deliver(endpoint(this.url), big, attempt=2))
        await until(lambda: this.connections == 2)
        await asyncio.sleep(0.05)
        async with asyncio.timeout(0.2):
            await made.close()
        assert isinstance(await under_way, Failed)
        await until(lambda: using.given[1].fileno() == -1)


async def test_more_requests_than_connections_wait_for_their_turn() -> None:
    settings = WebhookSettings(connections=4, connections_per_host=2)
    async with consumer(answering(OK)) as this, channel(settings) as made:
        outcomes = await asyncio.gather(
            *(made.deliver(endpoint(f"{this.url}/{n}"), notification(), attempt=1) for n in range(50))
        )
    assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert this.connections == 2


async def test_closing_ends_what_is_under_way() -> None:
    async with consumer(hang) as this, channel(WebhookSettings()) as made:
        under_way = asyncio.create_task(made.deliver(endpoint(this.url), notification(), attempt=1))
        await until(lambda: bool(this.requests))
        await made.close()
        outcome = await under_way
    assert isinstance(outcome, Failed)


# --- connections that are kept ---


async def test_a_connection_is_used_again() -> None:
    body = b"HTTP/1.1 200 OK\r\ncontent-length: 40000\r\n\r\n" + b"x" * 40000
    async with consumer(answering(OK, body, OK)) as this, channel() as made:
        assert await made.probe(endpoint(this.url)) is None
        for sequence in range(1, 6):
            await made.deliver(endpoint(this.url), notification(sequence), attempt=1)
    assert this.connections == 1
    assert len(this.requests) == 6


async def test_a_consumer_may_close_each_connection() -> None:
    close = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    async with consumer(answering(close)) as this, channel() as made:
        for sequence in range(1, 6):
            outcome = await made.deliver(endpoint(this.url), notification(sequence), attempt=1)
            assert isinstance(outcome, Delivered)
    assert this.connections == 5


async def test_a_connection_that_was_closed_meanwhile_is_not_used() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        this.requests.append(await talk.request())
        talk.say(OK)

    async with consumer(script) as this, channel() as made:
        for sequence in range(1, 6):
            outcome = await made.deliver(endpoint(this.url), notification(sequence), attempt=1)
            assert isinstance(outcome, Delivered)
            await asyncio.sleep(0.01)
    assert this.connections == len(this.requests) == 5


async def test_nothing_is_sent_twice_when_a_kept_connection_dies_under_a_request() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        this.requests.append(await talk.request())
        talk.say(OK)
        this.requests.append(await talk.request())  # and no answer

    async with consumer(script) as this, channel() as made:
        assert isinstance(await made.deliver(endpoint(this.url), notification(1), attempt=1), Delivered)
        outcome = await made.deliver(endpoint(this.url), notification(2), attempt=1)
        assert outcome == Failed("connection closed without an answer")
        await asyncio.sleep(0.05)
        assert this.connections == 1
        assert isinstance(await made.deliver(endpoint(this.url), notification(2), attempt=2), Delivered)
    assert [request.headers["doctor-sequence"] for request in this.requests] == ["1", "2", "2"]


async def test_a_cancelled_request_does_not_give_its_answer_to_the_next() -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        this.requests.append(await talk.request())
        if talk.number == 1:
            await asyncio.sleep(0.1)
            talk.say(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")
        talk.say(OK)

    async with consumer(script) as this, channel(WebhookSettings()) as made:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await made.deliver(endpoint(this.url), notification(1), attempt=1)
        await asyncio.sleep(0.1)
        assert isinstance(await made.deliver(endpoint(this.url), notification(1), attempt=2), Delivered)


# --- TLS ---


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path

    def server(self) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        return context


@pytest.fixture(scope="session")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    """A certificate for vnfm.example and 127.0.0.1 that is its own authority."""
    folder = tmp_path_factory.mktemp("tls")
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-nodes", "-days", "2", "-subj", "/CN=vnfm.example"),
            *("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"),
            *("-addext", "subjectAltName=DNS:vnfm.example,IP:127.0.0.1"),
            *("-keyout", made.key, "-out", made.file),
        ],
        check=True,
        capture_output=True,
    )
    return made


def trusting(certificate: Certificate) -> WebhookSettings:
    return WebhookSettings(ca_file=str(certificate.file), first_timeout=timedelta(milliseconds=500))


async def test_tls_with_an_authority_of_our_own(certificate: Certificate) -> None:
    names = Names({"vnfm.example": ["127.0.0.1"]})
    settings = trusting(certificate)
    tls = certificate.server()
    async with consumer(answering(OK), tls=tls) as this, channel(settings, names=names) as made:
        for url in (this.url, this.url, f"https://vnfm.example:{this.port}/"):
            assert isinstance(await made.deliver(endpoint(url), notification(), attempt=1), Delivered)
    assert this.connections == 2


async def test_tls_that_cannot_be_trusted(certificate: Certificate) -> None:
    async with consumer(answering(OK), tls=certificate.server()) as this, channel() as made:
        outcome = await made.deliver(endpoint(this.url), notification(), attempt=1)
        assert outcome == Failed("TLS: certificate not trusted")
        assert await made.probe(endpoint(this.url)) == "TLS: certificate not trusted"
    assert this.requests == []


async def test_tls_for_another_name(certificate: Certificate) -> None:
    names = Names({"other.example": ["127.0.0.1"]})
    settings = trusting(certificate)
    tls = certificate.server()
    async with consumer(answering(OK), tls=tls) as this, channel(settings, names=names) as made:
        url = f"https://other.example:{this.port}/"
        outcome = await made.deliver(endpoint(url), notification(), attempt=1)
    assert outcome == Failed("TLS: certificate is for another name")
    assert this.requests == []


async def test_tls_where_there_is_none(certificate: Certificate) -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await talk.reader.read(1)
        talk.say(b"HTTP/1.1 400 Bad Request\r\nconnection: close\r\n\r\n")

    async with consumer(script) as this, channel(trusting(certificate)) as made:
        url = this.url.replace("http:", "https:")
        outcome = await made.deliver(endpoint(url), notification(), attempt=1)
    assert outcome == Failed("TLS: handshake failed")


async def test_tls_that_wants_to_know_who_we_are(certificate: Certificate) -> None:
    context = certificate.server()
    context.verify_mode = ssl.CERT_REQUIRED
    async with consumer(answering(OK), tls=context) as this, channel(trusting(certificate)) as made:
        outcome = await made.deliver(endpoint(this.url), notification(), attempt=1)
    assert isinstance(outcome, Failed)
    assert outcome.error in {
        "TLS: connection refused by the other side",
        "TLS: handshake failed",
        "connection reset",
        "connection closed without an answer",  # the consumer may close without saying why
    }


async def test_a_handshake_that_hangs(certificate: Certificate) -> None:
    async def script(this: Consumer, talk: Talk) -> None:
        await asyncio.sleep(60)

    async with consumer(script) as this, channel(trusting(certificate)) as made:
        url = this.url.replace("http:", "https:")
        outcome = await made.deliver(endpoint(url), notification(), attempt=1)
    assert outcome == Failed("no connection within 0.5 s")


# --- names, and what they lead to ---


@pytest.mark.parametrize(
    "addresses",
    [
        ["169.254.169.254"],
        ["::ffff:169.254.169.254"],
        ["64:ff9b::a9fe:a9fe"],
        ["2002:a9fe:a9fe::"],
        ["fec0::1"],
        ["fd00:ec2::254"],
        ["0.0.0.0"],
        ["224.0.0.1"],
        ["127.66.0.1"],
        ["::ffff:127.66.0.1"],
        ["169.254.169.254", "127.66.0.1", "fe80::1"],
    ],
    ids=", ".join,
)
async def test_a_name_that_leads_where_it_must_not(addresses: list[str]) -> None:
    names = Names({"evil": addresses})
    with structlog.testing.capture_logs() as logs:
        async with channel(names=names, using=guard(deny=("127.66.0.0/16",))) as made:
            outcome = await made.deliver(endpoint("http://evil:8080/"), notification(), attempt=1)
            assert (
                await made.probe(endpoint("http://evil:8080/")) == "evil has an address that is not allowed"
            )
    assert outcome == Failed("evil has an address that is not allowed")
    assert {entry["event"] for entry in logs} == {"webhook.address_refused"}
    assert {entry["address"] for entry in logs} <= set(addresses)  # the operator is told, the owner is not


async def test_of_several_addresses_the_allowed_one_is_dialled() -> None:
    names = Names({"mixed": ["169.254.169.254", "127.0.0.1"]})
    async with consumer(answering(OK)) as this, channel(names=names) as made:
        url = f"http://mixed:{this.port}/"
        assert isinstance(await made.deliver(endpoint(url), notification(), attempt=1), Delivered)
    assert this.connections == 1


async def test_a_name_that_changes_its_mind() -> None:
    names = Names({"rebind": ["127.0.0.1"]})
    settings = WebhookSettings(dns_cache=timedelta(milliseconds=1))
    close = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    using = guard(deny=("127.66.0.0/16",))
    async with consumer(answering(close)) as this, channel(settings, names=names, using=using) as made:
        url = f"http://rebind:{this.port}/"
        assert isinstance(await made.deliver(endpoint(url), notification(), attempt=1), Delivered)
        names.names["rebind"] = ["127.66.0.1"]
        await asyncio.sleep(0.01)
        outcome = await made.deliver(endpoint(url), notification(), attempt=2)
    assert outcome == Failed("rebind has an address that is not allowed")


async def test_doctor_does_not_call_itself_by_another_name() -> None:
    async with consumer(answering(OK)) as doctor:
        itself = Guard(listen=[("127.0.0.1", doctor.port)])
        async with channel(names=Names({"me": ["127.0.0.1"]}), using=itself) as made:
            outcome = await made.deliver(endpoint(f"http://me:{doctor.port}/"), notification(), attempt=1)
    assert outcome == Failed("me has an address that is not allowed")
    assert doctor.connections == 0


async def test_a_name_that_nobody_knows() -> None:
    async with channel(names=Names({})) as made:
        outcome = await made.deliver(endpoint("http://nobody/"), notification(), attempt=1)
    assert outcome == Failed("the name nobody cannot be resolved")


async def test_localhost_by_the_names_of_the_system() -> None:
    async with consumer(answering(OK)) as this, channel() as made:
        url = f"http://localhost:{this.port}/"
        assert isinstance(await made.deliver(endpoint(url), notification(), attempt=1), Delivered)


async def test_an_endpoint_from_freer_times_is_not_used() -> None:
    async with consumer(answering(OK)) as this, channel(using=Guard(listen=[("0.0.0.0", 1)])) as made:
        outcome = await made.deliver(endpoint(this.url), notification(), attempt=1)
    assert outcome == Failed("http is not allowed: use https")
    assert this.connections == 0


# --- probes ---


@pytest.mark.parametrize(
    ("answer", "remark"),
    [
        (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", None),
        (b"HTTP/1.1 204 No Content\r\n\r\n", None),
        (b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n", None),
        (b"HTTP/1.1 405 Not Allowed\r\ncontent-length: 0\r\n\r\n", None),
        (b"HTTP/1.1 500 Oops\r\ncontent-length: 0\r\n\r\n", None),
        (
            b"HTTP/1.1 302 Found\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n",
            "answers with a redirect, which is not followed",
        ),
        (b"SSH-2.0-OpenSSH_9.2\r\n", "the answer is not HTTP"),
    ],
)
async def test_probes(answer: bytes, remark: str | None) -> None:
    async with consumer(answering(answer)) as this, channel() as made:
        assert await made.probe(endpoint(this.url, secret=SECRET)) == remark
    (request,) = this.requests
    assert request.line == "GET /hook HTTP/1.1"
    assert request.body == b""
    assert not any(name.startswith(("webhook-", "doctor-", "content-")) for name in request.headers)


async def test_a_probe_waits_no_longer_than_it_may() -> None:
    async with consumer(hang) as this, channel() as made:
        assert await made.probe(endpoint(this.url)) == "no answer within 0.3 s"
        await made.close()
        assert await made.probe(endpoint(this.url)) == "the channel is closed"


# --- defects, and the event loop that Doctor runs on ---


async def test_a_defect_is_a_failure_too_and_is_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    async with channel() as made:

        def broken(_: Place) -> None:
            raise RuntimeError("a secret of the inside")

        monkeypatch.setattr(made._pool, "take", broken)
        with structlog.testing.capture_logs() as logs:
            outcome = await made.deliver(endpoint("http://vnfm/"), notification(), attempt=1)
            remark = await made.probe(endpoint("http://vnfm/"))
    assert outcome == Failed("failed inside Doctor (RuntimeError)")
    assert remark == "failed inside Doctor (RuntimeError)"
    assert [entry["event"] for entry in logs] == ["webhook.failed_unexpectedly"] * 2


def test_uvloop_does_the_same(certificate: Certificate) -> None:
    async def scenario() -> list[DeliveryOutcome | None]:
        outcomes: list[DeliveryOutcome | None] = []
        scripts = (answering(OK), reset_after_the_request, close_after_the_request, hang)
        async with channel(names=Names({"evil": ["169.254.169.254"]})) as made:
            for script in scripts:
                async with consumer(script) as this:
                    outcomes.append(await made.deliver(endpoint(this.url), notification(), attempt=1))
            with nobody() as url:
                outcomes.append(await made.deliver(endpoint(url), notification(), attempt=1))
            outcomes.append(await made.deliver(endpoint("http://evil/"), notification(), attempt=1))
            async with consumer(answering(OK), tls=certificate.server()) as this:
                outcomes.append(await made.deliver(endpoint(this.url), notification(), attempt=1))
        async with (
            consumer(answering(OK), tls=certificate.server()) as this,
            channel(trusting(certificate)) as made,
        ):
            outcomes.append(await made.deliver(endpoint(this.url), notification(), attempt=1))
        return outcomes

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        first, *failures, last = runner.run(scenario())
    assert isinstance(first, Delivered)
    assert isinstance(last, Delivered)
    assert first.told <= first.received
    assert [failure.error for failure in failures if isinstance(failure, Failed)] == [
        "connection reset",
        "connection closed without an answer",
        "no answer within 0.3 s",
        "connection refused",
        "evil has an address that is not allowed",
        "TLS: certificate not trusted",
    ]
