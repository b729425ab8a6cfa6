"""What a source pushes in a form of its own, and what is understood of it.

A source is a module with a `Payload`, named by an entry point of the group ``doctor.payloads``: then its door is
``POST /v1/monitors/<name>``. It has no socket, no clock and no state; whether something was said before, or still holds,
is not for it to judge.
"""

from collections.abc import Callable, Iterable, Sequence
from datetime import datetime
from typing import Any, NamedTuple

import msgspec

from doctor.model.event import RawEvent


class Told(NamedTuple):
    """Who says something (the name of his token, or of his monitor), and when it came."""

    source: str
    received: datetime


class Stated(NamedTuple):
    """Something that stands at the source, or has ended there (then the status of the event is ``up``).

    What stands does so ``until`` then unless it is said again; None: until it is said to have ended.
    """

    event: RawEvent
    until: datetime | None = None


class Alive(NamedTuple):
    """A sign of life, which says nothing else; the next one should come ``until`` then, if that is known."""

    until: datetime | None = None


Reading = Stated | Alive


class Happened(NamedTuple):
    """Something that has happened, which neither stands nor ends."""

    event: RawEvent


class Listing(NamedTuple):
    """All that stood at a source when it was asked: what it said before and is not here has ended.

    ``kind`` is the payload by which the source speaks otherwise, or names the part of it that was asked; ``told`` is who it
    is then, and when it was asked. What is ``kept`` stands, but the source would not have told it by itself. ``within`` says
    that only what has a ``monitor_event_id`` that begins so was asked for: of anything else it says nothing.
    """

    kind: str
    told: Told
    readings: Sequence[Reading]
    kept: Sequence[Reading] = ()
    within: str = ""


class Saying(NamedTuple):
    """What a source said of itself, and a monitor heard: in the order in which it came, and nothing has ended by its absence.

    ``told`` is who said so, which need not be the monitor: what one cannot vouch for has a name of its own.
    """

    kind: str
    told: Told
    readings: Sequence[Stated | Happened]


class Payload(NamedTuple):
    """How the payload of one kind of source is read.

    ``items`` finds what is said in a decoded document, each with the JSON pointer to it; it raises `RejectedError` where
    the document as a whole is not what it should be. ``kind`` is the type of one item, ``read`` what it means; it raises
    `RejectedError` with pointers that begin at the item.
    """

    kind: type[msgspec.Struct]
    items: Callable[[Any], Iterable[tuple[str, Any]]]
    read: Callable[[Any, Told], Reading]
