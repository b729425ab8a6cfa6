"""What is shown of each driver of a monitor: a pytest plugin.

A test says what it shows, ``@pytest.mark.shows("payload collectd", "contract", "bad input")``, and the grades in
docs/reference/drivers.md have to be what that comes to.
"""

import ast
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import pytest

TESTS = Path(__file__).parent

# What a grade needs, beside all that the one before it needs.
GRADES = {
    "works": {"contract"},
    "robust": {"real", "bad input", "restart"},
    "complete": {"lost", "flood"},
}


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    words = ", ".join(sorted(word for needed in GRADES.values() for word in needed))
    config.addinivalue_line("markers", f"shows(driver, *what): what a test shows of a driver: {words}")


def shown() -> dict[str, dict[str, list[str]]]:
    """Return what is shown of each driver, and by which tests."""
    found: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    for file in sorted(TESTS.rglob("test_*.py")):
        text = file.read_text()
        if "mark.shows(" in text:
            for name, (driver, *what) in _marks(ast.parse(text)):
                for word in what:
                    found[driver][word].append(f"{file.relative_to(TESTS)}::{name}")
    return found


def _marks(tree: ast.Module) -> Iterator[tuple[str, list[str]]]:
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.ClassDef)):
            for mark in node.decorator_list:
                if isinstance(mark, ast.Call) and ast.unparse(mark.func) == "pytest.mark.shows":
                    assert node.name.lower().startswith("test"), f"{node.name} is no test"
                    yield node.name, [str(ast.literal_eval(word)) for word in mark.args]


def grade(what: set[str]) -> str:
    """Return the grade that this comes to; "" is none."""
    reached = ""
    for name, needed in GRADES.items():
        if not needed <= what:
            break
        reached = name
    return reached
