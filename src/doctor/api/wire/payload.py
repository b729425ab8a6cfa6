"""What sources push in forms of their own, read by the `Payload` of each.

Good items of a list are taken, the bad ones are told with pointers. Control characters that somebody did not escape are
forgiven: the alert is worth more than its syntax.
"""

import json
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from doctor.api.problem import flaws_of
from doctor.api.wire.event import MAX_DEPTH, Rejected, name_flaws, not_json, too_deep
from doctor.model.errors import Flaw, Reason, RejectedError
from doctor.model.event import RawEvent
from doctor.ports.payload import Alive, Payload, Reading, Told

MAX_ITEMS = 5_000
MOST_FLAWS = 100

_anything = msgspec.json.Decoder()


class Understood(msgspec.Struct, frozen=True):
    """What a request says: what could be read, with its places in the list, and what could not."""

    readings: list[Reading]
    indexes: list[int]
    rejected: list[Rejected]


def understand(body: bytes, payload: Payload, told: Told) -> Understood:
    """Read the body of a request. A list of nothing says nothing, and is no mistake.

    Raises:
        RejectedError: it is no JSON, not what this source sends, too much, or not one item can be accepted.
    """
    items = list(payload.items(_document(body)))
    if len(items) > MAX_ITEMS:
        raise RejectedError(
            f"{len(items)} items in one request: {MAX_ITEMS} at most", reason=Reason.TOO_LARGE
        )
    readings: list[Reading] = []
    indexes: list[int] = []
    rejected: list[Rejected] = []
    for index, (pointer, item) in enumerate(items):
        found = _read(item, pointer, payload, told)
        if isinstance(found, list):
            rejected.append(Rejected(index, tuple(found)))
        else:
            readings.append(found)
            indexes.append(index)
    if rejected and not readings:
        flaws = [flaw for one in rejected for flaw in one.errors][:MOST_FLAWS]
        raise RejectedError("nothing of this can be accepted", reason=Reason.MALFORMED, flaws=flaws)
    return Understood(readings, indexes, rejected)


def _document(body: bytes) -> Any:
    try:
        text = body.decode()
        try:
            document = _anything.decode(text)
        except msgspec.DecodeError as error:
            document = _forgiven(text, error)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise not_json(error) from None
    if _depth(document) > MAX_DEPTH:
        raise too_deep()
    return document


def _forgiven(text: str, error: msgspec.DecodeError) -> Any:
    """Read a text that is JSON but for control characters in its strings."""
    try:
        document = json.loads(text, strict=False)
        msgspec.json.encode(document)  # not so half of a surrogate pair
    except (ValueError, msgspec.MsgspecError):
        raise error from None
    return document


def _depth(value: Any) -> int:
    """Return how deep a document is nested, as far as it matters."""
    deep = 0
    level: list[Any] = [value]
    while level and deep <= MAX_DEPTH:
        deep += 1
        level = [inner for one in level for inner in _inside(one)]
    return deep


def _inside(value: Any) -> Iterable[Any]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _read(item: Any, pointer: str, payload: Payload, told: Told) -> Reading | list[Flaw]:
    try:
        reading = payload.read(msgspec.convert(item, payload.kind), told)
    except msgspec.ValidationError:
        return list(flaws_of(item, payload.kind, pointer))[:MOST_FLAWS]
    except RejectedError as error:
        return [Flaw(pointer + flaw.pointer, flaw.detail) for flaw in error.flaws]
    except OverflowError:  # a time so early or late that it does not exist in UTC
        return [Flaw(pointer, "a time is out of range")]
    if isinstance(reading, Alive):
        return reading
    return list(_flaws(reading.event, pointer)) or reading


def _flaws(event: RawEvent, pointer: str) -> Iterator[Flaw]:
    """Say what of an event could not be kept."""
    for name in ("type", "resource", "resource_type", "status", "monitor_event_id"):
        for flaw in name_flaws(getattr(event, name), pointer):
            yield Flaw(flaw.pointer, f"{name}: {flaw.detail}")
