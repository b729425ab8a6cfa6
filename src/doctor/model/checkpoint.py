"""The stations of a fault on its way to the owner, and when it passed them [D 3.3, profiler blueprint]."""

from datetime import datetime
from enum import StrEnum

import msgspec


class Checkpoint(StrEnum):
    """T0 to T8 is the way to the Consumer, I the instruction, R the end; M are the marks beside it (design part 2)."""

    OCCURRED = "T0"
    DETECTED = "T1"
    ACCEPTED = "T2"
    JUDGED = "T3"
    AFFECTED_FOUND = "T4"
    SAVED = "T5"
    TOLD = "T6"
    RECEIVED = "T7"
    HANDLED = "T8"
    INSTRUCTED = "I1"
    EXECUTED = "I2"
    RESOLVED = "R"
    ISOLATED = "M1"
    HOST_MARKED = "M2"
    RESOURCES_MARKED = "M3"


class ConsumerTimeline(msgspec.Struct, kw_only=True):
    """The last stations, per notification: each Consumer has its own."""

    subscription_id: str
    notification_id: str
    told: datetime | None = None
    received: datetime | None = None
    handled: datetime | None = None


class Timeline(msgspec.Struct, kw_only=True):
    """When one fault passed each checkpoint. ``checkpoints`` of T6 to T8 are the first Consumer's."""

    fault_id: str
    fault_type: str
    resource_id: str
    checkpoints: dict[Checkpoint, datetime] = {}
    consumers: list[ConsumerTimeline] = []
