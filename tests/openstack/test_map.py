"""The map is the cloud's: what is there, who owns it, and what changes."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import Cloud, Doctor, Owner, run, until
from tests.openstack.conftest import driver

FOLLOWS_WITHIN = 5.0


async def shown(doctor: Doctor, resource_id: str) -> Any:
    rows = await doctor.items(f"/v1/virtual-resources?virtual_resource_id={resource_id}")
    return rows[0] if rows else None


@pytest.mark.requirement("F15")
async def test_a_server_comes_with_all_that_its_owner_said_of_it(cloud: Cloud, doctor: RunningDoctor) -> None:
    doctor.start()
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        wishes = {"doctor:role": "stby", "doctor:sal": "1A", "doctor:group": "core"}
        (server,) = await tenant.boot("wishful", metadata=wishes)

        async def known() -> Any:
            one = await shown(asked, server)
            return one if one and one["location"]["physical_resource_id"] else None

        one = await until(known, within=FOLLOWS_WITHIN)
        assert one["owner"] == tenant.project
        assert (one["role"], one["sal"], one["group"]) == ("STBY", "1A", "core")
        assert one["location"]["physical_resource_id"] == (await cloud.server(server))["OS-EXT-SRV-ATTR:host"]
        (port,) = (await cloud.ask("GET", "network", f"/v2.0/ports?device_id={server}"))["ports"]
        nic = await until(lambda: shown(asked, port["id"]), within=FOLLOWS_WITHIN)
        assert nic["virtual_resource_type"] == "virtual NIC"
        assert nic["owner"] == tenant.project

        await tenant.delete(server)

        async def forgotten() -> bool:
            return await shown(asked, server) is None and await shown(asked, port["id"]) is None

        await until(forgotten, within=FOLLOWS_WITHIN)
        (controller,) = await asked.items("/v1/controllers")
        assert controller["drift_total"] == 0


async def test_a_server_that_moves_is_found_where_it_is(cloud: Cloud, doctor: RunningDoctor) -> None:
    server = cloud.servers[0]
    source = (await cloud.server(server))["OS-EXT-SRV-ATTR:host"]
    target = next(name for name in sorted(await cloud.services()) if name != source)
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
        await cloud.act(server, "os-migrateLive", {"host": target, "block_migration": "auto"})

        async def has_moved() -> bool:
            return bool((await cloud.server(server))["OS-EXT-SRV-ATTR:host"] == target)

        await until(has_moved, every=0.5)

        async def is_known() -> bool:
            return bool((await shown(asked, server))["location"]["physical_resource_id"] == target)

        await until(is_known, within=FOLLOWS_WITHIN)


async def test_what_nobody_announced_is_found_by_the_next_reading(cloud: Cloud, tmp_path: Path) -> None:
    settings = driver(None) | {"reconcile_every": 2}
    with RunningDoctor(tmp_path / "deaf", controllers=[settings]) as running:
        async with Doctor.at(running) as asked, Cloud.login("tenant-a") as tenant:
            (server,) = await tenant.boot("silent")
            await until(lambda: shown(asked, server), within=60)
            (controller,) = await asked.items("/v1/controllers")
            assert not controller["listening"]
            assert controller["age"] < 60
            await tenant.delete(server)

            async def forgotten() -> bool:
                return await shown(asked, server) is None

            await until(forgotten, within=60)


async def test_a_doctor_that_starts_while_the_cloud_is_away_knows_the_map_of_before(
    cloud: Cloud, doctor: RunningDoctor, tmp_path: Path
) -> None:
    doctor.start()
    async with Doctor.at(doctor) as asked:
        await asked.map_is_current()
    doctor.stop()
    away = driver(None) | {"clouds_file": str(_elsewhere(tmp_path))}
    again = RunningDoctor(tmp_path / "doctor", controllers=[away])
    with again:
        async with Doctor.at(again) as asked:
            assert await shown(asked, cloud.servers[0]) is not None

            async def in_trouble() -> Any:
                (one,) = await asked.items("/v1/controllers")
                return one["trouble"]

            assert await until(in_trouble)
            (one,) = await asked.items("/v1/controllers")
            assert one["phase"] == "loading"


@pytest.fixture
async def too_big(cloud: Cloud) -> AsyncIterator[str]:
    """A flavor for which no host has room."""
    wish = {"name": "too-big", "id": "too-big", "vcpus": 10_000, "ram": 512, "disk": 1}
    await cloud.ask("POST", "compute", "/flavors", {"flavor": wish})
    yield "too-big"
    await cloud.ask("DELETE", "compute", "/flavors/too-big")


async def test_a_server_that_finds_no_host_is_shown_on_none_and_told_to_its_owner(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor, too_big: str
) -> None:
    doctor.start()
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        server = await tenant.order("homeless", flavorRef=too_big)
        try:
            _, message = await owner.hears("fault", within=30)
            assert [one["virtual_resource_id"] for one in message["virtual_resource_info"]] == [server]
            one = await shown(asked, server)
            assert "physical_resource_id" not in one["location"]
            assert not await asked.marks("marking", "marked")
        finally:
            await tenant.delete(server)
        await owner.hears("fault_cleared")


async def test_servers_on_hosts_that_the_cloud_does_not_know_are_shown_on_none(
    cloud: Cloud, doctor: RunningDoctor
) -> None:
    run("crowd", "20")
    try:
        doctor.start()
        async with Doctor.at(doctor) as asked:
            await asked.map_is_current()
            lost = [one for one in await asked.items("/v1/virtual-resources?limit=1000") if is_lost(one)]
            assert len([one for one in lost if one["virtual_resource_type"] == "virtual machine"]) == 20
            await asked.report("crowd-0")
            await asked.report("crowd-0", "up")
            name = next(iter(await cloud.hosts_of(cloud.servers)))
            await asked.report(name)
            marked = await asked.all_marked()
            assert not {one["virtual_resource_id"] for one in lost} & {resource for resource, _ in marked}
            await asked.report(name, "up")
            await asked.nothing_marked()
    finally:
        doctor.stop()
        run("crowd", "0")


def is_lost(one: Any) -> bool:
    """Tell whether a machine or a port is on no host."""
    kind = one["virtual_resource_type"]
    return kind in ("virtual machine", "virtual NIC") and "physical_resource_id" not in one["location"]


def _elsewhere(folder: Path) -> Path:
    """Return a clouds.yaml that leads to nobody."""
    file = folder / "clouds.yaml"
    file.write_text(
        "clouds: {doctor: {auth: {auth_url: 'http://127.0.0.1:9/v3', username: a, password: b, "
        "project_name: c, user_domain_name: Default, project_domain_name: Default}}}"
    )
    return file
