"""Which fault is the symptom of which: root causes [D 3.3.3].

In come the open faults; out goes, for each that could be explained, the fault that explains it. A fault is a symptom
of another that puts the same resource out of service from outside: an instance that has failed on a host that is
down, a host that is down behind a switch that is. Without such a one, what was concluded from it explains it. A cause may be known late, and may turn out to be none: what it
explains is asked anew whenever a fault comes, changes or goes. Symptoms stay faults of their own, so that nothing is
lost when the guess was wrong.
"""

from collections.abc import Iterable
from datetime import datetime

from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.alarm_book import AlarmBook
from doctor.model.fault import Fault

Weight = tuple[int, int, float, str]


def cause_of(fault: Fault, book: AlarmBook) -> str | None:
    """Return the key of the open fault that explains this one best, or None: it is a root cause itself.

    What has not happened yet has no cause, until it has happened.
    """
    if fault.prediction is not None:
        return fault.cause
    candidates = (record for record in book.on(fault.resource_id) if explains(record, fault, book))
    best = max(candidates, key=lambda record: _weight(record, fault), default=None)
    return book.explained_by(fault.fault_key) if best is None else best.fault.fault_key


def explains(record: AlarmedFault, fault: Fault, book: AlarmBook) -> bool:
    """Tell whether a fault explains another, and is not itself explained by it."""
    other = record.fault
    return (
        other.resource_id != fault.resource_id
        and record.alarms[fault.resource_id].resource_state.is_out
        and fault.fault_key not in book.chain(other)
    )


def unsettled(transitions: Iterable[Transition], book: AlarmBook) -> list[tuple[AlarmedFault, str | None]]:
    """Return the open faults that have another cause now than before, each with its new one.

    Only those are asked whose resource the transitions touch; ``book`` has the transitions already.
    """
    asked: dict[str, AlarmedFault] = {}
    for transition in transitions:
        for key in transition.record.fault.explains:
            symptom = book.fault(key)
            if symptom is not None:
                asked[key] = symptom
        over = (*transition.cleared, *transition.corrected)
        reached = transition.record.alarms.keys() | {alarm.resource_id for alarm in over}
        for resource_id in sorted(book.roots & reached):
            for record in book.rooted_in(resource_id):
                asked[record.fault.fault_key] = record
    found = []
    for record in asked.values():
        cause = cause_of(record.fault, book)
        if cause != record.fault.cause:
            found.append((record, cause))
    return found


def _weight(record: AlarmedFault, fault: Fault) -> Weight:
    """Say how well a fault explains another: the worst first, then the oldest."""
    alarm = record.alarms[fault.resource_id]
    return (
        alarm.resource_state.badness,
        alarm.severity,
        -_seconds(record.fault.raised_time),
        record.fault.fault_key,
    )


def _seconds(time: datetime) -> float:
    return time.timestamp()
