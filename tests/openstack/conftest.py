"""Tests on a real OpenStack, the testbed of this repository. Only `make test-openstack` runs them."""

import os

ASKED_FOR = os.environ.get("DOCTOR_TEST_OPENSTACK", "") not in ("", "0")


def pytest_ignore_collect() -> bool | None:
    """Leave this folder out of other runs: it changes a cloud, and takes minutes."""
    return None if ASKED_FOR else True
