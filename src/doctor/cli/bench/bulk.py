"""Bulk: a thousand events in each request, with auth, limits and policy, answered when durable."""

from doctor.cli.bench.rates import Work, take_turns
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage

ABOUT = "bulk requests of 1,000 events"
SECONDS = 30
SIZE = 1_000


def measure(stage: Stage) -> Measured:
    """Measure how many events a second are taken in bulk, and what each costs the processor."""
    work = Work(
        "bulks",
        warm_up=stage.choose(20, 2),
        count=stage.choose(40, 5),
        rounds=stage.choose(6, 2),
        size=SIZE,
        connections=4,
    )
    floor, doctor = take_turns(stage, work, stage.choose(3, 1))
    return Measured(
        figures=[
            Figure(
                name="bulk.per_core",
                title="bulk of 1,000, events per core",
                value=round(doctor.best(lambda one: one.per_core)),
                unit="ev/s",
                better="higher",
                floor=round(floor.best(lambda one: one.per_core)),
            ),
            Figure(
                name="bulk.cpu",
                title="bulk of 1,000, processor per event",
                value=doctor.best(lambda one: one.cpu_us, better=min),
                unit="us",
                floor=floor.best(lambda one: one.cpu_us, better=min),
            ),
            Figure(
                name="bulk.rate",
                title="bulk of 1,000, events on this machine",
                value=doctor.best(lambda one: one.rate),
                unit="ev/s",
                better="higher",
                floor=floor.best(lambda one: one.rate),
            ),
            Figure(
                name="bulk.p50",
                title="bulk of 1,000, answer under full load, median",
                value=doctor.best(lambda one: one.p50_ms, better=min),
                unit="ms",
                floor=floor.best(lambda one: one.p50_ms, better=min),
            ),
        ],
        counts={
            "events accepted": (sum(one.sent for one in doctor.all), sum(one.accepted for one in doctor.all)),
            "events accepted by the floor": (
                sum(one.sent for one in floor.all),
                sum(one.accepted for one in floor.all),
            ),
        },
        rounds={"doctor": doctor.as_json(), "floor": floor.as_json()},
    )
