"""What the tests in a real cloud have in common: rounds, two tenants with a server each, and Doctor's view of them.

Whatever is made is put on a stack that takes it away again, in the other order, whatever happens.
"""

import shutil
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from secrets import token_hex
from typing import NamedTuple

from doctor.cli.verify.cloud_account import Account, until
from doctor.cli.verify.cloud_settings import CloudTestSettings
from doctor.cli.verify.cloud_tenants import Wish, boot, delete_server, make_account, wish_of
from doctor.cli.verify.fault import Check, Progress
from doctor.cli.verify.mailbox import Subscriber, VerifyError, quietly
from doctor.client.errors import ApiError
from doctor.client.http import Client

LOST = 10.0  # seconds after which a notification of what was reported counts as lost
MAP_SECONDS = 30.0  # until Doctor knows a server that was just booted
QUIET = 0.3  # seconds in which a stranger would have heard


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


class CloudTest(ABC):
    """One run of a test. ``say`` hears what is being done, ``webhook`` is how the tenants hear of what is theirs."""

    harm = "would fail too"  # what the test does to others on the same host

    def __init__(
        self,
        doctor: Client,
        cloud: Account,
        settings: CloudTestSettings,
        *,
        clouds_file: Path | None,
        webhook: bool,
        say: Callable[[str], None],
    ) -> None:
        self._doctor = doctor
        self._cloud = cloud
        self._settings = settings
        self._clouds_file = clouds_file
        self._webhook = webhook
        self._say = say
        self._name = f"doctor-verify-{token_hex(4)}"

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

    @abstractmethod
    def _round(self, owner: Tenant, stranger: Tenant, stack: ExitStack) -> Check:
        """Play one round; what is made for it goes onto the stack."""

    def _prepared(
        self, owner: Tenant, stranger: Tenant, stack: ExitStack
    ) -> tuple[Victim, bool, Subscriber, Subscriber]:
        """Return whom it hits, whether Doctor knew where that is, and the two who listen."""
        victim, map_was_right = self._boot(owner, stack)
        self._boot_elsewhere(stranger, victim.host, stack)
        told = self._subscribe(owner.account, stack)
        other = self._subscribe(stranger.account, stack)
        return victim, map_was_right, told, other

    def _boot(self, owner: Tenant, stack: ExitStack) -> tuple[Victim, bool]:
        """Boot the server that is to be hit, and see that Doctor knows where it is."""
        self._say("booting a server of the owner")
        server = boot(owner.account, owner.wish, f"{self._name}-server", stack, self._say)["id"]
        host = self._host_of(server)
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
                f"{count} other servers run on {host}, and {self.harm}: name a zone whose hosts are free with "
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
        if self._host_of(server) == host:
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

    def _host_of(self, server: str) -> str | None:
        """Return where a server is by the word of the cloud."""
        host = (self._cloud.server(server) or {}).get("OS-EXT-SRV-ATTR:host")
        return None if host is None else str(host)

    def _runs_elsewhere(self, owner: Account, victim: Victim) -> str | None:
        """Wait until the server runs on another host, and return that; None if it does not."""

        def there() -> str | None:
            host = self._host_of(victim.server)
            is_active = (owner.server(victim.server) or {}).get("status") == "ACTIVE"
            return host if is_active and host != victim.host else None

        return until(there, within=LOST)

    def _host_status(self, told: Subscriber, owner: Account, victim: Victim, right: tuple[str, ...]) -> bool:
        """Tell whether the owner reads a right host_status, from Doctor and, where the policy shows it, from Nova."""

        def is_right() -> bool:
            machine = told.client.get(f"/v1/virtual-resources/{victim.server}")
            nova = (owner.server(victim.server) or {}).get("host_status") or right[0]
            return machine["host_status"] in right and nova in right

        return bool(until(is_right, within=LOST))


def _answers(address: str) -> bool:
    """Tell whether a host answers to a ping; where there is no ping nobody knows better."""
    program = shutil.which("ping")
    if program is None:
        return True
    line = [program, "-n", "-c", "1", "-W", "2", address]
    return subprocess.run(line, capture_output=True, timeout=10, check=False).returncode == 0  # noqa: S603 - of the map
