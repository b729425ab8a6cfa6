"""Single events: one in each request, 64 connections, with auth and policy, answered when durable."""

from doctor.cli.bench.rates import Work, take_turns
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage

ABOUT = "single events over 64 connections"
SECONDS = 40


def measure(stage: Stage) -> Measured:
    """Measure how many single events a second are answered, and what each costs the processor."""
    work = Work(
        "singles",
        warm_up=stage.choose(4_000, 500),
        count=stage.choose(4_000, 1_000),
        rounds=stage.choose(6, 2),
    )
    floor, doctor = take_turns(stage, work, stage.choose(3, 1))
    return Measured(
        figures=[
            Figure(
                name="single.per_core",
                title="single events, per core",
                value=round(doctor.best(lambda one: one.per_core)),
                unit="req/s",
                better="higher",
                floor=round(floor.best(lambda one: one.per_core)),
            ),
            Figure(
                name="single.cpu",
                title="single events, processor per request",
                value=doctor.best(lambda one: one.cpu_us, better=min),
                unit="us",
                floor=floor.best(lambda one: one.cpu_us, better=min),
            ),
            Figure(
                name="single.durable",
                title="single events, answered on this machine",
                value=doctor.best(lambda one: one.rate),
                unit="req/s",
                better="higher",
                floor=floor.best(lambda one: one.rate),
            ),
            Figure(
                name="single.p50",
                title="single events, answer under full load, median",
                value=doctor.best(lambda one: one.p50_ms, better=min),
                unit="ms",
                floor=floor.best(lambda one: one.p50_ms, better=min),
            ),
            Figure(
                name="single.p99",
                title="single events, answer under full load, p99",
                value=doctor.best(lambda one: one.p99_ms, better=min),
                unit="ms",
                floor=floor.best(lambda one: one.p99_ms, better=min),
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
