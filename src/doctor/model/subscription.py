"""What a Consumer asked to be told, and where."""

from datetime import datetime, timedelta
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

        The capacity of the pool is the Administrator's; an owner is told of it if he names it. A service of the VIM is
        nobody's: it is told to those who name it.
        """
        if self.event:
            return kind in self.event
        return kind is not EventKind.VIM and (kind is not EventKind.CAPACITY or project is None)


FENIX, FENIX_AODH = "fenix", "fenix-aodh"  # the formats in which maintenance is told as Fenix tells it
FORMATS = ("doctor", "cloudevents", "aodh", FENIX, FENIX_AODH)  # of notifications that are POSTed


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


class Aggregate(msgspec.Struct, frozen=True, kw_only=True):
    """Tell of a redundancy group only when more than ``more_than`` of it are out at the same time (N+M) [D 3.3.3].

    ``group`` is a name of the subscriber's own; ``role`` narrows it. ``within`` lets only failures count that began
    within it.
    """

    group: str
    role: str | None = None
    more_than: int = 2
    within: timedelta | None = None


class Acknowledge(StrEnum):
    """What ends a delivery: the 2xx of the endpoint, or a word of the Consumer."""

    HTTP = "http"
    EXPLICIT = "explicit"


class TellingPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """How a subscriber wants to be told.

    ``clear`` and ``change`` are whether of ends and of changes. ``heartbeat`` is after how much silence it is told that
    there was nothing to tell. ``detection`` is within what time it wants its machines' hosts to be looked at, if the operator
    lets it.
    """

    clear: bool = True
    change: bool = True
    when: When = When.DETECTED
    aggregate: Aggregate | None = None
    acknowledge: Acknowledge = Acknowledge.HTTP
    heartbeat: timedelta | None = None
    detection: timedelta | None = None


class Subscription(TellingPolicy, frozen=True, kw_only=True):
    """A subscription of one project, or of the Administrator (``project`` None: the physical side too)."""

    subscription_id: str
    project: str | None
    filter: SubscribeFilter = SubscribeFilter()
    endpoints: tuple[Endpoint, ...] = ()
    created: datetime

    @property
    def speaks_fenix(self) -> bool:
        """Tell whether somebody listens to it as Fenix' clients do. The Administrator's hears of the machines of all, too."""
        return any(one.format in (FENIX, FENIX_AODH) for one in self.endpoints)

    @property
    def is_patient(self) -> bool:
        """Tell whether some of what happened is not told at once."""
        return self.aggregate is not None or self.waits_for_isolation

    @property
    def waits_for_isolation(self) -> bool:
        """Tell whether it wants to be told of a dead host only when that can do no more harm."""
        return self.when is When.ISOLATED
