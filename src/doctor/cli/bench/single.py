"""Single events: one in each request, 64 connections, with auth and policy, answered when durable."""

from doctor.cli.bench.rates import Asked, Work, compare
from doctor.cli.bench.result import Measured
from doctor.cli.bench.stage import Stage

ABOUT = "single events over 64 connections"
SECONDS = 40

ASKED = (
    Asked("single.per_core", "single events, per core", "req/s", lambda one: round(one.per_core), "higher"),
    Asked("single.cpu", "single events, processor per request", "us", lambda one: one.cpu_us),
    Asked(
        "single.durable", "single events, answered on this machine", "req/s", lambda one: one.rate, "higher"
    ),
    Asked("single.p50", "single events, answer under full load, median", "ms", lambda one: one.p50_ms),
    Asked("single.p99", "single events, answer under full load, p99", "ms", lambda one: one.p99_ms),
)


def measure(stage: Stage) -> Measured:
    """Measure how many single events a second are answered, and what each costs the processor."""
    work = Work(
        "singles",
        warm_up=stage.choose(4_000, 500),
        count=stage.choose(4_000, 1_000),
        rounds=stage.choose(6, 2),
    )
    return compare(stage, work, ASKED)
