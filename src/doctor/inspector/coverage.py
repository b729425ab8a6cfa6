"""Whether one condition surely holds whenever another does.

"Surely" is what can be seen from the words alone: a no means that it cannot be said.
"""

import math
from itertools import chain

from doctor.inspector.words import number_of
from doctor.kit.pattern import is_literal, pattern
from doctor.model.policy import Condition, Equals, Glob, Matcher, OneOf, Range


def covers(wide: Condition, narrow: Condition) -> bool:
    """Tell whether every event of the narrow condition surely meets the wide one."""
    return (
        names_cover(wide.type, narrow.type)
        and names_cover(wide.source, narrow.source)
        and names_cover(wide.resource, narrow.resource)
        and names_cover(wide.zone, narrow.zone)
        and (not wide.severity or (bool(narrow.severity) and narrow.severity <= wide.severity))
        and all(
            key in narrow.details and matcher_covers(matcher, narrow.details[key])
            for key, matcher in wide.details.items()
        )
    )


def names_cover(wide: tuple[str, ...], narrow: tuple[str, ...]) -> bool:
    """Tell whether whatever has one of the narrow names has one of the wide ones; no names are no restriction."""
    if not wide or not narrow:
        return not wide
    same = frozenset(wide)
    patterns = [pattern(name) for name in wide if not is_literal(name)]
    return all(
        name in same or "*" in same or (is_literal(name) and any(fits(name) for fits in patterns))
        for name in narrow
    )


def matcher_covers(wide: Matcher, narrow: Matcher) -> bool:
    """Tell whether every detail that the narrow matcher takes is surely taken by the wide one."""
    if wide == narrow:
        return True
    match wide, narrow:
        case _, OneOf(choices):
            return all(matcher_covers(wide, choice) for choice in choices)
        case OneOf(choices), _:
            return any(matcher_covers(choice, narrow) for choice in choices)
        case Equals(word), Equals(other):
            return word.strip().casefold() == other.strip().casefold()
        case Glob("*"), Equals() | Glob():
            return True
        case Glob(wanted), Equals(word):
            # A number may be written in several ways, and letters beyond ASCII have several forms.
            is_plain = word.isascii() and wanted.isascii() and number_of(word) is None
            return is_plain and pattern(wanted.casefold())(word.strip().casefold())
        case Range(), Equals(word):
            number = number_of(word)
            above, below = _ends(wide)
            return number is not None and above < number < below
        case Range(), Range():
            return _ends(wide)[0] <= _ends(narrow)[0] and _ends(narrow)[1] <= _ends(wide)[1]
        case _:
            return False


def _ends(matcher: Range) -> tuple[float, float]:
    return (
        -math.inf if matcher.above is None else matcher.above,
        math.inf if matcher.below is None else matcher.below,
    )


def size_of(condition: Condition) -> int:
    """Return how many words a condition has: what it costs to compare it."""
    listed = chain(
        (condition.type, condition.source, condition.resource, condition.zone), (condition.details,)
    )
    return (
        1
        + sum(map(len, listed))
        + sum(len(each.choices) for each in condition.details.values() if isinstance(each, OneOf))
    )
