"""Times and durations as they are written at the doors (RFC 3339, ISO 8601)."""

import re
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec


def in_utc(time: datetime, zone: tzinfo = UTC) -> datetime:
    """Return the time in UTC; one without a zone was written in ``zone``."""
    if time.tzinfo is UTC:
        return time
    if time.tzinfo is None:
        time = time.replace(tzinfo=zone)
    return time.astimezone(UTC)


def parse_duration(value: str | float | int) -> timedelta:
    """Read a duration: seconds as a number or text, or ISO 8601 (``PT30M``).

    Raises:
        ValueError: it is neither, or it is negative.
    """
    if isinstance(value, str) and not re.fullmatch(r"\d+(\.\d+)?", value):
        try:
            duration = msgspec.convert(value, timedelta)
        except msgspec.ValidationError:
            raise ValueError(f"{value!r} is no duration: write seconds (30) or ISO 8601 (PT30S)") from None
    else:
        try:
            duration = timedelta(seconds=float(value))
        except (OverflowError, ValueError):
            raise ValueError(f"{value!r} is no duration: too large or not a number") from None
    if duration < timedelta(0):
        raise ValueError(f"{value!r} is negative: a duration is zero or more")
    return duration


def rfc3339(time: datetime) -> str:
    """Write a UTC time with microseconds."""
    return f"{time.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
