"""What a policy makes of recorded events is what it would have made of them in life."""

import asyncio
from datetime import UTC, datetime, timedelta

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.flows.fault import Reported
from doctor.inspector import replay as replaying
from doctor.inspector.catalogue import default_catalogue, default_policy_text
from doctor.inspector.comparison import Difference, DifferenceKind, differences
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.replay import Firing, Happening, Recorded, ReplayBook, replay
from doctor.inspector.selection import Selector
from doctor.kit.ids import stable_id
from doctor.model.event import RawEvent
from doctor.model.fault import ResourceState, Severity
from doctor.model.resource import PhysicalResource, Relation
from doctor.model.resource_map import ResourceMap
from doctor.testing.scenario import RunningFlows, Scenario

NOON = datetime(2026, 3, 4, 12, tzinfo=UTC)
MAP = ResourceMap(
    [PhysicalResource(id="compute-1.example", zone_id="lab", aliases=("c1",)), PhysicalResource(id="sw-1")]
)
POLICY = """
version: 1
faults:
  - {name: down, when: {type: compute.host.down}}
  - name: hot
    when: {type: sensor, details: {celsius: {above: 80}}}
    clear_when: {details: {celsius: {below: 60}}}
    fault_type: hot
    severity: minor
    state: normal
    grades: [{when: [{details: {celsius: {above: 100}}}], severity: critical, state: error}]
  - {name: fan, when: {type: sensor, details: {fan: failed}}, fault_type: fan, severity: same}
ignore:
  - {name: laboratory, when: {zone: lab, details: {fan: failed}}}
"""


def selector(text: str = POLICY) -> Selector:
    return Selector(parse_policy(text, default_catalogue()).policy)


def event(second: int, event_type: str = "sensor", resource: str = "c1", **details: object) -> Recorded:
    raw = RawEvent(
        time=NOON + timedelta(seconds=second),
        type=event_type,
        resource=resource,
        status=str(details.get("status", "")),
        severity=str(details.get("severity", "")),
        raw_details=msgspec.json.encode(details),
    )
    return Recorded(stable_id("event", str(second), event_type, resource), raw)


def told(firings: list[Firing]) -> list[tuple[str, str, str, str]]:
    return [(one.happening, one.rule, one.resource_id, one.severity.perceived) for one in firings]


def test_a_fault_is_raised_reported_again_changed_and_cleared() -> None:
    events = [event(second, celsius=celsius) for second, celsius in enumerate((85, 86, 101, 70, 50, 50, 90))]
    firings = list(replay(events, selector(), MAP))
    assert told(firings) == [
        ("raised", "hot", "compute-1.example", "minor"),
        ("repeated", "hot", "compute-1.example", "minor"),
        ("changed", "hot", "compute-1.example", "critical"),
        ("cleared", "hot", "compute-1.example", "critical"),
        ("raised", "hot", "compute-1.example", "minor"),
    ]
    assert [one.recorded.event_id for one in firings] == [events[i].event_id for i in (0, 1, 2, 4, 6)]
    assert firings[2].state is ResourceState.ERROR


def test_a_fault_goes_by_the_name_that_the_map_has() -> None:
    events = [
        event(0, "compute.host.down", "c1"),
        event(1, "compute.host.down", "compute-1"),
        event(2, "compute.host.up", "compute-1.example"),
    ]
    assert [one.happening for one in replay(events, selector(), MAP)] == ["raised", "repeated", "cleared"]


def test_what_the_map_did_not_know_is_ended_by_the_name_of_the_monitor() -> None:
    book = ReplayBook(selector().policy.faults)
    list(replay([event(0, "compute.host.down", "c1")], selector(), ResourceMap(), book))
    firings = list(replay([event(1, "compute.host.up", "c1")], selector(), MAP, book))
    assert told(firings) == [("cleared", "down", "c1", "critical")]
    assert book.open == {}


def test_a_book_goes_on_and_counts_by_rule() -> None:
    book = ReplayBook(selector().policy.faults)
    list(replay([event(0, celsius=85), event(1, celsius=1)], selector(), MAP, book))
    more = [
        event(2, celsius=85),
        event(3, fan="failed"),  # ignored, in the laboratory
        event(4, fan="failed", resource="sw-1", severity="major"),
        event(5, "nobody.knows"),
    ]
    list(replay(more, selector(), MAP, book))
    assert {name: (one.seen, one.fired, one.raised, one.cleared) for name, one in book.tallies.items()} == {
        "down": (0, 0, 0, 0),
        "hot": (4, 2, 2, 1),
        "fan": (4, 1, 1, 0),
    }
    assert book.ignored == 1
    assert {key: one.severity for key, one in book.open.items()} == {
        ("compute-1.example", "hot"): Severity.MINOR,
        ("sw-1", "fan"): Severity.MAJOR,
    }


def test_a_reading_may_end_one_fault_and_raise_another() -> None:
    text = """
version: 1
faults:
  - {name: low, when: {type: sensor, details: {v: {below: 3}}}, clear_when: {details: {v: {above: 3}}},
     fault_type: low, severity: minor}
  - {name: high, when: {type: sensor, details: {v: {above: 9}}}, clear_when: {details: {v: {below: 9}}},
     fault_type: high, severity: major}
"""
    firings = list(replay([event(0, v=1), event(1, v=10)], selector(text), MAP))
    assert [(one.happening, one.fault_type) for one in firings] == [
        ("raised", "low"),
        ("cleared", "low"),
        ("raised", "high"),
    ]


def test_only_so_many_types_are_remembered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replaying, "REMEMBERED_TYPES", 1)
    book = ReplayBook(selector().policy.faults)
    for _ in range(2):
        list(replay([event(0, "sensor"), event(1, "compute.host.down")], selector(), MAP, book))
    assert [one.seen for one in book.tallies.values()] == [2, 2, 2]


# --- two policies ---


def compared(candidate: str, *events: Recorded) -> list[Difference]:
    return list(differences(replay(events, selector(), MAP), replay(events, selector(candidate), MAP)))


def test_the_same_policy_makes_no_difference_and_neither_does_the_name_of_a_rule() -> None:
    events = [event(0, celsius=85), event(1, celsius=86), event(2, celsius=1)]
    assert compared(POLICY, *events) == []
    assert compared(POLICY.replace("name: hot", "name: warm"), *events) == []


def test_a_difference_says_what_each_policy_does() -> None:
    events = [event(0, celsius=85), event(1, celsius=95), event(2, celsius=50)]
    [first, second] = compared(POLICY.replace("above: 80", "above: 90"), *events)
    assert (first.kind, second.kind) == (DifferenceKind.ONLY_CURRENT, DifferenceKind.ONLY_CANDIDATE)
    assert first.firing is first.current
    assert second.firing is second.candidate
    assert second.firing.recorded is events[1]


def test_another_severity_is_a_change() -> None:
    [difference] = compared(POLICY.replace("severity: minor", "severity: major"), event(0, celsius=85))
    assert difference.kind is DifferenceKind.CHANGED
    assert [one.severity for one in difference if one] == [Severity.MINOR, Severity.MAJOR]


def test_a_fault_that_would_have_stayed_open_is_a_difference_at_its_end() -> None:
    events = [event(0, celsius=85), event(1, celsius=50)]
    [difference] = compared(POLICY.replace("below: 60", "below: 40"), *events)
    assert difference.kind is DifferenceKind.ONLY_CURRENT
    assert difference.firing.happening is Happening.CLEARED


# --- zones ---

RACK = ResourceMap(
    [PhysicalResource(id="rack", type="rack"), *(PhysicalResource(id=f"h-{n}") for n in range(4))],
    [],
    [Relation("rack", "contains", f"h-{n}") for n in range(4)],
)
IN_A_RACK = """
version: 1
faults:
  - {name: down, when: {type: compute.host.down}}
zones:
  - {type: rack, probation: PT10S, frequency: 2, %s}
"""


def down(second: int, host: str, status: str = "down") -> Recorded:
    return event(second, "compute.host.down", host, status=status)


def of_zones(text: str, events: list[Recorded]) -> list[tuple[str, str, str, int]]:
    found = replay(events, selector(text), RACK)
    return [
        (one.happening, one.fault_type, one.rule, round((one.recorded.moment - NOON).total_seconds()))
        for one in found
        if one.resource_id == "rack"
    ]


@pytest.mark.requirement("G53")
def test_zones_that_would_have_failed_are_shown() -> None:
    """[HA 6.1.2.3] Their end is seen at the next event after it."""
    events = [down(0, "h-0"), down(5, "h-1"), down(6, "h-1"), down(7, "h-0", "up"), down(30, "h-2")]
    assert of_zones(IN_A_RACK % "escalate: automatic", events) == [
        ("raised", "failure of a zone", "zone rack", 5),
        ("cleared", "failure of a zone", "zone rack", 30),
    ]
    assert of_zones(IN_A_RACK % "escalate: ask", events)[0][1:3] == ("escalation to a zone", "zone rack")


def test_zones_go_by_when_events_were_received() -> None:
    """Not by what the clocks of Monitors say."""
    late = [down(0, "h-0"), down(5, "h-1")]
    late = [one._replace(received=NOON + timedelta(seconds=20 * n)) for n, one in enumerate(late)]
    assert of_zones(IN_A_RACK % "escalate: automatic", late) == []


def test_a_fault_that_becomes_worse_may_be_a_failure() -> None:
    text = """
version: 1
faults:
  - name: hot
    when: {type: sensor, details: {celsius: {above: 80}}}
    fault_type: hot
    severity: minor
    grades: [{when: [{details: {celsius: {above: 100}}}], severity: critical, state: error}]
zones:
  - {type: rack, probation: PT10S, frequency: 1, escalate: automatic}
"""
    events = [event(0, resource="h-0", celsius=90), event(1, resource="h-0", celsius=110)]
    assert of_zones(text, events) == [("raised", "failure of a zone", "zone rack", 1)]


# --- life is the other version ---

SOME_EVENTS = st.lists(
    st.one_of(
        st.tuples(st.just("sensor"), st.fixed_dictionaries({"celsius": st.sampled_from([50, 70, 85, 120])})),
        st.tuples(st.just("sensor"), st.fixed_dictionaries({"fan": st.sampled_from(["failed", "ok"])})),
        st.tuples(
            st.sampled_from(["compute.host.down", "compute.host.up", "hypervisor.failure", "x"]),
            st.fixed_dictionaries({"status": st.sampled_from(["down", "up", ""])}),
        ),
    ).flatmap(lambda one: st.tuples(st.just(one), st.sampled_from(["c1", "compute-1", "sw-1", "stranger"]))),
    max_size=25,
)


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(SOME_EVENTS, st.sampled_from([f"{POLICY}damping: off\n", default_policy_text(damping=False)]))
def test_the_faults_that_stay_open_are_those_that_life_would_have_left(
    said: list[tuple[tuple[str, dict[str, object]], str]], text: str
) -> None:
    events = [event(i, kind, resource, **details) for i, ((kind, details), resource) in enumerate(said)]
    story = Scenario(MAP, policy=text)

    async def live() -> set[tuple[str, str, Severity, ResourceState, str]]:
        doctor = RunningFlows(story.store, story.channel, story.clock, story.resources, story.selector)
        await doctor.situation.load()
        for one in events:
            await doctor.faults.accept([Reported([one.event], "s", b"", NOON)])
        # What several faults together mean is not replayed.
        faults = [record.fault for record in doctor.situation.book if not record.fault.is_derived]
        return {(one.resource_id, one.fault_type, one.severity, one.state, one.rule) for one in faults}

    book = ReplayBook(selector(text).policy.faults)
    list(replay(events, selector(text), MAP, book))
    left = {
        (one.resource_id, one.fault_type, one.severity, one.state, one.rule) for one in book.open.values()
    }
    assert left == asyncio.run(live())
