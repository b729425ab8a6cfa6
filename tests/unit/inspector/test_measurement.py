"""What is said of a number that has left its range."""

from datetime import timedelta

import pytest

from doctor.inspector.measurement import Threshold, last_read, measured, readings, thresholds
from doctor.model.policy import Condition, Equals, Range

HOT = Threshold("celsius", Range(above=80.0, dwell=timedelta(seconds=30), clear_below=75.0))


def test_ranges_are_thresholds_and_a_grade_is_more_exact_than_its_rule() -> None:
    rule = Condition(details={"celsius": Range(above=80.0), "unit": Equals("C")})
    grade = Condition(details={"celsius": Range(above=95.0), "fan.rpm": Range(below=100.0)})
    assert thresholds((rule, grade)) == (
        Threshold("celsius", Range(above=95.0)),
        Threshold("fan.rpm", Range(below=100.0)),
    )


@pytest.mark.parametrize(
    ("details", "read"),
    [
        pytest.param({"celsius": 81}, {"celsius": 81}, id="number"),
        pytest.param({"celsius": " 8.1e1 "}, {"celsius": 81.0}, id="text"),
        pytest.param({"celsius": "hot"}, {}, id="word"),
        pytest.param({"celsius": True}, {}, id="truth"),
        pytest.param({}, {}, id="none"),
    ],
)
def test_what_is_no_number_was_not_measured(details: dict[str, object], read: dict[str, float]) -> None:
    assert readings((HOT,), details) == read
    assert bool(measured((HOT,), details, {})) is bool(read)


@pytest.mark.parametrize(("before", "trend"), [(70, "rising"), (90, "falling"), (81, "steady")])
def test_a_trend_is_against_what_was_read_before(before: float, trend: str) -> None:
    found = measured((HOT,), {"celsius": 81}, {"celsius": before})
    assert found["measured"] == [
        {
            "detail": "celsius",
            "value": 81,
            "above": 80.0,
            "clear_below": 75.0,
            "for": 30.0,
            "before": before,
            "trend": trend,
        }
    ]
    assert last_read(found) == {"celsius": 81}


@pytest.mark.parametrize(
    "said", ["yes", 5, None, [], ["celsius"], [{"detail": 1, "value": 2}], [{"detail": "x"}]]
)
def test_details_of_a_monitor_that_are_called_the_same_are_no_reading(said: object) -> None:
    assert last_read({"measured": said}) == {}
