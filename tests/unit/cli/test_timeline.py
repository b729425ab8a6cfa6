"""Drawings of timelines, and the command that draws them."""

import csv
import io
import json
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.cli.chart import UNICODE
from doctor.cli.drawing import duration, render, render_statistics
from doctor.cli.timeline import render as render_of_the_command
from doctor.model.checkpoint import Checkpoint, ConsumerTimeline
from doctor.profiler.export import timeline_as_json
from doctor.profiler.spread import statistics
from tests.unit.cli.conftest import Run
from tests.unit.client.fake_doctor import Answer, FakeDoctor
from tests.unit.profiler.timelines import consumer, ms, timeline

WHOLE, ENLARGED = "The whole fault", "Doctor's part of it, T1 to T7, enlarged"


def drawn(
    stamps: dict[str, float] | None = None,
    *consumers: ConsumerTimeline,
    width: int = 80,
    unicode: bool = True,
    **more: float,
) -> list[str]:
    return render(timeline(stamps, *consumers, **more), width, unicode=unicode).plain.splitlines()


def line_of(drawing: list[str], label: str, after: str = "") -> str:
    start = drawing.index(after) if after else 0
    return next(line for line in drawing[start:] if line.startswith(label))


# --- the drawing ---


@pytest.mark.requirement("F6")
def test_a_usual_fault_is_drawn_whole_and_enlarged() -> None:
    drawing = drawn()
    assert drawing[0] == "host down on compute-1  2026-03-04 05:05:00 UTC"
    assert drawing[2] == "✔ the owner had it 3.50 ms after detection, within the second"
    whole, enlarged = drawing.index(WHOLE), drawing.index(ENLARGED)
    assert [line[:3].strip() for line in drawing[whole + 3 : whole + 8]] == ["T0", "T1", "T7", "T8", "R"]
    assert line_of(drawing, "T7 received", WHOLE).endswith("3.50 ms  Doctor")
    assert line_of(drawing, "R  resolved", WHOLE).endswith(f"{UNICODE.broken}  4.66 s  repair")
    stations = [line[:2] for line in drawing[enlarged + 3 : enlarged + 11]]
    assert stations == ["T1", "T2", "T3", "T4", "T5", "T6", "T7", "T1"]
    assert line_of(drawing, "T5 saved", ENLARGED).endswith("1.50 ms  store")
    assert line_of(drawing, "T1 to T7", ENLARGED).endswith("3.50 ms  in all")


def test_the_enlarged_bars_are_to_scale() -> None:
    drawing = drawn(width=120)
    full = {
        name: line_of(drawing, name, ENLARGED).count("█")
        for name in ("T2 accepted", "T5 saved", "T7 received")
    }
    assert full["T5 saved"] == pytest.approx(1.5 * full["T7 received"], abs=2)
    assert full["T5 saved"] == pytest.approx(5 * full["T2 accepted"], abs=5)


@pytest.mark.requirement("F6")
def test_components_stand_below_by_share() -> None:
    drawing = drawn()
    table = drawing[drawing.index("Component        Time   Share  of T1-T7") :]
    assert [line.split()[0] for line in table[1:4]] == ["monitor", "consumer", "store"]
    assert table[1].split() == ["monitor", "300", "ms", "88.2%", "-"]
    assert table[3].split() == ["store", "1.50", "ms", "0.4%", "42.9%"]


def test_a_slow_doctor_needs_no_enlarging() -> None:
    drawing = drawn({"T0": 0, "T1": 10, "T2": 50, "T5": 200, "T7": 400, "T8": 420})
    assert "The fault" in drawing
    assert WHOLE not in drawing
    assert line_of(drawing, "T5 saved").endswith("150 ms  inspector + store")


def test_doctors_part_alone() -> None:
    drawing = drawn({"T1": 0, "T2": 1, "T7": 3})
    assert "From detection to the owner" in drawing
    assert any(line.split()[:3] == ["Component", "Time", "Share"] and "T1-T7" not in line for line in drawing)


def test_one_step_alone_needs_no_enlarging() -> None:
    drawing = drawn({"T0": 0, "T1": 300, "T7": 303})
    assert "The fault" in drawing
    assert not any(line.startswith("T1 to T7") for line in drawing)


def test_marks_stand_beside_the_way() -> None:
    drawing = drawn(M1=812.0, M2=830.0)
    assert "◆" in line_of(drawing, "M1 isolated")
    assert line_of(drawing, "M2 host marked").endswith("530 ms after T1")
    assert line_of(drawn({"T6": 0, "T7": 2, "M1": 5}), "M1 isolated").endswith("5.00 ms after T6")


@pytest.mark.parametrize("stamps", [{}, {"T1": 0.0}, {"M1": 0.0}])
def test_too_little_to_draw(stamps: dict[str, float]) -> None:
    drawing = drawn(stamps)
    assert drawing[2] == "no owner has received it yet"
    assert drawing[3].startswith("fewer than two checkpoints are stamped")


def test_it_is_said_when_the_second_was_not_kept() -> None:
    assert drawn(T7=1800.0)[2] == "✘ the owner had it 1.50 s after detection, later than a second"


def test_each_consumer_is_listed_the_slowest_first() -> None:
    drawing = drawn(None, consumer("a", 303.5, handled=340.0), consumer("b", 1500.0), consumer("c", None))
    assert drawing[2] == "✘ 2 of 3 consumers had it 1.20 s after detection, later than a second"
    table = drawing[drawing.index("Consumer       told   received    handled") :]
    assert [line.split() for line in table[1:]] == [
        ["c", "2.50", "ms", "-", "-"],
        ["b", "2.50", "ms", "1.20", "s", "-"],
        ["a", "2.50", "ms", "3.50", "ms", "40.0", "ms"],
    ]
    assert drawn(None, consumer("a", 303.5), consumer("b", 303.9))[2].startswith(
        "✔ all 2 consumers had it 3.90 ms"
    )
    many = drawn(None, *(consumer(f"c{number}", 303.5 + number) for number in range(11)))
    assert many[-1] == "and 3 more, all of them sooner"
    assert "Consumer" not in "".join(drawn({"T6": 0, "T7": 1}, consumer("a", 303.5), consumer("b", 304.0)))


def test_waiting_for_the_repair_is_nobodys_cost() -> None:
    assert not any(line.startswith("Component") for line in drawn({"T8": 0, "R": 5}))


def test_clocks_that_differ_are_shown_and_remarked() -> None:
    drawing = drawn({"T0": 0, "T1": 20, "T2": 8, "T3": 9, "T7": 30})
    assert line_of(drawing, "T2 accepted").endswith("-12.0 ms  southbound")
    assert "░" in line_of(drawing, "T2 accepted")
    assert drawing[-1].startswith("Note: T2 is stamped 12 ms before T1")


def test_where_unicode_is_not_spoken_it_is_ascii() -> None:
    drawing = "\n".join(drawn(None, consumer("a", 303.5), unicode=False, M1=400.0))
    assert drawing.isascii()
    assert "OK: the owner had it" in drawing
    assert render_statistics(statistics([timeline()]), unicode=False).plain.isascii()


@pytest.mark.parametrize("width", [20, 60, 80, 100, 140, 500])
def test_it_is_as_wide_as_the_terminal(width: int) -> None:
    widest = max(len(line) for line in drawn(M1=900.0, width=width)[3:])
    assert widest <= min(max(width, 60), 140)
    assert widest > min(max(width, 60), 140) - 8


@given(
    st.dictionaries(st.sampled_from([str(c) for c in Checkpoint]), st.floats(-1e7, 1e9)),
    st.booleans(),
    st.integers(60, 140),
)
def test_whatever_was_stamped_can_be_drawn(stamps: dict[str, float], unicode: bool, width: int) -> None:
    drawing = drawn(stamps, unicode=unicode, width=width)
    chart = [line for line in drawing if not line.startswith("Note: ")]
    longest = max(chart, key=len)
    assert len(longest) <= max(width, 84), longest


def test_it_is_coloured_by_component() -> None:
    styles = {str(span.style) for span in render(timeline(), 80).spans}
    assert {"yellow", "cyan", "magenta", "blue", "green"} <= styles


@pytest.mark.parametrize(
    ("took", "written"),
    [
        (ms(0), "0 ms"),
        (ms(0.004), "0.004 ms"),
        (ms(0.31), "0.31 ms"),
        (ms(9.996), "10.0 ms"),
        (ms(41.26), "41.3 ms"),
        (ms(302.4), "302 ms"),
        (ms(999.6), "1.00 s"),
        (ms(-12), "-12.0 ms"),
        (ms(4210), "4.21 s"),
        (timedelta(seconds=64.25), "64.2 s"),
        (timedelta(seconds=-123), "-2 min 3 s"),
        (timedelta(hours=2, minutes=3), "2 h 3 min"),
        (timedelta(days=3, hours=4), "3 d 4 h"),
    ],
)
def test_durations_are_written_for_people(took: timedelta, written: str) -> None:
    assert duration(took) == written


def test_statistics_are_a_table() -> None:
    table = render_statistics(statistics([timeline(), timeline(T7=2000.0, T8=2001.0)])).plain.splitlines()
    assert table[0] == "2 faults: 1 of 2 known to the owners within the second, 1 later"
    assert line_of(table, "T4→T5 saved").split()[2:4] == ["store", "2"]
    assert line_of(table, "T1→T7 received by all").split()[-2:] == ["1.70", "s"]
    assert render_statistics(statistics([])).plain == "0 faults: none has been received by its owner"
    assert render_statistics(statistics([timeline()])).plain.startswith(
        "1 fault: 1 of 1 known to the owners within the second\n"
    )


# --- the command ---

ONE = timeline_as_json(timeline())
OTHER = timeline_as_json(timeline()) | {"fault_id": "f2", "fault_type": "disk crash"}


def test_the_last_fault_is_drawn(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/timelines", [ONE])
    result = run("timeline")
    assert result.exit_code == 0
    assert result.stdout.startswith("host down on compute-1")
    assert doctor.last.query == {"limit": ["1"]}


def test_one_fault_is_drawn(run: Run, doctor: FakeDoctor) -> None:
    doctor.answers("GET", "/v1/timelines/f2", Answer(body=OTHER))
    assert run("timeline", "f2").stdout.startswith("disk crash on compute-1")
    assert json.loads(run("timeline", "f2", "--json").stdout) == OTHER
    exported = json.loads(run("timeline", "f2", "--export", "json").stdout)
    assert exported == {"items": [OTHER], "next": None}


def test_no_fault_yet(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/timelines", [])
    result = run("timeline")
    assert (result.exit_code, result.stderr) == (1, "Error: there are no timelines: no fault has come yet\n")


def test_many_faults_are_summed_up(run: Run, doctor: FakeDoctor) -> None:
    doctor.lists("/v1/timelines", [ONE, OTHER])
    assert run("timeline", "--stats", "--limit", "1000").stdout.startswith("2 faults: 2 of 2 known")
    assert doctor.last.query == {"limit": ["500"]}
    summary = json.loads(run("timeline", "--stats", "--json").stdout)
    assert (summary["faults"], summary["within_budget"]) == (2, 2)


def test_what_is_exported_can_be_drawn_without_a_doctor(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    file = tmp_path / "faults.json"
    doctor.lists("/v1/timelines", [ONE, OTHER])
    result = run("timeline", "--export", "json", "--output", str(file))
    assert (result.stdout, result.stderr) == ("", f"2 timelines written to {file}\n")
    doctor.asked.clear()
    assert run("timeline", "--file", str(file)).stdout.startswith("host down on compute-1")
    assert run("timeline", "--file", "-", "f2", stdin=file.read_bytes()).stdout.startswith("disk crash")
    assert run("timeline", "--file", str(file), "--stats", "--limit", "1").stdout.startswith("1 fault:")
    assert "has no fault f3" in run("timeline", "--file", str(file), "f3").stderr
    assert doctor.asked == []


@pytest.mark.parametrize(
    "content",
    [
        pytest.param([ONE, OTHER], id="list"),
        pytest.param(ONE, id="one"),
        pytest.param(
            ONE | {"checkpoints": {"T1": "2026-03-04T05:05:00", "T7": "2026-03-04T05:05:01Z"}}, id="no zone"
        ),
        pytest.param(ONE | {"checkpoints": {"T1": None, "T99": "soon"}}, id="stations unknown"),
        pytest.param(
            ONE
            | {
                "consumers": [{"subscription_id": "s", "notification_id": "n", "told": "2026-03-04T05:05:00"}]
            },
            id="consumers",
        ),
    ],
)
def test_files_of_several_shapes_are_read(run: Run, tmp_path: Path, content: Any) -> None:
    file = tmp_path / "faults.json"
    file.write_text(json.dumps(content))
    result = run("timeline", "--file", str(file))
    assert (result.exit_code, result.stderr) == (0, "")


@pytest.mark.parametrize(
    "content", ["", "[1]", '"x"', "{}", '{"items": 5}', '[{"fault_id": 1}]', '{"checkpoints": []}']
)
def test_files_that_hold_no_timelines_are_refused(run: Run, tmp_path: Path, content: str) -> None:
    file = tmp_path / "faults.json"
    file.write_text(content)
    result = run("timeline", "--file", str(file))
    assert result.exit_code == 1
    assert f"{file} holds no timelines" in result.stderr


def test_figures_go_to_csv(run: Run, doctor: FakeDoctor, tmp_path: Path) -> None:
    doctor.lists("/v1/timelines", [ONE, OTHER])
    table = list(csv.DictReader(io.StringIO(run("timeline", "--export", "csv").stdout)))
    assert [row["fault_id"] for row in table] == ["f1", "f2"]
    assert table[0]["detected_to_received_ms"] == "3.5"
    file = tmp_path / "faults.csv"
    run("timeline", "--export", "csv", "--output", str(file))
    assert list(csv.DictReader(io.StringIO(file.read_text()))) == table
    summary = list(csv.DictReader(io.StringIO(run("timeline", "--stats", "--export", "csv").stdout)))
    assert (summary[0]["segment"], summary[0]["count"]) == ("T0-T1", "2")
    assert json.loads(run("timeline", "--stats", "--export", "json").stdout)["faults"] == 2


@pytest.mark.parametrize("words", [["--output", "x"], ["--export", "csv", "--json"]])
def test_options_that_do_not_go_together(run: Run, words: list[str]) -> None:
    assert run("timeline", *words).exit_code == 2


def test_the_drawing_is_there_for_others_too() -> None:
    assert render_of_the_command is render
