"""Tests on a real OpenStack, the testbed of this repository. Only `make test-openstack` runs them.

They take turns on the cloud, across checkouts too, and each finds all hosts up and enabled.
"""

import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import STATE, Cloud, Owner

ASKED_FOR = os.environ.get("DOCTOR_TEST_OPENSTACK", "") not in ("", "0")
SERVERS = 6


def pytest_ignore_collect() -> bool | None:
    """Leave this folder out of other runs: it changes a cloud, and takes minutes."""
    return None if ASKED_FOR else True


@pytest.fixture(scope="session", autouse=True)
def turn() -> Iterator[None]:
    """Wait until nobody else tests on this cloud."""
    assert (STATE / "clouds.yaml").exists(), "the testbed is not up: testbeds/openstack/up"
    with (STATE / "run" / "tests.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """The cloud as its administrator sees it, with servers of one tenant on all hosts, and nothing wrong."""
    async with Cloud.login("doctor") as cloud, Cloud.login("tenant-a") as tenant:
        await cloud.mend()
        cloud.servers = await tenant.some_servers(SERVERS)
        yield cloud
        await cloud.mend()


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    """One who is told of what is his."""
    owner = Owner()
    async with owner.listening():
        yield owner


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[RunningDoctor]:
    """A Doctor that keeps its map by this cloud; not started yet."""
    url = tmp_path / "bus.url"
    url.write_text("amqp://openstack:testbed@127.0.0.1:15680/")
    running = RunningDoctor(tmp_path / "doctor", controllers=[driver(url)], log={"level": "debug"})
    yield running
    running.stop()


def driver(url: Path | None) -> dict[str, object]:
    """Return the settings of the controller."""
    settings: dict[str, object] = {
        "driver": "openstack",
        "cloud": "doctor",
        "clouds_file": str(STATE / "clouds.yaml"),
        "reconcile_every": 600,
    }
    return settings if url is None else settings | {"notifications": {"url_file": str(url)}}
