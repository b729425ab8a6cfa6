"""Keeps out of the log what did not happen: a rehearsal runs the flows that log what they do."""

from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager
from typing import Any

import structlog

MARK = "unsaid"


@contextmanager
def unsaid() -> Iterator[None]:
    """Let nothing be logged meanwhile, in this task or thread alone."""
    with structlog.contextvars.bound_contextvars(**{MARK: True}):
        yield


def drop_unsaid(_logger: Any, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Drop what is not to be said: a processor, behind the one that merges the variables of the context.

    Raises:
        structlog.DropEvent: it is not to be said.
    """
    if event.pop(MARK, False):
        raise structlog.DropEvent
    return event
