"""What is being decided: one step of the fault flow, from the call that brings it about to its commit."""

from datetime import datetime

from doctor.alarms.history import entry_of
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.checkpoint import Timeline
from doctor.ports.store import Change


class Step:
    """What one call to the flow decided: what to keep, when it was decided, and by whom if not by a Monitor.

    ``accepted`` is when the report came of which it is just deciding. ``transitions`` are what it did to faults.
    """

    def __init__(self, now: datetime, *, user: str = "") -> None:
        self.accepted = self.now = now
        self.user = user
        self.change = Change()
        self.timelines: list[Timeline] = []
        self.transitions: list[Transition] = []
        self.cleared_faults: list[str] = []

    def remember(self, before: AlarmedFault, transition: Transition, *, user: str = "") -> None:
        """Keep of a transition what the record of the fault will not tell."""
        entry = entry_of(before, transition, now=self.now, user=user)
        if entry is not None:
            self.change.history.append(entry)
