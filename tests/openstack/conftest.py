"""Tests on a real OpenStack, the testbed of this repository. Only `make test-openstack` runs them.

They take turns on the cloud, across checkouts too, and each finds all hosts up and enabled.
"""

import asyncio
import fcntl
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from doctor.drivers.controllers.openstack import make
from doctor.ports.controller import Controller
from doctor.testing.running import RunningDoctor
from tests.openstack.access import BUS_URL
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
        asyncio.run(mended())


@pytest.fixture
async def cloud() -> AsyncIterator[Cloud]:
    """The cloud as its administrator sees it, with servers of one tenant on all hosts, and nothing wrong."""
    async with Cloud.login("doctor") as cloud, Cloud.login("tenant-a") as tenant:
        await cloud.mend()
        cloud.servers = await tenant.some_servers(SERVERS)
        yield cloud


async def mended() -> None:
    """Leave the cloud as it was found."""
    async with Cloud.login("doctor") as cloud:
        await cloud.mend()


@pytest.fixture
async def owner() -> AsyncIterator[Owner]:
    """One who is told of what is his."""
    owner = Owner()
    async with owner.listening():
        yield owner


@pytest.fixture
def bus(tmp_path: Path) -> Path:
    """A file with the address of the message bus."""
    file = tmp_path / "bus.url"
    file.write_text(BUS_URL)
    return file


@pytest.fixture
def doctor(tmp_path: Path, bus: Path) -> Iterator[RunningDoctor]:
    """A Doctor that keeps its map by this cloud; not started yet."""
    running = RunningDoctor(tmp_path / "doctor", controllers=[driver(bus)], log={"level": "debug"})
    yield running
    running.stop()


@pytest.fixture
def least(tmp_path: Path) -> dict[str, object]:
    """The settings of a controller whose users, in the cloud and on the bus, have the rights of the documentation alone."""
    file = tmp_path / "least.url"
    file.write_text(BUS_URL.replace("openstack:", "doctor:"))
    return driver(file) | {"cloud": "doctor-least"}


def driver(bus: Path | None) -> dict[str, object]:
    """Return the settings of the controller."""
    settings: dict[str, object] = {
        "driver": "openstack",
        "cloud": "doctor",
        "clouds_file": str(STATE / "clouds.yaml"),
        "reconcile_every": 600,
    }
    return settings if bus is None else settings | {"notifications": {"url_file": str(bus)}}


def controller(settings: dict[str, object]) -> Controller:
    """Make a controller of these settings, without a Doctor."""
    return make({name: value for name, value in settings.items() if name != "driver"})
