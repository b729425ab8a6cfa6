"""What is being decided: one step of a flow, from the call that brings it about to its commit."""

from datetime import datetime

from doctor.alarms.history import entry_of
from doctor.model.alarm import AlarmedFault, Transition
from doctor.model.checkpoint import Timeline
from doctor.ports.store import Change


class Draft:
    """What is being decided: when, and what it wants kept."""

    def __init__(self, now: datetime) -> None:
        self.now = now
        self.change = Change()


class Step(Draft):
    """What one call to the fault flow decided: what to keep, when it was decided, and by whom if not by a Monitor.

    ``accepted`` is when the report came of which it is just deciding, ``reporter`` whose it is; ``transitions`` are what
    it did to faults, ``heard`` are the hosts of which somebody has said whether they live, ``heeded`` is how many of the
    faults to be kept the zones around them have taken note of.
    """

    def __init__(self, now: datetime, *, user: str = "") -> None:
        super().__init__(now)
        self.accepted = now
        self.user = user
        self.reporter = ""
        self.heard: dict[str, None] = {}
        self.timelines: list[Timeline] = []
        self.cleared_faults: list[str] = []
        self.transitions: list[Transition] = []
        self.heeded = 0

    def remember(self, before: AlarmedFault, transition: Transition, *, user: str = "") -> None:
        """Keep of a transition what the record of the fault will not tell."""
        entry = entry_of(before, transition, now=self.now, user=user)
        if entry is not None:
            self.change.history.append(entry)
