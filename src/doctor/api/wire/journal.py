"""The bodies that the journal keeps, turned into raw events once more.

The journal does not say by which door a batch came: its event ids do, since they are made from what was understood.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, tzinfo

import msgspec

from doctor.api.wire.event import parse_events
from doctor.inspector.firing import Recorded
from doctor.kit.ids import stable_ids
from doctor.model.errors import RejectedError
from doctor.model.event import EventBatch, RawEvent

_raw_events = msgspec.json.Decoder(RawEvent | list[RawEvent])


def recorded_events(batch: EventBatch, *, zones: Sequence[tzinfo] = ()) -> list[Recorded]:
    """Read the events of a batch; ``zones`` are those in which times without a zone may have been read, besides UTC.

    Raises:
        RejectedError: no way of reading them leads to the events that were accepted.
    """
    ways: list[Callable[[], Sequence[RawEvent]]] = [
        *(lambda zone=zone: _from_a_door(batch, zone) for zone in (UTC, *zones)),
        lambda: _from_a_monitor(batch),
    ]
    for read in ways:
        try:
            events = read()
        except RejectedError:
            continue
        ids = stable_ids("event", [event.identity for event in events])
        if bytes.fromhex("".join(ids).replace("-", "")) == batch.event_ids:
            return [Recorded(event_id, event) for event_id, event in zip(ids, events, strict=True)]
    raise RejectedError("the batch cannot be read")


def _from_a_door(batch: EventBatch, zone: tzinfo) -> Sequence[RawEvent]:
    return parse_events(batch.body, source=batch.source, zone=zone).events


def _from_a_monitor(batch: EventBatch) -> Sequence[RawEvent]:
    """Read what is kept as it is inside: an event of a driver of Doctor's own, or what a payload of others came to."""
    try:
        found = _raw_events.decode(batch.body)
        return found if isinstance(found, list) else (found,)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RejectedError(str(error)) from None
