"""Redundant ways: what hangs on several suppliers is cut off when all are gone, and degraded before [D 3.3.3, design 3]."""

from functools import partial

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.inspector import impact
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import ResourceState
from doctor.model.resource import PhysicalResource, Relation, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.testing.scenario import Scenario, down, switch_down, switch_up, up
from tests.scenarios.nfvi import FAULTS, redundant_nfvi
from tests.unit.model.nfvis import long_lists

POWER = "compute.power.failure"


@pytest.mark.requirement("A9", "F11")
def test_one_of_two_switches_is_a_warning_and_both_are_an_outage() -> None:
    """[design 3] The second makes it an error, the return of either a warning again, of both the end."""
    story = Scenario(redundant_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    red = story.want("vnfm-red")
    story.at(1.0).push(switch_down("switch-a"))
    red.between(1.0, 1.0).gets("vm-1 is normal (warning)")
    story.at(2.0).push(switch_down("switch-b"))
    red.between(2.0, 2.0).gets("vm-1 is error")
    red.between(2.0, 2.0).gets_change("vm-1 is error")
    story.at(3.0).push(switch_up("switch-a"))
    red.between(3.0, 3.0).gets_clear("vm-1 is normal")
    red.between(3.0, 3.0).gets_change("vm-1 is normal (warning)")
    story.at(4.0).push(switch_up("switch-b"))
    red.between(4.0, 4.0).gets_clear("vm-1 is normal")
    story.play()


def test_the_switch_that_failed_last_may_return_first() -> None:
    """[design 3]"""
    story = Scenario(redundant_nfvi())
    story.at(1.0).push(switch_down("switch-a"), switch_down("switch-b"))
    story.at(2.0).subscribe("vnfm-red", project="red")
    red = story.want("vnfm-red")
    story.at(3.0).push(switch_up("switch-b"))
    red.between(3.0, 3.0).gets_clear("vm-1 is normal")
    red.between(3.0, 3.0).gets_change("vm-1 is normal (warning)")
    story.play()


@pytest.mark.requirement("B11", "F11")
def test_two_feeds_are_as_redundant_as_the_switches_that_they_power() -> None:
    """[design 3] Also where what is lost is not itself the cause: a feed takes its switch with it."""
    story = Scenario(redundant_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    red = story.want("vnfm-red")
    story.at(1.0).push(down(POWER, "feed-a"))
    red.between(1.0, 1.0).gets("vm-1 is normal (warning)")
    story.at(2.0).push(down(POWER, "feed-b"))
    red.between(2.0, 2.0).gets("vm-1 is error")
    red.between(2.0, 2.0).gets_change("vm-1 is error")
    story.at(3.0).push(up(POWER, "feed-b"))
    red.between(3.0, 3.0).gets_clear("vm-1 is normal")
    red.between(3.0, 3.0).gets_change("vm-1 is normal (warning)")
    story.at(4.0).push(up(POWER, "feed-a"))
    red.between(4.0, 4.0).gets_clear("vm-1 is normal")
    story.play()


def test_a_feed_and_a_switch_together_cut_the_host_off() -> None:
    """[design 3] What the other way died of makes no difference."""
    story = Scenario(redundant_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    red = story.want("vnfm-red")
    story.at(1.0).push(down(POWER, "feed-a"))
    red.between(1.0, 1.0).gets("vm-1 is normal (warning)")
    story.at(2.0).push(switch_down("switch-b"))
    red.between(2.0, 2.0).gets("vm-1 is error")
    red.between(2.0, 2.0).gets_change("vm-1 is error")
    story.at(3.0).push(up(POWER, "feed-a"))
    red.between(3.0, 3.0).gets_clear("vm-1 is normal")
    red.between(3.0, 3.0).gets_change("vm-1 is normal (warning)")
    story.play()


def test_a_host_with_one_of_two_feeds_left_runs() -> None:
    """[design 3] Without any it is down."""
    ties = [Relation(feed, "powers", "compute-1") for feed in ("feed-a", "feed-b")]
    feeds = [PhysicalResource(id=feed, type="power") for feed in ("feed-a", "feed-b")]
    machines = [VirtualResource(id="vm-1", host="compute-1", owner="red")]
    story = Scenario(ResourceMap([PhysicalResource(id="compute-1"), *feeds], machines, ties))
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    operator = story.want("operator")
    story.at(1.0).push(down(POWER, "feed-a"))
    operator.between(1.0, 1.0).gets(
        "feed-a is down", "compute-1 is normal (warning)", "vm-1 is normal (warning)"
    )
    story.at(2.0).push(down(POWER, "feed-b"))
    operator.between(2.0, 2.0).gets("feed-b is down", "compute-1 is down", "vm-1 is error")
    operator.between(2.0, 2.0).gets_change("compute-1 is down", "vm-1 is error")
    story.at(3.0).push(up(POWER, "feed-a"))
    operator.between(3.0, 3.0).gets_clear("feed-a is normal", "compute-1 is normal", "vm-1 is normal")
    operator.between(3.0, 3.0).gets_change("compute-1 is normal (warning)", "vm-1 is normal (warning)")
    story.play()


# --- by chance: the alarms are always those of a simple second version ---


def tangled_nfvi() -> ResourceMap:
    """Two feeds, two switches on each other's feeds, two core switches, four hosts with more or less redundancy."""
    kinds = {"feed": "power", "core": "switch", "edge": "switch", "rack": "rack", "host": "host"}
    names = ["feed-1", "feed-2", "core-1", "core-2", "edge-1", "edge-2", "edge-3", "rack-1"]
    hosts = [f"host-{number}" for number in range(1, 5)]
    ties = """
        feed-1 powers core-1; feed-2 powers core-2; feed-1 powers edge-1; feed-2 powers edge-1; feed-2 powers edge-2
        feed-1 powers edge-3; core-1 connects edge-1; core-2 connects edge-1; core-1 connects edge-2
        core-2 connects edge-3; edge-1 connects host-1; edge-2 connects host-1; edge-1 connects host-2
        edge-2 connects host-3; edge-3 connects host-3; edge-1 connects host-4; edge-2 connects host-4
        edge-3 connects host-4; rack-1 contains host-1; rack-1 contains edge-2; feed-1 powers host-2; feed-2 powers host-2
    """
    return ResourceMap(
        [PhysicalResource(id=name, type=kinds[name.partition("-")[0]]) for name in (*names, *hosts)],
        [VirtualResource(id=f"vm-{host}", host=host, owner="red") for host in hosts],
        [Relation(*tie.split()) for line in ties.strip().splitlines() for tie in line.split(";")],
    )


TYPES = {
    "power": "compute.power.failure",
    "switch": "network.switch.down",
    "rack": "compute.host.down",
    "host": "compute.host.down",
}

POLICY = """
version: 1
damping: off
faults:
  - {name: host-down, when: {type: compute.host.down}}
  - {name: switch-down, when: {type: network.switch.down}}
  - {name: power-failure, when: {type: compute.power.failure}}
propagate:
  - {from: host, kind: hosts, state: down, to_state: error, severity: same}
  - {from: host, kind: hosts, state: error, to_state: error, severity: same}
  - {from: host, kind: hosts, state: normal, to_state: normal, severity: same}
  - {from: switch, kind: connects, state: down, when_all: true, to_state: error, severity: critical}
  - {from: switch, kind: connects, state: down, when_all: false, to_state: normal, severity: warning}
  - {from: switch, kind: connects, state: error, when_all: true, to_state: error, severity: critical}
  - {from: switch, kind: connects, state: error, when_all: false, to_state: normal, severity: warning}
  - {from: power, kind: powers, state: down, when_all: true, to_state: down, severity: critical}
  - {from: power, kind: powers, state: down, when_all: false, to_state: normal, severity: warning}
  - {from: rack, kind: contains, state: down, to_state: down, severity: critical}
"""

RESOURCES = tangled_nfvi()
TOGGLES = long_lists(st.sampled_from(list(RESOURCES.physical)), 25)


@pytest.mark.requirement("B10")
@settings(deadline=None, max_examples=60)
@given(TOGGLES)
def test_after_any_sequence_of_faults_each_alarm_is_what_a_simple_version_says(toggles: list[str]) -> None:
    """[D 3.3.3] Deciding step by step comes to the same as deciding everything anew, whatever the order."""
    story = Scenario(RESOURCES, policy=POLICY)
    story.at(0.0).subscribe("operator", project=None)
    story.at(0.0).subscribe("vnfm-red", project="red")
    wrong: list[str] = []
    broken: set[str] = set()
    for second, name in enumerate(toggles, 1):
        event_type = TYPES[RESOURCES.physical[name].type]
        report = up(event_type, name) if name in broken else down(event_type, name)
        story.at(float(second)).push(report)
        broken ^= {name}
        story.at(second + 0.5).do(partial(_compare, story, frozenset(broken), wrong))
    story.run()
    assert wrong == []


def _compare(story: Scenario, broken: frozenset[str], wrong: list[str]) -> None:
    situation = story.doctor.situation
    wanted = decided_anew(situation.book, situation.resources, situation.selector.propagation)
    if {record.fault.resource_id for record in situation.book} != broken:
        wrong.append(
            f"open are {[record.fault.resource_id for record in situation.book]}, not {sorted(broken)}"
        )
    for record in situation.book:
        found = {key: (alarm.resource_state, alarm.severity) for key, alarm in record.alarms.items()}
        root = record.fault.resource_id
        if found != wanted[root]:
            wrong.append(f"with {sorted(broken)} broken, {root} does {found}, and should do {wanted[root]}")


def decided_anew(
    book: AlarmBook, resources: ResourceMap, rules: impact.Rules
) -> dict[str, dict[str, impact.Effect]]:
    """Say what each open fault does, by asking again and again until nothing changes."""
    roots = {record.fault.resource_id: record.fault for record in book}
    reach: dict[str, dict[str, impact.Effect]] = {root: {} for root in roots}
    while True:
        again = {}
        for root, fault in roots.items():
            out = {
                name
                for other, effects in reach.items()
                for name, effect in effects.items()
                if other != root and effect.state in (ResourceState.DOWN, ResourceState.ERROR)
            }
            effect = impact.Effect(fault.state, fault.severity)
            again[root] = impact.effects(
                root, fault.resource_type, effect, resources, rules, out.__contains__
            )
        if again == reach:
            return reach
        reach = again
