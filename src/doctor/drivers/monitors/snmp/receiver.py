"""The sockets on which traps arrive. They are emptied as soon as something comes, and what came waits here.

The kernel has room for some hundred traps where Doctor may not ask for more: what waits there is soon lost.
"""

import contextlib
import socket
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, NamedTuple

from doctor.drivers.monitors.refusing import Refusals
from doctor.drivers.monitors.sockets import Drops, listening
from doctor.kit.clock import Clock

MOST_BYTES = 16 * 1024  # of a datagram
MOST_WAITING = 50_000
MOST_WAITING_BYTES = 32 * 1024 * 1024
AT_ONCE = 500  # datagrams in one turn of the loop


class Reason(StrEnum):
    """Why a datagram counts for nothing."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNKNOWN_SENDER = "unknown sender"
    UNKNOWN_COMMUNITY = "unknown community"
    UNKNOWN_USER = "unknown user"
    UNPROTECTED = "unprotected"
    WRONG_KEY = "wrong key"
    REPLAYED = "replayed"
    AHEAD = "ahead of its time"
    WRONG_ENGINE = "another device's"
    NOT_FOR_US = "not for us"
    FLOOD = "too many"


class Arrived(NamedTuple):
    """A datagram, from whom, by which socket, and when."""

    data: bytes
    source: tuple[Any, ...]
    sock: socket.socket
    received: datetime


class Receiver:
    """Listens on all its addresses. ``lost`` counts what the kernel or we ourselves had no room for."""

    def __init__(self, addresses: Sequence[tuple[str, int]], clock: Clock) -> None:
        """Open the sockets.

        Raises:
            OSError: an address is not ours, or is taken.
        """
        self.refusals = Refusals[Reason]("snmp.refused")
        self.waiting: deque[Arrived] = deque()
        self.lost = 0
        self._bytes = 0
        self._clock = clock
        self._drops = Drops()
        self._sockets: list[socket.socket] = []
        with contextlib.ExitStack() as opened:
            for address in addresses:
                self._sockets.append(opened.enter_context(listening(address)))
            opened.pop_all()

    @property
    def addresses(self) -> list[tuple[str, int]]:
        """Return where it really listens."""
        return [sock.getsockname()[:2] for sock in self._sockets]

    @property
    def sockets(self) -> Sequence[socket.socket]:
        """Return what can be waited for."""
        return self._sockets

    def close(self) -> None:
        """Close the sockets."""
        for sock in self._sockets:
            sock.close()

    def drain(self, sock: socket.socket, then: Callable[[], None]) -> None:
        """Take in what has come on a socket."""
        now = self._clock.now()
        for _ in range(AT_ONCE):
            try:
                data, source = sock.recvfrom(MOST_BYTES + 1)
            except BlockingIOError:
                break
            except OSError:
                continue  # an error that waited for us, of something we sent; datagrams may be behind it
            if len(data) > MOST_BYTES:
                self.refusals.add(Reason.OVERSIZED, source[0])
            elif len(self.waiting) >= MOST_WAITING or self._bytes + len(data) > MOST_WAITING_BYTES:
                self.lost += 1
            else:
                self.waiting.append(Arrived(data, source, sock, now))
                self._bytes += len(data)
        self.lost += self._drops.since(sock)
        then()

    def next(self) -> Arrived:
        """Return the one that waits longest."""
        arrived = self.waiting.popleft()
        self._bytes -= len(arrived.data)
        return arrived

    def send(self, data: bytes, arrived: Arrived) -> None:
        """Send something back; if it cannot be sent now the device asks again."""
        with contextlib.suppress(OSError):
            arrived.sock.sendto(data, arrived.source)
