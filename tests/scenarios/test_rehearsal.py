"""What a policy makes of recorded events is what it would have made of them in life, in the time in which they came."""

from collections.abc import Iterable
from datetime import datetime, timedelta
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.api.wire.journal import recorded_events
from doctor.drivers.stores.memory import MemoryStore
from doctor.flows.dry_run import Comparison
from doctor.flows.rehearsal import Rehearsal
from doctor.flows.situation import Situation
from doctor.inspector.catalogue import default_catalogue, default_policy_text
from doctor.inspector.comparison import Difference, DifferenceKind
from doctor.inspector.firing import Firing, Happening, Recorded
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.kit.ids import stable_ids
from doctor.model.alarm import Transition
from doctor.model.event import EventBatch, RawEvent
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.testing.clock import START
from doctor.testing.scenario import Report, Scenario, down, foreseen, host_down, host_up, taken_back, up

HOST = "compute-1"
MAP = ResourceMap(
    [
        PhysicalResource(id="compute-1", zone_id="lab", aliases=("c1",)),
        PhysicalResource(id="compute-2"),
        PhysicalResource(id="compute-3"),
        PhysicalResource(id="sw-1", type="switch"),
    ],
    [VirtualResource(id=f"vm-{n}", host=f"compute-{n}", owner="red") for n in (1, 2, 3)],
    [Relation("sw-1", "connects", f"compute-{n}") for n in (1, 2, 3)],
)
PLAIN = """
version: 1
faults:
  - {name: down, when: {type: compute.host.down}}
  - {name: hot, when: {type: temp, details: {celsius: {above: 80}}}, fault_type: hot, severity: minor, state: normal}
  - {name: fan, when: {type: fan}, fault_type: fan, severity: warning, state: normal}
  - {name: disk, when: {type: disk}, fault_type: disk, severity: warning, state: normal}
damping: off
propagate: [{from: host, kind: hosts, state: down, to_state: error}]
"""


def selector(text: str) -> Selector:
    return Selector(parse_policy(text, default_catalogue()).policy)


def second(firing: Firing) -> float:
    return round((firing.at - START).total_seconds(), 3)


class Tried:
    """Two policies on what monitors said at which seconds; time ends a minute after the last, or at ``until``."""

    def __init__(
        self,
        current: str,
        candidate: str,
        *said: tuple[float, Report],
        until: float | None = None,
        resources: ResourceMap = MAP,
    ) -> None:
        life = Situation(MemoryStore(), selector(current))
        self.comparison = Comparison(
            life, selector(candidate), resources, recorded_events, since=START, limit=10**6
        )
        self.comparison.take([batch_of(*one) for one in said], lambda: False)
        last = max(when for when, _ in said) + 60.0 if until is None else until
        self.comparison.end(START + timedelta(seconds=last))
        self.done = self.comparison.result(())

    @property
    def differences(self) -> list[tuple[float, str, str, str]]:
        """Return when, which kind, which fault on what."""
        found = [(second(one.firing), one) for one in self.done.differences]
        return [(when, one.kind, _what(one), one.firing.resource_id) for when, one in found]


def _what(difference: Difference) -> str:
    return f"{difference.firing.fault_type} {difference.firing.happening}"


def batch_of(when: float, report: Report) -> EventBatch:
    return batch_with(when, report.event(when))


def batch_with(when: float, event: RawEvent) -> EventBatch:
    (event_id,) = stable_ids("event", [event.identity])
    return EventBatch(
        received_time=START + timedelta(seconds=when),
        source=event.source,
        event_ids=bytes.fromhex(event_id.replace("-", "")),
        body=msgspec.json.encode(event),
    )


def reading(celsius: float) -> Report:
    return down("temp", HOST, status="", details={"celsius": celsius})


# --- what is judged over time, compared ---


@pytest.mark.requirement("B7")
def test_a_dwell_would_have_raised_it_later() -> None:
    """[HA 1.4] Half a minute of readings, instead of the first one."""
    candidate = PLAIN.replace("{above: 80}", "{above: 80, for: PT30S}")
    said = [(float(n), reading(90)) for n in range(0, 60, 10)] + [(60.0, reading(70))]
    tried = Tried(PLAIN, candidate, *said)
    assert tried.differences == [
        (0.0, "only_current", "hot raised", HOST),
        (30.0, "only_candidate", "hot raised", HOST),
    ]


def test_hysteresis_would_have_ended_it_later() -> None:
    candidate = PLAIN.replace("{above: 80}", "{above: 80, clear_below: 70}")
    tried = Tried(PLAIN, candidate, (0.0, reading(90)), (5.0, reading(75)), (9.0, reading(65)))
    assert tried.differences == [
        (5.0, "only_current", "hot cleared", HOST),
        (9.0, "only_candidate", "hot cleared", HOST),
    ]


def test_samples_in_a_row_would_have_been_waited_for() -> None:
    candidate = PLAIN.replace("{type: compute.host.down}}", "{type: compute.host.down}, samples: 2}")
    said = [(0.0, host_down(HOST)), (1.0, host_up(HOST)), (2.0, host_down(HOST)), (3.0, host_down(HOST))]
    assert Tried(PLAIN, candidate, *said).differences == [
        (0.0, "only_current", "host down raised", HOST),
        (1.0, "only_current", "host down cleared", HOST),
        (2.0, "only_current", "host down raised", HOST),
        (3.0, "only_candidate", "host down raised", HOST),
    ]


def test_agreement_of_monitors_would_have_been_waited_for() -> None:
    candidate = PLAIN + "confirm: [{faults: [down], monitors: 2, within: PT10S}]\n"
    said = [
        (0.0, host_down(HOST, source="ping")),
        (30.0, host_down(HOST, source="ipmi")),
        (35.0, host_down(HOST, source="ping")),
    ]
    assert Tried(PLAIN, candidate, *said).differences == [
        (0.0, "only_current", "host down raised", HOST),
        (35.0, "only_candidate", "host down raised", HOST),
    ]


def test_lesser_faults_would_have_been_one_together() -> None:
    candidate = PLAIN + (
        "aggregate: [{name: many, more_than: 2, within: PT1M, raise: {fault_type: degraded, severity: major}}]\n"
    )
    said = [(0.0, reading(90)), (1.0, down("fan", HOST)), (2.0, down("disk", HOST)), (9.0, up("fan", HOST))]
    tried = Tried(PLAIN, candidate, *said)
    assert tried.differences == [
        (2.0, "only_candidate", "degraded raised", HOST),
        (9.0, "only_candidate", "degraded cleared", HOST),
    ]
    [many] = [rule for rule in tried.done.candidate.rules if rule.rule == "many"]
    assert (many.seen, many.fired, many.raised, many.cleared) == (0, 0, 1, 1)


def test_flapping_would_have_been_folded_and_told_in_the_end() -> None:
    """[I-9] The time alone tells it: no event belongs to the difference."""
    candidate = PLAIN.replace("damping: off", "damping: {changes: 2, within: PT1M, hold: PT20S}")
    said = [(float(n), host_up(HOST) if n % 2 else host_down(HOST)) for n in range(5)]
    tried = Tried(PLAIN, candidate, *said)
    assert tried.differences == [
        (2.0, "only_current", "host down raised", HOST),
        (3.0, "only_current", "host down cleared", HOST),
        (4.0, "only_current", "host down raised", HOST),
        (24.0, "only_candidate", "host down raised", HOST),
    ]
    assert tried.done.differences[-1].firing.recorded is None


def test_who_falls_silent_would_have_been_noticed() -> None:
    """[D 3.3.1] What Doctor itself had noticed then is not taken for an event of a monitor."""
    policy = PLAIN.replace("faults:", "faults:\n  - {name: silent, when: {type: monitor.silent}}")
    candidate = policy + "absence: [{name: beat, expect: {type: beat}, every: PT10S}]\n"
    beats = [(float(n), up("beat", "", source="zabbix")) for n in (0, 5, 40)]
    own = Report("monitor.silent", "zabbix", status="down", source="doctor")
    tried = Tried(policy, candidate, *beats)
    assert tried.differences == [
        (15.0, "only_candidate", "monitor silent raised", "zabbix"),
        (40.0, "only_candidate", "monitor silent cleared", "zabbix"),
        (50.0, "only_candidate", "monitor silent raised", "zabbix"),
    ]
    batch = batch_with(15.0, msgspec.structs.replace(own.event(15.0), raw_details=b"{}"))
    before = tried.done.events
    tried.comparison.take([batch], lambda: False)
    assert tried.comparison.result(()).events == before


def test_a_storm_and_a_suspicion_would_have_been_one_fault_above() -> None:
    """[HA 5.3, 6.1.2] It is over when it has been calm, by the time alone."""
    candidate = PLAIN + "storm: {hosts: 3, share: 0.5, within: PT10S, calm: PT30S}\n"
    said = [(float(n), host_down(f"compute-{n}")) for n in (1, 2, 3)]
    said += [(20.0 + n, host_up(f"compute-{n}")) for n in (1, 2, 3)]
    tried = Tried(PLAIN, candidate, *said)
    storm = [one for one in tried.differences if one[3] == "sw-1"]
    assert storm == [
        (3.0, "only_candidate", "failure of a domain raised", "sw-1"),
        (53.0, "only_candidate", "failure of a domain cleared", "sw-1"),
    ]
    changed = [one for one in tried.done.differences if one.firing.resource_id == "compute-1"]
    assert [one.candidate and one.candidate.shown.is_root_cause for one in changed] == [False]


@pytest.mark.requirement("A16")
def test_what_is_foreseen_would_have_been_told() -> None:
    candidate = PLAIN + "predict: [{name: seen, when: {type: '*.predicted'}, grace: PT10S, near: PT1S}]\n"
    said = [
        (0.0, foreseen("compute.host.down", HOST, lead=30)),
        (5.0, foreseen("compute.host.down", "compute-2", lead=30)),
        (9.0, taken_back("compute.host.down", "compute-2")),
    ]
    tried = Tried(PLAIN, candidate, *said)
    assert tried.differences == [
        (0.0, "only_candidate", "predicted host down raised", HOST),
        (5.0, "only_candidate", "predicted host down raised", "compute-2"),
        (9.0, "only_candidate", "predicted host down cleared", "compute-2"),
        (29.0, "only_candidate", "predicted host down changed", HOST),
        (40.0, "only_candidate", "predicted host down cleared", HOST),
    ]
    [seen] = [rule for rule in tried.done.candidate.rules if rule.rule == "seen"]
    assert (seen.seen, seen.fired, seen.raised, seen.cleared) == (3, 3, 2, 2)


def test_what_a_fault_takes_down_is_compared() -> None:
    candidate = PLAIN.replace("to_state: error", "to_state: normal")
    tried = Tried(PLAIN, candidate, (0.0, host_down(HOST)))
    [difference] = tried.done.differences
    assert difference.kind is DifferenceKind.CHANGED
    assert [one.shown.affected for one in difference if one] == [(("error", 1),), (("normal", 1),)]


# --- failure impact zones ---

RACK = ResourceMap(
    [PhysicalResource(id="rack", type="rack"), *(PhysicalResource(id=f"h-{n}") for n in range(4))],
    [],
    [Relation("rack", "contains", f"h-{n}") for n in range(4)],
)
IN_A_RACK = PLAIN + "zones: [{type: rack, probation: PT10S, frequency: 2, escalate: %s}]\n"


def of_the_rack(escalate: str, *said: tuple[float, Report]) -> Tried:
    return Tried(PLAIN, IN_A_RACK % escalate, *said, resources=RACK)


@pytest.mark.requirement("G53")
def test_zones_would_have_failed_and_been_well_again() -> None:
    """[HA 6.1.2.3] After ten seconds without a failure, with one part left: by the time alone."""
    said = [(0.0, host_down("h-0")), (5.0, host_down("h-1")), (7.0, host_up("h-0")), (30.0, host_down("h-2"))]
    tried = of_the_rack("automatic", *said)
    assert [one for one in tried.differences if one[3] == "rack"] == [
        (5.0, "only_candidate", "failure of a zone raised", "rack"),
        (15.0, "only_candidate", "failure of a zone cleared", "rack"),
    ]
    [zone] = tried.done.candidate.zones
    assert (zone.type, zone.asked, zone.took_effect, zone.over) == ("rack", 0, 1, 1)
    assert tried.done.current.zones == []


@pytest.mark.requirement("G53")
def test_somebody_would_have_been_asked_about_a_zone() -> None:
    """Nobody answers in a dry-run, so the question stays until the zone is well."""
    tried = of_the_rack("ask", (0.0, host_down("h-0")), (5.0, host_down("h-1")), (6.0, host_up("h-1")))
    assert [one for one in tried.differences if one[3] == "rack"] == [
        (5.0, "only_candidate", "escalation to a zone raised", "rack"),
        (15.0, "only_candidate", "escalation to a zone cleared", "rack"),
    ]
    [zone] = tried.done.candidate.zones
    assert (zone.asked, zone.took_effect, zone.over) == (1, 0, 1)


def test_zones_go_by_when_events_were_received() -> None:
    """Not by what the clocks of Monitors say."""
    early = msgspec.structs.replace(host_down("h-1").event(5.0), time=START + timedelta(seconds=1))
    tried = of_the_rack("automatic", (0.0, host_down("h-0")))
    tried.comparison.take([batch_with(20.0, early)], lambda: False)
    assert tried.comparison.result(()).candidate.zones[0].took_effect == 0


def test_what_a_switch_takes_down_does_not_count_in_a_zone() -> None:
    """As in life: a symptom is no failure of its own."""
    policy = PLAIN.replace("faults:", "faults:\n  - {name: switch, when: {type: network.switch.down}}")
    policy = policy.replace("propagate: [", "propagate: [{from: switch, kind: connects, to_state: error}, ")
    zones = policy + "zones: [{type: switch, probation: PT1M, frequency: 2, escalate: automatic}]\n"
    hosts = [(float(n), host_down(f"compute-{n}")) for n in (1, 2, 3)]
    assert Tried(policy, zones, *hosts).done.candidate.zones[0].took_effect == 1
    switch = (0.5, down("network.switch.down", "sw-1"))
    assert Tried(policy, zones, switch, *hosts).done.candidate.zones[0].took_effect == 0


# --- what makes no difference ---


def test_the_same_policy_makes_no_difference_and_neither_does_the_name_of_a_rule() -> None:
    said = [(0.0, reading(90)), (1.0, host_down(HOST)), (2.0, host_up(HOST)), (9.0, reading(20))]
    assert Tried(PLAIN, PLAIN, *said).differences == []
    assert Tried(PLAIN, PLAIN.replace("name: hot", "name: warm"), *said).differences == []


def test_time_that_was_set_back_stands_still() -> None:
    """The clock of the machine that Doctor ran on."""
    candidate = PLAIN.replace("{above: 80}", "{above: 80, for: PT30S}")
    tried = Tried(PLAIN, candidate, (100.0, reading(90)), (40.0, reading(90)), (131.0, reading(90)))
    assert [one[0] for one in tried.differences] == [100.0, 131.0]


def test_a_defect_ends_the_rehearsal_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    candidate = PLAIN.replace("damping: off", "damping: {changes: 1, within: PT1M, hold: PT1S}")
    monkeypatch.setattr("doctor.flows.fault.FaultFlow._unfold", _broken)
    with pytest.raises(RuntimeError, match="a defect has stopped the rehearsal"):
        Tried(PLAIN, candidate, (0.0, host_down(HOST)), (1.0, host_up(HOST)), (9.0, host_down(HOST)))


def _broken(*_: Any) -> None:
    raise ZeroDivisionError


# --- life is the other version ---

OVER_TIME = f"""{PLAIN.replace("damping: off", "damping: {changes: 3, within: PT20S, hold: PT8S}")}
confirm: [{{faults: [fan], monitors: 2, within: PT10S}}]
aggregate: [{{name: many, more_than: 1, within: PT30S, raise: {{fault_type: degraded}}}}]
absence: [{{name: beat, expect: {{type: fan}}, every: PT12S, same: resource}}]
suspect: [{{of: switch, kind: connects, at_least: 2, share: 0.5, within: PT20S}}]
storm: {{hosts: 3, share: 0.5, within: PT10S, calm: PT15S}}
zones: [{{type: switch, probation: PT20S, frequency: 2, distinct: 2, escalate: automatic}}]
predict: [{{name: seen, when: {{type: "*.predicted"}}, near: PT5S, grace: PT5S, moves: PT3S}}]
""".replace("{above: 80}", "{above: 80, for: PT10S, clear_below: 70}").replace(
    "faults:\n", "faults:\n  - {name: silent, when: {type: monitor.silent}}\n", 1
)

PLACES = st.sampled_from(["c1", "compute-2", "compute-3"])
SAID = st.one_of(
    st.builds(host_down, PLACES),
    st.builds(host_up, PLACES),
    st.builds(lambda where, celsius: down("temp", where, status="", details={"celsius": celsius}), PLACES, st.sampled_from([60, 75, 90])),
    st.builds(lambda kind, where, status, source: Report(kind, where, status=status, source=source), st.sampled_from(["fan", "disk"]), PLACES, st.sampled_from(["down", "up"]), st.sampled_from(["a", "b"])),
    st.builds(lambda where, lead: foreseen("compute.host.down", where, lead=lead), PLACES, st.integers(1, 20)),
    st.builds(lambda where: taken_back("compute.host.down", where), PLACES),
)  # fmt: skip
STORIES = st.lists(st.tuples(st.integers(0, 12), SAID), min_size=1, max_size=25)


Became = tuple[datetime, str, str, str]  # when, which resource, which type of fault, how


def lived(text: str, said: list[tuple[float, Report]], end: float) -> tuple[list[Became], int]:
    """Return how faults began and ended in life, those that did both in one step left out, and how many stay open."""
    story = Scenario(MAP, policy=text)
    became: list[Became] = []
    known: set[str] = set()
    stay: list[int] = []

    def note(transitions: Iterable[Transition]) -> None:
        faults = {one.record.fault.fault_key: one.record.fault for one in transitions}
        for key, fault in faults.items():
            how = "raised" if fault.is_open else "cleared"
            if (key in known) is not fault.is_open:
                became.append((story.clock.now(), fault.resource_id, fault.fault_type, how))
                known.add(key)

    story.at(0.0).do(lambda: story.doctor.faults.on_settled(note))
    for when, report in said:
        story.at(when).push(report).may_be_anything()
    story.at(end).do(lambda: stay.append(len(story.doctor.situation.book)))
    story.run(until=end + 0.001)
    return sorted(became), stay[0]


@settings(deadline=None, max_examples=60)  # the machine may be busy
@given(STORIES, st.sampled_from([OVER_TIME, PLAIN, default_policy_text()]))
def test_the_rehearsal_makes_of_events_what_life_made_of_them(
    said: list[tuple[int, Report]], text: str
) -> None:
    """Each fault begins and ends at the same moment, and as many stay open."""
    moments, now = [], 0.0
    for wait, report in said:
        now += wait + 0.25
        moments.append((now, report))
    end = now + 100.0
    became, stay = lived(text, moments, end)
    life = Situation(MemoryStore(), selector(text))
    rehearsal = Rehearsal(life, selector(text), MAP, START)
    firings: list[Firing] = []
    for when, report in moments:
        at = START + timedelta(seconds=when)
        event: RawEvent = report.event(when)
        (event_id,) = stable_ids("event", [event.identity])
        firings += rehearsal.passes(at)
        _, made = rehearsal.takes(Recorded(event_id, event), at)
        firings += made
    firings += rehearsal.passes(START + timedelta(seconds=end))
    rehearsed = [
        (one.at, one.resource_id, one.fault_type, str(one.happening))
        for one in firings
        if one.happening is not Happening.CHANGED
    ]
    assert sorted(rehearsed) == became
    assert rehearsal.still_open == stay
