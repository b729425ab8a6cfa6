"""A site on which hosts can be cut off: each host is a group of processes behind a BMC of its own.

Its machines write to a storage that all hosts share. Two look whether a host lives, independently: Doctor's own ping, and a
monitor at the storage.
"""

import importlib.util
import threading
import time
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple
from uuid import UUID

from doctor.cli.demo import bmc
from doctor.cli.demo.bmc import PACKAGE, PASSWORD, PROGRAM, USER, Bmc
from doctor.cli.demo.hosts import free_port
from doctor.cli.demo.powered_host import PoweredHost
from doctor.cli.demo.processes import DemoError, Talker
from doctor.cli.demo.site import PATIENCE, Tell, resource_map, running_doctor, tenant
from doctor.cli.demo.storage import SharedStorage
from doctor.client.errors import ClientError
from doctor.client.http import Client
from doctor.kit.ids import stable_id

HOSTS = ("compute-1", "compute-2", "compute-3")
OWNER, STRANGER = "red", "blue"
ROLES = {OWNER: {"red-act": "ACT", "red-stby": "STBY"}, STRANGER: {"blue-1": "ACT"}}
PLACES = {"red-act": "compute-1", "red-stby": "compute-2", "blue-1": "compute-3"}
ZONE = "az1"
WITNESS = "storage-heartbeat"
SILENT = 1.0  # seconds without a sign of life on the storage
SAY_AGAIN = 5.0  # seconds: what was said once is evidence for a while only
LOOK_EVERY = 0.1

# Openly less than what suits a cloud: a demonstration cannot wait for a minute.
LIMITS = {"start_up": 0, "attempt": 4, "confirm": 6}


class StorageWitness:
    """The monitor at the storage: it reports hosts that write there no more, after so many seconds."""

    def __init__(
        self, doctor: Client, storage: SharedStorage, hosts: Iterable[str], *, silent: float = SILENT
    ) -> None:
        self._doctor = doctor
        self._storage = storage
        self._silent = silent
        self._said = dict.fromkeys(hosts, (False, 0.0))

    def look(self) -> None:
        """Report what is otherwise than it was, and who is still silent.

        Raises:
            ClientError: Doctor did not take it; the next look tries again.
        """
        for host, (was_silent, said) in self._said.items():
            is_silent = self._storage.silent_for(host) > self._silent
            now = time.monotonic()
            if is_silent != was_silent or (is_silent and now - said > SAY_AGAIN):
                details = {"hostname": host, "status": "down" if is_silent else "up"}
                event = {
                    "time": datetime.now(UTC).isoformat(),
                    "type": "compute.host.down",
                    "details": details,
                }
                self._doctor.post("/v1/events", {"event": event})
                self._said[host] = is_silent, now


class Hypervisors:
    """What makes of Doctor's map what the hosts run."""

    def __init__(self, doctor: Client, storage: SharedStorage) -> None:
        self._doctor = doctor
        self._storage = storage
        self._placed: dict[str, str] = {}

    def look(self) -> None:
        """Place the machines as they are in the map.

        Raises:
            ClientError: Doctor did not answer; all stays as it is.
        """
        found = self._doctor.items("/v1/virtual-resources")
        placed = {one["virtual_resource_id"]: one["location"]["physical_resource_id"] for one in found}
        if placed != self._placed:
            self._storage.place(placed)
            self._placed = placed


class FencingSite(NamedTuple):
    """The site, as long as it stands."""

    folder: Path
    doctor: Client
    storage: SharedStorage
    hosts: dict[str, PoweredHost]
    bmcs: dict[str, Bmc]
    tenants: dict[str, Talker]


@contextmanager
def fencing_site(folder: Path, tell: Tell) -> Iterator[FencingSite]:
    """Set the site up, and take it down.

    Raises:
        DemoError: something that it takes is missing, or does not start.
    """
    _check_this_machine()
    with ExitStack() as stack:
        storage = SharedStorage(folder / "storage")
        storage.place(PLACES)
        port = free_port("127.0.1.1")
        hosts, bmcs = {}, {}
        for number, name in enumerate(HOSTS, 1):
            host = hosts[name] = PoweredHost(folder / name, name, (f"127.0.1.{number}", port), storage)
            device = bmcs[name] = Bmc(folder / f"bmc-{name}", UUID(stable_id("bmc", name)))
            (device.folder / "switched").symlink_to(host.switch)
            stack.enter_context(device)
            stack.callback(host.put, on=False)
            host.put(on=True)
        _wait_until_alive(storage)
        tell(
            f"{len(HOSTS)} hosts as groups of processes, each behind a BMC of its own ({PROGRAM}): {', '.join(HOSTS)}"
        )
        client = stack.enter_context(running_doctor(folder, **_settings(folder, bmcs, port)))
        tell(f"Doctor listens on {client.url}; its ping and a monitor at the storage see whether they live")
        addresses = {name: host.address for name, host in hosts.items()}
        client.put("/v1/resource-map", resource_map(addresses, ROLES, PLACES))
        tenants = {
            project: stack.enter_context(
                tenant(client, project, ROLES[project], folder, evacuates=project == OWNER)
            )
            for project in (OWNER, STRANGER)
        }
        stack.enter_context(_surroundings(client, storage))
        yield FencingSite(folder, client, storage, hosts, bmcs, tenants)


def _check_this_machine() -> None:
    if not bmc.is_installed():
        raise DemoError(
            f"the BMC simulator {PROGRAM} is missing; install the Debian package {PACKAGE}"
            f" (sudo apt-get install {PACKAGE})"
        )
    if importlib.util.find_spec("pyghmi") is None:
        raise DemoError(
            "to speak with BMCs pyghmi is missing; install doctor-nfvi[ipmi] (in a clone: make setup)"
        )


def _settings(folder: Path, bmcs: dict[str, Bmc], port: int) -> dict[str, Any]:
    secret = folder / "bmc.secret"
    secret.write_text(PASSWORD + "\n")
    secret.chmod(0o600)
    devices = {
        f"bmc-{name}": {
            "driver": "ipmi",
            "address": "127.0.0.1",
            "port": device.port,
            "user": USER,
            "password_file": str(secret),
            "identity": str(device.guid),
        }
        for name, device in bmcs.items()
    }
    ping = {"driver": "ping", "method": "tcp", "tcp_port": port, "tcp_refused": "down"}
    return {
        "monitors": [ping],
        "fencing": {
            "devices": devices,
            "hosts": {name: {"levels": [f"bmc-{name}"]} for name in bmcs},
            "witnesses": {WITNESS: "storage"},
            "limits": LIMITS,
        },
    }


def _wait_until_alive(storage: SharedStorage) -> None:
    end = time.monotonic() + PATIENCE
    while any(storage.silent_for(name) > SILENT for name in HOSTS) or not all(
        storage.writers(machine) for machine in PLACES
    ):
        if time.monotonic() > end:
            raise DemoError("the hosts do not start on this machine")
        time.sleep(0.05)


@contextmanager
def _surroundings(client: Client, storage: SharedStorage) -> Iterator[None]:
    """Run the monitor at the storage, and the hypervisors, beside what is told."""
    tokens = [
        client.post("/v1/tokens", {"role": role, "name": name})["token"]
        for role, name in (("monitor", WITNESS), ("auditor", "hypervisors"))
    ]
    over = threading.Event()

    def run() -> None:
        with Client(client.url, tokens[0]) as reporter, Client(client.url, tokens[1]) as reader:
            works = (StorageWitness(reporter, storage, HOSTS), Hypervisors(reader, storage))
            while not over.wait(LOOK_EVERY):
                for work in works:
                    with suppress(ClientError):
                        work.look()

    thread = threading.Thread(target=run, daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
