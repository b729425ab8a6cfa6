"""Where the measurements take place: a folder on a real disk, processes that end with it, and somebody to tell."""

import json
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from doctor.cli.bench.processes import Doctor, Helper
from doctor.cli.bench.result import BenchError
from doctor.inspector.catalogue import default_policy_text

SECRET = "whsec_ZG9jdG9yIGJlbmNoIHNpZ25zIGl0cyBub3RpZmljYXRpb25z"  # noqa: S105 - of nothing, on loopback
CONNECTIONS = 64


class Stage:
    """What all measurements share. ``quick`` is for trying the bench itself: little work, and no verdicts."""

    def __init__(self, folder: Path, tell: Callable[[str], None], *, quick: bool) -> None:
        self.folder = folder
        self.quick = quick
        self.tell = tell
        self._made = 0

    def choose(self, full: int, quick: int) -> int:
        """Return how much to do in this run."""
        return quick if self.quick else full

    def place(self, name: str) -> Path:
        """Return a path in the folder that nothing else has."""
        self._made += 1
        return self.folder / f"{self._made:03d}-{name}"

    def doctor(self) -> Doctor:
        """Start a Doctor with nothing in it."""
        return Doctor(self.place("doctor"))

    def load(self, *, precise: bool = False) -> Helper:
        """Start the Monitors."""
        return Helper("load", ["--precise"] if precise else [], self.place("load.log"))

    def receiver(self, consumers: int) -> Helper:
        """Start the owners."""
        return Helper("receiver", [str(consumers)], self.place("receiver.log"))

    def floor(self, *, durable: bool, consumers: list[int] | None = None, machines: int = 0) -> Helper:
        """Start the floor."""
        database = str(self.place("floor.db")) if durable else None
        settings = {"database": database, "consumers": consumers or [], "machines": machines}
        return Helper("floor_server", [json.dumps(settings)], self.place("floor.log"))


class Loaded:
    """A server under a load: what it answers, and what it uses of the processor for it."""

    def __init__(self, server: Doctor | Helper, load: Helper) -> None:
        self.server = server
        self.load = load

    def run(self, order: str, **arguments: Any) -> dict[str, Any]:
        """Give the load an order; the answer has the processor time of the server beside."""
        before = self.server.cpu_seconds
        answer = self.load.ask(order, patience=90, **arguments)
        answer["cpu_seconds"] = self.server.cpu_seconds - before
        return answer


@contextmanager
def loaded(
    stage: Stage, server: Doctor | Helper, *, connections: int = CONNECTIONS, precise: bool = False
) -> Iterator[Loaded]:
    """Connect a load to a server."""
    if isinstance(server, Doctor):
        port, token = server.port, server.token
    else:
        port, token = server.started["port"], "doctor_no_token_but_as_long_as_one_that_is_one"
    with stage.load(precise=precise) as load:
        load.ask("connect", port=port, token=token, connections=connections)
        yield Loaded(server, load)


def put_map(doctor: Doctor, document: dict[str, Any]) -> None:
    """Load a resource map; and the policy that ships, by which every change is told: in a bench they come quickly."""
    policy = default_policy_text(damping=False)
    with doctor.client() as admin:
        admin.put("/v1/resource-map", document)
        admin.send("PUT", "/v1/failure-policies", policy.encode(), content_type="application/yaml")


def subscribe(doctor: Doctor, owners: list[str], ports: list[int]) -> None:
    """Subscribe each owner, by a token of its own, at a port of its own, with signatures."""
    with ExitStack() as stack:
        admin = stack.enter_context(doctor.client())
        for owner, port in zip(owners, ports, strict=True):
            token = admin.post("/v1/tokens", {"role": "consumer", "project": owner, "name": f"owner {owner}"})
            own = stack.enter_context(doctor.client(token["token"]))
            endpoint = {"url": f"http://127.0.0.1:{port}/", "secret": SECRET}
            answer = own.post("/v1/subscriptions", {"endpoints": [endpoint]})
            if answer["warnings"]:
                raise BenchError(f"the endpoint of {owner} does not answer: {answer['warnings']}")


def hosts_and_machines(
    hosts: int, machines: int, owners: list[str], *, switch: str | None = None
) -> dict[str, Any]:
    """Return a resource map: so many hosts with so many machines each, whose owners take turns."""
    names = [f"compute-{host}" for host in range(hosts)]
    document: dict[str, Any] = {
        "physical_resources": [{"id": name, "type": "host", "zone_id": "az1"} for name in names],
        "virtual_resources": [
            {
                "id": f"{name}-machine-{machine}",
                "host": name,
                "owner": owners[(host * machines + machine) % len(owners)],
                "group": f"vnf-{machine // 2}",
                "role": "ACT" if machine % 2 == 0 else "STBY",
            }
            for host, name in enumerate(names)
            for machine in range(machines)
        ],
        "relations": [],
    }
    if switch is not None:
        document["physical_resources"].append({"id": switch, "type": "switch", "zone_id": "az1"})
        document["relations"] = [{"from": switch, "kind": "connects", "to": name} for name in names]
    return document
