"""What waits is bounded, folded, kept on disk, and never lost in silence."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.agent.report import Report
from doctor.agent.spool import BURST, DROPPED, Spool, load, save

BEGIN = datetime(2026, 3, 4, tzinfo=UTC)


def report(number: int, about: str = "eth0", kind: str = "network.port.down") -> Report:
    details = {
        "hostname": "c1",
        "resource_id": about,
        "status": "down" if number % 2 else "up",
        "number": number,
    }
    return Report(time=BEGIN + timedelta(seconds=number), type=kind, details=details)


def numbers(spool: Spool) -> list[int]:
    return [one.details["number"] for one in spool.reports]


def test_what_is_the_same_thing_is_folded() -> None:
    spool = Spool("c1", 100)
    for number in range(1001):
        spool.add(report(number))
    spool.add(report(5, about="eth1"))

    assert numbers(spool) == [0, 1000, 5]
    assert spool.reports[1].details["folded"] == 999


def test_what_was_taken_is_not_changed_any_more() -> None:
    spool = Spool("c1", 100)
    spool.add(report(1))
    spool.add(report(2))
    taken = spool.take(10, now=0.0)
    spool.add(report(3))
    spool.add(report(4))
    assert [one.details["number"] for one in taken.values()] == [1, 2]
    assert numbers(spool) == [1, 2, 4]
    spool.done(taken)
    assert numbers(spool) == [4]
    assert spool.take(10, now=0.0).keys() != taken.keys()


def test_what_did_not_arrive_goes_again_in_order() -> None:
    spool = Spool("c1", 100)
    for about in ("eth0", "eth1", "eth2"):
        spool.add(report(1, about))
    first = spool.take(2, now=0.0)
    assert list(spool.take(2, now=0.0).values()) == [report(1, "eth2")]
    spool.put_back(first)
    assert list(spool.take(10, now=0.0).items()) == list(first.items())


def test_one_thing_may_not_speak_for_ever() -> None:
    spool = Spool("c1", 100)
    gone = 0
    for tenth in range(1000):
        spool.add(report(tenth))
        taken = spool.take(10, now=tenth / 10)
        gone += len(taken)
        spool.done(taken)
    assert BURST + 95 <= gone <= BURST + 101


def test_it_is_bounded_and_says_what_it_dropped() -> None:
    spool = Spool("c1", 100)
    for number in range(150):
        spool.add(report(1, about=f"eth{number}"))
    assert len(spool) == 100
    taken = list(spool.take(1000, now=0.0).values())
    (word,) = [one for one in taken if one.type == DROPPED]
    assert sum(word.details["dropped"].values()) + len(taken) - 1 == 150
    assert word.details["hostname"] == "c1"


@given(st.lists(st.tuples(st.sampled_from("ab"), st.sampled_from(["add", "send", "fail"])), max_size=60))
def test_the_last_word_on_each_thing_arrives(steps: list[tuple[str, str]]) -> None:
    spool, said, arrived = Spool("c1", 100), dict[str, int](), list[Report]()
    now = 0.0
    for number, (about, step) in enumerate(steps):
        now += 0.3
        if step == "add":
            spool.add(report(number, about))
            said[about] = number
        else:
            taken = spool.take(2, now)
            if step == "fail":
                spool.put_back(taken)
            else:
                arrived += taken.values()
                spool.done(taken)
    while len(spool):
        now += 1.0
        taken = spool.take(100, now)
        arrived += taken.values()
        spool.done(taken)
    for about, number in said.items():
        last = [one for one in arrived if one.details["resource_id"] == about][-1]
        assert last.details["number"] == number
    for about in "ab":
        heard = [one.details["number"] for one in arrived if one.details["resource_id"] == about]
        assert heard == sorted(heard)


def test_what_waits_outlives_the_agent(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    assert load(file) == []
    save(file, [report(1), report(2, "eth1")])
    assert file.stat().st_mode & 0o777 == 0o600
    assert load(file) == [report(1), report(2, "eth1")]
    save(file, [report(3)])
    assert load(file) == [report(3)]


def test_a_file_that_is_broken_loses_the_broken_lines_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "events.jsonl"
    save(file, [report(1), report(2, "eth1")])
    file.write_bytes(b'\xff{"time": 1}\n' + file.read_bytes()[:-20])
    assert load(file) == [report(1)]
    assert "spool.line_left_out" in capsys.readouterr().err
    file.unlink()
    file.mkdir()
    assert load(file) == []
