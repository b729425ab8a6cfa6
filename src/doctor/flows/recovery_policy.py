"""Takes what owners say beforehand about the recovery of their machines [D 3.3.6]."""

from collections.abc import Iterator

from msgspec.structs import replace

from doctor.flows.scoped_policy import ScopedPolicyFlow
from doctor.flows.situation import RECOVERY_POLICY_MEMO
from doctor.model.errors import Flaw
from doctor.model.recovery import RecoveryPolicy
from doctor.model.resource import VirtualResource
from doctor.recovery.policies import PolicyBook, flaws, wish_of, with_usual


class RecoveryPolicyFlow(ScopedPolicyFlow[RecoveryPolicy]):
    """All recovery policies. Another one holds also for machines that are out already."""

    what = "recovery policy"
    memo = RECOVERY_POLICY_MEMO

    def _book(self) -> PolicyBook:
        return self._situation.recovery_policies

    def _completed(self, policy: RecoveryPolicy) -> RecoveryPolicy:
        return replace(policy, steps=tuple(with_usual(step) for step in policy.steps))

    def _flaws(self, policy: RecoveryPolicy) -> Iterator[Flaw]:
        return flaws(policy, self._book())

    def unread_wish(self, machine: VirtualResource) -> str | None:
        """Return the wish that is written down with a machine, if nobody can read it."""
        return machine.recovery if machine.recovery and wish_of(machine) is None else None
