"""A VNF does not get what its level promises, and is told so once, until it does again [HA 6.1.1, 6.1.2]."""

from datetime import timedelta
from typing import Any

import pytest
from msgspec.structs import replace

from doctor.flows.alarm import AlarmAction
from doctor.inspector.catalogue import default_policy_text
from doctor.model.map_news import MapDelta
from doctor.model.resource import PhysicalResource, VirtualResource, Vnf
from doctor.model.resource_map import ResourceMap
from doctor.profiler.availability import SHIPPED, ServiceAvailabilityLevel
from doctor.testing.scenario import Scenario, foreseen, host_down, host_up
from tests.scenarios.fallible_store import FallibleStore
from tests.scenarios.nfvi import FAULTS

WEB = Vnf("red", "web").id
HOST = "compute-1"
# Of an hour of two machines 72 machine-seconds may be lost; at risk when more than 6 of one minute are.
WITHIN_AN_HOUR = ServiceAvailabilityLevel(
    detection=1,
    recovery=10**6,
    availability=0.99,
    window=timedelta(hours=1),
    burn_rate=5,
    burn_over=timedelta(minutes=1),
)
AVAILABILITY = "service availability not kept"


def site(sal: int | str = "X", *, group: str | None = "web") -> ResourceMap:
    """Two hosts; red has a VNF with a machine on each, blue a neighbour that was promised nothing."""
    return ResourceMap(
        [PhysicalResource(id="compute-1"), PhysicalResource(id="compute-2")],
        [
            VirtualResource(id="vm-1", host="compute-1", owner="red", group=group, sal=sal),
            VirtualResource(id="vm-2", host="compute-2", owner="red", group=group, sal=sal),
            VirtualResource(id="vm-3", host="compute-1", owner="blue"),
        ],
    )


def story_by(level: ServiceAvailabilityLevel, **given: Any) -> Scenario:
    """Begin a story with a level of its own; owners and the operator listen to faults."""
    given.setdefault("resources", site())
    story = Scenario(given.pop("resources"), levels=SHIPPED | {"X": level}, **given)
    for name, project in (("red", "red"), ("blue", "blue"), ("operator", None)):
        story.at(0.0).subscribe(name, project=project, asked=FAULTS)
    return story


def told(story: Scenario, name: str = "red") -> list[tuple[float, str, str, str]]:
    """Return what somebody was told of service levels: second, kind, severity, fault type."""
    found = []
    for one in story.heard(name):
        for side in ("physical", "virtual"):
            for info in one.message.get(f"{side}_resource_info", []):
                found += [
                    (
                        round(one.at, 1),
                        one.message["notification_type"],
                        fault["perceived_severity"],
                        fault["fault_type"],
                    )
                    for fault in info["faults"]
                    if fault["fault_type"].startswith("service")
                ]
    return found


def out(story: Scenario, begin: float, end: float | None, host: str = HOST) -> None:
    """Let a host be down for a time."""
    story.at(begin).push(host_down(host, seen=begin))
    if end is not None:
        story.at(end).push(host_up(host, seen=end))


# --- the budget ---


@pytest.mark.requirement("G54")
def test_a_budget_that_is_used_up_is_an_alarm_once_until_the_window_has_recovered() -> None:
    """First it is used too fast, then it is used up; an hour later enough of the outage is out of the window."""
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 90.0)
    story.run(until=2 * 3600)
    assert told(story) == [
        (16.0, "fault", "warning", AVAILABILITY),
        (82.0, "fault_changed", "major", AVAILABILITY),
        (3618.0, "fault_cleared", "cleared", AVAILABILITY),
    ]
    assert told(story, "blue") == []
    assert told(story, "operator") == told(story)


def test_what_is_at_risk_only_is_over_when_the_pace_is() -> None:
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 20.0)
    story.run(until=200.0)
    assert told(story) == [
        (16.0, "fault", "warning", AVAILABILITY),
        (74.0, "fault_cleared", "cleared", AVAILABILITY),
    ]


def test_many_short_outages_use_it_up_as_one_long_one() -> None:
    """[HA 6.1.2.1] Planned or not, on one machine or the other."""
    story = story_by(WITHIN_AN_HOUR)
    for number in range(20):
        begin = 10.0 + 100.0 * number
        out(story, begin, begin + 5.0, host="compute-1" if number % 2 else "compute-2")
    story.run(until=2100.0)
    [(second, kind, severity, _)] = told(story)
    assert (kind, severity) == ("fault", "major")
    assert second == pytest.approx(10.0 + 1400.0 + 2.0, abs=0.1)


def test_the_owner_reads_the_figures_and_nothing_of_the_host() -> None:
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, None)
    story.run(until=60.0)
    [message] = [one.message for one in story.heard("red") if one.at > 15]
    [info] = message["virtual_resource_info"]
    assert (info["virtual_resource_id"], info["virtual_resource_type"]) == (WEB, "vnf")
    assert (info["virtual_resource_state"], info["isolation"]) == ("normal", "not_required")
    [fault] = info["faults"]
    figures = fault["fault_details"]
    assert (figures["sal"], figures["target"], figures["budget_seconds"], figures["kept"]) == (
        *("X", 0.99, 72.0),
        "at_risk",
    )
    assert figures["used_seconds"] == pytest.approx(6.0, abs=0.01)
    assert HOST not in str(message)


def test_it_goes_on_after_a_restart() -> None:
    """[I-7] What was out before counts, and what was told is not told again."""
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 90.0)
    story.at(100.0).crash()
    story.at(110.0).start()
    out(story, 200.0, 205.0)
    story.run(until=2 * 3600)
    assert [one[1:3] for one in told(story)] == [
        ("fault", "warning"),
        ("fault_changed", "major"),
        ("fault_cleared", "cleared"),
    ]
    assert told(story)[-1][0] == pytest.approx(3610.0 + 8.0 + 5.0, abs=0.1)


def test_what_recovered_while_doctor_was_down_is_over_when_it_is_back() -> None:
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 90.0)
    story.at(100.0).crash()
    story.at(5000.0).start()
    story.run(until=5010.0)
    assert told(story)[-1] == (5000.0, "fault_cleared", "cleared", AVAILABILITY)


def test_a_store_that_fails_delays_it_and_loses_nothing() -> None:
    """[I-29]"""
    store = FallibleStore()
    story = story_by(WITHIN_AN_HOUR, store=store)
    story.at(0.0).mend()
    out(story, 10.0, None)
    story.at(15.5).do(lambda: setattr(store, "breaks", 1))
    story.run(until=60.0)
    assert store.refused == 1
    [(second, kind, _, _)] = told(story)
    assert kind == "fault"
    assert 16.5 <= second <= 17.5


# --- the other promises ---


@pytest.mark.requirement("G5", "G54")
def test_a_recovery_that_takes_too_long_is_told_until_it_is_over() -> None:
    """[HA 6.1.2.1] Level 1 ships with six seconds."""
    story = story_by(WITHIN_AN_HOUR, resources=site(1))
    out(story, 10.0, 30.0)
    story.run(until=60.0)
    assert told(story) == [
        (16.0, "fault", "major", "service recovery overdue"),
        (30.5, "fault_cleared", "cleared", "service recovery overdue"),
    ]


def test_a_machine_without_a_group_is_a_vnf_by_itself() -> None:
    story = story_by(WITHIN_AN_HOUR, resources=site(1, group=None))
    out(story, 10.0, 30.0)
    story.run(until=60.0)
    assert [one[:2] for one in told(story)] == [(16.0, "fault"), (30.5, "fault_cleared")]
    [message] = [one.message for one in story.heard("red") if one.at == pytest.approx(16.0, abs=0.1)]
    assert message["virtual_resource_info"][0]["virtual_resource_id"] == "vnf:red::vm-1"


@pytest.mark.requirement("G54")
def test_too_many_at_once_and_too_often_are_told() -> None:
    """[HA 6.1.2.2, 6.1.2.3]"""
    level = ServiceAvailabilityLevel(
        detection=1, recovery=10**6, impact=0.5, failures_per_day=48, window=timedelta(hours=1)
    )
    story = story_by(level)
    out(story, 10.0, 40.0)
    out(story, 20.0, 30.0, host="compute-2")
    out(story, 100.0, 110.0)
    out(story, 200.0, 210.0)
    story.run(until=2 * 3600)
    assert told(story) == [
        (20.5, "fault", "major", "service impact too large"),
        (30.5, "fault_cleared", "cleared", "service impact too large"),
        (200.5, "fault", "major", "service failures too frequent"),
        (3610.0, "fault_cleared", "cleared", "service failures too frequent"),
    ]


# --- what does not count ---


def test_promises_that_one_outage_breaks_are_no_lesser_faults_that_add_up() -> None:
    """[D 3.3.2] By the policy that ships three lesser faults are one more; a VNF is not out by what is measured of it."""
    level = ServiceAvailabilityLevel(detection=1, recovery=5, availability=0.99999, impact=0.25)
    story = story_by(level)
    out(story, 10.0, None)
    story.run(until=60.0)
    told_of_it = [
        fault["fault_type"]
        for one in story.heard("red")
        for info in one.message["virtual_resource_info"]
        for fault in info["faults"]
        if info["virtual_resource_id"] == WEB
    ]
    assert set(told_of_it) == {AVAILABILITY, "service recovery overdue", "service impact too large"}


def test_what_is_only_foreseen_costs_nothing() -> None:
    story = story_by(WITHIN_AN_HOUR, resources=site(1))
    story.at(1.0).push(foreseen("compute.host.down", HOST, lead=600))
    story.run(until=120.0)
    assert told(story, "operator") == []


def test_the_policy_decides_what_becomes_of_it() -> None:
    """Who does not want to hear of it ignores it, as any event."""
    policy = default_policy_text().replace("ignore: []", "ignore: [{when: {type: 'service.level.*'}}]")
    story = story_by(WITHIN_AN_HOUR, policy=policy)
    out(story, 10.0, None)
    story.run(until=300.0)
    assert told(story, "operator") == []


def test_an_alarm_that_is_cleared_by_hand_is_not_raised_again_for_the_same() -> None:
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 90.0)
    story.at(100.0).act(AlarmAction.CLEAR, WEB)
    story.run(until=3000.0)
    assert [one[1] for one in told(story)] == ["fault", "fault_changed", "fault_cleared"]
    assert told(story)[-1][0] == 100.0


@pytest.mark.requirement("G54")
def test_a_vnf_that_is_gone_is_promised_nothing_more() -> None:
    """[I-24] The alarm is corrected with the map that has it no more, also for the Administrator."""
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 90.0)
    story.at(100.0).load(ResourceMap([PhysicalResource(id="compute-1")]))
    story.run(until=700.0)
    for name in ("red", "operator"):
        assert [one[:2] for one in told(story, name)][-1] == (100.0, "correction")


def test_a_vnf_of_which_a_cloud_lets_the_machines_go_is_promised_nothing_more() -> None:
    """One after the other: the last one counts."""
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 90.0)
    for second, name in ((100.0, "vm-1"), (110.0, "vm-2")):
        story.at(second).change(MapDelta(gone=(name,)))
    story.run(until=700.0)
    assert [one[:2] for one in told(story)][-1] == (110.0, "correction")


def test_another_map_that_has_the_vnf_says_nothing_of_it() -> None:
    """The machines moved meanwhile; what was promised is the same."""
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, 90.0)
    moved = [replace(machine, host="compute-2") for machine in site().virtual.values()]
    story.at(100.0).load(ResourceMap(site().physical.values(), moved))
    story.at(110.0).change(MapDelta(virtual=(replace(moved[0], host="compute-1"),)))
    story.run(until=700.0)
    assert [one[:2] for one in told(story)] == [(16.0, "fault"), (82.0, "fault_changed")]


def test_a_group_that_is_another_owners_by_now_is_told_of_by_the_new_one_only() -> None:
    story = story_by(WITHIN_AN_HOUR)
    out(story, 10.0, None)
    theirs = [replace(machine, owner="blue") for machine in site().virtual.values()]
    story.at(50.0).load(ResourceMap(site().physical.values(), theirs))
    story.run(until=700.0)
    assert [one[:2] for one in told(story)][-1] == (50.0, "correction")
    assert {one[1] for one in told(story, "blue")} == {"fault", "fault_changed"}
    assert min(one[0] for one in told(story, "blue")) > 50.0


def test_a_storm_is_taken_in_without_holding_up_the_telling() -> None:
    """Hundreds of VNFs at once: each is told within a second, when those who wait for the faults themselves were told."""
    machines = [
        VirtualResource(id=f"vm-{n}", host=HOST, owner="red", group=f"g-{n % 150}", sal=1) for n in range(300)
    ]
    story = story_by(WITHIN_AN_HOUR, resources=ResourceMap([PhysicalResource(id=HOST)], machines))
    out(story, 10.0, 30.0)
    story.run(until=60.0)
    assert [one[1] for one in told(story)] == ["fault"] * 150 + ["fault_cleared"] * 150
    late = [one[0] - (16.0 if one[1] == "fault" else 30.0) for one in told(story)]
    assert 0.0 <= min(late) <= max(late) < 1.0
