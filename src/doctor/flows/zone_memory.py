"""What is remembered of failure impact zones, as it outlives the process: kept with the fault that changed it."""

from collections.abc import Mapping

import msgspec

from doctor.inspector.zone_book import FaultKeyOf, ZoneBook
from doctor.model.escalation import Escalation, Probation
from doctor.ports.store import Memo

KINDS: dict[type, str] = {Probation: "probation", Escalation: "escalation"}  # by zone, by escalation_id

_encode = msgspec.msgpack.Encoder().encode


def zone_book(memos: Mapping[str, Mapping[str, bytes]], fault_key_of: FaultKeyOf) -> ZoneBook:
    """Return the zones as the store has them."""
    probations = memos.get(KINDS[Probation], {})
    escalations = memos.get(KINDS[Escalation], {})
    return ZoneBook(
        fault_key_of,
        {zone: msgspec.msgpack.decode(record, type=Probation) for zone, record in probations.items()},
        [msgspec.msgpack.decode(record, type=Escalation) for record in escalations.values()],
    )


def news_of(book: ZoneBook) -> list[Memo]:
    """Return what has changed since the last time, as it is kept."""
    return [
        Memo(kind=KINDS[kind], key=key, record=None if record is None else _encode(record))
        for (kind, key), record in book.take_news().items()
    ]
