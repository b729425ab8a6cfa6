"""One run of the bench: the measurements one after the other, each with processes of its own."""

import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType

from doctor.cli.bench import bulk, floors, growth, latency, maintenance, resource_map, single, start, storm
from doctor.cli.bench.machine import Elsewhere, machine, versions
from doctor.cli.bench.result import BenchError, Result
from doctor.cli.bench.stage import Stage
from doctor.client.errors import ClientError
from doctor.kit.times import rfc3339

MEASUREMENTS: dict[str, ModuleType] = {
    "floors": floors,
    "single": single,
    "bulk": bulk,
    "latency": latency,
    "storm": storm,
    "growth": growth,
    "maintenance": maintenance,
    "map": resource_map,
    "start": start,
}
ON_DISK = Path("/var/tmp")  # noqa: S108 - /tmp may be memory, where a commit costs nothing


def run(names: Sequence[str], *, quick: bool, tell: Callable[[str], None], folder: Path | None) -> Result:
    """Measure what is asked for. What goes wrong is in the result, beside what went well."""
    parent = folder or (ON_DISK if ON_DISK.is_dir() else None)
    began = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="doctor-bench-", dir=parent) as made, ExitStack() as stack:
        place = Path(made).resolve()
        if sys.dont_write_bytecode and not quick:
            stack.enter_context(_bytecode(place / "bytecode"))
        result = Result(
            started=rfc3339(datetime.now(UTC)), quick=quick, machine=machine(place), versions=versions()
        )
        stage = Stage(place, tell, quick=quick)
        for number, name in enumerate(names, 1):
            measurement = MEASUREMENTS[name]
            takes = "" if quick else f", about {measurement.SECONDS} s"
            tell(f"[{number}/{len(names)}] {name}: {measurement.ABOUT}{takes}")
            _measure(name, measurement, stage, result)
        result.took_s = time.monotonic() - began
    return result


@contextmanager
def _bytecode(folder: Path) -> Iterator[None]:
    """Let processes keep their compiled modules: an installed Doctor has them, and need not compile at each start."""
    before = dict(os.environ)
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    os.environ["PYTHONPYCACHEPREFIX"] = str(folder)
    try:
        yield
    finally:
        os.environ.clear()
        os.environ.update(before)


def _measure(name: str, measurement: ModuleType, stage: Stage, result: Result) -> None:
    elsewhere = Elsewhere()
    try:
        with elsewhere:
            measured = measurement.measure(stage)
    except (BenchError, ClientError, OSError) as error:
        result.errors.append(f"{name}: {error}")
        return
    result.measured[name] = measured
    result.elsewhere[name] = elsewhere.percent
    result.errors += [f"{name}: {loss}" for loss in measured.losses]
