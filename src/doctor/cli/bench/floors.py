"""What the machine itself takes: a write to the disk, a commit of SQLite, a request and its answer."""

import os
import sqlite3
import time
from pathlib import Path

from doctor.cli.bench.percentiles import Spread, spread
from doctor.cli.bench.result import Figure, Measured
from doctor.cli.bench.stage import Stage, loaded

ABOUT = "the disk, SQLite and HTTP by themselves"
SECONDS = 15

REQUESTS = 100_000, 2_000  # in a full and in a quick run
BLOCK = b"\0" * 4096
ROW = b"\0" * 300


def measure(stage: Stage) -> Measured:
    """Measure the floors that everything else stands on."""
    times = stage.choose(2000, 50)
    python = round(min(_interpreted() for _ in range(stage.choose(300, 20))), 1)
    synced = _synced(stage.place("floor-file"), times)
    committed = _committed(stage.place("floor-rows.db"), times)
    rounds = [_http(stage) for _ in range(stage.choose(3, 1))]
    rate = max(one["rate"] for one in rounds)
    cpu = min(one["cpu_us"] for one in rounds)
    return Measured(
        figures=[
            Figure(name="floors.python", title="a fixed piece of Python, best", value=python, unit="us"),
            Figure(
                name="floors.fsync_p50",
                title="write and fdatasync 4 KiB, median",
                value=synced.p50,
                unit="ms",
            ),
            Figure(
                name="floors.fsync_p99", title="write and fdatasync 4 KiB, p99", value=synced.p99, unit="ms"
            ),
            Figure(
                name="floors.commit_p50",
                title="SQLite commit (WAL, FULL), median",
                value=committed.p50,
                unit="ms",
            ),
            Figure(
                name="floors.commit_p99",
                title="SQLite commit (WAL, FULL), p99",
                value=committed.p99,
                unit="ms",
            ),
            Figure(
                name="floors.http_rate",
                title="HTTP alone, 64 connections",
                value=rate,
                unit="req/s",
                better="higher",
            ),
            Figure(name="floors.http_cpu", title="HTTP alone, processor per request", value=cpu, unit="us"),
        ],
        counts={
            "requests": (stage.choose(*REQUESTS) * len(rounds), sum(int(one["accepted"]) for one in rounds))
        },
        rounds={"fsync_ms": synced.as_json(), "commit_ms": committed.as_json(), "http": rounds},
    )


def _interpreted() -> float:
    """Return the processor time of a piece of work that never changes: how fast this machine runs Python now."""
    start = time.thread_time_ns()
    found: dict[str, int] = {}
    for number in range(2_000):
        key = f"host-{number % 97}"
        found[key] = found.get(key, 0) + number
    return (time.thread_time_ns() - start) / 1000


def _synced(path: Path, times: int) -> Spread:
    took = []
    file = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
    try:
        for index in range(times):
            start = time.perf_counter_ns()
            os.pwrite(file, BLOCK, index % 256 * len(BLOCK))
            os.fdatasync(file)
            took.append(time.perf_counter_ns() - start)
    finally:
        os.close(file)
    return spread(took, unit=1e6)


def _committed(path: Path, times: int) -> Spread:
    took = []
    connection = sqlite3.connect(path, isolation_level=None)
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("CREATE TABLE rows (id INTEGER PRIMARY KEY, body BLOB)")
        for _ in range(times):
            start = time.perf_counter_ns()
            connection.execute("INSERT INTO rows (body) VALUES (?)", (ROW,))
            took.append(time.perf_counter_ns() - start)
    finally:
        connection.close()
    return spread(took, unit=1e6)


def _http(stage: Stage) -> dict[str, float]:
    count = stage.choose(*REQUESTS)
    with stage.floor(durable=False) as floor, loaded(stage, floor) as load:
        load.run("singles", count=count // 10)
        answer = load.run("singles", count=count)
    return {
        "accepted": answer["accepted"],
        "rate": round(count / answer["seconds"]),
        "cpu_us": round(answer["cpu_seconds"] / count * 1e6, 2),
    }
