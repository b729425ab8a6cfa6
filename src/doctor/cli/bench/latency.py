"""From the event to its owners: how long after the moment at which an event was due its webhooks have arrived.

Events come at a constant rate, whatever becomes of those before. One in 100 is a host that goes down, or comes back;
it has 100 machines of 10 owners, each with a webhook of its own. Time runs from the moment at which the event was due
to the moment at which the notification was complete at its consumer, on the same clock.
"""

from collections import Counter
from collections.abc import Callable, Iterable
from typing import Any

import msgspec

from doctor.cli.bench.percentiles import Spread, spread
from doctor.cli.bench.processes import Doctor, Helper
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage, hosts_and_machines, loaded, put_map, subscribe

ABOUT = "POST to webhook at constant rates"
SECONDS = 160

OWNERS = [f"owner-{number}" for number in range(10)]
MACHINES = 100
HOST = "compute-0"
EVERY = 100  # one in so many is told of
CONNECTIONS = 32
PATIENCE = 10.0  # seconds: what has not come by then counts as lost


class Plan(msgspec.Struct, frozen=True):
    """How many events at which rate, in how many rounds on each server that is started for it."""

    rate: int
    count: int
    rounds: int = 1


class Round(msgspec.Struct, frozen=True):
    """One server at one rate."""

    told_ms: Spread
    answered_ms: dict[str, float]
    late_ms: dict[str, float]
    cpu_us: float
    wanted: int
    told: int

    def as_json(self) -> dict[str, Any]:
        """Return the round for a program."""
        return msgspec.structs.asdict(self) | {"told_ms": self.told_ms.as_json()}


def plans(*, quick: bool) -> list[Plan]:
    """Return what to send. Outages come in pairs, so that the host is up again in the end."""
    if quick:
        return [Plan(1000, 800)]
    return [Plan(100, 800, 2), Plan(1000, 4000, 4), Plan(5000, 15_000, 3)]


def measure(stage: Stage) -> Measured:
    """Measure each rate, the floor and a Doctor in turns."""
    figures: list[Figure] = []
    counts: dict[str, tuple[int, int]] = {}
    rounds: dict[str, Any] = {}
    for plan in plans(quick=stage.quick):
        floors: list[Round] = []
        doctors: list[Round] = []
        for number in range(stage.choose(2, 1)):
            stage.tell(f"  {plan.rate:,} events per second, turn {number + 1}")
            floors += _floor(stage, plan)
            doctors += _doctor(stage, plan)
        figures += _figures(plan.rate, floors, doctors)
        for name, found in (("", doctors), (" by the floor", floors)):
            wanted, told = sum(one.wanted for one in found), sum(one.told for one in found)
            counts[f"notifications at {plan.rate}/s{name}"] = (wanted, told)
        rounds[str(plan.rate)] = {
            "doctor": [one.as_json() for one in doctors],
            "floor": [one.as_json() for one in floors],
        }
    return Measured(figures=figures, counts=counts, rounds=rounds)


def _figures(rate: int, floors: list[Round], doctors: list[Round]) -> list[Figure]:
    def figure(name: str, title: str, unit: str, of: Callable[[Iterable[Round]], float]) -> Figure:
        whole = f"POST to webhook at {rate:,}/s, {title}"
        value, floor = round(of(doctors), 3), round(of(floors), 3)
        return Figure(name=f"latency.{rate}.{name}", title=whole, value=value, floor=floor, unit=unit)

    return [
        figure("p50", "median", "ms", lambda rounds: min(one.told_ms.p50 for one in rounds)),
        figure("p99", "p99", "ms", lambda rounds: min(one.told_ms.p99 for one in rounds)),
        figure("max", "worst of all rounds", "ms", lambda rounds: max(one.told_ms.max for one in rounds)),
        figure("cpu", "processor per event", "us", lambda rounds: min(one.cpu_us for one in rounds)),
    ]


def _floor(stage: Stage, plan: Plan) -> list[Round]:
    with stage.receiver(len(OWNERS)) as receiver:
        ports = receiver.started["ports"]
        with stage.floor(durable=True, consumers=ports, machines=MACHINES // len(OWNERS)) as floor:
            return _rounds(stage, plan, floor, receiver)


def _doctor(stage: Stage, plan: Plan) -> list[Round]:
    with stage.receiver(len(OWNERS)) as receiver, stage.doctor() as doctor:
        put_map(doctor, hosts_and_machines(20, MACHINES, OWNERS))
        subscribe(doctor, OWNERS, receiver.started["ports"])
        return _rounds(stage, plan, doctor, receiver)


def _rounds(stage: Stage, plan: Plan, server: Doctor | Helper, receiver: Helper) -> list[Round]:
    with loaded(stage, server, connections=CONNECTIONS, precise=True) as load:
        _run(Plan(min(plan.rate, 500), 4 * EVERY), load.run, receiver)  # warms up code and connections
        return [_run(plan, load.run, receiver) for _ in range(plan.rounds)]


def _run(plan: Plan, order: Any, receiver: Helper) -> Round:
    answer = order("outages", rate=plan.rate, count=plan.count, every=EVERY, host=HOST)
    due = dict(answer["marks"])
    wanted = len(due) * len(OWNERS)
    came = receiver.ask("expect", count=wanted, seconds=PATIENCE)["told"]
    took = times(due, came, machines=MACHINES // len(OWNERS))
    accepted = answer["statuses"] == {"202": plan.count}
    return Round(
        told_ms=spread(took or [0], unit=1e6),
        answered_ms=answer["answered_ms"],
        late_ms=answer["late_ms"],
        cpu_us=round(answer["cpu_seconds"] / plan.count * 1e6, 1),
        wanted=wanted,
        told=len(took) if accepted and len(took) == len(came) else 0,
    )


def times(due: dict[str, int], came: list[list[Any]], *, machines: int) -> list[int]:
    """Return how long each notification took; what nobody sent, comes twice or is not whole does not count."""
    seen: Counter[tuple[int, str]] = Counter()
    took = []
    for when, consumer, what, told_of, _ in came:
        seen[consumer, what] += 1
        if what in due and told_of == machines and seen[consumer, what] == 1:
            took.append(when - due[what])
    return took
