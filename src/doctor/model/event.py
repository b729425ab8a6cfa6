"""What a Monitor said, unjudged."""

from datetime import datetime
from typing import Any

import msgspec

from doctor.model.vantage import Sight

UP, DOWN = "up", "down"  # the status of what has ended, and of what stands

_as_json = msgspec.json.Encoder().encode


class RawEvent(msgspec.Struct, frozen=True, gc=False, kw_only=True):
    """One raw event, as a Monitor reported it [D 5.6.1].

    ``time`` is the Monitor's (aware, UTC): data, never the judge of order. ``resource`` is what the event is about:
    ``resource_id`` or, without one, the host name; ``""`` when it names nothing. ``raw_details`` is the JSON object
    as it came; `details` decodes it when somebody looks. ``sight`` is of a vantage of Doctor's own, None of anybody else.
    """

    time: datetime
    type: str
    resource: str = ""
    resource_type: str = ""
    source: str = ""
    status: str = ""
    severity: str = ""
    monitor_event_id: str = ""
    raw_details: bytes = b"{}"
    sight: Sight | None = None

    @property
    def identity(self) -> bytes:
        """Return what makes two reports the same event: equal ones are duplicates (design part 5).

        The id of the Monitor alone is not enough: the OPNFV sample monitor sends one constant id for ever.
        """
        return _as_json(
            (self.source, self.monitor_event_id, self.type, self.resource, self.status, self.time)
        )

    @property
    def details(self) -> dict[str, Any]:
        """Return all details that were sent, decoded anew at each call.

        Details that no decoder can hold (a number beyond all bounds) count as none: the event is still true.
        """
        try:
            decoded: dict[str, Any] = msgspec.json.decode(self.raw_details)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            return {}
        return decoded


class EventBatch(msgspec.Struct, frozen=True, kw_only=True):
    """What one request to a southbound door brought, as the journal keeps it.

    ``event_ids`` are the ids of the accepted events (16 bytes each, joined), ``body`` is what was received.
    """

    received_time: datetime
    source: str
    event_ids: bytes
    body: bytes
