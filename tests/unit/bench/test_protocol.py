"""The least of HTTP: both sides understand each other, however the bytes are cut."""

import asyncio
from typing import Any

import pytest

from doctor.cli.bench.protocol import Caller, Connection, request, response, whole


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""

    def write(self, data: Any) -> None:
        self.written += bytes(data)


@pytest.mark.parametrize("size", [1, 7, 1000], ids=lambda size: f"pieces-of-{size}")
def test_a_request_is_taken_in_any_pieces(size: int) -> None:
    got: list[tuple[bytes, bytes]] = []
    caller = Caller(lambda who, body: got.append((who.method, body)))
    caller.connection_made(Wire())
    message = request("POST", "/v1/events", b"12345", host="h", token="t") * 2
    for start in range(0, len(message), size):
        caller.data_received(message[start : start + size])
    assert got == [(b"POST", b"12345")] * 2


@pytest.mark.parametrize("size", [1, 7, 1000], ids=lambda size: f"pieces-of-{size}")
def test_an_answer_is_taken_in_any_pieces(size: int) -> None:
    got: list[bytes] = []
    connection = Connection(lambda _, answer: got.append(answer), lambda: None)
    connection.connection_made(Wire())
    message = response("202 Accepted", b'{"accepted":[]}')
    for _ in range(2):
        for start in range(0, len(message), size):
            connection.data_received(message[start : start + size])
    assert got == [message] * 2


def test_a_caller_gets_its_answer() -> None:
    wire = Wire()
    caller = Caller(lambda who, body: who.answer(response("200 OK", body)))
    caller.connection_made(wire)
    caller.data_received(request("POST", "/", b"echo", host="h"))
    assert wire.written.startswith(b"HTTP/1.1 200 OK\r\n")
    assert wire.written.endswith(b"\r\n\r\necho")


@pytest.mark.parametrize(
    ("message", "length"),
    [
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-le", 0, id="head-not-complete"),
        pytest.param(b"HTTP/1.1 204 No Content\r\n\r\n", 27, id="no-body"),
        pytest.param(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nab", 43, id="body-to-come"),
    ],
)
def test_the_length_of_a_message_shows_in_its_head(message: bytes, length: int) -> None:
    assert whole(message) == length
