"""How the settings of a driver are read: plain data from YAML becomes the driver's own type.

Whatever is wrong is a ValueError that begins with the path of the place.
"""

from collections.abc import Mapping
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from doctor.kit.times import parse_duration

T = TypeVar("T")


def mapping(given: Any, path: str) -> Mapping[str, Any]:
    """Return what should be a mapping.

    Raises:
        ValueError: it is none.
    """
    if not isinstance(given, Mapping):
        raise ValueError(f"{path}: expected a mapping, got {type(given).__name__}")
    return given


def convert(
    settings: Mapping[str, Any], kind: type[T], path: str = "", *, durations: Mapping[str, timedelta] = {}
) -> T:
    """Turn plain data into a settings type.

    ``durations`` names the settings that may be written in all the ways of `parse_duration`, with the least of each.

    Raises:
        ValueError: something is wrong; the message begins with the path of the place.
    """
    parsed = dict(settings)
    for name in durations.keys() & parsed.keys():
        parsed[name] = duration(parsed[name], path + name, least=durations[name])
    try:
        return msgspec.convert(parsed, kind, dec_hook=_path)
    except msgspec.ValidationError as error:
        raise ValueError(where_first(str(error), path)) from None


def _path(kind: type, value: Any) -> Any:
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    raise ValueError(f"Expected the name of a file, got {value!r}")


def duration(value: Any, path: str, *, least: timedelta) -> timedelta:
    """Read a duration.

    Raises:
        ValueError: it is none, or too short; the message begins with the path.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{path}: expected a duration, got {type(value).__name__}")
    try:
        read = parse_duration(value)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from None
    if read < least:
        raise ValueError(f"{path}: must be at least {least.total_seconds():g} s")
    return read


def where_first(message: str, path: str = "") -> str:
    """Turn msgspec's ``what is wrong - at `$.where` `` into ``where: what is wrong``, below a path."""
    what, _, where = message.partition(" - at `$")
    place = (path + where.rstrip("`").lstrip(".")).rstrip(".")
    return f"{place}: {what}" if place else what
