"""Zabbix as it is, told by our command to report to Doctor, and asked for what its messages have lost."""

import shutil
import statistics
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from doctor.cli.monitor_setup.zabbix import Zabbix
from doctor.testing.running import RunningDoctor
from tests.integration.test_policy_commands import Shell
from tests.monitors.long.zabbix_server import PASSWORD, Database, Frontend, Server
from tests.monitors.site import Site
from tests.waiting import until

pytestmark = pytest.mark.needs("root", "zabbix_server", "php", "postgres")

DEAD = ("compute-1", "host down")
KEY = "doctor.trap"
TRIES = 5


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """Return a folder that others may enter."""
    made = Path(tempfile.mkdtemp(prefix="doctor-zabbix-"))
    made.chmod(0o755)
    yield made
    shutil.rmtree(made)


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[Server]:
    with Database(folder / "database") as database, Server(folder / "server", database.port) as server:
        yield server


@pytest.fixture(scope="module")
def frontend(folder: Path, server: Server) -> Iterator[Frontend]:
    port = int((folder / "server/server.conf").read_text().split("DBPort=")[1].split()[0])
    with Frontend(folder / "frontend", port) as frontend:
        yield frontend


@pytest.fixture(scope="module")
def zabbix(frontend: Frontend) -> Zabbix:
    """Return its API, with a host and a trigger that means that the host is down."""
    api = frontend.admin()
    group = api.put("hostgroup", {"name": "NFVI"}, {})
    host = api.put("host", {"host": "compute-1"}, {"groups": [{"groupid": group}]})
    api.call("item.create", name="state", key_=KEY, hostid=host, type=2, value_type=3, delay="0")
    api.call(
        "trigger.create",
        description='the "state" of {HOST.NAME}',
        expression=f"last(/compute-1/{KEY})=1",
        priority=5,
        tags=[{"tag": "doctor_type", "value": "compute.host.down"}],
    )
    return api


def api_token(zabbix: Zabbix) -> str:
    """Return a token of its API, as an operator makes one for Doctor."""
    (token,) = zabbix.call("token.create", name=f"doctor {time.time()}")["tokenids"]
    (made,) = zabbix.call("token.generate", [token])
    return str(made["token"])


def doctor_of(folder: Path, frontend: Frontend, zabbix: Zabbix) -> RunningDoctor:
    folder.mkdir(parents=True)
    (folder / "api.token").write_text(api_token(zabbix))
    asking = {
        "driver": "zabbix",
        "name": "zabbix-api",
        "url": frontend.url,
        "source": "zabbix",
        "token_file": str(folder / "api.token"),
        "every": 1,
    }
    return RunningDoctor(folder, monitors=[asking])


def set_up(site: Site, folder: Path, frontend: Frontend) -> None:
    (folder / "zabbix.token").write_text(site.token("zabbix"))
    (folder / "password").write_text(PASSWORD)
    shell = Shell(site.doctor, folder)
    words = ("--token-file", "zabbix.token", "--api", frontend.url, "--password-file", "password")
    for _ in range(2):  # it may be repeated
        done = shell.run("monitor", "setup", "zabbix", *words)
        assert (done.returncode, "webhook" in done.stdout) == (0, True), done.stderr


@pytest.mark.shows("payload zabbix", "real", "restart", "lost")
@pytest.mark.shows("monitor zabbix", "real", "restart")
@pytest.mark.requirement("A8", "C4", "E20")
def test_zabbix_reports_to_doctor_and_what_it_loses_is_found(
    server: Server, frontend: Frontend, zabbix: Zabbix, tmp_path: Path
) -> None:
    doctor = doctor_of(tmp_path / "doctor", frontend, zabbix)
    with doctor:
        site = Site(doctor)
        set_up(site, tmp_path, frontend)
        subscription = site.subscribed()
        until(lambda: server.send("compute-1", KEY, 0), 60)
        until(lambda: site.source("zabbix").get("state") == "speaks", 180)
        assert site.source("zabbix")["silent_after"] == 180  # as its heartbeat says
        server.send("compute-1", KEY, 1)
        until(lambda: DEAD in site.alarms())
        alarm = site.alarm("compute-1")
        assert alarm["perceived_severity"] == "critical"
        assert alarm["fault_details"]["cause"] == 'the "state" of compute-1'
        server.send("compute-1", KEY, 0)
        until(lambda: DEAD not in site.alarms())
        told = [kind for kind, _ in site.door.told(subscription)]
        assert told == ["fault", "fault_cleared"]  # by message and by list, and one event

        doctor.kill()
        server.send("compute-1", KEY, 1)
        time.sleep(5)
        doctor.start()
        until(lambda: DEAD in site.alarms())
        doctor.kill()
        server.send("compute-1", KEY, 0)
        time.sleep(5)
        doctor.start()
        until(lambda: DEAD not in site.alarms())


def test_how_long_it_takes_from_a_value_to_doctor(
    server: Server, frontend: Frontend, zabbix: Zabbix, tmp_path: Path
) -> None:
    """By messages alone: Zabbix looks for what to tell every few seconds."""
    with RunningDoctor(tmp_path / "doctor") as doctor:
        site = Site(doctor)
        set_up(site, tmp_path, frontend)
        until(lambda: server.send("compute-1", KEY, 0), 60)
        took = []
        for _ in range(TRIES):
            time.sleep(8)  # changes that follow each other soon are told less often
            server.send("compute-1", KEY, 1)
            began = time.monotonic()
            until(lambda: DEAD in site.alarms(), 60)
            took.append(time.monotonic() - began)
            server.send("compute-1", KEY, 0)
            until(lambda: DEAD not in site.alarms(), 60)
        print(f"Zabbix: from the value to the alarm, seconds: {sorted(took)}")
        assert statistics.median(took) < 15
