"""One turn after the other: read the answers, judge, ask those whose turn it is.

Times come in, changes go out. What is decided is decided in `judging` and `schedule`; here they meet the prober.
"""

from collections.abc import Collection, Iterator, Mapping

import msgspec
import structlog

from doctor.drivers.monitors.ping import icmp
from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import CANARY_PREFIX, Change, Host, Judge, Path, Rule
from doctor.drivers.monitors.ping.probing import ABOUT_TARGET, Prober
from doctor.drivers.monitors.ping.schedule import Schedule

SHORTEST_TICK = 0.001
LONGEST_TICK = 0.01
TICKS_PER_INTERVAL = 10
IDLE = 0.25

log = structlog.get_logger()


class Watched(msgspec.Struct, frozen=True):
    """How one host, or one canary, is watched, with addresses that can be used."""

    rule: Rule
    addresses: frozenset[Address]
    is_canary: bool = False


class Rounds:
    """The probing of all hosts."""

    def __init__(self, prober: Prober) -> None:
        self._prober = prober
        self._judge = Judge()
        self._schedule = Schedule()
        self._tick = LONGEST_TICK
        self._troubles: set[int] = set()
        self._is_flooded = False

    def watch(self, hosts: Mapping[str, Watched], now: float) -> None:
        """Watch these hosts and no others; those that stay keep their state."""
        for name in [name for name in self._judge.hosts if name not in hosts]:
            self._forget(self._judge.hosts[name], keep=frozenset())
        for name, watched in hosts.items():
            self._watch(name, watched, now)
        shortest = min((watched.rule.interval for watched in hosts.values()), default=1.0)
        self._tick = min(max(shortest / TICKS_PER_INTERVAL, SHORTEST_TICK), LONGEST_TICK)

    def _watch(self, name: str, watched: Watched, now: float) -> None:
        known = self._judge.hosts.get(name)
        is_slower_or_faster = known is not None and known.rule.interval != watched.rule.interval
        host = self._judge.watch(name, watched.rule, now, is_canary=watched.is_canary)
        if is_slower_or_faster:
            for path in host.paths.values():
                self._schedule.add(path, now)
        for address in sorted(watched.addresses - host.paths.keys(), key=lambda address: address.text):
            path = self._judge.add(host, address, icmp.new_key())
            self._schedule.add(path, now)
        self._forget(host, keep=watched.addresses)

    def _forget(self, host: Host, *, keep: frozenset[Address]) -> None:
        for path in [path for path in host.paths.values() if path.address not in keep]:
            self._schedule.remove(path)
            self._judge.remove(path)

    @property
    def hosts(self) -> Collection[Host]:
        """Return what is known of all that are watched."""
        return self._judge.hosts.values()

    def prepare(self, family: int) -> None:
        """Get ready for addresses of this family.

        Raises:
            OSError: this is not possible here.
        """
        self._prober.prepare(family)

    def close(self) -> None:
        """Give the sockets back."""
        self._prober.close()

    def advance(self, now: float, lag: float) -> None:
        """Read, judge, ask. ``lag`` is how many seconds later than wanted we come."""
        answers, is_all = self._prober.drain(now)
        for answer in answers:
            self._judge.answered(answer.key, answer.source, answer.number, now)
        self._judge.stalled(lag)
        if is_all:
            self._judge.expire(now)
        elif not self._is_flooded:
            self._is_flooded = True
            log.warning("ping.flooded", answers=len(answers))
        for path in self._schedule.due(now):
            self._ask(path, now)

    def _ask(self, path: Path, now: float) -> None:
        number = path.next_number()
        try:
            self._prober.send(path, number, now)
        except OSError as error:
            if error.errno not in ABOUT_TARGET:
                self._complain(error, path)
                return
        self._judge.asked(path, number, now)

    def _complain(self, error: OSError, path: Path) -> None:
        """Log each kind of trouble once: it comes with every probe, many times a second."""
        if error.errno is not None and error.errno not in self._troubles:
            self._troubles.add(error.errno)
            log.warning(
                "ping.not_sent",
                host=path.host.name.removeprefix(CANARY_PREFIX),
                address=path.address.text,
                error=str(error),
            )

    def changes(self) -> Iterator[Change]:
        """Give the hosts that changed; who stops asking gets the others the next time, as they are then."""
        return self._judge.changes()

    def next_time(self, now: float) -> float:
        """Return when to advance next: when something is due, but not more often than a tick allows.

        While an answer is awaited it is no later than the longest tick, so that a stall is noticed as one.
        """
        times = [now + IDLE]
        if (turn := self._schedule.next_turn) is not None:
            times.append(turn)
        if (deadline := self._judge.next_deadline()) is not None:
            times += [deadline, now + LONGEST_TICK]
        return max(min(times), now + self._tick)
