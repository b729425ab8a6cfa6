"""The processes of the demonstration: each is started, listened to, and stopped by its own handle."""

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Line = dict[str, Any]


class DemoError(Exception):
    """The demonstration cannot go on; the sentence says why."""


class Talker:
    """A process that writes lines of JSON, and what it has written so far."""

    def __init__(self, words: Sequence[str], environment: dict[str, str], log: Path) -> None:
        self._log = log
        with log.open("wb") as errors:
            self.process = subprocess.Popen(  # noqa: S603 - our own programs
                [sys.executable, *words],
                env={**os.environ, **environment},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=errors,
            )
        self.lines: list[Line] = []
        self._news = threading.Condition()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for text in self.process.stdout:
            line = json.loads(text)
            with self._news:
                self.lines.append(line)
                self._news.notify_all()
        with self._news:
            self._news.notify_all()

    def wait_for(self, what: str, wanted: Callable[[Line], bool] = lambda _: True, *, seconds: float) -> Line:
        """Return the first line of a kind that is wanted, as soon as it is there.

        Raises:
            DemoError: it did not come in time, or the process ended.
        """
        end = time.monotonic() + seconds
        with self._news:
            while True:
                for line in self.lines:
                    if line["what"] == what and wanted(line):
                        return line
                left = end - time.monotonic()
                if left <= 0:
                    raise DemoError(f"waited {seconds:.0f} s in vain for {what!r}")
                if self.process.poll() is not None and not self._reader.is_alive():
                    raise DemoError(f"a process ended too early: {tail(self._log)}")
                self._news.wait(min(left, 0.5))

    def stop(self) -> None:
        """End the process: the end of its input tells it, a signal if it does not listen."""
        stop(self.process)


def start_doctor(settings: Path, log: Path) -> subprocess.Popen[bytes]:
    """Start a Doctor with these settings, logging to a file."""
    with log.open("wb") as output:
        return subprocess.Popen(  # noqa: S603 - ourselves
            [sys.executable, "-m", "doctor", "serve", "--config", str(settings)],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=output,
        )


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process in good order if it listens, and surely."""
    if process.stdin is not None:
        process.stdin.close()
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def tail(log: Path, lines: int = 5) -> str:
    """Return the end of a log, for an error message."""
    text = log.read_text(errors="replace").strip().splitlines()
    return "\n".join(text[-lines:]) or "it wrote nothing"
