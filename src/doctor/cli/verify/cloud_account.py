"""A cloud, asked as one of its users: what the test does there, it does as anybody could.

Nothing of Doctor's own driver is used, so that the test compares what Doctor says with what the cloud says.
"""

import json
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from doctor.cli.verify.mailbox import VerifyError
from doctor.drivers.identities.cloud import Cloud, open_cloud
from doctor.model.errors import PermanentError

Json = Any
Found = TypeVar("Found")

SECONDS = 30.0  # for one request
COMPUTE_VERSION = "2.53"  # services by uuid; 2019 and later
GONE = 404


class Account:
    """One user in one project of a cloud."""

    def __init__(self, cloud: Cloud) -> None:
        self._cloud = cloud

    @classmethod
    def of(cls, name: str, clouds_file: Path | None) -> "Account":
        """Return the account that clouds.yaml has under a name.

        Raises:
            VerifyError: there is none.
        """
        try:
            return cls(open_cloud(name, clouds_file, timeout=SECONDS))
        except PermanentError as error:
            raise VerifyError(str(error)) from None

    def in_project(self, project: str, user: str, password: str) -> "Account":
        """Return the account of another user at the same cloud."""
        from keystoneauth1.identity.v3 import Password
        from keystoneauth1.session import Session

        own = self._cloud.session
        auth = Password(
            auth_url=str(getattr(own.auth, "auth_url", "")),
            user_id=user,
            password=password,
            project_id=project,
        )
        session = Session(auth=auth, verify=own.verify, cert=own.cert, timeout=SECONDS)
        return Account(self._cloud._replace(session=session))

    @property
    def config(self) -> Mapping[str, Any]:
        """Return all that clouds.yaml says of the cloud."""
        return self._cloud.config

    @property
    def project(self) -> str:
        """Return the id of the project."""
        return str(self._logged_in(self._cloud.session.get_project_id))

    @property
    def domain(self) -> str:
        """Return the id of the domain of the user."""
        session = self._cloud.session
        return str(self._logged_in(lambda: session.auth.get_access(session).user_domain_id))  # type: ignore[union-attr] # every password has

    @property
    def token(self) -> str:
        """Return a token that is good for a while."""
        return str(self._logged_in(self._cloud.session.get_token))

    def ask(
        self, method: str, service: str, path: str, body: Json = None, *, ok: tuple[int, ...] = ()
    ) -> Json:
        """Make one request; returns the answer decoded, None where there is none or its status is one of ``ok``.

        Raises:
            VerifyError: the cloud refuses, or does not answer.
        """
        from keystoneauth1 import exceptions
        from keystoneauth1.plugin import AUTH_INTERFACE

        where: dict[str, object] = (
            {"interface": AUTH_INTERFACE, "version": (3,)}
            if service == "identity"
            else {
                "service_type": service,
                "interface": self._cloud.interface,
                "region_name": self._cloud.region,
            }
        )
        headers = {"Accept": "application/json"}
        if service == "compute":
            headers["OpenStack-API-Version"] = f"compute {COMPUTE_VERSION}"
        try:
            answer = self._cloud.session.request(
                path, method, json=body, headers=headers, endpoint_filter=where, raise_exc=False, log=False
            )
        except (exceptions.ClientException, OSError) as error:
            raise VerifyError(f"the cloud's {service} does not answer {method} {path}: {error}") from None
        if answer.status_code in ok:
            return None
        if answer.status_code >= 400:
            said = answer.content[:300].decode(errors="replace")
            raise VerifyError(
                f"the cloud's {service} answered {answer.status_code} to {method} {path}: {said}"
            )
        try:
            return json.loads(answer.content) if answer.content else None
        except ValueError:
            return None

    def items(self, service: str, path: str) -> list[Json]:
        """Return the things of a listing."""
        answer = self.ask("GET", service, path)
        return next((value for value in answer.values() if isinstance(value, list)), [])

    def server(self, server_id: str) -> Json | None:
        """Return a server as this account may see it, None when it is gone."""
        answer = self.ask("GET", "compute", f"/servers/{server_id}", ok=(GONE,))
        return None if answer is None else answer["server"]

    def service_on(self, host: str) -> Json:
        """Return the compute service of a host (of an administrator)."""
        found = self.items("compute", f"/os-services?binary=nova-compute&host={host}")
        if not found:
            raise VerifyError(f"the cloud has no compute host {host}")
        return found[0]

    def _logged_in(self, ask: Callable[[], object]) -> object:
        from keystoneauth1 import exceptions

        try:
            return ask()
        except (exceptions.ClientException, OSError) as error:
            raise VerifyError(f"the cloud refuses the login, or does not answer: {error}") from None


def until(check: Callable[[], Found | None], *, within: float, every: float = 0.2) -> Found | None:
    """Wait until something is so and return it; None when it takes too long."""
    end = time.monotonic() + within
    while not (found := check()):
        if time.monotonic() >= end:
            return None
        time.sleep(every)
    return found
