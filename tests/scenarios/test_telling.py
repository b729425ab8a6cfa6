"""Who is told what of a fault, from its first report to its end."""

from typing import Any

import pytest

from doctor.model.errors import RejectedError
from doctor.model.fault import Severity
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import EventKind, SubscribeFilter
from doctor.testing.scenario import Scenario, down, host_down, host_up, up
from tests.scenarios.nfvi import FAULTS, crowded_nfvi, small_nfvi


@pytest.mark.requirement("A1", "A9", "A10", "B13", "C1", "D6")
def test_the_owner_is_told_and_a_stranger_is_not() -> None:
    """[D 3.3.4] Only the owner of an affected machine is notified, and of nothing else."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).subscribe("vnfm-green", project="green")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.want("vnfm-green").hears_nothing()
    story.play()


@pytest.mark.requirement("A11", "B21", "F3")
def test_two_owners_on_one_host_are_told_each_their_own() -> None:
    """[D 3.3.4] Sharing a host with somebody does not show."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).subscribe("vnfm-blue", project="blue")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.want("vnfm-blue").between(1.0, 2.0).gets("vm-3 is error")
    story.play()
    (red,), (blue,) = story.heard("vnfm-red"), story.heard("vnfm-blue")
    red_info, blue_info = red.message["virtual_resource_info"][0], blue.message["virtual_resource_info"][0]
    assert red_info["faults"][0]["fault_id"] != blue_info["faults"][0]["fault_id"]
    assert red_info["location"]["host_ref"] != blue_info["location"]["host_ref"]


@pytest.mark.requirement("D39", "D41")
def test_the_end_of_a_fault_is_told() -> None:
    """[D 3.5.1] An alarm that is over is cleared, under the id that it was raised with."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.at(9.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(9.0, 10.0).gets_clear("vm-1 is normal")
    story.play()
    raised, cleared = (heard.message["virtual_resource_info"][0] for heard in story.heard("vnfm-red"))
    assert raised["host_status"] == "UNKNOWN"
    assert cleared["host_status"] == "UP"
    assert raised["faults"][0]["alarm_id"] == cleared["faults"][0]["alarm_id"]
    assert (cleared["faults"][0]["alarm_state"], cleared["faults"][0]["severity"]) == ("cleared", 0)


@pytest.mark.requirement("D39")
def test_the_next_outage_is_another_alarm() -> None:
    """[D 5.5.3] An id is never used for two lives; the sample monitor repeats one event id for ever."""
    constant = {"monitor_event_id": "monitor_sample_event1", "source": "sample_monitor"}
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    for second in (1.0, 11.0):
        story.at(second).push(host_down("compute-1", **constant))
        story.want("vnfm-red").between(second, second + 1).gets("vm-1 is error")
        story.at(second + 5).push(host_up("compute-1", **constant))
        story.want("vnfm-red").between(second + 5, second + 6).gets_clear("vm-1 is normal")
    story.play()
    ids = [
        heard.message["virtual_resource_info"][0]["faults"][0]["alarm_id"]
        for heard in story.heard("vnfm-red")
    ]
    assert ids[0] == ids[1] != ids[2] == ids[3]


@pytest.mark.requirement("A15")
def test_one_cause_is_one_notification_for_all_its_victims() -> None:
    """[D 3.6, N+M] An owner of many machines on a dead host is told once."""
    story = Scenario(crowded_nfvi(300))
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 2.0).gets(*(f"vm-{number} is error" for number in range(300)))
    story.play()
    (heard,) = story.heard("vnfm-red")
    infos = heard.message["virtual_resource_info"]
    assert len({info["faults"][0]["alarm_id"] for info in infos}) == 300
    assert len({info["faults"][0]["fault_id"] for info in infos}) == 1


@pytest.mark.requirement("B14", "E19")
def test_the_administrator_sees_the_physical_side() -> None:
    """[D 3.3.4, 5.5.2] The root cause with all its details, and whom it hits."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(1.0).push(host_down("compute-1", details={"reason": "kernel panic"}))
    story.want("operator").between(1.0, 2.0).gets("compute-1 is down", "vm-1 is error", "vm-3 is error")
    story.play()
    message = story.heard("operator")[0].message
    (host,) = message["physical_resource_info"]
    assert host["metadata"] == {"serial": "SN-1"}
    (root,) = host["faults"]
    assert root["is_root_cause"]
    assert root["fault_details"]["reason"] == "kernel panic"
    derived = [info["faults"][0] for info in message["virtual_resource_info"]]
    assert set(root["correlated_fault_id"]) == {fault["fault_id"] for fault in derived}
    assert all(fault["correlated_fault_id"] == [root["fault_id"]] for fault in derived)
    assert {info["location"]["physical_resource_id"] for info in message["virtual_resource_info"]} == {
        "compute-1"
    }


@pytest.mark.requirement("E19")
def test_an_unknown_resource_becomes_an_alarm_of_the_administrator() -> None:
    """[design 5] An event about something that no map knows is no error, and is not lost."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-77"))
    story.want("operator").between(1.0, 2.0).gets("compute-77 is down")
    story.at(3.0).push(host_up("compute-77"))
    story.want("operator").between(3.0, 4.0).gets_clear("compute-77 is normal")
    story.want("vnfm-red").hears_nothing()
    story.play()


STRANGE_DETAILS = [
    pytest.param({"n": 2**70}, {"n": str(2**70)}, id="a-number-beyond-64-bits"),
    pytest.param(
        {"a": [{"n": -(2**64)}, 1, True]},
        {"a": [{"n": str(-(2**64))}, 1, True]},
        id="such-a-number-deep-inside",
    ),
    pytest.param({"last_seen": "0001-01-01T00:00:00+14:00"}, None, id="a-time-before-all-time"),
    pytest.param({"last_seen": 7, "occurred_time": {}}, None, id="times-that-are-none"),
    pytest.param({"text": "\x1fhere\x1f"}, None, id="control-characters"),
]


@pytest.mark.requirement("D43")
@pytest.mark.parametrize(("details", "told"), STRANGE_DETAILS)
def test_strange_details_stop_nothing(details: dict[str, Any], told: dict[str, Any] | None) -> None:
    """[D 5.6, bad input] They are kept and told, and the fault is judged as any other; here one of a machine."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None)
    story.at(1.0).push(down("compute.instance.down", "vm-1", details=details))
    story.want("operator").between(1.0, 1.0).gets("vm-1 is down")
    story.play()
    (info,) = story.heard("operator")[0].message["virtual_resource_info"]
    assert info["faults"][0]["fault_details"].items() >= (told or details).items()


def test_a_type_that_no_rule_names_is_kept_and_counted() -> None:
    """[design 3] It changes nothing, and a duplicate of it is known."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None)
    story.at(1.0).push(down("coffee.machine.empty", "compute-1"))
    story.at(2.0).push(down("coffee.machine.empty", "compute-1"))
    story.at(3.0).push(down("coffee.machine.empty", "compute-1", seen=2.0)).is_duplicate()
    counted: dict[str | None, int] = {}
    story.at(4.0).do(lambda: counted.update(story.doctor.situation.unnamed))
    story.want("operator").hears_nothing()
    story.play()
    assert counted == {"coffee.machine.empty": 2}


def test_another_policy_counts_anew_what_it_does_not_name() -> None:
    """[design 3] What the one before did not name, this one may."""
    story = Scenario(small_nfvi())
    story.at(1.0).push(down("coffee.machine.empty", "compute-1"))
    story.at(2.0).apply_policy(
        "version: 1\nfaults: [{name: coffee, when: {type: coffee.*}, fault_type: no coffee, severity: critical}]"
    )
    story.at(3.0).push(down("coffee.machine.empty", "compute-1"), down("tea.cold", "compute-1"))
    counted: dict[str | None, int] = {}
    story.at(4.0).do(lambda: counted.update(story.doctor.situation.unnamed))
    story.run()
    assert counted == {"tea.cold": 1}


@pytest.mark.requirement("A7", "B7", "B8", "D6")
def test_what_the_operator_ignores_is_ignored() -> None:
    """[D 3.3.2] The failure policy selects."""
    policy = """
version: 1
faults: [{name: host-down, when: {type: compute.host.down}}]
ignore: [{name: laboratory, when: {source: lab-*}}]
"""
    story = Scenario(small_nfvi(), policy=policy)
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(1.0).push(host_down("compute-1", source="lab-7"))
    story.want("operator").between(2.0, 3.0).gets("compute-1 is down")
    story.at(2.0).push(host_down("compute-1"))
    story.play()


def test_a_clear_without_a_fault_is_nothing() -> None:
    """A monitor reports at its start that all is well."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None)
    story.at(1.0).push(host_up("compute-1"), host_up("compute-2"))
    story.want("operator").hears_nothing()
    story.play()


def test_the_order_within_one_request_holds() -> None:
    """Down, up and down again in one request are three notifications in that order [I-5]."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(
        host_down("compute-1", seen=0.1), host_up("compute-1", seen=0.2), host_down("compute-1", seen=0.3)
    )
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.want("vnfm-red").between(1.0, 2.0).gets_clear("vm-1 is normal")
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.play()


# --- severity ---

GRADED = """
version: 1
faults:
  - {name: link, when: {type: link.quality}, fault_type: link, severity: same, state: normal,
     event_type: communications_alarm, probable_cause: degraded signal, recommended_action: none}
propagate:
  - {from: host, kind: hosts, to_state: normal, severity: same}
"""


def link(severity: str) -> dict[str, str]:
    return {"status": "bad", "severity": severity}


@pytest.mark.requirement("D41")
def test_a_change_of_severity_is_told() -> None:
    """[D 5.5.3] Worse or better, the alarm stays the same one."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(down("link.quality", "compute-1", **link("minor")))
    story.want("vnfm-red").between(1.0, 1.1).gets("vm-1 is normal (minor)")
    story.at(2.0).push(down("link.quality", "compute-1", **link("critical")))
    story.want("vnfm-red").between(2.0, 2.1).gets_change("vm-1 is normal")
    story.at(3.0).push(down("link.quality", "compute-1", **link("warning")))
    story.want("vnfm-red").between(3.0, 3.1).gets_change("vm-1 is normal (warning)")
    story.at(4.0).push(up("link.quality", "compute-1"))
    story.want("vnfm-red").between(4.0, 4.1).gets_clear("vm-1 is normal")
    story.play()
    alarms = [heard.message["virtual_resource_info"][0]["faults"][0] for heard in story.heard("vnfm-red")]
    assert len({alarm["alarm_id"] for alarm in alarms}) == 1
    assert [alarm["alarm_state"] for alarm in alarms] == ["raised", "changed", "changed", "cleared"]


@pytest.mark.requirement("D19")
def test_min_severity_is_inclusive_and_who_heard_of_the_raise_hears_of_the_end() -> None:
    """[D 5.4, design 5] However mild it had become by then."""
    story = Scenario(small_nfvi(), policy=GRADED)
    asked = SubscribeFilter(min_severity=Severity.MAJOR)
    story.at(0.0).subscribe("strict", project="red", asked=asked)
    story.at(1.0).push(down("link.quality", "compute-1", **link("major")))
    story.want("strict").between(1.0, 1.1).gets("vm-1 is normal (major)")
    story.at(2.0).push(down("link.quality", "compute-1", **link("warning")))
    story.want("strict").between(2.0, 2.1).gets_change("vm-1 is normal (warning)")
    story.at(3.0).push(up("link.quality", "compute-1"))
    story.want("strict").between(3.0, 3.1).gets_clear("vm-1 is normal")
    story.play()


@pytest.mark.requirement("D19")
def test_what_never_was_bad_enough_is_not_told() -> None:
    """[D 5.4] Not the raise, not the change, not the end."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("strict", project="red", asked=SubscribeFilter(min_severity=Severity.MAJOR))
    story.at(1.0).push(down("link.quality", "compute-1", **link("minor")))
    story.at(2.0).push(down("link.quality", "compute-1", **link("warning")))
    story.at(3.0).push(up("link.quality", "compute-1"))
    story.want("strict").hears_nothing()
    story.play()


def test_a_fault_that_becomes_bad_enough_is_told_from_then_on() -> None:
    """[D 5.4]"""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("strict", project="red", asked=SubscribeFilter(min_severity=Severity.MAJOR))
    story.at(1.0).push(down("link.quality", "compute-1", **link("minor")))
    story.at(2.0).push(down("link.quality", "compute-1", **link("critical")))
    story.want("strict").between(2.0, 2.1).gets_change("vm-1 is normal")
    story.at(3.0).push(up("link.quality", "compute-1"))
    story.want("strict").between(3.0, 3.1).gets_clear("vm-1 is normal")
    story.play()


@pytest.mark.requirement("B19")
def test_who_wants_no_changes_and_no_ends_hears_only_of_the_raise() -> None:
    """[design 5] ``policy: {change: false, clear: false}``."""
    story = Scenario(small_nfvi(), policy=GRADED)
    story.at(0.0).subscribe("terse", project="red", clear=False, change=False)
    story.at(1.0).push(down("link.quality", "compute-1", **link("minor")))
    story.want("terse").between(1.0, 1.1).gets("vm-1 is normal (minor)")
    story.at(2.0).push(down("link.quality", "compute-1", **link("critical")))
    story.at(3.0).push(up("link.quality", "compute-1"))
    story.play()


TEMPERATURE = """
version: 1
faults:
  - {name: warm, when: {type: temperature, details: {celsius: {above: 60, below: 80}}}, fault_type: warm,
     severity: warning, state: normal, clear_when: {type: temperature, details: {celsius: {below: 50}}},
     event_type: environmental_alarm, probable_cause: temperature, recommended_action: none}
  - {name: hot, when: {type: temperature, details: {celsius: {above: 80}}}, fault_type: hot,
     severity: critical, state: normal, clear_when: {type: temperature, details: {celsius: {below: 70}}},
     event_type: environmental_alarm, probable_cause: temperature, recommended_action: none}
propagate: [{from: host, kind: hosts, to_state: normal, severity: same}]
"""


def test_one_event_may_end_a_fault_and_raise_another() -> None:
    """[design 4] A reading that leaves the range of one rule for that of another; the end is told first."""
    story = Scenario(small_nfvi(), policy=TEMPERATURE)
    story.at(0.0).subscribe("vnfm-red", project="red")
    for second, celsius in enumerate((90, 65, 40), 1):
        story.at(float(second)).push(down("temperature", "compute-1", details={"celsius": celsius}))
    red = story.want("vnfm-red")
    red.between(1.0, 1.0).gets("vm-1 is normal")
    red.between(2.0, 2.0).gets_clear("vm-1 is normal")
    red.between(2.0, 2.0).gets("vm-1 is normal (warning)")
    red.between(3.0, 3.0).gets_clear("vm-1 is normal")
    story.play()
    kinds = [
        heard.message["virtual_resource_info"][0]["faults"][0]["fault_type"]
        for heard in story.heard("vnfm-red")
    ]
    assert kinds == ["hot", "hot", "warm", "warm"]


# --- filters ---

FILTERS = [
    pytest.param(SubscribeFilter(), True, id="nothing-asked-is-all-that-is-mine"),
    pytest.param(SubscribeFilter(virtual_resource_id=frozenset({"vm-1"})), True, id="this-machine"),
    pytest.param(SubscribeFilter(virtual_resource_id=frozenset({"vm-2"})), False, id="another-machine"),
    pytest.param(SubscribeFilter(virtual_resource_type=frozenset({"virtual machine"})), True, id="machines"),
    pytest.param(SubscribeFilter(virtual_resource_type=frozenset({"virtual storage"})), False, id="volumes"),
    pytest.param(SubscribeFilter(fault_type=frozenset({"host down"})), True, id="this-fault-type"),
    pytest.param(SubscribeFilter(fault_type=frozenset({"cpu"})), False, id="another-fault-type"),
    pytest.param(SubscribeFilter(probable_cause=frozenset({"timeout expired"})), False, id="another-cause"),
    pytest.param(SubscribeFilter(event=frozenset({EventKind.FAULT})), True, id="faults"),
    pytest.param(SubscribeFilter(event=frozenset({EventKind.MAINTENANCE})), False, id="maintenance-only"),
    pytest.param(SubscribeFilter(min_severity=Severity.CRITICAL), True, id="critical-can-be-asked-for"),
]


@pytest.mark.requirement("B19", "D6", "D25")
@pytest.mark.parametrize(("asked", "told"), FILTERS)
def test_filters(asked: SubscribeFilter, told: bool) -> None:
    """[D 5.4] SubscribeFilterClass: lists, of which an empty one restricts nothing."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red", asked=asked)
    story.at(1.0).push(host_down("compute-1"))
    if told:
        story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.play()


@pytest.mark.requirement("B20")
def test_foreign_and_unknown_machines_cannot_be_asked_for() -> None:
    """[design 5] The same answer for both, so that nobody finds out what exists."""
    details = []
    for name in ("vm-3", "vm-77"):
        story = Scenario(small_nfvi())
        asked = SubscribeFilter(virtual_resource_id=frozenset({name}))
        story.at(0.0).subscribe("vnfm-red", project="red", asked=asked)
        with pytest.raises(ExceptionGroup) as failed:
            story.play()
        (error,) = failed.value.exceptions
        assert isinstance(error, RejectedError)
        details.append((error.detail, error.flaws))
    assert details[0] == details[1]
    assert details[0][1][0].pointer == "/subscribe_filter/virtual_resource_id/0"


# --- subscriptions and time ---


@pytest.mark.requirement("B17", "G28")
def test_a_subscription_holds_for_the_very_next_event() -> None:
    """[design 5] What was before it is in its answer, what comes after it is told."""
    story = Scenario(small_nfvi())
    story.at(1.0).push(host_down("compute-2"))
    story.at(2.0).subscribe("vnfm-red", project="red")
    story.at(2.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(2.0, 2.1).gets("vm-1 is error")
    story.play()


@pytest.mark.requirement("D40")
def test_who_subscribes_during_a_fault_hears_of_its_end() -> None:
    """[D 3.5.1] The answer to the subscription showed the fault; its end must not be missed."""
    story = Scenario(small_nfvi())
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).subscribe("vnfm-red", project="red")
    story.at(3.0).push(host_up("compute-1"))
    story.want("vnfm-red").between(3.0, 4.0).gets_clear("vm-1 is normal")
    story.play()


@pytest.mark.requirement("D29")
def test_a_deleted_subscription_hears_nothing_more() -> None:
    """[design 5]"""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.at(2.0).unsubscribe("vnfm-red")
    story.at(3.0).push(host_up("compute-1"))
    story.play()


@pytest.mark.requirement("D29")
def test_a_filter_can_be_changed() -> None:
    """[design 5] ``PATCH``: effective for the very next event."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red", asked=SubscribeFilter(fault_type=frozenset({"cpu"})))
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).update("vnfm-red", asked=SubscribeFilter())
    story.at(2.0).push(host_down("compute-2"))
    story.want("vnfm-red").between(2.0, 3.0).gets("vm-2 is error")
    story.play()


# --- the map changes ---


def test_an_alarm_ends_at_the_owner_who_had_it() -> None:
    """[I-24] A machine that changes hands during a fault: the former owner is corrected, the new one is told."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(0.0).subscribe("vnfm-green", project="green")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.at(2.0).load(
        ResourceMap(
            [PhysicalResource(id="compute-1")], [VirtualResource(id="vm-1", host="compute-1", owner="green")]
        )
    )
    story.want("vnfm-red").between(2.0, 3.0).gets_correction("vm-1 is normal")
    story.want("vnfm-green").between(2.0, 3.0).gets("vm-1 is error")
    story.at(3.0).push(host_up("compute-1"))
    story.want("vnfm-green").between(3.0, 4.0).gets_clear("vm-1 is normal")
    story.play()
    (info,) = story.heard("vnfm-red")[1].message["virtual_resource_info"]
    assert (info["location"], info["isolation"]) == ({"zone_id": None, "host_ref": None}, "not_required")


def test_a_machine_that_is_no_more_is_corrected() -> None:
    """[I-24] Nothing is known of its host any more, and nothing is made up."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("vnfm-red", project="red")
    story.at(1.0).push(host_down("compute-1"))
    story.want("vnfm-red").between(1.0, 2.0).gets("vm-1 is error")
    story.at(2.0).load(ResourceMap([PhysicalResource(id="compute-1")]))
    story.want("vnfm-red").between(2.0, 3.0).gets_correction("vm-1 is normal")
    story.at(3.0).push(host_up("compute-1"))
    story.play()
    assert "resource map" in story.heard("vnfm-red")[1].message["reason"]
    (info,) = story.heard("vnfm-red")[1].message["virtual_resource_info"]
    assert info["location"] == {"zone_id": None, "host_ref": None}
    assert info["host_status"] == ""


def test_a_fault_ends_under_the_name_that_it_began_with() -> None:
    """A host that no map knew when it failed: its alarm ends although the map has come to know it by another id."""
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("operator", project=None, asked=FAULTS)
    story.at(1.0).push(host_down("10.0.0.7"))
    story.want("operator").between(1.0, 1.0).gets("10.0.0.7 is down")
    story.at(2.0).load(ResourceMap([PhysicalResource(id="compute-7", aliases=("10.0.0.7",))]))
    story.at(3.0).push(host_down("10.0.0.7"))
    story.want("operator").between(3.0, 3.0).gets("compute-7 is down")
    story.at(4.0).push(host_up("10.0.0.7"))
    story.want("operator").between(4.0, 4.0).gets_clear("compute-7 is normal")
    story.want("operator").between(4.0, 4.0).gets_clear("10.0.0.7 is normal")
    story.play()
