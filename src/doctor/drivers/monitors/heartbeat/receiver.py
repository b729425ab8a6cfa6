"""The sockets on which heartbeats arrive: out come those that are signed by a host that is known, and are of now.

All that waits is read when somebody wants to know, and nothing blocks. A flood is read for a bounded time only, and then it
is said that there is more: nobody is called silent whose heartbeat may be waiting.
"""

import contextlib
import socket
import time
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import structlog

from doctor.drivers.monitors.heartbeat.freshness import Sender, Worth
from doctor.drivers.monitors.heartbeat.keyring import Keyring
from doctor.drivers.monitors.heartbeat.refusals import Reason
from doctor.drivers.monitors.refusing import Refusals
from doctor.drivers.monitors.sockets import Drops, listening
from doctor.kit.beat import FROM_AGENT, MOST_BYTES, Beat, Key, Kind, Malformed, pack, read

READ_FOR = 0.01  # seconds at a time
LOOK_AT_CLOCK_EVERY = 64  # datagrams

REASONS = {
    Worth.UNPROVEN: Reason.UNPROVEN,
    Worth.REPLAYED: Reason.REPLAYED,
    Worth.TOO_MANY_NETWORKS: Reason.TOO_MANY_NETWORKS,
}

log = structlog.get_logger()

Source = tuple[Any, ...]  # an address, as the socket has it


class Heard(NamedTuple):
    """A heartbeat, or a goodbye or answer, that is proven. ``host`` is the id in the map; ``was_boot`` is the boot id before."""

    host: str
    beat: Beat
    source: Source
    socket: socket.socket
    is_new_session: bool
    was_boot: bytes


class Arrival(NamedTuple):
    """What one look at the sockets brought. Where the kernel has dropped something, somebody's silence says nothing."""

    heard: Sequence[Heard]
    is_all: bool
    dropped: int
    refused: int  # but for those that only have to prove themselves


class Receiver:
    """Listens on all its addresses. ``ids`` has the id of each host that is watched, by each of its names."""

    def __init__(self, addresses: Sequence[tuple[str, int]], keyring: Keyring) -> None:
        """Open the sockets.

        Raises:
            OSError: an address is not ours, or is taken.
        """
        self.refusals = Refusals[Reason]("heartbeat.refused", (Reason.UNPROVEN,))
        self.ids: Mapping[str, str] = {}
        self._keyring = keyring
        self._senders: dict[str, Sender] = {}
        self._sockets: list[socket.socket] = []
        self._drops = Drops()
        self._refused = 0
        self._buffer = memoryview(bytearray(MOST_BYTES + 1))
        with contextlib.ExitStack() as opened:
            for address in addresses:
                self._sockets.append(opened.enter_context(listening(address)))
            opened.pop_all()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return where it really listens."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()

    def drain(self, now: float) -> Arrival:
        """Read what has come."""
        heard: list[Heard] = []
        end = time.monotonic() + READ_FOR
        is_all = True
        for sock in self._sockets:
            is_all = self._read(sock, heard, now, end) and is_all
        self.refusals.tell(now)
        before, self._refused = self._refused, self.refusals.refused
        dropped = sum(map(self._drops.since, self._sockets))
        return Arrival(heard, is_all, dropped, self._refused - before)

    def _read(self, sock: socket.socket, heard: list[Heard], now: float, end: float) -> bool:
        count = 0
        while True:
            try:
                size, source = sock.recvfrom_into(self._buffer)
            except BlockingIOError:
                return True
            except OSError:
                continue  # an error that waited for us, of something we sent; datagrams may be behind it
            found = self._take(self._buffer[:size], source, sock, now)
            if isinstance(found, Reason):
                self.refusals.add(found, source[0])
            else:
                heard.append(found)
            count += 1
            if count % LOOK_AT_CLOCK_EVERY == 0 and time.monotonic() > end:
                return False

    def _take(self, data: memoryview, source: Source, sock: socket.socket, now: float) -> Heard | Reason:
        """Read one datagram: the cheap questions first, since anybody can send."""
        try:
            beat, end = read(data)
        except Malformed:
            return Reason.MALFORMED
        if beat.kind not in FROM_AGENT:
            return Reason.NOT_FOR_US
        host = self.ids.get(beat.host)
        key = self._keyring.find(beat.host, is_known=host is not None, now=now)
        if host is None or key is None:
            return Reason.UNKNOWN_HOST
        sender = self._senders.get(beat.host)
        if not key.has_signed(data[:end], data[end:]):
            return Reason.WRONG_SIGNATURE
        if sender is None:
            sender = self._senders[beat.host] = Sender()
        was_boot, restarts = sender.boot, sender.restarts
        worth = sender.weigh(beat)
        if worth is Worth.LIFE:
            return Heard(host, beat, source, sock, sender.restarts != restarts, was_boot)
        if worth is Worth.UNPROVEN:
            challenge = beat._replace(
                kind=Kind.CHALLENGE, challenge=sender.challenge_for(beat), interval_us=0
            )
            self.send(challenge, key, source, sock)
        return REASONS[worth]

    def send(self, beat: Beat, key: Key, source: Source, sock: socket.socket) -> None:
        """Send something back, of about the size of what came; if it cannot be sent now the next heartbeat asks again."""
        with contextlib.suppress(OSError):
            sock.sendto(pack(beat, key), source)

    def wish(self, heard: Heard, interval_us: int) -> None:
        """Tell the agent that was heard how often it is wished to speak; 0 takes a wish back."""
        sender, key = (
            self._senders.get(heard.beat.host),
            self._keyring.find(heard.beat.host, is_known=True, now=0.0),
        )
        if sender is not None and key is not None:
            challenge = sender.challenge_for(heard.beat)
            wish = heard.beat._replace(kind=Kind.CHALLENGE, challenge=challenge, interval_us=interval_us)
            self.send(wish, key, heard.source, heard.socket)

    def question(self, asked: Heard, address: str, number: int, *, times: int, within: float) -> None:
        """Ask the agent that was heard of an address, whether somebody is there."""
        sender, key = (
            self._senders.get(asked.beat.host),
            self._keyring.find(asked.beat.host, is_known=True, now=0.0),
        )
        if sender is not None and key is not None:
            question = asked.beat._replace(
                kind=Kind.QUESTION,
                subject=address,
                sequence=number,
                challenge=sender.challenge_for(asked.beat),
                interval_us=round(within * 1e6),
                lag_us=times,
            )
            self.send(question, key, asked.source, asked.socket)
