"""Bad days of a cloud: owners are told within the second whatever it does, and what is marked is right in the end."""

import asyncio
from pathlib import Path

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import Cloud, Doctor, Owner, host, stopped, until
from tests.openstack.conftest import driver
from tests.openstack.test_marking import a_host_with_servers

TOLD_WITHIN = 1.0
TIMEOUT = 3.0  # of a request to the cloud: it shall be waited for more than once


@pytest.mark.requirement("C1", "C12")
async def test_a_fault_while_nova_is_stopped_is_told_at_once_and_marked_later(
    cloud: Cloud, owner: Owner, tmp_path: Path, bus: Path
) -> None:
    """Told from the map in memory; ports are marked, since Neutron answers; the rest is pending, and says why."""
    name, _ = await a_host_with_servers(cloud)
    with RunningDoctor(tmp_path / "doctor", controllers=[driver(bus) | {"timeout": TIMEOUT}]) as running:
        async with Doctor.at(running) as asked, Cloud.login("tenant-a") as tenant:
            await asked.map_is_current()
            await owner.subscribe(asked, tenant.project)
            with stopped("nova-api"):
                begun = await asked.report(name)
                told, _ = await owner.hears("fault")
                assert told - begun < TOLD_WITHIN

                async def ports_are_marked() -> bool:
                    return set((await cloud.ports_on(name)).values()) == {"DOWN"}

                await until(ports_are_marked, every=0.5)

                async def is_pending() -> bool:
                    pending = await asked.marks("marking")
                    return bool(pending) and all(one["trouble"] for one in pending.values())

                await until(is_pending)
                pending = await asked.marks("marking")
                assert {kind for _, kind in pending} == {"forced_down", "disabled", "server_error"}
            marked = await asked.all_marked()
            assert (name, "forced_down") in marked
            assert set((await cloud.all_on(name)).values()) == {"error"}
            await asked.report(name, "up")
            await asked.nothing_marked()
            assert set((await cloud.all_on(name)).values()) == {"active"}
            assert len([one for _, one in owner.heard if one["notification_type"] == "fault"]) == 1


@pytest.mark.requirement("B24", "C1", "C12")
async def test_a_server_evacuated_from_a_frozen_host_is_put_right_and_nobody_else_is_told(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    """[I-24] Nova runs it elsewhere: its owner hears that it is well, its new neighbour's owner nothing."""
    name, servers = await a_host_with_servers(cloud)
    stranger = Owner()
    doctor.start()
    async with (
        Doctor.at(doctor) as asked,
        Cloud.login("tenant-a") as tenant,
        Cloud.login("tenant-b") as other,
        stranger.listening(),
    ):
        (target,) = await other.boot("neighbour")
        goal = (await cloud.server(target))["OS-EXT-SRV-ATTR:host"]
        if goal == name:
            name, servers = next(
                (one, there) for one, there in (await cloud.hosts_of(cloud.servers)).items() if one != goal
            )
        try:
            await asked.map_is_current()
            await owner.subscribe(asked, tenant.project)
            await stranger.subscribe(asked, other.project)
            host("freeze", name)
            await asked.report(name)
            await owner.hears("fault")
            await asked.all_marked()
            assert set((await cloud.all_on(name)).values()) == {"error"}

            await cloud.act(servers[0], "evacuate", {"host": goal})

            async def is_elsewhere() -> bool:
                there = await cloud.server(servers[0])
                return (there["OS-EXT-SRV-ATTR:host"], there["status"]) == (goal, "ACTIVE")

            await until(is_elsewhere, every=0.5)

            async def owner_knows() -> bool:
                last = [
                    one["virtual_resource_state"]
                    for _, message in owner.heard
                    for one in message["virtual_resource_info"]
                    if one["virtual_resource_id"] == servers[0]
                ]
                return bool(last) and bool(last[-1] == "normal")

            await until(owner_knows)
            (machine,) = await asked.items(f"/v1/virtual-resources?virtual_resource_id={servers[0]}")
            assert machine["virtual_resource_state"] == "normal"
            assert machine["host_status"] == "UP"
            assert machine["location"]["physical_resource_id"] == goal
            await asyncio.sleep(1)
            assert stranger.heard == []
            assert (await cloud.server(servers[0]))["status"] == "ACTIVE"

            # Nova takes the host back only when its nova-compute has started anew; until then it is said.
            host("thaw", name)
            await asked.report(name, "up")

            async def is_refused() -> bool:
                pending = await asked.marks("unmarking")
                return (name, "forced_down") in pending and bool(pending[name, "forced_down"]["trouble"])

            await until(is_refused)
            host("restart", name)
            await asked.nothing_marked()
            service = (await cloud.services())[name]
            assert (service["forced_down"], service["status"]) == (False, "enabled")
        finally:
            await other.delete(target)
