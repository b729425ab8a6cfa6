"""Percentiles over many faults."""

from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.profiler.spread import nearest_rank, statistics
from tests.unit.profiler.timelines import consumer, ms, timeline


@pytest.mark.parametrize(
    ("count", "percent", "wanted"),
    [
        (1, 50, 1),
        (1, 99, 1),
        (2, 50, 1),
        (2, 90, 2),
        (5, 50, 3),
        (100, 50, 50),
        (100, 99, 99),
        (101, 99, 100),
    ],
)
def test_a_percentile_is_a_time_that_happened(count: int, percent: int, wanted: int) -> None:
    assert nearest_rank([ms(value) for value in range(1, count + 1)], percent) == ms(wanted)


@given(st.lists(st.integers(0, 1000), min_size=1, max_size=300), st.integers(1, 100))
def test_so_many_percent_do_not_exceed_it(values: list[int], percent: int) -> None:
    ordered = sorted(values)
    found = nearest_rank([ms(value) for value in ordered], percent)
    assert sum(ms(value) <= found for value in ordered) >= ceil(percent * len(ordered) / 100)
    assert sum(ms(value) < found for value in ordered) < ceil(percent * len(ordered) / 100)


def test_many_faults_are_summed_up() -> None:
    faults = [timeline({"T0": 0, "T1": 100, "T7": 100 + took}) for took in range(1, 101)]
    found = statistics([*faults, timeline({"T1": 0, "T7": 2000}), timeline({"T1": 0})])
    assert (found.faults, found.kept, found.missed) == (102, 100, 1)
    monitor, rest = found.segments
    assert (monitor.name, monitor.component, monitor.count, monitor.p50) == ("T0-T1", "monitor", 100, ms(100))
    assert rest.name == "T1-T7"
    assert (rest.count, rest.p50, rest.p90, rest.p99, rest.max) == (101, ms(51), ms(91), ms(100), ms(2000))
    assert [(spread.name, spread.count) for spread in found.overall] == [
        ("T0-T7", 100),
        ("T1-T7", 101),
        ("T1-T7 last", 101),
    ]


def test_the_last_consumer_is_summed_up_beside_the_first() -> None:
    found = statistics([timeline(None, consumer("a", 303.5), consumer("b", 320.0))])
    overall = {spread.name: spread.max for spread in found.overall}
    assert overall == {"T0-T7": ms(303.5), "T1-T7": ms(3.5), "T1-T7 last": ms(20), "T1-T8": ms(40)}


def test_segments_come_in_the_order_of_the_way() -> None:
    found = statistics(
        [timeline({"T1": 0, "T3": 2}), timeline({"T0": 0, "T1": 1, "T2": 2}), timeline({"T8": 0, "I1": 1})]
    )
    assert [spread.name for spread in found.segments] == ["T0-T1", "T1-T2", "T1-T3", "T8-I1"]


def test_no_faults_have_no_percentiles() -> None:
    found = statistics([])
    assert (found.faults, found.kept, found.missed, found.segments, found.overall) == (0, 0, 0, [], [])
