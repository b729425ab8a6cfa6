"""Patterns with wildcards: what they take, and what they cost at most."""

import re
import time
from fnmatch import fnmatchcase, translate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_size import MAX_EFFORT
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Raise, Selector
from doctor.kit.pattern import effort, pattern
from doctor.model.event import RawEvent
from doctor.testing.clock import START

NAMES = st.text(alphabet="ab*?[]!-^\\.+(){}|$", max_size=30)
SOME_TEXTS = st.text(alphabet="ab-]^\\.\n", max_size=30)


@settings(deadline=None)
@given(NAMES, SOME_TEXTS)
def test_a_pattern_takes_what_a_shell_would_take(name: str, text: str) -> None:
    assert pattern(name)(text) is fnmatchcase(text, name)


@settings(deadline=None)
@given(st.lists(st.sampled_from(["a", "ab", "ba", "*"]), max_size=8).map("".join), st.text("ab", max_size=12))
def test_a_pattern_with_stars_only_takes_the_same(name: str, text: str) -> None:
    assert pattern(name)(text) is fnmatchcase(text, name)


@settings(deadline=None)
@given(NAMES)
def test_a_pattern_of_any_shape_never_goes_back(name: str) -> None:
    """Each star but the last is in an atomic group: what it has taken is never tried again, so nothing explodes."""
    outside = re.sub(r"\(\?>\.\*\?(?:\[[^\]]*\]|\\.|[^()\\])*\)", "", translate(name))
    assert outside.count(".*") <= 1


@pytest.mark.parametrize("name", ["*a" * 60 + "b", "*[a]" * 60 + "b", "*?" * 60 + "b"])
def test_a_pattern_with_many_stars_is_matched_at_once(name: str) -> None:
    """With going back this would take longer than anybody lives."""
    assert not pattern(name)("a" * 4096)


@pytest.mark.parametrize(
    ("name", "costs"),
    [
        ("word", 0),
        ("begins*", 1),
        ("compute-?", 1),
        ("compute-[0-9]*", 11),
        ("*ends", 5),
        ("*in the middle*", 14),
        ("*short*longest*x", 8),
        ("*[abc]x*", 31),
        ("*[]*]*", 21),
        ("*?", 21),
        ("*[", 21),
    ],
)
def test_what_it_costs_to_hold_a_pattern_against_a_text(name: str, costs: int) -> None:
    assert effort(name) == costs


def hardest(one: str) -> str:
    """Return a policy with as many rules with such a pattern as a policy may have."""
    many = min(999, MAX_EFFORT // effort(one.format(0)))
    rules = ", ".join(
        f"{{name: r{n}, when: {{type: t, details: {{k: '{one.format(n)}'}}}}, clear_when: [], "
        "fault_type: f, severity: minor}"
        for n in range(many)
    )
    return f"version: 1\nfaults: [{rules}]"


@pytest.mark.parametrize(
    "one",
    [
        pytest.param("*aa{:03}aa*", id="short-words"),
        pytest.param("*" + "a" * 45 + "{:03}" + "a" * 45 + "*", id="long-words"),
        pytest.param("*" + "[!b]" * 20 + "{:03}", id="lists-of-letters"),
        pytest.param("*" + "?" * 18 + "{:03}*", id="any-letter"),
    ],
)
def test_the_hardest_patterns_that_are_allowed_do_not_hold_up_the_telling(one: str) -> None:
    """They took seconds before there was a limit. Now it is some hundredths; a busy machine may need longer."""
    selector = Selector(parse_policy(hardest(one), default_catalogue()).policy)
    event = RawEvent(time=START, type="t", raw_details=b'{"k": "%b"}' % (b"a" * 4096))
    begun = time.perf_counter()
    assert not isinstance(selector.select(event), Raise)
    assert time.perf_counter() - begun < 1
