"""Durations as people type them."""

from datetime import timedelta

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


def duration_of(text: str, *, option: str = "--for") -> timedelta:
    """Read a duration: 45s, 30m, 2h, 1d, seconds, or ISO 8601.

    Raises:
        BadParameter: it is none.
    """
    from doctor.kit.times import parse_duration

    try:
        if text[-1:] in UNITS:
            return parse_duration(text[:-1]) * UNITS[text[-1]]
        return parse_duration(text)
    except (ValueError, OverflowError):
        raise click.BadParameter(f"{text!r} is no duration: write 30m, 2h or 1d", param_hint=option) from None
