"""The past of an alarm is read back as it was [D 5.5.3]."""

from collections import defaultdict
from datetime import timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from doctor.alarms.history import MomentKind, entry_of, moments_of
from doctor.alarms.lifecycle import cleared, settled
from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.fault import Claim, Outcome, Prediction, ResourceState, Severity
from doctor.model.history import HistoryEntry, standing_of
from doctor.model.resource import PhysicalResource, VirtualResource
from doctor.model.resource_map import ResourceMap
from tests.unit.model.nfvis import SEVERITIES, STATES, at, fault_on, long_lists

VICTIMS = [f"vm-{number}" for number in range(4)]
RESOURCES = ResourceMap(
    [PhysicalResource(id="compute-1")],
    [VirtualResource(id=name, host="compute-1", owner="red") for name in VICTIMS],
)
FAULT = fault_on("compute-1")
NEW = AlarmedFault(fault=FAULT, alarms={})
Reach = dict[str, tuple[ResourceState, Severity]]
Seen = list[tuple[MomentKind, int, Severity, ResourceState, bool, Severity]]

ERROR = (ResourceState.ERROR, Severity.CRITICAL)
REACH = st.dictionaries(st.sampled_from(VICTIMS), st.tuples(STATES, SEVERITIES)).map(
    lambda victims: {"compute-1": ERROR, **victims}
)


def test_raising_and_clearing_leave_nothing_to_keep() -> None:
    """The way of a fault to its owner costs nothing more for it."""
    raised = settled(NEW, FAULT, {"compute-1": ERROR, "vm-1": ERROR}, RESOURCES, now=at(0))
    assert entry_of(NEW, raised, now=at(0)) is None
    ended = cleared(raised.record, now=at(1))
    assert entry_of(raised.record, ended, now=at(1)) is None
    by_hand = entry_of(raised.record, ended, now=at(1), user="ann")
    assert by_hand is not None
    assert (by_hand.user, by_hand.transition, by_hand.ended) == ("ann", 2, ())
    same = settled(raised.record, FAULT, {"compute-1": ERROR, "vm-1": ERROR}, RESOURCES, now=at(1))
    assert entry_of(raised.record, same, now=at(1)) is None


def test_thousands_that_change_together_take_no_more_room_than_one() -> None:
    names = [f"vm-{number}" for number in range(4000)]
    many = ResourceMap(
        [PhysicalResource(id="compute-1")],
        [VirtualResource(id=n, host="compute-1", owner="red") for n in names],
    )
    reach: Reach = dict.fromkeys(["compute-1", *names], ERROR)
    before = settled(NEW, FAULT, reach, many, now=at(0)).record
    milder = dict.fromkeys(names, (ResourceState.ERROR, Severity.MAJOR))
    fault = replace(FAULT, transition=2)
    after = settled(
        before, fault, {"compute-1": (ResourceState.DOWN, Severity.MAJOR), **milder}, many, now=at(1)
    )
    entry = entry_of(before, after, now=at(1))
    assert entry is not None
    assert sorted(len(shift.alarm_ids or ()) for shift in entry.shifts) == [0, 1]
    _, change = moments_of(after.record, after.record.alarms["vm-7"], [entry])
    assert (change.before, change.alarm.severity) == (standing_of(before.alarms["vm-7"]), Severity.MAJOR)


@given(
    long_lists(st.tuples(REACH, st.booleans()), 8, least=1),
    st.booleans(),
    st.sampled_from(["", "ann"]),
)
def test_the_life_of_every_alarm_is_what_was_seen_at_the_time(
    steps: list[tuple[Reach, bool]], is_over: bool, user: str
) -> None:
    """Against a simple version that writes everything down for each alarm."""
    seen: defaultdict[str, Seen] = defaultdict(list)
    last: dict[str, tuple[AlarmedFault | None, Alarm]] = {}
    record, entries, fault = NEW, list[HistoryEntry](), FAULT
    for number, (reach, explained) in enumerate(steps):
        fault = replace(FAULT, transition=number + 1, cause="other" if explained else None)
        transition = settled(record, fault, reach, RESOURCES, now=at(number // 2))  # some at the same moment
        _note(transition, seen, last)
        entries += filter(None, [entry_of(record, transition, now=at(number // 2))])
        record = transition.record
    if is_over:
        transition = cleared(record, now=at(99))
        _note(transition, seen, last)
        entries += filter(None, [entry_of(record, transition, now=at(99), user=user)])
        record = transition.record
    for alarm_id, (_, alarm) in last.items():
        moments = moments_of(
            record,
            record.alarms.get(alarm.resource_id, alarm) if alarm.cleared_time is None else alarm,
            entries,
        )
        told = [
            (
                one.kind,
                one.transition,
                one.alarm.severity,
                one.alarm.resource_state,
                one.alarm.is_root_cause,
                one.alarm.worst_severity,
            )
            for one in moments
        ]
        assert told == seen[alarm_id]
        if is_over and moments[-1].transition == fault.transition + 1:
            assert moments[-1].user == user


def _note(
    transition: Transition,
    seen: defaultdict[str, Seen],
    last: dict[str, tuple[AlarmedFault | None, Alarm]],
) -> None:
    for kind, alarms in (
        (MomentKind.RAISED, transition.raised),
        (MomentKind.CHANGED, transition.changed),
        (MomentKind.CLEARED, transition.cleared),
    ):
        for alarm in alarms:
            seen[alarm.alarm_id].append(
                (
                    kind,
                    transition.record.fault.transition,
                    alarm.severity,
                    alarm.resource_state,
                    alarm.is_root_cause,
                    alarm.worst_severity,
                )
            )
            last[alarm.alarm_id] = (None, alarm)


@pytest.mark.parametrize("severity", [Severity.MINOR, Severity.CRITICAL])
def test_the_first_moment_is_the_alarm_as_it_was_raised(severity: Severity) -> None:
    reach: Reach = {"compute-1": (ResourceState.DOWN, severity)}
    raised = settled(NEW, FAULT, reach, RESOURCES, now=at(0))
    worse = {"compute-1": (ResourceState.DOWN, Severity.MAJOR)}
    changed = settled(raised.record, replace(FAULT, transition=2), worse, RESOURCES, now=at(5))
    entry = entry_of(raised.record, changed, now=at(5))
    assert entry is not None
    first, second = moments_of(changed.record, changed.record.alarms["compute-1"], [entry])
    assert first.alarm == raised.record.alarms["compute-1"]
    assert second.alarm == changed.record.alarms["compute-1"]


def test_what_was_foreseen_is_read_back_as_it_was() -> None:
    """Told twice, changed quietly in between, and over in the end."""

    def foreseen(minutes: int, deadline: int, outcome: Outcome = Outcome.EXPECTED) -> Prediction:
        return Prediction(
            fault_type="host down",
            predicted_time=at(60 * minutes),
            confidence=None,
            claims=(Claim("a", at(60 * minutes), None, at(deadline)),),
            state=ResourceState.DOWN,
            severity=Severity.CRITICAL,
            action="",
            near=timedelta(0),
            outcome=outcome,
        )

    reach = {"compute-1": (ResourceState.NORMAL, Severity.WARNING)}
    first = replace(FAULT, prediction=foreseen(60, 1), severity=Severity.WARNING, state=ResourceState.NORMAL)
    record = settled(NEW, first, reach, RESOURCES, now=at(0)).record
    quiet = settled(record, replace(first, prediction=foreseen(60, 2)), reach, RESOURCES, now=at(1))
    assert entry_of(record, quiet, now=at(1)) is None
    later = replace(quiet.record.fault, prediction=foreseen(90, 3), transition=2)
    moved = settled(quiet.record, later, reach, RESOURCES, now=at(2), retold=["compute-1"])
    entry = entry_of(quiet.record, moved, now=at(2))
    assert entry is not None
    over = replace(moved.record.fault, prediction=foreseen(90, 3, Outcome.EXPIRED))
    ended = cleared(replace(moved.record, fault=over), now=at(3))
    found = moments_of(ended.record, ended.record.alarms["compute-1"], [entry])
    assert [
        (one.kind, one.prediction and (one.prediction.predicted_time, one.prediction.outcome))
        for one in found
    ] == [
        (MomentKind.RAISED, (at(3600), Outcome.EXPECTED)),
        (MomentKind.CHANGED, (at(5400), Outcome.EXPECTED)),
        (MomentKind.CLEARED, (at(5400), Outcome.EXPIRED)),
    ]
