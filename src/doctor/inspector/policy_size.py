"""How much a policy may ask of Doctor: whoever may apply one shall not be able to bring the telling to a halt by it."""

from collections.abc import Iterator

from doctor.kit.pattern import SEARCHING, effort, is_literal
from doctor.model.policy import Condition, FailurePolicy, Glob, OneOf

MAX_PATTERNS = 1_000  # different ones; an event may be held against all of them
MAX_EFFORT = (
    20_000  # of all conditions together: times the letters of a detail that is what an event can cost
)
MAX_PLANNED = (
    200_000  # types of events, times the rules that may be for any type: each pair is looked at in advance
)


def excesses(policy: FailurePolicy) -> Iterator[tuple[str, str]]:
    """Return what is too much, each with the pointer to its place."""
    patterns: set[str] = set()
    types: set[str] = set()
    for_any = spent = 0
    for conditions in _rules(policy):
        is_for_any = False
        for condition in conditions:
            found = list(_patterns(condition))
            patterns.update(found)
            spent += sum(map(effort, found))
            types.update(name for name in condition.type if is_literal(name))
            is_for_any = (
                is_for_any or not condition.type or any(not is_literal(name) for name in condition.type)
            )
        for_any += is_for_any
    if len(patterns) > MAX_PATTERNS:
        yield "/faults", f"{len(patterns)} different patterns with wildcards; {MAX_PATTERNS} is the most"
    if spent > MAX_EFFORT:
        yield (
            "/faults",
            f"patterns whose letters behind a * come to {spent} in all conditions, where one in a pattern that has "
            f"? or [...] too counts {SEARCHING}; {MAX_EFFORT} is the most: begin patterns with what is known",
        )
    planned = len(types) * for_any
    if planned > MAX_PLANNED:
        yield (
            "/faults",
            f"{len(types)} types of events times {for_any} rules that may be for any of them make {planned}; "
            f"{MAX_PLANNED} is the most: name the types of events in more rules",
        )


def _rules(policy: FailurePolicy) -> Iterator[tuple[Condition, ...]]:
    for rule in policy.faults:
        yield (rule.when, *rule.clear_when, *(when for grade in rule.grades for when in grade.when))
    for ignore in policy.ignore:
        yield (ignore.when,)
    for foresight in policy.predict:
        yield (foresight.when, *foresight.withdraw_when)


def _patterns(condition: Condition) -> Iterator[str]:
    for names in (condition.type, condition.source, condition.resource, condition.zone):
        yield from (name for name in names if not is_literal(name))
    for matcher in condition.details.values():
        for choice in matcher.choices if isinstance(matcher, OneOf) else (matcher,):
            if isinstance(choice, Glob):
                yield choice.pattern
