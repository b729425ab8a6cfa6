"""The fault scenario of the requirement's functional test, in a real cloud beside which Doctor runs [D functest].

A tenant boots a server and subscribes as its owner; the host under it is made to fail for a while. He has to be told
within a second of the detection, and to read the true state, from Doctor and from the cloud; a stranger must hear
nothing. Then the host returns, and so must all states. Whatever is made is taken away, whatever happens.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from doctor.cli.verify.cloud_account import Account, Json, until
from doctor.cli.verify.cloud_settings import CloudTestSettings, carry_out
from doctor.cli.verify.cloud_tests import LOST, QUIET, CloudTest, Tenant, Victim
from doctor.cli.verify.fault import BUDGET, Check
from doctor.cli.verify.mailbox import Subscriber, quietly
from doctor.client.http import Client

MARKED_SECONDS = 60.0
RETURN_SECONDS = 180.0
PACE = 30.0  # seconds between two failures of one host: Doctor folds what comes and goes more often
OUT = ("DOWN", "UNKNOWN")

CHECKS = {
    "map_was_right": "Doctor knew the host of the server",
    "told_in_time": "the owner was told within 1 s",
    "cloud_shows_host_down": "the cloud shows the host as down",
    "cloud_shows_server_error": "the cloud shows the server in ERROR",
    "host_status_was_true": "the owner read the true host_status",
    "stranger_heard_nothing": "the stranger heard nothing",
    "cleared": "the alarm cleared and the owner was told",
    "cloud_was_restored": "the cloud shows the host up, the server ACTIVE",
    "host_status_returned": "host_status returned",
}
FIGURES = {
    "told_after_ms": "told, as measured here",
    "marked_after_ms": "shown by the cloud, as measured here",
    "T2": "accepted (T2)",
    "T5": "saved (T5)",
    "T6": "sent (T6)",
    "T7": "received (T7)",
    "M2": "host marked (M2)",
    "M3": "servers and ports marked (M3)",
}


class CloudFaultTest(CloudTest):
    """One run of the test.

    ``monitors``: the failure is left to Doctor's Monitors to detect, rather than reported by the test.
    """

    def __init__(
        self,
        doctor: Client,
        cloud: Account,
        settings: CloudTestSettings,
        *,
        clouds_file: Path | None,
        webhook: bool,
        monitors: bool,
        say: Callable[[str], None],
    ) -> None:
        super().__init__(doctor, cloud, settings, clouds_file=clouds_file, webhook=webhook, say=say)
        self._monitors = monitors
        self._failed: dict[str, float] = {}

    # --- one round ---

    def _round(self, owner: Tenant, stranger: Tenant, stack: ExitStack) -> Check:
        victim, map_was_right, told, other = self._prepared(owner, stranger, stack)
        self._say(f"{victim.host} fails for {self._settings.seconds:g} s")
        heard = len(other.mailbox.messages)
        begun = time.monotonic()
        with self._away(victim):
            detected = self._detected(victim, begun)
            news = told.mailbox.wait("fault", 0, within=self._settings.seconds if self._monitors else LOST)
            timeline = self._timeline(victim)
            latency = None if news is None else self._latency(news[0], detected, timeline)
            host_down, server_error = self._marked(owner.account, victim)
            marked = time.monotonic()
            status_was_true = self._host_status(told, owner.account, victim, OUT)
            time.sleep(max(0.0, begun + self._settings.seconds - time.monotonic()))
        self._say(f"{victim.host} returns")
        cleared = told.mailbox.wait("fault_cleared", 0, within=RETURN_SECONDS if self._monitors else LOST)
        restored = self._restored(owner.account, victim)
        returned = self._host_status(told, owner.account, victim, ("UP",))
        time.sleep(QUIET)
        is_marked = host_down and server_error
        return {
            "server_id": victim.server,
            "host": victim.host,
            "told_after_ms": None if latency is None else round(latency * 1e3, 3),
            "marked_after_ms": round((marked - detected) * 1e3) if is_marked else None,
            "timeline_ms": self._since_detection(self._timeline(victim)),
            "map_was_right": map_was_right,
            "told_in_time": latency is not None and latency < BUDGET.total_seconds() and is_of(news, victim),
            "cloud_shows_host_down": host_down,
            "cloud_shows_server_error": server_error,
            "host_status_was_true": status_was_true,
            "stranger_heard_nothing": len(other.mailbox.messages) == heard,
            "cleared": cleared is not None,
            "cloud_was_restored": restored,
            "host_status_returned": returned,
        }

    def _prepared(
        self, owner: Tenant, stranger: Tenant, stack: ExitStack
    ) -> tuple[Victim, bool, Subscriber, Subscriber]:
        prepared = super()._prepared(owner, stranger, stack)
        self._keep_pace(prepared[0].host)
        return prepared

    def _keep_pace(self, host: str) -> None:
        wait = self._failed.get(host, float("-inf")) + PACE - time.monotonic()
        if wait > 0:
            self._say(f"waiting {wait:.0f} s: {host} has just failed")
            time.sleep(wait)
        self._failed[host] = time.monotonic()

    @contextmanager
    def _away(self, victim: Victim) -> Iterator[None]:
        """Make the host fail, and bring it back in the end, whatever happens meanwhile."""
        settings = self._settings
        assert settings.fail is not None  # both are asked for when the settings are read
        assert settings.recover is not None
        try:
            carry_out(settings.fail, victim.host, victim.address)
            yield
        finally:
            carry_out(settings.recover, victim.host, victim.address)
            if not self._monitors:
                quietly(self._report, victim, "up")

    def _detected(self, victim: Victim, begun: float) -> float:
        """Report the failure as a Monitor does, or leave that to Doctor's own; returns when."""
        return begun if self._monitors else self._report(victim, "down")

    def _report(self, victim: Victim, status: str) -> float:
        details = {"hostname": victim.host_id, "status": status, "source": "doctor verify"}
        event = {"time": datetime.now(UTC).isoformat(), "type": "compute.host.down", "details": details}
        sent = time.monotonic()
        self._doctor.post("/v1/events", {"event": event})
        return sent

    # --- what is read ---

    def _timeline(self, victim: Victim) -> dict[str, datetime]:
        """Return when the newest fault of the host passed which checkpoint."""
        for one in self._doctor.items("/v1/timelines", at_most=50):
            if one["resource_id"] == victim.host_id:
                return {
                    name: datetime.fromisoformat(when) for name, when in one["checkpoints"].items() if when
                }
        return {}

    def _latency(self, arrived: float, detected: float, timeline: dict[str, datetime]) -> float | None:
        """Return how long after the detection the owner knew; a Monitor's detection is known to Doctor alone."""
        if not self._monitors:
            return arrived - detected
        if "T1" not in timeline or "T7" not in timeline:
            return None
        return (timeline["T7"] - timeline["T1"]).total_seconds()

    def _since_detection(self, timeline: dict[str, datetime]) -> dict[str, float]:
        begun = timeline.get("T1")
        if begun is None:
            return {}
        return {
            name: round((when - begun).total_seconds() * 1e3, 3)
            for name, when in sorted(timeline.items())
            if name not in ("T0", "T1")
        }

    def _marked(self, owner: Account, victim: Victim) -> tuple[bool, bool]:
        """Wait until the cloud shows the host as down and, to its owner, the server in error."""

        def host_down() -> bool:
            return bool(self._cloud.service_on(victim.host)["state"] == "down")

        def server_error() -> bool:
            return (owner.server(victim.server) or {}).get("status") == "ERROR"

        until(lambda: server_error() and host_down(), within=MARKED_SECONDS, every=0.05)
        return host_down(), server_error()

    def _restored(self, owner: Account, victim: Victim) -> bool:
        """Wait until the cloud shows all as it was before."""

        def as_before() -> bool:
            service = self._cloud.service_on(victim.host)
            server = owner.server(victim.server) or {}
            return (service["state"], service["status"], server.get("status")) == ("up", "enabled", "ACTIVE")

        return bool(until(as_before, within=RETURN_SECONDS))


def is_of(news: tuple[float, dict[str, Any]] | None, victim: Victim) -> bool:
    """Tell whether a notification says that this server is in error."""
    infos: list[Json] = [] if news is None else news[1]["virtual_resource_info"]
    return any(
        (one["virtual_resource_id"], one["virtual_resource_state"]) == (victim.server, "error")
        for one in infos
    )
