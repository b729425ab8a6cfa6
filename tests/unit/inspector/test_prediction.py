"""What becomes of a predicted fault: begun, moved, taken back, not come true."""

from datetime import UTC, datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.inspector import prediction
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.prediction import (
    Begun,
    Kept,
    Moved,
    Nothing,
    Over,
    Unusable,
    Verdict,
    action,
    as_of,
    claim_of,
    claimed,
    ended,
    is_near,
    next_look,
    taken_back,
)
from doctor.inspector.selection import Foretold, Ignored, Raise, Selected, Selector, TakenBack, Unnamed
from doctor.model.errors import RejectedError
from doctor.model.event import RawEvent
from doctor.model.fault import Claim, Outcome, Prediction, ResourceState, Severity
from doctor.model.policy import Condition, Foresight

NOW = datetime(2026, 3, 4, 12, tzinfo=UTC)
HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
RULE = Foresight(
    name="foreseen",
    when=Condition(type=("*.predicted",)),
    withdraw_when=(),
    min_confidence=0.5,
    horizon=24 * HOUR,
    near=10 * MINUTE,
    grace=10 * MINUTE,
    moves=5 * MINUTE,
)
POLICY = """
version: 1
faults:
  - {name: host-down, when: {type: compute.host.down}}
  - {name: aging, when: {type: compute.disk.aging}}
  - {name: full, when: {type: DiskFull}, fault_type: disk full, severity: major,
     resource: {id: details.device}, grades: [{when: {details: {device: sda}}, severity: critical, state: error}]}
  - {name: hot, when: {type: temp, details: {celsius: {above: 80}}}, fault_type: too hot, severity: minor}
ignore:
  - {when: {source: lab}}
predict:
  - {name: by-alert, when: {type: DiskFullIn4h}, of: full, lead: details.left, confidence: details.sure}
  - {name: foreseen, when: {type: "*.predicted"}}
"""


def selector(text: str = POLICY) -> Selector:
    return Selector(parse_policy(text, default_catalogue()).policy)


HOST_DOWN = selector().policy.faults[0]


def claim(source: str, minutes: float, confidence: float | None = None) -> Claim:
    time = NOW + minutes * MINUTE
    return Claim(source, time, confidence, time + RULE.grace)


def judged(known: Prediction | None, one: Claim, now: datetime = NOW, rule: Foresight = RULE) -> Verdict:
    return claimed(known, one, rule, HOST_DOWN, Severity.CRITICAL, now)


def foreseen(*claims: Claim) -> Prediction:
    verdict = judged(None, claims[0])
    for one in claims[1:]:
        verdict = judged(of(verdict), one)
    return of(verdict)


def of(verdict: Verdict) -> Prediction:
    assert not isinstance(verdict, Nothing)
    return verdict.prediction


# --- reading an event ---


@pytest.mark.parametrize(
    ("details", "minutes", "confidence"),
    [
        pytest.param({"predicted_time": "2026-03-04T13:00:00Z"}, 60, None, id="time"),
        pytest.param({"predicted_time": "2026-03-04T14:00:00+01:00"}, 60, None, id="zone"),
        pytest.param({"predicted_time": "2026-03-04T13:00:00"}, 60, None, id="without-a-zone"),
        pytest.param({"predicted_in": 600}, 10, None, id="seconds"),
        pytest.param({"predicted_in": "600"}, 10, None, id="seconds-as-text"),
        pytest.param({"predicted_in": "PT1H"}, 60, None, id="duration"),
        pytest.param({"predicted_in": 0, "confidence": 0.7}, 0, 0.7, id="confidence"),
        pytest.param({"predicted_in": 0, "confidence": "1"}, 0, 1.0, id="certain"),
        pytest.param(
            {"predicted_time": "2026-03-04T13:00:00Z", "predicted_in": "x"}, 60, None, id="time-first"
        ),
    ],
)
def test_what_an_event_foresees(details: dict[str, Any], minutes: float, confidence: float | None) -> None:
    assert claim_of("a", details, RULE, NOW) == claim("a", minutes, confidence)


@pytest.mark.parametrize(
    ("details", "says"),
    [
        pytest.param({}, "neither predicted_time nor predicted_in says when", id="nothing"),
        pytest.param({"predicted_in": True}, "neither", id="flag"),
        pytest.param({"predicted_in": [1]}, "neither", id="list"),
        pytest.param({"predicted_time": "soon"}, "predicted_time is no time", id="no-time"),
        pytest.param({"predicted_time": 1772600000}, "predicted_time is no time", id="number"),
        pytest.param({"predicted_in": "soon"}, "is no duration", id="no-duration"),
        pytest.param({"predicted_in": -5}, "is negative", id="negative"),
        pytest.param({"predicted_in": 1e12}, "", id="beyond-all-times"),
        pytest.param({"predicted_time": "9999-12-31T23:59:59Z"}, "", id="end-of-time"),
        pytest.param(
            {"predicted_in": 1, "confidence": 1.1}, "confidence is no number from 0 to 1", id="too-sure"
        ),
        pytest.param({"predicted_in": 1, "confidence": "high"}, "from 0 to 1", id="word"),
        pytest.param({"predicted_in": 1, "confidence": -0.1}, "from 0 to 1", id="below-zero"),
    ],
)
def test_what_says_not_enough_is_no_prediction(details: dict[str, Any], says: str) -> None:
    found = claim_of("a", details, RULE, NOW)
    assert isinstance(found, Unusable)
    assert says in found.reason


# --- the first claim ---


@pytest.mark.requirement("A16", "B9")
def test_a_fault_is_foreseen() -> None:
    assert judged(None, claim("a", 60, 0.8)) == Begun(
        Prediction(
            fault_type="host down",
            predicted_time=NOW + HOUR,
            confidence=0.8,
            claims=(claim("a", 60, 0.8),),
            state=ResourceState.DOWN,
            severity=Severity.CRITICAL,
            action="switch_to_hot_standby",
            near=10 * MINUTE,
        )
    )


@pytest.mark.parametrize(
    ("one", "says"),
    [
        pytest.param(claim("a", 60, 0.49), "not sure enough", id="unsure"),
        pytest.param(claim("a", 24 * 60 + 1), "too far away", id="far"),
        pytest.param(claim("a", -10), "it is over", id="late"),
    ],
)
def test_what_does_not_count_begins_nothing_and_takes_back_what_the_source_had_said(
    one: Claim, says: str
) -> None:
    assert judged(None, one) == Nothing(says)
    known = foreseen(claim("a", 60, 0.9))
    assert judged(known, one) == Over(ended(known, Outcome.WITHDRAWN))


@pytest.mark.parametrize(
    "one",
    [
        pytest.param(claim("a", 60, 0.5), id="sure-enough"),
        pytest.param(claim("a", 60, None), id="who-does-not-say-how-sure"),
        pytest.param(claim("a", 24 * 60), id="at-the-horizon"),
        pytest.param(claim("a", -9), id="late-but-not-over"),
    ],
)
def test_what_just_counts(one: Claim) -> None:
    assert isinstance(judged(None, one), Begun)


def test_without_a_horizon_nothing_is_too_far_away() -> None:
    assert isinstance(judged(None, claim("a", 10**6), rule=replace(RULE, horizon=None)), Begun)


# --- it moves ---


@pytest.mark.parametrize(
    ("minutes", "confidence", "kind"),
    [
        pytest.param(60, 0.8, Kept, id="the-same"),
        pytest.param(64, 0.8, Kept, id="a-little-later"),
        pytest.param(65, 0.8, Moved, id="later"),
        pytest.param(55, 0.8, Moved, id="earlier"),
        pytest.param(60, 0.71, Kept, id="a-little-less-sure"),
        pytest.param(60, 0.7, Moved, id="less-sure"),
        pytest.param(60, None, Moved, id="certain"),
    ],
)
def test_it_is_told_anew_when_it_has_moved(minutes: float, confidence: float | None, kind: type) -> None:
    known = foreseen(claim("a", 60, 0.8))
    verdict = judged(known, claim("a", minutes, confidence))
    assert type(verdict) is kind
    after = of(verdict)
    assert after.claims == (claim("a", minutes, confidence),)
    told = (after.predicted_time, after.confidence)
    assert told == ((NOW + HOUR, 0.8) if kind is Kept else (NOW + minutes * MINUTE, confidence))


def test_many_little_moves_are_told_when_they_come_to_something() -> None:
    known = foreseen(claim("a", 60))
    for minutes in (62, 64):
        verdict = judged(known, claim("a", minutes))
        assert type(verdict) is Kept
        known = of(verdict)
    assert judged(known, claim("a", 66)) == Moved(foreseen(claim("a", 66)))


def test_what_will_be_worse_is_told() -> None:
    known = foreseen(claim("a", 60))
    worse = claimed(
        known, claim("a", 60), RULE, replace(HOST_DOWN, state=ResourceState.ERROR), Severity.MAJOR, NOW
    )
    assert type(worse) is Moved


# --- several who foresee it ---


def test_of_several_the_earliest_counts() -> None:
    known = foreseen(claim("a", 60, 0.9))
    later = judged(known, claim("b", 90, 0.6))
    assert type(later) is Kept
    assert of(later).claims == (claim("a", 60, 0.9), claim("b", 90, 0.6))
    earlier = judged(of(later), claim("c", 30, 0.7))
    assert type(earlier) is Moved
    assert (of(earlier).predicted_time, of(earlier).confidence) == (NOW + 30 * MINUTE, 0.7)


def test_it_is_over_when_the_last_has_taken_it_back() -> None:
    known = foreseen(claim("a", 60), claim("b", 90))
    assert taken_back(known, "stranger", NOW) == Kept(known)
    first = taken_back(known, "a", NOW)
    assert first == Moved(replace(known, predicted_time=NOW + 90 * MINUTE, claims=(claim("b", 90),)))
    assert taken_back(of(first), "b", NOW) == Over(ended(of(first), Outcome.WITHDRAWN))
    assert taken_back(known, "b", NOW) == Kept(foreseen(claim("a", 60)))


def test_it_is_over_when_the_last_was_wrong() -> None:
    known = foreseen(claim("a", 60), claim("b", 90))
    assert as_of(known, NOW + 69 * MINUTE) == Kept(known)
    first = as_of(known, NOW + 70 * MINUTE)
    assert type(first) is Moved
    assert of(first).predicted_time == NOW + 90 * MINUTE
    assert as_of(of(first), NOW + 100 * MINUTE) == Over(ended(of(first), Outcome.EXPIRED))


def test_whoever_was_wrong_counts_no_more_when_others_speak() -> None:
    known = foreseen(claim("a", 60))
    after = judged(known, claim("b", 200), now=NOW + 80 * MINUTE)
    assert of(after).claims == (claim("b", 200),)


def test_only_so_many_are_remembered() -> None:
    known = foreseen(*(claim(f"s{n:02}", 60 + n) for n in range(20)))
    assert [one.source for one in known.claims] == [f"s{n:02}" for n in range(prediction.MOST_CLAIMS)]


SAID = st.tuples(st.sampled_from(["says", "takes back", "waits"]), st.sampled_from("abc"), st.integers(0, 60))


@given(st.lists(SAID, max_size=20))
def test_what_is_foreseen_is_what_everybody_said_last(said: list[tuple[str, str, int]]) -> None:
    """Against a version that only remembers the last word of each."""
    now, known = NOW, None
    words: dict[str, Claim] = {}
    for what, source, minutes in said:
        verdict: Verdict | None = None
        match what:
            case "waits":
                now += minutes * MINUTE
                verdict = None if known is None else as_of(known, now)
            case "takes back":
                words.pop(source, None)
                verdict = None if known is None else taken_back(known, source, now)
            case _:
                time = now + minutes * MINUTE
                words[source] = Claim(source, time, None, time + RULE.grace)
                verdict = judged(known, words[source], now)
        words = {who: word for who, word in words.items() if word.deadline > now}
        if verdict is not None:
            known = None if isinstance(verdict, Over | Nothing) else verdict.prediction
        assert words == {one.source: one for one in (known.claims if known else ())}
        if known is not None:
            earliest = min(word.predicted_time for word in words.values())
            assert abs(known.predicted_time - earliest) < RULE.moves


# --- how near it is ---


@pytest.mark.requirement("B3")
def test_while_there_is_time_machines_are_moved_and_then_one_switches_over() -> None:
    """[D 3.1] A short warning is like the failure itself, a long one like maintenance."""
    known = foreseen(claim("a", 60))
    assert (is_near(known, NOW), action(known, NOW)) == (False, "live_migrate")
    assert next_look(known, NOW) == NOW + 50 * MINUTE
    near = NOW + 50 * MINUTE
    assert (is_near(known, near), action(known, near)) == (True, "switch_to_hot_standby")
    assert next_look(known, near) == NOW + 70 * MINUTE


def test_what_puts_nothing_out_of_service_has_its_own_action() -> None:
    known = replace(foreseen(claim("a", 60)), state=ResourceState.NORMAL, action="inform_oam")
    assert action(known, NOW) == "inform_oam"


def test_the_first_who_may_be_wrong_is_looked_at_first() -> None:
    known = foreseen(claim("a", 60), claim("b", 55))
    assert next_look(known, NOW + 61 * MINUTE) == NOW + 65 * MINUTE


def test_a_time_before_all_times_is_near() -> None:
    early = datetime.min.replace(tzinfo=UTC)
    known = replace(foreseen(claim("a", 60)), predicted_time=early)
    assert next_look(known, NOW) == NOW + 70 * MINUTE


# --- which events foresee what ---


def event(event_type: str, *, status: str = "", source: str = "p", **details: Any) -> RawEvent:
    raw = msgspec.json.encode({"status": status, **details})
    return RawEvent(time=NOW, type=event_type, resource="c1", source=source, status=status, raw_details=raw)


def selected(event_type: str, **said: Any) -> Selected:
    return selector().select(event(event_type, **said))


def test_a_type_with_its_ending_foresees_what_the_type_says() -> None:
    found = selected("compute.host.down.predicted", predicted_in=60)
    assert isinstance(found, Foretold)
    assert (found.rule.name, found.raises.rule.fault_type, found.raises.severity, found.raises.resource) == (
        *("foreseen", "host down", Severity.CRITICAL),
        "c1",
    )
    assert found.raises.details == {"status": "", "predicted_in": 60}


def test_what_is_predicted_never_raises_the_fault_itself() -> None:
    """Also where a rule for any type of event would take it."""
    text = POLICY.replace(
        "ignore:", '  - {name: any, when: {type: "*"}, fault_type: x, severity: minor}\nignore:'
    )
    found = selector(text).select(event("compute.host.down.predicted"))
    assert isinstance(found, Foretold)
    strange = selector(text).select(event("nobody.knows.predicted"))
    assert isinstance(strange, Foretold)
    assert strange.raises.rule.name == "any"
    assert isinstance(selector(text).select(event("nobody.knows")), Raise)


def test_a_rule_may_be_named_whose_fault_comes() -> None:
    found = selected("DiskFullIn4h", device="sda", left="PT4H", sure=0.9)
    assert isinstance(found, Foretold)
    assert (found.rule.name, found.raises.resource, found.raises.severity) == (
        "by-alert",
        "sda",
        Severity.CRITICAL,
    )
    assert found.raises.rule.state is ResourceState.ERROR
    assert claim_of("p", found.raises.details or {}, found.rule, NOW) == Claim(
        "p", NOW + 4 * HOUR, 0.9, NOW + 4 * HOUR + found.rule.grace
    )


@pytest.mark.parametrize("status", ["withdrawn", "up", "OK", "cleared"])
def test_a_prediction_is_taken_back(status: str) -> None:
    found = selected("compute.host.down.predicted", status=status)
    assert isinstance(found, TakenBack)
    assert found.faults == (("c1", "host down"),)
    other = selected("DiskFullIn4h", status=status, device="sdb")
    assert isinstance(other, TakenBack)
    assert other.faults == (("sdb", "disk full"),)


def test_a_reading_that_would_be_none_foresees_nothing() -> None:
    assert isinstance(selected("temp.predicted", celsius=90), Foretold)
    assert isinstance(selected("temp.predicted", celsius=50), Unnamed)


def test_a_reading_that_would_end_one_fault_may_foresee_another() -> None:
    text = POLICY.replace(
        "ignore:",
        "  - {name: cold, when: {type: temp, details: {celsius: {below: 5}}}, fault_type: cold, severity: minor}\nignore:",
    )
    found = selector(text).select(event("temp.predicted", celsius=1))
    assert isinstance(found, Foretold)
    assert found.raises.rule.name == "cold"


def test_what_nobody_names_foresees_nothing_and_takes_nothing_back() -> None:
    assert isinstance(selected("nobody.knows.predicted"), Unnamed)
    assert selected("nobody.knows.predicted", status="withdrawn") == TakenBack(
        selector().policy.predict[1], ()
    )
    assert isinstance(selector("version: 1").select(event("compute.host.down.predicted")), Unnamed)


def test_what_is_ignored_foresees_nothing() -> None:
    assert selected("compute.host.down.predicted", source="lab") == Ignored("/ignore/0")
    later = selector(POLICY.replace("{source: lab}", "{type: compute.host.down}"))
    assert later.select(event("compute.host.down.predicted")) == Ignored("/ignore/0")


def test_what_no_prediction_rule_takes_is_judged_as_any_event() -> None:
    text = POLICY.replace("when: {type: DiskFullIn4h}", "when: {type: DiskFull, details: {when: later}}")
    assert isinstance(selector(text).select(event("DiskFull", when="later")), Foretold)
    assert isinstance(selector(text).select(event("DiskFull", when="now")), Raise)


# --- as the operator writes it ---

BEGIN = "version: 1\nfaults: [{name: host-down, when: {type: compute.host.down}}]\n"


def test_all_of_it_can_be_said() -> None:
    text = BEGIN + (
        "predict: [{name: p, when: {type: WillFail}, withdraw_when: {details: {gone: yes}}, of: host-down,"
        "time: details.at, lead: details.in, confidence: details.p, min_confidence: 0.7, horizon: PT24H,"
        "near: PT1H, grace: PT30M, moves: 60, severity: minor}]"
    )
    [rule] = parse_policy(text, default_catalogue()).policy.predict
    assert (rule.of, rule.time, rule.lead, rule.confidence, rule.min_confidence) == (
        "host-down",
        "at",
        "in",
        "p",
        0.7,
    )
    assert (rule.horizon, rule.near, rule.grace, rule.moves) == (24 * HOUR, HOUR, 30 * MINUTE, MINUTE)
    assert rule.severity is Severity.MINOR
    [withdrawal] = rule.withdraw_when
    assert withdrawal.type == ("WillFail",)


@pytest.mark.parametrize(
    ("rule", "pointer", "says"),
    [
        pytest.param("{when: {type: x.predicted}}", "/predict/0/name", "required", id="no-name"),
        pytest.param("{name: p}", "/predict/0/when", "which events are meant?", id="no-when"),
        pytest.param("{name: p, when: {source: s}}", "/predict/0/when", "needs a type", id="no-type"),
        pytest.param(
            "{name: p, when: {type: WillFail}}", "/predict/0/of", "which rule says what", id="no-of"
        ),
        pytest.param(
            "{name: p, when: {type: WillFail}, of: host-dwon}",
            "/predict/0/of",
            "is the name of no rule; did you mean host-down?",
            id="no-such-rule",
        ),
        pytest.param(
            "{name: p, when: {type: x.predicted}, time: at}",
            "/predict/0/time",
            "place in the details",
            id="path",
        ),
        pytest.param(
            "{name: p, when: {type: x.predicted}, min_confidence: 80}",
            "/predict/0/min_confidence",
            "from 0 to 1",
            id="confidence",
        ),
        pytest.param(
            "{name: p, when: {type: x.predicted}, grace: 0}",
            "/predict/0/grace",
            "at least a second",
            id="grace",
        ),
        pytest.param(
            "{name: p, when: {type: x.predicted}, severity: cleared}",
            "/predict/0/severity",
            "cleared",
            id="severity",
        ),
        pytest.param(
            "{name: p, when: {type: x.predicted}, at: y}", "/predict/0/at", "unknown here", id="key"
        ),
        pytest.param(
            "{name: p, when: {type: x.predicted}}, {name: p, when: {type: y.predicted}}",
            "/predict/1/name",
            "is the name of /predict/0 already",
            id="twice",
        ),
    ],
)
def test_what_is_wrong_with_a_prediction_rule_is_named(rule: str, pointer: str, says: str) -> None:
    with pytest.raises(RejectedError) as refused:
        parse_policy(f"{BEGIN}predict: [{rule}]", default_catalogue())
    found = {flaw.pointer: flaw.detail for flaw in refused.value.flaws}
    assert list(found) == [pointer]
    assert says in found[pointer]


def test_the_fault_types_of_predictions_are_nobody_elses() -> None:
    with pytest.raises(RejectedError) as refused:
        parse_policy(
            "version: 1\nfaults: [{name: x, when: {type: t}, fault_type: predicted doom, severity: minor}]",
            default_catalogue(),
        )
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/faults/0/fault_type"]


@pytest.mark.parametrize(
    ("rules", "pointer", "says"),
    [
        pytest.param(
            "{name: a, when: {type: '*.predicted'}}, {name: b, when: {type: x.predicted}}",
            "/predict/1/when",
            "the prediction 'a' takes all these events before",
            id="shadowed",
        ),
        pytest.param(
            "{name: a, when: {type: compute.host.down}, of: host-down}",
            "/faults/0/when",
            "the prediction 'a' takes all these events before",
            id="shadows-the-fault-itself",
        ),
        pytest.param(
            "{name: a, when: {type: x.predicted, details: {status: up}}}",
            "/predict/0/when",
            "what takes the prediction back",
            id="always-taken-back",
        ),
        pytest.param(
            "{name: a, when: {type: x.predicted, source: '[ab'}}",
            "/predict/0/when/source",
            "has no ]",
            id="pattern",
        ),
    ],
)
def test_what_can_never_fire_is_warned_of(rules: str, pointer: str, says: str) -> None:
    text = f"{BEGIN}predict: [{rules}]\npropagate: [{{from: host, kind: hosts, to_state: error}}]"
    found = {flaw.pointer: flaw.detail for flaw in parse_policy(text, default_catalogue()).warnings}
    assert list(found) == [pointer]
    assert says in found[pointer]
