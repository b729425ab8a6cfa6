"""Users of a cloud at Doctor's doors: by X-Auth-Token, as Keystone says who they are."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import urllib3

from doctor.drivers.identities.keystone import Keystone, KeystoneSettings
from doctor.model.errors import PermanentError, TransientError
from doctor.model.grant import SYSTEM
from doctor.testing.running import RunningDoctor
from tests.integration.keystone_server import FakeKeystone

DOWN = {"time": "2026-03-04T05:06:07Z", "type": "compute.host.down", "details": {"hostname": "compute-1"}}
MAP = {
    "physical_resources": [{"id": "compute-1"}],
    "virtual_resources": [
        {"id": "vm-red", "host": "compute-1", "owner": "p-red"},
        {"id": "vm-blue", "host": "compute-1", "owner": "p-blue"},
    ],
}


@pytest.fixture
def keystone() -> Iterator[FakeKeystone]:
    with FakeKeystone() as server:
        yield server


def driver(keystone: FakeKeystone, folder: Path, **settings: Any) -> Keystone:
    file = str(keystone.clouds_file(folder))
    document = {"cloud": "cloud", "clouds_file": file, **settings}
    return Keystone(msgspec.convert(document, KeystoneSettings, dec_hook=lambda _, value: Path(value)))


# --- the driver ---


async def test_a_token_is_what_keystone_says_it_is(keystone: FakeKeystone, tmp_path: Path) -> None:
    keystone.knows("of-red", "Member", "reader", project="p-red")
    keystone.knows("of-all", "admin")
    made = driver(keystone, tmp_path)
    red, everything = await made.validate("of-red"), await made.validate("of-all")
    assert red is not None
    assert (red.user, red.scope, red.roles) == ("ann@Default", "p-red", frozenset({"member", "reader"}))
    assert red.expires.isoformat() == "2036-03-04T05:06:07+00:00"
    assert everything is not None
    assert everything.scope == SYSTEM
    assert await made.validate("of-nobody") is None
    assert keystone.logins == 1
    assert made.challenge == f'Keystone uri="{keystone.url}"'
    await made.close()


async def test_doctor_logs_in_anew_when_its_own_token_has_ended(
    keystone: FakeKeystone, tmp_path: Path
) -> None:
    keystone.knows("of-red", "member", project="p-red")
    made = driver(keystone, tmp_path)
    await made.validate("of-red")
    keystone.service_token_ends = True
    assert await made.validate("of-red") is not None
    assert keystone.logins == 2
    await made.close()


async def test_a_token_for_nothing_has_no_scope(keystone: FakeKeystone, tmp_path: Path) -> None:
    keystone.knows("unscoped", project="p-red")
    del keystone.tokens["unscoped"]["project"], keystone.tokens["unscoped"]["roles"]
    made = driver(keystone, tmp_path)
    found = await made.validate("unscoped")
    assert found is not None
    assert (found.scope, found.roles) == (None, frozenset())
    await made.close()


@pytest.mark.parametrize("status", [429, 500, 503, 300])
async def test_a_keystone_that_fails_may_work_later(
    status: int, keystone: FakeKeystone, tmp_path: Path
) -> None:
    made = driver(keystone, tmp_path)
    await made.validate("x")
    keystone.broken = status
    with pytest.raises(TransientError):
        await made.validate("x")
    await made.close()


async def test_a_keystone_that_lies_is_not_believed(keystone: FakeKeystone, tmp_path: Path) -> None:
    """A proxy in front of it may answer 200 with a page of its own."""
    keystone.tokens["x"] = {"user": "ann"}
    made = driver(keystone, tmp_path)
    with pytest.raises(TransientError, match="answered what it should not"):
        await made.validate("x")
    await made.close()


async def test_a_keystone_that_is_not_there_may_be_later(keystone: FakeKeystone, tmp_path: Path) -> None:
    file = keystone.clouds_file(tmp_path, url="http://127.0.0.1:1/v3")
    made = Keystone(KeystoneSettings(cloud="cloud", clouds_file=file))
    with pytest.raises(TransientError):
        await made.validate("x")
    await made.close()


async def test_who_may_not_validate_is_told_what_is_missing(keystone: FakeKeystone, tmp_path: Path) -> None:
    keystone.may_validate = False
    made = driver(keystone, tmp_path)
    with pytest.raises(PermanentError, match="the role service"):
        await made.validate("x")
    await made.close()


async def test_a_slow_keystone_does_not_hold_up_the_event_loop(
    keystone: FakeKeystone, tmp_path: Path
) -> None:
    made = driver(keystone, tmp_path)
    await made.validate("x")
    keystone.slow = 0.5
    waiting = asyncio.create_task(made.validate("y"))
    longest = before = 0.0
    while not waiting.done():
        before = time.monotonic()
        await asyncio.sleep(0.01)
        longest = max(longest, time.monotonic() - before)
    assert await waiting is None
    assert longest < 0.4
    await made.close()


def test_a_cloud_that_is_not_in_the_file_is_refused(keystone: FakeKeystone, tmp_path: Path) -> None:
    file = keystone.clouds_file(tmp_path)
    with pytest.raises(PermanentError, match=r"clouds\.yaml: Cloud other was not found"):
        Keystone(KeystoneSettings(cloud="other", clouds_file=file))
    with pytest.raises(PermanentError, match="there is no file"):
        Keystone(KeystoneSettings(cloud="cloud", clouds_file=tmp_path / "none.yaml"))


def test_where_to_get_a_token_can_be_said(keystone: FakeKeystone, tmp_path: Path) -> None:
    made = driver(keystone, tmp_path, www_authenticate_uri="https://keystone.example/v3")
    assert made.challenge == 'Keystone uri="https://keystone.example/v3"'


# --- at the doors ---


class Doors:
    """A running Doctor and its Keystone."""

    def __init__(self, doctor: RunningDoctor, keystone: FakeKeystone) -> None:
        self.doctor = doctor
        self.keystone = keystone
        self._pool = urllib3.PoolManager(retries=False)

    def ask(
        self, method: str, path: str, body: Any = None, **headers: str
    ) -> tuple[int, Any, urllib3.HTTPHeaderDict]:
        sent = {"content-type": "application/json", **{k.replace("_", "-"): v for k, v in headers.items()}}
        data = None if body is None else json.dumps(body).encode()
        answer = self._pool.request(method, self.doctor.url + path, body=data, headers=sent, timeout=20)
        kind = answer.headers.get("content-type", "")
        return answer.status, json.loads(answer.data) if "json" in kind else answer.data, answer.headers

    def admin(self, method: str, path: str, body: Any = None) -> tuple[int, Any, urllib3.HTTPHeaderDict]:
        return self.ask(method, path, body, authorization=f"Bearer {self.doctor.token}")


@pytest.fixture(scope="module")
def doors(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Doors]:
    folder = tmp_path_factory.mktemp("keystone")
    with FakeKeystone() as keystone:
        keystone.clouds_file(folder)
        roles = {"admin": "admin", "probe": "monitor", "member": "consumer"}
        settings = {
            "cloud": "cloud",
            "clouds_file": "clouds.yaml",
            "roles": roles,
            "timeout": 1,
            "cache": 60,
        }
        with RunningDoctor(folder, auth={"keystone": settings}) as doctor:
            doors = Doors(doctor, keystone)
            assert doors.admin("PUT", "/v1/resource-map", MAP)[0] == 200
            keystone.knows("of-red", "member", project="p-red")
            keystone.knows("of-admin", "admin", "member", project="p-ops")
            keystone.knows("of-probe", "probe", project="p-ops", user="probe-1")
            keystone.knows("of-reader", "reader", project="p-red")
            yield doors


@pytest.mark.requirement("B20", "C1")
def test_an_owner_sees_what_belongs_to_his_project(doors: Doors) -> None:
    for headers in ({"x_auth_token": "of-red"}, {"authorization": "Bearer of-red"}):
        status, page, _ = doors.ask("GET", "/v1/virtual-resources", **headers)
        assert status == 200
        assert [one["virtual_resource_id"] for one in page["items"]] == ["vm-red"]
    assert doors.ask("GET", "/v1/physical-resources", x_auth_token="of-red")[0] == 403
    assert doors.ask("GET", "/v1/virtual-resources/vm-blue", x_auth_token="of-red")[0] == 404


def test_a_token_is_validated_once(doors: Doors) -> None:
    for _ in range(3):
        assert doors.ask("GET", "/v1/physical-resources", x_auth_token="of-admin")[0] == 200
    assert doors.keystone.validated.count("of-admin") == 1


def test_who_has_no_good_token_is_sent_to_keystone(doors: Doors) -> None:
    for path, method in (("/v1/alarms", "GET"), ("/v1/events", "POST"), ("/events", "PUT")):
        for token in ({}, {"x_auth_token": "made-up"}):
            status, problem, headers = doors.ask(method, path, [], **token)
            assert (status, problem["status"]) == (401, 401)
            assert headers["www-authenticate"] == f'Keystone uri="{doors.keystone.url}", Bearer'


def test_a_user_without_a_role_here_is_told_what_he_has(doors: Doors) -> None:
    status, problem, _ = doors.ask("GET", "/v1/alarms", x_auth_token="of-reader")
    assert status == 403
    assert "reader in p-red" in problem["detail"]


@pytest.mark.requirement("F12")
def test_a_monitor_of_the_cloud_reports_by_all_event_doors(doors: Doors) -> None:
    """Its events are its own: the name of the user is their source."""
    probe = {"x_auth_token": "of-probe"}
    status, answer, _ = doors.ask("POST", "/v1/events", DOWN, **probe)
    assert status == 202
    assert not answer["accepted"][0]["duplicate"]
    assert doors.ask("POST", "/v1/events", DOWN, **probe)[1]["accepted"][0]["duplicate"]
    later = {**DOWN, "time": "2026-03-04T05:06:08Z"}
    assert doors.ask("PUT", "/events", [later], **probe)[:2] == (200, b"OK")
    assert doors.ask("POST", "/v1/events", DOWN, x_auth_token="of-red")[0] == 403
    assert doors.ask("POST", "/v1/events", {"broken": 1}, **probe)[0] == 400
    assert doors.keystone.validated.count("of-probe") == 1


@pytest.mark.parametrize("trouble", ["broken", "slow"])
def test_without_keystone_local_identities_work_on(doors: Doors, trouble: str) -> None:
    """[F27] Known tokens too, new ones are told to come back; events and telling notice nothing."""
    assert doors.ask("GET", "/v1/alarms", x_auth_token="of-red")[0] == 200
    doors.keystone.knows(f"new-{trouble}", "member", project="p-red")
    setattr(doors.keystone, trouble, {"broken": 500, "slow": 3.0}[trouble])
    try:
        status, problem, headers = doors.ask("GET", "/v1/alarms", x_auth_token=f"new-{trouble}")
        assert (status, headers["retry-after"]) == (503, "2")
        assert "identity service" in problem["detail"]
        begun = time.monotonic()
        assert doors.ask("POST", "/v1/events", DOWN, x_auth_token=f"other-{trouble}")[0] == 503
        assert doors.ask("GET", "/v1/alarms", x_auth_token="of-red")[0] == 200
        assert doors.admin("GET", "/v1/alarms")[0] == 200
        assert doors.admin("POST", "/v1/events", DOWN)[0] == 202
        assert time.monotonic() - begun < 1
    finally:
        doors.keystone.broken, doors.keystone.slow = None, 0.0
    deadline = time.monotonic() + 15
    while doors.ask("GET", "/v1/alarms", x_auth_token=f"new-{trouble}")[0] != 200:
        assert time.monotonic() < deadline
        time.sleep(0.1)
    log = doors.doctor.log.read_text()
    assert log.count("identity.away") <= 2 * 2
    assert "new-broken" not in log


def test_no_token_is_in_the_log(doors: Doors) -> None:
    log = doors.doctor.log.read_text()
    for token in (*doors.keystone.tokens, "of-doctor-itself", "hush"):
        assert token not in log


# --- the catalogue ---


def command(keystone: FakeKeystone, folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    file = folder / "clouds.yaml"
    if not file.exists():
        keystone.clouds_file(folder)
    line = [sys.executable, "-m", "doctor", "cloud", *words, "--clouds-file", str(file)]
    return subprocess.run(line, capture_output=True, text=True, timeout=60)


REGISTER = ("register", "--cloud", "cloud", "--url", "https://doctor.example")


def test_registering_twice_changes_nothing(keystone: FakeKeystone, tmp_path: Path) -> None:
    tried = command(keystone, tmp_path, *REGISTER, "--dry-run")
    assert (tried.returncode, keystone.changed) == (0, [])
    done = command(keystone, tmp_path, *REGISTER, "--internal-url", "http://10.0.0.1:12345", "--json")
    assert done.returncode == 0, done.stderr
    items = json.loads(done.stdout)["items"]
    assert [one["action"] for one in items] == ["create"] * 4
    (service,) = keystone.services.values()
    assert (service["type"], service["name"]) == ("fault-management", "doctor")
    assert {one["interface"]: one["url"] for one in keystone.endpoints.values()} == {
        "public": "https://doctor.example",
        "internal": "http://10.0.0.1:12345",
        "admin": "https://doctor.example",
    }
    assert {(one["service_id"], one["region_id"]) for one in keystone.endpoints.values()} == {
        (service["id"], "R1")
    }
    before = list(keystone.changed)
    again = command(keystone, tmp_path, *REGISTER, "--internal-url", "http://10.0.0.1:12345")
    assert again.returncode == 0
    assert keystone.changed == before
    moved = command(keystone, tmp_path, *REGISTER)
    assert keystone.changed == [*before, "PATCH endpoints"]
    assert "change" in moved.stdout

    removed = command(keystone, tmp_path, "unregister", "--cloud", "cloud")
    assert removed.returncode == 0
    assert (keystone.services, keystone.endpoints) == ({}, {})
    assert (
        "there is no fault-management" in command(keystone, tmp_path, "unregister", "--cloud", "cloud").stderr
    )


@pytest.mark.parametrize(
    ("words", "code", "told"),
    [
        pytest.param(
            ("register", "--cloud", "other", "--url", "https://d"), 2, "Cloud other was not found", id="cloud"
        ),
        pytest.param(
            ("register", "--cloud", "cloud", "--url", "doctor"), 2, "https://doctor.example", id="address"
        ),
        pytest.param((*REGISTER, "--region", "nowhere"), 1, "no such region", id="region"),
        pytest.param((*REGISTER, "--type", "compute"), 1, "the service 'nova'", id="another-service"),
    ],
)
def test_what_cannot_be_registered_is_said(
    words: tuple[str, ...], code: int, told: str, keystone: FakeKeystone, tmp_path: Path
) -> None:
    keystone.services["n"] = {"id": "n", "type": "compute", "name": "nova", "enabled": True}
    done = command(keystone, tmp_path, *words)
    assert (done.returncode, done.stdout) == (code, "")
    assert told in done.stderr
    assert list(keystone.services) in (["n"], ["n", "services-1"])


@pytest.mark.parametrize(("status", "code"), [(500, 3), (403, 1)])
def test_a_keystone_that_will_not_is_named(
    status: int, code: int, keystone: FakeKeystone, tmp_path: Path
) -> None:
    keystone.broken = status
    done = command(keystone, tmp_path, *REGISTER)
    assert done.returncode == code
    assert "Keystone" in done.stderr
