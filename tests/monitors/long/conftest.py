"""Monitors that take minutes to start. Only the long round (`make soak`) runs them."""

import os

IS_LONG = os.environ.get("DOCTOR_SOAK", "") not in ("", "0")


def pytest_ignore_collect() -> bool | None:
    """Leave this folder out of other runs."""
    return None if IS_LONG else True
