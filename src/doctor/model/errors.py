"""The few errors of Doctor, by what the one who meets them should do.

DoctorError
├── RejectedError    the caller's: change the request; ``reason`` says in which way it was wrong
├── TransientError   try the same again later
└── PermanentError   trying again does not help; somebody has to look
"""

from collections.abc import Sequence
from enum import Enum

import msgspec


class Flaw(msgspec.Struct, frozen=True):
    """One thing that is wrong in a request.

    ``pointer`` is a JSON pointer (RFC 6901) to the place, ``detail`` says what is wrong and what would be right.
    """

    pointer: str
    detail: str


class Reason(Enum):
    """Why a request was rejected; the HTTP doors turn it into a status."""

    MALFORMED = "malformed"
    UNAUTHENTICATED = "unauthenticated"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    CONFLICT = "conflict"
    TOO_LARGE = "too large"
    IMPOSSIBLE = "impossible"
    TOO_MANY = "too many"


class DoctorError(Exception):
    """The root of all errors that Doctor raises on purpose."""


class RejectedError(DoctorError):
    """The request is wrong and changed nothing.

    ``detail`` is a sentence for the one who asked; ``flaws`` name each wrong place.
    """

    def __init__(
        self, detail: str, *, reason: Reason = Reason.IMPOSSIBLE, flaws: Sequence[Flaw] = ()
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.reason = reason
        self.flaws = tuple(flaws)


class TransientError(DoctorError):
    """It did not work this time; the same may work later."""


class StoreError(TransientError):
    """The store could not make a change durable (disk full, I/O error): nothing of it was kept [I-29]."""


class UnreadableError(StoreError):
    """The store could not be read; nothing was to be kept by that."""


class UnavailableError(TransientError):
    """Something that a request needs is away, and the one who asked may know what.

    ``detail`` is a sentence for him; he may come back after ``retry_after`` seconds. What happened was logged.
    """

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.detail = detail
        self.retry_after = retry_after


class PermanentError(DoctorError):
    """It will not work by trying again; somebody has to look."""
