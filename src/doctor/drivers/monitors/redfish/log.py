"""The logs of a service: what is new in them, and what it means.

A log wraps, is cleared, and its numbers begin anew: an entry is known by all that it says. What was in it when it is read
first is history: its times are those of a clock that nobody has to have set, so nothing tells how old it is.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from doctor.drivers.monitors.bmc.findings import (
    CPU_FAILURE,
    DISK_AGING,
    DISK_CRASH,
    LOGGED,
    MAINBOARD_FAILURE,
    MEMORY_FAILURE,
    OS_CRASH,
    Finding,
    Record,
    printable,
)
from doctor.model.fault import Severity

SEVERITIES = {"Warning": Severity.WARNING, "Critical": Severity.CRITICAL}

# By the words of the schema LogEntry. What sensors show besides is told by them, and ends by them.
OF_SENSORS = {
    "Memory": MEMORY_FAILURE,
    "Processor": CPU_FAILURE,
    "Drive Slot/Bay": DISK_CRASH,
    "Critical Interrupt": MAINBOARD_FAILURE,
    "OS Critical Stop": OS_CRASH,
}
# By DMTF's registry StorageDevice: the message that begins, and the one that ends.
OF_MESSAGES = {
    "DriveFailure": (DISK_CRASH, False),
    "DriveFailureCleared": (DISK_CRASH, True),
    "DrivePredictiveFailure": (DISK_AGING, False),
    "DrivePredictiveFailureCleared": (DISK_AGING, True),
}

Entry = Mapping[str, Any]


class News(NamedTuple):
    """What is new in a log, and how many entries were gone before anybody had read them."""

    entries: Sequence[Entry]
    lost: int = 0


class LogReader:
    """What is known of one log."""

    def __init__(self) -> None:
        self._known: set[tuple[str, ...]] | None = None
        self._last = 0

    def read(self, entries: Sequence[Entry]) -> News:
        """Take all that is in it, and return what is new."""
        found = {_key(one): one for one in entries}
        numbers = [int(one) for key in found if (one := key[0]).isdecimal() and len(one) < 19]
        known, last = self._known, self._last
        self._known, self._last = set(found), max(numbers, default=0)
        if known is None:
            return News(())
        fresh = [one for key, one in found.items() if key not in known]
        unseen = min((number for number in numbers if number > last), default=last + 1) - last - 1
        has_gone_round = bool(known) and not known & set(found)
        return News(fresh, unseen if has_gone_round else 0)


def records(entries: Sequence[Entry]) -> Iterator[Record]:
    """Return what entries mean. One that is neither a warning nor worse, nor the end of one, is none of our business."""
    for entry in entries:
        kind, is_over = _kind(entry)
        severity = SEVERITIES.get(str(entry.get("Severity")))
        if severity is None and not is_over:
            continue
        said = printable(entry.get("Message") or entry.get("MessageId") or "something is in the log", 300)
        details = {"message_id": printable(entry.get("MessageId") or ""), "message": said}
        yield Record(
            Finding(kind, f"log {_subject(entry)}", severity or Severity.WARNING, said, details), is_over
        )


def _kind(entry: Entry) -> tuple[str, bool]:
    registry, _, message = str(entry.get("MessageId") or "").partition(".")
    if registry == "StorageDevice" and (named := OF_MESSAGES.get(message.rpartition(".")[2])):
        return named
    is_over = entry.get("Resolved") is True or str(entry.get("EntryCode")) == "Deassert"
    is_critical = entry.get("Severity") == "Critical" or is_over
    return (OF_SENSORS.get(str(entry.get("SensorType")), LOGGED) if is_critical else LOGGED), is_over


def _subject(entry: Entry) -> str:
    """Return what an entry is about, as the entry that ends it says too."""
    links = entry.get("Links")
    origin = links.get("OriginOfCondition") if isinstance(links, dict) else None
    path = origin.get("@odata.id") if isinstance(origin, dict) else None
    sensor = f"{entry.get('SensorType') or ''} {entry.get('SensorNumber', '')}"
    return printable(path or sensor) or printable(entry.get("MessageId") or "entry")


def _key(entry: Entry) -> tuple[str, ...]:
    parts = ("Id", "Created", "MessageId", "Message", "Severity", "EntryCode", "Resolved")
    return tuple(str(entry.get(part, "")) for part in parts)
