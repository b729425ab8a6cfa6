"""Growth: what telling of a host costs when much else is broken, and when many others listen.

One Doctor, one host with 100 machines of 10 owners that fails and returns; before, between and after, other hosts fail for
good, each with one machine of somebody else, and at last those owners subscribe. Nothing that is looked up for the one
host may take longer for the many others: the first figures are the floor of the last.
"""

import statistics
import time
from datetime import UTC, datetime
from typing import Any, NamedTuple

from doctor.cli.bench import events
from doctor.cli.bench.percentiles import spread
from doctor.cli.bench.processes import Doctor, Helper
from doctor.cli.bench.result import BenchError, Figure, Measured
from doctor.cli.bench.stage import Stage, hosts_and_machines, put_map, subscribe
from doctor.cli.bench.storm import Played, Scene, play
from doctor.client.http import Client
from doctor.kit.times import rfc3339

ABOUT = "telling of a host, with 1,000 to 100,000 open faults and 1,000 subscriptions of others"
SECONDS = 150
MACHINES = 100
BULK = 1_000
ASKED = 30
SCENE = Scene("host", "host with 100 machines of 10 owners", 1, MACHINES, 10, None, events.HOST_DOWN)


class Step(NamedTuple):
    """What was measured at one size."""

    open_faults: int
    subscriptions: int
    played: Played
    asked_ms: float

    @property
    def told_ms(self) -> float:
        """Return the median of the times until the last owner knew."""
        return spread((one.last for one in self.played.down), unit=1e6).p50

    def as_json(self) -> dict[str, Any]:
        """Return the step for a program."""
        return {
            "open_faults": self.open_faults,
            "subscriptions": self.subscriptions,
            "asked_ms": self.asked_ms,
            **self.played.as_json(),
        }


def measure(stage: Stage) -> Measured:
    """Let faults pile up, then subscriptions, and play the same failure at each size."""
    few, many, listeners = stage.choose(1_000, 10), stage.choose(100_000, 100), stage.choose(1_000, 5)
    owners = [f"owner-{number}" for number in range(SCENE.owners)]
    others = [f"other-{number}" for number in range(listeners)]
    with stage.receiver(SCENE.owners) as receiver, stage.doctor() as doctor:
        ports = receiver.started["ports"]
        put_map(doctor, _resources(owners, others, many))
        subscribe(doctor, owners, ports)
        with doctor.client() as admin, doctor.client(_token(doctor, owners[0])) as owner:
            steps = []
            for begin, end in ((0, few), (few, many)):
                _break(admin, begin, end)
                steps.append(_step(stage, doctor, receiver, owner, end, len(owners)))
            subscribe(doctor, others, [ports[index % len(ports)] for index in range(listeners)])
            steps.append(_step(stage, doctor, receiver, owner, many, len(owners) + listeners))
    small, large, largest = steps
    rounds = [one for step in steps for one in (*step.played.down, *step.played.up)]
    return Measured(
        figures=[
            *_figures("faults", f"{many:,} faults open", large, small),
            *_figures("subscriptions", f"and {listeners:,} subscriptions of others", largest, small),
        ],
        counts={"owners told": (len(rounds) * SCENE.owners, sum(one.told for one in rounds))},
        rounds={"steps": [step.as_json() for step in steps]},
    )


def _figures(name: str, title: str, step: Step, first: Step) -> list[Figure]:
    return [
        Figure(name=f"growth.{name}.{key}", title=f"{title}: {what}", value=value, unit="ms", floor=floor)
        for key, what, value, floor in (
            ("told", "a host with 100 machines, all told", step.told_ms, first.told_ms),
            ("cpu", "the same and back, processor", step.played.cpu_ms, first.played.cpu_ms),
            ("asked", "an owner asks for his faults and alarms", step.asked_ms, first.asked_ms),
        )
    ]


def _resources(owners: list[str], others: list[str], hosts: int) -> dict[str, Any]:
    """Return a map of the host that is played with, and of others with a machine of somebody else each."""
    document = hosts_and_machines(1, MACHINES, owners)
    for number in range(hosts):
        name = _other(number)
        document["physical_resources"].append({"id": name, "type": "host", "zone_id": "az1"})
        owner = others[number % len(others)]
        document["virtual_resources"].append({"id": f"{name}-machine", "host": name, "owner": owner})
    return document


def _other(number: int) -> str:
    return f"other-{number:06d}"


def _token(doctor: Doctor, owner: str) -> str:
    with doctor.client() as admin:
        made = admin.post("/v1/tokens", {"role": "consumer", "project": owner, "name": f"{owner} asks"})
    return str(made["token"])


def _break(admin: Client, begin: int, end: int) -> None:
    """Let the hosts of these numbers fail, for good."""
    now = rfc3339(datetime.now(UTC))
    for first in range(begin, end, BULK):
        texts = [
            events.event(events.HOST_DOWN, _other(number), "down", time=now, number=number)
            for number in range(first, min(first + BULK, end))
        ]
        admin.send("POST", "/v1/events", events.together(texts), content_type="application/json")


def _step(stage: Stage, doctor: Doctor, receiver: Helper, owner: Client, faults: int, listeners: int) -> Step:
    stage.tell(f"  {faults:,} open faults, {listeners:,} subscriptions")
    played = play(stage, SCENE, doctor, receiver)
    with doctor.client() as admin:
        alarms = admin.get("/v1/alarms/summary")["total"]
    if alarms != 2 * faults:  # the host and its machine
        raise BenchError(f"{alarms} alarms are open, and should be {2 * faults}")
    return Step(faults, listeners, played, _asked_ms(owner))


def _asked_ms(owner: Client) -> float:
    """Return how long an owner waits for his open faults and alarms, of which there is none."""
    took = []
    for _ in range(ASKED):
        begun = time.perf_counter()
        found = [owner.get(path)["items"] for path in ("/v1/faults", "/v1/alarms")]
        took.append(1000 * (time.perf_counter() - begun))
        if any(found):
            raise BenchError("an owner is shown what is not his")
    return round(statistics.median(took), 3)
