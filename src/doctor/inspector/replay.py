"""What a failure policy makes of events that were recorded: nothing is kept, nobody is told.

In come events in the order of their arrival, out goes a `Firing` for each fault that begins, is reported again,
changes or ends. Events are judged by the same `Selector` as those that come in; what is open is a small book of its
own, and what a fault takes down is left out.
"""

from collections.abc import Iterable, Iterator
from enum import StrEnum
from typing import NamedTuple

from doctor.inspector.selection import (
    Clear,
    Foretold,
    Ignored,
    Raise,
    Selected,
    Selector,
    TakenBack,
    Unnamed,
    names_type,
)
from doctor.model.event import RawEvent
from doctor.model.fault import EventType, ResourceState, Severity
from doctor.model.policy import FaultRule
from doctor.model.resource_map import ResourceMap

REMEMBERED_TYPES = 10_000


class Recorded(NamedTuple):
    """An event of the journal."""

    event_id: str
    event: RawEvent


class Happening(StrEnum):
    """What an event does to a fault."""

    RAISED = "raised"
    REPEATED = "repeated"
    CHANGED = "changed"
    CLEARED = "cleared"


class Firing(NamedTuple):
    """One rule that acts on one event: ``severity`` and ``state`` are those of the fault after it, or at its end."""

    recorded: Recorded
    happening: Happening
    resource_id: str
    fault_type: str
    rule: str
    severity: Severity
    state: ResourceState
    event_type: EventType
    probable_cause: str
    recommended_action: str

    @property
    def told(self) -> tuple[object, ...]:
        """Return what somebody would hear of it: two policies do the same if this is the same."""
        if self.happening is Happening.CLEARED:
            return (self.happening,)
        return (
            *(self.happening, self.severity, self.state),
            *(self.event_type, self.probable_cause, self.recommended_action),
        )


class Tally:
    """How often a rule was asked and what came of it.

    ``seen`` counts events of the types that its ``when`` names, as far as they are not ignored; ``fired`` those of
    them that it took, ``raised`` the faults that began by it, ``cleared`` those that it ended.
    """

    def __init__(self) -> None:
        self.seen = self.fired = self.raised = self.cleared = 0


class ReplayBook:
    """What one policy has open in the course of a replay, and how often each of its rules fired."""

    def __init__(self, rules: Iterable[FaultRule]) -> None:
        self.rules = tuple(rules)
        self.open: dict[tuple[str, str], Firing] = {}
        self.tallies = {rule.name: Tally() for rule in self.rules}
        self.ignored = 0
        self._named: dict[str, tuple[Tally, ...]] = {}

    def see(self, event_type: str) -> None:
        """Count an event at the rules that name its type."""
        named = self._named.get(event_type)
        if named is None:
            named = tuple(self.tallies[rule.name] for rule in self.rules if names_type(rule.when, event_type))
            if len(self._named) < REMEMBERED_TYPES:
                self._named[event_type] = named
        for tally in named:
            tally.seen += 1


def replay(
    events: Iterable[Recorded], selector: Selector, resources: ResourceMap, book: ReplayBook | None = None
) -> Iterator[Firing]:
    """Judge events as they would be judged today, by this policy and this resource map.

    ``book`` is what came of the events before, if these are not the first: then it goes on from there.
    """
    book = ReplayBook(selector.policy.faults) if book is None else book
    for recorded in events:
        event = recorded.event
        found = resources.find(event.resource)
        selected = selector.select(event, getattr(found, "zone_id", None))
        if isinstance(selected, Ignored):
            book.ignored += 1
            continue
        book.see(event.type)
        yield from _happenings(recorded, selected, resources, book)


def _happenings(
    recorded: Recorded, selected: Selected, resources: ResourceMap, book: ReplayBook
) -> Iterator[Firing]:
    match selected:
        case Raise():
            yield _raised(recorded, selected, resources, book)
        case Clear():
            for ended in selected.faults:
                for subject in _subjects(ended.resource, resources):
                    firing = book.open.pop((subject, ended.fault_type), None)
                    if firing is not None:
                        book.tallies[ended.rule.name].cleared += 1
                        yield firing._replace(
                            recorded=recorded, happening=Happening.CLEARED, rule=ended.rule.name
                        )
            if selected.raises is not None:
                yield _raised(recorded, selected.raises, resources, book)
        case Foretold() | TakenBack() | Ignored() | Unnamed():
            pass


def _raised(recorded: Recorded, verdict: Raise, resources: ResourceMap, book: ReplayBook) -> Firing:
    rule = verdict.rule
    key = (_subjects(verdict.resource, resources)[0], rule.fault_type)
    before = book.open.get(key)
    tally = book.tallies[rule.name]
    tally.fired += 1
    if before is not None and (before.severity, before.state) == (verdict.severity, rule.state):
        return before._replace(recorded=recorded, happening=Happening.REPEATED, rule=rule.name)
    if before is not None:
        # As in life: what a fault is about stays as its first event said.
        firing = before._replace(
            recorded=recorded,
            happening=Happening.CHANGED,
            rule=rule.name,
            severity=verdict.severity,
            state=rule.state,
        )
    else:
        tally.raised += 1
        firing = Firing(
            recorded=recorded,
            happening=Happening.RAISED,
            resource_id=key[0],
            fault_type=rule.fault_type,
            rule=rule.name,
            severity=verdict.severity,
            state=rule.state,
            event_type=rule.event_type,
            probable_cause=rule.probable_cause,
            recommended_action=rule.recommended_action,
        )
    book.open[key] = firing
    return firing


def _subjects(name: str, resources: ResourceMap) -> tuple[str, ...]:
    """Return the id of a resource, and the name that a Monitor has for it if that is another."""
    found = resources.find(name)
    return (name,) if found is None or found.id == name else (found.id, name)
