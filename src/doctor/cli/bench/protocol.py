"""The least of HTTP/1.1 that a bench needs: both sides of kept connections, one request at a time on each.

In Doctor uvicorn and its own client do this, with all that the internet may send; here it must cost next to nothing, so that
what is measured is the other side.
"""

import asyncio
from collections.abc import Callable
from typing import cast

import httptools

OnRequest = Callable[["Caller", bytes], None]
OnAnswer = Callable[["Connection", bytes], None]


class Caller(asyncio.Protocol):
    """The serving side of one connection; ``on_request`` gets each body and answers with `answer`."""

    def __init__(self, on_request: OnRequest) -> None:
        self._on_request = on_request
        self._parts: list[bytes] = []
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, from the event loop."""
        self._transport = cast(asyncio.Transport, transport)
        self._parser = httptools.HttpRequestParser(self)

    def data_received(self, data: bytes) -> None:
        """Take what has come, from the event loop."""
        self._parser.feed_data(data)

    def on_body(self, part: bytes) -> None:
        """Take a part of the body, from the parser."""
        self._parts.append(part)

    def on_message_complete(self) -> None:
        """Pass the request on, from the parser."""
        parts, self._parts = self._parts, []
        self._on_request(self, parts[0] if len(parts) == 1 else b"".join(parts))

    def answer(self, message: bytes) -> None:
        """Send a whole answer."""
        self._transport.write(message)

    @property
    def method(self) -> bytes:
        """Return the method of the request that has just come."""
        method: bytes = self._parser.get_method()
        return method


class Connection(asyncio.Protocol):
    """The asking side of one connection; ``on_answer`` gets each whole answer."""

    def __init__(self, on_answer: OnAnswer, on_lost: Callable[[], None]) -> None:
        self.sent_ns = 0
        self.place = 0
        self._on_answer = on_answer
        self._on_lost = on_lost
        self._buffer = bytearray()
        self._needed = 0
        self._transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin, from the event loop."""
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say that there will be no more answers, from the event loop."""
        self._on_lost()

    def send(self, request: bytes) -> None:
        """Send a request; its answer must have come before the next one."""
        self._transport.write(request)

    def close(self) -> None:
        """Give the connection up."""
        self._transport.close()

    def data_received(self, data: bytes) -> None:
        """Take what has come, from the event loop."""
        buffer = self._buffer
        buffer += data
        if not self._needed:
            self._needed = whole(buffer)
        if not self._needed or len(buffer) < self._needed:
            return
        self._buffer = bytearray()
        self._needed = 0
        self._on_answer(self, bytes(buffer))


def whole(message: bytes | bytearray) -> int:
    """Return how long a message will be, body included, or 0 while its head is not complete."""
    end = message.find(b"\r\n\r\n")
    if end < 0:
        return 0
    start = message.find(b"content-length:", 0, end)
    length = int(message[start + 15 : message.find(b"\r\n", start)]) if start >= 0 else 0
    return end + 4 + length


def request(method: str, path: str, body: bytes, *, host: str, token: str = "") -> bytes:
    """Write a request."""
    head = [f"{method} {path} HTTP/1.1", f"host: {host}", "content-type: application/json"]
    if token:
        head.append(f"authorization: Bearer {token}")
    head.append(f"content-length: {len(body)}")
    return "\r\n".join([*head, "", ""]).encode() + body


def response(status: str, body: bytes = b"") -> bytes:
    """Write an answer."""
    head = f"HTTP/1.1 {status}\r\ncontent-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    return head.encode() + body
