"""Maintenance in a real cloud: a host is emptied as the owner of the server there agrees, and given back [D 3.4.2, 5.2.2].

A tenant boots a server and subscribes as its owner. The host under it is asked for; he is asked, reads the true host_status,
and answers; his server moves; the host is in maintenance, and the one answer comes; it is given back. Meanwhile the cloud
must place nothing there, and show why; a stranger must hear nothing.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from doctor.cli.verify.cloud_account import until
from doctor.cli.verify.cloud_tests import LOST, QUIET, CloudTest, Tenant, Victim
from doctor.cli.verify.fault import BUDGET, Check
from doctor.cli.verify.mailbox import Message, Subscriber, quietly

DISABLED_SECONDS = 60.0  # until the cloud shows a host as it was marked
WAYS = ("live_migrate", "migrate")  # which the owner prefers
KIND = "maintenance"

CHECKS = {
    "map_was_right": "Doctor knew the host of the server",
    "asked_in_time": "the owner was asked within 1 s",
    "host_disabled": "the cloud places nothing on the host, and shows why",
    "host_status_was_true": "the owner read the true host_status",
    "moved": "the server runs on another host, as its owner was told",
    "in_maintenance": "the host was in maintenance, and not before",
    "answered_once": "whoever asked for it had one answer: done",
    "stranger_heard_nothing": "the stranger heard nothing",
    "enabled": "the host was given back, and the cloud uses it again",
    "stayed": "the server stayed where it is",
    "host_status_returned": "host_status returned",
}
FIGURES = {
    "told_after_ms": "the owner was asked",
    "disabled_after_ms": "the cloud shows the host as disabled",
    "agreed_after_ms": "he has agreed",
    "moved_after_ms": "the server had moved, as he was told",
    "emptied_after_ms": "the host is in maintenance: the answer came",
    "enabled_after_ms": "the cloud uses the host again (after it was given back)",
}


class CloudMaintenanceTest(CloudTest):
    """One run of the test."""

    harm = "would be asked to leave too"

    def _round(self, owner: Tenant, stranger: Tenant, stack: ExitStack) -> Check:
        victim, map_was_right, told, other = self._prepared(owner, stranger, stack)
        office = Subscriber(self._doctor, stack, webhook=self._webhook)
        heard = len(other.mailbox.messages)
        self._say(f"{victim.host} is to be emptied")
        begun = time.monotonic()

        def since(moment: float | None) -> float | None:
            return None if moment is None else round((moment - begun) * 1e3, 3)

        with self._asked_for(victim) as session:
            asked = told.mailbox.wait(KIND, 0, within=LOST, check=_phase(session, "planned"))
            disabled = until(lambda: self._is_disabled(victim, session), within=DISABLED_SECONDS, every=0.05)
            disabled_at = time.monotonic()
            status_was_true = self._host_status(told, owner.account, victim, ("MAINTENANCE",))
            too_early = self._stage(victim, session) == "empty"
            agreed_at = self._agree(told, session, victim) if asked is not None else None
            seconds = self._settings.timeout
            left = told.mailbox.wait(KIND, 0, within=seconds, check=_phase(session, "moved"))
            moved_to = self._runs_elsewhere(owner.account, victim) if left is not None else None
            self._say(f"the server runs on {moved_to}" if moved_to else "the server does not leave")
            answer = office.mailbox.wait(KIND, 0, within=seconds, check=_phase(session, "result"))
            is_empty = self._stage(victim, session) == "empty"
            self._say(f"{victim.host} is given back")
            returned_at = time.monotonic()
            self._give_back(victim)
            enabled = until(lambda: self._serves(victim), within=DISABLED_SECONDS, every=0.05)
            enabled_at = time.monotonic()
        returned = self._host_status(told, owner.account, victim, ("UP",))
        time.sleep(QUIET)
        answers = [one for _, one in office.mailbox.messages if _phase(session, "result")(one)]
        return {
            "server_id": victim.server,
            "host": victim.host,
            "moved_to": moved_to,
            "told_after_ms": since(asked and asked[0]),
            "disabled_after_ms": since(disabled_at) if disabled else None,
            "agreed_after_ms": since(agreed_at),
            "moved_after_ms": since(left and left[0]),
            "emptied_after_ms": since(answer and answer[0]),
            "enabled_after_ms": round((enabled_at - returned_at) * 1e3, 3) if enabled else None,
            "map_was_right": map_was_right,
            "asked_in_time": asked is not None and asked[0] - begun < BUDGET.total_seconds(),
            "host_disabled": bool(disabled),
            "host_status_was_true": status_was_true,
            "moved": moved_to is not None,
            "in_maintenance": is_empty and not too_early,
            "answered_once": [one["maintenance"]["result"] for one in answers] == ["done"],
            "stranger_heard_nothing": len(other.mailbox.messages) == heard,
            "enabled": bool(enabled),
            "stayed": moved_to is not None and self._host_of(victim.server) == moved_to,
            "host_status_returned": returned,
        }

    @contextmanager
    def _asked_for(self, victim: Victim) -> Iterator[str]:
        """Ask for a host, and yield the session; in the end it is over, and the host serves, whatever happens meanwhile."""
        states = [{"physical_resource_id": victim.host_id, "physical_resource_state": "maintenance"}]
        body = {
            "physical_resource_state": states,
            "timeout": self._settings.timeout,
            "reason": "doctor verify",
        }
        session = str(self._doctor.post("/v1/physical-resources/state", body)["session_id"])
        try:
            yield session
        finally:
            quietly(self._doctor.delete, f"/v1/maintenance/{session}")  # over already if all went well
            if not until(lambda: self._serves(victim), within=DISABLED_SECONDS):
                self._say(f"{victim.host} is disabled still: look after it")

    def _agree(self, told: Subscriber, session: str, victim: Victim) -> float:
        """Answer as the owner: his server may move. Returns when that was taken."""
        (mine,) = (
            one["allowed_actions"]
            for _, message in told.mailbox.messages
            if _phase(session, "planned")(message)
            for one in message["maintenance"]["machines"]
            if one["virtual_resource_id"] == victim.server
        )
        way = next(one for one in (*WAYS, *mine) if one in mine)
        reply = {"reply": "ack", "actions": {victim.server: way}}
        told.client.post(f"/v1/maintenance/{session}/replies", reply)
        return time.monotonic()

    def _give_back(self, victim: Victim) -> None:
        states = [{"physical_resource_id": victim.host_id, "physical_resource_state": "normal"}]
        quietly(self._doctor.post, "/v1/physical-resources/state", {"physical_resource_state": states})

    # --- what is read ---

    def _stage(self, victim: Victim, session: str) -> str:
        hosts: list[dict[str, Any]] = self._doctor.get(f"/v1/maintenance/{session}")["hosts"]
        return next(str(one["stage"]) for one in hosts if one["physical_resource_id"] == victim.host_id)

    def _is_disabled(self, victim: Victim, session: str) -> bool:
        service = self._cloud.service_on(victim.host)
        return service["status"] == "disabled" and session in (service["disabled_reason"] or "")

    def _serves(self, victim: Victim) -> bool:
        return bool(self._cloud.service_on(victim.host)["status"] == "enabled")


def _phase(session: str, phase: str) -> Callable[[Message], bool]:
    """Return what knows the notifications of a phase of a session."""

    def is_so(message: Message) -> bool:
        told = message.get("maintenance") or {}
        return (told.get("session_id"), told.get("phase")) == (session, phase)

    return is_so
