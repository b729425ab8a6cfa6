"""The life of an alarm [D 5.5.3]."""

from uuid import UUID

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.alarms.lifecycle import UNKNOWN_TYPE, cleared, fault_key_of, settled
from doctor.model.alarm import Alarm, AlarmedFault, AlarmState
from doctor.model.fault import ResourceState, Severity
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from tests.unit.model.nfvis import SEVERITIES, STATES, at, fault_on, long_lists

Reach = dict[str, tuple[ResourceState, Severity]]

RESOURCES = ResourceMap(
    [PhysicalResource(id="compute-1"), PhysicalResource(id="switch-1", type="switch")],
    [
        VirtualResource(id="vm-1", host="compute-1", owner="red"),
        VirtualResource(id="vm-2", host="compute-1", owner="red"),
        VirtualResource(id="vm-3", host="compute-1", owner="blue"),
        VirtualResource(id="disk-1", type="virtual storage", owner="blue"),
    ],
)
EVERYWHERE = ("compute-1", "switch-1", "vm-1", "vm-2", "vm-3", "disk-1", "stranger")
DOWN = (ResourceState.DOWN, Severity.CRITICAL)
ERROR = (ResourceState.ERROR, Severity.CRITICAL)
DEGRADED = (ResourceState.NORMAL, Severity.WARNING)

FAULT = fault_on("compute-1")
NEW = AlarmedFault(fault=FAULT, alarms={})
REACH = {"compute-1": DOWN, "vm-1": ERROR, "vm-2": ERROR, "vm-3": ERROR}
RAISED = settled(NEW, FAULT, REACH, RESOURCES, now=at(0))


@pytest.mark.requirement("D39")
def test_a_fault_raises_an_alarm_on_each_resource_that_it_reaches() -> None:
    """[design 3] A dead host with three machines makes four alarms, of which the host's is the root cause."""
    alarms = RAISED.record.alarms
    assert list(alarms) == ["compute-1", "vm-1", "vm-2", "vm-3"]
    assert RAISED.raised == tuple(alarms.values())
    assert RAISED.changed == RAISED.cleared == ()
    assert [alarm.is_root_cause for alarm in RAISED.raised] == [True, False, False, False]
    assert [alarm.project for alarm in RAISED.raised] == [None, "red", "red", "blue"]
    assert [alarm.resource_type for alarm in RAISED.raised] == ["host", *["virtual machine"] * 3]
    assert {alarm.raised_time for alarm in RAISED.raised} == {at(0)}
    assert {alarm.alarm_state for alarm in RAISED.raised} == {AlarmState.RAISED}


@pytest.mark.requirement("D16")
def test_fault_ids_are_shared_within_a_project_and_differ_between_projects() -> None:
    """[design 3] Owners can correlate, and that they share a host does not show."""
    host, first, second, foreign = (alarm.fault_id for alarm in RAISED.raised)
    assert first == second
    assert len({host, first, foreign}) == 3
    assert host == FAULT.fault_key


@pytest.mark.parametrize("resource_type", ["host", "switch", ""])
def test_a_resource_that_no_map_knows_is_of_the_type_that_the_fault_says(resource_type: str) -> None:
    fault = fault_on("stranger", resource_type)
    transition = settled(
        AlarmedFault(fault=fault, alarms={}), fault, {"stranger": DOWN}, RESOURCES, now=at(0)
    )
    (alarm,) = transition.raised
    assert (alarm.resource_type, alarm.project) == (resource_type or UNKNOWN_TYPE, None)


def test_what_is_as_before_is_no_news() -> None:
    again = settled(RAISED.record, FAULT, REACH, RESOURCES, now=at(1))
    assert again.raised == again.changed == again.cleared == ()
    assert again.record == RAISED.record


@pytest.mark.requirement("D41")
@pytest.mark.parametrize(
    ("effect", "is_changed"),
    [
        pytest.param(ERROR, False, id="the-same"),
        pytest.param((ResourceState.ERROR, Severity.MAJOR), True, id="severity"),
        pytest.param((ResourceState.DOWN, Severity.CRITICAL), True, id="state"),
        pytest.param(DEGRADED, True, id="both"),
    ],
)
def test_another_severity_or_state_is_a_change(
    effect: tuple[ResourceState, Severity], is_changed: bool
) -> None:
    again = settled(RAISED.record, FAULT, {**REACH, "vm-1": effect}, RESOURCES, now=at(1))
    assert [alarm.resource_id for alarm in again.changed] == (["vm-1"] if is_changed else [])
    for alarm in again.changed:
        assert (alarm.resource_state, alarm.severity) == effect
        assert alarm.alarm_id == RAISED.record.alarms["vm-1"].alarm_id
        assert (alarm.raised_time, alarm.changed_time) == (at(0), at(1))
        assert alarm.worst_severity is Severity.CRITICAL


def test_what_is_reached_no_more_is_cleared_and_what_is_reached_anew_is_raised() -> None:
    fault = replace(FAULT, transition=2)
    reach = {"compute-1": DOWN, "vm-1": ERROR, "switch-1": DOWN}
    again = settled(RAISED.record, fault, reach, RESOURCES, now=at(1))
    assert [alarm.resource_id for alarm in again.raised] == ["switch-1"]
    assert [alarm.resource_id for alarm in again.cleared] == ["vm-2", "vm-3"]
    assert all(alarm.cleared_time == at(1) for alarm in again.cleared)
    assert set(again.record.alarms) == {"compute-1", "vm-1", "switch-1"}


@pytest.mark.requirement("D41")
def test_the_end_clears_all_alarms() -> None:
    end = cleared(RAISED.record, now=at(9))
    assert {alarm.alarm_state for alarm in end.cleared} == {AlarmState.CLEARED}
    assert {alarm.cleared_time for alarm in end.cleared} == {at(9)}
    assert [alarm.alarm_id for alarm in end.cleared] == [alarm.alarm_id for alarm in RAISED.raised]
    assert not end.record.fault.is_open
    assert end.record.fault.transition == 2
    assert end.record.alarms == {alarm.resource_id: alarm for alarm in end.cleared}


def test_a_clock_that_is_set_back_turns_no_life_around() -> None:
    """[I-5] No step of an alarm is before the one that it follows."""
    changed = settled(
        RAISED.record, FAULT, {**REACH, "vm-1": DEGRADED, "vm-2": DEGRADED}, RESOURCES, now=at(5)
    )
    again = settled(changed.record, FAULT, {**REACH, "vm-1": ERROR}, RESOURCES, now=at(-100))
    assert [alarm.changed_time for alarm in again.changed] == [at(5), at(5)]
    gone = settled(changed.record, FAULT, {"compute-1": DOWN}, RESOURCES, now=at(-100))
    assert [alarm.cleared_time for alarm in gone.cleared] == [at(5), at(5), at(0)]
    end = cleared(changed.record, now=at(-100))
    assert [alarm.cleared_time for alarm in end.cleared] == [at(0), at(5), at(5), at(0)]
    assert end.record.fault.cleared_time == at(0)


def test_a_fault_is_named_by_the_event_that_raised_it() -> None:
    """[I-3] The same after a crash, another one for the next occurrence."""
    parts = ("event-1", "compute-1", "host down")
    key = fault_key_of(*parts, secret=b"ours")
    assert key == fault_key_of(*parts, secret=b"ours")
    assert UUID(key).version == 5
    others = {
        fault_key_of(
            *(part + "x" if place == number else part for number, part in enumerate(parts)), secret=b"ours"
        )
        for place in range(3)
    }
    assert len({key, *others}) == 4
    assert key != fault_key_of(*parts, secret=b"theirs")


REACHES = st.dictionaries(st.sampled_from(EVERYWHERE), st.tuples(STATES, SEVERITIES))


@pytest.mark.requirement("D39")
@given(long_lists(REACHES, 8))
def test_no_id_has_two_lives(reaches: list[Reach]) -> None:
    """[I-5] Raised < changed < cleared; a resource that is reached again has another alarm."""
    lives: dict[str, list[AlarmState]] = {}
    record = NEW
    for number, reach in enumerate(reaches, 1):
        before = record.alarms
        transition = settled(record, replace(FAULT, transition=number), reach, RESOURCES, now=at(number))
        record = transition.record
        assert set(record.alarms) == set(reach)
        assert {alarm.resource_id for alarm in transition.raised} == set(reach) - set(before)
        assert {alarm.resource_id for alarm in transition.cleared} == set(before) - set(reach)
        _note(lives, transition.raised, transition.changed, transition.cleared)
    end = cleared(record, now=at(99))
    _note(lives, end.raised, end.changed, end.cleared)
    for states in lives.values():
        assert states[0] is AlarmState.RAISED
        assert states[-1] is AlarmState.CLEARED
        assert set(states[1:-1]) <= {AlarmState.CHANGED}


def _note(lives: dict[str, list[AlarmState]], *news: tuple[Alarm, ...]) -> None:
    for alarm in (alarm for alarms in news for alarm in alarms):
        times = [time for time in (alarm.raised_time, alarm.changed_time, alarm.cleared_time) if time]
        assert times == sorted(times)
        assert len(set(times)) == len(times)
        lives.setdefault(alarm.alarm_id, []).append(alarm.alarm_state)


@given(st.lists(st.tuples(STATES, SEVERITIES), min_size=1, max_size=10))
def test_an_alarm_remembers_how_bad_it_was(history: list[tuple[ResourceState, Severity]]) -> None:
    """[D 5.4] Filters ask for it: who heard of the worst hears of the end."""
    record = NEW
    for number, effect in enumerate(history):
        record = settled(record, FAULT, {"vm-1": effect}, RESOURCES, now=at(number)).record
    worst = max(severity for _, severity in history)
    assert record.alarms["vm-1"].worst_severity == worst
    assert cleared(record, now=at(99)).cleared[0].worst_severity == worst
