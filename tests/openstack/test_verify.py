"""`doctor verify ... --cloud`: the tests of the requirement on a real cloud, and what they leave behind."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.access import CLOUDS_FILE, keystone
from tests.openstack.cloud import STATE, TESTBED, Cloud, Doctor, until
from tests.openstack.conftest import driver
from tests.openstack.fenced import armed, fencing, watched

NAME = "doctor-verify-"


def verify(doctor: RunningDoctor, *words: str, what: str = "fault") -> subprocess.Popen[str]:
    # Who runs the tests in the background of a shell ignores Ctrl-C, and so would what he starts.
    line = ["env", "--default-signal=INT", sys.executable, "-m", "doctor"]
    line += ["verify", what, "--cloud", "doctor", *words, "--json"]
    access = {
        "DOCTOR_URL": doctor.url,
        "DOCTOR_TOKEN": doctor.token,
        "OS_CLIENT_CONFIG_FILE": str(CLOUDS_FILE),
    }
    return subprocess.Popen(
        line, env=os.environ | access, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )


async def left_over(cloud: Cloud) -> list[str]:
    """Return the names of what a test has made and not taken away."""
    places = (
        ("compute", "/servers?all_tenants=1", "servers"),
        ("network", "/v2.0/networks", "networks"),
        ("identity", "/projects", "projects"),
        ("identity", "/users", "users"),
    )
    found = []
    for service, path, key in places:
        found += [one["name"] for one in (await cloud.ask("GET", service, path))[key]]
    return [name for name in found if name.startswith(NAME)]


@pytest.mark.requirement("C1", "B24", "C10")
async def test_it_passes_and_leaves_nothing_behind(cloud: Cloud, tmp_path: Path, bus: Path) -> None:
    """Tenants by Keystone's tokens; projects, users and networks of its own."""
    with RunningDoctor(tmp_path / "doctor", controllers=[driver(bus)], auth=keystone()) as running:
        async with Doctor.at(running) as asked:
            await asked.map_is_current()
        done = verify(running)
        output, errors = done.communicate(timeout=300)
        assert done.returncode == 0, output + errors
    report = json.loads(output)
    assert report["ok"]
    assert report["latencies_ms"]["T7"]["max"] < 1000
    assert report["latencies_ms"]["M3"]["max"] is not None
    assert await left_over(cloud) == []


@pytest.mark.requirement("B22", "B28", "D8")
async def test_it_has_a_frozen_host_isolated_the_server_evacuated_and_the_host_given_back(
    cloud: Cloud, tmp_path: Path, bus: Path
) -> None:
    """By the witnesses and the fence device that Doctor has."""
    with RunningDoctor(tmp_path / "doctor", controllers=[driver(bus)], fencing=fencing()) as running:
        async with Doctor.at(running) as asked, watched(asked):
            await asked.map_is_current()
            words = ("--evacuate", "--owner", "tenant-a", "--stranger", "tenant-b")
            freeze = ("--fail", f"env OPENSTACK_TESTBED={STATE} {TESTBED}/host freeze {{host}}")
            await armed(asked)
            done = verify(running, *words, *freeze)
            output, errors = await asyncio.to_thread(done.communicate, timeout=300)
            assert done.returncode == 0, output + errors
            report = json.loads(output)
            (round_,) = report["checks"]
            print(round_["timeline_ms"])
            assert report["ok"]
            assert report["latencies_ms"]["I1"]["max"] < 1000
            assert round_["evacuated_to"] not in (None, round_["host"])
    assert await left_over(cloud) == []


@pytest.mark.requirement("A19", "B30", "B31", "B32", "B33", "D34", "D36")
async def test_a_host_is_emptied_as_its_owner_agrees_and_given_back(
    cloud: Cloud, doctor: RunningDoctor
) -> None:
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
        tenants = ("--owner", "tenant-a", "--stranger", "tenant-b")
        await an_empty_host(cloud)
        done = verify(doctor, *tenants, what="maintenance")
        output, errors = await asyncio.to_thread(done.communicate, timeout=300)
        assert done.returncode == 0, output + errors
        (round_,) = json.loads(output)["checks"]
        print({name: took for name, took in round_.items() if name.endswith("_ms")})
        assert round_["moved_to"] not in (None, round_["host"])
        assert round_["told_after_ms"] < 1000
        assert await asked.items("/v1/subscriptions") == []
    assert {one["status"] for one in (await cloud.services()).values()} == {"enabled"}
    assert await left_over(cloud) == []


async def an_empty_host(cloud: Cloud) -> str:
    """Have the machines of the host with the fewest go elsewhere; the scheduler takes it for the next one."""
    counted = {name: await cloud.all_on(name) for name in await cloud.services()}
    name = min(counted, key=lambda one: len(counted[one]))
    for server in counted[name]:
        await cloud.act(server, "os-migrateLive", {"host": None, "block_migration": "auto"})

    async def is_empty() -> bool:
        return not await cloud.all_on(name)

    await until(is_empty, every=0.3)
    return name


async def test_it_cleans_up_when_it_is_interrupted(cloud: Cloud, doctor: RunningDoctor) -> None:
    """In the worst moment: the host is away, and everything marked. Tenants of clouds.yaml, tokens of Doctor."""
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
        running = verify(doctor, "--owner", "tenant-a", "--stranger", "tenant-b", "--for", "300")
        assert running.stderr is not None
        end = time.monotonic() + 120
        while " fails for " not in (line := running.stderr.readline()):
            assert line, running.communicate()
            assert time.monotonic() < end
        await asked.all_marked()
        running.send_signal(signal.SIGINT)
        output, errors = running.communicate(timeout=120)
        assert running.returncode == 1, output + errors
        await asked.nothing_marked()
        assert await left_over(cloud) == []
        assert await asked.items("/v1/subscriptions") == []
        tokens = await asked.items("/v1/tokens")
    assert not [one for one in tokens if one["name"] == "doctor verify"]

    async def all_up() -> bool:
        return {one["state"] for one in (await cloud.services()).values()} == {"up"}

    await until(all_up, every=0.5)
