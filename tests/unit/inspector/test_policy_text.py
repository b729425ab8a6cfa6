"""A failure policy is read as it is written, and what is wrong with it is said by place."""

from datetime import timedelta
from typing import Any

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from doctor.inspector import document
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.document import MAX_FLAWS, MAX_ITEMS
from doctor.inspector.policy_text import PolicyReport, parse_policy
from doctor.model.errors import Reason, RejectedError
from doctor.model.fault import EventType, ResourceState, Severity
from doctor.model.policy import (
    Catalogue,
    Condition,
    Equals,
    FaultRule,
    Glob,
    Matcher,
    OneOf,
    Range,
    RecommendedAction,
    ResourceSource,
    SelfIsolation,
    Ways,
)

CATALOGUE = default_catalogue()

EXAMPLE = """\
# A failure policy: the words are fixed by this example; add what you need in the same spirit.
version: 1
description: default
faults:
  - name: host-down
    when: {type: "compute.host.down"}
    resource: {id: details.hostname, type: host}
    fault_type: host down
    severity: critical
    event_type: equipment_alarm
    probable_cause: underlying resource unavailable
    state: down
    clear_when: {details: {status: [up, ok, cleared]}}
    recommended_action: switch_to_hot_standby
  - name: fan
    when: {type: "compute.chassis.degraded"}
    fault_type: chassis problem
    severity: warning
    state: normal
    recommended_action: live_migrate
ignore:
  - when: {source: lab-*}
propagate:
  - {from: host, kind: hosts, state: down, to_state: error, severity: same}
  - {from: switch, kind: connects, state: down, when_all: true, to_state: error, severity: critical}
  - {from: power, kind: powers, state: down, when_all: true, to_state: down, severity: critical}
"""


def parsed(text: str, catalogue: Catalogue = CATALOGUE) -> PolicyReport:
    return parse_policy(text, catalogue)


def rejected(text: str) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        parsed(text)
    return caught.value


def flaws(text: str) -> dict[str, str]:
    return {flaw.pointer: flaw.detail for flaw in rejected(text).flaws}


def rule_of(body: str, *, faults: str = "") -> FaultRule:
    """Return the rule of this body, which may leave out its name."""
    return parsed(f"version: 1\nfaults:\n  - {{name: a-rule, {body}}}\n{faults}").policy.faults[0]


def matcher_of(text: str) -> Matcher:
    return rule_of(f"when: {{type: compute.cpu.failure, details: {{key: {text}}}}}").when.details["key"]


# --- what is read ---


@pytest.mark.requirement("A7", "B7")
def test_the_example_is_read() -> None:
    policy = parsed(EXAMPLE).policy
    assert (policy.version, policy.description) == (1, "default")
    host_down, fan = policy.faults
    assert host_down.resource == ResourceSource(path="hostname", type="host")
    assert host_down.clear_when == (
        Condition(
            type=("compute.host.down",),
            details={"status": OneOf((Equals("up"), Equals("ok"), Equals("cleared")))},
        ),
        Condition(type=("compute.host.up",)),
    )
    assert fan.event_type is EventType.ENVIRONMENTAL  # from the catalogue
    assert [rule.when.source for rule in policy.ignore] == [("lab-*",)]
    assert policy.ignore[0].name == "/ignore/0"
    assert [(each.supplier_type, each.kind, each.ways) for each in policy.propagate] == [
        ("host", "hosts", Ways.THIS),
        ("switch", "connects", Ways.ALL),
        ("power", "powers", Ways.ALL),
    ]
    assert [each.severity for each in policy.propagate] == [None, Severity.CRITICAL, Severity.CRITICAL]


def test_what_a_rule_leaves_out_comes_from_the_catalogue() -> None:
    rule = rule_of("when: {type: compute.power.degraded}")
    row = CATALOGUE.rows["compute.power.degraded"]
    assert (rule.fault_type, rule.severity, rule.state) == (row.fault_type, row.severity, row.state)
    assert (rule.event_type, rule.probable_cause) == (row.event_type, row.probable_cause)
    assert rule.recommended_action == row.recommended_action
    assert rule.resource == ResourceSource(type="host")


def test_a_type_that_the_catalogue_does_not_have_is_a_notice_unless_the_rule_says_more() -> None:
    rule = rule_of("when: {type: my.*}, fault_type: mine, severity: 4")
    assert (rule.fault_type, rule.severity, rule.state) == ("mine", Severity.MAJOR, ResourceState.NORMAL)
    assert rule.recommended_action is RecommendedAction.INFORM_OAM


def test_several_types_have_no_row_in_common() -> None:
    body = "when: {type: [compute.cpu.failure, compute.memory.failure]}"
    assert flaws(f"version: 1\nfaults: [{{name: a, {body}}}]").keys() == {
        "/faults/0/fault_type",
        "/faults/0/severity",
    }


@pytest.mark.requirement("C4")
def test_the_severity_may_be_the_monitors_own() -> None:
    assert rule_of("when: {type: compute.cpu.failure}, severity: same").severity is None


def test_what_the_rule_decides_itself_no_grade_of_the_catalogue_changes() -> None:
    [grade] = rule_of("when: {type: hypervisor.failure}, severity: major").grades
    assert (grade.severity, grade.state) == (None, ResourceState.NORMAL)


def test_a_rule_may_have_grades_of_its_own() -> None:
    [grade] = rule_of(
        "when: {type: hypervisor.failure}, grades: [{condition: slow, when: {details: {latency: {above: 5}}}, "
        "severity: minor, recommended_action: none}]"
    ).grades
    assert grade.condition == "slow"
    assert grade.when == (Condition(details={"latency": Range(above=5.0)}),)
    assert (grade.severity, grade.state) == (Severity.MINOR, None)
    assert grade.recommended_action is RecommendedAction.NONE


def test_names_are_single_or_listed_and_severities_are_words_or_numbers() -> None:
    when = rule_of(
        "when: {type: compute.cpu.failure, source: [a, b*], resource: c-1, zone: az1, severity: [critical, 4]}"
    ).when
    assert (when.source, when.resource, when.zone) == (("a", "b*"), ("c-1",), ("az1",))
    assert when.severity == {Severity.CRITICAL, Severity.MAJOR}


@pytest.mark.parametrize(
    ("text", "matcher"),
    [
        pytest.param("failed", Equals("failed"), id="word"),
        pytest.param("on", Equals("on"), id="on-is-a-word"),
        pytest.param("no", Equals("no"), id="no-is-a-word"),
        pytest.param("007", Equals("007"), id="zeros-are-kept"),
        pytest.param("1.10", Equals("1.10"), id="version-is-kept"),
        pytest.param("2026-01-01", Equals("2026-01-01"), id="date-is-a-word"),
        pytest.param("'null'", Equals("null"), id="quoted-null-is-a-word"),
        pytest.param("'fail*'", Glob("fail*"), id="pattern"),
        pytest.param("[up, 'o?']", OneOf((Equals("up"), Glob("o?"))), id="list"),
        pytest.param("{above: 80}", Range(above=80.0), id="above"),
        pytest.param("{above: -1.5, below: 2e3}", Range(above=-1.5, below=2000.0), id="between"),
    ],
)
def test_a_detail_is_matched_as_it_is_written(text: str, matcher: Matcher) -> None:
    assert matcher_of(text) == matcher


@pytest.mark.parametrize(
    ("body", "conditions"),
    [
        pytest.param(
            "when: {type: t, source: s, zone: z}, clear_when: {severity: cleared}",
            [Condition(type=("t",), source=("s",), zone=("z",), severity=frozenset({Severity.CLEARED}))],
            id="about-the-same-thing",
        ),
        pytest.param(
            "when: {type: t, severity: major, details: {sensor: fan1, status: failed, value: {above: 9}}}, "
            "clear_when: {details: {value: {below: 5}}}",
            [Condition(type=("t",), details={"sensor": Equals("fan1"), "value": Range(below=5.0)})],
            id="but-not-as-bad",
        ),
        pytest.param(
            "when: {type: t, details: {state: failed, value: {above: 9}}}, clear_when: {details: {state: fine}}",
            [Condition(type=("t",), details={"state": Equals("fine")})],
            id="by-a-word-of-its-own",
        ),
        pytest.param(
            "when: {type: t}, clear_when: [{type: u}, {resource: r}]",
            [Condition(type=("u",)), Condition(type=("t",), resource=("r",))],
            id="any-of-several",
        ),
        pytest.param("when: {type: t}, clear_when: []", [], id="nothing"),
    ],
)
def test_what_ends_a_fault(body: str, conditions: list[Condition]) -> None:
    assert rule_of(f"{body}, fault_type: f, severity: minor").clear_when == tuple(conditions)


@pytest.mark.parametrize(
    ("clear_when", "by_type"),
    [
        pytest.param("", True, id="default"),
        pytest.param(", clear_when: {details: {status: gone}}", True, id="other-words"),
        pytest.param(", clear_when: {type: compute.host.down}", False, id="types-named"),
        pytest.param(", clear_when: []", False, id="nothing"),
    ],
)
def test_a_host_that_is_up_ends_its_fault_unless_the_rule_names_what_does(
    clear_when: str, by_type: bool
) -> None:
    rule = rule_of(f"when: {{type: compute.host.down}}{clear_when}")
    assert (Condition(type=("compute.host.up",)) in rule.clear_when) is by_type


@pytest.mark.parametrize(
    ("more", "state", "ways", "least"),
    [
        pytest.param("", None, Ways.THIS, Severity.CLEARED, id="any"),
        pytest.param("state: down, when_all: true", "down", Ways.ALL, Severity.CLEARED, id="all"),
        pytest.param("when_all: false, min_severity: minor", None, Ways.SOME, Severity.MINOR, id="some"),
    ],
)
def test_a_propagation_is_read(more: str, state: str | None, ways: Ways, least: Severity) -> None:
    report = parsed(f"version: 1\npropagate: [{{from: rack, kind: contains, to_state: down, {more}}}]")
    [rule] = report.policy.propagate
    assert (rule.state, rule.ways, rule.min_severity) == (state, ways, least)
    assert (rule.to_state, rule.severity) == (ResourceState.DOWN, None)


def test_a_section_with_nothing_behind_it_is_empty() -> None:
    policy = parsed("version: 1\nfaults:\nignore: ~\npropagate: null\n").policy
    assert (policy.faults, policy.ignore, policy.propagate) == ((), (), ())


def test_json_is_read_as_well() -> None:
    assert parsed('{"version": 1, "description": "as JSON"}').policy.description == "as JSON"


def test_a_description_may_have_several_lines() -> None:
    assert parsed("version: 1\ndescription: |\n  one\n  two\n").policy.description == "one\ntwo\n"


# --- what is refused ---

RULE = "version: 1\nfaults:\n  - {name: a, when: {type: compute.cpu.failure}, %s}\n"
WHEN = "version: 1\nfaults:\n  - {name: a, when: {type: compute.cpu.failure, %s}}\n"
ONE = "version: 1\nfaults:\n  - {name: a, when: {type: compute.cpu.failure}}\n"
PROPAGATE = "version: 1\npropagate:\n  - {from: host, kind: hosts, to_state: error, %s}\n"


@pytest.mark.parametrize(
    ("text", "pointer", "says"),
    [
        pytest.param("", "", "mapping", id="empty"),
        pytest.param("{}", "/version", "required", id="no-version"),
        pytest.param("[]", "", "mapping", id="list"),
        pytest.param("version: 2", "/version", "has to be 1", id="version"),
        pytest.param("version: {a: 1}", "/version", "text", id="version-mapping"),
        pytest.param("version: 1\nfault: []", "/fault", "did you mean faults?", id="section"),
        pytest.param("version: 1\nzzz: []", "/zzz", "unknown here (line 2)", id="no-guess"),
        pytest.param("version: 1\nfaults: {}", "/faults", "list", id="faults-mapping"),
        pytest.param("version: 1\nfaults: [~]", "/faults/0", "mapping", id="fault-nothing"),
        pytest.param("version: 1\nfaults: [3]", "/faults/0", "mapping", id="fault-number"),
        pytest.param("version: 1\nfaults:\n  - {name: a}", "/faults/0/when", "which events", id="no-when"),
        pytest.param("version: 1\nignore: [{when: {}}]", "/ignore/0/when", "every event", id="takes-all"),
        pytest.param(
            "version: 1\nignore: [{when: {details: {}}}]",
            "/ignore/0/when",
            "every event",
            id="takes-all-details",
        ),
        pytest.param(RULE % "severty: major", "/faults/0/severty", "did you mean severity?", id="key"),
        pytest.param(RULE % "a/b~c: 1", "/faults/0/a~1b~0c", "unknown", id="escaped-key"),
        pytest.param(RULE % "severity: majr", "/faults/0/severity", "did you mean major?", id="severity"),
        pytest.param(RULE % "severity: ok", "/faults/0/severity", "clear_when", id="raised-as-cleared"),
        pytest.param(RULE % "severity: [major]", "/faults/0/severity", "text", id="severity-list"),
        pytest.param(RULE % "state: dwn", "/faults/0/state", "did you mean down?", id="state"),
        pytest.param(
            RULE % "event_type: equipment", "/faults/0/event_type", "equipment_alarm", id="event-type"
        ),
        pytest.param(
            RULE % "recommended_action: migrate", "/faults/0/recommended_action", "live_migrate", id="action"
        ),
        pytest.param(RULE % "probable_cause: ''", "/faults/0/probable_cause", "empty", id="empty-text"),
        pytest.param(
            RULE % f"probable_cause: {'x' * 257}", "/faults/0/probable_cause", "too long", id="long-text"
        ),
        pytest.param(
            RULE % 'fault_type: "a\\x1fb"', "/faults/0/fault_type", "printed", id="control-character"
        ),
        pytest.param(
            RULE % "resource: {id: hostname}", "/faults/0/resource/id", "details.hostname", id="path"
        ),
        pytest.param(
            RULE % "resource: {id: details.}", "/faults/0/resource/id", "details.hostname", id="no-path"
        ),
        pytest.param(RULE % "resource: host", "/faults/0/resource", "mapping", id="resource-text"),
        pytest.param(RULE % "grades: [{}]", "/faults/0/grades/0/when", "when does it hold", id="grade"),
        pytest.param(
            RULE % "grades: [{when: [{typ: a}]}]",
            "/faults/0/grades/0/when/0/typ",
            "type?",
            id="grade-condition",
        ),
        pytest.param(RULE % "clear_when: up", "/faults/0/clear_when", "mapping", id="clear-when"),
        pytest.param(WHEN % "typo: 1", "/faults/0/when/typo", "did you mean type?", id="condition-key"),
        pytest.param(WHEN % "source: []", "/faults/0/when/source", "empty list", id="empty-list"),
        pytest.param(WHEN % "source: [a, [b]]", "/faults/0/when/source/1", "text", id="list-in-list"),
        pytest.param(WHEN % "severity: [bad, ok]", "/faults/0/when/severity/0", "'bad'", id="when-severity"),
        pytest.param(WHEN % "details: [a]", "/faults/0/when/details", "mapping", id="details-list"),
        pytest.param(WHEN % "details: {a: }", "/faults/0/when/details/a", "required", id="detail-nothing"),
        pytest.param(WHEN % "details: {a: []}", "/faults/0/when/details/a", "empty list", id="detail-empty"),
        pytest.param(
            WHEN % "details: {a: {}}", "/faults/0/when/details/a", "above or below", id="range-empty"
        ),
        pytest.param(WHEN % "details: {a: {b: c}}", "/faults/0/when/details/a", "a.b", id="nested-detail"),
        pytest.param(
            WHEN % "details: {a: {above: high}}", "/faults/0/when/details/a/above", "number", id="range-word"
        ),
        pytest.param(
            WHEN % "details: {a: {above: .nan}}", "/faults/0/when/details/a/above", "number", id="range-nan"
        ),
        pytest.param(
            WHEN % "details: {a: {above: [1]}}", "/faults/0/when/details/a/above", "number", id="range-list"
        ),
        pytest.param(
            WHEN % "details: {a: {above: 9, below: 9}}",
            "/faults/0/when/details/a",
            "no number",
            id="no-number",
        ),
        pytest.param(
            WHEN % "details: {a: {above: 1, for: soon}}",
            "/faults/0/when/details/a/for",
            "is no duration: write seconds (30) or ISO 8601 (PT30S)",
            id="range-for",
        ),
        pytest.param(
            WHEN % "details: {a: {above: 1, clear_below: 2}}",
            "/faults/0/when/details/a/clear_below",
            "goes with above, and is not larger",
            id="hysteresis",
        ),
        pytest.param(
            WHEN % "details: {a: {above: 1, clear_above: 2}}",
            "/faults/0/when/details/a/clear_above",
            "goes with below, and is not smaller",
            id="hysteresis-of-the-other-end",
        ),
        pytest.param(
            ONE + "confirm: [{faults: [a, b], monitors: 2}]",
            "/confirm/0/faults/1",
            "'b' is the name of no rule",
            id="confirm-what-is-not-there",
        ),
        pytest.param(
            ONE + "confirm: [{faults: a, monitors: 1.5}]",
            "/confirm/0/monitors",
            "has to be a whole number",
            id="half-a-monitor",
        ),
        pytest.param(
            ONE + "aggregate: [{name: x, raise: {fault_type: y}}]",
            "/aggregate/0/within",
            "required: a duration",
            id="aggregate-without-a-window",
        ),
        pytest.param(
            ONE + "aggregate: [{name: x, within: PT1M}]",
            "/aggregate/0/raise",
            "which fault do they make?",
            id="aggregate-to-nothing",
        ),
        pytest.param(
            ONE + "absence: [{name: x, expect: {source: zabbix}, every: PT10S}]",
            "/absence/0/expect",
            "needs a type",
            id="absence-of-anything",
        ),
        pytest.param(
            ONE + "absence: [{name: x, expect: {type: y}, every: 0.5}]",
            "/absence/0/every",
            "at least a second",
            id="absence-all-the-time",
        ),
        pytest.param(
            ONE + "absence: [{name: x, expect: {type: y}, every: 5, raise: monitor.silence}]",
            "/absence/0/raise",
            "did you mean monitor.silent?",
            id="absence-that-means-nothing",
        ),
        pytest.param(
            ONE + "damping: {hold: PT9000H}",
            "/damping/hold",
            "at most 366 days",
            id="damping-for-ever",
        ),
        pytest.param(PROPAGATE % "kind: hosts", "/propagate/0/kind", "given twice", id="twice"),
        pytest.param(PROPAGATE % "when_all: maybe", "/propagate/0/when_all", "true, false", id="when-all"),
        pytest.param(PROPAGATE % "severity: cleared", "/propagate/0/severity", "cleared", id="to-cleared"),
        pytest.param(
            PROPAGATE % "min_severity: x", "/propagate/0/min_severity", "unknown", id="min-severity"
        ),
        pytest.param("version: 1\npropagate: [{}]", "/propagate/0/to_state", "required", id="no-to-state"),
        pytest.param(
            "version: 1\npropagate: [{kind: host}]", "/propagate/0/kind", "did you mean hosts?", id="kind"
        ),
        pytest.param("version: 1\npropagate: [[a]]", "/propagate/0", "mapping", id="propagation-list"),
    ],
)
def test_a_flaw_is_named_by_its_place_with_what_would_be_right(text: str, pointer: str, says: str) -> None:
    found = flaws(text)
    assert pointer in found
    assert says in found[pointer]


def test_all_flaws_are_told_at_once_with_their_lines() -> None:
    error = rejected(
        "version: 1\nfaults:\n  - name: a\n    when: {typ: x}\n    severty: bad\n    state: off\n"
    )
    assert error.reason is Reason.MALFORMED
    assert error.detail == "the failure policy has 5 flaws"
    assert {(flaw.pointer, flaw.detail.rpartition("(")[2]) for flaw in error.flaws} == {
        ("/faults/0/when/typ", "line 4)"),
        ("/faults/0/severty", "line 5)"),
        ("/faults/0/state", "line 6)"),
        ("/faults/0/fault_type", "line 3)"),
        ("/faults/0/severity", "line 3)"),
    }


def test_the_line_of_a_flaw_is_found_behind_keys_with_slashes() -> None:
    text = "version: 1\nignore:\n- when:\n    details:\n      a/b~:\n\n        above: x"
    assert flaws(text) == {"/ignore/0/when/details/a~1b~0/above": "has to be a number (line 7)"}


def test_one_flaw_is_called_one() -> None:
    assert rejected("version: 2").detail == "the failure policy has one flaw"


def test_names_are_unique() -> None:
    rule = "{name: same, when: {type: compute.cpu.failure}}"
    other = "{name: other, when: {type: compute.memory.failure}}"
    found = flaws(f"version: 1\nfaults: [{rule}, {other}, {rule}]")
    assert found == {"/faults/2/name": "'same' is the name of /faults/0 already (line 2)"}


def test_a_key_that_is_given_twice_is_refused_at_any_depth() -> None:
    found = flaws(
        "version: 1\nfaults:\n- name: a\n  when: {type: a}\n  when:\n    type: compute.cpu.failure\n"
    )
    assert found == {"/faults/0/when": "is given twice, again in line 5"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("a: &x [1]\nb: *x", "alias", id="alias"),
        pytest.param("a: &x [*x]", "alias", id="endless"),
        pytest.param("? *x\n: 1", "key", id="alias-as-key"),
        pytest.param("? [a]\n: 1", "key", id="list-as-key"),
        pytest.param("k" * 300 + ": 1", "key", id="long-key"),
        pytest.param("a: !!python/object/apply:os.system [ls]", "tag", id="python"),
        pytest.param("a: !mine 3", "tag", id="tag"),
        pytest.param("a: 1\n---\nb: 2", "more than one document", id="two-documents"),
        pytest.param("[" * 50 + "]" * 50, "levels", id="deep"),
        pytest.param("[" * 500_000, "levels", id="very-deep"),
        pytest.param("a: [" + "1," * 1001 + "]", "items", id="long-list"),
        pytest.param("\n".join(f"k{i}: 1" for i in range(1001)), "items", id="long-mapping"),
        pytest.param("a: b: c", "no YAML: mapping values", id="no-yaml"),
        pytest.param("a: [", "no YAML", id="unfinished"),
        pytest.param("a: \x00", "characters", id="nul"),
        pytest.param("a: \ud800", "characters", id="surrogate"),
    ],
)
@pytest.mark.parametrize("loader", ["CSafeLoader", "SafeLoader"])
def test_a_text_that_is_no_policy_at_all_is_refused_at_once(
    text: str, says: str, loader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(document, "LOADER", getattr(yaml, loader, yaml.SafeLoader))
    error = rejected(text)
    assert (error.detail, error.reason) == ("the failure policy cannot be read", Reason.MALFORMED)
    assert says in error.flaws[0].detail
    assert "(line " in error.flaws[0].detail


def test_a_text_of_too_many_values_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(document, "MAX_NODES", 100)
    assert "at most 100 values" in rejected("version: 1\nfaults: [" + "[1, 2, 3]," * 30 + "]").flaws[0].detail


@pytest.mark.parametrize("text", ["#" * (1 << 20) + "#", "#é" * 500_000], ids=["characters", "bytes"])
def test_a_text_larger_than_a_mebibyte_is_refused_unread(text: str) -> None:
    assert rejected(text).reason is Reason.TOO_LARGE


def test_no_more_flaws_are_told_than_a_person_reads() -> None:
    many = rejected("version: 1\n" + "\n".join(f"k{i}: 1" for i in range(MAX_ITEMS - 1)))
    assert (many.detail, len(many.flaws)) == ("the failure policy has many flaws", MAX_FLAWS)
    assert len(rejected("version: 1\n" * 300).flaws) == MAX_FLAWS


# --- what is warned of ---


def warnings(*rules: str, ignore: str = "") -> dict[str, str]:
    bodies = "\n".join(
        f"  - {{name: r{index}, {rule}, fault_type: f, severity: minor}}" for index, rule in enumerate(rules)
    )
    report = parsed(f"version: 1\nfaults:\n{bodies}\nignore: [{ignore}]\n{PROPAGATE[11:] % ''}")
    return {
        flaw.pointer: flaw.detail
        for flaw in report.warnings
        if not flaw.detail.startswith("the fault catalogue does not have")
    }


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param("{type: a}", "{type: a}", id="the-same"),
        pytest.param("{type: a.*}", "{type: a.b}", id="wider"),
        pytest.param("{type: [a, b]}", "{type: b}", id="one-of-several"),
        pytest.param("{type: a}", "{type: a, source: s}", id="less-restricted"),
        pytest.param("{severity: [major, minor]}", "{severity: minor, type: a}", id="severities"),
        pytest.param("{details: {k: v}}", "{type: a, details: {k: v, l: w}}", id="details"),
        pytest.param("{type: a, zone: z*, resource: r}", "{type: a, zone: z1, resource: r}", id="names"),
    ],
)
def test_a_rule_that_never_fires_is_warned_of(earlier: str, later: str) -> None:
    assert (
        warnings(f"when: {earlier}", f"when: {later}").items()
        >= {"/faults/1/when": "never fires: the rule 'r0' takes all these events before (line 4)"}.items()
    )
    assert (
        "the ignore rule '/ignore/0'"
        in warnings(f"when: {later}", ignore=f"{{when: {earlier}}}")["/faults/0/when"]
    )


@pytest.mark.parametrize(
    ("earlier", "later"),
    [
        pytest.param("{type: a}", "{type: b}", id="other-type"),
        pytest.param("{type: a, source: s}", "{type: a}", id="more-restricted"),
        pytest.param("{type: a.b}", "{type: a.*}", id="narrower"),
        pytest.param("{type: 'a?'}", "{type: 'a*'}", id="patterns"),
        pytest.param("{type: a, severity: minor}", "{type: a}", id="severity-any"),
        pytest.param("{type: a, severity: minor}", "{type: a, severity: [minor, major]}", id="severity-more"),
        pytest.param("{type: a, details: {k: v}}", "{type: a, details: {k: w}}", id="other-detail"),
    ],
)
def test_a_rule_that_may_fire_is_not_warned_of(earlier: str, later: str) -> None:
    assert warnings(f"when: {earlier}", f"when: {later}") == {}


def test_a_type_that_is_nearly_one_that_ships_is_warned_of() -> None:
    found = warnings(
        "when: {type: compute.host.dwon}", "when: {type: my.type}", "when: {type: 'compute.host.dow?'}"
    )
    assert found == {
        "/faults/0/when/type": "'compute.host.dwon' is none that ships; did you mean compute.host.down? (line 3)"
    }


def test_a_supplier_that_is_nearly_a_known_one_is_warned_of() -> None:
    report = parsed(RULE % "" + "propagate: [{from: swich, kind: connects, to_state: down}]")
    assert [flaw.pointer for flaw in report.warnings] == ["/propagate/0/from"]


def test_a_policy_that_does_nothing_is_warned_of() -> None:
    assert [flaw.pointer for flaw in parsed("version: 1").warnings] == ["/faults", "/propagate"]


# --- our own isolation ---


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("", SelfIsolation(), id="usual"),
        pytest.param("self_isolation: off", None, id="off"),
        pytest.param(
            "self_isolation: {hosts: 20, settle: 5}",
            SelfIsolation(hosts=20, settle=timedelta(seconds=5)),
            id="some",
        ),
        pytest.param(
            "self_isolation: {share: 0.8, within: PT30S}",
            SelfIsolation(share=0.8, within=timedelta(seconds=30)),
            id="others",
        ),
    ],
)
def test_when_a_monitor_is_isolated_is_read(text: str, expected: SelfIsolation | None) -> None:
    assert parsed(f"version: 1\n{text}\n").policy.self_isolation == expected


@pytest.mark.parametrize(
    ("text", "pointer"),
    [
        pytest.param("on", "/self_isolation", id="on"),
        pytest.param("{hosts: 1}", "/self_isolation/hosts", id="one-host"),
        pytest.param("{share: 2}", "/self_isolation/share", id="share"),
        pytest.param("{settle: soon}", "/self_isolation/settle", id="no-duration"),
        pytest.param("{canaries: []}", "/self_isolation/canaries", id="unknown"),
    ],
)
def test_what_is_wrong_with_that_is_named(text: str, pointer: str) -> None:
    with pytest.raises(RejectedError) as refused:
        parsed(f"version: 1\nself_isolation: {text}\n")
    assert [flaw.pointer for flaw in refused.value.flaws] == [pointer]


# --- nothing else ever comes out ---

WORDS = st.sampled_from(
    [
        *(
            "version",
            "1",
            "faults",
            "ignore",
            "propagate",
            "name",
            "when",
            "type",
            "details",
            "severity",
            "same",
        ),
        *(
            "compute.cpu.failure",
            "major",
            "above",
            "80",
            "status",
            "clear_when",
            "grades",
            "resource",
            "id",
            "from",
        ),
        *(
            "kind",
            "hosts",
            "to_state",
            "error",
            "a.*",
            "[",
            "~",
            "",
            "when_all",
            "true",
            "condition",
            "storm",
        ),
    ]
)
DATA = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | WORDS | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(WORDS, inner, max_size=6),
    max_leaves=30,
)


def only_rejects(text: str) -> None:
    try:
        report = parsed(text)
    except RejectedError as error:
        assert error.flaws or error.reason is Reason.TOO_LARGE
        assert all(flaw.detail for flaw in error.flaws)
    else:
        assert report.policy.version == 1


@settings(deadline=None)  # the machine may be busy
@given(st.dictionaries(WORDS, DATA, max_size=5) | DATA)
@example({"version": 1, "faults": [{"name": "a", "when": {"details": {"a": {"above": "x"}}}}]})
def test_data_of_any_shape_is_read_or_rejected(data: Any) -> None:
    only_rejects(yaml.safe_dump(data))


@settings(deadline=None)  # the machine may be busy
@given(st.text(alphabet="abc:-[]{},*&!?|>'\"# \n\t\\0~%@`", max_size=60) | st.text(max_size=30))
def test_a_text_of_any_kind_is_read_or_rejected(text: str) -> None:
    only_rejects(text)


@settings(deadline=None)  # the machine may be busy
@given(st.data())
def test_a_policy_with_a_part_replaced_is_read_or_rejected(data: st.DataObject) -> None:
    tree: Any = yaml.safe_load(EXAMPLE)
    place = tree
    while True:
        key = data.draw(st.sampled_from(list(place if isinstance(place, dict) else range(len(place)))))
        inner: Any = place[key]
        if not inner or not isinstance(inner, dict | list) or data.draw(st.booleans()):
            break
        place = inner
    place[key] = data.draw(DATA)
    only_rejects(yaml.safe_dump(tree))
