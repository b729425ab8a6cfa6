"""How commands reach Doctor, and how its refusals are shown."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from doctor.client import Access, ApiError, Client

REFUSED = 1
MISUSED = 2
UNREACHABLE = 3


@dataclass(frozen=True)
class Target:
    """What was said on the command line about where to ask."""

    url: str | None = None
    token_file: Path | None = None


class Failed(click.ClickException):
    """The end of a command that could not do what it was asked to."""

    def __init__(self, message: str, exit_code: int = REFUSED) -> None:
        super().__init__(message)
        self.exit_code = exit_code  # type: ignore[misc] # one class for all codes; click reads it from the instance


@contextmanager
def connected(timeout: float | None = None) -> Iterator["Client"]:
    """Give a client for the Doctor that the command line names; what goes wrong ends the command in one sentence."""
    from doctor.client import ApiError, Client, Misconfigured, Unreachable, find_access

    target = click.get_current_context().find_object(Target) or Target()
    try:
        access = find_access(target.url, target.token_file)
    except Misconfigured as error:
        raise Failed(str(error), MISUSED) from error
    try:
        with Client(access.url, access.token, **({"timeout": timeout} if timeout else {})) as client:
            yield client
    except Unreachable as error:
        raise Failed(str(error), UNREACHABLE) from error
    except ApiError as error:
        raise Failed(explain(error, access)) from error


def explain(error: "ApiError", access: "Access") -> str:
    """Return what an operator should read: a sentence, the places that are wrong, and what may help."""
    lines = [error.detail, *(f"  {flaw.pointer or '/'}: {flaw.detail}" for flaw in error.errors)]
    if error.status == 401 and access.token is None:
        lines.append("No token was sent: set DOCTOR_TOKEN, or name its file with --token-file.")
    elif error.status == 401:
        lines.append(f"{access.url} does not know the token that was sent, or it has expired.")
    return "\n".join(lines)
