"""Local tokens: made at random, shown once, kept as SHA-256."""

from datetime import datetime
from functools import lru_cache
from hashlib import sha256
from secrets import token_urlsafe
from uuid import uuid4

from doctor.flows.situation import Situation
from doctor.kit.clock import Clock
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Identity, Role, Token
from doctor.ports.store import Change

LOCAL_PREFIX = "doctor_"  # what every token made here begins with
ADMIN_TOKEN_NAME = "first admin"  # noqa: S105 - a name, not a secret


class TokenFlow:
    """Makes, lists and revokes tokens, and tells whose a token is."""

    def __init__(self, situation: Situation, clock: Clock) -> None:
        self._situation = situation
        self._clock = clock

    def identify(self, secret: str) -> Identity | None:
        """Return whose token this is, or None for one that is unknown or expired."""
        token = self._situation.tokens.get(fingerprint(secret))
        if token is None or (token.expires is not None and token.expires <= self._clock.now()):
            return None
        return Identity(name=token.name or token.token_id, role=token.role, project=token.project)

    async def create(
        self,
        role: Role,
        *,
        project: str | None,
        name: str,
        expires: datetime | None,
        secret: str | None = None,
    ) -> tuple[Token, str]:
        """Make a token; returns it with the secret, which nobody can show again.

        Raises:
            RejectedError: a consumer without a project, another role with one, an end in the past.
        """
        now = self._clock.now()
        if role is Role.CONSUMER and not project:
            flaw = Flaw("/project", "required: a consumer's token belongs to a project")
            raise RejectedError("a consumer needs a project", flaws=[flaw])
        if role is not Role.CONSUMER and project:
            flaw = Flaw("/project", f"only a consumer has one: leave it out for {role}")
            raise RejectedError("only a consumer has a project", flaws=[flaw])
        if expires is not None and expires <= now:
            raise RejectedError("the token would be expired", flaws=[Flaw("/expires", "is in the past")])
        secret = secret or f"{LOCAL_PREFIX}{token_urlsafe(32)}"
        token = Token(
            token_id=str(uuid4()),
            sha256=fingerprint(secret),
            role=role,
            project=project,
            name=name,
            created=now,
            expires=expires,
        )
        await self._situation.ready()
        await self._situation.keep(Change(tokens=[token]))
        self._situation.tokens[token.sha256] = token
        return token, secret

    def all(self) -> list[Token]:
        """Return all tokens, the oldest first."""
        return sorted(self._situation.tokens.values(), key=lambda token: (token.created, token.token_id))

    async def revoke(self, token_id: str) -> None:
        """Make a token worthless at once.

        Raises:
            RejectedError: there is no such token.
        """
        for token in self._situation.tokens.values():
            if token.token_id == token_id:
                await self._situation.ready()
                await self._situation.keep(Change(forget_tokens=[token_id]))
                self._situation.tokens.pop(token.sha256, None)
                return
        raise RejectedError("there is no such token", reason=Reason.NOT_FOUND)


@lru_cache(1024)
def fingerprint(secret: str) -> str:
    """Return what is kept of a token: it is random, so a plain hash is enough."""
    return sha256(secret.encode()).hexdigest()
