"""What agents say of the hosts beside theirs: one that hears it is enough, and nobody is believed who was not asked."""

import random

from doctor.drivers.monitors.heartbeat.peers import AGAIN_AFTER, AT_ONCE, ON_THE_WAY, Peers, Voucher, chosen
from doctor.drivers.monitors.ping.judging import Status

WITHIN = 0.1


def asked(*peers: str, able: tuple[str, ...] | None = None) -> tuple[Peers, int]:
    known = Peers()
    return known, known.begin("c1", peers, peers if able is None else able, 10.0, WITHIN)


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


def test_silence_counts_only_of_those_who_could_hear_it() -> None:
    known, number = asked("c2", "c3", "c4", able=("c4",))
    for peer in ("c2", "c3", "c4"):
        known.answered(peer, number, is_heard=False)
    assert known.status("c1", 10.0) is Status.UNKNOWN, "one is not enough where three were asked"
    assert known.status("c1", 20.0) is Status.UNKNOWN
    known.answered("c2", number, is_heard=True)
    assert known.status("c1", 10.0) is Status.UP, "who hears it is believed, whoever it is"


def test_nobody_is_no_witness() -> None:
    known, _ = asked()
    assert known.status("c1", 20.0) is Status.UNKNOWN


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
    again = known.begin("c1", ["c3"], [], 15.0, WITHIN)
    assert known.answered("c2", number, is_heard=True) is None
    assert known.answered("c3", again, is_heard=True) == "c1"
    for number in range(AT_ONCE):
        known.begin(f"h{number}", [], [], 10.0, WITHIN)
    assert not known.is_due("another", 10.0)


def test_what_they_said_holds_until_they_have_answered_anew() -> None:
    known, number = asked("c2", "c3")
    known.answered("c2", number, is_heard=True)
    again = known.begin("c1", ["c2", "c3"], ["c2", "c3"], 15.0, WITHIN)
    assert known.status("c1", 15.0) is Status.UP
    known.answered("c2", again, is_heard=False)
    assert known.status("c1", 15.1) is Status.UP
    assert known.status("c1", 15.0 + WITHIN + ON_THE_WAY) is Status.UNKNOWN, "too few have answered"
    known.answered("c3", again, is_heard=False)
    assert known.status("c1", 15.1) is Status.DOWN


ADDRESSES = ("192.0.2.1", "198.51.100.1")


def choose(
    *able: Voucher,
    near: tuple[str, ...] = (),
    far: tuple[str, ...] = (),
    away: tuple[str, ...] = (),
    seed: int = 1,
) -> list[Voucher]:
    return chosen(able, (near, far), ADDRESSES, lambda peer: peer not in away, 3, random.Random(seed))


def test_those_are_asked_first_who_can_hear_it() -> None:
    able = Voucher("c9", ADDRESSES[1]), Voucher("c8", ADDRESSES[0])
    found = choose(*able, near=("c2", "c3"), far=("c4", "c5"))
    assert set(found[:2]) == set(able)
    assert found[2] in {Voucher(one, ADDRESSES[0]) for one in ("c2", "c3")}
    assert choose(*able, away=("c9",)) == [Voucher("c8", ADDRESSES[0])]
    assert choose(Voucher("c9", "203.0.113.9")) == [], "it has that address no more"


def test_then_those_of_the_same_zone_at_all_addresses_and_not_always_the_same() -> None:
    near, far = tuple(f"n{number}" for number in range(10)), tuple(f"f{number}" for number in range(50))
    found = [choose(near=near, far=far, seed=seed) for seed in range(20)]
    assert all({one.peer[0] for one in some} == {"n"} for some in found)
    assert all({one.address for one in some} == set(ADDRESSES) for some in found)
    assert len({tuple(some) for some in found}) > 1
    assert {one.peer[0] for one in choose(near=near[:1], far=far)} == {"n", "f"}
    assert choose(near=near, away=near) == []
    assert len({one.peer for one in choose(near=near[:2], far=near[:2])}) == 2, "nobody twice"
