"""What waits to be reported, and is not lost while Doctor is away.

Of reports on the same thing the first and the latest wait; what came in between is folded into the latest, and counted. So
a link that flaps a thousand times costs two. Only a bounded number waits: beyond it the oldest are dropped, and it is said
how many.
"""

import itertools
import os
from collections import Counter
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import msgspec

from doctor.agent.log import log
from doctor.agent.report import Report

BURST = 3  # reports on the same thing that go at once; then
PER_SECOND = 1.0
DROPPED = "agent.events.dropped"  # no rule of the policy that ships names it: it is kept and counted
FOLDED = "folded"

_encode = msgspec.json.Encoder().encode
_decoder = msgspec.json.Decoder(Report)

Key = tuple[str, str, str]


class Allowance:
    """How many reports on one thing may go now."""

    __slots__ = ("_left", "_since")

    def __init__(self, now: float) -> None:
        self._left = float(BURST)
        self._since = now

    def take(self, now: float) -> bool:
        """Take one, if there is one."""
        self._left = min(self._left + (now - self._since) * PER_SECOND, BURST)
        self._since = now
        if self._left < 1.0:
            return False
        self._left -= 1.0
        return True

    def is_full(self, now: float) -> bool:
        """Tell whether it is as good as new."""
        return self._left + (now - self._since) * PER_SECOND >= BURST


class Spool:
    """The reports that wait, in order. It is not for several threads at once."""

    def __init__(self, host: str, most: int) -> None:
        self._host = host
        self._most = most
        self._serials = itertools.count(1)
        self._waiting: dict[int, Report] = {}
        self._by_key: dict[Key, list[int]] = {}
        self._allowances: dict[Key, Allowance] = {}
        self._taken: set[int] = set()
        self._dropped: Counter[str] = Counter()
        self.version = 0  # grows with each change

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def reports(self) -> list[Report]:
        """Return all that waits, in order."""
        return list(self._waiting.values())

    def add(self, report: Report) -> None:
        """Let a report wait for its turn."""
        self.version += 1
        serials = self._by_key.setdefault(report.key, [])
        latest = serials[-1] if len(serials) > 1 else None
        if latest is not None and latest not in self._taken:
            folded = self._waiting.pop(latest).details.get(FOLDED, 0) + 1
            serials.pop()
            report = msgspec.structs.replace(report, details={**report.details, FOLDED: folded})
        serial = next(self._serials)
        serials.append(serial)
        self._waiting[serial] = report
        if len(self._waiting) > self._most and report.type != DROPPED:
            self._drop()

    def _drop(self) -> None:
        oldest = next((serial for serial in self._waiting if serial not in self._taken), None)
        if oldest is not None:
            self._dropped[self._waiting[oldest].type] += 1
            self._remove(oldest)

    def take(self, most: int, now: float) -> dict[int, Report]:
        """Return the next reports that may go now, by a number; until `done` or `put_back` they stay here."""
        if self._dropped:
            details = {
                "hostname": self._host,
                "source": f"agent@{self._host}",
                "dropped": dict(self._dropped),
            }
            self._dropped.clear()
            self.add(Report(time=datetime.now(UTC), type=DROPPED, details=details))
        found: dict[int, Report] = {}
        held: set[Key] = set()
        for serial, report in self._waiting.items():
            if len(found) >= most:
                break
            if serial in self._taken or report.key in held:
                continue
            allowance = self._allowances.setdefault(report.key, Allowance(now))
            if allowance.take(now):
                found[serial] = report
            else:
                held.add(report.key)  # nor those behind it: order is kept
        self._taken.update(found)
        if len(self._allowances) > self._most:
            self._allowances = {key: one for key, one in self._allowances.items() if not one.is_full(now)}
        return found

    def done(self, serials: Iterable[int]) -> None:
        """Forget reports: Doctor has them."""
        self.version += 1
        for serial in list(serials):
            self._remove(serial)

    def put_back(self, serials: Iterable[int]) -> None:
        """Let reports wait on: Doctor may not have them."""
        self._taken.difference_update(serials)

    def _remove(self, serial: int) -> None:
        self._taken.discard(serial)
        report = self._waiting.pop(serial, None)
        if report is not None:
            serials = self._by_key[report.key]
            serials.remove(serial)
            if not serials:
                del self._by_key[report.key]


def save(path: Path, reports: Iterable[Report]) -> None:
    """Write what waits to a file, whole, so that after a crash there is the old or the new.

    Raises:
        OSError: it cannot be written.
    """
    beside = path.with_suffix(".new")
    descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        for report in reports:
            file.write(_encode(report) + b"\n")
        file.flush()
        os.fsync(file.fileno())
    beside.replace(path)


def load(path: Path) -> list[Report]:
    """Read what waited when the agent ended; a line that is none is left out."""
    try:
        lines = path.read_bytes().splitlines()
    except FileNotFoundError:
        return []
    except OSError as error:
        log.warning("spool.unreadable", file=str(path), error=str(error))
        return []
    found: list[Report] = []
    for line in lines:
        try:
            found.append(_decoder.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError) as error:
            log.warning("spool.line_left_out", file=str(path), error=str(error))
    return found
