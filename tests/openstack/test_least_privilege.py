"""What the documentation lets Doctor do in a cloud, and no more, is enough."""

import re
from pathlib import Path

import pytest

from doctor.testing.running import RunningDoctor
from tests.openstack.cloud import STATE, Cloud, Doctor, Owner, until
from tests.openstack.test_marking import a_host_with_servers

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "openstack.md"
STORAGE = "storage.backend.degraded"


def test_the_testbed_has_the_policies_of_the_documentation() -> None:
    blocks = re.findall(r"```yaml\n# policy.yaml of (\w+)\n(.*?)```", PAGE.read_text(), re.DOTALL)
    assert {service for service, _ in blocks} == {"nova", "neutron", "cinder"}
    for service, lines in blocks:
        there = (STATE / "etc" / service / "policy.yaml").read_text().splitlines()
        assert set(lines.splitlines()) <= set(there), service


@pytest.mark.requirement("C12")
async def test_a_user_with_the_documented_rights_can_do_all_that_doctor_does(
    cloud: Cloud, owner: Owner, tmp_path: Path, least: dict[str, object]
) -> None:
    """Its role is its only one, and on the message bus it may listen.

    What it has to do for instructions is in the contract of controllers, and in test_instructions.py.
    """
    name, _ = await a_host_with_servers(cloud)
    with RunningDoctor(tmp_path / "doctor", controllers=[least]) as running:
        async with (
            Doctor.at(running) as asked,
            Cloud.login("tenant-a") as tenant,
            cloud.volume(tenant) as volume,
        ):
            await asked.map_is_current()
            await owner.subscribe(asked, tenant.project)
            await tenant.set_metadata(cloud.servers[0], {"doctor:role": "ACT"})

            async def is_heard() -> bool:
                query = f"/v1/virtual-resources?virtual_resource_id={cloud.servers[0]}"
                return [one["role"] for one in await asked.items(query)] == ["ACT"]

            await until(is_heard)
            added = {
                "physical_resources": [{"id": "ceph-1", "type": "storage"}],
                "relations": [{"from": "ceph-1", "kind": "backs", "to": volume}],
            }
            await asked.ask("PUT", "/v1/resource-map", added)
            await asked.report("ceph-1", event_type=STORAGE)
            await asked.report(name)
            await owner.hears("fault")
            await asked.all_marked()
            service = (await cloud.services())[name]
            assert (service["forced_down"], service["status"]) == (True, "disabled")
            assert set((await cloud.all_on(name)).values()) == {"error"}
            assert set((await cloud.ports_on(name)).values()) == {"DOWN"}
            assert await cloud.volume_status(volume) == "error"
            await asked.report("ceph-1", "up", event_type=STORAGE)
            await asked.report(name, "up")
            await asked.nothing_marked()
            assert set((await cloud.all_on(name)).values()) == {"active"}
            assert await cloud.volume_status(volume) == "available"
