"""What a real Nova makes of commands: each is known by what it left, and an evacuation waits for the host to be down to it."""

import pytest

from doctor.model.errors import Reason, RejectedError
from doctor.model.instruction import Action, Command, Stage
from doctor.model.marking import Mark, MarkKind, Standing
from doctor.model.resource import NIC, STORAGE
from doctor.testing.contracts.controller import NOWHERE, carry_out
from tests.openstack.cloud import Cloud, host, until
from tests.openstack.conftest import controller
from tests.openstack.test_marking import a_host_with_servers


async def test_machines_are_evacuated_when_nova_takes_their_host_for_down_and_by_one_at_a_time(
    cloud: Cloud, least: dict[str, object]
) -> None:
    """One goes to the host that is named; the other one is being evacuated by somebody else already."""
    name, (server, other, *_) = await a_host_with_servers(cloud)
    goal, disabled, *_ = sorted(set(await cloud.services()) - {name})
    doctor = controller(least)
    command = Command(Action.EVACUATE, server, name, {}, target=goal)
    try:
        first = await doctor.look(command)
        with pytest.raises(RejectedError, match="forced down first") as refused:
            await doctor.tell(command)
        assert refused.value.reason is Reason.CONFLICT
        host("freeze", name)
        await cloud.set_service(name, forced_down=True)
        await cloud.set_service(disabled, status="disabled", disabled_reason="new disks")
        for target, says in (
            ("nowhere", "has no compute host"),
            (disabled, "is disabled"),
            (name, "is down"),
        ):
            with pytest.raises(RejectedError, match=says) as refused:
                await doctor.tell(command._replace(target=target))
            assert refused.value.reason is Reason.IMPOSSIBLE

        # Somebody else's evacuation, which does not end as long as the host that it goes to hangs.
        host("freeze", goal)
        await cloud.act(other, "evacuate", {"host": goal})
        with pytest.raises(RejectedError, match=r"from .* \(accepted\)") as refused:
            await doctor.tell(command._replace(resource_id=other, target=None))
        assert refused.value.reason is Reason.CONFLICT
        assert [other in one for one in await doctor.leaving(name)] == [True]
        with pytest.raises(RejectedError, match="may not be up again yet"):
            await doctor.write(Mark(MarkKind.FORCED_DOWN, name), Standing("up"))
        host("thaw", goal)

        assert (await carry_out(doctor, command)).stage is Stage.SUCCEEDED
        moved = await cloud.server(server)
        assert (moved["status"], moved["OS-EXT-SRV-ATTR:host"]) == ("ACTIVE", goal)

        # Who comes after a crash finds it done, by what was there before it, and not again by what is there now.
        assert (await doctor.look(command._replace(since=first.seen))).stage is Stage.SUCCEEDED
        now = await doctor.look(command)
        assert now.seen != first.seen
        assert (await doctor.look(command._replace(since=now.seen))).stage is Stage.UNTOUCHED

        async def has_arrived() -> bool:
            there = await cloud.server(other)
            return (there["OS-EXT-SRV-ATTR:host"], there["status"]) == (goal, "ACTIVE")

        await until(has_arrived, every=0.3)
        records = await cloud.ask(
            "GET", "compute", f"/os-migrations?instance_uuid={other}&source_compute={name}"
        )
        assert await doctor.leaving(name) == []
        last, *before = [one["status"] for one in records["migrations"]]
        assert last == "done"
        assert "accepted" not in before
    finally:
        host("thaw", goal)
        host("thaw", name)
        await doctor.close()


async def test_a_machine_is_rebuilt_from_an_image_of_its_owner_migrated_and_deleted(
    cloud: Cloud, least: dict[str, object]
) -> None:
    """Doctor sees the image when it was shared with its project, and says so before."""
    async with Cloud.login("tenant-a") as tenant, tenant.image() as image:
        (server,) = await tenant.boot("to-be-moved", imageRef=image)
        name = (await cloud.server(server))["OS-EXT-SRV-ATTR:host"]
        doctor = controller(least)
        rebuild = Command(Action.REBUILD, server, name, {})
        try:
            with pytest.raises(RejectedError) as refused:
                await carry_out(doctor, rebuild)
            (flaw,) = refused.value.flaws
            assert f"share it with its project in the cloud ({cloud.project})" in flaw.detail
            await tenant.ask("POST", "image", f"/v2/images/{image}/members", {"member": cloud.project})
            rebuilt = await carry_out(doctor, rebuild)
            assert rebuilt.stage is Stage.SUCCEEDED, rebuilt.detail
            moved = await carry_out(doctor, Command(Action.MIGRATE, server, name, {}))
            assert moved.stage is Stage.SUCCEEDED, moved.detail
            assert (await cloud.server(server))["OS-EXT-SRV-ATTR:host"] != name
            updated = await carry_out(
                doctor,
                Command(Action.UPDATE, server, None, {"name": "moved", "metadata": {"doctor:role": "ACT"}}),
            )
            assert updated.stage is Stage.SUCCEEDED
            ended = await carry_out(doctor, Command(Action.TERMINATE, server, None, {}))
            assert ended.stage is Stage.SUCCEEDED
            ports = f"/v2.0/ports?device_id={server}"
            assert (await cloud.ask("GET", "network", ports))["ports"] == []
        finally:
            await doctor.close()


@pytest.mark.requirement("B1", "B23")
async def test_a_port_is_cut_off_and_given_back_and_a_volume_put_into_service(
    cloud: Cloud, least: dict[str, object]
) -> None:
    server = cloud.servers[0]
    (port,) = (await cloud.ask("GET", "network", f"/v2.0/ports?device_id={server}"))["ports"]
    doctor = controller(least)

    async def is_up() -> bool:
        shown = await tenant.ask("GET", "network", f"/v2.0/ports/{port['id']}")
        return bool(shown["port"]["admin_state_up"])

    async with Cloud.login("tenant-a") as tenant, cloud.volume(tenant) as volume:
        try:
            for action in (Action.STOP, Action.START):
                command = Command(action, port["id"], port["binding:host_id"], {}, kind=NIC)
                assert (await carry_out(doctor, command)).stage is Stage.SUCCEEDED
                assert await is_up() is (action is Action.START)
            for status in ("error", "error_extending", "available"):
                await cloud.set_volume(volume, status)
                command = Command(Action.START, volume, None, {}, kind=STORAGE)
                assert (await carry_out(doctor, command)).stage is Stage.SUCCEEDED
                assert await cloud.volume_status(volume) == "available"
            for kind, resource_id in ((NIC, port["id"]), (STORAGE, volume)):
                command = Command(Action.UPDATE, resource_id, None, {"name": "renamed"}, kind=kind)
                assert (await carry_out(doctor, command)).stage is Stage.SUCCEEDED
                with pytest.raises(RejectedError) as missing:
                    await doctor.look(command._replace(resource_id=NOWHERE))
                assert missing.value.reason is Reason.NOT_FOUND
                with pytest.raises(RejectedError, match="cannot reboot"):
                    await doctor.tell(command._replace(action=Action.REBOOT))
        finally:
            await doctor.close()
