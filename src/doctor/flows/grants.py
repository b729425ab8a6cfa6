"""Whose a token of the cloud is: asked of its identity service once, and remembered for a short while.

A token that is remembered costs nothing; one that is not makes its bearer wait, and nobody else. When the identity
service is away, what is remembered holds as long as it would have anyway, and everybody else is told to come back.
Doctor's own tokens do not come here.
"""

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable, Sequence
from datetime import timedelta
from typing import NamedTuple
from weakref import WeakValueDictionary

import structlog

from doctor.flows.tokens import LOCAL_PREFIX, fingerprint
from doctor.kit.clock import Clock
from doctor.model.errors import DoctorError, PermanentError, Reason, RejectedError, UnavailableError
from doctor.model.grant import Grant, RoleRule, identity_of
from doctor.model.identity import Identity
from doctor.ports.validator import TokenValidator

log = structlog.get_logger(__name__)

MOST_KEPT = timedelta(seconds=60)
UNKNOWN_KEPT = timedelta(seconds=5)
KNOWN_TOKENS = 10_000
UNKNOWN_TOKENS = 1_000
LONGEST_TOKEN = 8192
MOST_WAITING = 200
AWAY_FOR = 2.0  # seconds in which an identity service that failed is not asked again

_AWAY = "tokens of the cloud cannot be checked at the moment: its identity service does not answer Doctor"


class _Kept(NamedTuple):
    """What is remembered of a token, until a moment of the monotonic clock; ``grant`` None is one nobody knows."""

    grant: Grant | None
    until: float


class GrantFlow:
    """Tells whose a token of the cloud is.

    ``kept_for`` is how long an answer is remembered: a minute at most, and never beyond the end of the token. What is
    revoked in the cloud holds that long in Doctor.
    """

    def __init__(
        self,
        validator: TokenValidator,
        rules: Sequence[RoleRule],
        clock: Clock,
        *,
        kept_for: timedelta = MOST_KEPT,
        timeout: timedelta = timedelta(seconds=5),
    ) -> None:
        self.challenge = validator.challenge
        self._validator = validator
        self._rules = tuple(rules)
        self._clock = clock
        self._kept_for = min(kept_for, MOST_KEPT).total_seconds()
        self._timeout = timeout.total_seconds()
        self._known: OrderedDict[str, _Kept] = OrderedDict()
        self._unknown: OrderedDict[str, _Kept] = OrderedDict()
        self._asking: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()
        self._waiting = 0
        self._away_until: float | None = None

    def identify(self, token: str) -> Identity | Awaitable[Identity | None] | None:
        """Return whose token this is, None for one that nobody knows; of one that is not remembered, later.

        Raises:
            RejectedError: the token is good, and gives its bearer no role in Doctor.
            UnavailableError: nobody can tell at the moment (from what is awaited, too).
        """
        if token.startswith(LOCAL_PREFIX) or len(token) > LONGEST_TOKEN or not _is_word(token):
            return None
        key = fingerprint(token)
        kept = self._remembered(key)
        return self._ask(key, token) if kept is None else self._judged(kept.grant)

    async def close(self) -> None:
        """Ask no more."""
        await self._validator.close()

    def _judged(self, grant: Grant | None) -> Identity | None:
        if grant is None:
            return None
        identity = identity_of(grant, self._rules)
        if identity is None:
            roles = ", ".join(sorted(grant.roles)) or "none"
            scope = "no project" if grant.scope is None else grant.scope
            detail = f"none of the roles of this token ({roles} in {scope}) is one in Doctor: see auth.keystone.roles"
            raise RejectedError(detail, reason=Reason.FORBIDDEN)
        return identity

    def _remembered(self, key: str) -> _Kept | None:
        for kept_in in (self._known, self._unknown):
            kept = kept_in.get(key)
            if kept is not None and self._is_fresh(kept):
                return kept
        return None

    def _is_fresh(self, kept: _Kept) -> bool:
        if self._clock.monotonic() >= kept.until:
            return False
        return kept.grant is None or self._clock.now() < kept.grant.expires

    async def _ask(self, key: str, token: str) -> Identity | None:
        """Ask the identity service; who comes with the same token meanwhile waits for that answer."""
        self._refuse_if_away()
        if self._waiting >= MOST_WAITING:
            raise UnavailableError("too many tokens are being checked at the moment", retry_after=1)
        lock = self._asking.setdefault(key, asyncio.Lock())
        self._waiting += 1
        try:
            async with lock:
                kept = self._remembered(key)
                return self._judged(await self._validated(key, token) if kept is None else kept.grant)
        finally:
            self._waiting -= 1

    async def _validated(self, key: str, token: str) -> Grant | None:
        self._refuse_if_away()
        try:
            async with asyncio.timeout(self._timeout):
                grant = await self._validator.validate(token)
        except (DoctorError, TimeoutError) as error:
            self._is_away(error)
            raise UnavailableError(_AWAY, retry_after=int(AWAY_FOR)) from error
        if self._away_until is not None:
            self._away_until = None
            log.info("identity.back")
        return self._remember(key, grant)

    def _remember(self, key: str, grant: Grant | None) -> Grant | None:
        """Keep an answer; the oldest give way, those of unknown tokens only to each other."""
        now = self._clock.monotonic()
        if grant is None or grant.expires <= self._clock.now():
            grant = None
            kept = _Kept(None, now + UNKNOWN_KEPT.total_seconds())
        else:
            kept = _Kept(grant, now + self._kept_for)
        kept_in, most = (self._unknown, UNKNOWN_TOKENS) if grant is None else (self._known, KNOWN_TOKENS)
        kept_in.pop(key, None)
        kept_in[key] = kept
        if len(kept_in) > most:
            kept_in.popitem(last=False)
        return grant

    def _is_away(self, error: Exception) -> None:
        """Ask nothing for a moment, so that a dead identity service does not make everybody wait for it."""
        if self._away_until is None:
            say: Callable[..., object] = log.error if isinstance(error, PermanentError) else log.warning
            why = f"no answer within {self._timeout:g} s" if isinstance(error, TimeoutError) else str(error)
            say("identity.away", error=why)
        self._away_until = self._clock.monotonic() + AWAY_FOR

    def _refuse_if_away(self) -> None:
        if self._away_until is not None and self._clock.monotonic() < self._away_until:
            raise UnavailableError(_AWAY, retry_after=int(AWAY_FOR))


def _is_word(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token
