"""Reads how several events make one fault: `confirm`, `aggregate`, `absence`, `damping`, `suspect`, `storm`,
`self_isolation`.
"""

from datetime import timedelta

from msgspec.structs import replace

from doctor.inspector.condition_text import read_demanded, read_severity
from doctor.inspector.document import Place, shown
from doctor.inspector.prediction_text import read_fault_type
from doctor.model.fault import ResourceState, Severity
from doctor.model.policy import (
    Absence,
    Aggregation,
    Catalogue,
    Damping,
    FaultRule,
    Patience,
    RecommendedAction,
    SelfIsolation,
    Storm,
    Subject,
    Suspicion,
)
from doctor.model.resource import RELATION_KINDS

CONFIRM_KEYS = ("faults", "monitors", "within")
AGGREGATE_KEYS = ("name", "severity_below", "same", "more_than", "within", "raise")
RAISE_KEYS = ("fault_type", "severity", "state", "probable_cause", "recommended_action")
ABSENCE_KEYS = ("name", "expect", "every", "same", "raise")
SUSPECT_KEYS = ("name", "of", "kind", "at_least", "share", "within", "severity")
STORM_KEYS = ("hosts", "share", "within", "calm")
SELF_ISOLATION_KEYS = ("hosts", "share", "within", "settle")
DAMPING_KEYS = ("changes", "within", "hold")


def confirmed(rules: tuple[FaultRule, ...], place: Place) -> tuple[FaultRule, ...]:
    """Return the rules with how many Monitors have to agree on their faults."""
    by_name = {rule.name: rule for rule in rules}
    for section in place.sections(CONFIRM_KEYS):
        monitors = section.at("monitors").demand("how many Monitors have to agree?").count(1, least=1)
        within = section.at("within").duration(Patience().within)
        names = section.at("faults").demand("which rules are meant?").one_or_more()
        for each in names:
            name = each.text()
            rule = by_name.get(name)
            if rule is None:
                if name:
                    each.flaw(f"{shown(name)} is the name of no rule", hint=(name, by_name))
            elif monitors > 1:
                patience = rule.patience or Patience()
                by_name[name] = replace(rule, patience=replace(patience, monitors=monitors, within=within))
    return tuple(by_name[rule.name] for rule in rules) if len(by_name) == len(rules) else rules


def read_aggregations(place: Place) -> tuple[Aggregation, ...]:
    """Read which faults of one resource are together another one [D 3.3.2]."""
    found = []
    for section in place.sections(AGGREGATE_KEYS):
        section.at("same").one_of(("resource",), "resource")
        raises = section.at("raise").demand("which fault do they make?")
        raises = raises.section(RAISE_KEYS) if raises.is_given else Place(None, raises.pointer, {})
        below = section.at("severity_below")
        found.append(
            Aggregation(
                name=section.at("name").text(),
                severity_below=read_severity(below) if below.is_given else Severity.CRITICAL,
                more_than=section.at("more_than").count(2, least=1),
                within=section.at("within").duration(),
                fault_type=read_fault_type(raises.at("fault_type")),
                severity=read_severity(raises.at("severity"))
                if raises.at("severity").is_given
                else Severity.CRITICAL,
                state=raises.at("state").word(ResourceState, ResourceState.ERROR),
                probable_cause=raises.at("probable_cause").text("several faults of the same resource"),
                recommended_action=raises.at("recommended_action").word(
                    RecommendedAction, RecommendedAction.SWITCH_TO_HOT_STANDBY
                ),
            )
        )
    return tuple(found)


def read_absences(place: Place, catalogue: Catalogue) -> tuple[Absence, ...]:
    """Read which events have to come."""
    found = []
    for section in place.sections(ABSENCE_KEYS):
        expect = read_demanded(section.at("expect"))
        if not expect.type and section.at("expect").is_given:
            section.at("expect").flaw("needs a type: which events have to come?")
        every = section.at("every").duration()
        if section.at("every").is_given and every < timedelta(seconds=1):
            section.at("every").flaw("is too often: at least a second")
        raises = section.at("raise").text("monitor.silent")
        if raises not in catalogue.rows:
            section.at("raise").flaw(
                f"{shown(raises)} is no type of event that ships", hint=(raises, catalogue.types)
            )
        found.append(
            Absence(
                name=section.at("name").text(),
                expect=expect,
                every=every,
                same=section.at("same").word(Subject, Subject.SOURCE),
                raises=raises,
            )
        )
    return tuple(found)


def read_damping(place: Place) -> Damping:
    """Read how a fault that comes and goes is told; `off` is never less often."""
    default = Damping()
    if not place.is_given:
        return default
    if place.value == "off":
        return replace(default, changes=0)
    section = place.section(DAMPING_KEYS)
    return Damping(
        changes=section.at("changes").count(default.changes),
        within=section.at("within").duration(default.within),
        hold=section.at("hold").duration(default.hold),
    )


def read_suspicions(place: Place) -> tuple[Suspicion, ...]:
    """Read which failures point at what they have in common."""
    return tuple(
        Suspicion(
            name=section.at("name").text(f"suspect {section.at('of').value}"),
            supplier_type=section.at("of").text(),
            kind=section.at("kind").one_of(RELATION_KINDS),
            at_least=section.at("at_least").count(3, least=2),
            share=section.at("share").share(0.5),
            within=section.at("within").duration(),
            severity=(
                read_severity(section.at("severity")) if section.at("severity").is_given else Severity.MAJOR
            ),
        )
        for section in place.sections(SUSPECT_KEYS)
    )


def read_storm(place: Place) -> Storm | None:
    """Read when many hosts at once are one fault; without the section, or with `off`, they never are."""
    if not place.is_given or place.value == "off":
        return None
    default = Storm()
    section = place.section(STORM_KEYS)
    return Storm(
        hosts=section.at("hosts").count(default.hosts, least=2),
        share=section.at("share").share(default.share),
        within=section.at("within").duration(default.within),
        calm=section.at("calm").duration(default.calm),
    )


def read_self_isolation(place: Place) -> SelfIsolation | None:
    """Read when silence is that of the monitor itself; `off` believes every monitor."""
    default = SelfIsolation()
    if not place.is_given:
        return default
    if place.value == "off":
        return None
    section = place.section(SELF_ISOLATION_KEYS)
    return SelfIsolation(
        hosts=section.at("hosts").count(default.hosts, least=2),
        share=_share(section.at("share"), default.share),
        within=section.at("within").duration(default.within),
        settle=section.at("settle").duration(default.settle),
    )


def _share(place: Place, default: float) -> float:
    share = place.number()
    if share is None:
        return default
    if not 0 <= share <= 1:
        place.flaw("has to be a share from 0 to 1")
        return default
    return share
