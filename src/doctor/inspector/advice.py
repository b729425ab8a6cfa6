"""What the author of a policy should look at once more: it can be applied, but is hardly what was meant."""

from collections.abc import Collection, Iterable, Iterator
from itertools import islice

from doctor.inspector.coverage import covers, size_of
from doctor.inspector.document import MAX_FLAWS, escaped, shown, suggestion
from doctor.inspector.propagation_advice import SUPPLIER_TYPES, propagation_advice
from doctor.inspector.zone_advice import zone_advice
from doctor.kit.pattern import is_literal
from doctor.model.fault import SEVERITY_WORDS, Severity
from doctor.model.policy import Catalogue, Condition, Equals, FailurePolicy, FaultRule, Glob, OneOf

Advice = Iterator[tuple[str, str]]

MOST_COMPARED = 300_000  # words of rules with each other: less than a second
MOST_GUESSED = 500  # words of which it is asked what was meant
FEW = 5


def advice(policy: FailurePolicy, catalogue: Catalogue) -> Advice:
    """Return what can be applied but is hardly what was meant: each with the pointer to its place."""
    return islice(_advice(policy, catalogue), MAX_FLAWS)


def _advice(policy: FailurePolicy, catalogue: Catalogue) -> Advice:
    if not policy.faults:
        yield "/faults", "there are none: no event raises a fault"
    if not policy.propagate:
        yield "/propagate", "there is none: no owner is told of a fault on a host"
    yield from _words(policy, catalogue)
    yield from _shadowed(policy)
    for index, ignore in enumerate(policy.ignore):
        yield from _condition_advice(f"/ignore/{index}/when", ignore.when)
        if _takes_all(ignore.when):
            yield f"/ignore/{index}/when", "takes every event: nothing raises a fault any more"
    for index, foresight in enumerate(policy.predict):
        yield from _condition_advice(f"/predict/{index}/when", foresight.when)
        if any(covers(withdrawal, foresight.when) for withdrawal in foresight.withdraw_when):
            yield (
                f"/predict/{index}/when",
                "never fires: what takes the prediction back (withdraw_when, or the default) holds for all these "
                "events as well",
            )
    for index, rule in enumerate(policy.faults):
        yield from _rule_advice(f"/faults/{index}", rule)
    yield from propagation_advice(policy.propagate)
    yield from zone_advice(policy)


# --- words that nobody knows ---


def _words(policy: FailurePolicy, catalogue: Catalogue) -> Advice:
    types = [
        (f"/faults/{index}/when/type", word)
        for index, rule in enumerate(policy.faults)
        for word in rule.when.type
    ]
    known = frozenset(catalogue.types)
    strange = [(place, word) for place, word in types if is_literal(word) and word not in known]
    nobody_knows = []
    for place, word in strange[:MOST_GUESSED]:
        hint = suggestion(word, catalogue.types, likeness=0.9)
        if hint:
            yield place, f"{shown(word)} is none that ships{hint}"
        else:
            nobody_knows.append((place, word))
    if nobody_knows and known:
        names = list(dict.fromkeys(shown(word) for _, word in nobody_knows))
        more = f" and {len(names) - FEW} more" if len(names) > FEW else ""
        yield (
            nobody_knows[0][0],
            f"the fault catalogue does not have {', '.join(names[:FEW])}{more}: a monitor of yours has to report "
            "events of such a type",
        )
    for index, rule in enumerate(policy.faults[:MOST_GUESSED]):
        yield from _misspelt(f"/faults/{index}/resource/type", (rule.resource.type,), SUPPLIER_TYPES)
    for index, each in enumerate(policy.propagate[:MOST_GUESSED]):
        yield from _misspelt(f"/propagate/{index}/from", (each.supplier_type,), SUPPLIER_TYPES)
    for index, level in enumerate(policy.zones[:MOST_GUESSED]):
        yield from _misspelt(f"/zones/{index}/type", (level.type,), SUPPLIER_TYPES)
        yield from _misspelt(f"/zones/{index}/components", level.components, SUPPLIER_TYPES)


def _misspelt(pointer: str, words: Iterable[str], known: Collection[str]) -> Advice:
    for word in words:
        if word not in known and (hint := suggestion(word, known, likeness=0.8)):
            yield pointer, f"{shown(word)} is none that ships{hint}"


# --- rules that stand in each other's way ---


class _Earlier:
    """The conditions that come first: by type, and under "" those that are not for named types alone."""

    def __init__(self) -> None:
        self._by_type: dict[str, dict[int, tuple[str, Condition]]] = {}
        self._number = 0
        self.left = MOST_COMPARED

    def remember(self, name: str, when: Condition) -> None:
        are_named = when.type and all(is_literal(each) for each in when.type)
        self._number += 1
        for event_type in when.type if are_named else ("",):
            self._by_type.setdefault(event_type, {})[self._number] = (name, when)

    def cover_of(self, when: Condition) -> str | None:
        """Return the name of the first that takes all events of this condition."""
        candidates: dict[int, tuple[str, Condition]] = dict(self._by_type.get("", {}))
        # Whoever takes all events takes those of the first type too.
        for event_type in when.type[:1]:
            candidates |= self._by_type.get(event_type, {})
        cost = size_of(when)
        for _, (name, earlier) in sorted(candidates.items()):
            self.left -= cost + size_of(earlier)
            if self.left < 0:
                return None
            if covers(earlier, when):
                return name
        return None


def _shadowed(policy: FailurePolicy) -> Advice:
    earlier = _Earlier()
    for ignore in policy.ignore:
        earlier.remember(f"the ignore rule {shown(ignore.name)}", ignore.when)
    rules = [
        *(
            (f"/predict/{index}", "prediction", one.name, one.when)
            for index, one in enumerate(policy.predict)
        ),
        *((f"/faults/{index}", "rule", one.name, one.when) for index, one in enumerate(policy.faults)),
    ]
    for place, kind, name, when in rules:
        cover = earlier.cover_of(when)
        if cover is not None:
            yield f"{place}/when", f"never fires: {cover} takes all these events before"
        earlier.remember(f"the {kind} {shown(name)}", when)
    if earlier.left < 0:
        yield (
            "/faults",
            "too many rules with too many words: not all were compared to find those that never fire",
        )


# --- one rule by itself ---


def _rule_advice(place: str, rule: FaultRule) -> Advice:
    yield from _condition_advice(f"{place}/when", rule.when)
    if _takes_all(rule.when):
        yield f"{place}/when", "fires at every event, of any type"
    if any(covers(clear, rule.when) for clear in rule.clear_when):
        yield (
            f"{place}/when",
            "never fires: what ends the fault (clear_when, or the default) holds for all these events as well",
        )
    before: list[Condition] = []
    for index, grade in enumerate(rule.grades):
        if all(any(covers(first, when) for first in before) for when in grade.when):
            yield f"{place}/grades/{index}", "never applies: the grades before it take all of its events"
        before += grade.when


def _takes_all(when: Condition) -> bool:
    others = (when.source, when.resource, when.zone, when.severity, when.details)
    return "*" in when.type and not any(others)


def _condition_advice(place: str, when: Condition) -> Advice:
    """Look at a condition by itself: can it hold at all, and are its patterns what they seem to be?"""
    for key, names in (
        ("type", when.type),
        ("source", when.source),
        ("resource", when.resource),
        ("zone", when.zone),
    ):
        for name in names:
            if _is_unclosed(name):
                yield f"{place}/{key}", f"the [ in {shown(name)} has no ]: it stands for itself"
    for key, matcher in when.details.items():
        pointer = f"{place}/details/{escaped(key)}"
        for choice in matcher.choices if isinstance(matcher, OneOf) else (matcher,):
            if isinstance(choice, Glob) and _is_unclosed(choice.pattern):
                yield pointer, f"the [ in {shown(choice.pattern)} has no ]: it stands for itself"
    severities = _severities(when)
    if severities is not None and when.severity and not severities & when.severity:
        yield f"{place}/details/severity", "never holds: severity beside it asks for another one"
    sources = when.details.get("source")
    wanted = {each.strip().casefold() for each in when.source}
    if not isinstance(sources, Equals) or not all(is_literal(each) for each in wanted):
        return
    if wanted and sources.value.strip().casefold() not in wanted:
        yield f"{place}/details/source", "never holds: source beside it asks for another one"


def _severities(when: Condition) -> frozenset[Severity] | None:
    """Return the severities that the details ask for, None if they ask for none or it cannot be said."""
    matcher = when.details.get("severity")
    choices = matcher.choices if isinstance(matcher, OneOf) else (matcher,)
    found = set()
    for choice in choices:
        if not isinstance(choice, Equals):
            return None
        severity = SEVERITY_WORDS.get(choice.value.strip().lower())
        found |= {severity} if severity is not None else set()
    return frozenset(found)


def _is_unclosed(name: str) -> bool:
    """Tell whether a pattern has a bracket that is never closed, and so is an ordinary letter."""
    opened = name.rfind("[")
    return opened >= 0 and "]" not in name[opened + 2 :]
