"""Programs on loopback, each with a folder of its own; among them those that play a device."""

import subprocess
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self


class Program(ABC):
    """One program; ``log`` in its folder has what it complained about."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None
        folder.mkdir(parents=True, exist_ok=True)

    @abstractmethod
    def start(self) -> None:
        """Start it, and wait until it answers."""

    def _launch(self, *command: str, **how: Any) -> None:
        with (self.folder / "log").open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603 - our own words, no shell
                command,
                stdin=subprocess.PIPE,  # some leave when their standard input ends
                stdout=log,
                stderr=log,
                **how,
            )

    def _wait(self, answers: Callable[[], bool]) -> None:
        assert self._process is not None
        end = time.monotonic() + 20
        while not answers():
            if time.monotonic() > end or self._process.poll() is not None:
                raise RuntimeError(f"it does not start: {(self.folder / 'log').read_text()[-2000:]}")
            time.sleep(0.01)

    def stop(self) -> None:
        """End it."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def restart(self) -> None:
        """Start it anew: it knows nothing of before."""
        self.stop()
        self.start()

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *details: object) -> None:
        self.stop()


class Simulator(Program):
    """One device. ``commands`` in its folder has what it was told."""

    @property
    @abstractmethod
    def is_on(self) -> bool:
        """The truth about what it switches."""

    @abstractmethod
    def put(self, *, on: bool) -> None:
        """Press the button of the host."""

    @property
    def commands(self) -> list[str]:
        """What the device was told, in order."""
        return (self.folder / "commands").read_text().splitlines()
