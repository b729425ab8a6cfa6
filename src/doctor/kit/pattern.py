"""Names with wildcards: ``*``, ``?`` and ``[...]``, as in file names."""

import re
from collections.abc import Iterable
from fnmatch import translate
from functools import lru_cache


def is_literal(name: str) -> bool:
    """Tell whether a pattern has no wildcards, so that it matches only itself."""
    return not ("*" in name or "?" in name or "[" in name)


@lru_cache(maxsize=4096)
def pattern(name: str, *, any_case: bool = False) -> re.Pattern[str]:
    """Return the compiled form of a pattern with wildcards."""
    return re.compile(translate(name), re.IGNORECASE if any_case else 0)


class AnyOf:
    """Several names, with wildcards or without, of which one must match; none at all is no restriction."""

    __slots__ = ("_literals", "_patterns")

    def __init__(self, names: Iterable[str]) -> None:
        names = list(names)
        self._literals = frozenset(name for name in names if is_literal(name))
        self._patterns = [pattern(name) for name in names if not is_literal(name)]

    def __bool__(self) -> bool:
        """Tell whether it restricts anything."""
        return bool(self._literals or self._patterns)

    def takes(self, word: str | None) -> bool:
        """Tell whether a word is meant. One that is not there matches nothing but no restriction."""
        if not self:
            return True
        return word is not None and (word in self._literals or any(one.match(word) for one in self._patterns))


def takes_anything(name: str) -> bool:
    """Tell whether a pattern matches every word there can be: stars, and one letter at most."""
    return "*" in name and name.replace("*", "") in ("", "?")
