"""The HTTP client under the webhook channel: odd answers, kept connections, limits, TLS, dialling."""

import asyncio
import gc
import random
import socket
import ssl
import subprocess
import threading
import time
import weakref
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

from doctor.drivers.channels import dial as dialling
from doctor.drivers.channels.connection import Connection
from doctor.drivers.channels.dial import dial, interleaved
from doctor.drivers.channels.guard import AddressInfo, AddressRefused, EndpointSettings, Guard
from doctor.drivers.channels.webhook import WebhookChannel, WebhookSettings
from doctor.model.notification import Delivered, DeliveryOutcome, Failed
from doctor.testing.contracts.channel import notification
from tests.integration import consumers

PATIENT = WebhookSettings(first_timeout=timedelta(seconds=3))


async def deliver(made: WebhookChannel, url: str, sequence: int = 1) -> DeliveryOutcome:
    return await made.deliver(consumers.endpoint(url), notification(sequence), attempt=1)


async def delivered(made: WebhookChannel, url: str, sequence: int = 1) -> bool:
    return isinstance(await deliver(made, url, sequence), Delivered)


# --- answers ---

CHUNKED = (
    b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ntrailer: x-sum\r\n\r\n"
    b"5;note=1\r\nhello\r\n0\r\nx-sum: 1\r\nretry-after: 9\r\n\r\n"
)


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(consumers.OK, id="nothing"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", id="length"),
        pytest.param(CHUNKED, id="chunks with trailers"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", id="204"),
        pytest.param(b"HTTP/1.1 304 Not Modified\r\ncontent-length: 7\r\n\r\n", id="304"),
        pytest.param(b"HTTP/1.1 100 Continue\r\n\r\n" + consumers.OK, id="100"),
        pytest.param(
            b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\n" * 3 + consumers.OK, id="103, three times"
        ),
        pytest.param(
            b"HTTP/1.0 200 OK\r\nconnection: keep-alive\r\ncontent-length: 0\r\n\r\n",
            id="HTTP/1.0 that keeps",
        ),
        pytest.param(b"HTTP/1.1 200 OK\ncontent-length: 0\n\n", id="bare line feeds"),
    ],
)
@pytest.mark.parametrize("step", [1, 7, 10_000])
async def test_an_answer_in_pieces_keeps_its_connection(answer: bytes, step: int) -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        while True:
            this.requests.append(await talk.request())
            for start in range(0, len(answer), step):
                talk.say(answer[start : start + step])
                await talk.writer.drain()
                await asyncio.sleep(0.0003 if step < len(answer) else 0)

    async with consumers.consumer(script) as this, consumers.channel(PATIENT) as made:
        for sequence in range(1, 4):
            outcome = await deliver(made, this.url, sequence)
            assert isinstance(outcome, Delivered) or outcome.error.startswith("answered 304")
            await consumers.until(lambda: not busy(made))
    assert this.connections == 1


def busy(made: WebhookChannel) -> bool:
    """Tell whether a connection is neither kept nor gone."""
    pool = made._pool
    return pool._total != sum(len(kept) for kept in pool._kept.values())


@pytest.mark.parametrize(
    "answer",
    [
        pytest.param(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n", id="close"),
        pytest.param(b"HTTP/1.0 200 OK\r\ncontent-length: 0\r\n\r\n", id="HTTP/1.0"),
        pytest.param(b"HTTP/1.1 200 OK\r\n\r\nup to the end", id="up to the end"),
        pytest.param(consumers.OK + consumers.OK, id="two answers"),
        pytest.param(consumers.OK + b"HTTP/1.1 4", id="one and a bit"),
        pytest.param(consumers.OK + b"\x00\xff garbage", id="garbage behind"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\nno colon\r\n\r\n", id="trailer"
        ),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nffffffffffffffffff\r\n", id="chunk"
        ),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999\r\n\r\n" + b"x" * 200_000, id="long"),
        pytest.param(
            b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n0\r\n" + b"x: y\r\n" * 30_000,
            id="endless trailers",
        ),
    ],
)
async def test_a_doubtful_connection_is_not_used_again(answer: bytes) -> None:
    async with consumers.consumer(consumers.answering(answer)) as this, consumers.channel(PATIENT) as made:
        for sequence in range(1, 4):
            assert await delivered(made, this.url, sequence)
            await consumers.until(lambda: made._pool._total == 0)
    assert this.connections == 3


async def test_an_unasked_answer_is_not_taken_for_the_next() -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        await talk.request()
        talk.say(consumers.OK)
        await asyncio.sleep(0.02)
        talk.say(b"HTTP/1.1 410 Gone\r\ncontent-length: 0\r\n\r\n")
        await asyncio.sleep(1)

    async with consumers.consumer(script) as this, consumers.channel() as made:
        for sequence in range(1, 4):
            assert await delivered(made, this.url, sequence)
            await asyncio.sleep(0.04)
    assert this.connections == 3


@pytest.mark.parametrize(
    "piece",
    [
        pytest.param(b"x: y\r\n", id="fields"),
        pytest.param(b"yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy", id="one field"),
        pytest.param(b"\r\nHTTP/1.1 103 Early Hints\r\nlink: <y>\r\n", id="hints"),
    ],
)
async def test_a_head_without_end(piece: bytes) -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        await talk.request()
        talk.say(b"HTTP/1.1 103 Early Hints\r\nx: ")
        while True:
            talk.say(piece * 100)
            await talk.writer.drain()
            this.sent += 100 * len(piece)

    outcome, this = await consumers.attempt(script, settings=PATIENT)
    assert outcome == Failed("the answer is not HTTP")
    assert this.sent < 20_000_000


@pytest.mark.parametrize("version", [b"ICY", b"SIP/2.0", b"HTTP/3.7", b"http/1.1"])
async def test_what_only_looks_like_http(version: bytes) -> None:
    outcome, _ = await consumers.attempt(
        consumers.answering(version + b" 200 OK\r\ncontent-length: 0\r\n\r\n")
    )
    assert outcome == Failed("the answer is not HTTP")


async def test_a_slow_body_holds_up_nobody_and_keeps_no_connection_for_long() -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        await talk.request()
        talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nh")
        await talk.reader.read()

    async with consumers.consumer(script) as this, consumers.channel() as made:
        started = time.monotonic()
        assert await delivered(made, this.url)
        assert time.monotonic() - started < 0.1
        await consumers.until(lambda: this.ended == 1)
        assert 0.15 < time.monotonic() - started < 0.6
        assert made._pool._total == 0


async def test_a_body_that_is_a_little_late_keeps_its_connection() -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        while True:
            await talk.request()
            talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n")
            await asyncio.sleep(0.01)
            talk.say(b"hello")

    async with consumers.consumer(script) as this, consumers.channel() as made:
        for sequence in range(1, 4):
            assert await delivered(made, this.url, sequence)
            await consumers.until(lambda: not busy(made))
    assert this.connections == 1


# --- the other side says no more ---


async def test_half_closed_without_an_answer() -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        await talk.request()
        talk.writer.write_eof()
        await talk.reader.read()

    started = time.monotonic()
    outcome, _ = await consumers.attempt(script, settings=PATIENT)
    assert outcome == Failed("connection closed without an answer")
    assert time.monotonic() - started < 1


async def test_half_closed_after_the_answer() -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        this.requests.append(await talk.request())
        talk.say(consumers.OK)
        talk.writer.write_eof()
        await talk.reader.read()

    async with consumers.consumer(script) as this, consumers.channel() as made:
        for sequence in range(1, 4):
            assert await delivered(made, this.url, sequence)
            await consumers.until(lambda: made._pool._total == 0)
    assert this.connections == len(this.requests) == 3


async def test_a_consumer_that_closes_what_is_idle() -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        while True:
            async with asyncio.timeout(0.03):
                this.requests.append(await talk.request())
            talk.say(consumers.OK)

    async with consumers.consumer(script) as this, consumers.channel() as made:
        for sequence in range(1, 5):
            assert await delivered(made, this.url, sequence)
            assert await delivered(made, this.url, sequence)
            await asyncio.sleep(0.06)
        assert made._pool._total == 0
    assert this.connections == 4


async def test_a_connection_that_was_closed_while_the_loop_was_busy_is_not_used() -> None:
    """The kernel knows of it before the event loop does."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        seen: list[bytes] = []

        def serve() -> None:
            for _ in range(3):
                peer, _ = server.accept()
                with peer:
                    data = b""
                    while notification().body not in data:
                        data += peer.recv(65536)
                    seen.append(data)
                    peer.sendall(consumers.OK)
                    time.sleep(0.02)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        url = f"http://127.0.0.1:{server.getsockname()[1]}/"
        async with consumers.channel() as made:
            for _ in range(3):
                assert await delivered(made, url)
                time.sleep(0.05)  # noqa: ASYNC251 - the loop is busy
        thread.join(5)
    assert len(seen) == 3


async def test_connections_are_given_up_after_a_while() -> None:
    settings = WebhookSettings(keep_alive=timedelta(milliseconds=200))
    async with (
        consumers.consumer(consumers.answering(consumers.OK)) as this,
        consumers.channel(settings) as made,
    ):
        await delivered(made, this.url)
        await asyncio.sleep(0.1)
        await delivered(made, this.url)
        assert this.connections == 1
        await asyncio.sleep(0.25)
        assert made._pool._total == 0
        await consumers.until(lambda: this.ended == 1)
        await delivered(made, this.url)
    assert this.connections == 2


async def test_a_connection_is_freed_without_the_garbage_collector(monkeypatch: pytest.MonkeyPatch) -> None:
    made_connections: list[weakref.ref[Connection]] = []
    before = Connection.connection_made

    def remember(self: Connection, transport: asyncio.BaseTransport) -> None:
        made_connections.append(weakref.ref(self))
        before(self, transport)

    monkeypatch.setattr(Connection, "connection_made", remember)
    close = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    gc.collect()
    gc.disable()
    try:
        async with consumers.consumer(consumers.answering(close)) as this, consumers.channel() as made:
            assert await delivered(made, this.url)
            await consumers.until(lambda: made_connections[0]() is None)
    finally:
        gc.enable()


# --- limits ---


async def test_one_who_does_not_read_holds_up_nobody_and_is_dropped_at_the_limit() -> None:
    async def deaf(this: consumers.Consumer, talk: consumers.Talk) -> None:
        talk.writer.transport.pause_reading()  # type: ignore[attr-defined]
        await asyncio.sleep(60)

    settings = WebhookSettings(first_timeout=timedelta(milliseconds=400))
    async with (
        consumers.consumer(deaf) as bad,
        consumers.consumer(consumers.answering(consumers.OK)) as good,
        consumers.channel(settings) as made,
    ):
        big = notification(1, b"x" * 20_000_000)
        stuck = asyncio.create_task(made.deliver(consumers.endpoint(bad.url), big, attempt=1))
        await consumers.until(lambda: bad.connections == 1)
        started = time.monotonic()
        for sequence in range(1, 21):
            assert await delivered(made, good.url, sequence)
        assert time.monotonic() - started < 0.3
        assert not stuck.done()
        assert await stuck == Failed("no answer within 0.4 s")
        await consumers.until(lambda: made._pool._total == 1)


def hold(gate: asyncio.Event) -> consumers.Script:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        while True:
            this.requests.append(await talk.request())
            await gate.wait()
            talk.say(consumers.OK)

    return script


async def test_those_who_wait_get_their_turn_in_order() -> None:
    settings = WebhookSettings(connections=1, first_timeout=timedelta(seconds=3))
    gate = asyncio.Event()
    async with consumers.consumer(hold(gate)) as this, consumers.channel(settings) as made:
        waiting = [asyncio.create_task(deliver(made, this.url, sequence)) for sequence in range(1, 8)]
        await consumers.until(lambda: len(this.requests) == 1)
        gate.set()
        outcomes = await asyncio.gather(*waiting)
        assert all(isinstance(outcome, Delivered) for outcome in outcomes)
    assert this.connections == 1
    assert [request.headers["doctor-sequence"] for request in this.requests] == list("1234567")


async def test_who_waits_too_long_has_had_no_connection() -> None:
    settings = WebhookSettings(
        connections=1, first_timeout=timedelta(milliseconds=150), timeout=timedelta(milliseconds=300)
    )
    async with consumers.consumer(hold(asyncio.Event())) as this, consumers.channel(settings) as made:
        later = made.deliver(consumers.endpoint(this.url), notification(), attempt=2)
        outcomes = list(await asyncio.gather(later, deliver(made, this.url, 2)))
        assert outcomes == [Failed("no answer within 0.3 s"), Failed("no connection within 0.15 s")]
        await consumers.until(lambda: made._pool._total == 0)
        assert not made._pool._waiting
        assert not made._pool._count


async def test_who_is_cancelled_gives_his_place_to_the_next() -> None:
    settings = WebhookSettings(connections=1, first_timeout=timedelta(seconds=3))
    gate = asyncio.Event()
    async with consumers.consumer(hold(gate)) as this, consumers.channel(settings) as made:
        first, second, third = (asyncio.create_task(deliver(made, this.url, n)) for n in (1, 2, 3))
        await consumers.until(lambda: len(this.requests) == 1)
        second.cancel()  # while it waits
        await asyncio.sleep(0)
        first.cancel()  # while it is under way
        gate.set()
        assert isinstance(await third, Delivered)
        await asyncio.gather(first, second, return_exceptions=True)
        assert await delivered(made, this.url, 4)
    assert [request.headers["doctor-sequence"] for request in this.requests] == ["1", "3", "4"]


async def test_a_turn_that_comes_with_the_cancellation_is_passed_on() -> None:
    settings = WebhookSettings(connections=1, first_timeout=timedelta(seconds=3))
    async with (
        consumers.consumer(consumers.answering(consumers.OK)) as this,
        consumers.channel(settings) as made,
    ):
        pool, place = made._pool, made._target(consumers.endpoint(this.url)).place  # type: ignore[union-attr]
        deadline = asyncio.get_running_loop().time() + 3
        connection = await pool.connect(place, deadline)
        waiting = [asyncio.create_task(pool.connect(place, deadline)) for _ in range(3)]
        await asyncio.sleep(0.01)
        pool._free(connection)
        waiting[0].cancel()  # it was handed over in the same round of the loop
        assert await waiting[1] is connection
        pool._end(connection)  # now a place is handed over instead
        waiting[2].cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
        assert pool._total == 0
        assert await delivered(made, this.url)


async def test_a_kept_connection_makes_room_for_another_place() -> None:
    settings = WebhookSettings(connections=2, connections_per_host=2)
    async with (
        consumers.consumer(consumers.answering(consumers.OK)) as one,
        consumers.consumer(consumers.answering(consumers.OK)) as two,
        consumers.consumer(consumers.answering(consumers.OK)) as three,
        consumers.channel(settings) as made,
    ):
        for sequence in range(1, 4):
            for each in (one, two, three):
                assert await delivered(made, each.url, sequence)
                assert made._pool._total <= 2
    assert (one.connections, two.connections, three.connections) == (3, 3, 3)


async def test_the_places_take_turns() -> None:
    settings = WebhookSettings(connections=2, connections_per_host=1, first_timeout=timedelta(seconds=3))
    gate = asyncio.Event()
    async with (
        consumers.consumer(hold(gate)) as busy_one,
        consumers.consumer(hold(gate)) as other,
        consumers.consumer(consumers.answering(consumers.OK)) as quick,
        consumers.channel(settings) as made,
    ):
        stuck = [asyncio.create_task(deliver(made, busy_one.url, n)) for n in range(1, 6)]
        await consumers.until(lambda: len(busy_one.requests) == 1)
        assert await delivered(made, quick.url)  # there is room for it beside those who wait
        stuck += [asyncio.create_task(deliver(made, other.url, n)) for n in range(1, 6)]
        await consumers.until(lambda: len(other.requests) == 1)
        late = asyncio.create_task(deliver(made, quick.url))
        await asyncio.sleep(0.01)
        gate.set()
        assert all(isinstance(each, Delivered) for each in await asyncio.gather(late, *stuck))


async def test_closing_ends_those_who_wait_and_those_who_dial() -> None:
    settings = WebhookSettings(connections=2, connections_per_host=1, first_timeout=timedelta(seconds=3))
    names = consumers.Names({"slow": ["127.0.0.1"]}, takes=3)
    async with (
        consumers.consumer(hold(asyncio.Event())) as this,
        consumers.channel(settings, names=names) as made,
    ):
        tasks = [asyncio.create_task(deliver(made, this.url, sequence)) for sequence in (1, 2)]
        tasks.append(asyncio.create_task(deliver(made, f"http://slow:{this.port}/")))
        await consumers.until(lambda: len(this.requests) == 1)
        await made.close()
        async with asyncio.timeout(0.5):
            outcomes = await asyncio.gather(*tasks)
        assert outcomes == [Failed("the channel is closed")] * 3
        await consumers.until(lambda: made._pool._total == 0)


@pytest.mark.parametrize("seed", range(3))
async def test_nothing_is_lost_count_of(seed: int) -> None:
    """Whatever consumers do and whoever is cancelled: in the end all places are free again."""
    chance = random.Random(seed)

    async def moody(this: consumers.Consumer, talk: consumers.Talk) -> None:
        while True:
            await talk.request()
            await asyncio.sleep(chance.random() * 0.01)
            match chance.randrange(8):
                case 0:
                    return
                case 1:
                    talk.reset()
                    return
                case 2:
                    talk.say(consumers.OK + b"HTTP")
                case 3:
                    talk.say(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n")
                case 4:
                    await asyncio.sleep(0.1)
                case _:
                    talk.say(consumers.OK)

    settings = WebhookSettings(
        connections=6, connections_per_host=3, first_timeout=timedelta(milliseconds=80), timeout=timedelta(3)
    )
    async with (
        consumers.consumer(moody) as one,
        consumers.consumer(moody) as two,
        consumers.consumer(moody) as three,
        consumers.channel(settings) as made,
    ):
        pool = made._pool

        async def some() -> None:
            for sequence in range(1, 15):
                task = asyncio.create_task(deliver(made, chance.choice([one, two, three]).url, sequence))
                await asyncio.sleep(chance.random() * 0.02)
                if chance.random() < 0.3:
                    task.cancel()
                await asyncio.wait([task])
                assert pool._total <= 6
                assert all(count <= 3 for count in pool._count.values())

        await asyncio.gather(*(some() for _ in range(20)))
        await consumers.until(lambda: not busy(made))
        assert pool._total == len(pool._places) == pool._count.total() <= 6
        assert not pool._waiting
        assert not pool._connecting
        await made.close()
        await consumers.until(lambda: pool._total == 0)
        assert not pool._kept
        assert not pool._count


# --- dialling ---


class Recording(Guard):
    """Remembers what was asked for."""

    def __init__(self, settings: EndpointSettings | None = None) -> None:
        super().__init__(settings, listen=[("127.0.0.1", 1)])
        self.asked: list[str] = []
        self.given: list[socket.socket] = []

    def socket_for(self, info: AddressInfo) -> socket.socket:
        self.asked.append(info[4][0])
        self.given.append(super().socket_for(info))
        return self.given[-1]


def silent() -> tuple[socket.socket, list[socket.socket]]:
    """Return a listener whose queue is full, so that the kernel ignores further callers, and who fills it."""
    full = socket.socket()
    full.bind(("127.0.0.1", 0))
    full.listen(0)
    fillers = [socket.socket() for _ in range(2)]
    for each in fillers:
        each.setblocking(False)
        each.connect_ex(full.getsockname())
    return full, fillers


async def test_the_guard_sees_every_dial() -> None:
    using = Recording()
    names = consumers.Names({"vnfm": ["127.0.0.1"]})
    close = b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
    async with (
        consumers.consumer(consumers.answering(close)) as this,
        consumers.channel(names=names, using=using) as made,
    ):
        for url in (this.url, this.url, f"http://vnfm:{this.port}/"):
            assert await delivered(made, url)
    assert using.asked == ["127.0.0.1"] * 3


async def test_small_requests_go_out_at_once() -> None:
    using = Recording()
    async with (
        consumers.consumer(consumers.answering(consumers.OK)) as this,
        consumers.channel(using=using) as made,
    ):
        assert await delivered(made, this.url)
        assert using.given[0].getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


async def test_a_silent_address_does_not_use_up_the_time() -> None:
    full, fillers = silent()
    port = full.getsockname()[1]
    using = Recording()
    with full, fillers[0], fillers[1], socket.create_server(("127.0.0.2", port)):
        started = time.monotonic()
        with await dial(["127.0.0.1", "127.0.0.3", "127.0.0.2"], port, using) as raw:
            assert raw.getpeername() == ("127.0.0.2", port)
        assert dialling.STAGGER_S <= time.monotonic() - started < 2.5 * dialling.STAGGER_S
    assert using.asked == ["127.0.0.1", "127.0.0.3", "127.0.0.2"]
    assert all(each.fileno() == -1 for each in using.given)


async def test_a_slow_address_may_still_win(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dialling, "STAGGER_S", 0.02)
    full, fillers = silent()
    port = full.getsockname()[1]
    with full, fillers[0], fillers[1]:
        dialled = asyncio.create_task(dial(["127.0.0.1", "127.0.0.3"], port, consumers.guard()))
        await asyncio.sleep(0.1)
        for _ in fillers:  # the kernel calls again after a second
            full.accept()[0].close()
        async with asyncio.timeout(4):
            with await dialled as raw:
                assert raw.getpeername() == ("127.0.0.1", port)


async def test_a_dial_that_is_cancelled_leaves_nothing() -> None:
    full, fillers = silent()
    for addresses in (["127.0.0.1"], ["127.0.0.1", "127.0.0.3"], ["127.0.0.1", "127.0.0.1"]):
        using = Recording()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await dial(addresses, full.getsockname()[1], using)
        assert [each.fileno() for each in using.given] == [-1] * len(using.given)
    for each in (full, *fillers):
        each.close()


async def test_no_address_will_do() -> None:
    using = Recording(EndpointSettings(deny=("127.66.0.0/16",)))
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        with pytest.raises(AddressRefused):
            await dial(["127.66.0.1", "fe80::1", "169.254.169.254"], port, using)
        with pytest.raises(ConnectionRefusedError):
            await dial(["127.66.0.1", "127.0.0.1"], port, using)
        with pytest.raises(OSError, match="no address"):
            await dial([], port, using)
        with pytest.raises(AddressRefused):
            await dial(["fe80::1%lo"], port, using)
    assert all(each.fileno() == -1 for each in using.given)


def test_the_families_take_turns_and_there_is_an_end() -> None:
    assert interleaved(["::1", "::2", "::3", "1.1.1.1", "1.1.1.2"]) == [
        *("::1", "1.1.1.1", "::2", "1.1.1.2", "::3")
    ]
    assert interleaved(["1.1.1.1", "::1"]) == ["1.1.1.1", "::1"]
    assert interleaved([]) == []
    many = interleaved([f"2001:db8::{n:x}" for n in range(5000)] + [f"10.0.0.{n}" for n in range(250)])
    assert len(many) == dialling.MAX_ADDRESSES
    assert sum(":" in address for address in many) == dialling.MAX_ADDRESSES // 2


async def test_ipv6() -> None:
    names = consumers.Names({"six": ["::1"], "both": ["::1", "127.0.0.1"]})
    async with (
        consumers.consumer(consumers.answering(consumers.OK), host="::1") as this,
        consumers.channel(names=names) as made,
    ):
        for url in (this.url, f"http://six:{this.port}/", f"http://both:{this.port}/"):
            assert await delivered(made, url)
    assert this.requests[0].headers["host"] == f"[::1]:{this.port}"
    assert this.connections == 3


async def test_a_name_with_a_dead_family() -> None:
    names = consumers.Names({"both": ["::1", "127.0.0.1"]})
    async with (
        consumers.consumer(consumers.answering(consumers.OK)) as this,
        consumers.channel(names=names) as made,
    ):
        assert await delivered(made, f"http://both:{this.port}/")


# --- TLS ---


@dataclass(frozen=True)
class Certificate:
    file: Path
    key: Path

    def server(self, *, tls: ssl.TLSVersion | None = None) -> ssl.SSLContext:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.file, self.key)
        context.set_alpn_protocols(["h2", "http/1.1"])
        if tls:
            context.maximum_version = tls
        return context

    def trusted(self) -> WebhookSettings:
        return WebhookSettings(ca_file=str(self.file), first_timeout=timedelta(seconds=2))


def issue(folder: Path, names: str, *validity: str) -> Certificate:
    """Make a certificate that is its own authority."""
    made = Certificate(folder / "cert.pem", folder / "key.pem")
    request = folder / "request.pem"
    extensions = folder / "extensions"
    extensions.write_text(f"subjectAltName={names}\nbasicConstraints=critical,CA:true\n")
    for arguments in (
        f"req -new -nodes -subj /CN=x -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -keyout {made.key} -out {request}",
        f"x509 -req -in {request} -signkey {made.key} -extfile {extensions} -out {made.file} {' '.join(validity)}",
    ):
        subprocess.run(["openssl", *arguments.split()], check=True, capture_output=True)
    return made


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Certificate]:
    good = "DNS:vnfm.example,IP:127.0.0.1,IP:::1"
    return {
        "good": issue(tmp_path_factory.mktemp("good"), good, "-days", "2"),
        "expired": issue(tmp_path_factory.mktemp("expired"), good, "-days", "-1"),
        "name": issue(tmp_path_factory.mktemp("name"), "DNS:other.example,IP:127.0.0.9", "-days", "2"),
    }


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_tls(certificates: dict[str, Certificate], version: ssl.TLSVersion) -> None:
    seen: list[str | None] = []
    told: list[str | None] = []

    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        seen.append(talk.writer.get_extra_info("ssl_object").selected_alpn_protocol())
        await consumers.answering(consumers.OK)(this, talk)

    good = certificates["good"]
    server = good.server(tls=version)
    server.sni_callback = lambda _, name, __: told.append(name)
    names = consumers.Names({"vnfm.example": ["127.0.0.1"], "vnfm.example.": ["127.0.0.1"]})
    async with (
        consumers.consumer(script, tls=server) as this,
        consumers.channel(good.trusted(), names=names) as made,
    ):
        for url in (
            this.url,
            this.url,
            f"https://vnfm.example:{this.port}/",
            f"https://VNFM.example.:{this.port}/",
        ):
            assert await delivered(made, url)
            await asyncio.sleep(0.01)
    assert this.connections == 3
    assert seen == ["http/1.1"] * 3
    assert told == [None, "vnfm.example", "vnfm.example"]
    assert this.requests[-1].headers["host"] == f"vnfm.example:{this.port}"


@pytest.mark.parametrize(
    ("which", "url", "sentence"),
    [
        ("expired", "https://127.0.0.1:{}/", "TLS: certificate has expired"),
        ("name", "https://127.0.0.1:{}/", "TLS: certificate is for another address"),
        ("name", "https://vnfm.example:{}/", "TLS: certificate is for another name"),
    ],
)
async def test_tls_that_must_not_be_trusted(
    certificates: dict[str, Certificate], which: str, url: str, sentence: str
) -> None:
    certificate = certificates[which]
    names = consumers.Names({"vnfm.example": ["127.0.0.1"]})
    server = certificate.server()
    async with (
        consumers.consumer(consumers.answering(consumers.OK), tls=server) as this,
        consumers.channel(certificate.trusted(), names=names) as made,
    ):
        assert await deliver(made, url.format(this.port)) == Failed(sentence)
        await consumers.until(lambda: made._pool._total == 0)
    assert this.requests == []


async def test_tls_of_an_authority_that_nobody_knows(certificates: dict[str, Certificate]) -> None:
    server = certificates["name"].server()
    async with (
        consumers.consumer(consumers.answering(consumers.OK), tls=server) as this,
        consumers.channel(certificates["good"].trusted()) as made,
    ):
        assert await deliver(made, this.url) == Failed("TLS: certificate not trusted")
    assert this.requests == []


async def test_a_large_request_over_tls(certificates: dict[str, Certificate]) -> None:
    good = certificates["good"]
    async with (
        consumers.consumer(consumers.answering(consumers.OK), tls=good.server()) as this,
        consumers.channel(good.trusted()) as made,
    ):
        big = notification(1, b"x" * 5_000_000)
        assert isinstance(await made.deliver(consumers.endpoint(this.url), big, attempt=1), Delivered)
    assert len(this.requests[0].body) == 5_000_000


async def test_tls_that_is_closed_while_idle(certificates: dict[str, Certificate]) -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        this.requests.append(await talk.request())
        talk.say(consumers.OK)

    good = certificates["good"]
    async with (
        consumers.consumer(script, tls=good.server()) as this,
        consumers.channel(good.trusted()) as made,
    ):
        for sequence in range(1, 4):
            assert await delivered(made, this.url, sequence)
            await consumers.until(lambda: made._pool._total == 0)
    assert this.connections == 3


async def test_a_handshake_without_end_is_dropped_at_the_limit() -> None:
    async def script(this: consumers.Consumer, talk: consumers.Talk) -> None:
        await talk.reader.read()

    using = Recording()
    async with consumers.consumer(script) as this, consumers.channel(consumers.QUICK, using=using) as made:
        url = this.url.replace("http:", "https:")
        assert await deliver(made, url) == Failed("no connection within 0.3 s")
        await consumers.until(lambda: using.given[0].fileno() == -1)
        assert made._pool._total == 0
