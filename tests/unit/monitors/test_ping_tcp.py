"""A TCP probe finds out whether somebody is there, and leaves nothing open."""

import errno
import gc
import socket
import time
from collections.abc import Iterator

import pytest

from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import Host, Path, Rule
from doctor.drivers.monitors.ping.probing import Answer
from doctor.drivers.monitors.ping.settings import Refused
from doctor.drivers.monitors.ping.tcp import TcpProber

RULE = Rule(interval=0.1, timeout=0.025, misses=3, recover=2, start_grace=1.0)
HERE = Address(socket.AF_INET, "127.0.0.1")


def path(address: Address = HERE) -> Path:
    return Path(Host("compute-1", RULE, 0.0), address, b"key-1")


@pytest.fixture
def listening() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=1) as server:
        yield server


@pytest.fixture
def port(listening: socket.socket) -> int:
    found: int = listening.getsockname()[1]
    return found


def answers(prober: TcpProber, *, patience: float = 1.0) -> list[Answer]:
    """Return what comes, as soon as something does."""
    end = time.monotonic() + patience
    while time.monotonic() < end:
        found, is_all = prober.drain(0.0)
        assert is_all
        if found:
            return found
        time.sleep(0.001)
    return []


def test_who_accepts_is_there(port: int) -> None:
    prober = TcpProber(port, Refused.DOWN)

    prober.send(path(), 7, 0.0)

    assert answers(prober) == [Answer(b"key-1", "127.0.0.1", 7)]
    prober.close()


@pytest.mark.parametrize(
    ("refused", "found"),
    [
        pytest.param(Refused.ALIVE, [Answer(b"key-1", "127.0.0.1", 7)], id="a-host-that-refuses-lives"),
        pytest.param(Refused.DOWN, [], id="a-process-that-is-gone-does-not"),
    ],
)
def test_what_a_refusal_says(
    listening: socket.socket, port: int, refused: Refused, found: list[Answer]
) -> None:
    listening.close()
    prober = TcpProber(port, refused)

    prober.send(path(), 7, 0.0)

    assert answers(prober, patience=0.05) == found
    prober.close()


def fill(listening: socket.socket) -> list[socket.socket]:
    """Fill the queue of a server that accepts nobody, so that it answers no further attempt."""
    clients = [socket.socket() for _ in range(4)]
    for client in clients:
        client.setblocking(False)
        client.connect_ex(listening.getsockname())
    return clients


def test_an_attempt_without_an_answer_is_given_up(listening: socket.socket, port: int) -> None:
    clients = fill(listening)
    prober = TcpProber(port, Refused.ALIVE)
    for number in range(3):
        prober.send(path(), number, number * RULE.interval)
    assert len(prober._attempts) == 3

    assert prober.drain(0.45) == ([], True)

    assert len(prober._attempts) == 1
    prober.close()
    for client in clients:
        client.close()


def test_the_number_of_attempts_is_limited(
    listening: socket.socket, port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    clients = fill(listening)
    prober = TcpProber(port, Refused.ALIVE)
    monkeypatch.setattr(prober, "_limit", 2)
    prober.send(path(), 1, 0.0)
    prober.send(path(), 2, 0.0)

    with pytest.raises(OSError) as error:
        prober.send(path(), 3, 0.0)

    assert error.value.errno == errno.EMFILE
    prober.close()
    for client in clients:
        client.close()


def test_what_cannot_even_begin_is_an_error(port: int) -> None:
    prober = TcpProber(port, Refused.ALIVE)

    with pytest.raises(OSError):
        prober.send(path(Address(socket.AF_INET, "255.255.255.255")), 1, 0.0)

    prober.close()
    gc.collect()  # a socket left open would warn now


def test_ipv6_has_to_be_spoken_here() -> None:
    prober = TcpProber(22, Refused.ALIVE)

    prober.prepare(socket.AF_INET)
    with pytest.raises(OSError):
        prober.prepare(-7)

    prober.close()
