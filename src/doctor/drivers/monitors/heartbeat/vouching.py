"""Who could hear a host if it were there: peers are asked about hosts that are well, too, now and then.

Agents may be unable to reach each other's addresses although Doctor reaches them all. So a peer that hears nothing of a host is
believed only if it has heard it at that address shortly before. In come who was asked and what they answered, with times of
the monotonic clock; out goes who is to be tried, and whose silence counts.
"""

import heapq
import random
from collections.abc import Callable, Collection

from doctor.drivers.monitors.heartbeat.peers import ON_THE_WAY, Voucher

TRY_EVERY = 30.0  # seconds: each of those who may be asked about a host
TRY_SOON = 5.0  # where too few could hear it yet
TRY_SELDOM = 60.0  # where that stays so
FIRST_WITHIN = 2.0  # so that not all hosts are tried at once
LOOK_EVERY = 1.0  # whether a host is well
AFTER_DOUBT = 1.0  # a peer that heard a host before, and does not now
HOLDS_FOR = 100.0  # seconds: three trials, of which one may be lost
MOST_AT_ONCE = 10  # hosts
SOME = 0.1  # of a wait, by which it is longer or shorter


class Trial:
    """A question about a host that is well."""

    __slots__ = ("host", "until", "voucher")

    def __init__(self, host: str, voucher: Voucher, until: float) -> None:
        self.host = host
        self.voucher = voucher
        self.until = until


class Vouching:
    """Who has heard whom lately. ``count`` peers are wanted for each host."""

    def __init__(self, count: int, rng: random.Random) -> None:
        self._count = count
        self._random = rng
        self._heard: dict[str, dict[Voucher, float]] = {}
        self._doubted: dict[str, set[Voucher]] = {}
        self._trials: dict[int, Trial] = {}
        self._waits: dict[str, float] = {}
        self._next: dict[str, float] = {}
        self._turns: list[tuple[float, str]] = []  # a heap of when, host; only those of `_next` count

    def expect(self, hosts: Collection[str], now: float) -> None:
        """Try these hosts from now on, and no others."""
        for gone in self._next.keys() - set(hosts):
            del self._next[gone]
            self._heard.pop(gone, None)
            self._doubted.pop(gone, None)
            self._waits.pop(gone, None)
        for host in sorted(set(hosts) - self._next.keys()):
            self._plan(host, now + self._random.uniform(0.0, FIRST_WITHIN))

    def due(self, now: float, is_well: Callable[[str], bool]) -> list[str]:
        """Return the hosts about which peers are to be asked now, although nothing is wrong with them."""
        self._drop_late(now)
        found = list[str]()
        while self._turns and self._turns[0][0] <= now and len(found) < MOST_AT_ONCE:
            when, host = heapq.heappop(self._turns)
            if self._next.get(host) != when:
                continue
            doubted = self._doubted.pop(host, set())
            wait = LOOK_EVERY
            if is_well(host):
                for voucher in doubted:
                    self._heard.get(host, {}).pop(voucher, None)
                found.append(host)
                wait = self._wait(host, now)
            self._plan(host, now + wait * self._random.uniform(1.0 - SOME, 1.0 + SOME))
        return found

    def begin(self, host: str, voucher: Voucher, now: float, within: float) -> int:
        """Take note that a peer is asked about a host that is well; return the number of the question."""
        number = random.getrandbits(63)
        self._trials[number] = Trial(host, voucher, now + within + ON_THE_WAY)
        return number

    def answered(self, peer: str, number: int, now: float, *, is_heard: bool) -> bool:
        """Take note of an answer; return whether it was one to a trial.

        A peer that hears nothing is deaf, or the host has just died: that shows when it is the host's turn again, soon.
        """
        trial = self._trials.get(number)
        if trial is None or trial.voucher.peer != peer:
            return False
        del self._trials[number]
        if is_heard:
            self._heard.setdefault(trial.host, {})[trial.voucher] = now
        elif trial.voucher in self._heard.get(trial.host, {}):
            self._doubted.setdefault(trial.host, set()).add(trial.voucher)
            self._plan(trial.host, now + AFTER_DOUBT)
        return True

    def able(self, host: str, at: float) -> set[Voucher]:
        """Return who had heard a host shortly before, and where."""
        heard = self._heard.get(host, {})
        for old in [voucher for voucher, when in heard.items() if when < at - HOLDS_FOR]:
            del heard[old]
        return set(heard)

    def _wait(self, host: str, now: float) -> float:
        """Return the seconds until a host is tried again: soon if too few hear it, and less and less often if that stays so."""
        if len(self.able(host, now)) >= self._count:
            self._waits.pop(host, None)
            return TRY_EVERY
        wait = self._waits.get(host, TRY_SOON)
        self._waits[host] = min(2 * wait, TRY_SELDOM)
        return wait

    def _plan(self, host: str, when: float) -> None:
        self._next[host] = when
        heapq.heappush(self._turns, (when, host))

    def _drop_late(self, now: float) -> None:
        """Forget the trials to which nobody has answered: that is no answer."""
        while self._trials:
            number = next(iter(self._trials))
            if self._trials[number].until > now:
                return
            del self._trials[number]
