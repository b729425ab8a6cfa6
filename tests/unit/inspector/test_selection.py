"""What an event means by the policy: it raises a fault, ends some, is ignored, or nobody speaks of it."""

import json
import os
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.inspector import selection
from doctor.inspector.measurement import thresholds
from doctor.inspector.selection import (
    UNNAMED,
    Clear,
    Ignored,
    Raise,
    Selected,
    Selector,
    resource_of,
)
from doctor.inspector.words import number_of
from doctor.model.event import RawEvent
from doctor.model.fault import SEVERITY_WORDS, EventType, ResourceState, Severity
from doctor.model.policy import (
    Condition,
    Equals,
    FailurePolicy,
    FaultRule,
    Glob,
    Grade,
    IgnoreRule,
    Matcher,
    OneOf,
    Range,
    RecommendedAction,
    ResourceSource,
)

UP = Condition(type=("t",), details={"status": OneOf((Equals("up"), Equals("ok")))})


def event(event_type: str = "t", *, raw: bytes | None = None, **details: Any) -> RawEvent:
    return RawEvent(
        time=datetime(2026, 3, 4, tzinfo=UTC),
        type=event_type,
        resource=details.get("resource_id", details.get("hostname", "")),
        resource_type=details.get("resource_type", ""),
        source=details.get("source", ""),
        status=details.get("status", ""),
        severity=details.get("severity", ""),
        raw_details=json.dumps(details).encode() if raw is None else raw,
    )


def rule(name: str = "r", **fields: Any) -> FaultRule:
    given_fields: dict[str, Any] = {
        "when": Condition(type=("t",)),
        "clear_when": (UP,),
        "resource": ResourceSource(),
        "fault_type": f"fault of {name}",
        "severity": Severity.MAJOR,
        "state": ResourceState.ERROR,
        "event_type": EventType.EQUIPMENT,
        "probable_cause": "indeterminate",
        "recommended_action": RecommendedAction.NONE,
    }
    return FaultRule(name=name, **(given_fields | fields))


def selector(*rules: FaultRule, ignore: tuple[Condition, ...] = ()) -> Selector:
    ignoring = tuple(IgnoreRule(name=f"i{index}", when=when) for index, when in enumerate(ignore))
    return Selector(FailurePolicy(version=1, faults=rules, ignore=ignoring))


def takes(when: Condition, said: RawEvent, zone_id: str | None = None) -> bool:
    """Tell whether a rule with this condition takes the event."""
    selected = selector(rule(when=when, clear_when=())).select(said, zone_id)
    return isinstance(selected, Raise)


# --- raise ---


def test_an_event_that_meets_a_rule_raises_its_fault() -> None:
    the_rule = rule()
    assert selector(the_rule).select(event(hostname="c-1", status="down")) == Raise(
        the_rule, Severity.MAJOR, "c-1"
    )


def test_the_first_rule_that_takes_an_event_counts() -> None:
    narrow = rule("narrow", when=Condition(type=("t",), source=("s",)))
    wide = rule("wide", when=Condition(type=("*",)))
    both = selector(narrow, wide)
    first, second = both.select(event(source="s")), both.select(event(source="z"))
    assert isinstance(first, Raise)
    assert isinstance(second, Raise)
    assert (first.rule.name, second.rule.name) == ("narrow", "wide")


@pytest.mark.requirement("D42")
@pytest.mark.parametrize(
    ("said", "severity"),
    [
        pytest.param("critical", Severity.CRITICAL, id="name"),
        pytest.param(" Disaster ", Severity.CRITICAL, id="word-of-a-monitor"),
        pytest.param("", Severity.INDETERMINATE, id="nothing"),
        pytest.param("whatever", Severity.INDETERMINATE, id="unknown"),
    ],
)
def test_a_rule_without_a_severity_takes_the_monitors(said: str, severity: Severity) -> None:
    selected = selector(rule(severity=None)).select(event(severity=said))
    assert isinstance(selected, Raise)
    assert selected.severity is severity


def test_a_fault_is_never_raised_as_cleared() -> None:
    the_rule = rule(severity=None, clear_when=())
    selected = selector(the_rule).select(event(severity="ok", hostname="c-1"))
    assert selected == Clear((selection.Ended("c-1", the_rule.fault_type, the_rule),))


GRADES = (
    Grade(
        condition="hot",
        when=(Condition(details={"heat": Range(above=90)}), Condition(details={"heat": Equals("high")})),
        severity=Severity.CRITICAL,
        state=ResourceState.DOWN,
    ),
    Grade(
        condition="for all others",
        when=(Condition(),),
        recommended_action=RecommendedAction.EVACUATE,
    ),
)


@pytest.mark.parametrize(
    ("heat", "severity", "state", "action"),
    [
        pytest.param(95, Severity.CRITICAL, ResourceState.DOWN, RecommendedAction.NONE, id="hot"),
        pytest.param("High", Severity.CRITICAL, ResourceState.DOWN, RecommendedAction.NONE, id="hot-by-word"),
        pytest.param(60, Severity.MAJOR, ResourceState.ERROR, RecommendedAction.EVACUATE, id="other"),
    ],
)
def test_the_first_grade_that_holds_has_the_last_word(
    heat: object, severity: Severity, state: ResourceState, action: RecommendedAction
) -> None:
    selected = selector(rule(grades=GRADES)).select(event(heat=heat))
    assert isinstance(selected, Raise)
    assert (selected.severity, selected.rule.state, selected.rule.recommended_action) == (
        severity,
        state,
        action,
    )
    assert selected.rule.name == "r"
    assert selected.details == {"heat": heat}


def test_a_grade_may_be_for_one_of_several_types() -> None:
    grade = Grade(condition="", when=(Condition(type=("u.*",)),), severity=Severity.MINOR)
    both = selector(rule(when=Condition(type=("t", "u.1")), clear_when=(), grades=(grade,)))
    severities = [getattr(both.select(event(event_type)), "severity", None) for event_type in ("t", "u.1")]
    assert severities == [Severity.MAJOR, Severity.MINOR]


# --- clear ---


def test_an_event_ends_the_faults_of_all_rules_that_say_so() -> None:
    one, other = rule("one"), rule("other", when=Condition(type=("*",)), fault_type="else")
    unasked = rule("unasked", when=Condition(type=("u",)), clear_when=(Condition(type=("u",)),))
    selected = selector(one, other, unasked).select(event(status="OK", hostname="c-1"))
    assert isinstance(selected, Clear)
    assert [(ended.resource, ended.rule.name) for ended in selected.faults] == [
        ("c-1", "one"),
        ("c-1", "other"),
    ]
    assert {ended.fault_type for ended in selected.faults} == {"fault of one", "else"}
    assert selected.raises is None


def test_a_fault_that_several_rules_end_is_named_once() -> None:
    selected = selector(rule("one", fault_type="f"), rule("two", fault_type="f")).select(event(status="up"))
    assert isinstance(selected, Clear)
    assert len(selected.faults) == 1


def test_a_type_that_only_clears_clears() -> None:
    selected = selector(rule(clear_when=(Condition(type=("t.up",)),))).select(event("t.up"))
    assert isinstance(selected, Clear)


TEMPERATURE = (
    rule(
        "hot",
        when=Condition(type=("t",), details={"heat": Range(above=90)}),
        clear_when=(Condition(type=("t",), details={"heat": Range(below=85)}),),
        severity=Severity.CRITICAL,
    ),
    rule(
        "warm",
        when=Condition(type=("t",), details={"heat": Range(above=70)}),
        clear_when=(Condition(type=("t",), details={"heat": Range(below=65)}),),
        severity=Severity.WARNING,
    ),
)


@pytest.mark.parametrize(
    ("heat", "ended", "raised"),
    [
        pytest.param(95, [], "hot", id="hot"),
        pytest.param(87, [], "warm", id="between-and-not-yet-cooler"),
        pytest.param(80, ["hot"], "warm", id="cooler"),
        pytest.param(68, ["hot"], None, id="not-warm-any-more"),
        pytest.param(20, ["hot", "warm"], None, id="cold"),
    ],
)
def test_one_event_may_end_one_fault_and_raise_another(
    heat: int, ended: list[str], raised: str | None
) -> None:
    selected = selector(*TEMPERATURE).select(event(heat=heat))
    if isinstance(selected, Raise):
        assert ([], selected.rule.name) == (ended, raised)
        return
    assert isinstance(selected, Clear)
    assert [each.rule.name for each in selected.faults] == ended
    assert (selected.raises.rule.name if selected.raises else None) == raised


def test_a_fault_that_is_raised_by_another_rule_does_not_end_as_well() -> None:
    """It changes: the second rule has the same fault at another severity."""
    hot, warm = (replace(each, fault_type="temperature") for each in TEMPERATURE)
    found = selector(hot, warm).select(event(heat=80))
    assert found == Raise(warm, Severity.WARNING, "", {"heat": 80}, thresholds((warm.when,)))


# --- ignored, unnamed ---


def test_what_is_ignored_counts_for_nothing() -> None:
    ignoring = selector(rule(), ignore=(Condition(type=("x",)), Condition(source=("lab-*",))))
    assert ignoring.select(event(source="lab-7")) == Ignored("i1")
    assert ignoring.select(event(source="lab-7", status="up")) == Ignored("i1")
    assert isinstance(ignoring.select(event(source="s")), Raise)


def test_a_type_that_no_rule_names_is_unnamed_whoever_says_it() -> None:
    ignoring = selector(rule(), ignore=(Condition(source=("lab-*",)),))
    assert ignoring.select(event("u", source="lab-7")) is UNNAMED
    assert ignoring.rules_for("u") is None


def test_a_type_that_is_ignored_by_its_name_is_named() -> None:
    ignoring = selector(
        rule(), ignore=(Condition(type=("noise.*", "hum")), Condition(type=("u",), source=("s",)))
    )
    assert ignoring.select(event("noise.a")) == Ignored("i0")
    assert ignoring.select(event("u", source="z")) is UNNAMED
    assert ignoring.rules_for("hum") == ()


def test_an_event_that_meets_none_of_its_rules_is_unnamed() -> None:
    assert selector(rule(when=Condition(type=("t",), zone=("z",)))).select(event()) is UNNAMED


def test_the_rules_for_a_type_are_those_that_may_raise_or_clear_something() -> None:
    one = rule("one", when=Condition(type=("t.*",)), clear_when=(Condition(type=("up",)),))
    anything = rule("anything", when=Condition(source=("s",)), clear_when=())
    assert selector(one).rules_for("t.a") == (one,)
    assert selector(one).rules_for("up") == (one,)
    assert selector(one).rules_for("down") is None
    assert selector(one, anything).rules_for("down") == (anything,)


# --- conditions ---


@pytest.mark.parametrize(
    ("when", "said", "zone_id", "taken"),
    [
        pytest.param({"type": ("t?",)}, {}, None, False, id="type-pattern"),
        pytest.param({"type": ("T",)}, {}, None, False, id="type-case"),
        pytest.param({"source": ("a", "b*")}, {"source": "b1"}, None, True, id="source"),
        pytest.param({"source": ("B*",)}, {"source": "b1"}, None, False, id="source-case"),
        pytest.param({"source": ("*",)}, {}, None, False, id="no-source"),
        pytest.param({"resource": ("c-[12]",)}, {"hostname": "c-2"}, None, True, id="resource"),
        pytest.param({"resource": ("c-[12]",)}, {"hostname": "c-3"}, None, False, id="other-resource"),
        pytest.param({"zone": ("az1",)}, {}, "az1", True, id="zone"),
        pytest.param({"zone": ("az*",)}, {}, "az2", True, id="zone-pattern"),
        pytest.param({"zone": ("az1",)}, {}, "az2", False, id="other-zone"),
        pytest.param({"zone": ("*",)}, {}, None, False, id="no-zone"),
        pytest.param(
            {"severity": frozenset({Severity.MAJOR})}, {"severity": "High "}, None, True, id="severity"
        ),
        pytest.param(
            {"severity": frozenset({Severity.MAJOR})}, {"severity": "low"}, None, False, id="not-so-bad"
        ),
        pytest.param({"severity": frozenset(Severity)}, {"severity": "weird"}, None, False, id="no-severity"),
    ],
)
def test_a_condition_on_what_every_event_has(
    when: dict[str, Any], said: dict[str, Any], zone_id: str | None, taken: bool
) -> None:
    assert takes(Condition(**({"type": ("t",)} | when)), event(**said), zone_id) is taken


UP_OR_1 = OneOf((Equals("Up"), Equals("1"), Glob("on*")))


@pytest.mark.requirement("B8")
@pytest.mark.parametrize(
    ("key", "matcher", "said", "taken"),
    [
        pytest.param("status", Equals("Down"), {"status": " dOwn\n"}, True, id="field-any-case"),
        pytest.param("status", Glob("*"), {}, False, id="field-not-there"),
        pytest.param("status", Range(above=3), {"status": "4"}, True, id="field-number"),
        pytest.param("source", Glob("P*"), {"source": "ping"}, True, id="field-pattern"),
        pytest.param("severity", Equals("page"), {"severity": "page"}, True, id="severity-to-the-letter"),
        pytest.param("resource_type", Equals("nic"), {"resource_type": "nic"}, True, id="resource-type"),
        pytest.param("hostname", Equals("c-1"), {"hostname": "c-1", "resource_id": "x"}, True, id="hostname"),
        pytest.param("k", Equals("ÄRGER"), {"k": "ärger"}, True, id="word-any-case"),
        pytest.param("k", UP_OR_1, {"k": "UP"}, True, id="one-of-word"),
        pytest.param("k", UP_OR_1, {"k": "ONline"}, True, id="one-of-pattern"),
        pytest.param("k", UP_OR_1, {"k": 1}, True, id="one-of-number"),
        pytest.param("k", UP_OR_1, {"k": 1.0}, True, id="number-as-number"),
        pytest.param("k", UP_OR_1, {"k": "1.0"}, False, id="text-as-text"),
        pytest.param("k", UP_OR_1, {"k": True}, False, id="true-is-not-1"),
        pytest.param("k", Equals("true"), {"k": True}, True, id="true"),
        pytest.param("k", Equals("False"), {"k": False}, True, id="false"),
        pytest.param("k", Glob("1?"), {"k": 12}, True, id="pattern-on-a-number"),
        pytest.param("k", Glob("*"), {"k": ""}, False, id="empty"),
        pytest.param("k", Glob("*"), {"k": None}, False, id="null"),
        pytest.param("k", Glob("*"), {"k": ["a"]}, False, id="list"),
        pytest.param("k", Glob("*"), {}, False, id="not-there"),
        pytest.param("k", Equals(" "), {"k": ""}, False, id="empty-on-both-sides"),
        pytest.param("a.b", Equals("x"), {"a": {"b": "x"}}, True, id="nested"),
        pytest.param("a.b.c", Equals("x"), {"a": {"b": "x"}}, False, id="nested-too-deep"),
        pytest.param("a.b", Equals("x"), {"a.b": "x", "a": {"b": "y"}}, True, id="key-with-a-dot"),
        pytest.param("k", Range(above=80), {"k": 80}, False, id="not-above"),
        pytest.param("k", Range(above=80), {"k": 80.5}, True, id="above"),
        pytest.param("k", Range(above=80, below=90), {"k": "85"}, True, id="numeric-text"),
        pytest.param("k", Range(above=80, below=90), {"k": "9e1"}, False, id="not-below"),
        pytest.param("k", Range(below=90), {"k": -1}, True, id="below"),
        pytest.param("k", Range(above=80), {"k": "high"}, False, id="word"),
        pytest.param("k", Range(above=-1), {"k": True}, False, id="true-is-no-number"),
        pytest.param("k", Range(above=-1), {"k": [3]}, False, id="list-is-no-number"),
        pytest.param("k", Range(above=1), {"k": 10**40}, True, id="huge"),
    ],
)
def test_a_condition_on_a_detail(key: str, matcher: Matcher, said: dict[str, Any], taken: bool) -> None:
    assert takes(Condition(type=("t",), details={key: matcher}), event(**said)) is taken


@pytest.mark.parametrize(
    "text", ["nan", "NaN", "inf", "-Infinity", "1e999", "", "1_0", "\u0661", "0x10", "1" * 65]
)
def test_what_is_no_finite_number_is_none(text: str) -> None:
    assert number_of(text) is None


def test_a_float_that_is_no_number_is_none() -> None:
    assert (number_of(float("nan")), number_of(float("inf"))) == (None, None)


def test_all_that_is_given_has_to_hold() -> None:
    when = Condition(type=("t",), source=("s",), details={"k": Equals("v")})
    assert takes(when, event(source="s", k="v"))
    assert not takes(when, event(source="s", k="w"))
    assert not takes(when, event(source="z", k="v"))


# --- details are decoded only for those who look ---


@pytest.mark.parametrize(
    "raw",
    [b'{"k": "\xff"}', b'{"k": 1e999}', b'{"k": "\\ud800"}', b"[1]", b"[" * 100_000, b""],
    ids=["no-utf8", "too-large", "surrogate", "no-object", "too-deep", "nothing"],
)
def test_details_that_cannot_be_read_say_nothing(raw: bytes) -> None:
    reading = rule("reading", when=Condition(type=("t",), details={"k": Glob("*")}))
    selected = selector(reading, rule("other")).select(event(raw=raw))
    assert isinstance(selected, Raise)
    assert (selected.rule.name, selected.details) == ("other", {})


def test_details_are_not_decoded_for_what_every_event_has() -> None:
    fields = Condition(
        type=("t",), source=("s",), details={"status": Equals("down"), "resource_type": Equals("nic")}
    )
    selected = selector(rule(when=fields)).select(
        event(source="s", status="down", resource_type="nic", raw=b"not looked at")
    )
    assert isinstance(selected, Raise)
    assert selected.details is None


def test_details_are_decoded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    read: list[bytes] = []

    def read_details(said: RawEvent) -> dict[str, Any]:
        read.append(said.raw_details)
        return dict(json.loads(said.raw_details))

    monkeypatch.setattr(selection, "read_details", read_details)
    looking = [rule(f"r{i}", when=Condition(type=("t",), details={"k": Equals(str(i))})) for i in range(3)]
    looking = [replace(each, resource=ResourceSource(path="host")) for each in looking]
    selected = selector(*looking).select(event(k="2", host="c-1"))
    assert isinstance(selected, Raise)
    assert (selected.rule.name, selected.resource, len(read)) == ("r2", "c-1", 1)


# --- the faulty resource ---


@pytest.mark.parametrize(
    ("path", "said", "resource"),
    [
        pytest.param("", {"hostname": "c-1"}, "c-1", id="the-event's"),
        pytest.param("hostname", {"hostname": "c-1", "resource_id": "nic-1"}, "c-1", id="a-detail"),
        pytest.param("a.b", {"a": {"b": "c-2"}}, "c-2", id="nested"),
        pytest.param("slot", {"slot": 7}, "7", id="number"),
        pytest.param("slot", {"slot": True, "hostname": "c-1"}, "c-1", id="no-name"),
        pytest.param("other", {"hostname": "c-1"}, "c-1", id="not-there"),
        pytest.param("other", {"other": "", "hostname": "c-1"}, "c-1", id="empty"),
    ],
)
def test_the_resource_is_found_where_the_rule_looks(path: str, said: dict[str, Any], resource: str) -> None:
    the_rule = rule(resource=ResourceSource(path=path))
    assert resource_of(event(**said), the_rule) == resource
    selected = selector(the_rule).select(event(**said))
    assert isinstance(selected, Raise)
    assert selected.resource == resource


def test_a_fault_ends_on_the_resource_on_which_it_was_raised() -> None:
    the_rule = rule(resource=ResourceSource(path="hostname"))
    selected = selector(the_rule).select(event(status="up", hostname="c-1", resource_id="nic-1"))
    assert isinstance(selected, Clear)
    assert selected.faults[0].resource == "c-1"


# --- many types ---


def test_only_so_many_types_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(selection, "REMEMBERED_TYPES", 3)
    monkeypatch.setattr(selection, "REMEMBERED_LENGTH", 10)
    many = selector(rule(when=Condition(type=("t", "x.*"))))
    remembered = many._plans
    for number in range(10):
        assert many.select(event(f"u{number}")) is UNNAMED
        assert isinstance(many.select(event(f"x.{number}")), Raise)
    assert sorted(remembered) == ["t", "u0", "u1", "x.0"]
    assert isinstance(many.select(event("t")), Raise)


def test_long_types_are_not_remembered() -> None:
    many = selector(rule())
    assert many.rules_for("u" * 257) is None
    assert list(many._plans) == ["t"]


# --- the same as a plain second version ---


def plain_number(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        return float(value)
    except ValueError:
        return None


def plain_detail(matcher: Matcher, value: Any) -> bool:
    if isinstance(matcher, OneOf):
        return any(plain_detail(choice, value) for choice in matcher.choices)
    if isinstance(matcher, Range):
        number = plain_number(value)
        return (
            number is not None
            and (matcher.above is None or number > matcher.above)
            and (matcher.below is None or number < matcher.below)
        )
    if value in ("", None) or isinstance(value, list | dict):
        return False
    text = str(value).lower()
    if isinstance(matcher, Glob):
        return fnmatchcase(text, matcher.pattern.lower())
    if isinstance(value, bool | str):
        return text == matcher.value.lower()
    return bool(plain_number(matcher.value) == value)


def plain_holds(when: Condition, said: RawEvent, zone_id: str | None) -> bool:
    def names(patterns: tuple[str, ...], name: str | None) -> bool:
        return not patterns or (bool(name) and any(fnmatchcase(name or "", each) for each in patterns))

    def look_up(key: str) -> Any:
        found: Any = said.details
        for step in key.split("."):
            found = found.get(step) if isinstance(found, dict) else None
        return found

    return (
        names(when.type, said.type)
        and names(when.source, said.source)
        and names(when.resource, said.resource)
        and names(when.zone, zone_id)
        and (not when.severity or SEVERITY_WORDS.get(said.severity.lower()) in when.severity)
        and all(plain_detail(matcher, look_up(key)) for key, matcher in when.details.items())
    )


def plain_select(policy: FailurePolicy, said: RawEvent, zone_id: str | None) -> object:
    """Judge as the manual says, one rule after the other. Answers in plain tuples."""

    def names_type(when: Condition) -> bool:
        return not when.type or any(fnmatchcase(said.type, each) for each in when.type)

    conditions = [when for each in policy.faults for when in (each.when, *each.clear_when)]
    conditions += [each.when for each in policy.ignore if each.when.type]
    if not any(names_type(when) for when in conditions):
        return "unnamed"
    for each in policy.ignore:
        if plain_holds(each.when, said, zone_id):
            return "ignored", each.name
    ending = [each for each in policy.faults if any(plain_holds(c, said, zone_id) for c in each.clear_when)]
    raised = None
    first = next((each for each in policy.faults if plain_holds(each.when, said, zone_id)), None)
    if first is not None and first not in ending:
        severity, state = first.severity, first.state
        for grade in first.grades:
            if any(plain_holds(when, said, zone_id) for when in grade.when):
                severity = severity if grade.severity is None else grade.severity
                state = grade.state or state
                break
        if severity is None:
            severity = SEVERITY_WORDS.get(said.severity, Severity.INDETERMINATE)
        if severity is Severity.CLEARED:
            ending.append(first)
        else:
            raised = ("raise", first.name, severity, state, said.resource)
    gone = {each.fault_type for each in ending}
    if raised is not None and first is not None:
        gone -= {first.fault_type}
    return ("clear", gone, raised) if gone else raised or "unnamed"


def as_plain(selected: Selected) -> object:
    match selected:
        case Raise():
            return "raise", selected.rule.name, selected.severity, selected.rule.state, selected.resource
        case Clear():
            assert {ended.resource for ended in selected.faults} <= {"c-1", "c-2", ""}
            ended = {one.fault_type for one in selected.faults}
            return "clear", ended, as_plain(selected.raises) if selected.raises else None
        case Ignored():
            return "ignored", selected.by
        case _:
            return "unnamed"


# Few parts that meet each other often, rather than many that never do.
MATCHERS: tuple[Matcher, ...] = (
    *(Equals(word) for word in ("up", "DOWN", "1", "2.0", "true")),
    *(Glob(pattern) for pattern in ("u*", "*", "?", "[!u]*")),
    OneOf((Equals("1"), Equals("down"), Glob("tr*"))),
    OneOf(()),
    *(Range(above=1), Range(below=2), Range(above=0.5, below=1.8)),
)
RESTRICTIONS: tuple[dict[str, Any], ...] = (
    {},
    *({"source": names} for names in (("a",), ("b", "a*"), ("?",), ("*",))),
    *({"resource": names} for names in (("c-1",), ("c-*",), ("[c]-2", "x"))),
    *({"zone": names} for names in (("a",), ("c-*", "b"), ("*",))),
    *({"severity": frozenset(each)} for each in ([Severity.CRITICAL], [Severity.CLEARED, Severity.WARNING])),
    *({"details": {key: each}} for key in ("status", "k", "a.b", "resource_type") for each in MATCHERS),
    {"details": {"status": Glob("*"), "k": Range(above=0)}, "source": ("a",)},
)
TYPES = ((), ("t",), ("u",), ("t", "u"), ("t.*",), ("t.[b]", "u"), ("*",))
NAMED = st.builds(lambda names: Condition(type=names), st.sampled_from(TYPES))
CONDITIONS = st.builds(
    lambda names, more: Condition(type=names, **more), st.sampled_from(TYPES), st.sampled_from(RESTRICTIONS)
)
SEVERITIES = st.none() | st.sampled_from(Severity)
RULES = st.builds(
    lambda when, clear_when, fault_type, severity, grades: rule(
        when=when,
        clear_when=tuple(clear_when),
        fault_type=fault_type,
        severity=severity,
        grades=tuple(grades),
    ),
    NAMED | CONDITIONS,
    st.lists(CONDITIONS, max_size=2),
    st.sampled_from("fgh"),
    SEVERITIES,
    st.lists(
        st.builds(
            lambda when, severity, state: Grade(
                condition="", when=tuple(when), severity=severity, state=state and ResourceState(state)
            ),
            st.lists(CONDITIONS, min_size=1, max_size=2),
            SEVERITIES,
            st.sampled_from([None, "down"]),
        ),
        max_size=2,
    ),
)
POLICIES = st.builds(
    lambda faults, ignore: FailurePolicy(
        version=1,
        faults=tuple(replace(each, name=f"r{index}") for index, each in enumerate(faults)),
        ignore=tuple(IgnoreRule(name=f"i{index}", when=when) for index, when in enumerate(ignore)),
    ),
    st.lists(RULES, min_size=1, max_size=4),
    st.lists(CONDITIONS, max_size=2),
)
VALUES = st.sampled_from(
    ["up", "Down", "1", "2.0", "true", "", 1, 2, 2.0, 1.7, True, None, ["up"], {"b": "up"}, {"b": 2}]
)
EVENTS = st.builds(
    lambda event_type, fields, k, a: event(
        event_type, k=k, a=a, **{key: each for key, each in fields.items() if each}
    ),
    st.sampled_from(["t", "u", "t.a", "t.b", "v"]),
    st.fixed_dictionaries(
        {
            "hostname": st.sampled_from(["c-1", "c-2", ""]),
            "source": st.sampled_from(["a", "b", "ab", ""]),
            "status": st.sampled_from(["up", "DOWN", "1", "1.5", ""]),
            "severity": st.sampled_from(["critical", "warning", "ok", "weird", ""]),
            "resource_type": st.sampled_from(["up", "down", ""]),
        }
    ),
    VALUES,
    VALUES,
)


@pytest.mark.requirement("B8")
@settings(max_examples=5000 if os.environ.get("DOCTOR_SOAK") else 150, deadline=None)
@given(POLICIES, st.lists(EVENTS, min_size=1, max_size=5), st.sampled_from([None, "a", "c-1"]))
def test_the_selector_judges_as_a_plain_second_version(
    policy: FailurePolicy, events: list[RawEvent], zone_id: str | None
) -> None:
    compiled = Selector(policy)
    for said in events:
        selected = compiled.select(said, zone_id)
        assert as_plain(selected) == plain_select(policy, said, zone_id)
        if compiled.rules_for(said.type) is None:
            assert selected is UNNAMED
