"""A real Doctor cuts off a real process by a real BMC simulator: the host is frozen, and must be dead before it is told so.

The host is a process that writes to its storage for as long as it lives; the BMC kills it. What a process has written is
the truth that everything Doctor says is held against.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from doctor.cli.demo.bmc import GUID, PASSWORD, USER
from doctor.cli.main import main
from doctor.client import Client
from doctor.testing.fence import Mode
from doctor.testing.running import RunningDoctor
from tests.fences.bmc import Bmc
from tests.waiting import until

pytestmark = [pytest.mark.needs("ipmi_sim"), pytest.mark.requirement("B22")]

WRITER = """
import sys, time
with open(sys.argv[1], "ab", buffering=0) as storage:
    while True:
        storage.write(b".")
        time.sleep(0.01)
"""
HOSTS = ("compute-1", "compute-2", "compute-3")
# A site of three hosts cannot spare half of them, and a test cannot wait for a minute.
LIMITS = {"start_up": 0, "capacity": False, "patience": 5}


class Host:
    """A process that writes, as the machines on a host do."""

    def __init__(self, folder: Path) -> None:
        self._storage = folder / "storage"
        self._process = subprocess.Popen([sys.executable, "-c", WRITER, str(self._storage)])
        script = folder / "switched"
        script.write_text(f'#!/bin/sh\n[ "$1" = 1 ] || kill -9 {self._process.pid}\n')
        script.chmod(0o755)

    def freeze(self) -> None:
        os.kill(self._process.pid, signal.SIGSTOP)

    def thaw(self) -> None:
        os.kill(self._process.pid, signal.SIGCONT)

    @property
    def is_dead(self) -> bool:
        return self._process.poll() is not None

    @property
    def written(self) -> int:
        return self._storage.stat().st_size if self._storage.exists() else 0

    def end(self) -> None:
        self._process.kill()
        self._process.wait()


class Cloud:
    """The site: a Doctor, a BMC, the host behind it, two monitors and two owners."""

    def __init__(self, folder: Path, bmc: Bmc) -> None:
        self.bmc = bmc
        (folder / "doctor").mkdir()
        secret = folder / "doctor" / "bmc.secret"
        secret.write_text(PASSWORD + "\n")
        secret.chmod(0o600)
        device = {"driver": "ipmi", "address": "127.0.0.1", "port": bmc.port, "user": USER}
        fencing = {
            "devices": {"bmc-1": {**device, "password_file": "bmc.secret", "identity": str(GUID)}},
            "hosts": {"compute-1": {"levels": ["bmc-1"]}},
            "witnesses": {"probe": "in_band", "peers": "peer"},
            "limits": LIMITS,
        }
        self.doctor = RunningDoctor(folder / "doctor", fencing=fencing)
        self.doctor.start()
        self.tokens: dict[str, str] = {}
        with self.client() as client:
            for name in ("probe", "peers", "bob"):
                role = "operator" if name == "bob" else "monitor"
                made = client.post("/v1/tokens", {"role": role, "name": name})
                self.tokens[name] = made["token"]
            client.put(
                "/v1/resource-map",
                {
                    "physical_resources": [{"id": host, "zone_id": "az-1"} for host in HOSTS],
                    "virtual_resources": [
                        {"id": f"vm-{n}", "host": host, "owner": "red"} for n, host in enumerate(HOSTS, 1)
                    ],
                },
            )
            self.quick = self._subscribe(client, {})
            self.patient = self._subscribe(client, {"when": "isolated"})

    def _subscribe(self, client: Client, policy: dict[str, Any]) -> str:
        wish = {"endpoints": [{"url": "http://127.0.0.1:9/"}], "policy": policy}
        return str(client.post("/v1/subscriptions", wish)["subscription_id"])

    def client(self, name: str = "") -> Client:
        return Client(self.doctor.url, self.tokens[name] if name else self.doctor.token)

    def say(self, status: str, *reporters: str, host: str = "compute-1") -> None:
        for reporter in reporters or ("probe", "peers"):
            details = {"hostname": host, "status": status, "source": reporter}
            now = datetime.now(UTC).isoformat()
            with self.client(reporter) as client:
                client.post(
                    "/v1/events", {"event": {"time": now, "type": "compute.host.down", "details": details}}
                )

    def arm(self) -> None:
        armed = self.command("arm", "az-1", "--reason", "a test")
        assert armed.exit_code == 0, armed.output
        assert "compute-2, compute-3" in armed.output

    def command(self, *words: str, token: str = "") -> Result:
        environment = {"DOCTOR_URL": self.doctor.url, "DOCTOR_TOKEN": token or self.doctor.token}
        return CliRunner().invoke(main, ["fencing", *words], env=environment)

    def isolation(self) -> dict[str, Any]:
        with self.client() as client:
            found = client.get("/v1/isolations/compute-1")["isolation"]
        return found or {"state": None}

    def until(self, state: str, seconds: float = 30) -> dict[str, Any]:
        found: dict[str, Any] = until(lambda: (one := self.isolation())["state"] == state and one, seconds)
        return found

    def heard(self, subscription_id: str) -> list[tuple[str, str]]:
        """Return what was told of vm-1: the kind of each notification, and how isolation stood."""
        with self.client() as client:
            told = list(client.items("/v1/notifications", subscription_id=subscription_id))
        return [
            (one["notification_type"], info["isolation"])
            for one in told
            for info in one.get("virtual_resource_info", ())
            if info["virtual_resource_id"] == "vm-1"
        ]

    def alarms(self) -> set[str]:
        with self.client() as client:
            return {one["fault_type"] for one in client.items("/v1/alarms")}


@pytest.fixture
def bmc(tmp_path: Path) -> Iterator[Bmc]:
    with Bmc(tmp_path / "bmc") as running:
        yield running


@pytest.fixture
def host(bmc: Bmc) -> Iterator[Host]:
    running = Host(bmc.folder)
    yield running
    running.end()


@pytest.fixture
def cloud(tmp_path: Path, bmc: Bmc, host: Host) -> Iterator[Cloud]:
    site = Cloud(tmp_path, bmc)
    yield site
    site.doctor.stop()


def test_a_frozen_host_is_dead_before_anybody_is_told_that_it_is_isolated(cloud: Cloud, host: Host) -> None:
    """[I-15, I-16] Told at once as pending, then cut off, confirmed, and told as a change of the same alarm."""
    cloud.arm()
    host.freeze()
    cloud.say("down")
    assert cloud.heard(cloud.quick)[0] == ("fault", "pending")
    done = cloud.until("fenced")
    assert host.is_dead
    begun = datetime.fromisoformat(done["commanded_time"])
    took = (datetime.fromisoformat(done["isolated_time"]) - begun).total_seconds()
    assert took < 4, "two readings a second apart, two heartbeats of silence, and a slow machine"
    assert cloud.heard(cloud.quick) == [("fault", "pending"), ("fault_changed", "isolated")]
    assert cloud.heard(cloud.patient) == [("fault", "isolated")]
    decisions = json.loads(cloud.command("log", "compute-1", "--json").output)["items"]
    assert [one["decision"] for one in reversed(decisions)][-4:] == [
        "authorise",
        "begin",
        "reads_off",
        "confirm",
    ]
    explained = cloud.command("explain", "compute-1")
    assert "fenced" in explained.output
    assert PASSWORD not in cloud.doctor.log.read_text()

    given_back = cloud.command("return", "compute-1", "--reason", "thawed")
    assert given_back.exit_code == 0, given_back.output
    cloud.until("observed", 60)
    assert cloud.bmc.commands[-1].endswith("1")


def test_nothing_is_switched_before_somebody_has_armed_the_zone(cloud: Cloud, host: Host) -> None:
    host.freeze()
    cloud.say("down")
    cloud.until("suspect")
    time.sleep(7)
    assert cloud.isolation()["state"] == "suspect"
    assert "not armed" in cloud.command("explain", "compute-1").output
    assert cloud.bmc.commands == []
    assert not host.is_dead


def test_one_monitor_alone_switches_nothing(cloud: Cloud, host: Host) -> None:
    """[I-12] Not even if it says that it is two: what counts is whose token it is."""
    cloud.arm()
    details = {"hostname": "compute-1", "status": "down"}
    with cloud.client("probe") as client:
        for source in ("probe", "peers"):
            now = datetime.now(UTC).isoformat()
            event = {"time": now, "type": "compute.host.down", "details": {**details, "source": source}}
            client.post("/v1/events", {"event": event})
    cloud.until("needs_human")
    assert cloud.bmc.commands == []
    assert not host.is_dead
    until(lambda: "isolation needs a person" in cloud.alarms())
    refused = cloud.command("retry", "compute-1", "--zone", "rack-1", "--reason", "it has to go")
    assert refused.exit_code == 1
    assert "fencing.zones says of none around it how" in refused.output


def test_a_bmc_that_lies_is_found_out_by_the_first_sign_of_life(cloud: Cloud, host: Host) -> None:
    """[I-16]"""
    cloud.arm()
    cloud.bmc.behave(Mode.LYING)
    host.freeze()
    cloud.say("down")
    cloud.until("confirming")
    host.thaw()
    cloud.say("up", "peers")
    cloud.until("needs_human")
    before = host.written
    until(lambda: host.written > before)
    assert ("fault_changed", "isolated") not in cloud.heard(cloud.quick)
    assert cloud.heard(cloud.patient) == []


def test_a_host_is_isolated_although_doctor_dies_over_it(cloud: Cloud, host: Host) -> None:
    """[I-17] Killed as soon as a command may have gone out, and started again."""
    cloud.arm()
    cloud.bmc.behave(Mode.SLOW)
    host.freeze()
    cloud.say("down")
    cloud.until("attempt")
    cloud.doctor.kill()
    cloud.bmc.behave(Mode.HONEST)
    cloud.doctor.start()
    cloud.say("down")
    cloud.until("fenced", 60)
    assert cloud.heard(cloud.quick)[-1] == ("fault_changed", "isolated")


@pytest.mark.requirement("B26", "D32", "F17", "G19", "G49")
def test_what_owners_have_said_beforehand_is_done_when_the_host_is_dead(cloud: Cloud, host: Host) -> None:
    """[D 3.3.6, 5.5.1] One machine is evacuated, one stays and starts again on the host when that is back; through a kill."""
    cloud.arm()
    with cloud.client() as client:
        resources = {
            "physical_resources": [{"id": name, "zone_id": "az-1"} for name in HOSTS],
            "virtual_resources": [
                {"id": "vm-1", "host": "compute-1", "owner": "red", "recovery": "evacuate"},
                {"id": "vm-stays", "host": "compute-1", "owner": "red", "sal": 3},
            ],
        }
        client.put("/v1/resource-map", resources)
        client.put("/v1/recovery-policies/sal:3?project=red", {"start_on_return": True})

    def recovery(machine: str, *states: str) -> bool:
        with cloud.client() as client:
            found = list(client.items("/v1/recoveries", virtual_resource_id=[machine]))
        return bool(found) and found[0]["state"] in states

    def done() -> list[tuple[str, str]]:
        with cloud.client() as client:
            made = list(client.items("/v1/instructions", sort="created"))
        return [(one["action"], one["resources"][0]["virtual_resource_id"]) for one in made]

    host.freeze()
    cloud.say("down")
    until(lambda: recovery("vm-1", "waiting", "running"))
    assert host.is_dead or done() == []
    cloud.until("fenced")
    assert host.is_dead
    until(lambda: recovery("vm-1", "succeeded") and recovery("vm-stays", "left"))
    cloud.doctor.kill()
    cloud.doctor.start()
    assert done() == [("evacuate", "vm-1")]
    with cloud.client() as client:
        (left,) = client.items("/v1/virtual-resources", host="compute-1")
    assert left["virtual_resource_id"] == "vm-stays"

    given_back = cloud.command("return", "compute-1", "--reason", "repaired")
    assert given_back.exit_code == 0, given_back.output
    cloud.until("observed", 60)
    cloud.say("up")
    until(lambda: recovery("vm-stays", "succeeded"))
    assert done() == [("evacuate", "vm-1"), ("start", "vm-stays")]


def test_two_people_can_say_it_where_no_device_can(cloud: Cloud, host: Host) -> None:
    cloud.arm()
    cloud.bmc.behave(Mode.DEAF)
    host.freeze()
    cloud.say("down")
    cloud.until("needs_human", 60)
    words = ("confirm", "compute-1", "--reason", "the plug is out", "--type-host", "compute-1")
    host.end()
    first = until(lambda: (one := cloud.command(*words, "--by", "alice")).exit_code == 0 and one)
    assert "a second person" in first.output
    assert cloud.command(*words, "--by", "bob").exit_code != 0
    second = cloud.command(*words, "--by", "bob", token=cloud.tokens["bob"])
    assert second.exit_code == 0, second.output
    assert cloud.isolation()["state"] == "fenced"
    until(lambda: "isolation needs a person" not in cloud.alarms())


def test_the_hold_switch_is_one_command(cloud: Cloud, host: Host) -> None:
    cloud.arm()
    assert "is on" in cloud.command("hold", "--reason", "to be safe").output
    cloud.say("down")
    time.sleep(3)
    assert cloud.bmc.commands == []
    assert "the hold switch is on" in cloud.command("status").output
    assert "released" in cloud.command("release").output
    cloud.until("fenced")
    assert "az-1: advise" in cloud.command("disarm", "az-1").output
