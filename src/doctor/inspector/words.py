"""How the words of a policy are compared with those of an event: as patterns with wildcards, and as numbers."""

import math
import re
from fnmatch import translate
from functools import lru_cache


def is_literal(name: str) -> bool:
    """Tell whether a pattern has no wildcards, so that it matches only itself."""
    return not ("*" in name or "?" in name or "[" in name)


@lru_cache(maxsize=4096)
def pattern(name: str, *, any_case: bool = False) -> re.Pattern[str]:
    """Return the compiled form of a pattern with wildcards."""
    return re.compile(translate(name), re.IGNORECASE if any_case else 0)


_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)(e[+-]?\d+)?", re.IGNORECASE | re.ASCII)


def number_of(value: object) -> float | int | None:
    """Read a detail as a finite number, or as a text that is one; anything else is None."""
    if isinstance(value, str):
        text = value.strip()
        if len(text) > 64 or not _NUMBER.fullmatch(text):
            return None
        value = float(text)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, int) and not isinstance(value, bool) else None
