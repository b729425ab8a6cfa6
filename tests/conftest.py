"""What all tests share."""

import asyncio

import pytest

pytest.register_assert_rewrite("doctor.testing.contracts")
pytest_plugins = [
    "pytester",
    "tests.figures",
    "tests.skip_policy",
    "tests.requirement_marks",
    "tests.driver_grades",
]


def pytest_sessionstart() -> None:
    """Start without an event loop: looptime asks for one before every test, and the first to ask gets a new one
    made, up to Python 3.13, which nobody would close."""
    asyncio.set_event_loop(None)


def pytest_itemcollected(item: pytest.Item) -> None:
    """Let virtual time jump sooner: looptime looks 42 times before each jump whether anybody comes from outside.

    Nothing does in tests in virtual time, but from threads, and those it waits for anyway.
    """
    if item.get_closest_marker("looptime"):
        item.add_marker(pytest.mark.looptime(noop_cycles=2))
