"""Asks devices by SNMP, version 2c or 3: many at a time, by one socket for each version of IP.

An answer counts that comes from the address that was asked, with the number of the question, which cannot be guessed; of
version 3 one that the device has signed. That proves which engine is at this address, and what its clock says now.
"""

import asyncio
import contextlib
import hmac
import secrets
import socket
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

from doctor.drivers.monitors.snmp import ber, message
from doctor.drivers.monitors.snmp.ber import Malformed, Missing, Value
from doctor.drivers.monitors.snmp.devices import plain
from doctor.drivers.monitors.snmp.message import (
    AUTHENTICATED,
    ENCRYPTED,
    REPORTABLE,
    V2C,
    Kind,
    Pdu,
    Plain,
    Secured,
)
from doctor.drivers.monitors.snmp.understanding import Understanding
from doctor.drivers.monitors.snmp.usm import NOT_IN_TIME, UNKNOWN_ENGINE, Refused
from doctor.drivers.monitors.sockets import enlarge
from doctor.kit.clock import Clock
from doctor.kit.secret import Secret

ROWS = 20  # that are asked for at once
MOST_ROWS = 20_000
MOST_BYTES = 65_507
CORRECTIONS = 3  # of what we think of a device's engine, within one question
TOO_BIG = 1

USM_STATISTICS = {
    "1.3.6.1.6.3.15.1.1.1.0": "it does not sign and encrypt for this user",
    "1.3.6.1.6.3.15.1.1.3.0": "it does not know the user",
    "1.3.6.1.6.3.15.1.1.5.0": "it has another key for the user",
    "1.3.6.1.6.3.15.1.1.6.0": "it has another key for the user",
}

Rows = dict[str, Value]  # by what stands behind the name of the column


class Unanswered(Exception):
    """There was no answer, or one that says nothing: why not."""


class Target(NamedTuple):
    """How a device is asked: as a ``user`` of version 3, or with a ``community`` of version 2c."""

    device: str
    address: str
    port: int
    user: str | None
    community: Secret | None
    timeout: float
    tries: int = 3


class Known(NamedTuple):
    """The engine of a device, and its clock as of when."""

    engine: bytes
    boots: int
    time: int
    at: float


class Answer(NamedTuple):
    """What came back. ``header`` is of version 3, ``is_signed`` as the user has signed it."""

    pdu: Pdu
    header: Secured | None
    is_signed: bool


class Question(NamedTuple):
    """What was asked and is not answered."""

    target: Target
    answer: "asyncio.Future[Answer]"


class Client:
    """To be used as a context, in one event loop."""

    def __init__(self, understanding: Understanding, clock: Clock) -> None:
        self._understanding = understanding
        self._security = understanding.security
        self._clock = clock
        self._sockets: dict[int, socket.socket] = {}
        self._questions: dict[int, Question] = {}
        self._known: dict[str, Known] = {}

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets.values():
            asyncio.get_running_loop().remove_reader(sock)
            sock.close()
        self._sockets.clear()

    def keep(self, devices: Iterable[str]) -> None:
        """Forget all but these devices."""
        wanted = set(devices)
        for gone in self._known.keys() - wanted:
            del self._known[gone]

    async def walk(self, target: Target, columns: Sequence[str]) -> dict[str, Rows]:
        """Return all rows of some columns; a column that the device does not have has none.

        Raises:
            Unanswered: there was no answer, or one that is none.
        """
        found: dict[str, Rows] = {column: {} for column in columns}
        last = dict(zip(columns, columns, strict=True))
        rows = ROWS
        while last:
            open_columns = list(last)
            pdu = await self._ask(target, Kind.GET_BULK, list(last.values()), 0, rows)
            if pdu.status == TOO_BIG and rows > 1:
                rows //= 2
                continue
            if pdu.status or not pdu.bindings:
                raise Unanswered(f"answered with the error {pdu.status}")
            for index, (name, value) in enumerate(pdu.bindings):
                column = open_columns[index % len(open_columns)]
                if column not in last:
                    continue
                if not name.startswith(f"{column}.") or isinstance(value, Missing):
                    del last[column]
                    continue
                if _key(name) <= _key(last[column]):
                    raise Unanswered("answers in a circle")
                last[column] = name
                found[column][name.removeprefix(f"{column}.")] = value
            if sum(map(len, found.values())) > MOST_ROWS * len(columns):
                raise Unanswered("has more rows than can be")
        return found

    async def _ask(self, target: Target, kind: Kind, names: Sequence[str], first: int, second: int) -> Pdu:
        for _ in range(target.tries):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(target.timeout):
                    return await self._once(target, kind, names, first, second)
        raise Unanswered("no answer")

    async def _once(self, target: Target, kind: Kind, names: Sequence[str], first: int, second: int) -> Pdu:
        for _ in range(CORRECTIONS):
            number = secrets.randbits(31)
            said = message.packed_pdu(kind, number, ber.packed_bindings(names), first, second)
            if target.user is None:
                assert target.community is not None
                data = message.packed_plain(V2C, target.community.reveal().encode(), said)
            else:
                known = self._known.get(target.device) or await self._discover(target)
                data = self._signed(target.user, known, number, said)
            answer = await self._send(target, number, data)
            if answer.pdu.kind is Kind.REPORT:
                self._correct(target, answer)
                continue
            if target.user is not None:
                self._learn(target, answer)
            return answer.pdu
        raise Unanswered("it does not agree on its clock")

    def _signed(self, user: str, known: Known, number: int, said: bytes) -> bytes:
        elapsed = int(self._clock.monotonic() - known.at)
        header = Secured(
            number,
            AUTHENTICATED | ENCRYPTED | REPORTABLE,
            known.engine,
            known.boots,
            known.time + elapsed,
            user.encode(),
            *(0, b"", b"", 0, 0),
        )
        return self._security.close(header, message.packed_scoped(known.engine, said))

    async def _discover(self, target: Target) -> Known:
        """Ask a device for the name of its engine."""
        number = secrets.randbits(31)
        header = Secured(number, REPORTABLE, b"", 0, 0, b"", 0, b"", b"", 0, 0)
        nothing = message.packed_pdu(Kind.GET, number, ber.packed(ber.SEQUENCE))
        hello = message.packed_secured(header, message.packed_scoped(b"", nothing))
        answer = await self._send(target, number, hello)
        if answer.header is None or not answer.header.engine:
            raise Unanswered("it does not speak version 3")
        said = answer.header
        known = Known(said.engine, said.boots, said.time, self._clock.monotonic())
        self._known[target.device] = known
        return known

    def _correct(self, target: Target, answer: Answer) -> None:
        """Take from a report what we had wrong, or say what it is."""
        about = answer.pdu.bindings[0][0] if answer.pdu.bindings else ""
        if about == NOT_IN_TIME and answer.is_signed and answer.header is not None:
            said = answer.header
            self._known[target.device] = Known(said.engine, said.boots, said.time, self._clock.monotonic())
        elif about == UNKNOWN_ENGINE:
            self._known.pop(target.device, None)
        else:
            raise Unanswered(USM_STATISTICS.get(about, "it refuses to answer"))

    def _learn(self, target: Target, answer: Answer) -> None:
        assert answer.header is not None
        said, now = answer.header, self._clock.monotonic()
        self._known[target.device] = Known(said.engine, said.boots, said.time, now)
        self._understanding.engine(said.engine).answered(target.device, said.boots, said.time, now)

    # --- the wire ---

    async def _send(self, target: Target, number: int, data: bytes) -> Answer:
        family = socket.AF_INET6 if ":" in target.address else socket.AF_INET
        future: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._questions[number] = Question(target, future)
        try:
            self._socket(family).sendto(data, (target.address, target.port))
            return await future
        except OSError as error:
            raise Unanswered(error.strerror or str(error)) from None
        finally:
            self._questions.pop(number, None)

    def _socket(self, family: int) -> socket.socket:
        sock = self._sockets.get(family)
        if sock is None:
            sock = self._sockets[family] = socket.socket(family, socket.SOCK_DGRAM)
            sock.setblocking(False)
            enlarge(sock)
            asyncio.get_running_loop().add_reader(sock, self._read, sock)
        return sock

    def _read(self, sock: socket.socket) -> None:
        for _ in range(100):
            try:
                data, source = sock.recvfrom(MOST_BYTES)
            except BlockingIOError:
                return
            except OSError:
                continue  # of something we sent: nobody is there, and the question runs out of time
            with contextlib.suppress(Malformed, Refused):
                self._take(data, source)

    def _take(self, data: bytes, source: tuple[Any, ...]) -> None:
        said = message.read(data)
        if isinstance(said, Plain):
            pdu = message.pdu(data, said.at, said.end)
            question = self._questions.get(pdu.request_id)
            if question is None or question.target.community is None:
                return
            if not hmac.compare_digest(said.community, question.target.community.reveal().encode()):
                return
            answer = Answer(pdu, None, False)
        else:
            question = self._questions.get(said.message_id)
            if question is None or question.target.user is None:
                return
            answer = self._opened(data, said, question.target.user)
        target = question.target
        if (plain(source[0]), source[1]) != (plain(target.address), target.port):
            return
        if answer.pdu.kind in (Kind.RESPONSE, Kind.REPORT) and not question.answer.done():
            question.answer.set_result(answer)

    def _opened(self, data: bytes, said: Secured, user: str) -> Answer:
        """Read an answer of version 3. What is not signed and encrypted can only be a report of why not."""
        if said.flags & ENCRYPTED:
            if said.user != user.encode():
                raise Refused("unknown user")
            _, pdu = self._security.open(data, said)
            if pdu.request_id not in (said.message_id, 0):
                raise Refused("not for us")
            return Answer(pdu, said, True)
        is_signed = bool(said.flags & AUTHENTICATED)
        if is_signed:
            self._security.verify(data, said)
        _, pdu = message.scoped(data, said.at, said.end)
        if pdu.kind is not Kind.REPORT:
            raise Refused("unprotected")
        return Answer(pdu, said, is_signed)


def _key(name: str) -> list[int]:
    return [int(part) for part in name.split(".")]
