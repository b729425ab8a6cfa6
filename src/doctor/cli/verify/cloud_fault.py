"""The fault scenario of the requirement's functional test, in a real cloud beside which Doctor runs [D functest].

A tenant boots a server and subscribes as its owner; the host under it is made to fail for a while. He has to be told
within a second of the detection, and to read the true state, from Doctor and from the cloud; a stranger must hear
nothing. Then the host returns, and so must all states. Whatever is made is taken away, whatever happens.
"""

import shutil
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from doctor.cli.verify.cloud_account import Account, Json, until
from doctor.cli.verify.cloud_settings import CloudTestSettings, carry_out
from doctor.cli.verify.cloud_tenants import Wish, boot, delete_server, make_account, wish_of
from doctor.cli.verify.fault import BUDGET, Check, Progress
from doctor.cli.verify.mailbox import Subscriber, VerifyError, quietly
from doctor.client.errors import ApiError
from doctor.client.http import Client

LOST = 10.0  # seconds after which a notification of what was reported counts as lost
MAP_SECONDS = 30.0  # until Doctor knows a server that was just booted
MARKED_SECONDS = 60.0
RETURN_SECONDS = 180.0
QUIET = 0.3  # seconds in which a stranger would have heard
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


class Tenant(NamedTuple):
    """A project of the test."""

    account: Account
    wish: Wish


class Victim(NamedTuple):
    """The server of a round and what is below it: the host in the cloud's words and in Doctor's, and its address."""

    server: str
    host: str
    host_id: str
    address: str


class CloudFaultTest:
    """One run of the test.

    ``monitors``: the failure is left to Doctor's Monitors to detect, rather than reported by the test. ``say`` hears
    what is being done.
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
        self._doctor = doctor
        self._cloud = cloud
        self._settings = settings
        self._clouds_file = clouds_file
        self._webhook = webhook
        self._monitors = monitors
        self._say = say
        self._name = f"doctor-verify-{token_hex(4)}"
        self._failed: dict[str, float] = {}

    def run(self, rounds: int, progress: Progress) -> list[Check]:
        """Play the rounds; returns what was checked in each.

        Raises:
            VerifyError: the test cannot be done in this cloud.
            ClientError: Doctor refused something or went away.
        """
        checks = []
        with ExitStack() as stack:
            owner = self._tenant(self._settings.owner, "owner", stack)
            stranger = self._tenant(self._settings.stranger, "stranger", stack)
            stack.callback(self._say, "cleaning up")
            for number in range(1, rounds + 1):
                with ExitStack() as of_round:
                    checks.append(self._round(owner, stranger, of_round))
                progress(number, rounds)
        return checks

    def _tenant(self, given: str | None, part: str, stack: ExitStack) -> Tenant:
        name = f"{self._name}-{part}"
        if given is None:
            self._say(f"making the project {name}")
            account = make_account(self._cloud, name, stack, self._say)
        else:
            account = Account.of(given, self._clouds_file)
        return Tenant(account, wish_of(account, self._settings, name, stack, self._say))

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
        """Return whom it hits, whether Doctor knew where that is, and the two who listen."""
        victim, map_was_right = self._boot(owner, stack)
        self._boot_elsewhere(stranger, victim.host, stack)
        told = self._subscribe(owner.account, stack)
        other = self._subscribe(stranger.account, stack)
        self._keep_pace(victim.host)
        return victim, map_was_right, told, other

    def _boot(self, owner: Tenant, stack: ExitStack) -> tuple[Victim, bool]:
        """Boot the server that is to be hit, and see that Doctor knows where it is."""
        self._say("booting a server of the owner")
        server = boot(owner.account, owner.wish, f"{self._name}-server", stack, self._say)["id"]
        host = (self._cloud.server(server) or {}).get("OS-EXT-SRV-ATTR:host")
        if not host:
            raise VerifyError(
                "this cloud account may not see the host of a server: is it an administrator's?"
            )
        self._guard(host, server)

        def known() -> str | None:
            found = self._doctor.get("/v1/virtual-resources", virtual_resource_id=server)["items"]
            return found[0]["location"]["physical_resource_id"] if found else None

        host_id = until(known, within=MAP_SECONDS)
        if host_id is None:
            raise VerifyError(
                "Doctor does not know the server: does it run beside this cloud (doctor cloud list)?"
            )
        address = self._address(host_id)
        if address and not _answers(address):
            self._say(f"{host} ({address}) does not answer to a ping from here")
        return Victim(server, host, host_id, address), host_id.endswith(host)

    def _guard(self, host: str, server: str) -> None:
        """See that nobody else is hit, unless that was allowed."""
        others = self._cloud.items("compute", f"/servers?all_tenants=1&host={host}")
        count = sum(one["id"] != server for one in others)
        if count and not self._settings.shared:
            raise VerifyError(
                f"{count} other servers run on {host}, and would fail too: name a zone whose hosts are free with "
                "--zone, or allow it with --shared"
            )

    def _address(self, host_id: str) -> str:
        (found, *_) = self._doctor.get("/v1/physical-resources", physical_resource_id=host_id)["items"] or [
            {}
        ]
        return next(iter(found.get("address") or ()), "")

    def _boot_elsewhere(self, stranger: Tenant, host: str, stack: ExitStack) -> None:
        """Boot a server of the stranger on another host; if the cloud puts it on the same, he has none."""
        self._say("booting a server of the stranger")
        server = boot(stranger.account, stranger.wish, f"{self._name}-other", stack, self._say)["id"]
        if (self._cloud.server(server) or {}).get("OS-EXT-SRV-ATTR:host") == host:
            delete_server(stranger.account, server, self._say)

    def _subscribe(self, account: Account, stack: ExitStack) -> Subscriber:
        """Subscribe by the cloud's own token; where Doctor takes none of those, by one of Doctor's for the project."""
        client = stack.enter_context(Client(self._doctor.url, account.token))
        try:
            client.get("/v1/virtual-resources", limit=1)
        except ApiError as error:
            if error.status != 401:
                raise
            wish = {"role": "consumer", "project": account.project, "name": "doctor verify"}
            made = self._doctor.post("/v1/tokens", wish)
            stack.callback(quietly, self._doctor.delete, f"/v1/tokens/{made['token_id']}")
            client = stack.enter_context(Client(self._doctor.url, made["token"]))
        return Subscriber(client, stack, webhook=self._webhook)

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

    def _host_status(self, told: Subscriber, owner: Account, victim: Victim, right: tuple[str, ...]) -> bool:
        """Tell whether the owner reads a right host_status, from Doctor and, where the policy shows it, from Nova."""

        def is_right() -> bool:
            machine = told.client.get(f"/v1/virtual-resources/{victim.server}")
            nova = (owner.server(victim.server) or {}).get("host_status") or right[0]
            return machine["host_status"] in right and nova in right

        return bool(until(is_right, within=LOST))


def is_of(news: tuple[float, dict[str, Any]] | None, victim: Victim) -> bool:
    """Tell whether a notification says that this server is in error."""
    infos: list[Json] = [] if news is None else news[1]["virtual_resource_info"]
    return any(
        (one["virtual_resource_id"], one["virtual_resource_state"]) == (victim.server, "error")
        for one in infos
    )


def _answers(address: str) -> bool:
    """Tell whether a host answers to a ping; where there is no ping nobody knows better."""
    program = shutil.which("ping")
    if program is None:
        return True
    line = [program, "-n", "-c", "1", "-W", "2", address]
    return subprocess.run(line, capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603 - of the map
