"""The doors of the Administrator [D 5.5.2]: timelines, tokens."""

from collections.abc import Callable
from datetime import datetime
from typing import Annotated, Literal

import msgspec

from doctor.api.operation import Answer, Call, operation
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.problem import Limits
from doctor.api.roles import ADMIN, OVERSEERS
from doctor.api.sorting import Key, Order, microseconds, sorted_page
from doctor.flows.situation import Situation
from doctor.flows.timelines import Timelines
from doctor.flows.tokens import TokenFlow
from doctor.model.checkpoint import Timeline
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Role, Token

Name = Annotated[str, msgspec.Meta(max_length=255)]
RESOURCE_MAP = Limits(body=512 * 1024 * 1024, seconds=600, items=20_000_000, large=True)


class TokenQuery(PageQuery, frozen=True, kw_only=True):
    """The order of the tokens."""

    sort: Literal["created", "-created", "name", "-name", "role", "-role", "project", "-project"] = "created"


_TOKEN_KEYS: dict[str, Callable[[Token], Key]] = {
    "created": lambda one: microseconds(one.created),
    "name": lambda one: one.name,
    "role": lambda one: one.role.value,
    "project": lambda one: one.project or "",
}


class TokenRequest(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """A token to be: a consumer needs a project, nobody else has one."""

    role: Role
    project: Annotated[str, msgspec.Meta(min_length=1, max_length=255)] | None = None
    name: Name = ""
    expires: datetime | None = None


class TokenOut(msgspec.Struct, frozen=True, kw_only=True):
    """A token, without the token itself."""

    token_id: str
    role: Role
    project: str | None
    name: str
    created: datetime
    expires: datetime | None


class TokenMade(TokenOut, frozen=True, kw_only=True):
    """A new token; ``token`` is shown this once."""

    token: str


class Admin:
    """The operations of the Administrator."""

    def __init__(self, situation: Situation, timelines: Timelines, tokens: TokenFlow) -> None:
        self._situation = situation
        self._timelines = timelines
        self._tokens = tokens

    # --- timelines ---

    @operation("GET", "/v1/timelines", tag="Timelines", roles=OVERSEERS)
    async def list_timelines(self, call: Call[None, PageQuery]) -> Answer[Page[Timeline]]:
        """List when faults passed which checkpoint, the newest fault first."""
        await self._timelines.save()
        before = position_in(call.query.cursor, str)
        rows = await self._situation.store.timelines(before=before, limit=call.query.limit + 1)
        return Answer(page_of(rows, call.query.limit, lambda row: row, lambda row: row.fault_id))

    @operation("GET", "/v1/timelines/{fault_id}", tag="Timelines", roles=OVERSEERS)
    async def get_timeline(self, call: Call[None, None]) -> Answer[Timeline]:
        """Show when one fault passed which checkpoint (T0 to T8, R)."""
        found = await self._timelines.recall(call.path["fault_id"])
        if found is None:
            raise RejectedError("there is no timeline of such a fault", reason=Reason.NOT_FOUND)
        return Answer(found)

    # --- tokens ---

    @operation(
        "POST",
        "/v1/tokens",
        tag="Tokens",
        roles=ADMIN,
        answers={201: "The token. It is shown this once: Doctor keeps its SHA-256 only."},
        example={"role": "consumer", "project": "red"},
    )
    async def create_token(self, call: Call[TokenRequest, None]) -> Answer[TokenMade]:
        """Make a token."""
        given = call.body
        if not given.name.isprintable():
            raise RejectedError(
                "the name is wrong", flaws=[Flaw("/name", "has characters that cannot be printed")]
            )
        token, secret = await self._tokens.create(
            given.role, project=given.project, name=given.name, expires=given.expires
        )
        return Answer(TokenMade(**msgspec.structs.asdict(_token(token)), token=secret), 201)

    @operation("GET", "/v1/tokens", tag="Tokens", roles=ADMIN | {Role.AUDITOR})
    async def list_tokens(self, call: Call[None, TokenQuery]) -> Answer[Page[TokenOut]]:
        """List the tokens, without the tokens themselves."""
        order = Order(call.query.sort, call.query.cursor, _TOKEN_KEYS, lambda one: one.token_id)
        rows = list(self._tokens.all())
        return Answer(await sorted_page(rows, call.query, order, lambda _: True, _token))

    @operation(
        "DELETE",
        "/v1/tokens/{token_id}",
        tag="Tokens",
        roles=ADMIN,
        answers={204: "It is worth nothing any more."},
    )
    async def revoke_token(self, call: Call[None, None]) -> Answer[None]:
        """Revoke a token, at once."""
        await self._tokens.revoke(call.path["token_id"])
        return Answer(None, 204)


def _token(token: Token) -> TokenOut:
    return TokenOut(
        token_id=token.token_id,
        role=token.role,
        project=token.project,
        name=token.name,
        created=token.created,
        expires=token.expires,
    )
