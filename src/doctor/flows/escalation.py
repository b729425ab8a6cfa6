"""Escalations as people see them: which there are, and what they decide."""

from collections.abc import Sequence

from doctor.flows.fault import FaultFlow
from doctor.flows.situation import Situation
from doctor.flows.zone_memory import news_of
from doctor.inspector.escalation import Move
from doctor.model.errors import Reason, RejectedError
from doctor.model.escalation import Escalation
from doctor.ports.store import Change


class EscalationFlow:
    """Knows the escalations, and has them decided."""

    def __init__(self, situation: Situation, faults: FaultFlow) -> None:
        self._situation = situation
        self._faults = faults

    @property
    def all(self) -> Sequence[Escalation]:
        """Return all that are kept."""
        return tuple(self._situation.zones.escalations.values())

    def find(self, escalation_id: str) -> Escalation:
        """Return one of them.

        Raises:
            RejectedError: there is none of this id.
        """
        found = self._situation.zones.escalations.get(escalation_id)
        if found is None:
            raise RejectedError("there is no such escalation", reason=Reason.NOT_FOUND)
        return found

    async def decide(self, escalation_id: str, move: Move, *, user: str, comment: str) -> Escalation:
        """Approve or reject one that waits for it, and return it as it is then.

        Raises:
            RejectedError: there is none of this id, or it is decided otherwise.
            StoreError: it was not kept.
        """
        await self._faults.decide(escalation_id, move, user=user, comment=comment)
        return self.find(escalation_id)


async def forget_escalations(situation: Situation) -> int:
    """Forget the escalations whose faults are forgotten, and return how many.

    Raises:
        StoreError: they were not forgotten.
    """
    zones = situation.zones
    over = {one.escalation_id: one.fault_key for one in zones.escalations.values() if one.is_over}
    kept = await situation.store.kept_faults(sorted(over.values()))
    zones = situation.zones  # it may have been read anew
    gone = [one for one, fault_key in over.items() if fault_key not in kept and one in zones.escalations]
    for escalation_id in gone:
        zones.forget(escalation_id)
    if gone:
        await situation.keep(Change(memos=news_of(zones)))
    return len(gone)
