"""Hosts of the testbed that can be cut off, and those who look whether they live."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from tests.openstack.cloud import STATE, TESTBED, Doctor, Json, until

WITNESSES = {"peer-probe": "peer", "storage-heartbeat": "storage"}
LOOK_EVERY = 0.05
SAY_AGAIN = 5.0  # seconds: what was said once is evidence for a while only
DYING = 0.3  # seconds for which a process that is killed may look as if it lived
DEAD = "TXZ"  # states of a process in which it does nothing


def fencing(**limits: Json) -> dict[str, Json]:
    """Return the settings by which each host is cut off by the agent of the testbed.

    What a host is cut off by names it in its plug: an agent cannot ask which machine is behind it. Hosts give a sign of
    life more often than every half second, and a test cannot wait as long as an operator should.
    """
    plan = {"levels": ["testbed"]}
    return {
        "devices": {
            "testbed": {
                "driver": "fence_agent",
                "agent": str(TESTBED / "fence_testbed"),
                "options": {"state": str(STATE)},
                "needs_plug": True,
                "partial": False,
            }
        },
        "hosts": dict.fromkeys(hosts(), plan),
        "witnesses": WITNESSES,
        "limits": {
            "identity": False,
            "heartbeat": 0.5,
            "start_up": 0,
            "attempt": 2,
            "confirm": 3,
            "probation": 2,
            **limits,
        },
    }


def hosts() -> list[str]:
    """Return the names of the fake hosts."""
    return sorted(file.stem for file in (STATE / "etc" / "nova").glob("compute-*.conf"))


def guests(host: str) -> set[str]:
    """Return what the hypervisor of a host runs, whatever anybody thinks."""
    return set(json.loads((STATE / "nova" / host / "instances" / "guests").read_text()))


def lives(host: str) -> bool:
    """Tell whether a host gives signs of life: its process is there, and is not frozen."""
    try:
        words = (STATE / "run" / f"nova-{host}.pid").read_text().split()
        if not words:  # it is just being started
            return False
        return Path(f"/proc/{words[0]}/stat").read_text().rpartition(")")[2].split()[0] not in DEAD
    except OSError:
        return False


async def armed(doctor: Doctor) -> None:
    """Wait until each host can be cut off, and let Doctor do it."""

    async def all_ready() -> bool:
        found = await doctor.items("/v1/fenced-hosts")
        return {one["readiness"] for one in found} == {"ready"}

    await until(all_ready)
    await doctor.ask("PUT", "/v1/fencing/nova", {"mode": "armed", "reason": "a test"})


@asynccontextmanager
async def watched(doctor: Doctor) -> AsyncIterator[None]:
    """Have two independent monitors report hosts that are silent, and those that are back: by the processes themselves."""
    tokens = [
        (await doctor.ask("POST", "/v1/tokens", {"role": "monitor", "name": name}))["token"]
        for name in WITNESSES
    ]
    async with asyncio.TaskGroup() as tasks:
        watches = [tasks.create_task(_watch(doctor, token)) for token in tokens]
        try:
            yield
        finally:
            for watch in watches:
                watch.cancel()


async def _watch(doctor: Doctor, token: str) -> None:
    clock = asyncio.get_running_loop().time
    said = dict.fromkeys(hosts(), (True, 0.0))
    silent = dict.fromkeys(said, 0.0)
    while True:
        now = clock()
        for host, (is_alive, when) in said.items():
            if not lives(host):
                silent[host] = now
                if is_alive or now - when > SAY_AGAIN:
                    await doctor.report(host, "down", token=token)
                    said[host] = False, now
            elif not is_alive and now - silent[host] > DYING:
                await doctor.report(host, "up", token=token)
                said[host] = True, now
        await asyncio.sleep(LOOK_EVERY)
