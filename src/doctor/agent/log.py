"""What the agent writes to standard error: an event with fields, one line each."""

import json
import sys
import time
from typing import TextIO


class Log:
    """Writes lines. ``repeat`` lines of one kind come at a bounded rate."""

    def __init__(self, stream: TextIO | None = None, *, every: float = 60.0) -> None:
        self._stream = stream
        self._every = every
        self._next: dict[str, float] = {}

    def info(self, event: str, **fields: object) -> None:
        """Say what has happened."""
        self._write("info", event, fields)

    def warning(self, event: str, **fields: object) -> None:
        """Say what should not be."""
        self._write("warning", event, fields)

    def repeat(self, event: str, **fields: object) -> None:
        """Say what should not be and may come again and again: once in a while."""
        now = time.monotonic()
        if now >= self._next.get(event, 0.0):
            self._next[event] = now + self._every
            self._write("warning", event, fields)

    def _write(self, level: str, event: str, fields: dict[str, object]) -> None:
        said = " ".join(
            f"{name}={json.dumps(value, default=str, ensure_ascii=False)}" for name, value in fields.items()
        )
        now = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        print(f"{now} [{level}] {event} {said}".rstrip(), file=self._stream or sys.stderr, flush=True)


log = Log()
