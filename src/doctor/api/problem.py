"""What a caller gets when something is wrong, and how all of it is found.

In come an error, or the bytes of a request and the type they should be; out go a `Problem` (RFC 9457), or the typed
request. Nothing here knows of routes.

The order of the checks of a body: UTF-8 and JSON (400), the `Limits` (depth 400, the others 422), the type (422). What
is wrong is collected rather than told one by one: `flaws_of` walks the value beside its type, and each `Flaw` has a
JSON pointer to the place.
"""

import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from difflib import get_close_matches
from enum import Enum
from itertools import islice
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import msgspec

from doctor.model.errors import (
    Flaw,
    Reason,
    RejectedError,
    StoreError,
    TransientError,
    UnavailableError,
    UnreadableError,
)

MEDIA_TYPE = "application/problem+json"
MOST_FLAWS = 100
SAFE_INTEGER = 2**53 - 1  # beyond it, a JSON number differs from reader to reader
BEARER = "Bearer"  # the challenge of Doctor's own tokens
RETRY_AFTER = 1  # seconds, when the error names none

STATUS = {
    Reason.MALFORMED: 400,
    Reason.UNAUTHENTICATED: 401,
    Reason.FORBIDDEN: 403,
    Reason.NOT_FOUND: 404,
    Reason.CONFLICT: 409,
    Reason.TOO_LARGE: 413,
    Reason.IMPOSSIBLE: 422,
    Reason.TOO_MANY: 429,
}

# By RFC 9110; http.HTTPStatus of Python 3.11 still has the former names.
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    408: "Request Timeout",
    409: "Conflict",
    413: "Content Too Large",
    415: "Unsupported Media Type",
    422: "Unprocessable Content",
    429: "Too Many Requests",
    500: "Internal Server Error",
    503: "Service Unavailable",
    507: "Insufficient Storage",
    509: "Limit Exceeded",  # of no standard: Fenix' clients know it
}

# --- what goes out ---


class ProblemDetails(msgspec.Struct, frozen=True, kw_only=True):
    """Why a request failed (RFC 9457). Nothing of it was done."""

    type: Annotated[str, msgspec.Meta(description="Always `about:blank`: the status says it all.")] = (
        "about:blank"
    )
    title: Annotated[str, msgspec.Meta(description="The name of the status.")]
    status: Annotated[int, msgspec.Meta(description="The HTTP status.", ge=400, le=599)]
    detail: Annotated[str, msgspec.Meta(description="What is wrong, in a sentence.")]
    instance: Annotated[str, msgspec.Meta(description="The path of the request.")]
    errors: Annotated[
        tuple[Flaw, ...],
        msgspec.Meta(description=f"Each place that is wrong, {MOST_FLAWS} at most; may be empty."),
    ] = ()


@dataclass(frozen=True)
class Problem:
    """An error answer: its body and its headers."""

    details: ProblemDetails
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def status(self) -> int:
        """Return the HTTP status."""
        return self.details.status

    @property
    def body(self) -> bytes:
        """Return the JSON to send."""
        return msgspec.json.encode(self.details)


class HttpRejectedError(RejectedError):
    """A rejection that only HTTP knows (405, 408, 415), with its status and headers."""

    def __init__(self, status: int, detail: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail, reason=Reason.MALFORMED)
        self.status = status
        self.headers = headers or {}


def problem_of(error: Exception, instance: str, *, only_asks: bool = False) -> Problem:
    """Turn an error into the answer to the one who asked at ``instance`` (the path), and wants nothing kept if he ``only_asks``.

    Only what Doctor said on purpose is passed on: the words of any other error are for the log. An error with an
    attribute ``retry_after`` (seconds) decides on that header.
    """
    error = sole(error)
    match error:
        case HttpRejectedError():
            return _problem(error.status, error.detail, instance, error.headers)
        case RejectedError():
            return _problem(STATUS[error.reason], error.detail, instance, _headers(error), error.flaws)
        case StoreError() if only_asks or isinstance(error, UnreadableError):
            detail = "the store cannot be read at the moment, and nothing was changed: ask again"
            return _problem(503, detail, instance, _retry_after(error))
        case StoreError():
            detail = "the store could not make this durable and kept nothing of it: send it again"
            return _problem(507, detail, instance, _retry_after(error))
        case UnavailableError():
            return _problem(503, error.detail, instance, _retry_after(error))
        case TransientError():
            detail = "this cannot be done at the moment; the same request may work later"
            return _problem(503, detail, instance, _retry_after(error))
        case _:
            return _problem(500, "Doctor failed at this request; its log says more", instance)


def sole(error: Exception) -> Exception:
    """Return the one error in a group of one (what a `TaskGroup` makes of it), or the error as it is."""
    while isinstance(error, ExceptionGroup) and len(error.exceptions) == 1:
        error = error.exceptions[0]
    return error


def _problem(
    status: int,
    detail: str,
    instance: str,
    headers: Mapping[str, str] | None = None,
    flaws: tuple[Flaw, ...] = (),
) -> Problem:
    details = ProblemDetails(
        title=TITLES[status], status=status, detail=detail, instance=instance, errors=flaws[:MOST_FLAWS]
    )
    headers = dict(headers or {})
    if status in (408, 413):
        headers["Connection"] = "close"  # what is left of the body is not read
    return Problem(details, headers)


def _headers(error: RejectedError) -> dict[str, str]:
    match error.reason:
        case Reason.UNAUTHENTICATED:
            return {"WWW-Authenticate": BEARER}
        case Reason.TOO_MANY:
            return _retry_after(error)
        case _:
            return {}


def _retry_after(error: Exception) -> dict[str, str]:
    return {"Retry-After": str(getattr(error, "retry_after", RETRY_AFTER))}


# --- what comes in ---


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How large a request may be."""

    body: int = 1024 * 1024  # bytes
    seconds: float = 10.0  # for the body to arrive
    depth: int = 16  # objects and lists inside each other
    string: int = 4096  # bytes in UTF-8
    keys: int = 64  # of one object
    items: int = 1000  # of one list
    large: bool = False  # the document of an Administrator: looked at closely only when it is wrong


USUAL = Limits()


def read_json(body: bytes, kind: Any, limits: Limits = USUAL) -> Any:
    """Return the value of type ``kind`` that the body says in JSON. Of duplicate keys the last one wins.

    Raises:
        RejectedError: MALFORMED, it is no JSON or too deep; IMPOSSIBLE, it breaks other limits or is no ``kind``.
    """
    if limits.large:
        with suppress(msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            return msgspec.json.decode(body, type=kind)
    value = _parsed(body)
    if flaws := list(islice(_beyond(value, limits), MOST_FLAWS)):
        raise rejected(flaws)
    try:
        return msgspec.json.decode(body, type=kind)
    except msgspec.ValidationError:
        value = _whole(value)
        if flaws := list(islice(flaws_of(value, kind), MOST_FLAWS)):
            raise rejected(flaws) from None
        # What was wrong has been overruled by a duplicate key, or was the 1.0 of an integer.
        return msgspec.json.decode(msgspec.json.encode(value), type=kind)


def _whole(value: Any) -> Any:
    """Return the value with 1 for 1.0, which JSON Schema holds to be the same; some languages write no other."""
    match value:
        case float():
            return int(value) if value.is_integer() and abs(value) <= SAFE_INTEGER else value
        case list():
            return [_whole(item) for item in value]
        case dict():
            return {name: _whole(item) for name, item in value.items()}
        case _:
            return value


def rejected(flaws: Sequence[Flaw], reason: Reason = Reason.IMPOSSIBLE) -> RejectedError:
    """Return the rejection of a request with these flaws, with a sentence that fits their number."""
    match flaws:
        case [Flaw(pointer="", detail=detail)]:
            sentence = detail
        case [Flaw(pointer=pointer, detail=detail)]:
            sentence = f"{pointer}: {detail}"
        case _:
            least = "at least " if len(flaws) >= MOST_FLAWS else ""
            sentence = f"{least}{len(flaws)} places are wrong, see errors"
    return RejectedError(sentence, reason=reason, flaws=flaws)


def _parsed(body: bytes) -> Any:
    if not body.strip():
        raise _malformed("the body is empty; JSON is expected")
    try:
        body.decode()  # msgspec lets bad bytes pass where it need not look
        return msgspec.json.decode(body)
    except UnicodeDecodeError as error:
        raise _malformed(f"the body is not UTF-8: {_position(body, error.start)}") from None
    except RecursionError:
        raise _malformed(_TOO_DEEP) from None
    except msgspec.ValidationError:  # all that can be wrong where any type will do
        raise _malformed("a number is out of range") from None
    except msgspec.DecodeError as error:
        raise _malformed(f"the body is not JSON: {_syntax(str(error), body)}") from None


_TOO_DEEP = "nested too deep"
_BYTE = re.compile(r"(?:JSON is malformed: )?(.*) \(byte (\d+)\)$")
_LONE_SURROGATE = re.compile(rb"\\u[dD][89a-fA-F]")


def _syntax(message: str, body: bytes) -> str:
    if found := _BYTE.match(message):
        return f"{found[1]}, {_position(body, int(found[2]))}"
    if _LONE_SURROGATE.search(body):  # msgspec says "truncated" of these, too
        return "it ends too early, or a string has half of a surrogate pair (\\ud800 to \\udfff)"
    return "it ends too early"


def _position(body: bytes, at: int) -> str:
    lines = body[:at].split(b"\n")
    return f"line {len(lines)}, column {len(lines[-1].decode(errors='replace')) + 1}"


def _malformed(detail: str, pointer: str = "") -> RejectedError:
    return RejectedError(detail, reason=Reason.MALFORMED, flaws=(Flaw(pointer, detail),))


_Path = tuple[Any, str | int] | None  # the path to the parent, and the step from there


def _beyond(root: Any, limits: Limits) -> Iterator[Flaw]:
    """Find what is larger than allowed; what is nearer to the root comes first."""
    todo: list[tuple[Any, _Path, int]] = [(root, None, 1)]
    for value, path, depth in todo:  # which grows on the way
        match value:
            case str():
                if _too_long(value, limits):
                    yield Flaw(_pointer(path), f"longer than {limits.string} bytes")
            case int():
                if abs(value) > SAFE_INTEGER:
                    yield Flaw(
                        _pointer(path), f"beyond {SAFE_INTEGER}, the largest integer that is safe in JSON"
                    )
            case dict():
                if len(value) > limits.keys:
                    yield Flaw(_pointer(path), f"{len(value)} fields; {limits.keys} is the most")
                if any(_too_long(key, limits) for key in value):
                    yield Flaw(_pointer(path), f"the name of a field is longer than {limits.string} bytes")
                todo.extend((item, (path, key), depth + 1) for key, item in value.items())
            case list():
                if len(value) > limits.items:
                    yield Flaw(_pointer(path), f"{len(value)} items; {limits.items} is the most")
                todo.extend((item, (path, index), depth + 1) for index, item in enumerate(value))
            case _:
                pass
        if depth > limits.depth and isinstance(value, (dict, list)):
            raise _malformed(f"{_TOO_DEEP}: {limits.depth} levels is the most", _pointer(path))


def _too_long(text: str, limits: Limits) -> bool:
    return len(text) * 4 > limits.string and len(text.encode()) > limits.string


def _pointer(path: _Path) -> str:
    steps: list[str] = []
    while path is not None:
        path, step = path
        steps.append(_escaped(step))
    return "".join(reversed(steps))


def _escaped(step: str | int) -> str:
    return "/" + str(step).replace("~", "~0").replace("/", "~1")


# --- flaws ---


def flaws_of(value: Any, kind: Any, pointer: str = "") -> Iterator[Flaw]:
    """Find each place where a JSON value is not what its type asks for.

    msgspec stops at the first, so this takes fields and items one by one.
    """
    complaint = _complaint(value, kind)
    if complaint is None:
        return
    found = False
    for flaw in _flaws_inside(value, kind, pointer):
        found = True
        yield flaw
    if not found:
        flaw = flaw_of(complaint)
        yield Flaw(pointer + flaw.pointer, _choices(value, kind) or flaw.detail)


def flaw_of(complaint: ValueError | msgspec.ValidationError) -> Flaw:
    """Turn the one thing that msgspec complains of into a flaw.

    Of a place inside a dict it does not tell the key: the pointer ends there.
    """
    message, _, place = str(complaint).rpartition(" - at `")
    if not message:
        message, place = str(complaint), "$"
    pointer = "".join(_escaped(name or index) for name, index in _STEP.findall(place.partition("[...]")[0]))
    if missing := _MISSING.fullmatch(message):
        return Flaw(pointer + _escaped(missing[1]), "required")
    if unknown := _UNKNOWN.fullmatch(message):
        return Flaw(pointer + _escaped(unknown[1]), "unknown field")
    return Flaw(pointer, _plain(message))


_STEP = re.compile(r"\.([^.\[\]`]+)|\[(\d+)\]")
_MISSING = re.compile(r"Object missing required field `(.+)`")
_UNKNOWN = re.compile(r"Object contains unknown field `(.+)`")
_KINDS = re.compile(r"(^Expected |, got )`([a-z0-9| ]+)`")
_PLAIN_NAMES = {
    "str": "text",
    "int": "an integer",
    "float": "a number",
    "bool": "true or false",
    "array": "a list",
    "object": "an object",
    "null": "null",
}
_PLAIN_MESSAGES = {
    "Invalid RFC3339 encoded datetime": "no time; write it as 2026-01-31T12:00:00Z (RFC 3339)",
    "Invalid ISO8601 duration": "no duration; write it as PT30S (ISO 8601)",
}


def _plain(message: str) -> str:
    def names(found: re.Match[str]) -> str:
        return found[1].lower() + " or ".join(_PLAIN_NAMES.get(name, name) for name in found[2].split(" | "))

    return _PLAIN_MESSAGES.get(message) or _KINDS.sub(names, message)


def _complaint(value: Any, kind: Any) -> msgspec.ValidationError | None:
    try:
        msgspec.json.decode(msgspec.json.encode(value), type=kind)
    except msgspec.ValidationError as error:
        return error
    return None


def _flaws_inside(value: Any, kind: Any, pointer: str) -> Iterator[Flaw]:
    kind = _alternative(value, bare(kind))
    origin, arguments = get_origin(kind) or kind, get_args(kind)
    if not isinstance(origin, type):
        return
    match value:
        case dict() if issubclass(origin, msgspec.Struct):
            yield from _flaws_of_fields(value, kind, origin, pointer)
        case dict() if issubclass(origin, Mapping) and arguments:
            for key, item in value.items():
                yield from flaws_of(item, arguments[1], pointer + _escaped(key))
        case list() if _is_list(origin) and (len(arguments) == 1 or arguments[1:] == (...,)):
            for index, item in enumerate(value):
                yield from flaws_of(item, arguments[0], pointer + _escaped(index))
        case _:
            pass


def _is_list(origin: type) -> bool:
    return issubclass(origin, Collection) and not issubclass(origin, (Mapping, str, bytes))


def _flaws_of_fields(
    value: dict[str, Any], kind: Any, struct: type[msgspec.Struct], pointer: str
) -> Iterator[Flaw]:
    fields = {field.encode_name: field for field in msgspec.structs.fields(kind)}
    config = struct.__struct_config__
    known = {*fields, config.tag_field} if config.tag_field else {*fields}
    for name, item in value.items():
        if name in fields:
            yield from flaws_of(item, fields[name].type, pointer + _escaped(name))
        elif name not in known and config.forbid_unknown_fields:
            yield Flaw(pointer + _escaped(name), unknown("field", name, fields.keys() - value.keys()))
    for name, one in fields.items():
        if one.required and name not in value:
            yield Flaw(pointer + _escaped(name), "required")


def unknown(what: str, name: str, known: Iterable[str]) -> str:
    """Return a sentence on something that nobody knows, with what may have been meant."""
    close = get_close_matches(name, sorted(known), 1)
    return f"unknown {what}; did you mean {close[0]}?" if close else f"unknown {what}"


def bare(kind: Any) -> Any:
    """Return a type without its annotations and without the name that was given to it."""
    while True:
        if get_origin(kind) is Annotated:
            kind = get_args(kind)[0]
        elif hasattr(kind, "__supertype__"):
            kind = kind.__supertype__
        else:
            return kind


def alternatives(kind: Any) -> tuple[Any, ...]:
    """Return what a value of this type can be, without null and unset."""
    kind = bare(kind)
    if get_origin(kind) not in (Union, UnionType):
        return (kind,)
    return tuple(bare(one) for one in get_args(kind) if one not in (NoneType, msgspec.UnsetType))


def _alternative(value: Any, kind: Any) -> Any:
    """Return the one of a union that the value was meant to be, as far as its shape tells."""
    several = alternatives(kind)
    for one in several:
        origin = get_origin(one) or one
        if not isinstance(origin, type):
            continue
        if isinstance(value, list) and _is_list(origin):
            return one
        if isinstance(value, dict) and (issubclass(origin, Mapping) or _tagged(value, origin, several)):
            return one
    return several[0] if len(several) == 1 else None


def _tagged(value: dict[str, Any], origin: type, several: tuple[Any, ...]) -> bool:
    if not issubclass(origin, msgspec.Struct):
        return False
    config = origin.__struct_config__
    return config.tag_field is None or value.get(config.tag_field) == config.tag or len(several) == 1


def _choices(value: Any, kind: Any) -> str | None:
    """Return the words that would have been right, where there is a list of them."""
    choices: list[Any] = []
    for one in alternatives(kind):
        if get_origin(one) is Literal:
            choices += get_args(one)
        elif isinstance(one, type) and issubclass(one, Enum):
            choices += [member.value for member in one]
        else:
            return None
    got = msgspec.json.encode(value).decode() if isinstance(value, (str, int)) else "something else"
    return f"expected one of {', '.join(map(str, choices))}; got {got[:60]}"
