"""Nova is a Monitor too: what others do there is told, what Doctor does there itself is not."""

from pathlib import Path
from typing import Any

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import Cloud, Doctor, Owner, host, until
from tests.openstack.conftest import driver
from tests.openstack.test_marking import a_host_with_servers

TOLD_WITHIN = 1.0


async def faults(doctor: Doctor) -> set[tuple[str, str]]:
    """Return what is broken, and how, as the Administrator sees it: root causes only."""
    rows = await doctor.items("/v1/alarms?limit=1000")
    return {(one["resource_id"], one["fault_type"]) for one in rows if one["is_root_cause"]}


def machines(message: Any) -> dict[str, tuple[str, str]]:
    return {
        one["virtual_resource_id"]: (one["virtual_resource_state"], one["host_status"])
        for one in message["virtual_resource_info"]
        if one["virtual_resource_type"] == "virtual machine"
    }


@pytest.mark.requirement("C12", "C18")
async def test_owners_hear_that_somebody_disables_or_forces_down_a_host(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    name, servers = await a_host_with_servers(cloud)
    doctor.start()
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        begun = await cloud.set_service(name, status="disabled", disabled_reason="new disks")
        told, message = await owner.hears("fault")
        assert told - begun < TOLD_WITHIN
        assert machines(message)[servers[0]] == ("normal", "MAINTENANCE")
        assert (await tenant.server(servers[0]))["host_status"] == "MAINTENANCE"
        await cloud.set_service(name, status="enabled")
        await owner.hears("fault_cleared")

        owner.heard.clear()
        begun = await cloud.set_service(name, forced_down=True)
        told, message = await owner.hears("fault")
        assert told - begun < TOLD_WITHIN
        assert machines(message)[servers[0]] == ("error", "DOWN")
        await asked.all_marked()
        assert set((await cloud.all_on(name)).values()) == {"error"}
        await cloud.set_service(name, forced_down=False)
        await owner.hears("fault_cleared")
        await asked.nothing_marked()
        assert set((await cloud.all_on(name)).values()) == {"active"}


async def test_a_server_in_error_is_told_to_its_owner_until_it_is_well(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    server = cloud.servers[0]
    doctor.start()
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        await cloud.reset(server, "error")
        _, message = await owner.hears("fault")
        assert list(machines(message)) == [server]
        await cloud.reset(server, "active")
        await owner.hears("fault_cleared")


async def test_what_doctor_marks_itself_makes_no_event(cloud: Cloud, doctor: RunningDoctor) -> None:
    name, _ = await a_host_with_servers(cloud)
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
        for _ in range(2):
            await asked.report(name)
            await asked.all_marked()
            assert await faults(asked) == {(name, "host down")}
            await asked.report(name, "up")
            await asked.nothing_marked()
            assert await faults(asked) == set()
        types = {one["fault_type"] for one in await asked.items("/v1/timelines?limit=100")}
        assert types == {"host down"}


async def test_a_frozen_compute_service_is_a_failure_of_the_vim(
    cloud: Cloud, tmp_path: Path, bus: Path
) -> None:
    """Nova misses it after its `service_down_time`, and Doctor asks twice; its machines run on."""
    name, servers = await a_host_with_servers(cloud)
    settings = driver(bus) | {"services_every": 1}
    with RunningDoctor(tmp_path / "doctor", controllers=[settings]) as running:
        async with Doctor.at(running) as asked:
            await asked.map_is_current()
            host("freeze", name)
            try:

                async def told() -> bool:
                    return (name, "VIM service failure") in await faults(asked)

                await until(told, within=120, every=1.0)
                (machine,) = await asked.items(f"/v1/virtual-resources?virtual_resource_id={servers[0]}")
                assert machine["virtual_resource_state"] == "normal"
            finally:
                host("thaw", name)

            async def over() -> bool:
                return not await faults(asked)

            await until(over, within=60, every=1.0)
