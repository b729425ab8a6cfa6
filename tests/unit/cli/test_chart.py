"""Bars on a scale."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.cli.chart import ASCII, UNICODE, Bar, Glyphs, draw, horizon, tick_step

WIDTH = 60


def cells(*bars: Bar, width: int = WIDTH, glyphs: Glyphs = UNICODE, keep: float = 0.0) -> list[str]:
    return [line.cells for line in draw(bars, width, glyphs, keep=keep)]


def test_bars_make_a_staircase_to_scale() -> None:
    scale, ruler, first, second = draw(
        [Bar("one", 0, 0.010, "10 ms"), Bar("two", 0.010, 0.040, "30 ms")], 66, ASCII
    )
    assert scale.text == " ms"
    assert scale.cells.split() == ["0", "5", "10", "15", "20", "25", "30", "35", "40"]
    assert ruler.cells.startswith("+")
    assert ruler.cells.endswith(">")
    assert second.cells.rstrip().count("=") == pytest.approx(3 * first.cells.count("="), abs=2)
    assert len(second.cells) - len(second.cells.lstrip()) == pytest.approx(first.cells.count("="), abs=1)


def placed(*bars: Bar) -> list[str]:
    """Draw bars on a scale of a second in 40 cells."""
    _, ruler, *rest = cells(Bar("", 0, 1.0, "x" * 15), *bars, width=58, keep=1.0)
    assert ruler == "├" + ruler[1:40] + "→"
    return rest[1:]


@pytest.mark.parametrize(
    ("end", "drawn"),
    [(1.0, "█" * 40), (0.5, "█" * 20), (0.0125, "▌"), (0.0001, "▏"), (0.0, "▏")],
)
def test_the_smallest_bar_is_seen(end: float, drawn: str) -> None:
    assert placed(Bar("", 0, end, "")) == [drawn]


@pytest.mark.parametrize(
    ("start", "end", "drawn"),
    [
        (0.0125, 0.05, "▐█"),
        (0.0225, 0.0226, "▕"),
        (0.0125, 0.025, "▐"),
        (0.005, 0.011, "▎"),
        (0.0225, 0.03, "▕▎"),
    ],
)
def test_bars_begin_within_a_cell(start: float, end: float, drawn: str) -> None:
    assert placed(Bar("", start, end, "")) == [drawn]


def test_other_kinds_of_lines() -> None:
    point, mark, bracket, small, backwards = placed(
        Bar("", 0.5, 0.5, "", kind="point"),
        Bar("", 0.5, 0.5, "", kind="mark"),
        Bar("", 0.25, 0.5, "", kind="bracket"),
        Bar("", 0.5, 0.501, "", kind="bracket"),
        Bar("", 0.5, 0.25, ""),
    )
    assert point == " " * 20 + "╷"
    assert mark == " " * 20 + "◆"
    assert bracket == " " * 10 + "├─────────┤"
    assert small == " " * 20 + "├"
    assert backwards == " " * 10 + "░" * 10


def test_what_comes_very_late_runs_over_the_edge() -> None:
    bars = [
        Bar("a", 0, 0.3, ""),
        Bar("b", 0.3, 9000, "repair"),
        Bar("c", 9000, 9001, ""),
        Bar("d", 9000, 9000, "", kind="mark"),
    ]
    scale, ruler, first, second, third, mark = cells(*bars)
    assert scale.split()[-1] in ("250", "300")
    assert ruler.endswith(UNICODE.broken)
    assert UNICODE.broken not in first
    assert second.rstrip().endswith(UNICODE.broken)
    assert third.strip() == mark.strip() == UNICODE.broken


def test_the_scale_reaches_as_far_as_it_has_to() -> None:
    bars = [Bar("a", 0, 0.001, ""), Bar("b", 0.001, 60, "")]
    assert UNICODE.broken in cells(*bars)[-1]
    assert UNICODE.broken not in cells(*bars, keep=60)[-1]


@pytest.mark.parametrize(
    ("ends", "wanted"),
    [([], 0), ([0, 0], 0), ([1], 1), ([1, 5], 5), ([1, 5.1], 1), ([1, 4, 19, 100], 19), ([-5, 3], 3)],
)
def test_how_far_the_scale_goes(ends: list[float], wanted: float) -> None:
    assert horizon(ends) == wanted


@pytest.mark.parametrize(
    ("reach", "unit"), [(0.00005, "ms"), (0.9, "ms"), (5, "s"), (100, "s"), (600, "min"), (20_000, "h")]
)
def test_units_are_sensible(reach: float, unit: str) -> None:
    scale = draw([Bar("", 0, reach, "")], WIDTH, ASCII)[0]
    assert scale.text == f" {unit}"
    numbers = [float(number) for number in scale.cells.split()]
    assert numbers[0] == 0
    assert 3 <= len(numbers) <= 12
    assert numbers == sorted(numbers)


@pytest.mark.parametrize(
    ("reach", "cells", "step"), [(100, 60, 10), (100, 30, 20), (3.4, 40, 1), (3.4, 42, 0.5)]
)
def test_steps_are_round(reach: float, cells: int, step: float) -> None:
    assert tick_step(reach, cells) == pytest.approx(step)


@given(
    st.lists(
        st.builds(
            Bar,
            st.just("label"),
            st.floats(0, 1e5),
            st.floats(0, 1e5),
            st.text("abc", max_size=20),
            st.just(""),
            st.sampled_from(["bar", "bracket", "mark", "point"]),
        ),
        min_size=1,
        max_size=12,
    ),
    st.integers(60, 140),
    st.sampled_from([UNICODE, ASCII]),
)
def test_whatever_is_drawn_fits(bars: list[Bar], width: int, glyphs: Glyphs) -> None:
    lines = draw(bars, width, glyphs)
    assert len(lines) == len(bars) + 2
    assert max((line.label + line.cells + line.text for line in lines), key=len)[width:] == ""
    assert all(line.cells.strip() for line in lines)
    if glyphs is ASCII:
        assert all(line.cells.isascii() for line in lines)
