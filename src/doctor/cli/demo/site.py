"""What the stories of the demonstration have in common: a Doctor, and tenants with VNF managers of their own."""

import json
import os
import secrets
import shlex
import subprocess
import sys
import time
from base64 import b64encode
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

import msgspec

from doctor.cli.demo.hosts import free_port
from doctor.cli.demo.processes import DemoError, Line, Talker, start_doctor, stop, tail
from doctor.client.errors import Unreachable
from doctor.client.http import Client
from doctor.model.checkpoint import Checkpoint, Timeline

if TYPE_CHECKING:
    from rich.text import Text

PATIENCE = 15.0  # seconds for any step that takes less than one when all is well
LONGEST = 60.0  # seconds for any other; the longest takes ten
BUDGET = timedelta(seconds=1)

Tell = Callable[[str], None]
T = TypeVar("T")


class Outcome(Protocol):
    """What was seen in a story."""

    def drawing(self, width: int, *, unicode: bool) -> "Text":
        """Draw where the time went."""
        ...

    @property
    def is_good(self) -> bool:
        """Tell whether the promise was kept."""
        ...

    @property
    def verdict(self) -> str:
        """Say what was promised, and how it was kept, if it was."""
        ...

    def as_json(self) -> dict[str, Any]:
        """Return the figures for a program."""
        ...


@contextmanager
def running_doctor(folder: Path, **settings: Any) -> Iterator[Client]:
    """Run a Doctor of its own, with its state in the folder, and give its administrator's client."""
    port = free_port()
    file = folder / "doctor.yaml"
    document = {
        "listen": f"127.0.0.1:{port}",
        "data": str(folder / "state"),
        "log": {"format": "json"},
        **settings,
    }
    file.write_text(json.dumps(document))  # JSON is YAML
    log = folder / "doctor.log"
    process = start_doctor(file, log)
    try:
        url = f"http://127.0.0.1:{port}"
        end = time.monotonic() + PATIENCE
        while True:
            try:
                with Client(url) as anybody:
                    anybody.get("/healthz")
                break
            except Unreachable as error:
                if process.poll() is not None:
                    raise DemoError(f"Doctor did not start: {tail(log)}") from None
                if time.monotonic() > end:
                    raise DemoError(str(error)) from None
                time.sleep(0.02)
        with Client(url, admin_token(folder)) as client:
            yield client
    finally:
        stop(process)


def admin_token(folder: Path) -> str:
    """Return the token that the Doctor in a folder made for its administrator."""
    return (folder / "state" / "admin.token").read_text().strip()


def run_command(client: Client, folder: Path, tell: Tell, *words: str) -> None:
    """Run a command of Doctor as its administrator would, and show it.

    Raises:
        DemoError: it has failed.
    """
    tell(f"$ doctor {shlex.join(words)}")
    done = subprocess.run(  # noqa: S603 - ourselves
        [sys.executable, "-m", "doctor", *words],
        env={**os.environ, "DOCTOR_URL": client.url, "DOCTOR_TOKEN": admin_token(folder)},
        capture_output=True,
        text=True,
        check=False,
    )
    for line in (done.stdout + done.stderr).splitlines():
        tell(f"  {line}")
    if done.returncode != 0:
        raise DemoError(f"doctor {' '.join(words)} ended with {done.returncode}")


@contextmanager
def tenant(
    client: Client, project: str, roles: Mapping[str, str], folder: Path, *, evacuates: bool = False
) -> Iterator[Talker]:
    """Run the VNF manager of a tenant, with a token of its own, subscribed to all that is its own."""
    token = client.post(
        "/v1/tokens", {"role": "consumer", "project": project, "name": f"{project}'s VNF manager"}
    )
    secret = "whsec_" + b64encode(secrets.token_bytes(32)).decode()
    environment = {"DOCTOR_URL": client.url, "DOCTOR_TOKEN": token["token"], "ENDPOINT_SECRET": secret}
    words = ["-m", "doctor.cli.demo.vnf_manager", json.dumps(roles), *(["evacuates"] if evacuates else [])]
    manager = Talker(words, environment, folder / f"{project}.log")
    try:
        url = manager.wait_for("listening", seconds=PATIENCE)["url"]
        with Client(client.url, token["token"]) as own:
            answer = own.post("/v1/subscriptions", {"endpoints": [{"url": url, "secret": secret}]})
        if answer["warnings"]:
            raise DemoError(f"the endpoint of {project} does not answer: {answer['warnings']}")
        yield manager
    finally:
        manager.stop()


def resource_map(
    addresses: Mapping[str, str], roles: Mapping[str, Mapping[str, str]], places: Mapping[str, str]
) -> dict[str, Any]:
    """Return a map of one zone: hosts by address, machines by owner and role, and where each is."""
    return {
        "physical_resources": [
            {"id": name, "type": "host", "zone_id": "az1", "address": address}
            for name, address in addresses.items()
        ],
        "virtual_resources": [
            {"id": name, "host": places[name], "owner": project, "group": "vnf", "role": role}
            for project, own in roles.items()
            for name, role in own.items()
        ],
        "relations": [],
    }


def wait_until_watched(client: Client) -> None:
    """Give the monitors the time to see every host once: only then can they see one fail."""
    time.sleep(0.6)
    left = [alarm["resource_id"] for alarm in client.items("/v1/alarms")]
    if left:
        raise DemoError(f"{', '.join(left)} cannot be reached on this machine before anything has failed")


def until(found: Callable[[], T], what: str, *, seconds: float = LONGEST) -> T:
    """Wait for something to be found.

    Raises:
        DemoError: it was not, in time.
    """
    end = time.monotonic() + seconds
    while not (one := found()):
        if time.monotonic() > end:
            raise DemoError(f"waited {seconds:.0f} s in vain for {what}")
        time.sleep(0.05)
    return one


def timeline_of(client: Client, resource_id: str, occurred: datetime) -> Timeline:
    """Return the timeline of a resource's fault, with the moment of the failure as we know it ourselves."""
    found = client.get("/v1/timelines", limit=10)["items"]
    timeline = msgspec.convert(next(one for one in found if one["resource_id"] == resource_id), Timeline)
    timeline.checkpoints[Checkpoint.OCCURRED] = occurred
    return timeline


def of_type(kind: str) -> Callable[[Line], bool]:
    """Return what knows the lines on notifications of a type."""
    return lambda line: bool(line["notification_type"] == kind)


def heard(manager: Talker, *kinds: str) -> int:
    """Count the notifications that a VNF manager has received: of some types, or of all."""
    received = [line for line in manager.lines if line["what"] == "received"]
    return sum(not kinds or line["notification_type"] in kinds for line in received)


def time_of(line: Line, key: str) -> datetime:
    """Return a time that a VNF manager has written down."""
    return datetime.fromisoformat(line[key])


def milliseconds(duration: timedelta) -> float:
    """Return a duration as a figure."""
    return round(duration / timedelta(milliseconds=1), 3)
