"""What can go wrong between a client and Doctor.

ClientError
├── Misconfigured    where to ask or who asks is not written as it should be; nothing was sent
├── Unreachable      no answer came; whether the request had an effect is not known
└── ApiError         Doctor answered that it will not or cannot
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any


@dataclass(frozen=True)
class Flaw:
    """One thing that is wrong in a request: a JSON pointer (RFC 6901) to the place, and what is wrong there."""

    pointer: str
    detail: str


class ClientError(Exception):
    """The root of the errors of this package; the text is a sentence for people."""


class Misconfigured(ClientError):
    """The address or the token is not written as it should be."""


class Unreachable(ClientError):
    """No answer came."""


class ApiError(ClientError):
    """Doctor refused the request or failed at it.

    ``status`` is the HTTP status, ``detail`` a sentence, ``errors`` name each place that is wrong.
    """

    def __init__(self, status: int, detail: str, errors: Sequence[Flaw] = ()) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.errors = tuple(errors)


def api_error(status: int, body: bytes) -> ApiError:
    """Read an error answer: problem+json (RFC 9457), or whatever something in between has put there."""
    try:
        problem = json.loads(body)
    except ValueError:
        problem = None
    if not isinstance(problem, dict):
        return ApiError(status, _meaning(status))
    detail = problem.get("detail") or problem.get("title") or _meaning(status)
    return ApiError(status, str(detail), _flaws(problem.get("errors")))


def _flaws(errors: Any) -> list[Flaw]:
    if not isinstance(errors, list):
        return []
    return [
        Flaw(str(error.get("pointer", "")), str(error.get("detail", "")))
        for error in errors
        if isinstance(error, dict)
    ]


def _meaning(status: int) -> str:
    try:
        return f"{HTTPStatus(status).phrase} (HTTP {status}, and no word from Doctor why)"
    except ValueError:
        return f"HTTP {status}, and no word from Doctor why"
