"""What is asked of Nova for each command, and what is read from its answers; the real Nova is in tests/openstack."""

import asyncio
from typing import Any

import msgspec
import pytest

from doctor.drivers.controllers.openstack import migrations
from doctor.drivers.controllers.openstack import servers as module
from doctor.drivers.controllers.openstack.controller import OpenStackController
from doctor.drivers.controllers.openstack.servers import NOTHING, VERSION, Servers
from doctor.drivers.controllers.openstack.settings import OpenStackSettings
from doctor.model.errors import Flaw, PermanentError, Reason, RejectedError, TransientError
from doctor.model.instruction import Action, Command, Progress, Stage
from doctor.model.map_news import MapStatus, Phase

A, S = Action, Stage


class Nova:
    """Stands for the session with a Nova that has one server: answers as it does, and keeps what it was told."""

    def __init__(self, **server: Any) -> None:
        self.server: dict[str, Any] | None = {
            "id": "vm-1",
            "name": "vm",
            "OS-EXT-SRV-ATTR:host": "compute-1",
            "OS-EXT-STS:vm_state": server.pop("vm_state", "active"),
            "OS-EXT-STS:task_state": server.pop("task_state", None),
            "image": {"id": "cirros"},
            **server,
        }
        self.actions: list[dict[str, Any]] = [{"action": "create", "request_id": "req-0", "message": None}]
        self.services: dict[str, dict[str, Any]] = {
            "compute-1": {"state": "down", "forced_down": True},
            "compute-2": {"state": "up", "status": "enabled", "forced_down": False},
        }
        self.migrations: list[dict[str, Any]] = [{"status": "completed", "migration_type": "live-migration"}]
        self.images: dict[str, Any] | Exception = {"id": "cirros"}
        self.told: list[tuple[str, str, Any]] = []

    async def project(self) -> str:
        return "of-doctor"

    async def get(
        self, service: str, path: str, answer: Any, *, version: str | None = None, urgent: bool
    ) -> Any:
        if service == "image":
            if isinstance(self.images, Exception):
                raise self.images
            return msgspec.convert(self.images, answer)
        wanted = migrations.VERSION if path.startswith("/os-migrations") else VERSION
        assert (service, version) == ("compute", wanted)
        if path.startswith("/os-services"):
            known = self.services.get(path.rpartition("host=")[2])
            document: Any = {"services": [] if known is None else [known]}
        elif self.server is None:
            raise RejectedError("no such server", reason=Reason.NOT_FOUND)
        elif path == "/os-migrations?instance_uuid=vm-1":
            document = {"migrations": self.migrations}
        elif path.endswith("/os-instance-actions"):
            document = {"instanceActions": self.actions}
        else:
            document = {"server": self.server}
        return msgspec.convert(document, answer)

    async def change(self, service: str, method: str, path: str, body: Any, *, version: str) -> None:
        assert (service, version) == ("compute", VERSION)
        if body is not None and "rebuild" in body and isinstance(self.images, Exception):
            raise RejectedError("400: Cannot find image for rebuild", reason=Reason.CONFLICT)
        if body is not None and "evacuate" in body and not self.services["compute-1"]["forced_down"]:
            raise RejectedError("Compute service of compute-1 is still in use.", reason=Reason.CONFLICT)
        self.told.append((method, path.removeprefix("/servers/vm-1"), body))

    def has_done(self, action: str, message: str | None = None) -> None:
        request_id = f"req-{len(self.actions)}"
        self.actions.insert(0, {"action": action, "request_id": request_id, "message": message})


def servers(nova: Nova) -> Servers:
    return Servers(nova)  # type: ignore[arg-type]  # of a session it uses these two methods


def command(action: Action, since: str | None = "req-0", **parameters: Any) -> Command:
    return Command(action, "vm-1", "compute-1", parameters, since)


@pytest.mark.parametrize(
    ("given", "sent"),
    [
        pytest.param(command(A.EVACUATE), ("POST", "/action", {"evacuate": {}}), id="evacuate"),
        pytest.param(command(A.MIGRATE), ("POST", "/action", {"migrate": None}), id="migrate"),
        pytest.param(
            command(A.LIVE_MIGRATE),
            ("POST", "/action", {"os-migrateLive": {"host": None, "block_migration": "auto"}}),
            id="live-migrate",
        ),
        pytest.param(
            command(A.EVACUATE)._replace(target="compute-2"),
            ("POST", "/action", {"evacuate": {"host": "compute-2"}}),
            id="evacuate-to-a-host",
        ),
        pytest.param(
            command(A.MIGRATE)._replace(target="compute-2"),
            ("POST", "/action", {"migrate": {"host": "compute-2"}}),
            id="migrate-to-a-host",
        ),
        pytest.param(
            command(A.LIVE_MIGRATE)._replace(target="compute-2"),
            ("POST", "/action", {"os-migrateLive": {"host": "compute-2", "block_migration": "auto"}}),
            id="live-migrate-to-a-host",
        ),
        pytest.param(
            command(A.REBUILD), ("POST", "/action", {"rebuild": {"imageRef": "cirros"}}), id="rebuild"
        ),
        pytest.param(
            command(A.REBUILD, image="newer"),
            ("POST", "/action", {"rebuild": {"imageRef": "newer"}}),
            id="rebuild-newer",
        ),
        pytest.param(command(A.REBOOT), ("POST", "/action", {"reboot": {"type": "SOFT"}}), id="reboot"),
        pytest.param(
            command(A.REBOOT, type="hard"),
            ("POST", "/action", {"reboot": {"type": "HARD"}}),
            id="reboot-hard",
        ),
        pytest.param(command(A.STOP), ("POST", "/action", {"os-stop": None}), id="stop"),
        pytest.param(command(A.START), ("POST", "/action", {"os-start": None}), id="start"),
        pytest.param(command(A.TERMINATE), ("DELETE", "", None), id="terminate"),
        pytest.param(
            command(A.UPDATE, metadata={"a": "b"}),
            ("POST", "/metadata", {"metadata": {"a": "b"}}),
            id="update",
        ),
    ],
)
async def test_what_nova_is_told(given: Command, sent: tuple[str, str, Any]) -> None:
    nova = Nova()
    await servers(nova).tell(given)
    assert nova.told == [sent]


async def test_a_machine_is_not_evacuated_before_nova_takes_its_host_for_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(module, "FORCED_DOWN_WITHIN", 0.1)
    nova = Nova()
    nova.services["compute-1"] = {"state": "up", "forced_down": False}
    with pytest.raises(RejectedError, match="forced down first") as refused:
        await servers(nova).tell(command(A.EVACUATE))
    assert (refused.value.reason, nova.told) == (Reason.CONFLICT, [])


async def test_an_evacuation_goes_out_as_soon_as_the_host_is_forced_down() -> None:
    nova = Nova()
    nova.services["compute-1"] = {"state": "up", "forced_down": False}
    telling = asyncio.create_task(servers(nova).tell(command(A.EVACUATE)))
    await asyncio.sleep(0.05)
    assert nova.told == []
    nova.services["compute-1"]["forced_down"] = True
    await telling
    assert len(nova.told) == 1


async def test_an_evacuation_to_a_host_that_is_fenced_will_not_end_and_holds_up_nobody() -> None:
    nova = Nova()
    stuck = {"status": "pre-migrating", "migration_type": "evacuation", "dest_compute": "compute-2"}
    nova.migrations.insert(0, stuck)
    nova.services["compute-2"] = {"state": "down"}  # it may hang, and go on
    with pytest.raises(RejectedError, match="to compute-2"):
        await servers(nova).tell(command(A.EVACUATE))
    nova.services["compute-2"]["forced_down"] = True
    await servers(nova).tell(command(A.EVACUATE))
    assert len(nova.told) == 1


MOVES = (A.EVACUATE, A.MIGRATE, A.LIVE_MIGRATE)


@pytest.mark.parametrize(
    ("service", "says"),
    [
        pytest.param(None, "Nova has no compute host compute-9", id="unknown"),
        pytest.param({"state": "down"}, "compute-9 is down in Nova", id="down"),
        pytest.param({"forced_down": True}, "compute-9 is down in Nova", id="forced-down"),
        pytest.param({"status": "disabled"}, "compute-9 is disabled in Nova", id="disabled"),
    ],
)
@pytest.mark.parametrize("action", MOVES)
async def test_a_host_that_takes_no_machine_is_said_before_nova_tries(
    action: Action, service: dict[str, Any] | None, says: str
) -> None:
    nova = Nova()
    if service is not None:
        nova.services["compute-9"] = service
    with pytest.raises(RejectedError, match=says) as refused:
        await servers(nova).tell(command(action)._replace(target="compute-9"))
    assert (refused.value.reason, nova.told) == (Reason.IMPOSSIBLE, [])


@pytest.mark.parametrize("action", MOVES)
@pytest.mark.parametrize("status", ["accepted", "pre-migrating", "running", "a state of a later Nova"])
async def test_a_machine_that_somebody_else_moves_is_not_moved_a_second_time(
    action: Action, status: str
) -> None:
    nova = Nova()
    nova.migrations.insert(
        0, {"status": status, "migration_type": "evacuation", "source_compute": "compute-1"}
    )
    with pytest.raises(RejectedError, match=r"evacuation of .* from compute-1 to a host") as refused:
        await servers(nova).tell(command(action))
    assert (refused.value.reason, nova.told) == (Reason.CONFLICT, [])
    assert not [flaw for flaw in refused.value.flaws if "compute" in flaw.detail]


async def test_what_starts_from_a_volume_cannot_be_rebuilt_without_an_image() -> None:
    with pytest.raises(RejectedError, match="from which image"):
        await servers(Nova(image="")).tell(command(A.REBUILD))


async def test_who_is_to_share_his_image_with_doctor_is_told_so() -> None:
    nova = Nova()
    nova.images = RejectedError("404", reason=Reason.NOT_FOUND)
    with pytest.raises(RejectedError) as refused:
        await servers(nova).tell(command(A.REBUILD))
    (flaw,) = refused.value.flaws
    assert refused.value.reason is Reason.IMPOSSIBLE
    assert flaw == Flaw(
        "/parameters/image",
        "Doctor may not use the image cirros: share it with its project in the cloud (of-doctor), or ask the operator",
    )


@pytest.mark.parametrize("error", [TransientError("away"), PermanentError("the cloud has no image")])
async def test_where_glance_says_nothing_nova_has_said_enough(error: Exception) -> None:
    nova = Nova()
    nova.images = error
    with pytest.raises(RejectedError, match="Cannot find image") as refused:
        await servers(nova).tell(command(A.REBUILD))
    assert refused.value.reason is Reason.CONFLICT


MOVED = {"OS-EXT-SRV-ATTR:host": "compute-2"}


@pytest.mark.parametrize(
    ("action", "server", "stage"),
    [
        pytest.param(A.EVACUATE, {"task_state": "rebuilding"}, S.RUNNING, id="evacuating"),
        pytest.param(A.EVACUATE, MOVED, S.SUCCEEDED, id="evacuated"),
        pytest.param(A.EVACUATE, {"vm_state": "error"}, S.FAILED, id="no-host-took-it"),
        pytest.param(A.EVACUATE, MOVED | {"vm_state": "error"}, S.FAILED, id="it-did-not-start-there"),
        pytest.param(A.EVACUATE, MOVED | {"task_state": "spawning"}, S.RUNNING, id="not-quite-there"),
        pytest.param(A.EVACUATE, {}, S.RUNNING, id="it-runs-and-is-still-said-to-be-on-its-old-host"),
        pytest.param(A.MIGRATE, MOVED | {"vm_state": "resized"}, S.HALTED, id="migrated-to-be-confirmed"),
        pytest.param(A.MIGRATE, MOVED, S.SUCCEEDED, id="migrated"),
        pytest.param(A.LIVE_MIGRATE, {}, S.FAILED, id="it-stayed"),
        pytest.param(A.STOP, {"vm_state": "stopped"}, S.SUCCEEDED, id="stopped"),
        pytest.param(A.STOP, {}, S.FAILED, id="it-did-not-stop"),
        pytest.param(A.REBOOT, {}, S.SUCCEEDED, id="rebooted"),
        pytest.param(A.REBUILD, {"vm_state": "stopped"}, S.SUCCEEDED, id="rebuilt-and-stopped-as-before"),
        pytest.param(A.TERMINATE, {"task_state": "deleting"}, S.RUNNING, id="deleting"),
        pytest.param(A.TERMINATE, {"vm_state": "error"}, S.FAILED, id="not-deleted"),
    ],
)
async def test_what_has_become_of_a_command(action: Action, server: dict[str, Any], stage: Stage) -> None:
    nova = Nova(**server)
    names = {A.LIVE_MIGRATE: "live-migration", A.TERMINATE: "delete"}
    nova.has_done(names.get(action, action.value))
    assert (await servers(nova).look(command(action))).stage is stage


async def test_why_it_failed_is_in_the_words_of_nova() -> None:
    nova = Nova(vm_state="error", fault={"message": "No valid host was found."})
    nova.has_done("evacuate", "Error")
    failed = Progress(S.FAILED, "req-1", "No valid host was found.")
    assert await servers(nova).look(command(A.EVACUATE)) == failed


async def test_what_was_done_before_the_command_does_not_count() -> None:
    nova = Nova(**MOVED)
    nova.has_done("evacuate")
    nova.has_done("reboot")
    assert (await servers(nova).look(command(A.EVACUATE, since="req-2"))).stage is S.UNTOUCHED
    assert (await servers(nova).look(command(A.EVACUATE, since=None))) == Progress(S.UNTOUCHED, "req-2")
    nova.actions = []
    assert (await servers(nova).look(command(A.EVACUATE, since=None))).seen == NOTHING


async def test_a_resize_of_the_owner_is_not_confirmed_for_him() -> None:
    nova = Nova(vm_state="resized")
    nova.has_done("resize")
    await servers(nova).tell(command(A.MIGRATE, since="req-1"))
    nova.has_done("migrate")
    await servers(nova).tell(command(A.MIGRATE, since="req-1"))
    assert [body for _, _, body in nova.told] == [{"migrate": None}, {"confirmResize": None}]


async def test_a_migration_is_confirmed_once() -> None:
    """Nova shows the server as before until it is done, and refuses a second confirmation."""
    nova = Nova(vm_state="resized", **MOVED)
    nova.has_done("migrate")
    nova.has_done("confirmResize")
    assert (await servers(nova).look(command(A.MIGRATE))).stage is S.RUNNING
    nova.actions[0]["message"] = "Error"
    assert (await servers(nova).look(command(A.MIGRATE))).stage is S.HALTED


@pytest.mark.parametrize(("action", "state"), [(A.STOP, "stopped"), (A.START, "active")])
async def test_what_is_so_already_need_not_be_done(action: Action, state: str) -> None:
    assert (await servers(Nova(vm_state=state)).look(command(action))).stage is S.SUCCEEDED


async def test_an_update_is_seen_in_the_server() -> None:
    nova, given = Nova(), command(A.UPDATE, name="new", metadata={"doctor:role": "ACT"})
    assert (await servers(nova).look(given)).stage is S.UNTOUCHED
    nova = Nova(name="new", metadata={"doctor:role": "ACT", "other": "x"})
    assert (await servers(nova).look(given)).stage is S.SUCCEEDED


async def test_what_is_gone_is_terminated() -> None:
    nova = Nova()
    nova.server = None
    assert (await servers(nova).look(command(A.TERMINATE))).stage is S.SUCCEEDED
    with pytest.raises(RejectedError):
        await servers(nova).look(command(A.STOP))


async def test_what_nobody_announces_is_read_when_a_command_is_done() -> None:
    """Without a message bus the map would have a machine where it was, for minutes."""
    nova = Nova()
    controller = OpenStackController(OpenStackSettings(cloud="nowhere"))
    controller._servers = servers(nova)
    moved = command(A.LIVE_MIGRATE)
    assert (await controller.look(moved)).stage is S.UNTOUCHED
    assert not controller._wanted.is_set()
    nova.has_done("live-migration")
    nova.server = {**(nova.server or {}), "OS-EXT-SRV-ATTR:host": "compute-2"}
    assert (await controller.look(moved)).stage is S.SUCCEEDED
    assert controller._wanted.is_set()
    controller._wanted.clear()
    controller._status = MapStatus(phase=Phase.CURRENT, listening=True)
    await controller.look(moved)
    assert not controller._wanted.is_set()
    await controller.close()
