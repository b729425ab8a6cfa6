"""Lists in an order that the caller asks for: ``sort=name``, or ``sort=-name`` for the other way round.

Rows with the same value come in the order of their ids, which turns with the rest, so every row has one place. A cursor
holds that place and the order that it belongs to: rows that come or go in between neither repeat nor hide others, and
the cursor of one order is refused by another. A row whose value changes between two pages is found where it then is.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from datetime import datetime
from heapq import nlargest, nsmallest
from typing import Generic, TypeVar

import msgspec

from doctor.api.paging import Page, PageQuery, page_of, position_in
from doctor.model.errors import Flaw, Reason, RejectedError

T = TypeVar("T")
Row = TypeVar("Row")
Key = str | int
CHUNK = 2_000  # rows between two looks at what else there is to do


class Position(msgspec.Struct, frozen=True, array_like=True):
    """Where a sorted list goes on: behind this row of this order."""

    sort: str
    key: Key
    row_id: str


class Order(Generic[Row]):
    """One way to sort a list, as a query asks for it, with the place where it goes on."""

    def __init__(
        self,
        sort: str,
        cursor: str | None,
        keys: dict[str, Callable[[Row], Key]],
        row_id: Callable[[Row], str],
    ) -> None:
        """Read the wish.

        Raises:
            RejectedError: the cursor is none, or belongs to another order.
        """
        self.sort = sort
        self._key = keys[sort.removeprefix("-")]
        self._id = row_id
        self._falling = sort.startswith("-")
        self._after: tuple[Key, str] | None = None
        found = position_in(cursor, Position)
        if found is not None:
            if found.sort != sort:
                _refuse("the cursor of a list in another order: begin anew, without it")
            self._after = found.key, found.row_id

    def place(self, row: Row) -> tuple[Key, str]:
        """Return where a row belongs."""
        return self._key(row), self._id(row)

    def first(self, rows: Iterable[Row], many: int) -> list[Row]:
        """Return the first rows behind the place where the list goes on."""
        after, place, falling = self._after, self.place, self._falling
        try:
            if after is not None:
                rows = [row for row in rows if (place(row) < after if falling else place(row) > after)]
        except TypeError:  # a text is no number
            _refuse("no cursor of this list: take it from next of the page before, or leave it out")
        return nlargest(many, rows, place) if falling else nsmallest(many, rows, place)

    def position(self, row: Row) -> Position:
        """Return what a cursor behind this row holds."""
        return Position(self.sort, *self.place(row))


async def sorted_page(
    rows: Sequence[Row],
    query: PageQuery,
    order: Order[Row],
    wanted: Callable[[Row], bool],
    show: Callable[[Row], T],
) -> Page[T]:
    """Return the page that is asked for, of the rows that are wanted.

    It looks at all rows, some at a time.
    """
    found: list[Row] = []
    async for some in in_chunks(rows):
        found = order.first([*found, *filter(wanted, some)], query.limit + 1)
    return page_of(found, query.limit, show, order.position)


async def in_chunks(rows: Sequence[T]) -> AsyncIterator[Sequence[T]]:
    """Return many rows some at a time, so that a fault that comes meanwhile does not wait for a long list."""
    for start in range(0, len(rows), CHUNK):
        if start:
            await asyncio.sleep(0)
        yield rows[start : start + CHUNK]


def microseconds(time: datetime) -> int:
    """Return a time as a number that a cursor can hold to the letter."""
    return round(time.timestamp() * 1_000_000)


def _refuse(detail: str) -> None:
    flaw = Flaw("/cursor", detail)
    raise RejectedError(f"{flaw.pointer}: {flaw.detail}", reason=Reason.MALFORMED, flaws=[flaw])
