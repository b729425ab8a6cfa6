"""Timelines for other programs."""

import json

import msgspec
import pytest

from doctor.model.checkpoint import Timeline
from doctor.profiler.export import statistics_as_json, statistics_rows, timeline_as_json, timeline_rows
from doctor.profiler.spread import statistics
from tests.unit.profiler.timelines import consumer, timeline


@pytest.mark.requirement("F9")
def test_what_is_exported_can_be_read_in_again() -> None:
    original = timeline(None, consumer("a", 303.5, handled=340.0), consumer("b", None), M1=800.0)
    again = msgspec.convert(json.loads(json.dumps(timeline_as_json(original))), Timeline)
    assert again == original


def test_the_figures_stand_beside_the_stamps() -> None:
    found = timeline_as_json(timeline())
    assert found["checkpoints"]["T1"] == "2026-03-04T05:05:00.300000Z"
    assert found["segments"][0] == {"from": "T0", "to": "T1", "component": "monitor", "ms": 300.0}
    assert found["components"][0] == {"component": "monitor", "ms": 300.0, "percent": 88.24}
    assert (found["detected_to_received_ms"], found["within_budget"], found["remarks"]) == (3.5, True, [])


def test_a_fault_that_nobody_received_has_no_such_figures() -> None:
    found = timeline_as_json(timeline({"T1": 0}))
    assert (found["detected_to_received_ms"], found["within_budget"]) == (None, None)


def test_a_table_has_a_fault_to_a_row() -> None:
    names, usual, bare = timeline_rows([timeline(), timeline({"T1": 0})])
    assert len(names) == len(usual) == len(bare)
    row = dict(zip(names, usual, strict=True))
    assert (row["fault_id"], row["T0"], row["M1"]) == ("f1", "2026-03-04T05:05:00.000000Z", "")
    assert (row["T4_T5_ms"], row["T7_T8_ms"], row["I1_I2_ms"]) == ("1.5", "36.5", "")
    assert (row["detected_to_received_ms"], row["within_budget"]) == ("3.5", "true")
    row = dict(zip(names, bare, strict=True))
    assert (row["T0_T1_ms"], row["detected_to_received_ms"], row["within_budget"]) == ("", "", "")


def test_statistics_are_exported_in_milliseconds() -> None:
    found = statistics([timeline(), timeline(T7=2000.0, T8=2100.0)])
    exported = statistics_as_json(found)
    assert (exported["faults"], exported["within_budget"], exported["over_budget"]) == (2, 1, 1)
    assert exported["segments"][0] == {
        "segment": "T0-T1",
        "component": "monitor",
        "count": 2,
        "p50_ms": 300.0,
        "p90_ms": 300.0,
        "p99_ms": 300.0,
        "max_ms": 300.0,
    }
    names, first, *_ = statistics_rows(found)
    assert dict(zip(names, first, strict=True))["p99_ms"] == "300.0"
