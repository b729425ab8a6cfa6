"""What a policy's author is warned of, and what a policy must not ask of Doctor."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.inspector import advice
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.condition import compiled, read_details
from doctor.inspector.coverage import covers
from doctor.inspector.policy_text import parse_policy
from doctor.model.errors import RejectedError
from doctor.model.event import RawEvent
from doctor.model.fault import Severity
from doctor.model.policy import Condition, Equals, Glob, Matcher, OneOf, Range


def warned(faults: str = "", propagate: str = "", ignore: str = "") -> dict[str, str]:
    text = f"version: 1\nfaults: [{faults}]\npropagate: [{propagate}]\nignore: [{ignore}]\n"
    report = parse_policy(text, default_catalogue())
    return {
        flaw.pointer: flaw.detail for flaw in report.warnings if flaw.pointer not in ("/faults", "/propagate")
    }


def rule(when: str, more: str = "", name: str = "r") -> str:
    return f"{{name: {name}, when: {when}, fault_type: f, severity: minor, {more}}}"


CPU = "type: compute.cpu.failure"


@pytest.mark.parametrize(
    ("faults", "pointer", "says"),
    [
        pytest.param(rule("{type: '*'}"), "/faults/0/when", "every event, of any type", id="always"),
        pytest.param(rule(f"{{{CPU}, details: {{status: ok}}}}"), "/faults/0/when", "never fires: what ends", id="ends-itself"),
        pytest.param(rule(f"{{{CPU}}}", f"clear_when: {{{CPU}}}"), "/faults/0/when", "never fires: what ends", id="ends-all"),
        pytest.param(rule(f"{{{CPU}, severity: major, details: {{severity: minor}}}}"), "/faults/0/when/details/severity", "never holds", id="severities"),
        pytest.param(rule(f"{{{CPU}, source: a, details: {{source: b}}}}"), "/faults/0/when/details/source", "never holds", id="sources"),
        pytest.param(rule(f"{{{CPU}, source: 'a[b'}}"), "/faults/0/when/source", "stands for itself", id="bracket"),
        pytest.param(rule(f"{{{CPU}, details: {{a/b: ['x[', y]}}}}"), "/faults/0/when/details/a~1b", "stands for itself", id="bracket-detail"),
        pytest.param(rule("{type: my.own}"), "/faults/0/when/type", "does not have 'my.own': a monitor of yours", id="unknown-type"),
        pytest.param(rule(f"{{{CPU}}}", "resource: {type: hostt}"), "/faults/0/resource/type", "did you mean host?", id="resource-type"),
        pytest.param(
            rule(f"{{{CPU}}}", "grades: [{when: {details: {a: x*}}, state: down}, {when: {details: {a: xy}}, state: error}]"),
            "/faults/0/grades/1", "never applies", id="grade",
        ),
        pytest.param(
            rule(f"{{{CPU}, details: {{a: {{above: 5}}}}}}", name="a") + "," + rule(f"{{{CPU}, details: {{a: {{above: 9}}}}}}", name="b"),
            "/faults/1/when", "never fires: the rule 'a'", id="wider-range",
        ),
        pytest.param(
            rule("{type: [compute.cpu.failure, compute.memory.failure]}", name="a") + "," + rule("{type: [compute.memory.failure, compute.cpu.failure]}", name="b"),
            "/faults/1/when", "never fires: the rule 'a'", id="several-types",
        ),
    ],
)  # fmt: skip
def test_a_doubtful_rule_is_named_with_its_place(faults: str, pointer: str, says: str) -> None:
    found = warned(faults)
    assert list(found) == [pointer]
    assert says in found[pointer]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param(
            rule(f"{{{CPU}, severity: major, details: {{severity: [major, x]}}}}"), id="severities-agree"
        ),
        pytest.param(rule(f"{{{CPU}, severity: major, details: {{severity: 'm*'}}}}"), id="severity-pattern"),
        pytest.param(rule(f"{{{CPU}, source: [a, b], details: {{source: B}}}}"), id="sources-agree"),
        pytest.param(rule(f"{{{CPU}, source: 'a*', details: {{source: b}}}}"), id="source-pattern"),
        pytest.param(rule(f"{{{CPU}, source: '[a-c]x'}}"), id="brackets"),
        pytest.param(rule(f"{{{CPU}, details: {{status: ok}}}}", "clear_when: []"), id="nothing-ends-it"),
        pytest.param(rule("{type: 'my.*'}"), id="pattern-of-types"),
    ],
)
def test_what_may_well_be_meant_is_not_warned_of(faults: str) -> None:
    assert warned(faults) == {}


def test_an_ignore_rule_that_takes_everything_is_warned_of() -> None:
    assert "nothing raises a fault" in warned(ignore="{when: {type: '*'}}")["/ignore/0/when"]


def test_types_that_nobody_knows_are_told_once() -> None:
    names = ", ".join(f"my.{number}" for number in range(8))
    [told] = warned(rule(f"{{type: [{names}]}}")).values()
    assert "'my.0', 'my.1', 'my.2', 'my.3', 'my.4' and 3 more" in told


@pytest.mark.parametrize(
    ("propagate", "pointer", "says"),
    [
        pytest.param(
            "{from: host, kind: hosts, state: down, to_state: error}, {from: host, kind: hosts, state: down, to_state: down}",
            "/propagate/1", "says otherwise: the worse", id="contradiction",
        ),
        pytest.param(
            "{from: host, kind: hosts, to_state: error}, {from: host, kind: hosts, to_state: error}",
            "/propagate/1", "says the same as /propagate/0", id="twice",
        ),
        pytest.param(
            "{from: rack, kind: contains, state: down, to_state: down}, {from: switch, kind: connects, to_state: down},"
            "{from: host, kind: powers, state: down, to_state: down}",
            "/propagate/0", "can run in a circle with /propagate/2 ('rack' down -> 'host' down -> 'rack' down)", id="circle",
        ),
    ],
)  # fmt: skip
def test_a_doubtful_propagation_is_named_with_its_place(propagate: str, pointer: str, says: str) -> None:
    found = warned(propagate=propagate)
    assert list(found) == [pointer]
    assert says in found[pointer]


@pytest.mark.parametrize(
    "propagate",
    [
        pytest.param("{from: host, kind: hosts, to_state: error}, {from: host, kind: hosts, min_severity: major, to_state: down}", id="by-severity"),
        pytest.param("{from: rack, kind: contains, state: down, to_state: normal}, {from: host, kind: powers, to_state: down}", id="ends"),
        pytest.param("{from: rack, kind: contains, state: down, to_state: error}, {from: host, kind: powers, state: down, to_state: down}", id="another-state"),
    ],
)  # fmt: skip
def test_a_sound_propagation_is_not_warned_of(propagate: str) -> None:
    assert warned(propagate=propagate) == {}


def test_comparing_has_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(advice, "MOST_COMPARED", 5)
    text = f"version: 1\nfaults: [{rule('{source: a, type: t}', name='a')}, {rule('{source: b, type: t}', name='b')}]"
    told = [
        flaw.detail for flaw in parse_policy(text, default_catalogue()).warnings if flaw.pointer == "/faults"
    ]
    assert ["not all were compared" in one for one in told] == [True]


@pytest.mark.parametrize(
    ("conditions", "says"),
    [
        pytest.param([f"{{type: 'a{n}*'}}" for n in range(999)] + ["{type: b, source: 'c*', details: {k: ['d*', e]}}"], "1001 different patterns", id="patterns"),
        pytest.param([f"{{type: '*{n}{'x' * 200}'}}" for n in range(100)], "come to 60870 in all conditions", id="letters-behind-a-star"),
        pytest.param([f"{{type: t, details: {{k: '*[ab]{'?' * 18}{n}*'}}}}" for n in range(100)], "? or [...] too counts 10", id="hard-patterns"),
        pytest.param([f"{{source: s{n}}}" for n in range(500)] + [f"{{type: t{n}}}" for n in range(401)], "make 200901", id="plans"),
    ],
)  # fmt: skip
def test_a_policy_that_would_hold_up_the_telling_is_refused(conditions: list[str], says: str) -> None:
    rules = ", ".join(rule(when, name=f"r{n}") for n, when in enumerate(conditions))
    with pytest.raises(RejectedError) as refused:
        parse_policy(
            f"version: 1\nfaults: [{rules}]\nignore: [{{when: {{source: lab}}}}]", default_catalogue()
        )
    assert [says in flaw.detail for flaw in refused.value.flaws] == [True]


# --- covering is surely covering ---

WORDS = st.sampled_from(["a", "A", "ab", "b", "5", "5.0", "7"])
CHOICES = st.builds(Equals, WORDS) | st.builds(Glob, st.sampled_from(["*", "a*", "?", "5*"]))
ENDS = st.none() | st.sampled_from([4.0, 5.0, 6.0, 8.0])
MATCHERS: st.SearchStrategy[Matcher] = (
    CHOICES
    | st.builds(Range, ENDS, ENDS)
    | st.lists(CHOICES, min_size=1, max_size=3).map(lambda one: OneOf(tuple(one)))
)
SOME_NAMES = st.lists(st.sampled_from(["a", "ab", "b", "a*", "*", "?"]), max_size=2).map(tuple)
CONDITIONS = st.builds(
    Condition,
    type=SOME_NAMES,
    source=SOME_NAMES,
    resource=SOME_NAMES,
    zone=SOME_NAMES,
    severity=st.frozensets(st.sampled_from([Severity.MINOR, Severity.MAJOR]), max_size=2),
    details=st.dictionaries(st.sampled_from(["k", "status"]), MATCHERS, max_size=2),
)
EVENTS = st.builds(
    lambda name, source, resource, severity, k, status: RawEvent(
        time=datetime(2026, 3, 4, tzinfo=UTC), type=name, source=source, resource=resource, severity=severity,
        status=status, raw_details=json.dumps({"k": k, "status": status}).encode(),
    ),
    WORDS, WORDS, WORDS, st.sampled_from(["minor", "major", ""]), WORDS | st.sampled_from([5, 5.0, 7, True]), WORDS,
)  # fmt: skip


def holds(condition: Condition, event: RawEvent, zone: str) -> bool:
    test = compiled(condition)
    return test.names(event.type) and test.holds(event, zone, read_details(event))


@settings(deadline=None, max_examples=500)
@given(CONDITIONS, CONDITIONS, st.lists(EVENTS, min_size=1, max_size=8), WORDS)
def test_what_is_covered_never_holds_alone(
    wide: Condition, narrow: Condition, events: list[RawEvent], zone: str
) -> None:
    if covers(wide, narrow):
        assert all(holds(wide, event, zone) for event in events if holds(narrow, event, zone))
