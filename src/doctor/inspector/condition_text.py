"""Reads which events a rule means, and how severe something is."""

from datetime import timedelta

from msgspec.structs import replace

from doctor.inspector.document import Place
from doctor.kit.pattern import is_literal
from doctor.model.fault import Severity, severity_of
from doctor.model.policy import Condition, Equals, Glob, Matcher, OneOf, Range

# What ends a fault unless its rule says otherwise.
CLEAR_WORDS = ("up", "ok", "okay", "cleared", "clear", "resolved", "normal")
DEFAULT_CLEAR = (
    Condition(details={"status": OneOf(tuple(Equals(word) for word in CLEAR_WORDS))}),
    Condition(severity=frozenset({Severity.CLEARED})),
)
# Details that say how bad it is, rather than what it is about.
LEVELS = ("status", "severity")

CONDITION_KEYS = ("type", "source", "severity", "resource", "zone", "details")


def read_demanded(place: Place) -> Condition:
    """Read the one condition of a rule, which has to restrict something."""
    if not place.demand("which events are meant?").is_given:
        return Condition()
    condition = read_condition(place)
    if condition == Condition() and isinstance(place.value, dict) and place.value.keys() <= {*CONDITION_KEYS}:
        place.flaw(f"would take every event: name at least one of {', '.join(CONDITION_KEYS)}")
    return condition


def read_condition(place: Place) -> Condition:
    """Read which events are meant."""
    section = place.section(CONDITION_KEYS)
    details = section.at("details")
    return Condition(
        type=_names(section.at("type")),
        source=_names(section.at("source")),
        severity=frozenset(read_any_severity(each) for each in section.at("severity").one_or_more()),
        resource=_names(section.at("resource")),
        zone=_names(section.at("zone")),
        details=(
            {key: _matcher(member) for key, member in details.members().items()} if details.is_given else {}
        ),
    )


def _names(place: Place) -> tuple[str, ...]:
    return tuple(each.text() for each in place.one_or_more())


def _matcher(place: Place) -> Matcher:
    if isinstance(place.value, dict):
        return _range(place)
    place.demand("a word, a pattern, a list of them, or a range such as {above: 80}")
    words = [Equals(word) if is_literal(word) else Glob(word) for word in _names(place)]
    return words[0] if len(words) == 1 else OneOf(tuple(words))


def _range(place: Place) -> Range:
    section = place.section(("above", "below", "for", "clear_below", "clear_above"))
    above, below = section.at("above").number(), section.at("below").number()
    clear_below, clear_above = section.at("clear_below").number(), section.at("clear_above").number()
    if not section.at("above").is_given and not section.at("below").is_given:
        place.flaw("needs above or below; a detail within a detail is written as one key: a.b")
    if above is not None and below is not None and above >= below:
        place.flaw("no number is above the one and below the other")
    if clear_below is not None and (above is None or clear_below > above):
        section.at("clear_below").flaw("goes with above, and is not larger")
    if clear_above is not None and (below is None or clear_above < below):
        section.at("clear_above").flaw("goes with below, and is not smaller")
    return Range(above, below, section.at("for").duration(timedelta(0)), clear_below, clear_above)


def read_severity(place: Place) -> Severity:
    """Read the severity of a fault."""
    severity = read_any_severity(place)
    if severity is Severity.CLEARED:
        place.flaw("no fault is raised as cleared; what ends a fault is said by clear_when")
    return severity


def read_any_severity(place: Place) -> Severity:
    """Read a severity, cleared among them."""
    word = place.text()
    try:
        return severity_of(word)
    except ValueError as error:
        if word:  # an empty one is a flaw already
            place.flaw(str(error), hint=(word.lower(), [each.perceived for each in Severity]))
        return Severity.INDETERMINATE


def about_the_same(when: Condition, clear: Condition) -> Condition:
    """Let a clear condition be about the same thing as ``when``, as far as it does not say so itself.

    What tells how bad it is (severity, status, ranges) is not taken over: that is what changes when a fault ends.
    """
    kept = {
        key: matcher
        for key, matcher in when.details.items()
        if key not in LEVELS and not isinstance(matcher, Range)
    }
    return replace(
        clear,
        type=clear.type or when.type,
        source=clear.source or when.source,
        resource=clear.resource or when.resource,
        zone=clear.zone or when.zone,
        details=kept | clear.details,
    )
