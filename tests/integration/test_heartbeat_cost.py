"""What five hundred hosts cost the one who listens, and that a flood beside them deceives nobody."""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from doctor.drivers.monitors.heartbeat.keyring import Keyring
from doctor.drivers.monitors.heartbeat.monitor import Listening
from doctor.drivers.monitors.heartbeat.receiver import Receiver
from doctor.drivers.monitors.heartbeat.refusals import Reason
from doctor.drivers.monitors.heartbeat.settings import HeartbeatSettings
from doctor.kit.clock import SystemClock
from doctor.kit.key_file import new_key, write_key
from tests.figures import Figures
from tests.unit.monitors.test_ping_monitor import Hosts, Map

HOSTS = 500
SECONDS = 30 if os.environ.get("DOCTOR_SOAK") else 5

# Agents in a process of their own: each sends ten times a second and carries what it is challenged with.
AGENTS = """
import select, socket, sys, time
from doctor.kit.beat import Beat, Key, Kind, derived, pack, read
host, port, master, count = sys.argv[1], int(sys.argv[2]), bytes.fromhex(sys.stdin.readline()), int(sys.argv[3])
poll, agents, by_file = select.poll(), [], {}
for number in range(count):
    sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    sock.connect((host, port))
    sock.setblocking(False)
    name = f"compute-{number}"
    agent = [sock, Key(derived(master, name)), Beat(Kind.BEAT, name, "mgmt", b"A" * 16, 1, interval_us=100_000)]
    agents.append(agent)
    by_file[sock.fileno()] = agent
    poll.register(sock, select.POLLIN)
begin, sent = time.monotonic(), 0
while True:
    due = int((time.monotonic() - begin) * count * 10)
    while sent < due:
        agent = agents[sent % count]
        agent[2] = agent[2]._replace(sequence=agent[2].sequence + 1)
        try:
            agent[0].send(pack(agent[2], agent[1]))
        except OSError:
            sys.exit()
        sent += 1
    for number, _ in poll.poll(1):
        agent = by_file[number]
        try:
            beat, _ = read(memoryview(agent[0].recv(700)))
        except OSError:
            sys.exit()
        agent[2] = agent[2]._replace(challenge=beat.challenge)
"""

FLOOD = """
import os, socket, sys, time
from doctor.kit.beat import Beat, Key, Kind, pack
sock = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
sock.connect((sys.argv[1], int(sys.argv[2])))
forged = [pack(Beat(Kind.BEAT, f"compute-{n}", "mgmt", b"A" * 16, 1, n, interval_us=100_000), Key(bytes(32))) for n in range(500)]
noise = [os.urandom(n) for n in (0, 40, 105, 1400)]
begin, sent = time.monotonic(), 0
while True:
    while sent < (time.monotonic() - begin) * int(sys.argv[3]):
        sock.send(forged[sent % 500] if sent % 5 else noise[sent // 5 % 4])
        sent += 1
    time.sleep(0.002)
"""


@contextmanager
def program(text: str, *words: str, secret: str = "") -> Iterator[None]:
    process = subprocess.Popen([sys.executable, "-c", text, *words], stdin=subprocess.PIPE, text=True)
    assert process.stdin is not None
    process.stdin.write(secret + "\n")
    process.stdin.flush()
    try:
        yield
    finally:
        process.kill()
        process.wait()
        process.stdin.close()


class Listened:
    """A monitor that listens to all the hosts, in this process."""

    def __init__(self, folder: Path) -> None:
        self.master = new_key()
        file = folder / "m.key"
        write_key(file, self.master)
        settings = HeartbeatSettings.parse({"listen": "127.0.0.1:0", "master_key_file": str(file)})
        self.receiver = Receiver(settings.addresses, Keyring(file, None))
        targets = Map(
            **{f"compute-{number}": f"198.18.{number // 200}.{number % 200 + 1}" for number in range(HOSTS)}
        )
        self.listening = Listening(targets, settings, SystemClock(), self.receiver, Hosts())
        self.address = [str(part) for part in self.receiver.addresses[0]]
        self.ups = 0
        self.downs = 0
        self.all_up = asyncio.Event()

    async def read(self) -> None:
        while True:
            event = await self.listening.next_event()
            self.ups += event.status == "up"
            self.downs += event.status == "down"
            if self.ups == HOSTS:
                self.all_up.set()

    async def run(self, seconds: float) -> float:
        """Listen until all are up and then for so long; return the share of a core that it took."""
        self.listening.start()
        reader = asyncio.create_task(self.read())
        async with asyncio.timeout(30):
            await self.all_up.wait()
        await asyncio.sleep(1)
        before, begin = time.process_time(), time.monotonic()
        await asyncio.sleep(seconds)
        share = (time.process_time() - before) / (time.monotonic() - begin)
        reader.cancel()
        await self.listening.stop()
        return share


async def test_five_hundred_hosts_cost_little(tmp_path: Path, figures: Figures) -> None:
    listened = Listened(tmp_path)
    with program(AGENTS, *listened.address, str(HOSTS), secret=listened.master.hex()):
        share = await listened.run(SECONDS)
    figures(f"heartbeats of {HOSTS} hosts each 100 ms: {100 * share:.1f} % of a core")
    assert (listened.ups, listened.downs) == (HOSTS, 0)


async def test_a_flood_deceives_nobody(tmp_path: Path, figures: Figures) -> None:
    listened = Listened(tmp_path)
    agents = program(AGENTS, *listened.address, str(HOSTS), secret=listened.master.hex())
    with agents, program(FLOOD, *listened.address, "20000"):
        share = await listened.run(SECONDS)
    counts = listened.receiver.refusals.counts
    figures(
        f"beside a flood of 20,000 forged a second: {100 * share:.1f} % of a core, {sum(counts.values())} refused"
    )
    assert (listened.ups, listened.downs) == (HOSTS, 0)
    assert counts[Reason.WRONG_SIGNATURE] > 1000
    assert counts[Reason.MALFORMED] > 100
