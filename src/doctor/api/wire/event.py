"""The shapes in which Monitors report [D 5.6], turned into raw events.

One request may bring ``{"event": {...}}``, ``{"events": [{"event": {...}}]}``, a bare event or a bare list. The way
for good requests is short, since thousands arrive per second; whatever does not fit it is read again slowly and
carefully, to say exactly where it is wrong and to keep what is right.
"""

from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime, tzinfo
from typing import Annotated, Any

import msgspec

from doctor.kit.times import in_utc
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import RawEvent
from doctor.model.fault import SEVERITY_WORDS, severity_of

MAX_EVENTS = 1_000
MAX_DEPTH = 16
MAX_KEYS = 64
MAX_STRING = 4 * 1024
MAX_NAME = 255
MAX_DETAILS = 16 * 1024

_SMALL = 5 * MAX_KEYS  # bytes: details that are no longer have no more keys, since each takes `"":0,`
_BRACE, _BRACKET = b"{["
_ENVELOPE_DEPTH = 4  # {"events": [{"event": {"details": ...}}]}


class EventIn(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event as it is reported. ``details`` may hold anything besides the keys that the requirement names."""

    time: datetime
    type: str
    details: msgspec.Raw = msgspec.Raw(b"{}")
    id: str | int | None = None


class WrappedEvent(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """An event in its wrapper."""

    event: EventIn


class Events(msgspec.Struct, forbid_unknown_fields=True, gc=False):
    """Several events at once."""

    events: list[WrappedEvent]


_TEXT = {"type": "string", "maxLength": MAX_NAME, "pattern": "^[^\\x00-\\x1f\\x7f]*$"}
_NUMBER_OR_TEXT = {"anyOf": [_TEXT, {"type": "integer"}, {"type": "null"}]}
_EVENT = {
    "type": "object",
    "required": ["time", "type"],
    "additionalProperties": False,
    "properties": {
        "time": {
            "type": "string",
            "format": "date-time",
            "description": "When it was observed, by the Monitor's clock; without a zone it is UTC.",
        },
        "type": {**_TEXT, "minLength": 1, "description": "Such as `compute.host.down`."},
        "id": {**_NUMBER_OR_TEXT, "description": "The Monitor's id of the event, if not in the details."},
        "details": {
            "type": "object",
            "description": "The keys that the requirement names, and any others.",
            "maxProperties": MAX_KEYS,
            "properties": {
                **{
                    name: {"anyOf": [_TEXT, {"type": "null"}]}
                    for name in (
                        *("hostname", "resource_id", "resource_type", "source", "status", "cause"),
                        *("monitor", "monitor_id", "monitorID"),
                    )
                },
                "severity": {"type": ["string", "integer", "null"], "description": "A name, or 0 to 5."},
                "monitor_event_id": _NUMBER_OR_TEXT,
                "monitorEventID": _NUMBER_OR_TEXT,
            },
        },
    },
}
_WRAPPED = {
    "type": "object",
    "required": ["event"],
    "additionalProperties": False,
    "properties": {"event": _EVENT},
}
_LIST = {"type": "array", "minItems": 1, "maxItems": MAX_EVENTS, "items": {"anyOf": [_WRAPPED, _EVENT]}}
_BULK = {
    "type": "object",
    "required": ["events"],
    "additionalProperties": False,
    "properties": {"events": _LIST},
}

# What the event doors take, for the document.
AnyEvents = Annotated[Any, msgspec.Meta(extra_json_schema={"anyOf": [_WRAPPED, _BULK, _EVENT, _LIST]})]


class DetailsIn(msgspec.Struct, gc=False):
    """The keys of details that mean something to everybody [D 5.6.1], in the spellings that are about."""

    hostname: str | None = None
    source: str | None = None
    severity: str | int | None = None
    status: str | None = None
    monitor: str | None = None
    monitor_id: str | None = None
    monitorID: str | None = None  # noqa: N815 - as collectd's plug-in writes it
    monitor_event_id: str | int | None = None
    monitorEventID: str | int | None = None  # noqa: N815
    resource_id: str | None = None
    resource_type: str | None = None


class Rejected(msgspec.Struct, frozen=True):
    """An event that was not accepted, and why."""

    index: int
    errors: tuple[Flaw, ...]


class Parsed(msgspec.Struct, frozen=True):
    """What a request brought: the good events with their places, and the bad ones."""

    events: list[RawEvent]
    indexes: list[int]
    rejected: list[Rejected]


_single = msgspec.json.Decoder(WrappedEvent)
_bulk = msgspec.json.Decoder(Events)
_bare = msgspec.json.Decoder(EventIn)
_bare_list = msgspec.json.Decoder(list[EventIn])
_details = msgspec.json.Decoder(DetailsIn)
_anything = msgspec.json.Decoder()


def parse_events(body: bytes, *, source: str, zone: tzinfo = UTC) -> Parsed:
    """Read the body of a request.

    ``source`` names the reporter of events that do not name one; ``zone`` is that of times without a zone.

    Raises:
        RejectedError: it is no JSON, has no or too many events, or not one of them can be accepted.
    """
    try:
        body.decode()
        items = _quick(body)
        if not 0 < len(items) <= MAX_EVENTS:
            raise _wrong_number(len(items))
        plain = body.isascii() and b"\\" not in body and b"\x7f" not in body
        events = _quick_events(items, source, zone, plain)
    except (msgspec.ValidationError, _Unusual):
        return _careful(body, source, zone)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    return Parsed(events, list(range(len(events))), [])


class _Unusual(Exception):
    """The event does not fit the short way."""


def _quick(body: bytes) -> Sequence[EventIn]:
    """Return the events of a body whose shape shows in its first bytes."""
    head = body[:64].lstrip()
    if head.startswith(b"["):
        return _bare_list.decode(body)
    if b'"events"' in head:
        return [wrapped.event for wrapped in _bulk.decode(body).events]
    if b'"event"' in head:
        return [_single.decode(body).event]
    return [_bare.decode(body)]


def _quick_events(items: Iterable[EventIn], source: str, zone: tzinfo, plain: bool) -> list[RawEvent]:
    """Return the events if they are as most are; ``plain``: the body has nothing hidden or unprintable in it."""
    events = []
    for item in items:
        raw = bytes(item.details)
        size = len(raw)
        if raw.rfind(_BRACE) > 0 or _BRACKET in raw or size > _SMALL:  # a byte is found quicker as a number
            _check_shape(raw)
        event = _raw_event(item, raw, source, zone)
        if not plain or size + len(item.type) > MAX_NAME or not item.type or item.id is not None:
            _check_names(event)
        severity = event.severity
        if severity and severity not in SEVERITY_WORDS:
            _check_severity(event)
        events.append(event)
    return events


def _check_shape(raw: bytes) -> None:
    if (
        len(raw) > MAX_STRING
        or raw.count(b"{") + raw.count(b"[") > MAX_DEPTH - _ENVELOPE_DEPTH
        or raw.count(b":") > MAX_KEYS
    ):
        raise _Unusual


def _check_names(event: RawEvent) -> None:
    names = f"{event.type}{event.source}{event.monitor_event_id}{event.resource}{event.status}{event.resource_type}"
    if not event.type or len(names) > MAX_NAME or not names.isprintable():
        raise _Unusual


def _check_severity(event: RawEvent) -> None:
    if event.severity.lower() not in SEVERITY_WORDS:
        raise _Unusual


def _raw_event(item: EventIn, raw: bytes, source: str, zone: tzinfo) -> RawEvent:
    known = _details.decode(raw)
    time = item.time
    if time.tzinfo is not UTC:
        try:
            time = in_utc(time, zone)
        except OverflowError:
            raise _Unusual from None
    return RawEvent(
        time=time,
        type=item.type,
        resource=known.resource_id or known.hostname or "",
        resource_type=known.resource_type or "",
        source=known.source or known.monitor_id or known.monitor or known.monitorID or source,
        status=known.status or "",
        severity="" if known.severity is None else str(known.severity),
        monitor_event_id=str(known.monitor_event_id or known.monitorEventID or item.id or ""),
        raw_details=raw,
    )


def _careful(body: bytes, source: str, zone: tzinfo) -> Parsed:
    """Look at each event by itself."""
    try:
        document = _anything.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    places = list(_places(document))
    if not 0 < len(places) <= MAX_EVENTS:
        raise _wrong_number(len(places))
    events, indexes, rejected = [], [], []
    for index, (pointer, value) in enumerate(places):
        flaws = list(_flaws(value, pointer, zone))
        if flaws:
            rejected.append(Rejected(index, tuple(flaws)))
            continue
        raw = msgspec.json.encode(value.get("details", {}))
        item = EventIn(msgspec.convert(value["time"], datetime), value["type"], id=value.get("id"))
        events.append(_raw_event(item, raw, source, zone))
        indexes.append(index)
    if not events:
        raise RejectedError(
            "the event cannot be accepted" if len(places) == 1 else "none of the events can be accepted",
            reason=Reason.MALFORMED,
            flaws=[flaw for one in rejected for flaw in one.errors][:100],
        )
    return Parsed(events, indexes, rejected)


def _places(document: Any) -> Iterator[tuple[str, Any]]:
    """Return each event of a document with the pointer to it; a wrapper that is wrong counts as one bad event."""
    if isinstance(document, list):
        for index, value in enumerate(document):
            yield _unwrapped(value, f"/{index}")
    elif (
        isinstance(document, dict) and document.keys() == {"events"} and isinstance(document["events"], list)
    ):
        for index, value in enumerate(document["events"]):
            yield _unwrapped(value, f"/events/{index}")
    else:
        yield _unwrapped(document, "")


def _unwrapped(value: Any, pointer: str) -> tuple[str, Any]:
    if isinstance(value, dict) and value.keys() == {"event"}:
        return f"{pointer}/event", value["event"]
    return pointer, value


def _flaws(value: Any, pointer: str, zone: tzinfo) -> Iterator[Flaw]:
    """Say all that is wrong with one event."""
    if not isinstance(value, dict):
        yield Flaw(pointer, "an event is an object with time, type and details")
        return
    allowed = ("time", "type", "details", "id")
    for key in value:
        if key not in allowed:
            yield Flaw(f"{pointer}/{_escaped(key)}", f"unknown field: an event has {', '.join(allowed)}")
    yield from _time_flaws(value.get("time"), f"{pointer}/time", zone)
    if not value.get("type"):
        yield Flaw(f"{pointer}/type", "required")
    else:
        yield from name_flaws(value["type"], f"{pointer}/type")
    if value.get("id") is not None and type(value["id"]) is not int:
        yield from name_flaws(value["id"], f"{pointer}/id")
    details = value.get("details", {})
    if not isinstance(details, dict):
        yield Flaw(f"{pointer}/details", "must be an object")
        return
    yield from _details_flaws(details, f"{pointer}/details", pointer.count("/"))


def _time_flaws(value: Any, pointer: str, zone: tzinfo) -> Iterator[Flaw]:
    if value is None:
        yield Flaw(pointer, "required")
        return
    try:
        in_utc(msgspec.convert(value, datetime), zone)
    except (msgspec.ValidationError, OverflowError):
        yield Flaw(pointer, "is no time: write it as 2026-03-04T05:06:07Z (RFC 3339)")


def _details_flaws(details: dict[str, Any], pointer: str, depth: int) -> Iterator[Flaw]:
    if len(msgspec.json.encode(details)) > MAX_DETAILS:
        yield Flaw(pointer, f"longer than {MAX_DETAILS} bytes")
        return
    yield from _limit_flaws(details, pointer, depth + 2)
    for key in (
        "hostname",
        "source",
        "status",
        "monitor",
        "monitor_id",
        "monitorID",
        "resource_id",
        "resource_type",
    ):
        if details.get(key) is not None:
            yield from name_flaws(details[key], f"{pointer}/{key}")
    for key in ("monitor_event_id", "monitorEventID"):
        if details.get(key) is not None and type(details[key]) is not int:
            yield from name_flaws(details[key], f"{pointer}/{key}")
    severity = details.get("severity")
    if severity is not None:
        try:
            severity_of(severity)
        except ValueError as error:
            yield Flaw(f"{pointer}/severity", str(error))


def _limit_flaws(value: Any, pointer: str, depth: int) -> Iterator[Flaw]:
    if isinstance(value, str):
        if len(value.encode()) > MAX_STRING:
            yield Flaw(pointer, f"longer than {MAX_STRING} bytes")
    elif isinstance(value, dict | list):
        if depth > MAX_DEPTH:
            yield Flaw(pointer, f"nested deeper than {MAX_DEPTH}")
            return
        if isinstance(value, dict) and len(value) > MAX_KEYS:
            yield Flaw(pointer, f"more than {MAX_KEYS} keys")
            return
        for key, inner in value.items() if isinstance(value, dict) else enumerate(value):
            if isinstance(key, str) and len(key) > MAX_NAME:
                yield Flaw(pointer, f"has a key longer than {MAX_NAME} characters")
            else:
                yield from _limit_flaws(inner, f"{pointer}/{_escaped(str(key))}", depth + 1)


def name_flaws(value: Any, pointer: str) -> Iterator[Flaw]:
    """Say why something cannot be the name of anything."""
    if not isinstance(value, str):
        yield Flaw(pointer, "must be text")
    elif len(value) > MAX_NAME:
        yield Flaw(pointer, f"longer than {MAX_NAME} characters")
    elif not value.isprintable():
        yield Flaw(pointer, "has characters that cannot be printed")


def _escaped(key: str) -> str:
    """Write a key as part of a JSON pointer (RFC 6901)."""
    return key[:80].replace("~", "~0").replace("/", "~1")


def _wrong_number(number: int) -> RejectedError:
    if number == 0:
        return RejectedError(
            "no events", reason=Reason.MALFORMED, flaws=[Flaw("", "send one event at least")]
        )
    return RejectedError(f"{number} events in one request: {MAX_EVENTS} at most", reason=Reason.TOO_LARGE)


def too_deep() -> RejectedError:
    """Return the refusal of a document that is nested too deep."""
    return RejectedError(f"nested deeper than {MAX_DEPTH}", reason=Reason.MALFORMED)


def not_json(error: Exception) -> RejectedError:
    """Return the refusal of a body that could not be decoded, by what the decoder says."""
    if isinstance(error, RecursionError):
        return too_deep()
    if isinstance(error, UnicodeDecodeError):
        return RejectedError(f"not valid UTF-8 at byte {error.start}", reason=Reason.MALFORMED)
    return RejectedError(f"the body is not valid JSON: {error}", reason=Reason.MALFORMED)
