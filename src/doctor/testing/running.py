"""A real Doctor as a process of its own, for tests that kill, restart and ask it."""

import contextlib
import os
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path
from typing import Any, Self

import yaml

PATIENCE = 60.0  # seconds for a start; most take one


class RunningDoctor:
    """A Doctor process on loopback. It can be killed and started again on the same state."""

    program = ("-m", "doctor")  # what Python runs; a test may plant a bug

    def __init__(self, folder: Path, **settings: Any) -> None:
        self.folder = folder
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.process: subprocess.Popen[bytes] | None = None
        self._settings = folder / "doctor.yaml"
        folder.mkdir(parents=True, exist_ok=True)
        document = {"listen": f"127.0.0.1:{self.port}", "data": str(folder / "state"), **settings}
        self._settings.write_text(yaml.safe_dump(document))
        self.log = folder / "doctor.log"

    @property
    def token(self) -> str:
        """Return the admin token."""
        return (self.folder / "state" / "admin.token").read_text().strip()

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers of a request as admin."""
        return {"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"}

    def start(self) -> float:
        """Start the process, and return how many seconds it took until it answered."""
        begun = time.monotonic()
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(  # noqa: S603 - ourselves
                [sys.executable, *self.program, "serve", "--config", str(self._settings)],
                env={**os.environ, "PYTHONDONTWRITEBYTECODE": ""},  # a start is quick from the second on
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
            )
        while not self.is_alive():
            if self.process.poll() is not None:
                raise RuntimeError(f"Doctor did not start:\n{self.log.read_text()[-2000:]}")
            if time.monotonic() - begun > PATIENCE:
                raise RuntimeError("Doctor does not answer")
            time.sleep(0.01)
        return time.monotonic() - begun

    def is_alive(self) -> bool:
        """Tell whether it answers."""
        with contextlib.suppress(OSError), urllib.request.urlopen(f"{self.url}/healthz", timeout=1) as answer:  # noqa: S310
            return bool(answer.status == 200)
        return False

    def kill(self) -> None:
        """Kill it as a power cut would: no time for anything."""
        assert self.process is not None
        self.process.kill()
        self.process.wait()

    def stop(self) -> None:
        """End it in good order."""
        if self.process is not None and self.process.poll() is None:
            self.process.terminate()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.kill()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()


def free_port() -> int:
    """Return a port of loopback that nobody uses at the moment.

    It is closed as one that was just spoken through (TIME_WAIT): for a minute the kernel gives it to nobody who takes
    any, while a server that names it gets it.
    """
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        probe.bind(("127.0.0.1", 0))
        probe.listen(1)
        port: int = probe.getsockname()[1]
        with socket.create_connection(("127.0.0.1", port)):
            probe.accept()[0].close()
        return port
