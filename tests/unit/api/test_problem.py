from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Annotated, Any, Literal, NewType

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from doctor.api.paging import Page
from doctor.api.problem import (
    MOST_FLAWS,
    USUAL,
    HttpRejectedError,
    Limits,
    ProblemDetails,
    flaw_of,
    flaws_of,
    problem_of,
    read_json,
    rejected,
)
from doctor.model.errors import (
    Flaw,
    PermanentError,
    Reason,
    RejectedError,
    StoreError,
    TransientError,
    UnreadableError,
)
from doctor.model.fault import Severity

Port = NewType("Port", int)


class Endpoint(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """Where to tell."""

    url: Annotated[str, msgspec.Meta(min_length=1)]
    format: Literal["doctor", "aodh"] = "doctor"
    port: Port = Port(80)


class Mail(msgspec.Struct, tag="mail", frozen=True):
    """By mail."""

    address: str


class Phone(msgspec.Struct, tag="phone", frozen=True):
    """By phone."""

    number: int


class Wish(msgspec.Struct, forbid_unknown_fields=True, frozen=True, kw_only=True):
    """What is asked for."""

    endpoints: Annotated[list[Endpoint], msgspec.Meta(min_length=1)]
    min_severity: Severity | None = None
    since: datetime | None = None
    counts: dict[str, int] = {}
    by_name: Mapping[str, Endpoint] = {}
    contact: Mail | Phone | None = None
    pair: tuple[int, str] = (0, "")
    either: int | str = 0
    tags: tuple[str, ...] = ()
    mode: Literal["only"] = "only"
    page: Page[int] | None = None
    several: Sequence[int] | None = None
    choice: list[int] | dict[str, int] | None = None
    raw: msgspec.Raw | msgspec.UnsetType = msgspec.UNSET
    label: str = msgspec.field(name="the/label", default="")

    def __post_init__(self) -> None:
        if self.label == "forbidden":
            raise ValueError("the label is forbidden")


GOOD = {"endpoints": [{"url": "http://a"}]}


def flaws(value: Any) -> list[tuple[str, str]]:
    return [(flaw.pointer, flaw.detail) for flaw in flaws_of(value, Wish)]


def rejection(body: bytes, kind: Any = Wish, limits: Limits = USUAL) -> RejectedError:
    with pytest.raises(RejectedError) as caught:
        read_json(body, kind, limits)
    return caught.value


# --- errors and their answers ---


@pytest.mark.parametrize(
    ("error", "status", "title", "headers"),
    [
        (RejectedError("no", reason=Reason.MALFORMED), 400, "Bad Request", {}),
        (
            RejectedError("no", reason=Reason.UNAUTHENTICATED),
            401,
            "Unauthorized",
            {"WWW-Authenticate": "Bearer"},
        ),
        (RejectedError("no", reason=Reason.FORBIDDEN), 403, "Forbidden", {}),
        (RejectedError("no", reason=Reason.NOT_FOUND), 404, "Not Found", {}),
        (HttpRejectedError(405, "no", {"Allow": "GET"}), 405, "Method Not Allowed", {"Allow": "GET"}),
        (HttpRejectedError(408, "no"), 408, "Request Timeout", {"Connection": "close"}),
        (RejectedError("no", reason=Reason.CONFLICT), 409, "Conflict", {}),
        (RejectedError("no", reason=Reason.TOO_LARGE), 413, "Content Too Large", {"Connection": "close"}),
        (HttpRejectedError(415, "no"), 415, "Unsupported Media Type", {}),
        (RejectedError("no"), 422, "Unprocessable Content", {}),
        (RejectedError("no", reason=Reason.TOO_MANY), 429, "Too Many Requests", {"Retry-After": "1"}),
        (PermanentError("no"), 500, "Internal Server Error", {}),
        (TransientError("no"), 503, "Service Unavailable", {"Retry-After": "1"}),
        (UnreadableError("no"), 503, "Service Unavailable", {"Retry-After": "1"}),
        (StoreError("no"), 507, "Insufficient Storage", {"Retry-After": "1"}),
    ],
)
def test_every_error_has_its_status(
    error: Exception, status: int, title: str, headers: dict[str, str]
) -> None:
    problem = problem_of(error, "/v1/wishes")
    assert (problem.status, problem.details.title, problem.headers) == (status, title, headers)


def test_every_reason_is_known() -> None:
    for reason in Reason:
        assert 400 <= problem_of(RejectedError("", reason=reason), "/").status < 500


def test_a_problem_has_the_shape_of_the_contract() -> None:
    flaw = Flaw("/subscribe_filter/virtual_resource_id/1", "not yours or unknown")
    error = RejectedError("2 of 3 resources are not yours or do not exist", flaws=[flaw])
    assert msgspec.json.decode(problem_of(error, "/v1/subscriptions").body) == {
        "type": "about:blank",
        "title": "Unprocessable Content",
        "status": 422,
        "detail": "2 of 3 resources are not yours or do not exist",
        "instance": "/v1/subscriptions",
        "errors": [{"pointer": "/subscribe_filter/virtual_resource_id/1", "detail": "not yours or unknown"}],
    }


def test_the_words_of_an_unexpected_error_stay_inside() -> None:
    for error in (
        KeyError("secret"),
        StoreError("secret"),
        TransientError("secret"),
        PermanentError("secret"),
    ):
        assert b"secret" not in problem_of(error, "/").body


def test_an_error_may_know_when_to_come_again() -> None:
    error = TransientError("no")
    error.retry_after = 7  # type: ignore[attr-defined]
    assert problem_of(error, "/").headers == {"Retry-After": "7"}


def test_one_error_in_a_group_counts_as_itself() -> None:
    inner = ExceptionGroup("inner", [RejectedError("no", reason=Reason.CONFLICT)])
    assert problem_of(ExceptionGroup("outer", [inner]), "/").status == 409
    assert problem_of(ExceptionGroup("several", [StoreError(), StoreError()]), "/").status == 500


def test_only_so_many_flaws_are_told() -> None:
    error = RejectedError("no", flaws=[Flaw("", "no")] * 200)
    assert len(problem_of(error, "/").details.errors) == MOST_FLAWS


# --- what is no JSON ---


@pytest.mark.parametrize(
    ("body", "detail"),
    [
        pytest.param(b"", "the body is empty; JSON is expected", id="empty"),
        pytest.param(b" \n", "the body is empty; JSON is expected", id="blank"),
        pytest.param(b"{", "the body is not JSON: it ends too early", id="truncated"),
        pytest.param(
            b'{\n  "a": 1,\n  "b": }',
            "the body is not JSON: invalid character, line 3, column 8",
            id="position",
        ),
        pytest.param(
            '{"ü": x}'.encode(),
            "the body is not JSON: invalid character, line 1, column 7",
            id="columns-are-characters",
        ),
        pytest.param(b'{"a": NaN}', "the body is not JSON: invalid character, line 1, column 7", id="nan"),
        pytest.param(b"{} {}", "the body is not JSON: trailing characters, line 1, column 5", id="two"),
        pytest.param(b'{"a": "\xff"}', "the body is not UTF-8: line 1, column 8", id="utf-8"),
        pytest.param(
            b'{"endpoints": [{"url": "a"}], "raw": "\xff"}',
            "the body is not UTF-8: line 1, column 39",
            id="utf-8-in-raw",
        ),
        pytest.param(
            rb'{"a": "\ud800"}',
            "the body is not JSON: it ends too early, or a string has half of a surrogate pair (\\ud800 to \\udfff)",
            id="half-a-character",
        ),
        pytest.param(b'{"a": 1e999}', "a number is out of range", id="too-large-a-number"),
        pytest.param(b"[" * 100_000, "nested too deep", id="very-deep"),
        pytest.param(b"[" * 17 + b"]" * 17, "nested too deep: 16 levels is the most", id="deep"),
        pytest.param(
            b'{"a":' * 17 + b"1" + b"}" * 17, "nested too deep: 16 levels is the most", id="deep-objects"
        ),
    ],
)
def test_what_cannot_be_read_is_malformed(body: bytes, detail: str) -> None:
    error = rejection(body)
    assert (error.reason, error.detail) == (Reason.MALFORMED, detail)
    assert [flaw.detail for flaw in error.flaws] == [detail]


def test_as_deep_as_allowed_is_not_too_deep() -> None:
    assert read_json(b"[" * 16 + b"]" * 16, Any) is not None


# --- what is too much ---


@pytest.mark.parametrize(
    ("value", "flaw"),
    [
        pytest.param({"a": ["é" * 2049]}, Flaw("/a/0", "longer than 4096 bytes"), id="string"),
        pytest.param({"é" * 2049: 1}, Flaw("", "the name of a field is longer than 4096 bytes"), id="name"),
        pytest.param(
            {"a": {str(key): 1 for key in range(65)}}, Flaw("/a", "65 fields; 64 is the most"), id="fields"
        ),
        pytest.param([1] * 1001, Flaw("", "1001 items; 1000 is the most"), id="items"),
        pytest.param(
            [2**53],
            Flaw("/0", "beyond 9007199254740991, the largest integer that is safe in JSON"),
            id="integer",
        ),
    ],
)
def test_what_is_too_much_is_pointed_at(value: Any, flaw: Flaw) -> None:
    error = rejection(msgspec.json.encode(value), Any)
    assert (error.reason, error.flaws) == (Reason.IMPOSSIBLE, (flaw,))


def test_as_much_as_allowed_is_not_too_much() -> None:
    value = ["é" * 2048, "x" * 4096, {str(key): 1 for key in range(64)}, [None] * 1000, 2**53 - 1, 1.5, True]
    assert read_json(msgspec.json.encode(value), Any) == value


def test_an_operation_may_have_limits_of_its_own() -> None:
    limits = Limits(string=10, items=2)
    body = b'["12345678901", 1, 2]'
    assert [flaw.pointer for flaw in rejection(body, Any, limits).flaws] == ["", "/0"]
    assert read_json(body, Any)


# --- what is not what it should be ---


def test_a_good_request_is_decoded() -> None:
    assert read_json(msgspec.json.encode(GOOD), Wish) == Wish(endpoints=[Endpoint("http://a")])
    assert flaws(GOOD) == []


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param([], [("", "expected an object, got a list")], id="no-object"),
        pytest.param({}, [("/endpoints", "required")], id="missing"),
        pytest.param({"endpoints": []}, [("/endpoints", "expected a list of length >= 1")], id="length"),
        pytest.param({"endpoints": [{}]}, [("/endpoints/0/url", "required")], id="missing-inside"),
        pytest.param(
            {"endpoints": [{"ulr": "x"}, {"url": 1, "zzz": 1}, 7]},
            [
                ("/endpoints/0/ulr", "unknown field; did you mean url?"),
                ("/endpoints/0/url", "required"),
                ("/endpoints/1/url", "expected text, got an integer"),
                ("/endpoints/1/zzz", "unknown field"),
                ("/endpoints/2", "expected an object, got an integer"),
            ],
            id="several",
        ),
        pytest.param(
            GOOD | {"endpoints": [{"url": "a", "format": "tacker", "port": "80"}]},
            [
                ("/endpoints/0/format", 'expected one of doctor, aodh; got "tacker"'),
                ("/endpoints/0/port", "expected an integer, got text"),
            ],
            id="choice-and-new-type",
        ),
        pytest.param(
            GOOD | {"min_severity": 9},
            [("/min_severity", "expected one of 0, 1, 2, 3, 4, 5; got 9")],
            id="enum",
        ),
        pytest.param(
            GOOD | {"min_severity": []},
            [("/min_severity", "expected one of 0, 1, 2, 3, 4, 5; got something else")],
            id="enum-and-list",
        ),
        pytest.param(
            GOOD | {"since": "yesterday"},
            [("/since", "no time; write it as 2026-01-31T12:00:00Z (RFC 3339)")],
            id="time",
        ),
        pytest.param(
            GOOD | {"counts": {"a/b": "x", "c~d": 1.5, "e": 1}},
            [
                ("/counts/a~1b", "expected an integer, got text"),
                ("/counts/c~0d", "expected an integer, got a number"),
            ],
            id="dict",
        ),
        pytest.param(GOOD | {"by_name": {"x": {}}}, [("/by_name/x/url", "required")], id="mapping"),
        pytest.param(
            GOOD | {"contact": {"type": "phone", "number": "5"}},
            [("/contact/number", "expected an integer, got text")],
            id="tagged",
        ),
        pytest.param(
            GOOD | {"contact": {"type": "fax"}}, [("/contact/type", "Invalid value 'fax'")], id="no-such-tag"
        ),
        pytest.param(
            GOOD | {"contact": 3},
            [("/contact", "expected an object or null, got an integer")],
            id="no-object",
        ),
        pytest.param(GOOD | {"pair": [1]}, [("/pair", "expected a list of length 2")], id="tuple-length"),
        pytest.param(
            GOOD | {"pair": [1, 2]}, [("/pair/1", "expected text, got an integer")], id="tuple-item"
        ),
        pytest.param(GOOD | {"tags": {"a": 1}}, [("/tags", "expected a list, got an object")], id="no-list"),
        pytest.param(GOOD | {"tags": ["a", 1]}, [("/tags/1", "expected text, got an integer")], id="item"),
        pytest.param(
            GOOD | {"counts": [1]}, [("/counts", "expected an object, got a list")], id="no-mapping"
        ),
        pytest.param(
            GOOD | {"mode": ["only"]},
            [("/mode", "expected one of only; got something else")],
            id="list-of-a-choice",
        ),
        pytest.param(
            GOOD | {"page": [1]}, [("/page", "expected an object or null, got a list")], id="no-page"
        ),
        pytest.param(
            GOOD | {"page": {"items": ["a"]}}, [("/page/items/0", "expected an integer, got text")], id="page"
        ),
        pytest.param(
            GOOD | {"several": ["a"]}, [("/several/0", "expected an integer, got text")], id="sequence"
        ),
        pytest.param(
            GOOD | {"choice": ["a"]}, [("/choice/0", "expected an integer, got text")], id="list-of-two"
        ),
        pytest.param(
            GOOD | {"choice": {"a": "b"}},
            [("/choice/a", "expected an integer, got text")],
            id="mapping-of-two",
        ),
        pytest.param(
            GOOD | {"either": None}, [("/either", "expected an integer or text, got null")], id="union"
        ),
        pytest.param(
            GOOD | {"the/label": 1}, [("/the~1label", "expected text, got an integer")], id="name-on-the-wire"
        ),
        pytest.param(GOOD | {"the/label": "forbidden"}, [("", "the label is forbidden")], id="own-rule"),
    ],
)
def test_each_wrong_place_is_pointed_at(value: Any, expected: list[tuple[str, str]]) -> None:
    assert flaws(value) == expected
    error = rejection(msgspec.json.encode(value))
    assert error.reason is Reason.IMPOSSIBLE
    assert [(flaw.pointer, flaw.detail) for flaw in error.flaws] == expected


def test_raw_parts_are_nobodys_business() -> None:
    assert flaws(GOOD | {"raw": {"a": [1, {}]}}) == []


def test_of_duplicate_keys_the_last_one_wins() -> None:
    good = read_json(b'{"endpoints": 5, "endpoints": [{"url": "a", "url": "b"}]}', Wish)
    assert good == Wish(endpoints=[Endpoint("b")])
    assert rejection(b'{"endpoints": [{"url": "a"}], "endpoints": 5}').flaws[0].pointer == "/endpoints"


def test_one_point_nought_is_one() -> None:
    assert read_json(b'{"endpoints": [{"url": "a", "port": 80.0}]}', Wish) == Wish(
        endpoints=[Endpoint("a", port=Port(80))]
    )
    assert rejection(b'{"endpoints": [{"url": "a", "port": 80.5}]}').flaws[0].pointer == "/endpoints/0/port"


def test_flaws_are_told_up_to_a_number() -> None:
    error = rejection(msgspec.json.encode({"endpoints": [{}] * 150}))
    assert len(error.flaws) == MOST_FLAWS
    assert error.detail == "at least 100 places are wrong, see errors"


@pytest.mark.parametrize(
    ("found", "sentence"),
    [
        ([Flaw("", "required")], "required"),
        ([Flaw("/a", "required")], "/a: required"),
        ([Flaw("/a", "required"), Flaw("/b", "required")], "2 places are wrong, see errors"),
    ],
)
def test_the_sentence_fits_the_number_of_flaws(found: list[Flaw], sentence: str) -> None:
    assert rejected(found).detail == sentence


@pytest.mark.parametrize(
    ("complaint", "flaw"),
    [
        (
            "Expected `int`, got `str` - at `$.endpoints[0].url`",
            Flaw("/endpoints/0/url", "expected an integer, got text"),
        ),
        ("Expected `int`, got `str` - at `$.x[...].y`", Flaw("/x", "expected an integer, got text")),
        ("Object missing required field `a` - at `$[3]`", Flaw("/3/a", "required")),
        ("Object contains unknown field `a`", Flaw("/a", "unknown field")),
        (
            "Expected `str` matching regex '^`int`$' - at `$.a`",
            Flaw("/a", "expected text matching regex '^`int`$'"),
        ),
        ("as the rule says", Flaw("", "as the rule says")),
    ],
)
def test_a_complaint_of_msgspec_becomes_a_flaw(complaint: str, flaw: Flaw) -> None:
    assert flaw_of(msgspec.ValidationError(complaint)) == flaw


NAMES = st.sampled_from(
    [field.encode_name for field in msgspec.structs.fields(Wish)] + ["url", "type", "items", "number"]
)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(NAMES | st.text(), inner, max_size=4),
)
WISHES = st.dictionaries(NAMES, JSON_VALUES).map(lambda wish: GOOD | wish) | JSON_VALUES


@settings(deadline=None)
@given(WISHES)
def test_flaws_are_found_if_and_only_if_msgspec_complains(value: Any) -> None:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=Wish)
    except msgspec.ValidationError:
        assert flaws(value)
    else:
        assert not flaws(value)


def points_at(value: Any, pointer: str) -> bool:
    *steps, last = pointer.split("/")[1:] or [""]
    for step in steps:
        name = step.replace("~1", "/").replace("~0", "~")
        value = value[int(name)] if isinstance(value, list) else value[name]
    return isinstance(value, (dict, list)) or not pointer or not last


@settings(deadline=None)
@given(WISHES)
def test_a_pointer_leads_to_something_in_the_request(value: Any) -> None:
    for flaw in flaws_of(value, Wish):
        assert points_at(value, flaw.pointer)


@settings(deadline=None)
@given(st.binary())
def test_any_bytes_are_either_read_or_rejected(body: bytes) -> None:
    try:
        read_json(body, Wish)
    except RejectedError as error:
        assert error.flaws
        assert msgspec.json.decode(problem_of(error, "/").body, type=ProblemDetails).status in (400, 422)
