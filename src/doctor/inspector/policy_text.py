"""Reads a failure policy as the operator writes it (YAML), and says all that is wrong with it at once."""

from collections.abc import Iterator
from datetime import timedelta
from math import inf, nextafter

import msgspec
from msgspec.structs import replace

from doctor.inspector.advice import advice
from doctor.inspector.condition_text import (
    DEFAULT_CLEAR,
    about_the_same,
    read_any_severity,
    read_condition,
    read_demanded,
    read_severity,
)
from doctor.inspector.document import Document, Place, shown
from doctor.inspector.judging_text import (
    confirmed,
    read_absences,
    read_aggregations,
    read_damping,
    read_self_isolation,
    read_storm,
    read_suspicions,
)
from doctor.inspector.policy_size import excesses
from doctor.inspector.prediction_text import read_fault_type, read_foresights
from doctor.inspector.zone_text import read_zones
from doctor.model.errors import Flaw
from doctor.model.fault import EventType, ResourceState, Severity
from doctor.model.policy import (
    Catalogue,
    CatalogueRow,
    Condition,
    FailurePolicy,
    FaultRule,
    Grade,
    IgnoreRule,
    Patience,
    Propagation,
    Range,
    RecommendedAction,
    ResourceSource,
    Ways,
)
from doctor.model.resource import RELATION_KINDS

MAX_DESCRIPTION = 4096

SECTIONS = (
    *("version", "description", "faults", "ignore", "confirm", "aggregate", "absence", "damping"),
    *("predict", "suspect", "storm", "self_isolation", "zones", "propagate"),
)
RULE_KEYS = (
    *("name", "when", "clear_when", "resource", "fault_type", "severity", "state"),
    *("event_type", "probable_cause", "recommended_action", "grades", "samples"),
)
GRADE_KEYS = ("condition", "when", "severity", "state", "recommended_action")
PROPAGATION_KEYS = ("from", "kind", "state", "when_all", "to_state", "severity", "min_severity")

WAYS = {"true": Ways.ALL, "false": Ways.SOME}


class PolicyReport(msgspec.Struct, frozen=True):
    """A policy that can be applied, and what its author should look at once more."""

    policy: FailurePolicy
    warnings: tuple[Flaw, ...] = ()


def parse_policy(text: str, catalogue: Catalogue) -> PolicyReport:
    """Read a policy; what a rule leaves out comes from the catalogue's row for its type of event.

    Raises:
        RejectedError: something is wrong; every flaw is named by its place.
    """
    document = Document("the failure policy", text)
    top = document.top.section(SECTIONS)
    if top.at("version").text() not in ("", "1"):
        top.at("version").flaw("has to be 1, the only version there is")
    faults = confirmed(_fault_rules(top.at("faults").sections(RULE_KEYS), catalogue), top.at("confirm"))
    policy = FailurePolicy(
        version=1,
        description=top.at("description").text("", limit=MAX_DESCRIPTION),
        faults=faults,
        ignore=tuple(
            IgnoreRule(name=each.at("name").text(each.pointer), when=read_demanded(each.at("when")))
            for each in top.at("ignore").sections(("name", "when"))
        ),
        predict=read_foresights(top.at("predict"), [rule.name for rule in faults]),
        aggregate=read_aggregations(top.at("aggregate")),
        absence=read_absences(top.at("absence"), catalogue),
        damping=read_damping(top.at("damping")),
        suspect=read_suspicions(top.at("suspect")),
        storm=read_storm(top.at("storm")),
        self_isolation=read_self_isolation(top.at("self_isolation")),
        zones=read_zones(top.at("zones")),
        propagate=tuple(_propagation(each) for each in top.at("propagate").sections(PROPAGATION_KEYS)),
    )
    for pointer, detail in excesses(policy):
        document.note(pointer, detail)
    document.finish()
    warnings = tuple(document.flaw(pointer, detail) for pointer, detail in advice(policy, catalogue))
    return PolicyReport(policy, warnings)


# --- the sections of a policy ---


def _fault_rules(sections: list[Place], catalogue: Catalogue) -> tuple[FaultRule, ...]:
    rules = tuple(_fault_rule(section, catalogue) for section in sections)
    first: dict[str, str] = {}
    for rule, section in zip(rules, sections, strict=True):
        if rule.name and first.setdefault(rule.name, section.pointer) != section.pointer:
            section.at("name").flaw(f"{shown(rule.name)} is the name of {first[rule.name]} already")
    return rules


def _fault_rule(section: Place, catalogue: Catalogue) -> FaultRule:
    when = read_demanded(section.at("when"))
    row = catalogue.rows.get(when.type[0], _UNLISTED) if len(when.type) == 1 else _UNLISTED
    if row is _UNLISTED:
        for key in ("fault_type", "severity"):
            section.at(key).demand("the catalogue has no row for the type of event that would give it")
    severity = section.at("severity")
    is_same = severity.value == "same"
    return FaultRule(
        name=section.at("name").text(),
        when=when,
        clear_when=_clear_conditions(section.at("clear_when"), when, row.clears_by),
        resource=_resource(section.at("resource"), row.resource),
        fault_type=read_fault_type(section.at("fault_type"), row.fault_type),
        severity=None if is_same else read_severity(severity) if severity.is_given else row.severity,
        state=section.at("state").word(ResourceState, row.state),
        event_type=section.at("event_type").word(EventType, row.event_type),
        probable_cause=section.at("probable_cause").text(row.probable_cause),
        recommended_action=section.at("recommended_action").word(RecommendedAction, row.recommended_action),
        grades=(
            read_grades(section.at("grades"))
            if section.at("grades").is_given
            else _inherited_grades(section, row)
        ),
        patience=_patience(section, when),
    )


def _patience(section: Place, when: Condition) -> Patience | None:
    dwells = [matcher.dwell for matcher in when.details.values() if isinstance(matcher, Range)]
    patience = Patience(
        dwell=max(dwells, default=timedelta(0)), samples=section.at("samples").count(1, least=1)
    )
    return None if patience == Patience() else patience


# What holds for a type of event that the catalogue does not have, unless the rule says it: nothing is out of service.
_UNLISTED = CatalogueRow(
    type="",
    fault_type="",
    resource="",
    severity=Severity.INDETERMINATE,
    state=ResourceState.NORMAL,
    event_type=EventType.EQUIPMENT,
    probable_cause="indeterminate",
    recommended_action=RecommendedAction.INFORM_OAM,
    detection="",
    repair="",
    cites=(),
)


def read_grades(place: Place) -> tuple[Grade, ...]:
    """Read the conditions under which a fault is of another severity, state or action."""
    return tuple(
        Grade(
            condition=each.at("condition").text(""),
            when=tuple(
                read_condition(when) for when in each.at("when").demand("when does it hold?").one_or_more()
            ),
            severity=read_severity(each.at("severity")) if each.at("severity").is_given else None,
            state=each.at("state").word(ResourceState) if each.at("state").is_given else None,
            recommended_action=(
                each.at("recommended_action").word(RecommendedAction)
                if each.at("recommended_action").is_given
                else None
            ),
        )
        for each in place.sections(GRADE_KEYS)
    )


def _inherited_grades(section: Place, row: CatalogueRow) -> tuple[Grade, ...]:
    """Return the grades of the row without what the rule decides itself."""
    decided = {key: None for key in ("severity", "state", "recommended_action") if section.at(key).is_given}
    return tuple(replace(grade, **decided) for grade in row.grades)


def _clear_conditions(place: Place, when: Condition, clears_by: tuple[str, ...]) -> tuple[Condition, ...]:
    """Return what ends the fault: as the rule says, else the default; and what the catalogue knows to end it.

    The catalogue's part falls away when the rule names types of clearing events itself, or that nothing ends it.
    """
    wanted: tuple[Condition, ...] = DEFAULT_CLEAR
    if place.is_given:
        wanted = tuple(read_condition(each) for each in place.one_or_more(may_be_empty=True))
        if not wanted or any(condition.type for condition in wanted):
            clears_by = ()
    else:
        wanted = (*wanted, *_beyond(when))
    if clears_by:
        wanted = (*wanted, Condition(type=clears_by))
    return tuple(about_the_same(when, condition) for condition in wanted)


def _beyond(when: Condition) -> Iterator[Condition]:
    """Return what a reading that has left the ranges of a rule meets."""
    for key, matcher in when.details.items():
        if isinstance(matcher, Range):
            if matcher.above is not None:
                end = nextafter(matcher.above, inf) if matcher.clear_below is None else matcher.clear_below
                yield Condition(details={key: Range(below=end)})
            if matcher.below is not None:
                end = nextafter(matcher.below, -inf) if matcher.clear_above is None else matcher.clear_above
                yield Condition(details={key: Range(above=end)})


def _resource(place: Place, resource_type: str) -> ResourceSource:
    if not place.is_given:
        return ResourceSource(type=resource_type)
    section = place.section(("id", "type"))
    path = section.at("id").text("")
    if path and (not path.startswith("details.") or path == "details."):
        section.at("id").flaw("has to be a place in the details of the event, such as details.hostname")
    return ResourceSource(path=path.removeprefix("details."), type=section.at("type").text(resource_type))


def _propagation(section: Place) -> Propagation:
    state, severity, least = (section.at(key) for key in ("state", "severity", "min_severity"))
    return Propagation(
        supplier_type=section.at("from").text(),
        kind=section.at("kind").one_of(RELATION_KINDS),
        state=state.word(ResourceState) if state.is_given else None,
        ways=WAYS.get(section.at("when_all").one_of(WAYS, ""), Ways.THIS),
        to_state=section.at("to_state").word(ResourceState),
        severity=None if severity.value in (None, "same") else read_severity(severity),
        min_severity=read_any_severity(least) if least.is_given else Severity.CLEARED,
    )
