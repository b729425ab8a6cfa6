"""What all tests share."""

import asyncio

import pytest

pytest.register_assert_rewrite("doctor.testing.contracts")
pytest_plugins = ["pytester", "tests.figures", "tests.skip_policy", "tests.requirement_marks"]


def pytest_sessionstart() -> None:
    """Start without an event loop: looptime asks for one before every test, and the first to ask gets a new one
    made, up to Python 3.13, which nobody would close."""
    asyncio.set_event_loop(None)
