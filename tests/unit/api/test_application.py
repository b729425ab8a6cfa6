import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlencode

import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from starlette.types import ASGIApp
from structlog.testing import capture_logs

from doctor.api.application import SECURITY_HEADERS, make_application
from doctor.api.identification import token_in
from doctor.api.operation import Answer, Call, operation, operations_of
from doctor.api.problem import MEDIA_TYPE, sole
from doctor.model.errors import StoreError, TransientError, UnreadableError
from doctor.model.identity import Identity, Role
from doctor.testing.asgi import Reply, call, listen
from tests.unit.api.toy import (
    ADMIN,
    ERRORS,
    GUESTS,
    LONGEST_RECIPE,
    FailingDoor,
    KettleDoor,
    authenticate,
    bearer,
    toy,
)

JSON = {"content-type": "application/json"}


class Unreadable:
    """A body that nobody is to read."""

    def __aiter__(self) -> AsyncIterator[bytes]:
        raise AssertionError("the body was read")


@pytest.fixture
def door() -> KettleDoor:
    return KettleDoor()


@pytest.fixture
def app(door: KettleDoor) -> ASGIApp:
    return toy(door, FailingDoor())


def problem(reply: Reply, status: int) -> dict[str, Any]:
    assert reply.status == status, reply.text
    assert reply.headers["content-type"] == MEDIA_TYPE
    found: dict[str, Any] = reply.json()
    assert found["status"] == status
    return found


# --- the way through ---


async def test_a_thing_can_be_made_found_changed_and_removed(app: ASGIApp) -> None:
    made = await call(app, "POST", "/v1/kettles", ADMIN, json={"name": "a", "colour": "blue"})
    assert (made.status, made.headers["location"]) == (201, "/v1/kettles/a")
    assert made.headers["content-type"] == "application/json"
    found = await call(app, "GET", "/v1/kettles/a", bearer(Role.AUDITOR))
    assert (
        found.json()
        == made.json()
        == {
            "kettle_id": "a",
            "name": "a",
            "litres": 1.5,
            "colour": "blue",
            "lids": [],
            "labels": {},
        }
    )
    changed = await call(app, "PATCH", "/v1/kettles/a", ADMIN, json={"litres": 3.0})
    assert changed.json() == found.json() | {"litres": 3.0}
    removed = await call(app, "DELETE", "/v1/kettles/a", ADMIN)
    assert (removed.status, removed.body) == (204, b"")
    assert "content-type" not in removed.headers
    problem(await call(app, "GET", "/v1/kettles/a", ADMIN), 404)


async def test_a_list_comes_page_by_page(app: ASGIApp) -> None:
    for name in "abcde":
        await call(
            app, "POST", "/v1/kettles", ADMIN, json={"name": name, "colour": "red" if name != "c" else "blue"}
        )
    found, path = [], "/v1/kettles?limit=2&colour=red"
    while path:
        page = (await call(app, "GET", path, ADMIN)).json()
        found.append([kettle["name"] for kettle in page["items"]])
        path = page["next"] and f"/v1/kettles?limit=2&colour=red&cursor={page['next']}"
    assert found == [["a", "b"], ["d", "e"]]
    wrong = problem(await call(app, "GET", "/v1/kettles?cursor=abc", ADMIN), 400)
    assert wrong["errors"][0]["pointer"] == "/cursor"


async def test_text_is_taken_and_given_as_it_is(app: ASGIApp, door: KettleDoor) -> None:
    kept = await call(
        app, "PUT", "/v1/recipe", ADMIN | {"content-type": "text/plain"}, "tea: [grün]".encode()
    )
    assert (kept.text, kept.headers["content-type"]) == ("tea: [grün]", "text/plain; charset=utf-8")
    assert door.recipe == "tea: [grün]"
    problem(await call(app, "PUT", "/v1/recipe", ADMIN, b"\xff"), 400)
    problem(await call(app, "PUT", "/v1/recipe", ADMIN), 400)


async def test_every_answer_has_the_headers_of_security(app: ASGIApp) -> None:
    for path in ("/healthz", "/nowhere", "/v1/kettles"):
        reply = await call(app, "GET", path)
        for name, value in SECURITY_HEADERS.items():
            assert reply.headers[name.lower()] == value
        assert "access-control-allow-origin" not in reply.headers


async def test_a_body_may_be_left_out_where_the_operation_says_so(app: ASGIApp) -> None:
    await call(app, "POST", "/v1/kettles", ADMIN, json={"name": "a"})
    assert (await call(app, "POST", "/v1/kettles/a/boil", ADMIN)).json() == {"degrees": 100}
    assert (await call(app, "POST", "/v1/kettles/a/boil", ADMIN, json={"degrees": 40})).json() == {
        "degrees": 40
    }


# --- paths and methods ---


@pytest.mark.parametrize(
    "path",
    [
        "/nowhere",
        "/v1/kettles/",
        "/v1/kettles/a/",
        "//v1/kettles",
        "/v1/kettles/a/b",
        "/v1/%FF",
        "/v1/kettles/%FF",
        "",
    ],
)
async def test_what_does_not_exist_is_not_found(app: ASGIApp, path: str) -> None:
    problem(await call(app, "GET", path, ADMIN), 404)


async def test_a_word_in_a_path_goes_before_a_parameter(app: ASGIApp) -> None:
    assert (await call(app, "GET", "/v1/kettles/summary", ADMIN)).json() == {"count": 0}
    assert (await call(app, "GET", "/v1/%6Bettles/summary", ADMIN)).json() == {"count": 0}


async def test_an_id_may_have_a_slash_in_it(app: ASGIApp, door: KettleDoor) -> None:
    made = await call(app, "POST", "/v1/kettles", ADMIN, json={"name": "a"})
    assert made.status == 201
    door.kettles["rack 1/kettle 2"] = door.kettles["a"]
    assert (await call(app, "GET", "/v1/kettles/rack%201%2Fkettle%202", ADMIN)).json()["name"] == "a"


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/v1/kettles", "GET, HEAD, POST"),
        ("POST", "/v1/kettles/a", "DELETE, GET, HEAD, PATCH"),
        ("DELETE", "/v1/kettles/summary", "GET, HEAD"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
        ("HEAD", "/v1/recipe", "PUT"),
        ("BREW", "/v1/recipe", "PUT"),
    ],
)
async def test_another_method_is_told_what_is_allowed(
    app: ASGIApp, method: str, path: str, allowed: str
) -> None:
    reply = await call(app, method, path)
    assert (reply.status, reply.headers["allow"]) == (405, allowed)
    if method != "HEAD":
        problem(reply, 405)


async def test_head_is_get_without_a_body(app: ASGIApp, door: KettleDoor) -> None:
    reply = await call(app, "HEAD", "/healthz")
    assert (reply.status, reply.body, reply.headers["content-length"]) == (200, b"", "15")
    assert (await call(app, "HEAD", "/v1/steam", ADMIN)).status == 200
    assert (await call(app, "HEAD", "/v1/kettles")).status == 401


async def test_a_problem_says_where(app: ASGIApp) -> None:
    reply = await call(app, "GET", "/v1/kettles/%3Cscript%3E?token=secret", ADMIN)
    assert problem(reply, 422)["instance"] == "/v1/kettles/%3Cscript%3E"


async def test_the_application_may_be_mounted_below_a_path(app: ASGIApp) -> None:
    sent: list[Any] = []

    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        sent.append(message)

    scope: dict[str, Any] = {
        "type": "http",
        "method": "GET",
        "path": "/doctor/healthz",
        "root_path": "/doctor",
        "query_string": b"",
        "headers": [],
    }
    await app(scope, receive, send)
    assert sent[0]["status"] == 200


async def test_what_is_not_http_is_turned_away(app: ASGIApp) -> None:
    sent: list[Any] = []

    async def send(message: Any) -> None:
        sent.append(message)

    await app({"type": "websocket"}, None, send)  # type: ignore[arg-type]
    assert sent == [{"type": "websocket.close"}]
    with pytest.raises(NotImplementedError):
        await app({"type": "lifespan"}, None, send)  # type: ignore[arg-type]


# --- who may ---


@pytest.mark.parametrize(
    "headers", [{}, {"authorization": "Bearer stranger"}, {"authorization": "Basic YTpi"}]
)
async def test_without_a_known_token_nothing_is_done(app: ASGIApp, headers: dict[str, str]) -> None:
    reply = await call(app, "GET", "/v1/kettles", headers)
    problem(reply, 401)
    assert reply.headers["www-authenticate"] == "Bearer"


ROLES = [(one, role) for one in operations_of(KettleDoor()) for role in Role if one.operation_id != "steam"]


@pytest.mark.parametrize(("one", "role"), ROLES, ids=lambda value: getattr(value, "operation_id", value))
async def test_each_role_may_do_what_the_table_says(app: ASGIApp, one: Any, role: Role) -> None:
    reply = await call(
        app, one.method, one.path.replace("{kettle_id}", "a"), bearer(role), client=("192.0.2.1", 4)
    )
    allowed = one.roles is None or role in one.roles
    assert (reply.status != 403) is allowed
    assert reply.status != 401


async def test_a_forbidden_caller_is_told_who_may(app: ASGIApp) -> None:
    refused = problem(await call(app, "GET", "/v1/kettles", bearer(Role.MONITOR)), 403)
    assert refused["detail"] == "the role monitor may not do this; it takes admin or auditor or consumer"


async def test_identity_is_asked_before_anything_is_read(app: ASGIApp) -> None:
    problem(await call(app, "POST", "/v1/kettles", JSON, Unreadable()), 401)
    problem(await call(app, "POST", "/v1/kettles?x=1", {"content-type": "text/plain"}, b"x"), 401)


@pytest.mark.parametrize(
    ("client", "headers", "status"),
    [
        pytest.param(("127.0.0.1", 4), {}, 200, id="loopback"),
        pytest.param(("::1", 4), {}, 200, id="loopback-6"),
        pytest.param(("127.0.0.1", 4), {"x-forwarded-for": "192.0.2.1"}, 401, id="proxy"),
        pytest.param(("127.0.0.1", 4), {"forwarded": "for=192.0.2.1"}, 401, id="standard-proxy"),
        pytest.param(("192.0.2.1", 4), {}, 401, id="elsewhere"),
        pytest.param(("192.0.2.1", 4), ADMIN, 200, id="elsewhere-with-token"),
        pytest.param(("unix", 4), {}, 401, id="no-address"),
        pytest.param(None, {}, 401, id="unknown"),
    ],
)
async def test_some_operations_are_open_to_the_machine_itself(
    app: ASGIApp, client: tuple[str, int] | None, headers: dict[str, str], status: int
) -> None:
    assert (await call(app, "GET", "/metrics", headers, client=client)).status == status


@pytest.mark.parametrize(
    ("headers", "token"),
    [
        ({}, None),
        ({"authorization": "Bearer abc"}, "abc"),
        ({"authorization": "bearer  abc "}, "abc"),
        ({"authorization": "Bearer "}, None),
        ({"x-auth-token": "abc"}, "abc"),
        ({"authorization": "Basic x", "x-auth-token": "abc"}, "abc"),
        ({"authorization": "Bearer a", "x-auth-token": "b"}, "a"),
        ({"x-auth-token": " "}, None),
    ],
)
def test_tokens_are_found_in_both_headers(headers: dict[str, str], token: str | None) -> None:
    assert token_in([(name.encode(), value.encode()) for name, value in headers.items()]) == token


async def test_whose_a_token_is_may_take_a_while_or_fail() -> None:
    async def from_afar(headers: Any) -> Identity | None:
        await asyncio.sleep(0)
        if token_in(headers) == "lost":
            raise TransientError("keystone is away")
        return authenticate(headers)

    app = make_application(operations_of(KettleDoor()), authenticate=from_afar, version="1")
    assert (await call(app, "GET", "/v1/kettles", ADMIN)).status == 200
    problem(await call(app, "GET", "/v1/kettles"), 401)
    with capture_logs():
        problem(await call(app, "GET", "/v1/kettles", {"x-auth-token": "lost"}), 503)


# --- bodies ---


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        (None, 201),
        ("application/json", 201),
        ("application/JSON; charset=utf-8", 201),
        ("application/merge-patch+json", 201),
        ("text/plain", 415),
        ("application/x-www-form-urlencoded", 415),
        ("application/json x", 415),
        ("nonsense", 415),
        ("text/x+json", 415),
    ],
)
async def test_json_is_taken_by_its_names(app: ASGIApp, kind: str | None, status: int) -> None:
    headers = ADMIN | ({"content-type": kind} if kind else {})
    reply = await call(app, "POST", "/v1/kettles", headers, b'{"name": "a"}')
    assert reply.status == status
    if status == 415:
        assert reply.headers["accept"] == "application/json"


async def test_a_compressed_body_is_not_read(app: ASGIApp) -> None:
    headers = ADMIN | JSON | {"content-encoding": "gzip"}
    problem(await call(app, "POST", "/v1/kettles", headers, b"..."), 415)


async def test_a_wrong_body_is_told_place_by_place(app: ASGIApp) -> None:
    reply = await call(app, "POST", "/v1/kettles", ADMIN, json={"lids": [{"weight": -1}, {}], "color": "red"})
    assert problem(reply, 422)["errors"] == [
        {"pointer": "/lids/0/weight", "detail": "expected an integer >= 0"},
        {"pointer": "/lids/1/weight", "detail": "required"},
        {"pointer": "/color", "detail": "unknown field; did you mean colour?"},
        {"pointer": "/name", "detail": "required"},
    ]


async def test_a_body_that_says_it_is_too_large_is_not_read(app: ASGIApp) -> None:
    reply = await call(
        app, "PUT", "/v1/recipe", ADMIN | {"content-length": str(LONGEST_RECIPE + 1)}, Unreadable()
    )
    problem(reply, 413)
    assert reply.headers["connection"] == "close"
    problem(await call(app, "PUT", "/v1/recipe", ADMIN | {"content-length": "x"}, Unreadable()), 413)


async def test_a_body_that_turns_out_too_large_is_not_read_to_its_end(app: ASGIApp) -> None:
    read = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal read
        while True:
            read += 1
            yield b"0123456789" * 100

    problem(await call(app, "PUT", "/v1/recipe", ADMIN, endless()), 413)
    assert read == LONGEST_RECIPE // 1000 + 1


async def test_a_body_may_be_as_large_as_allowed(app: ASGIApp) -> None:
    assert (await call(app, "PUT", "/v1/recipe", ADMIN, b"x" * LONGEST_RECIPE)).status == 200
    problem(await call(app, "PUT", "/v1/recipe", ADMIN, b"x" * (LONGEST_RECIPE + 1)), 413)
    large = msgspec.json.encode({"name": "a", "labels": {str(key): "x" * 4000 for key in range(270)}})
    problem(await call(app, "POST", "/v1/kettles", ADMIN, large), 413)


@pytest.mark.looptime
async def test_a_body_has_to_arrive_in_time(app: ASGIApp) -> None:
    async def slow() -> AsyncIterator[bytes]:
        for _ in range(5):
            await asyncio.sleep(0.5)
            yield b"x"

    reply = await call(app, "PUT", "/v1/recipe", ADMIN, slow())
    assert problem(reply, 408)["detail"] == "the body did not arrive within 2 s"
    assert reply.headers["connection"] == "close"


async def test_nobody_is_answered_who_left_half_way(app: ASGIApp) -> None:
    sent: list[Any] = []
    left = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]

    async def receive() -> Any:
        return left.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer admin")]
    scope = {"type": "http", "method": "POST", "path": "/v1/kettles", "query_string": b"", "headers": headers}
    await app(scope, receive, send)
    assert sent == []


# --- what goes wrong inside ---


@pytest.mark.parametrize(
    ("kind", "status", "level"),
    [
        ("store", 507, "warning"),
        ("transient", 503, "warning"),
        ("permanent", 500, "error"),
        ("bug", 500, "error"),
        ("group", 507, "warning"),
        ("busy", 429, None),
    ],
)
async def test_errors_inside_are_answered_and_logged_once(
    app: ASGIApp, kind: str, status: int, level: str | None
) -> None:
    with capture_logs() as logs:
        reply = await call(app, "POST", f"/v1/failures/{kind}", {"x-auth-token": "admin"})
    problem(reply, status)
    assert str(ERRORS[kind]) not in reply.text or kind == "busy"
    assert [line["log_level"] for line in logs] == ([level] if level else [])
    for line in logs:
        assert (line["event"], line["operation"], line["status"]) == ("request.failed", "fail", status)
        assert type(sole(ERRORS[kind])).__name__ in line["error"]
        assert "whsec_c2VjcmV0" not in line["error"]


async def test_who_only_asks_is_not_told_that_nothing_was_kept() -> None:
    """He wanted nothing kept: the store cannot be read, and that may be over soon."""

    class Door:
        @operation("GET", "/", tag="Odd", roles=None)
        async def look(self, call: Call[None, None]) -> Answer[None]:
            """Look up."""
            raise StoreError("disk I/O error")

        @operation("POST", "/", tag="Odd", roles=None)
        async def put(self, call: Call[None, None]) -> Answer[None]:
            """Look up, and then keep."""
            raise UnreadableError("disk I/O error")

    app = make_application(operations_of(Door()), authenticate=authenticate, version="1")
    for method in ("GET", "POST"):
        with capture_logs() as logs:
            reply = await call(app, method, "/")
        said = problem(reply, 503)
        assert "cannot be read" in said["detail"]
        assert "disk" not in reply.text
        assert reply.headers["retry-after"] == "1"
        assert [(line["event"], line["status"]) for line in logs] == [("request.failed", 503)]


async def test_a_token_does_not_get_into_the_log() -> None:
    class Door:
        @operation("GET", "/", tag="Indiscreet", roles=GUESTS)
        async def tell(self, call: Call[None, None]) -> Answer[None]:
            """Tell secrets."""
            raise ValueError(f"{call.headers['authorization']} and whsec_abc")

    def authenticate_all(headers: Any) -> Identity:
        return Identity(name="x", role=Role.ADMIN)

    app = make_application(operations_of(Door()), authenticate=authenticate_all, version="1")
    with capture_logs() as logs:
        problem(await call(app, "GET", "/", {"authorization": "Bearer s3cr3t"}), 500)
    assert "Bearer *** and whsec_***" in logs[0]["error"]
    assert "s3cr3t" not in str(logs)


@pytest.mark.parametrize(("kind", "status"), [("conflict", 409), ("unknown-status", 299)])
async def test_an_answer_that_is_not_in_the_table_is_sent_and_told(
    app: ASGIApp, kind: str, status: int
) -> None:
    with capture_logs() as logs:
        assert (await call(app, "POST", f"/v1/failures/{kind}", ADMIN)).status == status
    assert [(line["event"], line["status"]) for line in logs] == [("answer.undocumented", status)]


async def test_an_answer_that_cannot_be_written_is_a_failure() -> None:
    class Door:
        @operation("GET", "/", tag="Odd", roles=None)
        async def odd(self, call: Call[None, None]) -> Answer[Any]:
            """Answer with something that is no JSON."""
            return Answer(object())

    app = make_application(operations_of(Door()), authenticate=authenticate, version="1")
    with capture_logs() as logs:
        problem(await call(app, "GET", "/"), 500)
    assert len(logs) == 1


async def test_bytes_are_sent_as_they_are_and_places_are_escaped() -> None:
    class Door:
        @operation("GET", "/", tag="Raw", roles=None)
        async def raw(self, call: Call[None, None]) -> Answer[bytes]:
            """Answer with what was stored."""
            return Answer(b'{"stored": 1}', headers={"Location": "/ä b\r\nx: y%2F"})

    reply = await call(
        make_application(operations_of(Door()), authenticate=authenticate, version="1"), "GET", "/"
    )
    assert (reply.body, reply.headers["content-type"]) == (b'{"stored": 1}', "application/json")
    assert reply.headers["location"] == "/%C3%A4%20b%0D%0Ax:%20y%2F"


def test_a_table_with_two_of_the_same_is_refused() -> None:
    class Twin(KettleDoor):
        @operation("GET", "/v1/kettles/{name}", tag="Kettles", roles=None)
        async def other(self, call: Call[None, None]) -> Answer[None]:
            """Do the same."""
            return Answer(None)

    with pytest.raises(ValueError, match=r"GET /v1/kettles/\{name\}"):
        toy(Twin())
    with pytest.raises(ValueError, match="called list_kettles"):
        toy(KettleDoor(), KettleDoor())


# --- streams ---


async def test_a_stream_passes_events_on_and_ends_with_the_caller(app: ASGIApp, door: KettleDoor) -> None:
    async with listen(app, "GET", "/v1/steam", ADMIN) as listening:
        assert (listening.status, listening.headers["content-type"]) == (
            200,
            "text/event-stream; charset=utf-8",
        )
        assert listening.headers["x-accel-buffering"] == "no"
        for number in range(3):
            expected = f"event: puff\nid: {number}\ndata: white\ndata: round {number}\n\n"
            assert await listening.piece() == expected.encode()
        assert not door.closed.is_set()
    assert door.closed.is_set()


@pytest.mark.looptime
async def test_a_silent_stream_gives_signs_of_life(door: KettleDoor) -> None:
    async with listen(toy(door, heartbeat=15.0), "GET", "/v1/steam", ADMIN) as listening:
        for _ in range(3):
            await listening.piece()
        started = asyncio.get_running_loop().time()
        assert await listening.piece() == b":\n\n"
        assert await listening.piece() == b":\n\n"
        assert asyncio.get_running_loop().time() - started == pytest.approx(30.0)


async def test_a_stream_that_fails_is_cut_off_and_logged(app: ASGIApp) -> None:
    with capture_logs() as logs:
        reply = await call(app, "GET", "/v1/broken-stream", ADMIN)
    assert (reply.status, reply.body) == (200, b"data: so far\n\n")
    assert [line["event"] for line in logs] == ["request.failed"]
    assert "and no further" in logs[0]["error"]


async def test_a_stream_of_something_else_has_no_heartbeat() -> None:
    class Door:
        @operation("GET", "/", tag="Lines", roles=None, produces="application/x-ndjson")
        async def lines(self, call: Call[None, None]) -> Answer[AsyncIterator[str]]:
            """Answer line by line."""
            return Answer(self._lines())

        async def _lines(self) -> AsyncIterator[str]:
            yield "1\n"
            yield "2\n"

    app = make_application(operations_of(Door()), authenticate=authenticate, version="1", heartbeat=0.0)
    assert (await call(app, "GET", "/")).text == "1\n2\n"


# --- whatever comes ---

METHODS = st.sampled_from(["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"])
WORDS = st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="#?"))
PATHS = st.sampled_from(
    ["/v1/kettles", "/v1/kettles/a", "/v1/kettles/a/boil", "/v1/recipe", "/metrics", "/healthz"]
) | WORDS.map(lambda text: "/" + text)
PARAMETERS = st.sampled_from(["limit", "cursor", "colour", "since", "hot", "litres", "name"])
QUERIES = WORDS | st.lists(st.tuples(PARAMETERS, st.text(max_size=5))).map(urlencode)
BODIES = st.binary() | st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["name", "litres", "colour", "lids", "weight", "made", "labels"]), inner
        )
    ),
).map(msgspec.json.encode)


@settings(deadline=None)
@given(METHODS, PATHS, QUERIES, BODIES)
@example("POST", "/v1/kettles", "", b'{"name":' * 200_000)
@example("POST", "/v1/kettles", "", b'{"name": "a", "labels": {"a": "\xff"}}')
@example("GET", "/v1/kettles", "cursor=" + "A" * 5000, b"")
@example("GET", "/v1/kettles/%00%FF%2F..", "", b"")
def test_no_request_makes_the_doors_fail(method: str, path: str, query: str, body: bytes) -> None:
    with capture_logs() as logs:
        reply = asyncio.run(call(toy(KettleDoor()), method, f"{path}?{query}", ADMIN | JSON, body))
    assert reply.status < 500
    assert logs == []
