"""Reads server-sent events: lines in, events out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class ServerSentEvent:
    """One event of a stream; for notifications ``id`` is the sequence and ``data`` the message as JSON."""

    data: str
    event: str = "message"
    id: str = ""


def lines(chunks: Iterable[bytes]) -> Iterator[str]:
    """Cut a stream of bytes into lines; what comes after the last line end is not whole and is dropped."""
    rest = b""
    for chunk in chunks:
        *whole, rest = (rest + chunk).split(b"\n")
        for line in whole:
            yield line.removesuffix(b"\r").decode("utf-8", "replace")


def events(stream: Iterable[str]) -> Iterator[ServerSentEvent]:
    """Put lines together to events; comments (keep-alives) and events without data are passed over."""
    data: list[str] = []
    kind, event_id = "message", ""
    for line in stream:
        if not line:
            if data:
                yield ServerSentEvent("\n".join(data), kind, event_id)
            data, kind = [], "message"
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match name:
            case "data":
                data.append(value)
            case "event":
                kind = value
            case "id":
                event_id = value
            case _:
                pass  # a comment, or `retry`, or what is not known yet
