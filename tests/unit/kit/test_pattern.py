"""Names with wildcards."""

from fnmatch import fnmatchcase

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.kit.pattern import AnyOf, takes_anything

WORDS = st.text("ab1-", max_size=4)
NAMES = st.lists(st.text("ab1-*?[]", min_size=1, max_size=4), max_size=4)


@given(NAMES, WORDS)
def test_one_of_several_names_is_enough(names: list[str], word: str) -> None:
    """As the standard library compares file names, one by one."""
    expected = not names or any(fnmatchcase(word, name) for name in names)
    assert AnyOf(names).takes(word) is expected


def test_what_is_not_there_matches_no_name_and_no_restriction() -> None:
    assert AnyOf([]).takes(None)
    assert not AnyOf(["*"]).takes(None)


@pytest.mark.parametrize(
    ("name", "anything"),
    [
        *((name, True) for name in ("*", "**", "*?", "?*", "*?*")),
        *((name, False) for name in ("?", "a*", "", "??*", "[a-z]*")),
    ],
)
def test_a_pattern_that_takes_any_word_is_recognised(name: str, anything: bool) -> None:
    assert takes_anything(name) is anything
