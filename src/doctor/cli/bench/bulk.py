"""Bulk: a thousand events in each request, with auth, limits and policy, answered when durable."""

from doctor.cli.bench.rates import Asked, Work, compare
from doctor.cli.bench.result import Measured
from doctor.cli.bench.stage import Stage

ABOUT = "bulk requests of 1,000 events"
SECONDS = 30
SIZE = 1_000

ASKED = (
    Asked(
        "bulk.per_core", "bulk of 1,000, events per core", "ev/s", lambda one: round(one.per_core), "higher"
    ),
    Asked("bulk.cpu", "bulk of 1,000, processor per event", "us", lambda one: one.cpu_us),
    Asked("bulk.rate", "bulk of 1,000, events on this machine", "ev/s", lambda one: one.rate, "higher"),
    Asked("bulk.p50", "bulk of 1,000, answer under full load, median", "ms", lambda one: one.p50_ms),
)


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
    return compare(stage, work, ASKED)
