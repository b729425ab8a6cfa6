"""Who can hear whom is tried while nothing is wrong: the silence of others says nothing."""

import random
from itertools import pairwise

from doctor.drivers.monitors.heartbeat.peers import ON_THE_WAY, Voucher
from doctor.drivers.monitors.heartbeat.vouching import (
    AFTER_DOUBT,
    FIRST_WITHIN,
    HOLDS_FOR,
    MOST_AT_ONCE,
    TRY_EVERY,
    TRY_SELDOM,
    TRY_SOON,
    Vouching,
)

BY_C2, BY_C3 = Voucher("c2", "192.0.2.1"), Voucher("c3", "192.0.2.1")
WITHIN = 0.1


def vouching(count: int = 2, *hosts: str) -> Vouching:
    known = Vouching(count, random.Random(1))
    known.expect(hosts or ("c1",), 0.0)
    return known


def well(host: str) -> bool:
    return True


def hears(known: Vouching, voucher: Voucher, now: float, *, is_heard: bool = True) -> None:
    number = known.begin("c1", voucher, now, WITHIN)
    assert known.answered(voucher.peer, number, now, is_heard=is_heard)


def test_a_peer_is_able_that_has_heard_it_and_for_a_while() -> None:
    known = vouching()
    assert known.able("c1", 0.0) == set()
    hears(known, BY_C2, 1.0)
    hears(known, BY_C3, 50.0)
    assert known.able("c1", 1.0 + HOLDS_FOR) == {BY_C2, BY_C3}
    assert known.able("c1", 2.0 + HOLDS_FOR) == {BY_C3}
    assert known.able("c9", 1.0) == set()


def test_only_the_answer_of_who_was_asked_counts_and_once() -> None:
    known = vouching()
    number = known.begin("c1", BY_C2, 1.0, WITHIN)
    assert not known.answered("c3", number, 1.0, is_heard=True)
    assert not known.answered("c2", number + 1, 1.0, is_heard=True)
    assert known.answered("c2", number, 1.0, is_heard=True)
    assert not known.answered("c2", number, 1.0, is_heard=True)
    assert known.able("c1", 1.0) == {BY_C2}


def test_who_does_not_answer_in_time_has_said_nothing() -> None:
    known = vouching()
    hears(known, BY_C2, 1.0)
    number = known.begin("c1", BY_C2, 2.0, WITHIN)
    known.due(2.0 + WITHIN + ON_THE_WAY + 0.01, well)
    assert not known.answered("c2", number, 3.0, is_heard=False)
    assert known.able("c1", 3.0) == {BY_C2}


def test_all_are_tried_soon_and_then_again_and_again() -> None:
    hosts = [f"c{number}" for number in range(3 * MOST_AT_ONCE)]
    known = vouching(1, *hosts)
    tried: list[str] = []
    for tick in range(int(FIRST_WITHIN * 100) + 1):
        found = known.due(tick / 100, well)
        assert len(found) <= MOST_AT_ONCE
        tried += found
    assert sorted(tried) == sorted(hosts)
    seconds = 60
    for tick in range(201, seconds * 100):
        for host in known.due(tick / 100, well):
            tried.append(host)
            known.answered("c2", known.begin(host, BY_C2, tick / 100, WITHIN), tick / 100, is_heard=True)
    often = len(tried) / len(hosts) - 1
    assert seconds / (1.2 * TRY_EVERY) <= often <= 2 + seconds / (0.9 * TRY_EVERY)


def test_where_too_few_hear_it_they_are_tried_sooner_at_first() -> None:
    known = vouching(1)
    times = [tick / 10 for tick in range(4000) if known.due(tick / 10, well)]
    gaps = [later - sooner for sooner, later in pairwise(times)]
    assert 0.8 * TRY_SOON <= gaps[0] <= 1.2 * TRY_SOON
    assert all(0.8 * TRY_SELDOM <= gap <= 1.2 * TRY_SELDOM for gap in gaps[4:])
    hears(known, BY_C2, 400.0)
    assert any(known.due(400.0 + tick, well) for tick in range(70))
    assert known.able("c1", 500.0) == {BY_C2}


def test_a_peer_that_has_become_deaf_is_able_no_more_if_the_host_is_well() -> None:
    known = vouching(1)
    known.due(FIRST_WITHIN, well)
    hears(known, BY_C2, 3.0)
    hears(known, BY_C2, 4.0, is_heard=False)
    assert known.able("c1", 4.0) == {BY_C2}, "the host may just have died"
    assert known.due(4.0 + AFTER_DOUBT - 0.1, well) == []
    assert known.due(4.0 + AFTER_DOUBT, well) == ["c1"]
    assert known.able("c1", 6.0) == set()


def test_a_peer_that_heard_nothing_when_the_host_died_was_right() -> None:
    known = vouching(1)
    known.due(FIRST_WITHIN, well)
    hears(known, BY_C2, 3.0)
    hears(known, BY_C2, 4.0, is_heard=False)
    assert known.due(4.0 + AFTER_DOUBT, lambda host: False) == []
    assert known.able("c1", 4.0) == {BY_C2}


def test_what_leaves_the_map_is_forgotten() -> None:
    known = vouching(1, "c1", "c2")
    hears(known, BY_C2, 1.0)
    known.expect(["c2"], 1.0)
    assert known.able("c1", 1.0) == set()
    assert known.due(FIRST_WITHIN, well) == ["c2"]
    known.expect(["c1", "c2"], 3.0)
    assert known.due(3.0 + FIRST_WITHIN, well) == ["c1"]
