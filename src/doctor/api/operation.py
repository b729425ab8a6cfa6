"""What the HTTP doors can do, as a table: one `Operation` for each thing that can be asked.

Routing, role checks, the decoding of requests, the error answers and the OpenAPI document are all made from this table,
so that nothing undocumented can exist. A handler is declared where it is written::

    @operation("POST", "/v1/subscriptions", tag="Subscriptions", roles=OWNERS,
               answers={201: "The subscription, in force for the very next event."})
    async def subscribe(self, call: Call[SubscribeRequest, None]) -> Answer[SubscribeResponse]:
        \"\"\"Subscribe to faults.

        The first line is the summary, the rest the description.
        \"\"\"

``Call[body, query]`` and ``Answer[content]`` say the types, to mypy and to the document alike. `operations_of` collects
the handlers of an object.
"""

import inspect
import re
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import IntEnum
from functools import cached_property
from math import isfinite
from types import MappingProxyType, NoneType
from typing import Any, Generic, Literal, TypedDict, TypeVar, Unpack, get_args, get_origin, get_type_hints
from urllib.parse import unquote_to_bytes

import msgspec
from starlette.datastructures import Headers

from doctor.api.problem import USUAL, Limits, alternatives, flaw_of, flaws_of, read_json, rejected, unknown
from doctor.kit.times import in_utc, parse_duration
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.identity import Identity, Role

Method = Literal["GET", "POST", "PUT", "PATCH", "DELETE"]
JSON = "application/json"
EVENT_STREAM = "text/event-stream"
MOST_PARAMETERS = 200

Body = TypeVar("Body")
Query = TypeVar("Query")
Content_co = TypeVar("Content_co", covariant=True)


@dataclass(frozen=True, kw_only=True)
class Call(Generic[Body, Query]):
    """One request, decoded. ``raw`` is the body as it came; ``client`` the address of the caller."""

    caller: Identity | None
    path: Mapping[str, str]
    query: Query
    body: Body
    raw: bytes
    headers: Headers
    client: str | None

    @property
    def identity(self) -> Identity:
        """Return who asks. An operation that needs no token has to look at ``caller`` instead."""
        if self.caller is None:
            raise LookupError("this operation needs no token, so there may be no identity")
        return self.caller


@dataclass(frozen=True)
class Answer(Generic[Content_co]):
    """What a handler returns.

    The content is written as JSON, unless the operation ``produces`` something else: then it is text, bytes, or an
    iterator of them or of `ServerSentEvent`. Bytes are always sent as they are.
    """

    content: Content_co
    status: int = 200
    headers: Mapping[str, str] = field(default_factory=dict)


class ServerSentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a stream (``text/event-stream``)."""

    data: str
    event: str | None = None
    id: str | None = None

    def encode(self) -> bytes:
        """Write the event as it goes over the wire."""
        lines = [f"{name}: {value}" for name, value in (("event", self.event), ("id", self.id)) if value]
        lines += [f"data: {line}" for line in re.split(r"\r\n|\r|\n", self.data)]
        return ("\n".join(lines) + "\n\n").encode()


Handler = Callable[..., Awaitable[Answer[Any]]]
HandlerT = TypeVar("HandlerT", bound=Handler)


@dataclass(frozen=True)
class Parameter:
    """One query parameter, made from a field of the query's type."""

    name: str
    kind: Any
    required: bool
    default: Any

    @cached_property
    def item(self) -> Any:
        """Return the type of one value: of an item, if the parameter takes a list."""
        (kind,) = alternatives(self.kind)[:1]
        return get_args(kind)[0] if self.many else self.kind

    @cached_property
    def many(self) -> bool:
        """Tell whether the parameter takes several values."""
        return get_origin(alternatives(self.kind)[0]) in (list, tuple, set, frozenset)


@dataclass(frozen=True, kw_only=True)
class Operation:
    """One thing that can be asked: how it is reached, by whom, with what, and how it is answered.

    ``roles`` None needs no token. ``open_on_loopback`` needs none from the machine itself. ``answers`` are types and
    descriptions by status; the error answers that follow from the rest are in `problems`. ``lenient`` ignores unknown
    query parameters, for clients that were not written for Doctor. An operation that something in front of the
    application answers stands in the table all the same: for the document, and for the tests of roles.
    """

    method: Method
    path: str
    operation_id: str
    summary: str
    description: str
    tag: str
    roles: frozenset[Role] | None
    request: Any  # NoneType: there is no body
    query: type[msgspec.Struct] | None
    answers: Mapping[int, tuple[Any, str]]
    handler: Handler
    limits: Limits = USUAL
    accepts: tuple[str, ...] = (JSON,)
    produces: str = JSON
    example: Any = None
    examples: Mapping[int, Any] = field(default_factory=dict)
    path_help: Mapping[str, str] = field(default_factory=dict)
    open_on_loopback: bool = False
    lenient: bool = False

    @cached_property
    def path_parameters(self) -> tuple[str, ...]:
        """Return the names in the path, in their order."""
        return tuple(re.findall(r"\{(\w+)\}", self.path))

    @cached_property
    def parameters(self) -> tuple[Parameter, ...]:
        """Return the query parameters."""
        if self.query is None:
            return ()
        return tuple(
            Parameter(one.encode_name, one.type, one.required, _default(one))
            for one in msgspec.structs.fields(self.query)
        )

    @property
    def has_body(self) -> bool:
        """Tell whether a body is read."""
        return self.request is not NoneType

    @property
    def needs_body(self) -> bool:
        """Tell whether a request without a body is wrong."""
        return self.has_body and NoneType not in get_args(self.request)

    @cached_property
    def problems(self) -> frozenset[int]:
        """Return the statuses of error answers that follow from what the operation is."""
        found = {500, 503}
        if self.roles is not None:
            found |= {401, 403, 429}
        if self.has_body:
            found |= {400, 408, 413, 415, 422}
        if self.query is not None or not self.lenient:
            found |= {400, 422}
        if self.path_parameters:
            found |= {404}
        if self.method != "GET":
            found |= {507}
        return frozenset(found - self.answers.keys())

    def read_body(self, body: bytes) -> Any:
        """Return the decoded body.

        Raises:
            RejectedError: with every flaw that was found.
        """
        if not self.has_body or (not body.strip() and not self.needs_body):
            return None
        match alternatives(self.request):
            case (one,) if one in (bytes, str):
                if not body:
                    raise RejectedError("the body is empty", reason=Reason.MALFORMED)
                return body if one is bytes else _text(body, "the body")
        return read_json(body, self.request, self.limits)

    def read_query(self, query: bytes) -> Any:
        """Return the decoded query. Lists are repeated parameters, or values between commas.

        Raises:
            RejectedError: with every flaw that was found.
        """
        if self.query is None and self.lenient:
            return None
        flaws: list[Flaw] = []
        values: dict[str, Any] = {}
        known = {one.name: one for one in self.parameters}
        for name, items in _pairs(query).items():
            if name in known:
                values[name] = _value(known[name], items, flaws)
            elif not self.lenient:
                flaws.append(Flaw(_pointer(name), unknown("parameter", name, known)))
        flaws += [
            Flaw(_pointer(one.name), "required")
            for one in known.values()
            if one.required and one.name not in values
        ]
        if flaws:
            raise rejected(flaws)
        if self.query is None:
            return None
        try:
            return msgspec.convert(values, self.query)
        except msgspec.ValidationError as error:
            raise rejected([flaw_of(error)]) from None


# --- declaring ---


class Options(TypedDict, total=False):
    """What an operation may say beyond the usual; see `Operation`."""

    limits: Limits
    accepts: tuple[str, ...]
    produces: str
    example: Any
    examples: Mapping[int, Any]
    path_help: Mapping[str, str]
    open_on_loopback: bool
    lenient: bool


def operation(
    method: Method,
    path: str,
    *,
    tag: str,
    roles: frozenset[Role] | None,
    answers: Mapping[int, str | tuple[Any, str]] = MappingProxyType({200: "Done."}),
    **options: Unpack[Options],
) -> Callable[[HandlerT], HandlerT]:
    """Declare the handler below as an operation.

    An answer described by a sentence alone has the content that the handler returns, or is a problem if its status
    is 400 or more.
    """

    def declare(handler: HandlerT) -> HandlerT:
        request, query, content = _types(handler)
        summary, description = _told(handler)
        handler.__dict__[_DECLARED] = Operation(
            method=method,
            path=path,
            operation_id=handler.__name__,
            summary=summary,
            description=description,
            tag=tag,
            roles=roles,
            request=request,
            query=query,
            answers={
                status: ((None if status >= 400 else content), told) if isinstance(told, str) else told
                for status, told in answers.items()
            },
            handler=handler,
            **options,
        )
        return handler

    return declare


def operations_of(*holders: Any) -> tuple[Operation, ...]:
    """Return the operations of these objects (or modules, or classes: then only to be looked at), as written."""
    return tuple(one for holder in holders for one in _declared_in(holder))


_DECLARED = "doctor_operation"


def _declared_in(holder: Any) -> Iterator[Operation]:
    kinds = inspect.getmro(holder if isinstance(holder, type) else type(holder))
    places = [vars(holder)] if inspect.ismodule(holder) else [vars(kind) for kind in reversed(kinds)]
    names = dict.fromkeys(name for place in places for name in place)
    for name in names:
        member = inspect.getattr_static(holder, name)
        if inspect.isfunction(member) and _DECLARED in vars(member):
            declared: Operation = vars(member)[_DECLARED]
            yield replace(declared, handler=getattr(holder, name))


def _types(handler: Handler) -> tuple[Any, type[msgspec.Struct] | None, Any]:
    hints = get_type_hints(handler, include_extras=True)
    answer = hints.pop("return", None)
    calls = [get_args(hint) for hint in hints.values() if get_origin(hint) is Call]
    if len(calls) != 1 or get_origin(answer) is not Answer:
        raise TypeError(f"{handler.__qualname__}: write (call: Call[body, query]) -> Answer[content]")
    (request, query), (content,) = calls[0], get_args(answer)
    content = None if content is NoneType else content
    if query is NoneType:
        return request, None, content
    if isinstance(query, type) and issubclass(query, msgspec.Struct):
        return request, query, content
    raise TypeError(f"{handler.__qualname__}: the type of a query is a msgspec.Struct or None")


_SECTION = re.compile(r"^(Args|Raises|Returns|Yields):$", re.MULTILINE)


def _told(handler: Handler) -> tuple[str, str]:
    told = inspect.getdoc(handler)
    if not told:
        raise TypeError(f"{handler.__qualname__}: the docstring is its documentation")
    summary, _, description = _SECTION.split(told)[0].partition("\n\n")
    return " ".join(summary.split()).removesuffix("."), description.strip()


def _default(one: msgspec.structs.FieldInfo) -> Any:
    if one.default_factory is not msgspec.NODEFAULT:
        return one.default_factory()
    return one.default


# --- reading a query ---


def _pairs(query: bytes) -> dict[str, list[bytes]]:
    """Split a query into its values by name, with their escapes still in them."""
    found: dict[str, list[bytes]] = {}
    parts = [part for part in query.split(b"&") if part]
    if len(parts) > MOST_PARAMETERS:
        detail = f"{len(parts)} query parameters; {MOST_PARAMETERS} is the most"
        raise RejectedError(detail, reason=Reason.MALFORMED)
    for part in parts:
        name, _, value = part.partition(b"=")
        found.setdefault(_unescaped(name), []).append(value)
    return found


def _unescaped(written: bytes) -> str:
    return _text(unquote_to_bytes(written.replace(b"+", b" ")), "the query")


def _text(written: bytes, what: str) -> str:
    try:
        return written.decode()
    except UnicodeDecodeError:
        raise RejectedError(f"{what} is not UTF-8", reason=Reason.MALFORMED) from None


def _value(parameter: Parameter, written: list[bytes], flaws: list[Flaw]) -> Any:
    pointer = _pointer(parameter.name)
    if parameter.many:
        # a=1,2 and a=1&a=2 are the same; a=1%2C2 is one value with a comma in it; a= of words is none at all.
        is_text = alternatives(parameter.item) == (str,)
        items = [item for value in written for item in value.split(b",") if item or not is_text]
        return [
            _read(_unescaped(item), parameter.item, f"{pointer}/{index}", flaws)
            for index, item in enumerate(items)
        ]
    if len(written) > 1:
        flaws.append(Flaw(pointer, "given more than once"))
        return None
    return _read(_unescaped(written[0]), parameter.item, pointer, flaws)


def _read(text: str, kind: Any, pointer: str, flaws: list[Flaw]) -> Any:
    try:
        said = _said(text, alternatives(kind))
    except ValueError as error:
        flaws.append(Flaw(pointer, flaw_of(error).detail))
        return None
    except OverflowError:  # a time so early or late that it does not exist in UTC
        flaws.append(Flaw(pointer, "out of range"))
        return None
    try:
        return msgspec.convert(said, kind)
    except msgspec.ValidationError:
        found = flaws_of(said, kind, pointer)
        flaws += [
            Flaw(flaw.pointer, flaw.detail.removesuffix(", got text")) for flaw in found
        ]  # as all of it is
        return None


_INTEGER = re.compile(r"-?[0-9]{1,18}")
_NUMBER = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?")
_ZONE_WITH_A_BLANK = re.compile(r" (\d\d:\d\d)$")


def _said(text: str, kinds: tuple[Any, ...]) -> Any:
    """Return what a text says in JSON's terms. msgspec's own lax mode takes ``1`` for true and ``12`` for a time."""
    if len(kinds) != 1 or not isinstance(kinds[0], type):
        return text
    (kind,) = kinds
    if kind is bool:
        return {"true": True, "false": False}.get(text, text)
    if issubclass(kind, (int, IntEnum)):
        return int(text) if _INTEGER.fullmatch(text) else text
    if issubclass(kind, float):
        return float(text) if _NUMBER.fullmatch(text) and isfinite(float(text)) else text
    if issubclass(kind, datetime):
        # A plus that was not escaped has become a blank.
        return in_utc(msgspec.convert(_ZONE_WITH_A_BLANK.sub(r"+\1", text), datetime))
    if issubclass(kind, timedelta):
        return parse_duration(text)
    return text


def _pointer(name: str) -> str:
    return "/" + name.replace("~", "~0").replace("/", "~1")
