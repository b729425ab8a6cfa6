"""A condition of the policy as one function of an event.

The details of an event are decoded by the one who asks, and only for a condition that looks at them.
"""

import math
from collections.abc import Callable, Iterable
from operator import attrgetter
from typing import Any, NamedTuple

import msgspec

from doctor.inspector.words import number_of
from doctor.kit.pattern import is_literal, pattern
from doctor.model.event import RawEvent
from doctor.model.fault import SEVERITY_WORDS, Severity
from doctor.model.policy import Condition, Equals, Glob, Matcher, OneOf, Range

# Details that every RawEvent has as a field: conditions on them need nothing decoded.
FIELDS = frozenset({"status", "severity", "source", "resource_type"})

Details = dict[str, Any]
ValueTest = Callable[[Any], bool]
EventTest = Callable[[RawEvent, str | None, Details], bool]


class Compiled(NamedTuple):
    """A condition: ``names`` tells whether it can hold for a type of event, ``holds`` whether the rest of it does.

    ``reads_details`` if it needs the details decoded.
    """

    holds: EventTest
    reads_details: bool
    names: Callable[[str], bool]


def compiled(condition: Condition) -> Compiled:
    """Turn a condition into functions; its types are the plan's business."""
    tests: list[EventTest] = []
    if condition.source:
        tests.append(_name_test(attrgetter("source"), condition.source))
    if condition.resource:
        tests.append(_name_test(attrgetter("resource"), condition.resource))
    if condition.zone:
        tests.append(_zone_test(condition.zone))
    if condition.severity:
        tests.append(_severity_test(condition.severity))
    tests += [_detail_test(key, matcher) for key, matcher in condition.details.items()]
    reads_details = not FIELDS.issuperset(condition.details)
    names = _name_matcher(condition.type) if condition.type else _any
    if len(tests) > 1:
        return Compiled(_all_of(tuple(tests)), reads_details, names)
    return Compiled(tests[0] if tests else _always, reads_details, names)


def _always(_event: RawEvent, _zone_id: str | None, _details: Details) -> bool:
    return True


def _any(_name: str) -> bool:
    return True


def _all_of(tests: tuple[EventTest, ...]) -> EventTest:
    def test(event: RawEvent, zone_id: str | None, details: Details) -> bool:
        for holds in tests:  # noqa: SIM110  # a generator would double what this costs
            if not holds(event, zone_id, details):
                return False
        return True

    return test


def _name_matcher(names: Iterable[str]) -> Callable[[str], bool]:
    exact = frozenset(name for name in names if is_literal(name))
    patterns = tuple(pattern(name) for name in names if not is_literal(name))
    if not patterns:
        return exact.__contains__
    return lambda name: name in exact or (name != "" and any(fits(name) for fits in patterns))


def _name_test(field: Callable[[RawEvent], str], names: tuple[str, ...]) -> EventTest:
    matches = _name_matcher(names)
    return lambda event, _zone_id, _details: matches(field(event))


def _zone_test(names: tuple[str, ...]) -> EventTest:
    matches = _name_matcher(names)
    return lambda _event, zone_id, _details: zone_id is not None and matches(zone_id)


def _severity_test(severities: frozenset[Severity]) -> EventTest:
    words = frozenset(word for word, severity in SEVERITY_WORDS.items() if severity in severities)
    return lambda event, _zone_id, _details: event.severity.strip().lower() in words


def _detail_test(key: str, matcher: Matcher) -> EventTest:
    matches = _range_test(matcher) if isinstance(matcher, Range) else _word_test(matcher)
    if key in FIELDS:
        field = attrgetter(key)
        return lambda event, _zone_id, _details: matches(field(event))
    way = steps(key)
    return lambda _event, _zone_id, details: matches(look_up(details, way))


def _word_test(matcher: Equals | Glob | OneOf) -> ValueTest:
    choices = matcher.choices if isinstance(matcher, OneOf) else (matcher,)
    values = [choice.value.strip() for choice in choices if isinstance(choice, Equals)]
    words = frozenset(value.casefold() for value in values if value)
    numbers = frozenset(number for value in values if (number := number_of(value)) is not None)
    patterns = tuple(pattern(choice.pattern.casefold()) for choice in choices if isinstance(choice, Glob))

    def test(value: object) -> bool:
        if isinstance(value, str):
            word = value.strip()
        elif isinstance(value, bool):
            word = "true" if value else "false"
        elif isinstance(value, int | float):
            if value in numbers:
                return True
            word = str(value)
        else:
            return False
        word = word.casefold()
        if word in words:
            return True
        return bool(patterns) and word != "" and any(fits(word) for fits in patterns)

    return test


def _range_test(wanted: Range) -> ValueTest:
    above = -math.inf if wanted.above is None else wanted.above
    below = math.inf if wanted.below is None else wanted.below

    def test(value: object) -> bool:
        number = number_of(value)
        return number is not None and above < number < below

    return test


def read_details(event: RawEvent) -> Details:
    """Decode the details; those that cannot be read say nothing, and the event is judged by the rest."""
    try:
        details = msgspec.json.decode(event.raw_details)
    except (ValueError, RecursionError):
        return {}
    return details if isinstance(details, dict) else {}


def steps(key: str) -> tuple[str, ...]:
    """Return the keys on the way to a detail: the whole key first, since a name may have dots of its own."""
    return (key, *key.split(".")) if "." in key else (key,)


def look_up(details: Details, steps: tuple[str, ...]) -> object:
    """Return the detail at the end of the way, None if there is none."""
    found: object = details.get(steps[0])
    if found is None and len(steps) > 1:
        found = details
        for step in steps[1:]:
            if not isinstance(found, dict):
                return None
            found = found.get(step)
    return found
