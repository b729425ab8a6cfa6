from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import msgspec
import pytest
from starlette.datastructures import Headers

from doctor.api.operation import Answer, Call, Operation, ServerSentEvent, operation, operations_of
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.fault import Severity
from tests.unit.api import toy
from tests.unit.api.toy import Colour, KettleDoor, KettleQuery


def table() -> dict[str, Operation]:
    return {one.operation_id: one for one in operations_of(KettleDoor())}


class Wide(msgspec.Struct, frozen=True, kw_only=True):
    """All kinds of parameters."""

    text: str | None = None
    number: int = 1
    ratio: float = 0.5
    yes: bool = False
    since: datetime | None = None
    within: timedelta | None = None
    severity: Severity | None = None
    order: Literal["up", "down"] = "up"
    either: int | str | None = None
    names: tuple[str, ...] = ()
    numbers: frozenset[int] = frozenset()
    times: list[datetime] = []


class WideDoor:
    @operation("GET", "/wide", tag="Wide", roles=None)
    async def wide(self, call: Call[None, Wide]) -> Answer[None]:
        """Take everything."""
        return Answer(None)


(WIDE,) = operations_of(WideDoor())


# --- declaring ---


def test_a_declaration_says_types_and_words_once() -> None:
    made = table()["make_kettle"]
    assert (made.method, made.path, made.summary) == ("POST", "/v1/kettles", "Make a kettle")
    assert made.request is toy.KettleRequest
    assert made.query is None
    assert made.answers[201] == (toy.Kettle, "The kettle.")
    assert made.answers[409] == (None, "There is a kettle of that name.")
    listed = table()["list_kettles"]
    assert listed.description == "In the order of their ids, **page by page**: see `next`."
    assert listed.query is KettleQuery


async def test_handlers_are_bound_to_their_object() -> None:
    door = KettleDoor()
    handlers = {one.operation_id: one.handler for one in operations_of(door)}
    assert handlers["boil"] == door.boil


def test_a_class_can_be_looked_at_without_an_object() -> None:
    assert [one.operation_id for one in operations_of(KettleDoor)] == list(table())


def test_a_subclass_has_the_operations_of_both() -> None:
    class More(WideDoor):
        @operation("GET", "/more", tag="Wide", roles=None)
        async def more(self, call: Call[None, None]) -> Answer[None]:
            """Take more."""
            return Answer(None)

    assert [one.operation_id for one in operations_of(More())] == ["wide", "more"]


async def no_call(self: Any) -> Answer[None]:
    """Without a call."""
    return Answer(None)


async def no_answer(self: Any, call: Call[None, None]) -> None:
    """Without an answer."""


async def strange_query(self: Any, call: Call[None, int]) -> Answer[None]:
    """With a number for a query."""
    return Answer(None)


async def silent(self: Any, call: Call[None, None]) -> Answer[None]:
    return Answer(None)


@pytest.mark.parametrize("handler", [no_call, no_answer, strange_query, silent])
def test_a_declaration_that_lacks_something_is_refused_at_import(handler: Any) -> None:
    with pytest.raises(TypeError, match=handler.__name__):
        operation("GET", "/", tag="Wrong", roles=None)(handler)


# --- what follows ---


@pytest.mark.parametrize(
    ("operation_id", "expected"),
    [
        ("list_kettles", {400, 401, 403, 422, 429, 500, 503}),
        ("make_kettle", {400, 401, 403, 408, 413, 415, 422, 429, 500, 503, 507}),
        ("get_kettle", {400, 401, 403, 404, 422, 429, 500, 503}),
        ("forget_kettle", {400, 401, 403, 404, 422, 429, 500, 503, 507}),
        ("healthz", {400, 422, 500}),
    ],
)
def test_problems_follow_from_what_an_operation_is(operation_id: str, expected: set[int]) -> None:
    assert table()[operation_id].problems == expected


def test_a_body_may_be_left_out_where_its_type_says_so() -> None:
    boil = table()["boil"]
    assert boil.has_body and not boil.needs_body
    assert boil.read_body(b" ") is None
    assert boil.read_body(b'{"degrees": 80}') == toy.Boil(80)


def test_a_call_without_identity_says_so() -> None:
    call: Call[None, None] = Call(
        caller=None, path={}, query=None, body=None, raw=b"", headers=Headers(), client=None
    )
    with pytest.raises(LookupError, match="no identity"):
        call.identity  # noqa: B018


# --- queries ---


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        pytest.param(b"", Wide(), id="nothing"),
        pytest.param(b"&&", Wide(), id="only-separators"),
        pytest.param(b"text=a+b%2Bc%C3%A4", Wide(text="a b+cä"), id="escapes"),
        pytest.param(b"text=", Wide(text=""), id="empty-text"),
        pytest.param(b"text=null", Wide(text="null"), id="null-is-a-word"),
        pytest.param(b"text=a,b", Wide(text="a,b"), id="comma-in-text"),
        pytest.param(b"number=-7", Wide(number=-7), id="integer"),
        pytest.param(b"ratio=2", Wide(ratio=2.0), id="whole-number"),
        pytest.param(b"ratio=-2.5e-3", Wide(ratio=-0.0025), id="exponent"),
        pytest.param(b"yes=true", Wide(yes=True), id="boolean"),
        pytest.param(
            b"since=2026-01-31T12:00:00Z", Wide(since=datetime(2026, 1, 31, 12, tzinfo=UTC)), id="time"
        ),
        pytest.param(
            b"since=2026-01-31T12:00:00",
            Wide(since=datetime(2026, 1, 31, 12, tzinfo=UTC)),
            id="time-without-zone",
        ),
        pytest.param(
            b"since=2026-01-31T12:00:00+02:00",
            Wide(since=datetime(2026, 1, 31, 10, tzinfo=UTC)),
            id="plus-unescaped",
        ),
        pytest.param(b"within=PT30S", Wide(within=timedelta(seconds=30)), id="duration"),
        pytest.param(b"within=30", Wide(within=timedelta(seconds=30)), id="duration-in-seconds"),
        pytest.param(b"severity=5", Wide(severity=Severity.CRITICAL), id="integer-enum"),
        pytest.param(b"order=down", Wide(order="down"), id="literal"),
        pytest.param(b"either=major", Wide(either="major"), id="union"),
        pytest.param(b"names=a&names=b", Wide(names=("a", "b")), id="repeated"),
        pytest.param(b"names=a,b&names=c", Wide(names=("a", "b", "c")), id="commas"),
        pytest.param(b"names=a%2Cb,c", Wide(names=("a,b", "c")), id="comma-in-an-item"),
        pytest.param(b"names=", Wide(names=()), id="empty-list"),
        pytest.param(b"numbers=1,2,2", Wide(numbers=frozenset({1, 2})), id="set"),
        pytest.param(
            b"times=2026-01-31T12:00:00Z",
            Wide(times=[datetime(2026, 1, 31, 12, tzinfo=UTC)]),
            id="list-of-times",
        ),
    ],
)
def test_a_query_is_decoded(query: bytes, expected: Wide) -> None:
    assert WIDE.read_query(query) == expected


@pytest.mark.parametrize(
    ("query", "flaws"),
    [
        pytest.param(b"number=1.5", [Flaw("/number", "expected an integer")], id="no-integer"),
        pytest.param(b"number=", [Flaw("/number", "expected an integer")], id="empty-integer"),
        pytest.param(b"number=1_0", [Flaw("/number", "expected an integer")], id="underscore"),
        pytest.param("number=٣".encode(), [Flaw("/number", "expected an integer")], id="other-digits"),
        pytest.param(b"ratio=inf", [Flaw("/ratio", "expected a number")], id="infinity"),
        pytest.param(b"ratio=1e999", [Flaw("/ratio", "expected a number")], id="as-good-as-infinity"),
        pytest.param(b"yes=1", [Flaw("/yes", "expected true or false")], id="boolean-as-number"),
        pytest.param(
            b"since=12",
            [Flaw("/since", "no time; write it as 2026-01-31T12:00:00Z (RFC 3339)")],
            id="time-as-number",
        ),
        pytest.param(
            b"within=-3",
            [Flaw("/within", "'-3' is no duration: write seconds (30) or ISO 8601 (PT30S)")],
            id="negative-duration",
        ),
        pytest.param(
            b"since=9999-12-31T23:59:59-05:00", [Flaw("/since", "out of range")], id="time-after-all-times"
        ),
        pytest.param(b"numbers=", [Flaw("/numbers/0", "expected an integer")], id="empty-item"),
        pytest.param(
            b"order=sideways", [Flaw("/order", 'expected one of up, down; got "sideways"')], id="literal"
        ),
        pytest.param(b"text=a&text=b", [Flaw("/text", "given more than once")], id="twice"),
        pytest.param(b"txt=a", [Flaw("/txt", "unknown parameter; did you mean text?")], id="unknown"),
        pytest.param(
            b"numbers=1,x&yes=maybe&a/b=1",
            [
                Flaw("/numbers/1", "expected an integer"),
                Flaw("/yes", "expected true or false"),
                Flaw("/a~1b", "unknown parameter"),
            ],
            id="several",
        ),
    ],
)
def test_a_wrong_query_is_told_parameter_by_parameter(query: bytes, flaws: list[Flaw]) -> None:
    with pytest.raises(RejectedError) as caught:
        WIDE.read_query(query)
    assert list(caught.value.flaws) == flaws
    assert caught.value.reason is Reason.IMPOSSIBLE


@pytest.mark.parametrize("query", [b"text=%FF", b"%FF=1", b"text=\xff", b"&".join([b"text=a"] * 201)])
def test_a_query_that_cannot_be_read_is_malformed(query: bytes) -> None:
    with pytest.raises(RejectedError) as caught:
        WIDE.read_query(query)
    assert caught.value.reason is Reason.MALFORMED


def test_a_needed_parameter_is_missed() -> None:
    class Needy(msgspec.Struct, rename={"kind": "type"}):
        kind: str

    class Door:
        @operation("GET", "/", tag="Needy", roles=None, lenient=True)
        async def need(self, call: Call[None, Needy]) -> Answer[None]:
            """Need something."""
            return Answer(None)

    (needy,) = operations_of(Door())
    assert needy.read_query(b"type=a&other=b") == Needy("a")
    with pytest.raises(RejectedError) as caught:
        needy.read_query(b"")
    assert caught.value.flaws == (Flaw("/type", "required"),)


def test_an_operation_without_a_query_refuses_one() -> None:
    with pytest.raises(RejectedError, match="unknown parameter"):
        table()["count_kettles"].read_query(b"x=1")


def test_the_rules_of_a_query_as_a_whole_are_kept() -> None:
    class Range(msgspec.Struct):
        first: int = 0
        last: int = 9

        def __post_init__(self) -> None:
            if self.last < self.first:
                raise ValueError("last is before first")

    class Door:
        @operation("GET", "/", tag="Range", roles=None)
        async def range(self, call: Call[None, Range]) -> Answer[None]:
            """Take a range."""
            return Answer(None)

    (ranged,) = operations_of(Door())
    with pytest.raises(RejectedError, match="last is before first"):
        ranged.read_query(b"first=5&last=1")


# --- answers ---


@pytest.mark.parametrize(
    ("event", "written"),
    [
        pytest.param(ServerSentEvent(data="x"), b"data: x\n\n", id="plain"),
        pytest.param(
            ServerSentEvent(event="fault", id="7", data="a\nb\r\nc"),
            b"event: fault\nid: 7\ndata: a\ndata: b\ndata: c\n\n",
            id="several-lines",
        ),
    ],
)
def test_events_of_a_stream_are_written_as_they_should_be(event: ServerSentEvent, written: bytes) -> None:
    assert event.encode() == written


def test_colours_are_sets_in_a_query() -> None:
    assert table()["list_kettles"].read_query(b"colour=red,red") == KettleQuery(
        colour=frozenset({Colour.RED})
    )
