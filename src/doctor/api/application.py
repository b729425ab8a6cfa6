"""The ASGI application: from a request to the handler of its operation, and back.

The way of a request: route (404, 405), identity (401), role (403), headers and body (415, 413, 408), decoding (400,
422), handler, answer. Nothing is read of the body before it is known who asks. Every error leaves as a problem; what
is not the caller's fault is logged once, here.
"""

import asyncio
import inspect
import re
import traceback
from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, field
from ipaddress import ip_address
from typing import Any
from urllib.parse import quote, unquote_to_bytes

import msgspec
import structlog
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.responses import Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from doctor.api import problem
from doctor.api.docs import Documentation
from doctor.api.identification import Identify, nobody
from doctor.api.operation import EVENT_STREAM, JSON, Answer, Call, Operation, ServerSentEvent, operations_of
from doctor.api.problem import HttpRejectedError, Problem, problem_of, sole
from doctor.model.errors import Reason, RejectedError, TransientError, UnavailableError
from doctor.model.identity import Identity

log = structlog.get_logger(__name__)

HEARTBEAT = 15.0  # seconds between signs of life on a stream: proxies give up on silent ones after 30 or 60
SECURITY_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def make_application(
    operations: Iterable[Operation],
    *,
    authenticate: Identify,
    version: str,
    challenge: str = problem.BEARER,
    heartbeat: float = HEARTBEAT,
) -> ASGIApp:
    """Return the application that serves these operations, `/openapi.json` and `/docs`.

    ``authenticate`` gets the headers and returns who it is, None for nobody; it may raise a `DoctorError`.
    ``challenge`` is what a 401 says of how to come in.

    Raises:
        ValueError: two operations have the same path and method, or the same id.
    """
    documentation = Documentation(version)
    table = (*operations, *operations_of(documentation))
    documentation.describe(table)
    return Application(table, authenticate, challenge, heartbeat)


_TOKEN_HEADERS = (b"authorization", b"x-auth-token")


class Application:
    """Serves a table of operations."""

    def __init__(
        self, operations: Sequence[Operation], authenticate: Identify, challenge: str, heartbeat: float
    ) -> None:
        self._routes = Routes(operations)
        self._authenticate = authenticate
        self._challenge = challenge
        self._heartbeat = heartbeat

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] == "websocket":
            await send({"type": "websocket.close"})
            return
        if scope["type"] != "http":
            raise NotImplementedError(f"nothing to do for {scope['type']}")
        request = _Request(scope, receive, send)
        try:
            operation, values = self._routes.find(request.method, request.segments)
            request.operation = operation
            answer = await self._answer(request, operation, values)
            if answer.status not in operation.answers:
                log.error("answer.undocumented", operation=operation.operation_id, status=answer.status)
            await request.reply(self._response(answer, operation, request.method))
        except ClientDisconnect:
            return
        except Exception as error:  # every way out of here is an answer
            await self._refuse(request, sole(error))

    async def _answer(
        self, request: "_Request", operation: Operation, values: Mapping[str, str]
    ) -> Answer[Any]:
        caller = await self._identify(request, operation)
        raw = await request.read(operation) if operation.has_body else b""
        call = Call(
            caller=caller,
            path=values,
            query=operation.read_query(request.scope["query_string"]),
            body=operation.read_body(raw),
            raw=raw,
            headers=request.headers,
            client=request.client,
        )
        return await operation.handler(call)

    async def _identify(self, request: "_Request", operation: Operation) -> Identity | None:
        if operation.roles is None or (operation.open_on_loopback and request.is_local):
            return None
        found = self._authenticate(request.scope["headers"])
        identity = await found if inspect.isawaitable(found) else found
        if identity is None:
            detail = "a valid token is needed: Authorization: Bearer ... or X-Auth-Token: ..."
            raise nobody(detail, self._challenge)
        if identity.role not in operation.roles:
            detail = (
                f"the role {identity.role} may not do this; it takes {' or '.join(sorted(operation.roles))}"
            )
            raise RejectedError(detail, reason=Reason.FORBIDDEN)
        return identity

    def _response(self, answer: Answer[Any], operation: Operation, method: str) -> Response:
        headers = {**SECURITY_HEADERS, **answer.headers}
        if "Location" in headers:
            headers["Location"] = quote(headers["Location"], safe="/:?#[]@!$&'()*+,;=%-._~")
        if not isinstance(answer.content, AsyncIterable):
            body = _encoded(answer, operation)
            media_type = operation.produces if body or answer.content is not None else None
            return Response(body, answer.status, headers, media_type)
        if method == "HEAD":
            return Response(b"", answer.status, headers, operation.produces)
        headers["X-Accel-Buffering"] = "no"  # asks nginx to pass events on at once
        every = self._heartbeat if operation.produces == EVENT_STREAM else None
        return _Stream(_with_heartbeat(answer.content, every), answer.status, headers, operation.produces)

    async def _refuse(self, request: "_Request", error: Exception) -> None:
        only_asks = request.method in ("GET", "HEAD")
        refusal = problem_of(error, request.path, only_asks=only_asks)
        operation = request.operation
        name = operation.operation_id if operation else None
        if not isinstance(error, (RejectedError, UnavailableError)):
            log_error = log.warning if isinstance(error, TransientError) else log.error
            log_error(
                "request.failed", operation=name, status=refusal.status, error=_told(error, request.headers)
            )
        elif operation and refusal.status not in operation.problems | operation.answers.keys():
            log.error("answer.undocumented", operation=name, status=refusal.status)
        if not request.answered:
            await request.reply(_problem_response(refusal))


def _encoded(answer: Answer[Any], operation: Operation) -> bytes:
    content = answer.content
    if isinstance(content, bytes):
        return content
    if isinstance(content, str) and operation.produces != JSON:
        return content.encode()
    declared, _ = operation.answers.get(answer.status, (Any, ""))
    return b"" if content is None and declared is None else msgspec.json.encode(content)


def _problem_response(refusal: Problem) -> Response:
    return Response(refusal.body, refusal.status, {**SECURITY_HEADERS, **refusal.headers}, problem.MEDIA_TYPE)


# --- routes ---


@dataclass
class _Node:
    literals: dict[str, "_Node"] = field(default_factory=dict)
    parameter: "_Node | None" = None
    operations: dict[str, Operation] = field(default_factory=dict)


class Routes:
    """Finds the operation for a path.

    Paths are compared piece by piece as they were written, so that an id may have a slash in it (as ``%2F``). What is
    spelled out in a path goes before a parameter. A slash at the end is a piece of its own.
    """

    def __init__(self, operations: Sequence[Operation]) -> None:
        self._root = _Node()
        ids: set[str] = set()
        for operation in operations:
            if operation.operation_id in ids:
                raise ValueError(f"two operations are called {operation.operation_id}")
            ids.add(operation.operation_id)
            self._add(operation)

    def _add(self, operation: Operation) -> None:
        node = self._root
        for piece in operation.path.split("/")[1:]:
            if piece.startswith("{"):
                node.parameter = node = node.parameter or _Node()
            else:
                node = node.literals.setdefault(piece, _Node())
        if operation.method in node.operations:
            raise ValueError(f"two operations are {operation.method} {operation.path}")
        node.operations[operation.method] = operation

    def find(self, method: str, segments: Sequence[str]) -> tuple[Operation, dict[str, str]]:
        """Return the operation and the values of its path parameters.

        Raises:
            RejectedError: there is nothing at this path, or not with this method.
        """
        found = _search(self._root, segments)
        if found is None:
            raise RejectedError("there is nothing at this path", reason=Reason.NOT_FOUND)
        operations, values = found
        operation = operations.get("GET" if method == "HEAD" else method)
        if operation is None:
            allowed = ", ".join(sorted({*operations, *({"HEAD"} if "GET" in operations else ())}))
            raise HttpRejectedError(405, f"only {allowed} can be done here", {"Allow": allowed})
        return operation, dict(zip(operation.path_parameters, values, strict=True))


def _search(node: _Node, segments: Sequence[str]) -> tuple[dict[str, Operation], list[str]] | None:
    if not segments:
        return (node.operations, []) if node.operations else None
    first, rest = segments[0], segments[1:]
    if first in node.literals and (found := _search(node.literals[first], rest)):
        return found
    if first and node.parameter and (found := _search(node.parameter, rest)):
        operations, values = found
        return operations, [first, *values]
    return None


# --- one request ---


class _Request:
    """What is known of a request, and whether it has been answered."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.scope = scope
        self.method: str = scope["method"]
        self.headers = Headers(raw=list(scope["headers"]))
        self.client: str | None = scope["client"][0] if scope.get("client") else None
        self.operation: Operation | None = None
        self.answered = False
        self._receive = receive
        self._send = send

    @property
    def path(self) -> str:
        """Return the path as it was written."""
        raw: bytes = self.scope.get("raw_path") or quote(self.scope["path"]).encode()
        return quote(raw, safe="/%:@!$&'()*+,;=-._~")

    @property
    def segments(self) -> list[str]:
        """Return the pieces of the path between its slashes, without escapes.

        Raises:
            RejectedError: they are no text, so nothing can be there.
        """
        path = self.path.removeprefix(self.scope.get("root_path", ""))
        try:
            return [unquote_to_bytes(piece).decode() for piece in path.split("/")[1:]]
        except UnicodeDecodeError:
            raise RejectedError("there is nothing at this path", reason=Reason.NOT_FOUND) from None

    @property
    def is_local(self) -> bool:
        """Tell whether the caller is on this machine, and not a proxy that speaks for somebody else."""
        if self.client is None or "forwarded" in self.headers or "x-forwarded-for" in self.headers:
            return False
        try:
            return ip_address(self.client).is_loopback
        except ValueError:
            return False

    async def read(self, operation: Operation) -> bytes:
        """Return the body.

        Raises:
            RejectedError: it is of the wrong kind, too large or too slow.
            ClientDisconnect: the caller went away.
        """
        _check_kind(self.headers, operation)
        limits = operation.limits
        announced = self.headers.get("content-length", "0")
        if not announced.isdecimal() or int(announced) > limits.body:
            raise _too_large(limits.body)
        try:
            async with asyncio.timeout(limits.seconds):
                return await self._read(limits.body)
        except TimeoutError:
            raise HttpRejectedError(408, f"the body did not arrive within {limits.seconds:g} s") from None

    async def _read(self, most: int) -> bytes:
        body = bytearray()
        more = True
        while more:
            message = await self._receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > most:
                raise _too_large(most)
        return bytes(body)

    async def reply(self, response: Response) -> None:
        """Send the answer; of one to HEAD only the headers."""
        await response(self.scope, self._receive, self._pass_on)

    async def _pass_on(self, message: Message) -> None:
        self.answered = True
        if self.method == "HEAD" and message["type"] == "http.response.body":
            message = {**message, "body": b""}
        await self._send(message)


def _check_kind(headers: Headers, operation: Operation) -> None:
    if headers.get("content-encoding", "identity").lower() != "identity":
        raise HttpRejectedError(415, "send the body without compression", {"Accept-Encoding": "identity"})
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if not kind or kind in operation.accepts:
        return
    if not (JSON in operation.accepts and re.fullmatch(r"application/[\w.!#$&^-]+\+json", kind)):
        accepted = ", ".join(operation.accepts)
        raise HttpRejectedError(415, f"send {accepted}, not {kind[:100]}", {"Accept": accepted})


def _too_large(most: int) -> RejectedError:
    return RejectedError(f"the body is larger than {most} bytes", reason=Reason.TOO_LARGE)


# --- streams ---


class _Stream(StreamingResponse):
    """A streamed answer that closes its source when the caller goes away."""

    def __init__(
        self, pieces: AsyncGenerator[bytes, None], status: int, headers: Mapping[str, str], media_type: str
    ):
        super().__init__(pieces, status, headers, media_type)
        self._pieces = pieces

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with aclosing(self._pieces):
            await super().__call__(scope, receive, send)


async def _with_heartbeat(pieces: AsyncIterable[Any], every: float | None) -> AsyncGenerator[bytes, None]:
    """Pass a stream on, with a comment whenever it has been silent for a while."""
    coming: asyncio.Queue[Any] = asyncio.Queue(1)
    pump = asyncio.create_task(_pump(pieces, coming))
    try:
        while True:
            try:
                async with asyncio.timeout(every):
                    piece = await coming.get()
            except TimeoutError:
                yield b":\n\n"
                continue
            if piece is _END:
                await pump  # which raises what went wrong
                return
            yield piece.encode() if isinstance(piece, (str, ServerSentEvent)) else piece
    finally:
        pump.cancel()
        await asyncio.wait([pump])


_END = object()


async def _pump(pieces: AsyncIterable[Any], coming: asyncio.Queue[Any]) -> None:
    try:
        async for piece in pieces:
            await coming.put(piece)
    except Exception:
        await coming.put(_END)
        raise
    await coming.put(_END)


# --- logging ---


def _told(error: Exception, headers: Headers) -> str:
    """Return the traceback without the secrets that the request brought."""
    told = "".join(traceback.format_exception(error))
    for name in _TOKEN_HEADERS:
        if value := headers.get(name.decode()):
            told = told.replace(value.partition(" ")[2] or value, "***")
    return re.sub(r"whsec_[\w+/=-]+", "whsec_***", told)
