"""Know the statements of the requirements: a pytest plugin.

A test says which statements it shows, ``@pytest.mark.requirement("B5", "B8")``; scripts/requirements makes the page of
them. An id that docs/requirements/statements.yaml does not have stops the run before anything is tested.
"""

from functools import cache
from pathlib import Path

import pytest
import yaml

STATEMENTS = Path(__file__).parents[1] / "docs" / "requirements" / "statements.yaml"


@cache
def known() -> frozenset[str]:
    """Return the ids of all statements."""
    data = yaml.safe_load(STATEMENTS.read_text())
    return frozenset(one["id"] for chapter in data["chapters"] for one in chapter["statements"])


def pytest_configure(config: pytest.Config) -> None:
    """Make the marker known."""
    config.addinivalue_line(
        "markers",
        "requirement(*ids): the statements of the requirements that a test shows (docs/requirements.md)",
    )


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Refuse marks that cite nothing."""
    wrong = []
    for item in items:
        for mark in item.iter_markers("requirement"):
            if mark.kwargs or not mark.args or not all(isinstance(one, str) for one in mark.args):
                wrong.append(f"{item.nodeid}: requirement takes ids, as texts")
            elif unknown := sorted(set(mark.args) - known()):
                wrong.append(f"{item.nodeid}: there is no statement {', '.join(unknown)}")
    if wrong:
        raise pytest.UsageError("\n".join(wrong))
