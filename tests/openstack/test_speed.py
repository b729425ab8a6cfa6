"""How fast it is beside a real cloud. What holds on any machine is asked for; the figures are printed (`-rP`)."""

import subprocess
import time
from collections.abc import Iterator

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import TESTBED, Cloud, Doctor, Owner

SERVERS = 1_000
LOADED_WITHIN = 30.0
TOLD_WITHIN = 1.0
ROUNDS = 5


@pytest.fixture
def crowd(cloud: Cloud) -> Iterator[None]:
    """A thousand more servers, each with a port."""
    subprocess.run([TESTBED / "crowd", str(SERVERS)], check=True, capture_output=True)
    yield
    subprocess.run([TESTBED / "crowd", "0"], check=True, capture_output=True)


@pytest.mark.usefixtures("crowd")
async def test_a_thousand_servers_are_known_soon(doctor: RunningDoctor) -> None:
    doctor.start()
    begun = time.monotonic()
    async with Doctor.at(doctor) as asked:
        current = await asked.map_is_current()
    took = time.monotonic() - begun
    print(f"{current['loaded']} resources were loaded in {took:.1f} s")
    assert current["loaded"] > 2 * SERVERS
    assert took < LOADED_WITHIN


@pytest.mark.requirement("B5", "C1")
async def test_owners_are_told_in_time_while_another_host_is_marked(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    """Both hosts at once: what is marked of one does not hold up what is told of the other."""
    busy, other = sorted(await cloud.hosts_of(cloud.servers))[:2]
    doctor.start()
    took = []
    pending = 0
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        for _ in range(ROUNDS):
            await asked.report(busy)
            await owner.hears("fault")
            owner.heard.clear()
            pending += len(await asked.marks("marking"))
            begun = time.monotonic()
            await asked.report(other)
            told, _ = await owner.hears("fault")
            took.append(told - begun)
            for name in (busy, other):
                await asked.report(name, "up")
            await asked.nothing_marked()
            owner.heard.clear()
    took.sort()
    print(
        f"told after {took[len(took) // 2] * 1e3:.1f} ms (median), {took[-1] * 1e3:.1f} ms (worst), {pending} marks were pending"
    )
    assert took[-1] < TOLD_WITHIN
