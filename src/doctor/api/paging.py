"""Long lists, page by page: `{"items": [...], "next": cursor|null}`, asked for with `?limit=&cursor=`.

A cursor says where the last page ended, in terms of the rows themselves (a time and an id, say), so that rows which
come or go in between neither repeat nor hide others. To the caller it is opaque; it grants nothing, since each page is
kept to the caller's scope anew.
"""

from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from typing import Annotated, Any, Generic, TypeVar

import msgspec

from doctor.model.errors import Flaw, Reason, RejectedError

T = TypeVar("T")
Row = TypeVar("Row")
Position = TypeVar("Position")

USUAL_LIMIT = 100
HIGHEST_LIMIT = 1000
LONGEST_CURSOR = 4096

Limit = Annotated[
    int, msgspec.Meta(ge=1, le=HIGHEST_LIMIT, description="How many items to answer with, at most.")
]
Cursor = Annotated[
    str,
    msgspec.Meta(
        description="Where to go on: `next` of the page before.",
        extra_json_schema={"format": "doctor-cursor"},
    ),
]


class PageQuery(msgspec.Struct, frozen=True, kw_only=True):
    """The parameters of every list; a list with more of them has a type derived from this one."""

    limit: Limit = USUAL_LIMIT
    cursor: Cursor | None = None


class Page(msgspec.Struct, Generic[T], frozen=True):
    """A part of a list."""

    items: list[T]
    next: Annotated[
        str | None, msgspec.Meta(description="The `cursor` of the next page; null on the last.")
    ] = None


def page_of(
    rows: Sequence[Row], limit: int, show: Callable[[Row], T], position: Callable[[Row], object]
) -> Page[T]:
    """Make a page of rows of which one more than ``limit`` was looked for: if it is there, there is a next page.

    ``position`` says where in the list a row is, as JSON; `position_in` gives it back.
    """
    shown = rows[:limit]
    following = cursor_at(position(shown[-1])) if len(rows) > limit else None
    return Page([show(row) for row in shown], following)


def cursor_at(position: object) -> str:
    """Write a position as a cursor."""
    return urlsafe_b64encode(msgspec.json.encode(position)).rstrip(b"=").decode()


def position_in(cursor: str | None, kind: type[Position]) -> Position | None:
    """Read a cursor; None is the beginning.

    Raises:
        RejectedError: MALFORMED, this is no cursor of this list.
    """
    if cursor is None:
        return None
    try:
        if len(cursor) > LONGEST_CURSOR:
            raise ValueError("too long")
        position: Any = msgspec.json.decode(_bytes(cursor), type=kind)
        if cursor_at(position) != cursor:
            raise ValueError("written differently")
    except (ValueError, RecursionError):  # msgspec.DecodeError and UnicodeDecodeError are ValueErrors
        flaw = Flaw(
            "/cursor", "no cursor of this list: take it from next of the page before, or leave it out"
        )
        raise RejectedError(f"{flaw.pointer}: {flaw.detail}", reason=Reason.MALFORMED, flaws=[flaw]) from None
    return position  # type: ignore[no-any-return]


def _bytes(cursor: str) -> bytes:
    return urlsafe_b64decode(cursor.encode("ascii") + b"=" * (-len(cursor) % 4))
