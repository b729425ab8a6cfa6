"""What a real Nova makes of commands: each is known by what it left, and an evacuation waits for the host to be down to it."""

import pytest

from doctor.model.errors import Reason, RejectedError
from doctor.model.instruction import Action, Command, Stage
from doctor.testing.contracts.controller import carry_out
from tests.openstack.cloud import Cloud, host
from tests.openstack.conftest import controller
from tests.openstack.test_marking import a_host_with_servers


async def test_a_machine_is_evacuated_once_nova_takes_its_host_for_down_and_runs_elsewhere(
    cloud: Cloud, least: dict[str, object]
) -> None:
    name, servers = await a_host_with_servers(cloud)
    doctor = controller(least)
    command = Command(Action.EVACUATE, servers[0], name, {})
    try:
        first = await doctor.look(command)
        with pytest.raises(RejectedError, match="forced down first") as refused:
            await doctor.tell(command)
        assert refused.value.reason is Reason.CONFLICT
        host("freeze", name)
        await cloud.set_service(name, forced_down=True)
        assert (await carry_out(doctor, command)).stage is Stage.SUCCEEDED
        server = await cloud.server(servers[0])
        assert server["status"] == "ACTIVE"
        assert server["OS-EXT-SRV-ATTR:host"] != name

        # Who comes after a crash finds it done, by what was there before it, and not again by what is there now.
        assert (await doctor.look(command._replace(since=first.seen))).stage is Stage.SUCCEEDED
        now = await doctor.look(command)
        assert now.seen != first.seen
        assert (await doctor.look(command._replace(since=now.seen))).stage is Stage.UNTOUCHED
    finally:
        host("thaw", name)
        await doctor.close()


async def test_a_cold_migration_is_confirmed_and_a_deleted_server_is_gone(
    cloud: Cloud, least: dict[str, object]
) -> None:
    async with Cloud.login("tenant-a") as tenant:
        (server,) = await tenant.boot("to-be-moved")
        name = (await cloud.server(server))["OS-EXT-SRV-ATTR:host"]
        doctor = controller(least)
        try:
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
