"""Asking by SNMP: what a device answers, and what is no answer of its."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest

from doctor.drivers.monitors.snmp import ber, message
from doctor.drivers.monitors.snmp.client import Client, Target, Unanswered
from doctor.drivers.monitors.snmp.message import AUTHENTICATED, ENCRYPTED, V2C, Kind, Pdu, Plain, Secured
from doctor.drivers.monitors.snmp.usm import NOT_IN_TIME, UNKNOWN_ENGINE, Security, User
from doctor.kit.clock import SystemClock
from doctor.kit.secret import Secret
from tests.unit.monitors.snmp_traps import DOCTOR, ENGINE, binding, understanding

COLUMN, OTHER = "1.3.6.1.9.1", "1.3.6.1.9.2"
ROWS = {f"{COLUMN}.{number}": number for number in range(1, 31)} | {f"{OTHER}.7": 7}
STRANGER = User("doctor", "sha", "something", "aes", "else-else")


def key(name: str) -> list[int]:
    return [int(part) for part in name.split(".")]


class Device(asyncio.DatagramProtocol):
    """One that answers from rows, or as a test wants."""

    def __init__(self) -> None:
        self.transport: Any = None
        self.rows = dict(ROWS)
        self.security = Security({"doctor": DOCTOR})
        self.boots, self.time = 3, 100
        self.deaf = 0  # questions that it does not hear
        self.asked = 0
        self.change: Callable[[bytes, Pdu], list[bytes]] | None = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport

    def datagram_received(self, data: bytes, source: Any) -> None:
        self.asked += 1
        if self.asked <= self.deaf:
            return
        said = message.read(data)
        answers = self.plain(data, said) if isinstance(said, Plain) else self.secured(data, said)
        for answer in answers:
            self.transport.sendto(answer, source)

    def plain(self, data: bytes, said: Plain) -> list[bytes]:
        pdu = message.pdu(data, said.at, said.end)
        answer = message.packed_plain(V2C, b"public", self.response(pdu, data, said.at))
        return [answer] if self.change is None else self.change(answer, pdu)

    def response(self, pdu: Pdu, data: bytes, at: int) -> bytes:
        """Return the answer to a GETBULK."""
        _, start, stop = ber.element(data, at, len(data))
        _, start = ber.integer(data, start, stop)
        _, start = ber.integer(data, start, stop)
        rows, _ = ber.integer(data, start, stop)
        last = [name for name, _ in pdu.bindings]
        found = []
        for _ in range(rows):
            for index, name in enumerate(last):
                after = min((one for one in self.rows if key(one) > key(name)), key=key, default=None)
                if after is None:
                    found.append(ber.packed(ber.SEQUENCE, ber.packed_oid(name), b"\x82\x00"))
                else:
                    last[index] = after
                    found.append(binding(after, self.rows[after]))
        return message.packed_pdu(Kind.RESPONSE, pdu.request_id, ber.packed(ber.SEQUENCE, *found))

    def secured(self, data: bytes, said: Secured) -> list[bytes]:
        if said.engine != ENGINE:
            return [self.report(said, UNKNOWN_ENGINE)]
        if (said.boots, said.time // 100) != (self.boots, self.time // 100):
            return [self.report(said, NOT_IN_TIME, is_signed=True)]
        _, pdu = self.security.open(data, said)
        start, end = ber.expect(data, said.at, said.end, ber.OCTETS)
        plain = self.security._decrypt(
            self.security.verify(data, said).privacy,
            said.boots.to_bytes(4) + said.time.to_bytes(4) + said.salt,
            data[start:end],
        )
        inside, stop = ber.expect(plain, 0, len(plain), ber.SEQUENCE)
        _, inside = ber.octets(plain, inside, stop)
        _, inside = ber.octets(plain, inside, stop)
        header = said._replace(boots=self.boots, time=self.time, flags=AUTHENTICATED | ENCRYPTED)
        answer = self.security.close(
            header, message.packed_scoped(ENGINE, self.response(pdu, plain[:stop], inside))
        )
        return [answer] if self.change is None else self.change(answer, pdu)

    def report(self, said: Secured, why: str, *, is_signed: bool = False) -> bytes:
        scoped = message.packed_scoped(
            ENGINE, message.packed_pdu(Kind.REPORT, 0, ber.packed(ber.SEQUENCE, binding(why, 1)))
        )
        header = said._replace(
            flags=AUTHENTICATED if is_signed else 0,
            engine=ENGINE,
            boots=self.boots if is_signed else 0,
            time=self.time if is_signed else 0,
            auth=b"",
            salt=b"",
        )
        return self.security.close(header, scoped) if is_signed else message.packed_secured(header, scoped)


@asynccontextmanager
async def asking(**how: Any) -> AsyncIterator[tuple[Device, Client, Target, Any]]:
    device = Device()
    loop = asyncio.get_running_loop()
    transport, _ = await loop.create_datagram_endpoint(lambda: device, ("127.0.0.1", 0))
    known = understanding()
    client = Client(known, SystemClock())
    port = transport.get_extra_info("sockname")[1]
    given = {"user": None, "community": Secret("public"), "timeout": 0.2, **how}
    yield device, client, Target("leaf-1", "127.0.0.1", port, **given), known
    client.close()
    transport.close()


async def test_all_rows_are_read_in_both_versions() -> None:
    for how in ({}, {"user": "doctor", "community": None}):
        async with asking(**how) as (device, client, target, _):
            found = await client.walk(target, [COLUMN, OTHER, "1.3.6.1.8"])
            assert {name: len(rows) for name, rows in found.items()} == {COLUMN: 30, OTHER: 1, "1.3.6.1.8": 0}
            assert found[OTHER] == {"7": 7}
            assert device.asked <= 5


async def test_a_signed_answer_proves_whose_engine_it_is_and_its_clock() -> None:
    async with asking(user="doctor", community=None) as (device, client, target, known):
        await client.walk(target, [OTHER])
        engine = known.engine(ENGINE)
        assert (engine.device, engine.is_proven, engine.boots) == ("leaf-1", True, 3)
        device.boots, device.time = 4, 7  # it begins anew
        await client.walk(target, [OTHER])
        assert engine.boots == 4


async def test_one_engine_at_two_addresses_proves_nothing() -> None:
    """Who redirects questions has the answers of another device."""
    async with asking(user="doctor", community=None) as (_, client, target, known):
        await client.walk(target, [OTHER])
        await client.walk(target._replace(device="leaf-2"), [OTHER])
        engine = known.engine(ENGINE)
        assert (engine.device, engine.is_proven) == (None, False)
        await client.walk(target, [OTHER])
        assert (engine.device, engine.is_proven) == (None, False)


async def test_what_is_lost_is_asked_again() -> None:
    async with asking() as (device, client, target, _):
        device.deaf = 2
        assert (await client.walk(target, [OTHER]))[OTHER]
        device.deaf = 1000
        with pytest.raises(Unanswered, match="no answer"):
            await client.walk(target, [OTHER])


async def test_a_device_that_is_asked_for_too_much_is_asked_for_less() -> None:
    async with asking() as (device, client, target, _):

        def change(answer: bytes, pdu: Pdu) -> list[bytes]:
            if device.asked > 2:
                return [answer]
            said = message.packed_pdu(Kind.RESPONSE, pdu.request_id, ber.packed(ber.SEQUENCE), 1)
            return [message.packed_plain(V2C, b"public", said)]

        device.change = change
        assert len((await client.walk(target, [COLUMN]))[COLUMN]) == 30
        assert device.asked > 4


def again(answer: bytes, pdu: Pdu) -> list[bytes]:
    rows = ber.packed(ber.SEQUENCE, binding(f"{COLUMN}.5", 1), binding(f"{COLUMN}.4", 1))
    return [message.packed_plain(V2C, b"public", message.packed_pdu(Kind.RESPONSE, pdu.request_id, rows))]


def error(answer: bytes, pdu: Pdu) -> list[bytes]:
    said = message.packed_pdu(Kind.RESPONSE, pdu.request_id, ber.packed(ber.SEQUENCE), 5)
    return [message.packed_plain(V2C, b"public", said)]


def with_number(answer: bytes, pdu: Pdu) -> list[bytes]:
    said = message.packed_pdu(Kind.RESPONSE, pdu.request_id ^ 1, pdu.bound)
    return [message.packed_plain(V2C, b"public", said)]


def with_community(answer: bytes, pdu: Pdu) -> list[bytes]:
    said = message.packed_pdu(Kind.RESPONSE, pdu.request_id, pdu.bound)
    return [message.packed_plain(V2C, b"private", said)]


@pytest.mark.shows("monitor snmp", "bad input")
@pytest.mark.parametrize(
    ("change", "why"),
    [
        pytest.param(again, "answers in a circle", id="circle"),
        pytest.param(error, "answered with the error 5", id="error"),
        pytest.param(with_number, "no answer", id="another-number"),
        pytest.param(with_community, "no answer", id="another-community"),
        pytest.param(lambda answer, _: [b"", answer[:-4], b"\xff" * 100], "no answer", id="nonsense"),
    ],
)
async def test_what_is_no_answer(change: Callable[[bytes, Pdu], list[bytes]], why: str) -> None:
    async with asking() as (device, client, target, _):
        device.change = change
        with pytest.raises(Unanswered, match=why):
            await client.walk(target, [COLUMN])


@pytest.mark.shows("monitor snmp", "bad input")
async def test_an_answer_from_elsewhere_is_none() -> None:
    async with asking() as (device, client, target, _):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as other:

            def change(answer: bytes, pdu: Pdu) -> list[bytes]:
                for sock in client._sockets.values():
                    other.sendto(answer, ("127.0.0.1", sock.getsockname()[1]))
                return []

            device.change = change
            with pytest.raises(Unanswered, match="no answer"):
                await client.walk(target, [COLUMN])


@pytest.mark.shows("monitor snmp", "bad input")
@pytest.mark.parametrize(
    ("about", "why"),
    [
        ("1.3.6.1.6.3.15.1.1.3.0", "it does not know the user"),
        ("1.3.6.1.6.3.15.1.1.5.0", "it has another key for the user"),
        ("1.3.6.1.6.3.15.1.1.1.0", "it does not sign and encrypt"),
        ("1.3.6.1.2.1", "it refuses to answer"),
        (UNKNOWN_ENGINE, "it does not agree on its clock"),
    ],
)
async def test_a_report_says_why_there_is_no_answer(about: str, why: str) -> None:
    async with asking(user="doctor", community=None) as (device, client, target, known):

        def secured(data: bytes, said: Secured) -> list[bytes]:
            return [device.report(said, UNKNOWN_ENGINE if not said.engine else about)]

        device.secured = secured  # type: ignore[method-assign]
        with pytest.raises(Unanswered, match=why):
            await client.walk(target, [COLUMN])
        assert not known.engine(ENGINE).is_proven


@pytest.mark.shows("monitor snmp", "bad input")
@pytest.mark.parametrize("kind", ["unsigned", "another key", "another user", "unsigned clock"])
async def test_what_the_user_has_not_signed_is_no_answer(kind: str) -> None:
    async with asking(user="doctor", community=None) as (device, client, target, known):

        def forged(data: bytes, said: Secured) -> list[bytes]:
            if not said.engine:
                return [device.report(said, UNKNOWN_ENGINE)]
            scoped = message.packed_scoped(
                ENGINE, message.packed_pdu(Kind.RESPONSE, said.message_id, ber.packed(ber.SEQUENCE))
            )
            header = said._replace(flags=0, auth=b"", salt=b"")
            if kind == "unsigned":
                return [message.packed_secured(header, scoped)]
            if kind == "unsigned clock":
                return [device.report(said, NOT_IN_TIME)]
            header = header._replace(flags=AUTHENTICATED | ENCRYPTED)
            if kind == "another user":
                header = header._replace(user=b"eve")
                return [Security({"eve": STRANGER}).close(header, scoped)]
            return [Security({"doctor": STRANGER}).close(header, scoped)]

        device.secured = forged  # type: ignore[method-assign]
        with pytest.raises(Unanswered):
            await client.walk(target, [COLUMN])
        assert not known.engine(ENGINE).is_proven


async def test_a_device_that_speaks_another_version_only_is_told() -> None:
    async with asking(user="doctor", community=None, tries=1) as (device, client, target, _):
        device.secured = lambda data, said: [  # type: ignore[method-assign]
            device.report(said._replace(engine=b""), UNKNOWN_ENGINE).replace(ENGINE, b"")
        ]
        with pytest.raises(Unanswered):
            await client.walk(target, [COLUMN])


async def test_an_address_that_cannot_be_reached_is_told() -> None:
    async with asking() as (_, client, target, _):
        with pytest.raises(Unanswered, match=r"unreachable|denied|no answer|Invalid"):
            await client.walk(target._replace(address="255.255.255.255"), [COLUMN])


async def test_devices_that_are_gone_are_forgotten() -> None:
    async with asking(user="doctor", community=None) as (_, client, target, _):
        await client.walk(target, [OTHER])
        client.keep(["leaf-1"])
        assert client._known
        client.keep([])
        assert not client._known
