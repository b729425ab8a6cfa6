"""What stands beside a real cloud: what an operator adds to its map by hand, and other clouds."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import yaml

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import STATE, Cloud, Doctor, Owner, until
from tests.openstack.conftest import driver
from tests.openstack.test_marking import a_host_with_servers

STORAGE = "storage.backend.degraded"
OF_SERVERS = ("server_error", "port_down")


async def test_a_switch_that_fails_is_told_to_those_behind_it(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    """The host is not forced down, for it runs; nothing new is placed there, and its servers are in error."""
    name, _ = await a_host_with_servers(cloud)
    doctor.start()
    async with Doctor.at(doctor) as asked, Cloud.login("tenant-a") as tenant:
        await asked.map_is_current()
        await owner.subscribe(asked, tenant.project)
        whole = await asked.ask("GET", "/v1/resource-map")
        whole["physical_resources"].append({"id": "tor-1", "type": "switch"})
        whole["relations"].append({"from": "tor-1", "kind": "connects", "to": name})
        await asked.ask("PUT", "/v1/resource-map", whole)
        await asked.report("tor-1", event_type="network.switch.down")
        await owner.hears("fault")
        await asked.all_marked()
        service = (await cloud.services())[name]
        assert (service["forced_down"], service["status"]) == (False, "disabled")
        assert set((await cloud.all_on(name)).values()) == {"error"}
        await asked.report("tor-1", "up", event_type="network.switch.down")
        await owner.hears("fault_cleared")
        await asked.nothing_marked()
        assert set((await cloud.all_on(name)).values()) == {"active"}


async def test_volumes_on_a_storage_that_fails_are_in_error_until_it_is_back(
    cloud: Cloud, owner: Owner, doctor: RunningDoctor
) -> None:
    """The storage is added by hand; the volumes are Cinder's."""
    async with Cloud.login("tenant-a") as tenant, cloud.volume(tenant) as volume:
        doctor.start()
        async with Doctor.at(doctor) as asked:
            await asked.map_is_current()
            await owner.subscribe(asked, tenant.project)
            added = {
                "physical_resources": [{"id": "ceph-1", "type": "storage"}],
                "relations": [{"from": "ceph-1", "kind": "backs", "to": volume}],
            }
            await asked.ask("PUT", "/v1/resource-map", added)
            await asked.report("ceph-1", event_type=STORAGE)
            await owner.hears("fault")
            await asked.all_marked()
            assert await cloud.volume_status(volume) == "error"
            await asked.report("ceph-1", "up", event_type=STORAGE)
            await owner.hears("fault_cleared")
            await asked.nothing_marked()
            assert await cloud.volume_status(volume) == "available"


async def test_a_second_cloud_that_is_away_disturbs_nothing(cloud: Cloud, tmp_path: Path, bus: Path) -> None:
    """Each is asked and listened to by itself."""
    other = driver(None) | {"name": "other", "host_prefix": "other:", "clouds_file": "/nowhere/clouds.yaml"}
    with RunningDoctor(tmp_path / "doctor", controllers=[driver(bus), other]) as running:
        async with Doctor.at(running) as asked:

            async def one_is_current() -> bool:
                phases = {one["controller"]: one["phase"] for one in await asked.items("/v1/controllers")}
                return phases == {"doctor": "current", "other": "loading"}

            await until(one_is_current)
            name, _ = await a_host_with_servers(cloud)
            await asked.report(name)
            await asked.all_marked()
            assert (await cloud.services())[name]["forced_down"]
            await asked.report(name, "up")
            await asked.nothing_marked()


@asynccontextmanager
async def second_region() -> AsyncIterator[str]:
    """Have another region in the catalogue for a while; its services are those of the first."""
    name = "RegionTwo"
    async with Cloud.login("admin") as admin:
        await admin.ask("POST", "identity", "/regions", {"region": {"id": name}}, ok=False)
        listed = (await admin.ask("GET", "identity", "/endpoints?interface=public"))["endpoints"]
        made = []
        try:
            for one in listed:
                copy = {key: one[key] for key in ("service_id", "interface", "url")} | {"region_id": name}
                answer = await admin.ask("POST", "identity", "/endpoints", {"endpoint": copy})
                made.append(answer["endpoint"]["id"])
            yield name
        finally:
            for endpoint in made:
                await admin.ask("DELETE", "identity", f"/endpoints/{endpoint}")
            await admin.ask("DELETE", "identity", f"/regions/{name}")


async def test_two_regions_live_side_by_side_and_each_resource_has_one_master(
    cloud: Cloud, owner: Owner, tmp_path: Path, bus: Path
) -> None:
    """The second one lists the servers of the first as well: what is another's stays its, and is marked once."""
    clouds = yaml.safe_load((STATE / "clouds.yaml").read_text())
    clouds["clouds"]["doctor"] |= {"region_name": None, "regions": ["RegionOne", "RegionTwo"]}
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump(clouds))
    one = driver(bus) | {
        "name": "one",
        "region": "RegionOne",
        "clouds_file": str(tmp_path / "clouds.yaml"),
    }
    with RunningDoctor(tmp_path / "doctor", controllers=[one]) as running:
        async with Doctor.at(running) as asked:
            await asked.map_is_current()
    async with second_region() as region:
        two = one | {"name": "two", "region": region, "host_prefix": "two-"}
        with RunningDoctor(tmp_path / "doctor", controllers=[one, two]) as running:
            async with Doctor.at(running) as asked, Cloud.login("tenant-a") as tenant:

                async def both_are_current() -> bool:
                    return {row["phase"] for row in await asked.items("/v1/controllers")} == {"current"}

                await until(both_are_current)
                trouble = {row["controller"]: row["trouble"] for row in await asked.items("/v1/controllers")}
                assert not trouble["one"]
                assert "another controller's already" in trouble["two"]
                hosts = {
                    row["id"] for row in (await asked.ask("GET", "/v1/resource-map"))["physical_resources"]
                }
                assert hosts == {prefix + name for name in await cloud.services() for prefix in ("", "two-")}
                await owner.subscribe(asked, tenant.project)
                name, servers = await a_host_with_servers(cloud)
                await asked.report(name)
                await owner.hears("fault")
                marked = await asked.all_marked()
                assert {(server, "server_error") for server in servers} <= set(marked)
                assert {row["controller"] for (_, kind), row in marked.items() if kind in OF_SERVERS} == {
                    "one"
                }
                assert (await cloud.services())[name]["forced_down"]
                await asked.report(name, "up")
                await asked.nothing_marked()
                assert set((await cloud.all_on(name)).values()) == {"active"}
                assert [one["notification_type"] for _, one in owner.heard].count("fault") == 1
