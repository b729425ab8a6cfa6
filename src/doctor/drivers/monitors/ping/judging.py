"""When a host counts as down and when as up again.

What comes in: which probes were asked, which answers came, how late our own ticks were, each with a time of the
monotonic clock. What goes out: changes of hosts. No sockets and no clock in here.

A probe counts as missed when its time is over and the sockets were emptied after that. It does not count when we
ourselves were not at it in the meantime (a stall): then the silence may be ours. An answer that comes late still
takes back the misses up to its probe, since the host was there to answer it.
"""

import heapq
import itertools
from collections import deque
from collections.abc import Iterable, Iterator
from enum import StrEnum

import msgspec

from doctor.drivers.monitors.ping.addresses import Address

CANARY_PREFIX = "\x1f"  # of no host: a canary may be called like one
SHORTEST_STALL = 0.02
LONGEST_STALL = 0.25
# Stalls excuse that many times ``misses`` probes in a row. One who never gets to run must not be blind for ever.
EXCUSES = 10
MOST_SENT = 32  # probes of an address on their way; of older ones nobody remembers when they were sent


class Status(StrEnum):
    """What was last said of a host."""

    UNKNOWN = "unknown"
    UP = "up"
    DOWN = "down"


class Rule(msgspec.Struct, frozen=True):
    """How closely a host is watched; times in seconds."""

    interval: float
    timeout: float
    misses: int
    recover: int
    start_grace: float

    @property
    def stall(self) -> float:
        """Return the lateness of our own from which on silence proves nothing."""
        return min(max(self.interval / 2, SHORTEST_STALL), LONGEST_STALL)


class Host:
    """What is known of one host, or of a canary. ``silent_since`` is our estimate of when it went down."""

    __slots__ = ("is_canary", "name", "paths", "rule", "silent_since", "since", "status")

    def __init__(self, name: str, rule: Rule, since: float, *, is_canary: bool = False) -> None:
        self.name = name
        self.is_canary = is_canary
        self.rule = rule
        self.since = since
        self.paths: dict[Address, Path] = {}
        self.status = Status.UNKNOWN
        self.silent_since: float | None = None

    @property
    def heard(self) -> float | None:
        """Return when the last answer came, from any of the addresses."""
        return max((path.heard for path in self.paths.values() if path.heard is not None), default=None)

    def was_seen(self, begin: float, end: float) -> bool:
        """Tell whether one of the last two probes with an answer was sent in this time: then we could see."""
        return any(begin < when <= end for path in self.paths.values() for when in path.seen)

    @property
    def missed_from(self) -> float:
        """Return when, of a silent host, the time of the first probe was over that had no answer at any address."""
        return max(path.missed[0][1] for path in self.paths.values())

    @property
    def missed_until(self) -> float:
        """Return when, of a silent host, the last probe was sent that had no answer."""
        return min(path.missed[-1][1] for path in self.paths.values()) - self.rule.timeout

    @property
    def is_silent(self) -> bool:
        """Tell whether no address answers any more."""
        return bool(self.paths) and all(len(path.missed) >= self.rule.misses for path in self.paths.values())

    @property
    def is_answering(self) -> bool:
        """Tell whether an address answers steadily."""
        return any(
            path.streak >= self.rule.recover and len(path.missed) < self.rule.misses
            for path in self.paths.values()
        )


class Path:
    """One address of a host, with what was asked and answered there.

    ``key`` is random and goes with every probe: who does not know it cannot answer. Probes are numbered from 1.
    ``missed`` has the last misses after the last answer with when their time was over, no more of them than the rule asks
    for; ``gap`` is the first. ``sent`` has the probes without an answer yet with when they were sent; ``seen`` is when the
    newest two were sent that have one.
    """

    __slots__ = (
        "address",
        "answered",
        "asked",
        "excused",
        "gap",
        "heard",
        "host",
        "key",
        "missed",
        "seen",
        "sent",
        "streak",
    )

    def __init__(self, host: Host, address: Address, key: bytes) -> None:
        self.host = host
        self.address = address
        self.key = key
        self.asked = 0
        self.answered = 0
        self.missed: list[tuple[int, float]] = []
        self.sent: deque[tuple[int, float]] = deque(maxlen=MOST_SENT)
        self.seen: tuple[float, ...] = ()
        self.gap: int | None = None
        self.streak = 0
        self.excused = 0
        self.heard: float | None = None

    def next_number(self) -> int:
        """Return the number for a new probe."""
        self.asked += 1
        return self.asked


class Change(msgspec.Struct, frozen=True):
    """A host is down, or up, or a canary is. ``heard`` is its last answer.

    ``silent_for`` is how long there was none before an up. ``missed`` is the time before a down in which whoever heard us
    was heard by us: from when the time of the first probe was over that had no answer, until the last one was sent.
    """

    host: str
    status: Status
    rule: Rule
    addresses: tuple[str, ...]
    heard: float | None
    silent_for: float | None = None
    missed: tuple[float, float] | None = None
    is_canary: bool = False


class Judge:
    """The judge of all hosts."""

    def __init__(self) -> None:
        self.hosts: dict[str, Host] = {}
        self.paths: dict[bytes, Path] = {}
        self._open: list[tuple[float, int, int, Path]] = []  # a heap of deadline, serial, number, path
        self._serials = itertools.count()
        self._stirred: dict[
            str, None
        ] = {}  # hosts to look at, in the order in which something happened to them

    def watch(self, name: str, rule: Rule, now: float, *, is_canary: bool = False) -> Host:
        """Begin to watch a host, or go on by another rule; what is known of it stays."""
        host = self.hosts.get(name)
        if host is None:
            host = self.hosts[name] = Host(name, rule, now, is_canary=is_canary)
        elif host.rule != rule:
            host.rule = rule
            self._stirred[name] = None
        return host

    def add(self, host: Host, address: Address, key: bytes) -> Path:
        """Begin to watch an address of a host."""
        path = host.paths[address] = self.paths[key] = Path(host, address, key)
        return path

    def remove(self, path: Path) -> None:
        """Watch an address no longer; a host without any is forgotten."""
        del path.host.paths[path.address], self.paths[path.key]
        self._stirred[path.host.name] = None
        if not path.host.paths:
            del self.hosts[path.host.name]

    def next_deadline(self) -> float | None:
        """Return when the time of a probe is over next that has no answer yet."""
        while self._open and self._open[0][2] <= self._open[0][3].answered:
            heapq.heappop(self._open)
        return self._open[0][0] if self._open else None

    def asked(self, path: Path, number: int, at: float) -> None:
        """Take note that a probe is on its way. One that could not be sent for reasons of our own is none."""
        path.sent.append((number, at))
        heapq.heappush(self._open, (at + path.host.rule.timeout, next(self._serials), number, path))

    def answered(self, key: bytes, source: str, number: int, at: float) -> None:
        """Take note of an answer; ``number`` may be only the lower 16 bits of it.

        Ignored are answers to what was not asked: of a stranger, from another address, or come twice.
        """
        path = self.paths.get(key)
        if path is None or path.address.text != source:
            return
        number = path.asked - ((path.asked - number) & 0xFFFF)
        if number <= path.answered:
            return
        in_a_row = path.gap is None or path.gap >= number
        path.streak = path.streak + 1 if in_a_row else 1
        path.answered = number
        if path.missed:
            path.missed = [missed for missed in path.missed if missed[0] > number]
            path.gap = path.missed[0][0] if path.missed else None
        while path.sent and path.sent[0][0] <= number:
            sent, when = path.sent.popleft()
            if sent == number:
                path.seen = (*path.seen[-1:], when)
        path.excused = 0
        path.heard = at
        if path.host.status is not Status.UP:
            self._stirred[path.host.name] = None

    def stalled(self, lag: float) -> None:
        """Excuse the open probes: we come ``lag`` seconds late. What can be read was read before this is told."""
        if lag <= SHORTEST_STALL:
            return
        kept = [probe for probe in self._open if not self._excuse(probe[3], probe[2], lag)]
        heapq.heapify(kept)
        self._open = kept

    def _excuse(self, path: Path, number: int, lag: float) -> bool:
        rule = path.host.rule
        if lag <= rule.stall or number <= path.answered or path.excused >= EXCUSES * rule.misses:
            return False
        path.excused += 1
        return True

    def expire(self, drained: float) -> None:
        """Count the misses up to the time at which the sockets were emptied."""
        while self._open and self._open[0][0] <= drained:
            deadline, _, number, path = heapq.heappop(self._open)
            if (
                number > path.answered
                and path.key in self.paths
                and not self._is_in_grace(path.host, deadline)
            ):
                path.gap = path.gap or number
                path.missed.append((number, deadline))
                del path.missed[: -path.host.rule.misses]
                self._stirred[path.host.name] = None

    def _is_in_grace(self, host: Host, deadline: float) -> bool:
        asked = deadline - host.rule.timeout
        return host.status is Status.UNKNOWN and asked < host.since + host.rule.start_grace

    @property
    def stirred(self) -> Iterable[str]:
        """Return the hosts to which something has happened since changes were asked for."""
        return self._stirred

    def changes(self) -> Iterator[Change]:
        """Give the hosts that changed, one by one; who stops asking gets the others the next time, as they are then."""
        while self._stirred:
            name = next(iter(self._stirred))
            del self._stirred[name]
            host = self.hosts.get(name)
            if host is None:
                continue
            if host.status is not Status.DOWN and host.is_silent:
                yield self._down(host)
            elif host.status is not Status.UP and host.is_answering:
                yield self._up(host)

    def _down(self, host: Host) -> Change:
        host.status = Status.DOWN
        host.silent_since = host.since if host.heard is None else host.heard
        for path in host.paths.values():
            path.streak = 0
        return Change(
            host.name,
            host.status,
            host.rule,
            texts(host.paths),
            host.heard,
            missed=(host.missed_from, host.missed_until),
            is_canary=host.is_canary,
        )

    def _up(self, host: Host) -> Change:
        heard, silent_since = host.heard, host.silent_since
        silent_for = None if heard is None or silent_since is None else heard - silent_since
        host.status, host.silent_since = Status.UP, None
        return Change(
            host.name,
            host.status,
            host.rule,
            texts(host.paths),
            heard,
            silent_for,
            is_canary=host.is_canary,
        )


def texts(addresses: Iterable[Address]) -> tuple[str, ...]:
    """Return addresses as they are written."""
    return tuple(address.text for address in addresses)
