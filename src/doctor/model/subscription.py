"""What a Consumer asked to be told, and where."""

from datetime import datetime
from enum import StrEnum

import msgspec

from doctor.model.fault import Severity


class EventKind(StrEnum):
    """The kinds of notifications that a subscription can ask for."""

    FAULT = "fault"
    MAINTENANCE = "maintenance"
    CAPACITY = "capacity"
    VIM = "vim"


class SubscribeFilter(msgspec.Struct, frozen=True, kw_only=True):
    """SubscribeFilterClass [D 5.4]: an empty tuple is no restriction.

    ``min_severity`` is inclusive.
    """

    virtual_resource_type: frozenset[str] = frozenset()
    virtual_resource_id: frozenset[str] = frozenset()
    fault_type: frozenset[str] = frozenset()
    probable_cause: frozenset[str] = frozenset()
    min_severity: Severity = Severity.CLEARED
    event: frozenset[EventKind] = frozenset()

    def asks_for(self, kind: EventKind, project: str | None) -> bool:
        """Tell whether notifications of a kind are asked for.

        The capacity of the pool is the Administrator's; an owner is told of it if he names it.
        """
        if self.event:
            return kind in self.event
        return kind is not EventKind.CAPACITY or project is None


class Endpoint(msgspec.Struct, frozen=True, kw_only=True):
    """One place to tell. ``secret`` (``whsec_`` and base64) signs as Standard Webhooks do; never shown again.

    ``since`` is the last sequence of the subscription from before the endpoint was added.
    """

    endpoint_id: str
    url: str
    format: str = "doctor"
    secret: str | None = None
    since: int = 0


class When(StrEnum):
    """When a subscription wants to be told of a dead host."""

    DETECTED = "detected"
    ISOLATED = "isolated"


class Subscription(msgspec.Struct, frozen=True, kw_only=True):
    """A subscription of one project, or of the Administrator (``project`` None: the physical side too)."""

    subscription_id: str
    project: str | None
    filter: SubscribeFilter = SubscribeFilter()
    endpoints: tuple[Endpoint, ...] = ()
    clear: bool = True
    change: bool = True
    created: datetime
