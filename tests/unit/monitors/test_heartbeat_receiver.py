"""What arrives at a real socket: heartbeats of now count, and nothing that anybody else can send does."""

import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from doctor.drivers.monitors.heartbeat.keyring import LOOK_AGAIN, Keyring
from doctor.drivers.monitors.heartbeat.receiver import Arrival, Receiver
from doctor.drivers.monitors.heartbeat.refusals import Reason
from doctor.drivers.monitors.refusing import LOG_EVERY
from doctor.kit.beat import MOST_BYTES, Beat, Key, Kind, derived, pack, read
from doctor.kit.key_file import new_key, write_key

BOOT = b"A" * 16


class Agent:
    """One that a test leads by the hand."""

    def __init__(self, address: tuple[str, int], master: bytes, host: str = "compute-1") -> None:
        self.key = Key(derived(master, host))
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.sock.connect(address)
        self.sock.settimeout(1)
        self.beat = Beat(Kind.BEAT, host, "mgmt", BOOT, 1)

    def send(self, **change: object) -> bytes:
        self.beat = self.beat._replace(sequence=self.beat.sequence + 1)
        data = pack(self.beat._replace(**change), self.key)  # type: ignore[arg-type]
        self.sock.send(data)
        return data

    def learn(self) -> None:
        beat, _ = read(memoryview(self.sock.recv(MOST_BYTES)))
        assert beat.kind is Kind.CHALLENGE
        self.beat = self.beat._replace(challenge=beat.challenge)


@pytest.fixture
def master() -> bytes:
    return new_key()


@pytest.fixture
def receiver(tmp_path: Path, master: bytes) -> Iterator[Receiver]:
    file = tmp_path / "m.key"
    write_key(file, master)
    made = Receiver([("127.0.0.1", 0)], Keyring(file, None))
    made.ids = {"compute-1": "compute-1", "c1": "compute-1"}
    yield made
    made.close()


@pytest.fixture
def agent(receiver: Receiver, master: bytes) -> Iterator[Agent]:
    made = Agent(receiver.addresses[0], master)
    yield made
    made.sock.close()


def heard(receiver: Receiver, now: float = 0.0) -> list[str]:
    return [f"{one.host} {one.beat.kind.name}" for one in receiver.drain(now).heard]


def introduce(receiver: Receiver, agent: Agent) -> None:
    agent.send()
    assert heard(receiver) == []
    agent.learn()
    agent.send()
    assert heard(receiver) == ["compute-1 BEAT"]


def test_an_agent_is_challenged_and_then_heard(receiver: Receiver, agent: Agent) -> None:
    introduce(receiver, agent)
    agent.send()
    agent.send(kind=Kind.GOODBYE)
    assert heard(receiver) == ["compute-1 BEAT", "compute-1 GOODBYE"]
    assert receiver.refusals.counts == {Reason.UNPROVEN: 1}


def test_a_host_is_known_by_its_other_names(receiver: Receiver, master: bytes) -> None:
    agent = Agent(receiver.addresses[0], master, "c1")
    introduce(receiver, agent)
    agent.sock.close()


def test_a_replay_counts_for_nothing(receiver: Receiver, agent: Agent) -> None:
    introduce(receiver, agent)
    recorded = agent.send()
    assert heard(receiver) == ["compute-1 BEAT"]
    for _ in range(3):
        agent.sock.send(recorded)
    assert heard(receiver) == []
    assert receiver.refusals.counts[Reason.REPLAYED] == 3


def test_a_goodbye_cannot_be_forged(receiver: Receiver, agent: Agent) -> None:
    introduce(receiver, agent)
    agent.key = Key(new_key())
    agent.send(kind=Kind.GOODBYE)
    assert heard(receiver) == []
    assert receiver.refusals.counts[Reason.WRONG_SIGNATURE] == 1


def test_the_clock_of_a_host_may_be_anywhere(receiver: Receiver, agent: Agent) -> None:
    introduce(receiver, agent)
    for monotonic_ns in (0, 2**64 - 1, 5):
        agent.send(monotonic_ns=monotonic_ns)
    assert len(heard(receiver)) == 3


def test_a_restart_of_the_host_is_seen(receiver: Receiver, agent: Agent) -> None:
    introduce(receiver, agent)
    agent.beat = agent.beat._replace(boot=b"B" * 16, session=1, sequence=0)
    agent.send()
    assert heard(receiver) == []
    agent.learn()
    agent.send()
    (one,) = receiver.drain(0.0).heard
    assert (one.is_new_session, one.was_boot, one.beat.boot) == (True, BOOT, b"B" * 16)


@pytest.mark.shows("monitor heartbeat", "bad input")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        pytest.param(b"", Reason.MALFORMED, id="empty"),
        pytest.param(b"DrB1", Reason.MALFORMED, id="truncated"),
        pytest.param(bytes(9000), Reason.MALFORMED, id="oversized"),
        pytest.param(b"\xff" * 120, Reason.MALFORMED, id="noise"),
        pytest.param(
            pack(Beat(Kind.BEAT, "compute-1"), Key(b"x" * 32)), Reason.WRONG_SIGNATURE, id="spoofed"
        ),
        pytest.param(pack(Beat(Kind.BEAT, "nobody"), Key(b"x" * 32)), Reason.UNKNOWN_HOST, id="unknown host"),
        pytest.param(
            pack(Beat(Kind.CHALLENGE, "compute-1"), Key(b"x" * 32)), Reason.NOT_FOR_US, id="a listener's"
        ),
    ],
)
def test_all_else_is_counted(receiver: Receiver, agent: Agent, data: bytes, reason: Reason) -> None:
    introduce(receiver, agent)
    agent.sock.send(data)
    agent.sock.send(data)
    agent.send()
    assert heard(receiver) == ["compute-1 BEAT"]
    assert receiver.refusals.counts[reason] == 2


def test_what_is_refused_is_logged_once_in_a_while(receiver: Receiver, agent: Agent) -> None:
    with capture_logs() as logs:
        for second in range(25):
            agent.sock.send(b"noise")
            receiver.drain(float(second))
    said = [entry for entry in logs if entry["event"] == "heartbeat.refused"]
    assert len(said) == 25 // LOG_EVERY + 1
    assert sum(entry["count"] for entry in said) == 21
    assert said[0]["last_from"] == "127.0.0.1"


def test_a_flood_is_read_for_a_bounded_time(receiver: Receiver, agent: Agent) -> None:
    introduce(receiver, agent)
    flood = Agent(receiver.addresses[0], new_key(), "compute-1")
    for _ in range(5000):
        flood.send()
    flood.sock.close()
    looks: list[Arrival] = []
    while not looks or not looks[-1].is_all:
        begin = time.thread_time()
        looks.append(receiver.drain(0.0))
        assert time.thread_time() - begin < 0.1
    assert len(looks) > 1
    assert receiver.refusals.counts[Reason.WRONG_SIGNATURE] == 5000
    assert sum(look.dropped for look in looks) == 0


def test_what_the_kernel_dropped_is_known(receiver: Receiver, agent: Agent) -> None:
    assert receiver.drain(0.0).dropped == 0
    for sock in receiver._sockets:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1)
    for _ in range(200):
        agent.send()
    assert receiver.drain(0.0).dropped > 0
    assert receiver.drain(0.0).dropped == 0


def test_a_file_of_keys_may_grow(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"compute-1 {'ab' * 32}\n")
    file.chmod(0o600)
    ring = Keyring(None, file)
    assert ring.find("compute-1", is_known=True, now=100.0) is not None
    assert ring.find("compute-2", is_known=True, now=100.0) is None

    file.write_text(f"compute-2 {'cd' * 32}\n# longer\n")
    assert ring.find("compute-2", is_known=True, now=100.1) is None
    assert ring.find("compute-2", is_known=True, now=100.1 + LOOK_AGAIN) is not None
    assert ring.find("compute-1", is_known=True, now=200.0) is None

    file.write_text("nonsense and more of it\n")
    with capture_logs() as logs:
        assert ring.find("compute-3", is_known=True, now=300.0) is None
    assert [entry["event"] for entry in logs] == ["heartbeat.keys_kept"]
    assert ring.find("compute-2", is_known=True, now=300.0) is not None
    file.unlink()
    assert ring.find("compute-3", is_known=True, now=400.0) is None


def test_no_key_is_made_for_a_host_that_is_not_in_the_map(tmp_path: Path) -> None:
    file = tmp_path / "m.key"
    write_key(file, new_key())
    ring = Keyring(file, None)
    assert ring.find("invented", is_known=False, now=0.0) is None
    assert ring.find("compute-1", is_known=True, now=0.0) is ring.find("compute-1", is_known=True, now=1.0)


def test_an_address_that_is_taken(receiver: Receiver) -> None:
    with pytest.raises(OSError, match="in use"):
        Receiver([("127.0.0.1", 0), receiver.addresses[0]], Keyring(None, None))
