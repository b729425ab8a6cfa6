"""Why heartbeats are not taken."""

from enum import StrEnum


class Reason(StrEnum):
    """Why a datagram counts for nothing."""

    MALFORMED = "malformed"
    NOT_FOR_US = "not for us"  # what only a listener sends
    UNKNOWN_HOST = "unknown host"
    WRONG_SIGNATURE = "wrong signature"
    REPLAYED = "replayed"
    UNPROVEN = "unproven"  # may be a recording; its sender was asked
    TOO_MANY_NETWORKS = "too many networks"
