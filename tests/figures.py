"""Say at the end of a run what its tests have counted: a pytest plugin.

A test that counts asks for ``figures`` and hands it a text; what is only printed nobody sees of a test that passes.
"""

from collections.abc import Callable

import pytest

NAME = "figures"

Figures = Callable[[str], None]


@pytest.fixture
def figures(record_property: Callable[[str, object], None]) -> Figures:
    """Return what takes a text for the end of the run."""
    return lambda text: record_property(NAME, text)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say it."""
    reports = [
        one
        for outcome in ("passed", "failed")
        for one in terminalreporter.getreports(outcome)
        if one.when == "call"
    ]
    told = [(one.nodeid, text) for one in reports for name, text in one.user_properties if name == NAME]
    if told:
        terminalreporter.section("FIGURES")
    for test, text in told:
        terminalreporter.line(f"{test}\n{text}\n")
