"""A real Keystone: its users at Doctor's doors, and Doctor in its catalogue."""

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import urllib3

from doctor.drivers.identities.cloud import open_cloud
from doctor.testing.running import RunningDoctor
from tests.openstack.access import CLOUDS_FILE, KEYSTONE, keystone, token_of


def ask(doctor: RunningDoctor, method: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
    """Send a request; the answer decoded."""
    answer = urllib3.request(
        method,
        doctor.url + path,
        body=None if body is None else json.dumps(body).encode(),
        headers={"content-type": "application/json", **headers},
        timeout=20,
        retries=False,
    )
    return answer.status, json.loads(answer.data) if answer.data else None


@pytest.mark.requirement("B20", "C1")
def test_tenants_see_their_own_by_their_own_tokens(tmp_path: Path) -> None:
    """Project scope, the administrator's role; and a token that Keystone revokes is worthless soon."""
    (token_a, project_a), (token_b, project_b) = token_of("tenant-a"), token_of("tenant-b")
    machines = [
        {"id": "vm-a", "host": "compute-1", "owner": project_a},
        {"id": "vm-b", "host": "compute-1", "owner": project_b},
    ]
    document = {"physical_resources": [{"id": "compute-1"}], "virtual_resources": machines}
    admin = {"x-auth-token": token_of("admin")[0]}
    with RunningDoctor(tmp_path, auth=keystone(cache=2)) as doctor:
        assert ask(doctor, "PUT", "/v1/resource-map", document, **admin)[0] == 200
        for token, own in ((token_a, "vm-a"), (token_b, "vm-b")):
            status, page = ask(doctor, "GET", "/v1/virtual-resources", **{"x-auth-token": token})
            assert status == 200
            assert [one["virtual_resource_id"] for one in page["items"]] == [own]
        mine = {"x-auth-token": token_a}
        assert ask(doctor, "GET", "/v1/virtual-resources/vm-b", **mine)[0] == 404
        assert ask(doctor, "GET", "/v1/physical-resources", **mine)[0] == 403

        session = open_cloud("tenant-a", CLOUDS_FILE, timeout=20).session
        session.delete(f"{KEYSTONE}/auth/tokens", headers={"X-Subject-Token": token_a})
        deadline = time.monotonic() + 10
        while ask(doctor, "GET", "/v1/virtual-resources", **mine)[0] != 401:
            assert time.monotonic() < deadline
            time.sleep(0.2)


def test_nobody_is_sent_to_keystone(tmp_path: Path) -> None:
    with RunningDoctor(tmp_path, auth=keystone()) as doctor:
        for headers in ({}, {"x-auth-token": "gAAAA" + "b" * 180}):
            answer = urllib3.request("GET", f"{doctor.url}/v1/alarms", headers=headers, retries=False)
            assert answer.status == 401
            assert answer.headers["www-authenticate"] == f'Keystone uri="{KEYSTONE}", Bearer'


def test_a_doctor_that_may_not_validate_says_so_and_lets_its_own_in(tmp_path: Path) -> None:
    """A user without the role for it: Keystone's users are told to come back, the log says what is missing."""
    with RunningDoctor(tmp_path, auth=keystone("tenant-b")) as doctor:
        stranger = {"x-auth-token": token_of("tenant-a")[0]}
        assert ask(doctor, "GET", "/v1/alarms", **stranger)[0] == 503
        assert ask(doctor, "GET", "/v1/alarms", authorization=f"Bearer {doctor.token}")[0] == 200
        assert "give it the role service" in doctor.log.read_text()


def test_doctor_stands_in_the_catalogue_once() -> None:
    """However often it is registered; users find it there; and it can be taken out again."""

    def cloud(*words: str) -> list[dict[str, Any]]:
        names = ("--name", "doctor-test", "--type", "fault-management-test")
        line = ["cloud", *words, "--cloud", "admin", "--clouds-file", str(CLOUDS_FILE), *names, "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "doctor", *line], capture_output=True, text=True, timeout=60
        )
        assert done.returncode == 0, done.stderr
        items: list[dict[str, Any]] = json.loads(done.stdout)["items"]
        return items

    register = ("register", "--url", "http://127.0.0.1:1", "--internal-url", "http://127.0.0.1:2")
    try:
        assert [one["action"] for one in cloud(*register)] == ["create"] * 4
        assert [one["action"] for one in cloud(*register)] == ["keep"] * 4
        assert [one["action"] for one in cloud("register", "--url", "http://127.0.0.1:2")] == [
            *("keep", "change", "keep", "change")
        ]
        session = open_cloud("tenant-a", CLOUDS_FILE, timeout=20).session
        assert session.get_endpoint(service_type="fault-management-test", interface="public") == (
            "http://127.0.0.1:2"
        )
    finally:
        assert [one["action"] for one in cloud("unregister")] == ["remove"] * 4
    assert cloud("unregister") == []
