"""Keystone: whose an X-Auth-Token is. Asked as Doctor's own user, in threads of its own.

A validation reads the token and nothing else: the catalogue is left out. Tokens that Keystone would only accept with a
second token beside them (expired ones, those restricted to certain requests) are not asked for and so not accepted.
"""

import asyncio
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from pathlib import Path
from typing import Annotated

import msgspec

from doctor.drivers.identities.cloud import open_cloud
from doctor.model.errors import PermanentError, TransientError
from doctor.model.grant import DEFAULT_RULES, SYSTEM, Grant, RoleRule, parse_rule
from doctor.model.identity import Role

THREADS = 4

Seconds = Annotated[float, msgspec.Meta(gt=0, le=60)]


class KeystoneSettings(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """Which Keystone tells whose a token is (``auth.keystone`` in the settings).

    ``cloud`` is the name in clouds.yaml under which Doctor logs in; ``clouds_file`` is that file, if it is not where
    every OpenStack tool looks. ``roles`` says which role of the cloud gives which one here, the first that fits
    counts. ``cache`` is for how many seconds an answer is used again: longer asks Keystone less, and lets a revoked
    token live that long. ``timeout`` is how long somebody with a new token waits at most. ``www_authenticate_uri`` is
    where those without a token are sent; without it, where Doctor logs in itself.
    """

    cloud: Annotated[str, msgspec.Meta(min_length=1)]
    clouds_file: Path | None = None
    roles: dict[str, Role] | None = None
    cache: Seconds = 60
    timeout: Seconds = 5
    www_authenticate_uri: Annotated[str, msgspec.Meta(pattern=r"^https?://[!#-~]+$")] | None = None

    def __post_init__(self) -> None:
        for text, role in (self.roles or {}).items():
            try:
                parse_rule(text, role)
            except ValueError as error:
                raise ValueError(f"roles.{text}: {error}") from None

    @property
    def rules(self) -> tuple[RoleRule, ...]:
        """Return the rules that roles are mapped by."""
        if self.roles is None:
            return DEFAULT_RULES
        return tuple(parse_rule(text, role) for text, role in self.roles.items())

    @property
    def kept_for(self) -> timedelta:
        """Return for how long an answer is used again."""
        return timedelta(seconds=self.cache)


class _Named(msgspec.Struct):
    name: str = ""


class _User(msgspec.Struct):
    name: str
    domain: _Named = msgspec.field(default_factory=_Named)


class _Project(msgspec.Struct):
    id: str


class _System(msgspec.Struct):
    all: bool = False


class _Token(msgspec.Struct):
    """As much of a token as matters here (Identity API v3, `GET /v3/auth/tokens`)."""

    user: _User
    expires_at: datetime
    project: _Project | None = None
    system: _System | None = None
    roles: list[_Named] = []

    @property
    def scope(self) -> str | None:
        if self.project is not None:
            return self.project.id
        return SYSTEM if self.system is not None and self.system.all else None


class _Validated(msgspec.Struct):
    token: _Token


class Keystone:
    """Keystone as a `TokenValidator`."""

    def __init__(self, settings: KeystoneSettings) -> None:
        """Read clouds.yaml.

        Raises:
            PermanentError: it has no such cloud.
        """
        cloud = open_cloud(settings.cloud, settings.clouds_file, timeout=settings.timeout)
        self._session = cloud.session
        self._cloud = settings.cloud
        self._uri = settings.www_authenticate_uri or getattr(self._session.auth, "auth_url", None) or ""
        self._threads = ThreadPoolExecutor(THREADS, "keystone")

    @property
    def challenge(self) -> str:
        """Return how a 401 names it, in the words of every OpenStack service."""
        return f'Keystone uri="{self._uri}"'

    async def validate(self, token: str) -> Grant | None:
        """Ask Keystone what a token stands for."""
        loop = asyncio.get_running_loop()
        status, content = await loop.run_in_executor(self._threads, self._ask, token)
        match status:
            case 200:
                return _grant(content)
            case 404:
                return None
            case 401 | 403:
                why = "may not validate tokens: give it the role service, or admin where Keystone is older than 2023.2"
                raise PermanentError(f"Doctor's user in the cloud {self._cloud} {why}")
            case _:
                raise TransientError(f"Keystone answered {status}")

    async def close(self) -> None:
        """Let go of the threads; one that still waits for an answer ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, token: str) -> tuple[int, bytes]:
        """Make one request, in a thread; keystoneauth logs in anew when it has to."""
        from keystoneauth1 import exceptions
        from keystoneauth1.plugin import AUTH_INTERFACE

        try:
            answer = self._session.get(
                "/auth/tokens?nocatalog",
                headers={"X-Subject-Token": token, "Accept": "application/json"},
                endpoint_filter={"interface": AUTH_INTERFACE, "version": (3,)},
                raise_exc=False,
                redirect=False,
                log=False,
            )
        except (exceptions.Unauthorized, exceptions.Forbidden) as error:
            raise PermanentError(f"Keystone refuses the login of {self._cloud}: {error}") from None
        except (exceptions.ClientException, OSError) as error:
            raise TransientError(str(error)) from error
        return answer.status_code, answer.content


def _grant(content: bytes) -> Grant:
    try:
        token = msgspec.json.decode(content, type=_Validated).token
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        raise TransientError(f"Keystone answered what it should not: {error}") from None
    domain = f"@{token.user.domain.name}" if token.user.domain.name else ""
    return Grant(
        user=f"{token.user.name}{domain}",
        scope=token.scope,
        roles=frozenset(role.name.lower() for role in token.roles),
        expires=token.expires_at,
    )
