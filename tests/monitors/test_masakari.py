"""masakari-monitors and the client of Vitrage as they are, with Doctor in the catalogue of their cloud."""

import json
import os
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from doctor.cli.demo.simulator import Program
from doctor.model.identity import Role
from doctor.testing.running import RunningDoctor
from tests.integration.keystone_server import SERVICE_TOKEN, FakeKeystone
from tests.monitors.site import Site
from tests.unit.monitors.test_masakari_payload import host, machine, notification, process
from tests.waiting import until

NOTIFICATIONS = "/instance-ha/v1/notifications"
EVENTS = "/rca/v1/event/"
DEAD = ("compute-1", "host down")

CONFIGURATION = """\
[api]
region = RegionOne
auth_type = password
auth_url = {keystone}
username = masakari
password = hush
project_name = service
user_domain_name = Default
project_domain_name = Default
[process]
check_interval = 1
restart_retries = 0
restart_interval = 1
process_list_path = {folder}/processes.yaml
"""

# What the monitors of hosts and machines do when they have seen something, by their own code.
SEND = """
import sys, json, datetime
import masakarimonitors.conf
from masakarimonitors.ha import masakari
masakarimonitors.conf.CONF(["--config-file", sys.argv[1]])
for said in json.load(sys.stdin):
    said["notification"]["generated_time"] = datetime.datetime.utcnow()
    masakari.SendNotification().send_notification(0, 1, said)
"""


@pytest.fixture(scope="module")
def keystone() -> Iterator[FakeKeystone]:
    with FakeKeystone() as server:
        server.knows(SERVICE_TOKEN, "doctor_monitor", project="service", user="masakari")
        yield server


@pytest.fixture(scope="module")
def site(keystone: FakeKeystone, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    folder = tmp_path_factory.mktemp("doctor")
    cloud = {"cloud": "cloud", "clouds_file": str(keystone.clouds_file(folder))}
    auth = {"keystone": {**cloud, "roles": {"doctor_monitor": "monitor"}}}
    with ExitStack() as stack:
        doctor = stack.enter_context(RunningDoctor(folder / "doctor", auth=auth))
        keystone.addresses = {"instance-ha": f"{doctor.url}/instance-ha/v1", "rca": f"{doctor.url}/rca"}
        yield Site(doctor)


def configured(folder: Path, keystone: FakeKeystone) -> Path:
    file = folder / "masakari.conf"
    file.write_text(CONFIGURATION.format(folder=folder, keystone=keystone.url))
    return file


def machine_faults(site: Site) -> set[tuple[str, str]]:
    found = site.door.ask("GET", "/v1/alarms?limit=1000")[1]["items"]
    return {
        (one["resource_id"], one["fault_type"]) for one in found if one["resource_type"] == "virtual machine"
    }


class ProcessMonitor(Program):
    """The monitor of processes. It looks each second."""

    def __init__(self, folder: Path, keystone: FakeKeystone, name: str) -> None:
        super().__init__(folder)
        self._file = configured(folder, keystone)
        commands = {
            f"{when}{what}_command": "" for what in ("start", "restart") for when in ("", "pre_", "post_")
        }
        watched = {"id": 1, "process_name": name, "run_as_root": False, **commands}
        watched |= {"start_command": "true", "restart_command": "false"}
        (folder / "processes.yaml").write_text(json.dumps([watched]))

    def start(self) -> None:
        self._launch("masakari-processmonitor", "--config-file", str(self._file))


def send(file: Path, *said: dict[str, Any]) -> None:
    """Have the code of the monitors send notifications."""
    subprocess.run(
        ["/usr/bin/python3", "-c", SEND, str(file)],
        input=json.dumps(said).encode(),
        check=True,
        timeout=60,
        capture_output=True,
    )


@pytest.mark.needs("masakari_monitors")
@pytest.mark.shows("payload masakari", "real")
@pytest.mark.requirement("A8", "C4")
def test_a_process_that_ends_and_cannot_be_started_is_told(
    site: Site, keystone: FakeKeystone, tmp_path: Path
) -> None:
    """It says that once; and not that it runs again: a person ends the alarm."""
    name = f"doctor-test-{os.getpid()}"
    service = (f"{socket.gethostname()}:{name}", "VIM service failure")
    running = subprocess.Popen([name, "300"], executable="/bin/sleep")
    try:
        with ProcessMonitor(tmp_path, keystone, name):
            time.sleep(2.5)  # in which it has looked
            assert service not in site.alarms()
            running.send_signal(signal.SIGKILL)
            running.wait()
            until(lambda: service in site.alarms())
    finally:
        running.kill()
        running.wait()
    assert site.source("masakari@Default")["kind"] == "masakari"
    alarm = site.alarm(service[0])
    cleared = site.door.ask("PATCH", f"/v1/alarms/{alarm['alarm_id']}", {"action": "clear"})
    assert cleared[0] == 200
    assert service not in site.alarms()


@pytest.mark.needs("masakari_monitors")
@pytest.mark.shows("payload masakari", "real")
def test_a_host_that_leaves_the_cluster_and_a_machine_that_fails(
    site: Site, keystone: FakeKeystone, tmp_path: Path
) -> None:
    file = configured(tmp_path, keystone)
    failed = machine("LIFECYCLE", "STOPPED_FAILED")
    failed["notification"]["payload"]["instance_uuid"] = "vm-red"
    send(file, host("STOPPED"), failed)
    assert DEAD in site.alarms()
    assert ("vm-red", "instance down") in machine_faults(site)
    send(file, host("STARTED", cluster="ONLINE"), host("STOPPED", "UNKNOWN"))
    assert DEAD not in site.alarms()
    assert ("compute-1", "hypervisor unreachable") in site.alarms()
    send(file, host("STARTED", cluster="ONLINE"))
    assert not {one for one in site.alarms() if one[0] == "compute-1"}


@pytest.mark.shows("payload masakari", "restart")
def test_what_is_sent_again_is_answered_as_the_first_time(site: Site) -> None:
    """They send again what they had no answer to, also to a Doctor that has started anew meanwhile."""
    said = notification("COMPUTE_HOST", "compute-2", event="STOPPED", host_status="NORMAL")
    dead = ("compute-2", "host down")
    status, first = site.push(NOTIFICATIONS, said)
    assert status == 202
    made = first["notification"]
    assert (made["status"], made["type"], made["payload"]["event"]) == ("new", "COMPUTE_HOST", "STOPPED")
    assert dead in site.alarms()
    site.doctor.kill()
    site.doctor.start()
    assert dead in site.alarms()
    again = site.push(NOTIFICATIONS, said)[1]["notification"]
    ids = ("notification_uuid", "source_host_uuid")
    assert [made[name] for name in ids] == [again[name] for name in ids]
    back = notification("COMPUTE_HOST", "compute-2", event="STARTED", host_status="NORMAL")
    back["notification"]["generated_time"] = "2026-11-21T01:00:07"
    assert site.push(NOTIFICATIONS, back)[0] == 202
    assert dead not in site.alarms()


def test_who_asks_finds_the_version(site: Site) -> None:
    for path in ("/instance-ha", "/instance-ha/"):
        status, found = site.door.ask("GET", path, token=None)
        assert (status, found["versions"][0]["links"]) == (200, [{"rel": "self", "href": "/instance-ha/v1/"}])
    for path in ("/instance-ha/v1", "/instance-ha/v1/"):
        assert site.door.ask("GET", path, token=None)[1]["version"]["version"] == "1.2"


def test_what_is_wrong_is_400_which_they_do_not_send_again(site: Site) -> None:
    wrong = notification("RACK", event="STOPPED")
    status, problem = site.push(NOTIFICATIONS, wrong)
    assert (status, [one["pointer"] for one in problem["errors"]]) == (400, ["/notification/type"])
    assert site.push(NOTIFICATIONS, b"{")[0] == 400
    assert site.push(NOTIFICATIONS, process(), token="nobody")[0] == 401
    consumer = site.door.token(Role.CONSUMER, "red")
    assert site.push(NOTIFICATIONS, process(), token=consumer)[0] == 403


@pytest.mark.needs("vitrage")
@pytest.mark.requirement("A8")
def test_the_client_of_vitrage_reports_a_host(site: Site, keystone: FakeKeystone) -> None:
    access = {"auth-url": keystone.url, "username": "x", "password": "x", "project-name": "service"}
    access |= {"user-domain-name": "Default", "project-domain-name": "Default"}
    words = [word for name, value in access.items() for word in (f"--os-{name}", value)]

    def post(status: str) -> None:
        details = json.dumps({"hostname": "compute-1", "source": "vitrage-1", "status": status})
        event = ("event", "post", "--type", "compute.host.down", "--details", details)
        done = subprocess.run(["vitrage", *words, *event], timeout=60, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr

    post("down")
    assert DEAD in site.alarms()
    post("up")
    assert DEAD not in site.alarms()


def test_a_time_without_a_zone_is_that_of_the_client(tmp_path: Path) -> None:
    """It writes the time of its own machine."""
    with RunningDoctor(tmp_path, auth={"anonymous_events_timezone": "Asia/Tokyo"}) as doctor:
        there = Site(doctor)
        said = {
            "time": "2026-03-04T09:00:00",
            "type": "compute.host.down",
            "details": {"hostname": "compute-1"},
        }
        status, answer = there.push(EVENTS, said)
        assert (status, len(answer["accepted"]), answer["rejected"]) == (200, 1, [])
        assert there.alarm("compute-1")["event_time"] == "2026-03-04T00:00:00Z"


@pytest.mark.parametrize(
    ("said", "pointer"),
    [
        pytest.param({"type": "x"}, "/time", id="no-time"),
        pytest.param({"time": "soon", "type": "x"}, "/time", id="no-such-time"),
        pytest.param({"time": "2026-03-04T09:00:00", "type": "x", "details": []}, "/details", id="details"),
        pytest.param(b"{", "", id="malformed"),
    ],
)
def test_a_wrong_event_of_vitrage_is_a_problem_with_the_place(site: Site, said: Any, pointer: str) -> None:
    status, problem = site.push(EVENTS, said)
    assert (status, [one["pointer"] for one in problem["errors"]]) == (400, [pointer])
