"""What the payloads of others are turned into events with: details that fit, words of severity that are known.

An alert is worth more than what is written around it: text that is too long is cut, and what is too much is left out.
"""

from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import msgspec

from doctor.kit.times import parse_duration
from doctor.model.fault import SEVERITY_WORDS, Severity

LONGEST_TEXT = 2048  # characters of one detail
MOST_NAMES = 48
MOST_DETAILS = 12 * 1024  # bytes of them all
CLEARED = Severity.CLEARED.perceived
CUT = " ..."
SILENT_AFTER = "doctor_silent_after"  # an annotation or a tag of a heartbeat: how many seconds it is good for

# A clock that says something earlier was never set: that of a BMC counts from 1970.
CLOCK_WAS_SET = datetime(2000, 1, 1, tzinfo=UTC)


def encoded(known: Mapping[str, Any], spare: Mapping[str, Mapping[str, str]]) -> bytes:
    """Return details as JSON: the ``known`` ones that say something, and of the ``spare`` ones as many as fit."""
    details = {name: _cut(value) for name, value in known.items() if value not in ("", None)}
    raw = msgspec.json.encode(details)
    for name, texts in spare.items():
        fitting = {key: _cut(text) for key, text in list(texts.items())[:MOST_NAMES]}
        more = msgspec.json.encode(details | {name: fitting}) if fitting else raw
        if len(more) <= MOST_DETAILS and fitting:
            details[name] = fitting
            raw = more
    return raw


def _cut(value: Any) -> Any:
    if isinstance(value, str) and len(value) > LONGEST_TEXT:
        return value[: LONGEST_TEXT - len(CUT)] + CUT
    return value


def severity_word(word: str) -> str:
    """Return how bad something is that stands, by its X.733 name; "" where the word is not known or means that it ended."""
    severity = SEVERITY_WORDS.get(word.strip().lower())
    return severity.perceived if severity else ""


def said_or_received(said: datetime | None, received: datetime) -> datetime:
    """Return the time that a source says; when it came, where no clock can have said so."""
    if said is None or said.tzinfo is None or said < CLOCK_WAS_SET:
        return received
    return said.astimezone(UTC)


def silent_at(seconds: str | None, received: datetime) -> datetime | None:
    """Return until when a heartbeat is good that says for how many seconds it is; None if it does not say."""
    try:
        return received + parse_duration(seconds) if seconds else None
    except (ValueError, OverflowError):
        return None


def without_port(name: str) -> str:
    """Return the host of ``host:port`` or ``[v6]:port``; any other name as it is."""
    host, colon, port = name.rpartition(":")
    if not colon or not port.isdigit() or (":" in host and not host.startswith("[")):
        return name.strip("[]")
    return host.strip("[]")
