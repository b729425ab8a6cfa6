"""What is judged over time: doubts, several lesser faults, flapping, silence. Each story has a policy of its own."""

from typing import Any

import pytest

from doctor.flows.alarm import AlarmAction
from doctor.inspector.catalogue import default_catalogue
from doctor.inspector.policy_text import parse_policy
from doctor.inspector.selection import Selector
from doctor.model.notification import NotificationType
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.ports.store import Store
from doctor.testing.scenario import Report, Scenario, down, host_down, host_up, up
from tests.scenarios.fallible_store import FallibleStore

HOST = "compute-1"
TEMPERATURE = "lab.temperature"

NFVI = ResourceMap(
    [PhysicalResource(id=HOST, type="host")], [VirtualResource(id="vm-1", host=HOST, owner="red")]
)

PROPAGATE = """
propagate:
  - {from: host, kind: hosts, state: down, to_state: error}
  - {from: host, kind: hosts, state: error, to_state: error}
"""


def story_by(policy: str, *, store: Store | None = None) -> Scenario:
    """Begin a story with a policy; the owner of the only machine and the operator listen."""
    story = Scenario(NFVI, policy=f"version: 1\n{policy}{PROPAGATE}", store=store)
    story.at(0.0).subscribe("red", project="red")
    story.at(0.0).subscribe("operator", project=None)
    return story


def told(story: Scenario, name: str = "operator") -> list[tuple[float, str, str]]:
    """Return when who was told what: second, type of notification, type of fault."""
    found = []
    for heard in story.heard(name):
        if heard.message["notification_type"] == "capacity":
            continue
        infos = [
            *heard.message.get("physical_resource_info", []),
            *heard.message.get("virtual_resource_info", []),
        ]
        found.append((heard.at, heard.message["notification_type"], infos[0]["faults"][0]["fault_type"]))
    return found


def reading(celsius: float, **said: Any) -> Report:
    """Return a reading of the temperature of the host."""
    return down(TEMPERATURE, HOST, status="", details={"celsius": celsius}, **said)


# --- how long and how often ---

HOT = """
faults:
  - {name: hot, when: {type: lab.temperature, details: {celsius: {above: 80, for: PT30S, clear_below: 75}}},
     fault_type: too hot, severity: major, state: normal}
"""


@pytest.mark.requirement("G4", "G8")
def test_a_reading_has_to_be_bad_for_long_enough() -> None:
    """[HA 1.4] Half a minute above 80 degrees, by every reading."""
    story = story_by(HOT)
    for second in (0.0, 10.0, 20.0, 29.0):
        story.at(1.0 + second).push(reading(81, seen=second))
    story.at(31.0).push(reading(82, seen=30.0))
    story.run()
    assert told(story) == [(31.0, "fault", "too hot")]


def test_one_good_reading_in_between_starts_anew() -> None:
    """[HA 1.4]"""
    story = story_by(HOT)
    for second, celsius in ((1.0, 81), (20.0, 79), (32.0, 81), (50.0, 81), (62.0, 81)):
        story.at(second).push(reading(celsius, seen=second))
    story.run()
    assert told(story) == [(62.0, "fault", "too hot")]


def test_hysteresis_keeps_it_until_it_is_cool_enough() -> None:
    """[HA 1.4] Between 75 and 80 degrees nothing changes."""
    story = story_by(HOT)
    for second, celsius in ((1.0, 81), (31.0, 81), (40.0, 78), (50.0, 81), (60.0, 76), (70.0, 74.5)):
        story.at(second).push(reading(celsius, seen=second))
    story.run()
    assert told(story) == [(31.0, "fault", "too hot"), (70.0, "fault_cleared", "too hot")]


def test_a_doubt_survives_a_restart() -> None:
    """[I-7] Half a minute is half a minute, although Doctor died in between."""
    story = story_by(HOT)
    story.at(1.0).push(reading(81, seen=1.0))
    story.at(10.0).crash()
    story.at(12.0).start()
    story.at(31.0).push(reading(81, seen=31.0))
    story.run()
    assert told(story) == [(31.0, "fault", "too hot")]


def measured(story: Scenario) -> list[Any]:
    """Return what the operator was told of readings."""
    return [
        heard.message["physical_resource_info"][0]["faults"][0]["fault_details"]["measured"]
        for heard in story.heard("operator")
    ]


@pytest.mark.requirement("D22", "G8")
def test_the_alarm_says_what_was_measured_against_what_and_where_it_tends() -> None:
    """[D 5.4, HA 1.4] Threshold, value, and the trend since it was first too hot, also after a restart."""
    story = story_by(HOT)
    story.at(1.0).push(reading(81, seen=1.0))
    story.at(10.0).crash()
    story.at(12.0).start()
    story.at(20.0).push(reading(84, seen=20.0))
    story.at(31.0).push(reading(83, seen=31.0))
    story.run()
    limits = {"above": 80.0, "clear_below": 75.0, "for": 30.0}
    assert measured(story) == [
        [{"detail": "celsius", "value": 83, **limits, "before": 81, "trend": "rising"}]
    ]


@pytest.mark.requirement("D22")
def test_a_change_says_where_it_tends_since_it_was_told() -> None:
    """[D 5.4] Of the threshold that is passed now; the first reading has no trend."""
    story = story_by(
        """
faults:
  - name: hot
    when: {type: lab.temperature, details: {celsius: {above: 80}}}
    fault_type: too hot
    severity: major
    state: normal
    grades: [{when: {details: {celsius: {above: 95}}}, severity: critical}]
"""
    )
    for second, celsius in ((1.0, 81), (2.0, 97), (3.0, 90)):
        story.at(second).push(reading(celsius, seen=second))
    story.run()
    first = {"detail": "celsius", "value": 81, "above": 80.0}
    worse = {"detail": "celsius", "value": 97, "above": 95.0, "before": 81, "trend": "rising"}
    better = {"detail": "celsius", "value": 90, "above": 80.0, "before": 97, "trend": "falling"}
    assert measured(story) == [[first], [worse], [better]]


@pytest.mark.requirement("E30")
def test_so_many_samples_in_a_row() -> None:
    """[HA 1.4]"""
    story = story_by("faults: [{name: host-down, when: {type: compute.host.down}, samples: 3}]")
    for second in (1.0, 2.0):
        story.at(second).push(host_down(HOST, seen=second))
    story.at(3.0).push(host_up(HOST, seen=3.0))
    for second in (4.0, 5.0, 6.0, 7.0):
        story.at(second).push(host_down(HOST, seen=second))
    story.run()
    assert told(story) == [(6.0, "fault", "host down")]


@pytest.mark.requirement("E30")
def test_so_many_monitors_have_to_agree() -> None:
    """[D 3.3.2] One that changes its mind counts no more, and one vote is one vote however often it is given."""
    story = story_by(
        "faults: [{name: host-down, when: {type: compute.host.down}}]\n"
        "confirm: [{faults: [host-down], monitors: 2, within: PT20S}]"
    )
    story.at(1.0).push(host_down(HOST, seen=1.0, source="ping"))
    story.at(2.0).push(host_down(HOST, seen=2.0, source="ping"))
    story.at(3.0).push(host_up(HOST, seen=3.0, source="ping"))
    story.at(4.0).push(host_down(HOST, seen=4.0, source="ipmi"))
    story.at(30.0).push(host_down(HOST, seen=30.0, source="ping"))  # the other vote is too old
    story.at(31.0).push(host_down(HOST, seen=31.0, source="ipmi"))
    story.run()
    assert told(story) == [(31.0, "fault", "host down")]


# --- several lesser faults ---

LESSER = """
faults:
  - {name: fan, when: {type: lab.fan}, fault_type: fan, severity: warning}
  - {name: disk, when: {type: lab.disk}, fault_type: disk, severity: minor}
  - {name: nic, when: {type: lab.nic}, fault_type: nic, severity: major}
  - {name: cpu, when: {type: lab.cpu}, fault_type: cpu, severity: critical, state: normal}
aggregate:
  - {name: three, severity_below: critical, same: resource, more_than: 2, within: PT5M,
     raise: {fault_type: host degraded, severity: critical, state: error}}
"""


def test_more_than_two_lesser_faults_mean_unavailable() -> None:
    """[D 3.3.2] The owner is told when the third comes, and that it is over when it is."""
    story = story_by(LESSER)
    for second, kind in ((1.0, "lab.fan"), (2.0, "lab.disk"), (3.0, "lab.nic")):
        story.at(second).push(down(kind, HOST))
    story.at(4.0).push(up("lab.disk", HOST))
    story.run()
    assert told(story, "red") == [(3.0, "fault", "host degraded"), (4.0, "fault_cleared", "host degraded")]
    assert [one for one in told(story) if one[0] == 3.0] == [
        (3.0, "fault", "nic"),
        (3.0, "fault", "host degraded"),
    ]


@pytest.mark.parametrize(
    "faults",
    [
        pytest.param([(1.0, "lab.fan"), (2.0, "lab.disk")], id="two-are-not-more-than-two"),
        pytest.param(
            [(1.0, "lab.fan"), (2.0, "lab.disk"), (3.0, "lab.cpu")], id="a-critical-one-is-no-lesser-one"
        ),
        pytest.param([(1.0, "lab.fan"), (302.0, "lab.disk"), (303.0, "lab.nic")], id="one-is-long-ago"),
        pytest.param([(1.0, "lab.fan"), (2.0, "lab.fan"), (3.0, "lab.fan")], id="one-is-one-however-often"),
    ],
)
def test_fewer_do_not(faults: list[tuple[float, str]]) -> None:
    """[D 3.3.2]"""
    story = story_by(LESSER)
    for second, kind in faults:
        story.at(second).push(down(kind, HOST, seen=second))
    story.run()
    assert told(story, "red") == []


WITHOUT = f"version: 1\n{LESSER[: LESSER.index('aggregate:')]}{PROPAGATE}"


def degraded(store: Store | None = None) -> Scenario:
    """Tell of a host with three lesser faults, which are another one in the third second."""
    story = story_by(LESSER, store=store)
    for at, kind in ((1.0, "lab.fan"), (2.0, "lab.disk"), (3.0, "lab.nic")):
        story.at(at).push(down(kind, HOST))
    return story


@pytest.mark.parametrize("second", [pytest.param(4.0, id="at-once"), pytest.param(400.0, id="much-later")])
def test_an_aggregated_fault_that_is_cleared_by_hand_stays_so(second: float) -> None:
    """[D 5.5.3] The lesser ones are still there; the next one makes it anew."""
    story = degraded()

    async def clear() -> None:
        record = story.doctor.situation.book.open_fault(HOST, "host degraded")
        assert record is not None
        await story.doctor.faults.clear(record.fault.fault_key, user="somebody")

    story.note(second, clear)
    story.run(until=500.0)
    assert told(story, "red")[-1] == (second, "fault_cleared", "host degraded")


def why_cleared(story: Scenario) -> object:
    """Return the reason for the last clear that the operator was told of."""
    last = [heard for heard in story.heard("operator") if heard.kind is NotificationType.FAULT_CLEARED][-1]
    return last.message["physical_resource_info"][0]["faults"][0]["fault_details"]["cleared_because"]


def test_a_fault_whose_rule_has_left_the_policy_is_over() -> None:
    """[D 3.3.2] Nothing would ever end it; those that it was made of stay."""
    story = degraded()
    story.at(5.0).apply_policy(WITHOUT)
    story.run()
    assert told(story, "red")[-1] == (5.0, "fault_cleared", "host degraded")
    assert [one for one in told(story) if one[0] == 5.0] == [(5.0, "fault_cleared", "host degraded")]
    assert why_cleared(story) == "the failure policy has no rule three any more"


def test_a_rule_that_goes_on_under_another_name_keeps_its_fault() -> None:
    story = degraded()
    story.at(5.0).apply_policy(f"version: 1\n{LESSER.replace('name: three', 'name: several')}{PROPAGATE}")
    story.at(6.0).push(up("lab.disk", HOST))
    story.run()
    assert told(story, "red") == [(3.0, "fault", "host degraded"), (6.0, "fault_cleared", "host degraded")]


def test_a_fault_whose_rule_is_gone_after_a_restart_is_over() -> None:
    """Another Doctor has another policy that ships."""
    story = degraded()
    story.at(4.0).crash()
    story.at(4.5).do(
        lambda: setattr(story, "selector", Selector(parse_policy(WITHOUT, default_catalogue()).policy))
    )
    story.at(5.0).start()
    story.run()
    assert told(story, "red")[-1] == (5.0, "fault_cleared", "host degraded")


def test_a_clear_that_could_not_be_kept_is_made_up_for() -> None:
    """[I-29] The policy was kept, the end of the fault was not: a second later it is tried again."""
    store = FallibleStore()
    story = degraded(store)
    story.at(5.0).apply_policy(WITHOUT)

    def break_after_the_policy() -> None:
        story.doctor.situation.on_policy(lambda: setattr(store, "breaks", 1))

    story.at(4.0).do(break_after_the_policy)
    story.run(until=10.0)
    assert told(story, "red")[-1] == (6.0, "fault_cleared", "host degraded")
    assert store.refused


# --- flapping ---

FLAPPING = """
faults: [{name: host-down, when: {type: compute.host.down}}]
damping: {changes: 4, within: PT60S, hold: PT30S}
"""


def flap(story: Scenario, times: int, *, every: float = 1.0) -> None:
    """Let the host go down and up in turn."""
    for number in range(times):
        report = host_up if number % 2 else host_down
        story.at(1.0 + number * every).push(report(HOST, seen=float(number)))


def test_a_fault_that_comes_and_goes_is_told_less_often() -> None:
    """[I-9] The first four changes at once, the rest folded into how it ended up: down."""
    story = story_by(FLAPPING)
    flap(story, 7)
    story.run(until=120.0)
    assert told(story, "red") == [
        (1.0, "fault", "host down"),
        (2.0, "fault_cleared", "host down"),
        (3.0, "fault", "host down"),
        (4.0, "fault_cleared", "host down"),
        (37.0, "fault", "host down"),
    ]
    last = [heard for heard in story.heard("operator") if "physical_resource_info" in heard.message][
        -1
    ].message["physical_resource_info"][0]["faults"][0]
    assert last["fault_details"]["folded_changes"] == 3


def test_what_ended_up_as_it_was_told_is_not_told_again() -> None:
    """[I-9] The last that was told is true."""
    story = story_by(FLAPPING)
    flap(story, 8)
    story.run(until=120.0)
    assert told(story, "red")[-1] == (4.0, "fault_cleared", "host down")


def test_slow_changes_are_never_folded() -> None:
    """[I-9]"""
    story = story_by(FLAPPING)
    flap(story, 10, every=20.0)
    story.run()
    assert len(told(story, "red")) == 10


def test_the_final_state_is_told_although_doctor_died() -> None:
    """[I-9, I-7] What was folded is kept."""
    story = story_by(FLAPPING)
    flap(story, 7)
    story.at(8.0).crash()
    story.at(60.0).start()
    story.run(until=120.0)
    assert told(story, "red")[-1] == (60.0, "fault", "host down")


def fan_flaps(changes: int, times: int) -> Scenario:
    """Tell of a host with two lesser faults and a fan that comes and goes so often, the first few of it told."""
    story = story_by(f"{LESSER}\ndamping: {{changes: {changes}, within: PT60S, hold: PT30S}}")
    story.at(0.1).push(down("lab.disk", HOST))
    story.at(0.2).push(down("lab.nic", HOST))
    for number in range(times):
        report = up if number % 2 else down
        story.at(1.0 + number).push(report("lab.fan", HOST))
    return story


def test_what_follows_from_a_folded_fault_is_told_with_it() -> None:
    """[I-9, D 3.3.2] The fan has ended up broken, and is the third."""
    story = fan_flaps(changes=4, times=5)
    story.run(until=60.0)
    assert told(story, "red")[-1] == (35.0, "fault", "host degraded")


def test_what_followed_from_a_folded_fault_ends_with_it() -> None:
    """[I-9, D 3.3.2] The fan has ended up well, and two are too few."""
    story = fan_flaps(changes=3, times=4)
    story.run(until=60.0)
    assert told(story, "red")[-1] == (34.0, "fault_cleared", "host degraded")


def test_what_was_cleared_by_hand_stays_so_although_it_came_and_went() -> None:
    """[I-9, D 5.5.3] What was folded before says nothing any more; the next report does, at once."""
    story = story_by(FLAPPING.replace("changes: 4", "changes: 3"))
    flap(story, 5)
    story.at(6.0).act(AlarmAction.CLEAR, HOST)
    story.at(100.0).push(host_down(HOST, seen=100.0))
    story.run(until=120.0)
    assert told(story, "red")[-3:] == [
        (3.0, "fault", "host down"),
        (6.0, "fault_cleared", "host down"),
        (100.0, "fault", "host down"),
    ]


def test_a_clear_by_hand_of_what_was_folded_survives_a_restart() -> None:
    """[I-7]"""
    story = story_by(FLAPPING.replace("changes: 4", "changes: 3"))
    flap(story, 5)
    story.at(6.0).act(AlarmAction.CLEAR, HOST)
    story.at(7.0).crash()
    story.at(8.0).start()
    story.run(until=120.0)
    assert told(story, "red")[-1] == (6.0, "fault_cleared", "host down")


def test_without_damping_every_change_is_told() -> None:
    """[design 4]"""
    story = story_by("faults: [{name: host-down, when: {type: compute.host.down}}]\ndamping: off")
    flap(story, 20, every=0.1)
    story.run()
    assert len(told(story, "red")) == 20


# --- silence ---

HEARTBEAT = """
faults: [{name: silent, when: {type: monitor.silent}}]
absence: [{name: heartbeat, expect: {type: monitor.heartbeat}, every: PT10S}]
"""


def beat(source: str, second: float) -> Report:
    """Return a heartbeat."""
    return up("monitor.heartbeat", "", source=source, seen=second)


@pytest.mark.requirement("E20")
def test_a_monitor_that_falls_silent_is_a_fault() -> None:
    """[D 3.3.1] And it is over when it speaks again. Who never spoke is not missed."""
    story = story_by(HEARTBEAT)
    for second in (1.0, 8.0, 15.0):
        story.at(second).push(beat("zabbix", second))
    story.at(40.0).push(beat("zabbix", 40.0))
    story.run(until=45.0)
    assert told(story) == [(25.0, "fault", "monitor silent"), (40.0, "fault_cleared", "monitor silent")]
    (fault, _) = story.heard("operator")
    assert fault.message["physical_resource_info"][0]["physical_resource_id"] == "zabbix"


def test_who_is_silent_after_a_restart_is_missed_too() -> None:
    """[I-7] Everybody has his time anew."""
    story = story_by(HEARTBEAT)
    story.at(1.0).push(beat("zabbix", 1.0), beat("ping", 1.0))
    story.at(5.0).crash()
    story.at(30.0).start()
    story.at(35.0).push(beat("ping", 35.0))
    story.run(until=44.0)
    assert [(second, kind) for second, kind, _ in told(story)] == [(40.0, "fault")]
