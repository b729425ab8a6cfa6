"""When a host is down and when it is up again.

Stories are written with one letter for each probe, an interval apart: ``.`` is answered, ``x`` is not, ``L`` is
answered when its time was already over, ``s`` falls into a stall of our own, ``-`` could not be sent.
"""

import re
import socket

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.drivers.monitors.ping.addresses import Address
from doctor.drivers.monitors.ping.judging import EXCUSES, Change, Judge, Path, Rule, Status

INTERVAL = 0.1
STALL = 0.2


def rule(*, misses: int = 3, recover: int = 2, start_grace: float = 0.0) -> Rule:
    return Rule(interval=INTERVAL, timeout=0.025, misses=misses, recover=recover, start_grace=start_grace)


def address(number: int = 1) -> Address:
    return Address(socket.AF_INET, f"198.18.0.{number}")


def watch(judge: Judge, addresses: int = 1, *, by: Rule | None = None, now: float = 0.0) -> list[Path]:
    host = judge.watch("compute-1", by or rule(), now)
    return [judge.add(host, address(number), b"key-%d" % number) for number in range(1, addresses + 1)]


def answer(judge: Judge, path: Path, number: int, at: float = 0.0) -> None:
    judge.answered(path.key, path.address.text, number, at)


def probe(judge: Judge, paths: list[Path], marks: str, at: float) -> list[Change]:
    """Let each path have one probe that ends as its mark says, and return what changed by it."""
    numbers = [path.next_number() for path in paths]
    probes = list(zip(paths, numbers, marks, strict=True))
    for path, number, mark in probes:
        if mark != "-":
            judge.asked(path, number, at)
        if mark == ".":
            answer(judge, path, number, at + 0.001)
    if "s" in marks:
        judge.stalled(STALL)
    judge.expire(at + 0.03)
    for path, number, mark in probes:
        if mark == "L":
            answer(judge, path, number, at + 0.04)
    return list(judge.changes())


def tell(story: str, **numbers: float) -> str:
    """Return what is said of a host and after which probe (from 1): ``2 up, 5 down``."""
    judge = Judge()
    paths = watch(judge, by=rule(**numbers))  # type: ignore[arg-type]
    said = []
    for index, mark in enumerate(story.replace(" ", "")):
        said += [f"{index + 1} {change.status}" for change in probe(judge, paths, mark, index * INTERVAL)]
    return ", ".join(said)


@pytest.mark.parametrize(
    ("story", "said"),
    [
        pytest.param("........", "2 up", id="alive-is-said-once"),
        pytest.param("...xxx..", "2 up, 6 down, 8 up", id="down-and-up-again"),
        pytest.param("..xx.xx.xx.", "2 up", id="never-three-in-a-row"),
        pytest.param("xxxxxxxx", "3 down", id="never-there"),
        pytest.param("..xxxxxx", "2 up, 5 down", id="down-is-said-once"),
        pytest.param("..xxx.x.x..", "2 up, 5 down, 11 up", id="two-answers-in-a-row-to-recover"),
        pytest.param(".x.x..", "6 up", id="the-same-at-the-start"),
    ],
)
def test_answers_and_silence_in_a_row_decide(story: str, said: str) -> None:
    assert tell(story) == said


@pytest.mark.parametrize(
    ("story", "said"),
    [
        pytest.param("..xxs", "2 up", id="a-stall-proves-nothing"),
        pytest.param("..xxssx", "2 up, 7 down", id="nor-does-it-disprove"),
        pytest.param("..xx-", "2 up", id="what-was-not-sent-proves-nothing"),
        pytest.param("..xx---x", "2 up, 8 down", id="nor-disproves"),
        pytest.param("--------------------------------------", "", id="we-that-cannot-send-say-nothing"),
        pytest.param("..xxx.s-.", "2 up, 5 down, 9 up", id="between-answers-they-are-no-gap"),
    ],
)
def test_what_is_our_own_fault_does_not_count(story: str, said: str) -> None:
    assert tell(story) == said


@pytest.mark.parametrize(
    ("story", "said"),
    [
        pytest.param("..LLLLLLLLL", "2 up", id="a-slow-host-lives"),
        pytest.param("LLLL", "2 up", id="from-the-start"),
        pytest.param("..xxLxx.", "2 up", id="late-takes-back-what-was-missed-before"),
        pytest.param("..xxxLL", "2 up, 5 down, 7 up", id="slow-after-a-failure"),
    ],
)
def test_a_late_answer_is_an_answer(story: str, said: str) -> None:
    assert tell(story) == said


def test_numbers_are_as_the_rule_says() -> None:
    assert tell("....xxxxx....", misses=5, recover=4) == "4 up, 9 down, 13 up"
    assert tell(".x.x", misses=1, recover=1) == "1 up, 2 down, 3 up, 4 down"


def test_at_the_start_silence_is_no_news_for_a_while() -> None:
    assert tell("xxxxx xxxxx xxx", start_grace=0.95) == "13 down"
    assert tell("xxxxx ..xxx", start_grace=0.95) == "7 up, 10 down"


def test_a_stall_is_an_excuse_but_not_for_ever() -> None:
    excused = "s" * 3 * EXCUSES

    assert tell(".." + excused + "sss") == f"2 up, {2 + len(excused) + 3} down"
    assert tell(".." + excused + "." + excused) == "2 up"


def test_a_short_lag_is_no_stall() -> None:
    judge = Judge()
    (path,) = watch(judge)
    for number in range(3):
        judge.asked(path, path.next_number(), number * INTERVAL)
        judge.stalled(0.049)
        judge.expire(number * INTERVAL + 0.03)

    assert [change.status for change in judge.changes()] == [Status.DOWN]


def test_silence_counts_only_when_everything_was_read() -> None:
    judge = Judge()
    (path,) = watch(judge, by=rule(misses=1))
    judge.asked(path, path.next_number(), 0.0)

    judge.expire(0.024)
    assert list(judge.changes()) == []

    judge.expire(0.026)
    assert [change.status for change in judge.changes()] == [Status.DOWN]


# --- several addresses ---


def test_a_host_is_down_when_all_its_addresses_are_silent() -> None:
    judge = Judge()
    paths = watch(judge, 2)
    story = ["..", "..", "x.", "x.", "x.", "x.", "xx", "xx", "xx"]

    said = [
        change.status for index, marks in enumerate(story) for change in probe(judge, paths, marks, index)
    ]

    assert said == [Status.UP, Status.DOWN]


def test_and_up_when_any_of_them_answers() -> None:
    judge = Judge()
    paths = watch(judge, 2)
    story = ["..", "..", "xx", "xx", "xx", "x.", "x."]

    changes = [change for index, marks in enumerate(story) for change in probe(judge, paths, marks, index)]

    assert [change.status for change in changes] == [Status.UP, Status.DOWN, Status.UP]
    assert changes[-1].addresses == ("198.18.0.1", "198.18.0.2")


def test_an_address_that_comes_later_has_its_own_chance() -> None:
    judge = Judge()
    (old,) = watch(judge)
    for index in range(2):
        probe(judge, [old], ".", index * INTERVAL)
    for index in range(2, 4):
        probe(judge, [old], "x", index * INTERVAL)
    new = judge.add(old.host, address(2), b"key-2")

    said = [
        change.status for index in range(4, 7) for change in probe(judge, [old, new], "xx", index * INTERVAL)
    ]

    assert said == [Status.DOWN]
    assert len(new.missed) == 3


def test_without_the_address_that_answered_the_others_decide() -> None:
    judge = Judge()
    first, second = watch(judge, 2)
    for index in range(5):
        probe(judge, [first, second], ".x", index * INTERVAL)

    judge.remove(first)

    assert [change.status for change in judge.changes()] == [Status.DOWN]


def test_without_any_address_a_host_is_forgotten() -> None:
    judge = Judge()
    (path,) = watch(judge)
    judge.asked(path, path.next_number(), 0.0)

    judge.remove(path)
    judge.expire(1.0)

    assert list(judge.changes()) == []
    assert judge.hosts == {}


def test_a_new_rule_counts_from_what_is_known() -> None:
    judge = Judge()
    (path,) = watch(judge, by=rule(misses=5))
    for index in range(2):
        probe(judge, [path], ".", index * INTERVAL)
    for index in range(2, 6):
        probe(judge, [path], "x", index * INTERVAL)

    judge.watch("compute-1", rule(misses=4), 1.0)

    assert [change.status for change in judge.changes()] == [Status.DOWN]


# --- who may answer ---


@pytest.mark.parametrize(
    ("key", "source", "number"),
    [
        pytest.param(b"guess", "198.18.0.1", 1, id="another-key"),
        pytest.param(b"key-1", "198.18.0.66", 1, id="another-address"),
        pytest.param(b"key-1", "198.18.0.1", 2, id="a-number-never-asked"),
        pytest.param(b"key-1", "198.18.0.1", 0, id="number-zero"),
    ],
)
def test_an_answer_to_what_was_not_asked_is_ignored(key: bytes, source: str, number: int) -> None:
    judge = Judge()
    (path,) = watch(judge, by=rule(misses=1, recover=1))
    judge.asked(path, path.next_number(), 0.0)

    judge.answered(key, source, number, 0.001)

    assert list(judge.changes()) == []
    assert path.heard is None


def test_an_answer_that_comes_twice_counts_once() -> None:
    judge = Judge()
    (path,) = watch(judge)
    judge.asked(path, path.next_number(), 0.0)

    answer(judge, path, 1)
    answer(judge, path, 1)

    assert list(judge.changes()) == []
    assert path.streak == 1


def test_sixteen_bits_of_a_number_are_enough() -> None:
    judge = Judge()
    (path,) = watch(judge)
    path.asked = 0x2_0001

    answer(judge, path, 0xFFFF)

    assert path.answered == 0x1_FFFF


# --- what is told of a change ---


def test_down_tells_when_the_host_was_last_seen_and_up_how_long_it_was_not() -> None:
    judge = Judge()
    paths = watch(judge)

    up, down, again = (
        change
        for index, mark in enumerate("..xxx..")
        for change in probe(judge, paths, mark, index * INTERVAL)
    )

    assert up.silent_for is None
    assert down.heard == pytest.approx(0.101)
    assert again.silent_for == pytest.approx(0.5)


def test_of_a_host_that_was_never_seen_that_is_told() -> None:
    judge = Judge()
    paths = watch(judge)

    down, up = (
        change for index, mark in enumerate("xxx..") for change in probe(judge, paths, mark, index * INTERVAL)
    )

    assert down.heard is None
    assert up.silent_for == pytest.approx(0.401)


def test_changes_that_nobody_asked_for_are_given_later() -> None:
    judge = Judge()
    paths = [judge.add(judge.watch(f"c{n}", rule(), 0.0), address(n), b"key-%d" % n) for n in range(1, 4)]
    for index in range(3):
        for path in paths:
            judge.asked(path, path.next_number(), index * INTERVAL)
    judge.expire(1.0)

    first = next(judge.changes())
    rest = list(judge.changes())

    assert [first.host, *(change.host for change in rest)] == ["c1", "c2", "c3"]


# --- against a second, simple version ---


def simple(stories: list[str], misses: int, recover: int) -> list[str]:
    """Say the same from the stories alone."""
    said, status = [], "unknown"
    silent, streak = [0] * len(stories), [0] * len(stories)
    for marks in zip(*stories, strict=True):
        for index, mark in enumerate(marks):
            if mark in ".L":
                silent[index], streak[index] = 0, streak[index] + 1
            elif mark == "x":
                silent[index], streak[index] = silent[index] + 1, 0
        if status != "down" and min(silent) >= misses:
            status, streak = "down", [0] * len(stories)
            said.append(status)
        elif status != "up" and max(streak) >= recover:
            status = "up"
            said.append(status)
    return said


def stories(letters: str) -> st.SearchStrategy[list[str]]:
    def of_length(length: int) -> st.SearchStrategy[list[str]]:
        one = st.text(letters, min_size=length, max_size=length)
        return st.lists(one, min_size=1, max_size=3)

    return st.integers(1, 60).flatmap(of_length)


@given(told=stories(".xL-"), misses=st.integers(1, 4), recover=st.integers(1, 4))
def test_the_judge_agrees_with_a_simple_one(told: list[str], misses: int, recover: int) -> None:
    judge = Judge()
    paths = watch(judge, len(told), by=rule(misses=misses, recover=recover))

    said = [
        change.status
        for index, marks in enumerate(zip(*told, strict=True))
        for change in probe(judge, paths, "".join(marks), index * INTERVAL)
    ]

    assert said == simple(told, misses, recover)


@given(told=st.text(".xLs-", max_size=EXCUSES), misses=st.integers(1, 4))
def test_never_down_without_enough_probes_that_count(told: str, misses: int) -> None:
    said = tell(told, misses=misses)

    for probes in re.findall(r"(\d+) down", said):
        assert unanswered(told[: int(probes)]) >= misses
    if unanswered(told) >= misses:
        assert said.endswith("down")


def unanswered(told: str) -> int:
    """Count the probes that were not answered after the last one that was."""
    return told[max(told.rfind("."), told.rfind("L")) + 1 :].count("x")


@given(told=st.text("xs", min_size=4 * (EXCUSES + 1)), misses=st.integers(1, 4))
def test_always_down_when_nothing_is_ever_answered(told: str, misses: int) -> None:
    assert tell(told, misses=misses).endswith("down")
