"""Who did what at which virtual second: for people who replay a seed, and to tell two runs apart."""

from collections.abc import Callable
from hashlib import sha256
from typing import Any, NamedTuple


class Line(NamedTuple):
    """One thing that happened. The ``tick`` orders what happened in the same second."""

    second: float
    who: str
    what: str
    details: tuple[Any, ...]

    def __str__(self) -> str:
        details = " ".join(str(one) for one in self.details)
        return f"{self.second:11.4f}  {self.who:<14} {self.what} {details}".rstrip()


class Trace:
    """What happened, in order."""

    def __init__(self, time: Callable[[], float]) -> None:
        self.lines: list[Line] = []
        self._time = time

    def note(self, who: str, what: str, *details: Any) -> int:
        """Write a line; returns its number, which orders what happened."""
        self.lines.append(Line(self._time(), who, what, details))
        return len(self.lines)

    @property
    def tick(self) -> int:
        """Return how much has happened: a clock that never stands still while something does."""
        return len(self.lines)

    def fingerprint(self) -> str:
        """Return a hash of all that happened."""
        digest = sha256()
        for line in self.lines:
            digest.update(repr(tuple(line)).encode())
        return digest.hexdigest()
