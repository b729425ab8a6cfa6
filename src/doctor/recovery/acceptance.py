"""Whether an instruction is taken, machine by machine [D 3.3.6].

Who owns a machine is not asked here: what is somebody else's never gets this far.
"""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from doctor.model.errors import Flaw
from doctor.model.fault import ResourceState
from doctor.model.instruction import Action
from doctor.model.resource import STORAGE, Isolation
from doctor.recovery.rules import RULES, TARGET, Facts, HostMust, actions_of, needs_isolation, rule_of

REBOOTS = ("soft", "hard")
MOST_METADATA = 50
LONGEST = 255


def flaws(action: Action, parameters: Mapping[str, Any], *, names_hosts: bool = False) -> Iterator[Flaw]:
    """Return what is wrong with the parameters of an action; owners do not know the names of hosts, and name none."""
    known = RULES[action].parameters - (set() if names_hosts else {TARGET})
    for name, value in parameters.items():
        pointer = f"/parameters/{name}"
        if name not in known:
            says = f"takes {', '.join(sorted(known))}" if known else "takes no parameters"
            yield Flaw(pointer, f"{action} {says}")
        elif name == "metadata":
            yield from _wrong_metadata(pointer, value)
        elif not _is_line(value):
            yield Flaw(pointer, f"is a line of at most {LONGEST} letters")
        elif name == "type" and value not in REBOOTS:
            yield Flaw(pointer, f"is {' or '.join(REBOOTS)}")
    if action is Action.UPDATE and not parameters:
        yield Flaw("/parameters", "say what is to be another one: name, metadata")


def objection(
    action: Action, facts: Facts, parameters: Mapping[str, Any], forbidden: Collection[Action] = ()
) -> str:
    """Return why an action is refused for a machine, or nothing. ``forbidden`` are those the operator allows nobody."""
    rule = rule_of(action, facts.machine.type)
    if action in forbidden:
        return f"the operator of this cloud does not allow {action}"
    if rule is None:
        return _of_kind(action, facts.machine.type)
    if rule.is_word:
        return ""
    if unknown := parameters.keys() - rule.parameters:
        return f"it is a {facts.machine.type}, which has no {min(unknown)} to be changed"
    if not facts.has_controller:
        return "no controller that is set up can reach it"
    if facts.occupied_by:
        return f"instruction {facts.occupied_by} is under way for it: wait for its end, or cancel it"
    if facts.machine.type == STORAGE and facts.state.is_out:
        return "what it is stored on has failed: it is put into service again when that is over"
    return (
        _of_host(rule.host, facts)
        or _of_isolation(action, facts, parameters)
        or _of_constraints(action, facts)
    )


def _of_kind(action: Action, kind: str) -> str:
    can = actions_of(kind)
    return f"it is a {kind}, which cannot be told to {action}" + (
        f": only to {', '.join(can)}" if can else ""
    )


def objection_to_target(target: str, host: str | None, state: ResourceState) -> str:
    """Return why a machine cannot be moved to the host that was named, or nothing. ``host`` is where it is."""
    if target == host:
        return f"it is on {target} already"
    return "" if state is ResourceState.NORMAL else f"{target} is {state}: it takes no machine"


def _of_host(must: HostMust, facts: Facts) -> str:
    is_out = facts.host_state.is_out
    if must is HostMust.WORK and is_out:
        return "its host is down: evacuate it"
    if must is HostMust.BE_OUT and not is_out:
        return "its host works: migrate it, or migrate it live"
    return ""


def _of_isolation(action: Action, facts: Facts, parameters: Mapping[str, Any]) -> str:
    if not needs_isolation(action, facts):
        return ""
    if not facts.can_isolate and facts.isolation is not Isolation.ISOLATED:
        return "nothing can make sure that its host is off: the operator has not set up a fence for it"
    if action is Action.REBUILD and "image" in parameters:
        return "its host is down: evacuate it first, then rebuild it from another image"
    return ""


def _of_constraints(action: Action, facts: Facts) -> str:
    """Hold an action against what the owner wants nobody to do to a machine that serves [HA 5.3]."""
    constraints, rule = facts.machine.constraints, RULES[action]
    if constraints is None or not facts.serves:
        return ""
    if action is Action.LIVE_MIGRATE and not constraints.live_migration:
        return "its constraints forbid live migration"
    tolerated = constraints.tolerated_interruption
    if tolerated is not None and rule.interrupts is not None and rule.interrupts.total_seconds() > tolerated:
        return (
            f"{action} interrupts it for {rule.interrupts.total_seconds():g} s or more, and its constraints tolerate"
            f" {tolerated:g} s"
        )
    if constraints.max_out == 0 and rule.interrupts is not None:
        return "its constraints let none of its group be away"
    return ""


def _wrong_metadata(pointer: str, value: Any) -> Iterator[Flaw]:
    if not isinstance(value, dict) or not value or len(value) > MOST_METADATA:
        yield Flaw(pointer, f"is an object with 1 to {MOST_METADATA} entries")
        return
    for key, text in value.items():
        if not (_is_line(key) and _is_line(text)):
            yield Flaw(f"{pointer}/{key}", f"name and value are lines of at most {LONGEST} letters")


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and 0 < len(value) <= LONGEST and value.isprintable()
