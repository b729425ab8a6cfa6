"""Reads the failure impact zones of a policy: `zones`."""

from datetime import timedelta

from doctor.inspector.condition_text import read_severity
from doctor.inspector.document import Place, shown
from doctor.model.fault import ResourceState, Severity
from doctor.model.policy import Audience, Escalate, IsolationPolicy, RecommendedAction, ZoneLevel
from doctor.model.resource import RELATION_KINDS, VIRTUAL_RESOURCE_TYPES

ZONE_KEYS = (
    *("type", "relations", "components", "probation", "frequency", "distinct"),
    *("escalate", "deadline", "next", "isolation", "raise"),
)
RAISE_KEYS = ("severity", "state", "tell", "probable_cause", "recommended_action")
MOST_LEVELS = 20
MOST_FAILURES = 100  # that are remembered of one zone
SHORTEST = timedelta(seconds=1)
LONGEST_DEADLINE = timedelta(days=7)

USUAL = ZoneLevel(type="", probation=timedelta(0))


def read_zones(place: Place) -> tuple[ZoneLevel, ...]:
    """Read how often parts of a zone may fail, level by level [HA 6.1.2.2, 6.1.2.3]."""
    sections = place.sections(ZONE_KEYS)
    if len(sections) > MOST_LEVELS:
        place.flaw(f"are too many: at most {MOST_LEVELS}")
    levels = tuple(_level(section) for section in sections)
    first: dict[str, str] = {}
    for level, section in zip(levels, sections, strict=True):
        if level.type and first.setdefault(level.type, section.pointer) != section.pointer:
            section.at("type").flaw(f"{first[level.type]} says already what holds for {shown(level.type)}")
    for level, section in zip(levels, sections, strict=True):
        for name, each in zip(
            level.next or (), section.at("next").one_or_more(may_be_empty=True), strict=True
        ):
            if name and name not in first:
                each.flaw(f"{shown(name)} is the type of no zone here", hint=(name, first))
    return levels


def _level(section: Place) -> ZoneLevel:
    zone_type = section.at("type").text()
    frequency = _number(section.at("frequency"), USUAL.frequency)
    distinct = _number(section.at("distinct"), USUAL.distinct)
    if distinct > frequency:
        section.at("distinct").flaw(
            f"never holds: {frequency} failures (frequency) are of {frequency} parts at most"
        )
    relations = section.at("relations")
    onward = section.at("next")
    raises = section.at("raise")
    raises = raises.section(RAISE_KEYS) if raises.is_given else Place(None, raises.pointer, {})
    tell = _audience(raises.at("tell"), zone_type)
    severity = raises.at("severity")
    usual_action = RecommendedAction.LIVE_MIGRATE if tell is Audience.OWNERS else RecommendedAction.INFORM_OAM
    return ZoneLevel(
        type=zone_type,
        relations=(
            tuple(dict.fromkeys(each.one_of(RELATION_KINDS) for each in relations.one_or_more()))
            if relations.is_given
            else USUAL.relations
        ),
        components=tuple(each.text() for each in section.at("components").one_or_more()),
        probation=_duration(section.at("probation"), None),
        frequency=frequency,
        distinct=distinct,
        escalate=section.at("escalate").word(Escalate, USUAL.escalate),
        deadline=_deadline(section),
        next=(
            tuple(each.text() for each in onward.one_or_more(may_be_empty=True)) if onward.is_given else None
        ),
        isolation=section.at("isolation").word(IsolationPolicy, USUAL.isolation),
        severity=read_severity(severity) if severity.is_given else Severity.CRITICAL,
        state=raises.at("state").word(ResourceState, USUAL.state),
        tell=tell,
        probable_cause=raises.at("probable_cause").text(USUAL.probable_cause),
        recommended_action=raises.at("recommended_action").word(RecommendedAction, usual_action),
    )


def _audience(place: Place, zone_type: str) -> Audience:
    is_owned = zone_type in VIRTUAL_RESOURCE_TYPES
    tell = place.word(Audience, Audience.OWNERS if is_owned else USUAL.tell)
    if is_owned and tell is Audience.ADMINISTRATOR:
        place.flaw(f"a {zone_type} has an owner, who is always told of its faults")
    return tell


def _number(place: Place, default: int) -> int:
    number = place.count(default, least=1)
    if number > MOST_FAILURES:
        place.flaw(f"is too much: at most {MOST_FAILURES}")
        return default
    return number


def _deadline(section: Place) -> timedelta:
    place = section.at("deadline")
    if place.is_given and section.at("escalate").value == Escalate.AUTOMATIC:
        place.flaw("is for escalate: ask, since nobody is asked here")
    deadline = _duration(place, USUAL.deadline)
    if deadline > LONGEST_DEADLINE:
        place.flaw(f"is too long: at most {LONGEST_DEADLINE.days} days")
    return deadline


def _duration(place: Place, default: timedelta | None) -> timedelta:
    duration = place.duration(SHORTEST if place.is_given else default)
    if place.is_given and duration < SHORTEST:
        place.flaw("is too short: at least a second")
    return duration
