"""What is done around the work on hosts beside emptying them: a command, a call, a playbook, by the names of the settings."""

from collections.abc import Mapping
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, NamedTuple, TypeAlias

import msgspec


class Moment(StrEnum):
    """When an action is done."""

    PRE = "pre"  # once, before the first host of a session is emptied
    HOST = "host"  # on each host, when it is empty
    POST = "post"  # once, when the session has done with all its hosts


class ActionWish(msgspec.Struct, frozen=True):
    """An action that a session asks for, by its name in the settings."""

    moment: Moment
    name: str


class RunState(StrEnum):
    """How far a run is."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One run of an action: kept before it begins, and begun again under the same id by whoever finds it running.

    ``number`` counts the runs of one action for one host, or session, from 1. ``deadline`` is a moment: a restart gives no
    more time. ``detail`` is what came of it, in words.
    """

    run_id: str
    moment: Moment
    name: str
    number: int
    began: datetime
    deadline: datetime
    state: RunState = RunState.RUNNING
    ended: datetime | None = None
    detail: str = ""


class Job(NamedTuple):
    """What an action gets to know of its run. ``host`` is None unless it is done on one; ``metadata`` is what was written
    down of that, or is empty. ``hosts`` says of all hosts of the session how far it is with each.
    """

    run_id: str
    moment: Moment
    name: str
    number: int
    session_id: str
    reason: str
    host: str | None
    metadata: Mapping[str, Any]
    hosts: Mapping[str, str]

    @property
    def facts(self) -> dict[str, Any]:
        """Return it as it is told to programs and services."""
        return {
            "run_id": self.run_id,
            "moment": self.moment.value,
            "action": self.name,
            "number": self.number,
            "session_id": self.session_id,
            "reason": self.reason,
            "host": self.host,
            "metadata": dict(self.metadata),
            "hosts": dict(self.hosts),
        }


class Done(NamedTuple):
    """It was done; ``detail`` is what was said of it."""

    detail: str = ""


class NotDone(NamedTuple):
    """It was not done, or nobody knows."""

    detail: str


RunOutcome: TypeAlias = Done | NotDone

MOST_DETAIL = 500  # characters that are kept of what an action says
USUAL_TIMEOUT = timedelta(minutes=30)
