"""The heartbeats as they leave the host, on real sockets of loopback."""

import asyncio
import socket
from collections.abc import AsyncIterator, Iterator

import pytest

from doctor.agent import asking
from doctor.agent.beating import Beating
from doctor.agent.identity import Identity
from doctor.agent.pace import LAG_KEPT, Lag, Pace
from doctor.agent.settings import NetworkSettings
from doctor.kit.beat import MOST_BYTES, NO_CHALLENGE, Beat, Key, Kind, pack, read

KEY = Key(b"k" * 32)
IDENTITY = Identity("c1", b"A" * 16, 77)


class Doctor:
    """A listener that a test leads by the hand."""

    def __init__(self) -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.bind(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.text = f"127.0.0.1:{self.sock.getsockname()[1]}"
        self.agent = ("", 0)

    def heard(self) -> list[Beat]:
        beats: list[Beat] = []
        while True:
            try:
                data, self.agent = self.sock.recvfrom(MOST_BYTES)
            except BlockingIOError:
                return beats
            beat, end = read(memoryview(data))
            assert KEY.has_signed(data[:end], data[end:])
            beats.append(beat)

    def send(self, beat: Beat, key: Key = KEY) -> None:
        self.sock.sendto(pack(beat, key), self.agent)


@pytest.fixture
def doctor() -> Iterator[Doctor]:
    made = Doctor()
    yield made
    made.sock.close()


@pytest.fixture
async def beating(doctor: Doctor) -> AsyncIterator[Beating]:
    networks = [
        NetworkSettings(name=name, to=(doctor.text,), source="127.0.0.1") for name in ("mgmt", "storage")
    ]
    made = Beating(IDENTITY, KEY, networks, Pace(0.02, 0.02))
    made.start()
    yield made
    if made.listeners[0].sock.fileno() >= 0:
        await made.stop()


async def test_each_network_gets_a_heartbeat_each_time(doctor: Doctor, beating: Beating) -> None:
    await asyncio.sleep(0.5)
    beats = doctor.heard()
    for network in ("mgmt", "storage"):
        mine = [beat for beat in beats if beat.subject == network]
        assert 15 <= len(mine) <= 27
        assert [beat.sequence for beat in mine] == sorted({beat.sequence for beat in mine})
    assert {(beat.kind, beat.host, beat.boot, beat.session) for beat in beats} == {(Kind.BEAT, *IDENTITY)}
    assert {beat.interval_us for beat in beats} == {20_000}


async def test_a_challenge_is_carried_from_then_on(doctor: Doctor, beating: Beating) -> None:
    await asyncio.sleep(0.05)
    last = [beat for beat in doctor.heard() if beat.subject == "storage"][-1]
    doctor.send(last._replace(kind=Kind.CHALLENGE, challenge=b"proof-1!", interval_us=0))
    await asyncio.sleep(0.1)
    by_network = {beat.subject: beat.challenge for beat in doctor.heard()}
    assert sorted(by_network.values()) in ([NO_CHALLENGE, b"proof-1!"], [b"proof-1!", b"proof-1!"])
    assert b"proof-1!" in by_network.values()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param({"session": 78}, id="of another session"),
        pytest.param({"boot": b"B" * 16}, id="of another boot"),
        pytest.param({"host": "c2"}, id="of another host"),
        pytest.param({"sequence": 10**9}, id="for what was never sent"),
        pytest.param({"kind": Kind.BEAT}, id="of another kind"),
    ],
)
async def test_what_is_not_for_us_is_not_carried(
    doctor: Doctor, beating: Beating, change: dict[str, object]
) -> None:
    await asyncio.sleep(0.05)
    last = doctor.heard()[-1]
    challenge = last._replace(kind=Kind.CHALLENGE, challenge=b"proof-1!")
    doctor.send(challenge._replace(**change))  # type: ignore[arg-type]
    doctor.send(challenge, Key(b"x" * 32))
    doctor.sock.sendto(b"noise", doctor.agent)
    doctor.sock.sendto(bytes(5000), doctor.agent)
    await asyncio.sleep(0.1)
    assert {beat.challenge for beat in doctor.heard()} == {NO_CHALLENGE}


async def test_a_recorded_challenge_is_not_carried(doctor: Doctor, beating: Beating) -> None:
    await asyncio.sleep(0.05)
    first = doctor.heard()[-1]
    old = first._replace(kind=Kind.CHALLENGE, challenge=b"old-one!", interval_us=0)
    doctor.send(old)
    await asyncio.sleep(0.1)
    new = [beat for beat in doctor.heard() if beat.subject == first.subject][-1]
    doctor.send(new._replace(kind=Kind.CHALLENGE, challenge=b"new-one!", interval_us=0))
    await asyncio.sleep(0.1)
    doctor.heard()
    doctor.send(old)
    await asyncio.sleep(0.1)
    assert b"old-one!" not in {beat.challenge for beat in doctor.heard()}


async def test_its_end_is_announced(doctor: Doctor, beating: Beating) -> None:
    await beating.stop()
    beats = doctor.heard()
    assert {beat.subject for beat in beats if beat.kind is Kind.GOODBYE} == {"mgmt", "storage"}
    assert beats[-1].kind is Kind.GOODBYE


async def test_a_way_that_is_closed_is_said_once(capsys: pytest.CaptureFixture[str]) -> None:
    network = NetworkSettings(name="mgmt", to=("[::1]:9",), source=None)
    made = Beating(IDENTITY, KEY, [network], Pace(0.02, 0.02))
    for listener in made.listeners:
        listener.address = ("192.0.2.1.nowhere", 9)
    made.start()
    await asyncio.sleep(0.1)
    made.listeners[0].address = ("::1", 9)
    await asyncio.sleep(0.1)
    await made.stop()
    err = capsys.readouterr().err
    assert err.count("heartbeat.not_sent") == 1
    assert err.count("heartbeat.sent_again") == 1


async def test_an_address_that_is_not_ours() -> None:
    network = NetworkSettings(name="mgmt", to=("127.0.0.1:9",), source="192.0.2.77")
    with pytest.raises(OSError, match="assign"):
        Beating(IDENTITY, KEY, [network], Pace(0.02, 0.02))


def test_the_pace_is_the_shortest_that_is_wished_within_limits() -> None:
    pace = Pace(usual=0.1, fastest=0.02)
    assert pace.interval([]) == 0.1
    assert pace.interval([0.0, 0.05, 0.5]) == 0.05
    assert pace.interval([0.001]) == 0.02
    assert Pace(usual=0.01, fastest=0.02).interval([]) == 0.01


def test_the_worst_lag_is_remembered_for_a_while() -> None:
    lag = Lag()
    assert lag.add(0.2, 10.0) == 0.2
    assert lag.add(0.01, 10.5) == 0.2
    assert lag.add(0.3, 11.0) == 0.3
    assert lag.add(0.02, 11.0 + LAG_KEPT) == 0.02


def test_this_run_is_newer_than_the_one_before() -> None:
    first, second = Identity.of("c1"), Identity.of("c1")
    assert first.boot == second.boot
    assert first.session < second.session


async def test_doctor_may_wish_for_another_pace(doctor: Doctor) -> None:
    made = Beating(IDENTITY, KEY, [NetworkSettings(name="mgmt", to=(doctor.text,))], Pace(0.1, 0.02))
    made.start()
    for wish, expected in ((20_000, 20_000), (1, 20_000), (0, 100_000)):
        await asyncio.sleep(0.15)
        last = doctor.heard()[-1]
        doctor.send(last._replace(kind=Kind.CHALLENGE, interval_us=wish))
        await asyncio.sleep(0.25)
        assert doctor.heard()[-1].interval_us == expected
    await made.stop()


async def question(doctor: Doctor, address: str, **change: object) -> list[Beat]:
    """Challenge the agent, ask it, and return what it answers."""
    await asyncio.sleep(0.05)
    last = doctor.heard()[-1]
    doctor.send(last._replace(kind=Kind.CHALLENGE, challenge=b"proof-1!", interval_us=0))
    await asyncio.sleep(0.05)
    asked = last._replace(
        kind=Kind.QUESTION,
        subject=address,
        sequence=4711,
        challenge=b"proof-1!",
        interval_us=60_000,
        lag_us=3,
    )
    for _ in range(3):  # it may come twice, or be a recording: it is answered once
        doctor.send(asked._replace(**change))  # type: ignore[arg-type]
    await asyncio.sleep(0.3)
    return [beat for beat in doctor.heard() if beat.kind is Kind.ANSWER]


async def test_it_says_whether_a_neighbour_is_there(doctor: Doctor, beating: Beating) -> None:
    (answer,) = await question(doctor, "127.0.0.1")
    assert (answer.sequence, answer.subject, answer.challenge) == (4711, "127.0.0.1", b"proof-1!")
    assert answer.interval_us > 0


async def test_it_says_that_a_neighbour_is_not_there(doctor: Doctor, beating: Beating) -> None:
    (answer,) = await question(doctor, "192.0.2.77")
    assert answer.interval_us == 0


@pytest.mark.parametrize(
    ("address", "change"),
    [
        pytest.param("224.0.0.1", {}, id="everybody"),
        pytest.param("no address", {}, id="no address"),
        pytest.param("127.0.0.1", {"challenge": b"other-1!"}, id="of another Doctor"),
    ],
)
async def test_some_questions_are_not_answered(
    doctor: Doctor, beating: Beating, address: str, change: dict[str, object]
) -> None:
    assert await question(doctor, address, **change) == []


async def test_a_neighbour_may_be_asked_by_tcp(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(asking, "_icmp", lambda: None)
    monkeypatch.setattr(asking, "TCP_PORT", 9)
    assert await asking.ask("127.0.0.1", 3, 0.2) == 1, "who refuses is there"
    server = await asyncio.start_server(lambda reader, writer: writer.close(), "127.0.0.1", 0)
    monkeypatch.setattr(asking, "TCP_PORT", server.sockets[0].getsockname()[1])
    assert await asking.ask("127.0.0.1", 3, 0.2) == 1
    server.close()
    assert await asking.ask("192.0.2.77", 3, 0.05) == 0


def test_replies_of_others_are_not_counted() -> None:
    token = b"12345678"
    reply = bytes([0, 0, 0, 0, 0, 1, 0, 2]) + token
    assert asking.is_reply(reply, token)
    assert asking.is_reply(bytes([0x45]) + bytes(19) + reply, token)
    assert not asking.is_reply(reply, b"87654321")
    assert not asking.is_reply(asking.echo(1, 2, token), token)
    assert not asking.is_reply(b"", token)
