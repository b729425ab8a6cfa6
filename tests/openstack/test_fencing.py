"""A frozen host of a real cloud: told at once, cut off, its machines evacuated as their owner wants, and given back."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path

import pytest
import yaml

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import STATE, Cloud, Doctor, Json, Owner, host, until
from tests.openstack.conftest import driver
from tests.openstack.fenced import armed, fencing, guests, lives, watched
from tests.openstack.relay import Relay
from tests.openstack.test_marking import a_host_with_servers

# What is asked for on any machine; what it takes here is printed (`-rP`).
TOLD_WITHIN = INSTRUCTED_WITHIN = 1.0
ISOLATED_WITHIN = 4.0
OUT_WITHIN = 1.0


@contextmanager
def doctor_through(nova: Relay, folder: Path, bus: Path) -> Iterator[RunningDoctor]:
    """Run a Doctor that can cut hosts off, and reaches Nova through a relay."""
    clouds = yaml.safe_load((STATE / "clouds.yaml").read_text())
    clouds["clouds"]["doctor"]["compute_endpoint_override"] = nova.url
    (folder / "clouds.yaml").write_text(yaml.safe_dump(clouds))
    settings = driver(bus) | {"clouds_file": str(folder / "clouds.yaml")}
    with RunningDoctor(folder / "doctor", controllers=[settings], fencing=fencing()) as running:
        yield running


async def instruct(asked: Doctor, owner: Owner, action: str, *servers: str, **more: Json) -> Json:
    """Have something done to servers, as their owner."""
    wish = {"action": action, "virtual_resource_id": servers, **more}
    return await asked.ask("POST", "/v1/instructions", wish, owner.token)


def isolation_of(server: str, message: Json) -> str | None:
    """Return how the isolation of the host of a server stands, by a notification."""
    infos = message["virtual_resource_info"]
    return next((one["isolation"] for one in infos if one["virtual_resource_id"] == server), None)


def alarms_of(server: str, message: Json) -> set[str]:
    infos = [one for one in message["virtual_resource_info"] if one["virtual_resource_id"] == server]
    return {fault["alarm_id"] for one in infos for fault in one["faults"]}


async def checkpoints(asked: Doctor, name: str) -> dict[str, float]:
    """Return when the newest fault of a host passed which checkpoint."""
    timelines = await asked.items("/v1/timelines?limit=50")
    found = next(one["checkpoints"] for one in timelines if one["resource_id"] == name)
    return {word: datetime.fromisoformat(when).timestamp() for word, when in found.items() if when}


@pytest.mark.requirement("B22", "B23", "B28", "D8", "F13", "F16", "F17")
async def test_a_frozen_host_is_cut_off_evacuated_as_its_owner_wants_and_given_back(
    cloud: Cloud, owner: Owner, tmp_path: Path, bus: Path
) -> None:
    """One server is asked for at once, and waits for the proof; the others when their owner has heard of it."""
    name, (at_once, *later) = await a_host_with_servers(cloud)
    with Relay("http://127.0.0.1:8774/v2.1") as nova, doctor_through(nova, tmp_path, bus) as running:
        async with Doctor.at(running) as asked, Cloud.login("tenant-a") as tenant, watched(asked):
            await asked.map_is_current()
            await armed(asked)
            await owner.subscribe(asked, tenant.project)

            frozen = time.time()
            host("freeze", name)
            _, told = await owner.hears("fault")
            assert isolation_of(at_once, told) == "pending"
            answer = {"notification_id": told["notification_id"], "deadline": 60}
            waiting = await instruct(asked, owner, "evacuate", at_once, **answer)
            assert [one["state"] for one in waiting["resources"]] == ["waiting_for_isolation"]

            _, changed = await owner.hears(
                "fault_changed", lambda one: isolation_of(later[0], one) == "isolated"
            )
            assert alarms_of(later[0], changed) == alarms_of(later[0], told)
            assert not lives(name)
            await is_under_way(asked, waiting["instruction_id"])
            with pytest.raises(AssertionError, match="may not come back yet"):
                await give_back(asked, name)
            assert (await instruct(asked, owner, "evacuate", *later, idempotency_key="later"))["resources"]

            async def is_shown_down() -> bool:
                server = await tenant.server(later[0])
                return (server["status"], server["host_status"]) == ("ERROR", "DOWN")

            await until(is_shown_down)
            service = (await cloud.services())[name]
            assert (service["forced_down"], service["state"], service["status"]) == (True, "down", "disabled")

            await owner.hears("instruction_result", lambda one: is_ack(one, {at_once}), within=60)
            await owner.hears("instruction_result", lambda one: is_ack(one, set(later)), within=60)
            placed = await cloud.hosts_of([at_once, *later])
            assert name not in placed
            for there, servers in placed.items():
                assert set(servers) <= guests(there)
            for server in (at_once, *later):
                shown = await tenant.server(server)
                assert (shown["status"], shown["host_status"]) == ("ACTIVE", "UP")
                mine = await asked.ask("GET", f"/v1/virtual-resources/{server}", token=owner.token)
                assert (mine["virtual_resource_state"], mine["host_status"]) == ("normal", "UP")

            # Given back: its hypervisor has the old guests still, until its nova-compute has heard that they are gone.
            assert {at_once, *later} <= guests(name)
            service = (await cloud.services())[name]
            assert service["forced_down"]
            returned = time.time()
            await give_back(asked, name)

            async def serves() -> bool:
                (job,) = await asked.items(f"/v1/isolations?host={name}")
                return bool(job["state"] == "normal")

            await until(serves)
            assert lives(name)
            await asked.nothing_marked()
            service = (await cloud.services())[name]
            assert (service["forced_down"], service["status"]) == (False, "enabled")
            assert not {at_once, *later} & guests(name)
            assert await cloud.hosts_of([at_once, *later]) == placed

            assert min(when for when, _, body in nova.asked if is_force_up(body)) > returned
            passed = await checkpoints(asked, name)
            decisions = {
                one["decision"]: datetime.fromisoformat(one["time"]).timestamp()
                for one in await asked.items(f"/v1/fence-decisions?host={name}")
            }
            out = next(when for when, path, body in nova.asked if at_once in path and b"evacuate" in body)
    times = {
        "frozen to detected": passed["T1"] - frozen,
        "detected to told": passed["T7"] - passed["T1"],
        "detected to instruction accepted": passed["I1"] - passed["T1"],
        "decision to isolated": passed["M1"] - decisions["authorise"],
        "isolated to evacuation asked for": out - passed["M1"],
        "isolated to evacuated": passed["I2"] - passed["M1"],
    }
    print(", ".join(f"{what} {took * 1e3:.0f} ms" for what, took in times.items()))
    assert times["detected to told"] < TOLD_WITHIN
    assert times["detected to instruction accepted"] < INSTRUCTED_WITHIN
    assert 1.0 < times["decision to isolated"] < ISOLATED_WITHIN
    assert 0.0 < times["isolated to evacuation asked for"] < OUT_WITHIN


async def is_under_way(asked: Doctor, instruction_id: str) -> None:
    """Wait until all of an instruction has begun."""

    async def has_begun() -> bool:
        found = await asked.ask("GET", f"/v1/instructions/{instruction_id}")
        return {one["state"] for one in found["resources"]} == {"running"}

    await until(has_begun, every=0.02)


async def give_back(asked: Doctor, name: str) -> None:
    """Have a host given back what was cut."""
    await asked.ask("POST", f"/v1/isolations/{name}/return", {"reason": "repaired"})


def is_force_up(body: bytes) -> bool:
    return bool(body) and json.loads(body).get("forced_down") is False


def is_ack(message: Json, servers: set[str]) -> bool:
    """Tell whether a result says of these servers that what was asked for was done."""
    said = message["instruction"]
    return bool(said["acknowledged"]) and {one["virtual_resource_id"] for one in said["results"]} == servers
