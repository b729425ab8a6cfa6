"""The past of an alarm [D 5.5.3, HA 5.2].

`entry_of` says what of a step has to be kept because nothing else tells it; `moments_of` reads the life of one alarm
back out of that and of the record of its fault. Raising and clearing a fault, the two that matter to the second, leave
nothing to keep.
"""

from collections.abc import Iterable, Iterator
from datetime import datetime
from enum import StrEnum

import msgspec
from msgspec.structs import replace

from doctor.model.alarm import Alarm, AlarmedFault, Transition
from doctor.model.fault import Fault, Outcome, Prediction, Severity
from doctor.model.history import HistoryEntry, Shift, Silenced, Standing, standing_of


def entry_of(
    before: AlarmedFault, transition: Transition, *, now: datetime, user: str = ""
) -> HistoryEntry | None:
    """Return what has to be kept of a step, None when the record of the fault says it all."""
    fault = transition.record.fault
    goes_on = fault.is_open and bool(before.alarms)
    if not user and not goes_on:
        return None
    raised = tuple(alarm.alarm_id for alarm in transition.raised) if goes_on else ()
    ended = (*transition.cleared, *transition.corrected) if goes_on else ()
    shifts = _shifts(before, transition)
    if not (user or raised or ended or shifts):
        return None
    return HistoryEntry(
        fault_key=fault.fault_key,
        transition=fault.transition,
        time=now,
        raised=raised,
        shifts=shifts,
        ended=ended,
        user=user,
        foreseen=before.fault.prediction if before.fault.prediction != fault.prediction else None,
    )


def with_silences(
    entries: list[HistoryEntry],
    fault: Fault,
    silenced: Iterable[Silenced],
    *,
    now: datetime,
) -> None:
    """Keep in the entries of a step who was not told of it. What left nothing to keep has an entry now."""
    known = next(
        (
            index
            for index, entry in enumerate(entries)
            if entry.fault_key == fault.fault_key and entry.transition == fault.transition
        ),
        None,
    )
    if known is not None:
        entries[known] = replace(entries[known], silenced=(*entries[known].silenced, *silenced))
    else:
        entries.append(
            HistoryEntry(
                fault_key=fault.fault_key, transition=fault.transition, time=now, silenced=tuple(silenced)
            )
        )


def befores(entry: HistoryEntry | None, transition: Transition) -> dict[str, Standing]:
    """Return how the alarms were that a step has changed, by alarm id."""
    if entry is None:
        return {}
    known: dict[str, Standing] = {}
    rest = None
    for shift in entry.shifts:
        if shift.alarm_ids is None:
            rest = shift.before
        else:
            known.update(dict.fromkeys(shift.alarm_ids, shift.before))
    found = ((alarm.alarm_id, known.get(alarm.alarm_id, rest)) for alarm in transition.changed)
    return {alarm_id: before for alarm_id, before in found if before is not None}


def _shifts(before: AlarmedFault, transition: Transition) -> tuple[Shift, ...]:
    groups: dict[tuple[Standing, Standing], list[str]] = {}
    for alarm in transition.changed:
        pair = standing_of(before.alarms[alarm.resource_id]), standing_of(alarm)
        groups.setdefault(pair, []).append(alarm.alarm_id)
    if not groups:
        return ()
    largest: tuple[Standing, Standing] | None = None
    if len(transition.changed) + len(transition.cleared) + len(transition.corrected) == len(before.alarms):
        largest = max(groups, key=lambda pair: len(groups[pair]))
    return tuple(
        Shift(*pair, None if pair == largest else tuple(alarm_ids)) for pair, alarm_ids in groups.items()
    )


class MomentKind(StrEnum):
    """What happened to an alarm at a moment."""

    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"


class Moment(msgspec.Struct, frozen=True, kw_only=True):
    """One step in the life of an alarm: ``alarm`` is what was told of it then, ``before`` what it was until then.

    ``transition`` is the step of the fault. ``prediction`` is what was foreseen then, if the fault had not happened.
    """

    kind: MomentKind
    time: datetime
    transition: int
    alarm: Alarm
    before: Standing | None = None
    user: str = ""
    prediction: Prediction | None = None


def moments_of(record: AlarmedFault, alarm: Alarm, entries: Iterable[HistoryEntry]) -> list[Moment]:
    """Return the life of an alarm in its order: raised, each change, cleared."""
    fault = record.fault
    born, death = 1, None
    steps: list[tuple[HistoryEntry, Shift]] = []
    is_there = True
    entries = list(entries)
    if any(alarm.alarm_id in entry.raised for entry in entries):
        is_there = False
    for entry in entries:
        if any(ended.alarm_id == alarm.alarm_id for ended in entry.ended):
            death = entry
            break
        shift = _shift_of(alarm.alarm_id, entry) if is_there else None
        if shift is not None:
            steps.append((entry, shift))
        if alarm.alarm_id in entry.raised:
            is_there, born = True, entry.transition
    now = _as(alarm, steps[0][1].before if steps else standing_of(alarm), Severity.CLEARED)
    now = replace(now, changed_time=None, cleared_time=None)
    moments = [Moment(kind=MomentKind.RAISED, time=alarm.raised_time, transition=born, alarm=now)]
    for entry, shift in steps:
        now = replace(_as(now, shift.after, now.worst_severity), changed_time=entry.time)
        moments.append(
            Moment(
                kind=MomentKind.CHANGED,
                time=entry.time,
                transition=entry.transition,
                alarm=now,
                before=shift.before,
                user=entry.user,
            )
        )
    if alarm.cleared_time is not None:
        end = death or next((entry for entry in entries if entry.transition == fault.transition), None)
        moments.append(
            Moment(
                kind=MomentKind.CLEARED,
                time=alarm.cleared_time,
                transition=death.transition if death else fault.transition,
                alarm=replace(now, cleared_time=alarm.cleared_time),
                before=standing_of(now),
                user=end.user if end else "",
            )
        )
    return (
        moments if fault.prediction is None else list(_with_predictions(moments, fault.prediction, entries))
    )


def _with_predictions(
    moments: Iterable[Moment], last: Prediction, entries: Iterable[HistoryEntry]
) -> Iterator[Moment]:
    """Say at each moment what was foreseen: what the next step that changed it found, or what is foreseen in the end."""
    steps = [(entry.transition, entry.foreseen) for entry in entries if entry.foreseen is not None]
    for moment in moments:
        seen = next((before for number, before in steps if number > moment.transition), last)
        if moment.kind is not MomentKind.CLEARED:
            seen = replace(seen, outcome=Outcome.EXPECTED)
        yield replace(moment, prediction=seen)


def _shift_of(alarm_id: str, entry: HistoryEntry) -> Shift | None:
    """Return the change of an alarm that was there before an entry."""
    for_the_rest = None
    for shift in entry.shifts:
        if shift.alarm_ids is None:
            for_the_rest = shift
        elif alarm_id in shift.alarm_ids:
            return shift
    return for_the_rest


def _as(alarm: Alarm, standing: Standing, worst_before: Severity) -> Alarm:
    return replace(
        alarm,
        severity=standing.severity,
        resource_state=standing.resource_state,
        is_root_cause=standing.is_root_cause,
        worst_before=worst_before,
    )
