"""Sorted lists, against a version that sorts all of it: every row once, whatever comes and goes between two pages."""

import asyncio
from collections.abc import Callable
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from doctor.api import sorting
from doctor.api.paging import Page, PageQuery, cursor_at
from doctor.api.sorting import Order, sorted_page
from doctor.model.errors import Reason, RejectedError


class Row(NamedTuple):
    row_id: str
    size: int
    colour: str


KEYS: dict[str, Callable[[Row], int | str]] = {"size": lambda row: row.size, "colour": lambda row: row.colour}
ROWS = st.lists(
    st.builds(
        Row, st.text("abcdef", min_size=1, max_size=3), st.integers(0, 3), st.sampled_from(["", "red"])
    ),
    unique_by=lambda row: row.row_id,
    max_size=20,
)
SORTS = st.sampled_from(["size", "-size", "colour", "-colour"])


def page(rows: list[Row], sort: str, cursor: str | None, limit: int) -> Page[Row]:
    order = Order(sort, cursor, KEYS, lambda row: row.row_id)
    wanted = sorted_page(rows, PageQuery(limit=limit), order, lambda row: row.size < 3, lambda row: row)
    return asyncio.run(wanted)


def plain(rows: list[Row], sort: str) -> list[Row]:
    key = KEYS[sort.removeprefix("-")]
    kept = [row for row in rows if row.size < 3]
    return sorted(kept, key=lambda row: (key(row), row.row_id), reverse=sort.startswith("-"))


@given(ROWS, SORTS, st.integers(1, 7))
def test_the_pages_together_are_the_sorted_list(rows: list[Row], sort: str, limit: int) -> None:
    found: list[Row] = []
    cursor = None
    for _ in range(len(rows) + 1):
        one = page(rows, sort, cursor, limit)
        assert len(one.items) <= limit
        found += one.items
        cursor = one.next
        if cursor is None:
            break
    assert cursor is None
    assert found == plain(rows, sort)


@given(ROWS, ROWS, SORTS, st.integers(1, 5))
def test_rows_that_come_and_go_neither_repeat_nor_hide_others(
    before: list[Row], others: list[Row], sort: str, limit: int
) -> None:
    """What is there on both pages' days is shown once."""
    first = page(before, sort, None, limit)
    stays = {row.row_id: row for row in before[::2]}
    after = [*stays.values(), *(row for row in others if row.row_id not in {one.row_id for one in before})]
    found = list(first.items)
    cursor = first.next
    while cursor is not None:
        one = page(after, sort, cursor, limit)
        found += one.items
        cursor = one.next
    assert len({row.row_id for row in found}) == len(found)
    if first.next is not None:
        assert {row for row in stays.values() if row.size < 3} <= set(found)


def test_a_long_list_lets_others_have_their_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sorting, "CHUNK", 2)
    rows = [Row(f"r{number}", number % 3, "") for number in range(9)]

    async def both() -> tuple[Page[Row], list[str]]:
        turns: list[str] = []

        async def other() -> None:
            turns.append("other")

        order = Order("-size", None, KEYS, lambda row: row.row_id)
        task = asyncio.create_task(other())
        found = await sorted_page(rows, PageQuery(limit=4), order, lambda _: True, lambda row: row)
        turns.append("list")
        await task
        return found, turns

    found, turns = asyncio.run(both())
    assert [row.row_id for row in found.items] == ["r8", "r5", "r2", "r7"]
    assert turns == ["other", "list"]


@pytest.mark.parametrize(
    "cursor",
    [
        pytest.param(cursor_at(["colour", "red", "a"]), id="of-another-order"),
        pytest.param(cursor_at(["size", "red", "a"]), id="a-text-for-a-number"),
        pytest.param(cursor_at(["size", 1]), id="too-short"),
        pytest.param("no cursor", id="none-at-all"),
    ],
)
def test_a_cursor_of_another_list_is_refused(cursor: str) -> None:
    with pytest.raises(RejectedError) as refused:
        page([Row("a", 1, "")], "size", cursor, 5)
    assert refused.value.reason is Reason.MALFORMED
    assert [flaw.pointer for flaw in refused.value.flaws] == ["/cursor"]
