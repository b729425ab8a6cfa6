"""What is read out of the timeline of one fault."""

from datetime import timedelta
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.model.checkpoint import Checkpoint, ConsumerTimeline
from doctor.profiler.timeline import (
    BUDGET,
    ZERO,
    costs,
    detected_to_received,
    first_told,
    last_received,
    milliseconds,
    remarks,
    segments,
    span,
    telling,
    timeline_of,
    within_budget,
)
from tests.unit.model.nfvis import fault_on
from tests.unit.profiler.timelines import USUAL, at, consumer, ms, timeline

A_MONTH_MS = 30 * 86_400_000.0

stamps = st.dictionaries(st.sampled_from([str(c) for c in Checkpoint]), st.floats(-A_MONTH_MS, A_MONTH_MS))


def short(parts: object) -> list[tuple[str, str, float]]:
    assert isinstance(parts, list)
    return [(f"{part.start}-{part.end}", part.component, milliseconds(part.took)) for part in parts]


@pytest.mark.parametrize(
    ("details", "occurred"),
    [
        pytest.param({}, None, id="nobody-knows"),
        pytest.param({"occurred_time": "2026-03-04T05:05:00Z"}, 0, id="the-monitor-knows"),
        pytest.param({"last_seen": "2026-03-04T06:05:00.001+01:00"}, 1, id="last-sign-of-life"),
        pytest.param({"occurred_time": "yesterday", "last_seen": "2026-03-04T05:05:00Z"}, 0, id="no-time"),
        pytest.param({"occurred_time": [1]}, None, id="no-time-at-all"),
    ],
)
def test_a_timeline_begins_with_what_the_fault_says(details: dict[str, object], occurred: int | None) -> None:
    fault = replace(fault_on("compute-1"), event_time=at(300), details=details)
    begun = timeline_of(fault, accepted=at(301), judged=at(302), affected_found=at(303))
    assert (begun.fault_id, begun.fault_type, begun.resource_id) == (
        fault.fault_key,
        fault.fault_type,
        "compute-1",
    )
    known = {} if occurred is None else {Checkpoint.OCCURRED: at(occurred)}
    assert begun.checkpoints == known | {
        Checkpoint.DETECTED: at(300),
        Checkpoint.ACCEPTED: at(301),
        Checkpoint.JUDGED: at(302),
        Checkpoint.AFFECTED_FOUND: at(303),
    }


def test_the_way_is_cut_at_its_checkpoints() -> None:
    assert short(segments(timeline())) == [
        ("T0-T1", "monitor", 300.0),
        ("T1-T2", "southbound", 0.3),
        ("T2-T3", "inspector", 0.1),
        ("T3-T4", "inspector", 0.1),
        ("T4-T5", "store", 1.5),
        ("T5-T6", "notifier", 0.5),
        ("T6-T7", "northbound", 1.0),
        ("T7-T8", "consumer", 36.5),
        ("T8-R", "repair", 4660.0),
    ]


def test_what_was_not_stamped_is_named_by_all_that_lie_between() -> None:
    assert short(segments(timeline({"T1": 0, "T5": 10, "T8": 30}))) == [
        ("T1-T5", "southbound + inspector + store", 10.0),
        ("T5-T8", "notifier + northbound + consumer", 20.0),
    ]


def test_what_comes_after_the_owner_knows_comes_as_it_happened() -> None:
    assert short(segments(timeline({"T7": 0, "I1": 5, "T8": 8, "I2": 20, "R": 25}))) == [
        ("T7-I1", "consumer", 5.0),
        ("I1-T8", "consumer", 3.0),
        ("T8-I2", "controller", 12.0),
        ("I2-R", "repair", 5.0),
    ]
    assert short(segments(timeline({"T7": 0, "T8": 30, "R": 10}))) == [
        ("T7-R", "repair", 10.0),
        ("R-T8", "consumer", 20.0),
    ]


@pytest.mark.parametrize(
    "stamped", [{}, {"T1": 0.0}, {"M1": 0.0, "M2": 3.0}], ids=["none", "one", "marks only"]
)
def test_too_few_stamps_make_no_way(stamped: dict[str, float]) -> None:
    found = timeline(stamped)
    assert segments(found) == []
    assert costs(segments(found)) == []
    assert remarks(found) == []
    assert within_budget(found) is None


def test_the_cost_is_by_component_and_the_repair_is_nobodys() -> None:
    found = costs(segments(timeline()))
    assert [(cost.component, milliseconds(cost.took)) for cost in found] == [
        ("monitor", 300.0),
        ("consumer", 36.5),
        ("store", 1.5),
        ("northbound", 1.0),
        ("notifier", 0.5),
        ("southbound", 0.3),
        ("inspector", 0.2),
    ]
    assert sum(cost.share for cost in found) == pytest.approx(1)
    assert found[0].share == pytest.approx(300 / 340)


def test_a_fault_that_took_no_time_has_no_shares() -> None:
    assert [cost.share for cost in costs(segments(timeline({"T1": 0, "T2": 0})))] == [0.0]


def test_the_second_is_from_detection_to_the_owner() -> None:
    assert short(telling(segments(timeline())))[0][0] == "T1-T2"
    assert short(telling(segments(timeline())))[-1][0] == "T6-T7"
    assert span(timeline(), Checkpoint.DETECTED, Checkpoint.RECEIVED) == ms(3.5)
    assert span(timeline(), Checkpoint.DETECTED, Checkpoint.ISOLATED) is None


@pytest.mark.parametrize(
    ("received", "kept"),
    [
        pytest.param(300.001, True, id="at once"),
        pytest.param(1299.999, True, id="just"),
        pytest.param(1300.0, False, id="a second is too long"),
        pytest.param(90_000.0, False, id="late"),
        pytest.param(299.0, True, id="clocks differ"),
    ],
)
def test_the_second_is_kept_or_not(received: float, kept: bool) -> None:
    assert within_budget(timeline(T7=received)) is kept


@pytest.mark.parametrize(
    "stamped", [{"T1": 0.0, "T6": 2.0}, {"T2": 0.0, "T7": 2.0}], ids=["not received", "no T1"]
)
def test_nobody_can_tell_yet_whether_the_second_is_kept(stamped: dict[str, float]) -> None:
    assert within_budget(timeline(stamped)) is None


def test_the_second_is_kept_when_the_last_consumer_has_it() -> None:
    assert within_budget(timeline(None, consumer("a", 303.5), consumer("b", 1299.0))) is True
    late = timeline(None, consumer("a", 303.5), consumer("b", 1500.0))
    assert within_budget(late) is False
    assert detected_to_received(late) == ms(1200)
    assert within_budget(late, BUDGET * 2) is True


def test_what_a_consumer_hears_later_does_not_count() -> None:
    cleared = timeline(None, consumer("a", 303.5), consumer("a", 5003.0, told=5001.0))
    assert within_budget(cleared) is True
    assert [entry.received for entry in first_told(cleared)] == [at(303.5)]
    in_any_order = timeline(None, consumer("a", 5003.0, told=5001.0), consumer("a", 303.5))
    assert last_received(in_any_order) == at(303.5)


def test_consumers_come_in_the_order_in_which_they_received() -> None:
    silent = ConsumerTimeline(subscription_id="silent", notification_id="n")
    found = timeline(None, silent, consumer("told", None), consumer("late", 400), consumer("soon", 303.5))
    assert [entry.subscription_id for entry in first_told(found)] == ["soon", "late", "told", "silent"]
    assert last_received(found) == at(400)


# --- clocks ---


def test_a_monitor_whose_clock_is_ahead_is_remarked_and_costs_nothing() -> None:
    ahead = timeline(T1=312.3)
    assert ("T1-T2", "southbound", -12.0) in short(segments(ahead))
    assert {cost.component: cost.took for cost in costs(segments(ahead))}["southbound"] == ZERO
    (remark,) = remarks(ahead)
    assert remark.startswith("T2 is stamped 12 ms before T1: two clocks differ")


def test_an_order_that_is_not_usual_is_remarked() -> None:
    (remark,) = remarks(timeline(T8=303.0))
    assert remark == "T8 is stamped 0.5 ms before T7: they did not happen in the usual order"


def test_an_hour_from_the_monitor_to_doctor_is_a_time_zone() -> None:
    (remark,) = remarks(timeline({"T1": -3_600_000.0, "T2": 0.0, "T7": 3.0}))
    assert remark == "3600 s from T1 to T2: look at the clock and the time zone of the monitor"


def test_a_usual_fault_needs_no_remark() -> None:
    assert remarks(timeline()) == []


@given(stamps)
def test_whatever_the_stamps_are_the_way_adds_up(stamped: dict[str, float]) -> None:
    """The segments make one unbroken way over all checkpoints that are no marks, and nothing crashes."""
    found = timeline(stamped)
    parts = segments(found)
    way = [name for name in stamped if not name.startswith("M")]
    assert len(parts) == max(0, len(way) - 1)
    assert all(one.end == other.start for one, other in pairwise(parts))
    assert all(part.component for part in parts)
    if parts:
        assert sum((part.took for part in parts), ZERO) == (
            found.checkpoints[parts[-1].end] - found.checkpoints[parts[0].start]
        )
    shares = costs(parts)
    assert all(cost.took >= ZERO and 0 <= cost.share <= 1 for cost in shares)
    assert [cost.took for cost in shares] == sorted((cost.took for cost in shares), reverse=True)
    assert within_budget(found) in (True, False, None)
    assert all(isinstance(remark, str) for remark in remarks(found))


def test_milliseconds_are_to_the_microsecond() -> None:
    assert milliseconds(timedelta(microseconds=1234567)) == 1234.567
    assert USUAL["T1"] == milliseconds(ms(300))
