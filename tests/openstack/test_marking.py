"""The states that users of the cloud read are true, soon after a host has failed and again when it is back."""

import asyncio

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import Cloud, Doctor, Owner, until

TOLD_WITHIN = 1.0  # seconds, of the requirement; what it takes here is printed
MARKED_WITHIN = 10.0


async def a_host_with_servers(cloud: Cloud) -> tuple[str, list[str]]:
    placed = await cloud.hosts_of(cloud.servers)
    name = max(placed, key=lambda one: len(placed[one]))
    return name, placed[name]


@pytest.mark.requirement("B24", "C8", "C9", "C10", "C12", "D1", "D2", "D46", "F13", "F16", "F20", "F24")
async def test_a_failed_host_is_told_and_marked_and_comes_back(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    name, servers = await a_host_with_servers(cloud)
    doctor.start()
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        begun = await asked.report(name)
        told, message = await owner.hears("fault")
        assert told - begun < TOLD_WITHIN
        machines = {
            one["virtual_resource_id"]
            for one in message["virtual_resource_info"]
            if one["virtual_resource_type"] == "virtual machine"
        }
        assert machines == set(await cloud.all_on(name))

        await asked.all_marked()
        assert asyncio.get_running_loop().time() - begun < MARKED_WITHIN
        service = (await cloud.services())[name]
        assert service["forced_down"]
        assert service["state"] == "down"
        assert service["status"] == "disabled"
        assert service["disabled_reason"].startswith("doctor: host down")
        assert set((await cloud.all_on(name)).values()) == {"error"}
        assert set((await cloud.ports_on(name)).values()) == {"DOWN"}
        others = [one for one in cloud.servers if one not in servers]
        assert {(await cloud.server(one))["status"] for one in others} == {"ACTIVE"}
        assert (await tenant.server(servers[0]))["host_status"] == "DOWN"

        await asked.report(name, "up")
        await owner.hears("fault_cleared")
        await asked.nothing_marked()
        service = (await cloud.services())[name]
        assert (service["forced_down"], service["status"]) == (False, "enabled")
        assert set((await cloud.all_on(name)).values()) == {"active"}
        assert set((await cloud.ports_on(name)).values()) == {"ACTIVE"}


async def test_a_kill_in_the_middle_of_marking_leaves_nothing_half_done(
    cloud: Cloud, doctor: RunningDoctor
) -> None:
    name, _ = await a_host_with_servers(cloud)
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
        await asked.report(name)

        async def has_begun() -> bool:
            return bool(await asked.marks("marked"))

        await until(has_begun, every=0.0)
        doctor.kill()
        doctor.start()
        await asked.all_marked()
        assert (await cloud.services())[name]["forced_down"]
        assert set((await cloud.all_on(name)).values()) == {"error"}
        assert set((await cloud.ports_on(name)).values()) == {"DOWN"}

        await asked.report(name, "up")
        await until(lambda: _is_up(cloud, name), every=0.0)
        doctor.kill()
        doctor.start()
        await asked.nothing_marked()
        assert set((await cloud.all_on(name)).values()) == {"active"}
        assert set((await cloud.ports_on(name)).values()) == {"ACTIVE"}


async def _is_up(cloud: Cloud, name: str) -> bool:
    return not (await cloud.services())[name]["forced_down"]


@pytest.mark.requirement("C12")
async def test_what_somebody_else_marked_is_respected(cloud: Cloud, doctor: RunningDoctor) -> None:
    name, servers = await a_host_with_servers(cloud)
    await cloud.set_service(name, status="disabled", disabled_reason="new disks")
    await cloud.reset(servers[0], "error")
    (port,) = (await cloud.ask("GET", "network", f"/v2.0/ports?device_id={servers[0]}"))["ports"]
    await cloud.set_port(port["id"], "DOWN")
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
        await asked.report(name)
        marked = await asked.all_marked()
        left = await asked.marks("left")
        theirs = {(name, "disabled"), (servers[0], "server_error"), (port["id"], "port_down")}
        assert theirs == set(left)
        assert not theirs & set(marked)
        await asked.report(name, "up")
        await asked.nothing_marked()
        service = (await cloud.services())[name]
        assert (service["status"], service["disabled_reason"]) == ("disabled", "new disks")
        assert not service["forced_down"]
        assert (await cloud.server(servers[0]))["status"] == "ERROR"
        assert (await cloud.ports_on(name))[port["id"]] == "DOWN"


@pytest.mark.requirement("F14")
async def test_a_stopped_server_stays_as_it_is(cloud: Cloud, doctor: RunningDoctor) -> None:
    name, servers = await a_host_with_servers(cloud)
    await cloud.act(servers[0], "os-stop")

    async def has_stopped() -> bool:
        return bool((await cloud.server(servers[0]))["status"] == "SHUTOFF")

    await until(has_stopped, every=0.5)
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
        await asked.report(name)
        await asked.all_marked()
        assert (servers[0], "server_error") in await asked.marks("left")
        assert (await cloud.server(servers[0]))["status"] == "SHUTOFF"
        await asked.report(name, "up")
        await asked.nothing_marked()
    assert (await cloud.server(servers[0]))["status"] == "SHUTOFF"
    await cloud.act(servers[0], "os-start")
