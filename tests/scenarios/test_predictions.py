"""A fault is foreseen: the owners are warned, and it comes, moves, or stays away [D 2.1.2]."""

from typing import Any

import msgspec
import pytest

from doctor.flows.alarm import AlarmAction
from doctor.inspector.catalogue import default_policy_text
from doctor.model.fault import Severity
from doctor.model.resource_map import ResourceMap
from doctor.model.subscription import SubscribeFilter
from doctor.ports.store import Store
from doctor.testing.scenario import (
    Scenario,
    down,
    foreseen,
    host_down,
    host_up,
    switch_down,
    switch_up,
    taken_back,
)
from tests.scenarios.nfvi import FAULTS, redundant_nfvi, small_nfvi

HOST_DOWN, SWITCH_DOWN = "compute.host.down", "network.switch.down"
MINUTE, HOUR = 60.0, 3600.0
HOUR_2 = 2 * HOUR


def story_of(resources: ResourceMap, *, policy: str | None = None, store: Store | None = None) -> Scenario:
    """Begin a story; owners and the operator listen to faults."""
    told = Scenario(resources, policy=policy, store=store)
    for name, project in (("red", "red"), ("blue", "blue"), ("operator", None)):
        told.at(0.0).subscribe(name, project=project, asked=FAULTS)
    return told


def heard(story: Scenario, name: str = "red") -> list[tuple[float, str, str, str, str]]:
    """Return what somebody was told: second, kind, resource, fault type, and how the prediction stood."""
    found = []
    for one in story.heard(name):
        message = one.message
        infos = [*message.get("physical_resource_info", []), *message.get("virtual_resource_info", [])]
        for info in infos:
            resource = info.get("virtual_resource_id") or info["physical_resource_id"]
            for fault in info["faults"]:
                outcome = fault.get("prediction", {}).get("outcome", "-")
                found.append((one.at, message["notification_type"], resource, fault["fault_type"], outcome))
    return found


def faults(story: Scenario, name: str = "red") -> list[Any]:
    """Return the faults that somebody was told, one after the other."""
    return [
        fault
        for one in story.heard(name)
        for side in ("physical", "virtual")
        for info in one.message.get(f"{side}_resource_info", [])
        for fault in info["faults"]
    ]


# --- it is told ---


@pytest.mark.requirement("A16", "B9", "B10")
def test_who_will_be_hit_is_warned_before_it_happens() -> None:
    """[D 2.1.2, 3.3.3] Those on the host and nobody else; nothing is out of service, and nobody is fenced."""
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR, sure=0.9))
    story.want("red").between(1.0, 2.0).gets("vm-1 is normal (warning)")
    story.want("blue").between(1.0, 2.0).gets("vm-3 is normal (warning)")
    story.want("operator").between(1.0, 2.0).gets(
        "compute-1 is normal (warning)", "vm-1 is normal (warning)", "vm-3 is normal (warning)"
    )
    story.play()
    [told] = faults(story)
    assert told["fault_type"] == "predicted host down"
    assert told["prediction"] == {
        "fault_type": "host down",
        "predicted_time": "2026-03-04T06:06:08Z",
        "confidence": 0.9,
        "outcome": "expected",
    }
    assert told["fault_details"] == {}
    assert told["is_root_cause"] is False
    [message] = [one.message for one in story.heard("red")]
    [machine] = message["virtual_resource_info"]
    assert (machine["isolation"], machine["host_status"]) == ("not_required", "UP")


@pytest.mark.requirement("A16")
def test_it_is_told_as_fast_as_a_fault() -> None:
    """[D 2.1.2] The steps are the same."""
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR))
    story.run()
    [(second, *_)] = heard(story)
    assert second < 2.0


@pytest.mark.requirement("B3")
def test_a_long_warning_is_like_maintenance_and_a_short_one_like_the_fault() -> None:
    """[D 3.1] First there is time to migrate; a quarter of an hour before there is not any more."""
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR))
    story.run(until=0.9 * HOUR)
    assert [(one["alarm_state"], one["recommended_action"]) for one in faults(story)] == [
        ("raised", "live_migrate"),
        ("changed", "switch_to_hot_standby"),
    ]
    assert heard(story)[1][0] == pytest.approx(1.0 + 45 * MINUTE, abs=0.01)


def test_a_short_warning_is_told_as_such_at_once() -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=MINUTE))
    story.run()
    assert [one["recommended_action"] for one in faults(story)] == ["switch_to_hot_standby"]


def test_who_wants_to_hear_of_what_is_broken_only_hears_nothing() -> None:
    story = Scenario(small_nfvi())
    story.at(0.0).subscribe("red", project="red", asked=SubscribeFilter(min_severity=Severity.MAJOR))
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR))
    story.at(9.0).push(host_down("compute-1"))
    story.run()
    assert [one[:2] for one in heard(story)] == [(9.0, "fault")]


def test_a_redundant_way_that_will_be_lost_warns_nobody_but_the_operator() -> None:
    """Until the other way is lost: then the host would be cut off."""
    story = story_of(redundant_nfvi())
    story.at(1.0).push(foreseen(SWITCH_DOWN, "switch-a", lead=HOUR))
    story.at(2.0).push(switch_down("switch-b"))
    story.at(3.0).push(switch_up("switch-b"))
    story.run()
    assert [one for one in heard(story, "operator") if one[0] == 1.0] == [
        (1.0, "fault", "switch-a", "predicted switch down", "expected")
    ]
    assert [one for one in heard(story) if one[3] == "predicted switch down"] == [
        (2.0, "fault", "vm-1", "predicted switch down", "expected"),
        (3.0, "fault_cleared", "vm-1", "predicted switch down", "expected"),
    ]


# --- it moves ---


def test_it_is_told_anew_when_it_moves() -> None:
    """Little moves are no news."""
    story = story_of(small_nfvi())
    for second, lead in ((1.0, HOUR), (2.0, HOUR), (3.0, HOUR + 4 * MINUTE), (4.0, HOUR_2)):
        story.at(second).push(foreseen(HOST_DOWN, "compute-1", lead=lead, seen=second))
    story.run()
    assert heard(story) == [
        (1.0, "fault", "vm-1", "predicted host down", "expected"),
        (4.0, "fault_changed", "vm-1", "predicted host down", "expected"),
    ]
    assert [one["prediction"]["predicted_time"] for one in faults(story)] == [
        "2026-03-04T06:06:08Z",
        "2026-03-04T07:06:11Z",
    ]


def test_of_two_predictors_the_more_anxious_one_counts() -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR, source="smart"))
    story.at(2.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR_2, source="zabbix"))
    story.at(3.0).push(taken_back(HOST_DOWN, "compute-1", source="smart"))
    story.at(4.0).push(taken_back(HOST_DOWN, "compute-1", source="zabbix"))
    story.run()
    assert [one[:2] for one in heard(story)] == [
        (1.0, "fault"),
        (3.0, "fault_changed"),
        (4.0, "fault_cleared"),
    ]


# --- how it ends ---


@pytest.mark.requirement("A16", "D13")
def test_when_it_comes_true_the_prediction_hangs_under_the_fault() -> None:
    """The owner hears of the fault first, then that the prediction is over, and which fault it was."""
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR))
    story.at(9.0).push(host_down("compute-1"))
    story.at(20.0).push(host_up("compute-1"))
    story.run()
    assert heard(story) == [
        (1.0, "fault", "vm-1", "predicted host down", "expected"),
        (9.0, "fault", "vm-1", "host down", "-"),
        (9.0, "fault_cleared", "vm-1", "predicted host down", "confirmed"),
        (20.0, "fault_cleared", "vm-1", "host down", "-"),
    ]
    _, real, over, _ = faults(story)
    assert over["correlated_fault_id"] == [real["fault_id"]]
    own = [
        one for one in faults(story, "operator") if one.get("prediction", {}).get("outcome") == "confirmed"
    ]
    assert own[0]["correlated_fault_id"][0] == faults(story, "operator")[3]["fault_id"]


def test_what_has_come_is_foreseen_no_more() -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(host_down("compute-1"))
    story.at(2.0).push(foreseen(HOST_DOWN, "compute-1", lead=MINUTE))
    story.run()
    assert [one[3] for one in heard(story)] == ["host down"]


@pytest.mark.parametrize(
    ("last", "why"),
    [
        pytest.param(taken_back(HOST_DOWN, "compute-1"), "taken back", id="taken-back"),
        pytest.param(foreseen(HOST_DOWN, "compute-1", lead=HOUR, sure=0.1), "unsure", id="no-longer-sure"),
        pytest.param(foreseen(HOST_DOWN, "compute-1", lead=99 * 24 * HOUR), "far", id="no-longer-soon"),
    ],
)
def test_it_is_withdrawn(last: Any, why: str) -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR, sure=0.9))
    story.at(2.0).push(last)
    story.at(3.0).push(taken_back(HOST_DOWN, "compute-1"))
    story.run()
    assert heard(story)[1:] == [(2.0, "fault_cleared", "vm-1", "predicted host down", "withdrawn")]


@pytest.mark.requirement("A16")
def test_what_does_not_come_true_is_over_when_it_is_late() -> None:
    """A quarter of an hour after its time, although Doctor was down at that moment."""
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=MINUTE))
    story.at(10 * MINUTE).crash()
    story.at(20 * MINUTE).start()
    story.run(until=21 * MINUTE)
    assert heard(story)[1:] == [(20 * MINUTE, "fault_cleared", "vm-1", "predicted host down", "expired")]


def test_it_is_over_in_time() -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=MINUTE))
    story.at(5.0).push(foreseen(HOST_DOWN, "compute-1", lead=2 * MINUTE, source="other"))
    story.run(until=HOUR)
    [end] = [one for one in heard(story) if one[1] == "fault_cleared"]
    assert end[0] == pytest.approx(5.0 + 17 * MINUTE, abs=0.01)
    assert end[4] == "expired"


def test_somebody_may_say_that_it_is_nothing() -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR))
    story.at(2.0).act(AlarmAction.CLEAR, "compute-1")
    story.run()
    assert heard(story)[1:] == [(2.0, "fault_cleared", "vm-1", "predicted host down", "withdrawn")]


# --- it stands in nobody's way ---


@pytest.mark.parametrize(
    ("details", "event_type"),
    [
        pytest.param({}, HOST_DOWN, id="no-time"),
        pytest.param({"predicted_time": "soon"}, HOST_DOWN, id="no-such-time"),
        pytest.param({"predicted_in": 60, "confidence": 7}, HOST_DOWN, id="no-such-confidence"),
        pytest.param({"predicted_in": 60, "confidence": 0.3}, HOST_DOWN, id="unsure"),
        pytest.param({"predicted_time": "2020-01-01T00:00:00Z"}, HOST_DOWN, id="long-ago"),
        pytest.param({"predicted_in": 60}, "nobody.knows", id="unknown-type"),
    ],
)
def test_what_is_no_prediction_is_kept_and_changes_nothing(details: dict[str, Any], event_type: str) -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(down(f"{event_type}.predicted", "compute-1", status="", details=details))
    story.at(2.0).push(taken_back(event_type, "compute-1"))
    story.run()
    assert heard(story, "operator") == []


def test_predictions_are_no_failures_that_could_add_up_to_one() -> None:
    """[D 3.3.2] Three lesser faults are a fault of their own; three that may come are not."""
    story = story_of(small_nfvi())
    for event_type in (HOST_DOWN, "compute.cpu.failure", "compute.memory.failure"):
        story.at(1.0).push(foreseen(event_type, "compute-1", lead=HOUR))
    story.run()
    assert {one[3] for one in heard(story, "operator")} == {
        "predicted host down",
        "predicted CPU failure",
        "predicted memory failure",
    }


def test_a_predictor_that_cannot_decide_is_told_less_often() -> None:
    """[I-9] Five changes at once, then how it ended up."""
    story = story_of(small_nfvi())
    for number in range(9):
        report = taken_back(HOST_DOWN, "compute-1", seen=float(number))
        if number % 2 == 0:
            report = foreseen(HOST_DOWN, "compute-1", lead=HOUR, seen=float(number))
        story.at(1.0 + number).push(report)
    story.run(until=2 * MINUTE)
    assert [(one[0], one[1]) for one in heard(story)] == [
        *((1.0, "fault"), (2.0, "fault_cleared"), (3.0, "fault"), (4.0, "fault_cleared"), (5.0, "fault")),
    ]


def test_what_was_folded_is_told_in_the_end() -> None:
    """[I-9] The last word was that it will not come; and what had not been begun is begun."""
    story = story_of(small_nfvi())
    for number in range(8):
        report = taken_back(HOST_DOWN, "compute-1", seen=float(number))
        if number % 2 == 0:
            report = foreseen(HOST_DOWN, "compute-1", lead=HOUR, seen=float(number))
        story.at(1.0 + number).push(report)
    story.run(until=2 * MINUTE)
    assert heard(story)[-1][:2] == (38.0, "fault_cleared")
    policy = default_policy_text(damping=False).replace("damping: off", "damping: {changes: 2}")
    other = story_of(small_nfvi(), policy=policy)
    for second in (1.0, 3.0, 5.0):
        other.at(second).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR, seen=second))
        other.at(second + 1).push(taken_back(HOST_DOWN, "compute-1", seen=second))
    other.at(7.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR, seen=7.0))
    other.run(until=2 * MINUTE)
    assert [one[:2] for one in heard(other)] == [(1.0, "fault"), (2.0, "fault_cleared"), (37.0, "fault")]


# --- it can be read ---


def test_its_history_says_what_was_foreseen_when() -> None:
    story = story_of(small_nfvi())
    story.at(1.0).push(foreseen(HOST_DOWN, "compute-1", lead=HOUR, sure=0.6))
    story.at(2.0).push(foreseen(HOST_DOWN, "compute-1", lead=10 * MINUTE, sure=0.9))
    found: list[Any] = []

    def look() -> None:
        (record,) = story.doctor.situation.book
        found.append((record, record.alarms["vm-1"]))

    async def read() -> None:
        _, alarm = found[0]
        closed = await story.doctor.situation.store.fault_of_alarm(alarm.alarm_id)
        assert closed is not None
        history = await story.doctor.alarm_history.of(closed, closed.alarms["vm-1"], None)
        found.extend(msgspec.to_builtins([one for one in history if one.predicted_time]))

    story.at(3.0).do(look)
    story.at(9.0).push(host_down("compute-1"))
    story.note(10.0, read)
    story.run()
    assert [
        (one["what"], one["predicted_time"], one["confidence"], one["outcome"], one["recommended_action"])
        for one in found[1:]
    ] == [
        ("raised", "2026-03-04T06:06:08Z", 0.6, "expected", "live_migrate"),
        ("changed", "2026-03-04T05:16:09Z", 0.9, "expected", "switch_to_hot_standby"),
        ("cleared", "2026-03-04T05:16:09Z", 0.9, "confirmed", "switch_to_hot_standby"),
    ]
