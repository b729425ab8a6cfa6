"""How fast a server takes what comes as fast as it can take it: rounds in turn with the floor, and the best of them."""

from collections.abc import Callable, Sequence
from typing import Any, Literal, NamedTuple

import msgspec

from doctor.cli.bench.processes import Doctor, Helper
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import CONNECTIONS, Stage, hosts_and_machines, loaded, put_map


class Rate(NamedTuple):
    """What one server made of one round."""

    sent: int
    accepted: int
    rate: float
    cpu_us: float
    p50_ms: float
    p99_ms: float

    @property
    def per_core(self) -> float:
        """Return how many a second the processor time of one core would do."""
        return 1e6 / self.cpu_us if self.cpu_us else 0.0


class Asked(NamedTuple):
    """A figure that is asked for: what of a round it is, and whether more of it is better."""

    name: str
    title: str
    unit: str
    of: Callable[[Rate], float]
    better: Literal["lower", "higher"] = "lower"


class Rounds(NamedTuple):
    """The rounds of one server."""

    all: Sequence[Rate]

    def best(self, asked: Asked) -> float:
        """Return the best that one round made."""
        return (max if asked.better == "higher" else min)(asked.of(one) for one in self.all)

    @property
    def taken(self) -> tuple[int, int]:
        """Return how many events were sent, and how many of them were accepted."""
        return sum(one.sent for one in self.all), sum(one.accepted for one in self.all)

    def as_json(self) -> list[dict[str, float]]:
        """Return all rounds for a program."""
        return [{**one._asdict(), "per_core": round(one.per_core)} for one in self.all]


class Work(msgspec.Struct, frozen=True):
    """What to order: a warm-up, then rounds of so many requests on each server that is started for it.

    Many short rounds, of which the best counts: on a machine with other work one of them may be left in peace.
    ``size`` is the number of events in each request.
    """

    order: str
    warm_up: int
    count: int
    rounds: int
    size: int = 1
    connections: int = CONNECTIONS

    def arguments(self, count: int) -> dict[str, Any]:
        """Return the arguments of the order."""
        return {"count": count} if self.size == 1 else {"count": count, "size": self.size}


def compare(stage: Stage, work: Work, asked: Sequence[Asked]) -> Measured:
    """Measure the figures that are asked for, each beside that of the durable floor."""
    floor, doctor = _take_turns(stage, work, stage.choose(3, 1))
    return Measured(
        figures=[
            Figure(
                name=one.name,
                title=one.title,
                value=doctor.best(one),
                unit=one.unit,
                better=one.better,
                floor=floor.best(one),
            )
            for one in asked
        ],
        counts={"events accepted": doctor.taken, "events accepted by the floor": floor.taken},
        rounds={"doctor": doctor.as_json(), "floor": floor.as_json()},
    )


def _take_turns(stage: Stage, work: Work, turns: int) -> tuple[Rounds, Rounds]:
    """Let the durable floor and a Doctor do the work in turns; return the rounds of both."""
    floors: list[Rate] = []
    doctors: list[Rate] = []
    for number in range(turns):
        stage.tell(f"  turn {number + 1} of {turns}")
        with stage.floor(durable=True) as floor:
            floors += _rounds(stage, floor, work)
        with stage.doctor() as doctor:
            put_map(doctor, hosts_and_machines(100, 10, ["red", "blue"]))
            doctors += _rounds(stage, doctor, work)
    return Rounds(floors), Rounds(doctors)


def _rounds(stage: Stage, server: Doctor | Helper, work: Work) -> list[Rate]:
    with loaded(stage, server, connections=work.connections) as load:
        load.run(work.order, **work.arguments(work.warm_up))
        return [_rate(work, load.run(work.order, **work.arguments(work.count))) for _ in range(work.rounds)]


def _rate(work: Work, answer: dict[str, Any]) -> Rate:
    sent = answer["sent"]
    return Rate(
        sent=sent,
        accepted=answer["accepted"] if answer["statuses"] == {"202": work.count} else 0,
        rate=round(sent / answer["seconds"]),
        cpu_us=round(answer["cpu_seconds"] / sent * 1e6, 3),
        p50_ms=answer["answered_ms"]["p50"],
        p99_ms=answer["answered_ms"]["p99"],
    )
