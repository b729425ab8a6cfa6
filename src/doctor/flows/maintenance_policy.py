"""Takes what owners say beforehand of machines whose host is to be emptied [D 3.4.2]."""

from collections.abc import Iterator

from doctor.flows.scoped_policy import ScopedPolicyFlow
from doctor.flows.situation import MAINTENANCE_POLICY_MEMO
from doctor.maintenance.policies import flaws
from doctor.model.errors import Flaw
from doctor.model.maintenance import MaintenancePolicy
from doctor.model.scope import ScopeBook


class MaintenancePolicyFlow(ScopedPolicyFlow[MaintenancePolicy]):
    """All maintenance policies. Another one holds for hosts that are still to be emptied."""

    what = "maintenance policy"
    memo = MAINTENANCE_POLICY_MEMO

    def _book(self) -> ScopeBook[MaintenancePolicy]:
        return self._situation.maintenance_policies

    def _flaws(self, policy: MaintenancePolicy) -> Iterator[Flaw]:
        return flaws(policy)
