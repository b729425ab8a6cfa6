"""The owner of the machines: he has said beforehand what is to be done, or asks for it, or does neither."""

from collections.abc import Iterable, Sequence

from doctor.client import Client
from tests.fleet.plan import Plan, Recovery


class Owner:
    """He wants some machines evacuated when their host has failed, as the plan says."""

    def __init__(self, client: Client, plan: Plan, machines: Sequence[str]) -> None:
        self._client = client
        self._plan = plan
        self._machines = machines
        self.asked: list[str] = []

    def prepare(self, endpoint: str) -> None:
        """Say where he is told, and what is to be done, if he says so beforehand."""
        self._client.post("/v1/subscriptions", {"endpoints": [{"url": endpoint}]})
        if self._plan.recovery is Recovery.PREDEFINED:
            policy = {"handled_by": "doctor", "steps": [{"action": "evacuate"}]}
            for machine in self._machines:
                self._client.put(f"/v1/virtual-resources/{machine}/recovery-policy", policy)

    def look(self) -> None:
        """Ask for what has failed to be evacuated, again if it could not be done.

        Raises:
            ClientError: Doctor did not answer; the next look tries again.
        """
        if self._plan.recovery not in (Recovery.OWNER_AT_ONCE, Recovery.OWNER_PATIENT):
            return
        if self.asked and self._result(self.asked[-1]) is not False:
            return
        patient = self._plan.recovery is Recovery.OWNER_PATIENT
        failed = [
            one["virtual_resource_id"]
            for one in self._client.items("/v1/virtual-resources", virtual_resource_state="error")
            if one["virtual_resource_id"] in self._machines
            and (not patient or one["isolation"] == "isolated")
        ]
        if failed:
            key = f"{self._plan.seed}-{len(self.asked)}"
            wish = {"action": "evacuate", "virtual_resource_id": failed, "idempotency_key": key}
            self.asked.append(self._client.post("/v1/instructions", wish)["instruction_id"])

    def waits_for(self, instructions: Iterable[str]) -> bool:
        """Tell whether any of them is not over."""
        return any(self._result(one) is None for one in instructions)

    def _result(self, instruction: str) -> bool | None:
        found: bool | None = self._client.get(f"/v1/instructions/{instruction}")["acknowledged"]
        return found
