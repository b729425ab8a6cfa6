"""Durations in requests."""

from datetime import timedelta
from typing import Annotated

import msgspec

from doctor.kit.times import parse_duration
from doctor.model.errors import Flaw

Duration = Annotated[str, msgspec.Meta(max_length=40)] | float

LONGEST = timedelta(days=1)


def duration_in(
    given: str | float,
    pointer: str,
    flaws: list[Flaw],
    least: timedelta = timedelta(0),
    most: timedelta = LONGEST,
) -> timedelta:
    """Read a duration; what is wrong with it is added to ``flaws``."""
    try:
        found = parse_duration(given)
    except (ValueError, OverflowError) as error:
        flaws.append(Flaw(pointer, str(error)))
        return least
    if not least <= found <= most:
        longest = "a day" if most == LONGEST else f"{most.total_seconds():g} s"
        flaws.append(Flaw(pointer, f"is between {least.total_seconds():g} s and {longest}"))
    return found
