"""Asks the failure policy what an event means [D 3.3.2].

In comes a raw event, out goes one of six answers: `Raise` a fault, `Clear` faults, it is `Foretold` that one will come, or
`TakenBack`, `Ignored`, or `Unnamed`, when no rule speaks of it. What it is not: a judge of what is open already, or of
what a fault takes down.

A policy is compiled once. For each type of event there is a plan with the few conditions that can matter, so that
an event whose type no rule names costs one look-up, and the details of an event are decoded only for a condition
that looks at them.
"""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from doctor.inspector.condition import Compiled, Details, EventTest, compiled, look_up, read_details, steps
from doctor.inspector.impact import by_supplier
from doctor.inspector.measurement import Threshold, thresholds
from doctor.inspector.prediction import SUFFIX
from doctor.kit.pattern import is_literal, pattern
from doctor.model.event import RawEvent
from doctor.model.fault import SEVERITY_WORDS, Severity
from doctor.model.policy import Absence, Condition, FailurePolicy, FaultRule, Foresight, Grade, IgnoreRule

REMEMBERED_TYPES = 10_000
REMEMBERED_LENGTH = 256


class Raise(msgspec.Struct, frozen=True, gc=False):
    """The event raises a fault.

    ``rule`` is the rule as its grade left it, ``severity`` final, ``resource`` the name of the faulty resource as the
    event has it. ``details`` are None if nothing had to look at them, ``thresholds`` the ranges that were looked at.
    """

    rule: FaultRule
    severity: Severity
    resource: str
    details: Details | None = None
    thresholds: tuple[Threshold, ...] = ()


class Ended(NamedTuple):
    """A fault that ends, if it is open: this type on this resource."""

    resource: str
    fault_type: str
    rule: FaultRule


class Clear(msgspec.Struct, frozen=True, gc=False):
    """The event ends faults, as many as there are rules that say so.

    ``raises`` is the fault of another type that the same event raises (a reading that left the range of one rule for
    that of another).
    """

    faults: tuple[Ended, ...]
    raises: Raise | None = None


class Foretold(msgspec.Struct, frozen=True, gc=False):
    """The event says that a fault will come; ``raises`` is how it would be raised if it had."""

    rule: Foresight
    raises: Raise


class TakenBack(msgspec.Struct, frozen=True, gc=False):
    """The event says that faults will not come after all: these types on these resources."""

    rule: Foresight
    faults: tuple[tuple[str, str], ...]


class Ignored(msgspec.Struct, frozen=True, gc=False):
    """The operator wants nothing made of the event; ``by`` is the name of the rule."""

    by: str


class Unnamed(msgspec.Struct, frozen=True, gc=False):
    """No rule speaks of the event."""


Selected = Raise | Clear | Foretold | TakenBack | Ignored | Unnamed

UNNAMED = Unnamed()


class Selector:
    """A failure policy, compiled. Holds nothing of the events but the plans for their types."""

    def __init__(self, policy: FailurePolicy) -> None:
        self.policy = policy
        self.propagation = by_supplier(policy.propagate)
        self.zones = {level.type: level for level in policy.zones}
        self._rules = [_CompiledRule(rule) for rule in policy.faults]
        self._ignores = [(rule, compiled(rule.when)) for rule in policy.ignore]
        self._absences = [(absence, compiled(absence.expect)) for absence in policy.absence]
        self._foresights = [_Foreseeing(foresight) for foresight in policy.predict]
        self._by_name = {rule.rule.name: rule for rule in self._rules}
        self._by_type: dict[str, list[int]] = {}
        self._by_pattern: list[tuple[str, int]] = []
        self._for_any_type: list[int] = []
        for index, rule in enumerate(policy.faults):
            self._index(index, (rule.when, *rule.clear_when))
        ignored = [name for rule in policy.ignore for name in rule.when.type if is_literal(name)]
        expected = [name for one in policy.absence for name in one.expect.type if is_literal(name)]
        foretold = [name for one in policy.predict for name in one.when.type if is_literal(name)]
        exact = (*self._by_type, *ignored, *expected, *foretold)
        self._plans: dict[str, _Plan | None] = {event_type: self._plan(event_type) for event_type in exact}
        self._room = REMEMBERED_TYPES

    def rules_for(self, event_type: str) -> tuple[FaultRule, ...] | None:
        """Return the rules that may raise or clear something at an event of this type, None if no rule names it."""
        plan = self._plans.get(event_type, _UNSEEN)
        if plan is _UNSEEN:
            plan = self._find_plan(event_type)
        return None if plan is None else plan.rules

    def patient(self, event_type: str) -> tuple[FaultRule, ...]:
        """Return the rules for this type of event that do not believe the first one."""
        plan = self._plans.get(event_type)
        return () if plan is None else plan.patient

    def expected(self, event: RawEvent, zone_id: str | None = None) -> list[Absence]:
        """Return the absences that this event ends, or puts off."""
        plan = self._plans.get(event.type)
        if plan is None or not plan.expects:
            return []
        details = read_details(event) if plan.reads_details else _NO_DETAILS
        return [absence for absence, holds in plan.expects if holds(event, zone_id, details)]

    def select(self, event: RawEvent, zone_id: str | None = None) -> Selected:
        """Say what the event means; ``zone_id`` is the zone of the resource that it is about, if that is known.

        What is ignored comes first. Then all rules are asked whether the event ends their fault, and the first rule
        whose ``when`` holds raises one, unless its own is what ends. A fault that is raised does not end as well.
        """
        plan = self._plan_of(event.type)
        if plan is None:
            return UNNAMED
        return self._foresee(plan, event, zone_id) if plan.foretells else _judge(plan, event, zone_id)

    def _plan_of(self, event_type: str) -> "_Plan | None":
        plan = self._plans.get(event_type, _UNSEEN)
        return self._find_plan(event_type) if plan is _UNSEEN else plan

    def _foresee(self, plan: "_Plan", event: RawEvent, zone_id: str | None) -> Selected:
        """Judge an event that may foretell a fault. What is foretold has not happened: it raises nothing."""
        details = read_details(event)
        for name, holds in plan.ignores:
            if holds(event, zone_id, details):
                return Ignored(name)
        for each in plan.foretells:
            if any(
                test.names(event.type) and test.holds(event, zone_id, details) for test in each.withdraw_when
            ):
                found = self._expected(each.rule, event.type)
                return TakenBack(
                    each.rule,
                    tuple(
                        dict.fromkeys((resource_of(event, rule, details), rule.fault_type) for rule in found)
                    ),
                )
            if each.when.holds(event, zone_id, details):
                return self._foretold(each.rule, event, zone_id, details)
        return _judge(plan, event, zone_id)

    def _expected(self, foresight: Foresight, event_type: str) -> Iterable[FaultRule]:
        """Return the rules whose faults an event of this type can foretell."""
        if foresight.of:
            return (self._by_name[foresight.of].rule,)
        plan = self._plan_of(event_type.removesuffix(SUFFIX))
        return () if plan is None else (raising.rule for raising in plan.raises)

    def _foretold(
        self, foresight: Foresight, event: RawEvent, zone_id: str | None, details: Details
    ) -> Selected:
        if foresight.of:
            raising = self._by_name[foresight.of].raising(event.type)
            raised: Selected = _raise(raising, event, zone_id, details, details)
        else:
            happened = replace(event, type=event.type.removesuffix(SUFFIX))
            plan = self._plan_of(happened.type)
            raised = UNNAMED if plan is None else _judge(plan, happened, zone_id)
        if isinstance(raised, Clear) and raised.raises is not None:
            raised = raised.raises
        if isinstance(raised, Raise) and raised.severity is not Severity.CLEARED:
            return Foretold(foresight, replace(raised, details=details))
        return raised if isinstance(raised, Ignored) else UNNAMED

    def _index(self, index: int, conditions: Iterable[Condition]) -> None:
        for condition in conditions:
            if not condition.type:
                self._for_any_type.append(index)
            for name in condition.type:
                if is_literal(name):
                    self._by_type.setdefault(name, []).append(index)
                else:
                    self._by_pattern.append((name, index))

    def _find_plan(self, event_type: str) -> "_Plan | None":
        plan = self._plan(event_type)
        if self._room > 0 and len(event_type) <= REMEMBERED_LENGTH:
            self._plans[event_type] = plan
            # A plan of many rules takes as much room as many plans of a few.
            self._room -= 1 if plan is None else 1 + len(plan.rules) // 10
        return plan

    def _plan(self, event_type: str) -> "_Plan | None":
        candidates = {*self._for_any_type, *self._by_type.get(event_type, ())}
        candidates.update(index for name, index in self._by_pattern if pattern(name)(event_type))
        ignores = [(rule, test) for rule, test in self._ignores if test.names(event_type)]
        # An ignore rule without a type makes no type a named one: there is nothing to be ignored.
        expects = [(one, test) for one, test in self._absences if names_type(one.expect, event_type)]
        foretells = tuple(one for one in self._foresights if one.when.names(event_type))
        if (
            not candidates
            and not expects
            and not foretells
            and not any(rule.when.type for rule, _ in ignores)
        ):
            return None
        rules = [self._rules[index] for index in sorted(candidates)]
        return _plan(rules, ignores, expects, foretells, event_type)


def resource_of(event: RawEvent, rule: FaultRule, details: Details | None = None) -> str:
    """Return the name of the faulty resource: where the rule looks for it, else what the event is about.

    ``details`` are those of the event, if somebody has decoded them already.
    """
    path = rule.resource.path
    if not path:
        return event.resource
    found = look_up(read_details(event) if details is None else details, steps(path))
    if isinstance(found, str):
        return found or event.resource
    return str(found) if isinstance(found, int) and not isinstance(found, bool) else event.resource


def names_type(condition: Condition, event_type: str) -> bool:
    """Tell whether a condition can hold for events of this type."""
    return not condition.type or any(
        name == event_type if is_literal(name) else pattern(name)(event_type) for name in condition.type
    )


# --- plans: what can matter for one type of event ---


class _CompiledRule:
    """A rule with its conditions compiled; ``grades`` have the rule as each grade leaves it."""

    def __init__(self, rule: FaultRule) -> None:
        self.rule = rule
        self.when = compiled(rule.when)
        self.clear_when = [compiled(condition) for condition in rule.clear_when]
        self.thresholds = thresholds((rule.when,))
        self.grades = [
            (compiled(condition), _graded(rule, grade), thresholds((rule.when, condition)))
            for grade in rule.grades
            for condition in grade.when
        ]

    def raising(self, event_type: str) -> "_Raising":
        """Return how events of a type raise a fault by it."""
        grades = [
            _Graded(test.holds, graded, looked_at)
            for test, graded, looked_at in self.grades
            if test.names(event_type)
        ]
        return _Raising(self.rule, self.when.holds, self.thresholds, tuple(grades))


class _Foreseeing:
    """A prediction rule with its conditions compiled."""

    def __init__(self, rule: Foresight) -> None:
        self.rule = rule
        self.when = compiled(rule.when)
        self.withdraw_when = [compiled(condition) for condition in rule.withdraw_when]


class _Graded(NamedTuple):
    """A grade: when, and what it makes of the rule."""

    holds: EventTest
    rule: FaultRule
    thresholds: tuple[Threshold, ...]


class _Raising(NamedTuple):
    """A rule that may raise a fault: when, and as which rule by which grade."""

    rule: FaultRule
    holds: EventTest
    thresholds: tuple[Threshold, ...]
    grades: tuple[_Graded, ...]


class _Plan(NamedTuple):
    rules: tuple[FaultRule, ...]
    ignores: tuple[tuple[str, EventTest], ...]
    clears: tuple[tuple[FaultRule, EventTest], ...]
    raises: tuple[_Raising, ...]
    expects: tuple[tuple[Absence, EventTest], ...]
    foretells: tuple[_Foreseeing, ...]
    patient: tuple[FaultRule, ...]
    reads_details: bool


_UNSEEN = _Plan((), (), (), (), (), (), (), False)
_NO_DETAILS: Details = {}


def _plan(
    rules: Sequence[_CompiledRule],
    ignores: Sequence[tuple[IgnoreRule, Compiled]],
    expects: Sequence[tuple[Absence, Compiled]],
    foretells: tuple[_Foreseeing, ...],
    event_type: str,
) -> _Plan:
    used = [test for _, test in (*ignores, *expects)]
    clears: list[tuple[FaultRule, EventTest]] = []
    raises: list[_Raising] = []
    for each in rules:
        clearing = [test for test in each.clear_when if test.names(event_type)]
        clears += [(each.rule, test.holds) for test in clearing]
        used += clearing
        if each.when.names(event_type):
            raises.append(each.raising(event_type))
            used += [each.when, *(test for test, _, _ in each.grades if test.names(event_type))]
    return _Plan(
        rules=tuple(each.rule for each in rules),
        ignores=tuple((rule.name, test.holds) for rule, test in ignores),
        clears=tuple(clears),
        raises=tuple(raises),
        expects=tuple((absence, test.holds) for absence, test in expects),
        foretells=foretells,
        patient=tuple(each.rule for each in rules if each.rule.patience is not None),
        reads_details=any(test.reads_details for test in used),
    )


def _judge(plan: _Plan, event: RawEvent, zone_id: str | None) -> Selected:
    details = read_details(event) if plan.reads_details else None
    known = _NO_DETAILS if details is None else details
    for name, holds in plan.ignores:
        if holds(event, zone_id, known):
            return Ignored(name)
    ending: list[FaultRule] = []
    for rule, holds in plan.clears:
        if holds(event, zone_id, known):
            ending.append(rule)
    first = _first(plan.raises, event, zone_id, known)
    raised = None
    if first is not None and first.rule not in ending:
        raised = _raise(first, event, zone_id, known, details)
        if raised.severity is Severity.CLEARED:
            ending.append(first.rule)
            raised = None
    return _answer(event, ending, raised, details) if ending else raised or UNNAMED


def _first(
    rules: Iterable[_Raising], event: RawEvent, zone_id: str | None, known: Details
) -> _Raising | None:
    for rule in rules:
        if rule.holds(event, zone_id, known):
            return rule
    return None


def _graded(rule: FaultRule, grade: Grade) -> FaultRule:
    return replace(
        rule,
        severity=rule.severity if grade.severity is None else grade.severity,
        state=grade.state or rule.state,
        recommended_action=grade.recommended_action or rule.recommended_action,
    )


def _raise(
    raising: _Raising, event: RawEvent, zone_id: str | None, known: Details, details: Details | None
) -> Raise:
    rule, looked_at = raising.rule, raising.thresholds
    for grade in raising.grades:
        if grade.holds(event, zone_id, known):
            rule, looked_at = grade.rule, grade.thresholds
            break
    severity = rule.severity
    if severity is None:
        severity = SEVERITY_WORDS.get(event.severity.strip().lower(), Severity.INDETERMINATE)
    if details is None and rule.resource.path:
        details = read_details(event)
    return Raise(rule, severity, resource_of(event, rule, details), details, looked_at)


def _answer(
    event: RawEvent, ending: Iterable[FaultRule], raised: Raise | None, details: Details | None
) -> Selected:
    """Put together what ends and what begins: a fault that is raised is left out of those that end."""
    faults: dict[tuple[str, str], Ended] = {}
    for rule in ending:
        resource = resource_of(event, rule, details)
        faults.setdefault((resource, rule.fault_type), Ended(resource, rule.fault_type, rule))
    if raised is not None:
        faults.pop((raised.resource, raised.rule.fault_type), None)
        if not faults:
            return raised
    return Clear(tuple(faults.values()), raised)
