"""Probing in virtual time, over a network of which every answer is known."""

import errno
import heapq
import itertools
import random
import socket
from collections import defaultdict

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import Change, Path, Rule, Status
from doctor.drivers.monitors.ping.probing import Answer
from doctor.drivers.monitors.ping.rounds import Rounds, Watched
from doctor.drivers.monitors.ping.settings import Method

INTERVAL = 0.1
RULE = Rule(interval=INTERVAL, timeout=0.025, misses=3, recover=2, start_grace=1.0)
NEVER = float("inf")


def address(number: int) -> Address:
    return Address(socket.AF_INET, f"198.18.{number // 256}.{number % 256}")


def watched(*numbers: int, rule: Rule = RULE) -> Watched:
    return Watched(rule, frozenset(address(number) for number in numbers))


class Network:
    """Hosts that answer after a while, until they are cut off; it is a prober as well."""

    method = Method.RAW

    def __init__(self, round_trip: float = 0.002) -> None:
        self.round_trip = round_trip
        self.cut_at: dict[str, float] = defaultdict(lambda: NEVER)
        self.trouble: int | None = None
        self.is_flooded = False
        self.sent: list[tuple[float, str]] = []
        self._answers: list[tuple[float, int, Answer]] = []
        self._serials = itertools.count()

    def prepare(self, family: int) -> None:
        pass

    def send(self, path: Path, number: int, now: float) -> None:
        if self.trouble is not None:
            raise OSError(self.trouble, "as the test wants it")
        where = path.address.text
        self.sent.append((now, where))
        if now < self.cut_at[where]:
            answer = Answer(path.key, where, number & 0xFFFF)
            heapq.heappush(self._answers, (now + self.round_trip, next(self._serials), answer))

    def drain(self, now: float) -> tuple[list[Answer], bool]:
        come = []
        while self._answers and self._answers[0][0] <= now:
            come.append(heapq.heappop(self._answers)[2])
        return come, not self.is_flooded

    def close(self) -> None:
        pass


class Run:
    """Rounds driven by a clock of our own, which may be late by what `lags` says."""

    def __init__(
        self, network: Network, *, late: random.Random | None = None, longest_lag: float = 0.0
    ) -> None:
        self.rounds = Rounds(network)
        self.now = 0.0
        self.ticks = 0
        self.said: list[tuple[float, Change]] = []
        self._late = late
        self._longest_lag = longest_lag

    def until(self, end: float) -> None:
        while self.now < end:
            wanted = max(self.rounds.next_time(self.now), self.now)
            lag = self._lag()
            self.now = wanted + lag
            self.ticks += 1
            self.rounds.advance(self.now, lag)
            self.said += [(self.now, change) for change in self.rounds.changes()]

    def _lag(self) -> float:
        if self._late is None or self._late.random() > 0.05:
            return 0.0
        return self._late.uniform(0.0, self._longest_lag)

    def statuses(self, host: str) -> list[Status]:
        return [change.status for _, change in self.said if change.host == host]


def test_a_host_that_is_cut_off_is_down_in_time_and_nobody_else() -> None:
    network = Network()
    run = Run(network)
    run.rounds.watch({f"c{number}": watched(number) for number in range(100)}, 0.0)
    network.cut_at[address(7).text] = 1.0

    run.until(2.0)

    downs = [(at, change.host) for at, change in run.said if change.status is Status.DOWN]
    assert [host for _, host in downs] == ["c7"]
    assert 0.225 <= downs[0][0] - 1.0 <= 0.335
    assert sum(change.status is Status.UP for _, change in run.said) == 100


def test_probes_are_spread_and_there_are_no_more_than_asked_for() -> None:
    network = Network()
    run = Run(network)
    run.rounds.watch({f"c{number}": watched(number) for number in range(500)}, 0.0)

    run.until(2.0)

    per_tick: dict[float, int] = defaultdict(int)
    for at, _ in network.sent:
        per_tick[at] += 1
    assert len(network.sent) == pytest.approx(500 * 20, rel=0.06)
    assert max(per_tick.values()) <= 500 / 10 + 10
    assert run.ticks <= 201


def test_few_hosts_cost_few_ticks() -> None:
    slow = Rule(interval=10.0, timeout=1.0, misses=3, recover=2, start_grace=1.0)
    run = Run(Network())
    run.rounds.watch({"c1": watched(1, rule=slow)}, 0.0)

    run.until(100.0)

    assert run.ticks < 100 * 4 + 10 * 3


@given(seed=st.integers(0, 2**32), longest_lag=st.sampled_from([0.02, 0.1, 0.5, 2.0]))
def test_who_answers_is_never_down_however_busy_we_are(seed: int, longest_lag: float) -> None:
    network = Network(round_trip=0.015)
    run = Run(network, late=random.Random(seed), longest_lag=longest_lag)
    run.rounds.watch({f"c{number}": watched(number) for number in range(5)}, 0.0)

    run.until(10.0)

    assert {change.status for _, change in run.said} == {Status.UP}


@given(
    seed=st.integers(0, 2**32), cut_at=st.floats(0.0, 5.0), longest_lag=st.sampled_from([0.0, 0.02, 0.1, 0.5])
)
def test_who_is_cut_off_is_down_however_busy_we_are(seed: int, cut_at: float, longest_lag: float) -> None:
    network = Network()
    network.cut_at[address(1).text] = cut_at
    run = Run(network, late=random.Random(seed), longest_lag=longest_lag)
    run.rounds.watch({"c1": watched(1), "c2": watched(2)}, 0.0)

    run.until(20.0)

    assert run.statuses("c1")[-1:] == [Status.DOWN]
    assert run.statuses("c2") == [Status.UP]


@pytest.mark.parametrize(
    ("trouble", "statuses"),
    [
        pytest.param(errno.ENOBUFS, [], id="no-buffer-is-our-trouble"),
        pytest.param(errno.EAGAIN, [], id="not-now-is-our-trouble"),
        pytest.param(errno.EPERM, [], id="a-local-firewall-is-our-trouble"),
        pytest.param(errno.EHOSTUNREACH, [Status.DOWN], id="host-unreachable-is-news"),
        pytest.param(errno.ENETUNREACH, [Status.DOWN], id="network-unreachable-is-news"),
        pytest.param(errno.ENETDOWN, [Status.DOWN], id="network-down-is-news"),
    ],
)
def test_what_a_failure_to_send_says(trouble: int, statuses: list[Status]) -> None:
    network = Network()
    run = Run(network)
    run.rounds.watch({"c1": watched(1)}, 0.0)
    run.until(2.0)
    network.trouble = trouble

    run.until(10.0)

    assert run.statuses("c1") == [Status.UP, *statuses]


def test_nothing_is_judged_while_more_is_to_be_read() -> None:
    network = Network()
    run = Run(network)
    run.rounds.watch({"c1": watched(1)}, 0.0)
    network.cut_at[address(1).text] = 1.0
    network.is_flooded = True
    run.until(3.0)
    assert run.statuses("c1") == [Status.UP]

    network.is_flooded = False
    run.until(3.1)

    assert run.statuses("c1") == [Status.UP, Status.DOWN]


def test_hosts_that_stay_keep_their_state_when_the_map_changes() -> None:
    network = Network()
    network.cut_at[address(1).text] = 1.0
    run = Run(network)
    run.rounds.watch({"dead": watched(1), "alive": watched(2), "goes": watched(3)}, 0.0)
    run.until(3.0)
    run.said.clear()
    network.sent.clear()

    run.rounds.watch({"dead": watched(1), "alive": watched(2, 5), "comes": watched(4)}, run.now)
    run.until(5.0)

    assert [(change.host, change.status) for _, change in run.said] == [("comes", Status.UP)]
    assert {where for _, where in network.sent} == {address(number).text for number in (1, 2, 4, 5)}


def test_a_host_that_comes_back_into_the_map_is_a_new_one() -> None:
    run = Run(Network())
    run.rounds.watch({"c1": watched(1)}, 0.0)
    run.until(1.0)
    run.rounds.watch({}, run.now)
    run.until(2.0)
    run.rounds.watch({"c1": watched(1)}, run.now)
    run.until(3.0)

    assert run.statuses("c1") == [Status.UP, Status.UP]


def test_another_address_is_asked_instead() -> None:
    network = Network()
    run = Run(network)
    run.rounds.watch({"c1": watched(1)}, 0.0)
    run.until(1.0)
    network.cut_at[address(1).text] = 1.0

    run.rounds.watch({"c1": watched(2)}, run.now)
    run.until(3.0)

    assert run.statuses("c1") == [Status.UP]


def test_another_interval_is_kept_from_then_on() -> None:
    network = Network()
    run = Run(network)
    run.rounds.watch({"c1": watched(1)}, 0.0)
    run.until(1.0)
    network.sent.clear()

    fast = Rule(interval=0.02, timeout=0.01, misses=3, recover=2, start_grace=1.0)
    run.rounds.watch({"c1": watched(1, rule=fast)}, run.now)
    run.until(2.0)

    assert len(network.sent) == pytest.approx(50, abs=5)
    assert run.statuses("c1") == [Status.UP]
