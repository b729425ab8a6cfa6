"""What the author of a policy should look at once more: it can be applied, but is hardly what was meant."""

from collections.abc import Collection, Iterable, Iterator
from itertools import chain

from doctor.inspector.document import shown, suggestion
from doctor.inspector.words import is_literal, pattern
from doctor.model.policy import Catalogue, Condition, FailurePolicy
from doctor.model.resource import VIRTUAL_RESOURCE_TYPES

SUPPLIER_TYPES = (
    *("host", "control_node", "switch", "nic", "disk", "storage", "power", "cooling", "chassis", "rack"),
    *("controller", "vim_service", *VIRTUAL_RESOURCE_TYPES),
)


def advice(policy: FailurePolicy, catalogue: Catalogue) -> Iterator[tuple[str, str]]:
    """Return what can be applied but is hardly what was meant: each with the pointer to its place."""
    if not policy.faults:
        yield "/faults", "there are none: no event raises a fault"
    if not policy.propagate:
        yield "/propagate", "there is none: no owner is told of a fault on a host"
    for index, rule in enumerate(policy.faults):
        yield from _misspelt(f"/faults/{index}/when/type", rule.when.type, catalogue.types)
    yield from _shadowed(policy)
    for index, each in enumerate(policy.propagate):
        yield from _misspelt(f"/propagate/{index}/from", (each.supplier_type,), SUPPLIER_TYPES)


def _shadowed(policy: FailurePolicy) -> Iterator[tuple[str, str]]:
    # By type, and those for more than named types under "": rules for different types need no comparison.
    earlier: dict[str, list[tuple[str, Condition]]] = {}

    def remember(name: str, when: Condition) -> None:
        are_named = when.type and all(is_literal(each) for each in when.type)
        for event_type in when.type if are_named else ("",):
            earlier.setdefault(event_type, []).append((name, when))

    for ignore in policy.ignore:
        remember(f"the ignore rule {shown(ignore.name)}", ignore.when)
    for index, rule in enumerate(policy.faults):
        candidates = chain.from_iterable(earlier.get(each, ()) for each in ("", *rule.when.type))
        cover = next((name for name, when in candidates if _covers(when, rule.when)), None)
        if cover is not None:
            yield f"/faults/{index}/when", f"never fires: {cover} takes all these events before"
        remember(f"the rule {shown(rule.name)}", rule.when)


def _misspelt(pointer: str, words: Iterable[str], known: Collection[str]) -> Iterator[tuple[str, str]]:
    for word in words:
        if word not in known and is_literal(word) and (hint := suggestion(word, known, likeness=0.9)):
            yield pointer, f"{shown(word)} is none that ships{hint}"


def _covers(earlier: Condition, later: Condition) -> bool:
    """Tell whether every event of the later condition surely meets the earlier one."""
    return (
        _names_cover(earlier.type, later.type)
        and _names_cover(earlier.source, later.source)
        and _names_cover(earlier.resource, later.resource)
        and _names_cover(earlier.zone, later.zone)
        and (not earlier.severity or (bool(later.severity) and later.severity <= earlier.severity))
        and all(later.details.get(key) == matcher for key, matcher in earlier.details.items())
    )


def _names_cover(earlier: tuple[str, ...], later: tuple[str, ...]) -> bool:
    if not earlier or not later:
        return not earlier
    return all(
        any(wide == name or (is_literal(name) and pattern(wide).match(name)) for wide in earlier)
        for name in later
    )
