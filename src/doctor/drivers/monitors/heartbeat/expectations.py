"""Heartbeats that have to come: each one that does is the answer to one that was expected, and says when to expect the next.

So they are judged as probes are (`ping.judging`): one that has not come when its time is over is missed, unless we ourselves
were not at it; enough of them in a row on all networks of a host, and it is silent. Times come in, changes go out.
"""

import heapq
import itertools
import socket
from collections.abc import Collection, Iterator

from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import Change, Host, Judge, Path, Rule, Status
from doctor.drivers.monitors.ping.schedule import following

SHORTEST_TICK = 0.001
LONGEST_TICK = 0.01
TICKS_PER_INTERVAL = 10
IDLE = 0.25
NO_NETWORK = ""  # of a host that is expected and was never heard


class Expectations:
    """The heartbeats of all hosts. `suspects` are the hosts that have missed one on all their networks, and are not silent."""

    def __init__(self) -> None:
        self.suspects: set[str] = set()
        self._judge = Judge()
        self._turns: list[
            tuple[float, int, Path, int]
        ] = []  # a heap of when, serial, path, number of the one before
        self._serials = itertools.count()
        self._paths: dict[str, dict[str, Path]] = {}

    @property
    def hosts(self) -> Collection[Host]:
        """Return what is known of all from whom something is expected."""
        return self._judge.hosts.values()

    def knows(self, host: str) -> bool:
        """Tell whether heartbeats of a host are expected."""
        return host in self._paths

    def rule_of(self, host: str) -> Rule | None:
        """Return the rule by which a host is judged."""
        known = self._judge.hosts.get(host)
        return None if known is None else known.rule

    def is_heard(self, host: str) -> bool:
        """Tell whether the heartbeats of a host come, all of them."""
        known = self._judge.hosts.get(host)
        return known is not None and known.status is Status.UP and host not in self.suspects

    def expect(self, host: str, rule: Rule, now: float) -> None:
        """Begin to expect a host that was not heard yet."""
        if host not in self._paths:
            self._ask(self._path(host, NO_NETWORK, rule, now), now)

    def heard(self, host: str, network: str, rule: Rule, now: float, *, is_anew: bool = False) -> None:
        """Take note of a heartbeat, and expect the next by this rule.

        With ``is_anew`` nothing is expected any more on the networks of before: what the agent uses now it will say.
        """
        path = self._paths.get(host, {}).get(network)
        if path is None:
            path = self._path(host, network, rule, now)
            self._ask(path, now)
        elif path.host.rule is not rule:
            self._judge.watch(host, rule, now)
        self._judge.answered(path.key, network, path.asked & 0xFFFF, now)
        self._ask(path, now)
        self.suspects.discard(host)
        if is_anew:
            paths = self._paths[host]
            for other in [other for other in paths if other != network]:
                self._judge.remove(paths.pop(other))

    def forget(self, host: str) -> None:
        """Expect nothing of a host any more."""
        for path in self._paths.pop(host, {}).values():
            self._judge.remove(path)
        self.suspects.discard(host)

    def _path(self, host: str, network: str, rule: Rule, now: float) -> Path:
        key = f"{host}\0{network}".encode()
        path = self._judge.add(self._judge.watch(host, rule, now), Address(socket.AF_UNSPEC, network), key)
        paths = self._paths.setdefault(host, {})
        paths[network] = path
        if network != NO_NETWORK and NO_NETWORK in paths:
            self._judge.remove(paths.pop(NO_NETWORK))
        return path

    def _ask(self, path: Path, at: float) -> None:
        number = path.next_number()
        self._judge.asked(path, number, at)
        turn = at + path.host.rule.interval
        heapq.heappush(self._turns, (turn, next(self._serials), path, number))

    def advance(self, now: float, lag: float, *, is_all: bool) -> None:
        """Count what has not come, and expect the next. ``lag`` is how late we come, ``is_all`` whether all was read."""
        self._judge.stalled(lag)
        if is_all:
            self._judge.expire(now)
            for name in self._judge.stirred:
                host = self._judge.hosts.get(name)
                if host is not None and all(path.missed for path in host.paths.values()):
                    self.suspects.add(name)
        while self._turns and self._turns[0][0] <= now:
            when, _, path, number = heapq.heappop(self._turns)
            if path.asked == number and self._judge.paths.get(path.key) is path:
                interval = path.host.rule.interval
                self._ask(
                    path, when if now - when < interval / 2 else following(when, interval, now) - interval
                )

    def changes(self) -> Iterator[Change]:
        """Give the hosts that changed; who stops asking gets the others the next time, as they are then."""
        return self._judge.changes()

    def next_time(self, now: float) -> float:
        """Return when to advance next: when something is due, but not more often than a tick allows."""
        times = [now + IDLE]
        tick = LONGEST_TICK
        if self._turns:
            times += [self._turns[0][0], now + LONGEST_TICK]
            tick = max(self._turns[0][2].host.rule.interval / TICKS_PER_INTERVAL, SHORTEST_TICK)
        if (deadline := self._judge.next_deadline()) is not None:
            times.append(deadline)
        return max(min(times), now + min(tick, LONGEST_TICK))
