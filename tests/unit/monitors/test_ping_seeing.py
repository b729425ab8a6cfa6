"""What a monitor saw while a host fell silent: proof that it could hear, or none."""

import random
import socket

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import Change, Host, Judge, Path, Rule, Status
from doctor.drivers.monitors.ping.rounds import Watched
from doctor.drivers.monitors.ping.seeing import PATIENCE, Doubt, returns_in, settles_in, sight
from doctor.model.vantage import Sight
from tests.unit.monitors.test_ping_rounds import RULE, Network, Run, address, watched

VANTAGE = "ping"


class Watch(Run):
    """Rounds that say, with each host that falls silent, what was seen meanwhile."""

    def __init__(self, network: Network, hosts: int, canaries: int, **more: object) -> None:
        super().__init__(network, **more)  # type: ignore[arg-type]
        self.seen: list[tuple[float, str, Sight]] = []
        self.rounds.watch(
            {f"c{number}": watched(number) for number in range(hosts)}
            | {
                f"canary-{number}": Watched(RULE, frozenset({address(5000 + number)}), is_canary=True)
                for number in range(canaries)
            },
            0.0,
        )

    def until(self, end: float) -> None:
        while self.now < end:
            wanted = max(self.rounds.next_time(self.now), self.now)
            lag = self._lag()
            self.now = wanted + lag
            self.rounds.advance(self.now, lag)
            for change in list(self.rounds.changes()):
                if change.missed is not None and not change.is_canary:
                    seen = sight(self.rounds.hosts, *change.missed, vantage=VANTAGE)
                    self.seen.append((self.now, change.host, seen))


def cut(network: Network, at: float, hosts: range, canaries: range = range(0)) -> None:
    for number in (*hosts, *(5000 + one for one in canaries)):
        network.cut_at[address(number).text] = at


@given(
    seed=st.integers(0, 2**32),
    hosts=st.integers(1, 30),
    canaries=st.integers(0, 3),
    moment=st.floats(1.0, 1.3),
    round_trip=st.sampled_from([0.0, 0.002, 0.02]),
    longest_lag=st.sampled_from([0.0, 0.02, 0.1, 0.5, 2.0]),
)
@settings(deadline=None)
def test_who_is_cut_off_never_sees_clearly(
    seed: int, hosts: int, canaries: int, moment: float, round_trip: float, longest_lag: float
) -> None:
    """[I-13] Wherever the hosts are in their turns, and however busy we are."""
    network = Network(round_trip)
    run = Watch(network, hosts, canaries, late=random.Random(seed), longest_lag=longest_lag)
    cut(network, moment, range(hosts), range(canaries))
    run.until(moment + 5.0 + 5 * longest_lag)  # each round may be that late
    assert {host for _, host, _ in run.seen} == {f"c{number}" for number in range(hosts)}
    for _, host, seen in run.seen:
        assert (seen.hosts_heard, seen.canaries_heard) == (0, 0), (host, seen)


@pytest.mark.parametrize("canaries", [0, 1, 3])
@pytest.mark.parametrize("hosts", [2, 3, 40])
@pytest.mark.parametrize("tenth", range(10))
def test_who_is_not_sees_clearly_when_a_host_dies(hosts: int, canaries: int, tenth: int) -> None:
    network = Network()
    run = Watch(network, hosts, canaries)
    cut(network, 1.0 + tenth / 100, range(1))
    run.until(3.0)
    ((_, host, seen),) = run.seen
    assert host == "c0"
    assert seen == Sight(
        vantage=VANTAGE, hosts=hosts, hosts_heard=hosts - 1, canaries=canaries, canaries_heard=canaries
    )
    assert seen.is_clear


def test_with_a_canary_all_hosts_may_die() -> None:
    network = Network()
    run = Watch(network, 10, 1)
    cut(network, 1.0, range(10))
    run.until(3.0)
    assert len(run.seen) == 10
    assert all(seen.is_clear for _, _, seen in run.seen)


def test_one_that_is_long_dead_is_no_witness() -> None:
    network = Network()
    run = Watch(network, 4, 1)
    cut(network, 1.0, range(1, 4), range(1))
    cut(network, 5.0, range(1))
    run.until(7.0)
    assert run.seen[-1][1:] == ("c0", Sight(vantage=VANTAGE, hosts=1))


def test_one_that_was_never_there_is_no_witness() -> None:
    network = Network()
    cut(network, 0.0, range(1, 4), range(1))
    run = Watch(network, 4, 1)
    cut(network, 5.0, range(1))
    run.until(7.0)
    assert run.seen[-1][1:] == ("c0", Sight(vantage=VANTAGE, hosts=1))


# --- in figures ---


def rule(interval: float = 0.1, misses: int = 3, recover: int = 2) -> Rule:
    return Rule(interval=interval, timeout=interval / 4, misses=misses, recover=recover, start_grace=0.0)


def test_everything_is_settled_when_the_slowest_witness_is_found_silent() -> None:
    assert settles_in(rule(), [rule()]) == pytest.approx(0.2 + 0.225 + PATIENCE)
    assert settles_in(rule(), [rule(), rule(1.0)]) == pytest.approx(4.25 - 0.225 + 0.225 + PATIENCE)
    assert settles_in(rule(10.0), [rule()]) == pytest.approx(returns_in(rule(10.0)) + PATIENCE)
    assert settles_in(rule(), []) == pytest.approx(returns_in(rule()) + PATIENCE)


def host_with(*times: float, status: Status = Status.UP) -> Host:
    """Return a host whose probes at these times were answered."""
    judge = Judge()
    host = judge.watch("c1", rule(), 0.0)
    path: Path = judge.add(host, Address(socket.AF_INET, "198.18.0.1"), b"key")
    for when in times:
        number = path.next_number()
        judge.asked(path, number, when)
        judge.answered(path.key, path.address.text, number, when)
    host.status = status
    return host


@pytest.mark.parametrize(
    ("begin", "end", "heard"),
    [
        pytest.param(0.0, 1.0, 1, id="between"),
        pytest.param(0.2, 0.4, 1, id="the-last"),
        pytest.param(0.3, 0.4, 0, id="the-last-is-the-beginning"),
        pytest.param(0.1, 0.25, 1, id="the-one-before"),
        pytest.param(0.0, 0.1, 0, id="before-that-nobody-remembers"),
        pytest.param(0.5, 0.4, 0, id="no-time-at-all"),
    ],
)
def test_the_last_two_answers_count(begin: float, end: float, heard: int) -> None:
    seen = sight([host_with(0.1, 0.2, 0.3)], begin, end, vantage=VANTAGE)
    assert (seen.hosts, seen.hosts_heard) == (1, heard)


def test_a_probe_that_is_answered_counts_from_when_it_was_sent() -> None:
    """The answer may have been read long after it came."""
    judge = Judge()
    path = judge.add(judge.watch("c1", rule(), 0.0), Address(socket.AF_INET, "198.18.0.1"), b"key")
    numbers = [path.next_number() for _ in range(3)]
    for number, when in zip(numbers, (0.1, 0.2, 0.3), strict=True):
        judge.asked(path, number, when)
    judge.answered(path.key, path.address.text, numbers[1], 9.0)
    assert path.seen == (0.2,)
    assert path.host.was_seen(0.1, 0.2)
    assert not path.host.was_seen(0.2, 10.0)


# --- doubt ---


def lost(begin: float, *, by: Rule | None = None) -> Change:
    return Change("c1", Status.DOWN, by or rule(), (), None, missed=(begin, begin + 0.2))


def test_doubt_is_dispelled_when_a_host_that_is_there_would_have_answered() -> None:
    doubt = Doubt()
    assert not doubt.is_there
    assert not doubt.is_dispelled(0.0, is_clear=True)
    doubt.rise(lost(1.0), 2.0)
    assert (doubt.is_there, doubt.since) == (True, 1.0)
    assert not doubt.is_dispelled(1.1, is_clear=False)
    assert not doubt.is_dispelled(1.2, is_clear=True)
    assert not doubt.is_dispelled(1.4, is_clear=True)
    assert doubt.is_dispelled(1.43, is_clear=True)
    assert not doubt.is_there


def test_doubt_ends_with_its_time() -> None:
    doubt = Doubt()
    doubt.rise(lost(1.0), 2.0)
    assert not doubt.is_dispelled(1.9, is_clear=False)
    assert not doubt.is_dispelled(2.0, is_clear=False)
    assert not doubt.is_there


def test_another_host_renews_the_doubt() -> None:
    """It fell silent later: what was heard before that proves nothing for it; one that is slow takes longer."""
    doubt = Doubt()
    doubt.rise(lost(1.0), 2.0)
    doubt.is_dispelled(1.2, is_clear=True)
    doubt.rise(lost(1.3, by=rule(0.2)), 2.5)
    assert doubt.since == 1.3
    assert not doubt.is_dispelled(1.5, is_clear=True)
    assert not doubt.is_dispelled(1.9, is_clear=True)
    assert doubt.is_dispelled(1.96, is_clear=True)
    doubt.rise(lost(3.0), 4.0)
    doubt.rise(lost(2.9), 3.5)
    assert doubt.since == 3.0
    assert not doubt.is_dispelled(3.9, is_clear=False)
    assert doubt.is_there
