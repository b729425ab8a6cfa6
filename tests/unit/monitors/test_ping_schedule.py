"""Turns are even in time, whoever comes and goes."""

import socket
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import Host, Path, Rule
from doctor.drivers.monitors.ping.schedule import Schedule, following

INTERVAL = 0.1


def path(name: str = "c", interval: float = INTERVAL) -> Path:
    rule = Rule(interval=interval, timeout=0.025, misses=3, recover=2, start_grace=1.0)
    return Path(Host(name, rule, 0.0), Address(socket.AF_INET, "198.18.0.1"), b"")


@pytest.mark.parametrize("count", [10, 50, 500, 777])
def test_turns_are_spread_over_the_interval(count: int) -> None:
    schedule = Schedule()
    for _ in range(count):
        schedule.add(path(), 0.0)

    parts = [len(list(schedule.due(INTERVAL * tenth / 10))) for tenth in range(1, 21)]

    assert sum(parts) == 2 * count
    assert max(parts) <= count / 10 + 2


def test_each_gets_one_turn_in_each_interval() -> None:
    schedule = Schedule()
    slow, fast = path(interval=1.0), path(interval=0.1)
    schedule.add(slow, 0.0)
    schedule.add(fast, 0.0)

    turns = Counter(path for tick in range(1, 1001) for path in schedule.due(tick * 0.01))

    assert (turns[slow], turns[fast]) == (10, 100)


def test_who_was_removed_has_no_turn() -> None:
    schedule = Schedule()
    stays, goes = path(), path()
    schedule.add(stays, 0.0)
    schedule.add(goes, 0.0)
    schedule.remove(goes)

    assert list(schedule.due(1.0)) == [stays]


def test_who_is_added_anew_has_one_turn_as_before() -> None:
    schedule = Schedule()
    same = path()
    schedule.add(same, 0.0)
    schedule.add(same, 0.0)

    turns = [path for tick in range(1, 101) for path in schedule.due(tick * 0.01)]

    assert len(turns) == 10


def test_after_a_stall_nobody_makes_up_for_lost_turns() -> None:
    schedule = Schedule()
    one = path()
    schedule.add(one, 0.0)

    assert list(schedule.due(5.0)) == [one]
    assert list(schedule.due(5.0)) == []


@given(when=st.floats(0, 1e6), interval=st.floats(0.01, 100), late=st.floats(0, 1e4))
def test_the_next_turn_keeps_step_and_distance(when: float, interval: float, late: float) -> None:
    now = when + late

    after = following(when, interval, now)

    steps = (after - when) / interval
    assert abs(steps - round(steps)) < 1e-6 * max(1.0, steps)
    assert interval * 0.5 - 1e-6 <= after - now <= interval * 1.5 + 1e-6
