"""What the Inspector remembers between events, beside what is open: doubts, flapping, and who is expected to speak.

Each piece is small, and kept as a memo in the same transaction as the event that changed it, so that a restart in
between changes nothing.
"""

from collections import OrderedDict
from datetime import UTC, datetime, timedelta

import msgspec

from doctor.inspector.confirmation import Waiting
from doctor.inspector.damping import Flapping
from doctor.kit.ids import SEPARATOR
from doctor.model.event import RawEvent
from doctor.ports.store import Change, Memo

WAITING, FLAPPING, EXPECTED = "waiting", "flapping", "expected"

NEVER = datetime.min.replace(tzinfo=UTC)

Key = tuple[str, str]

_encode = msgspec.msgpack.Encoder().encode


class Folded(msgspec.Struct, frozen=True, kw_only=True):
    """A fault whose changes are folded: how they went, and the event that says how it is now; None: it is over."""

    flapping: Flapping
    event: RawEvent | None = None
    event_id: str = ""


class Expected(msgspec.Struct, frozen=True, kw_only=True):
    """Somebody who has begun to send what has to come.

    ``last`` is when Doctor heard of him. It is not kept: after a restart everybody has his time anew.
    """

    last: datetime
    is_silent: bool = False


class Memory:
    """All of it, by rule and resource, by resource and fault type, by rule and subject."""

    def __init__(
        self, memos: dict[str, dict[str, bytes]] | None = None, before: "Memory | None" = None
    ) -> None:
        memos = memos or {}
        heard = {} if before is None else before.expected
        self.waiting: dict[Key, Waiting] = {
            _key(text): msgspec.msgpack.decode(record, type=Waiting)
            for text, record in memos.get(WAITING, {}).items()
        }
        self.folded: dict[Key, Folded] = {
            _key(text): msgspec.msgpack.decode(record, type=Folded)
            for text, record in memos.get(FLAPPING, {}).items()
        }
        self.expected: dict[Key, Expected] = {
            key: Expected(last=heard[key].last if key in heard else NEVER, is_silent=record == b"silent")
            for key, record in ((_key(text), kept) for text, kept in memos.get(EXPECTED, {}).items())
        }
        self._told: OrderedDict[Key, Flapping] = OrderedDict()  # changes that were told, the latest last

    def wait(self, key: Key, waiting: Waiting | None, change: Change) -> None:
        """Remember how far a doubt has come; None forgets it."""
        if waiting is None:
            if self.waiting.pop(key, None) is None:
                return
        else:
            self.waiting[key] = waiting
        change.memos.append(_memo(WAITING, key, None if waiting is None else _encode(waiting)))

    def flapping(self, key: Key) -> Flapping:
        """Return how a fault has come and gone of late."""
        folded = self.folded.get(key)
        return self._told.get(key, Flapping()) if folded is None else folded.flapping

    def tell(self, key: Key, flapping: Flapping, within: timedelta) -> None:
        """Remember a change that is told, and forget those that are longer ago than they count."""
        self._told[key] = flapping
        self._told.move_to_end(key)
        while flapping.changes[-1] - next(iter(self._told.values())).changes[-1] > within:
            self._told.popitem(last=False)

    def fold(self, key: Key, folded: Folded | None, change: Change) -> None:
        """Remember what was folded; None forgets it."""
        self._told.pop(key, None)
        if folded is None:
            if self.folded.pop(key, None) is None:
                return
        else:
            self.folded[key] = folded
        change.memos.append(_memo(FLAPPING, key, None if folded is None else _encode(folded)))

    def expect(self, key: Key, expected: Expected | None, change: Change) -> None:
        """Remember who is expected to speak; None forgets it."""
        before = self.expected.get(key)
        if expected is None:
            self.expected.pop(key, None)
        else:
            self.expected[key] = expected
            if before is not None and before.is_silent == expected.is_silent:
                return  # the moment is not kept
        record = None if expected is None else b"silent" if expected.is_silent else b"heard"
        change.memos.append(_memo(EXPECTED, key, record))


def _memo(kind: str, key: Key, record: bytes | None) -> Memo:
    return Memo(kind=kind, key=SEPARATOR.join(key), record=record)


def _key(text: str) -> Key:
    first, _, second = text.partition(SEPARATOR)
    return first, second
