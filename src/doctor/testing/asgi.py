"""A client for ASGI applications, in the same process and without sockets.

`call` asks once and returns the whole reply; `listen` keeps a streamed answer open and reads from it piece by piece.
"""

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping, MutableMapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import unquote

import msgspec

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]

LOCAL = ("127.0.0.1", 50000)


@dataclass(frozen=True)
class Reply:
    """What an application answered. The names of headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def text(self) -> str:
        """Return the body as text."""
        return self.body.decode()

    def json(self) -> Any:
        """Return the body, decoded."""
        return msgspec.json.decode(self.body)


@dataclass
class Listening:
    """A streamed answer that is still open."""

    status: int = 0
    headers: Mapping[str, str] = field(default_factory=dict)
    _pieces: asyncio.Queue[bytes | None] = field(default_factory=asyncio.Queue)

    async def piece(self) -> bytes | None:
        """Return the next piece of the body, or None at its end."""
        return await self._pieces.get()


async def call(
    app: App,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | AsyncIterable[bytes] = b"",
    *,
    json: Any = msgspec.UNSET,
    client: tuple[str, int] | None = LOCAL,
) -> Reply:
    """Ask an application once. ``path`` may have a query; ``json`` is encoded as the body.

    A body that is an iterable arrives in its pieces. Once the request is read, the caller is gone only after the
    answer.
    """
    headers = dict(headers or {})
    if json is not msgspec.UNSET:
        body = msgspec.json.encode(json)
        headers.setdefault("content-type", "application/json")
    async with listen(app, method, path, headers, body, client=client) as listening:
        pieces = []
        while (piece := await listening.piece()) is not None:
            pieces.append(piece)
    return Reply(listening.status, listening.headers, b"".join(pieces))


@asynccontextmanager
async def listen(
    app: App,
    method: str,
    path: str,
    headers: Mapping[str, str] | None = None,
    body: bytes | AsyncIterable[bytes] = b"",
    *,
    client: tuple[str, int] | None = LOCAL,
) -> AsyncIterator[Listening]:
    """Ask an application and read its answer while it is made. On leaving, the caller goes away."""
    listening = Listening()
    began, left = asyncio.Event(), asyncio.Event()
    coming = _pieces_of(body)

    async def receive() -> Message:
        async for piece, more in coming:
            return {"type": "http.request", "body": piece, "more_body": more}
        await left.wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        if left.is_set():
            return  # servers swallow what nobody hears
        if message["type"] == "http.response.start":
            listening.status = message["status"]
            listening.headers = {name.decode(): value.decode("latin-1") for name, value in message["headers"]}
            began.set()
        else:
            if piece := message.get("body"):
                listening._pieces.put_nowait(piece)
            if not message.get("more_body", False):
                listening._pieces.put_nowait(None)

    async def serve() -> None:
        try:
            await app(_scope(method, path, headers or {}, body, client), receive, send)
        finally:
            began.set()
            listening._pieces.put_nowait(None)

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(serve())
        try:
            await began.wait()
            yield listening
        finally:
            left.set()


async def _pieces_of(body: bytes | AsyncIterable[bytes]) -> AsyncIterator[tuple[bytes, bool]]:
    if isinstance(body, bytes):
        yield body, False
        return
    async for piece in body:
        yield piece, True
    yield b"", False


def _scope(
    method: str,
    path: str,
    headers: Mapping[str, str],
    body: bytes | AsyncIterable[bytes],
    client: tuple[str, int] | None,
) -> Scope:
    raw_path, _, query = path.partition("?")
    sent = {"host": "doctor.test", **{name.lower(): value for name, value in headers.items()}}
    if isinstance(body, bytes) and body:
        sent.setdefault("content-length", str(len(body)))
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": unquote(raw_path),
        "raw_path": raw_path.encode(),
        "query_string": query.encode("latin-1"),
        "root_path": "",
        "headers": [(name.encode(), value.encode("latin-1")) for name, value in sent.items()],
        "client": client,
        "server": ("doctor.test", 80),
        "state": {},
    }
