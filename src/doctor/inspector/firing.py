"""What a failure policy makes of a fault at a moment: it begins, changes, or ends.

In comes what is known of a fault before and after something happened; out goes the `Firing`, if anybody would hear of
it.
"""

from collections import Counter
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from doctor.inspector.selection import Clear, Foretold, Raise, Selected, TakenBack, names_type
from doctor.inspector.suspicion import STORM
from doctor.inspector.zones import QUESTION, ZONE_FAULT
from doctor.model.alarm import AlarmedFault
from doctor.model.event import RawEvent
from doctor.model.fault import EventType, Outcome, ResourceState, Severity
from doctor.model.policy import FailurePolicy

REMEMBERED_TYPES = 10_000


class Recorded(NamedTuple):
    """An event of the journal."""

    event_id: str
    event: RawEvent


class Happening(StrEnum):
    """What becomes of a fault."""

    RAISED = "raised"
    CHANGED = "changed"
    CLEARED = "cleared"


class Shown(NamedTuple):
    """What is told of a fault; ``affected`` counts the other resources that it reaches by their states."""

    rule: str
    severity: Severity
    state: ResourceState
    event_type: EventType
    probable_cause: str
    recommended_action: str
    is_root_cause: bool
    affected: tuple[tuple[ResourceState, int], ...]
    predicted_time: datetime | None = None
    outcome: Outcome | None = None


class Firing(NamedTuple):
    """What becomes of a fault at a moment, and what is told of it then, or was until its end.

    ``recorded`` is the event that made it so, None if it was the time alone. ``zone_type`` is the type of the failure
    impact zone of which it says that it has failed, or may have; None if the fault is another one.
    """

    at: datetime
    recorded: Recorded | None
    happening: Happening
    resource_id: str
    fault_type: str
    shown: Shown
    zone_type: str | None = None

    @property
    def told(self) -> tuple[object, ...]:
        """Return what somebody would hear of it, whatever the rules are called: two policies do the same if this is."""
        if self.happening is Happening.CLEARED:
            return (self.happening, self.shown.outcome)
        return (self.happening, *self.shown[1:])


def shown_of(record: AlarmedFault) -> Shown:
    """Return what is told of a fault."""
    fault, seen = record.fault, record.fault.prediction
    states = Counter(
        alarm.resource_state for name, alarm in record.alarms.items() if name != fault.resource_id
    )
    return Shown(
        rule=fault.rule,
        severity=fault.severity,
        state=fault.state,
        event_type=fault.event_type,
        probable_cause=fault.probable_cause,
        recommended_action=fault.recommended_action,
        is_root_cause=fault.cause is None,
        affected=tuple(sorted(states.items())),
        predicted_time=None if seen is None else seen.predicted_time,
        outcome=None if seen is None else seen.outcome,
    )


def firing_of(
    record: AlarmedFault, before: Shown | None, at: datetime, recorded: Recorded | None
) -> Firing | None:
    """Return what has become of a fault since it was shown last (None: it was not there), None if nothing has."""
    fault, now = record.fault, shown_of(record)
    if not fault.is_open:
        happening = Happening.CLEARED
    else:
        happening = Happening.RAISED if before is None else Happening.CHANGED
    if (before is None and not fault.is_open) or (
        fault.is_open and before is not None and before[1:] == now[1:]
    ):
        return None
    is_of_zone = fault.is_derived and fault.fault_type in (QUESTION, ZONE_FAULT)
    zone_type = fault.resource_type if is_of_zone else None
    return Firing(at, recorded, happening, fault.resource_id, fault.fault_type, now, zone_type)


class Tally:
    """How often a rule was asked and what came of it.

    ``seen`` counts events of the types that its ``when`` names, as far as they are not ignored; ``fired`` those of
    them that it took, ``raised`` the faults that began by it, ``cleared`` those of them that ended. A rule that is
    asked by no event (`aggregate`, `suspect`, `storm`) has seen none.
    """

    def __init__(self) -> None:
        self.seen = self.fired = self.raised = self.cleared = 0


class ZoneTally:
    """How often the zones of one type failed: somebody was ``asked``, or it ``took_effect``; and how often it was over."""

    def __init__(self) -> None:
        self.asked = self.took_effect = self.over = 0


class Tallies:
    """The tallies of a policy: of all rules, in their order, by name, and of the failure impact zones, by their type."""

    def __init__(self, policy: FailurePolicy) -> None:
        self._asked = [
            *((rule.name, rule.when) for rule in policy.faults),
            *((rule.name, rule.when) for rule in policy.predict),
        ]
        names = [
            *(name for name, _ in self._asked),
            *(rule.name for rule in policy.aggregate),
            *(rule.name for rule in policy.suspect),
            *([] if policy.storm is None else [STORM]),
        ]
        self.by_rule = {name: Tally() for name in names}
        self.by_zone = {level.type: ZoneTally() for level in policy.zones}
        self.ignored = 0
        self._named: dict[str, tuple[Tally, ...]] = {}

    def asked(self, event_type: str, selected: Selected) -> None:
        """Count an event, and what was made of it."""
        for tally in self._naming(event_type):
            tally.seen += 1
        match selected:
            case Raise(rule=rule) | Clear(raises=Raise(rule=rule)):
                self.by_rule[rule.name].fired += 1
            case Foretold(rule=foresight) | TakenBack(rule=foresight):
                self.by_rule[foresight.name].fired += 1
            case _:
                pass

    def count(self, firing: Firing) -> None:
        """Count what has become of a fault."""
        if firing.zone_type is not None:
            self._count_zone(firing, self.by_zone[firing.zone_type])
            return
        tally = self.by_rule.get(firing.shown.rule)
        if tally is not None:
            tally.raised += firing.happening is Happening.RAISED
            tally.cleared += firing.happening is Happening.CLEARED

    def _count_zone(self, firing: Firing, tally: ZoneTally) -> None:
        if firing.happening is Happening.CLEARED:
            tally.over += 1
        elif firing.happening is Happening.RAISED:
            tally.asked += firing.fault_type == QUESTION
            tally.took_effect += firing.fault_type == ZONE_FAULT

    def _naming(self, event_type: str) -> tuple[Tally, ...]:
        """Return the tallies of the rules that name a type of event."""
        named = self._named.get(event_type)
        if named is None:
            named = tuple(self.by_rule[name] for name, when in self._asked if names_type(when, event_type))
            if len(self._named) < REMEMBERED_TYPES:
                self._named[event_type] = named
        return named
