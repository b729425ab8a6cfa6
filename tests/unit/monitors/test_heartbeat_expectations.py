"""Heartbeats that stay away, in virtual time: found in time, and never where it is our own fault."""

import random

import pytest

from doctor.drivers.monitors.heartbeat.expectations import Expectations
from doctor.drivers.monitors.ping.judging import Change, Rule, Status

RULE = Rule(interval=0.02, timeout=0.025, misses=3, recover=2, start_grace=1.0)
SLOW = Rule(interval=0.1, timeout=0.125, misses=3, recover=2, start_grace=1.0)


class Run:
    """Agents that send by a plan, and expectations that look as often as they want to."""

    def __init__(self, *, seed: int = 0, jitter: float = 0.0) -> None:
        self.expectations = Expectations()
        self.now = 0.0
        self.said: list[tuple[float, Change]] = []
        self.agents: dict[tuple[str, str], tuple[Rule, float]] = {}
        self.lag = 0.0
        self._random = random.Random(seed)
        self._jitter = jitter

    def agent(self, host: str, network: str = "mgmt", rule: Rule = RULE) -> None:
        self.agents[host, network] = (rule, self.now + self._random.random() * rule.interval)

    def until(self, end: float) -> None:
        while self.now < end:
            self.look()
            self.now = self.expectations.next_time(self.now)
        self.now = end

    def look(self) -> None:
        for (host, network), (rule, due) in list(self.agents.items()):
            while due + self._random.random() * self._jitter <= self.now:
                self.expectations.heard(host, network, rule, self.now)
                due += rule.interval
            self.agents[host, network] = (rule, due)
        self.expectations.advance(self.now, self.lag, is_all=True)
        self.said += [(self.now, change) for change in self.expectations.changes()]

    def words(self) -> list[tuple[str, str]]:
        return [(change.host, change.status.value) for _, change in self.said]


@pytest.mark.parametrize("seed", range(10))
def test_silence_is_found_in_time(seed: int) -> None:
    run = Run(seed=seed)
    run.agent("c1")
    run.until(1.0 + run._random.random())
    begin = run.now
    run.agents.clear()
    run.until(3.0)

    assert run.words() == [("c1", "up"), ("c1", "down")]
    assert 0.04 < run.said[-1][0] - begin < 0.08


def test_a_host_is_silent_when_all_its_networks_are() -> None:
    run = Run()
    run.agent("c1", "mgmt")
    run.agent("c1", "storage")
    run.until(1.0)
    del run.agents["c1", "mgmt"]
    run.until(2.0)
    assert run.words() == [("c1", "up")]
    assert not run.expectations.suspects

    del run.agents["c1", "storage"]
    run.until(3.0)
    assert run.words() == [("c1", "up"), ("c1", "down")]
    assert set(run.said[-1][1].addresses) == {"mgmt", "storage"}

    run.agent("c1", "storage")
    run.until(4.0)
    assert run.words()[-1] == ("c1", "up")
    assert run.said[-1][1].silent_for == pytest.approx(1.0, abs=0.1)


def test_one_that_misses_a_heartbeat_is_suspected_before_it_is_silent() -> None:
    run = Run()
    run.agent("c1", rule=SLOW)
    run.until(1.0)
    run.agents.clear()
    begin = run.now
    while not run.expectations.suspects:
        run.until(run.now + 0.005)
    assert run.now - begin < 0.24
    assert run.words() == [("c1", "up")]
    run.agent("c1", rule=SLOW)
    run.until(run.now + 0.15)
    assert not run.expectations.suspects


def test_hundred_hosts_that_are_a_little_late_are_all_there() -> None:
    run = Run(jitter=0.004)
    for number in range(100):
        run.agent(f"c{number}")
    run.until(5.0)
    assert sorted(run.words()) == sorted((f"c{number}", "up") for number in range(100))


def test_what_we_missed_ourselves_does_not_count() -> None:
    run = Run()
    run.agent("c1")
    run.until(1.0)
    run.agents.clear()
    run.lag = 0.5
    run.until(1.2)
    assert run.words() == [("c1", "up")]


def test_no_word_while_something_is_unread() -> None:
    run = Run()
    run.agent("c1")
    run.until(1.0)
    for _ in range(100):
        run.now += 0.01
        run.expectations.advance(run.now, 0.0, is_all=False)
    assert list(run.expectations.changes()) == []


def test_a_new_session_is_expected_on_its_own_networks_only() -> None:
    run = Run()
    run.agent("c1", "mgmt")
    run.agent("c1", "storage")
    run.until(1.0)
    run.agents.clear()
    run.expectations.heard("c1", "mgmt", RULE, run.now, is_anew=True)
    run.until(2.0)
    assert run.said[-1][1].addresses == ("mgmt",)


def test_a_slower_agent_gets_more_time() -> None:
    run = Run()
    run.agent("c1")
    run.until(1.0)
    run.agents.clear()
    run.expectations.heard("c1", "mgmt", SLOW, run.now)  # each heartbeat says when the next will come
    run.agent("c1", rule=SLOW)
    run.until(3.0)
    assert run.words() == [("c1", "up")]
    run.agents.clear()
    run.until(4.0)
    assert run.words()[-1] == ("c1", "down")
    assert run.said[-1][1].rule is SLOW


def test_one_that_is_expected_and_never_came() -> None:
    run = Run()
    run.expectations.expect("c1", SLOW, 0.0)
    run.expectations.expect("c1", SLOW, 0.0)
    run.until(0.9)
    assert run.words() == []
    run.until(2.0)
    assert run.words() == [("c1", "down")]
    run.agent("c1")
    run.until(3.0)
    assert run.words() == [("c1", "down"), ("c1", "up")]
    assert run.said[-1][1].addresses == ("mgmt",)


def test_a_host_that_is_forgotten_is_missed_by_nobody() -> None:
    run = Run()
    run.agent("c1")
    run.until(1.0)
    assert run.expectations.knows("c1")
    run.expectations.forget("c1")
    run.agents.clear()
    run.until(3.0)
    assert run.words() == [("c1", "up")]
    assert run.said[0][1].status is Status.UP
    assert not run.expectations.knows("c1")
