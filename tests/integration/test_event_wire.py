"""The event door on the wire: what clients, networks and attackers make of HTTP."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from http.client import HTTPResponse
from pathlib import Path

import pytest

from doctor.api.southbound import BODY_WITHIN, MAX_BODY
from doctor.testing.running import RunningDoctor

EVENT = b'{"time":"2026-03-04T05:06:07Z","type":"nobody.knows","details":{"monitor_event_id":"%d"}}'


@pytest.fixture(scope="module")
def doctor(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningDoctor]:
    with RunningDoctor(tmp_path_factory.mktemp("wire")) as doctor:
        yield doctor


@pytest.fixture
def wire(doctor: RunningDoctor) -> Iterator[socket.socket]:
    """A connection to the doors."""
    with socket.create_connection(("127.0.0.1", doctor.port), timeout=BODY_WITHIN + 5) as connection:
        yield connection


def head(doctor: RunningDoctor, *lines: str, path: str = "/v1/events", version: str = "1.1") -> bytes:
    """Return the head of a report."""
    first = (f"POST {path} HTTP/{version}", "host: doctor", f"authorization: Bearer {doctor.token}")
    return "\r\n".join((*first, *lines, "", "")).encode()


def report(doctor: RunningDoctor, number: int, *lines: str, version: str = "1.1") -> bytes:
    """Return a report, whole."""
    body = EVENT % number
    return head(doctor, f"content-length: {len(body)}", *lines, version=version) + body


class Answers:
    """Reads answers off a connection, one after the other."""

    def __init__(self, connection: socket.socket) -> None:
        self._file = connection.makefile("rb")

    def next(self) -> tuple[int, dict[str, object]]:
        """Return status and body of the next answer."""
        answer = HTTPResponse(self)  # type: ignore[arg-type]  # it asks for nothing but makefile
        answer.begin()
        body = answer.read()
        return answer.status, json.loads(body)

    def makefile(self, _mode: str) -> object:
        """Give the answers to an `HTTPResponse`, which closes what it is given."""
        return _Open(self._file)

    def has_ended(self) -> bool:
        """Tell whether the server has closed the connection."""
        return self._file.read(1) == b""


class _Open:
    def __init__(self, file: object) -> None:
        self._file = file

    def __getattr__(self, name: str) -> object:
        return getattr(self._file, name)

    def close(self) -> None:
        """Stay open: more is to come."""


def accepted(answer: tuple[int, dict[str, object]]) -> bool:
    """Tell whether one event was accepted."""
    status, body = answer
    return status == 202 and isinstance(body["accepted"], list) and len(body["accepted"]) == 1


def test_a_connection_is_used_again(doctor: RunningDoctor, wire: socket.socket) -> None:
    answers = Answers(wire)
    for number in range(3):
        wire.sendall(report(doctor, number))
        assert accepted(answers.next())


@pytest.mark.requirement("C11")
def test_pipelined_reports_are_answered_in_their_order(doctor: RunningDoctor, wire: socket.socket) -> None:
    """The first takes the short way and the others the common one: they are answered the same."""
    bad = head(doctor, "content-length: 2") + b"{}"
    wire.sendall(report(doctor, 10) + bad + report(doctor, 11) + bad)
    answers = Answers(wire)
    statuses = [answers.next()[0] for _ in range(4)]
    assert statuses == [202, 400, 202, 400]


def test_other_doors_share_the_connection(doctor: RunningDoctor, wire: socket.socket) -> None:
    answers = Answers(wire)
    for _ in range(2):
        wire.sendall(b"GET /healthz HTTP/1.1\r\nhost: doctor\r\n\r\n")
        assert answers.next() == (200, {"status": "ok"})
        wire.sendall(report(doctor, 20))
        assert accepted(answers.next())


def test_a_body_may_come_byte_by_byte(doctor: RunningDoctor, wire: socket.socket) -> None:
    wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    for byte in report(doctor, 30):
        wire.sendall(bytes([byte]))
    assert accepted(Answers(wire).next())


def test_a_body_may_be_chunked(doctor: RunningDoctor, wire: socket.socket) -> None:
    body = EVENT % 40
    wire.sendall(head(doctor, "transfer-encoding: chunked"))
    for part in (body[:7], body[7:]):
        wire.sendall(b"%x\r\n%b\r\n" % (len(part), part))
    wire.sendall(b"0\r\n\r\n")
    assert accepted(Answers(wire).next())


def test_a_client_may_ask_first(doctor: RunningDoctor, wire: socket.socket) -> None:
    body = EVENT % 50
    wire.sendall(head(doctor, f"content-length: {len(body)}", "expect: 100-continue"))
    assert wire.recv(1000).startswith(b"HTTP/1.1 100")
    wire.sendall(body)
    assert accepted(Answers(wire).next())


@pytest.mark.parametrize(("version", "line"), [("1.0", ""), ("1.1", "connection: close")])
def test_a_connection_ends_when_the_client_wants_it(
    doctor: RunningDoctor, wire: socket.socket, version: str, line: str
) -> None:
    wire.sendall(report(doctor, 60, *([line] if line else []), version=version))
    answers = Answers(wire)
    assert accepted(answers.next())
    assert answers.has_ended()


def test_a_body_that_is_too_long_is_refused_by_its_head(doctor: RunningDoctor, wire: socket.socket) -> None:
    wire.sendall(head(doctor, f"content-length: {MAX_BODY + 1}"))
    assert Answers(wire).next()[0] == 413


def test_a_body_without_length_is_refused_when_it_is_too_long(
    doctor: RunningDoctor, wire: socket.socket
) -> None:
    wire.sendall(head(doctor, "transfer-encoding: chunked"))
    part = b"%x\r\n%b\r\n" % (1 << 16, b" " * (1 << 16))
    with contextlib.suppress(OSError):
        for _ in range(MAX_BODY // (1 << 16) + 2):
            wire.sendall(part)
    assert Answers(wire).next()[0] == 413


def test_a_body_that_does_not_come_is_given_up(doctor: RunningDoctor, wire: socket.socket) -> None:
    """Whoever sends nothing holds no place for long."""
    begun = time.monotonic()
    wire.sendall(report(doctor, 70)[:-1])
    answers = Answers(wire)
    status, problem = answers.next()
    assert (status, problem["status"]) == (408, 408)
    assert answers.has_ended()
    assert time.monotonic() - begun == pytest.approx(BODY_WITHIN, abs=3)


def test_a_sender_who_goes_away_has_reported_nothing(doctor: RunningDoctor) -> None:
    with socket.create_connection(("127.0.0.1", doctor.port)) as half:
        half.sendall(report(doctor, 80)[:-1])
    with socket.create_connection(("127.0.0.1", doctor.port), timeout=10) as whole:
        whole.sendall(report(doctor, 80))
        status, body = Answers(whole).next()
    assert status == 202
    assert body["accepted"][0]["duplicate"] is False  # type: ignore[index]


def test_a_report_without_a_token_is_refused(doctor: RunningDoctor, wire: socket.socket) -> None:
    body = EVENT % 90
    wire.sendall(
        b"POST /v1/events HTTP/1.1\r\nhost: doctor\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body)
    )
    assert Answers(wire).next()[0] == 401


def test_what_is_under_way_is_answered_before_the_end(tmp_path: Path) -> None:
    """A stop in good order loses no answer."""
    with RunningDoctor(tmp_path) as doctor:
        wires = [socket.create_connection(("127.0.0.1", doctor.port), timeout=10) for _ in range(20)]
        for number, wire in enumerate(wires):
            wire.sendall(report(doctor, number))
        assert doctor.process is not None
        doctor.process.terminate()
        answered = 0
        for wire in wires:
            with wire, contextlib.suppress(OSError, ConnectionError):
                answered += accepted(Answers(wire).next())
        assert doctor.process.wait(10) == 0
    with RunningDoctor(tmp_path) as doctor:
        again = 0
        for number in range(20):
            with socket.create_connection(("127.0.0.1", doctor.port), timeout=10) as wire:
                wire.sendall(report(doctor, number))
                _, body = Answers(wire).next()
                again += body["accepted"][0]["duplicate"]  # type: ignore[index]
    assert again >= answered
