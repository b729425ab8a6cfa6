from datetime import UTC, datetime
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.api.paging import Page, PageQuery, cursor_at, page_of, position_in
from doctor.model.errors import Reason, RejectedError


def pages(rows: list[int], limit: int) -> list[Page[str]]:
    """Turn all the pages of a list, as a caller would."""
    found: list[Page[str]] = []
    cursor: str | None = None
    while not found or cursor:
        start = position_in(cursor, int) or 0
        following = [row for row in rows if row > start][: limit + 1]
        found.append(page_of(following, limit, show=str, position=lambda row: row))
        cursor = found[-1].next
    return found


@pytest.mark.parametrize(
    ("number", "limit", "expected"),
    [
        pytest.param(0, 2, [[]], id="nothing"),
        pytest.param(2, 2, [["1", "2"]], id="one-full-page"),
        pytest.param(3, 2, [["1", "2"], ["3"]], id="one-more"),
        pytest.param(4, 2, [["1", "2"], ["3", "4"]], id="two-full-pages"),
    ],
)
def test_pages_join_to_the_whole_list(number: int, limit: int, expected: list[list[str]]) -> None:
    assert [page.items for page in pages(list(range(1, number + 1)), limit)] == expected


def test_a_page_has_the_shape_of_the_contract() -> None:
    assert msgspec.json.encode(Page[int]([])) == b'{"items":[],"next":null}'
    assert msgspec.json.encode(Page[int]([1], "ImEi")) == b'{"items":[1],"next":"ImEi"}'


def test_the_usual_page_has_a_hundred_items() -> None:
    assert PageQuery() == PageQuery(limit=100, cursor=None)


@settings(deadline=None)
@given(st.tuples(st.datetimes(timezones=st.just(UTC)), st.text()))
def test_a_cursor_leads_back_to_its_position(position: tuple[datetime, str]) -> None:
    cursor = cursor_at(position)
    assert cursor.replace("-", "").replace("_", "").isalnum()
    assert position_in(cursor, tuple[datetime, str]) == position


@pytest.mark.parametrize(
    ("cursor", "kind"),
    [
        pytest.param("", str, id="empty"),
        pytest.param("ä", str, id="no-ascii"),
        pytest.param("I", str, id="cut"),
        pytest.param("Im Ei", str, id="with-a-blank"),
        pytest.param("ImEi=", str, id="padded"),
        pytest.param(cursor_at("a")[:-1] + "j", str, id="tampered"),
        pytest.param(cursor_at(["a"]), str, id="of-another-list"),
        pytest.param(cursor_at("a") + "A", str, id="longer"),
        pytest.param(cursor_at("x" * 5000), str, id="very-long"),
        pytest.param("/" * 9, str, id="another-alphabet"),
    ],
)
def test_what_is_no_cursor_is_refused(cursor: str, kind: Any) -> None:
    with pytest.raises(RejectedError) as caught:
        position_in(cursor, kind)
    assert caught.value.reason is Reason.MALFORMED
    assert [flaw.pointer for flaw in caught.value.flaws] == ["/cursor"]


@settings(deadline=None)
@given(st.text())
def test_any_text_is_a_cursor_or_refused(text: str) -> None:
    try:
        position_in(text, int)
    except RejectedError as error:
        assert error.reason is Reason.MALFORMED
