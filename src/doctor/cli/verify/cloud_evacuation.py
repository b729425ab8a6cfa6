"""The whole way in a real cloud: a host fails, is isolated, and its machine evacuated because its owner says so [D 5.2.1].

As in the fault scenario the owner has to be told within a second. He instructs at once; the host must be proven to be off
before his server starts elsewhere, and comes back by the way that Doctor has for it. Doctor's own witnesses and fence
devices do all that: nothing of it is made for the test.
"""

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Any

from doctor.cli.verify.cloud_account import Account, Json, until
from doctor.cli.verify.cloud_fault import RETURN_SECONDS, CloudFaultTest, is_of
from doctor.cli.verify.cloud_settings import carry_out
from doctor.cli.verify.cloud_tests import LOST, QUIET, Tenant, Victim
from doctor.cli.verify.fault import BUDGET, Check
from doctor.cli.verify.mailbox import Message, Subscriber, VerifyError, quietly
from doctor.client.errors import ApiError

ISOLATED_SECONDS = 120.0  # the slowest BMC, and all that waits for it
EVACUATED_SECONDS = 600.0
CONFLICT = 409
FENCED = "fenced"
STANDING = (FENCED, "needs_human", "cancelled", "observed", "normal")  # nothing is done to it by itself
SERVES = ("cancelled", "observed", "normal", None)

CHECKS = {
    "map_was_right": "Doctor knew the host of the server",
    "told_in_time": "the owner was told within 1 s",
    "instructed_in_time": "his instruction was accepted within 1 s",
    "isolated": "the host was isolated, and he was told",
    "cloud_shows_host_down": "the cloud shows the host as down",
    "evacuated": "the server runs on another host, as he was told",
    "host_status_was_true": "the owner read the true host_status",
    "stranger_heard_nothing": "the stranger heard nothing",
    "returned": "the host was given back, and the cloud shows it up",
    "stayed": "the server stayed where it is",
}
FIGURES = {
    "told_after_ms": "told, as measured here",
    "T6": "sent (T6)",
    "T7": "received (T7)",
    "I1": "instruction accepted (I1)",
    "M1": "isolated (M1)",
    "M2": "host marked (M2)",
    "I2": "evacuated (I2)",
}


class CloudEvacuationTest(CloudFaultTest):
    """One run of the test."""

    def _round(self, owner: Tenant, stranger: Tenant, stack: ExitStack) -> Check:
        victim, map_was_right, told, other = self._prepared(owner, stranger, stack)
        self._say(f"{victim.host} fails, and is to be isolated")
        heard = len(other.mailbox.messages)
        begun = time.monotonic()
        with self._away(victim):
            detected = self._detected(victim, begun)
            news = told.mailbox.wait("fault", 0, within=self._settings.seconds if self._monitors else LOST)
            self._instruct(told, victim, news)
            changed = told.mailbox.wait(
                "fault_changed",
                0,
                within=ISOLATED_SECONDS,
                check=lambda one: _isolation(one, victim) == "isolated",
            )
            self._say(f"{victim.host} is isolated" if changed else f"{victim.host} is not isolated in time")
            host_down = changed is not None and bool(until(lambda: self._is_down(victim), within=LOST))
            evacuated_to = self._evacuated_to(told, owner.account, victim) if changed else None
            status_was_true = (
                self._host_status(told, owner.account, victim, ("UP",)) if evacuated_to else False
            )
            timeline = self._timeline(victim)
            latency = None if news is None else self._latency(news[0], detected, timeline)
        returned = bool(until(lambda: self._is_up(victim), within=RETURN_SECONDS))
        stayed = evacuated_to is not None and self._host_of(victim.server) == evacuated_to
        time.sleep(QUIET)
        passed = self._since_detection(timeline)
        return {
            "server_id": victim.server,
            "host": victim.host,
            "evacuated_to": evacuated_to,
            "told_after_ms": None if latency is None else round(latency * 1e3, 3),
            "timeline_ms": passed,
            "map_was_right": map_was_right,
            "told_in_time": latency is not None and latency < BUDGET.total_seconds() and is_of(news, victim),
            "instructed_in_time": passed.get("I1", float("inf")) < BUDGET.total_seconds() * 1e3,
            "isolated": changed is not None,
            "cloud_shows_host_down": host_down,
            "evacuated": evacuated_to is not None,
            "host_status_was_true": status_was_true,
            "stranger_heard_nothing": len(other.mailbox.messages) == heard,
            "returned": returned,
            "stayed": stayed,
        }

    def _boot(self, owner: Tenant, stack: ExitStack) -> tuple[Victim, bool]:
        """Boot the server, and see that the host under it could be isolated."""
        victim, map_was_right = super()._boot(owner, stack)
        self._check_fence(victim)
        return victim, map_was_right

    def _check_fence(self, victim: Victim) -> None:
        """See that nothing keeps Doctor from isolating the host, but that it lives.

        Raises:
            VerifyError: what does.
        """
        holds = [
            f"{one['brake']}: {one['detail']}"
            for one in self._doctor.get(f"/v1/isolations/{victim.host_id}")["checks"]
            if not one["passes"] and one["brake"] != "evidence"
        ]
        if holds:
            raise VerifyError(
                f"Doctor would not isolate {victim.host} ({'; '.join(holds)}): see doctor fencing explain"
            )

    def _instruct(self, told: Subscriber, victim: Victim, news: tuple[float, Message] | None) -> None:
        """Have the server evacuated, in answer to what was told."""
        if news is not None:
            wish = {
                "action": "evacuate",
                "virtual_resource_id": [victim.server],
                "notification_id": news[1]["notification_id"],
                "deadline": ISOLATED_SECONDS,
            }
            told.client.post("/v1/instructions", wish)

    def _evacuated_to(self, told: Subscriber, owner: Account, victim: Victim) -> str | None:
        """Return where the server runs when its owner has been told that it was evacuated, None if it does not."""
        result = told.mailbox.wait("instruction_result", 0, within=EVACUATED_SECONDS)
        if result is None or not result[1]["instruction"]["acknowledged"]:
            self._say(f"the server is not evacuated: {result and result[1]['instruction']['results']}")
            return None

        return self._runs_elsewhere(owner, victim)

    def _is_down(self, victim: Victim) -> bool:
        return bool(self._cloud.service_on(victim.host)["forced_down"])

    def _is_up(self, victim: Victim) -> bool:
        service = self._cloud.service_on(victim.host)
        return (service["state"], service["status"], service["forced_down"]) == ("up", "enabled", False)

    @contextmanager
    def _away(self, victim: Victim) -> Iterator[None]:
        """Make the host fail; in the end have Doctor give it back, and what was not isolated brought back as it failed."""
        settings = self._settings
        assert settings.fail is not None  # both are asked for when the settings are read
        assert settings.recover is not None
        try:
            carry_out(settings.fail, victim.host, victim.address)
            yield
        finally:
            self._say(f"{victim.host} is given back")
            if until(lambda: self._state(victim) in (*STANDING, None), within=ISOLATED_SECONDS) is None:
                self._say(f"the isolation of {victim.host} does not end: look after it")
            if self._state(victim) != FENCED:
                carry_out(settings.recover, victim.host, victim.address)
            self._give_back(victim)
            if not self._monitors:
                quietly(self._report, victim, "up")

    def _give_back(self, victim: Victim) -> None:
        """Have what was cut given back, as soon as nothing of it is on its way elsewhere any more."""

        def is_given_back() -> bool:
            if self._state(victim) in SERVES:
                return True
            try:
                self._doctor.post(f"/v1/isolations/{victim.host_id}/return", {"reason": "doctor verify"})
            except ApiError as error:
                if error.status != CONFLICT:
                    raise
            return False

        if not until(is_given_back, within=RETURN_SECONDS, every=1.0):
            raise VerifyError(f"{victim.host} is not given back: see doctor fencing explain {victim.host_id}")

    def _state(self, victim: Victim) -> str | None:
        found = self._doctor.get("/v1/isolations", host=victim.host_id)["items"]
        return str(found[0]["state"]) if found else None


def _isolation(message: Json, victim: Victim) -> Any:
    """Return how a notification says that the isolation of the host of a server stands."""
    infos = message["virtual_resource_info"]
    return next((one["isolation"] for one in infos if one["virtual_resource_id"] == victim.server), None)
