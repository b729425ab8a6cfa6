"""The fault scenario of the requirement's functional test, against any running Doctor with an embedded controller.

A host and two machines of two test tenants are added to the resource map; each tenant subscribes. In every round the
host is reported down: its owner has to be told within a second and to read the true state, the stranger must hear
nothing; then it is reported up, and the alarm has to clear. Afterwards everything is as it was before.
"""

import time
from collections.abc import Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from secrets import token_hex
from typing import Any

from doctor.cli.verify.mailbox import Subscriber, VerifyError, quietly
from doctor.client.errors import ApiError
from doctor.client.http import Client

BUDGET = timedelta(seconds=1)
PATIENCE = 5.0  # seconds: after that a notification counts as lost
QUIET = 0.2  # seconds in which a stranger would have heard

Progress = Callable[[int, int], None]
Check = dict[str, Any]


class Tenant(Subscriber):
    """A tenant of the test, with a token of Doctor's own."""

    def __init__(self, admin: Client, project: str, stack: ExitStack, *, webhook: bool) -> None:
        made = admin.post("/v1/tokens", {"role": "consumer", "project": project, "name": "doctor verify"})
        stack.callback(quietly, admin.delete, f"/v1/tokens/{made['token_id']}")
        client = stack.enter_context(Client(admin.url, made["token"]))
        super().__init__(client, stack, webhook=webhook)


class FaultTest:
    """One run of the test."""

    def __init__(self, admin: Client, *, webhook: bool) -> None:
        self._admin = admin
        self._webhook = webhook
        self._run = token_hex(4)
        self._host = f"doctor-verify-{self._run}"

    def run(self, rounds: int, progress: Progress) -> list[Check]:
        """Play the rounds; returns what was checked in each.

        Raises:
            VerifyError: the test cannot be done on this Doctor.
            ClientError: Doctor refused something or went away.
        """
        with ExitStack() as stack:
            projects = [f"verify-{self._run}-{name}" for name in ("owner", "stranger")]
            self._add_resources(projects, rounds, stack)
            owner, stranger = (Tenant(self._admin, one, stack, webhook=self._webhook) for one in projects)
            checks = []
            for number in range(1, rounds + 1):
                host = f"{self._host}-{number}"  # one that came and went too often would be told later
                stack.callback(quietly, self._report, host, "up")
                checks.append(self._round(host, owner, stranger))
                progress(number, rounds)
            return checks

    def _round(self, host: str, owner: Tenant, stranger: Tenant) -> Check:
        before = len(owner.mailbox.messages)
        heard = len(stranger.mailbox.messages)
        sent = self._report(host, "down")
        told = owner.mailbox.wait("fault", before, within=PATIENCE)
        state = self._state(host, owner)
        self._report(host, "up")
        cleared = owner.mailbox.wait("fault_cleared", before, within=PATIENCE)
        recovered = self._state(host, owner)
        time.sleep(QUIET)
        latency = None if told is None else told[0] - sent
        return {
            "told_after_ms": None if latency is None else round(latency * 1e3, 3),
            "told_in_time": latency is not None and latency < BUDGET.total_seconds(),
            "state_was_true": state == "error" and recovered == "normal",
            "cleared": cleared is not None,
            "stranger_heard_nothing": len(stranger.mailbox.messages) == heard,
        }

    def _state(self, host: str, owner: Tenant) -> str:
        machine = owner.client.get(f"/v1/virtual-resources/{host}-owner")
        return str(machine["virtual_resource_state"])

    def _report(self, host: str, status: str) -> float:
        """Report a host as a Monitor does; returns when."""
        details = {"hostname": host, "status": status, "source": "doctor verify"}
        event = {"time": datetime.now(UTC).isoformat(), "type": "compute.host.down", "details": details}
        sent = time.monotonic()
        self._admin.post("/v1/events", {"event": event})
        return sent

    def _add_resources(self, projects: list[str], rounds: int, stack: ExitStack) -> None:
        """Add a host with a machine of the owner for each round, and one of the stranger's; take them out in the end."""
        known = self._admin.get("/v1/resource-map")
        hosts = [f"{self._host}-{number}" for number in range(1, rounds + 1)]
        other = f"{self._host}-other"
        known["physical_resources"] += [{"id": host} for host in (*hosts, other)]
        known["virtual_resources"] += [
            *({"id": f"{host}-owner", "host": host, "owner": projects[0]} for host in hosts),
            {"id": f"{self._host}-stranger", "host": other, "owner": projects[1]},
        ]
        try:
            self._admin.put("/v1/resource-map", known)
        except ApiError as error:
            raise VerifyError(f"this Doctor's resource map cannot be added to: {error}") from None
        stack.callback(quietly, self._remove_resources)

    def _remove_resources(self) -> None:
        known = self._admin.get("/v1/resource-map")
        for part in ("physical_resources", "virtual_resources"):
            known[part] = [one for one in known[part] if not one["id"].startswith(self._host)]
        self._admin.put("/v1/resource-map", known)
