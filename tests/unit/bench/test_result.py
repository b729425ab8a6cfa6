"""Figures, their floors and targets, and what becomes of a run in which something was lost."""

from typing import Any

import msgspec
import pytest

from doctor.cli.bench import report
from doctor.cli.bench.result import Figure, Measured, Result, Verdict, compared, earlier_values
from doctor.cli.bench.targets import TARGETS


def a_figure(name: str = "latency.1000.p50", value: float = 2.0, **changes: Any) -> Figure:
    return Figure(**{"name": name, "title": name, "value": value, "unit": "ms", **changes})


def a_result(*figures: Figure, quick: bool = False, **counts: tuple[int, int]) -> Result:
    measured = Measured(figures=list(figures), counts=counts)
    machine = {"cores": 2, "processor": "a processor", "kernel": "6", "python": "3", "filesystem": "ext4"}
    return Result(
        started="2026-03-04T05:06:07Z",
        quick=quick,
        machine=machine,
        versions={"doctor": "1"},
        measured={"latency": measured},
        elsewhere={"latency": 0.0},
        errors=measured.losses,
    )


@pytest.mark.parametrize(
    ("figure", "verdict"),
    [
        pytest.param(a_figure(value=3), Verdict.REACHED, id="at-the-limit"),
        pytest.param(a_figure(value=3.1), Verdict.MISSED, id="above-the-limit"),
        pytest.param(a_figure(value=2, floor=1), Verdict.REACHED, id="twice-the-floor"),
        pytest.param(a_figure(value=2.1, floor=1), Verdict.MISSED, id="more-than-twice-the-floor"),
        pytest.param(a_figure("single.per_core", 20_000, better="higher"), Verdict.REACHED, id="fast-enough"),
        pytest.param(a_figure("single.per_core", 19_999, better="higher"), Verdict.MISSED, id="too-slow"),
        pytest.param(a_figure("nobody.cares", 1e9), None, id="without-a-target"),
    ],
)
def test_a_figure_is_judged_by_its_target_and_its_floor(figure: Figure, verdict: Verdict | None) -> None:
    assert figure.verdict is verdict


@pytest.mark.parametrize(
    ("figure", "ratio"),
    [
        pytest.param(a_figure(value=3, floor=2), 1.5, id="a-time"),
        pytest.param(a_figure(value=100, floor=150, better="higher"), 1.5, id="a-rate"),
        pytest.param(a_figure(value=3), None, id="without-a-floor"),
        pytest.param(a_figure(value=0, floor=2), None, id="nothing-was-measured"),
    ],
)
def test_a_ratio_above_one_is_worse_than_the_floor(figure: Figure, ratio: float | None) -> None:
    assert figure.ratio == ratio


def test_every_target_can_be_met() -> None:
    assert all(target.limit > 0 for target in TARGETS.values())


def test_what_was_lost_makes_a_run_incomplete() -> None:
    result = a_result(a_figure(), told=(10, 9), sent=(5, 5))
    document = result.as_json()
    assert document["complete"] is False
    assert document["errors"] == ["told: 9 instead of 10"]
    assert any("NOT COMPLETE" in line for line in report.remarks(result))


def test_a_result_is_plain_json() -> None:
    document = a_result(a_figure(floor=1.5)).as_json()
    again = msgspec.json.decode(msgspec.json.encode(document))
    (figure,) = again["measured"]["latency"]["figures"]
    assert figure == {
        "name": "latency.1000.p50",
        "title": "latency.1000.p50",
        "value": 2.0,
        "unit": "ms",
        "better": "lower",
        "floor": 1.5,
        "times_floor": 1.333,
        "target": {"limit": 3, "times_floor": 2},
        "verdict": "pass",
    }


def test_a_quick_run_is_not_judged() -> None:
    result = a_result(a_figure(), quick=True)
    (figure,) = result.as_json()["measured"]["latency"]["figures"]
    assert figure["verdict"] is None
    assert "pass" not in report.rows(result, None)[0]


def test_a_run_is_compared_with_an_earlier_one() -> None:
    earlier = earlier_values(a_result(a_figure(value=4), a_figure("gone", 1)).as_json())
    now = a_result(a_figure(value=2), a_figure("new", 1))
    assert compared(now.figures, earlier) == {"latency.1000.p50": 0.5}
    rows = report.rows(now, earlier)
    assert [row[-1] for row in rows] == ["0.50", ""]
    assert all(len(row) == len(report.columns(with_earlier=True)) for row in rows)


@pytest.mark.parametrize(
    "document",
    [
        pytest.param([], id="a-list"),
        pytest.param({}, id="nothing-in-it"),
        pytest.param({"measured": {"map": {"figures": [{"name": "x"}]}}}, id="a-figure-without-a-value"),
        pytest.param({"measured": {"map": None}}, id="a-measurement-of-nothing"),
    ],
)
def test_what_is_no_result_is_refused(document: Any) -> None:
    with pytest.raises(ValueError, match="no result"):
        earlier_values(document)


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        pytest.param(123_456.7, "req/s", "123,457 req/s", id="large"),
        pytest.param(3.14159, "ms", "3.14 ms", id="small"),
        pytest.param(0.01234, "s", "0.0123 s", id="tiny"),
    ],
)
def test_values_are_written_to_three_places(value: float, unit: str, text: str) -> None:
    assert report.written(value, unit) == text


def test_targets_are_written_as_they_are_judged() -> None:
    assert report.aim(a_figure()) == "<= 3 ms, <= 2 x floor"
    assert report.aim(a_figure("bulk.per_core", unit="ev/s", better="higher")) == ">= 300,000 ev/s"
    assert report.aim(a_figure("nobody.cares")) == ""


def test_a_disk_that_is_none_is_told_of() -> None:
    result = a_result(a_figure())
    result.machine["filesystem"] = "tmpfs"
    assert any("--folder" in line for line in report.remarks(result))


def test_a_busy_machine_is_told_of() -> None:
    result = a_result(a_figure())
    result.elsewhere["latency"] = 40.0
    assert any("latency 40 %" in line for line in report.remarks(result))
