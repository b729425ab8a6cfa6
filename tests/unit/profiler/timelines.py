"""Timelines as tests write them: checkpoints in milliseconds after five past five."""

from datetime import UTC, datetime, timedelta

from doctor.model.checkpoint import Checkpoint, ConsumerTimeline, Timeline

START = datetime(2026, 3, 4, 5, 5, tzinfo=UTC)
USUAL = {
    "T0": 0.0,
    "T1": 300.0,
    "T2": 300.3,
    "T3": 300.4,
    "T4": 300.5,
    "T5": 302.0,
    "T6": 302.5,
    "T7": 303.5,
    "T8": 340.0,
    "R": 5000.0,
}


def at(ms: float) -> datetime:
    return START + timedelta(milliseconds=ms)


def ms(value: float) -> timedelta:
    return timedelta(milliseconds=value)


def timeline(stamps: dict[str, float] | None = None, *consumers: ConsumerTimeline, **more: float) -> Timeline:
    """Return a timeline; the usual one, or of the stamps given, and ``more`` of them."""
    chosen = (USUAL if stamps is None else stamps) | more
    return Timeline(
        fault_id="f1",
        fault_type="host down",
        resource_id="compute-1",
        checkpoints={Checkpoint(name): at(value) for name, value in chosen.items()},
        consumers=list(consumers),
    )


def consumer(
    name: str, received: float | None, *, told: float = 302.5, handled: float | None = None
) -> ConsumerTimeline:
    return ConsumerTimeline(
        subscription_id=name,
        notification_id=f"{name}-{received}",
        told=at(told),
        received=None if received is None else at(received),
        handled=None if handled is None else at(handled),
    )
