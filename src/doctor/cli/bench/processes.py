"""The processes of the bench: Doctor itself and those that help, each held by its own handle until it is stopped."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any, Self

from doctor.cli.bench.machine import cpu_seconds, resident_bytes
from doctor.cli.bench.result import BenchError
from doctor.cli.demo.hosts import free_port
from doctor.cli.demo.processes import start_doctor, stop, tail
from doctor.client.errors import Unreachable
from doctor.client.http import Client

PATIENCE = 30.0  # seconds for anything that has no time of its own
LOOK_EVERY = 0.002

Answer = dict[str, Any]


class Helper:
    """A process that takes orders and answers each (see `orders`)."""

    def __init__(self, module: str, words: Sequence[str], log: Path, *, patience: float = PATIENCE) -> None:
        self._name = module
        self._log = log
        self._answers: SimpleQueue[bytes] = SimpleQueue()
        with log.open("wb") as errors:
            self._process = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, "-m", f"doctor.cli.bench.{module}", *words],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        threading.Thread(target=self._read, daemon=True).start()
        try:
            self.started = self._answer(patience)
        except BaseException:
            self.stop()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def _read(self) -> None:
        for line in self._process.stdout or ():
            self._answers.put(line)
        self._answers.put(b"")

    def ask(self, order: str, *, patience: float = PATIENCE, **arguments: Any) -> Answer:
        """Give an order and return its answer.

        Raises:
            BenchError: it failed, took too long, or the process has ended.
        """
        line = json.dumps({"order": order, **arguments}) + "\n"
        if self._process.stdin is not None:
            with suppress(OSError):  # it has ended, and its log says why
                self._process.stdin.write(line.encode())
                self._process.stdin.flush()
        return self._answer(patience)

    def _answer(self, patience: float) -> Answer:
        try:
            line = self._answers.get(timeout=patience)
        except Empty:
            raise BenchError(f"{self._name}: no answer within {patience:.0f} s") from None
        if not line:
            raise BenchError(f"{self._name} ended too early: {tail(self._log)}")
        answer: Answer = json.loads(line)
        if "failed" in answer:
            raise BenchError(f"{self._name}: {answer['failed']}")
        return answer

    @property
    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used."""
        return cpu_seconds(self._process.pid)

    def stop(self) -> None:
        """End the process."""
        stop(self._process)
        if self._process.stdout is not None and not self._process.stdout.closed:
            self._process.stdout.close()


class Doctor:
    """A Doctor as it ships, with its state in a folder, started as everybody starts it."""

    def __init__(self, folder: Path) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._log = folder / "doctor.log"
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        settings = folder / "doctor.yaml"
        document = {
            "listen": f"127.0.0.1:{self.port}",
            "data": str(folder / "data"),
            "log": {"format": "json"},
        }
        settings.write_text(json.dumps(document))  # JSON is YAML
        began = time.monotonic()
        self._process = start_doctor(settings, self._log)
        try:
            self._wait()
            self.start_seconds = time.monotonic() - began
            self.token = (folder / "data" / "admin.token").read_text().strip()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> None:
        end = time.monotonic() + PATIENCE
        with Client(self.url) as anybody:
            while True:
                try:
                    anybody.get("/healthz")
                    return
                except Unreachable:
                    if self._process.poll() is not None or time.monotonic() > end:
                        raise BenchError(f"Doctor did not start: {tail(self._log)}") from None
                    time.sleep(LOOK_EVERY)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()

    def client(self, token: str | None = None) -> Client:
        """Return a client, of the Administrator unless another token is given."""
        return Client(self.url, token or self.token, timeout=PATIENCE)

    @property
    def pid(self) -> int:
        """Return the id of the process."""
        return self._process.pid

    @property
    def cpu_seconds(self) -> float:
        """Return the processor time that the process has used."""
        return cpu_seconds(self._process.pid)

    @property
    def resident_bytes(self) -> int:
        """Return how much memory the process has in use."""
        return resident_bytes(self._process.pid)

    def stop(self) -> None:
        """End the process in good order."""
        stop(self._process)
