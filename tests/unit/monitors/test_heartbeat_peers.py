"""What agents say of the hosts beside theirs: one that hears it is enough, and nobody is believed who was not asked."""

import random

from doctor.drivers.monitors.heartbeat.peers import AGAIN_AFTER, AT_ONCE, ON_THE_WAY, Peers, chosen
from doctor.drivers.monitors.ping.judging import Status

WITHIN = 0.1


def asked(*peers: str) -> tuple[Peers, int]:
    known = Peers()
    return known, known.begin("c1", peers, 10.0, WITHIN)


def test_two_have_to_miss_it() -> None:
    known, number = asked("c2", "c3", "c4")
    assert known.answered("c2", number, is_heard=False) == "c1"
    assert known.status("c1", 10.0) is Status.UNKNOWN
    known.answered("c2", number, is_heard=False)
    assert known.status("c1", 10.0) is Status.UNKNOWN, "one who says it twice is one"
    known.answered("c3", number, is_heard=False)
    assert known.status("c1", 10.0) is Status.DOWN
    known.answered("c4", number, is_heard=True)
    assert known.status("c1", 10.0) is Status.UP


def test_where_there_is_one_only_one_is_enough() -> None:
    known, number = asked("c2")
    known.answered("c2", number, is_heard=False)
    assert known.status("c1", 10.0) is Status.DOWN


def test_nobody_answers_who_was_not_asked() -> None:
    known, number = asked("c2", "c3")
    assert known.answered("c4", number, is_heard=True) is None
    assert known.answered("c2", number + 1, is_heard=True) is None
    known.forget("c1")
    assert known.answered("c2", number, is_heard=True) is None
    assert known.status("c1", 10.0) is Status.UNKNOWN
    assert known.asked("c1") == frozenset()


def test_answers_are_waited_for_a_short_time() -> None:
    known, number = asked("c2", "c3")
    assert known.is_open("c1", 10.0 + WITHIN)
    assert not known.is_open("c1", 10.0 + WITHIN + ON_THE_WAY)
    known.answered("c2", number, is_heard=True)
    assert not known.is_open("c1", 10.0)
    assert not asked()[0].is_open("c1", 10.0)
    assert not known.is_open("c9", 10.0)


def test_they_are_asked_anew_after_a_while_and_not_of_all_at_once() -> None:
    known, number = asked("c2")
    assert not known.is_due("c1", 10.0 + AGAIN_AFTER - 0.1)
    assert known.is_due("c1", 10.0 + AGAIN_AFTER)
    again = known.begin("c1", ["c3"], 15.0, WITHIN)
    assert known.answered("c2", number, is_heard=True) is None
    assert known.answered("c3", again, is_heard=True) == "c1"
    for number in range(AT_ONCE):
        known.begin(f"h{number}", [], 10.0, WITHIN)
    assert not known.is_due("another", 10.0)


def test_what_they_said_holds_until_they_have_answered_anew() -> None:
    known, number = asked("c2", "c3")
    known.answered("c2", number, is_heard=True)
    again = known.begin("c1", ["c2", "c3"], 15.0, WITHIN)
    assert known.status("c1", 15.0) is Status.UP
    known.answered("c2", again, is_heard=False)
    assert known.status("c1", 15.1) is Status.UP
    assert known.status("c1", 15.0 + WITHIN + ON_THE_WAY) is Status.UNKNOWN, "too few have answered"
    known.answered("c3", again, is_heard=False)
    assert known.status("c1", 15.1) is Status.DOWN


def test_those_of_the_same_zone_are_asked_first() -> None:
    zones = {f"c{number}": f"az{number % 2}" for number in range(10)}
    there = [f"c{number}" for number in range(10)]
    rng = random.Random(1)
    for _ in range(20):
        assert {zones[one] for one in chosen("c0", there, zones, 3, rng)} == {"az0"}
        assert "c0" not in chosen("c0", there, zones, 9, rng)
    assert len({tuple(chosen("c0", there, zones, 3, rng)) for _ in range(20)}) > 1
    assert chosen("c0", ["c0"], zones, 3, rng) == []
