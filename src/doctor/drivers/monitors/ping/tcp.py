"""Asking by TCP, where no ICMP is allowed: whoever accepts a connection, or refuses it, is there."""

import errno
import heapq
import itertools
import os
import resource
import select
import socket
import struct

import msgspec

from doctor.drivers.monitors.ping.judging import Path
from doctor.drivers.monitors.ping.probing import MOST_ANSWERS, Answer
from doctor.drivers.monitors.ping.settings import Method, Refused

SHARE_OF_FILES = 4  # one in so many of the files that this process may open
RESET_ON_CLOSE = struct.pack("ii", 1, 0)  # SO_LINGER: no TIME_WAIT for each of ten probes a second


class Attempt(msgspec.Struct, frozen=True):
    """A connection that is being made."""

    sock: socket.socket
    answer: Answer


class TcpProber:
    """Makes TCP connections and drops them at once.

    An attempt is given up when the probes after it would be enough to call the host down. The number of attempts at
    the same time is limited; beyond it a probe fails as one for which we have no means.
    """

    method = Method.TCP

    def __init__(self, port: int, refused: Refused) -> None:
        self._port = port
        self._refusal_counts = refused is Refused.ALIVE
        self._limit = max(resource.getrlimit(resource.RLIMIT_NOFILE)[0] // SHARE_OF_FILES, 16)
        self._epoll = select.epoll()
        self._attempts: dict[int, Attempt] = {}  # by the number of the file
        self._ends: list[tuple[float, int, Attempt]] = []  # a heap of when, serial, attempt
        self._serials = itertools.count()
        self._done: list[Answer] = []

    def prepare(self, family: int) -> None:
        """See whether the machine speaks this IP version.

        Raises:
            OSError: it does not.
        """
        socket.socket(family, socket.SOCK_STREAM).close()

    def send(self, path: Path, number: int, now: float) -> None:
        """Begin to connect.

        Raises:
            OSError: it could not begin.
        """
        if len(self._attempts) >= self._limit:
            raise OSError(errno.EMFILE, "too many attempts at the same time")
        address = path.address
        sock = socket.socket(address.family, socket.SOCK_STREAM)
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET_ON_CLOSE)
        attempt = Attempt(sock, Answer(path.key, address.text, number))
        code = sock.connect_ex(address.at_port(self._port))
        if code == errno.EINPROGRESS:
            self._begin(attempt, now + path.host.rule.interval * path.host.rule.misses)
        else:
            self._end(attempt, code)
            if code not in (0, errno.ECONNREFUSED):
                raise OSError(code, os.strerror(code))

    def _begin(self, attempt: Attempt, end: float) -> None:
        self._attempts[attempt.sock.fileno()] = attempt
        self._epoll.register(attempt.sock.fileno(), select.EPOLLOUT)
        heapq.heappush(self._ends, (end, next(self._serials), attempt))

    def _end(self, attempt: Attempt, code: int) -> None:
        attempt.sock.close()
        if code == 0 or (code == errno.ECONNREFUSED and self._refusal_counts):
            self._done.append(attempt.answer)

    def drain(self, now: float) -> tuple[list[Answer], bool]:
        """Return the attempts that came to a good end, and give up those whose time is over."""
        ready = self._epoll.poll(0, MOST_ANSWERS) if self._attempts else []
        for number, _ in ready:
            attempt = self._forget(number)
            self._end(attempt, attempt.sock.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR))
        while self._ends and (self._ends[0][0] <= now or self._ends[0][2].sock.fileno() < 0):
            attempt = heapq.heappop(self._ends)[2]
            if attempt.sock.fileno() >= 0:
                self._forget(attempt.sock.fileno())
                attempt.sock.close()
        answers, self._done = self._done, []
        return answers, len(ready) < MOST_ANSWERS

    def _forget(self, number: int) -> Attempt:
        # A child process that is being started may hold the file for a moment, so closing alone is not enough.
        self._epoll.unregister(number)
        return self._attempts.pop(number)

    def close(self) -> None:
        """Give up all attempts."""
        for attempt in self._attempts.values():
            attempt.sock.close()
        self._attempts.clear()
        self._epoll.close()
