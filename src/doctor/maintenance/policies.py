"""What is wrong with what an owner says beforehand of machines whose host is to be emptied."""

from collections.abc import Iterator

from doctor.maintenance.guests import ACTIONS
from doctor.model.errors import Flaw
from doctor.model.maintenance import Deed, MaintenancePolicy
from doctor.recovery.rules import RULES

UNASKED = (Deed.MIGRATE, Deed.LIVE_MIGRATE, Deed.STOP, Deed.TERMINATE, Deed.LEAVE)


def flaws(policy: MaintenancePolicy) -> Iterator[Flaw]:
    """Return what is wrong with a policy."""
    if policy.action is Deed.OWN_ACTION:
        yield Flaw("/action", f"say it when you are asked; beforehand: {', '.join((*UNASKED, Deed.ASK))}")
    if policy.if_silent not in UNASKED:
        yield Flaw("/if_silent", f"is what is done without you: {', '.join(UNASKED)}")
    if policy.if_silent is not Deed.LEAVE and policy.action is not Deed.ASK:
        yield Flaw("/if_silent", "counts where action is ask")
    most = policy.tolerated_interruption
    for pointer, deed in (("/action", policy.action), ("/if_silent", policy.if_silent)):
        takes = None if deed not in ACTIONS else RULES[ACTIONS[deed]].interrupts
        if most is not None and takes is not None and takes.total_seconds() > most:
            detail = f"{deed} interrupts for {takes.total_seconds():g} s or more, and you tolerate {most:g} s"
            yield Flaw(pointer, detail)
