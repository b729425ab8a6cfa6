"""From nothing to an answer: how long a Doctor takes to start, and how much memory it begins with."""

from statistics import median

from doctor.cli.bench.processes import Doctor
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage

ABOUT = "the start of the service"
SECONDS = 10


def measure(stage: Stage) -> Measured:
    """Start a Doctor several times, in new folders and again in the same one; the very first start does not count."""
    times = stage.choose(5, 1)
    if not stage.quick:
        stage.doctor().stop()
    first: list[float] = []
    again: list[float] = []
    memory = []
    for _ in range(times):
        folder = stage.place("start")
        for took in (first, again):
            with Doctor(folder) as doctor:
                took.append(round(doctor.start_seconds, 3))
                memory.append(round(doctor.resident_bytes / 2**20, 1))
    return Measured(
        figures=[
            Figure(
                name="start.first", title="first start to /healthz, median", value=median(first), unit="s"
            ),
            Figure(name="start.again", title="start to /healthz, median", value=median(again), unit="s"),
            Figure(name="start.memory", title="memory after the start", value=median(memory), unit="MB"),
        ],
        counts={"starts": (2 * times, len(first) + len(again))},
        rounds={"first_s": first, "again_s": again, "memory_mb": memory},
    )
