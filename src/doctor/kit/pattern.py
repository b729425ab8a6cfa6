"""Patterns with wildcards (``*``, ``?``, ``[...]``): what they take, and what it costs to ask them."""

import re
from collections.abc import Callable, Iterable
from fnmatch import translate
from functools import lru_cache

SEARCHING = 10  # how much more a place costs that a ? or [...] makes one search for letter by letter


def is_literal(name: str) -> bool:
    """Tell whether a pattern has no wildcards, so that it matches only itself."""
    return not ("*" in name or "?" in name or "[" in name)


@lru_cache(maxsize=4096)
def pattern(name: str) -> Callable[[str], bool]:
    """Return what tells whether a text fits a pattern with wildcards; for any case fold both before."""
    if "?" in name or "[" in name:
        fits = re.compile(translate(name)).match
        return lambda text: fits(text) is not None
    if "*" not in name:
        return name.__eq__
    first, *middle, last = name.split("*")
    pieces = tuple(piece for piece in middle if piece)
    least = len(first) + len(last)

    def test(text: str) -> bool:
        if len(text) < least or not (text.startswith(first) and text.endswith(last)):
            return False
        place, end = len(first), len(text) - len(last)
        for piece in pieces:
            place = text.find(piece, place, end)
            if place < 0:
                return False
            place += len(piece)
        return True

    return test


def effort(name: str) -> int:
    """Return how much it can cost to hold a pattern against a text, for each letter of the text.

    A star has what follows it, up to the next star, tried at every place. Of several such pieces the longest counts,
    since the places of one begin behind those of the piece before. A word without wildcards costs nothing.
    """
    if "?" not in name and "[" not in name:
        return max(map(len, name.split("*")[1:]), default=0) + ("*" in name)
    pieces = _BRACKETS.sub("?", name).split("*")[1:]
    return 1 + SEARCHING * (1 + max(map(len, pieces))) if pieces else 1


# As fnmatch reads them: a ] right behind the [ is one of the letters.
_BRACKETS = re.compile(r"\[!?\]?[^\]]*\]")


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
        return word is not None and (word in self._literals or any(fits(word) for fits in self._patterns))


def takes_anything(name: str) -> bool:
    """Tell whether a pattern matches every word there can be: stars, and one letter at most."""
    return "*" in name and name.replace("*", "") in ("", "?")
