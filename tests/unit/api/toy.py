"""A small API of kettles, on which the machinery of the doors is tried out."""

import asyncio
from collections.abc import AsyncIterator
from datetime import datetime
from enum import StrEnum
from typing import Annotated, Any

import msgspec
from starlette.types import ASGIApp

from doctor.api.application import make_application
from doctor.api.identification import RawHeaders, token_in
from doctor.api.operation import EVENT_STREAM, Answer, Call, ServerSentEvent, operation, operations_of
from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.api.problem import Limits
from doctor.model.errors import (
    Flaw,
    PermanentError,
    Reason,
    RejectedError,
    StoreError,
    TransientError,
)
from doctor.model.identity import Identity, Role

COOKS = frozenset({Role.ADMIN, Role.CONSUMER})
LONGEST_RECIPE = 20_000  # bytes
GUESTS = COOKS | {Role.AUDITOR}

Name = Annotated[
    str,
    msgspec.Meta(min_length=1, max_length=40, pattern="^[a-z][a-z0-9-]*$", description="How it is called."),
]


class Colour(StrEnum):
    """What a kettle looks like."""

    RED = "red"
    BLUE = "blue"


class Lid(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What closes a kettle."""

    weight: Annotated[int, msgspec.Meta(ge=0)]
    made: datetime | None = None


class KettleRequest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A kettle as it is asked for."""

    name: Name
    litres: Annotated[float, msgspec.Meta(gt=0, le=10)] = 1.5
    colour: Colour = Colour.RED
    lids: Annotated[tuple[Lid, ...], msgspec.Meta(max_length=3)] = ()
    labels: dict[str, str] = {}


class KettleChange(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What may be changed."""

    colour: Colour | msgspec.UnsetType = msgspec.UNSET
    litres: float | msgspec.UnsetType | None = msgspec.UNSET


class Kettle(msgspec.Struct, frozen=True, kw_only=True):
    """A kettle as it is."""

    kettle_id: str
    name: str
    litres: float | None
    colour: Colour
    lids: tuple[Lid, ...] = ()
    labels: dict[str, str] = {}


class KettleQuery(PageQuery, frozen=True, kw_only=True):
    """Which kettles."""

    colour: Annotated[frozenset[Colour], msgspec.Meta(description="Only of these colours.")] = frozenset()
    name: tuple[str, ...] = ()
    hot: bool | None = None
    since: datetime | None = None
    litres: Annotated[float, msgspec.Meta(ge=0)] = 0.0


class Boil(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """How hot."""

    degrees: Annotated[int, msgspec.Meta(ge=20, le=100)] = 100


class Told(msgspec.Struct, frozen=True):
    """What a call was decoded to."""

    body: Any
    query: Any


EXAMPLE = KettleRequest(name="whistler", litres=2.0, lids=(Lid(120),))


class KettleDoor:
    """The handlers."""

    def __init__(self) -> None:
        self.kettles: dict[str, Kettle] = {}
        self.closed = asyncio.Event()
        self.recipe = ""

    @operation("GET", "/v1/kettles", tag="Kettles", roles=GUESTS, answers={200: "The kettles, by name."})
    async def list_kettles(self, call: Call[None, KettleQuery]) -> Answer[Page[Kettle]]:
        """List kettles.

        In the order of their ids, **page by page**: see `next`.
        """
        start = position_in(call.query.cursor, str) or ""
        rows = [
            kettle
            for kettle_id, kettle in sorted(self.kettles.items())
            if kettle_id > start and (not call.query.colour or kettle.colour in call.query.colour)
        ]
        rows = rows[: call.query.limit + 1]
        return Answer(page_of(rows, call.query.limit, lambda row: row, lambda row: row.kettle_id))

    @operation(
        "POST",
        "/v1/kettles",
        tag="Kettles",
        roles=COOKS,
        answers={201: "The kettle.", 409: "There is a kettle of that name."},
        example=EXAMPLE,
        examples={201: Kettle(kettle_id="k-whistler", name="whistler", litres=2.0, colour=Colour.RED)},
    )
    async def make_kettle(self, call: Call[KettleRequest, None]) -> Answer[Kettle]:
        """Make a kettle."""
        asked = call.body
        if asked.name in self.kettles:
            flaw = Flaw("/name", "taken")
            raise RejectedError("there is such a kettle", reason=Reason.CONFLICT, flaws=[flaw])
        made = Kettle(
            kettle_id=asked.name,
            name=asked.name,
            litres=asked.litres,
            colour=asked.colour,
            lids=asked.lids,
            labels=asked.labels,
        )
        self.kettles[made.kettle_id] = made
        return Answer(made, 201, {"Location": f"/v1/kettles/{made.kettle_id}"})

    @operation(
        "GET", "/v1/kettles/summary", tag="Kettles", roles=GUESTS, answers={200: "How many there are."}
    )
    async def count_kettles(self, call: Call[None, None]) -> Answer[dict[str, int]]:
        """Count kettles."""
        return Answer({"count": len(self.kettles)})

    @operation("GET", "/v1/kettles/{kettle_id}", tag="Kettles", roles=GUESTS, answers={200: "The kettle."})
    async def get_kettle(self, call: Call[None, None]) -> Answer[Kettle]:
        """Look at a kettle."""
        return Answer(self._find(call.path["kettle_id"]))

    @operation(
        "PATCH",
        "/v1/kettles/{kettle_id}",
        tag="Kettles",
        roles=COOKS,
        answers={200: "The kettle as it is now."},
        path_help={"kettle_id": "The name, too."},
    )
    async def change_kettle(self, call: Call[KettleChange, None]) -> Answer[Kettle]:
        """Change a kettle."""
        kettle = self._find(call.path["kettle_id"])
        changes = {
            name: value
            for name, value in msgspec.structs.asdict(call.body).items()
            if value is not msgspec.UNSET
        }
        self.kettles[kettle.kettle_id] = changed = msgspec.structs.replace(kettle, **changes)
        return Answer(changed)

    @operation("DELETE", "/v1/kettles/{kettle_id}", tag="Kettles", roles=COOKS, answers={204: "It is gone."})
    async def forget_kettle(self, call: Call[None, None]) -> Answer[None]:
        """Throw a kettle away."""
        del self.kettles[self._find(call.path["kettle_id"]).kettle_id]
        return Answer(None, 204)

    @operation(
        "POST", "/v1/kettles/{kettle_id}/boil", tag="Kettles", roles=COOKS, answers={202: "It gets hot."}
    )
    async def boil(self, call: Call[Boil | None, None]) -> Answer[dict[str, int]]:
        """Heat a kettle."""
        self._find(call.path["kettle_id"])
        return Answer({"degrees": (call.body or Boil()).degrees}, 202)

    @operation(
        "GET",
        "/v1/steam",
        tag="Steam",
        roles=GUESTS,
        answers={200: "One event per puff."},
        produces=EVENT_STREAM,
    )
    async def steam(self, call: Call[None, None]) -> Answer[AsyncIterator[ServerSentEvent]]:
        """Watch the steam."""
        return Answer(self._puffs())

    async def _puffs(self) -> AsyncIterator[ServerSentEvent]:
        try:
            for number in range(3):
                yield ServerSentEvent(event="puff", id=str(number), data=f"white\nround {number}")
            await asyncio.Event().wait()
        finally:
            self.closed.set()

    @operation(
        "PUT",
        "/v1/recipe",
        tag="Recipe",
        roles=frozenset({Role.ADMIN}),
        answers={200: "The recipe as it was kept."},
        accepts=("application/yaml", "text/plain"),
        produces="text/plain",
        limits=Limits(body=LONGEST_RECIPE, seconds=2),
    )
    async def put_recipe(self, call: Call[str, None]) -> Answer[str]:
        """Replace the recipe."""
        self.recipe = call.body
        return Answer(self.recipe)

    @operation(
        "GET",
        "/metrics",
        tag="Service",
        roles=frozenset({Role.ADMIN}),
        answers={200: "Numbers."},
        produces="text/plain",
        open_on_loopback=True,
    )
    async def metrics(self, call: Call[None, None]) -> Answer[str]:
        """Read the numbers."""
        return Answer(f"kettles {len(self.kettles)}\n")

    @operation(
        "GET",
        "/healthz",
        tag="Service",
        roles=None,
        answers={200: "Well.", 503: (dict[str, str], "Not well.")},
    )
    async def healthz(self, call: Call[None, None]) -> Answer[dict[str, str]]:
        """Ask how it is."""
        assert call.caller is None
        return Answer({"status": "ok"})

    def _find(self, kettle_id: str) -> Kettle:
        if kettle_id not in self.kettles:
            raise RejectedError("there is no such kettle", reason=Reason.NOT_FOUND)
        return self.kettles[kettle_id]


ERRORS: dict[str, Exception] = {
    "store": StoreError("disk full at /var/lib/doctor"),
    "transient": TransientError("keystone is away"),
    "permanent": PermanentError("the schema is from the future"),
    "bug": KeyError("whsec_c2VjcmV0"),
    "group": ExceptionGroup("unhandled errors in a TaskGroup", [StoreError("disk full")]),
    "busy": RejectedError("slowly", reason=Reason.TOO_MANY),
    "conflict": RejectedError("no", reason=Reason.CONFLICT),
}


class FailingDoor:
    """Handlers that fail."""

    @operation("POST", "/v1/failures/{kind}", tag="Failures", roles=COOKS)
    async def fail(self, call: Call[None, None]) -> Answer[None]:
        """Fail in some way."""
        if call.path["kind"] == "unknown-status":
            return Answer(None, 299)
        raise ERRORS[call.path["kind"]]

    @operation("GET", "/v1/broken-stream", tag="Failures", roles=COOKS, produces=EVENT_STREAM)
    async def break_stream(self, call: Call[None, None]) -> Answer[AsyncIterator[ServerSentEvent]]:
        """Fail half way."""
        return Answer(self._broken())

    async def _broken(self) -> AsyncIterator[ServerSentEvent]:
        yield ServerSentEvent(data="so far")
        raise ValueError("and no further")


TOKENS = {role.value: Identity(name=f"{role.value}-token", role=role) for role in Role}


def authenticate(headers: RawHeaders) -> Identity | None:
    """Know everybody whose token is the name of the role."""
    return TOKENS.get(token_in(headers) or "")


def toy(*doors: Any, heartbeat: float = 15.0) -> ASGIApp:
    """Return an application of these doors."""
    return make_application(
        operations_of(*doors), authenticate=authenticate, version="1.2.3", heartbeat=heartbeat
    )


def bearer(role: Role) -> dict[str, str]:
    """Return the headers of somebody in this role."""
    return {"authorization": f"Bearer {role.value}"}


ADMIN = bearer(Role.ADMIN)
