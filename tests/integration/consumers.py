"""Consumers on real sockets: what is written here is said on the wire, byte by byte."""

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from datetime import timedelta

from doctor.drivers.channels.guard import EndpointSettings, Guard
from doctor.drivers.channels.resolver import Resolver
from doctor.drivers.channels.webhook import WebhookChannel, WebhookSettings
from doctor.kit.clock import SystemClock
from doctor.model.notification import DeliveryOutcome
from doctor.model.subscription import Endpoint
from doctor.testing.contracts.channel import notification

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
QUICK = WebhookSettings(
    first_timeout=timedelta(milliseconds=300),
    timeout=timedelta(milliseconds=600),
    probe_timeout=timedelta(milliseconds=300),
)


def guard(*, deny: tuple[str, ...] = ()) -> Guard:
    return Guard(EndpointSettings(deny=deny), listen=[("127.0.0.1", 1)])


@asynccontextmanager
async def channel(
    settings: WebhookSettings = QUICK, *, names: Resolver | None = None, using: Guard | None = None
) -> AsyncIterator[WebhookChannel]:
    made = WebhookChannel(settings, using or guard(), SystemClock(), resolver=names)
    try:
        yield made
    finally:
        await made.close()


def endpoint(url: str, *, secret: str | None = None) -> Endpoint:
    return Endpoint(endpoint_id="e", url=url, secret=secret)


@dataclass
class Request:
    line: str
    headers: dict[str, str]
    body: bytes


@dataclass
class Talk:
    """One connection of a consumer."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    number: int

    async def request(self) -> Request:
        """Read a whole request."""
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        line, *rest = head.rstrip("\r\n").split("\r\n")
        headers = {name.lower(): value for name, _, value in (each.partition(": ") for each in rest)}
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return Request(line, headers, body)

    def say(self, data: bytes) -> None:
        if self.writer.is_closing():
            raise ConnectionResetError
        self.writer.write(data)

    def reset(self) -> None:
        raw = self.writer.get_extra_info("socket")
        raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.writer.transport.abort()


Script = Callable[["Consumer", Talk], Awaitable[None]]


@dataclass
class Consumer:
    url: str = ""
    port: int = 0
    connections: int = 0
    ended: int = 0
    requests: list[Request] = field(default_factory=list)
    sent: int = 0


@asynccontextmanager
async def consumer(
    script: Script, *, tls: ssl.SSLContext | None = None, host: str = "127.0.0.1"
) -> AsyncIterator[Consumer]:
    this = Consumer()
    talks: set[asyncio.Task[None]] = set()

    async def serve(talk: Talk) -> None:
        try:
            with suppress(ConnectionError, TimeoutError, asyncio.IncompleteReadError, ssl.SSLError):
                await script(this, talk)
        finally:
            this.ended += 1
            with suppress(Exception):
                talk.writer.close()

    def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        this.connections += 1
        task = asyncio.create_task(serve(Talk(reader, writer, this.connections)))
        talks.add(task)
        task.add_done_callback(talks.discard)

    server = await asyncio.start_server(accept, host, 0, ssl=tls, backlog=1024)
    this.port = server.sockets[0].getsockname()[1]
    place = f"[{host}]" if ":" in host else host
    this.url = f"{'https' if tls else 'http'}://{place}:{this.port}/hook"
    try:
        yield this
    finally:
        server.close()
        for task in list(talks):
            task.cancel()
        await asyncio.gather(*talks, return_exceptions=True)


def answering(*answers: bytes) -> Script:
    """Answer request after request, the last answer for ever."""

    async def script(this: Consumer, talk: Talk) -> None:
        while True:
            this.requests.append(await talk.request())
            talk.say(answers[min(len(this.requests), len(answers)) - 1])

    return script


async def until(happened: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not happened():  # noqa: ASYNC110 - what happens is a matter of the kernel
            await asyncio.sleep(0.005)


@contextmanager
def nobody() -> Iterator[str]:
    """Give a URL where nobody listens; the port is taken, but closed."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{closed.getsockname()[1]}/"


async def attempt(
    script: Script, number: int = 1, settings: WebhookSettings = QUICK
) -> tuple[DeliveryOutcome, Consumer]:
    """Deliver once to a consumer of this script."""
    async with consumer(script) as this, channel(settings) as made:
        return await made.deliver(endpoint(this.url), notification(), attempt=number), this


class Names:
    """A name server that says what it was told."""

    def __init__(self, names: dict[str, list[str]], *, takes: float = 0.0) -> None:
        self.names = names
        self.takes = takes

    async def resolve(self, host: str) -> list[str]:
        await asyncio.sleep(self.takes)
        if host not in self.names:
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        return self.names[host]
