"""The marks that Doctor leaves in a cloud, so that whoever asks the cloud sees what is true [D 4.3.2]."""

from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

import msgspec


class MarkKind(StrEnum):
    """What can be marked, each of one resource."""

    FORCED_DOWN = "forced_down"  # a host: Nova takes its compute service for dead
    DISABLED = "disabled"  # a host: Nova places nothing there any more
    SERVER_ERROR = "server_error"
    PORT_DOWN = "port_down"  # the data plane of a port
    VOLUME_ERROR = "volume_error"


# The words for the two sides of a mark; a server, a volume may be in other states too, in the words of the cloud.
HEALTHY = {
    MarkKind.FORCED_DOWN: "up",
    MarkKind.DISABLED: "enabled",
    MarkKind.SERVER_ERROR: "active",
    MarkKind.PORT_DOWN: "active",
    MarkKind.VOLUME_ERROR: "in-use",
}
MARKED = {
    MarkKind.FORCED_DOWN: "down",
    MarkKind.DISABLED: "disabled",
    MarkKind.SERVER_ERROR: "error",
    MarkKind.PORT_DOWN: "down",
    MarkKind.VOLUME_ERROR: "error",
}


class Mark(NamedTuple):
    """A mark on a resource, by which it is known everywhere."""

    kind: MarkKind
    resource_id: str


class ForceDown(StrEnum):
    """When a host that is down is forced down in the cloud."""

    AUTO = "auto"  # once it is isolated, where it can be; else at once
    WHEN_ISOLATED = "when-isolated"
    IMMEDIATELY = "immediately"


class MarkState(StrEnum):
    """How far a mark is."""

    MARKING = "marking"  # decided and kept; it may be in the cloud already
    MARKED = "marked"
    UNMARKING = "unmarking"
    LEFT = "left"  # not ours to change, for a reason


class MarkRecord(msgspec.Struct, frozen=True, kw_only=True):
    """One mark: what the cloud said before, what it is for, and how far it is.

    ``before`` is put back in the end. ``reason`` is written into the cloud where there is a place for it, or says why
    the resource was left as it was. ``trouble`` is why the last of ``attempts`` came to nothing; None: it did not.
    """

    mark: Mark
    cloud: str
    state: MarkState
    before: str
    reason: str
    fault_key: str
    since: datetime
    done: datetime | None = None
    attempts: int = 0
    trouble: str | None = None


class Standing(NamedTuple):
    """What a cloud says of the side of a resource that a mark is about, and the reason that stands there."""

    state: str
    reason: str = ""
