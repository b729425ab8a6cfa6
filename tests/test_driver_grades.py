"""The grades of the drivers of monitors are what the tests show."""

import re
from importlib.metadata import entry_points
from pathlib import Path

import pytest

from doctor.app.plugins import MONITORS, PAYLOADS
from tests.driver_grades import GRADES, grade, shown

PAGE = Path(__file__).parents[1] / "docs" / "reference" / "drivers.md"
UNGRADED = "ungraded"
ROW = re.compile(r"^\| `(\w+)` \| (monitor|payload) \| (\w+) \|", re.MULTILINE)


def test_the_page_has_every_driver_with_the_grade_that_is_shown() -> None:
    told = {f"{way} {name}": given for name, way, given in ROW.findall(PAGE.read_text())}
    ours = {
        f"{way} {point.name}"
        for way, group in (("monitor", MONITORS), ("payload", PAYLOADS))
        for point in entry_points(group=group)
        if point.value.startswith("doctor.")
    }
    assert told.keys() == ours
    evidence = shown()
    assert told == {name: grade(set(evidence[name])) or UNGRADED for name in ours}


def test_what_is_shown_is_of_a_kind_that_counts() -> None:
    counts = set().union(*GRADES.values())
    assert {word for words in shown().values() for word in words} <= counts


@pytest.mark.parametrize(
    ("what", "reached"),
    [
        (set(), ""),
        ({"contract"}, "works"),
        ({"real", "bad input", "restart"}, ""),
        ({"contract", "real", "bad input", "restart", "lost"}, "robust"),
        ({"contract", "real", "bad input", "restart", "lost", "flood"}, "complete"),
    ],
)
def test_a_grade_needs_all_that_the_one_before_it_needs(what: set[str], reached: str) -> None:
    assert grade(what) == reached
