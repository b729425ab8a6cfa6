"""Reads which events foresee a fault: `predict`."""

from collections.abc import Collection
from datetime import timedelta

from doctor.inspector.condition_text import (
    CLEAR_WORDS,
    DEFAULT_CLEAR,
    about_the_same,
    read_condition,
    read_demanded,
    read_severity,
)
from doctor.inspector.document import Place, shown
from doctor.inspector.prediction import PREFIX, SUFFIX
from doctor.model.fault import Severity
from doctor.model.policy import Condition, Equals, Foresight, OneOf

FORESIGHT_KEYS = (
    *("name", "when", "withdraw_when", "of", "time", "lead", "confidence", "min_confidence"),
    *("horizon", "near", "grace", "moves", "severity"),
)
WITHDRAWN = "withdrawn"
DETAILS = "details."

# What takes a prediction back unless its rule says otherwise: what would end a fault, too.
DEFAULT_WITHDRAWAL: tuple[Condition, ...] = (
    Condition(details={"status": OneOf(tuple(Equals(word) for word in (WITHDRAWN, *CLEAR_WORDS)))}),
    DEFAULT_CLEAR[1],
)


def read_foresights(place: Place, rules: Collection[str]) -> tuple[Foresight, ...]:
    """Read which events foresee a fault; ``rules`` are the names of those that say what a fault is."""
    found = []
    first: dict[str, str] = {}
    for section in place.sections(FORESIGHT_KEYS):
        rule = _foresight(section, rules)
        if rule.name and first.setdefault(rule.name, section.pointer) != section.pointer:
            section.at("name").flaw(f"{shown(rule.name)} is the name of {first[rule.name]} already")
        found.append(rule)
    return tuple(found)


def read_fault_type(place: Place, default: str | None = None) -> str:
    """Read the type of a fault that is not only foreseen."""
    fault_type = place.text(default)
    if fault_type.startswith(PREFIX):
        place.flaw(f"{shown(PREFIX)} begins the types of faults that are foreseen: see predict")
    return fault_type


def _foresight(section: Place, rules: Collection[str]) -> Foresight:
    usual = Foresight(name="", when=Condition(), withdraw_when=())
    when = read_demanded(section.at("when"))
    of = section.at("of").text("")
    if of and of not in rules:
        section.at("of").flaw(f"{shown(of)} is the name of no rule", hint=(of, rules))
    elif section.at("when").is_given:
        _demand_types(section, when, of)
    withdrawal = section.at("withdraw_when")
    wanted = DEFAULT_WITHDRAWAL
    if withdrawal.is_given:
        wanted = tuple(read_condition(each) for each in withdrawal.one_or_more(may_be_empty=True))
    severity = section.at("severity")
    return Foresight(
        name=section.at("name").text(),
        when=when,
        withdraw_when=tuple(about_the_same(when, condition) for condition in wanted),
        of=of,
        time=_path(section.at("time"), usual.time),
        lead=_path(section.at("lead"), usual.lead),
        confidence=_path(section.at("confidence"), usual.confidence),
        min_confidence=section.at("min_confidence").share(usual.min_confidence),
        horizon=section.at("horizon").duration() if section.at("horizon").is_given else None,
        near=section.at("near").duration(usual.near),
        grace=_lasting(section.at("grace"), usual.grace),
        moves=_lasting(section.at("moves"), usual.moves),
        severity=read_severity(severity) if severity.is_given else Severity.WARNING,
    )


def _demand_types(section: Place, when: Condition, of: str) -> None:
    """Without a rule that says which fault comes, the type of the event has to."""
    if not when.type:
        section.at("when").flaw("needs a type: which events foresee a fault?")
    elif not of and not all(name.endswith(SUFFIX) for name in when.type):
        section.at("of").flaw(
            f"required: which rule says what will come? Only a type that ends with {SUFFIX} says it itself"
        )


def _path(place: Place, default: str) -> str:
    path = place.text(DETAILS + default)
    if path and (not path.startswith(DETAILS) or path == DETAILS):
        place.flaw(f"has to be a place in the details of the event, such as {DETAILS}{default}")
    return path.removeprefix(DETAILS)


def _lasting(place: Place, default: timedelta) -> timedelta:
    duration = place.duration(default)
    if place.is_given and duration < timedelta(seconds=1):
        place.flaw("is too short: at least a second")
    return duration
