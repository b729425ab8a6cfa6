"""Fenix' clients at a real Doctor: a whole rolling maintenance by their requests, and what is refused to whom."""

import json
import time
from collections.abc import Iterator
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.fenix_vnfm import FenixVnfm, serving
from tests.integration.keystone_server import FakeKeystone
from tests.integration.receiver import receiving
from tests.integration.test_doors import Door
from tests.integration.test_maintenance_actions import Shop

PATIENCE = 40.0
BASE = "/maintenance/v1"
SESSIONS = f"{BASE}/maintenance"
MAP = {
    "physical_resources": [{"id": f"compute-{n}", "zone_id": "az1"} for n in range(1, 4)],
    "virtual_resources": [
        {"id": "ha-1", "host": "compute-1", "owner": "p-red", "role": "ACT"},
        {"id": "ha-2", "host": "compute-2", "owner": "p-red", "role": "STBY"},
        {"id": "single", "host": "compute-3", "owner": "p-red"},
        {"id": "vm-blue", "host": "compute-1", "owner": "p-blue"},
    ],
}


@pytest.fixture
def doctor(tmp_path: Path) -> Iterator[RunningDoctor]:
    """Runs with users of a cloud: Ann is of p-red, Bea of p-blue."""
    with ExitStack() as stack:
        keystone = stack.enter_context(FakeKeystone())
        for color in ("red", "blue", "green"):
            keystone.knows(f"of-{color}", "member", project=f"p-{color}")
        cloud = {"cloud": "cloud", "clouds_file": str(keystone.clouds_file(tmp_path))}
        doctor = RunningDoctor(
            tmp_path / "doctor",
            auth={"keystone": cloud},
            maintenance={"usual_timeout": 20, "retry_after": 0.2},
        )
        stack.enter_context(doctor)
        assert Door(doctor).ask("PUT", "/v1/resource-map", MAP)[0] == 200
        yield doctor


def session(seconds: float = 2.0, **more: Any) -> dict[str, Any]:
    """Return a session as Fenix' administrators ask for it."""
    at = datetime.now(UTC) + timedelta(seconds=seconds)
    usual = {
        "hosts": [],
        "state": "MAINTENANCE",
        "maintenance_at": at.strftime("%Y-%m-%d %H:%M:%S"),
        "metadata": {"openstack_version": "Rocky"},
        "workflow": "default",
    }
    return {**usual, **more}


def subscribe(door: Door, vnfm: FenixVnfm, color: str, form: str = "fenix-aodh") -> None:
    wish = {"endpoints": [{"url": vnfm.url, "format": form}], "subscribe_filter": {"event": ["maintenance"]}}
    assert door.ask("POST", "/v1/subscriptions", wish, token=None, x_auth_token=f"of-{color}")[0] == 201


def step_when(door: Door, session_id: str, *wanted: str) -> str:
    """Wait until a session is in one of these states."""
    end = time.monotonic() + PATIENCE
    while True:
        status, found = door.ask("GET", f"{SESSIONS}/{session_id}")
        assert status == 200
        if found["state"] in wanted:
            state: str = found["state"]
            return state
        assert time.monotonic() < end, door.ask("GET", f"{SESSIONS}/{session_id}/detail")
        time.sleep(0.05)


def heard(vnfm: FenixVnfm) -> list[dict[str, Any]]:
    return [vnfm.heard.get_nowait() for _ in range(vnfm.heard.qsize())]


@pytest.mark.requirement("B30", "B33", "C2", "D9", "D35", "G39")
def test_a_rolling_maintenance_by_the_requests_of_fenix_clients_across_a_kill(doctor: RunningDoctor) -> None:
    """One manager answers, one is silent and has said beforehand what counts then; Doctor is killed in the middle."""
    door = Door(doctor)
    red = FenixVnfm(doctor.url + BASE, "of-red", "p-red", ("ha-1", "ha-2"))
    blue = FenixVnfm(doctor.url + BASE, "of-blue", "p-blue")
    blue.is_silent = True
    with serving(red), serving(blue):
        assert red.constrain_group("ha", anti_affinity_group=True, max_impacted_members=1)[0] == 200
        for name in red.pair:
            status, said = red.constrain(name, "ha")
            assert (status, said["migration_type"], said["lead_time"], said["group_id"]) == (
                200, "MIGRATE", 40.0, "ha",
            )  # fmt: skip
        assert blue.constrain("vm-blue", "blues", lead_time=0)[0] == 200
        subscribe(door, red, "red")
        subscribe(door, blue, "blue")
        status, made = door.ask("POST", SESSIONS, session())
        assert status == 200
        session_id = made["session_id"]
        assert door.ask("GET", SESSIONS)[1] == {"session_id": [session_id]}
        assert door.ask("GET", f"{SESSIONS}/{session_id}")[1] == {"state": "MAINTENANCE"}
        first = red.heard.get(timeout=10)
        assert first["state"] == "MAINTENANCE"
        assert first["service"] == "fenix"
        assert first["metadata"] == {"openstack_version": "Rocky"}
        assert first["instance_ids"] == f"{doctor.url}{SESSIONS}/{session_id}/p-red"
        step_when(door, session_id, "PREPARE_MAINTENANCE")
        doctor.kill()
        doctor.start()
        door = Door(doctor)
        state = step_when(door, session_id, "MAINTENANCE_DONE", "MAINTENANCE_FAILED")
        assert state == "MAINTENANCE_DONE", json.dumps(door.ask("GET", f"{SESSIONS}/{session_id}/detail"))
        end = time.monotonic() + 10
        while not any(one["state"] == "MAINTENANCE_COMPLETE" for one in list(red.heard.queue)):
            assert time.monotonic() < end
            time.sleep(0.05)
        told = heard(red)
    states = [one["state"] for one in told]
    assert states[-1] == "MAINTENANCE_COMPLETE"
    assert {"PREPARE_MAINTENANCE", "PLANNED_MAINTENANCE", "INSTANCE_ACTION_DONE"} <= set(states)
    done = {name for one in told if one["state"] == "INSTANCE_ACTION_DONE" for name in one["instance_ids"]}
    assert done == {"ha-1", "ha-2", "single"}
    assert red.switched, "the active machine was never asked for"
    assert {status for _, reply, status in red.replies if reply["state"] != "ACK_PLANNED"} == {200}
    assert {one["state"] for one in heard(blue)} >= {"MAINTENANCE", "PREPARE_MAINTENANCE"}
    _, detail = door.ask("GET", f"{SESSIONS}/{session_id}/detail")
    assert (detail["percent_done"], detail["state"]) == (100, "MAINTENANCE_DONE")
    assert [(one["hostname"], one["maintained"], one["disabled"]) for one in detail["hosts"]] == [
        (f"compute-{n}", True, False) for n in range(1, 4)
    ]
    assert all(one["action_done"] for one in detail["instances"])
    assert {one["project_id"] for one in detail["instances"]} == {"p-red", "p-blue"}
    assert door.ask("DELETE", f"{SESSIONS}/{session_id}") == (200, {})
    assert door.ask("GET", SESSIONS)[1] == {"session_id": []}
    assert door.ask("GET", f"{SESSIONS}/{session_id}")[0] == 404
    assert door.ask("GET", f"/v1/maintenance/{session_id}")[1]["state"] == "done"


def test_a_reply_that_is_repeated_counts_once_and_one_that_comes_too_late_is_told_so(
    doctor: RunningDoctor,
) -> None:
    door = Door(doctor)
    red = FenixVnfm(doctor.url + BASE, "of-red", "p-red")
    _, made = door.ask("POST", SESSIONS, session(0, hosts=["compute-3"]))
    session_id = made["session_id"]
    url = f"{doctor.url}{SESSIONS}/{session_id}/p-red"
    step_when(door, session_id, "PLANNED_MAINTENANCE")
    assert red.say("GET", url) == (200, {"instance_ids": ["single"]})
    yes = {"state": "ACK_PLANNED_MAINTENANCE", "instance_action": "MIGRATE", "session_id": session_id}
    for _ in range(3):
        status, problem = red.say("PUT", f"{url}/single", yes)
        assert (status, problem) == (200, {}), (problem, door.ask("GET", f"{SESSIONS}/{session_id}/detail"))
    step_when(door, session_id, "MAINTENANCE_DONE")
    assert red.say("PUT", f"{url}/single", yes) == (200, {})
    status, problem = red.say("PUT", f"{url}/single", {**yes, "instance_action": "OWN_ACTION"})
    assert (status, problem["errors"][0]["pointer"]) == (409, "/instance_actions/single")
    for answer in ("ACK_MAINTENANCE_COMPLETE", "NACK_SCALE_IN", "ACK_MAINTENANCE"):
        assert red.say("PUT", url, {"state": answer}) == (200, {})


def test_who_refuses_keeps_his_machine_and_the_other_hosts_go_on(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red = FenixVnfm(doctor.url + BASE, "of-red", "p-red")
    assert red.constrain("single", "none", migration_type="OWN_ACTION", lead_time=0)[0] == 200
    _, made = door.ask("POST", SESSIONS, session(1.5, hosts=["compute-3", "compute-2"]))
    session_id = made["session_id"]
    url = f"{doctor.url}{SESSIONS}/{session_id}/p-red"
    end = time.monotonic() + PATIENCE
    while red.say("GET", url)[0] != 200:  # nobody is asked before it is written down
        assert time.monotonic() < end
        time.sleep(0.02)
    assert red.say("PUT", url, {"state": "NACK_MAINTENANCE"}) == (200, {})
    step_when(door, session_id, "PLANNED_MAINTENANCE")
    actions = {"ha-2": "LIVE_MIGRATE"}
    said = {"state": "ACK_PLANNED_MAINTENANCE", "instance_actions": actions}
    assert red.say("PUT", url, said) == (200, {})
    _, detail = door.ask("GET", f"{SESSIONS}/{session_id}/detail")
    assert {one["instance_id"]: one["action"] for one in detail["instances"]} == {
        "single": "LEAVE",
        "ha-2": "LIVE_MIGRATE",
    }
    step_when(door, session_id, "MAINTENANCE_FAILED")
    _, detail = door.ask("GET", f"{SESSIONS}/{session_id}/detail")
    assert {one["hostname"]: one["maintained"] for one in detail["hosts"]} == {
        "compute-3": False,
        "compute-2": True,
    }


def test_constraints_are_the_owners_policies_and_groups_and_nothing_else(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red = FenixVnfm(doctor.url + BASE, "of-red", "p-red")
    assert red.constrain_group("ha", anti_affinity_group=True, recovery_time=4)[0] == 200
    assert red.constrain("ha-1", "ha", migration_type="LIVE_MIGRATION", max_interruption_time=5)[0] == 200
    _, policy = door.ask("GET", "/v1/maintenance-policies/machine:ha-1")
    assert (policy["action"], policy["if_silent"], policy["lead_time"], policy["tolerated_interruption"]) == (
        "ask", "live_migrate", 40.0, 5.0,
    )  # fmt: skip
    _, group = door.ask("GET", "/v1/groups/ha?project=p-red")
    assert [one["virtual_resource_id"] for one in group["members"]] == ["ha-1"]
    assert (group["max_out"], group["recovery_time"], group["anti_affinity"], group["label"]) == (
        2, 4.0, True, "p-red_ha",
    )  # fmt: skip
    said = {"action": "live_migrate"}
    assert door.ask("PUT", "/v1/maintenance-policies/machine:ha-2?project=p-red", said)[0] == 200
    status, shown = red.say("GET", f"{red.endpoint}/instance/ha-2")
    assert (status, shown["migration_type"], shown["group_id"]) == (200, "LIVE_MIGRATE", None)
    _, shown = red.say("GET", f"{red.endpoint}/instance_group/ha")
    assert (shown["max_instances_per_host"], shown["max_impacted_members"], shown["recovery_time"]) == (
        1,
        2,
        4.0,
    )
    assert red.constrain("ha-1", "other")[0] == 200  # moves it
    assert red.say("GET", f"{red.endpoint}/instance/ha-1")[1]["group_id"] == "other"
    doctor.kill()
    doctor.start()
    red.endpoint = doctor.url + BASE
    assert red.say("GET", f"{red.endpoint}/instance/ha-1")[1]["group_id"] == "other"
    for path in ("instance/ha-1", "instance/ha-2", "instance_group/ha"):
        assert red.say("DELETE", f"{red.endpoint}/{path}") == (200, {})
        assert red.say("DELETE", f"{red.endpoint}/{path}")[0] == 404
    door = Door(doctor)
    assert door.ask("GET", "/v1/maintenance-policies")[1]["items"] == []


def test_strangers_are_answered_as_if_there_was_nothing(doctor: RunningDoctor) -> None:
    door = Door(doctor)
    red = FenixVnfm(doctor.url + BASE, "of-red", "p-red")
    green = FenixVnfm(doctor.url + BASE, "of-green", "p-green")
    nobody = FenixVnfm(doctor.url + BASE, "of-nobody", "p-red")
    red.constrain("single", "group")
    _, made = door.ask("POST", SESSIONS, session(0, hosts=["compute-3"]))
    url = f"{doctor.url}{SESSIONS}/{made['session_id']}"
    step_when(door, made["session_id"], "PLANNED_MAINTENANCE")
    yes = {"state": "ACK_PLANNED_MAINTENANCE", "instance_action": "MIGRATE"}
    for project in ("p-red", "p-green"):
        assert green.say("GET", f"{url}/{project}")[0] == 404
        assert green.say("PUT", f"{url}/{project}/single", yes)[0] == 404
    status, problem = red.say("PUT", f"{url}/p-red/vm-blue", yes)
    assert (status, problem["errors"][0]["pointer"]) == (422, "/instance_actions/vm-blue")
    for path in ("instance/single", "instance/vm-blue", "instance_group/group"):
        assert green.say("GET", f"{green.endpoint}/{path}")[0] == 404
        assert green.say("DELETE", f"{green.endpoint}/{path}")[0] == 404
    assert green.constrain("single", "group")[0] == 404
    assert red.constrain("single", "group", project_id="p-green")[0] == 422
    assert red.constrain_group("group", project_id="p-green")[0] == 422
    assert nobody.say("GET", f"{url}/p-red")[0] == 401
    for method, path, body in (
        ("POST", "", session()),
        ("GET", "", None),
        ("GET", f"/{made['session_id']}", None),
        ("GET", f"/{made['session_id']}/detail", None),
        ("DELETE", f"/{made['session_id']}", None),
    ):
        assert red.say(method, f"{doctor.url}{SESSIONS}{path}", body)[0] == 403
    assert door.ask("PUT", f"{SESSIONS}/{made['session_id']}/p-red/single", yes) == (200, {})


@pytest.mark.parametrize(
    ("changes", "status", "pointer"),
    [
        pytest.param({"hosts": ["nowhere"]}, 422, "/hosts/0", id="unknown-host"),
        pytest.param({"hosts": None}, 422, "/hosts", id="no-hosts"),
        pytest.param({"maintenance_at": "soon"}, 422, "/maintenance_at", id="no-time"),
        pytest.param({"maintenance_at": "2020-01-05 02:00:00"}, 422, "/maintenance_at", id="over"),
        pytest.param({"state": "SCALE_IN"}, 422, "/state", id="state"),
        pytest.param({"workflow": "mine"}, 422, "/workflow", id="workflow"),
        pytest.param({"download": ["http://x/"]}, 422, "/download", id="code-from-elsewhere"),
        pytest.param({"metadata": {"x": "y" * 300}}, 422, "/metadata", id="too-long"),
        pytest.param(
            {"actions": [{"plugin": "dummy", "type": "host"}]}, 422, "/actions/0/plugin", id="action"
        ),
        pytest.param({"host": ["compute-1"]}, 422, "/host", id="misspelt"),
    ],
)
def test_what_is_wrong_with_a_session_is_said(
    doctor: RunningDoctor, changes: dict[str, Any], status: int, pointer: str
) -> None:
    door = Door(doctor)
    answered, problem = door.ask("POST", SESSIONS, session(**changes))
    assert (answered, problem["errors"][0]["pointer"]) == (status, pointer)
    assert door.ask("GET", SESSIONS)[1] == {"session_id": []}


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        pytest.param({"state": "ACK_ANYTHING"}, "/state", id="no-state"),
        pytest.param({"state": "MAYBE_MAINTENANCE"}, "/state", id="neither-yes-nor-no"),
        pytest.param({"state": "ACK_PLANNED_MAINTENANCE", "instance_action": "PAUSE"}, "/instance_action", id="action"),
        pytest.param(
            {"state": "ACK_PLANNED_MAINTENANCE", "instance_actions": {"single": "PAUSE"}},
            "/instance_actions/single",
            id="actions",
        ),
        pytest.param({"state": "ACK_MAINTENANCE", "session_id": "other"}, "/session_id", id="other-session"),
        pytest.param({}, "/state", id="nothing"),
    ],
)  # fmt: skip
def test_what_is_wrong_with_a_reply_is_said(
    doctor: RunningDoctor, body: dict[str, Any], pointer: str
) -> None:
    door = Door(doctor)
    red = FenixVnfm(doctor.url + BASE, "of-red", "p-red")
    _, made = door.ask("POST", SESSIONS, session(0, hosts=["compute-3"]))
    step_when(door, made["session_id"], "PLANNED_MAINTENANCE")
    status, problem = red.say("PUT", f"{doctor.url}{SESSIONS}/{made['session_id']}/p-red/single", body)
    assert (status, problem["errors"][0]["pointer"]) == (422, pointer)
    assert (
        red.constrain("single", "x", migration_type="PAUSE")[1]["errors"][0]["pointer"] == "/migration_type"
    )
    wrong = {"instance_id": "ha-1", "migration_type": "MIGRATE"}
    _, problem = red.say("PUT", f"{red.endpoint}/instance/single", wrong)
    assert problem["errors"][0]["pointer"] == "/instance_id"


def test_actions_are_those_of_the_settings_and_one_that_fails_waits_for_a_person(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    folder.mkdir()
    shop = Shop(folder)
    (folder / "broken").touch()
    with RunningDoctor(tmp_path / "doctor", **shop.settings) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", MAP)[0] == 200
        said = {"action": "migrate"}
        assert door.ask("PUT", "/v1/maintenance-policies/machine:single?project=p-red", said)[0] == 200
        actions = [
            {"plugin": "flash", "type": "host", "metadata": {"image": "new"}},
            {"plugin": "tell", "type": "post"},
        ]
        _, made = door.ask("POST", SESSIONS, session(0, hosts=["compute-3"], actions=actions))
        session_id = made["session_id"]
        step_when(door, session_id, "MAINTENANCE_FAILED")
        _, detail = door.ask("GET", f"{SESSIONS}/{session_id}/detail")
        assert [(one["plugin"], one["type"]) for one in detail["action_plugins"]] == [
            ("flash", "host"),
            ("tell", "post"),
        ]
        (run,) = detail["action_plugin_instances"]
        assert (run["plugin"], run["hostname"], run["state"]) == ("flash", "compute-3", "failed")
        assert "the image is broken" in detail["session"]["details"]
        assert shop.runs()[0]["metadata"] == {"flash": {"image": "new"}}
        (folder / "broken").unlink()
        assert door.ask("POST", f"/v1/maintenance/{session_id}/retry")[0] == 200
        step_when(door, session_id, "MAINTENANCE_DONE")
        assert [one["action"] for one in shop.runs()] == ["flash", "flash", "tell"]
        wrong = [{"plugin": "flsh", "type": "host"}, {"plugin": "tell", "type": "pre", "metadata": {"x": 1}}]
        status, problem = door.ask("POST", SESSIONS, session(0, hosts=["compute-3"], actions=wrong))
        assert (status, problem["errors"][0]["pointer"]) == (422, "/actions/1/metadata")
        status, problem = door.ask("POST", SESSIONS, session(0, hosts=["compute-3"], actions=wrong[:1]))
        assert (status, problem["errors"][0]["pointer"]) == (422, "/actions/0/plugin")
        assert "did you mean 'flash'?" in problem["errors"][0]["detail"]


def test_when_too_many_sessions_are_open_it_is_said_as_fenix_says_it(tmp_path: Path) -> None:
    with RunningDoctor(tmp_path, maintenance={"sessions": 1}) as doctor:
        door = Door(doctor)
        assert door.ask("PUT", "/v1/resource-map", MAP)[0] == 200
        assert door.ask("POST", SESSIONS, session(600, hosts=["compute-1"]))[0] == 200
        status, problem = door.ask("POST", SESSIONS, session(600, hosts=["compute-2"]))
        assert (status, problem["status"]) == (509, 509)
        assert "1 sessions are open" in problem["detail"]


def test_by_plain_http_the_administrator_hears_of_hosts_and_an_owner_of_his_machines(
    doctor: RunningDoctor,
) -> None:
    door = Door(doctor)
    token = door.token(Role.CONSUMER, "p-red")
    came: list[tuple[str, Any]] = []
    with receiving(lambda path, event: came.append((path, event))) as url:
        wish = {"endpoints": [{"url": f"{url}/red", "format": "fenix"}]}
        assert door.ask("POST", "/v1/subscriptions", wish, token=token)[0] == 201
        wish = {"endpoints": [{"url": f"{url}/admin", "format": "fenix"}]}
        assert door.ask("POST", "/v1/subscriptions", wish)[0] == 201
        policy = "/v1/maintenance-policies/machine:single"
        assert door.ask("PUT", policy, {"action": "migrate"}, token=token)[0] == 200
        _, made = door.ask("POST", SESSIONS, session(0, hosts=["compute-3"]))
        step_when(door, made["session_id"], "MAINTENANCE_DONE")
        end = time.monotonic() + 10
        while sum(one["payload"]["state"] == "MAINTENANCE_COMPLETE" for _, one in came) < 3:
            assert time.monotonic() < end, came
            time.sleep(0.05)
    of_hosts = [one for path, one in came if one["event_type"] == "maintenance.host"]
    assert [one["payload"]["state"] for one in of_hosts] == ["IN_MAINTENANCE", "MAINTENANCE_COMPLETE"]
    assert of_hosts[0]["payload"] == {
        "service": "fenix",
        "state": "IN_MAINTENANCE",
        "session_id": made["session_id"],
        "host": "compute-3",
        "project_id": "admin",
    }
    by_path = {
        where: [
            one["payload"]["state"] for path, one in came if path == where and "host" not in one["payload"]
        ]
        for where in ("/red", "/admin")
    }
    assert by_path["/red"] == by_path["/admin"]
    assert by_path["/red"] == ["PLANNED_MAINTENANCE", "INSTANCE_ACTION_DONE", "MAINTENANCE_COMPLETE"]
    assert not any("compute-3" in json.dumps(one) for path, one in came if path == "/red")
